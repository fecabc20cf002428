"""The receiver as an ASGI application, without a framework."""

from __future__ import annotations

from typing import Any, Final

import anyio

from krea_aleph.webhooks.judge import TOO_SLOW, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph.webhooks.aftermath import Aftermath
    from krea_aleph.webhooks.delivery import Arrival
    from krea_aleph.webhooks.judge import Judge

PATIENCE: Final = 10.0
"""Seconds that a caller has to send the body."""


class Application:
    """An ASGI application. What is left to do goes on in the request's task, after the answer."""

    def __init__(self, judge: Judge, aftermath: Aftermath) -> None:
        self._judge = judge
        self._aftermath = aftermath

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request, or the beginning and the end of a server's life."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            response, arrival = await self._answer(scope, receive)
        except ConnectionError:
            return
        await _send(send, response)
        if arrival is not None:
            await self._aftermath.afollow(arrival)

    async def _answer(self, scope: Any, receive: Any) -> tuple[Response, Arrival | None]:
        address = self._judge.admit(scope["method"], scope["path"], _headers(scope))
        if isinstance(address, Response):
            return address, None
        try:
            with anyio.fail_after(PATIENCE):
                body = await _read(receive, self._judge.max_body)
        except TimeoutError:
            return TOO_SLOW, None
        return self._judge.take(address, body)


def _headers(scope: Any) -> Mapping[str, str]:
    pairs = scope["headers"]
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}


async def _read(receive: Any, most: int) -> bytes:
    """Return the body, or only the beginning of one that is longer than ``most``.

    Raises:
        ConnectionError: The caller went away.
    """
    body = bytearray()
    more = True
    while more and len(body) <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


async def _send(send: Any, response: Response) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in response.headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": pairs})
    await send({"type": "http.response.body", "body": response.body})


async def _live(receive: Any, send: Any) -> None:
    """Have nothing to do when a server starts and when it stops."""
    ending = False
    while not ending:
        message = await receive()
        ending = message["type"] == "lifespan.shutdown"
        await send({"type": f"{message['type']}.complete"})
