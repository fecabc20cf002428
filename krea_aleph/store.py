"""The one durable fact: which intent of which account has become which job.

A `Store` is a table of records with a version each, and knows which processes are alive. What a
record means, and in which order it is written around the request that pays, is decided elsewhere,
in one place for every store.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import sqlite3
import threading
import time
import weakref
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, Literal, Protocol, Self, TypeAlias

from krea_aleph import owed
from krea_aleph._locks import try_lock
from krea_aleph.errors import JobClaimedError, StoreError, SubmitUncertainError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping

    from krea_aleph.models import StrPath

Phase: TypeAlias = Literal["new", "posting", "unknown", "parked", "accepted"]

_VERSION: Final = 2
_BUSY_SECONDS: Final = 30.0
_BUSY_PAUSE: Final = 0.01
# The lowest byte of an error's code says what it is, and the others which kind of that.
_PRIMARY_CODE: Final = 0xFF
_SCHEMA: Final = """
CREATE TABLE records (
    account TEXT NOT NULL,
    intent TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    fields TEXT NOT NULL,
    phase TEXT NOT NULL,
    holder TEXT NOT NULL,
    mark TEXT,
    nonce TEXT NOT NULL UNIQUE,
    job_id TEXT,
    path TEXT,
    version INTEGER NOT NULL,
    updated_at REAL NOT NULL,
    note TEXT,
    PRIMARY KEY (account, intent)
);
CREATE UNIQUE INDEX records_job ON records (account, job_id) WHERE job_id IS NOT NULL;
CREATE INDEX records_open ON records (account, phase) WHERE phase <> 'accepted';
CREATE TABLE turns (account TEXT PRIMARY KEY, holder TEXT NOT NULL);
CREATE TABLE deliveries (
    account TEXT NOT NULL,
    nonce TEXT NOT NULL,
    job_id TEXT NOT NULL,
    expected INTEGER NOT NULL,
    count INTEGER NOT NULL,
    touched_at REAL NOT NULL,
    PRIMARY KEY (account, nonce, job_id)
);
CREATE INDEX deliveries_job ON deliveries (account, job_id);
CREATE INDEX deliveries_age ON deliveries (touched_at);
"""
# What each version has beside the one before it.
_SINCE: Final = {2: "ALTER TABLE records ADD COLUMN note TEXT"}
_READ: Final = "SELECT * FROM records WHERE account = ? AND intent = ?"
_BY_NONCE: Final = "SELECT * FROM records WHERE nonce = ?"
_FIND: Final = (
    "SELECT records.* FROM records, json_each(?) AS phases"
    " WHERE account = ? AND phase = phases.value ORDER BY updated_at"
)
_NOTED: Final = (
    "SELECT * FROM records WHERE note IS NOT NULL OR path IS NOT NULL ORDER BY updated_at"
)
_CLAIMED: Final = (
    "SELECT job_id FROM records, json_each(?) AS asked WHERE account = ? AND job_id = asked.value"
)
_INSERT: Final = """
INSERT INTO records VALUES (:account, :intent, :fingerprint, :fields, :phase, :holder, :mark,
    :nonce, :job_id, :path, :version, :updated_at, :note)
ON CONFLICT (account, intent) DO NOTHING
"""
_UPDATE: Final = """
UPDATE records SET fingerprint = :fingerprint, fields = :fields, phase = :phase, holder = :holder,
    mark = :mark, job_id = :job_id, path = :path, version = :version, updated_at = :updated_at,
    note = :note
WHERE account = :account AND intent = :intent AND version = :version - 1
"""
_TAKE_TURN: Final = """
INSERT INTO turns VALUES (?, ?)
ON CONFLICT (account) DO UPDATE SET holder = excluded.holder WHERE holder = ?
"""
# Webhooks come within hours of a submit; what is older than this is of no use to anybody.
_DELIVERIES_KEPT: Final = 30 * 86_400.0
_FORGET: Final = "DELETE FROM deliveries WHERE touched_at < ?"
_EXPECT: Final = """
INSERT INTO deliveries VALUES (?, ?, ?, 1, 0, ?) ON CONFLICT DO UPDATE SET expected = 1
"""
_DELIVER: Final = """
INSERT INTO deliveries SELECT :account, :nonce, :job_id, 0, 1, :at
WHERE NOT EXISTS (SELECT 1 FROM records
        WHERE account = :account AND nonce = :nonce AND job_id <> :job_id)
    AND NOT EXISTS (SELECT 1 FROM deliveries
        WHERE account = :account AND nonce = :nonce AND job_id <> :job_id AND expected)
