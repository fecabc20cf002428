"""The commands that see to enqueued jobs: how they stand, what became of them, and what next."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Annotated, Any, Final

from cyclopts import Parameter

from krea_aleph.cli import documents
from krea_aleph.cli.applications import ENGINE, Where
from krea_aleph.cli.commands import joined, program
from krea_aleph.cli.exits import DONE, TIMEOUT
from krea_aleph.cli.params import WAITING
from krea_aleph.cli.session import Session
from krea_aleph.errors import DownloadError, JobError, KreaError, one_line
from krea_aleph.outcomes import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph.cli.failures import Failure
    from krea_aleph.outcomes import Succeeded

_NOT_SAVED: Final = "See to what was in the way; nothing is paid again."
_GOES_ON: Final = "It goes on. Without a worker it waits: see krea-aleph status."
_JSON: Final = Parameter(help="Print one JSON document a line on stdout, and nothing else.")


def status(
    *,
    failed: Annotated[
        bool, Parameter(group=ENGINE, help="Name the jobs that failed, too: the latest 100.")
    ] = False,
    json: Annotated[bool, _JSON] = False,
    where: Where | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Show how many jobs are in which state, who works on them, and which accounts rest."""
    del json
    with (where or Where()).opened() as app:
        found = app.status()
        failures = app.failures() if failed else []
    for outcome in failures:
        told = session.failure(outcome.error)
        document = {"type": "failed", "intent": outcome.item, "error": told.document()}
        session.out.result(document, f"{one_line(outcome.item)}: {told.message}")
    session.out.result({"type": "status", **asdict(found)}, str(found))


def result(
    name: Annotated[str, Parameter(help="The job's, as enqueue has printed it.")],
    /,
    *,
    wait_timeout: Annotated[
        float | None,
        Parameter(
            group=WAITING,
            metavar="SECONDS",
            help="How long to wait; default, and 0: until it is over.",
        ),
    ] = None,
    now: Annotated[bool, Parameter(group=WAITING, help="Do not wait: look once.")] = False,
    json: Annotated[bool, _JSON] = False,
    where: Where | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> int:
    """Wait until an enqueued job is over; print where its result is, or why it has failed.

    The exit codes are those of run: 4 where it is not over yet.
    """
    del json
    where = where or Where()
    patience = 0.0 if now else wait_timeout or None
    with where.opened() as app:
        try:
            outcome = app.result(name, wait_timeout=patience)
        except TimeoutError as error:
            failure = replace(session.failure(error), hint=_GOES_ON, exit_code=TIMEOUT)
            return _fail(session, replace(failure, go_on=(_command(where, "result", name),)), name)
    session.paying = True
    if isinstance(outcome, Failed):
        return _fail(session, _failure(session, where, name, outcome.error), name)
    session.out.result(*_told(outcome))
    return DONE


def _told(outcome: Succeeded) -> tuple[dict[str, Any], str]:
    """Return where the result of a job is, as a document and as text."""
    if outcome.saved is not None:
        return documents.saved(outcome.saved), str(outcome.saved.path)
    if outcome.job is None:
        raise RuntimeError("the engine knows the job of whatever is done")
    return documents.job(outcome.job), "\n".join(one_line(o.url) for o in outcome.job.outputs)


def _failure(session: Session, where: Where, name: str, error: KreaError) -> Failure:
    """Return why a job has failed, and unless Krea has ended it, how to try it again."""
    failure = session.failure(error)
    ended = isinstance(error, JobError) and error.job.finished
    again = () if ended else (_command(where, "retry", name),)
    hint = _NOT_SAVED if isinstance(error, DownloadError) else failure.hint
    return replace(failure, go_on=again, hint=hint)


def _fail(session: Session, failure: Failure, name: str) -> int:
    session.out.fail(replace(failure, intent=name))
    return failure.exit_code


def _command(where: Where, *words: str) -> str:
    return joined([*program(), *words, *where.words()])


def retry(
    name: Annotated[str, Parameter(help="The job's, as enqueue has printed it.")],
    /,
    *,
    json: Annotated[bool, _JSON] = False,
    where: Where | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Let a job that has failed be tried again, once somebody has seen to what was in its way.

    What is paid for is not paid again. A job that Krea has ended stays ended: enqueue that under
    another name.
    """
    del json
    with (where or Where()).opened() as app:
        app.retry(name)
    session.out.result({"type": "retried", "intent": name}, name)


def wake(
    account: Annotated[str | None, Parameter(help="Its label; without it all.")] = None,
    /,
    *,
    json: Annotated[bool, _JSON] = False,
    where: Where | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Let what rests try again now, such as after topping up the balance."""
    del json
    with (where or Where()).opened() as app:
        told = app.wake(account)
    text = f"{told} that are under way were told to try again, if they rest"
    session.out.result({"type": "woken", "count": told}, text)


def slots(
    number: Annotated[int, Parameter(name="N", help="How many jobs of an account at once.")],
    /,
    *,
    json: Annotated[bool, _JSON] = False,
    where: Where | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Change how many jobs of an account are under way at once, for every worker, from now on."""
    del json
    with (where or Where()).opened() as app:
        app.set_slots(number)
    session.out.result({"type": "slots", "slots": number}, f"{number} at once")


def rescue(
    executor_id: Annotated[
        str | None, Parameter(help="The worker; without it all that are dead.")
    ] = None,
    /,
    *,
    json: Annotated[bool, _JSON] = False,
    where: Where | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> None:
    """Give the jobs of workers that will never come back to those that live.

    A worker that is started again under its own name takes up its jobs by itself.
    """
    del json
    with (where or Where()).opened() as app:
        intents = app.rescue(executor_id)
    session.out.result({"type": "rescued", "intents": intents}, "\n".join(intents) or "nothing")
