"""Submitting under an intent: one paid job at most, across calls, threads, processes and crashes.

The order is everything, and each line is on disk before the next one happens:

1. Claim the intent, so that nobody else submits it. Whoever is alive and at it is waited for.
2. On an exclusive account, take the turn: one POST at a time, and none while an earlier one is
   unresolved.
3. Mark what the server shows now, and write it down.
4. POST.
5. Write down which job it became, or that nothing was started, or that nobody knows.

Whoever finds an intent whose POST was sent by somebody who died knows as little as after a lost
answer, and resolves it in the same way.
"""

from __future__ import annotations

import itertools
import secrets
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from krea_aleph import owed
from krea_aleph._exchange import tell
from krea_aleph._hooks import expect, told_job
from krea_aleph._jobs import get
from krea_aleph._marks import Mark, jobs_since, let_arrive, take_mark
from krea_aleph._steps import call, now, sleep, today
from krea_aleph.errors import (
    IntentBusyError,
    IntentConflictError,
    InvalidRequestError,
    JobClaimedError,
    KreaError,
    StoreError,
    SubmitUncertainError,
)
from krea_aleph.notes import begun
from krea_aleph.store import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from krea_aleph._config import Config
    from krea_aleph._steps import Request, Steps
    from krea_aleph._wire import Prepared
    from krea_aleph.models import Job
    from krea_aleph.store import Phase, Store

T = TypeVar("T")

SETTLE_SECONDS: Final = 60.0
"""How long a request that was lost may take to land: later than that it is taken for gone."""

_STILL_OPEN: Final = (
    "Whether a job was started before is still open: make this very call again, no new submit."
)
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
_CALLS = itertools.count(1)


class Claim:
    """An intent that this call alone may submit, until it is released.

    Attributes:
        record: What the store has of it, as last written by this call.
        job_id: The job that it is known to have become, from before that is stored.
    """

    def __init__(self, store: Store, record: Record) -> None:
        self.store = store
        self.record = record
        self.job_id: str | None = None

    def write(self, **changes: object) -> None:
        """Store changes of the record. This blocks, briefly.

        Raises:
            StoreError: It could not be stored, or somebody else has taken the intent.
        """
        stored = self.store.write(replace(self.record, **changes))  # type: ignore[arg-type]
        if stored is None:
            message = f"the intent {self.record.intent!r} was written by somebody else"
            raise StoreError(message, hint="Look whether two stores or clocks are mixed up.")
        self.record = stored


def claim(config: Config, store: Store, wanted: Record) -> Steps[Claim]:
    """Take an intent, or find the job that it became already.

    Raises:
        IntentConflictError: It stands for another request.
        IntentBusyError: Somebody else is submitting it, for longer than one waits.
    """
    holder = yield from call(partial(_holder, store))
    patience = _Patience(config, f"the intent {wanted.intent!r}")
    while True:
        found = yield from call(partial(store.read, wanted.account, wanted.intent))
        record = found or wanted
        refuse_conflict(record, wanted)
        if record.job_id is not None:
            return Claim(store, record)
        busy = bool(record.holder) and (yield from call(partial(store.alive, record.holder)))
        if not busy:
            mine = yield from _take(store, replace(record, note=wanted.note or record.note), holder)
            if mine is not None:
                return Claim(store, mine)
        yield from patience.pause()


def _take(store: Store, record: Record, holder: str) -> Steps[Record | None]:
    """Take an intent; a call that is broken off meanwhile gives back what it may have taken."""
    try:
        return (yield from call(partial(store.write, replace(record, holder=holder))))
    except BaseException:
        _give_back(store, record, holder)
        raise


def _give_back(store: Store, record: Record, holder: str, job_id: str | None = None) -> None:
    """Release an intent if this call has it, with the job that it is known to have become.

    This is no step, so that it happens always, and it goes by what is stored: a write that was
    interrupted may have been made or not.
    """

    def give_back() -> None:
        found = store.read(record.account, record.intent)
        if found is None or found.holder != holder or found.job_id is not None:
            return
        if job_id is None:
            store.write(replace(found, holder=""))
        else:
            store.write(replace(found, phase="accepted", job_id=job_id))

    owed.tell(store, give_back)


