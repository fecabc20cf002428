"""How the next jobs go: as a test has said, or as a word in the prompt says, or well."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from attrs import evolve

from krea_aleph.emulator.values import Outcome

if TYPE_CHECKING:
    from krea_aleph.emulator.quirks import Switches
    from krea_aleph.emulator.values import UrlForm

_WORDS: Final = "The job was stopped by content moderation"

MARKERS: Final = {
    "[nsfw]": Outcome(status="failed", error={"code": "nsfw", "message": _WORDS}),
    "[violence]": Outcome(status="failed", error={"code": "violence", "message": _WORDS}),
    "[ip]": Outcome(status="failed", error={"code": "ip_detected", "message": _WORDS}),
    "[person]": Outcome(status="failed", error={"code": "personal_info", "message": _WORDS}),
    "[fail]": Outcome(
        status="failed", error={"code": "provider_error", "message": "The provider gave up"}
    ),
    "[silent]": Outcome(status="failed"),
    "[empty]": Outcome(urls="none"),
}
"""Words that decide how a job ends when they stand in its prompt; the first four are moderation."""

_MODERATED: Final = ("[nsfw]", "[violence]", "[ip]", "[person]")

_FORMS: Final[dict[str, UrlForm]] = {
    "urls_as_objects": "objects",
    "urls_as_map": "map",
    "urls_as_video_url": "video_url",
    "urls_at_top_level": "top_level",
}


class Outcomes:
    """The outcomes that are waiting for jobs, first come, first served."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._waiting: list[tuple[Outcome, int | None]] = []
        self._lock = threading.Lock()

    def add(self, outcome: Outcome, times: int | None) -> None:
        """Let the next so many jobs go like this; None for all that follow."""
        with self._lock:
            self._waiting.append((outcome, times))

    def clear(self) -> None:
        """Forget what has been said."""
        with self._lock:
            self._waiting.clear()

    def next_for(self, prompt: str) -> Outcome:
        """Return how a job with this prompt goes."""
        with self._lock:
            if self._waiting:
                return self._take()
        marker = next((marker for marker in MARKERS if marker in prompt.lower()), None)
        if marker is None:
            return Outcome()
        if marker in _MODERATED and "moderated_jobs_complete" in self._switches:
            return Outcome(urls="none")
        return MARKERS[marker]

    def form(self, outcome: Outcome) -> UrlForm:
        """Return how the result of a job is told."""
        if outcome.urls is not None:
            return outcome.urls
        for quirk, form in _FORMS.items():
            if quirk in self._switches:
                return form
        return "strings"

    def _take(self) -> Outcome:
        outcome, times = self._waiting[0]
        if times is None:
            return outcome
        if times <= 1:
            self._waiting.pop(0)
        else:
            self._waiting[0] = (outcome, times - 1)
        return outcome


def rejected(reason: str, outcome: Outcome) -> Outcome:
    """Return the outcome of a job whose input cannot be used."""
    error = {"code": "invalid_input", "message": reason}
    return evolve(outcome, status="failed", error=error, result_error=None)
