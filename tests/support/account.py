"""A simulated account, answered from by transcript: jobs that end, a list, and its weaknesses."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from krea_aleph import Job
from krea_aleph._steps import Request, Response

DAY: Final = 1_800_000_000.0
"""The wall clock's time when a stage's begins, in Unix seconds."""


def stamp(seconds: float) -> str:
    """Return a time as Krea writes it: to the millisecond."""
    moment = datetime.fromtimestamp(DAY + seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Simulated:
    """One job: when it was made and when it ends, in seconds from the beginning."""

    id: str
    created: float
    ends: float
    status: str = "completed"

    def row(self, now: float) -> dict[str, Any]:
        """Return what there is to be seen of it."""
        row: dict[str, Any] = {"job_id": self.id, "created_at": stamp(self.created)}
        if now < self.ends:
            return {**row, "status": "queued" if now < self.created + 1 else "processing"}
        if self.status == "completed":
            row["result"] = {"urls": [f"https://gen.example/{self.id}.mp4"]}
        return {**row, "status": self.status}

    def job(self) -> Job:
        """Return it as it was accepted."""
        created = datetime.fromisoformat(stamp(self.created))
        return Job(self.id, "queued", created_at=created, fetched_at=DAY + self.created)


@dataclass
class Account:
    """Answers requests about jobs.

    Attributes:
        jobs: All of them, ours and others'.
        lag: By how many seconds the list is older than single looks.
        unlisted: The ids that the list does not show.
        refusal: What the list is answered with instead, if anything.
        seen: When each job was first seen to have ended by somebody who asked.
        asked: How many requests there were, by operation.
    """

    jobs: list[Simulated]
    lag: float = 0.0
    unlisted: frozenset[str] = frozenset()
    refusal: Response | None = None
    seen: dict[str, float] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_id = {job.id: job for job in self.jobs}
        self._listed = sorted(self.jobs, key=lambda job: job.created)
        self._times = [job.created for job in self._listed]
        self._places = [stamp(job.created) for job in self._listed]

    @property
    def requests(self) -> int:
        """How many there were."""
        return sum(self.asked.values())

    def __call__(self, stage: Any, request: Request) -> Response:
        """Answer a request."""
        self.asked[request.operation] = self.asked.get(request.operation, 0) + 1
        if request.operation == "list_jobs":
            return self.refusal or self._page(request.params, stage.elapsed)
        job = self._by_id.get(request.path.rpartition("/")[2])
        if job is None:
            return Response(404, {}, b'{"error": "no such job"}')
        return self._answer(job.row(stage.elapsed), stage.elapsed, [job])

    def _page(self, params: Any, now: float) -> Response:
        stop = bisect_right(self._times, now - self.lag)
        if "cursor" in params:
            stop = min(stop, bisect_left(self._places, str(params["cursor"])))
        newest_first = (self._listed[place] for place in range(stop - 1, -1, -1))
        there = (job for job in newest_first if job.id not in self.unlisted)
        page = list(islice(there, int(params["limit"])))
        rows = [job.row(now - self.lag) for job in page]
        cursor = None if next(there, None) is None else rows[-1]["created_at"]
        return self._answer({"items": rows, "next_cursor": cursor}, now - self.lag, page)

    def _answer(self, body: Any, now: float, jobs: list[Simulated]) -> Response:
        for job in jobs:
            if now >= job.ends:
                self.seen.setdefault(job.id, now)
        return Response(200, {}, json.dumps(body).encode())
