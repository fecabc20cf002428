"""What all parts of one running batch share: what is under way, what is ready, whether to go on.

The operation that the caller drives takes items in and gives outcomes out; beside it one operation
for each item does the work. They meet here, from whichever threads, and ring for each other.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from krea_aleph._gate import Gate, Share, Ticket, gate_of
from krea_aleph._items import Wish, folder_of, read_item
from krea_aleph.clocks import Ring
from krea_aleph.errors import (
    IntentConflictError,
    InvalidRequestError,
    KreaError,
    TooManyFailuresError,
)
from krea_aleph.outcomes import Failed, Succeeded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph._config import Config
    from krea_aleph.models import Exists, Job, Place, Saved

NoCredit: TypeAlias = Literal["stop", "pause"]
Stage: TypeAlias = Literal["preparing", "in flight", "saving"]

# How many items are uploaded and ready while every slot is taken.
AHEAD: Final = 2
_MOST_PREPARING: Final = 10
_MOST_SAVING: Final = 16
_UNDER_WAY: Final = frozenset({"posting", "in flight"})
# With ``ordered``, how far intake may be ahead of what has been yielded.
WINDOW: Final = 1000
# How many items are remembered to tell duplicates by.
REMEMBERED: Final = 4096


class Options(NamedTuple):
    """What the caller has asked for; `_batch.options_of` checks it."""

    output_dir: Place
    max_inflight: int | None
    max_submits: int | None
    stop_after_failures: int | None
    retry_failed: bool
    ordered: bool
    no_credit: NoCredit
    exists: Exists
    delete_uploads: bool
    wait_timeout: float | None


@dataclass(eq=False, slots=True)
class Leader:
    """The first item of an intent, and what has become of it, for others with the same request.

    Attributes:
        identity: What it asked for.
        fields: Digests of its fields, as far as they can be told without looking at files.
        place: Where its result goes.
        fingerprint: Of its request, contents of files included; empty if nobody has looked.
        over: Whether it has ended.
        job: Its job, when it has succeeded.
        saved: Its files, likewise.
        error: Why it has failed.
        followers: Those that wait for its end.
    """

    identity: str
    fields: Mapping[str, str]
    place: str
    fingerprint: str = ""
    over: bool = False
    job: Job | None = None
    saved: Saved | None = None
    error: KreaError | None = None
    followers: list[Entry] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Entry:
    """One item under way.

    Attributes:
        wish: The item.
        ticket: Its ticket for the gate.
        leader: Of its intent.
        leads: Whether it is the leader itself.
        job: Its job, as it was seen last.
        intent: What the attempt that counts is journalled under.
        stage: How far it has come.
        moment: When that was looked at last, by the monotonic clock.
        allowed: Whether ``before_submit`` was asked.
        posted: Whether the request that pays was made.
    """

    wish: Wish
    ticket: Ticket
    leader: Leader
    leads: bool
    job: Job | None = None
    intent: str = ""
    stage: Stage = "preparing"
    moment: float = 0.0
    allowed: bool = False
    posted: bool = False


class Run:
    """One running batch.

    Attributes:
        config: The client's, with the batch's store.
        options: What the caller has asked for.
        folder: Where results go.
        gate: The account's.
        bell: Rings when there is news for the caller's operation.
        over: Whether nothing more is submitted.
        ending: What the batch ends with once everything in flight is through.
    """

    def __init__(self, config: Config, options: Options) -> None:
        self.config = config
        self.options = options
        self.folder = folder_of(options.output_dir, config)
        self.gate: Gate = gate_of(config)
        self.bell = Ring()
        self.over = False
        self.ending: BaseException | None = None
        self._share = Share(options.max_inflight)
        self._lock = threading.RLock()
        self._entries: set[Entry] = set()
        self._stages: dict[Stage, int] = {"preparing": 0, "in flight": 0, "saving": 0}
        self._deferred = 0
        self._released: deque[Entry] = deque()
        self._outcomes: dict[int, Succeeded | Failed | None] = {}
        self._yielded = 0
        self._failures = 0
        self._reserved = self._paid = 0
        self._leaders: OrderedDict[str, Leader] = OrderedDict()
        self._places: OrderedDict[str, str] = OrderedDict()

    # Taking in

    def has_room(self, taken: int, now: float) -> bool:
        """Whether another item may be taken in.

        Args:
            taken: How many have been.
            now: The time.
        """
        free = min(self.gate.room(now), self._share.most - self._share.count)
        with self._lock:
            preparing = self._stages["preparing"] + self._deferred
            return (
                preparing < min(AHEAD + max(free, 0), _MOST_PREPARING)
                and self._stages["saving"] < _MOST_SAVING
                and not (self.options.ordered and taken - self._yielded >= WINDOW)
            )

    def take(self, index: int, row: Any) -> Entry | None:
        """Judge a row, and return what is to be done for it now, if anything. This blocks."""
        try:
            return self._judged(read_item(self.config, index, row))
        except KreaError as error:
            self._put(index, Failed(index, row, None, error))
            return None

    def _judged(self, wish: Wish) -> Entry | None:
        with self._lock:
            leader = self._leaders.get(wish.intent)
            fields = wish.draft.digests()
            if leader is not None and leader.identity != wish.identity:
                raise IntentConflictError(wish.intent, _differing(leader.fields, fields))
            if self._places.get(wish.place, wish.intent) != wish.intent:
                problem = f"{wish.place!r} is the output of an earlier item of this batch"
                raise InvalidRequestError("output", problem)
            leads = leader is None
            leader = leader or Leader(wish.identity, fields, wish.place)
            _remember(self._leaders, wish.intent, leader)
            _remember(self._places, wish.place, wish.intent)
            entry = Entry(wish, Ticket(self._share), leader, leads)
            if not leads and not leader.over:
                leader.followers.append(entry)
                self._deferred += 1
                return None
            return self._begun(entry)

    def released(self) -> Entry | None:
        """Return an item whose leader has ended, if there is one."""
        with self._lock:
            if not self._released:
                return None
            self._deferred -= 1
            return self._begun(self._released.popleft())

    def _begun(self, entry: Entry) -> Entry:
        self._entries.add(entry)
        self._stages["preparing"] += 1
        return entry

    # Going on

    def move(self, entry: Entry, stage: Stage) -> None:
        """Take note of how far an item has come."""
        with self._lock:
            self._stages[entry.stage] -= 1
            self._stages[stage] += 1
            entry.stage = stage
        self.bell.ring()

    def reserve(self) -> bool:
        """Take one of the submits that are left, if one is."""
        most = self.options.max_submits
        with self._lock:
            if most is not None and self._reserved >= most:
                return False
            self._reserved += 1
            return True

    @property
    def all_reserved(self) -> bool:
        """Whether no submit is left, for now."""
        most = self.options.max_submits
        return most is not None and self._reserved >= most

    def settle(self, *, paid: bool) -> None:
        """Say whether a submit that was reserved has perhaps been paid."""
        with self._lock:
            if paid:
                self._paid += 1
            else:
                self._reserved -= 1
            enough = self._paid == self.options.max_submits
        if enough:
            self.halt(None)
        elif self.options.max_submits is not None:
            self._ring_all()

    def halt(self, ending: BaseException | None) -> None:
        """Submit nothing more, and end with an error, if there is one, when all is through."""
        with self._lock:
            self.over = True
            if self.ending is None:
                self.ending = ending
        self._ring_all()
        self.bell.ring()

    def end(self, ending: BaseException) -> None:
        """End with an error when everything that was taken in is through."""
        with self._lock:
            if self.ending is None:
                self.ending = ending

    def _ring_all(self) -> None:
        with self._lock:
            entries = list(self._entries)
        for entry in entries:
            entry.ticket.bell.ring()

    # Giving out

    def finish(self, entry: Entry, outcome: Succeeded | Failed | None) -> None:
        """Take note of what has become of an item; None for nothing that anybody needs to know."""
        self.gate.leave(entry.ticket, entry.moment)
        with self._lock:
            self._entries.discard(entry)
            self._stages[entry.stage] -= 1
            if entry.leads:
                _note(entry.leader, outcome)
                self._released.extend(entry.leader.followers)
                entry.leader.followers.clear()
        self._put(entry.wish.index, outcome)

    def _put(self, index: int, outcome: Succeeded | Failed | None) -> None:
        with self._lock:
            self._outcomes[index] = outcome
            self._failures += isinstance(outcome, Failed)
            failures, most = self._failures, self.options.stop_after_failures
        if isinstance(outcome, Failed) and most is not None and failures == most:
            ending = TooManyFailuresError(failures)
            ending.__cause__ = outcome.error
            self.halt(ending)
        self.bell.ring()

    def next_outcome(self) -> Succeeded | Failed | None:
        """Return an outcome that is ready to be yielded, if there is one."""
        with self._lock:
            while self._outcomes:
                index = self._yielded if self.options.ordered else next(iter(self._outcomes))
                if index not in self._outcomes:
                    return None
                self._yielded += 1
                outcome = self._outcomes.pop(index)
                if outcome is not None:
                    return outcome
            return None

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nothing is left to be yielded."""
        with self._lock:
            return not (self._entries or self._deferred or self._outcomes)

    @property
    def in_flight(self) -> list[Entry]:
        """The items whose jobs run or are being submitted, as far as is known."""
        with self._lock:
            return [entry for entry in self._entries if entry.ticket.phase in _UNDER_WAY]


def _note(leader: Leader, outcome: Succeeded | Failed | None) -> None:
    leader.over = True
    if isinstance(outcome, Succeeded):
        # Many are remembered: what the server said of each in full is too much.
        leader.job = None if outcome.job is None else replace(outcome.job, raw={})
        leader.saved = outcome.saved and replace(outcome.saved, job=leader.job)
    elif outcome is not None:
        leader.error = outcome.error


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> tuple[str, ...]:
    names = sorted(one.keys() | other.keys())
    return tuple(name for name in names if one.get(name) != other.get(name)) or ("video",)


def _remember(memory: OrderedDict[str, Any], key: str, value: Any) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)
