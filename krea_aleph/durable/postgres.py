"""A store in Postgres, for any number of processes on any number of machines."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import weakref
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, Final, LiteralString, Self, TypeVar

from krea_aleph import owed
from krea_aleph.errors import ConfigError, JobClaimedError, MissingExtraError, StoreError
from krea_aleph.store import Record

try:
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.rows import dict_row
except ImportError as error:
    raise MissingExtraError("durable") from error

from krea_aleph.durable.lifeline import Lifeline, connect, disown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Mapping

T = TypeVar("T")

GRACE: Final = 75.0
"""For how many seconds a process may be without a session and is not taken for dead."""

_VERSION: Final = 2
# One after the other makes the tables: the number is this library's own.
_PREPARING: Final = 0x6B7265615F616C70
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS about (version integer NOT NULL);
CREATE TABLE IF NOT EXISTS records (
    account text NOT NULL,
    intent text NOT NULL,
    fingerprint text NOT NULL,
    fields text NOT NULL,
    phase text NOT NULL,
    holder text NOT NULL,
    mark text,
    nonce text NOT NULL UNIQUE,
    job_id text,
    path text,
    version integer NOT NULL,
    updated_at double precision NOT NULL,
    note text,
    PRIMARY KEY (account, intent)
);
CREATE UNIQUE INDEX IF NOT EXISTS records_job ON records (account, job_id)
    WHERE job_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS records_open ON records (account, phase) WHERE phase <> 'accepted';
CREATE TABLE IF NOT EXISTS turns (account text PRIMARY KEY, holder text NOT NULL);
CREATE TABLE IF NOT EXISTS holders (
    token text PRIMARY KEY,
    key bigint NOT NULL,
    missed_at timestamptz
);
CREATE TABLE IF NOT EXISTS deliveries (
    account text NOT NULL,
    nonce text NOT NULL,
    job_id text NOT NULL,
    expected boolean NOT NULL,
    count integer NOT NULL,
    touched_at double precision NOT NULL,
    PRIMARY KEY (account, nonce, job_id)
);
CREATE INDEX IF NOT EXISTS deliveries_job ON deliveries (account, job_id);
CREATE INDEX IF NOT EXISTS deliveries_age ON deliveries (touched_at)
"""
# What each version has beside the one before it.
_SINCE: Final = {2: sql.SQL("ALTER TABLE records ADD COLUMN IF NOT EXISTS note text")}
_READ: Final = "SELECT * FROM records WHERE account = %(account)s AND intent = %(intent)s"
_BY_NONCE: Final = "SELECT * FROM records WHERE nonce = %(nonce)s"
_FIND: Final = """
SELECT * FROM records WHERE account = %(account)s AND phase = ANY(%(phases)s) ORDER BY updated_at
"""
_NOTED: Final = """
SELECT * FROM records WHERE note IS NOT NULL OR path IS NOT NULL ORDER BY updated_at
"""
_CLAIMED: Final = """
SELECT job_id FROM records WHERE account = %(account)s AND job_id = ANY(%(job_ids)s)
"""
_INSERT: Final = """
INSERT INTO records VALUES (%(account)s, %(intent)s, %(fingerprint)s, %(fields)s, %(phase)s,
    %(holder)s, %(mark)s, %(nonce)s, %(job_id)s, %(path)s, %(version)s, %(updated_at)s,
    %(note)s)
ON CONFLICT (account, intent) DO NOTHING
"""
_UPDATE: Final = """
UPDATE records SET fingerprint = %(fingerprint)s, fields = %(fields)s, phase = %(phase)s,
    holder = %(holder)s, mark = %(mark)s, job_id = %(job_id)s, path = %(path)s,
    version = %(version)s, updated_at = %(updated_at)s, note = %(note)s
WHERE account = %(account)s AND intent = %(intent)s AND version = %(version)s - 1
"""
_TAKE_TURN: Final = """
INSERT INTO turns VALUES (%(account)s, %(holder)s)
ON CONFLICT (account) DO UPDATE SET holder = excluded.holder WHERE turns.holder = %(before)s
"""
# For a lock of 64 bits the server shows the upper half, the lower half, and a 1.
_IS_HELD: Final = """
SELECT missed_at, EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (classid::bigint << 32 | objid::bigint) = key
) AS held, now() - missed_at > make_interval(secs => %(grace)s) AS over
FROM holders WHERE token = %(token)s
"""
_MISS: Final = """
UPDATE holders SET missed_at = now() WHERE token = %(token)s AND missed_at IS NULL
"""
# What is dead stays dead: nobody has to ask about it again.
_BURY: Final = """
DELETE FROM holders
WHERE token = %(token)s AND now() - missed_at > make_interval(secs => %(grace)s)
"""
_DELIVERIES_KEPT: Final = 30 * 86_400.0
_FORGET: Final = "DELETE FROM deliveries WHERE touched_at < %(before)s"
_EXPECT: Final = """
INSERT INTO deliveries VALUES (%(account)s, %(nonce)s, %(job_id)s, true, 0, %(at)s)
ON CONFLICT (account, nonce, job_id) DO UPDATE SET expected = true
"""
_DELIVER: Final = """
INSERT INTO deliveries SELECT %(account)s, %(nonce)s, %(job_id)s, false, 1, %(at)s
WHERE NOT EXISTS (SELECT FROM records
        WHERE account = %(account)s AND nonce = %(nonce)s AND job_id <> %(job_id)s)
    AND NOT EXISTS (SELECT FROM deliveries
        WHERE account = %(account)s AND nonce = %(nonce)s AND job_id <> %(job_id)s AND expected)
ON CONFLICT (account, nonce, job_id)
    DO UPDATE SET count = deliveries.count + 1, touched_at = excluded.touched_at
"""
_DELIVERED: Final = """
SELECT sum(count)::integer AS count FROM deliveries
WHERE account = %(account)s AND job_id = %(job_id)s
"""
_TOLD: Final = """
SELECT job_id FROM deliveries
WHERE account = %(account)s AND nonce = %(nonce)s AND count > 0
"""


