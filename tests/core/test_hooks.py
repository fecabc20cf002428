"""What waits hear of webhooks, and what a webhook proves, by transcript and with a real store."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import _hooks, _waiting
from krea_aleph._steps import Request, Sleep
from krea_aleph.errors import (
    APIConnectionError,
    ConfigError,
    InvalidRequestError,
    StoreError,
    SubmitUncertainError,
    WaitTimeoutError,
)
from krea_aleph.models import AUTO, Event, Job
from krea_aleph.policies import PollPolicy, RetryPolicy
from krea_aleph.store import Record, SQLiteStore
from krea_aleph.webhooks import WebhookReceiver
from krea_aleph.webhooks.delivery import Arrival

from .transcript import JOB_ID, UNIX, Stage, answer, completed, configured, cut_off, job_answer

NONCE = "a-nonce-of-24-characters"
STEADY = PollPolicy(spread=0)
RUNNING = job_answer("processing")
FRESH = Job(JOB_ID, "processing", fetched_at=UNIX)


@pytest.fixture
def receiver() -> WebhookReceiver:
    """A receiver that nobody serves."""
    return WebhookReceiver("https://example.com", ["sixteen or more bytes"])


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    """A store with nothing in it."""
    return SQLiteStore(tmp_path / "jobs.sqlite3")


class Broken:
    """A store whose disk has gone, except that it was there when the client was made."""

    def __getattr__(self, name: str) -> Any:
        if name == "__bool__":
            raise AttributeError
        return self._fail

    def _fail(self, *_: object) -> Any:
        raise StoreError("the disk is full")


def told(receiver: WebhookReceiver, job_id: str = JOB_ID, *, n: int = 0) -> bool:
    """Have a delivery come in."""
    arrival = Arrival("default", NONCE, job_id, 0.0)
    return receiver._memory.takes(arrival) and receiver._memory.is_news(arrival, bytes([n]))


def waited(stage: Stage, **options: Any) -> list[tuple[str, float]]:
    """Wait on a stage, and return where the news came from, and when."""
    config = configured(**{"poll": STEADY, **options})
    stage.play(_waiting.watch(config, FRESH, AUTO))
    return [(update.source, update.elapsed) for update in stage.updates]


def expecting(receiver: WebhookReceiver) -> WebhookReceiver:
    """Say that the job's delivery is to come."""
    receiver.expect("default", NONCE, JOB_ID)
    return receiver


def test_without_a_receiver_nothing_changes() -> None:
    """A plain wait takes its pauses in one piece, and reads no clock for them."""
    stage = Stage(RUNNING, completed())
    assert waited(stage) == [("start", 0.0), ("poll", 6.0)]
    assert stage.sleeps == [3.0, 3.0]


def test_a_delivery_ends_the_pause(receiver: WebhookReceiver) -> None:
    """The look follows at the very moment, and nothing was asked before."""
    stage = Stage(completed(), happenings={77.0: partial(told, receiver)})
    assert waited(stage, receiver=expecting(receiver)) == [("start", 0.0), ("webhook", 77.0)]
    assert len(stage.requests) == 1


def test_fallback_while_a_delivery_is_expected(receiver: WebhookReceiver) -> None:
    """Looks are rare, but they go on."""
    stage = Stage(RUNNING, completed())
    assert waited(stage, receiver=expecting(receiver))[-1] == ("poll", 240.0)
    assert stage.sleeps == [120.0, 120.0]


def test_a_job_of_somebody_else(receiver: WebhookReceiver) -> None:
    """A job that no delivery is expected for is looked at as ever; one that comes is heard."""
    stage = Stage(RUNNING, completed(), happenings={5.0: partial(told, receiver)})
    assert waited(stage, receiver=receiver) == [("start", 0.0), ("webhook", 5.0)]


def test_told_before_the_wait(receiver: WebhookReceiver) -> None:
    """What came before the wait is looked at without any pause."""
    told(receiver)
    stage = Stage(completed())
    assert waited(stage, receiver=expecting(receiver)) == [("start", 0.0), ("webhook", 0.0)]
    assert stage.sleeps == []


