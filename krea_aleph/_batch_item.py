"""One item of a batch, from its check to its file; each is an operation beside the batch's own."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

from krea_aleph import _intents, _wire
from krea_aleph._assets import give_back
from krea_aleph._exchange import tell
from krea_aleph._journal import Attempt, last_attempt, note_end
from krea_aleph._results import go_through
from krea_aleph._steps import call, now, overhearing, sleep
from krea_aleph._submit import ask_leave, prepare, request_for, sign_all, start, upload_all
from krea_aleph._uploads import Lease
from krea_aleph.errors import (
    AuthenticationError,
    InsufficientCreditsError,
    IntentConflictError,
    InvalidRequestError,
    KreaError,
    KreaWarning,
    RateLimitError,
    from_job,
)
from krea_aleph.models import Saved
from krea_aleph.outcomes import Failed, Succeeded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph._batch_run import Entry, Run
    from krea_aleph._saving import Destination
    from krea_aleph._steps import Request, Steps
    from krea_aleph._wire import Prepared
    from krea_aleph.models import Event, Job, Update

# Whose key or credit does not do now may have what it takes later; the item is as good as before.
_NO_CREDIT: Final = (AuthenticationError, InsufficientCreditsError)
_OF_ONE_ITEM: Final = frozenset({"submitted", "transfer"})
# Seconds to leave the server alone when it refuses questions that cost nothing.
_PAUSE: Final = 10.0


class _Dropped(Exception):  # noqa: N818 - nobody's error
    """The batch submits nothing more, and this item has not been submitted."""


class _Standing(NamedTuple):
    """How an item stands whose files are not there, before anything is sent for it.

    Attributes:
        target: Where its files go.
        attempt: The last one at it.
    """

    target: Destination
    attempt: Attempt


def perform(run: Run, entry: Entry) -> Steps[None]:
    """Bring an item to its end, and hand over its outcome."""
    outcome: Succeeded | Failed | None = None
    wish = entry.wish
    try:
        saved = yield from _bring(run, entry)
        outcome = Succeeded(wish.index, wish.item, entry.job, saved)
    except _Dropped:
        pass
    except KreaError as error:
        job = getattr(error, "job", None) or entry.job
        outcome = Failed(wish.index, wish.item, job, error)
        yield from _note(run, entry, job, error=error)
    except KreaWarning as warning:  # whoever makes it an error wants nothing sent
        outcome = Failed(wish.index, wish.item, None, InvalidRequestError("request", str(warning)))
    except Exception as error:  # noqa: BLE001 - a bug, or an error of a callable of the user's
        run.halt(error)
    finally:
        run.finish(entry, outcome)


def _bring(run: Run, entry: Entry) -> Steps[Saved]:
    """Return the files of an item, which are there already, or are to be had, or to be paid for."""
    if not entry.leads and entry.leader.saved and entry.leader.place == entry.wish.place:
        entry.job = entry.leader.job
        return entry.leader.saved
    standing = yield from call(partial(_look, run, entry))
    if isinstance(standing, Saved):
        return standing
    config = run.config
    intent = None if config.store is None else standing.attempt.intent
    where = run.folder.path(entry.wish.place)
    draft = entry.wish.draft._replace(intent=intent, output=where)
    prepared = yield from prepare(config, lambda: draft)
    lease = Lease(config.uploads, keep=not run.options.delete_uploads)
    getting = _get(run, entry, prepared, standing, lease)
    going = go_through(config, getting, standing.target, run.options.wait_timeout, lease)
    try:
        saved = yield from overhearing(going, partial(_saw, run, entry), partial(_placed, entry))
    except _NO_CREDIT as error:
        yield from _without_credit(run, entry, error)
        raise
    except _Dropped:
        yield from give_back(config, lease, None)
        raise
    finally:
        lease.end()
    yield from _note(run, entry, saved.job or entry.job, path=saved.path)
    return saved


def _look(run: Run, entry: Entry) -> Saved | _Standing:
    """Return the files if they are there already, else how the item stands. This blocks.

    Raises:
        InvalidRequestError: Nothing could be saved where the result goes.
    """
    wish, exists = entry.wish, run.options.exists
    attempt = last_attempt(run.config.store, run.config.account, wish.intent)
    if attempt.was_saved_to(run.folder.path(wish.place)) and run.folder.has(wish.place):
        return run.folder.keep(wish.place)
    target = run.folder.target(wish.place, exists)
    (found,) = target.standing()
    if found is not None and exists == "keep":
        return run.folder.keep(wish.place)
    return _Standing(target, attempt)


def _of_leader(entry: Entry, prepared: Prepared) -> Steps[Job | None]:
    """Return the job of an earlier item with the same request, if it had one.

    Raises:
        IntentConflictError: The requests look the same, and are not.
        KreaError: What the other one has failed with.
    """
    leader, fingerprint = entry.leader, prepared.checked.fingerprint
    if entry.leads:
        leader.fingerprint = fingerprint
    elif leader.fingerprint:
        if leader.fingerprint != fingerprint:
            raise IntentConflictError(entry.wish.intent, ("video",))
        if leader.error is not None:
            raise leader.error
        return leader.job
    yield from ()
    return None


def _get(
    run: Run,
    entry: Entry,
    prepared: Prepared,
    standing: _Standing,
    lease: Lease,
) -> Steps[Job]:
    """Return the job of an item: an earlier one that is as good, or one that is paid for now."""
    earlier, attempt = (yield from _of_leader(entry, prepared)), standing.attempt
    while True:
        try:
            if earlier is None:
                earlier, attempt = yield from _of_journal(run, prepared, entry, attempt)
                entry.intent = attempt.intent
            if earlier is None:
                return (yield from _pay(run, entry, _under(prepared, run, attempt), lease))
            return (yield from _adopt(run, entry, earlier))
        except _NO_CREDIT as error:
            yield from _without_credit(run, entry, error)
            yield from _rest(run, entry)
        except RateLimitError as error:
            pause = error.retry_after or _PAUSE
            run.gate.close((yield from now()), pause)
            yield from _rest(run, entry, pause)


def _of_journal(
    run: Run, prepared: Prepared, entry: Entry, attempt: Attempt
) -> Steps[tuple[Job | None, Attempt]]:
    """Return what the last attempt has come to, and the attempt that counts now.

    Raises:
        JobError: It has failed, and is not tried again.
    """
    store, record = run.config.store, attempt.record
    if store is None or record is None:
        return None, attempt
    wanted = _intents.record_of(_under(prepared, run, attempt))
    _intents.refuse_conflict(record, wanted)
    if record.phase == "new":
        return None, attempt
    job = yield from _intents.find(run.config, store, wanted)
    error = from_job(job) if job is not None and job.finished else None
    if error is None:
        return job, attempt
    if not run.options.retry_failed or error.resubmit != "safe":
        raise error
    return None, attempt.next(entry.wish.intent)


def _under(prepared: Prepared, run: Run, attempt: Attempt) -> Prepared:
    """Return a request under the intent of an attempt."""
    if run.config.store is None:
        return prepared
    return prepared._replace(checked=replace(prepared.checked, intent=attempt.intent))


def _adopt(run: Run, entry: Entry, job: Job) -> Steps[Job]:
    """Go on with a job that is there: while it runs, it has one of the account's slots."""
    entry.job = job
    if not job.finished:
        entry.moment = yield from now()
        run.gate.accept(entry.ticket, job, entry.moment)
        run.move(entry, "in flight")
    return job


