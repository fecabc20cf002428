"""The plain function: what is answered to whom, and what is done about it."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from krea_aleph.errors import ConfigError
from krea_aleph.webhooks import Delivery, WebhookReceiver, memory
from web import SECRETS, Deliveries

from .conftest import JOB, NONCE, PUBLIC, Listener, body, post


def test_a_delivery(receiver: WebhookReceiver, deliveries: Deliveries) -> None:
    """A delivery to an address of ours is answered with 200, and the callback is called."""
    answer = post(receiver)
    assert (answer.status, answer.body) == (200, b"")
    (delivery,) = deliveries.wait(1)
    assert (delivery.account, delivery.job_id, delivery.intent) == ("default", JOB, None)
    assert delivery.received_at > 1_700_000_000


def test_other_methods(receiver: WebhookReceiver, deliveries: Deliveries) -> None:
    """Only POST is taken, whatever the path."""
    path = urlsplit(receiver.mint()).path
    for method in ("GET", "HEAD", "PUT", "OPTIONS", "get", ""):
        for where in (path, "/", ""):
            answer = receiver.handle(method, where, body())
            assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert receiver.handle("post", path, body()).status == 200
    deliveries.wait(1)


def test_an_unknown_address_is_told_nothing(
    receiver: WebhookReceiver, deliveries: Deliveries
) -> None:
    """A wrong account, nonce or signature are all answered like a path that is nowhere."""
    label, token = urlsplit(receiver.mint()).path.split("/")[-2:]
    nonce, signature = token.split(".")
    paths = ["/", "/hooks", f"/{label}", f"/{label}/{nonce}", f"/{label}/{nonce}."]
    paths += [f"/{label}/{nonce[::-1]}.{signature}", f"/{label}/{nonce}.{signature[::-1]}"]
    paths += [f"/{label[::-1]}/{token}", f"/x/{token}", f"/{token}"]
    for content in (body(), b"no JSON", b"x" * 100_000):
        answers = [receiver.handle("POST", path, content) for path in paths]
        assert answers[0].status == 404
        assert answers == [answers[0]] * len(paths)
    assert deliveries.found == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no JSON",
        b"null",
        b"[]",
        b'"550e8400"',
        b"{}",
        b'{"id": "550e8400"}',
        b'{"job_id": null}',
        b'{"job_id": 1}',
        b'{"job_id": ""}',
        b'{"job_id": ".."}',
        b'{"job_id": "a/b"}',
        b'{"job_id": "a\\nb"}',
        b'{"job_id": "a?b"}',
        b'{"job_id": ["a"]}',
        b'{"job_id": "a"',
        b'{"job_id": "' + b"a" * 201 + b'"}',
        b"\xff\xfe\x00",
        b"[" * 60_000,
        b'{"job_id": 1' + b"0" * 5_000 + b"}",
    ],
    ids=lambda content: repr(content[:24]),
)
def test_what_is_no_delivery(
    receiver: WebhookReceiver,
    deliveries: Deliveries,
    content: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A body without the id of a job is answered with 400, and nobody is called back."""
    listener = Listener()
    receiver.attach(listener)
    assert post(receiver, content).status == 400
    assert deliveries.found == []
    assert listener.kinds == ["webhook_refused"]
    assert "the delivery is no JSON" in caplog.text


def test_nothing_else_in_the_body_counts(receiver: WebhookReceiver) -> None:
    """Whatever status, times and addresses a body has, the delivery is the same."""
    strange: dict[str, Any] = {"status": {"$gt": ""}, "result": {"urls": ["file:///etc/passwd"]}}
    assert post(receiver, body(**strange)).status == 200
    assert post(receiver, json.dumps({"job_id": JOB}).encode()).status == 200


def test_large_bodies(deliveries: Deliveries) -> None:
    """A body of the largest size is taken; one byte more is not, nor one that says it has more."""
    receiver = WebhookReceiver(PUBLIC, SECRETS, on_delivery=deliveries, max_body=200)
    largest = body().ljust(200)
    assert post(receiver, largest + b" ").status == 413
    assert post(receiver, b"", headers={"Content-Length": "201"}).status == 413
    assert post(receiver, b"", headers={"content-length": "9" * 5_000}).status == 413
    assert deliveries.found == []
    assert post(receiver, largest, headers={"Content-Length": "200"}).status == 200
    assert post(receiver, largest, headers={"Content-Length": "-1"}).status == 200
    assert post(receiver, largest, headers={"Content-Length": "²"}).status == 200
    deliveries.wait(1)