def _holder(store: Store) -> str:
    """Return a name for this call: the process tells who is alive, the number whose turn it is."""
    return f"{store.holder()}:{next(_CALLS)}"


def refuse_conflict(record: Record, wanted: Record) -> None:
    """Refuse a request that is not the one that its intent stands for.

    Raises:
        IntentConflictError: It is another one; names the fields.
    """
    if record.fingerprint != wanted.fingerprint:
        names = sorted(record.fields.keys() | wanted.fields.keys())
        differ = (name for name in names if record.fields.get(name) != wanted.fields.get(name))
        raise IntentConflictError(wanted.intent, tuple(differ))


class _Patience:
    """Waiting for somebody who is at it: not for ever, because callers have callers."""

    def __init__(self, config: Config, what: str) -> None:
        self._limit = config.retry.max_elapsed + SETTLE_SECONDS
        self._what = what
        self._pause = _FIRST_PAUSE
        self._since: float | None = None

    def pause(self) -> Steps[None]:
        moment = yield from now()
        self._since = moment if self._since is None else self._since
        if moment - self._since >= self._limit:
            raise IntentBusyError(f"{self._what} is being submitted by somebody else")
        yield from sleep(self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)


def record_of(prepared: Prepared) -> Record:
    """Return the record of a checked request; one without an intent gets one of its own."""
    checked = prepared.checked
    return Record(
        account=checked.account,
        intent=checked.intent or f"auto:{secrets.token_hex(16)}",
        fingerprint=checked.fingerprint,
        fields=prepared.digests(),
        note=prepared.note(),
    )


def submit(
    config: Config,
    store: Store,
    wanted: Record,
    make: Callable[[str], Steps[Request]],
    post: Callable[[Request, Mark, Callable[[], Steps[None]]], Steps[Job]],
) -> Steps[Job]:
    """Start the job of an intent, unless it was started already.

    Args:
        config: The client's.
        store: The client's.
        wanted: The intent, as it is recorded if it is new.
        make: Uploads what is to be uploaded and returns the paid request; it is given the
            intent's nonce.
        post: Sends it, once.

    Raises:
        SubmitUncertainError: It may have been started, now or by somebody who died.
        KreaError: It was not.
    """
    try:
        mine = yield from claim(config, store, wanted)
        if mine.record.job_id is not None:
            return (yield from get(config, mine.record.job_id))
        try:
            return (yield from _submit_claimed(config, mine, make, post))
        finally:
            let_go(config, mine)
    except KreaError as error:
        error.intent = wanted.intent
        raise


def find(config: Config, store: Store, wanted: Record) -> Steps[Job | None]:
    """Return the job of an intent, if it has one, and resolve what was left open; start nothing.

    Raises:
        SubmitUncertainError: It cannot be told.
    """
    try:
        mine = yield from claim(config, store, wanted)
        if mine.record.job_id is not None:
            return (yield from get(config, mine.record.job_id))
        try:
            return (yield from _find_claimed(config, mine))
        finally:
            let_go(config, mine)
    except KreaError as error:
        error.intent = wanted.intent
        raise


def _find_claimed(config: Config, mine: Claim) -> Steps[Job | None]:
    if mine.record.phase == "new":
        return None
    return (yield from leaving_open(mine.record.intent, _resolve_in_turn(config, mine)))


def _submit_claimed(
    config: Config,
    mine: Claim,
    make: Callable[[str], Steps[Request]],
    post: Callable[[Request, Mark, Callable[[], Steps[None]]], Steps[Job]],
) -> Steps[Job]:
    found = yield from _find_claimed(config, mine)
    if found is not None:
        return found
    request = yield from make(mine.record.nonce)
    yield from take_turn(config, mine)
    mark = yield from take_mark(config)
    yield from call(partial(mine.write, phase="posting", mark=mark.dump()))
    return (yield from _post(config, mine, partial(post, request, mark, partial(_hold, mine))))


