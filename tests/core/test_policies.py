"""When to ask again: the two policies are pure functions."""

import itertools
import random
import statistics
from typing import Any

import pytest

from krea_aleph import ConfigError, PollPolicy, RetryPolicy

DRAWS = (0.0, 0.25, 0.5, 0.75, 1.0)


def looks(ends: float, seed: int, policy: PollPolicy | None = None) -> list[float]:
    """Return the ages at which a job is looked at, the last of which is after its end."""
    policy = policy or PollPolicy()
    chance = random.Random(seed)  # noqa: S311 - jitter
    age = 0.0
    ages: list[float] = []
    while not ages or ages[-1] < ends:
        age += policy.pause(age=age, status="processing", draw=chance.random())
        ages.append(age)
    return ages


def test_a_job_of_usual_length_is_seen_soon_and_cheaply() -> None:
    """A job of 169 s costs at most 50 looks, and is seen finished 1.5 s late on average."""
    runs = [looks(169.0, seed) for seed in range(2000)]
    assert statistics.fmean(run[-1] - 169.0 for run in runs) <= 1.5
    assert max(len(run) for run in runs) <= 50


def test_early_failures_are_seen_within_five_seconds() -> None:
    """Whenever a job fails within its first 15 s, the next look is less than 5 s away."""
    lags = [looks(tenth / 10, seed)[-1] - tenth / 10 for tenth in range(150) for seed in range(20)]
    assert max(lags) < 5.0


def test_old_jobs_are_asked_less_and_less() -> None:
    """The pause grows with age up to 15 s, and never beyond it but for the spread."""
    policy = PollPolicy(spread=0)
    ages = [120.0, 169.0, 300.0, 600.0, 1000.0, 1500.0, 7200.0]
    pauses = [policy.pause(age=age, status="sampling", draw=0.5) for age in ages]
    assert pauses == [2.7, 2.7, 3.0, 6.0, 10.0, 15.0, 15.0]
    two_hours = looks(7200.0, seed=1)
    assert len(two_hours) < 800


@pytest.mark.parametrize(
    ("age", "status", "pause"),
    [
        (0.0, "queued", 3.0),
        (14.9, "processing", 3.0),
        (15.0, "processing", 10.0),
        (89.9, "anything", 10.0),
        (90.0, "processing", 2.7),
        (0.0, "backlogged", 10.0),
        (9000.0, "Backlogged", 10.0),
    ],
)
def test_pauses_by_age_and_status(age: float, status: str, pause: float) -> None:
    """Pauses are short at first, long while nothing can be ready, dense around the usual end."""
    assert PollPolicy(spread=0).pause(age=age, status=status, draw=0.9) == pause


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_spread(spread: float) -> None:
    """The spread varies a pause evenly around its value: at 1 from half to one and a half."""
    policy = PollPolicy(early=4.0, spread=spread)
    pauses = [policy.pause(age=0, status="queued", draw=draw) for draw in DRAWS]
    assert pauses == [4 * (1 + spread * (draw - 0.5)) for draw in DRAWS]


@pytest.mark.parametrize(
    ("pause", "wish", "expected"),
    [(3.0, None, 3.0), (3.0, 1.0, 3.0), (3.0, 20.0, 20.0), (3.0, 900.0, 60.0), (80.0, 70.0, 80.0)],
)
def test_a_missed_look_obeys_the_server(pause: float, wish: float | None, expected: float) -> None:
    """After a failed look Retry-After counts where it is longer, up to max_retry_after."""
    assert PollPolicy().after_fault(pause, wish) == expected


@pytest.mark.parametrize(
    ("status", "worth_it"),
    [(400, 0), (401, 0), (404, 0), (408, 1), (409, 0), (425, 1), (429, 1), (500, 1), (524, 1)],
)
def test_what_is_worth_a_retry(status: int, worth_it: int) -> None:
    """Timeouts, rate limits and every 5xx may pass; other refusals will not."""
    assert RetryPolicy.worth_it(status) is bool(worth_it)


