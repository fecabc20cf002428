"""Reading, listing and cancelling jobs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from krea_aleph import _wire
from krea_aleph._exchange import announce, attempt, exchange
from krea_aleph._paging import emit_pages
from krea_aleph._steps import Response, today
from krea_aleph.errors import (
    APIStatusError,
    InvalidRequestError,
    KreaError,
    NotFoundError,
)
from krea_aleph.models import Cancellation, Job
from krea_aleph.policies import RetryPolicy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from krea_aleph._config import Config
    from krea_aleph._steps import Steps
    from krea_aleph._wire import Page
    from krea_aleph.models import JobRef, Outcome

# Whoever wants the newest job needs few; whoever asks for a second page wants many.
_FIRST_PAGE: Final = 100
_LATER_PAGES: Final = 1000


def get(config: Config, ref: JobRef) -> Steps[Job]:
    """Return a job as it is now."""
    job_id = _wire.job_id(ref, config.account)
    yield from announce(config, "get_job")
    try:
        response = yield from exchange(config, _wire.get_job_request(job_id))
        moment = yield from today()
        return _wire.read_job(response, "get_job", config.account, moment, asked=job_id)
    except KreaError as error:
        error.about(job_id, exists=isinstance(ref, Job))
        raise


def list_jobs(
    config: Config,
    *,
    status: str | None,
    types: Sequence[str],
    created_before: datetime | None,
    created_after: datetime | None,
) -> Steps[None]:
    """Show the account's jobs, newest first."""
    if isinstance(types, str) or not isinstance(types, Iterable):
        raise InvalidRequestError("types", f"{types!r} is no list", hint="Give a list of texts.")
    first = None if created_before is None else _cursor("created_before", created_before)
    if created_after is not None:
        _cursor("created_after", created_after)

    def page(cursor: str | None) -> Steps[Page]:
        limit = _FIRST_PAGE if cursor == first else _LATER_PAGES
        request = _wire.list_jobs_request(cursor=cursor, limit=limit, status=status, types=types)
        response = yield from exchange(config, request)
        return _wire.read_job_page(response, config.account, (yield from today()))

    def wanted(job: Job) -> bool:
        return created_after is None or job.created_at is None or job.created_at > created_after

    yield from announce(config, "list_jobs")
    yield from emit_pages(page, cursor=first, wanted=wanted)


def _cursor(name: str, moment: object) -> str:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InvalidRequestError(
            name, f"{moment!r} is no time with a zone", hint="For example datetime.now(UTC)."
        )
    try:
        text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    except OverflowError as error:
        raise InvalidRequestError(name, f"{moment!r} is out of range") from error
    return text.replace("+00:00", "Z")


def cancel(config: Config, ref: JobRef) -> Steps[Cancellation]:
    """Ask Krea to cancel a job, unless it has ended, and say what came of it.

    The job is read first, because the request that cancels is a DELETE and what it does to a
    finished job is not documented. It is sent once: after it a 404 may mean that it has worked.
    """
    yield from announce(config, "delete_job")
    job: Job = yield from get(config, ref)
    if job.finished:
        return _ended(job)
    answer = yield from attempt(config, _wire.delete_job_request(job.id))
    try:
        job = yield from get(config, job)
    except NotFoundError:
        gone = True
    except KreaError:  # what it has become is not known; what was answered is
        gone = False
    else:
        gone = False
        if job.status.lower() == "cancelled":
            return Cancellation("cancelled", job)
        if job.finished:
            return _ended(job)
    return Cancellation(_outcome(answer, gone=gone), job)


def _outcome(answer: Response | KreaError, *, gone: bool) -> Outcome:
    """Return what the answer to a DELETE means for a job that is not seen to have ended."""
    if isinstance(answer, Response):
        return "cancelled" if gone else "requested"
    refused = isinstance(answer, APIStatusError) and not RetryPolicy.worth_it(answer.status_code)
    return "refused" if refused and not gone else "unknown"


def _ended(job: Job) -> Cancellation:
    already = job.status.lower() == "cancelled"
    return Cancellation("already_cancelled" if already else "already_finished", job)
