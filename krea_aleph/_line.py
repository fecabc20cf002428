"""One connection to one origin, and the deadline that everything on it keeps.

httpcore's timeouts are for one read or write each. A server that drips its headers, or sends
interim answers for ever, never runs into them, so the streams here also look at the deadline of
the whole exchange. They are httpcore's own network streams in a thin coat.

Where only some addresses are admitted, names are resolved here, and connected is to an address that
was looked at: a name that means another one the next time it is asked for leads nowhere. TLS still
goes by the name.

A transport of the user's own speaks httpx's language; `Foreign` and `AsyncForeign` translate. Our
own connections do without it, because httpx's request and response objects are a tenth of the cost.
"""

from __future__ import annotations

import math
import time
from typing import Any, Final, NamedTuple, Self, TypeAlias

import httpcore
import httpx

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
    from ssl import SSLContext

    from krea_aleph._hosts import Origin


class Deadline:
    """The moment at which an exchange has had its time; it may be set while it is under way."""

    __slots__ = ("_ends", "_seconds", "_words")

    def __init__(self, seconds: float = math.inf) -> None:
        self._seconds = seconds
        self._words = "the exchange took longer than request_timeout"
        self._ends = math.inf
        self.begin()

    def begin(self) -> None:
        """Allow all of the time from now: what came before was waiting for a connection."""
        self.restart(self._seconds)

    def restart(self, seconds: float) -> None:
        """Allow so many seconds from now."""
        self._ends = time.monotonic() + seconds

    def left(self, timeout: float | None) -> float:
        """Return a timeout that does not outlast the deadline.

        Raises:
            httpcore.ReadTimeout: The deadline has passed.
        """
        left = self._ends - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout(self._words)
        return left if timeout is None else min(timeout, left)


# Bytes a second. Less is no slow line but a host that keeps us busy.
LEAST_PACE: Final = 1024


class Pace(Deadline):
    """A deadline that is put off as long as a transfer brings something.

    The answer must begin in so many seconds, and in each stretch of as many seconds the least pace
    must be kept. A host that drips cannot hold a transfer for longer than its length allows.
    """

    __slots__ = ("_brought",)

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._brought = 0

    def took(self, size: int) -> None:
        """Note that so many bytes have come.

        Raises:
            httpcore.ReadTimeout: They came too slowly.
        """
        self._words = f"less than {LEAST_PACE} bytes a second came for {self._seconds:g} s"
        self._brought += size
        if self._brought >= LEAST_PACE * self._seconds:
            self._brought = 0
            self.begin()
        else:
            self.left(None)


# What says whether an address may be connected to.
Admits: TypeAlias = "Callable[[str], bool] | None"

# Each read has a price of its own: a download asks for more at a time than httpcore would.
_LARGE_READ: Final = 256 * 1024
# Longer than any pause between two looks, so that polling does not reconnect each time.
KEEPALIVE_SECONDS: Final = 60.0

Headers: TypeAlias = list[tuple[bytes, bytes]]


class Message:
    """One request as it goes onto the wire. Its headers hold the key, so it does not show them.

    Attributes:
        method: The HTTP method.
        url: Where to.
        headers: All of them, Host included.
        content: The body: bytes, an iterator of them, an asynchronous one, or None.
        deadline: When the exchange has had its time.
        large: Whether much will come, so that it is worth reading more at a time.
        timeouts: The longest that one read, write or connect may take, in seconds.
    """

    __slots__ = ("content", "deadline", "headers", "large", "method", "timeouts", "url")

    def __init__(
        self,
        method: str,
        url: httpcore.URL,
        headers: Headers,
        *,
        deadline: Deadline,
        timeouts: Mapping[str, float],
        content: Any = None,
        large: bool = False,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.content = content
        self.deadline = deadline
        self.large = large
        self.timeouts = timeouts

    def __repr__(self) -> str:
        return f"<Message {self.method}>"

    def core(self) -> httpcore.Request:
        """Return it in httpcore's terms."""
        return httpcore.Request(
            method=self.method,
            url=self.url,
            headers=self.headers,
            content=_Whole(self.content or b"") if self._is_whole() else self.content,
            extensions={"timeout": self.timeouts},
        )

    def _is_whole(self) -> bool:
        return self.content is None or isinstance(self.content, bytes)

    def foreign(self) -> httpx.Request:
        """Return it in httpx's terms."""
        return httpx.Request(
            self.method,
            bytes(self.url).decode("ascii"),
            headers=self.headers,
            content=self.content,
            extensions={"timeout": dict(self.timeouts)},
        )


class _Whole:
    """A body that is not streamed, for connections of either colour.

    httpcore's own is an asynchronous generator, and trio warns about one that is left half-way,
    which is what happens when the connection breaks while the body is sent.
    """

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        return iter((self._content,))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._content)