def _hold(mine: Claim) -> Steps[None]:
    """Make sure that an intent is still one's own.

    While a refused request waits to be sent again, its process may be cut off from the store for so
    long that another takes it for dead.

    Raises:
        StoreError: Somebody else has it, or that cannot be told.
    """
    yield from call(partial(mine.write, phase="posting"))


def _resolve_in_turn(config: Config, mine: Claim) -> Steps[Job | None]:
    yield from take_turn(config, mine)
    return (yield from resolve(config, mine, SETTLE_SECONDS))


def leaving_open(intent: str | None, asking: Steps[T]) -> Steps[T]:
    """Ask what became of a lost request; an answer that cannot be had leaves the question open.

    Errors of the asking are about the asking: by themselves they would call it safe to pay again.
    """
    try:
        return (yield from asking)
    except KreaError as error:
        error.intent = intent
        if not isinstance(error, (SubmitUncertainError, InvalidRequestError)):
            error.charged, error.resubmit = "unknown", "never"
            error.hint = f"{error.hint} {_STILL_OPEN}".strip()
        raise


def _post(config: Config, mine: Claim, post: Callable[[], Steps[Job]]) -> Steps[Job]:
    try:
        job = yield from post()
    except SubmitUncertainError:
        with suppress(StoreError):  # what is written says that it was sent: that is as open
            yield from _note_unknown(mine)
        raise
    except KreaError:
        yield from call(partial(mine.write, phase="new", mark=None))
        raise
    yield from _note_accepted(config, mine, job)
    return job


def _note_unknown(mine: Claim) -> Steps[None]:
    """Write down that the answer was lost, and when: settling begins now."""
    mark = _mark(mine.record)._replace(at=(yield from today()))
    yield from call(partial(mine.write, phase="unknown", mark=mark.dump()))


def _note_accepted(config: Config, mine: Claim, job: Job) -> Steps[None]:
    """Write down which job it became. A job that is paid for is handed out all the same."""
    mine.job_id = job.id
    try:
        yield from call(partial(mine.write, **_accepted(mine, job)))
    except StoreError as error:
        yield from tell(config, "store_failed", job_id=job.id, error=type(error).__name__)
    yield from expect(config, mine.record.nonce, job.id)


def _accepted(mine: Claim, job: Job) -> dict[str, str]:
    """Return what changes in the record of an intent that has become a job."""
    return {"phase": "accepted", "job_id": job.id, "note": begun(mine.record.note, job)}


def let_go(config: Config, mine: Claim) -> None:
    """Release the intent and the turn, whatever happened."""
    holder = mine.record.holder
    if config.exclusive:
        owed.tell(mine.store, partial(mine.store.unlock, mine.record.account, holder))
    _give_back(mine.store, mine.record, holder, mine.job_id)


def take_turn(config: Config, mine: Claim) -> Steps[None]:
    """On an exclusive account, wait until nobody else submits, and resolve what is left open."""
    if not config.exclusive:
        return
    patience = _Patience(config, f"the account {config.account!r}")
    while not (yield from call(partial(mine.store.lock, config.account, mine.record.holder))):
        yield from patience.pause()
    phases: Sequence[Phase] = ("posting", "unknown")
    for record in (yield from call(partial(mine.store.find, config.account, phases))):
        if record.intent != mine.record.intent:
            yield from _clear_up(config, mine, record)


def _clear_up(config: Config, mine: Claim, record: Record) -> Steps[None]:
    """Resolve somebody else's intent; what cannot be is parked, and blocks nobody any more."""
    taken = yield from _take(mine.store, record, mine.record.holder)
    if taken is None:
        return  # whoever it belongs to has come back
    theirs = Claim(mine.store, taken)
    try:
        yield from resolve(config, theirs, SETTLE_SECONDS)
    except SubmitUncertainError:
        pass
    finally:
        _give_back(theirs.store, theirs.record, theirs.record.holder)


