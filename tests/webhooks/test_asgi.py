"""The ASGI application: by itself, mounted in frameworks, and against callers who mean harm."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi import Response as FastAPIResponse
from starlette.applications import Starlette
from starlette.routing import Mount

from krea_aleph.webhooks import WebhookReceiver, asgi
from web import SECRETS, Deliveries, receiving

from .conftest import JOB, PUBLIC, Listener, body

Message = dict[str, Any]


def called(
    receiver: WebhookReceiver,
    *messages: Message | Callable[[], Awaitable[Message]],
    backend: str = "asyncio",
    **scope: Any,
) -> list[Message]:
    """Call the application with messages written down, and return what it sends."""
    sent: list[Message] = []
    waiting = list(messages)

    async def receive() -> Message:
        message = waiting.pop(0)
        return message if isinstance(message, dict) else await message()

    async def send(message: Message) -> None:
        sent.append(message)

    path = urlsplit(receiver.mint()).path
    whole = {"type": "http", "method": "POST", "path": path, "headers": [], **scope}
    anyio.run(receiver.asgi, whole, receive, send, backend=backend)
    return sent


def part(content: bytes, *, more: bool = False) -> Message:
    """Write a part of a request's body."""
    return {"type": "http.request", "body": content, "more_body": more}


def test_a_request(receiver: WebhookReceiver, deliveries: Deliveries) -> None:
    """One delivery, in one part, on either event loop."""
    for backend in ("asyncio", "trio"):
        start, end = called(receiver, part(body()), backend=backend)
        assert (start["status"], start["headers"][0]) == (200, (b"content-length", b"0"))
        assert end == {"type": "http.response.body", "body": b""}
    assert len(deliveries.found) == 2


def test_a_body_in_parts(receiver: WebhookReceiver, deliveries: Deliveries) -> None:
    """A body may come byte by byte, and with empty parts between."""
    pieces = [part(bytes([byte]), more=True) for byte in body()]
    start, _ = called(receiver, *pieces, {"type": "http.request", "more_body": True}, part(b""))
    assert start["status"] == 200
    assert len(deliveries.found) == 1


def test_a_body_without_an_end(deliveries: Deliveries) -> None:
    """No more is read than the largest body and one part, whatever the caller said before."""
    receiver = WebhookReceiver(PUBLIC, SECRETS, on_delivery=deliveries, max_body=1000)
    endless = [part(b" " * 100, more=True)] * 11
    for length in ([], [(b"content-length", b"10")], [(b"Content-Length", b"1000")]):
        start, _ = called(receiver, *endless, headers=length)
        assert start["status"] == 413
    start, _ = called(receiver, headers=[(b"content-length", b"1001")])  # not a byte is read
    assert start["status"] == 413
    assert deliveries.found == []


def test_nothing_is_read_for_strangers(receiver: WebhookReceiver) -> None:
    """Whoever does not know an address is answered before a byte of the body is read."""
    assert called(receiver, path="/hooks/a/b")[0]["status"] == 404
    assert called(receiver, method="GET")[0]["status"] == 405
    assert called(receiver, headers=[(b"content-encoding", b"gzip")])[0]["status"] == 415


