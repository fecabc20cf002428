"""Waiting for a job: looks at a pace, missed looks forgiven, a deadline kept."""

from __future__ import annotations

import math
from contextlib import closing
from typing import Final

from krea_aleph import _wire
from krea_aleph._exchange import announce, attempt, tell
from krea_aleph._hooks import Ear
from krea_aleph._jobs import cancel
from krea_aleph._steps import Response, clean_up, draw, emit, now, today
from krea_aleph.errors import (
    AuthenticationError,
    InvalidRequestError,
    InvalidResponseError,
    KreaError,
    NotFoundError,
    PermissionDeniedError,
    WaitTimeoutError,
    from_job,
)
from krea_aleph.models import AUTO, BACKLOGGED, Job, Update
from krea_aleph.policies import problem_with_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph._config import Config
    from krea_aleph._steps import Steps
    from krea_aleph.models import JobRef

# A look that ends like this will not end better the next time.
_HOPELESS: Final = (AuthenticationError, PermissionDeniedError, NotFoundError)
# A job that has just been accepted may not be readable everywhere yet.
_MISSING_LOOKS_FORGIVEN: Final = 3
# A snapshot that is older deserves a look before the first pause.
_FRESH_SECONDS: Final = 5.0
_INSTANT: Final = 0.001
# What the last look may take when no time is left for it.
_SHORTEST_LOOK: Final = 1.0


def wait(config: Config, ref: JobRef, wait_timeout: float | None) -> Steps[Job]:
    """Return the job once it has succeeded; show each change on the way.

    Raises:
        JobError: It ended without a result.
        WaitTimeoutError: It did not end in time.
    """
    job = yield from watch(config, ref, wait_timeout)
    error = from_job(job)
    if error is not None:
        raise error
    return job


def watch(config: Config, ref: JobRef, wait_timeout: float | None) -> Steps[Job]:
    """Show each change of a job until it has ended, and return its last snapshot.

    Raises:
        WaitTimeoutError: It did not end in time.
    """
    check_timeout(wait_timeout)
    job_id = _wire.job_id(ref, config.account)
    known = ref if isinstance(ref, Job) else Job(job_id, "unknown", config.account)
    yield from announce(config, *operations(config))
    try:
        return (yield from _look_until_finished(config, known, wait_timeout))
    except GeneratorExit:
        raise
    except BaseException as reason:
        if isinstance(reason, KreaError):
            reason.about(job_id, exists=known.fetched_at > 0)
        if isinstance(reason, WaitTimeoutError) or not isinstance(reason, Exception):
            yield from _leave(config, job_id, reason)
        raise


def operations(config: Config) -> tuple[str, ...]:
    """List what a wait calls, or may have to call when it is interrupted."""
    return ("get_job", "delete_job") if config.abandon == "cancel" else ("get_job",)


class _Wait:
    """What is known while waiting: the newest snapshot, the faults, and the time that counts."""

    def __init__(self, job: Job, wait_timeout: float | None, moment: float, today: float) -> None:
        self.job = job
        self.source = "start"
        self.shown: tuple[Job, int] | None = None
        self.faults = 0
        self.missing = 0
        self.fault: KreaError | None = None
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
        if self._timeout is None:
            return math.inf
        left = self._timeout - (self._running if self._timeout is AUTO else self.elapsed)
        # Sums of floats: what is too short for a clock to show would be slept again and again.
        return left if left > _INSTANT else 0.0

    def overdue(self) -> WaitTimeoutError:
        """Return the error for a wait whose time is over."""
        error = WaitTimeoutError(self.job, self.elapsed)
        error.__cause__ = self.fault
        return error


def _look_until_finished(config: Config, known: Job, wait_timeout: float | None) -> Steps[Job]:
    moment = yield from today()
    wait = _Wait(known, wait_timeout, (yield from now()), moment)
    if not known.finished:
        with closing(Ear(config, known.id)) as ear:
            stale = moment - known.fetched_at > _FRESH_SECONDS
            yield from ear.begin(looking=stale)
            if stale:
                yield from _look(config, wait)
            while not wait.job.finished:
                yield from _look_later(config, wait, ear)
    yield from _show(wait, 0.0)
    return wait.job