class _Once:
    """Gives one piece and ends; there is nothing to close."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content: bytes | None = content

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        content, self._content = self._content, None
        if content is None:
            raise StopAsyncIteration
        return content


class Reply(NamedTuple):
    """The beginning of an answer; names of headers are in lower case.

    Attributes:
        status: The HTTP status.
        headers: The headers; one that stands there twice has both values, with a comma between.
        pieces: The body as it comes, an asynchronous iterable for an asynchronous connection.
        close: Ends it.
    """

    status: int
    headers: dict[str, str]
    pieces: Any
    close: Callable[[], Any]


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


class Line:
    """A connection for code that blocks."""

    def __init__(
        self, target: Origin, ssl_context: SSLContext | None, proxy: Any, admits: Admits = None
    ) -> None:
        self._backend = _Backend(admits if proxy is None else None)
        self._connection: Any = _connection(_SYNC, self._backend, target, ssl_context, proxy)

    def usable(self) -> bool:
        """Whether a request may be sent: the server may have hung up while it was idle."""
        return _usable(self._connection)

    @property
    def clean(self) -> bool:
        """Whether nothing has come beyond the last answer."""
        return not _has_leftovers(self._connection)

    def send(self, message: Message) -> Reply:
        """Send a request and return the answer, its body still to be read."""
        self._backend.deadline = message.deadline
        self._backend.least_read = _LARGE_READ if message.large else 0
        answer = self._connection.handle_request(message.core())
        return Reply(answer.status, _headers(answer.headers), answer.stream, answer.close)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Foreign:
    """A transport of the user's own, for code that blocks; it is the user's to close."""

    clean = True

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def send(self, message: Message) -> Reply:
        """Send a request and return the answer, its body still to be read."""
        answer: httpx.Response = self._transport.handle_request(message.foreign())
        headers = _headers(answer.headers.raw)
        return Reply(answer.status_code, headers, answer.iter_raw(), answer.close)

    def close(self) -> None:
        """Leave it open: it belongs to the user."""


class _Backend(httpcore.NetworkBackend):
    def __init__(self, admits: Admits) -> None:
        self._backend = httpcore.SyncBackend()
        self._admits = admits
        self.deadline = Deadline()
        self.least_read = 0

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect within the deadline, and to an admitted address."""

        def connect(address: str) -> httpcore.NetworkStream:
            left = self.deadline.left(timeout)
            return self._backend.connect_tcp(address, port, left, local_address, socket_options)

        if self._admits is None:
            return _NetworkStream(connect(host), self)
        from krea_aleph import _addresses  # noqa: PLC0415 - not every program needs it

        found = _addresses.admitted(host, _addresses.resolved(host, port), self._admits)
        return _NetworkStream(_addresses.first(found, connect), self)


