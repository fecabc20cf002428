"""What is known of a job that is waited for, and the waits that belong to one call."""

from __future__ import annotations

import math
from typing import Final

from krea_aleph._hooks import Ear
from krea_aleph.clocks import Ring
from krea_aleph.errors import (
    AuthenticationError,
    KreaError,
    NotFoundError,
    PermissionDeniedError,
    WaitTimeoutError,
)
from krea_aleph.models import AUTO, BACKLOGGED, Job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph._config import Config

# A look that ends like this will not end better the next time.
_HOPELESS: Final = (AuthenticationError, PermissionDeniedError, NotFoundError)
# A job that has just been accepted may not be readable everywhere yet.
_MISSING_LOOKS_FORGIVEN: Final = 3
# A job that is missing from the list so often is no longer looked for there.
_UNLISTED_FORGIVEN: Final = 1
INSTANT: Final = 0.001
"""Seconds that are too short for a clock to show."""
SHORTEST_LOOK: Final = 1.0
"""Seconds that the last look may take when no time is left for it."""


class Wait:
    """What is known of one job that is waited for, and when it is to be looked at again.

    Attributes:
        job: The newest snapshot.
        source: What brought it, as in `Update`.
        faults: How many looks have failed.
        fault: Why the last look failed, if it did.
        error: What ends the wait, where looking again is pointless.
        pause: Seconds from the last look to the next.
        due: The moment of the next look.
        created: When the job was created, in Unix seconds of the server, if that is known.
        told: Whether it is a delivery that asks for a look.
        ear: What is heard of deliveries.
        noted: What those who wait were woken for last; None if anything is news.
        shown: What they have shown last.
    """

    __slots__ = (
        "_age_before", "_begun", "_last", "_missing", "_party", "_past", "_running",
        "_timeout", "_unlisted", "created", "due", "ear", "error", "fault", "faults", "job",
        "noted", "pause", "shown", "source", "told",
    )  # fmt: skip

    def __init__(
        self, job: Job, wait_timeout: float | None, moment: float, today: float, party: Crowd
    ) -> None:
        self.job = job
        self.created = _created(job)
        self.source = "start"
        self.faults = 0
        self.fault: KreaError | None = None
        self.error: KreaError | None = None
        self.pause = 0.0
        self.due = moment
        self.told = False
        self.noted: tuple[Job, int] | None = (job, 0)
        self.shown: tuple[Job, int] | None = None
        self._party = party
        self.ear = Ear(party.config, job.id, party.config.board.call)
        self._missing = 0
        self._unlisted = 0
        self._past: tuple[str, ...] = ()
        self._timeout = wait_timeout
        self._begun = self._last = moment
        self._running = 0.0
        self._age_before = _age(job, today)

    def pass_time(self, moment: float) -> None:
        """Note that time has passed: while a job is backlogged it does not age."""
        if self.job.status.lower() != BACKLOGGED:
            self._running += moment - self._last
        self._last = moment

    @property
    def age(self) -> float:
        """Seconds since acceptance, not counting what it was seen backlogged."""
        return self._age_before + self._running

    @property
    def elapsed(self) -> float:
        """Seconds since the wait began."""
        return self._last - self._begun

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.left_at(self._last)

    def left_at(self, moment: float) -> float:
        """Return the seconds from a moment until the deadline."""
        if self._timeout is None:
            return math.inf
        still = self._timeout is AUTO and self.job.status.lower() == BACKLOGGED
        passed = self._running if self._timeout is AUTO else self.elapsed
        left = self._timeout - passed - (0.0 if still else moment - self._last)
        # Sums of floats: what is too short for a clock to show would be slept again and again.
        return left if left > INSTANT else 0.0

    @property
    def over(self) -> bool:
        """Whether nothing is to be waited for any more."""
        return self.job.finished or self.error is not None

    @property
    def listed(self) -> bool:
        """Whether it is to be looked for in the list."""
        return self.created is not None and self._unlisted <= _UNLISTED_FORGIVEN

    def overdue(self) -> WaitTimeoutError:
        """Return the error for a wait whose time is over."""
        error = WaitTimeoutError(self.job, self.elapsed)
        error.__cause__ = self.fault
        return error

    def saw(self, seen: Job, source: str) -> bool:
        """Take a new snapshot, and say whether the status has changed."""
        changed = seen.status != self.job.status
        if changed:
            self._past = (*self._past, self.job.status)
        self.job, self.fault, self.source = seen, None, source
        self.created = self.created or _created(seen)
        self._missing = 0
        return changed

    def missed(self, error: KreaError) -> bool:
        """Take a look that has failed, and say whether it is a missed look and nothing more."""
        if isinstance(error, _HOPELESS) and not self._may_appear(error):
            self.error = error
            return False
        self.fault = error
        self.faults += 1
        return True

    def is_old(self, status: str | None) -> bool:
        """Whether a status in a list says nothing that is not known: it is most often the same."""
        self._unlisted = 0
        if status == self.job.status:
            self.fault, self._missing = None, 0
            return True
        return status in self._past

    def not_listed(self) -> None:
        """Take note that it was not where it should have been in the list."""
        self._unlisted += 1

    def plan(self, config: Config, moment: float, chance: float, *, early: bool = False) -> None:
        """Choose the moment of the next look; one that came early does not bring it forward."""
        expecting = self.ear.expecting and self.fault is None
        pause = config.poll.pause(
            age=self.age, status=self.job.status, draw=chance, expecting=expecting
        )
        if self.fault is not None:
            pause = config.poll.after_fault(pause, getattr(self.fault, "retry_after", None))
        due = moment + max(0.0, min(pause, self.left))
        self.due = max(self.due, due) if early else due
        self.pause = self.due - moment

    def tell_party(self) -> None:
        """Wake those who wait, if there is something for them."""
        news = (self.job, self.faults)
        if news != self.noted or self.error is not None or self.left <= 0:
            self.noted = news
            self._party.note(self)

    def _may_appear(self, error: KreaError) -> bool:
        """Whether a job that was seen before, and is not found now, deserves another look."""
        self._missing += 1
        seen_before = bool(self.job.fetched_at)
        forgiven = self._missing <= _MISSING_LOOKS_FORGIVEN
        return isinstance(error, NotFoundError) and seen_before and forgiven


