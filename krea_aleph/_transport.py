"""Connections: a stack of single ones for each origin, last used first.

httpcore's own pool looks at every connection and every waiter on each request, and asks the kernel
about each idle socket. With thousands of jobs that costs more than everything else together. Here
a request takes the connection that was used last, and only that one is looked at. A bound on the
requests in flight keeps the number of sockets small; whoever has to wait for a place has sent
nothing yet, so its time does not run.

A transport passed to an httpx client switches off the environment's proxies; here the
configuration picks the proxy for each origin when a connection is made.
"""

from __future__ import annotations

import json
import os
import threading
import time
import zlib
from collections import deque
from itertools import islice
from typing import Any, Final, NamedTuple, NoReturn, Self
from urllib.parse import urlencode

import httpcore
import httpx

from krea_aleph._hosts import is_public, must_be_public, origin
from krea_aleph._line import (
    KEEPALIVE_SECONDS,
    LEAST_PACE,
    AsyncForeign,
    AsyncLine,
    Deadline,
    Foreign,
    Headers,
    Line,
    Message,
    Pace,
    Reply,
    core_url,
)
from krea_aleph._steps import Response, TransportFault
from krea_aleph._version import __version__
from krea_aleph.errors import ConfigError, KreaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from ssl import SSLContext

    from krea_aleph._config import Config
    from krea_aleph._hosts import Origin
    from krea_aleph._secrets import Secret
    from krea_aleph._steps import Body, Fetch, Request, Send, Sink

USER_AGENT: Final = f"krea-aleph/{__version__}"

# Enough for thousands of jobs whose looks take milliseconds, and kind to the server.
MAX_IN_FLIGHT: Final = 100
# A page of 1,000 jobs is some 500 KiB; no honest answer comes near this.
MAX_ANSWER_BYTES: Final = 32 * 2**20
_CONNECT_SECONDS: Final = 15.0
_BATCH_BYTES: Final = 2**21
_PIECES_AT_ONCE: Final = 4

