"""The store: versions that decide races, claims that nobody shares, and who is alive."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from krea_aleph import JobClaimedError, Record, SQLiteStore, StoreError
from krea_aleph.durable import PostgresStore
from postgres import query


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be."""
    return tmp_path / "jobs.sqlite3"


@dataclass
class Place:
    """Where stores of one kind are.

    Attributes:
        source: How another program opens one.
        open: Opens one.
        by_hand: Makes a statement past the store.
    """

    source: str
    open: Callable[[], Any]
    by_hand: Callable[[str], object]


@pytest.fixture(params=["SQLiteStore", "PostgresStore"])
def place(request: pytest.FixtureRequest, path: Path) -> Iterator[Place]:
    """A place for each kind of store."""
    with ExitStack() as opened:
        if request.param == "SQLiteStore":
            yield Place(
                f"from krea_aleph import SQLiteStore\nstore = SQLiteStore({str(path)!r})",
                lambda: opened.enter_context(SQLiteStore(path)),
                lambda statement: _in_sqlite(path, statement),
            )
            return
        dsn = request.getfixturevalue("postgres").database()
        yield Place(
            "from krea_aleph.durable import PostgresStore\n"
            f"store = PostgresStore({dsn!r}, grace=0)",
            lambda: opened.enter_context(PostgresStore(dsn, grace=0)),
            lambda statement: query(dsn, f"SET search_path TO krea_aleph; {statement}"),
        )


def _in_sqlite(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def _until(condition: Callable[[], bool]) -> bool:
    """Ask until it is so: a server notices a moment later that a process has died."""
    ends = time.monotonic() + 10
    while not condition() and time.monotonic() < ends:
        pass
    return condition()


def _record(intent: str = "shot-1", **facts: object) -> Record:
    return Record("studio", intent, "f" * 64, {"prompt": "d"}, **facts)  # type: ignore[arg-type]


def test_a_record_comes_back_as_it_was_written(place: Place) -> None:
    """Every field survives, in this process and in another one that opens the file."""
    record = _record(phase="posting", mark="{}", path="out.mp4", job_id="j1", holder="h")
    stored = place.open().write(record)
    assert stored is not None
    assert stored == replace(record, version=1, updated_at=stored.updated_at)
    assert place.open().read("studio", "shot-1") == stored
    assert place.open().by_nonce(record.nonce) == stored
    assert place.open().read("other", "shot-1") is None
    assert place.open().by_nonce("other") is None


def test_a_new_file_is_opened_while_another_process_prepares_it(path: Path) -> None:
    """Two programs that start at the same time wait for each other: neither sees a locked file."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = threading.Timer(0.05, other.execute, ["ROLLBACK"])
        done.start()
        with SQLiteStore(path) as store:
            assert store.write(_record()) is not None
        done.join()


def test_a_file_that_stays_locked_is_an_error_in_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for others has an end."""
    monkeypatch.setattr("krea_aleph.store._BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            SQLiteStore(path)


def test_whoever_writes_an_old_version_loses(place: Place) -> None:
    """Of two that read the same version, one gets None; so does a second insertion."""
    store = place.open()
    first = store.write(_record())
    assert first is not None
    assert store.write(_record()) is None
    assert store.write(replace(first, phase="posting")) is not None
    assert store.write(replace(first, phase="unknown")) is None


def test_of_many_writers_one_wins_each_version(place: Place) -> None:
    """Threads with stores of their own never both succeed: no turn is taken twice."""
    stores = [place.open() for _ in range(8)]
    assert stores[0].write(_record()) is not None
    won = []

    def raise_version(store: SQLiteStore) -> None:
        for _ in range(25):
            found = store.read("studio", "shot-1")
            if found is not None and store.write(found) is not None:
                won.append(found.version)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(raise_version, stores))
    assert len(won) == len(set(won))


def test_no_two_intents_share_a_job(place: Place) -> None:
    """A job belongs to one intent of an account; another account's jobs are its own."""
    store = place.open()
    assert store.write(_record(job_id="j1")) is not None
    with pytest.raises(JobClaimedError, match="job j1 belongs to another intent of 'studio'"):
        store.write(_record("shot-2", job_id="j1"))
    assert store.write(replace(_record(job_id="j1"), account="other")) is not None
    assert store.claimed("studio", ["j1", "j2"]) == {"j1"}
    assert store.claimed("studio", []) == set()


def test_open_intents_are_found_by_phase(place: Place) -> None:
    """What is unresolved is listed for one account, the longest untouched first."""
    store = place.open()
    for intent, phase in (("a", "unknown"), ("b", "accepted"), ("c", "posting")):
        store.write(_record(intent, phase=phase))
    assert [record.intent for record in store.find("studio", ["posting", "unknown"])] == ["a", "c"]
    assert store.find("other", ["posting", "unknown"]) == []


def test_the_turn_belongs_to_one_at_a_time(place: Place) -> None:
    """Two calls of one process do not submit at once; whoever is done gives the turn back."""
    store = place.open()
    first, second = f"{store.holder()}:1", f"{store.holder()}:2"
    assert store.lock("studio", first)
    assert store.lock("studio", first)
    assert not store.lock("studio", second)
    assert store.lock("other", second)
    store.unlock("studio", second)
    assert not store.lock("studio", second)
    store.unlock("studio", first)
    assert store.lock("studio", second)


LOCK_AND_DIE = """
import os, sys
from krea_aleph import Record
assert store.lock("studio", store.holder())
store.write(Record("studio", "shot-1", "f", phase="posting", holder=store.holder()))
print(store.holder(), flush=True)
if sys.argv[1] == "die":
    os.kill(os.getpid(), 9)
sys.stdin.read()
"""


def _other(place: Place, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"{place.source}\n{LOCK_AND_DIE}", what]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_the_dead_hold_nothing(place: Place) -> None:
    """A process that was killed is known to be dead at once, and its turn is free."""
    store = place.open()
    with _other(place, "die") as process:
        assert process.stdout is not None
        holder = process.stdout.readline().strip()
        process.wait()
    assert _until(lambda: not store.alive(holder))
    assert store.lock("studio", store.holder())
    assert [record.holder for record in store.find("studio", ["posting"])] == [holder]


def test_the_living_keep_what_they_hold(place: Place) -> None:
    """Another process that still runs is alive, also seen from a thread, until it ends."""
    store = place.open()
    with _other(place, "live") as process:
        assert process.stdout is not None
        assert process.stdin is not None
        holder = process.stdout.readline().strip()
        seen: list[bool] = []
        thread = threading.Thread(target=lambda: seen.append(store.alive(holder)))
        thread.start()
        thread.join()
        assert seen == [True]
        assert not store.lock("studio", store.holder())
        process.stdin.close()
        process.wait()
    assert _until(lambda: not store.alive(holder))


def _child_token(store: SQLiteStore, pipe: object) -> None:
    pipe.send(store.holder())  # type: ignore[attr-defined]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_is_somebody_else(place: Place) -> None:
    """A child has a name of its own, uses the file, and does not keep its parent alive."""
    store = place.open()
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_child_token, args=(store, theirs))
    child.start()
    token = ours.recv()
    child.join()
    assert token != store.holder()
    assert _until(lambda: not store.alive(token))
    assert store.alive(store.holder())
    assert store.write(_record()) is not None


