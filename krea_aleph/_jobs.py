"""Reading, listing and cancelling jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from krea_aleph import _wire
from krea_aleph._exchange import attempt, exchange
from krea_aleph._paging import emit_pages
from krea_aleph._steps import Response, today
from krea_aleph.errors import (
    APIStatusError,
    InternalServerError,
    InvalidRequestError,
    KreaError,
    NotFoundError,
)
from krea_aleph.models import Cancellation, Job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from krea_aleph._config import Config
    from krea_aleph._steps import Steps
    from krea_aleph._wire import Page
    from krea_aleph.models import JobRef

# Whoever wants the newest job needs few; whoever asks for a second page wants many.
_FIRST_PAGE: Final = 100
_LATER_PAGES: Final = 1000


def get(config: Config, ref: JobRef) -> Steps[Job]:
    """Return a job as it is now."""
    job_id = _wire.job_id(ref, config.account)
    try:
        response = yield from exchange(config, _wire.get_job_request(job_id))
        return _wire.read_job(response, "get_job", config.account, (yield from today()))
    except KreaError as error:
        if not isinstance(error, NotFoundError):
            error.about(job_id)
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
    if isinstance(types, str):
        raise InvalidRequestError("types", f"{types!r} is one text", hint="Give a list of texts.")
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

    yield from emit_pages(page, cursor=first, wanted=wanted)


def _cursor(name: str, moment: object) -> str:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise InvalidRequestError(
            name, f"{moment!r} is no time with a zone", hint="For example datetime.now(UTC)."
        )
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def cancel(config: Config, ref: JobRef) -> Steps[Cancellation]:
    """Ask Krea to cancel a job, unless it has ended, and say what came of it.

    The job is read first, because the request that cancels is a DELETE and what it does to a
    finished job is not documented. It is sent once: after it a 404 may mean that it has worked.
    """
    job: Job = yield from get(config, ref)
    if job.finished:
        return _ended(job)
    answer = yield from attempt(config, _wire.delete_job_request(job.id))
    after = yield from attempt(config, _wire.get_job_request(job.id))
    if isinstance(after, Response):
        job = _wire.read_job(after, "get_job", config.account, (yield from today()))
        if job.status.lower() == "cancelled":
            return Cancellation("cancelled", job)
        if job.finished:
            return _ended(job)
    if isinstance(answer, Response):
        gone = isinstance(after, NotFoundError)
        return Cancellation("cancelled" if gone else "requested", job)
    if isinstance(answer, APIStatusError) and not isinstance(answer, InternalServerError):
        return Cancellation("refused", job)
    return Cancellation("unknown", job)


def _ended(job: Job) -> Cancellation:
    already = job.status.lower() == "cancelled"
    return Cancellation("already_cancelled" if already else "already_finished", job)
