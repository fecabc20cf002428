"""Webhooks wake waits: real deliveries over sockets, in three colours, hours in milliseconds."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from krea_aleph import ConfigError, Event, Update, WaitTimeoutError
from krea_aleph.emulator import Emulator, Fault
from krea_aleph.emulator.values import JobRecord
from krea_aleph.webhooks import WebhookReceiver
from web import Deliveries, receiving

URL = "https://example.com/in.mp4"


@pytest.fixture
def deliveries() -> Deliveries:
    """What `on_delivery` was called with."""
    return Deliveries()


@pytest.fixture
def receiver(deliveries: Deliveries) -> Iterator[WebhookReceiver]:
    """A receiver that a real server serves."""
    with receiving(on_delivery=deliveries) as made:
        yield made


def looks(emulator: Emulator) -> int:
    """Return how often jobs were asked about."""
    return sum(request.operation == "get_job" for request in emulator.requests)


def watched(
    aleph: Any, emulator: Emulator, *, forged: dict[float, list[Any]] | None = None, **options: Any
) -> list[Update]:
    """Submit a job and watch it; time stands still until the wait has begun.

    Args:
        aleph: The client.
        emulator: Where it is pointed.
        forged: What somebody posts to the job's address, by the seconds since the submit.
        **options: Those of `watch`.
    """
    with emulator.clock.hold():  # type: ignore[attr-defined]
        updates = aleph.watch(aleph.submit(URL, "night"), **options)
        first = next(updates)
        for seconds, bodies in (forged or {}).items():
            posting = partial(_post, emulator.jobs[-1], bodies)
            emulator.clock.call_at(emulator.clock.time() + seconds, posting)  # type: ignore[attr-defined]
    return [first, *_until_timeout(updates)]


def _post(job: JobRecord, bodies: list[Any]) -> None:
    with httpx.Client(trust_env=False, verify=False) as client:  # noqa: S501 - no TLS is spoken
        for body in bodies:
            client.post(job.webhook_url or "", json={"job_id": job.id, **body})


def _until_timeout(updates: Iterator[Update]) -> Iterator[Update]:
    try:
        yield from updates
    except WaitTimeoutError:
        return


@pytest.mark.krea_emulator(job_seconds=169)
def test_a_delivery_ends_the_wait_at_once(
    open_client: Any, emulator: Emulator, receiver: WebhookReceiver
) -> None:
    """A job of usual length costs at most three looks, and is seen finished the moment it is."""
    aleph = open_client(receiver=receiver)
    (*_, last) = watched(aleph, emulator)
    assert last.job.succeeded
    assert looks(emulator) <= 3
    assert last.source == "webhook"
    assert last.elapsed == pytest.approx(169, abs=0.1)


@pytest.mark.krea_emulator(job_seconds=169)
def test_the_whole_way(
    open_client: Any, emulator: Emulator, receiver: WebhookReceiver, tmp_path: Any
) -> None:
    """`transform` waits in the same way."""
    saved = open_client(receiver=receiver).transform(URL, "night", tmp_path / "out.mp4")
    assert saved.size_bytes
    assert looks(emulator) <= 3


@pytest.mark.krea_emulator(job_seconds=5)
def test_an_early_failure_is_told_at_once(
    open_client: Any, emulator: Emulator, receiver: WebhookReceiver
) -> None:
    """A job that fails early is not waited for until the next look."""
    emulator.outcome(status="failed", error={"code": "nsfw"})
    aleph = open_client(receiver=receiver)
    (*_, last) = watched(aleph, emulator)
    assert (last.job.status, last.source) == ("failed", "webhook")
    assert last.elapsed == pytest.approx(5, abs=0.1)


@pytest.mark.krea_emulator(job_seconds=169)
@pytest.mark.parametrize(
    "fault",
    [
        {"drop": "before"},
        {"body": "<html>"},
        {"body": {"job_id": "../../etc/passwd"}},
        {"body": {"job_id": "another-job"}},
        {"delay": 3600},
    ],
    ids=str,
)
def test_without_a_delivery_there_is_polling(
    open_client: Any, emulator: Emulator, receiver: WebhookReceiver, fault: dict[str, Any]
) -> None:
    """A delivery that is lost, broken, late or about another job costs minutes and nothing else."""
    emulator.fault(Fault(operation="webhook", **fault))
    aleph = open_client(receiver=receiver)
    (*_, last) = watched(aleph, emulator)
    assert last.job.succeeded
    assert last.source == "poll"
    assert last.elapsed < 169 + 180


@pytest.mark.krea_emulator(job_seconds=169)
def test_duplicates_collapse(
    open_client: Any, emulator: Emulator, receiver: WebhookReceiver, deliveries: Deliveries
) -> None:
    """A delivery that comes four times calls back once."""
    emulator.fault(Fault(operation="webhook", duplicates=3))
    aleph = open_client(receiver=receiver)
    jobs = [aleph.wait(aleph.submit(URL, prompt)).id for prompt in ("night", "dusk")]
    assert deliveries.jobs(2) == jobs
    assert len(emulator.deliveries) >= 4


@pytest.mark.krea_emulator(job_seconds=1000)
def test_a_forged_delivery_costs_a_look_or_two(
    open_client: Any, emulator: Emulator, receiver: WebhookReceiver
) -> None:
    """What a delivery says is not believed: the job is asked for, and the wait goes on."""
    aleph = open_client(receiver=receiver)
    forged: dict[float, list[Any]] = {30: [{"status": "completed", "result": {}}]}
    (*_, last) = watched(aleph, emulator, forged=forged, wait_timeout=50)
    assert not last.job.finished
    assert 1 <= looks(emulator) <= 4


@pytest.mark.krea_emulator(job_seconds=1000)
def test_a_flood_of_deliveries_is_no_flood_of_looks(
    open_client: Any, emulator: Emulator, receiver: WebhookReceiver
) -> None:
    """Somebody who knows the address can make us look a few times more, and no more often."""
    aleph = open_client(receiver=receiver)
    forged: dict[float, list[Any]] = {
        second: [{"n": second}, {"m": second}] for second in range(1, 50)
    }
    (*_, last) = watched(aleph, emulator, forged=forged, wait_timeout=50)
    assert not last.job.finished
    assert looks(emulator) <= 8


@pytest.mark.krea_emulator(job_seconds=60)
def test_the_address_of_a_job_is_for_no_other(
    open_client: Any,
    emulator: Emulator,
    receiver: WebhookReceiver,
    deliveries: Deliveries,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A delivery that tells of another job is refused and reported; nobody is called back."""
    events: list[Event] = []
    aleph = open_client(receiver=receiver, on_event=events.append)
    (*_, last) = watched(aleph, emulator, forged={10: [{"job_id": "another-job"}]})
    assert deliveries.jobs(1) == [last.job.id]
    (refused,) = [event for event in events if event.kind == "webhook_refused"]
    assert (refused.account, refused.job_id) == ("default", "another-job")
    assert "another one" in caplog.text
    assert (emulator.jobs[0].webhook_url or "").rpartition("/")[2] not in caplog.text