FORK_AND_DIE = """
import os, sys, time
print(store.holder(), flush=True)
if os.fork():
    os.kill(os.getpid(), 9)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_does_not_keep_its_parent_alive(place: Place) -> None:
    """A process that was killed is dead, though a child that it had forked lives on."""
    store = place.open()
    command = [sys.executable, "-c", f"{place.source}\n{FORK_AND_DIE}"]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        holder = process.stdout.readline().strip()
        process.wait()
        assert _until(lambda: not store.alive(holder))
        process.stdin.close()


def test_closing_lets_go_and_opens_again(place: Place) -> None:
    """A closed store is dead to others, and alive again with its next use."""
    store, other = place.open(), place.open()
    holder = store.holder()
    assert other.alive(holder)
    store.close()
    assert not other.alive(holder)
    assert other.alive(store.holder())


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at" * 30])
def test_what_is_no_store_is_refused(path: Path, content: bytes) -> None:
    """A file of another kind is left alone and named, before anything is paid for."""
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be used") as caught:
        SQLiteStore(path)
    assert (caught.value.charged, caught.value.resubmit) == ("no", "safe")
    assert path.read_bytes() == content


def test_a_store_of_a_newer_library_is_refused(path: Path) -> None:
    """What cannot be understood is not written to."""
    SQLiteStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="has version 99; this library knows 2"):
        SQLiteStore(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder in the place of the file is said as such."""
    with pytest.raises(StoreError, match=r"the store '.*' cannot be used"):
        SQLiteStore(tmp_path)


def test_its_repr_says_where_it_is(path: Path) -> None:
    """Logs show which store it is; the nonce of a record is not shown."""
    assert repr(SQLiteStore(path)) == f"SQLiteStore({str(path)!r})"
    assert _record().nonce not in repr(_record())


@pytest.mark.parametrize("line", range(1, 12))
def test_an_interrupted_turn_locks_nobody_out(place: Place, line: int) -> None:
    """Ctrl-C at any line of taking a turn leaves no transaction behind: others go on at once."""
    store, other = place.open(), place.open()
    left = line

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_name != "lock":
            return None
        left -= event == "line"
        if left == 0:
            left = -1
            raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    with suppress(KeyboardInterrupt):
        store.lock("studio", f"{store.holder()}:1")
    sys.settrace(None)
    assert store.write(_record()) is not None
    assert other.read("studio", "shot-1") is not None
    assert other.write(_record("shot-2")) is not None


def test_deliveries_are_counted_by_job(place: Place) -> None:
    """Every process sees how many webhooks told of a job, and whether one is to come."""
    here, there = place.open(), place.open()
    assert here.delivered("studio", "j1") is None
    here.expect("studio", "nonce-1", "j1")
    assert there.delivered("studio", "j1") == 0
    assert there.deliver("studio", "nonce-1", "j1")
    assert there.deliver("studio", "nonce-1", "j1")
    assert here.delivered("studio", "j1") == 2
    assert here.delivered("other", "j1") is None
    assert (here.told("studio", "nonce-1"), here.told("other", "nonce-1")) == (["j1"], [])


