"""Connections: a stack of one-connection transports for each origin, last used first.

httpcore's own pool looks at every connection and every waiter on each request, and asks the kernel
about each idle socket. With thousands of jobs that costs more than everything else together. Here
a request takes the connection that was used last, and only that one is looked at. A bound on the
requests in flight keeps the number of sockets small; whoever has to wait for a place has sent
nothing yet, so its time does not run.

The transports inside are httpx's own, so TLS, proxies and HTTP are httpx's. A transport passed to
an httpx client switches off the environment's proxies; here the configuration picks the proxy
for each origin when a connection is made.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from typing import Any, Final, NamedTuple, Self

import httpx

from krea_aleph._hosts import origin
from krea_aleph._steps import Response, TransportFault
from krea_aleph._version import __version__
from krea_aleph.errors import ConfigError, KreaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from ssl import SSLContext

    from krea_aleph._config import Config
    from krea_aleph._hosts import Origin
    from krea_aleph._steps import Body, Fetch, Request, Send

USER_AGENT: Final = f"krea-aleph/{__version__}"

# Enough for thousands of jobs whose looks take milliseconds, and kind to the server.
MAX_IN_FLIGHT: Final = 100
# Longer than any pause between two looks, so that polling does not reconnect each time.
KEEPALIVE_SECONDS: Final = 60.0
_CONNECT_SECONDS: Final = 15.0
# A page of 1,000 jobs is some 500 KiB; no honest answer comes near this.
MAX_ANSWER_BYTES: Final = 32 * 2**20
_MIB: Final = 2**20

# Raised before anything of the request can have left.
_NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_ONE: Final = httpx.Limits(
    max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_SECONDS
)


class _Idle(NamedTuple):
    transport: Any
    since: float


class _Connections:
    """The connections themselves; clients made by ``with_options`` have them in common."""

    def __init__(self, config: Config) -> None:
        self.stacks: dict[Origin, deque[_Idle]] = {}
        self.closed = False
        # Of the client's colour; an asynchronous one is made on the event loop that uses it.
        self.places: Any = None
        self._trust_env = config.trust_env
        self._tls = config.ssl_context
        self._tls_lock = threading.Lock()
        if config.base.scheme == "https" and config.transport is None:
            self.tls_context()

    def tls_context(self) -> SSLContext:
        """Return the one TLS context: making it costs 20 ms, a quarter of importing httpx."""
        with self._tls_lock:
            if self._tls is None:
                self._tls = httpx.create_ssl_context(trust_env=self._trust_env)
            return self._tls

    def take(self, target: Origin, max_idle: float | None) -> tuple[Any | None, list[Any]]:
        """Return a kept connection, if one is fresh enough, and those that are to be closed."""
        if self.closed:
            message = "the client is closed."
            raise ConfigError(message, hint="Make a new one, or keep it open while you use it.")
        stack = self.stacks.setdefault(target, deque())
        try:
            kept = stack.pop()
        except IndexError:
            return None, []
        limit = KEEPALIVE_SECONDS if max_idle is None else max_idle
        if time.monotonic() - kept.since <= limit:
            return kept.transport, []
        return None, [kept.transport]

    def keep(self, target: Origin, transport: Any) -> list[Any]:
        """Put a connection back on top; return those at the bottom that have grown stale."""
        if self.closed:
            return [transport]
        moment = time.monotonic()
        stack = self.stacks[target]
        stack.append(_Idle(transport, moment))
        stale: list[Any] = []
        try:
            while moment - stack[0].since > KEEPALIVE_SECONDS:
                stale.append(stack.popleft().transport)
        except IndexError:  # another thread has emptied it meanwhile
            pass
        return stale

    def drain(self) -> Iterator[Any]:
        """Take no more, and give out every kept connection to be closed."""
        self.closed = True
        for stack in self.stacks.values():
            while stack:
                yield stack.pop().transport


class _Pool:
    """What both colours share: how requests and connections are made."""

    def __init__(self, config: Config, connections: _Connections | None = None) -> None:
        self._config = config
        self._connections = connections or _Connections(config)

    def sharing(self, config: Config) -> Self:
        """Return a pool for another configuration that uses the same connections."""
        return type(self)(config, self._connections)

    def _options(self, target: Origin) -> dict[str, Any]:
        """Return how httpx is to make a transport of one connection to an origin."""
        proxy = self._config.proxy_for(target)
        needs_tls = target.scheme == "https" or (proxy or "").startswith("https:")
        return {
            # httpx would otherwise make a context of its own for every transport.
            "verify": self._connections.tls_context() if needs_tls else False,
            "proxy": None if proxy is None else self._proxy(proxy),
            "limits": _ONE,
            "trust_env": False,
        }

    def _proxy(self, url: str) -> httpx.Proxy:
        secure = url.startswith("https:")
        return httpx.Proxy(url, ssl_context=self._connections.tls_context() if secure else None)

    def _api_request(
        self, request: Request, key: str, content: Any, seconds: float
    ) -> httpx.Request:
        config = self._config
        headers = {
            "user-agent": USER_AGENT,
            "accept": "application/json",
            "accept-encoding": "gzip",
            **config.extra_headers,
            **request.headers,
            "authorization": f"Bearer {key}",
        }
        if request.json is not None:
            headers["content-type"] = "application/json"
        elif request.body is not None:
            headers["content-type"] = request.body.content_type
            headers["content-length"] = str(request.body.length)
        return httpx.Request(
            request.method,
            config.base_url + request.path,
            params=dict(request.params) or None,
            headers=headers,
            content=content,
            extensions={"timeout": _timeouts(seconds)},
        )

    def _fetch_request(self, step: Fetch) -> httpx.Request:
        """Return the request for an output: nothing in it says who is asking."""
        return httpx.Request(
            "GET",
            step.url,
            headers={"user-agent": USER_AGENT, "accept-encoding": "identity", **step.headers},
            extensions={"timeout": _timeouts(self._config.request_timeout)},
        )

    def _seconds(self, limit: float | None) -> float:
        seconds = self._config.request_timeout
        return seconds if limit is None else min(seconds, limit)


class SyncPool(_Pool):
    """The connections of a synchronous client; any number of threads may use them."""

    def __init__(self, config: Config, connections: _Connections | None = None) -> None:
        super().__init__(config, connections)
        self._connections.places = self._connections.places or threading.BoundedSemaphore(
            MAX_IN_FLIGHT
        )

    def exchange(self, step: Send, key: str, limit: float | None) -> Response:
        """Send a request and read the whole answer, within so many seconds if there is a limit.

        Raises:
            TransportFault: There was none.
        """
        request, seconds = step.request, self._seconds(limit)
        content = _json_bytes(request) if request.body is None else request.body.chunks()
        message = self._api_request(request, key, content, seconds)
        answer = bytearray()
        deadline = _deadline(request, seconds)

        def read(response: httpx.Response) -> None:
            for piece in response.iter_bytes():
                _take_piece(answer, piece, deadline)

        return self._perform(message, step.max_idle, read, answer).without(key)

    def fetch(self, step: Fetch) -> Response:
        """Stream an output into a sink.

        Raises:
            TransportFault: The answer did not come, or not whole.
        """

        def read(response: httpx.Response) -> None:
            if step.sink.begin(response.status_code, _headers(response)):
                for piece in response.iter_raw(_MIB):
                    step.sink.write(piece)

        return self._perform(self._fetch_request(step), None, read, bytearray())

    def _perform(
        self, message: httpx.Request, max_idle: float | None, read: Any, answer: bytearray
    ) -> Response:
        target = origin(str(message.url))
        with self._connections.places:
            transport = self._connect(target, max_idle)
            try:
                response = transport.handle_request(message)
                try:
                    read(response)
                finally:
                    response.close()
            except BaseException as error:
                self._close([transport])
                fault = as_fault(error)
                if fault is error:
                    raise
                raise fault from error
            self._release(target, transport)
        return Response(response.status_code, _headers(response), bytes(answer))

    def _connect(self, target: Origin, max_idle: float | None) -> Any:
        if self._config.transport is not None:
            return self._config.transport
        kept, stale = self._connections.take(target, max_idle)
        self._close(stale)
        return kept or httpx.HTTPTransport(**self._options(target))

    def _release(self, target: Origin, transport: Any) -> None:
        if transport is not self._config.transport:
            self._close(self._connections.keep(target, transport))

    def _close(self, transports: list[Any]) -> None:
        for transport in transports:
            if transport is not self._config.transport:
                transport.close()

    def close(self) -> None:
        """Close every connection; those in use close when they come back."""
        self._close(list(self._connections.drain()))


class AsyncPool(_Pool):
    """The connections of an asynchronous client, on the event loop that first uses them."""

    async def exchange(self, step: Send, key: str, limit: float | None) -> Response:
        """Send a request and read the whole answer, within so many seconds if there is a limit.

        Raises:
            TransportFault: There was none.
        """
        request, seconds = step.request, self._seconds(limit)
        content = _json_bytes(request) if request.body is None else _in_thread(request.body)
        message = self._api_request(request, key, content, seconds)
        answer = bytearray()
        deadline = _deadline(request, seconds)

        async def read(response: httpx.Response) -> None:
            async for piece in response.aiter_bytes():
                _take_piece(answer, piece, deadline)

        return (await self._perform(message, step.max_idle, read, answer)).without(key)

    async def fetch(self, step: Fetch) -> Response:
        """Stream an output into a sink, whose writing is done in a worker thread.

        Raises:
            TransportFault: The answer did not come, or not whole.
        """
        from anyio.to_thread import run_sync  # noqa: PLC0415 - see Config's clock

        async def read(response: httpx.Response) -> None:
            if await run_sync(step.sink.begin, response.status_code, _headers(response)):
                async for piece in response.aiter_raw(_MIB):
                    await run_sync(step.sink.write, piece)

        return await self._perform(self._fetch_request(step), None, read, bytearray())

    async def _perform(
        self, message: httpx.Request, max_idle: float | None, read: Any, answer: bytearray
    ) -> Response:
        target = origin(str(message.url))
        async with self._semaphore():
            transport = await self._connect(target, max_idle)
            try:
                response = await transport.handle_async_request(message)
                try:
                    await read(response)
                finally:
                    await response.aclose()
            except BaseException as error:
                await self._close([transport])
                fault = as_fault(error)
                if fault is error:
                    raise
                raise fault from error
            await self._release(target, transport)
        return Response(response.status_code, _headers(response), bytes(answer))

    def _semaphore(self) -> Any:
        connections = self._connections
        if connections.places is None:
            import anyio  # noqa: PLC0415 - see Config's clock

            connections.places = anyio.Semaphore(MAX_IN_FLIGHT, fast_acquire=True)
        return connections.places

    async def _connect(self, target: Origin, max_idle: float | None) -> Any:
        if self._config.transport is not None:
            return self._config.transport
        kept, stale = self._connections.take(target, max_idle)
        await self._close(stale)
        return kept or httpx.AsyncHTTPTransport(**self._options(target))

    async def _release(self, target: Origin, transport: Any) -> None:
        if transport is not self._config.transport:
            await self._close(self._connections.keep(target, transport))

    async def _close(self, transports: list[Any]) -> None:
        for transport in transports:
            if transport is not self._config.transport:
                await transport.aclose()

    async def close(self) -> None:
        """Close every connection; those in use close when they come back."""
        await self._close(list(self._connections.drain()))


def as_fault(error: BaseException) -> BaseException:
    """Return what a failed exchange means to an operation; what is no fault stays as it is."""
    if isinstance(error, KreaError | TransportFault) or not isinstance(error, Exception):
        return error
    sent = not isinstance(error, _NOT_SENT)
    timed_out = isinstance(error, httpx.TimeoutException)
    return TransportFault(_describe(error), sent=sent, timed_out=timed_out)


def _describe(error: Exception) -> str:
    """Return a fault's name and words; on trio the words are with its cause."""
    found: BaseException | None = error
    while found is not None and not str(found):
        found = found.__cause__ or found.__context__
    words = " ".join(str(found or "no details").split())
    return f"{type(error).__name__}: {words[:300]}"


