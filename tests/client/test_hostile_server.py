"""Whatever a server sends, the call ends in time, in memory, and in an error of ours."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hostile import always, answer, endlessly, raw_server

from krea_aleph import (
    Aleph,
    APIConnectionError,
    APITimeoutError,
    AsyncAleph,
    ConfigError,
    DownloadError,
    InvalidResponseError,
    Job,
    KreaError,
    Output,
    PollPolicy,
    RetryPolicy,
    SubmitUncertainError,
    WaitTimeoutError,
    _fleet,
)
from krea_aleph.emulator import Emulator, Fault

URL = "https://example.com/in.mp4"
JOB = b'{"job_id": "some-job", "status": "queued", "created_at": "2026-01-01T00:00:00.000Z"}'
ONCE = RetryPolicy(attempts=1)


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set when the test is over, so that endless answers end."""
    event = threading.Event()
    yield event
    event.set()


DRIPS = {
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n"),
    "a body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
    "a packed body": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\n" + b"\x00\x00\x00\xff\xff" + b"\r\n",
    ),
}


@pytest.mark.parametrize("drip", DRIPS)
def test_a_drip_ends_at_the_request_timeout(
    open_client: Any, over: threading.Event, drip: str
) -> None:
    """request_timeout is for the whole exchange, not for each byte of it."""
    first, again = DRIPS[drip]
    with raw_server(endlessly(first, again, until=over)) as url:
        begun = time.monotonic()
        aleph = open_client(base_url=url, request_timeout=0.3, retry=ONCE)
        with pytest.raises(APIConnectionError):
            aleph.get("some-job")
        assert time.monotonic() - begun < 2
        with pytest.raises(SubmitUncertainError):
            aleph.submit(URL, "night")


VIDEO = b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: 1000000\r\n\r\n\0\0\0\x18ftypisom'
SLOW = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-Drip: 1\r\n"),
    "a body": (VIDEO, b"x"),
    "a beginning": (VIDEO + b"x" * 2000, b""),
}


@pytest.mark.parametrize("drip", SLOW)
def test_a_download_that_drips_ends(
    open_client: Any, over: threading.Event, tmp_path: Path, drip: str
) -> None:
    """A host that sends next to nothing is given up, however often it sends; the part is kept."""
    first, again = SLOW[drip]
    with raw_server(endlessly(first, again, until=over)) as url:
        begun = time.monotonic()
        aleph = open_client(base_url=url, request_timeout=0.3, retry=ONCE)
        job = Job("some-job", "completed", outputs=(Output(f"{url}/o.mp4"),))
        with pytest.raises(DownloadError, match=r"second|timed out|longer") as caught:
            aleph.download(job, tmp_path / "out.mp4")
        assert time.monotonic() - begun < 5
    assert (caught.value.part is None) == (drip == "headers")


def test_a_slow_download_is_no_drip(
    open_client: Any, emulator: Emulator, clip: Path, tmp_path: Path
) -> None:
    """As long as enough comes, a download may take many times the request timeout."""
    aleph = open_client(virtual_time=False, request_timeout=0.5)
    emulator.outcome(seconds=0.0)
    job = aleph.wait(aleph.submit(clip, "night"))
    emulator.fault(Fault(operation="download", pace=256))  # 65,536 bytes in 256 pieces
    begun = time.monotonic()
    assert aleph.download(job, tmp_path / "out.mp4").size_bytes == 65_536
    assert time.monotonic() - begun > 1.0