class Crowd:
    """The waits of one call: a party on the client's board. Close it to take it away.

    Attributes:
        config: Of the client.
        bell: What wakes the call.
        waits: Those that are not over.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.bell = Ring()
        self.waits: dict[str, Wait] = {}
        self._news: dict[str, Wait] = {}

    def add(self, job: Job, wait_timeout: float | None, moment: float, today: float) -> Wait:
        """Wait for one more job."""
        wait = self.waits[job.id] = Wait(job, wait_timeout, moment, today, self)
        return wait

    def note(self, wait: Wait) -> None:
        """Take note of news, and wake the call."""
        self._news[wait.job.id] = wait
        self.bell.ring()

    @property
    def has_news(self) -> bool:
        """Whether there is something for the call."""
        return bool(self._news)

    def take_news(self) -> list[Wait]:
        """Return the waits that there is something new of."""
        found = [self._news.pop(job_id) for job_id in list(self._news)]
        for wait in found:
            if wait.over or wait.left <= 0:
                self.drop(wait)
        return found

    def drop(self, wait: Wait) -> None:
        """Wait for a job no longer."""
        if self.waits.pop(wait.job.id, None) is not None:
            wait.ear.close()

    def patience(self, moment: float) -> float:
        """Return for how many seconds others may look for it: to its nearest deadline."""
        return min(wait.left_at(moment) for wait in self.waits.values()) + SHORTEST_LOOK

    def next_due(self) -> float:
        """Return the moment of its next look."""
        return min((wait.due for wait in self.waits.values()), default=math.inf)

    def expire(self, moment: float) -> None:
        """Take the waits whose time is over for news, though nobody has looked for them."""
        for wait in self.waits.values():
            if wait.left_at(moment - SHORTEST_LOOK) <= 0:
                wait.pass_time(moment)
                wait.tell_party()

    def close(self) -> None:
        """Wait no longer for anything."""
        for wait in list(self.waits.values()):
            self.drop(wait)
        self.config.board.leave(self)


def _created(job: Job) -> float | None:
    return None if job.created_at is None else job.created_at.timestamp()


def _age(job: Job, today: float) -> float:
    """Return the seconds since a job was accepted, for pacing only: clocks may differ."""
    if job.created_at is None or job.status.lower() == BACKLOGGED:
        return 0.0
    return max(0.0, today - job.created_at.timestamp())
