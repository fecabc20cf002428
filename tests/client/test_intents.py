"""One intent, one paid job: across calls, threads, lost answers and dead processes."""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hostile import answer, raw_server

from krea_aleph import (
    ConfigError,
    Event,
    InsufficientCreditsError,
    IntentBusyError,
    IntentConflictError,
    InternalServerError,
    InvalidRequestError,
    JobClaimedError,
    PermissionDeniedError,
    RateLimitError,
    Record,
    RetryPolicy,
    SQLiteStore,
    StoreError,
    SubmitUncertainError,
)
from krea_aleph.emulator import Emulator, Fault

CREATE = "create_aleph_job"
CLIP = "https://example.com/in.mp4"
LOST = Fault(operation=CREATE, drop="after")


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    """A store of the test's own."""
    return SQLiteStore(tmp_path / "jobs.sqlite3")


@pytest.fixture
def studio(open_client: Any, store: SQLiteStore) -> Any:
    """A client whose account is shared with others."""
    return open_client(store=store)


@pytest.fixture
def alone(open_client: Any, store: SQLiteStore) -> Any:
    """A client whose account nobody else submits to."""
    return open_client(store=store, exclusive=True)


def test_the_same_intent_is_the_same_job(studio: Any, emulator: Emulator) -> None:
    """Calling twice pays once, and gives the first job as it is now."""
    first = studio.submit(CLIP, "night", intent="shot-1")
    done = studio.wait(first)
    again = studio.submit(CLIP, "night", intent="shot-1")
    assert (again.id, again.status) == (first.id, done.status)
    assert emulator.accepted == 1
    assert studio.submit(CLIP, "night", intent="shot-2").id != first.id


def test_another_client_of_the_store_attaches_too(
    open_client: Any, store: SQLiteStore, tmp_path: Path, emulator: Emulator
) -> None:
    """A program that is run again, with the file that it left, goes on with the job it had."""
    first = open_client(store=store).submit(CLIP, "night", intent="shot-1")
    store.close()
    later = open_client(store=SQLiteStore(tmp_path / "jobs.sqlite3"))
    assert later.submit(CLIP, "night", intent="shot-1").id == first.id
    assert emulator.accepted == 1


def test_an_uploaded_clip_is_known_by_its_content(
    studio: Any, clip: Path, tmp_path: Path, emulator: Emulator
) -> None:
    """A copy under another name is the same request; nothing is uploaded for a known intent."""
    first = studio.submit(clip, "night", intent="shot-1")
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    assert studio.submit(copy, "night", intent="shot-1").id == first.id
    assert sum(request.operation == "upload_asset" for request in emulator.requests) == 1


def test_an_intent_stands_for_one_request(studio: Any, emulator: Emulator) -> None:
    """Another request under the same name is refused before anything is sent, field by field."""
    studio.submit(CLIP, "night", intent="shot-1", seed=1)
    with pytest.raises(
        IntentConflictError, match="another request, which differs in prompt, ratio\\."
    ) as caught:
        studio.submit(CLIP, "day", intent="shot-1", seed=1, ratio="1280:720")
    assert caught.value.fields == ("prompt", "ratio")
    assert (caught.value.charged, caught.value.intent) == ("no", "shot-1")
    assert pickle.loads(pickle.dumps(caught.value)) == caught.value  # noqa: S301 - ours
    assert emulator.accepted == 1


def test_accounts_have_intents_of_their_own(
    open_client: Any, studio: Any, store: SQLiteStore, emulator: Emulator
) -> None:
    """The same name on another account is another intent."""
    emulator.add_account("other-id:other-secret")
    other = open_client(store=store, account="other", api_key="other-id:other-secret")
    first = studio.submit(CLIP, "night", intent="shot-1")
    assert other.submit(CLIP, "day", intent="shot-1").id != first.id


@pytest.mark.parametrize("intent", ["", "two\nlines", "x" * 501, 7])
def test_what_is_no_intent_is_refused(studio: Any, intent: Any) -> None:
    """A name must be a printable text that can be stored and logged."""
    with pytest.raises(InvalidRequestError, match="is no printable text of 1 to 500"):
        studio.submit(CLIP, "night", intent=intent)


def test_an_intent_needs_a_store(aleph: Any, emulator: Emulator) -> None:
    """Without one nobody would remember it, so it is refused before anything is sent."""
    with pytest.raises(ConfigError, match="intent: without a store nobody remembers it"):
        aleph.submit(CLIP, "night", intent="shot-1")
    assert not emulator.requests


