"""Who waits for jobs on one client: one of them looks for all, the others sleep until it is news.

There is no thread or task of our own that would have to be started and ended. Whoever waits and
finds nobody looking becomes the one who looks, for everybody; who has news of its own to hand out
steps down, and somebody else is woken to go on. One call of ``wait`` is a party of one.
"""

from __future__ import annotations

import math
import threading
from typing import Any, Final, Literal, Protocol, TypeAlias

from krea_aleph._plan import Crowding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from krea_aleph.clocks import Ring

_MOST_CREDIT: Final = 1000
# Of so many pages one is held against a single look: a list can be a copy that lags behind.
_CHECK_EVERY: Final = 8
# For how many seconds a list that was behind is not asked.
_DISTRUST: Final = 300.0


Role: TypeAlias = Literal["leader", "deputy", "other"]


class Party(Protocol):
    """Those who wait together: a single wait, or all of one call."""

    bell: Ring
    waits: dict[str, Any]


class Board:
    """The parties of one client, and which of them looks. Safe to use from any thread.

    Those who do not look rest until there is news for them. One of them is the deputy: it wakes
    when a look is long overdue, since the one who looks may hang in a request, and takes over.

    Attributes:
        lists: What is known of the account's list of jobs.
        pause_ends: The moment until which who looks is pausing; it has passed when there is none.
    """

    def __init__(self) -> None:
        self.lists = Lists()
        self.pause_ends = -math.inf
        self._lock = threading.Lock()
        self._parties: dict[Party, None] = {}
        self._resting: dict[Party, None] = {}
        self._leader: Party | None = None
        self._deputy: Party | None = None

    def join(self, party: Party, due: float) -> None:
        """Take a party in, of which something is due then; who looks will look for it, too."""
        with self._lock:
            self._parties[party] = None
            soon = due < self.pause_ends
        if soon:
            self.call()

    def leave(self, party: Party) -> None:
        """Let a party go."""
        with self._lock:
            self._parties.pop(party, None)
        self.get_up(party)
        self.step_down(party)

    @property
    def parties(self) -> Sequence[Party]:
        """Everybody who waits."""
        with self._lock:
            return list(self._parties)

    def role(self, party: Party) -> Role:
        """Say what a party has to do now: look, rest as the deputy, or just rest."""
        with self._lock:
            self._leader = self._leader or party
            if self._leader is party:
                return "leader"
            self._resting[party] = None
            self._deputy = self._deputy or party
            return "deputy" if self._deputy is party else "other"

    def leads(self, party: Party) -> bool:
        """Whether it is still this party that looks."""
        return self._leader is party

    def get_up(self, party: Party) -> None:
        """Rest no longer."""
        with self._lock:
            self._resting.pop(party, None)
            if self._deputy is party:
                self._deputy = None

    def take_over(self, party: Party) -> None:
        """Look in the place of whoever does not get on."""
        with self._lock:
            self._leader = party

    def step_down(self, party: Party) -> None:
        """Look for others no longer."""
        with self._lock:
            if self._leader is party:
                self._leader = None
        self.appoint()

    def appoint(self) -> None:
        """Wake somebody to look, or to be the deputy, if nobody is."""
        with self._lock:
            if (self._leader is not None and self._deputy is not None) or not self._resting:
                return
            chosen = next(iter(self._resting))
            del self._resting[chosen]
            if self._deputy is chosen:
                self._deputy = None
        chosen.bell.ring()

    def call(self) -> None:
        """Wake who looks: there is something that cannot wait for the next look."""
        with self._lock:
            leader = self._leader
        if leader is not None:
            leader.bell.ring()


class Lists:
    """What looks have taught about the account's list of jobs.

    Attributes:
        crowding: How full it is of other jobs.
        credit: How many requests its pages have saved so far.
        refused: Whether Krea does not let us have it: then it is never asked again.
        learned: Whether there was a page yet.
    """

    def __init__(self) -> None:
        self.crowding = Crowding()
        self.credit = 0
        self.refused = False
        self._pages = 0
        self.learned = False
        self._behind_until = -math.inf

    @property
    def known(self) -> tuple[Crowding, int]:
        """What a plan goes by: the crowding and the credit."""
        return self.crowding, self.credit

    def usable(self, moment: float) -> bool:
        """Whether pages may be asked for."""
        return not self.refused and moment >= self._behind_until

    def learn(self, *, rows: int, ours: int, seconds: float, answered: int) -> None:
        """Take note of a page.

        Args:
            rows: How many jobs were on it.
            ours: How many of them somebody waits for.
            seconds: How long before its first job its last one was created.
            answered: For how many jobs that were due it has answered.
        """
        rate, share = (rows - ours) / max(seconds, 1.0), rows / max(ours, 1)
        if self.learned:
            rate, share = (rate + self.crowding.rate) / 2, (share + self.crowding.share) / 2
        self.crowding = Crowding(rate, share)
        self.learned = True
        self._pages += 1
        self.spend(1 - answered)

    def spend(self, requests: int) -> None:
        """Take note of requests that asking one by one would not have needed."""
        self.credit = min(self.credit - requests, _MOST_CREDIT)

    def want_check(self) -> bool:
        """Whether the list is to be held against a single look now."""
        return self.credit > 1 and self._pages % _CHECK_EVERY == 1

    def distrust(self, moment: float) -> None:
        """Take note that the list was behind what a single look showed."""
        self._behind_until = moment + _DISTRUST