def test_what_was_told_long_ago_is_not_looked_at_twice(
    receiver: WebhookReceiver, store: SQLiteStore
) -> None:
    """A wait that begins with a look has heard what came before it."""
    expecting(receiver)
    told(receiver)
    store.deliver("default", NONCE, JOB_ID)
    config = configured(poll=STEADY, receiver=receiver, store=store)
    stage = Stage(RUNNING, completed())
    stage.play(_waiting.watch(config, JOB_ID, AUTO))
    assert stage.elapsed == 120.0


def test_told_while_looking(receiver: WebhookReceiver) -> None:
    """What comes while a look is under way is not lost: the next one follows soon."""

    def reply(stage: Stage, _: Request) -> Any:
        if len(stage.requests) == 1:
            told(receiver)
            return RUNNING
        return completed()

    assert waited(Stage(reply), receiver=expecting(receiver))[-1] == ("webhook", 120.0)


def test_what_is_told_and_not_to_be_seen_yet(receiver: WebhookReceiver) -> None:
    """After a delivery that nothing came of, the next look is as soon as without webhooks."""
    stage = Stage(RUNNING, completed(), happenings={100.0: partial(told, receiver)})
    assert waited(stage, receiver=expecting(receiver))[-1] == ("poll", pytest.approx(102.7))
    assert len(stage.requests) == 2


def test_a_look_that_fails_after_a_delivery(receiver: WebhookReceiver) -> None:
    """Bad weather just then costs one ordinary pause, not a long one."""
    stage = Stage(cut_off(), completed(), happenings={100.0: partial(told, receiver)})
    assert waited(stage, receiver=expecting(receiver))[-1][1] == pytest.approx(102.7)


def test_a_flood(receiver: WebhookReceiver) -> None:
    """Each delivery that nothing came of doubles the time until another one is heeded."""
    flood = {float(second): partial(told, receiver, n=second % 256) for second in range(1, 250)}
    stage = Stage(RUNNING, happenings=flood)
    config = configured(poll=STEADY, receiver=expecting(receiver))
    with pytest.raises(WaitTimeoutError):
        stage.play(_waiting.watch(config, FRESH, 250))
    assert len(stage.requests) <= 10


def test_several_waits_for_one_job(receiver: WebhookReceiver) -> None:
    """Everybody who waits for a job hears of it, and nobody is remembered afterwards."""
    config = configured(poll=STEADY, receiver=expecting(receiver))
    rung: list[str] = []
    ears = [
        _hooks.Ear(config, job_id, partial(rung.append, name))
        for name, job_id in (("first", JOB_ID), ("second", JOB_ID), ("other", "another-job"))
    ]
    told(receiver)
    assert rung == ["first", "second"]
    assert [ear.hears(0.0) for ear in ears] == [True, True, False]
    for ear in (*ears, ears[0]):
        ear.close()
    assert receiver._memory._bells == {}


def test_a_wait_that_is_left_listens_no_longer(receiver: WebhookReceiver) -> None:
    """However a wait ends, its bell is gone."""
    config = configured(poll=STEADY, receiver=expecting(receiver))
    waiting = _waiting.watch(config, FRESH, AUTO)
    Stage().until(waiting, Sleep)
    assert len(receiver._memory._bells) == 1
    waiting.close()
    assert receiver._memory._bells == {}


def test_told_in_another_process(receiver: WebhookReceiver, store: SQLiteStore) -> None:
    """What another process was told is seen in the store within a few seconds."""
    store.expect("default", NONCE, JOB_ID)
    deliver = partial(store.deliver, "default", NONCE, JOB_ID)
    stage = Stage(completed(), happenings={50.0: deliver})
    (_, last) = waited(stage, receiver=receiver, store=store)
    assert last == ("webhook", 51.0)
    assert len(stage.requests) == 1