def test_exclusive_needs_a_store(open_client: Any) -> None:
    """So does the promise that nobody else submits."""
    with pytest.raises(ConfigError, match="exclusive: without a store"):
        open_client(exclusive=True)


def test_a_refused_submit_may_be_tried_again(studio: Any, emulator: Emulator) -> None:
    """What surely started nothing leaves the intent free for the next call."""
    emulator.fault(Fault(operation=CREATE, status=402))
    with pytest.raises(InsufficientCreditsError) as caught:
        studio.submit(CLIP, "night", intent="shot-1")
    assert caught.value.intent == "shot-1"
    assert studio.submit(CLIP, "night", intent="shot-1").id
    assert emulator.accepted == 1


def test_a_lost_answer_is_never_paid_for_twice_on_a_shared_account(
    studio: Any, emulator: Emulator
) -> None:
    """Calling again under the intent reports the candidates instead of posting again."""
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        studio.submit(CLIP, "night", intent="shot-1")
    assert lost.value.intent == "shot-1"
    with pytest.raises(
        SubmitUncertainError, match="came after it and belong to no intent: 1"
    ) as caught:
        studio.submit(CLIP, "night", intent="shot-1")
    assert [job.id for job in caught.value.candidates] == [emulator.jobs[0].id]
    assert emulator.accepted == 1


def test_a_human_decides_which_job_it_was(studio: Any, emulator: Emulator) -> None:
    """Adopting a candidate makes it the job of the intent from then on."""
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        studio.submit(CLIP, "night", intent="shot-1")
    job = studio.adopt(lost.value, emulator.jobs[0].id)
    assert studio.submit(CLIP, "night", intent="shot-1").id == job.id
    assert studio.recover(lost.value).id == job.id
    other = studio.submit(CLIP, "day", intent="shot-2")
    with pytest.raises(JobClaimedError, match="has become job"):
        studio.adopt(lost.value, other)


def test_a_job_of_another_intent_cannot_be_adopted(studio: Any, emulator: Emulator) -> None:
    """Two intents never share a job, whoever says so."""
    first = studio.submit(CLIP, "night", intent="shot-1")
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        studio.submit(CLIP, "day", intent="shot-2")
    with pytest.raises(JobClaimedError, match="belongs to another intent"):
        studio.adopt(lost.value, first)


@pytest.mark.parametrize("started", [True, False])
def test_on_an_exclusive_account_a_lost_answer_is_recovered(
    alone: Any, emulator: Emulator, *, started: bool
) -> None:
    """Nobody else submits, so the one new job is ours, and none proves that none was started."""
    emulator.fault(Fault(operation=CREATE, drop="after" if started else "before"))
    with pytest.raises(SubmitUncertainError) as lost:
        alone.submit(CLIP, "night", intent="shot-1")
    error = pickle.loads(pickle.dumps(lost.value))  # noqa: S301 - as another process gets it
    job = alone.recover(error)
    assert (job is not None) == started
    if job is not None:
        assert job.id == emulator.jobs[0].id
    assert alone.submit(CLIP, "night", intent="shot-1").id
    assert emulator.accepted == 1


def test_nothing_is_concluded_before_a_lost_request_has_settled(
    open_client: Any, store: SQLiteStore, emulator: Emulator
) -> None:
    """A request may land late: recovering waits for as long as that may take, and says so."""
    told: list[Event] = []
    alone = open_client(store=store, exclusive=True, on_event=told.append)
    emulator.fault(Fault(operation=CREATE, drop="before"))
    with pytest.raises(SubmitUncertainError) as lost:
        alone.submit(CLIP, "night")
    before = emulator.clock.monotonic()
    assert alone.recover(lost.value, settle=45) is None
    assert emulator.clock.monotonic() - before >= 45
    waits = [event.attributes["wait"] for event in told if event.kind == "recovering"]
    assert waits == [45]


def test_a_foreign_job_makes_recovering_stop(alone: Any, emulator: Emulator) -> None:
    """With two jobs that it may be, nobody guesses: a wrong video is worse than a question."""
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        alone.submit(CLIP, "night", intent="shot-1")
    emulator.foreign(1)
    with pytest.raises(SubmitUncertainError) as caught:
        alone.recover(lost.value)
    assert len(caught.value.candidates) == 2
    assert alone.submit(CLIP, "day", intent="shot-2").id
    assert emulator.accepted == 2