def test_retry_pauses_grow_with_full_jitter() -> None:
    """The pause before try n+1 is drawn between zero and a bound that doubles up to a limit."""
    policy = RetryPolicy(attempts=100, max_elapsed=1000)
    bounds = [policy.pause(tries=n, elapsed=0, retry_after=None, draw=1.0) for n in range(1, 7)]
    assert bounds == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert policy.pause(tries=3, elapsed=0, retry_after=None, draw=0.0) == 0.0
    assert policy.pause(tries=3, elapsed=0, retry_after=None, draw=0.5) == 2.0


def test_the_hundredth_try_does_not_overflow() -> None:
    """However often a policy allows to try, its pause stays at the limit."""
    policy = RetryPolicy(attempts=10**9, max_elapsed=1000)
    assert policy.pause(tries=10**6, elapsed=0, retry_after=None, draw=1.0) == 8.0


@pytest.mark.parametrize(
    ("tries", "elapsed", "retry_after", "pause"),
    [
        (1, 0.0, None, 1.0),
        (3, 0.0, None, 4.0),
        (4, 0.0, None, None),  # that was the last one
        (1, 59.0, None, 1.0),
        (1, 59.1, None, None),  # the next try would begin too late
        (1, 0.0, 30.0, 30.0),
        (1, 0.0, 0.2, 1.0),
        (1, 0.0, 60.0, 60.0),
        (1, 0.0, 60.1, None),  # longer than we obey
        (1, 31.0, 30.0, None),
    ],
)
def test_when_to_give_up(
    tries: int, elapsed: float, retry_after: float | None, pause: float | None
) -> None:
    """A policy gives up after its tries, its time, or on a Retry-After that is too long."""
    policy = RetryPolicy()
    found = policy.pause(tries=tries, elapsed=elapsed, retry_after=retry_after, draw=1.0)
    assert found == pause


def test_a_policy_is_pure() -> None:
    """The same questions get the same answers, in any order."""
    poll, retry = PollPolicy(), RetryPolicy()
    questions = list(itertools.product((0.0, 50.0, 500.0), DRAWS))
    once = [poll.pause(age=age, status="queued", draw=draw) for age, draw in questions]
    again = [poll.pause(age=age, status="queued", draw=draw) for age, draw in reversed(questions)]
    assert once == again[::-1]
    assert retry == RetryPolicy()
    assert hash(poll) == hash(PollPolicy())


@pytest.mark.parametrize(
    ("policy", "option", "value"),
    [
        (RetryPolicy, "attempts", 0),
        (RetryPolicy, "attempts", "4"),
        (RetryPolicy, "attempts", 1.5),
        (RetryPolicy, "max_elapsed", -1),
        (RetryPolicy, "max_retry_after", float("nan")),
        (RetryPolicy, "first_pause", float("inf")),
        (RetryPolicy, "longest_pause", None),
        (PollPolicy, "early", 0),
        (PollPolicy, "sparse", -3),
        (PollPolicy, "dense", "2.7"),
        (PollPolicy, "longest", float("inf")),
        (PollPolicy, "early_until", -0.1),
        (PollPolicy, "sparse_until", float("nan")),
        (PollPolicy, "max_retry_after", True),
        (PollPolicy, "spread", 1.1),
        (PollPolicy, "spread", -0.1),
        (PollPolicy, "spread", "wide"),
    ],
)
def test_bad_policies_are_refused_when_they_are_made(policy: Any, option: str, value: Any) -> None:
    """A policy that cannot work is a ConfigError that names the option and what is wrong."""
    with pytest.raises(ConfigError, match=option) as caught:
        policy(**{option: value})
    assert policy.__name__ in str(caught.value)
    assert str(value) in str(caught.value) or type(value).__name__ in str(caught.value)


def test_a_webhook_that_is_to_come_makes_looks_rare() -> None:
    """A job of usual length costs two looks at most while a webhook is to come; they go on."""
    policy = PollPolicy()
    for seed in range(500):
        chance = random.Random(seed)  # noqa: S311 - jitter
        age, count = 0.0, -1
        while age < 169.0:
            draw = chance.random()
            age += policy.pause(age=age, status="processing", draw=draw, expecting=True)
            count += 1
        assert count <= 2
    longest = PollPolicy(longest=300, spread=0).pause(age=1e6, status="x", draw=0, expecting=True)
    assert longest == 300