def _pay(run: Run, entry: Entry, prepared: Prepared, lease: Lease) -> Steps[Job]:
    """Upload, wait for a place, and submit; a refusal for want of a place leads back to the gate.

    Raises:
        _Dropped: The batch submits nothing more.
        KreaError: No job was started, or perhaps one was.
    """
    config = run.config
    if run.over:
        raise _Dropped
    if not entry.allowed:
        yield from ask_leave(config, prepared.checked)
        entry.allowed = True
    addresses = yield from upload_all(config, prepared, lease)

    def make(nonce: str) -> Steps[Request]:
        signed = yield from sign_all(config, prepared)
        entry.posted = True
        return request_for(config, prepared, addresses, nonce, signed=signed)

    while True:
        yield from _pass(run, entry)
        entry.posted = False
        try:
            job = yield from start(config, prepared, make, patient=False)
        except KreaError as error:
            run.settle(paid=entry.posted and error.charged != "no")
            entry.moment = yield from now()
            if not isinstance(error, RateLimitError) or error.operation != _wire.SUBMIT:
                run.gate.leave(entry.ticket, entry.moment)
                raise
            run.gate.refuse(entry.ticket, entry.moment, error.retry_after)
        else:
            run.settle(paid=entry.posted)
            entry.job, entry.moment = job, (yield from now())
            run.gate.accept(entry.ticket, job, entry.moment)
            run.move(entry, "in flight")
            return job


def _pass(run: Run, entry: Entry) -> Steps[None]:
    """Wait at the gate until a submit may leave.

    Raises:
        _Dropped: The batch submits nothing more.
    """
    ticket = entry.ticket
    run.gate.enter(ticket)
    while True:
        ticket.bell.heard()
        if run.over:
            raise _Dropped
        entry.moment = yield from now()
        pause: float | None = math.inf
        if not run.all_reserved:
            pause = run.gate.passes(ticket, entry.moment)
        if pause is None:
            if run.reserve():
                return
            run.gate.leave(ticket, entry.moment)
            run.gate.enter(ticket)
            pause = math.inf
        yield from sleep(pause, ticket.bell)


def _without_credit(run: Run, entry: Entry, error: KreaError) -> Steps[None]:
    """Stop the batch or let it pause, as it was asked for.

    Raises:
        _Dropped: It stops, and nothing was started for this item.
    """
    if run.options.no_credit == "stop":
        run.halt(error)
        if entry.job is None:
            raise _Dropped from error
    elif run.gate.no_credit((yield from now())):
        yield from tell(run.config, "paused", error=type(error).__name__)


def _rest(run: Run, entry: Entry, seconds: float | None = None) -> Steps[None]:
    """Wait until it is worth asking again."""
    entry.moment = yield from now()
    entry.ticket.bell.heard()
    if run.over:
        raise _Dropped
    pause = run.gate.closed_for(entry.moment) if seconds is None else seconds
    yield from sleep(pause, entry.ticket.bell)


def _placed(entry: Entry, event: Event) -> Event:
    """Return an event with the place of its item; a look may be for jobs of other items, too."""
    if event.kind not in _OF_ONE_ITEM:
        return event
    return replace(event, index=entry.wish.index)


def _saw(run: Run, entry: Entry, update: Update) -> Steps[None]:
    """Take note of how a job is doing; the slot of one that has ended is free at once."""
    entry.job, entry.moment = update.job, (yield from now())
    run.gate.see(entry.ticket, update.job, entry.moment)
    if update.job.finished:
        run.move(entry, "saving")


def _note(run: Run, entry: Entry, job: Job | None, **end: Any) -> Steps[None]:
    """Write down how it ended. A result is there also when that fails."""
    if run.config.store is not None and entry.leads:
        yield from note_end(run.config, entry.intent, job=job, **end)
