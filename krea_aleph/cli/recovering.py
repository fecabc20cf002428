"""The command for submits of which it is not known whether a job was started."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final

from cyclopts import Parameter

from krea_aleph.cli import documents, words
from krea_aleph.cli.exits import DONE, UNCERTAIN
from krea_aleph.cli.params import Common, Keeping
from krea_aleph.cli.session import Session
from krea_aleph.errors import InvalidRequestError, NotFoundError, SubmitUncertainError, guess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph import Aleph, Record, Store
    from krea_aleph.models import Job

# "posting" is that of a process which is at it, or which has died at it.
_OPEN: Final = ("posting", "unknown", "parked")
_LOOK: Final = (
    "Look at each with: krea-aleph get JOB. Adopt the one that is yours. If none is, it stays open,"
    " and nothing more is paid under this name: --new said twice, or another --intent, pays for a"
    " new job."
)


def recover(
    intent: Annotated[
        str | None, Parameter(help="The submit's name; without it all that are open.")
    ] = None,
    /,
    *,
    adopt: Annotated[
        str | None,
        Parameter(metavar="JOB", help="Say yourself which job it became, and write that down."),
    ] = None,
    settle: Annotated[
        float,
        Parameter(
            metavar="SECONDS", help="How long a lost request may take to arrive; 60 if not given."
        ),
    ] = 60.0,
    common: Common | None = None,
    keeping: Keeping | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> int:
    """Find out what became of submits whose answers were lost.

    Prints the job, or that it is proved that none was started. Where that cannot be told, the jobs
    that it may be are printed, the exit code is 5, and --adopt JOB says which it is.
    """
    if adopt is not None and intent is None:
        raise InvalidRequestError("--adopt", "it needs the submit's name, too")
    with session.client(common or Common(), keeping=keeping or Keeping()) as aleph:
        records = _records(aleph.account, session.opened_store(), intent)
        if not records:
            session.out.note("Nothing is open: every submit of this store has its answer.")
        codes = [_recover(session, aleph, record, adopt, settle) for record in records]
    return max(codes, default=DONE)


def _records(account: str, store: Store, intent: str | None) -> list[Record]:
    """Return what is to be looked at.

    Raises:
        InvalidRequestError: The store knows of no such submit.
    """
    if intent is None:
        return store.find(account, _OPEN)
    record = store.read(account, intent)
    if record is None:
        names = [found.intent for found in store.find(account, _OPEN)]
        raise InvalidRequestError(
            "NAME",
            f"the store knows of no submit named {intent!r}{guess(intent, names)}",
            hint="krea-aleph recover without a name looks at all that are open.",
        )
    return [record]


def _recover(
    session: Session, aleph: Aleph, record: Record, adopt: str | None, settle: float
) -> int:
    error = record.uncertain()
    document = {"type": "recovered", "intent": record.intent}
    try:
        job = _adopted(aleph, error, adopt) if adopt else aleph.recover(error, settle=settle)
    except SubmitUncertainError as still:
        still.intent = record.intent
        for candidate in still.candidates:
            session.out.result(documents.job(candidate, kind="candidate"), candidate.id)
        session.out.fail(replace(session.failure(still), hint=_LOOK))
        return UNCERTAIN
    if job is None:
        told = "no job was started: submitting again is safe"
        session.out.note(f"{record.intent}: {told}")
        session.out.result({**document, "job_id": None, "message": told}, "")
        return DONE
    session.out.note(f"{record.intent}: {words.status(job)}; {session.resume(job.id)}")
    session.out.result({**document, "job_id": job.id, "status": job.status}, job.id)
    return DONE


def _adopted(aleph: Aleph, error: SubmitUncertainError, job_id: str) -> Job:
    """Write down which job it became.

    Raises:
        InvalidRequestError: There is no such job.
    """
    try:
        return aleph.adopt(error, job_id)
    except NotFoundError:
        problem = f"the server knows of no job {job_id!r} of this account"
        hint = "krea-aleph recover NAME shows the jobs that it may be."
        raise InvalidRequestError("--adopt", problem, hint=hint) from None