ON CONFLICT DO UPDATE SET count = count + 1, touched_at = :at
"""
_DELIVERED: Final = "SELECT SUM(count) FROM deliveries WHERE account = ? AND job_id = ?"
_TOLD: Final = "SELECT job_id FROM deliveries WHERE account = ? AND nonce = ? AND count > 0"


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one intent.

    Attributes:
        account: The label of the account.
        intent: The caller's idempotency key.
        fingerprint: Digest of the whole request.
        fields: Digest of each field of the request, so that a conflict can name what differs.
        phase: "new" (surely nothing was started), "posting" (somebody is at it, or died at it),
            "unknown" (the answer was lost), "parked" (a human must decide), "accepted".
        holder: Who wrote it last: a token as `Store.holder` gives it.
        mark: What the server showed just before the request left, as JSON; see `_intents`.
        nonce: An unguessable name of this intent for the outside, such as a webhook's path.
        job_id: The job that it became. No two intents of an account share one.
        path: Where the result was saved, once it was.
        version: How often it has been written; 0 for a record that is not stored yet.
        updated_at: Unix time in seconds of the last writing.
        note: What people are shown of it, as JSON; see `krea_aleph.notes`.
    """

    account: str
    intent: str
    fingerprint: str
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    phase: Phase = "new"
    holder: str = ""
    mark: str | None = None
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    job_id: str | None = None
    path: str | None = None
    version: int = 0
    updated_at: float = 0.0
    note: str | None = field(default=None, repr=False)

    def uncertain(self) -> SubmitUncertainError:
        """Return the error that ``recover`` and ``adopt`` need, for a submit that is still open.

        The process that got the error itself may be gone; what it knew stands here.
        """
        error = SubmitUncertainError(
            f"of the intent {self.intent!r} it is not known whether a job was started.",
            since=self._since,
            fingerprint=self.fingerprint,
            account=self.account,
            mark=self.mark,
        )
        error.intent = self.intent
        return error

    @property
    def _since(self) -> datetime:
        """From when on the job may have been created."""
        newest = None if self.mark is None else json.loads(self.mark)["newest"]
        if newest is None:
            return datetime.fromtimestamp(self.updated_at, UTC)
        return datetime.fromisoformat(newest)


class Store(Protocol):
    """Where intents are kept. Methods block, briefly, and may be called from any thread.

    An asynchronous client calls them in a worker thread.
    """

    def read(self, account: str, intent: str) -> Record | None:
        """Return the record of an intent, if there is one."""
        ...

    def by_nonce(self, nonce: str) -> Record | None:
        """Return the record that a nonce belongs to, if there is one."""
        ...

    def find(self, account: str, phases: Collection[str]) -> list[Record]:
        """Return an account's records in some phases, the longest untouched first."""
        ...

    def noted(self) -> list[Record]:
        """Return what can be shown of all accounts: records with a note or a path, oldest first."""
        ...

    def write(self, record: Record) -> Record | None:
        """Store a record if its version is still the stored one, and return it as stored.

        Returns:
            None if somebody else has written meanwhile, or inserted it first.

        Raises:
            JobClaimedError: Its job belongs to another intent.
            StoreError: It could not be stored.
        """
        ...

    def claimed(self, account: str, job_ids: Collection[str]) -> set[str]:
        """Return those of some jobs that belong to an intent."""
        ...

    def holder(self) -> str:
        """Return a token of this process, which is alive for as long as the process is."""
        ...

    def alive(self, holder: str) -> bool:
        """Tell whether the process behind a token still runs."""
        ...

    def lock(self, account: str, holder: str) -> bool:
        """Take the account's turn to submit; False while somebody alive has it."""
        ...

    def unlock(self, account: str, holder: str) -> None:
        """Give the turn back, if it is one's own."""
        ...

    def expect(self, account: str, nonce: str, job_id: str) -> None:
        """Note that a webhook with a nonce is to tell how a job has ended."""
        ...

    def deliver(self, account: str, nonce: str, job_id: str) -> bool:
        """Count a webhook that told of a job.

        Returns:
            False, and nothing is counted, if the nonce belongs to another job.
        """
        ...

    def delivered(self, account: str, job_id: str) -> int | None:
        """Return how many webhooks have told of a job; None if none is to come, either."""
        ...

    def told(self, account: str, nonce: str) -> list[str]:
        """Return the jobs that webhooks with a nonce have told of."""
        ...