def test_a_wait_keeps_its_timeout_in_real_time(open_client: Any, over: threading.Event) -> None:
    """A server that swallows requests does not stretch wait_timeout by request_timeout."""
    with raw_server(endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n", until=over)) as url:
        aleph = open_client(base_url=url, virtual_time=False)
        begun = time.monotonic()
        with pytest.raises(WaitTimeoutError) as caught:
            aleph.wait("some-job", wait_timeout=0.2)
        assert time.monotonic() - begun < 4
        assert isinstance(caught.value.__cause__, APITimeoutError)


ANSWERS: dict[str, bytes] = {
    "no HTTP": b"220 smtp.example.com ESMTP\r\n\r\n",
    "an empty line": b"\r\n\r\n\r\n",
    "a strange status": b"HTTP/1.1 99999 Odd\r\n\r\n",
    "too short": b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    "null in a header": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "other packing": answer(b"{}", headers="Content-Encoding: br"),
    "packed twice": answer(
        gzip.compress(gzip.compress(JOB)), headers="Content-Encoding: gzip, gzip"
    ),
    "broken packing": answer(b"no gzip", headers="Content-Encoding: gzip"),
    "cut packing": answer(gzip.compress(JOB)[:-12], headers="Content-Encoding: gzip"),
    "deep": answer(b"[" * 100_000),
    "a huge number": answer(b'{"job_id": ' + b"9" * 10_000 + b"}"),
    "no text": answer(b"\xff\xfe\x00"),
    "not a number": answer(b'{"job_id": "some-job", "result": NaN, "status": Infinity}'),
    "a list": answer(b'["some-job"]'),
    "an id that is a path": answer(b'{"job_id": "../../etc/passwd", "status": "completed"}'),
    "a surrogate": answer(b'{"job_id": "\\ud800", "status": "queued"}'),
    "somebody else's job": answer(b'{"job_id": "another-job", "status": "queued"}'),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_no_answer_breaks_out(open_client: Any, what: str) -> None:
    """Broken HTTP and broken JSON are typed errors, or a job where one is to be seen."""
    with raw_server(always(ANSWERS[what])) as url:
        aleph = open_client(base_url=url, request_timeout=1, retry=ONCE)
        try:
            assert aleph.get("some-job").id == "some-job"
        except KreaError as error:
            assert error.job_id == "some-job"  # noqa: PT017 - either is right
        if what != "somebody else's job":  # there any id is the one that was accepted
            try:
                assert aleph.submit(URL, "night").id == "some-job"
            except KreaError as error:
                assert isinstance(error, SubmitUncertainError)  # noqa: PT017 - as above


def test_a_packed_answer_is_unpacked(open_client: Any) -> None:
    """An honest gzip is read."""
    packed = answer(gzip.compress(JOB), headers="Content-Encoding: gzip")
    with raw_server(always(packed)) as url:
        assert open_client(base_url=url).get("some-job").status == "queued"


def test_a_bomb_does_not_go_off(open_client: Any) -> None:
    """A few KiB that unpack to a GiB are refused before they take memory."""
    bomb = gzip.compress(bytes(2**30), compresslevel=9)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with (
        raw_server(always(answer(bomb, headers="Content-Encoding: gzip"))) as url,
        pytest.raises(APIConnectionError, match="more than"),
    ):
        open_client(base_url=url, retry=ONCE).get("some-job")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def test_what_follows_a_packed_answer_takes_no_memory(open_client: Any) -> None:
    """After the end of the packing little is passed over, and more is refused."""
    packed, headers = gzip.compress(JOB), "Content-Encoding: gzip"
    with raw_server(always(answer(packed + b"\0" * 9, headers=headers))) as url:
        assert open_client(base_url=url).get("some-job").status == "queued"
    with (
        raw_server(always(answer(packed + bytes(2**26), headers=headers))) as url,
        pytest.raises(APIConnectionError, match="more than"),
    ):
        open_client(base_url=url, retry=ONCE).get("some-job")


def test_a_cursor_that_cannot_be_sent(open_client: Any) -> None:
    """Half of a surrogate pair, as JSON can name it, is no cursor and no end of the list."""
    page = answer(b'{"items": [], "next_cursor": "\\ud800"}')
    with raw_server(always(page)) as url, pytest.raises(InvalidResponseError, match="cursor"):
        list(open_client(base_url=url, retry=ONCE).list_jobs())


EDGES = ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59"]


@pytest.mark.parametrize("created", EDGES)
def test_times_at_the_edge_of_the_calendar(open_client: Any, created: str) -> None:
    """A time with which nothing can be reckoned is none, also where many are waited for."""
    told = JOB.replace(b"2026-01-01T00:00:00.000Z", created.encode())
    done = told.replace(b"queued", b"cancelled").replace(b"some-job", b"job-%d")
    looks = iter(range(1000))

    def script(handler: Any, head: bytes) -> None:
        job_id = head.split(b" ")[1].rpartition(b"/")[2]
        body = done if next(looks) >= 12 else done.replace(b"cancelled", b"queued")
        handler.wfile.write(answer(body.replace(b"job-%d", job_id)))

    pace = PollPolicy(early=0.01, sparse=0.01, dense=0.01, longest=0.01)
    with raw_server(script) as url:
        aleph = open_client(base_url=url, poll=pace, request_timeout=2)
        found = aleph.wait_many([f"job-{number}" for number in range(6)], wait_timeout=20)
    assert [type(outcome.error).__name__ for outcome in found] == ["JobCancelledError"] * 6


def test_certificates_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment names in vain is told as such, before anything is sent."""
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    with pytest.raises(ConfigError, match="certificates") as caught:
        Aleph(api_key="key")
    assert "SSL_CERT_FILE" in caught.value.hint


def test_the_answer_about_another_job_is_not_believed(open_client: Any) -> None:
    """A confused cache must not make us hand out somebody else's video."""
    other = answer(JOB.replace(b"some-job", b"other-job").replace(b"queued", b"completed"))
    with raw_server(always(other)) as url:
        aleph = open_client(base_url=url, retry=ONCE)
        with pytest.raises(InvalidResponseError, match="other-job"):
            aleph.get("some-job")
        with pytest.raises(WaitTimeoutError):
            aleph.wait("some-job", wait_timeout=20)


ECHOES = ["body", "json", "header", "escaped", "codes", "utf-16", "utf-32-be"]


@pytest.mark.parametrize("echo", ECHOES)
def test_an_echoed_key_is_blotted_out(open_client: Any, echo: str) -> None:
    """Servers and proxies repeat what they are sent; errors do not repeat the key."""
    key = "team/id:se/cret"
    plain = json.dumps({"message": key})
    escaped = plain.replace("/", "\\/").encode()
    told = {
        "body": answer(f"<html>{key}</html>".encode()),
        "json": answer(json.dumps({"error": {"message": key}}).encode()),
        "header": answer(b"{}", status="400 Bad Request", headers=f"X-Request-Id: {key}"),
        "escaped": answer(escaped, status="400 Bad Request"),
        "codes": answer(plain.replace("s", "\\u0073").replace("/", "\\u002F").encode()),
        "utf-16": answer(plain.encode("utf-16")),
        "utf-32-be": answer(plain.encode("utf-32-be")),
    }[echo]
    with raw_server(always(told)) as url:
        with pytest.raises(KreaError) as caught:
            open_client(base_url=url, api_key=key, retry=ONCE).get("some-job")
        shown = str(caught.value) + repr(vars(caught.value))
        assert "se/cret" not in shown
        assert "se\\/cret" not in shown
        assert "se/cret" not in shown.replace("\\x00", "").replace("?", "")


def test_what_stands_beside_an_echoed_key_stays(open_client: Any) -> None:
    """What JSON must escape is still escaped once the key is gone."""
    words = '"quoted" \\u0022 \u00e9 \\\\ /'
    body = json.dumps({**json.loads(JOB), "words": words, "key": "a+b"}).replace("+", "\\u002b")
    with raw_server(always(answer(body.encode()))) as url:
        raw = open_client(base_url=url, api_key="a+b").get("some-job").raw
    assert (raw["words"], raw["key"]) == (words, "***")


LOCATIONS = [
    "http://[::1",
    "http://\N{SNOWMAN}..com/",
    "https://xn--\N{LATIN SMALL LETTER E WITH ACUTE}/",
    "ftp://example.com/out.mp4",
    "file:///etc/passwd",
    "//",
    "https://" + "a" * 70_000 + ".com/",
]


@pytest.mark.parametrize("location", LOCATIONS, ids=lambda text: text[:30])
def test_redirects_to_nowhere(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path, location: str
) -> None:
    """A redirect that cannot be followed is a DownloadError of the paid job."""
    job = aleph.wait(aleph.submit(clip, "night"))
    header = {"location": location.encode("utf-8").decode("latin-1")}
    emulator.fault(Fault(operation="download", status=302, headers=header, times=None))
    with pytest.raises(DownloadError) as caught:
        aleph.download(job, tmp_path / "out.mp4")
    assert caught.value.job_id == job.id


def test_a_forked_process_has_connections_of_its_own(emulator: Emulator) -> None:
    """Parent and child never read each other's answers."""
    with emulator.aleph() as aleph:
        aleph.submit(URL, "before")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, aleph.submit(URL, "child").id.encode())
            os._exit(0)
        mine = aleph.submit(URL, "parent").id
        theirs = os.read(reader, 100).decode()
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)
    prompts = {job.id: job.body["prompt"] for job in emulator.jobs}
    assert (prompts[mine], prompts[theirs]) == ("parent", "child")


