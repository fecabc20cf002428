"""A uvicorn server in a thread of its own that starts and stops in milliseconds."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from krea_aleph.emulator.wire import TRANSPORT
from krea_aleph.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

PATIENCE: Final = 10.0
"""Real seconds within which the thread must have started, or stopped."""


# A connection that is just being accepted is seen a turn or two of the loop later.
_ROUNDS: Final = 5


class _Protocol(H11Protocol):
    """HTTP that hands the connection to the application, which may have to break it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.access_log = False  # the emulator writes its own

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app: ASGIApp = self.app

        async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, TRANSPORT: transport}, receive, send)

        self.app = with_transport


class _Server(uvicorn.Server):
    """A uvicorn server without its polling: it stops when told, and cuts what is still open."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End the main loop; call it in the server's loop."""
        self._stop.set()

    async def main_loop(self) -> None:
        await self._on_started()
        await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for _ in range(_ROUNDS):
            await self._cut()
        for listener in sockets or ():
            listener.close()

    async def _cut(self) -> None:
        """Break every connection, and let the loop close it."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


class ThreadedServer:
    """An ASGI application on a socket, served by a background thread."""

    def __init__(
        self, app: ASGIApp, listener: socket.socket, on_stop: Callable[[], Awaitable[None]]
    ) -> None:
        self._app = app
        self._on_stop = on_stop
        self._socket = listener
        self.port: int = self._socket.getsockname()[1]
        self.loop: asyncio.AbstractEventLoop | None = None
        self._server: _Server | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="krea-emulator", daemon=True)

    def start(self) -> None:
        """Serve; return when the server answers."""
        self._thread.start()
        self._started.wait(PATIENCE)

    def stop(self) -> None:
        """Stop serving, cut open connections, and wait for the thread."""
        if self._thread.is_alive() and self.loop is not None and self._server is not None:
            self.loop.call_soon_threadsafe(self._server.stop)
            self._thread.join(PATIENCE)
        self._socket.close()

    def join(self) -> None:
        """Wait until the server has been stopped."""
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        config = uvicorn.Config(self._app, **_CONFIG)
        self.loop = asyncio.get_running_loop()
        self._server = _Server(config, self._announce)
        await self._server.serve(sockets=[self._socket])
        await self._on_stop()

    async def _announce(self) -> None:
        self._started.set()


# The emulator sends Date itself, by its own clock.
_CONFIG: Final[dict[str, Any]] = {
    "http": _Protocol,
    "ws": "none",
    "lifespan": "off",
    "log_config": None,  # logging belongs to the program that the emulator runs in
    "server_header": False,
    "date_header": False,
    "timeout_keep_alive": 75,
}


def listen(host: str, port: int) -> socket.socket:
    """Take an address, so that its port is known before anything is served.

    Raises:
        ConfigError: If the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay off only where the protocol is spelled out: 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(
            f"the emulator cannot listen on {host}:{port}: {error}.",
            hint="Use another port; 0 takes a free one.",
        ) from error
    return listener
