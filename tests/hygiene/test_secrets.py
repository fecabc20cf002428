"""The key is in the header of requests to the API and nowhere else: every artefact is searched."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from hostile import answer, raw_server

from colours import OpenClient
from krea_aleph import (
    Aleph,
    APIConnectionError,
    AsyncAleph,
    ConfigError,
    DownloadError,
    Event,
    KreaError,
    RetryPolicy,
    SQLiteStore,
    SubmitUncertainError,
)
from krea_aleph._secrets import Secret
from krea_aleph.emulator import Emulator, Fault
from krea_aleph.webhooks import WebhookReceiver
from leaks import KEY, Hunt, forms
from weather.leaving import is_ours
from web import receiving

URL = "https://example.com/in.mp4"
ONCE = RetryPolicy(attempts=1)
WEBHOOK_SECRETS = ["w3bh00k-s3cret/of more than+16"]
# What holds a key because it has to, for as long as it takes to put it away or to send it.
HOLDERS = {"_hidden", "_unless_awaited", "_NetworkStream.write", "_AsyncNetworkStream.write"}


@pytest.fixture(autouse=True)
def _key(request: pytest.FixtureRequest) -> None:
    """Let the emulator know the key that is hunted."""
    if "emulator" in request.fixturenames:
        request.getfixturevalue("emulator").key = KEY


def hunt() -> Hunt:
    """Look for the key, and for what signs webhooks."""
    return Hunt(KEY, WEBHOOK_SECRETS[0])


@contextmanager
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Listen to every log at every level, and look at what it said."""
    caplog.set_level(logging.DEBUG)
    yield
    ours = [line for line in caplog.records if not line.name.startswith("krea_aleph.emulator")]
    assert ours
    hunt().refuse_log(ours)


def test_the_hunt_finds_what_it_looks_for() -> None:
    """The key is found in each form, wherever it stands; a text without it is let be."""
    for form in forms(KEY):
        with pytest.raises(AssertionError, match="shows in a text"):
            Hunt().refuse(b"before " + form + b" after", "a text")
    Hunt().refuse("k3y1d is no key, nor is s3cr3t", "a text")
    shown = {"headers": [(b"authorization", f"Bearer {KEY}".encode())]}
    with pytest.raises(AssertionError):
        Hunt().refuse(shown, "a header")

    def fail(held: str) -> None:
        raise KreaError(f"nothing but {len(held)}")

    with pytest.raises(KreaError) as caught:
        fail(KEY)
    Hunt().refuse_error(caught.value)  # frames of tests do not count
    caught.value.add_note(KEY)
    with pytest.raises(AssertionError, match="KreaError"):
        Hunt().refuse_error(caught.value)


def test_public_values(open_client: OpenClient, clip: Path, tmp_path: Path) -> None:
    """By no text, attribute or copy does any value lead to the key or to a webhook's secret."""
    events: list[Event] = []
    with receiving(secrets=WEBHOOK_SECRETS) as receiver, SQLiteStore(tmp_path / "s") as store:
        aleph = open_client(on_event=events.append, store=store, receiver=receiver)
        other = aleph.with_options(account="other", api_key=KEY)
        checked = aleph.check(clip, "night")
        updates = list(aleph.watch(aleph.submit(clip, "night", intent="a")))
        saved = aleph.download(updates[-1].job, tmp_path / "out.mp4")
        values = [aleph, other, aleph._config, aleph._pool, aleph._driver, aleph._config.keys]
        values += [checked, updates[-1], saved, saved.job, events, *events, receiver, store]
        values += [aleph.upload(clip), aleph.cancel(saved.job), store.read("default", "a")]
        values += [receiver.asgi, receiver.wsgi, *vars(receiver).values()]
        values += [getattr(aleph, "_client", aleph), getattr(other, "_client", other)]
        for value in values:
            hunt().refuse_object(value, type(value).__name__)
            with suppress(TypeError, AttributeError):  # most do not pickle, and say so
                hunt().refuse(pickle.dumps(value), f"the pickle of {type(value).__name__}")
    assert {"request", "submitted", "transfer"} <= {event.kind for event in events}