def _look_later(config: Config, wait: _Wait, ear: Ear) -> Steps[None]:
    """Look after a pause, or at once when a delivery is heard."""
    pause = yield from _pause(config, wait, ear)
    yield from _show(wait, pause)
    if wait.left <= 0:
        raise wait.overdue()
    told = yield from ear.pause(pause)
    before = wait.job.status
    yield from _look(config, wait, "webhook" if told else "poll")
    ear.compare(told=told, seen=wait.job.status != before)


def _show(wait: _Wait, pause: float) -> Steps[None]:
    """Show what is known, if it is anything and was not shown before."""
    news = (wait.job, wait.faults)
    if wait.shown != news and wait.job.fetched_at:
        wait.shown = news
        yield from emit(Update(wait.job, wait.elapsed, wait.faults, pause, wait.source))


def _pause(config: Config, wait: _Wait, ear: Ear) -> Steps[float]:
    chance = yield from draw()
    expecting = ear.expecting and wait.fault is None
    pause = config.poll.pause(
        age=wait.age, status=wait.job.status, draw=chance, expecting=expecting
    )
    if wait.fault is not None:
        pause = config.poll.after_fault(pause, getattr(wait.fault, "retry_after", None))
    return max(0.0, min(pause, wait.left))


def _look(config: Config, wait: _Wait, source: str = "poll") -> Steps[None]:
    """Look once. A look that fails is a missed one: counted, reported, and nothing more."""
    wait.pass_time((yield from now()))
    limit = max(wait.left, _SHORTEST_LOOK)
    answer = yield from attempt(config, _wire.get_job_request(wait.job.id), limit=limit)
    wait.pass_time((yield from now()))
    wait.source = source
    if isinstance(answer, Response):
        try:
            moment = yield from today()
            seen = _wire.read_job(answer, "get_job", config.account, moment, asked=wait.job.id)
        except InvalidResponseError as error:
            answer = error
        else:
            yield from _saw(config, wait, seen)
            return
    if isinstance(answer, _HOPELESS) and not _may_appear(wait, answer):
        raise answer
    wait.fault = answer
    wait.faults += 1
    yield from tell(
        config, "poll_missed", job_id=wait.job.id, error=type(answer).__name__, faults=wait.faults
    )


def _saw(config: Config, wait: _Wait, seen: Job) -> Steps[None]:
    changed = seen.status != wait.job.status
    wait.job, wait.fault, wait.missing = seen, None, 0
    if changed:
        yield from tell(config, "changed", job_id=seen.id, status=seen.status)


def _may_appear(wait: _Wait, error: KreaError) -> bool:
    """Whether a job that was seen before, and is not found now, deserves another look."""
    wait.missing += 1
    seen_before = bool(wait.job.fetched_at)
    return (
        isinstance(error, NotFoundError) and seen_before and wait.missing <= _MISSING_LOOKS_FORGIVEN
    )


def _leave(config: Config, job_id: str, reason: BaseException) -> Steps[None]:
    """Leave or cancel the job, as the client is configured, and write on the reason what came."""
    outcome = "running"
    if config.abandon == "cancel":
        asked = f"Job {job_id} was asked to be cancelled; outcome: "
        reason.add_note(f"{asked}unknown.")  # unless more gets known
        try:
            yield from clean_up()
            outcome = (yield from cancel(config, job_id)).outcome
        except Exception as error:  # noqa: BLE001 - best effort; the reason to leave matters more
            outcome = f"unknown ({type(error).__name__})"
        reason.__notes__[-1] = f"{asked}{outcome}."
    else:
        reason.add_note(
            f"Job {job_id} was left as it was. Wait for it again with wait({job_id!r})."
        )
    if not isinstance(reason, Exception):
        # Cancelled tasks are seldom looked at: what was left behind goes to the log, too.
        yield from tell(config, "left", job_id=job_id, outcome=outcome)


def _age(job: Job, today: float) -> float:
    """Return the seconds since a job was accepted, for pacing only: clocks may differ."""
    if job.created_at is None or job.status.lower() == BACKLOGGED:
        return 0.0
    return max(0.0, today - job.created_at.timestamp())


def check_timeout(seconds: float | None) -> None:
    """Refuse what is no ``wait_timeout``, before anything is paid for.

    Raises:
        InvalidRequestError: It is neither a positive number of seconds nor None.
    """
    problem = None if seconds is None else problem_with_number(seconds, least=0.001)
    if problem is not None:
        raise InvalidRequestError("wait_timeout", problem, hint="None, in writing, waits for ever.")