def test_packed_bodies(receiver: WebhookReceiver) -> None:
    """A compressed body is not unpacked: it could unpack to anything."""
    assert post(receiver, headers={"Content-Encoding": "gzip"}).status == 415
    assert post(receiver, headers={"Content-Encoding": "identity"}).status == 200


def test_replays_collapse(receiver: WebhookReceiver, deliveries: Deliveries) -> None:
    """The same delivery is answered as often as it comes, and called back once."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: post(receiver).status, range(100)))
    assert set(answers) == {200}
    assert len(deliveries.found) == 1


def test_news_of_the_same_job_do_not(receiver: WebhookReceiver, deliveries: Deliveries) -> None:
    """That a job has started and that it has ended are two deliveries, in any order."""
    for status in ("completed", "queued", "completed", "queued"):
        post(receiver, body(status=status))
    assert len(deliveries.found) == 2


def test_an_address_is_for_one_job(
    receiver: WebhookReceiver, deliveries: Deliveries, caplog: pytest.LogCaptureFixture
) -> None:
    """Once it is known whose an address is, another job's id is refused there and reported."""
    listener, stranger = Listener(), Listener("another")
    receiver.attach(listener)
    receiver.attach(stranger)
    receiver.expect("default", NONCE, JOB)
    assert receiver.expects("default", JOB)
    assert not receiver.expects("default", "job-2")
    assert not receiver.expects("another", JOB)
    assert post(receiver, body("job-2")).status == 404
    assert post(receiver).status == 200
    assert [delivery.job_id for delivery in deliveries.wait(1)] == [JOB]
    assert receiver.told("default", NONCE) == (JOB,)
    (refused, _) = listener.events
    assert (refused.kind, refused.account, refused.job_id) == (
        "webhook_refused",
        "default",
        "job-2",
    )
    assert stranger.events == []
    assert "job job-2" in caplog.text


def test_an_address_whose_job_is_not_known_yet(receiver: WebhookReceiver) -> None:
    """Before Krea's answer is here a few jobs may be told; whose it is decides the answer."""
    statuses = [post(receiver, body(f"job-{number}")).status for number in range(12)]
    assert statuses == [200] * memory.MOST_JOBS + [404] * 4
    assert len(receiver.told("default", NONCE)) == memory.MOST_JOBS
    assert receiver.told("default", "never-heard-of-it") == ()
    receiver.expect("default", NONCE, "job-20")
    assert post(receiver, body("job-0", n=1)).status == 404
    receiver.expect("default", NONCE, "job-1")
    assert post(receiver, body("job-1", n=1)).status == 200


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many jobs there are, the oldest are forgotten, and those in use are not."""
    monkeypatch.setattr(memory, "MOST", 50)
    receiver = WebhookReceiver(PUBLIC, SECRETS)
    receiver.expect("default", NONCE, JOB)
    for number in range(500):
        receiver.expect("default", f"{NONCE}-{number}", f"job-{number}")
        post(receiver, body(n=number))
    known = [number for number in range(500) if receiver.expects("default", f"job-{number}")]
    assert known == list(range(451, 500))
    assert receiver.expects("default", JOB)
    sizes = [len(kept) for kept in vars(receiver._memory).values() if hasattr(kept, "get")]
    assert max(sizes) <= 50


def test_events(receiver: WebhookReceiver, deliveries: Deliveries) -> None:
    """A client of the account is told of each delivery, for as long as the client lives."""
    listener, gone = Listener(), Listener()
    receiver.attach(listener)
    receiver.attach(gone)
    del gone
    post(receiver)
    deliveries.wait(1)
    assert [(event.kind, event.job_id) for event in listener.events] == [("webhook", JOB)]
    assert len(receiver._aftermath._clients) == 1


def test_a_broken_callback(deliveries: Deliveries, caplog: pytest.LogCaptureFixture) -> None:
    """What a callback raises is logged, and the next delivery is called back all the same."""

    def broken(delivery: Delivery) -> None:
        deliveries(delivery)
        message = "a bug of the user's"
        raise RuntimeError(message)

    receiver = WebhookReceiver(PUBLIC, SECRETS, on_delivery=broken)
    assert [post(receiver).status, post(receiver, body("b")).status] == [200, 200]
    assert len(deliveries.found) == 2
    assert caplog.text.count("on_delivery raised") == 2
    assert "a bug of the user's" in caplog.text


def test_a_slow_callback_keeps_nobody_waiting(deliveries: Deliveries) -> None:
    """Krea is answered before the callback is called, and a slow one does not stop others."""
    many = WebhookReceiver(
        PUBLIC, SECRETS, on_delivery=lambda found: _after(gate, deliveries, found)
    )
    gate = deliveries.came
    with gate:  # nobody gets through
        paths = [urlsplit(many.mint()).path for _ in range(20)]
        assert {post(many, path=path).status for path in paths} == {200}
    assert len(deliveries.wait(20)) == 20


def _after(gate: Any, deliveries: Deliveries, delivery: Delivery) -> None:
    with gate:
        deliveries(delivery)


def test_more_than_can_be_dealt_with(
    deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When callbacks are stuck, what cannot wait is dropped with a word in the log."""
    monkeypatch.setattr("krea_aleph.webhooks.aftermath.MOST_WAITING", 10)
    receiver = WebhookReceiver(
        PUBLIC, SECRETS, on_delivery=lambda found: _after(deliveries.came, deliveries, found)
    )
    caplog.set_level(logging.WARNING)
    with deliveries.came:
        for number in range(40):
            receiver.handle("POST", urlsplit(receiver.mint()).path, body(f"job-{number}"))
    assert 10 <= len(deliveries.found) <= 14
    assert caplog.text.count("too many webhooks at once") == 40 - len(deliveries.found)