class _NetworkStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, backend: _Backend) -> None:
        self._stream = stream
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        most = max(max_bytes, self._backend.least_read)
        return self._stream.read(most, self._backend.deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._backend.deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._backend.deadline.left(timeout)
        try:
            secure = self._stream.start_tls(ssl_context, server_hostname, left)
        except BaseException:
            self._stream.close()  # httpcore does so after errors, and not when interrupted
            raise
        return _NetworkStream(secure, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class AsyncLine:
    """A connection for an event loop, asyncio's or trio's."""

    def __init__(
        self, target: Origin, ssl_context: SSLContext | None, proxy: Any, admits: Admits = None
    ) -> None:
        self._backend = _AsyncBackend(admits if proxy is None else None)
        self._connection: Any = _connection(_ASYNC, self._backend, target, ssl_context, proxy)

    def usable(self) -> bool:
        """Whether a request may be sent: the server may have hung up while it was idle."""
        return _usable(self._connection)

    @property
    def clean(self) -> bool:
        """Whether nothing has come beyond the last answer."""
        return not _has_leftovers(self._connection)

    async def send(self, message: Message) -> Reply:
        """Send a request and return the answer, its body still to be read."""
        self._backend.deadline = message.deadline
        self._backend.least_read = _LARGE_READ if message.large else 0
        answer = await self._connection.handle_async_request(message.core())
        return Reply(answer.status, _headers(answer.headers), answer.stream, answer.aclose)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._connection.aclose()


class AsyncForeign:
    """A transport of the user's own, for an event loop; it is the user's to close."""

    clean = True

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    async def send(self, message: Message) -> Reply:
        """Send a request and return the answer, its body still to be read."""
        answer: httpx.Response = await self._transport.handle_async_request(message.foreign())
        headers = _headers(answer.headers.raw)
        return Reply(answer.status_code, headers, answer.aiter_raw(), answer.aclose)

    async def aclose(self) -> None:
        """Leave it open: it belongs to the user."""


# ASYNC109 would have a cancel scope for a timeout; these signatures are httpcore's.
# ruff: noqa: ASYNC109


class _AsyncBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, admits: Admits) -> None:
        self._backend: Any = httpcore.AnyIOBackend()
        self._admits = admits
        self.deadline = Deadline()
        self.least_read = 0

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect within the deadline, and to an admitted address."""

        async def connect(address: str) -> httpcore.AsyncNetworkStream:
            stream: httpcore.AsyncNetworkStream = await self._backend.connect_tcp(
                address, port, self.deadline.left(timeout), local_address, socket_options
            )
            return stream

        if self._admits is None:
            return _AsyncNetworkStream(await connect(host), self)
        from krea_aleph import _addresses  # noqa: PLC0415 - as above

        resolved = await _addresses.aresolved(host, port, self.deadline.left(timeout))
        found = _addresses.admitted(host, resolved, self._admits)
        return _AsyncNetworkStream(await _addresses.afirst(found, connect), self)


class _AsyncNetworkStream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, backend: _AsyncBackend) -> None:
        self._stream = stream
        self._backend = backend

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        most = max(max_bytes, self._backend.least_read)
        return await self._stream.read(most, self._backend.deadline.left(timeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, self._backend.deadline.left(timeout))

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        import anyio  # noqa: PLC0415 - see clocks

        left = self._backend.deadline.left(timeout)
        try:
            secure = await self._stream.start_tls(ssl_context, server_hostname, left)
        except BaseException:
            with anyio.CancelScope(shield=True):  # as above
                await self._stream.aclose()
            raise
        return _AsyncNetworkStream(secure, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Kinds(NamedTuple):
    direct: Any
    http_proxy: Any
    socks_proxy: Any


_SYNC: Final = _Kinds(httpcore.HTTPConnection, httpcore.HTTPProxy, httpcore.SOCKSProxy)
_ASYNC: Final = _Kinds(
    httpcore.AsyncHTTPConnection, httpcore.AsyncHTTPProxy, httpcore.AsyncSOCKSProxy
)


def _connection(
    kinds: _Kinds, backend: Any, target: Origin, ssl_context: SSLContext | None, proxy: Any
) -> Any:
    """Return httpcore's connection, or its pool for a single one through a proxy."""
    common = {
        "ssl_context": ssl_context,
        "keepalive_expiry": KEEPALIVE_SECONDS,
        "network_backend": backend,
    }
    if proxy is None:
        address = httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port)
        return kinds.direct(origin=address, **common)
    url, auth = core_url(proxy.url), proxy.raw_auth
    if proxy.url.scheme.startswith("socks"):
        return kinds.socks_proxy(proxy_url=url, proxy_auth=auth, max_connections=1, **common)
    return kinds.http_proxy(
        proxy_url=url,
        proxy_auth=auth,
        proxy_ssl_context=proxy.ssl_context,
        max_connections=1,
        **common,
    )


def _usable(connection: Any) -> bool:
    """Say whether a kept connection is; a pool, as for proxies, looks after its own."""
    if hasattr(connection, "is_idle"):
        return bool(connection.is_idle() and not connection.has_expired())
    return True


def _has_leftovers(connection: Any) -> bool:
    """Say whether more came than the answer that was promised.

    Whatever reads on takes the rest for the answer to the next request, which the pinned httpcore
    does not look out for; it has no public way to ask either. What comes later makes the connection
    readable, and that is looked at before it is used again.
    """
    for inner in getattr(connection, "connections", [connection]):
        while not hasattr(inner, "_h11_state") and hasattr(inner, "_connection"):
            inner = inner._connection  # noqa: PLW2901, SLF001 - from coat to coat
        state = getattr(inner, "_h11_state", None)
        if state is not None and state.trailing_data[0]:
            return True
    return False


def core_url(url: httpx.URL) -> httpcore.URL:
    """Return a URL in httpcore's terms."""
    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )
