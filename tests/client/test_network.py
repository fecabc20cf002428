"""Connections: few, reused, through proxies and TLS, and never with more than they should say."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import socket
import ssl
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import httpcore
import httpx
import pytest
import trustme

from krea_aleph import (
    Aleph,
    APIConnectionError,
    AsyncAleph,
    AuthenticationError,
    ConfigError,
    Event,
    KreaError,
    RetryPolicy,
)
from krea_aleph._line import Deadline, Message
from krea_aleph.emulator import Emulator, Fault
from local_network import http_proxy, tls_front

URL = "https://example.com/in.mp4"


@pytest.fixture
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA, emulator: Emulator) -> Iterator[str]:
    """The emulator behind TLS; the address to reach it there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    port = int(emulator.base_url.rpartition(":")[2])
    with tls_front(port, context) as front:
        yield f"https://localhost:{front}"


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that trusts our authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_over_tls(open_client: Any, tls: str, trusting: ssl.SSLContext, clip: Path) -> None:
    """An ssl_context of one's own is used, uploads included."""
    aleph = open_client(base_url=tls, ssl_context=trusting)
    assert aleph.wait(aleph.submit(clip, "night")).succeeded


def test_certificates_of_the_environment(
    open_client: Any, tls: str, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE counts, and trust_env=False switches it off."""
    with authority.cert_pem.tempfile() as bundle:
        monkeypatch.setenv("SSL_CERT_FILE", bundle)
        assert open_client(base_url=tls).submit(URL, "night").id
        stranger = open_client(base_url=tls, trust_env=False, retry=RetryPolicy(attempts=1))
        with pytest.raises(APIConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
            stranger.submit(URL, "night")


def test_a_plain_proxy(
    open_client: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY is used although the transport is our own, and NO_PROXY is heeded."""
    with http_proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        job = open_client().submit(URL, "night")
        assert proxy.seen == [f"POST {emulator.base_url}/generate/video/runway/aleph"]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        open_client().get(job)
        monkeypatch.delenv("NO_PROXY")
        open_client(trust_env=False).get(job)
        assert len(proxy.seen) == 1


def test_a_tunnel(open_client: Any, tls: str, trusting: ssl.SSLContext) -> None:
    """Through CONNECT goes https: the proxy learns the host, and neither path nor key."""
    with http_proxy() as proxy:
        aleph = open_client(base_url=tls, ssl_context=trusting, proxy=proxy.url)
        job = aleph.submit(URL, "night")
        assert aleph.get(job).id == job.id
        assert proxy.seen == [f"CONNECT {tls.removeprefix('https://')}"]


def test_a_tunnel_that_is_refused(
    open_client: Any, tls: str, trusting: ssl.SSLContext, emulator: Emulator
) -> None:
    """Nothing can have been started through a tunnel that never was: it is no uncertain submit."""
    with http_proxy() as proxy:
        proxy.refuse = True
        aleph = open_client(base_url=tls, ssl_context=trusting, proxy=proxy.url)
        with pytest.raises(APIConnectionError, match="407") as caught:
            aleph.submit(URL, "night")
    assert caught.value.resubmit == "safe"
    assert emulator.accepted == 0
    assert len(proxy.seen) == 4


def test_an_error_names_server_and_proxy(open_client: Any, emulator: Emulator) -> None:
    """Who forgot a proxy of the environment is told of it, but not its password."""
    aleph = open_client(proxy="http://user:pass-word@localhost:9")
    with pytest.raises(APIConnectionError) as caught:
        aleph.get("j1")
    server = emulator.base_url.removeprefix("http://")
    assert f"no answer from {server} through the proxy localhost: " in str(caught.value)
    assert "pass-word" not in str(caught.value)
    straight = open_client(base_url="http://127.0.0.1:9", trust_env=False)
    with pytest.raises(APIConnectionError, match=r"no answer from 127\.0\.0\.1:9: "):
        straight.get("j1")


def test_connections_are_reused(open_client: Any, emulator: Emulator) -> None:
    """One after the other, requests need one connection."""
    aleph = open_client()
    job = aleph.submit(URL, "night")
    for _ in range(10):
        aleph.get(job)
    ports = {request.client for request in emulator.requests}
    assert len(ports) == 1


def test_sixteen_threads_share_a_client(emulator: Emulator) -> None:
    """Threads may use one client at the same time; each has a connection while it needs one."""
    with emulator.aleph() as aleph, ThreadPoolExecutor(16) as threads:
        jobs = list(threads.map(lambda number: aleph.submit(URL, f"night {number}"), range(48)))
        seen = list(threads.map(aleph.get, jobs))
    assert len({job.id for job in jobs}) == 48
    assert [job.id for job in seen] == [job.id for job in jobs]
    assert len({request.client for request in emulator.requests}) <= 16


@pytest.mark.krea_emulator(backlog=2000)
def test_a_thousand_tasks_stay_within_the_pool(emulator: Emulator) -> None:
    """A thousand waits at once need at most a hundred connections and lose no job."""

    async def main() -> list[Any]:
        async with emulator.async_aleph(virtual_time=True) as aleph:

            async def one(number: int) -> Any:
                return await aleph.wait(await aleph.submit(URL, f"night {number}"))

            return await asyncio.gather(*(one(number) for number in range(1000)))

    emulator.concurrency = 1000
    jobs = asyncio.run(main())
    assert len({job.id for job in jobs}) == 1000
    assert all(job.succeeded for job in jobs)
    assert len({request.client for request in emulator.requests}) <= 100


def test_nothing_is_left_open(open_client: Any, emulator: Emulator, clip: Path) -> None:
    """A closed client has no socket left, whatever has happened to its requests."""
    aleph = open_client(request_timeout=0.2, retry=RetryPolicy(attempts=1))
    job = aleph.submit(clip, "night")
    for fault in ({"drop": "before"}, {"cut": 3}, {"stall": 5.0}, {"truncate": 2}, {"close": True}):
        emulator.fault(Fault(operation="get_job", **fault))
        with suppress(KreaError):
            aleph.get(job)
    aleph.close()
    with pytest.raises(ConfigError, match="closed"):
        aleph.get(job)
    gc.collect()  # an open socket would be a ResourceWarning, and warnings are errors


def test_tenants_share_connections_and_nothing_else(open_client: Any, emulator: Emulator) -> None:
    """with_options gives another account its own key, jobs and label on the same connections."""
    emulator.add_account("other:secret")
    first = open_client(account="first")
    other = first.with_options(account="other", api_key="other:secret")
    if hasattr(first, "_portal"):
        other = type(first)(other, first._portal)
    mine, theirs = first.submit(URL, "night"), other.submit(URL, "night")
    assert (mine.account, theirs.account) == ("first", "other")
    assert [job.id for job in other.list_jobs()] == [theirs.id]
    assert len({request.client for request in emulator.requests}) == 1
    other.close()
    assert first.get(mine).id == mine.id
    with pytest.raises(ConfigError, match="proxy"):
        first.with_options(proxy="http://127.0.0.1:1")


def test_keys_that_rotate(open_client: Any, emulator: Emulator) -> None:
    """A key callable is asked at first use and once more after a 401, in the paid request too."""
    asked: list[str] = []

    def key() -> str:
        asked.append(emulator.key)
        return asked[-1]

    aleph = open_client(api_key=key)
    assert asked == []
    job = aleph.submit(URL, "night")
    emulator.key = "new:secret"
    assert aleph.get(job).id == job.id
    emulator.key = "newer:secret"
    assert aleph.submit(URL, "day").id
    assert asked == ["emulator-id:emulator-secret", "new:secret", "newer:secret"]
    assert emulator.accepted == 2


def test_a_key_from_a_coroutine(emulator: Emulator) -> None:
    """In the asynchronous client the callable may be awaited, one call at a time."""
    calls = 0

    async def key() -> str:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return emulator.key

    async def main() -> None:
        async with emulator.async_aleph(api_key=key) as aleph:
            await asyncio.gather(*(aleph.submit(URL, "night") for _ in range(5)))

    asyncio.run(main())
    assert calls == 1


def test_a_key_callable_that_fails(open_client: Any) -> None:
    """Its error is ours, with its own as the cause."""

    def key() -> str:
        raise LookupError

    with pytest.raises(ConfigError, match="LookupError") as caught:
        open_client(api_key=key).get("some-job")
    assert isinstance(caught.value.__cause__, LookupError)


@pytest.mark.parametrize("name", ["KREA_API_KEY", "KREA_API_TOKEN"])
def test_the_environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Key and base URL come from the environment; a blank variable counts as unset."""
    monkeypatch.setenv("KREA_API_KEY", " ")
    monkeypatch.setenv(name, emulator.key)
    monkeypatch.setenv("KREA_BASE_URL", emulator.base_url + "/")
    with Aleph() as aleph:
        assert aleph.submit(URL, "night").id


def test_extra_headers(open_client: Any, emulator: Emulator) -> None:
    """They go to the API with every request."""
    open_client(extra_headers={"X-Team": "post"}).submit(URL, "night")
    assert emulator.requests[0].headers["x-team"] == "post"


def test_a_transport_of_ones_own(emulator: Emulator) -> None:
    """What satisfies httpx's transport protocol can stand in for ours."""

    class Counting(httpx.HTTPTransport):
        count = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.count += 1
            return super().handle_request(request)

    with Counting() as transport, emulator.aleph(transport=transport) as aleph:
        aleph.submit(URL, "night")
        assert transport.count == 1


@pytest.mark.krea_emulator(job_seconds=600)
@pytest.mark.parametrize("abandon", ["leave", "cancel"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelling_a_task(emulator: Emulator, backend: str, abandon: Any) -> None:
    """Cancellation leaves or cancels the job as chosen, and goes on being a cancellation."""

    async def main() -> Any:
        async with emulator.async_aleph(abandon=abandon) as aleph:
            job = await aleph.submit(URL, "night")
            with anyio.move_on_after(0.1) as scope:
                await aleph.wait(job)
            assert scope.cancelled_caught
            return await aleph.get(job)

    job = anyio.run(main, backend=backend)
    assert job.status == "cancelled" if abandon == "cancel" else not job.finished


@pytest.mark.krea_emulator(job_seconds=600)
@pytest.mark.parametrize("abandon", ["leave", "cancel"])
def test_ctrl_c(emulator: Emulator, abandon: Any) -> None:
    """Ctrl-C stays Ctrl-C; the job is left or cancelled, and a note says how to go on."""

    class Interrupting:
        def __init__(self, clock: Any) -> None:
            self.clock = clock

        def __getattr__(self, name: str) -> Any:
            return getattr(self.clock, name)

        def sleep(self, *_: object) -> None:
            raise KeyboardInterrupt

    with emulator.aleph(virtual_time=True, abandon=abandon) as aleph:
        job = aleph.submit(URL, "night")
        with (
            aleph.with_options(clock=Interrupting(emulator.clock)) as interrupted,
            pytest.raises(KeyboardInterrupt) as caught,
        ):
            interrupted.wait(job)
        status = aleph.get(job).status
    assert (status == "cancelled") == (abandon == "cancel")
    assert any(job.id in note for note in caught.value.__notes__)


@pytest.mark.krea_emulator(job_seconds=600)
def test_cancelled_tasks_leave_their_ids_in_the_log(
    emulator: Emulator, clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of several transforms that are cancelled together, each paid job can still be found."""

    async def main() -> None:
        async with emulator.async_aleph() as aleph:
            with anyio.move_on_after(1):
                async with anyio.create_task_group() as tasks:
                    for name in "abc":
                        tasks.start_soon(aleph.transform, clip, name, tmp_path / f"{name}.mp4")

    with caplog.at_level(logging.WARNING, "krea_aleph"):
        anyio.run(main)
    assert emulator.accepted == 3
    assert all(job.id in caplog.text for job in emulator.jobs)


def test_ctrl_c_while_saving(emulator: Emulator, clip: Path, tmp_path: Path) -> None:
    """The job is paid for by then: the note says how to fetch it, and no file is left behind."""

    def interrupt(event: Event) -> None:
        if event.attributes.get("download"):
            raise KeyboardInterrupt

    with (
        emulator.aleph(virtual_time=True, on_event=interrupt) as aleph,
        pytest.raises(KeyboardInterrupt) as caught,
    ):
        aleph.transform(clip, "night", tmp_path / "out.mp4")
    assert any(f"download({emulator.jobs[0].id!r}" in note for note in caught.value.__notes__)
    assert not list(tmp_path.glob("*.part"))


def test_the_key_is_nowhere(
    open_client: Any,
    emulator: Emulator,
    clip: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither logs nor reprs, events, errors, tracebacks with locals or files hold the key."""
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []
    aleph = open_client(on_event=events.append)
    saved = aleph.transform(clip, "night", tmp_path / "out.mp4")
    emulator.fault(Fault(operation="get_job", status=401, body={"error": emulator.key}))
    with pytest.raises(AuthenticationError) as caught:
        aleph.get(saved.job)
    told = "".join(
        [
            caplog.text,
            repr(aleph),
            repr(aleph._config),
            repr(events),
            repr(caught.value.__dict__),
            *traceback.TracebackException.from_exception(
                caught.value, capture_locals=True
            ).format(),
        ]
    )
    assert emulator.key.partition(":")[2] not in told
    assert {"request", "submitted", "changed", "transfer"} <= {event.kind for event in events}
    assert "night" not in repr(events)


def test_an_async_client_is_closed_by_its_context(emulator: Emulator) -> None:
    """There is aclose, too, for those who expect that name."""

    async def main() -> None:
        aleph = emulator.async_aleph()
        assert isinstance(aleph, AsyncAleph)
        await aleph.aclose()
        with pytest.raises(ConfigError, match="closed"):
            await aleph.get("some-job")

    asyncio.run(main())


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize("backend", ["asyncio", "asyncio's own", "trio"])
def test_a_handshake_that_is_cancelled_leaves_no_socket(mute: socket.socket, backend: str) -> None:
    """A task that is cancelled while TLS begins closes what it has opened."""
    url = f"https://127.0.0.1:{mute.getsockname()[1]}"

    async def main() -> None:
        async with AsyncAleph(base_url=url, api_key="a:b", trust_env=False) as aleph:
            if backend == "asyncio's own":
                task = asyncio.ensure_future(aleph.get("some-job"))
                connection, _ = await asyncio.to_thread(mute.accept)
                task.cancel()
                await asyncio.wait([task])
            else:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(aleph.get, "some-job")
                    connection, _ = await anyio.to_thread.run_sync(mute.accept)
                    tasks.cancel_scope.cancel()
            await anyio.to_thread.run_sync(_read_to_the_end, connection)

    anyio.run(main, backend="trio" if backend == "trio" else "asyncio")


def _read_to_the_end(connection: socket.socket) -> None:
    connection.settimeout(10)
    with connection:
        while connection.recv(65536):
            pass


def test_a_cancelled_request_shows_no_key(emulator: Emulator) -> None:
    """What is cancelled while it is sent carries no frame that holds the request."""
    emulator.fault(Fault(operation="get_job", stall=60, times=None))
    seen: list[BaseException] = []

    async def look(aleph: AsyncAleph) -> None:
        try:
            await aleph.get("some-job")
        except BaseException as error:
            seen.append(error)
            raise

    async def main() -> None:
        async with emulator.async_aleph() as aleph:
            with anyio.move_on_after(0.05):
                await look(aleph)

    for backend in ("asyncio", "trio"):
        anyio.run(main, backend=backend)
    for error in seen:
        shown = "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )
        assert emulator.key.rpartition(":")[2] not in shown
    assert len(seen) == 2


def test_a_body_that_is_not_streamed_leaves_nothing_half_way() -> None:
    """Both colours iterate it, as often as need be, and no asynchronous generator is involved."""
    message = Message("POST", httpcore.URL("http://a/"), [], deadline=Deadline(), timeouts={})
    for content in (b"body", None):
        message.content = content
        stream: Any = message.core().stream
        assert not inspect.isasyncgen(aiter(stream))

        async def gathered(stream: Any = stream) -> list[bytes]:
            return [piece async for piece in stream]

        for _ in range(2):
            assert list(stream) == asyncio.run(gathered()) == [content or b""]
