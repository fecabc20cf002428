"""What a delivery proves: whose job it is, after a lost answer, on accounts shared with others."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from krea_aleph import (
    PermissionDeniedError,
    Record,
    SQLiteStore,
    SubmitUncertainError,
    _fleet,
)
from krea_aleph.emulator import Emulator, Fault, VirtualClock
from krea_aleph.webhooks import WebhookReceiver
from web import SECRETS, Deliveries, receiving

CREATE = "create_aleph_job"
URL = "https://example.com/in.mp4"
LOST = Fault(operation=CREATE, drop="after")
UNHEARD = Fault(operation=CREATE, drop="before")


@pytest.fixture
def deliveries() -> Deliveries:
    """What `on_delivery` was called with."""
    return Deliveries()


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    """A store of the test's own."""
    return SQLiteStore(tmp_path / "jobs.sqlite3")


@pytest.fixture
def receiver(store: SQLiteStore, deliveries: Deliveries) -> Iterator[WebhookReceiver]:
    """A receiver with the store, which a real server serves."""
    with receiving(store=store, on_delivery=deliveries) as made:
        yield made


@pytest.fixture
def studio(open_client: Any, store: SQLiteStore, receiver: WebhookReceiver) -> Any:
    """A client whose account is shared with others."""
    return open_client(store=store, receiver=receiver)


def ours(emulator: Emulator) -> list[str]:
    """Return the jobs that were submitted with the receiver's address, oldest first."""
    return [job.id for job in emulator.jobs if job.webhook_url]


def test_a_lost_answer_on_a_shared_account(
    studio: Any, emulator: Emulator, deliveries: Deliveries, store: SQLiteStore
) -> None:
    """The intent gets the job that came on its own path, however many others there are."""
    emulator.foreign(3)
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        studio.submit(URL, "night", intent="shot-1")
    emulator.foreign(2)
    emulator.clock.sleep(60)
    (delivery,) = deliveries.wait(1)
    assert delivery.intent == "shot-1"
    job = studio.submit(URL, "night", intent="shot-1")
    assert [job.id] == ours(emulator)
    assert studio.recover(lost.value) == job
    record = store.read("default", "shot-1")
    assert record is not None
    assert (record.job_id, record.phase) == (job.id, "accepted")
    assert emulator.accepted == 1


def test_a_lost_answer_without_a_store(
    open_client: Any, emulator: Emulator, deliveries: Deliveries
) -> None:
    """The error knows the address: after the delivery it can be recovered, in this process."""
    with receiving(on_delivery=deliveries) as receiver:
        aleph = open_client(receiver=receiver)
        emulator.foreign(3)
        emulator.fault(LOST)
        with pytest.raises(SubmitUncertainError) as lost:
            aleph.submit(URL, "night")
        emulator.clock.sleep(60)
        deliveries.wait(1)
        error = pickle.loads(pickle.dumps(lost.value))  # noqa: S301 - our own bytes
        job = aleph.recover(error)
    assert [job.id] == ours(emulator)
    assert emulator.accepted == 1


@pytest.mark.krea_emulator(job_seconds=20)
def test_recovering_waits_for_the_delivery(studio: Any, emulator: Emulator) -> None:
    """A delivery that comes while recovering settles it."""
    emulator.foreign(3)
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        studio.submit(URL, "night", intent="shot-1")
    job = studio.recover(lost.value)
    assert [job.id] == ours(emulator)


def test_a_request_that_never_arrived(studio: Any, emulator: Emulator) -> None:
    """Where no delivery came and no job either, it is proved that nothing was started."""
    emulator.fault(UNHEARD)
    with pytest.raises(SubmitUncertainError) as lost:
        studio.submit(URL, "night", intent="shot-1")
    assert studio.recover(lost.value) is None
    assert studio.submit(URL, "night", intent="shot-1").id
    assert emulator.accepted == 1