def _json_bytes(request: Request) -> bytes | None:
    if request.json is None:
        return None
    return json.dumps(request.json, separators=(",", ":"), allow_nan=False).encode()


def _timeouts(seconds: float) -> dict[str, float]:
    return {
        "connect": min(seconds, _CONNECT_SECONDS),
        "read": seconds,
        "write": seconds,
        "pool": seconds,
    }


def _deadline(request: Request, seconds: float) -> float:
    """Return when reading must have ended; a transfer is bounded by each read alone."""
    return time.monotonic() + seconds if request.body is None else float("inf")


def _take_piece(answer: bytearray, piece: bytes, deadline: float) -> None:
    answer += piece
    if len(answer) > MAX_ANSWER_BYTES:
        message = f"the answer is larger than {MAX_ANSWER_BYTES} bytes"
        raise TransportFault(message, sent=True)
    if time.monotonic() > deadline:
        message = "the answer was still dripping in when request_timeout ran out"
        raise TransportFault(message, sent=True, timed_out=True)


def _headers(response: httpx.Response) -> Mapping[str, str]:
    return dict(response.headers)


async def _in_thread(body: Body) -> AsyncIterator[bytes]:
    """Read a body's pieces in a worker thread: disks block."""
    from anyio.to_thread import run_sync  # noqa: PLC0415 - see Config's clock

    pieces = body.chunks()
    while (piece := await run_sync(next, pieces, b"")) != b"":
        yield piece