def test_a_hundred_jobs_with_lost_answers_are_a_hundred_jobs(
    alone: Any, emulator: Emulator
) -> None:
    """Every seventh answer is lost after acceptance; each is reported, recovered, and paid once."""
    for number in range(3, 100, 7):
        emulator.fault(Fault(operation=CREATE, nth=number, drop="after"))
    jobs, reported = [], 0
    for number in range(100):
        try:
            jobs.append(alone.submit(CLIP, "night", intent=f"shot-{number}"))
        except SubmitUncertainError as error:
            reported += 1
            jobs.append(alone.recover(error))
    assert reported == 14
    assert emulator.accepted == len({job.id for job in jobs}) == 100


def test_the_next_submit_recovers_what_nobody_has(alone: Any, emulator: Emulator) -> None:
    """No POST leaves an exclusive account while an earlier one is unresolved: it is looked for."""
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        alone.submit(CLIP, "night", intent="shot-1")
    second = alone.submit(CLIP, "day", intent="shot-2")
    first = alone.recover(lost.value)
    assert {first.id, second.id} == {job.id for job in emulator.jobs}
    assert first.id == emulator.jobs[0].id


def test_an_exclusive_account_needs_no_intents(alone: Any, emulator: Emulator) -> None:
    """Submits without a name are recorded too, so that lost ones can be recovered."""
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        alone.submit(CLIP, "night")
    assert alone.recover(lost.value).id == emulator.jobs[0].id
    assert alone.submit(CLIP, "night").id != emulator.jobs[0].id


def test_without_a_store_recovering_can_prove_only_that_nothing_was_started(
    aleph: Any, emulator: Emulator
) -> None:
    """No new job at all proves it; any new job is only a candidate."""
    aleph.wait(aleph.submit(CLIP, "night"))
    emulator.fault(Fault(operation=CREATE, drop="before"))
    with pytest.raises(SubmitUncertainError) as lost:
        aleph.submit(CLIP, "day")
    assert aleph.recover(lost.value) is None
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        aleph.submit(CLIP, "day")
    with pytest.raises(SubmitUncertainError, match="jobs that came since: 1") as caught:
        aleph.recover(lost.value)
    assert aleph.adopt(caught.value, caught.value.candidates[0]).id == emulator.jobs[1].id


def test_a_cold_client_without_a_store_can_only_report(aleph: Any, emulator: Emulator) -> None:
    """Before the server has shown its clock, not even an empty list proves anything."""
    emulator.fault(Fault(operation=CREATE, drop="before"))
    with pytest.raises(SubmitUncertainError) as lost:
        aleph.submit(CLIP, "night")
    assert lost.value.mark is None
    with pytest.raises(SubmitUncertainError, match="jobs that came since: 0"):
        aleph.recover(lost.value)


def test_recovering_asks_for_what_it_needs(
    open_client: Any, aleph: Any, emulator: Emulator
) -> None:
    """The error of another account, another error, and a settle time that is none are refused."""
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        aleph.submit(CLIP, "night")
    with pytest.raises(InvalidRequestError, match="settle"):
        aleph.recover(lost.value, settle=-1)
    with pytest.raises(InvalidRequestError, match="a SubmitUncertainError is needed"):
        aleph.recover(ValueError("x"))
    with pytest.raises(InvalidRequestError, match="it is about the account 'default'"):
        open_client(account="other").recover(lost.value)


@pytest.mark.parametrize(
    "dated",
    [
        pytest.param("2099-01-01T00:00:00.000Z", id="by a clock far ahead"),
        pytest.param("2026-11-23T05:00:04.000Z", id="by another server's clock"),
    ],
)
def test_a_job_from_the_future_proves_nothing(
    open_client: Any, store: SQLiteStore, dated: str
) -> None:
    """A job that is dated later does not hide the one that was started after it."""
    ahead = {"job_id": "ahead", "status": "queued", "created_at": dated}
    ours = {"job_id": "ours", "status": "queued", "created_at": "2026-11-23T05:00:01.000Z"}
    jobs = [ahead]

    def script(handler: Any, head: bytes) -> None:
        if head.startswith(b"POST"):
            jobs.append(ours)
            handler.connection.shutdown(socket.SHUT_RDWR)
        body = json.dumps({"items": jobs, "next_cursor": None}).encode()
        handler.wfile.write(answer(body, headers="Date: Mon, 23 Nov 2026 05:00:00 GMT"))

    with raw_server(script) as url:
        alone = open_client(base_url=url, store=store, exclusive=True)
        with pytest.raises(SubmitUncertainError) as lost:
            alone.submit(CLIP, "night", intent="shot-1")
        assert alone.recover(lost.value, settle=0).id == "ours"