def test_a_key_is_not_copied() -> None:
    """Neither pickled nor copied, a key stays in the one place that hides it."""
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="does not pickle"):
            attempt(Secret(KEY))


BROKEN: dict[str, dict[str, Any]] = {
    "another option": {"base_url": "ftp://example.com"},
    "an unknown option": {"apikey": "x"},
    "a store": {"store": object()},
    "with a space": {"api_key": f"{KEY} "},
    "with Bearer": {"api_key": f"Bearer {KEY}"},
    "in quotes": {"api_key": f"'{KEY}'"},
    "as bytes": {"api_key": KEY.encode()},
    "in a list": {"api_key": [KEY]},
}


@pytest.mark.parametrize("kind", [Aleph, AsyncAleph])
@pytest.mark.parametrize("what", BROKEN)
def test_a_client_that_cannot_be_made(kind: Any, what: str) -> None:
    """A report with the variables of every frame shows no key, whichever option is wrong."""
    for make in (kind, kind(api_key=KEY).with_options):
        options = {"api_key": KEY, **BROKEN[what]}
        with pytest.raises(ConfigError) as caught:
            make(**options)
        hunt().refuse_error(caught.value)


@pytest.mark.parametrize("key", [KEY, "\N{SNOWMAN}" + KEY])
def test_a_key_of_the_environment_that_is_none(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one for a variable that holds something else than a key."""
    monkeypatch.setenv("KREA_API_KEY", f"{key} x")
    with pytest.raises(ConfigError) as caught:
        Aleph()
    hunt().refuse_error(caught.value)


@pytest.mark.parametrize("given", [f"{KEY}\n", KEY.encode(), [KEY], None], ids=type)
@pytest.mark.parametrize("backend", ["sync", "asyncio", "awaited"])
def test_a_callable_with_a_bad_answer(backend: str, given: Any) -> None:
    """What a callable has returned shows nowhere when it cannot be a key."""

    async def bring() -> Any:
        return given

    async def main() -> None:
        async with AsyncAleph(api_key=bring if backend == "awaited" else lambda: given) as aleph:
            await aleph.get("some-job")

    def call() -> None:
        if backend == "sync":
            Aleph(api_key=lambda: given).get("some-job")
        else:
            anyio.run(main)

    with pytest.raises(ConfigError, match=r"a str is needed|no key has") as caught:
        call()
    hunt().refuse_error(caught.value)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("ftp://example.com", WEBHOOK_SECRETS),
        ("https://example.com", WEBHOOK_SECRETS[0]),
        ("https://example.com", [*WEBHOOK_SECRETS, "short"]),
        ("https://example.com", [*WEBHOOK_SECRETS, None]),
        ("https://example.com", set(WEBHOOK_SECRETS)),
    ],
)
def test_a_receiver_that_cannot_be_made(url: str, secrets: Any) -> None:
    """The same goes for what signs webhooks."""
    with pytest.raises(ConfigError) as caught:
        WebhookReceiver(url, secrets)
    hunt().refuse_error(caught.value)


VERBS: dict[str, Callable[[Any, Path, Any], Any]] = {
    "submit": lambda aleph, clip, _: aleph.submit(clip, "night"),
    "transform": lambda aleph, clip, _: aleph.transform(clip, "night", clip.with_name("o.mp4")),
    "get": lambda aleph, _, job: aleph.get(job),
    "wait": lambda aleph, _, job: aleph.wait(job.id, wait_timeout=1),
    "watch": lambda aleph, _, job: list(aleph.watch(job.id, wait_timeout=1)),
    "cancel": lambda aleph, _, job: aleph.cancel(job),
    "recover": lambda aleph, _, job: aleph.recover(_uncertain(job)),
    "adopt": lambda aleph, _, job: aleph.adopt(_uncertain(job), job.id),
    "list_jobs": lambda aleph, *_: list(aleph.list_jobs()),
    "upload": lambda aleph, clip, _: aleph.upload(clip, reuse=False),
    "list_assets": lambda aleph, *_: list(aleph.list_assets()),
    "get_asset": lambda aleph, *_: aleph.get_asset("some-asset"),
    "delete_asset": lambda aleph, *_: aleph.delete_asset("some-asset"),
    "download": lambda aleph, clip, job: aleph.download(job.id, clip.with_name("o.mp4")),
}
FAULTS: dict[str, dict[str, Any]] = {
    "an echo": {"status": 400, "body": {"error": f"Bearer {KEY}"}, "headers": {"x-echo": KEY}},
    "a refusal": {"status": 401},
    "a cut": {"drop": "after"},
    "half an answer": {"cut": 5},
    "silence": {"stall": 5.0},
    "no JSON": {"status": 200, "body": f"<html>{KEY}</html>"},
}


def _uncertain(job: Any) -> SubmitUncertainError:
    return SubmitUncertainError("?", since=job.created_at, fingerprint="ab")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_in_every_failure(
    open_client: OpenClient,
    emulator: Emulator,
    clip: Path,
    verb: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Errors, their causes, frames, notes and pickles, and every log, hold no key."""
    aleph = open_client(retry=ONCE)
    job = aleph.wait(aleph.submit(clip, "night"))
    with everything_logged(caplog):
        for what, fault in FAULTS.items():
            emulator._faults.clear()
            emulator.fault(Fault(operation="*", times=None, **fault))
            client = open_client(retry=ONCE, request_timeout=0.1) if "stall" in fault else aleph
            with suppress_none() as caught:
                VERBS[verb](client, clip, job)
            if (verb, what) != ("delete_asset", "no JSON"):  # of which no word is needed
                assert isinstance(caught[0], KreaError), (verb, what)
                hunt().refuse_error(caught[0])
    hunt().refuse_folder(clip.parent)


@contextmanager
def suppress_none() -> Iterator[list[BaseException]]:
    """Catch the error that must come, with the frames that it came through."""
    caught: list[BaseException] = []
    try:
        yield caught
    except BaseException as error:  # noqa: BLE001 - looked at by the test
        caught.append(error)


@pytest.mark.parametrize("kind", ["sync", "asyncio", "trio"])
@pytest.mark.parametrize("status", [None, 502])
def test_the_errors_of_a_transport_of_ones_own(
    emulator: Emulator, kind: str, status: int | None
) -> None:
    """To its errors httpx attaches requests, with their headers: ours do not lead to any."""

    def fail(request: httpx.Request) -> Any:
        assert KEY in request.headers["authorization"]
        if status is None:
            raise httpx.ConnectError("no way", request=request)
        httpx.Response(status, request=request).raise_for_status()

    class Failing(httpx.BaseTransport, httpx.AsyncBaseTransport):
        def handle_request(self, request: httpx.Request) -> Any:
            fail(request)

        async def handle_async_request(self, request: httpx.Request) -> Any:
            fail(request)

    async def main() -> None:
        async with emulator.async_aleph(transport=Failing(), retry=ONCE) as aleph:
            await aleph.get("some-job")

    def call() -> None:
        if kind == "sync":
            emulator.aleph(transport=Failing(), retry=ONCE).get("some-job")
        else:
            anyio.run(main, backend=kind)

    with pytest.raises(APIConnectionError) as caught:
        call()
    assert isinstance(caught.value.__cause__, httpx.HTTPError)
    hunt().refuse_error(caught.value)
    assert caught.value.__cause__.__dict__.get("_request") is None
    assert not hasattr(caught.value.__cause__, "response")


def test_logs_of_the_libraries_beneath(
    open_client: OpenClient, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The headers that come are logged by httpcore, and servers repeat those that went."""
    emulator.fault(Fault(operation="get_job", headers={"x-echo": f"Bearer {KEY}"}, times=None))
    aleph = open_client()
    job = aleph.submit(URL, "night")
    with everything_logged(caplog):
        aleph.get(job)
    assert "x-echo" in caplog.text
    assert "Bearer ***" in caplog.text


def test_a_key_that_begins_like_another_one() -> None:
    """Whichever key is known first, nothing is left of the longer one."""
    shorter, kept = Secret(KEY[:3]), Secret(KEY)
    record = logging.LogRecord("x", 10, "", 1, "a %s and %s", (KEY, KEY[:3]), None)
    assert logging.getLogger("httpcore.http11").filters[0].filter(record)  # type: ignore[union-attr]
    assert record.getMessage() == "a *** and ***"
    assert shorter is not kept


def test_lines_of_the_log_that_are_left_alone() -> None:
    """Only a line with a key of ours is changed; one that cannot be written stays as it is."""
    kept = Secret(KEY)
    filters = logging.getLogger("httpcore.http11").filters
    assert len(filters) == 1
    lines = {("a %s", "b"): ("a %s", "b"), ("a %d %d", "b"): ("a %d %d", "b")}
    lines[f"with {KEY}", ""] = ("with ***", "")
    for (words, argument), told in lines.items():
        record = logging.LogRecord("x", 10, "", 1, words, (argument,) if argument else None, None)
        assert filters[0].filter(record)  # type: ignore[union-attr]
        assert record.msg == told[0]
    assert kept.stands_in(KEY)


@pytest.mark.parametrize("verb", ["transform", "failure"])
def test_no_variable_of_ours_ever_holds_it(
    emulator: Emulator, clip: Path, tmp_path: Path, verb: str
) -> None:
    """At no line of the library, in whatever thread, would a dump of the variables show the key."""
    seen: set[str] = set()
    looked = hunt()
    shown: list[str] = []

    def look(frame: FrameType, event: str, _: Any) -> Any:
        if not is_ours(frame):
            return None
        name = frame.f_code.co_qualname
        if not name.startswith("Secret.") and name not in HOLDERS:
            seen.add(name)
            with suppress(AttributeError):  # a value that is only half made
                if looked.found(dict(frame.f_locals)):
                    shown.append(f"{name}, line {frame.f_lineno}, at {event}")
        return look

    def play() -> None:
        with emulator.aleph(virtual_time=True, api_key=lambda: KEY, retry=ONCE) as aleph:
            if verb == "failure":
                emulator.fault(Fault(operation="get_job", status=400))
                with pytest.raises(KreaError):
                    aleph.get("some-job")
            else:
                aleph.transform(clip, "night", tmp_path / "out.mp4")

    before = sys.gettrace()
    threading.settrace(look)
    sys.settrace(look)
    try:
        play()
    finally:
        sys.settrace(before)
        threading.settrace(None)  # type: ignore[arg-type]
    assert not set(shown)
    assert {"SyncPool.exchange", "Keyring.resolve", "Aleph.__init__"} <= seen


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_variable_of_a_suspended_task_holds_it(emulator: Emulator, backend: str) -> None:
    """What a dump of every task shows while requests are under way has no key of ours in it."""
    emulator.fault(Fault(operation="get_job", stall=60, times=None))
    looked: list[str] = []

    async def main() -> None:
        async with emulator.async_aleph() as aleph, anyio.create_task_group() as tasks:
            waiting = [aleph.get(f"job-{number}") for number in range(3)]
            for call in waiting:
                tasks.start_soon(_finish, call)
            while not emulator.requests:
                await anyio.lowlevel.checkpoint()
            for call in waiting:
                for frame in _suspended(call):
                    name = frame.f_code.co_qualname
                    if is_ours(frame) and name not in HOLDERS:
                        looked.append(name)
                        hunt().refuse_variables(frame, name)
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=backend)
    assert "AsyncPool.exchange" in looked


async def _finish(call: Any) -> None:
    await call


def _suspended(call: Any) -> Iterator[FrameType]:
    while call is not None and getattr(call, "cr_frame", None) is not None:
        yield call.cr_frame
        call = call.cr_await


@pytest.mark.krea_emulator(output_bytes=4 * 2**20)
def test_files_and_addresses(
    open_client: OpenClient,
    emulator: Emulator,
    clip: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Store, notes, parts and results hold no key; no address or body does; no output host is told.

    The store is looked at with what SQLite keeps beside it, while it is open and afterwards.
    """
    heads: list[bytes] = []

    def listen(handler: Any, head: bytes) -> None:
        heads.append(head)
        handler.wfile.write(answer(b"", status="404 Not Found"))

    with (
        receiving(secrets=WEBHOOK_SECRETS) as receiver,
        SQLiteStore(tmp_path / "jobs.sqlite3") as store,
        raw_server(listen) as host,
        everything_logged(caplog),
    ):
        aleph = open_client(store=store, receiver=receiver, exclusive=True, retry=ONCE)
        job = aleph.wait(aleph.submit(clip, "night", intent="shot"))
        emulator.fault(Fault(operation="download", cut=3 * 2**20))
        emulator.fault(Fault(operation="download", nth=2, times=None, cut=0))
        with pytest.raises(DownloadError) as caught:
            aleph.download(job, tmp_path / "kept.mp4")
        assert caught.value.part is not None
        emulator._faults.clear()
        location = {"location": f"{host}/x"}
        emulator.fault(Fault(operation="download", times=None, status=302, headers=location))
        with pytest.raises(DownloadError) as redirected:
            aleph.download(job, tmp_path / "elsewhere.mp4")
        for error in (caught.value, redirected.value):
            hunt().refuse_error(error)
        emulator._faults.clear()
        aleph.upload(clip)
        names = {path.name for path in tmp_path.rglob("*")}
        assert {"jobs.sqlite3-wal", "kept.mp4.part", "kept.mp4.part.json"} <= names
        hunt().refuse_folder(tmp_path)
        aleph.download(job, tmp_path / "kept.mp4")
    hunt().refuse_folder(tmp_path)
    assert heads
    for head in heads:
        hunt().refuse(head, "what another host was sent")
        assert b"authorization" not in head.lower()
        assert b"referer" not in head.lower()
    for request in emulator.requests:
        hunt().refuse(f"{request.path}?{request.query}", "an address")
        hunt().refuse(request.body, "a body")
        told = {name: value for name, value in request.headers.items() if name != "authorization"}
        hunt().refuse(told, "the headers")
        assert ("authorization" in request.headers) == (request.operation != "download")


@pytest.mark.skipif(sys.platform == "win32", reason="modes are another matter there")
def test_other_users_of_the_machine(emulator: Emulator, tmp_path: Path) -> None:
    """Nobody else can read the store, which has nonces; the note of a part has no address.

    A file that is there already keeps its mode, for those who share one on purpose.
    """
    before = os.umask(0)
    try:
        with SQLiteStore(tmp_path / "jobs.sqlite3") as store:
            aleph = emulator.aleph(store=store, virtual_time=True)
            job = aleph.wait(aleph.submit(URL, "night", intent="shot"))
            for path in (path for path in tmp_path.rglob("*") if path.is_file()):
                others = path.stat().st_mode & 0o077
                assert not others or path.parent.name == "jobs.sqlite3.live", path.name
            assert {"jobs.sqlite3-wal", "jobs.sqlite3"} <= {
                path.name for path in tmp_path.iterdir()
            }
            assert not (tmp_path / "jobs.sqlite3.live").stat().st_mode & 0o077
        emulator.fault(Fault(operation="download", cut=1000))
        emulator.fault(Fault(operation="download", nth=2, times=None, cut=0))
        with pytest.raises(DownloadError):
            aleph.download(job, tmp_path / "out.mp4")
        note = json.loads((tmp_path / "out.mp4.part.json").read_text())
        assert "http" not in json.dumps(note)
        shared = tmp_path / "shared.sqlite3"
        shared.touch(0o660)
        with SQLiteStore(shared):
            assert shared.stat().st_mode & 0o777 == 0o660
    finally:
        os.umask(before)


PROGRAM = """
import gc, os, posix, sys
from pathlib import Path

started = []
sys.addaudithook(lambda name, given: started.append((name, given)) if name.startswith(
    ("subprocess.", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork")) else None)

from krea_aleph import Aleph, KreaError, RetryPolicy
import leaks
from leaks import Hunt

del leaks.KEY

def holders(hunt):
    waiting = [thing for thing in gc.get_objects() if thing is not hunt._forms]
    while waiting:
        thing = waiting.pop()
        for value in gc.get_referents(thing):
            text = bytes(value) if isinstance(value, bytearray) else value
            if isinstance(value, (dict, tuple)) and not gc.is_tracked(value):
                waiting.append(value)  # the collector does not list those that hold only texts
            elif isinstance(text, (str, bytes)) and hunt.found(text):
                ours = thing is os.environ._data or thing is posix.environ
                yield "os.environ" if ours else type(thing).__qualname__

with Aleph(retry=RetryPolicy(attempts=1)) as aleph:
    job = aleph.submit("https://example.com/in.mp4", "night")
    try:
        aleph.get("no-such-job")
    except KreaError as error:
        kept = error
    hunt = Hunt(os.environ["KREA_API_KEY"])
    aleph.get(job)
    hunt.refuse(sys.argv, "argv")
    hunt.refuse(Path("/proc/self/cmdline").read_bytes() if os.path.exists("/proc") else b"", "ps")
    gc.collect()
    for whose in holders(hunt):
        print(whose)
hunt.refuse(started, "what was started")
"""


def test_one_object_holds_it(emulator: Emulator) -> None:
    """In a whole process the environment and one `Secret` have the key; nothing is started with it.

    The memory is searched between two requests, with an error kept and a connection idle.
    """
    environment = {**os.environ, "KREA_API_KEY": KEY, "KREA_BASE_URL": emulator.base_url}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    printed = subprocess.check_output([sys.executable, "-c", PROGRAM], text=True, env=environment)
    assert sorted(set(printed.splitlines())) == ["Secret", "os.environ"]


@pytest.mark.parametrize(
    "program", ["krea_aleph.contract", "krea_aleph.contract diff", "krea_aleph.emulator"]
)
def test_no_program_takes_a_key_as_an_argument(program: str) -> None:
    """Others see the arguments of a process: the emulator's made-up key is the only one."""
    asked = [sys.executable, "-m", *program.split(), "--help"]
    told = subprocess.check_output(asked, text=True)
    offered = {word.strip(",[]") for word in told.split() if word.strip("[").startswith("--")}
    assert offered
    assert {word for word in offered if "key" in word or "token" in word} <= {"--key"}
    assert ("--key" in offered) == (program == "krea_aleph.emulator")
    sources = "".join(path.read_text() for path in Path("scripts").glob("*") if path.is_file())
    assert "--api-key" not in sources


def test_portals_hide_it_too(emulator: Emulator) -> None:
    """An error that crosses from an event loop's thread into another shows no key there."""
    emulator.fault(Fault(operation="get_job", status=400, body=KEY))
    with start_blocking_portal("trio") as portal:
        aleph = emulator.async_aleph(retry=ONCE)
        with pytest.raises(KreaError) as caught:
            portal.call(aleph.get, "some-job")
        portal.call(aleph.close)
    hunt().refuse_error(caught.value)
