"""Finding out what became of a paid request whose answer was lost."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from krea_aleph import _intents
from krea_aleph._hooks import told_job
from krea_aleph._jobs import get
from krea_aleph._marks import Mark, jobs_since, let_arrive, mark_since, take_mark
from krea_aleph._steps import call, today
from krea_aleph.errors import InvalidRequestError, SubmitUncertainError
from krea_aleph.policies import problem_with_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph._config import Config
    from krea_aleph._intents import Claim
    from krea_aleph._steps import Steps
    from krea_aleph.models import Job, JobRef


def recover(config: Config, error: SubmitUncertainError, settle: float) -> Steps[Job | None]:
    """Return the job that was started, or None when it is proved that none was.

    Raises:
        SubmitUncertainError: It cannot be told; ``candidates`` has the jobs that it may be.
    """
    _check(config, error)
    problem = problem_with_number(settle, least=0.0)
    if problem is not None:
        raise InvalidRequestError("settle", problem, hint="It is in seconds; the default is 60.")
    return (yield from _intents.leaving_open(error.intent, _recover(config, error, settle)))


def _recover(config: Config, error: SubmitUncertainError, settle: float) -> Steps[Job | None]:
    mine = yield from _claimed(config, error)
    if mine is None:
        return (yield from _look(config, error, settle))
    if mine.record.job_id is not None:
        return (yield from get(config, mine.record.job_id))
    try:
        yield from _intents.take_turn(config, mine)
        if mine.record.phase == "new":
            return None  # somebody has proved meanwhile that nothing was started
        return (yield from _intents.resolve(config, mine, settle))
    finally:
        _intents.let_go(config, mine)


def adopt(config: Config, error: SubmitUncertainError, ref: JobRef) -> Steps[Job]:
    """Record a human's decision which job it was, and return that job.

    Raises:
        JobClaimedError: It belongs to another intent.
    """
    _check(config, error)
    return (yield from _intents.leaving_open(error.intent, _adopt(config, error, ref)))


def _adopt(config: Config, error: SubmitUncertainError, ref: JobRef) -> Steps[Job]:
    job = yield from get(config, ref)
    mine = yield from _claimed(config, error)
    if mine is None:
        return job
    try:
        return (yield from _intents.adopt(config, mine, job))
    finally:
        _intents.let_go(config, mine)


def _check(config: Config, error: object) -> None:
    if not isinstance(error, SubmitUncertainError):
        kind = type(error).__name__
        raise InvalidRequestError("error", f"a SubmitUncertainError is needed, not {kind}")
    if error.account != config.account:
        raise InvalidRequestError(
            "error",
            f"it is about the account {error.account!r}, and this client's is {config.account!r}",
            hint="Use the client of that account.",
        )


def _claimed(config: Config, error: SubmitUncertainError) -> Steps[Claim | None]:
    """Take the intent that the error is about, if this client's store knows it."""
    store, intent = config.store, error.intent
    if store is None or intent is None:
        return None
    record = yield from call(partial(store.read, config.account, intent))
    return None if record is None else (yield from _intents.claim(config, store, record))


def _look(config: Config, error: SubmitUncertainError, settle: float) -> Steps[Job | None]:
    """Look for what came since, and return None if it is proved that nothing did.

    Without a record nothing that came can be called ours, but for a job that was told of at the
    address that this one request bore.

    That no job at all came after a mark of the server's own proves that none was started. Without
    such a mark nothing is proved, because clocks differ.
    """
    moment = yield from today()
    if error.mark is None:
        mark = mark_since(min(error.since, (yield from _by_server(config, error.since))), moment)
    else:
        mark = Mark.load(error.mark)
    told = yield from told_job(config, error.nonce)
    if told is None:
        yield from let_arrive(config, mark, settle)
        told = yield from told_job(config, error.nonce)
    if told is not None:
        return told
    found = yield from jobs_since(config, mark)
    if not found and error.mark is not None:
        return None
    again = SubmitUncertainError(
        f"a job may or may not have been started; jobs that came since: {len(found)}",
        since=error.since,
        fingerprint=error.fingerprint,
        candidates=tuple(found),
        account=error.account,
        mark=error.mark,
    )
    again.nonce = error.nonce
    again.hint = (
        "Look at error.candidates: adopt(error, job) says which one it is. Only on an account that"
        " is exclusive to one store can that be told without looking."
    )
    raise again from error


def _by_server(config: Config, moment: datetime) -> Steps[datetime]:
    """Return a moment of our clock as the server's may have shown it: it may be hours behind."""
    yield from take_mark(config)  # an answer, which has a date
    shown = config.dates.latest
    ours = datetime.fromtimestamp((yield from today()), UTC)
    return moment if shown is None else moment + (shown - ours)
