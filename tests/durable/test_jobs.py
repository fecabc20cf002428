"""Jobs on the engine: enqueued from anywhere, brought to an end, and what goes wrong."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOSClient
from durability.schedule import Crew, served
from durability.worker import Post

from buckets import Bucket, gate_before, local_s3
from krea_aleph import (
    Aleph,
    Asset,
    AsyncAleph,
    ConfigError,
    DownloadError,
    Event,
    Failed,
    IntentConflictError,
    InvalidRequestError,
    JobRejectedError,
    StoreError,
    SubmitUncertainError,
    Succeeded,
    manifest,
)
from krea_aleph.durable import Alert, Durable, Enqueued, stages, workflows
from krea_aleph.emulator import Emulator, Fault
from krea_aleph.notes import Note
from postgres import Server, postgres_server
from weather.victim import FastClock

CLIP = "https://example.com/in.mp4"
SUBMIT = "create_aleph_job"


class Studio:
    """A Krea, a database, and applications on it that are closed in the end."""

    def __init__(self, emulator: Emulator, url: str, folder: Path, opened: ExitStack) -> None:
        self.emulator = emulator
        self.url = url
        self.folder = folder
        self.alerts: list[Alert] = []
        self._opened = opened

    def client(self, **options: Any) -> Callable[..., AsyncAleph]:
        """Return a client factory."""
        known = {"api_key": self.emulator.key, "base_url": self.emulator.base_url}
        return partial(AsyncAleph, **{**known, "clock": FastClock(), "exclusive": True, **options})

    def app(self, accounts: Any = None, **options: Any) -> Durable:
        """Return an application."""
        accounts = {"studio": self.client()} if accounts is None else accounts
        known: Any = {"output_dir": self.folder / "out", "poll_interval": 0.05, "executor_id": "w"}
        known |= {"on_alert": self.alerts.append, **options}
        return self._opened.enter_context(Durable(self.url, accounts, **known))

    def submits(self) -> list[int | None]:
        """Return what each submit was answered with."""
        return [call.status for call in self.emulator.requests if call.operation == SUBMIT]


@pytest.fixture
def studio(
    ground: Callable[..., Emulator],
    make_url: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Studio]:
    """Jobs of 0.1 s, on SQLite; rests begin short."""
    monkeypatch.setattr(workflows, "FIRST_REST", 0.05)
    monkeypatch.setattr(stages, "SOMEBODY_SECONDS", 0.2)
    with ExitStack() as opened:
        emulator = ground(seconds=0.1, places=8)
        yield Studio(emulator, make_url("sqlite"), tmp_path, opened)


def _until(condition: Callable[[], object], seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the engine's log says."""
    lines: list[str] = []
    listener = logging.Handler()
    listener.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("dbos").addHandler(listener)
    yield lines
    logging.getLogger("dbos").removeHandler(listener)


def _saved(outcome: Succeeded | Failed) -> Path:
    assert isinstance(outcome, Succeeded), outcome
    assert outcome.saved is not None
    return outcome.saved.path


# Enqueueing


def test_a_job_goes_its_way(studio: Studio) -> None:
    """Enqueued before any worker, by somebody with labels only: the result is where it goes."""
    intent = studio.app(["studio"]).enqueue(CLIP, "snow", intent="shot-1", output="a/shot.mp4")
    app = studio.app()
    with pytest.raises(TimeoutError, match="'shot-1' is not over"):
        app.result(intent, wait_timeout=0)
    app.launch()
    outcome = app.result(intent, wait_timeout=60)
    assert _saved(outcome) == studio.folder / "out/a/shot.mp4"
    assert outcome.job is not None
    assert _saved(outcome).read_bytes() == served(studio.emulator, outcome.job.id)
    assert outcome.item == "shot-1"
    without = app.result(app.enqueue(CLIP, "rain", intent="shot-2"), wait_timeout=60)
    assert isinstance(without, Succeeded)
    assert (without.saved, without.job and without.job.succeeded) == (None, True)


def test_the_same_intent_is_the_same_job(studio: Studio) -> None:
    """Enqueued twice is one job; another request under its name is refused and names the fields."""
    app = studio.app()
    assert app.enqueue(CLIP, "snow", intent="shot-1") == "shot-1"
    assert app.enqueue(CLIP, "snow", intent="shot-1") == "shot-1"
    with pytest.raises(IntentConflictError) as refused:
        app.enqueue(CLIP, "rain", intent="shot-1", options={"seed": 7})
    assert refused.value.fields == ("prompt", "options")
    with pytest.raises(IntentConflictError) as elsewhere:
        app.enqueue(CLIP, "snow", intent="shot-1", output="a.mp4")
    assert elsewhere.value.fields == ("output",)
    unnamed = app.enqueue(CLIP, "snow")
    assert app.enqueue(CLIP, "snow") == unnamed
    assert app.enqueue(CLIP, "rain") != unnamed
    app.launch()
    first = app.result("shot-1", wait_timeout=60).job
    assert first is not None
    assert app.result(unnamed, wait_timeout=60).job != first
    assert app.enqueue(CLIP, "snow", intent="shot-1") == "shot-1"
    assert app.result("shot-1", wait_timeout=60).job == first