def test_a_server_whose_clock_differs_does_not_matter(tmp_path: Path) -> None:
    """Marks are the server's own times: a clock that is wrong by an hour changes nothing."""
    for skew in (-3600.0, 3600.0):
        store = SQLiteStore(tmp_path / f"{skew}.sqlite3")
        with (
            Emulator(render=False, skew=skew) as emulator,
            emulator.aleph(virtual_time=True, store=store, exclusive=True) as alone,
        ):
            alone.submit(CLIP, "before", intent="shot-0")
            emulator.fault(LOST)
            with pytest.raises(SubmitUncertainError) as lost:
                alone.submit(CLIP, "night", intent="shot-1")
            found = alone.recover(lost.value)
            assert found is not None
            assert found.id == emulator.jobs[1].id


def test_many_threads_with_one_intent_pay_once(store: SQLiteStore, emulator: Emulator) -> None:
    """Whoever comes second waits for the first, and gets its job."""
    with emulator.aleph(virtual_time=True, store=store) as aleph, ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: aleph.submit(CLIP, "night", intent="shot-1"), range(8)))
    assert len({job.id for job in jobs}) == 1
    assert emulator.accepted == 1


def test_exclusive_submits_leave_one_at_a_time(store: SQLiteStore, emulator: Emulator) -> None:
    """Threads of an exclusive account wait for their turn; each POST has a mark of its own."""
    with (
        emulator.aleph(virtual_time=True, store=store, exclusive=True) as aleph,
        ThreadPoolExecutor(6) as pool,
    ):
        jobs = list(pool.map(lambda n: aleph.submit(CLIP, "night", intent=str(n)), range(12)))
    assert len({job.id for job in jobs}) == emulator.accepted == 12
    order = [request.operation for request in emulator.requests]
    assert order == ["list_jobs", CREATE] * 12


def test_somebody_who_takes_too_long_is_not_waited_for(
    studio: Any, store: SQLiteStore, emulator: Emulator
) -> None:
    """A claim of a living process is respected; the caller is told instead of kept."""
    studio.submit(CLIP, "night", intent="shot-0")
    record = store.read("default", "shot-0")
    assert record is not None

    checked = studio.check(CLIP, "night")
    busy = replace(
        record, intent="shot-1", fingerprint=checked.fingerprint, job_id=None, version=0,
        nonce="n", phase="new", holder=f"{store.holder()}:0",
    )  # fmt: skip
    assert store.write(busy) is not None
    with pytest.raises(IntentBusyError, match="'shot-1' is being submitted by somebody") as caught:
        studio.submit(CLIP, "night", intent="shot-1")
    assert (caught.value.charged, caught.value.resubmit) == ("no", "safe")
    assert emulator.accepted == 1


def test_a_veto_is_asked_for_before_the_upload_and_leaves_the_intent_free(
    open_client: Any, store: SQLiteStore, clip: Path
) -> None:
    """``before_submit`` sees the intent, once for each time that would pay."""
    asked: list[str | None] = []
    studio = open_client(store=store, before_submit=lambda checked: asked.append(checked.intent))
    studio.submit(clip, "night", intent="shot-1")
    studio.submit(clip, "night", intent="shot-1")
    assert asked == ["shot-1"]


def test_a_store_that_fails_stops_before_paying(
    studio: Any, store: SQLiteStore, emulator: Emulator, tmp_path: Path
) -> None:
    """What cannot be written down is not paid for."""
    from krea_aleph import StoreError  # noqa: PLC0415

    store.close()
    file = tmp_path / "jobs.sqlite3"
    for path in tmp_path.glob("jobs.sqlite3*"):
        if path.is_file():
            path.unlink()
    file.mkdir()
    with pytest.raises(StoreError):
        studio.submit(CLIP, "night", intent="shot-1")
    assert emulator.accepted == 0


def test_an_intent_that_is_taken_while_a_refusal_is_waited_out(
    open_client: Any, store: SQLiteStore, emulator: Emulator
) -> None:
    """Whoever was taken for dead meanwhile sends nothing more: the other one is at it."""

    def take(event: Event) -> None:
        if event.kind == "request" and event.attributes.get("status") == 429:
            found = store.read("default", "shot-1")
            assert found is not None
            assert store.write(replace(found, holder="somebody:else")) is not None

    studio = open_client(store=store, on_event=take)
    emulator.fault(Fault(operation=CREATE, status=429, times=1))
    with pytest.raises(StoreError, match="was written by somebody else"):
        studio.submit(CLIP, "snow", intent="shot-1")
    assert emulator.accepted == 0
    found = store.read("default", "shot-1")
    assert found is not None
    assert found.holder == "somebody:else"


