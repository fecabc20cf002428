"""How many jobs of ours an account runs at once: found out, since nobody says so.

Two answers tell: a submit is refused with 429, or a job of ours shows as backlogged. Either way the
limit is what runs of ours at that moment; others on the account only make it smaller. From there it
is probed upward by one, again at once while that succeeds.

- Where jobs are backlogged, probing costs nothing: one of ours is kept waiting there, so that a
  slot that falls free is taken before we know of it.
- Where submits are refused, probes are rare: a few job times apart, and rarer each time the limit
  turns out to be what it was. One that is accepted may only have taken the slot of a job of ours
  whose end we have not seen: it counts if as many are still in flight a look later.

This is arithmetic alone: the time is handed in, in seconds of any clock.
"""

from __future__ import annotations

import math
from typing import Final

from krea_aleph.models import BACKLOGGED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

MOST_AT_ONCE: Final = 1000
"""How many jobs of ours are in flight at most, on an account that sets no limit."""
_USUAL_JOB: Final = 170.0
_SHORTEST_JOB: Final = 0.01
# Of so many ends of ours while a probe is judged it cannot be told which came before it.
_OFTEN: Final = 0.5
# In job times: the first pause after a refusal, and the longest. A limit that has risen is found
# within the longest, and with three slots it costs less than 2 % of the submits.
_FIRST_PAUSE: Final = 6.0
_LONGEST_PAUSE: Final = 19.0
_SOON: Final = 2.0  # the pause after a probe that has told nothing
# In seconds: the same where nothing of ours runs, so that there is nothing to go by.
_LONGEST_BLIND_PAUSE: Final = 60.0
_MOST_DOUBLINGS: Final = 10
# While nothing is known to stop us, submits go out side by side, one for each so many that run.
_RUNNING_FOR_ONE_MORE: Final = 8
_MOST_ABREAST: Final = 8
_NEWEST: Final = 0.2  # how much the newest job counts in the average


class _Ours:
    """A job in flight, as far as is known.

    Attributes:
        since: When it began to run, as far as is known.
        backlogged: Whether it is waiting for a slot.
        presumed: Until when it is presumed to run although nobody has seen it; 0 for never.
    """

    __slots__ = ("backlogged", "presumed", "since")

    def __init__(self, since: float, *, backlogged: bool) -> None:
        self.since = since
        self.backlogged = backlogged
        self.presumed = 0.0