# Raised before anything of the request can have left.
_NOT_SENT: Final = (
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.PoolTimeout,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_TIMED_OUT: Final = (httpcore.TimeoutException, httpx.TimeoutException)


class _Idle(NamedTuple):
    transport: Any
    since: float


class _Route(NamedTuple):
    """What a connection can be shared for: the origin, and whether it had to be a public one."""

    target: Origin
    public: bool = False


class _Connections:
    """The connections themselves; clients made by ``with_options`` have them in common."""

    def __init__(self, config: Config) -> None:
        self.closed = False
        self._trust_env = config.trust_env
        self._tls = config.ssl_context
        self._begin()
        if config.base.scheme == "https" and config.transport is None:
            self.tls_context()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._stacks: dict[_Route, deque[_Idle]] = {}
        self._tls_lock = threading.Lock()
        self.places = threading.BoundedSemaphore(MAX_IN_FLIGHT)
        # Of asynchronous clients: the event loop, and the places on it.
        self.loop: Any = None
        self.async_places: Any = None

    def tls_context(self) -> SSLContext:
        """Return the one TLS context: making it costs 20 ms, a quarter of importing httpx.

        Raises:
            ConfigError: What the environment names as certificates is none.
        """
        with self._tls_lock:
            if self._tls is None:
                self._tls = _tls_context(trust_env=self._trust_env)
            return self._tls

    def check(self) -> None:
        """Make sure that connections may be used here.

        A forked process begins with none: on its parent's it would read its parent's answers. They
        are only forgotten, since closing them properly would end them for the parent too.

        Raises:
            ConfigError: The client is closed.
        """
        if self.closed:
            raise ConfigError(
                "the client is closed.", hint="Make a new one, or keep it open while you use it."
            )
        if self._process != os.getpid():
            self._inherited = self._stacks  # held, because collecting sockets would close them
            self._begin()

    def take(self, route: _Route, max_idle: float | None) -> tuple[Any | None, list[Any]]:
        """Return a kept connection, if one is fresh enough, and stale ones that are to be closed.

        Stale ones are closed before a request and not after it: once an answer is there, nothing
        may come between it and the caller.
        """
        stack = self._stacks.setdefault(route, deque())
        moment = time.monotonic()
        stale = list(self._stale(stack, moment))
        try:
            kept = stack.pop()
        except IndexError:
            return None, stale
        fresh = max_idle is None or moment - kept.since <= max_idle
        if fresh and kept.transport.usable():
            return kept.transport, stale
        return None, [*stale, kept.transport]

    def _stale(self, stack: deque[_Idle], moment: float) -> Iterator[Any]:
        try:
            while moment - stack[0].since > KEEPALIVE_SECONDS:
                yield stack.popleft().transport
        except IndexError:  # empty, perhaps by another thread's doing
            return

    def keep(self, route: _Route, line: Any) -> None:
        """Put a connection back on top of its stack; a foreign transport keeps its own."""
        if isinstance(line, Foreign | AsyncForeign):
            return
        self._stacks.setdefault(route, deque()).append(_Idle(line, time.monotonic()))

    def drain(self) -> Iterator[Any]:
        """Take no more, and give out every kept connection to be closed."""
        self.closed = True
        for stack in list(self._stacks.values()):
            while stack:
                yield stack.pop().transport


def _tls_context(*, trust_env: bool) -> SSLContext:
    try:
        return httpx.create_ssl_context(trust_env=trust_env)
    except OSError as error:
        raise ConfigError(
            f"the certificates of authorities cannot be read: {error}.",
            hint="Look at SSL_CERT_FILE and SSL_CERT_DIR, or pass ssl_context=.",
        ) from error


class _Pool:
    """What both colours share: how requests and connections are made."""

    def __init__(self, config: Config, connections: _Connections | None = None) -> None:
        self._config = config
        self._connections = connections or _Connections(config)
        base = httpx.URL(config.base_url)
        self._base = core_url(base.copy_with(path=base.path.rstrip("/") + "/"))
        headers = {
            "host": base.netloc.decode("ascii"),
            "user-agent": USER_AGENT,
            "accept": "application/json",
            "accept-encoding": "gzip",
            **config.extra_headers,
        }
        self._headers = _encoded(headers)
        seconds = config.request_timeout
        connect = min(seconds, _CONNECT_SECONDS)
        self._timeouts = {"connect": connect, "read": seconds, "write": seconds, "pool": seconds}

    def sharing(self, config: Config) -> Self:
        """Return a pool for another configuration that uses the same connections."""
        return type(self)(config, self._connections)

    def _options(self, route: _Route) -> dict[str, Any]:
        """Return how to make a connection to an origin."""
        target = route.target
        proxy = self._config.proxy_for(target)
        secure = target.scheme == "https"
        return {
            "target": target,
            "ssl_context": self._connections.tls_context() if secure else None,
            "proxy": None if proxy is None else self._proxy(proxy),
            "admits": is_public if route.public else None,
        }

    def _api_route(self) -> _Route:
        return _Route(self._config.base)

    def _output_route(self, url: str) -> _Route:
        target, config = origin(url), self._config
        public = must_be_public(target.host, base=config.base, trusted=config.trusted_hosts)
        return _Route(target, public)

    def _proxy(self, url: str) -> httpx.Proxy:
        secure = url.startswith("https:")
        return httpx.Proxy(url, ssl_context=self._connections.tls_context() if secure else None)

    def _api_message(
        self, request: Request, content: Any, key: Secret, deadline: Deadline
    ) -> Message:
        query = f"?{urlencode(request.params)}" if request.params else ""
        target = self._base.target + f"{request.path[1:]}{query}".encode("ascii")
        url = httpcore.URL(
            scheme=self._base.scheme, host=self._base.host, port=self._base.port, target=target
        )
        message = Message(
            request.method,
            url,
            [*self._headers, *_encoded(request.headers), *_encoded(_about(request, content))],
            deadline=deadline,
            timeouts=self._timeouts,
            content=content,
        )
        # Set in place, so that no local variable of ours holds the key.
        message.headers.append((b"authorization", b"Bearer " + key.reveal().encode("ascii")))
        return message

    def _fetch_message(self, step: Fetch, deadline: Deadline) -> Message:
        """Return the request for an output: nothing in it says who is asking.

        Raises:
            TransportFault: The address is none that HTTP can ask for.
        """
        try:
            url = httpx.URL(step.url)
            headers = {
                "host": url.netloc.decode("ascii"),
                "user-agent": USER_AGENT,
                "accept-encoding": "identity",
                **step.headers,
            }
            return Message(
                "GET",
                core_url(url),
                _encoded(headers),
                deadline=deadline,
                timeouts=self._timeouts,
                large=True,
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing has been sent
            raise TransportFault(_describe(error), sent=False, hopeless=True) from _bare(error)

    def _seconds(self, *limits: float | None) -> float:
        return min(
            [self._config.request_timeout, *(limit for limit in limits if limit is not None)]
        )


class SyncPool(_Pool):
    """The connections of a synchronous client; any number of threads may use them."""

    def exchange(self, step: Send, key: Secret, limit: float | None) -> Response:
        """Send a request and read the whole answer, within so many seconds if there is a limit.

        Raises:
            TransportFault: There was none.
        """
        request, seconds = step.request, self._seconds(limit, step.limit)
        deadline = Deadline(seconds)
        body = request.body and _at_a_pace(request.body, deadline, seconds)
        message = self._api_message(request, body or _json(request), key, deadline)
        answer = _Answer()

        def read(reply: Reply) -> None:
            answer.begin(reply)
            for piece in reply.pieces:
                answer.take(piece)

        reply = self._perform(self._api_route(), message, step.max_idle, read)
        return _blotted(reply, answer.content(), [key, *step.request.hidden])

    def fetch(self, step: Fetch) -> Response:
        """Stream an output into a sink.

        Raises:
            TransportFault: The answer did not come, or not whole.
        """
        pace = Pace(self._config.request_timeout)

        def read(reply: Reply) -> None:
            if step.sink.begin(reply.status, reply.headers):
                for piece in reply.pieces:
                    step.sink.write(piece)
                    pace.took(len(piece))

        message = self._fetch_message(step, pace)
        reply = self._perform(self._output_route(step.url), message, None, read)
        return Response(reply.status, reply.headers)

    def _perform(self, route: _Route, message: Message, max_idle: float | None, read: Any) -> Reply:
        self._connections.check()
        with self._connections.places:
            message.deadline.begin()
            line = self._connect(route, max_idle)
            try:
                reply: Reply = line.send(message)
                try:
                    read(reply)
                finally:
                    reply.close()
            except BaseException as error:  # noqa: BLE001 - raised again as what it means
                line.close()
                raise_fault(error)
            if self._connections.closed or not line.clean:
                line.close()
            else:
                self._connections.keep(route, line)
        return reply

    def _connect(self, route: _Route, max_idle: float | None) -> Any:
        if self._config.transport is not None:
            return Foreign(self._config.transport)
        kept, stale = self._connections.take(route, max_idle)
        self._close(*stale)
        return kept or Line(**self._options(route))

    def _close(self, *lines: Any) -> None:
        for line in lines:
            line.close()

    def usable(self) -> bool:
        """Whether requests can be made from here: from any thread, until it is closed."""
        return not self._connections.closed

    def close(self) -> None:
        """Close every connection; those in use close when they come back."""
        self._close(*self._connections.drain())


class AsyncPool(_Pool):
    """The connections of an asynchronous client, on the event loop that first uses them."""

    async def exchange(self, step: Send, key: Secret, limit: float | None) -> Response:
        """Send a request and read the whole answer, within so many seconds if there is a limit.

        Raises:
            TransportFault: There was none.
        """
        request, seconds = step.request, self._seconds(limit, step.limit)
        deadline = Deadline(seconds)
        body = request.body and _InThread(request.body, deadline, seconds)
        message = self._api_message(request, body or _json(request), key, deadline)
        answer = _Answer()

        async def read(reply: Reply) -> None:
            answer.begin(reply)
            await _to_the_end(reply.pieces, answer.take, deadline)

        reply = await self._perform(self._api_route(), message, step.max_idle, read)
        return _blotted(reply, answer.content(), [key, *step.request.hidden])

    async def fetch(self, step: Fetch) -> Response:
        """Stream an output into a sink, whose writing is done in a worker thread.

        Raises:
            TransportFault: The answer did not come, or not whole.
        """
        from anyio import CancelScope  # noqa: PLC0415 - see clocks
        from anyio.to_thread import run_sync  # noqa: PLC0415 - see clocks

        pace = Pace(self._config.request_timeout)
        batch = _Batch(step.sink, pace)

        async def read(reply: Reply) -> None:
            if await run_sync(step.sink.begin, reply.status, reply.headers):
                try:
                    await _to_the_end(reply.pieces, batch.take, pace)
                finally:
                    # What has arrived counts even when the rest has not: it is resumed after it.
                    with CancelScope(shield=True):
                        await batch.write()

        message = self._fetch_message(step, pace)
        reply = await self._perform(self._output_route(step.url), message, None, read)
        return Response(reply.status, reply.headers)

    async def _perform(
        self, route: _Route, message: Message, max_idle: float | None, read: Any
    ) -> Reply:
        from anyio import CancelScope  # noqa: PLC0415 - see clocks

        self._connections.check()
        async with self._places():
            message.deadline.begin()
            line = await self._connect(route, max_idle)
            try:
                reply: Reply = await line.send(message)
                try:
                    await read(reply)
                finally:
                    await reply.close()
            except BaseException as error:  # noqa: BLE001 - raised again as what it means
                with CancelScope(shield=True):  # or else the cancellation would be raised from here
                    await line.aclose()
                raise_fault(error)
            if self._connections.closed or not line.clean:
                await line.aclose()
            else:
                self._connections.keep(route, line)
        return reply

    def _places(self) -> Any:
        """Return the places for requests, on the one event loop that connections can live on.

        Raises:
            ConfigError: They belong to another event loop.
        """
        import anyio.lowlevel  # noqa: PLC0415 - see clocks

        shared = self._connections
        if shared.async_places is None:
            shared.loop = anyio.lowlevel.current_token()
            shared.async_places = anyio.Semaphore(MAX_IN_FLIGHT, fast_acquire=True)
        self._refuse_other_loop()
        return shared.async_places

    def _refuse_other_loop(self) -> None:
        import anyio.lowlevel  # noqa: PLC0415 - see clocks

        loop = self._connections.loop
        if loop is not None and loop != anyio.lowlevel.current_token():
            raise ConfigError(
                "this AsyncAleph belongs to another event loop, where its connections are.",
                hint="Make one inside each asyncio.run, and close it there.",
            )

    def usable(self) -> bool:
        """Whether requests can be made from here: only on the event loop that they were made on."""
        import anyio.lowlevel  # noqa: PLC0415 - see clocks

        shared = self._connections
        return not shared.closed and shared.loop == anyio.lowlevel.current_token()

    async def _connect(self, route: _Route, max_idle: float | None) -> Any:
        if self._config.transport is not None:
            return AsyncForeign(self._config.transport)
        kept, stale = self._connections.take(route, max_idle)
        await self._close(*stale)
        return kept or AsyncLine(**self._options(route))

    async def _close(self, *lines: Any) -> None:
        for line in lines:
            await line.aclose()

    async def close(self) -> None:
        """Close every connection; those in use close when they come back.

        Raises:
            ConfigError: They belong to another event loop.
        """
        self._refuse_other_loop()
        await self._close(*self._connections.drain())


class _Batch:
    """Pieces on their way to a sink: a hop to a worker thread costs as much as copying a MiB."""

    def __init__(self, sink: Sink, pace: Pace) -> None:
        self._sink = sink
        self._pace = pace
        self._pieces: list[bytes] = []
        self._size = 0

    def take(self, piece: bytes) -> Awaitable[None] | None:
        """Take a piece, and say what is to be waited for."""
        self._pieces.append(piece)
        self._size += len(piece)
        self._pace.took(len(piece))
        return self.write() if self._size >= _BATCH_BYTES else None

    async def write(self) -> None:
        """Write what has been taken."""
        from anyio.to_thread import run_sync  # noqa: PLC0415 - see clocks

        pieces, self._pieces, self._size = self._pieces, [], 0
        await run_sync(self._write, pieces)

    def _write(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._sink.write(piece)


async def _to_the_end(
    pieces: AsyncIterator[bytes],
    take: Callable[[bytes], Awaitable[None] | None],
    deadline: Deadline,
) -> None:
    """Take every piece; after one that cannot be taken, let the reading run out of time.

    Raising amid a body would leave httpcore's generators half-way, which trio warns about.
    """
    refused: Exception | None = None
    try:
        async for piece in pieces:
            try:
                taken = take(piece) if refused is None else None
                if taken is not None:
                    await taken
            except Exception as error:  # noqa: BLE001 - raised below
                refused = error
                deadline.restart(0)
    except Exception:
        if refused is None:
            raise
    if refused is not None:
        raise refused


class _Answer:
    """The body of an answer while it is read: unpacked if need be, and never without end.

    A few bytes of gzip can stand for gigabytes, so unpacking is bounded as it goes, and only the
    one packing that was offered is taken.
    """

    def __init__(self) -> None:
        self._content = bytearray()
        self._unpack: Any = None
        self._came = 0

    def begin(self, reply: Reply) -> None:
        """Take note of how the body is packed."""
        packing = reply.headers.get("content-encoding", "identity").strip().lower()
        if packing == "gzip":
            self._unpack = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        elif packing not in {"identity", ""}:
            raise TransportFault(f"the answer is packed as {packing[:40]!r}", sent=True)

    def take(self, piece: bytes) -> None:
        """Append a piece as it came."""
        self._came += len(piece)
        try:
            self._content += piece if self._unpack is None else self._unpacked(piece)
        except zlib.error as error:
            raise TransportFault(f"the answer cannot be unpacked: {error}", sent=True) from error
        if max(self._came, len(self._content)) > MAX_ANSWER_BYTES:
            raise TransportFault(f"the answer has more than {MAX_ANSWER_BYTES} bytes", sent=True)

    def _unpacked(self, piece: bytes) -> bytes:
        """Unpack a piece; what comes after the end is passed over, for zlib would collect it."""
        if self._unpack.eof:
            return b""
        unpacked: bytes = self._unpack.decompress(piece, MAX_ANSWER_BYTES + 1 - len(self._content))
        return unpacked

    def content(self) -> bytes:
        """Return the whole body."""
        if self._unpack is not None and not self._unpack.eof:
            raise TransportFault("the packed answer is cut off", sent=True)
        return bytes(self._content)


class _InThread:
    """The same pieces, read in a worker thread, some at a time: disks block, and hops cost."""

    def __init__(self, body: Body, deadline: Deadline, seconds: float) -> None:
        self._pieces = body.chunks()
        self._deadline = deadline
        self._seconds = seconds
        self._ready: deque[bytes] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._ready:
            from anyio.to_thread import run_sync  # noqa: PLC0415 - see clocks

            self._ready.extend(await run_sync(list, islice(self._pieces, _PIECES_AT_ONCE)))
        piece = self._ready.popleft() if self._ready else b""
        self._deadline.restart(_seconds_for(piece, self._seconds))
        if not piece:
            raise StopAsyncIteration
        return piece


def raise_fault(error: BaseException) -> NoReturn:
    """Raise what a failed exchange means to an operation; what is no fault stays what it is.

    The frames that an error of the network comes from hold the request with its key, and programs
    that report errors print their variables: those frames are dropped.
    """
    if isinstance(error, KreaError | TransportFault) or not isinstance(error, Exception):
        raise _bare(error)
    sent = not isinstance(error, _NOT_SENT)
    timed_out = isinstance(error, _TIMED_OUT)
    raise TransportFault(_describe(error), sent=sent, timed_out=timed_out) from _bare(error)


def _bare(error: BaseException) -> BaseException:
    """Return an error that leads to no request any more, nor do those behind it.

    Neither by the frames that they passed through, nor by what httpx attaches to its own.
    """
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        found.__traceback__ = None
        if isinstance(found, httpx.HTTPError):
            found.__dict__.pop("response", None)
            found.__dict__["_request"] = None
        waiting += [found.__cause__, found.__context__]
        waiting += found.exceptions if isinstance(found, BaseExceptionGroup) else ()
    return error


def _describe(error: Exception) -> str:
    """Return a fault's name and words; on trio the words are with its cause."""
    if isinstance(error, _TIMED_OUT):
        return f"{type(error).__name__}: {str(error) or 'timed out'}"
    found: BaseException | None = error
    while found is not None and not str(found):
        found = found.__cause__ or found.__context__
    words = " ".join(str(found or "no details").split())
    return f"{type(error).__name__}: {words[:300]}"


def _blotted(reply: Reply, body: bytes, secrets: Sequence[Secret]) -> Response:
    """Return an answer without the key in it: servers and proxies echo what they are sent."""
    headers = dict(reply.headers)
    for secret in secrets:
        headers = {name: secret.blot(value) for name, value in headers.items()}
        body = secret.blot_bytes(body)
    return Response(reply.status, headers, body)


def _encoded(headers: Mapping[str, str]) -> Headers:
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]


def _about(request: Request, content: Any) -> dict[str, str]:
    """Return the headers that say what a body is; httpcore adds none."""
    if request.body is not None:
        kind, length = request.body.content_type, request.body.length
    elif content is not None:
        kind, length = "application/json", len(content)
    else:
        return {}
    return {"content-type": kind, "content-length": str(length)}


def _json(request: Request) -> bytes | None:
    if request.json is None:
        return None
    return json.dumps(request.json, separators=(",", ":"), allow_nan=False).encode()


def _at_a_pace(body: Body, deadline: Deadline, seconds: float) -> Iterator[bytes]:
    """Yield a large body; each piece must leave at a pace, and then the answer is waited for."""
    for piece in body.chunks():
        deadline.restart(_seconds_for(piece, seconds))
        yield piece
    deadline.restart(seconds)


def _seconds_for(piece: bytes, seconds: float) -> float:
    return seconds + len(piece) / LEAST_PACE