BAD: list[tuple[dict[str, Any], str]] = [
    ({"prompt": "x" * 1001}, "prompt"),
    ({"video": "in.mp4"}, "'in.mp4' is a path on this machine"),
    ({"video": Path("in.mp4")}, "is a path on this machine"),
    ({"video": b"bytes"}, "a bytes cannot be handed"),
    ({"options": {"seed": object()}}, "a object cannot be handed"),
    ({"options": {"sede": 1}}, "sede"),
    ({"output": "/etc/x.mp4"}, "no name inside the workers' output_dir"),
    ({"output": "../x.mp4"}, "no name inside"),
    ({"output": "C:\\x.mp4"}, "no name inside"),
    ({"output": "."}, "no name inside"),
    ({"output": "https://example.com/x.mp4"}, "no name inside"),
    ({"video": "ftp://example.com/in.mp4"}, "ftp:// is not supported"),
    ({"video": "s3://a b/c"}, "video: 's3://a b/c' names no bucket"),
    ({"video": "s3://clips/k//c"}, "video: 's3://clips/k//c' has a part ''"),
    ({"video": "s3://clips"}, "video: 's3://clips' is a bucket, no object"),
    ({"video": "gs://clips/a/"}, "video: 'gs://clips/a/' is a folder, no object"),
    ({"output": "s3://a b/c"}, "output: 's3://a b/c' names no bucket"),
    ({"output": "s3://results"}, "output: 's3://results' names no key"),
    ({"exists": "error"}, "neither"),
    ({"intent": ""}, "cannot be the name"),
    ({"intent": "two\nlines"}, "cannot be the name"),
    ({"intent": "x" * 501}, "cannot be the name"),
    ({"intent": "krea_aleph.submit/x"}, "cannot be the name"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_what_cannot_work_is_not_enqueued(
    studio: Studio, change: dict[str, Any], words: str
) -> None:
    """Refused like a submit would be, and so is what only this machine has."""
    app = studio.app()
    with pytest.raises(InvalidRequestError) as refused:
        app.enqueue(**{"video": CLIP, "prompt": "snow", **change})
    assert words in str(refused.value)
    app.enqueue(CLIP, "another one")
    assert app.status().accounts[0].waiting == 1


def test_an_account_that_nobody_knows(studio: Studio) -> None:
    """Said at once where labels are known; with several, one must be named."""
    with pytest.raises(ConfigError, match="no 'stduio' here; known: 'studio'"):
        studio.app().enqueue(CLIP, "snow", account="stduio")
    with pytest.raises(ConfigError, match="no None here; known: 'a', 'b'"):
        studio.app(["a", "b"]).enqueue(CLIP, "snow")
    with pytest.raises(ConfigError, match="known: none"):
        studio.app([]).enqueue(CLIP, "snow")


def test_files_that_all_see(studio: Studio) -> None:
    """With shared_paths clips may be files, in options too, and outputs anywhere."""
    clip = studio.folder / "in.mp4"
    clip.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(100))
    app = studio.app(shared_paths=True)
    app.launch()
    app.enqueue(clip, "snow", intent="path", output=studio.folder / "there" / "a.mp4")
    app.enqueue(str(clip), "rain", intent="text", output=f"{studio.folder}/folder/")
    assert _saved(app.result("path", wait_timeout=60)) == studio.folder / "there" / "a.mp4"
    assert _saved(app.result("text", wait_timeout=60)).parent == studio.folder / "folder"
    assert len(studio.emulator.assets) == 1
    with pytest.raises(InvalidRequestError, match="video"):
        app.enqueue(studio.folder / "missing.mp4", "snow")


def test_an_asset_is_enqueued_by_its_address(studio: Studio) -> None:
    """What was uploaded before needs no shared files."""
    asset = Asset("a1", "https://app-uploads.krea.ai/u/in.mp4")
    app = studio.app()
    app.enqueue(asset, "snow", intent="asset")
    app.launch()
    assert isinstance(app.result("asset", wait_timeout=60), Succeeded)
    assert asset.url in str(studio.emulator.jobs[0].body)


def test_from_a_bucket_to_a_bucket(studio: Studio) -> None:
    """Clip and result are where only the workers get: nothing is on their disk."""
    with local_s3() as port, gate_before(port) as gate:
        bucket = Bucket("clips-durable", gate)
        clip = bucket.put("in.mp4", b"\x00\x00\x00\x18ftypmp42" + bytes(1000))
        app = studio.app({"studio": studio.client(storage={bucket.url: bucket.settings})})
        app.launch()
        outcome = app.result(
            app.enqueue(clip, "snow", output=f"{bucket.url}/out.mp4"), wait_timeout=60
        )
        assert isinstance(outcome, Succeeded)
        assert outcome.saved is not None
        assert outcome.job is not None
        assert outcome.saved.url == f"{bucket.url}/out.mp4"
        found = bucket.get("out.mp4")
        assert found is not None
        assert found[0] == served(studio.emulator, outcome.job.id)
        assert not (studio.folder / "out").exists()


def test_a_bucket_for_all_results(studio: Studio) -> None:
    """With output_dir in a bucket, results are below its folder, and nothing is on disk."""
    with local_s3() as port, gate_before(port) as gate:
        bucket = Bucket("results-durable", gate)
        client = studio.client(storage={bucket.url: bucket.settings})
        app = studio.app({"studio": client}, output_dir=f"{bucket.url}/restyled")
        app.launch()
        outcome = app.result(app.enqueue(CLIP, "snow", intent="1", output="./a/out.mp4"))
        assert isinstance(outcome, Succeeded)
        assert outcome.saved is not None
        assert outcome.saved.url == f"{bucket.url}/restyled/a/out.mp4"
        folder = app.result(app.enqueue(CLIP, "snow", intent="2", output="b/"))
        assert isinstance(folder, Succeeded)
        assert folder.saved is not None
        assert folder.saved.url.startswith(f"{bucket.url}/restyled/b/")
        assert len(bucket.keys) == 2
        assert app.store.noted()[0].path == f"{bucket.url}/restyled/a/out.mp4"
        assert not (studio.folder / "out").exists()


def test_what_is_in_a_bucket_is_the_workers_to_find(studio: Studio) -> None:
    """Whoever enqueues need not reach it: it goes into the task as it is, and is checked else."""
    app = studio.app()
    name = app.enqueue("s3://clips/in.mp4", "snow", output="s3://results/out.mp4")
    with pytest.raises(InvalidRequestError, match="prompt"):
        app.enqueue("s3://clips/in.mp4", "x" * 1001)
    with pytest.raises(IntentConflictError):
        app.enqueue("s3://clips/other.mp4", "snow", intent=name)


def test_only_labels_are_stored(studio: Studio) -> None:
    """No key is in any file that the engine or the stores have written."""
    app = studio.app()
    app.launch()
    app.result(app.enqueue(CLIP, "snow"), wait_timeout=60)
    app.close()
    secret = studio.emulator.key.encode()
    files = [path for path in studio.folder.rglob("*") if path.is_file()]
    assert any(b"studio" in path.read_bytes() for path in files)
    assert not [path for path in files if secret in path.read_bytes()]


# Many at a time


def _wishes(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"video": CLIP, "prompt": f"wish {number}", "intent": f"wish-{number}"}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_many_are_enqueued_at_a_time(make_url: Callable[[str], str], kind: str) -> None:
    """Any number, read as they are needed, each with its outcome in order; again is the same."""
    read = 0

    def reading() -> Iterator[dict[str, Any]]:
        nonlocal read
        for read, item in enumerate(_wishes(1000), 1):  # noqa: B007 - for the test
            yield item

    with Durable(make_url(kind), ["studio"]) as app:
        found = app.enqueue_many(reading())
        first = next(found)
        assert first == Enqueued(0, next(_wishes(1)), "wish-0", new=True)
        assert read < 500
        rest = list(found)
        assert [outcome.index for outcome in rest] == list(range(1, 1000))
        assert app.status().accounts[0].waiting == 1000
        again = list(app.enqueue_many(_wishes(1000)))
        assert {outcome.new for outcome in again if isinstance(outcome, Enqueued)} == {False}
        assert app.status().accounts[0].waiting == 1000
        assert app.enqueue(CLIP, "wish 7", intent="wish-7") == "wish-7"


def test_many_that_cannot_all_be_enqueued(studio: Studio) -> None:
    """Bad rows, names and outputs that are taken: each is told, and stops no other."""
    app = studio.app()
    app.enqueue(CLIP, "snow", intent="taken")
    text = '{"video": "https://example.com/a.mp4", "prompt": "rain"}\n{"video": 1}\n'
    rows: list[Any] = [
        *manifest.read(io.StringIO(text)),
        {"video": CLIP, "prompt": "fog", "intent": "taken"},
        {"video": CLIP, "prompt": "snow", "intent": "taken"},
        {"video": "in.mp4", "prompt": "snow"},
        {"video": CLIP, "prompt": "x" * 1001},
        {"video": CLIP, "promt": "snow"},
        "nothing",
        {"video": CLIP, "prompt": "hail", "intent": "twice", "output": "a.mp4"},
        {"video": CLIP, "prompt": "sun", "intent": "twice"},
        {"video": CLIP, "prompt": "hail", "intent": "twice", "output": "a.mp4", "meta": 7},
        {"video": CLIP, "prompt": "sun", "output": "a.mp4"},
        {"video": CLIP, "prompt": "sun", "output": 7},
        {"video": CLIP, "prompt": "sun", "options": {"seed": 3}},
    ]
    found = list(app.enqueue_many(rows))
    assert [outcome.index for outcome in found] == list(range(len(rows)))
    assert all(outcome.item is row for outcome, row in zip(found, rows, strict=True))
    told = [
        outcome.new if isinstance(outcome, Enqueued) else type(outcome.error).__name__
        for outcome in found
    ]
    conflict, bad = "IntentConflictError", "InvalidRequestError"
    expected = [True, bad, conflict, False, bad, bad, bad, bad]
    assert told == [*expected, True, conflict, False, bad, bad, True]
    failed = [outcome.error for outcome in found if isinstance(outcome, Failed)]
    assert "prompt" in str(failed[1])
    assert "'a.mp4' is the output of an earlier item" in str(failed[-2])
    with pytest.raises(ConfigError, match="no 'x' here"):
        app.enqueue_many([], account="x")


def test_many_of_a_source_that_breaks(studio: Studio) -> None:
    """What it gave before is enqueued and told; its error comes after that, as it is."""

    def breaking() -> Iterator[dict[str, Any]]:
        yield from _wishes(3)
        raise OSError("the disk is gone")

    app = studio.app()
    found = app.enqueue_many(breaking())
    assert [next(found).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(found)
    assert app.status().accounts[0].waiting == 3


def test_two_who_enqueue_the_same(postgres: Server) -> None:
    """In opposite order at the same time, as two runs of a script may: each job is there once."""
    url = postgres.database()
    together = threading.Barrier(2)

    def enqueue(app: Durable, rows: list[dict[str, Any]]) -> int:
        together.wait(30)
        found = list(app.enqueue_many(rows))  # type: ignore[arg-type]
        assert all(isinstance(outcome, Enqueued) for outcome in found)
        return sum(outcome.new for outcome in found if isinstance(outcome, Enqueued))

    with Durable(url, ["studio"]) as one, Durable(url, ["studio"]) as other:
        one.status()
        other.status()
        with ThreadPoolExecutor(2) as pool:
            for number in range(5):
                rows = [{**wish, "intent": f"{number}-{n}"} for n, wish in enumerate(_wishes(150))]
                ways = ((one, rows), (other, rows[::-1]))
                calls = [pool.submit(enqueue, *way) for way in ways]
                assert sum(call.result(60) for call in calls) == 150


# Configuration


FACTORY = {"a": partial(AsyncAleph, api_key="k")}
CONFIGS: list[tuple[dict[str, Any], str]] = [
    ({"name": "My App"}, "the engine refuses 'My App'"),
    ({"database_url": "mysql://x/y"}, "'mysql' is neither sqlite nor postgresql"),
    ({"database_url": "sqlite://jobs.sqlite3"}, "'sqlite://jobs.sqlite3' needs three slashes"),
    ({"database_url": "sqlite:jobs.sqlite3"}, "needs three slashes"),
    ({"database_url": "sqlite:///"}, "'sqlite:///' names no file"),
    ({"database_url": "sqlite:///:memory:"}, "names no file"),
    ({"database_url": "sqlite:///no/such/jobs.sqlite3"}, r"there is no folder '.*/no/such'"),
    ({"accounts": {}}, "whoever works needs a client factory"),
    ({"accounts": ["studio"]}, "whoever works needs a client factory"),
    ({"accounts": {"a": AsyncAleph(api_key="k")}}, "what 'a' has is no factory"),
    ({"accounts": {"a": Aleph}}, "what 'a' has is no factory"),
    ({"accounts": {"a": partial(partial(Aleph), api_key="k")}}, "what 'a' has is no factory"),
    ({"database_url": "postgresql://x/y"}, "needs a name that stays the same"),
    ({"accounts": "studio"}, "not a str"),
    ({"output_dir": Path("s3://results/a")}, "output_dir: 's3:/results/a' is no path"),
    ({"output_dir": "s3://"}, "output_dir: 's3://' names no bucket"),
    ({"slots": 0}, "slots: 0 is too few"),
    ({"poll_interval": 0.0}, "poll_interval: 0.0 is too few"),
    ({"max_attempts": 0}, "max_attempts: 0 is too few"),
]


@pytest.mark.parametrize(("change", "words"), CONFIGS)
def test_what_cannot_be_launched(
    change: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration that cannot work is a ConfigError with a remedy."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words) as refused:
        Durable(**{"database_url": "sqlite:///x", "accounts": FACTORY, **change}).launch()
    assert refused.value.hint
    assert not Path("x").exists()


def test_a_database_that_nobody_has_made(tmp_path: Path) -> None:
    """A name that is misspelt is no empty database; nothing is left behind by looking."""
    with Durable(f"sqlite:///{tmp_path}/jobs.sqlite3", FACTORY) as app:
        looks = (app.status, app.rescue, partial(app.rescue, "w"), app.wake, app.failures)
        for look in (*looks, partial(app.set_slots, 3), partial(app.forget, older_than=1)):
            with pytest.raises(ConfigError, match=r"there is no file '.*jobs\.sqlite3'"):
                look()
        for ask in (app.result, app.retry):
            with pytest.raises(InvalidRequestError, match=r"has enqueued 'x': there is no .*jobs"):
                ask("x")
        assert not list(tmp_path.iterdir())
        app.enqueue(CLIP, "snow")
        assert app.status().accounts[0].waiting == 1
    with Durable(f"sqlite:///{tmp_path}/no/jobs.sqlite3", FACTORY) as app:
        with pytest.raises(ConfigError, match="there is no folder"):
            app.enqueue(CLIP, "snow")
        assert not (tmp_path / "no").exists()


def test_what_the_engine_refuses(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the engine itself does not like about the configuration is a ConfigError, too."""
    monkeypatch.setattr("dbos._dbos_config._is_valid_app_name", lambda _: False)
    app = studio.app()
    with pytest.raises(ConfigError, match="the engine refuses"):
        app.launch()


def test_two_processes_on_one_sqlite_file(studio: Studio) -> None:
    """The second worker is refused and told of Postgres; it may enqueue all the same."""
    app = studio.app()
    app.launch()
    program = (
        "import sys; from krea_aleph import AsyncAleph, ConfigError\n"
        "from krea_aleph.durable import Durable\n"
        "app = Durable(sys.argv[1], {'studio': AsyncAleph})\n"
        "app.enqueue('https://example.com/in.mp4', 'snow', intent='from-there')\n"
        "from krea_aleph.durable import worker; worker._TAKING_SECONDS = 0.1\n"
        "try: app.launch()\n"
        "except ConfigError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, studio.url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "another process works on this SQLite file" in said
    assert "Postgres" in said
    assert isinstance(app.result("from-there", wait_timeout=60), Succeeded)
    with pytest.raises(ConfigError, match="works already"):
        app.launch()


def test_a_worker_of_another_name_on_sqlite(studio: Studio, tmp_path: Path) -> None:
    """The only one takes over what was begun under another name; none can be rescued from it."""
    emulator = studio.emulator
    emulator.outcome(seconds=600)
    post = Post(studio.url, emulator.base_url, emulator.key, tmp_path / "out", "before")
    with Crew(emulator, post, 1) as crew:
        (intent,) = crew.enqueue(1)
        crew.start()
        _until(lambda: crew.app.store.find("studio", ["accepted"]))
        crew.kill(0)
    app = studio.app()
    app.launch()
    _until(lambda: [worker.executor_id for worker in app.status().workers] == ["w"])
    with pytest.raises(ConfigError, match="'w' is alive"):
        app.rescue("w")
    assert _saved(app.result(intent, wait_timeout=60)).exists()
    assert emulator.accepted == 1


def test_an_event_loop_that_closes_what_it_runs(studio: Studio) -> None:
    """Launched and closed by a coroutine, the work is done on its loop, and nothing hangs."""

    async def main() -> Succeeded | Failed:
        with studio.app() as app:
            app.launch()
            intent = app.enqueue(CLIP, "snow")
            return await asyncio.to_thread(partial(app.result, intent, wait_timeout=60))

    assert isinstance(asyncio.run(main()), Succeeded)


def test_two_workers_of_one_name(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that somebody alive has is refused."""
    monkeypatch.setattr("krea_aleph.durable.worker._TAKING_SECONDS", 0.1)
    url = postgres.database()
    named: Any = {"accounts": FACTORY, "executor_id": "w-0"}
    with Durable(url, **named) as one, Durable(url, **named) as other:
        one.launch()
        with pytest.raises(ConfigError, match="another process that is alive works as 'w-0'"):
            other.launch()


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    """Enqueueing, asking and working all say so, in the library's words."""
    url = f"postgresql://me:hunter2@/studio?host={tmp_path}"
    with Durable(url, FACTORY, executor_id="w") as app:
        for ask in (app.status, partial(app.enqueue, CLIP, "snow"), app.launch, app.wake):
            with pytest.raises(StoreError, match="cannot be used") as failed:
                ask()
            assert "hunter2" not in str(failed.value)
            assert "Start the server, or check the host, the port" in failed.value.hint
            assert "Is the server" not in str(failed.value)


def test_an_application_that_launches_the_engine_itself(studio: Studio) -> None:
    """With register() its workflows are the application's guests."""
    from dbos import DBOS  # noqa: PLC0415 - the application's own

    app = studio.app(name="own-app")
    app.enqueue(CLIP, "snow", intent="shot-1", output="a.mp4")
    DBOS(
        config={
            "name": "own-app",
            "system_database_url": studio.url,
            "application_version": "krea-aleph-1",
            "log_level": "ERROR",
        }
    )
    try:
        app.register()
        DBOS.launch()
        assert _saved(app.result("shot-1", wait_timeout=60)).exists()
        assert app.status().workers == ()
        assert app.has_worker() is None
    finally:
        app.close()
        DBOS.destroy(destroy_registry=True)


# On the way


@pytest.mark.parametrize("why", ["credit", "key"])
def test_an_account_that_cannot_pay_rests(
    studio: Studio, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One alert; nobody else of the account is submitted meanwhile, other accounts are; then on.

    It is tried again now and then, or at once when somebody says so.
    """
    if why == "key":
        monkeypatch.setattr(stages, "SOMEBODY_SECONDS", 500.0)
    studio.emulator.add_account("other-key")
    accounts = {
        "poor": studio.client(),
        "rich": studio.client(api_key="other-key"),
    }
    good, bad = studio.emulator.key, "rotated-key"
    if why == "credit":
        studio.emulator.credits = 0
    else:
        studio.emulator.key = bad
    app = studio.app(accounts)
    app.launch()
    poor = [app.enqueue(CLIP, f"wish {n}", account="poor") for n in range(5)]
    rich = app.enqueue(CLIP, "snow", account="rich")
    assert isinstance(app.result(rich, wait_timeout=60), Succeeded)
    _until(lambda: len([s for s in studio.submits() if s in {401, 402}]) >= 2 or why == "key")
    _until(lambda: studio.alerts)
    asked = {call.json()["prompt"] for call in studio.emulator.requests if call.status == 402}
    assert len(asked) <= 1
    assert app.status().accounts[0].rests == why
    assert f"poor     0        5        0          0       0       {why}" in str(app.status())
    studio.emulator.credits = None
    studio.emulator.key = good
    if why == "key":
        assert app.wake("rich") == 0
        assert app.wake("poor") > 0
    assert all(isinstance(app.result(intent, wait_timeout=60), Succeeded) for intent in poor)
    assert [(alert.account, alert.reason) for alert in studio.alerts] == [("poor", why)]
    assert app.status().accounts[0].rests == ""


def test_what_rests_is_tried_when_a_worker_is_started(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has seen to it, and starts it again: it does not sit out its rest."""
    monkeypatch.setattr(stages, "SOMEBODY_SECONDS", 500.0)
    studio.emulator.credits = 0
    with studio.app() as app:
        app.launch()
        app.enqueue(CLIP, "snow", intent="shot-1")
        _until(lambda: app.status().accounts[0].rests)
        assert "credit: " in str(app.status())
        assert app.status().accounts[0].words == studio.alerts[0].message
    studio.emulator.credits = None
    app = studio.app()
    app.launch()
    assert isinstance(app.result("shot-1", wait_timeout=30), Succeeded)


def test_a_label_that_the_worker_does_not_know(studio: Studio) -> None:
    """Its job waits with an alert, and goes on where a worker knows the label."""
    there = studio.app([])
    there.enqueue(CLIP, "snow", account="new", intent="shot-1")
    app = studio.app()
    app.launch()
    _until(lambda: studio.alerts)
    assert studio.alerts[0].reason == "account"
    assert "this worker knows no 'new'; it knows 'studio'" in studio.alerts[0].message
    assert isinstance(app.result(app.enqueue(CLIP, "rain"), wait_timeout=60), Succeeded)
    app.close()
    later = studio.app({"studio": studio.client(), "new": studio.client()})
    later.launch()
    assert isinstance(later.result("shot-1", wait_timeout=60), Succeeded)


def test_workers_and_whom_they_work_for(studio: Studio) -> None:
    """One that is idle is shown, and what no worker has; a worker that there never was is told."""
    app = studio.app(["studio", "other"])
    app.enqueue(CLIP, "snow", account="other", intent="shot-1")
    with pytest.raises(InvalidRequestError, match="there is no worker 'x'; known: none"):
        app.rescue("x")
    (other, none) = app.status().accounts
    assert (other.words, none.words) == ("no worker runs", "")
    assert app.has_worker("other") is None
    with studio.app() as working:
        working.launch()
        _until(lambda: app.status().workers)
        (worker,) = app.status().workers
        assert (worker.executor_id, worker.alive, worker.accounts) == ("w", True, ("studio",))
        assert app.has_worker("studio") is True
        assert app.has_worker("other") is False
        _until(lambda: app.status().accounts[0].rests == "account")
        assert "knows no 'other'" in str(app.status())
    (dead,) = app.status().workers
    assert dead.alive is False
    assert "no: start it again, or rescue its jobs" in str(app.status())
    assert app.status().accounts[0].words != ""
    with pytest.raises(InvalidRequestError, match="there is no worker 'x'; known: 'w'"):
        app.rescue("x")
    assert app.rescue("w") == ["shot-1"]


def test_a_factory_that_makes_no_client(studio: Studio) -> None:
    """It is a matter for somebody, not the job's failure."""
    app = studio.app({"studio": lambda **_: object()})
    app.launch()
    app.enqueue(CLIP, "snow")
    _until(lambda: studio.alerts)
    assert "must return an AsyncAleph of that label" in studio.alerts[0].message


def test_an_account_that_is_full(studio: Studio) -> None:
    """A 429 is waited out: no job fails of it."""
    studio.emulator.concurrency = 1
    app = studio.app()
    app.launch()
    intents = [app.enqueue(CLIP, f"wish {n}") for n in range(4)]
    assert all(isinstance(app.result(intent, wait_timeout=60), Succeeded) for intent in intents)
    assert len(studio.emulator.jobs) == 4


def test_slots_change_while_workers_run(studio: Studio) -> None:
    """More at once from now on, for workers that run; and less than one is refused."""
    app = studio.app(slots=1)
    app.enqueue(CLIP, "wish 0")
    with pytest.raises(ConfigError, match="no worker was ever started"):
        app.set_slots(2)
    app.launch()
    studio.emulator.outcome(seconds=1e6, times=None)
    for number in range(4):
        app.enqueue(CLIP, f"wish {number}")
    _until(lambda: studio.emulator.accepted == 1)
    assert app.status().accounts[0].running == 1
    with pytest.raises(InvalidRequestError, match="slots"):
        app.set_slots(0)
    app.set_slots(3)
    _until(lambda: studio.emulator.accepted == 3)
    assert app.status().accounts[0].running == 3


def test_submits_are_not_as_rare_as_looks_for_work(studio: Studio) -> None:
    """One at a time, ten in the time between two looks; also on queues of an earlier release."""
    app = studio.app(poll_interval=1.0)
    app.enqueue(CLIP, "snow")
    with ExitStack() as opened:
        client = DBOSClient(system_database_url=studio.url)
        opened.callback(client.destroy)
        for name in ("krea-aleph.jobs", "krea-aleph.submits"):
            client.register_queue(
                name,
                polling_interval_sec=1.0,
                partition_concurrency=1,
                application_name="krea-aleph",
            )
        app.launch()
        lane, jobs = (client.retrieve_queue(f"krea-aleph.{name}") for name in ("submits", "jobs"))
        assert lane is not None
        assert jobs is not None
        assert (lane.polling_interval_sec, lane.partition_concurrency) == (0.1, 1)
        assert jobs.polling_interval_sec == 1.0


def test_a_job_that_fails_is_told_as_it_was(studio: Studio, said: list[str]) -> None:
    """The outcome has the error of its class, with its job, as the client would raise it."""
    error = {"code": "nsfw", "message": "blocked"}
    studio.emulator.outcome(status="failed", error=error)
    app = studio.app()
    app.launch()
    outcome = app.result(app.enqueue(CLIP, "snow", intent="shot-1"), wait_timeout=60)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, JobRejectedError)
    assert outcome.error.code == "nsfw"
    assert outcome.job is not None
    assert outcome.error.intent == "shot-1"
    assert app.status().accounts[0].failed == 1
    assert said == []


def test_a_lost_answer_on_a_shared_account_waits_for_a_human(studio: Studio) -> None:
    """It is parked with its candidates; after adopt and retry the job goes on, paid once."""
    studio.emulator.fault(Fault(operation=SUBMIT, drop="after"))
    app = studio.app({"studio": studio.client(exclusive=False)})
    app.launch()
    app.enqueue(CLIP, "snow", intent="shot-1", output="a.mp4")
    outcome = app.result("shot-1", wait_timeout=60)
    assert isinstance(outcome, Failed)
    error = outcome.error
    assert isinstance(error, SubmitUncertainError)
    (candidate,) = error.candidates
    assert app.status().accounts[0].parked == 1
    key, url = studio.emulator.key, studio.emulator.base_url
    with Aleph(
        api_key=key, base_url=url, account="studio", store=app.store, clock=FastClock()
    ) as aleph:
        aleph.adopt(error, candidate)
    app.retry("shot-1")
    assert _saved(app.result("shot-1", wait_timeout=60)).exists()
    assert studio.emulator.accepted == 1
    with pytest.raises(InvalidRequestError, match="has not failed"):
        app.retry("shot-1")


def test_a_place_where_nothing_can_be_saved(studio: Studio) -> None:
    """It is refused before anything is paid for; once somebody has seen to it, retry goes on."""
    (studio.folder / "out").write_text("a file in the folder's place")
    app = studio.app()
    app.launch()
    name = app.enqueue(CLIP, "snow", intent="shot-1", output="a.mp4")
    outcome = app.result(name, wait_timeout=60)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, InvalidRequestError)
    assert (outcome.error.field, outcome.error.charged) == ("output", "no")
    assert studio.emulator.accepted == 0
    (studio.folder / "out").unlink()
    app.retry("shot-1")
    assert _saved(app.result("shot-1", wait_timeout=60)).exists()
    assert studio.emulator.accepted == 1


def test_a_result_that_cannot_be_saved(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried some times, then an outcome that names the job that is paid for; retry fetches it."""
    monkeypatch.setattr(workflows, "LONGEST_REST", 0.05)
    folder = studio.folder / "out"

    def spoil(event: Event) -> None:
        if event.kind == "submitted":
            folder.rmdir()
            folder.write_text("a file in the folder's place")

    app = studio.app({"studio": studio.client(on_event=spoil)})
    app.launch()
    name = app.enqueue(CLIP, "snow", intent="shot-1", output="a.mp4")
    outcome = app.result(name, wait_timeout=60)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, DownloadError)
    assert outcome.error.job_id == studio.emulator.jobs[0].id
    assert outcome.error.charged == "yes"
    folder.unlink()
    app.retry("shot-1")
    assert _saved(app.result("shot-1", wait_timeout=60)).exists()
    assert studio.emulator.accepted == 1


def test_what_is_there_is_kept(studio: Studio) -> None:
    """A file that has the result's name is the outcome, and nothing is paid for."""
    (studio.folder / "out").mkdir()
    (studio.folder / "out" / "a.mp4").write_bytes(b"from before")
    app = studio.app()
    app.launch()
    outcome = app.result(app.enqueue(CLIP, "snow", output="a.mp4"), wait_timeout=60)
    assert _saved(outcome).read_bytes() == b"from before"
    assert outcome.job is None
    assert studio.emulator.accepted == 0


def test_buckets_that_do_not_exist(studio: Studio) -> None:
    """A result that has no place is not paid for."""
    with local_s3() as port, gate_before(port) as gate:
        settings = Bucket("clips-nowhere", gate).settings
        app = studio.app({"studio": studio.client(storage={"s3://nowhere": settings})})
        app.launch()
        name = app.enqueue(CLIP, "snow", output="s3://nowhere/a.mp4")
        outcome = app.result(name, wait_timeout=60)
        assert isinstance(outcome, Failed)
        assert (outcome.error.charged, outcome.error.resubmit) == ("no", "pointless")
        assert studio.emulator.accepted == 0


def test_buckets_that_are_away(studio: Studio) -> None:
    """Whatever a clip or a result is kept in may fail for a while: the job waits."""
    with local_s3() as port, gate_before(port) as gate:
        bucket = Bucket("clips-away", gate)
        clip = bucket.put("in.mp4", b"\x00\x00\x00\x18ftypmp42" + bytes(1000))
        gate.trouble("GET", "in.mp4", status=503, times=12)
        gate.trouble("PUT", "out.mp4", status=503, times=12)
        gate.trouble("PUT", "krea-aleph", status=503, times=12)
        app = studio.app({"studio": studio.client(storage={bucket.url: bucket.settings})})
        app.launch()
        name = app.enqueue(clip, "snow", output=f"{bucket.url}/out.mp4")
        outcome = app.result(name, wait_timeout=60)
        assert isinstance(outcome, Succeeded), outcome
        assert studio.emulator.accepted == 1


def test_downloads_that_break(studio: Studio) -> None:
    """A host that fails for a while costs time."""
    studio.emulator.fault(Fault(operation="download", status=500, times=8))
    app = studio.app()
    app.launch()
    assert _saved(app.result(app.enqueue(CLIP, "snow", output="a.mp4"), wait_timeout=60)).exists()


@pytest.mark.parametrize(
    ("most", "words"), [(1, "1 process "), pytest.param(2, "2 processes ", marks=pytest.mark.long)]
)
def test_a_job_that_takes_its_process_down(
    studio: Studio, tmp_path: Path, most: int, words: str
) -> None:
    """After some attempts it is an outcome, and the others are done."""
    client = {"before_submit": _suicidal}
    more = {"max_attempts": most}
    emulator = studio.emulator
    post = Post(studio.url, emulator.base_url, emulator.key, tmp_path, "w", more, client)
    with Crew(emulator, post, 1) as crew:
        good = crew.enqueue(2)
        crew.app.enqueue(CLIP, "poison", intent="bad")
        crew.start()

        def over() -> bool:
            crew.tend(0.0)
            (row,) = crew.app.status().accounts
            return row.succeeded + row.failed == 3

        _until(over, 60)
        outcome = crew.app.result("bad", wait_timeout=60)
        assert isinstance(outcome, Failed)
        assert f"given up: {words}that did this" in str(outcome.error)
        assert (outcome.error.charged, outcome.error.resubmit) == ("unknown", "never")
        assert all(
            isinstance(crew.app.result(intent, wait_timeout=60), Succeeded) for intent in good
        )
        assert crew.deaths == most + 3
        crew.app.retry("bad")
        _until(lambda: crew.tend(0.0) or crew.deaths == most + 4)


def _suicidal(checked: Any) -> None:
    if checked.body["prompt"] == "poison":
        os.kill(os.getpid(), signal.SIGKILL)


def test_whoever_ends_in_order_waits_for_the_answer(studio: Studio, tmp_path: Path) -> None:
    """SIGTERM during the POST: the job that it has become is known to the next worker at once."""
    emulator = studio.emulator
    emulator.fault(Fault(operation=SUBMIT, accept=True, stall=1.0))
    post = Post(studio.url, emulator.base_url, emulator.key, tmp_path, "w")
    with Crew(emulator, post, 1) as crew:
        crew.enqueue(1)
        crew.start()
        _until(lambda: emulator.accepted == 1)
        assert crew.stop(0) == 0
        record = crew.app.store.read("studio", "wish-0")
        assert record is not None
        assert record.phase == "accepted"
        assert crew.app.status().accounts[0].running == 1
        crew.start()
        assert isinstance(crew.app.result("wish-0", wait_timeout=60), Succeeded)
        assert emulator.accepted == 1


def test_postgres_away_while_jobs_run(
    ground: Callable[..., Emulator],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    said: list[str],
) -> None:
    """It goes during a POST; workers wait for it, which two lines tell: nothing is lost."""
    monkeypatch.setattr(workflows, "FIRST_REST", 0.05)
    with postgres_server() as server, ExitStack() as opened:
        emulator = ground(seconds=0.3, places=4)
        studio = Studio(emulator, server.database(), tmp_path, opened)
        gone = threading.Event()

        def go(event: Event) -> None:
            if event.kind == "submitted" and emulator.accepted == 3 and not gone.is_set():
                server.stop()
                gone.set()

        app = studio.app({"studio": studio.client(on_event=go)}, slots=4)
        app.launch()
        intents = [app.enqueue(CLIP, f"wish {n}", output=f"{n}.mp4") for n in range(8)]
        assert gone.wait(30)
        for ask in (app.status, partial(app.enqueue, CLIP, "one more")):
            with pytest.raises(StoreError, match="cannot be used"):
                ask()
        _until(lambda: all(job.ended_at for job in emulator.jobs))
        server.start()
        assert all(_saved(app.result(intent, wait_timeout=60)).exists() for intent in intents)
        assert emulator.accepted == 8
        assert "broken off" not in caplog.text
        away, back = said
        assert away.startswith("the database is away; jobs wait until it is back: ")
        assert "\n" not in away
        assert back == "the database is back"


def test_an_orderly_end_says_nothing(studio: Studio, said: list[str]) -> None:
    """Least of all what is wanted of the jobs under way: prompts and addresses are no log's."""
    studio.emulator.outcome(seconds=1e6, times=None)
    with studio.app() as app:
        app.launch()
        for number in range(3):
            app.enqueue(CLIP, f"a secret {number}")
        _until(lambda: len(app.store.find("studio", ["accepted"])) == 3)
    assert said == []


def test_a_run_that_is_broken_off_is_taken_up_again(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the engine's way to its database is no outcome of a job."""
    monkeypatch.setattr("krea_aleph.durable.worker._LOOK_SECONDS", 0.2)
    through, broken = workflows._through, []

    async def breaking(stage: Any, *rest: Any) -> Any:
        if len(broken) < 2:
            broken.append(stage.__name__)
            raise OSError("the line is broken")
        return await through(stage, *rest)

    monkeypatch.setattr(workflows, "_through", breaking)
    app = studio.app()
    app.launch()
    assert _saved(app.result(app.enqueue(CLIP, "snow", output="a.mp4"), wait_timeout=30)).exists()
    assert studio.emulator.accepted == 1


# What is left


def _rows(studio: Studio, table: str) -> int:
    path = studio.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - ours
        return int(count)


def test_a_long_job_leaves_few_rows(studio: Studio) -> None:
    """However often it is looked at, a wait is one row."""
    studio.emulator.outcome(seconds=1200)
    app = studio.app()
    app.launch()
    app.result(app.enqueue(CLIP, "snow", output="a.mp4"), wait_timeout=60)
    looks = [call for call in studio.emulator.requests if call.operation == "get_job"]
    assert len(looks) > 20
    assert _rows(studio, "operation_outputs") <= 6
    assert _rows(studio, "workflow_status") == 2


def test_what_is_over_is_forgotten(studio: Studio) -> None:
    """Old outcomes go; enqueued again, the intent finds the job that it was, and pays nothing."""
    app = studio.app()
    app.launch()
    first = app.result(app.enqueue(CLIP, "snow", intent="shot-1"), wait_timeout=60)
    assert app.forget(older_than=1) == 0
    assert app.forget(older_than=-1) == 1
    assert (_rows(studio, "workflow_status"), _rows(studio, "operation_outputs")) == (0, 0)
    with pytest.raises(InvalidRequestError, match="nobody has enqueued 'shot-1'"):
        app.result("shot-1", wait_timeout=60)
    again = app.result(app.enqueue(CLIP, "snow", intent="shot-1"), wait_timeout=60)
    assert again.job == first.job
    assert studio.emulator.accepted == 1


def test_its_repr_names_no_database() -> None:
    """The address may have a password."""
    app = Durable("postgresql://me:hunter2@db/studio", ["studio"])
    assert repr(app) == "Durable('krea-aleph', accounts=['studio'])"


def test_how_a_job_has_ended_is_noted(studio: Studio) -> None:
    """The store has prompt, clip and end of each job, for the report of the folder."""
    studio.emulator.outcome(status="failed", error={"code": "nsfw", "message": "blocked"})
    app = studio.app()
    app.launch()
    for intent in ("bad", "good"):
        app.enqueue(CLIP, f"a {intent} one", intent=intent, output=f"{intent}.mp4")
        app.result(intent)
    with app._engine.store("intents") as store:
        bad, good = (
            (record.path, Note.load(record.note))
            for record in sorted(store.noted(), key=lambda record: record.intent)
        )
    out = studio.folder / "out"
    assert good == (str(out / "good.mp4"), good[1])
    assert (good[1].prompt, good[1].status, good[1].error) == ("a good one", "completed", None)
    assert good[1].completed_at is not None
    assert (bad[0], bad[1].output) == (None, str(out / "bad.mp4"))
    assert bad[1].error is not None
    assert bad[1].error["class"] == "JobRejectedError"
