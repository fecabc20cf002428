"""What is done about a delivery besides waking: the store, the proof, and what may go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from krea_aleph.errors import StoreError
from krea_aleph.store import Record, SQLiteStore
from krea_aleph.webhooks import WebhookReceiver
from web import SECRETS, Deliveries

from .conftest import JOB, NONCE, PUBLIC, Listener, body

COLOURS = ["thread", "asyncio", "trio"]


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    """A store with nothing in it."""
    return SQLiteStore(tmp_path / "jobs.sqlite3")


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> str:
    """Where the work is done: in threads or on an event loop."""
    return str(request.param)


class Lost(Listener):
    """A client that cannot reach Krea."""

    def confirm(self, nonce: str) -> Any:
        """Fail."""
        self.confirmed.append(nonce)
        message = "no network"
        raise OSError(message)


class Elsewhere(Listener):
    """A client whose connections belong to another event loop."""

    def usable(self) -> bool:
        """Say no."""
        return False


class FailingStore(SQLiteStore):
    """A store that fails once there is something to store."""

    def deliver(self, account: str, nonce: str, job_id: str) -> bool:
        """Fail."""
        raise StoreError(f"no room for {account}, {nonce}, {job_id}")


def deliver(receiver: WebhookReceiver, colour: str, job_id: str = JOB) -> int:
    """Have a delivery dealt with, all of it, and return the status it is answered with."""
    path = urlsplit(receiver.url("default", NONCE)).path
    if colour == "thread":
        return receiver.handle("POST", path, body(job_id)).status
    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body(job_id)}

    async def send(message: Any) -> None:
        sent.append(message)

    anyio.run(receiver.asgi, scope, receive, send, backend=colour)
    return int(sent[0]["status"])


def served(store: SQLiteStore, deliveries: Deliveries) -> WebhookReceiver:
    """Make a receiver with a store."""
    return WebhookReceiver(PUBLIC, SECRETS, store=store, on_delivery=deliveries)


def lost_intent(store: SQLiteStore, **facts: Any) -> None:
    """Write down an intent whose answer was lost."""
    store.write(Record("default", "shot-1", "f" * 64, nonce=NONCE, **{"phase": "unknown", **facts}))


def test_a_delivery_is_stored(colour: str, store: SQLiteStore, deliveries: Deliveries) -> None:
    """Other processes can see it, and the callback is told the intent that it belongs to."""
    lost_intent(store, job_id=JOB, phase="accepted")
    listener = Listener()
    receiver = served(store, deliveries)
    receiver.attach(listener)
    assert deliver(receiver, colour) == 200
    (delivery,) = deliveries.wait(1)
    assert (delivery.job_id, delivery.intent) == (JOB, "shot-1")
    assert store.delivered("default", JOB) == 1
    assert listener.events[0].intent == "shot-1"
    assert listener.confirmed == []  # the intent has its job


def test_an_open_intent_is_confirmed(
    colour: str, store: SQLiteStore, deliveries: Deliveries
) -> None:
    """A client of the account is asked to find out whose job it is, one that can be called here."""
    lost_intent(store)
    receiver = served(store, deliveries)
    asynchronous = colour != "thread"
    here, other, away = (
        Listener(asynchronous=asynchronous),
        Listener("another"),
        Elsewhere(asynchronous=asynchronous),
    )
    for client in (other, away, here):
        receiver.attach(client)
    assert deliver(receiver, colour) == 200
    deliveries.wait(1)
    assert (here.confirmed, other.confirmed, away.confirmed) == ([NONCE], [], [])


def test_a_blocking_client_is_asked_in_a_thread(
    colour: str, store: SQLiteStore, deliveries: Deliveries
) -> None:
    """On an event loop a blocking client will do as well."""
    lost_intent(store)
    receiver, client = served(store, deliveries), Listener()
    receiver.attach(client)
    deliver(receiver, colour)
    deliveries.wait(1)
    assert client.confirmed == [NONCE]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_client_that_fails(
    colour: str,
    asynchronous: bool,
    store: SQLiteStore,
    deliveries: Deliveries,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The callback is called all the same; the store keeps what is needed to find out later."""
    lost_intent(store)
    receiver, client = served(store, deliveries), Lost(asynchronous=asynchronous)
    receiver.attach(client)
    deliver(receiver, colour)
    deliveries.wait(1)
    asked = not asynchronous or colour != "thread"
    assert client.confirmed == ([NONCE] if asked else [])
    assert ("no network" in caplog.text) is asked
    assert store.told("default", NONCE) == [JOB]


def test_a_store_that_fails(
    colour: str, tmp_path: Path, deliveries: Deliveries, caplog: pytest.LogCaptureFixture
) -> None:
    """Krea is answered and the callback called; what is wrong is in the log."""
    receiver = served(FailingStore(tmp_path / "jobs.sqlite3"), deliveries)
    assert deliver(receiver, colour) == 200
    assert len(deliveries.wait(1)) == 1
    assert "could not be stored" in caplog.text


def test_what_the_store_knows_better(
    colour: str, store: SQLiteStore, deliveries: Deliveries, caplog: pytest.LogCaptureFixture
) -> None:
    """A delivery of another job than the intent's is reported, and nobody is called back."""
    lost_intent(store, job_id="another-job", phase="accepted")
    receiver, client = served(store, deliveries), Listener()
    receiver.attach(client)
    assert deliver(receiver, colour) == 200  # only the store knows, and Krea does not wait for it
    assert deliveries.found == []
    assert client.kinds == ["webhook_refused"]
    assert JOB in caplog.text
    assert store.delivered("default", JOB) is None


def test_nobody_needs_to_listen(colour: str, store: SQLiteStore) -> None:
    """Without a callback and without a client a delivery is stored, and that is all."""
    lost_intent(store)
    receiver = WebhookReceiver(PUBLIC, SECRETS, store=store)
    assert deliver(receiver, colour) == 200
    assert Deliveries().found == []
    assert store.told("default", NONCE) == [JOB]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_broken_coroutine(
    backend: str, deliveries: Deliveries, caplog: pytest.LogCaptureFixture
) -> None:
    """What a coroutine function raises is logged, and the server goes on."""

    async def broken(delivery: Any) -> None:
        deliveries(delivery)
        await anyio.lowlevel.checkpoint()
        message = "a bug of the user's"
        raise RuntimeError(message)

    receiver = WebhookReceiver(PUBLIC, SECRETS, on_delivery=broken)
    assert deliver(receiver, backend) == 200
    assert len(deliveries.wait(1)) == 1
    assert "a bug of the user's" in caplog.text