def test_a_busy_server_is_retried_under_the_same_claim(
    open_client: Any, store: SQLiteStore, emulator: Emulator
) -> None:
    """429 surely started nothing: after the policy's tries the intent is free."""
    studio = open_client(store=store, retry=RetryPolicy(attempts=2))
    emulator.fault(Fault(operation=CREATE, status=429, times=3))
    with pytest.raises(RateLimitError):
        studio.submit(CLIP, "night", intent="shot-1")
    assert studio.submit(CLIP, "night", intent="shot-1").id
    assert emulator.accepted == 1


def test_marks_tell_jobs_of_the_same_moment_apart(alone: Any, emulator: Emulator) -> None:
    """Times have milliseconds and ties happen: what was listed before is never a candidate."""
    first = alone.submit(CLIP, "night", intent="shot-1")
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        alone.submit(CLIP, "day", intent="shot-2")  # within the same virtual millisecond
    assert lost.value.mark is not None
    assert first.id in lost.value.mark
    assert alone.recover(lost.value).id == emulator.jobs[1].id


def test_since_is_a_moment_that_lists_can_be_asked_for(studio: Any, emulator: Emulator) -> None:
    """The error's ``since`` is an aware time before the request left."""
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        studio.submit(CLIP, "night", intent="shot-1")
    now = datetime.fromtimestamp(emulator.clock.time(), UTC)
    assert timedelta(0) <= now - lost.value.since <= timedelta(minutes=5)
    assert len(list(studio.list_jobs(created_after=lost.value.since))) == 1
    assert threading.active_count() < 50


class Balky(SQLiteStore):
    """A store that is interrupted at a write of some phase: before it is made, or after."""

    def __init__(self, path: Path, phase: str, *, after: bool) -> None:
        super().__init__(path)
        self._interrupted = (phase, after)

    def write(self, record: Record) -> Record | None:
        """Store a record, and let Ctrl-C come once."""
        phase, after = self._interrupted
        if record.phase != phase:
            return super().write(record)
        self._interrupted = ("", False)
        if after:
            super().write(record)
        raise KeyboardInterrupt


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("phase", ["new", "posting", "accepted"])
def test_an_interrupted_call_holds_nothing_back(
    tmp_path: Path, emulator: Emulator, phase: str, *, after: bool
) -> None:
    """Ctrl-C at any write leaves the intent free for this very process, and pays once."""
    store = Balky(tmp_path / "jobs.sqlite3", phase, after=after)
    with emulator.aleph(virtual_time=True, store=store, exclusive=True) as alone:
        with pytest.raises(KeyboardInterrupt):
            alone.submit(CLIP, "night", intent="shot-1")
        begun = emulator.clock.monotonic()
        job = alone.submit(CLIP, "night", intent="shot-1")
        assert [job.id] == [job.id for job in emulator.jobs]
        # What was known of the job has been written down: nothing has to settle.
        settled = emulator.clock.monotonic() - begun >= 50
        assert settled == (phase == "posting" and after)
        assert alone.submit(CLIP, "day", intent="shot-2").id != job.id


def test_a_cancelled_task_holds_nothing_back(store: SQLiteStore, emulator: Emulator) -> None:
    """The same for asyncio's own cancellation, which by itself leaves worker threads running."""

    async def main() -> None:
        async with emulator.async_aleph(store=store) as aleph:
            for pause in range(12):
                task = asyncio.ensure_future(aleph.submit(CLIP, "night", intent=f"shot-{pause}"))
                for _ in range(pause):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                record = await asyncio.to_thread(store.read, "default", f"shot-{pause}")
                assert record is None or record.holder == ""

    asyncio.run(main())


@pytest.mark.parametrize("date", ["Thu, 01 Jan 2099 00:00:00 GMT", "yesterday"])
def test_the_date_of_an_error_page_proves_nothing(
    aleph: Any, emulator: Emulator, date: str
) -> None:
    """A gateway's clock may be anything: a job is not proved away by what it shows."""
    aleph.wait(aleph.submit(CLIP, "night"))
    page = {"status": 403, "body": "<html></html>", "headers": {"Date": date}}
    emulator.fault(Fault(operation="get_job", **page))
    with pytest.raises(PermissionDeniedError):
        aleph.get(emulator.jobs[0].id)
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        aleph.submit(CLIP, "day")
    with pytest.raises(SubmitUncertainError) as caught:
        aleph.recover(lost.value)
    assert emulator.jobs[1].id in {job.id for job in caught.value.candidates}


