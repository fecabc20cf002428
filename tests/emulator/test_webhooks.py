"""Webhooks, delivered over real sockets to a real receiver."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from krea_aleph.emulator import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator


class Receiver:
    """Somebody who waits for webhooks."""

    def __init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.take(body)
                self.send_response(receiver.answer)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.answer = 200
        self.bodies: list[Any] = []
        self._came = threading.Condition()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()

    def take(self, body: bytes) -> None:
        """Note a delivery."""
        with self._came:
            self.bodies.append(json.loads(body))
            self._came.notify_all()

    def wait(self, number: int) -> list[Any]:
        """Wait for so many deliveries, and return them."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.bodies) >= number, timeout=10)
            return list(self.bodies)

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver for one test."""
    made = Receiver()
    yield made
    made.close()


def test_delivered_when_it_ends(krea: Any, receiver: Receiver) -> None:
    """The whole job is delivered when it ends, though nobody looks meanwhile."""
    job = krea.submit(webhook=receiver.url)
    (body,) = receiver.wait(1)
    assert body["job_id"] == job["job_id"]
    assert body["status"] == "completed"
    assert body["completed_at"] == "2027-01-15T08:00:03.000Z"
    assert body["result"]["urls"]
    assert "emulation" in body


def test_backlogged_jobs_too(open_shop: Any, receiver: Receiver) -> None:
    """Jobs that had to wait are delivered as well, in the order of their ends."""
    krea = open_shop(concurrency=1)
    with krea.emulator.clock.busy():
        ids = [krea.submit(webhook=receiver.url)["job_id"] for _ in range(3)]
    assert [body["job_id"] for body in receiver.wait(3)] == ids


def test_cancelled(krea: Any, receiver: Receiver) -> None:
    """A cancelled job is delivered as cancelled."""
    with krea.emulator.clock.busy():
        job_id = krea.submit(webhook=receiver.url)["job_id"]
        krea.http.delete(f"/jobs/{job_id}")
    assert receiver.wait(1)[0]["status"] == "cancelled"


def test_start_of_a_backlogged_job(open_shop: Any, receiver: Receiver) -> None:
    """With the quirk webhook_on_start, a job that leaves the backlog is told as well."""
    krea = open_shop(concurrency=1, quirks={"webhook_on_start": True})
    with krea.emulator.clock.busy():
        krea.submit()
        krea.submit(webhook=receiver.url)
    assert [body["status"] for body in receiver.wait(2)] == ["queued", "completed"]


def test_in_real_time(open_shop: Any, receiver: Receiver) -> None:
    """By the real clock, too, nobody has to look."""
    krea = open_shop(clock=None, job_seconds=0.05)
    krea.submit(webhook=receiver.url)
    assert receiver.wait(1)[0]["status"] == "completed"


def test_duplicates(krea: Any, receiver: Receiver) -> None:
    """A webhook can be delivered more than once."""
    krea.emulator.fault(Fault(operation="webhook", duplicates=2))
    krea.submit(webhook=receiver.url)
    first, second, third = receiver.wait(3)
    assert first == second == third


def test_out_of_order(krea: Any, receiver: Receiver) -> None:
    """A delivery can be late, so that a later job is told first."""
    krea.emulator.fault(Fault(operation="webhook", delay=100))
    with krea.emulator.clock.busy():
        first = krea.submit(webhook=receiver.url)["job_id"]
        second = krea.submit(webhook=receiver.url)["job_id"]
    assert [body["job_id"] for body in receiver.wait(2)] == [second, first]


def test_lost(krea: Any, receiver: Receiver) -> None:
    """A delivery can be lost; the next one comes."""
    krea.emulator.fault(Fault(operation="webhook", drop="before"))
    krea.submit(webhook=receiver.url)
    krea.sleep(10)
    second = krea.submit(webhook=receiver.url)["job_id"]
    assert [body["job_id"] for body in receiver.wait(1)] == [second]


def test_damaged(krea: Any, receiver: Receiver) -> None:
    """A delivery can say something else."""
    krea.emulator.fault(Fault(operation="webhook", body={"job_id": "not yours"}))
    krea.submit(webhook=receiver.url)
    assert receiver.wait(1) == [{"job_id": "not yours"}]


def test_records(krea: Any, receiver: Receiver) -> None:
    """Every attempt is recorded with the receiver's answer, an unreachable one without."""
    receiver.answer = 500
    job_id = krea.submit(webhook=receiver.url)["job_id"]
    receiver.wait(1)
    krea.submit(webhook="http://127.0.0.1:9/hook")
    krea.sleep(10)
    delivered, lost = krea.emulator.deliveries
    assert (delivered.job_id, delivered.status, delivered.answer) == (job_id, "completed", 500)
    assert lost.answer is None


def test_wrong_address(krea: Any) -> None:
    """A header that is no URL is refused like the rest of a request."""
    answer = krea.post(webhook="no url")
    assert answer.status_code == 400
    assert "X-Webhook-URL" in answer.json()["message"]