@pytest.mark.krea_emulator(concurrency=40)
def test_thirty_lost_answers(studio: Any, emulator: Emulator, deliveries: Deliveries) -> None:
    """Every third answer is lost among strangers' jobs: each intent gets its own job, and one."""
    emulator.fault(Fault(operation=CREATE, drop="after", every=3, times=None))
    known: dict[str, str] = {}
    with emulator.clock.hold():  # type: ignore[attr-defined]
        for number in range(30):
            emulator.foreign(1)
            try:
                job = studio.submit(URL, f"night {number}", intent=f"shot-{number}")
            except SubmitUncertainError:
                continue
            known[f"shot-{number}"] = job.id
    assert len(known) == 20
    emulator.clock.sleep(60)
    assert len(deliveries.wait(30)) == 30
    asked = {job.id: job.body["prompt"] for job in emulator.jobs if job.webhook_url}
    for number in range(30):
        job = studio.submit(URL, f"night {number}", intent=f"shot-{number}")
        assert asked[job.id] == f"night {number}"
        assert known.get(f"shot-{number}", job.id) == job.id
    assert emulator.accepted == 30


def _body(job_id: str) -> bytes:
    return json.dumps({"job_id": job_id, "status": "completed"}).encode()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_on_the_clients_own_event_loop(
    backend: str, store: SQLiteStore, deliveries: Deliveries
) -> None:
    """An asynchronous client in a web application proves intents by itself, as they come."""
    receiver = WebhookReceiver("http://127.0.0.1:1", SECRETS, store=store, on_delivery=deliveries)
    with Emulator(clock=VirtualClock(), render=False) as emulator:
        anyio.run(_in_an_application, emulator, receiver, store, backend=backend)
        record = store.read("default", "shot-1")
        assert record is not None
        assert [record.job_id] == ours(emulator)
    assert len(deliveries.wait(1)) == 1


async def _in_an_application(
    emulator: Emulator, receiver: WebhookReceiver, store: SQLiteStore
) -> None:
    async with emulator.async_aleph(receiver=receiver, store=store) as aleph:
        emulator.fault(LOST)
        with pytest.raises(SubmitUncertainError):
            await aleph.submit(URL, "night", intent="shot-1")
        (job,) = emulator.jobs
        request = {"type": "http.request", "body": _body(job.id)}

        async def receive() -> Any:
            return request

        async def send(_: Any) -> None:
            return

        path = urlsplit(job.webhook_url or "").path
        scope = {"type": "http", "method": "POST", "path": path, "headers": []}
        await receiver.asgi(scope, receive, send)


def test_a_client_on_another_event_loop_is_left_alone(
    store: SQLiteStore, deliveries: Deliveries
) -> None:
    """Its connections belong to its loop: the delivery is kept, and proves when somebody asks."""
    receiver = WebhookReceiver("http://127.0.0.1:1", SECRETS, store=store, on_delivery=deliveries)
    with Emulator(clock=VirtualClock(), render=False) as emulator:
        aleph = emulator.async_aleph(receiver=receiver, store=store)
        record = store.write(Record("default", "shot-1", "f" * 64, phase="unknown"))
        assert record is not None
        path = urlsplit(receiver.url("default", record.nonce)).path
        assert receiver.handle("POST", path, _body("some-job")).status == 200
        deliveries.wait(1)
        anyio.run(receiver.ahandle, "POST", path, _body("some-job") + b" ")
        anyio.run(aleph.close)
        assert emulator.requests == []
    assert store.told("default", record.nonce) == ["some-job"]


_OTHER_PROCESS = """
import sys
import uvicorn
from krea_aleph import SQLiteStore
from krea_aleph.webhooks import WebhookReceiver

_, url, secret, path, descriptor = sys.argv
receiver = WebhookReceiver(url, [secret], store=SQLiteStore(path))
uvicorn.run(receiver.asgi, fd=int(descriptor), log_level="warning")
"""


