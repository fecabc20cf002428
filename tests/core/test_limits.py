"""The limit finder against simulated accounts: slots, a backlog, others, and looks that lag."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krea_aleph._limits import MOST_AT_ONCE, LimitFinder

JOB = 3.0
LAG = 0.1
BIG = 10_000


@dataclass
class Account:
    """An account whose limit nobody tells, and a batch that has more to submit than it takes.

    Attributes:
        limit: How many jobs run at once.
        backlog: How many more may wait.
        others: How many slots somebody else has.
        lag: What ends or leaves the backlog is seen so many seconds later at most.
        post: How long a submit takes.
        job: How long a job runs.
    """

    limit: int = 8
    backlog: int = 0
    others: int = 0
    lag: float = LAG
    post: float = 0.0
    job: float = JOB
    seed: int = 1
    now: float = 0.0
    running: int = 0
    submitted: int = 0
    refused: int = 0
    ended: int = 0
    most_waiting: int = 0
    busy: float = 0.0
    whole: float = 0.0
    waiting: deque[int] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Begin with nothing known."""
        self._dice = random.Random(self.seed)  # noqa: S311 - a test's dice
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.finder = LimitFinder(look=10 * self.lag, settle=self.lag)

    def at(self, moment: float, happen: Callable[[], None]) -> None:
        """Let something happen."""
        heapq.heappush(self._events, (moment, next(self._order), happen))

    def change(self, limit: int) -> None:
        """Change the limit; what runs goes on."""
        self.limit = limit
        self._fill()

    def run(self, until: float = math.inf, jobs: int = BIG) -> None:
        """Let time pass until a moment, or until so many jobs have been submitted."""
        self._submit()
        while self._events and self._events[0][0] <= until and self.submitted < jobs:
            moment, _, happen = heapq.heappop(self._events)
            self.whole += self.limit * (moment - self.now)
            self.busy += min(self.running + self.others, self.limit) * (moment - self.now)
            self.now = moment
            happen()
            self._submit()

    def measure(self) -> None:
        """Begin to measure now."""
        self.busy = self.whole = 0.0

    @property
    def utilisation(self) -> float:
        """The share of the slots' time that was used since `measure`."""
        return self.busy / self.whole

    def _submit(self) -> None:
        while self.finder.free(self.now) > 0:
            begun = self.finder.begin()
            self.at(self.now + self.post, lambda begun=begun: self._arrive(begun))  # type: ignore[misc]
            if not self.post:
                break
        pause = self.finder.pause(self.now)
        if pause < math.inf:
            self.at(self.now + pause + 1e-6, lambda: None)

    def _arrive(self, begun: int) -> None:
        self.submitted += 1
        if self.running + self.others < self.limit:
            self.finder.accept(self.submitted, "queued", self.now)
            self._start(self.submitted)
        elif len(self.waiting) < self.backlog:
            self.waiting.append(self.submitted)
            self.most_waiting = max(self.most_waiting, len(self.waiting))
            self.finder.accept(self.submitted, "backlogged", self.now)
        else:
            self.refused += 1
            self.finder.refuse(begun, self.now)

    def _start(self, job: int) -> None:
        self.running += 1
        self.at(self.now + self._lag(), lambda: self.finder.see(job, "processing", self.now))
        self.at(self.now + self.job, lambda: self._end(job))

    def _end(self, job: int) -> None:
        self.running -= 1
        self.ended += 1
        self._fill()
        self.at(self.now + self._lag(), lambda: self.finder.end(job, self.now))

    def _fill(self) -> None:
        while self.waiting and self.running + self.others < self.limit:
            self._start(self.waiting.popleft())

    def _lag(self) -> float:
        return self._dice.uniform(0.0, self.lag)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("others", [0, 3])
@pytest.mark.parametrize("backlog", [0, 100])
def test_a_hidden_limit_of_eight(backlog: int, others: int, seed: int) -> None:
    """At least 95 % of the slots are used after warm-up, and refusals stay under 2 %."""
    account = Account(backlog=backlog, others=others, seed=seed)
    account.run(until=5 * JOB)
    account.measure()
    account.run(jobs=300)
    assert account.utilisation >= 0.95
    assert account.refused / account.submitted < 0.02
    assert account.most_waiting <= (8 if backlog else 0)


@pytest.mark.parametrize("limit", [3, 8, 20, 100])
@pytest.mark.parametrize("backlog", [0, 100])
def test_limits_of_any_size(limit: int, backlog: int) -> None:
    """Jobs of 170 s, looks that lag, submits that take time: the slots are used all the same."""
    account = Account(limit=limit, backlog=backlog, lag=3.0, post=0.3, job=170.0)
    account.run(until=5 * account.job)
    account.measure()
    account.run(until=200 * account.job)
    assert account.utilisation >= 0.95
    assert account.refused / account.submitted < 0.02


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("backlog", [0, 100])
def test_a_limit_that_changes(backlog: int, seed: int) -> None:
    """From 8 to 3 to 20: 20 job times later it is followed, with few waiting, few refused."""
    account = Account(backlog=backlog, seed=seed)
    for limit in (8, 3, 20):
        account.change(limit)
        account.run(until=account.now + 20 * JOB)
        account.measure()
        account.run(until=account.now + 10 * JOB)
        assert account.utilisation >= 0.93, limit
        assert len(account.waiting) <= limit
    assert account.refused / account.submitted < 0.03  # a change costs a few