@pytest.mark.krea_emulator(skew=-7200.0)
def test_candidates_are_found_on_a_server_whose_clock_is_behind(
    aleph: Any, emulator: Emulator
) -> None:
    """A cold client has no mark of the server's; its own clock is put right by the first answer."""
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        aleph.submit(CLIP, "night")
    with pytest.raises(SubmitUncertainError) as caught:
        aleph.recover(lost.value)
    assert [job.id for job in caught.value.candidates] == [emulator.jobs[0].id]


@pytest.mark.parametrize("stored", [True, False])
def test_a_recovery_that_fails_leaves_the_question_open(
    open_client: Any, store: SQLiteStore, emulator: Emulator, *, stored: bool
) -> None:
    """Errors of the asking must not say that it is safe to pay again."""
    aleph = open_client(store=store, exclusive=True) if stored else open_client()
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        aleph.submit(CLIP, "night")
    for ask in (aleph.recover, lambda error: aleph.adopt(error, emulator.jobs[0].id)):
        emulator.fault(Fault(operation="*", status=503, times=4))
        with pytest.raises(InternalServerError, match="is still open") as caught:
            ask(lost.value)
        assert (caught.value.charged, caught.value.resubmit) == ("unknown", "never")
    assert aleph.adopt(lost.value, emulator.jobs[0].id).id == emulator.jobs[0].id


def _paid_up() -> None:
    """Wait until stores have been told what was owed to them."""
    for thread in threading.enumerate():
        if thread.name == "krea-aleph-owed":
            thread.join(20)
            assert not thread.is_alive()


def test_a_store_that_is_away_when_a_call_ends_is_told_later(
    open_client: Any, emulator: Emulator, tmp_path: Path
) -> None:
    """Nobody waits for a process that has the turn by its books only; the job is known to all."""
    path = tmp_path / "jobs.sqlite3"

    def vanish(event: Event) -> None:
        if event.kind == "submitted" and emulator.accepted == 1:
            path.rename(tmp_path / "elsewhere")

    with SQLiteStore(path) as store, SQLiteStore(path) as theirs:
        client = open_client(store=store, exclusive=True, on_event=vanish)
        job = client.submit(CLIP, "night", intent="shot-1")
        (tmp_path / "elsewhere").rename(path)
        _paid_up()
        other = open_client(store=theirs, exclusive=True)
        assert other.submit(CLIP, "day", intent="shot-2").id != job.id
        assert other.submit(CLIP, "night", intent="shot-1").id == job.id
        record = theirs.read("default", "shot-1")
        assert record is not None
        assert (record.phase, record.job_id) == ("accepted", job.id)
    assert emulator.accepted == 2


def test_a_lost_answer_stays_one_where_the_store_is_away_too(
    open_client: Any, emulator: Emulator, tmp_path: Path
) -> None:
    """The error is not that of the store, which would call it safe to pay again."""
    path = tmp_path / "jobs.sqlite3"

    def vanish(event: Event) -> None:
        if event.kind == "uncertain":
            path.rename(tmp_path / "elsewhere")

    emulator.fault(LOST)
    with SQLiteStore(path) as store:
        client = open_client(store=store, exclusive=True, on_event=vanish)
        with pytest.raises(SubmitUncertainError) as lost:
            client.submit(CLIP, "night")
        (tmp_path / "elsewhere").rename(path)
        _paid_up()
        assert (lost.value.charged, lost.value.resubmit) == ("unknown", "never")
        assert client.recover(lost.value).id == emulator.jobs[0].id


def test_a_store_that_is_closed_is_told_nothing_any_more(open_client: Any, tmp_path: Path) -> None:
    """Its process is known to be gone: a file that was taken away is not made anew."""
    folder = tmp_path / "short-lived"

    def vanish(event: Event) -> None:
        if event.kind == "submitted":
            folder.rename(tmp_path / "elsewhere")

    with SQLiteStore(folder / "jobs.sqlite3") as store:
        open_client(store=store, exclusive=True, on_event=vanish).submit(CLIP, "x", intent="s")
    _paid_up()
    assert not folder.exists()