class PostgresStore:
    """A store in a schema of a Postgres database, for processes on any number of machines.

    It has two connections: one for its statements, and one whose session says that this process is
    alive. They must lead to the server itself or to a pool that keeps sessions; one that shares
    connections by transaction would lend that session to others.

    When the server is away, every call is a `StoreError` until it is back. What was under way then
    goes on: a process that has lost its connection keeps what it holds for ``grace`` seconds. That
    is also how long others wait for one that was killed.

    Args:
        dsn: Where the database is, such as ``postgresql://user@host/name``, or what libpq takes
            else; "" leaves all of it to its environment variables.
        schema: The schema for the tables, which is made unless it is there.
        grace: Seconds after which a process without a connection is taken for dead.
        notes: Whether it keeps prompts, names of clips and outcomes, so that `krea_aleph.pages`
            can show them; without them it has digests only.

    Example:
        >>> store = PostgresStore("postgresql://localhost/studio")  # doctest: +SKIP
        >>> aleph = Aleph(store=store, exclusive=True)  # doctest: +SKIP
    """

    def __init__(
        self,
        dsn: str = "",
        *,
        schema: str = "krea_aleph",
        grace: float = GRACE,
        notes: bool = True,
    ) -> None:
        self._notes = notes
        self._place = _place(dsn)
        self._dsn = dsn
        self._schema = schema
        self._grace = grace
        self._begin()
        _STORES.add(self)
        self._run(lambda connection: connection.execute("SELECT 1"))

    def __repr__(self) -> str:
        return f"PostgresStore({self._place!r}, schema={self._schema!r})"

    def __reduce__(self) -> str:
        raise TypeError("a PostgresStore does not pickle, because of its password: make another")

    def read(self, account: str, intent: str) -> Record | None:
        """Return the record of an intent, if there is one."""
        return next(iter(self._records(_READ, account=account, intent=intent)), None)

    def by_nonce(self, nonce: str) -> Record | None:
        """Return the record that a nonce belongs to, if there is one."""
        return next(iter(self._records(_BY_NONCE, nonce=nonce)), None)

    def find(self, account: str, phases: Collection[str]) -> list[Record]:
        """Return an account's records in some phases, the longest untouched first."""
        return self._records(_FIND, account=account, phases=list(phases))

    def noted(self) -> list[Record]:
        """Return what can be shown of all accounts: records with a note or a path, oldest first."""
        return self._records(_NOTED)

    def write(self, record: Record) -> Record | None:
        """Store a record if its version is still the stored one, and return it as stored."""
        note = record.note if self._notes else None
        stored = replace(record, version=record.version + 1, updated_at=time.time(), note=note)
        values = {**asdict(stored), "fields": json.dumps(dict(stored.fields), sort_keys=True)}
        statement = _UPDATE if record.version else _INSERT
        try:
            if self._change(statement, values):
                return stored
        except psycopg.errors.UniqueViolation as error:
            raise JobClaimedError(
                f"job {record.job_id} belongs to another intent of {record.account!r}",
                job_id=record.job_id,
            ) from error
        # The line may have broken between the writing and its answer, and it was written twice.
        found = self.read(record.account, record.intent)
        return stored if found == stored else None

    def claimed(self, account: str, job_ids: Collection[str]) -> set[str]:
        """Return those of some jobs that belong to an intent."""
        rows = self._rows(_CLAIMED, account=account, job_ids=list(job_ids))
        return {row["job_id"] for row in rows}

    def holder(self) -> str:
        """Return a token of this process, which is alive for as long as the process is."""
        return self._run(lambda _: self._token())

    def alive(self, holder: str) -> bool:
        """Tell whether the process behind a token still runs, or may be back soon."""
        token = holder.partition(":")[0]
        if token == self.holder():
            return True
        values = {"token": token, "grace": self._grace}
        row = next(iter(self._rows(_IS_HELD, **values)), None)
        if row is None:
            return False
        if row["held"]:
            return True
        if row["missed_at"] is None:
            self._change(_MISS, values)
            return self._grace > 0
        return not (row["over"] and self._change(_BURY, values))

    def lock(self, account: str, holder: str) -> bool:
        """Take the account's turn to submit; False while somebody alive has it."""
        rows = self._rows("SELECT holder FROM turns WHERE account = %(account)s", account=account)
        before = next((row["holder"] for row in rows), "")
        if before not in {"", holder} and self.alive(before):
            return False
        values = {"account": account, "holder": holder, "before": before}
        return self._change(_TAKE_TURN, values) > 0

    def unlock(self, account: str, holder: str) -> None:
        """Give the turn back, if it is one's own."""
        statement = "DELETE FROM turns WHERE account = %(account)s AND holder = %(holder)s"
        self._change(statement, {"account": account, "holder": holder})

    def expect(self, account: str, nonce: str, job_id: str) -> None:
        """Note that a webhook with a nonce is to tell how a job has ended."""
        moment = time.time()
        self._change(_FORGET, {"before": moment - _DELIVERIES_KEPT})
        values = {"account": account, "nonce": nonce, "job_id": job_id, "at": moment}
        self._change(_EXPECT, values)

    def deliver(self, account: str, nonce: str, job_id: str) -> bool:
        """Count a webhook that told of a job, unless its nonce belongs to another one."""
        values = {"account": account, "nonce": nonce, "job_id": job_id, "at": time.time()}
        return self._change(_DELIVER, values) > 0

    def delivered(self, account: str, job_id: str) -> int | None:
        """Return how many webhooks have told of a job; None if none is to come, either."""
        (row,) = self._rows(_DELIVERED, account=account, job_id=job_id)
        return None if row["count"] is None else int(row["count"])

    def told(self, account: str, nonce: str) -> list[str]:
        """Return the jobs that webhooks with a nonce have told of."""
        return [row["job_id"] for row in self._rows(_TOLD, account=account, nonce=nonce)]

    def close(self) -> None:
        """Close the connections, which happens by itself at the end. Any use opens new ones."""
        owed.forgive(self)
        with self._guard:
            self._release()
            self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def forget_parent(self) -> None:
        """In a forked process: let go of the sessions, which are the parent's."""
        self._release.detach()
        for connection in self._held.connections():
            disown(connection)
            _OF_PARENTS.append(connection)
        self._begin()

    def _begin(self) -> None:
        """Have no connection yet."""
        self._guard = threading.RLock()
        self._held = _Held()
        self._release = weakref.finalize(self, self._held.close)

    def _records(self, statement: LiteralString, **values: object) -> list[Record]:
        with _as_store_error(self._place):  # something else may have spoilt a row
            return [_record(row) for row in self._rows(statement, **values)]

    def _rows(self, statement: LiteralString, **values: object) -> list[dict[str, Any]]:
        def fetch(connection: psycopg.Connection[Any]) -> list[dict[str, Any]]:
            with connection.cursor(row_factory=dict_row) as cursor:
                return cursor.execute(statement, values).fetchall()

        return self._run(fetch)

    def _change(self, statement: LiteralString, values: Mapping[str, Any]) -> int:
        return self._run(lambda connection: connection.execute(statement, values).rowcount)

    def _token(self) -> str:
        if self._held.lifeline is None:
            self._held.lifeline = Lifeline(self._dsn, self._schema)
        return self._held.lifeline.token

    def _run(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Do work on the connection; where that turns out to be broken, once more on a new one.

        Every statement may be made twice: writing goes by versions, and the rest is idempotent or
        counts what is only compared.
        """
        with self._guard, _as_store_error(self._place):
            held = self._held
            if (known := held.connection) is not None:
                try:
                    return work(known)
                except psycopg.OperationalError:
                    if not known.broken:
                        raise
                    held.drop()
            held.connection = self._opened()
            try:
                return work(held.connection)
            except psycopg.OperationalError:
                held.drop()
                raise

    def _opened(self) -> psycopg.Connection[Any]:
        connection = connect(self._dsn, self._schema)
        try:
            _prepare(connection, self._schema, self._place)
        except BaseException:
            connection.close()
            raise
        return connection


class _Held:
    """What a store has open."""

    def __init__(self) -> None:
        self.connection: psycopg.Connection[Any] | None = None
        self.lifeline: Lifeline | None = None

    def connections(self) -> list[psycopg.Connection[Any]]:
        """Return what is open."""
        alive = None if self.lifeline is None else self.lifeline.connection
        return [connection for connection in (self.connection, alive) if connection is not None]

    def drop(self) -> None:
        """Close the connection for statements."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Close all."""
        self.drop()
        if self.lifeline is not None:
            self.lifeline.close()


@contextmanager
def _as_store_error(place: str) -> Generator[None]:
    try:
        yield
    except psycopg.errors.UniqueViolation:
        raise
    except (psycopg.Error, ValueError) as error:
        message = f"the store {place!r} cannot be used: {words_of(error)}"
        raise StoreError(message, hint=advice_on(error)) from error


def words_of(error: BaseException) -> str:
    """Return what a driver says on one line; what it asks back, the hint says."""
    lines = (line.strip() for line in str(error).splitlines())
    return " ".join(line for line in lines if not line.startswith(_ASKS))


def advice_on(error: BaseException) -> str | None:
    """Return what to do about an error of the line to Postgres; None where that is not known."""
    return _UNREACHABLE if isinstance(error, psycopg.OperationalError) else None


_ASKS: Final = "Is the server running"
_UNREACHABLE: Final = (
    "Start the server, or check the host, the port, the user and the name of the database; then"
    " call again."
)


_STORES: Final[weakref.WeakSet[PostgresStore]] = weakref.WeakSet()
_OF_PARENTS: Final[list[psycopg.Connection[Any]]] = []


def _after_fork() -> None:
    for store in _STORES:
        store.forget_parent()


if hasattr(os, "register_at_fork"):  # pragma: no branch - other systems do not fork
    os.register_at_fork(after_in_child=_after_fork)


def _place(dsn: str) -> str:
    """Return where a database is, without any password.

    Raises:
        ConfigError: That is not how one says it.
    """
    try:
        facts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise ConfigError(
            "dsn: it is no address of a Postgres database.",
            hint="It looks like postgresql://user:password@host:5432/name.",
        ) from error
    names = ("host", "port", "dbname")
    return " ".join(f"{name}={facts[name]}" for name in names if facts.get(name))


def _prepare(connection: psycopg.Connection[Any], schema: str, place: str) -> None:
    """Make the tables unless they are there, renew older ones, and refuse those of a newer library.

    Raises:
        StoreError: They are of a version that this library does not know.
    """
    if _version(connection) is None:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_PREPARING])
            make = sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
            connection.execute(make)
            connection.execute(_SCHEMA)
            if connection.execute("SELECT FROM about").fetchone() is None:
                connection.execute("INSERT INTO about VALUES (%s)", [_VERSION])
    version = _version(connection) or _VERSION
    if version > _VERSION:
        raise StoreError(
            f"the store {place!r} has version {version}; this library knows {_VERSION}",
            hint="Upgrade krea_aleph, or use another schema.",
        )
    if version < _VERSION:
        _renew(connection)


def _renew(connection: psycopg.Connection[Any]) -> None:
    """Give the tables of an older library what they lack; of several processes one does it."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_PREPARING])
        version = _version(connection) or _VERSION
        for number in range(version + 1, _VERSION + 1):
            connection.execute(_SINCE[number])
        connection.execute("UPDATE about SET version = %s", [max(version, _VERSION)])


def _version(connection: psycopg.Connection[Any]) -> int | None:
    with contextlib.suppress(psycopg.errors.UndefinedTable):
        row = connection.execute("SELECT version FROM about").fetchone()
        return None if row is None else int(row[0])
    return None


def _record(row: Mapping[str, Any]) -> Record:
    return Record(**{**row, "fields": json.loads(row["fields"])})