@pytest.mark.krea_emulator(job_seconds=30, concurrency=1, quirks={"webhook_on_start": True})
def test_a_start_is_told_too(
    open_client: Any, emulator: Emulator, receiver: WebhookReceiver
) -> None:
    """A delivery that is not the last one wakes, shows the change, and the wait goes on."""
    emulator.foreign(1)
    aleph = open_client(receiver=receiver)
    updates = watched(aleph, emulator)
    seen = [(update.job.status, update.source) for update in updates]
    assert seen == [("backlogged", "start"), ("queued", "webhook"), ("completed", "webhook")]
    assert looks(emulator) <= 3


@pytest.mark.krea_emulator(job_seconds=30, concurrency=1, quirks={"webhook_on_start": True})
def test_out_of_order(
    open_client: Any, emulator: Emulator, receiver: WebhookReceiver, deliveries: Deliveries
) -> None:
    """A start that is told after the end changes nothing: the wait is over, the job is done."""
    emulator.foreign(1)
    emulator.fault(Fault(operation="webhook", delay=100))  # the first one is that of the start
    aleph = open_client(receiver=receiver)
    (*_, last) = watched(aleph, emulator)
    assert (last.job.status, last.source) == ("completed", "webhook")
    emulator.clock.sleep(200)
    assert deliveries.jobs(2) == [last.job.id] * 2
    assert aleph.wait(last.job.id).succeeded


