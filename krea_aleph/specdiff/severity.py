"""How much a difference matters, by who sends and who reads, and what follows from it in words."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from krea_aleph.specdiff.changes import Change, Effect, Severity, pointer
from krea_aleph.specdiff.errors import step

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from krea_aleph.specdiff.changes import Difference, Direction, Place
    from krea_aleph.specdiff.rules import Rules

Verdict = tuple[Severity, str]
DOCS, FEATURE, REVIEW, BREAKING = (
    Severity.DOCS, Severity.FEATURE, Severity.REVIEW, Severity.BREAKING,
)  # fmt: skip

_BOTH: Final[Mapping[str, Verdict]] = {
    "docs": (DOCS, "Only the description of {what} changes."),
    "extension": (DOCS, "A remark of Krea's own on {what} changes; the facade does not read it."),
    "x-krea-dependent-enum": (
        REVIEW,
        "Which values of {what} go with which others changes: look what is refused now.",
    ),
    "x-krea-deprecated-field-aliases": (
        REVIEW,
        "Which old names of {what} still work changes: tell users.",
    ),
    "unknown keyword": (REVIEW, "A keyword that is not understood changes at {what}: look."),
    "deprecated": (REVIEW, "{what} is going to disappear: tell users, and warn when it is used."),
    "no deprecated": (DOCS, "{what} is no longer announced to disappear."),
}
_REQUEST: Final[Mapping[str, Verdict]] = {
    "added": (FEATURE, "{what} can be given; code that leaves it out goes on as before."),
    "added required": (
        BREAKING,
        "{what} must be given: installed versions are refused, new ones check before sending.",
    ),
    "removed": (BREAKING, "Calls that give {what} are refused or no longer heeded."),
    "required": (BREAKING, "Calls that leave {what} out are refused."),
    "optional": (FEATURE, "{what} may be left out."),
    "forbidden": (BREAKING, "Calls that send {what} are refused."),
    "default": (REVIEW, "Calls that leave {what} out may give another result."),
    "readOnly": (BREAKING, "{what} may no longer be sent."),
    "no readOnly": (FEATURE, "{what} may be sent now."),
    "writeOnly": (DOCS, "{what} is never sent back; requests go on as before."),
    "no writeOnly": (DOCS, "{what} may be sent back; requests go on as before."),
}
_REQUEST_EFFECTS: Final[Mapping[Effect, Verdict]] = {
    Effect.NARROWER: (BREAKING, "{what} takes less than before ({told}): some calls are refused."),
    Effect.OTHER: (BREAKING, "{what} takes other values than before ({told}): calls are refused."),
    Effect.WIDER: (FEATURE, "{what} takes more than before ({told}); calls go on as before."),
    Effect.NOTE: (REVIEW, "What is said about {what} changes: look."),
}
_RESPONSE: Final[Mapping[str, Verdict]] = {
    "added": (FEATURE, "{what} is sent too; installed versions hand it on in the raw answer."),
    "added required": (
        FEATURE,
        "{what} is sent too; installed versions hand it on in the raw answer.",
    ),
    "removed": (REVIEW, "{what} is no longer sent: it reads as missing."),
    "required": (DOCS, "{what} is always sent now."),
    "optional": (FEATURE, "{what} may be missing; the facade takes that already."),
    "forbidden": (DOCS, "{what} is surely never sent."),
    "opened": (FEATURE, "{what} may be sent; it is handed on in the raw answer."),
    "closed": (FEATURE, "Which further fields {what} may have changes; all are handed on."),
    "null": (FEATURE, "{what} may be null; the facade takes that already."),
    "value": (REVIEW, "{what} may be {new}: it is handed on as text that is not yet in the types."),
    "bound": (DOCS, "The limits of {what} change; the facade does not check answers."),
    "default": (DOCS, "What a missing {what} means changes; the facade adds no defaults."),
    "readOnly": (DOCS, "{what} is now said to be for answers only, where it is read anyway."),
    "no readOnly": (DOCS, "{what} is no longer said to be for answers only."),
    "writeOnly": (REVIEW, "{what} is no longer sent: it reads as missing."),
    "no writeOnly": (FEATURE, "{what} is sent now."),
}
_RESPONSE_EFFECTS: Final[Mapping[Effect, Verdict]] = {
    Effect.NARROWER: (DOCS, "{what} promises more than before ({told}): nothing to do."),
    Effect.WIDER: (
        REVIEW,
        "{what} may be something new ({told}): it is handed on as sent, typed or not.",
    ),
    Effect.OTHER: (
        REVIEW,
        "{what} is something else than before ({told}): it is handed on as sent, typed or not.",
    ),
    Effect.NOTE: (REVIEW, "What is said about {what} changes: look."),
}
_LOST: Final = frozenset({"removed", "writeOnly"})


@dataclass(frozen=True, slots=True)
class Reads:
    """The places in answers that the facade reads; see the comments in `reads.toml`.

    Attributes:
        needs: Without these an answer is of no use.
        reads: These it goes by when they are there.
        as_sent: Of these it takes any shape.
    """

    needs: frozenset[str]
    reads: frozenset[str]
    as_sent: frozenset[str]


def load_reads(path: Path, rules: Rules) -> Reads:
    """Read `reads.toml` and find the sites of its models in the rules.

    Raises:
        StepError: The file is missing, not TOML, or names a model that the rules do not know.
    """
    with step("rules"):
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return Reads(**{name: _sites(places, rules) for name, places in data.items()})


def needs(path: Path) -> list[str]:
    """Return the fields without which an answer is of no use, as `reads.toml` has them.

    Raises:
        StepError: The file is missing or not TOML.
    """
    with step("rules"):
        listed: list[str] = tomllib.loads(path.read_text(encoding="utf-8"))["needs"]
        return listed


def _sites(places: list[str], rules: Rules) -> frozenset[str]:
    split = [place.partition(".") for place in places]
    return frozenset(
        f"{site}.{rest}" for name, _, rest in split for site in rules.models[name].sites
    )


class Judge:
    """Judges differences by the rules of one checkout."""

    def __init__(self, rules: Rules, reads: Reads) -> None:
        self._media = frozenset(rules.media.formats)
        self._reads = reads

    def sent(self, difference: Difference, root: Place, name: str) -> Change:
        """Judge a difference of what we send."""
        return _change(difference, root, name, "request", self._sent(difference))

    def received(self, difference: Difference, root: Place, name: str, *, error: bool) -> Change:
        """Judge a difference of what we receive; of an error answer, only its text is read."""
        place = site(name, _subject(difference))
        severity, words = self._received(difference, place)
        if error:
            severity = min(severity, REVIEW)
        return _change(difference, root, name, "response", (severity, words))

    def _sent(self, difference: Difference) -> Verdict:
        lost = self._media_format(difference.old) and not self._media_format(difference.new)
        if difference.kind == "format" and difference.effect is Effect.WIDER and lost:
            return (
                REVIEW,
                "{what} is no longer said to be an address: a local file is not uploaded.",
            )
        for table in (_REQUEST, _BOTH):
            if difference.kind in table:
                return table[difference.kind]
        return _REQUEST_EFFECTS[difference.effect]

    def _media_format(self, said: Any) -> bool:
        listed = said if isinstance(said, list) else [said]
        return any(isinstance(name, str) and name in self._media for name in listed)

    def _received(self, difference: Difference, place: str) -> Verdict:
        verdict = _plain_answer(difference)
        needed, read = place in self._reads.needs, place in self._reads.reads
        if not (needed or read) or verdict[0] <= DOCS:
            return self._status(difference, place) or verdict
        if difference.kind in _LOST or self._retyped(difference, place):
            return BREAKING, "{what}, which the facade reads, is gone or something else: {told}."
        if needed and (difference.effect is Effect.WIDER):
            return BREAKING, "{what} is not always there or not always readable: {told}."
        if difference.kind == "optional":
            return REVIEW, "{what} may be missing: look what the facade makes of that."
        return verdict

    def _retyped(self, difference: Difference, place: str) -> bool:
        retyped = difference.kind == "type" and difference.effect is Effect.OTHER
        return retyped and place not in self._reads.as_sent

    def _status(self, difference: Difference, place: str) -> Verdict | None:
        if difference.kind == "value" and place in self._reads.reads:
            return REVIEW, "{what} is no longer {old}: look whether anything waits for it."
        return None


def _plain_answer(difference: Difference) -> Verdict:
    shrunk = difference.effect is Effect.NARROWER and difference.kind in {"null", "value", "closed"}
    if not shrunk:
        for table in (_RESPONSE, _BOTH):
            if difference.kind in table:
                return table[difference.kind]
    return _RESPONSE_EFFECTS[difference.effect]


def _change(
    difference: Difference, root: Place, name: str, direction: Direction, verdict: Verdict
) -> Change:
    severity, words = verdict
    what = site(name, _subject(difference))
    told = f"{difference.place[-1]}: {brief(difference.old)} to {brief(difference.new)}"
    sentence = words.format(
        what=what, told=told, old=brief(difference.old), new=brief(difference.new)
    )
    place = pointer((*root, *difference.place))
    return Change(place, difference.old, difference.new, severity, direction, sentence)


def _subject(difference: Difference) -> Place:
    """Return the place of what a difference is about: of `required`, the property it names."""
    if difference.kind not in {"required", "optional"}:
        return difference.place
    name = difference.new if difference.old is None else difference.old
    return (*difference.place[:-1], "properties", str(name))


def site(root: str, place: Place) -> str:
    """Write a place below a schema as `rules.toml` does: `list_jobs.200.items[].job_id`."""
    result, rest = root, list(place)
    while rest:
        step_ = rest.pop(0)
        if step_ == "properties" and rest:
            result += f".{rest.pop(0)}"
        elif step_ in {"items", "additionalProperties"} and rest:
            result += "[]" if step_ == "items" else "{}"
        elif step_ in {"anyOf", "oneOf", "allOf"} and rest:
            rest.pop(0)
    return result


def brief(value: Any) -> str:
    """Write a value on one line, short enough for a sentence; nothing unprintable survives."""
    if value is None:
        return "nothing"
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - a line's room