def test_others_who_come_and_go() -> None:
    """Slots that somebody else leaves are found again."""
    account = Account(others=6)
    account.run(until=60.0)
    account.others = 0
    account.run(until=account.now + 23 * JOB)
    account.measure()
    account.run(until=account.now + 10 * JOB)
    assert account.utilisation >= 0.95


def test_nothing_of_ours_runs() -> None:
    """On an account that others fill it is tried after 1, 2, 4, ... seconds, at most a minute."""
    finder = LimitFinder()
    now, pauses = 0.0, []
    for _ in range(9):
        assert finder.free(now) == 1
        finder.refuse(finder.begin(), now)
        assert finder.free(now) == 0
        pauses.append(finder.pause(now))
        now += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_retry_after_is_kept() -> None:
    """Nothing leaves before the server wants to be asked again, free slots or not."""
    finder = LimitFinder()
    finder.accept("a", "queued", finder.begin() * 0.0)
    finder.begin()
    finder.refuse(0, 10.0, retry_after=90.0)
    finder.end("a", 20.0)
    assert finder.free(99.0) == 0
    assert finder.pause(20.0) == pytest.approx(80.0)
    assert finder.free(100.0) == 1


def test_two_that_are_refused_together_count_once() -> None:
    """The second one left before the first was refused, and says nothing that is new."""
    finder = LimitFinder()
    for job in range(20):
        finder.begin()
        finder.accept(job, "queued", 0.0)
    first, second = finder.begin(), finder.begin()
    finder.refuse(first, 0.0)
    pause = finder.pause(0.0)
    finder.refuse(second, 0.0)
    assert finder.known == 20
    assert finder.pause(0.0) == pause


def test_there_is_an_end_to_no_limit() -> None:
    """An account that refuses nothing does not get a million jobs at once."""
    finder = LimitFinder()
    for job in itertools.count():
        if not finder.free(0.0):
            break
        finder.begin()
        finder.accept(job, "processing", 0.0)
    assert finder.in_flight == MOST_AT_ONCE


def test_unknown_jobs_change_nothing() -> None:
    """A status that comes late, of a job that has left, is no news."""
    finder = LimitFinder()
    finder.see("x", "backlogged", 0.0)
    finder.end("x", 0.0)
    assert (finder.in_flight, finder.free(0.0)) == (0, 1)


def test_a_job_that_is_backlogged_later() -> None:
    """Krea may say so only at the first look: then it counts from there."""
    finder = LimitFinder()
    for job in "ab":
        finder.begin()
        finder.accept(job, "queued", 0.0)
    finder.see("b", "Backlogged", 1.0)
    assert (finder.known, finder.free(1.0)) == (1, 0)
    finder.see("b", "queued", 2.0)
    assert finder.free(2.0) > 0


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["try", "backlogged", "refuse", "fail", "see", "end", "wait", "adopt"]),
        st.integers(0, 30),
    ),
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS)
def test_whatever_happens(events: Iterable[tuple[str, int]]) -> None:
    """Counts stay true, nobody waits for ever with nothing in flight, and nothing is negative."""
    finder = LimitFinder(look=2.0, settle=1.0)
    now, jobs, names = 0.0, [], itertools.count()
    for kind, number in events:
        if kind in {"try", "backlogged", "refuse", "fail"} and finder.free(now) > 0:
            begun = finder.begin()
            _answer(finder, kind, begun, now, jobs, names)
        elif kind == "adopt" and number < 3:
            jobs.append(next(names))
            finder.adopt(jobs[-1], "processing", now)
        elif kind == "see" and jobs:
            finder.see(jobs[number % len(jobs)], ("backlogged", "queued")[number % 2], now)
        elif kind == "end" and jobs:
            finder.end(jobs.pop(number % len(jobs)), now)
        elif kind == "wait":
            now += number / 4
        assert finder.in_flight == len(jobs)
        assert finder.posting == 0
        assert 0 <= finder.free(now) <= MOST_AT_ONCE
        assert finder.known >= 0
        if not jobs and not finder.free(now):
            assert finder.pause(now) <= 19 * 170


def _answer(
    finder: LimitFinder, kind: str, begun: int, now: float, jobs: list[Any], names: Any
) -> None:
    if kind == "refuse":
        finder.refuse(begun, now)
    elif kind == "fail":
        finder.give_up()
    else:
        jobs.append(next(names))
        finder.accept(jobs[-1], "queued" if kind == "try" else kind, now)
