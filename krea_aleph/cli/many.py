"""The command for many clips."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from krea_aleph import manifest
from krea_aleph.cli.exits import DONE, FAILED, UNCERTAIN, USAGE, code_of
from krea_aleph.cli.folders import problem_with
from krea_aleph.cli.params import Common, Keeping, Patience
from krea_aleph.cli.session import Session
from krea_aleph.errors import InvalidRequestError, KreaError, SubmitUncertainError
from krea_aleph.outcomes import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from krea_aleph.outcomes import Succeeded

_LIMITS = Group("Limits and money", sort_key=18)


def batch(
    manifest_file: Annotated[
        str,
        Parameter(
            name="MANIFEST",
            allow_leading_hyphen=True,  # - alone is a name here
            help="A CSV or JSONL file with columns video and prompt; - for stdin.",
        ),
    ],
    /,
    *,
    out: Annotated[
        str, Parameter(alias="-o", metavar="DIR", help="The folder that every result goes into.")
    ],
    exists: Annotated[
        Literal["error", "replace", "keep"],
        Parameter(show_default=True, help="What to do where a result's file exists."),
    ] = "keep",
    passthrough: Annotated[
        list[str] | None,
        Parameter(metavar="COLUMN", help="A column of yours, told with each outcome; repeatable."),
    ] = None,
    checks: Annotated[
        Literal["error", "warn", "off"],
        Parameter(show_default=True, help="What to do about rows that the contract forbids."),
    ] = "error",
    ordered: Annotated[
        bool, Parameter(help="Tell outcomes in the order of the rows, not as they end.")
    ] = False,
    delete_uploads: Annotated[
        bool, Parameter(help="Delete uploaded clips from Krea when their jobs are over.")
    ] = False,
    max_inflight: Annotated[
        int | None, Parameter(group=_LIMITS, metavar="N", help="How many jobs at once at most.")
    ] = None,
    max_submits: Annotated[
        int | None, Parameter(group=_LIMITS, metavar="N", help="How many to pay for in this run.")
    ] = None,
    stop_after_failures: Annotated[
        int | None, Parameter(group=_LIMITS, metavar="N", help="Stop after so many failures.")
    ] = None,
    no_credit: Annotated[
        Literal["stop", "pause"],
        Parameter(group=_LIMITS, show_default=True, help="What to do when the balance is empty."),
    ] = "stop",
    no_retry: Annotated[
        bool, Parameter(help="Do not submit again what has failed in an earlier run, for free.")
    ] = False,
    patience: Patience | None = None,
    common: Common | None = None,
    keeping: Keeping | None = None,
    session: Annotated[Session, Parameter(parse=False)],
) -> int:
    """Restyle all clips of a manifest, as many at once as the account runs.

    The same command run again does only what is missing, also after a crash, and pays for nothing
    twice. A row that is wrong stops no other. Exit code 3: some have failed; 5: of some it is not
    known whether a job was started.
    """
    patience, common = patience or Patience(), common or Common()
    if "://" not in out and (problem := problem_with(Path(out))):
        raise InvalidRequestError("--out", f"nothing can be written to {out!r}: {problem}")
    rows = manifest.read(manifest_file, passthrough or (), checks=checks)
    options: dict[str, Any] = {
        "output_dir": out,
        "exists": exists,
        "ordered": ordered,
        "delete_uploads": delete_uploads,
        "max_inflight": max_inflight,
        "max_submits": max_submits,
        "stop_after_failures": stop_after_failures,
        "no_credit": no_credit,
        "retry_failed": not no_retry,
        **patience.wait(),
    }
    session.batch = True
    client = session.client(common, keeping=keeping or Keeping(), patience=patience, checks=checks)
    with client as aleph, closing(aleph.batch(rows, **options)) as outcomes:
        return _tell(session, outcomes)


def _tell(session: Session, outcomes: Iterator[Succeeded | Failed]) -> int:
    tally = _Tally()
    try:
        for outcome in outcomes:
            if outcome.job is not None:
                session.out.flight(outcome.job.id, None)
                session.rows.pop(outcome.job.id, None)
            tally.take(outcome)
            failure = session.failure(outcome.error) if isinstance(outcome, Failed) else None
            session.out.outcome(outcome, failure)
    except KeyboardInterrupt:
        session.out.note(tally.line())
        raise
    except KreaError as error:
        if code_of(error) == USAGE:
            raise
        session.out.fail(session.failure(error))
        return _count(session, tally, tally.code if tally.uncertain else code_of(error))
    return _count(session, tally, tally.code)


def _count(session: Session, tally: _Tally, code: int) -> int:
    """Say how many have come to what, and return what the command ends with."""
    session.out.counts({"type": "batch", **asdict(tally), "exit_code": code}, tally.line())
    return code


@dataclass
class _Tally:
    """How many items have come to what."""

    done: int = 0
    failed: int = 0
    uncertain: int = 0

    def take(self, outcome: Succeeded | Failed) -> None:
        """Count an outcome; an uncertain submit has failed, too."""
        if not isinstance(outcome, Failed):
            self.done += 1
            return
        self.failed += 1
        self.uncertain += isinstance(outcome.error, SubmitUncertainError)

    @property
    def code(self) -> int:
        """What the command ends with."""
        if self.uncertain:
            return UNCERTAIN
        return FAILED if self.failed else DONE

    def line(self) -> str:
        """Return it in words."""
        return f"{self.done} done, {self.failed} failed"
