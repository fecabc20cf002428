"""What the page shows, as JSON: bounded, whatever has happened, and its texts are harmless."""

from __future__ import annotations

import heapq
import secrets
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit

from krea_aleph.clocks import RealClock
from krea_aleph.emulator import library
from krea_aleph.emulator.blobs import SeededBlob
from krea_aleph.emulator.face.presets import words_of
from krea_aleph.emulator.studio import Order
from krea_aleph.models import TERMINAL
from krea_aleph.pages._escape import readable

if TYPE_CHECKING:
    from krea_aleph.emulator.app import App
    from krea_aleph.emulator.jobs import SimulatedJob
    from krea_aleph.emulator.values import RequestRecord

FILES: Final = "/_emulator/files/"
"""Where the page finds files: looking at them is no download of the emulator's."""

_MOST_JOBS: Final = 40
_MOST_REQUESTS: Final = 100
_LONGEST: Final = 300


class State:
    """What one emulator looks like from outside."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._life = secrets.token_hex(8)

    def about(self) -> dict[str, Any]:
        """Return what never changes."""
        submits = next((op.path for op in self._app.contract.operations if op.submits), "")
        return {"base_url": self._app.base_url, "submit": submits}

    def now(self) -> dict[str, Any]:
        """Return how everything stands; nothing that is still to be rendered is waited for."""
        service = self._app.service
        now = service.glance()
        return {
            "now": now,
            "life": self._life,
            "virtual": not isinstance(service.clock(), RealClock),
            "key": next(iter(service.accounts)),
            "accepted": service.accepted,
            "jobs": self._jobs(now),
            "requests": self._requests(),
            "faults": self._faults(),
            "quirks": list(service.switches),
        }

    def _jobs(self, now: float) -> list[dict[str, Any]]:
        """Return the newest jobs of all accounts, newest first."""
        service = self._app.service
        with service.lock:
            newest = [
                islice(reversed(account.jobs.all.values()), _MOST_JOBS)
                for account in service.accounts.values()
            ]
            merged = heapq.merge(*newest, key=lambda job: -job.created)
            return [self._job(job, now) for job in islice(merged, _MOST_JOBS)]

    def _job(self, job: SimulatedJob, now: float) -> dict[str, Any]:
        order, status = Order.of(job.body), job.status(now)
        begun = job.created if job.started is None else job.started
        share = 1.0 if job.end else min(0.99, (now - begun) / job.seconds if job.seconds else 0.0)
        error = job.outcome.error or {}
        reason = ": ".join(error.values()) or job.outcome.result_error or ""
        return {
            "id": job.id,
            "status": _shown(status),
            "finished": status in TERMINAL,
            "share": 0.0 if job.started is None else round(max(0.0, share), 3),
            "prompt": "somebody else's job" if job.foreign else _shown(order.prompt),
            "input": _input_name(order.video),
            "before": self._playable(order.video),
            "after": [self._address(name) for name in job.outputs if self._plays(name)],
            "reason": _shown(reason) if job.end == "failed" else "",
            "note": job.note if job.outputs else "",
            "created": job.created,
            "ended": job.ended,
        }

    def _playable(self, url: str) -> str | None:
        """Return where the page finds an input; what is elsewhere it must not ask for."""
        path = unquote(urlsplit(url).path) if url.startswith(("http:", "https:")) else ""
        name = path.removeprefix(library.FILES)
        return self._address(name) if path != name and self._plays(name) else None

    def _plays(self, name: str) -> bool:
        blob = self._app.service.library.files.get(name)
        if blob is None or isinstance(blob, SeededBlob):
            return False
        return blob.media_type.startswith("video/")

    @staticmethod
    def _address(name: str) -> str:
        return f"{FILES}{quote(name)}"

    def _requests(self) -> list[dict[str, Any]]:
        """Return the newest requests, newest first, each with a number of its own."""
        records = self._app.records
        newest = islice(reversed(records), _MOST_REQUESTS)
        return [self._request(number, record) for number, record in enumerate(newest)]

    def _request(self, back: int, record: RequestRecord) -> dict[str, Any]:
        return {
            "number": self._app.recorded - back,
            "at": record.at,
            "method": _shown(record.method),
            "path": _shown(record.path),
            "operation": _shown(record.operation),
            "status": record.status,
            "fault": None if record.fault is None else words_of(record.fault),
        }

    def _faults(self) -> list[dict[str, Any]]:
        return [
            {
                "number": number,
                "operation": fault.operation,
                "words": _shown(words_of(fault)),
                "hits": hits,
                "times": fault.times,
                "every": fault.every,
            }
            for number, fault, hits in self._app.faults.standing()
        ]


def _input_name(url: str) -> str:
    """Return what people call an input."""
    if url.startswith("data:"):
        return "a data URI"
    if library.FILES in url:
        return _shown(unquote(url.rpartition("/")[2]))
    return _shown(url)


def _shown(text: str) -> str:
    """Return text that is not too long, and whose order is what it looks like."""
    return readable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