class LimitFinder:
    """What is known of one account's limit.

    Attributes:
        known: How many of ours may surely run at once.
        posting: How many submits are under way.
        closed_until: When the server may be asked again, if it has said so.
    """

    def __init__(self, *, look: float = 30.0, settle: float = 5.0) -> None:
        """Know nothing.

        Args:
            look: Seconds after which a job that has left the backlog has surely been seen to.
            settle: Seconds after which a job that has ended has most likely been seen to.
        """
        self.known = 0
        self.posting = 0
        self._look = look
        self._settle = settle
        self._jobs: dict[Hashable, _Ours] = {}
        self._waiting: dict[Hashable, _Ours] = {}
        self._job_seconds: float | None = None
        self.closed_until = -math.inf
        self._met = False  # whether a job of ours was ever backlogged
        # Of refusals: how many, when the last one was, what ran then, and how often that has not
        # changed or has been nothing.
        self._refusals = 0
        self._refused_at = -math.inf
        self._base = 0
        self._fails = 0
        self._blind = 0
        # Of probing after a refusal: by how much at a time, and when its result will be clear.
        self._step = 1
        self._clear_at: float | None = None
        self._ended = 0

    @property
    def in_flight(self) -> int:
        """How many jobs of ours have been accepted and have not been seen to end."""
        return len(self._jobs)

    def free(self, now: float) -> int:
        """Return how many submits may leave now."""
        self._conclude(now)
        if now < self.closed_until or self._backlogged(now):
            return 0
        count = len(self._jobs) + self.posting
        return max(0, min(self._reach(now), MOST_AT_ONCE) - count)

    def pause(self, now: float) -> float:
        """Return the seconds after which more may leave even if nothing happens meanwhile."""
        moments = (self.closed_until, self._probe_at, self._clear_at or now)
        return min((moment - now for moment in moments if moment > now), default=math.inf)

    def begin(self) -> int:
        """Take note of a submit that leaves; what is returned belongs to its outcome."""
        self.posting += 1
        return self._refusals

    def give_up(self) -> None:
        """Take note of a submit that has failed for another reason than the limit."""
        self.posting -= 1

    def accept(self, job: Hashable, status: str, now: float) -> None:
        """Take note of a submit that was accepted."""
        self.posting -= 1
        self._blind = 0
        self.adopt(job, status, now)
        if self._refusals and len(self._jobs) > self.known and self._clear_at is None:
            self._clear_at, self._ended = now + self._settle, 0

    def adopt(self, job: Hashable, status: str, now: float) -> None:
        """Take note of a job that was submitted before."""
        backlogged = status.lower() == BACKLOGGED
        self._jobs[job] = _Ours(now, backlogged=backlogged)
        if backlogged:
            self._waiting[job] = self._jobs[job]
        self._learn(now)

    def see(self, job: Hashable, status: str, now: float) -> None:
        """Take note of a job's status."""
        ours = self._jobs.get(job)
        backlogged = status.lower() == BACKLOGGED
        if ours is None or ours.backlogged == backlogged:
            return
        ours.backlogged, ours.presumed, ours.since = backlogged, 0.0, now
        if backlogged:
            self._waiting[job] = ours
        else:
            del self._waiting[job]
        self._learn(now)

    def end(self, job: Hashable, now: float) -> None:
        """Take note that a job takes no slot any more; the one that waits longest has it now."""
        ours = self._jobs.pop(job, None)
        if ours is None:
            return
        self._ended += 1
        if self._waiting.pop(job, None) is None:
            seconds = max(now - ours.since, 0.0)
            before = seconds if self._job_seconds is None else self._job_seconds
            self._job_seconds = before + _NEWEST * (seconds - before)
        for waiting in self._waiting.values():
            if waiting.presumed <= now:
                waiting.presumed = now + self._look
                break

    def refuse(self, begun: int, now: float, retry_after: float | None = None) -> None:
        """Take note of a 429.

        Args:
            begun: What `begin` returned.
            now: The time.
            retry_after: Seconds that the server asks to be left alone.
        """
        self.posting -= 1
        running = len(self._jobs)
        self.known = min(self.known, running)
        self._step, self._clear_at = 1, None
        if retry_after:
            self.close(now + retry_after)
        if begun != self._refusals:
            return  # it left together with one that was refused before, and says nothing more
        self._refusals += 1
        self._fails = self._fails + 1 if running in {self._base, self._base + 1} else 0
        self._base = running
        self._refused_at = now
        self._blind = 0 if running else self._blind + 1

    def close(self, until: float) -> None:
        """Let nothing leave before a moment."""
        self.closed_until = max(self.closed_until, until)

    def _reach(self, now: float) -> int:
        """Return how many may be in flight now, those included that are being submitted."""
        if now < self._probe_at:
            return self.known
        abreast = max(1, min(_MOST_ABREAST, self.known // _RUNNING_FOR_ONE_MORE))
        if self._met and not self._refusals:
            return self.known + 1
        if not self._refusals:
            return self.known + abreast
        # One step at a time: what was accepted of it counts already, what comes next goes abreast.
        return min(self.known + self._step, max(self.known, len(self._jobs)) + abreast)

    @property
    def _probe_at(self) -> float:
        """When one more than is known may be tried."""
        return self._refused_at + self._pause

    @property
    def _pause(self) -> float:
        if self._blind:
            return min(2.0 ** min(self._blind - 1, _MOST_DOUBLINGS), _LONGEST_BLIND_PAUSE)
        doubled = _FIRST_PAUSE * 2.0 ** min(self._fails, _MOST_DOUBLINGS)
        return self._seconds * min(doubled, _LONGEST_PAUSE)

    @property
    def _seconds(self) -> float:
        """How long a job takes."""
        return max(self._job_seconds or _USUAL_JOB, _SHORTEST_JOB)

    def _conclude(self, now: float) -> None:
        """See what has become of a probe that was accepted."""
        if self._clear_at is None or now < self._clear_at:
            return
        self._clear_at = None
        usual = self.known * self._settle / self._seconds
        sure = not self._ended or usual > _OFTEN
        if sure and len(self._jobs) > self.known:
            self.known = len(self._jobs)
            self._step += 1
        else:  # some of ours may have ended before
            self._step = 1
            self._refused_at = now + _SOON * self._seconds - self._pause

    def _backlogged(self, now: float) -> int:
        return sum(ours.presumed <= now for ours in self._waiting.values())

    def _learn(self, now: float) -> None:
        running = len(self._jobs) - len(self._waiting)
        if self._backlogged(now):
            self.known, self._met = running, True
        elif not self._refusals:
            self.known = max(self.known, running)
