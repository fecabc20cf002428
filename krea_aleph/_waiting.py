"""Waiting for a job: looks at a pace, missed looks forgiven, a deadline kept."""

from __future__ import annotations

from contextlib import closing
from typing import Final

from krea_aleph import _wire
from krea_aleph._crowd import Crowd
from krea_aleph._exchange import announce, tell
from krea_aleph._fleet import news
from krea_aleph._hooks import ask_store
from krea_aleph._jobs import cancel
from krea_aleph._steps import clean_up, draw, emit, now, today
from krea_aleph.errors import InvalidRequestError, KreaError, WaitTimeoutError, from_job
from krea_aleph.models import Job, Update
from krea_aleph.policies import problem_with_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph._config import Config
    from krea_aleph._crowd import Wait
    from krea_aleph._steps import Steps
    from krea_aleph.models import JobRef

# A snapshot that is older deserves a look before the first pause.
_FRESH_SECONDS: Final = 5.0


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


def _look_until_finished(config: Config, known: Job, wait_timeout: float | None) -> Steps[Job]:
    moment, day = (yield from now()), (yield from today())
    with closing(Crowd(config)) as crowd:
        wait = crowd.add(known, wait_timeout, moment, day)
        if not known.finished:
            yield from begin(config, wait, moment, day, (yield from draw()))
            config.board.join(crowd, wait.due)
        yield from show(wait)
        while not wait.job.finished:
            if wait.left <= 0:
                raise wait.overdue()
            yield from news(crowd)
            if wait.error is not None:
                raise wait.error
            yield from show(wait)
        return wait.job


def begin(config: Config, wait: Wait, moment: float, day: float, chance: float) -> Steps[None]:
    """Choose when a job is looked at first: at once, unless its snapshot is fresh."""
    stale = day - wait.job.fetched_at > _FRESH_SECONDS
    if wait.ear.listens and (stale or not wait.ear.expecting):
        yield from ask_store(config, [wait.ear])
    if stale:
        wait.ear.forget()
        wait.noted = None  # whatever the first look shows is news
    else:
        wait.plan(config, moment, chance)


def show(wait: Wait) -> Steps[None]:
    """Show what is known, unless that is only what a look is about to replace, or was shown."""
    news = (wait.job, wait.faults)
    if wait.noted is not None and wait.shown != news and wait.job.fetched_at:
        wait.shown = news
        pause = 0.0 if wait.job.finished else wait.pause
        yield from emit(Update(wait.job, wait.elapsed, wait.faults, pause, wait.source))


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


def check_timeout(seconds: float | None) -> None:
    """Refuse what is no ``wait_timeout``, before anything is paid for.

    Raises:
        InvalidRequestError: It is neither a positive number of seconds nor None.
    """
    problem = None if seconds is None else problem_with_number(seconds, least=0.001)
    if problem is not None:
        raise InvalidRequestError("wait_timeout", problem, hint="None, in writing, waits for ever.")