def test_an_address_is_for_one_job(place: Place) -> None:
    """Once it is known whose a nonce is, no other job can be told with it."""
    store = place.open()
    assert store.deliver("studio", "nonce-1", "early")  # nobody knows better yet
    store.expect("studio", "nonce-1", "j1")
    assert not store.deliver("studio", "nonce-1", "j2")
    assert not store.deliver("studio", "nonce-1", "early")
    assert store.deliver("studio", "nonce-1", "j1")
    assert store.delivered("studio", "j2") is None
    record = store.write(_record(job_id="j3"))
    assert record is not None
    assert not store.deliver("studio", record.nonce, "j4")
    assert store.deliver("studio", record.nonce, "j3")
    assert store.deliver("other", record.nonce, "j4")  # another account's is another one


def test_what_was_told_before_it_was_expected(place: Place) -> None:
    """A webhook that comes before Krea's answer is counted all the same."""
    store = place.open()
    store.deliver("studio", "nonce-1", "j1")
    store.expect("studio", "nonce-1", "j1")
    assert store.delivered("studio", "j1") == 1


def test_old_deliveries_are_forgotten(place: Place) -> None:
    """The table does not grow for ever."""
    store = place.open()
    store.expect("studio", "nonce-1", "j1")
    store.deliver("studio", "nonce-2", "j2")
    place.by_hand("UPDATE deliveries SET touched_at = touched_at - 31 * 86400")
    store.expect("studio", "nonce-3", "j3")
    assert [store.delivered("studio", job) for job in ("j1", "j2", "j3")] == [None, None, 0]


def test_what_cannot_be_looked_at_is_not_taken_for_dead(path: Path) -> None:
    """A process that has no room for another open file does not take over from the living."""
    ours, theirs = SQLiteStore(path), SQLiteStore(path)
    holder = theirs.holder()
    ours.holder()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(StoreError, match="Too many open files"):
            ours.alive(holder)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert ours.alive(holder)


def test_a_row_that_cannot_be_read(place: Place) -> None:
    """A row that something else has spoilt is an error of the store."""
    store = place.open()
    store.write(_record())
    place.by_hand("UPDATE records SET fields = '{'")
    with pytest.raises(StoreError, match="cannot be used"):
        store.read("studio", "shot-1")


def test_a_path_that_no_file_can_have() -> None:
    """A path with a null character is refused like any other that cannot be written."""
    with pytest.raises(StoreError, match="cannot be used"):
        SQLiteStore("jobs\0.sqlite3")


@pytest.mark.parametrize("instead", [False, True])
def test_a_file_that_is_taken_away(path: Path, *, instead: bool) -> None:
    """Nothing is written where nobody would find it; a closed store begins with what is there."""
    store = SQLiteStore(path)
    store.write(_record("shot-1"))
    path.unlink()
    if instead:
        SQLiteStore(path).write(_record("shot-2"))
    with pytest.raises(StoreError, match="cannot be used") as caught:
        store.write(_record("shot-3"))
    assert (caught.value.charged, caught.value.resubmit) == ("no", "safe")
    store.close()
    assert (store.read("studio", "shot-2") is not None) == instead


OLD = Path(__file__).parent / "data" / "store-1.sql"


def _old(path: Path) -> None:
    """Make the file that the library of version 1 has written."""
    with sqlite3.connect(path) as connection:
        connection.executescript(OLD.read_text())
    connection.close()


def test_a_store_of_an_older_library_is_taken_over(path: Path) -> None:
    """What it has stays as it is, and it takes notes from now on; its own library refuses it."""
    _old(path)
    with SQLiteStore(path) as store:
        found = store.read("studio", "shot-1")
        assert found is not None
        assert (found.job_id, found.path, found.note) == ("job-1", "/films/restyled/one.mp4", None)
        assert store.delivered("studio", "job-1") == 0
        assert [record.intent for record in store.noted()] == ["shot-1"]
        assert store.write(replace(found, note='{"prompt": "snow"}')) is not None
        assert store.write(_record("shot-3", note="{}")) is not None
    with SQLiteStore(path) as store:
        assert [record.note for record in store.noted()] == ['{"prompt": "snow"}', "{}"]
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()


def test_a_store_is_taken_over_once(path: Path) -> None:
    """Any number of processes may open an old file at the same time."""
    _old(path)
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: SQLiteStore(path), range(8)))
    for store in stores:
        assert store.read("studio", "shot-2") is not None
        store.close()


def test_a_store_can_be_told_to_keep_no_notes(path: Path) -> None:
    """With notes=False it keeps digests only, also where it is opened from a pickle."""
    with SQLiteStore(path, notes=False) as store:
        again = pickle.loads(pickle.dumps(store))  # noqa: S301 - our own
        for number, one in enumerate((store, again)):
            stored = one.write(_record(f"shot-{number}", note="{}"))
            assert stored is not None
            assert stored.note is None
        assert store.noted() == []
        again.close()
