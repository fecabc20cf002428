"""The web server in front of a run's receiver, and what goes wrong between it and Krea."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from krea_aleph.emulator.server import ThreadedServer, listen
from krea_aleph.emulator.wire import TRANSPORT
from krea_aleph.webhooks import WebhookReceiver

# Real seconds. Virtual time stands still meanwhile.
_SLOW = 0.03
_PATIENCE = 10.0
_WORKER = "krea-aleph-webhooks"


class Front:
    """An ASGI application that serves the receiver of a run.

    Attributes:
        url: Where it is.
        receiver: The receiver; without one nobody answers.
        blocking: Whether it is called as a plain function, and goes on in threads of its own.
        fates: What goes wrong with the deliveries to come, "" being nothing: "gone" for a process
            that is not there, "lost" for an answer that is, "slow" for one that takes its time.
        happened: What has gone wrong.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.receiver: WebhookReceiver | None = None
        self.blocking = False
        self.fates: deque[str] = deque()
        self.happened: list[str] = []
        self._busy = 0
        self._idle = threading.Condition()

    def calm(self) -> None:
        """Let everything work from now on."""
        self.fates.clear()

    def rest(self) -> None:
        """Wait until nothing is left to do."""
        with self._idle:
            if not self._idle.wait_for(lambda: not self._busy, _PATIENCE):
                raise TimeoutError("the receiver does not come to rest")
        for thread in threading.enumerate():
            if thread.name == _WORKER:
                thread.join(_PATIENCE)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one delivery."""
        with self._idle:
            self._busy += 1
        try:
            await self._serve(scope, receive, send)
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        fate = self.fates.popleft() if self.fates else ""
        self.happened.append(fate)
        receiver = self.receiver
        if receiver is None or fate == "gone":
            scope[TRANSPORT].abort()
            await _until_disconnected(receive)
            return
        if fate == "slow":
            await asyncio.sleep(_SLOW)
        if fate == "lost":
            await self._answer(receiver, scope, receive, _swallow)
            scope[TRANSPORT].abort()
            await _until_disconnected(receive)
            return
        await self._answer(receiver, scope, receive, _closing(send))

    async def _answer(self, receiver: WebhookReceiver, scope: Any, receive: Any, send: Any) -> None:
        if not self.blocking:
            await receiver.asgi(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answer = receiver.handle(scope["method"], scope["path"], body)
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def _closing(send: Any) -> Any:
    """Keep no connection: what is open after a run has to be what was open before."""

    async def closing(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return closing


async def _swallow(_: Any) -> None:
    """Lose an answer."""


async def _until_disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@contextmanager
def served() -> Iterator[Front]:
    """Run the server."""
    listener = listen("127.0.0.1", 0)
    front = Front(f"http://127.0.0.1:{listener.getsockname()[1]}/hooks")
    server = ThreadedServer(front, listener, _nothing)
    server.start()
    try:
        yield front
    finally:
        server.stop()


async def _nothing() -> None:
    """Have nothing to close."""