def test_a_caller_who_goes_away(receiver: WebhookReceiver, deliveries: Deliveries) -> None:
    """Half a body and then nothing is no delivery, and nobody is there to be answered."""
    gone = {"type": "http.disconnect"}
    assert called(receiver, part(body()[:20], more=True), gone) == []
    assert called(receiver, gone) == []
    assert deliveries.found == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_caller_who_is_slow(
    receiver: WebhookReceiver, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes for ever over the body is answered and given up."""
    monkeypatch.setattr(asgi, "PATIENCE", 0.05)
    start, _ = called(receiver, part(b"{", more=True), _never, backend=backend)
    assert start["status"] == 408


async def _never() -> Message:
    await anyio.sleep_forever()
    raise AssertionError


def test_the_life_of_a_server(receiver: WebhookReceiver) -> None:
    """Starting and stopping is acknowledged, a WebSocket is refused, the unknown is left alone."""
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    done = [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    assert called(receiver, *events, type="lifespan") == done
    assert called(receiver, type="websocket") == [{"type": "websocket.close", "code": 1008}]
    assert called(receiver, type="tomorrow") == []


def fastapi_mounted(receiver: WebhookReceiver) -> Any:
    """Mount it as the documentation says."""
    app = FastAPI()
    app.mount("/hooks/krea", receiver.asgi)
    return app


def fastapi_nested(receiver: WebhookReceiver) -> Any:
    """Mount it in an application that is mounted itself, on a server with a root path."""
    inner, outer = FastAPI(), FastAPI()
    inner.mount("/krea", receiver.asgi)
    outer.mount("/hooks", inner)

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        path = "/behind" + scope["path"]
        await outer({**scope, "root_path": "/behind", "path": path}, receive, send)

    return behind


def fastapi_route(receiver: WebhookReceiver) -> Any:
    """Call the plain function from a route of one's own."""
    app, router = FastAPI(), APIRouter(prefix="/hooks")

    @router.post("/krea/{rest:path}")
    async def krea(request: Request, rest: str) -> FastAPIResponse:
        answer = await receiver.ahandle("POST", rest, await request.body(), request.headers)
        return FastAPIResponse(answer.body, answer.status, dict(answer.headers))

    app.include_router(router)
    return app


def starlette_mounted(receiver: WebhookReceiver) -> Any:
    """Mount it in Starlette, beside something that needs the server's life."""

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        yield

    return Starlette(routes=[Mount("/hooks/krea", receiver.asgi)], lifespan=lifespan)


APPLICATIONS = [fastapi_mounted, fastapi_nested, fastapi_route, starlette_mounted]


@pytest.mark.parametrize("mount", APPLICATIONS)
def test_mounted(mount: Callable[[WebhookReceiver], Any], deliveries: Deliveries) -> None:
    """It works in a web framework at any prefix, answers strangers, and calls back."""
    served = receiving(mount, prefix="/hooks/krea", on_delivery=deliveries)
    with served as receiver, httpx.Client(trust_env=False) as client:
        url = receiver.mint("studio")
        assert client.post(url, content=body()).status_code == 200
        assert client.post(url, content=body()).status_code == 200
        assert client.post(url, content=b"{}").status_code == 400
        assert client.post(url + "x", content=body()).status_code == 404
        assert client.get(url).status_code == 405
        (delivery,) = deliveries.wait(1)
    assert (delivery.account, delivery.job_id) == ("studio", JOB)


@pytest.fixture
def site(deliveries: Deliveries) -> Iterator[WebhookReceiver]:
    """A receiver in a FastAPI application that a real server serves."""
    with receiving(fastapi_mounted, prefix="/hooks/krea", on_delivery=deliveries) as receiver:
        yield receiver


def test_over_a_socket(site: WebhookReceiver, deliveries: Deliveries) -> None:
    """A delivery over a socket, with a length and in chunks."""
    with httpx.Client(trust_env=False) as client:
        assert client.post(site.mint(), content=body()).status_code == 200
        chunks = iter([body()[:9], body()[9:]])
        assert client.post(site.mint(), content=chunks).status_code == 200
        assert client.post(site.mint(), content=iter([b" " * 40_000] * 2)).status_code == 413
    assert len(deliveries.wait(2)) == 2


@pytest.mark.parametrize("lie", [b"Content-Length: 1", b"Content-Length: 9999"])
def test_a_length_that_is_a_lie(
    site: WebhookReceiver, deliveries: Deliveries, lie: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that is longer or shorter than it says is no delivery."""
    monkeypatch.setattr(asgi, "PATIENCE", 0.1)
    parts = urlsplit(site.mint())
    head = b"POST " + parts.path.encode() + b" HTTP/1.1\r\nHost: x\r\n" + lie + b"\r\n\r\n"
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as wire:
        wire.sendall(head + body())
        assert wire.recv(65_536).split()[1] in {b"400", b"408"}
    assert deliveries.found == []


def test_a_sluggish_crowd(
    site: WebhookReceiver, deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers who open connections and drip keep nobody else from being served."""
    monkeypatch.setattr(asgi, "PATIENCE", 5.0)
    parts = urlsplit(site.mint())
    head = b"POST " + parts.path.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
    wires = []
    for _ in range(50):
        wires.append(socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10))
        wires[-1].sendall(head)
    begun = time.monotonic()
    assert httpx.post(site.mint(), content=body(), trust_env=False).status_code == 200
    assert time.monotonic() - begun < 4
    deliveries.wait(1)
    for wire in wires:
        wire.close()


_ALONE = """
from krea_aleph.webhooks import WebhookReceiver
receiver = WebhookReceiver("http://127.0.0.1:8000", ["sixteen or more bytes"])
app = receiver.asgi
"""


def test_a_server_of_its_own(tmp_path: Any) -> None:
    """A server takes it as an application by itself, with all of a server's life."""
    (tmp_path / "mine.py").write_text(_ALONE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "mine:app", "--fd", str(listener.fileno())]
        process = subprocess.Popen(
            [*command, "--lifespan", "on"],
            cwd=tmp_path,
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            with httpx.Client(trust_env=False, timeout=20) as client:
                path = urlsplit(WebhookReceiver(PUBLIC, ["sixteen or more bytes"]).mint()).path
                url = f"http://127.0.0.1:{port}{path}"
                assert client.post(url, content=body()).status_code == 200
                assert client.get(url).status_code == 405
        finally:
            process.terminate()
            _, said = process.communicate(timeout=20)
    assert "Application startup complete" in said
    assert "Exception" not in said


def test_events_come_from_the_servers_thread(receiver: WebhookReceiver) -> None:
    """A client that listens is told on the event loop as well."""
    listener = Listener()
    receiver.attach(listener)
    called(receiver, part(body()))
    assert listener.kinds == ["webhook"]
