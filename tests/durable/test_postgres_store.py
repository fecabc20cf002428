"""What is Postgres' own about the store in it; tests/core/test_store.py has what all stores do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from krea_aleph import Aleph, ConfigError, Record, StoreError
from krea_aleph.cli import main
from krea_aleph.durable import Durable, PostgresStore
from krea_aleph.emulator import Emulator, Fault
from postgres import Server, postgres_server, query

LIVE = """
import sys
from krea_aleph.durable import Durable, PostgresStore
store = PostgresStore(sys.argv[1])
print(store.holder(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def dsn(postgres: Server) -> str:
    """An empty database."""
    return postgres.database()


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server that may be stopped."""
    with postgres_server() as server:
        yield server


def _until(condition: Callable[[], bool]) -> bool:
    ends = time.monotonic() + 20
    while not condition() and time.monotonic() < ends:
        pass
    return condition()


def _cut(dsn: str) -> None:
    """End every session on a database, as an administrator or a broken line does."""
    query(
        dsn,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def _record(intent: str = "shot-1", **facts: object) -> Record:
    return Record("studio", intent, "f" * 64, {"prompt": "d"}, **facts)  # type: ignore[arg-type]


def _ended(dsn: str, holder: str) -> bool:
    """Whether the server has noticed that a process is without a session."""
    key = f"{int(holder[:16], 16) >> 1}"
    held = "SELECT FROM pg_locks WHERE (classid::bigint << 32 | objid::bigint) = %s::bigint"
    return not query(dsn, held, key)


def test_a_store_that_loses_its_connection_makes_another(dsn: str) -> None:
    """A call that finds a broken line is made once more, and nobody notices."""
    with PostgresStore(dsn) as store:
        stored = store.write(_record())
        _cut(dsn)
        assert store.read("studio", "shot-1") == stored
        _cut(dsn)
        assert store.write(_record("shot-2")) is not None


def test_a_writing_whose_answer_was_lost_has_happened(dsn: str) -> None:
    """Where the line breaks after the writing, the second try finds it, and calls it its own."""
    with PostgresStore(dsn) as store:
        first = store.write(_record())
        assert first is not None
        real = psycopg.Connection.execute
        broken = []

        def breaking(connection: psycopg.Connection, *args: object) -> object:
            done = real(connection, *args)  # type: ignore[arg-type]
            if "UPDATE records" in str(args[0]) and not broken:
                broken.append(True)
                _cut(dsn)
                return real(connection, "SELECT 1")
            return done

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(psycopg.Connection, "execute", breaking)
            second = store.write(first)
        assert broken
        assert second is not None
        assert second.version == 2
        assert store.read("studio", "shot-1") == second
        assert store.write(first) is None


def test_a_lost_connection_is_no_death(dsn: str) -> None:
    """Who is without a session is alive for the time of grace, and comes back by itself."""
    with PostgresStore(dsn) as ours, PostgresStore(dsn) as theirs:
        holder = theirs.holder()
        _cut(dsn)
        assert ours.alive(holder)
        assert _until(lambda: not _ended(dsn, holder))
        missed = "SELECT FROM krea_aleph.holders WHERE missed_at IS NOT NULL"
        assert _until(lambda: query(dsn, missed) == [])
        assert theirs.holder() == holder
        assert ours.alive(holder)


def test_a_killed_process_is_missed_and_then_dead(dsn: str) -> None:
    """After kill -9 others wait for the time of grace, no longer; after that nobody asks again."""
    with PostgresStore(dsn, grace=30) as store:
        command = [sys.executable, "-c", LIVE, dsn]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            holder = process.stdout.readline().strip()
            assert store.alive(holder)
            os.kill(process.pid, signal.SIGKILL)
        assert _until(lambda: _ended(dsn, holder))
        assert store.alive(holder)
        query(dsn, "UPDATE krea_aleph.holders SET missed_at = missed_at - interval '31 s'")
        assert not store.alive(holder)
        assert query(dsn, "SELECT FROM krea_aleph.holders WHERE token = %s", holder) == []


def test_a_stopped_process_holds_what_it_has(dsn: str) -> None:
    """A program that stands still for a while has its session, and so it is alive."""
    with (
        PostgresStore(dsn, grace=0) as store,
        subprocess.Popen(
            [sys.executable, "-c", LIVE, dsn],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdin is not None
        holder = process.stdout.readline().strip()
        os.kill(process.pid, signal.SIGSTOP)
        assert store.alive(holder)
        os.kill(process.pid, signal.SIGCONT)
        process.stdin.close()


def test_nothing_is_sent_while_the_store_is_away(own: Server) -> None:
    """A clear error that calls it safe to try again; afterwards the same intent is paid once."""
    dsn = own.database()
    with (
        Emulator(render=False, job_seconds=1) as emulator,
        PostgresStore(dsn) as store,
        emulator.aleph(store=store) as aleph,
    ):
        own.stop()
        with pytest.raises(StoreError, match="cannot be used") as caught:
            aleph.submit("https://example.com/in.mp4", "snow", intent="shot-1")
        own.start()
        assert (caught.value.charged, caught.value.resubmit) == ("no", "safe")
        assert emulator.accepted == 0
        first = aleph.submit("https://example.com/in.mp4", "snow", intent="shot-1")
        assert aleph.submit("https://example.com/in.mp4", "snow", intent="shot-1").id == first.id
        assert emulator.accepted == 1


def test_a_job_that_is_paid_for_is_handed_out_without_the_store(own: Server) -> None:
    """Where the store goes away during the POST, the caller has the job, and later so has it."""
    dsn = own.database()
    with Emulator(render=False, job_seconds=1) as emulator, PostgresStore(dsn) as store:
        aleph: Aleph

        def stop(event: object) -> None:
            if getattr(event, "kind", "") == "submitted":
                own.stop()

        with emulator.aleph(store=store, on_event=stop) as aleph:
            job = aleph.submit("https://example.com/in.mp4", "snow", intent="shot-1")
            own.start()
        store.close()
        with (
            PostgresStore(dsn, grace=0) as later,
            emulator.aleph(virtual_time=True, store=later, exclusive=True) as aleph,
        ):
            again = aleph.submit("https://example.com/in.mp4", "snow", intent="shot-1")
        assert again.id == job.id
        assert emulator.accepted == 1


def test_what_was_taken_survives_a_crash(own: Server) -> None:
    """Of a server that confirms what it has not written yet: a record, and a job."""
    dsn = own.database()
    with PostgresStore(dsn) as store, Durable(dsn, ["studio"]) as app:
        app.status()
        stored = store.write(_record())
        assert query(dsn, "SHOW synchronous_commit") == [("off",)]
        own.crash()
        own.start()
        assert stored is not None
        assert store.read("studio", "shot-1") == stored
        app.enqueue("https://example.com/in.mp4", "snow")
        own.crash()
        own.start()
        assert app.status().accounts[0].waiting == 1


def test_many_that_begin_at_once(dsn: str) -> None:
    """The tables are made once, whoever comes first."""
    found: list[object] = []

    def begin() -> None:
        with PostgresStore(dsn) as store:
            found.append(store.read("studio", "shot-1"))

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [None] * 6


def test_schemas_are_apart(dsn: str) -> None:
    """Several stores may be in one database."""
    with PostgresStore(dsn) as one, PostgresStore(dsn, schema="Other place") as other:
        assert one.write(_record()) is not None
        assert other.read("studio", "shot-1") is None


def test_a_store_of_a_newer_library_is_refused(dsn: str) -> None:
    """What cannot be understood is not written to."""
    PostgresStore(dsn).close()
    query(dsn, "UPDATE krea_aleph.about SET version = 99")
    with pytest.raises(StoreError, match="has version 99; this library knows 2"):
        PostgresStore(dsn)


def test_a_password_is_nowhere(dsn: str, tmp_path: Path) -> None:
    """No repr, error or pickle has it; what is no address is refused without repeating it."""
    with PostgresStore(dsn, schema="s") as store:
        assert "dbname=test_" in repr(store)
        with pytest.raises(TypeError, match="does not pickle"):
            store.__reduce__()
    with pytest.raises(StoreError) as failed:
        PostgresStore(f"postgresql://me:hunter2@/studio?host={tmp_path}")
    assert "hunter2" not in str(failed.value)
    assert str(tmp_path) in str(failed.value)
    with pytest.raises(ConfigError, match="no address") as refused:
        PostgresStore("password=hunter2 nonsense")
    assert "hunter2" not in str(refused.value)


def test_a_store_of_an_older_library_is_taken_over(dsn: str) -> None:
    """Several processes may open old tables at once; then they take notes."""
    with PostgresStore(dsn) as store:
        store.write(_record(path="out.mp4"))
    query(dsn, "ALTER TABLE krea_aleph.records DROP COLUMN note")
    query(dsn, "UPDATE krea_aleph.about SET version = 1")
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: PostgresStore(dsn), range(4)))
    for store in stores:
        (found,) = store.noted()
        assert (found.path, found.note) == ("out.mp4", None)
    assert stores[0].write(replace(found, note="{}")) is not None
    assert [record.note for record in stores[1].noted()] == ["{}"]
    for store in stores:
        store.close()
    assert query(dsn, "SELECT version FROM krea_aleph.about") == [(2,)]


def test_a_store_can_be_told_to_keep_no_notes(dsn: str) -> None:
    """With notes=False it keeps digests only."""
    with PostgresStore(dsn, notes=False) as store:
        stored = store.write(_record(note="{}"))
        assert stored is not None
        assert stored.note is None
        assert store.noted() == []


def test_the_report_of_a_folder(
    dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`krea-aleph report --store URL` shows what this store knows."""
    with PostgresStore(dsn) as store:
        store.write(_record(path=str(tmp_path / "out.mp4"), note='{"prompt": "make it snow"}'))
    assert main(["report", str(tmp_path), "--store", dsn]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    assert "make it snow" in (tmp_path / "report.html").read_text("utf-8")


def test_commands_write_submits_down_in_a_database(
    dsn: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--store URL` of any command is this store: what is open there is found and decided."""
    monkeypatch.chdir(tmp_path)
    with Emulator(render=False) as emulator:
        monkeypatch.setenv("KREA_API_KEY", emulator.key)
        monkeypatch.setenv("KREA_BASE_URL", emulator.base_url)
        monkeypatch.setenv("KREA_STORE", dsn)
        submit = ["submit", "https://example.com/in.mp4", "snow", "--intent", "shot-1"]
        emulator.fault(Fault(operation="create_aleph_job", drop="after"))
        assert main(submit) == 5
        assert main(["doctor", "--json"]) in {0, 3}
        assert "1 submits without an answer" in capsys.readouterr().out
        job = emulator.jobs[0].id
        assert main(["recover", "shot-1", "--adopt", job]) == 0
        assert main(submit) == 0
        assert job in capsys.readouterr().out
        assert emulator.accepted == 1
    with PostgresStore(dsn) as store:
        found = store.read("default", "shot-1")
        assert found is not None
        assert found.job_id == job
    assert list(tmp_path.iterdir()) == []
