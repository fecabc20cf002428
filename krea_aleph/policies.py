"""When to ask again: two policies, because retrying and polling are two things.

A retry repeats a request that failed. A poll asks a healthy server once more about a job that is
not ready. Both are immutable and pure: randomness and time are handed in, nothing is read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from krea_aleph.errors import ConfigError
from krea_aleph.models import BACKLOGGED

# Answers that a second try may improve. A submit is repeated on 429 alone (see _submit).
_WORTH_A_RETRY = frozenset({408, 425, 429})
_SERVER_ERRORS = 500


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed request that may safely be repeated is repeated.

    The pause before try n+1 is drawn between zero and ``first_pause * 2**n``, at most
    ``longest_pause``; a ``Retry-After`` of the server is obeyed where it is longer. Once the policy
    gives up, the last error is raised.

    Attributes:
        attempts: The number of tries in all, the first one included.
        max_elapsed: Seconds from the first failure after which no try is begun.
        max_retry_after: The longest ``Retry-After`` in seconds that is obeyed; beyond it the error
            is raised at once, with the value on it.
        first_pause: Seconds.
        longest_pause: Seconds.

    Example:
        >>> RetryPolicy(attempts=1).pause(tries=1, elapsed=0, retry_after=None, draw=0.5) is None
        True
    """

    attempts: int = 4
    max_elapsed: float = 60.0
    max_retry_after: float = 60.0
    first_pause: float = 0.5
    longest_pause: float = 8.0

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            message = (
                f"RetryPolicy: attempts is {self.attempts!r}; a whole number from 1 is needed."
            )
            raise ConfigError(message)
        for name in ("max_elapsed", "max_retry_after", "first_pause", "longest_pause"):
            _check_number("RetryPolicy", name, getattr(self, name))

    @staticmethod
    def worth_it(status: int) -> bool:
        """Whether a request that may be repeated should be, after this status."""
        return status in _WORTH_A_RETRY or status >= _SERVER_ERRORS

    def pause(
        self, *, tries: int, elapsed: float, retry_after: float | None, draw: float
    ) -> float | None:
        """Return the seconds to wait before the next try, or None to give up.

        Args:
            tries: How many tries have been made.
            elapsed: Seconds since the first one failed.
            retry_after: What the server asked for, in seconds.
            draw: A random number from 0 to 1.
        """
        if tries >= self.attempts or (retry_after or 0.0) > self.max_retry_after:
            return None
        backoff = min(self.longest_pause, self.first_pause * 2.0 ** min(tries, 60)) * draw
        pause = max(backoff, retry_after or 0.0)
        return pause if elapsed + pause <= self.max_elapsed else None


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """How long to wait before the next look at a job: a function of its age and its status.

    Made for Aleph, whose runs take about 170 s: a few early looks catch early failures, few looks
    are spent while it can hardly be ready, then one about every 2.7 s around the time when most
    jobs end, and a job that takes long is asked less and less often. With the defaults a job of
    169 s costs about 42 looks and is seen finished 1.5 s late on average.

    Attributes:
        early: Seconds between looks at a job younger than ``early_until``.
        early_until: Age in seconds.
        sparse: Seconds between looks until ``sparse_until``.
        sparse_until: Age in seconds.
        dense: Seconds between looks from then on, until a hundredth of the age is more.
        longest: The longest pause in seconds, for old jobs and for backlogged ones.
        webhook: The shortest pause in seconds while a webhook of the job is to come: looking is
            only the fallback then.
        spread: From 0 to 1: how far the pause is varied at random around the value, so that many
            clients do not ask in step. At 1 it is drawn from half to one and a half of it.
        max_retry_after: The longest ``Retry-After`` in seconds that a failed look obeys.

    Example:
        >>> PollPolicy(spread=0).pause(age=120.0, status="processing", draw=0.5)
        2.7
    """

    early: float = 3.0
    early_until: float = 15.0
    sparse: float = 10.0
    sparse_until: float = 90.0
    dense: float = 2.7
    longest: float = 15.0
    webhook: float = 120.0
    spread: float = 1.0
    max_retry_after: float = 60.0

    def __post_init__(self) -> None:
        for name in ("early", "sparse", "dense", "longest", "webhook"):
            _check_number("PollPolicy", name, getattr(self, name), least=0.01)
        for name in ("early_until", "sparse_until", "max_retry_after"):
            _check_number("PollPolicy", name, getattr(self, name))
        _check_number("PollPolicy", "spread", self.spread)
        if self.spread > 1:
            message = f"PollPolicy: spread is {self.spread}; it must be from 0 to 1."
            raise ConfigError(message)

    def pause(self, *, age: float, status: str, draw: float, expecting: bool = False) -> float:
        """Return the seconds until the next look.

        Args:
            age: Seconds since the job was accepted, not counting what it was backlogged.
            status: Its status at the last look.
            draw: A random number from 0 to 1.
            expecting: Whether a webhook is to come.
        """
        middle = self._middle(age, status.lower())
        middle = max(middle, self.webhook) if expecting else middle
        return middle * (1.0 + self.spread * (draw - 0.5))

    def _middle(self, age: float, status: str) -> float:
        if status == BACKLOGGED:
            return min(self.sparse, self.longest)
        if age < self.early_until:
            return self.early
        if age < self.sparse_until:
            return self.sparse
        return max(self.dense, min(self.longest, age / 100.0))

    def after_fault(self, pause: float, retry_after: float | None) -> float:
        """Return the pause after a look that failed: the server's wish counts, up to the cap."""
        return max(pause, min(retry_after or 0.0, self.max_retry_after))


def problem_with_number(value: object, *, least: float = 0.0) -> str | None:
    """Say why a value is no finite number from a least one up, or None when it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"a number is needed, not {type(value).__name__}"
    try:
        fits = math.isfinite(value) and value >= least
    except OverflowError:  # an int that no float can hold
        fits = False
    return None if fits else f"{str(value)[:20]} is no finite number from {least:g} up"


def _check_number(policy: str, name: str, value: object, *, least: float = 0.0) -> None:
    problem = problem_with_number(value, least=least)
    if problem is not None:
        raise ConfigError(f"{policy}: {name}: {problem}.")