@pytest.fixture
def elsewhere(store: SQLiteStore, tmp_path: Path) -> Iterator[WebhookReceiver]:
    """A receiver that is served by another process, which shares nothing but the store."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/hooks"
    arguments = [url, SECRETS[0], str(tmp_path / "jobs.sqlite3"), str(listener.fileno())]
    process = subprocess.Popen(
        [sys.executable, "-c", _OTHER_PROCESS, *arguments], pass_fds=[listener.fileno()]
    )
    yield WebhookReceiver(url, SECRETS, store=store)
    process.terminate()
    process.wait(20)
    listener.close()


def test_a_delivery_to_another_process_ends_the_wait(
    open_client: Any,
    emulator: Emulator,
    elsewhere: WebhookReceiver,
    store: SQLiteStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two processes share a store: what one is told, the other one's wait is looking at soon."""
    monkeypatch.setattr(_fleet, "STORE_LOOK", 0.1)
    emulator.outcome(seconds=0.5)
    aleph = open_client(receiver=elsewhere, store=store, virtual_time=False)
    begun = time.monotonic()
    updates = list(aleph.watch(aleph.submit(URL, "night")))
    assert [update.source for update in updates] == ["start", "webhook"]
    assert time.monotonic() - begun < 60  # looking alone would have taken a minute at least
    assert sum(request.operation == "get_job" for request in emulator.requests) == 1


def test_a_delivery_to_another_process_proves_too(
    open_client: Any, emulator: Emulator, elsewhere: WebhookReceiver, store: SQLiteStore
) -> None:
    """A web process without any key keeps the proof, and whoever has the key uses it."""
    emulator.outcome(seconds=0.1)
    aleph = open_client(receiver=elsewhere, store=store, virtual_time=False)
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError) as lost:
        aleph.submit(URL, "night", intent="shot-1")
    record = store.read("default", "shot-1")
    assert record is not None
    ends = time.monotonic() + 20
    while not store.told("default", record.nonce) and time.monotonic() < ends:
        threading.Event().wait(0.02)
    assert [aleph.recover(lost.value).id] == ours(emulator)
    assert emulator.accepted == 1


@pytest.mark.krea_emulator(job_seconds=20)
def test_an_error_of_another_intents_job_is_not_taken_for_ones_own(
    open_client: Any,
    emulator: Emulator,
    store: SQLiteStore,
    receiver: WebhookReceiver,
    deliveries: Deliveries,
) -> None:
    """Before a turn, a lost submit is cleared up; what fails in that names nobody else's job.

    Whoever waited for the job on the error would get another wish's video.
    """
    aleph = open_client(store=store, receiver=receiver, exclusive=True)
    emulator.fault(LOST)
    with pytest.raises(SubmitUncertainError):
        aleph.submit(URL, "night", intent="shot-1")
    emulator.fault(Fault(operation="get_job", times=None, status=403))
    emulator.clock.sleep(60)
    deliveries.wait(1)
    with pytest.raises(PermissionDeniedError) as caught:
        aleph.submit(URL, "dusk", intent="shot-2")
    assert (caught.value.job_id, caught.value.intent) == (None, "shot-2")
    assert ours(emulator)[0] not in str(caught.value)
    assert emulator.accepted == 1


def test_a_job_of_another_intent_proves_nothing_and_blocks_nobody(
    open_client: Any, emulator: Emulator, store: SQLiteStore, receiver: WebhookReceiver
) -> None:
    """Somebody who has copied an address and tells another intent's job there is not believed.

    The lost submit is resolved in the usual way, and the other submits of the account go on.
    """
    aleph = open_client(store=store, receiver=receiver, exclusive=True)
    taken = aleph.submit(URL, "dawn", intent="shot-0")
    emulator.fault(UNHEARD)
    with pytest.raises(SubmitUncertainError):
        aleph.submit(URL, "night", intent="shot-1")
    record = store.read("default", "shot-1")
    assert record is not None
    assert store.deliver("default", record.nonce, taken.id)
    assert aleph.submit(URL, "dusk", intent="shot-2").id != taken.id
    assert aleph.submit(URL, "night", intent="shot-1").id != taken.id
    assert emulator.accepted == 3
