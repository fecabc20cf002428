"""One connection to one origin, and the deadline that everything on it keeps.

httpcore's timeouts are for one read or write each. A server that drips its headers, or sends
interim answers for ever, never runs into them, so the streams here also look at the deadline of
the whole exchange. They are httpcore's own network streams in a thin coat; the interface outwards
is the one of httpx's transports, so that a transport of the user's own can take the place.
"""

from __future__ import annotations

import math
import time
from typing import Any, Final, NamedTuple

import httpcore
import httpx

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from ssl import SSLContext

    from krea_aleph._hosts import Origin


class Deadline:
    """The moment at which an exchange has had its time; it may be set while it is under way."""

    __slots__ = ("_ends",)

    def __init__(self, seconds: float = math.inf) -> None:
        self._ends = math.inf
        self.restart(seconds)

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
            raise httpcore.ReadTimeout("the exchange took longer than request_timeout")
        return left if timeout is None else min(timeout, left)


# Longer than any pause between two looks, so that polling does not reconnect each time.
KEEPALIVE_SECONDS: Final = 60.0
DEADLINE: Final = "krea_aleph.deadline"
"""The request extension that carries the deadline."""


class Line(httpx.BaseTransport):
    """A connection for code that blocks."""

    def __init__(self, target: Origin, ssl_context: SSLContext | None, proxy: Any) -> None:
        self._backend = _Backend()
        self._connection: Any = _connection(_SYNC, self._backend, target, ssl_context, proxy)

    def usable(self) -> bool:
        """Whether a request may be sent: the server may have hung up while it was idle."""
        return _usable(self._connection)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer, its body still to be read."""
        self._backend.deadline = request.extensions[DEADLINE]
        answer = self._connection.handle_request(_core_request(request))
        return httpx.Response(answer.status, headers=answer.headers, stream=_Stream(answer.stream))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class _Stream(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._stream.close()


class _Backend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()
        self.deadline = Deadline()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect within the deadline."""
        stream = self._backend.connect_tcp(
            host, port, self.deadline.left(timeout), local_address, socket_options
        )
        return _NetworkStream(stream, self)


class _NetworkStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, backend: _Backend) -> None:
        self._stream = stream
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._backend.deadline.left(timeout))

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
        secure = self._stream.start_tls(ssl_context, server_hostname, left)
        return _NetworkStream(secure, self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class AsyncLine(httpx.AsyncBaseTransport):
    """A connection for an event loop, asyncio's or trio's."""

    def __init__(self, target: Origin, ssl_context: SSLContext | None, proxy: Any) -> None:
        self._backend = _AsyncBackend()
        self._connection: Any = _connection(_ASYNC, self._backend, target, ssl_context, proxy)

    def usable(self) -> bool:
        """Whether a request may be sent: the server may have hung up while it was idle."""
        return _usable(self._connection)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer, its body still to be read."""
        self._backend.deadline = request.extensions[DEADLINE]
        answer = await self._connection.handle_async_request(_core_request(request))
        stream = _AsyncStream(answer.stream)
        return httpx.Response(answer.status, headers=answer.headers, stream=stream)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._connection.aclose()


class _AsyncStream(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        pieces: AsyncIterator[bytes] = self._stream.__aiter__()
        return pieces

    async def aclose(self) -> None:
        await self._stream.aclose()


# ASYNC109 would have a cancel scope for a timeout; these signatures are httpcore's.
# ruff: noqa: ASYNC109


class _AsyncBackend(httpcore.AsyncNetworkBackend):
    def __init__(self) -> None:
        self._backend: Any = httpcore.AnyIOBackend()
        self.deadline = Deadline()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect within the deadline."""
        stream = await self._backend.connect_tcp(
            host, port, self.deadline.left(timeout), local_address, socket_options
        )
        return _AsyncNetworkStream(stream, self)


class _AsyncNetworkStream(httpcore.AsyncNetworkStream):
    def __init__(self, stream: httpcore.AsyncNetworkStream, backend: _AsyncBackend) -> None:
        self._stream = stream
        self._backend = backend

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, self._backend.deadline.left(timeout))

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
        left = self._backend.deadline.left(timeout)
        secure = await self._stream.start_tls(ssl_context, server_hostname, left)
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
    url, auth = _core_url(proxy.url), proxy.raw_auth
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


def _core_request(request: httpx.Request) -> httpcore.Request:
    return httpcore.Request(
        method=request.method,
        url=_core_url(request.url),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def _core_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )
