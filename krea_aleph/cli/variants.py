"""The variants of one request that this command pays for, as the store has them.

The first one is written down under a name that is made of the request, the next ones under
``name#2``, ``name#3``, ... Each is an intent like any other: one paid job at most.
"""

from __future__ import annotations

import itertools
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from krea_aleph.errors import InvalidRequestError, NotFoundError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph import Aleph, Record, Store
    from krea_aleph.models import Job

_UNKNOWN: Final = ("posting", "unknown", "parked")
_TWICE: Final = "--new said twice pays for another one all the same."
# How long another process may take between giving a file its name and writing that down.
_LOOKS: Final = 30
_PAUSE: Final = 0.1


class Variant(NamedTuple):
    """One variant.

    Attributes:
        intent: What it is written down as.
        record: What the store has of it, if it has been begun.
    """

    intent: str
    record: Record | None

    def is_saved_to(self, where: str) -> bool:
        """Whether its result was saved there, or into that folder."""
        path = "" if self.record is None else self.record.path
        return bool(path) and where in {path, str(path).rpartition("/")[0], _parent(str(path))}


def place(output: str) -> str:
    """Return where a result goes, the same from whichever folder and however it is said.

    The last part of a name stays what it is, because a link is replaced by the result.
    """
    if "://" in output:
        return output.rstrip("/")
    path = Path(output)
    found = path.resolve() if path.is_dir() else path.parent.resolve() / path.name
    return str(found).encode(errors="replace").decode()


def newest(store: Store, account: str, name: str) -> Variant:
    """Return the newest variant, or the first one to come."""
    last = Variant(name, store.read(account, name))
    for number in itertools.count(2):
        if last.record is None:
            break
        further = f"{name}#{number}"
        record = store.read(account, further)
        if record is None:
            break
        last = Variant(further, record)
    return last


def another(aleph: Aleph, last: Variant, name: str, where: str, *, insisted: bool) -> Variant:
    """Return the variant that is to be made beside those that there are.

    One that was not sent is made now: so a crash before that pays for nothing twice.

    Raises:
        InvalidRequestError: The last one is not over yet, and nobody insists.
        SubmitUncertainError: It is not known whether it was started, likewise.
    """
    record = last.record
    if record is None or record.phase == "new":
        return last
    if not insisted:
        _refuse_unless_over(aleph, record, where)
    _, _, number = last.intent.removeprefix(name).rpartition("#")
    return Variant(f"{name}#{int(number or 1) + 1}", None)


def _refuse_unless_over(aleph: Aleph, record: Record, where: str) -> None:
    if record.phase in _UNKNOWN:
        raise record.uncertain()
    job = _seen(aleph, record)
    if job is None or (job.finished and not job.succeeded):
        return
    if not job.finished:
        raise _refusal("--new", f"the variant before, job {job.id}, is {job.status} yet", job)
    if where and record.path is None and not Path(where).is_file():
        problem = f"the variant before, job {job.id}, is done, and its result is not saved here"
        raise _refusal("--new", problem, job)


def refuse_to_pay_for_a_move(
    aleph: Aleph, store: Store, fingerprint: str, where: str
) -> Record | None:
    """Return the newest job of the same request that went somewhere else, if there is one.

    Raises:
        InvalidRequestError: Its result is still to be had, and nobody is at it.
    """
    records = store.find(aleph.account, ["accepted"])
    record = next((one for one in reversed(records) if one.fingerprint == fingerprint), None)
    if record is None or record.path is not None or store.alive(record.holder) or not where:
        return record
    job = _seen(aleph, record)
    if job is None or (job.finished and not job.succeeded):
        return None
    problem = f"the same request is job {job.id} already, whose result is not saved yet"
    raise _refusal("output", problem, job, "To save it here costs nothing; --new pays for another.")


def note_saved(store: Store, account: str, intent: str, path: object) -> None:
    """Write down where the result of a variant is. It is there also when that fails."""
    with suppress(StoreError):
        while (record := store.read(account, intent)) is not None:
            saved = replace(record, path=place(str(path)))
            if record == saved or store.write(saved) is not None:
                return


def saved_meanwhile(store: Store, account: str, intent: str, where: str) -> bool:
    """Whether another process has saved the result of a variant there, or is about to say so."""
    for _ in range(_LOOKS):
        record = store.read(account, intent)
        if Variant(intent, record).is_saved_to(where):
            return True
        if record is None or not store.alive(record.holder):
            return False
        time.sleep(_PAUSE)
    return False


def _seen(aleph: Aleph, record: Record) -> Job | None:
    """Return the job as it is now; None if the server does not know it, such as a restarted one."""
    try:
        return aleph.get(record.job_id or "")
    except NotFoundError:
        return None


def _refusal(field: str, problem: str, job: Job, hint: str = _TWICE) -> InvalidRequestError:
    error = InvalidRequestError(field, problem, hint=hint)
    error.job_id, error.resubmit = job.id, "never"
    return error


def _parent(path: str) -> str:
    return str(Path(path).parent)