def _in_child(receiver: WebhookReceiver, pipe: Any) -> None:
    deliveries = Deliveries()
    receiver._aftermath._on_delivery = deliveries
    bell = receiver.listen("default", JOB)
    status = post(receiver, body(n="in the child")).status
    pipe.send((status, len(deliveries.wait(1)), bell.heard()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_deals_with_its_own(receiver: WebhookReceiver) -> None:
    """Locks and threads of the parent are none of the child's."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    receiver._aftermath._threads = 99  # as many as there can be, at work
    with receiver._memory._lock, receiver._aftermath._lock:
        child = context.Process(target=_in_child, args=(receiver, theirs))
        child.start()
    assert ours.poll(20)
    assert ours.recv() == (200, 1, 1)
    child.join(20)


def _hidden(function: Any, delivery: Delivery) -> Any:
    return function(delivery)


async def acallback(_: Delivery) -> None:
    """Do nothing, later."""


def test_a_coroutine_function_needs_an_event_loop() -> None:
    """It is refused at the first request, where whoever sets it up sees it."""
    receiver = WebhookReceiver(PUBLIC, SECRETS, on_delivery=acallback)
    with pytest.raises(ConfigError, match="asgi, or call ahandle"):
        post(receiver)
    with pytest.raises(ConfigError, match="coroutine function"):
        receiver.wsgi({}, print)


def test_a_coroutine_nobody_awaits(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that hides a coroutine function is told of in the log."""
    receiver = WebhookReceiver(PUBLIC, SECRETS, on_delivery=partial(_hidden, acallback))
    post(receiver)
    assert Deliveries().found == []
    assert "which nobody awaits in a thread" in caplog.text


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_on_an_event_loop(backend: str, asynchronous: bool) -> None:
    """`ahandle` answers at once too; the callback may be of either kind."""
    found: list[Delivery] = []

    async def main() -> list[int]:
        called = anyio.Event()

        async def note(delivery: Delivery) -> None:
            await anyio.lowlevel.checkpoint()
            found.append(delivery)
            called.set()

        def blocking(delivery: Delivery) -> None:
            found.append(delivery)
            anyio.from_thread.run_sync(called.set)

        receiver = WebhookReceiver(PUBLIC, SECRETS, on_delivery=note if asynchronous else blocking)
        path = urlsplit(receiver.mint()).path
        answers = [await receiver.ahandle("POST", path, body()) for _ in range(3)]
        answers += [await receiver.ahandle("GET", path, b"")]
        assert found == []
        with anyio.fail_after(10):
            await called.wait()
        return [answer.status for answer in answers]

    assert anyio.run(main, backend=backend) == [200, 200, 200, 405]
    assert [delivery.job_id for delivery in found] == [JOB]