class SQLiteStore:
    """A store in one SQLite file, for any number of processes on one machine.

    Beside the file lies a folder ``<path>.live`` with a file for every process that uses it, whose
    locks tell the living from the dead. The file must be on a disk that survives what the program
    must survive: in a container, on a volume.

    Args:
        path: The file, which is made unless it is there.
        notes: Whether it keeps prompts, names of clips and outcomes, so that `krea_aleph.pages`
            can show them; without them it has digests only.

    Example:
        >>> from tempfile import mkdtemp
        >>> store = SQLiteStore(Path(mkdtemp()) / "jobs.sqlite3")
        >>> store.read("default", "shot-1") is None
        True
    """

    def __init__(self, path: StrPath, *, notes: bool = True) -> None:
        self._notes = notes
        self._path = Path(os.fspath(path)).absolute()
        self._guard = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._release: weakref.finalize[..., Any] | None = None
        self._token = ""
        self._place: os.stat_result
        _STORES.add(self)
        with self._opened():
            pass  # what is wrong with the file is said before anything is paid for

    def __repr__(self) -> str:
        return f"SQLiteStore({str(self._path)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process it is opened anew.
        return partial(type(self), notes=self._notes), (str(self._path),)

    def read(self, account: str, intent: str) -> Record | None:
        """Return the record of an intent, if there is one."""
        return next(iter(self._rows(_READ, account, intent)), None)

    def by_nonce(self, nonce: str) -> Record | None:
        """Return the record that a nonce belongs to, if there is one."""
        return next(iter(self._rows(_BY_NONCE, nonce)), None)

    def find(self, account: str, phases: Collection[str]) -> list[Record]:
        """Return an account's records in some phases, the longest untouched first."""
        return self._rows(_FIND, json.dumps(list(phases)), account)

    def noted(self) -> list[Record]:
        """Return what can be shown of all accounts: records with a note or a path, oldest first."""
        return self._rows(_NOTED)

    def write(self, record: Record) -> Record | None:
        """Store a record if its version is still the stored one, and return it as stored."""
        note = record.note if self._notes else None
        stored = replace(record, version=record.version + 1, updated_at=time.time(), note=note)
        values = {**asdict(stored), "fields": json.dumps(dict(stored.fields), sort_keys=True)}
        with self._opened() as connection:
            try:
                done = connection.execute(_UPDATE if record.version else _INSERT, values)
            except sqlite3.IntegrityError as error:
                raise JobClaimedError(
                    f"job {record.job_id} belongs to another intent of {record.account!r}",
                    job_id=record.job_id,
                ) from error
        return stored if done.rowcount else None

    def claimed(self, account: str, job_ids: Collection[str]) -> set[str]:
        """Return those of some jobs that belong to an intent."""
        with self._opened() as connection:
            found = connection.execute(_CLAIMED, [json.dumps(list(job_ids)), account])
            return {str(job_id) for (job_id,) in found}

    def holder(self) -> str:
        """Return a token of this process, which is alive for as long as the process is."""
        with self._opened():
            return self._token

    def alive(self, holder: str) -> bool:
        """Tell whether the process behind a token still runs."""
        token = holder.partition(":")[0]
        with self._opened():
            if token == self._token:
                return True
            path = self._folder / token
            try:
                file = path.open("rb")
            except FileNotFoundError:  # anything else, such as too many open files, proves nothing
                return False
            with file:
                if not try_lock(file):
                    return True
                path.unlink(missing_ok=True)
                return False

    def lock(self, account: str, holder: str) -> bool:
        """Take the account's turn to submit; False while somebody alive has it."""
        with self._opened() as connection:
            row = connection.execute("SELECT holder FROM turns WHERE account = ?", [account])
            found = row.fetchone()
            before = "" if found is None else found[0]
            if before not in {"", holder} and self.alive(before):
                return False
            # One statement and no transaction: Ctrl-C in the middle of one would leave it open.
            return connection.execute(_TAKE_TURN, [account, holder, before]).rowcount > 0

    def unlock(self, account: str, holder: str) -> None:
        """Give the turn back, if it is one's own."""
        with self._opened() as connection:
            connection.execute(
                "DELETE FROM turns WHERE account = ? AND holder = ?", [account, holder]
            )

    def expect(self, account: str, nonce: str, job_id: str) -> None:
        """Note that a webhook with a nonce is to tell how a job has ended."""
        moment = time.time()
        with self._opened() as connection:
            connection.execute(_FORGET, [moment - _DELIVERIES_KEPT])
            connection.execute(_EXPECT, [account, nonce, job_id, moment])

    def deliver(self, account: str, nonce: str, job_id: str) -> bool:
        """Count a webhook that told of a job, unless its nonce belongs to another one."""
        values = {"account": account, "nonce": nonce, "job_id": job_id, "at": time.time()}
        with self._opened() as connection:
            return connection.execute(_DELIVER, values).rowcount > 0

    def delivered(self, account: str, job_id: str) -> int | None:
        """Return how many webhooks have told of a job; None if none is to come, either."""
        with self._opened() as connection:
            (count,) = connection.execute(_DELIVERED, [account, job_id]).fetchone()
            return None if count is None else int(count)

    def told(self, account: str, nonce: str) -> list[str]:
        """Return the jobs that webhooks with a nonce have told of."""
        with self._opened() as connection:
            return [str(job_id) for (job_id,) in connection.execute(_TOLD, [account, nonce])]

    def close(self) -> None:
        """Close the file, which happens by itself at the end. Any further use opens it again."""
        owed.forgive(self)
        with self._guard:
            if self._release is not None:
                self._release()
            self._connection = self._release = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def forget_parent(self) -> None:
        """In a forked process: let go of what is the parent's, which alone may close it."""
        if self._release is not None and (held := self._release.detach()) is not None:
            _, _, (connection, live, _), _ = held
            _OF_PARENTS.append(connection)
            live.close()  # or else the parent would seem alive for as long as this process
        self._guard = threading.RLock()
        self._connection = self._release = None

    @property
    def _folder(self) -> Path:
        return self._path.with_name(f"{self._path.name}.live")

    def _rows(self, statement: str, *values: str) -> list[Record]:
        with self._opened() as connection:
            return [_record(row) for row in connection.execute(statement, values)]

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        """Give the connection to one thread at a time; a forked process opens its own."""
        with self._guard:
            try:
                yield self._open() if self._connection is None else self._known(self._connection)
            except (sqlite3.Error, OSError, ValueError) as error:
                raise StoreError(
                    f"the store {str(self._path)!r} cannot be used: {error}"
                ) from error

    def _known(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Return the connection, unless its file has lost its name: nobody would find it again."""
        if not os.path.samestat(self._path.stat(), self._place):
            raise OSError(errno.ESTALE, "another file has its name since it was opened")
        return connection

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _create(self._path)
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        try:
            _write_ahead(connection)
            # What is written before money is spent must survive a power failure, too.
            connection.execute("PRAGMA synchronous = FULL")
            _prepare(connection, self._path)
            live = self._announce()
        except BaseException:
            connection.close()
            raise
        self._connection, self._place = connection, self._path.stat()
        self._release = weakref.finalize(self, _close, connection, live, self._folder / self._token)
        return connection

    def _announce(self) -> IO[bytes]:
        """Put a locked file where others can see that this process is alive."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._token = secrets.token_hex(16)
        hidden = self._folder / f".{self._token}"
        live = hidden.open("wb")
        try_lock(live)
        hidden.rename(self._folder / self._token)
        return live


def _close(connection: sqlite3.Connection, live: IO[bytes], path: Path) -> None:
    connection.close()
    path.unlink(missing_ok=True)
    live.close()


_STORES: Final[weakref.WeakSet[SQLiteStore]] = weakref.WeakSet()
_OF_PARENTS: Final[list[sqlite3.Connection]] = []


def _after_fork() -> None:
    for store in _STORES:
        store.forget_parent()


if hasattr(os, "register_at_fork"):  # pragma: no branch - other systems do not fork
    os.register_at_fork(after_in_child=_after_fork)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the log that lets processes read while one writes.

    For this one statement SQLite does not wait for another process that has begun to write, as
    whoever opens a new file at the same time has.
    """
    ends = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > ends:
                raise
            time.sleep(_BUSY_PAUSE)
        else:
            return


def _create(path: Path) -> None:
    """Make a new file that this user alone can read: nonces are secrets.

    It is made under another name, because to close it would end this process's locks on the file.
    What SQLite puts beside it gets the same mode.
    """
    if not path.exists():
        empty = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        os.close(os.open(empty, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with suppress(OSError):  # it is there by now, or there are no links here
            os.link(empty, path)
        empty.unlink()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in a new file, renew those of an older library, refuse those of a newer one.

    Raises:
        StoreError: The file is of a version that this library does not know.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        _refuse_newer(version, path)
        if version == 0:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)
        for number in range(version + 1, _VERSION + 1) if version else ():
            connection.execute(_SINCE[number])
        if version < _VERSION:
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _refuse_newer(version: int, path: Path) -> None:
    if version > _VERSION:
        raise StoreError(
            f"the store {str(path)!r} has version {version}; this library knows {_VERSION}",
            hint="Upgrade krea_aleph, or use another file.",
        )


def _record(row: sqlite3.Row) -> Record:
    return Record(**{**dict(row), "fields": json.loads(row["fields"])})