def resolve(config: Config, mine: Claim, settle: float) -> Steps[Job | None]:
    """Find out what became of a request whose answer nobody has.

    Returns:
        The job, or None when it is proved that none was started.

    Raises:
        SubmitUncertainError: It cannot be told; ``candidates`` has the jobs that it may be.
    """
    proved = yield from _proved(config, mine)
    if proved is not None:
        return proved
    if mine.record.phase == "posting":  # whoever sent it has died: nobody knows when it lands
        yield from _note_unknown(mine)
    mark = _mark(mine.record)
    yield from let_arrive(config, mark, settle)
    proved = yield from _proved(config, mine)
    if proved is not None:
        return proved
    candidates = yield from _candidates(config, mine.store, mark)
    if not candidates:
        yield from call(partial(mine.write, phase="new", mark=None))
        return None
    if len(candidates) == 1 and config.exclusive and (yield from _alone(mine)):
        return (yield from _adopted(config, mine, candidates[0]))
    yield from call(partial(mine.write, phase="parked"))
    raise _uncertain(mine.record, tuple(candidates))


def _proved(config: Config, mine: Claim) -> Steps[Job | None]:
    """Return the job that a webhook on the intent's own path has told of, if one has.

    That path was in this intent's request and nowhere else: it proves whose the job is, on shared
    accounts too. A job that is another intent's already proves only that somebody has copied it.
    """
    job = yield from told_job(config, mine.record.nonce)
    if job is None:
        return None
    try:
        return (yield from _adopted(config, mine, job))
    except JobClaimedError:
        yield from tell(config, "webhook_refused", job_id=job.id, problem="claimed")
        return None


def _candidates(config: Config, store: Store, mark: Mark) -> Steps[list[Job]]:
    """Return the jobs that came after a mark and belong to no intent."""
    jobs = yield from jobs_since(config, mark)
    ids = [job.id for job in jobs]
    taken = yield from call(partial(store.claimed, config.account, ids))
    return [job for job in jobs if job.id not in taken]


def _alone(mine: Claim) -> Steps[bool]:
    """Whether no other request of the account is in flight or unresolved.

    One that is parked had settled before this one's mark was taken.
    """
    phases: Sequence[Phase] = ("posting", "unknown")
    found = yield from call(partial(mine.store.find, mine.record.account, phases))
    return all(record.intent == mine.record.intent for record in found)


def _adopted(config: Config, mine: Claim, job: Job) -> Steps[Job]:
    yield from call(partial(mine.write, **_accepted(mine, job)))
    yield from expect(config, mine.record.nonce, job.id)
    yield from tell(config, "recovered", job_id=job.id)
    return job


def adopt(config: Config, mine: Claim, job: Job) -> Steps[Job]:
    """Record a human's decision that a job belongs to an intent.

    Raises:
        JobClaimedError: It belongs to another one.
    """
    if mine.record.job_id not in {None, job.id}:
        raise JobClaimedError(
            f"the intent {mine.record.intent!r} has become job {mine.record.job_id} already",
            job_id=mine.record.job_id,
        )
    return (yield from _adopted(config, mine, job))


def _mark(record: Record) -> Mark:
    return Mark.load(record.mark) if record.mark else Mark(None, frozenset(), record.updated_at)


def _uncertain(record: Record, candidates: tuple[Job, ...]) -> SubmitUncertainError:
    count = len(candidates)
    error = SubmitUncertainError(
        f"a job may or may not have been started for the intent {record.intent!r}; jobs that"
        f" came after it and belong to no intent: {count}",
        since=record.uncertain().since,
        fingerprint=record.fingerprint,
        candidates=candidates,
        account=record.account,
        mark=record.mark,
    )
    error.intent = record.intent
    error.hint = "Look at error.candidates; adopt(error, job) records which one it is."
    return error
