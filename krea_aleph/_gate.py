"""The gate that every submit of a batch passes: one for each account in a process.

It lets as many through as the account takes, in the order of their coming, and it is told what
became of each. Batches of one account that run at the same time share what they have learnt.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import Final, Literal, TypeAlias
from weakref import WeakValueDictionary

from krea_aleph._limits import LimitFinder
from krea_aleph.clocks import RealClock, Ring
from krea_aleph.models import BACKLOGGED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable

    from krea_aleph._config import Config
    from krea_aleph.models import Job

_FIRST_CREDIT_PAUSE: Final = 60.0
_LONGEST_CREDIT_PAUSE: Final = 600.0
# Pauses are random around their middle; in so many of them a change has surely been seen.
_PAUSES: Final = 2.0

Phase: TypeAlias = Literal["outside", "waiting", "posting", "in flight"]


class Share:
    """What one batch has of a gate.

    Attributes:
        most: How many jobs it may have in flight.
        count: How many it has, those included that it is submitting.
    """

    __slots__ = ("count", "most")

    def __init__(self, most: int | None) -> None:
        self.most = math.inf if most is None else most
        self.count = 0


class Ticket:
    """What one item has of a gate.

    Attributes:
        share: Of its batch.
        bell: Rings when it may be worth trying again.
        phase: How far it has come.
    """

    __slots__ = ("begun", "bell", "phase", "share")

    def __init__(self, share: Share) -> None:
        self.share = share
        self.bell = Ring()
        self.phase: Phase = "outside"
        self.begun = 0


class Gate:
    """Lets submits through. Any number of threads may use it; times are the clock's."""

    def __init__(self, config: Config) -> None:
        poll = config.poll
        look = poll.pause(age=0.0, status=BACKLOGGED, draw=1.0) * _PAUSES
        settle = poll.pause(age=poll.sparse_until, status="processing", draw=1.0) * _PAUSES
        self._finder = LimitFinder(look=look, settle=settle)
        self._lock = threading.Lock()
        self._waiting: OrderedDict[Ticket, None] = OrderedDict()
        self._credit_pause = 0.0

    def room(self, now: float) -> int:
        """Return how many more could be let through now than are waiting for it."""
        with self._lock:
            return max(0, self._finder.free(now) - len(self._waiting))

    def enter(self, ticket: Ticket) -> None:
        """Wait for being let through."""
        with self._lock:
            ticket.phase = "waiting"
            self._waiting[ticket] = None

    def passes(self, ticket: Ticket, now: float) -> float | None:
        """Let a ticket through, if it is its turn and there is room.

        Returns:
            None if it is through; else the seconds after which it is worth trying again even if
            its bell does not ring.
        """
        with self._lock:
            if self._finder.free(now) <= 0:
                return self._finder.pause(now)
            if ticket is not self._next() or (self._credit_pause and self._finder.posting):
                return math.inf
            del self._waiting[ticket]
            ticket.phase = "posting"
            ticket.begun = self._finder.begin()
            ticket.share.count += 1
        self._ring()
        return None

    def accept(self, ticket: Ticket, job: Job, now: float) -> None:
        """Take note of the job that a submit has become, or that an item has had before."""
        with self._lock:
            if ticket.phase == "posting":
                self._finder.accept(ticket, job.status, now)
                self._credit_pause = 0.0
            else:
                self._finder.adopt(ticket, job.status, now)
                ticket.share.count += 1
            ticket.phase = "in flight"
        self._ring()

    def see(self, ticket: Ticket, job: Job, now: float) -> None:
        """Take note of how a job is doing; one that has ended leaves its slot."""
        if job.finished:
            self.leave(ticket, now)
            return
        with self._lock:
            self._finder.see(ticket, job.status, now)
        self._ring()

    def refuse(self, ticket: Ticket, now: float, retry_after: float | None) -> None:
        """Take note of a 429; the ticket is outside again."""
        with self._lock:
            self._finder.refuse(ticket.begun, now, retry_after)
            self._put_outside(ticket)
        self._ring()

    def close(self, now: float, seconds: float) -> None:
        """Let nobody through for some time."""
        with self._lock:
            self._finder.close(now + seconds)

    def closed_for(self, now: float) -> float:
        """Return the seconds for which nobody is let through."""
        with self._lock:
            return max(0.0, self._finder.closed_until - now)

    def no_credit(self, now: float) -> bool:
        """Take note that nothing can be paid, and let one try now and then.

        Returns:
            Whether that is news.
        """
        with self._lock:
            news = not self._credit_pause
            doubled = min(self._credit_pause * 2.0, _LONGEST_CREDIT_PAUSE)
            self._credit_pause = doubled or _FIRST_CREDIT_PAUSE
            self._finder.close(now + self._credit_pause)
            return news

    def leave(self, ticket: Ticket, now: float) -> None:
        """Take note that a ticket needs nothing more, however far it had come."""
        with self._lock:
            if ticket.phase == "waiting":
                del self._waiting[ticket]
            elif ticket.phase == "posting":
                self._finder.give_up()
            elif ticket.phase == "in flight":
                self._finder.end(ticket, now)
            self._put_outside(ticket)
        self._ring()

    def _put_outside(self, ticket: Ticket) -> None:
        if ticket.phase in {"posting", "in flight"}:
            ticket.share.count -= 1
        ticket.phase = "outside"

    def _next(self) -> Ticket | None:
        """Return the first that waits and whose batch has not all that it may have."""
        under = (ticket for ticket in self._waiting if ticket.share.count < ticket.share.most)
        return next(under, None)

    def _ring(self) -> None:
        with self._lock:
            ticket = self._next()
        if ticket is not None:
            ticket.bell.ring()


_GATES: Final[WeakValueDictionary[Hashable, Gate]] = WeakValueDictionary()
_GUARD: Final = threading.Lock()


def gate_of(config: Config) -> Gate:
    """Return the gate of a client's account, the one that others use at this moment if any do."""
    clock = 0 if isinstance(config.clock, RealClock) else id(config.clock)
    key = (config.base_url, config.account, clock)
    with _GUARD:
        gate = _GATES.get(key)
        if gate is None:
            gate = _GATES[key] = Gate(config)
        return gate