def test_told_here_and_in_the_store(receiver: WebhookReceiver, store: SQLiteStore) -> None:
    """A delivery that is heard by the bell is not heard again when the store has it too."""

    def deliver() -> None:
        told(receiver)
        store.deliver("default", NONCE, JOB_ID)

    store.expect("default", NONCE, JOB_ID)
    stage = Stage(RUNNING, completed(), happenings={50.0: deliver})
    found = waited(stage, receiver=expecting(receiver), store=store)
    assert found[-1] == ("poll", 60.0)
    assert len(stage.requests) == 2


def test_a_job_that_the_store_expects(receiver: WebhookReceiver, store: SQLiteStore) -> None:
    """A process that did not submit the job learns from the store that looks may be rare."""
    store.expect("default", NONCE, JOB_ID)
    stage = Stage(RUNNING, completed())
    waited(stage, receiver=receiver, store=store)
    assert stage.elapsed == 240.0


def test_a_store_that_fails(receiver: WebhookReceiver, caplog: pytest.LogCaptureFixture) -> None:
    """A wait does without the store, and so does a submit."""
    config = configured(poll=STEADY, receiver=receiver, store=Broken())  # type: ignore[arg-type]
    stage = Stage(RUNNING, completed())
    stage.play(_waiting.watch(config, FRESH, AUTO))
    assert stage.updates[-1].source == "poll"
    stage.play(_hooks.expect(config, NONCE, JOB_ID))
    assert "the disk is full" in caplog.text
    assert receiver.expects("default", JOB_ID)


def test_addresses(receiver: WebhookReceiver) -> None:
    """Each submit has an address of its own, where there is a receiver."""
    config = configured(receiver=receiver, account="studio")
    nonce = _hooks.new_nonce(config)
    assert nonce != _hooks.new_nonce(config)
    assert _hooks.address(config, nonce) == receiver.url("studio", nonce)
    assert (_hooks.new_nonce(configured()), _hooks.address(configured(), "")) == ("", None)
    Stage().play(_hooks.expect(configured(), "", JOB_ID))


def test_one_address_a_job(receiver: WebhookReceiver) -> None:
    """An endpoint of one's own is for clients without a receiver, and must be one."""
    _hooks.check_webhook_url(configured(), "https://example.com/hook")
    _hooks.check_webhook_url(configured(receiver=receiver), None)
    with pytest.raises(ConfigError, match="Krea calls one address"):
        _hooks.check_webhook_url(configured(receiver=receiver), "https://example.com/hook")
    with pytest.raises(InvalidRequestError, match="no http or https URL"):
        _hooks.check_webhook_url(configured(), "example.com")


def test_the_job_that_was_told(receiver: WebhookReceiver) -> None:
    """A told id is proof once the job was read with the key; an id that is unknown proves nothing.

    If several jobs of the account are told at one address somebody has copied it.
    """
    config = configured(receiver=receiver)
    assert Stage().play(_hooks.told_job(config, NONCE)) is None
    told(receiver)
    stage = Stage(RUNNING)
    found = stage.play(_hooks.told_job(config, NONCE))
    assert (found.id if found else None, stage.operations) == (JOB_ID, ["get_job"])
    assert Stage(answer(status=404)).play(_hooks.told_job(config, NONCE)) is None
    told(receiver, "another")
    stage = Stage(_echo)
    assert stage.play(_hooks.told_job(config, NONCE)) is None
    assert stage.kinds()[-1] == "webhook_refused"


def _echo(_: Stage, request: Request) -> Any:
    return answer({"job_id": request.path.rpartition("/")[2], "status": "processing"})


def test_the_job_that_another_process_was_told(store: SQLiteStore) -> None:
    """What the store has counts, with a receiver of one's own or without."""
    store.deliver("default", NONCE, JOB_ID)
    found = Stage(RUNNING).play(_hooks.told_job(configured(store=store), NONCE))
    assert found is not None


def test_a_job_that_cannot_be_read_now(receiver: WebhookReceiver) -> None:
    """Bad weather is an error, not the proof that there is no job."""
    told(receiver)
    config = configured(receiver=receiver, retry=RetryPolicy(attempts=1))
    with pytest.raises(APIConnectionError):
        Stage(cut_off()).play(_hooks.told_job(config, NONCE))