def test_a_second_event_loop_is_told_so(emulator: Emulator) -> None:
    """Before anything is sent, and not as an uncertain submit."""

    async def submit(aleph: AsyncAleph) -> Any:
        return await aleph.submit(URL, "night")

    aleph = emulator.async_aleph()
    with asyncio.Runner() as first:
        first.run(submit(aleph))
        with pytest.raises(ConfigError, match="another event loop"):
            asyncio.run(submit(aleph))
        first.run(aleph.close())
    assert emulator.accepted == 1


def test_a_hundred_tasks_ask_one_callable_for_the_key(emulator: Emulator) -> None:
    """Waiting for the key takes no worker thread away from the callable that brings it."""
    calls: list[str] = []

    def key() -> str:
        calls.append("asked")
        return emulator.key

    async def main() -> None:
        async with emulator.async_aleph(api_key=key) as aleph:
            await asyncio.gather(*(aleph.submit(URL, "night") for _ in range(100)))

    asyncio.run(main())
    assert calls == ["asked"]


Showing = Callable[[Any], Any]


async def _broken(_: Any) -> None:
    raise ZeroDivisionError


def test_an_awaited_callback_that_breaks(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """A coroutine function as on_update is awaited, and its errors break no paid job."""

    async def main() -> Any:
        async with emulator.async_aleph(virtual_time=True) as aleph:
            return await aleph.wait(await aleph.submit(URL, "night"), on_update=_broken)

    assert asyncio.run(main()).succeeded
    assert "on_update raised" in caplog.text


@pytest.mark.krea_emulator(job_seconds=600)
def test_ctrl_c_in_a_callback(emulator: Emulator) -> None:
    """It does not matter where Ctrl-C hits: the job is cancelled when that was chosen."""

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    with emulator.aleph(virtual_time=True, abandon="cancel") as aleph:
        job = aleph.submit(URL, "night")
        with pytest.raises(KeyboardInterrupt) as caught:
            aleph.wait(job, on_update=interrupt)
        assert aleph.get(job).status == "cancelled"
    assert any(job.id in note for note in caught.value.__notes__)


def test_sixteen_threads_lose_nothing_when_answers_are_lost(emulator: Emulator) -> None:
    """Every accepted job has an id or an uncertain error: none is lost, none is doubled."""
    emulator.fault(Fault(operation="create_aleph_job", drop="after", every=7, times=None))

    def submit(number: int) -> Any:
        try:
            return aleph.submit(URL, f"night {number}").id
        except SubmitUncertainError as error:
            return error

    with (
        Aleph(base_url=emulator.base_url, api_key=emulator.key) as aleph,
        ThreadPoolExecutor(16) as threads,
    ):
        ends = list(threads.map(submit, range(100)))
    uncertain = [end for end in ends if isinstance(end, SubmitUncertainError)]
    assert emulator.accepted == 100
    assert len(uncertain) == 14
    assert len({end for end in ends if isinstance(end, str)}) == 86


@pytest.mark.parametrize("colour", ["sync", "asyncio"])
def test_what_comes_after_an_answer_answers_nothing(colour: str) -> None:
    """A second answer on the heels of the first is not taken for that to the next request."""
    forged = JOB.replace(b'"queued"', b'"completed"')
    asked: list[bytes] = []

    def script(handler: Any, head: bytes) -> None:
        asked.append(head)
        handler.wfile.write(answer(JOB) + (answer(forged) if len(asked) == 1 else b""))

    with raw_server(script) as url:
        if colour == "sync":
            with Aleph(base_url=url, api_key="id:secret") as aleph:
                seen = [aleph.get("some-job").status for _ in range(2)]
        else:

            async def main() -> list[str]:
                async with AsyncAleph(base_url=url, api_key="id:secret") as aleph:
                    return [(await aleph.get("some-job")).status for _ in range(2)]

            seen = asyncio.run(main())
    assert seen == ["queued", "queued"]
    assert len(asked) == 2


def test_a_look_that_hangs_holds_up_nobody_else(
    over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the one who looks for all waits for an answer, another takes over after a while."""
    monkeypatch.setattr(_fleet, "_STALLED", 0.1)
    hung = threading.Event()

    def script(handler: Any, head: bytes) -> None:
        if not hung.is_set():
            hung.set()
            over.wait()
        job_id = b"another-job" if b"/jobs/another-job" in head else b"some-job"
        job = {**json.loads(JOB), "status": "completed", "result": {"urls": ["https://a.example"]}}
        if b"GET /jobs?" in head:
            body = {"items": [{**job, "job_id": name} for name in ("some-job", "another-job")]}
            handler.wfile.write(answer(json.dumps(body).encode()))
        else:
            handler.wfile.write(answer(json.dumps({**job, "job_id": job_id.decode()}).encode()))

    async def main(url: str) -> None:
        quick = PollPolicy(early=0.05, sparse=0.05, dense=0.05, longest=0.05)
        async with AsyncAleph(base_url=url, api_key="id:secret", poll=quick) as aleph:
            first = asyncio.ensure_future(aleph.wait("some-job"))
            await asyncio.to_thread(hung.wait)
            assert (await aleph.wait("another-job")).succeeded
            assert not first.done()
            over.set()
            assert (await first).succeeded

    with raw_server(script) as url:
        asyncio.run(main(url))