def test_a_delivery_that_overtakes_the_answer(
    open_client: Any, emulator: Emulator, receiver: WebhookReceiver
) -> None:
    """Krea may call before its answer to the submit is here; the wait hears of it all the same."""
    emulator.outcome(seconds=0.0)
    emulator.fault(Fault(operation="create_aleph_job", accept=True, stall=0.3))
    aleph = open_client(receiver=receiver, virtual_time=False)
    updates = list(aleph.watch(aleph.submit(URL, "night")))
    assert emulator.deliveries[0].answer == 200
    assert updates[-1].job.succeeded
    assert updates[-1].elapsed < 30  # looking alone would have taken a minute at least


@pytest.mark.krea_emulator(job_seconds=0)
def test_a_delivery_that_comes_before_the_wait(
    open_client: Any, emulator: Emulator, receiver: WebhookReceiver
) -> None:
    """What was delivered between submitting and waiting is heard when the wait begins."""
    aleph = open_client(receiver=receiver)
    job = aleph.submit(URL, "night")
    emulator.clock.sleep(2)
    assert len(emulator.deliveries) == 1
    updates = list(aleph.watch(job))
    assert updates[-1].source == "webhook"
    assert updates[-1].elapsed == 0


@pytest.mark.krea_emulator(job_seconds=169)
def test_a_job_that_krea_was_not_told_to_deliver(
    open_client: Any, receiver: WebhookReceiver
) -> None:
    """A job that was submitted without the receiver is polled as ever."""
    job = open_client().submit(URL, "night")
    (*_, last) = open_client(receiver=receiver).watch(job)
    assert last.job.succeeded
    assert last.elapsed < 169 + 5


def test_one_address_a_job(open_client: Any, emulator: Emulator, receiver: WebhookReceiver) -> None:
    """An endpoint of one's own beside a receiver is refused before anything is sent."""
    aleph = open_client(receiver=receiver)
    with pytest.raises(ConfigError, match="webhook_url"):
        aleph.submit(URL, "night", webhook_url="https://example.com/hook")
    with pytest.raises(ConfigError, match="webhook_url"):
        aleph.transform(URL, "night", "out/", webhook_url="https://example.com/hook")
    assert emulator.requests == []


def test_tenants(open_client: Any, receiver: WebhookReceiver, deliveries: Deliveries) -> None:
    """A client of another account on the same receiver has addresses of its own."""
    aleph = open_client(receiver=receiver)
    other = open_client(receiver=receiver, account="Studio Ø / 2")
    first, second = aleph.submit(URL, "night"), other.submit(URL, "night")
    assert other.wait(second).account == "Studio Ø / 2"
    assert aleph.wait(first).succeeded
    assert sorted(deliveries.jobs(2)) == sorted([first.id, second.id])


def test_a_receiver_is_needed(open_client: Any) -> None:
    """Something that is no receiver is refused by its first missing method."""
    with pytest.raises(ConfigError, match="receiver: str has no method url"):
        open_client(receiver="https://example.com/hooks")


def test_addresses_are_not_logged(
    open_client: Any,
    emulator: Emulator,
    receiver: WebhookReceiver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing that is logged at any level lets anybody forge a delivery."""
    caplog.set_level(logging.DEBUG, "krea_aleph")
    aleph = open_client(receiver=receiver)
    aleph.wait(aleph.submit(URL, "night"))
    nonce = (emulator.jobs[0].webhook_url or "").rpartition("/")[2].partition(".")[0]
    assert nonce
    ours = [record for record in caplog.records if record.name == "krea_aleph"]
    assert ours
    assert nonce not in json.dumps([record.getMessage() for record in ours])
