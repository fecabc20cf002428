"""The life of jobs, as a pure simulation: nothing ticks, time is handed in.

Every job runs through the statuses of its plan and ends at a moment that is known when it starts.
So the only events are ends: at each of them the next job leaves the backlog. `Jobs.advance` works
off those that are due, in order, whenever somebody looks.
"""

from __future__ import annotations

import heapq
import itertools
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

from krea_aleph.emulator.checks import Problem
from krea_aleph.emulator.paging import Places
from krea_aleph.emulator.values import JobRecord, Outcome
from krea_aleph.models import BACKLOGGED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STAGES: Final[Mapping[str, float]] = {
    "queued": 0.1,
    "scheduled": 0.05,
    "processing": 0.6,
    "sampling": 0.2,
    "intermediate-complete": 0.05,
}
"""The usual statuses of a running job, each with its share of the time."""


@define(eq=False)
class SimulatedJob:
    """One job. Times are Unix seconds, None where something has not happened."""

    operation: str
    body: Mapping[str, Any]
    webhook_url: str | None
    outcome: Outcome
    created: float
    seconds: float
    stages: Mapping[str, float]
    position: int = 0
    foreign: bool = False
    id: str = field(factory=lambda: str(uuid.uuid4()))
    started: float | None = None
    ended: float | None = None
    end: str | None = None
    outputs: tuple[str, ...] = ()
    note: str = ""

    def status(self, now: float) -> str:
        """Return the status at a moment for which the simulation has been advanced."""
        if self.end is not None:
            return self.end
        if self.started is None:
            return BACKLOGGED
        return self._stage((now - self.started) / self.seconds if self.seconds else 0.0)

    def may_have_ended(self, now: float) -> bool:
        """Say whether it can have ended by a moment, whatever the backlog did meanwhile."""
        since = self.created if self.started is None else self.started
        return self.end is None and since + self.seconds <= now

    def record(self, now: float) -> JobRecord:
        """Return what tests may know of it."""
        return JobRecord(
            id=self.id,
            status=self.status(now),
            operation=self.operation,
            body=self.body,
            webhook_url=self.webhook_url,
            created_at=self.created,
            started_at=self.started,
            ended_at=self.ended,
            foreign=self.foreign,
        )

    def _stage(self, share: float) -> str:
        """Return the status of a running job when this share of its time has passed."""
        whole = sum(self.stages.values())
        ends = itertools.accumulate(part / whole for part in self.stages.values())
        passed = (name for name, end in zip(self.stages, ends, strict=True) if share < end)
        return next(passed, [*self.stages][-1])


@frozen
class Change:
    """A job that has left the backlog or ended, and when."""

    job: SimulatedJob
    at: float


@define(eq=False)
class Jobs:
    """All jobs of one account.

    Attributes:
        concurrency: How many run at once; lowering it lets those that run go on.
        backlog: How many more may wait.
        credits: How many completed jobs the account can still pay for; None for any number.
    """

    concurrency: int
    backlog: int
    credits: float | None
    on_change: Callable[[Change], None] = lambda _: None
    all: dict[str, SimulatedJob] = field(factory=dict)
    _running: int = 0
    _waiting: deque[SimulatedJob] = field(factory=deque)
    _ends: list[tuple[float, int, SimulatedJob]] = field(factory=list)
    _order: itertools.count[int] = field(factory=itertools.count)
    _places: Places = field(factory=Places)

    def admit(self) -> None:
        """Check that one more job may be submitted now.

        Raises:
            Problem: 402 without credits, 429 with a full backlog.
        """
        if self.credits is not None and self.credits <= 0:
            raise Problem(
                402,
                "Insufficient balance. The API balance is separate from the workspace's compute "
                "balance: top it up before submitting more jobs.",
            )
        if self._running >= self.concurrency and len(self._waiting) >= self.backlog:
            raise Problem(429, "CONCURRENCY_LIMIT_REACHED: the maximum number of concurrent jobs")

    def add(self, job: SimulatedJob) -> None:
        """Accept a job: it starts now if a slot is free, else it waits."""
        job.position = self._places.take(job.created)
        self.all[job.id] = job
        self._waiting.append(job)
        self.fill(job.created)

    def fill(self, now: float) -> None:
        """Start waiting jobs while slots are free."""
        while self._waiting and self._running < self.concurrency:
            job = self._waiting.popleft()
            job.started = now
            self._running += 1
            heapq.heappush(self._ends, (now + job.seconds, next(self._order), job))
            if now > job.created:
                self.on_change(Change(job, now))

    def advance(self, now: float) -> None:
        """Let everything happen that is due by now, in order."""
        while (at := self.next_end()) is not None and at <= now:
            job = heapq.heappop(self._ends)[2]
            self._finish(job, job.outcome.status, at)

    def next_end(self) -> float | None:
        """Return when the next running job ends, as far as is known now."""
        while self._ends and self._ends[0][2].end is not None:
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else None

    def cancel(self, job: SimulatedJob, now: float) -> None:
        """End a job that has not ended."""
        if job.started is None:
            self._waiting.remove(job)
            self._running += 1  # given back by _finish
        self._finish(job, "cancelled", now)

    def remove(self, job: SimulatedJob) -> None:
        """Forget a job that has ended."""
        del self.all[job.id]

    def newest_first(self) -> list[SimulatedJob]:
        """Return all jobs in the order in which they are listed."""
        return list(reversed(self.all.values()))

    def _finish(self, job: SimulatedJob, end: str, at: float) -> None:
        job.end, job.ended = end, at
        self._running -= 1
        if end == "completed" and self.credits is not None:
            self.credits = max(self.credits - 1, 0)
        self.on_change(Change(job, at))
        self.fill(at)