def unknown(store: SQLiteStore, **facts: Any) -> Record:
    """Write down an intent whose answer was lost."""
    record = Record("default", "shot-1", "f" * 64, nonce=NONCE, **{"phase": "unknown", **facts})
    stored = store.write(record)
    assert stored is not None
    return stored


def confirmed(store: SQLiteStore, *answers: Any, **options: Any) -> tuple[Record, Stage]:
    """Have the job confirmed that was told for an intent, and return what is stored then."""
    stage = Stage(*answers)
    stage.play(_hooks.confirm(configured(store=store, **options), NONCE))
    record = store.by_nonce(NONCE)
    assert record is not None
    return record, stage


def test_a_delivery_proves_whose_job_it_is(store: SQLiteStore) -> None:
    """The intent gets the job that came on its own path, after a look with the key."""
    unknown(store)
    store.deliver("default", NONCE, JOB_ID)
    record, stage = confirmed(store, RUNNING)
    assert (record.job_id, record.phase, record.holder) == (JOB_ID, "accepted", "")
    assert stage.operations == ["get_job"]
    assert stage.kinds()[-1] == "recovered"
    assert confirmed(store)[1].requests == []  # once is enough


def test_an_intent_that_somebody_is_at_is_theirs(store: SQLiteStore) -> None:
    """While whoever submits it lives, the record is not touched; of the dead it is."""
    mine = unknown(store, holder=f"{store.holder()}:1")
    store.deliver("default", NONCE, JOB_ID)
    assert confirmed(store, RUNNING)[0] == mine
    store.write(replace(mine, holder="somebody-who-died:1"))
    assert confirmed(store, RUNNING)[0].job_id == JOB_ID


def test_a_job_that_is_another_intents(store: SQLiteStore) -> None:
    """No two intents share a job: the second one is refused, and reported."""
    store.write(Record("default", "shot-2", "f" * 64, phase="accepted", job_id=JOB_ID))
    unknown(store)
    store.deliver("default", NONCE, JOB_ID)
    record, stage = confirmed(store, RUNNING)
    assert record.job_id is None
    assert (stage.events[-1].kind, stage.events[-1].job_id) == ("webhook_refused", JOB_ID)


def test_what_proves_nothing(store: SQLiteStore) -> None:
    """No delivery, a job that is not ours, another account and no record change nothing."""
    before = unknown(store)
    assert confirmed(store)[0] == before
    store.deliver("default", NONCE, JOB_ID)
    assert confirmed(store, answer(status=404))[0] == before
    assert confirmed(store, account="studio")[0] == before
    Stage().play(_hooks.confirm(configured(store=store), "no-such-nonce"))
    Stage().play(_hooks.confirm(configured(), NONCE))


def test_somebody_who_was_faster(store: SQLiteStore) -> None:
    """If the record changes during the look, whoever changed it has the say."""
    record = unknown(store)
    store.deliver("default", NONCE, JOB_ID)

    def meanwhile(_: Stage, __: Request) -> Any:
        store.write(replace(record, phase="parked"))
        return RUNNING

    after, stage = confirmed(store, meanwhile)
    assert (after.phase, after.job_id, stage.kinds()) == ("parked", None, ["request"])


def test_a_lost_answer_bears_the_nonce() -> None:
    """An error that goes to another process keeps what the receiver knows the submit by."""
    error = SubmitUncertainError("?", since=None, fingerprint="ab")  # type: ignore[arg-type]
    assert error.nonce == ""


def test_a_correspondent(receiver: WebhookReceiver, store: SQLiteStore) -> None:
    """A receiver reaches a client through what it needs of it, and nothing more."""
    events: list[Any] = []
    config = configured(receiver=receiver, store=store, on_event=events.append)
    ran: list[Any] = []
    correspondent = _hooks.Correspondent(config, ran.append, bool, asynchronous=False)
    correspondent.confirm(NONCE)
    assert (len(ran), correspondent.usable()) == (1, False)
    ran[0].close()
    correspondent.publish(Event("webhook", "default"))
    assert [event.kind for event in events] == ["webhook"]
