"""The commands about a job that there is: wait, watch, get, list, cancel, download."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

from cyclopts import Parameter

from krea_aleph.cli import documents, words
from krea_aleph.cli.exits import DONE, FAILED
from krea_aleph.cli.params import FILES, Common, Exists, Patience
from krea_aleph.cli.session import Session
from krea_aleph.errors import InvalidRequestError

JobId = Annotated[str, Parameter(name="JOB", help="The job's id.")]


def wait(
    job: JobId,
    /,
    *,
    output: Annotated[
        str | None,
        Parameter(alias="-o", group=FILES, metavar="FILE", help="Save the result here."),
    ] = None,
    exists: Exists = "error",
    patience: Patience | None = None,
    common: Common | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Wait until a job has succeeded; with -o, save its result.

    Any machine can that has the account's key.
    """
    patience, common = patience or Patience(), common or Common()
    session.job_id, session.output = job, output
    with session.client(common, patience=patience) as aleph:
        done = aleph.wait(job, on_update=session.update, **patience.wait())
        if output is None:
            session.out.result(documents.job(done), done.url or "")
            return
        saved = aleph.download(done, output, exists=exists)
    session.out.note(words.saved(saved))
    session.out.result(documents.saved(saved), str(saved.path), told=True)


def watch(
    job: JobId,
    /,
    *,
    patience: Patience | None = None,
    common: Common | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Print each change of a job until it has ended, however it ends."""
    patience, common = patience or Patience(), common or Common()
    session.job_id = job
    with session.client(common, patience=patience) as aleph:
        for news in aleph.watch(job, **patience.wait()):
            session.out.result(documents.update(news), f"{news.job.id}: {words.line(news)}")
            if session.out.gone:
                return


def get(
    job: JobId,
    /,
    *,
    common: Common | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Print a job as it is now."""
    with session.client(common or Common()) as aleph:
        found = aleph.get(job)
    facts = "\n".join(f"{name:<10} {text}" for name, text in words.facts(found))
    session.out.result(documents.job(found, raw=True), facts)


def list_jobs(
    *,
    limit: Annotated[
        int, Parameter(alias="-n", metavar="NUMBER", help="How many at most; 0 for all.")
    ] = 30,
    status: Annotated[
        str | None, Parameter(metavar="STATUS", help="Only jobs of this status.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        Parameter(name="--type", metavar="TYPE", help="Only jobs of this type; repeatable."),
    ] = None,
    since: Annotated[
        str | None, Parameter(metavar="TIME", help="Only newer ones: 2026-01-31, or with a time.")
    ] = None,
    until: Annotated[str | None, Parameter(metavar="TIME", help="Only older ones.")] = None,
    common: Common | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Print the account's jobs, newest first."""
    if limit < 0:
        raise InvalidRequestError("--limit", f"{limit} is no number from 0 up")
    with session.client(common or Common()) as aleph:
        found = aleph.list_jobs(
            status=status,
            types=tuple(kind or ()),
            created_after=_moment("--since", since),
            created_before=_moment("--until", until),
        )
        rows = [documents.job(job) for job in islice(found, limit or None)]
    session.out.table(rows, ("id", "status", "created_at"))


def cancel(
    job: JobId,
    /,
    *,
    common: Common | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> int:
    """Ask Krea to cancel a job, and print what came of it.

    A job that has ended is not touched. Exit code 3 says that the job may still run.
    """
    with session.client(common or Common()) as aleph:
        result = aleph.cancel(job)
    session.out.result(documents.cancellation(result), result.outcome.replace("_", " "))
    return FAILED if result.outcome in {"refused", "unknown"} else DONE


def download(
    job: JobId,
    /,
    *,
    output: Annotated[
        str,
        Parameter(alias="-o", group=FILES, metavar="FILE", help="The file or folder to save to."),
    ] = ".",
    exists: Exists = "error",
    common: Common | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Save the result of a job that is done, and print its path. It never waits."""
    session.job_id, session.output = job, output
    with session.client(common or Common()) as aleph:
        saved = aleph.download(job, output, exists=exists)
    session.out.note(words.saved(saved))
    session.out.result(documents.saved(saved), str(saved.path), told=True)


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequestError(
            name, f"{text!r} is no time", hint="Write 2026-01-31 or 2026-01-31T12:00:00Z."
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
