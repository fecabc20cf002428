"""The engine's database, as whoever does not launch the engine sees it."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from krea_aleph import SQLiteStore
from krea_aleph.durable.lifeline import CONNECT_SECONDS, DURABLY
from krea_aleph.durable.postgres import PostgresStore, advice_on, words_of
from krea_aleph.errors import ConfigError, MissingExtraError, StoreError

try:
    import sqlalchemy
    from dbos import DBOS, DBOSClient
    from dbos import error as refusals
    from sqlalchemy import event
    from sqlalchemy.exc import SQLAlchemyError
except ImportError as missing:
    raise MissingExtraError("durable") from missing

NameTaken = refusals.DBOSWorkflowIDInUseError
"""What the engine raises where a workflow has a name already."""

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from dbos import WorkflowStatus
    from sqlalchemy.engine import ExceptionContext

JOB: Final = "krea_aleph.job"
"""The name of the workflow that brings a job to its end."""
SUBMIT: Final = "krea_aleph.submit"
"""The name of the workflow that starts it, on the lane of its account."""

_NAME: Final = re.compile(r"[a-z0-9_-]{3,256}")
_SQLITE: Final = "sqlite:///"
_BUSY_SECONDS: Final = 30.0
# For whoever enqueues and asks, from many threads perhaps; and for the engine that works.
_CONNECTIONS: Final = 10
_WORKERS_CONNECTIONS: Final = 20
_POSTGRES: Final = ("postgresql://", "postgres://", "postgresql+psycopg://")


def _note_absence(context: ExceptionContext) -> None:
    """Call an error what it is when no connection can be made: it passes."""
    if context.connection is None:
        context.is_disconnect = True


def _keep_durable(connection: Any, _: object) -> None:
    """Let what is committed on a new connection survive the server's end."""
    with connection.cursor() as cursor:
        cursor.execute(DURABLY)
    connection.commit()


@contextmanager
def reaching_the_database() -> Generator[None]:
    """Make typed errors of what becomes of the engine's way to its database.

    Raises:
        StoreError: It is not there, or does not do what it should.
    """
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        message = f"the engine's database cannot be used: {words_of(cause)}"
        raise StoreError(message, hint=advice_on(cause)) from error


def _check_url(url: str) -> None:
    """Refuse what is no address of a database, or of one that another process would not see.

    Raises:
        ConfigError: It is none.
    """
    scheme, _, rest = url.partition(":")
    hint = "Such as sqlite:///jobs.sqlite3 or postgresql://user@host/name."
    if not url.startswith((_SQLITE, *_POSTGRES)):
        if scheme == "sqlite":
            name = rest.lstrip("/")
            message = f"database_url: {url!r} needs three slashes, and a fourth for the root."
            raise ConfigError(message, hint=f"Such as sqlite:///{name}.")
        raise ConfigError(f"database_url: {scheme!r} is neither sqlite nor postgresql.", hint=hint)
    if url.startswith(_SQLITE) and url.removeprefix(_SQLITE) in {"", ":memory:"}:
        message = f"database_url: {url!r} names no file, and jobs are to outlive this process."
        raise ConfigError(message, hint=hint)


class Queues(NamedTuple):
    """The names of an application's queues: of its jobs, and of the submits, which are lanes."""

    jobs: str
    lane: str


class Engine:
    """A database that the engine's tables are in.

    Args:
        url: Where it is.
        name: Of the application, whose rows one sees.

    Raises:
        ConfigError: One of them cannot work.
    """

    def __init__(self, url: str, name: str) -> None:
        _check_url(url)
        if not _NAME.fullmatch(name):
            message = f"name: the engine refuses {name!r}."
            raise ConfigError(message, hint="3 to 256 of a-z, 0-9, - and _ are needed.")
        self.url = url
        self.name = name
        self.queues = Queues(f"{name}.jobs", f"{name}.submits")
        self.on_sqlite = url.startswith(_SQLITE)
        self._working: list[sqlalchemy.Engine] = []
        self._lock = threading.Lock()

    def store(self, part: str, **options: Any) -> SQLiteStore | PostgresStore:
        """Return a store in the same database, or in a file beside that of SQLite.

        Raises:
            ConfigError: There is no such folder.
        """
        self.check_folder()
        if self.on_sqlite:
            return SQLiteStore(f"{self._file}.{part}")
        return PostgresStore(self.url.replace("+psycopg", "", 1), **options)

    @property
    def missing(self) -> Path | None:
        """The file of the database, where there is none."""
        if not self.on_sqlite or "_client" in self.__dict__ or self._file.exists():
            return None
        return self._file

    def check_folder(self) -> None:
        """Refuse to begin a file in a folder that is not there: its name may be misspelt.

        Raises:
            ConfigError: It is not there.
        """
        if self.missing and not self._file.parent.is_dir():
            message = f"database_url: there is no folder {str(self._file.parent)!r}."
            raise ConfigError(message, hint="Make it, or check how it is spelt.")

    @contextmanager
    def client(self, *, new: bool = False) -> Generator[DBOSClient]:
        """Give the engine's client, and make typed errors of what becomes of its calls.

        Args:
            new: Whether the file of an SQLite database is made where there is none.

        Raises:
            ConfigError: There is none.
            StoreError: The database cannot be used.
        """
        self.check_folder()
        if self.missing and not new:
            message = f"database_url: there is no file {str(self.missing)!r}."
            hint = "Check how it is spelt; whoever enqueues first, or works, makes it."
            raise ConfigError(message, hint=hint)
        with reaching_the_database():
            with self._lock:
                client = self._client
            try:
                yield client
            except refusals.DBOSException as error:
                raise StoreError(f"the engine says: {error}") from error

    @contextmanager
    def transaction(self) -> Generator[tuple[DBOSClient, sqlalchemy.Connection]]:
        """Give the engine's client, and a connection whose doings are one."""
        with self.client(new=True) as client, self._connections.begin() as connection:
            yield client, connection

    def count(self, *columns: str, running: bool = False) -> list[Any]:
        """Return how many jobs there are for each combination of some columns of theirs."""
        with self.client(), self._connections.connect() as connection:
            table = self._table(*{*columns, "name", "application_name", "status"})
            chosen = [table.c[name] for name in columns]
            query = sqlalchemy.select(*chosen, sqlalchemy.func.count()).group_by(*chosen)
            query = query.where(table.c.name == JOB, table.c.application_name == self.name)
            if running:
                query = query.where(table.c.status == "PENDING")
            return list(connection.execute(query))

    def running(self, client: DBOSClient, *names: str, **more: Any) -> list[WorkflowStatus]:
        """Return the workflows of some names that some process has taken."""
        chosen: dict[str, Any] = {"status": "PENDING", **more}
        return client.list_workflows(
            name=list(names), application_name=self.name, load_input=False, **chosen
        )

    def move(self, client: DBOSClient, rows: Sequence[WorkflowStatus]) -> None:
        """Put workflows back onto their queues, for whichever process comes first."""
        for name, queue in zip((JOB, SUBMIT), self.queues, strict=True):
            ids = [row.workflow_id for row in rows if row.name == name]
            if ids:
                client.resume_workflows(ids, queue_name=queue)

    def begun(self, workflow_id: str) -> int:
        """Return how often a workflow was begun: once, and again after each end of its process."""
        with self.client(), self._connections.connect() as connection:
            table = self._table("workflow_uuid", "recovery_attempts")
            query = sqlalchemy.select(table.c.recovery_attempts)
            found = connection.execute(query.where(table.c.workflow_uuid == workflow_id))
            return int(found.scalar() or 0)

    def _table(self, *columns: str) -> sqlalchemy.TableClause:
        return sqlalchemy.table(
            "workflow_status",
            *map(sqlalchemy.column, columns),
            schema=None if self.on_sqlite else "dbos",
        )

    def close(self) -> None:
        """Close the connections; any further use opens new ones."""
        if client := self.__dict__.pop("_client", None):
            client.destroy()
        for connections in (*self._working, self.__dict__.pop("_connections", None)):
            if connections is not None:
                connections.dispose()
        self._working.clear()

    @property
    def _file(self) -> Path:
        return Path(self.url.removeprefix(_SQLITE)).absolute()

    def for_worker(self, connected: Callable[..., object]) -> sqlalchemy.Engine | None:
        """Return the connections for an engine that works; None where it makes its own.

        Its own would take a server that is away for a failure of the job, where the driver says so
        in words that it does not know.

        Args:
            connected: Called when one has been made.
        """
        if self.on_sqlite:
            return None
        connections = self._on_postgres(_WORKERS_CONNECTIONS)
        event.listen(connections, "connect", connected)
        event.listen(connections, "handle_error", _note_absence)
        self._working.append(connections)
        return connections

    @cached_property
    def _client(self) -> DBOSClient:
        self._connections.connect().close()  # the engine would wait for it for ever
        DBOS.migrate(self.url)
        return DBOSClient(
            system_database_url=self.url,
            system_database_engine=None if self.on_sqlite else self._connections,
            application_name=self.name,
            retry_connection_errors=False,
        )

    @cached_property
    def _connections(self) -> sqlalchemy.Engine:
        if not self.on_sqlite:
            return self._on_postgres(_CONNECTIONS)
        return sqlalchemy.create_engine(self.url, connect_args={"timeout": _BUSY_SECONDS})

    def _on_postgres(self, most: int) -> sqlalchemy.Engine:
        options = "-c idle_in_transaction_session_timeout=60000"
        connections = sqlalchemy.create_engine(
            sqlalchemy.make_url(self.url).set(drivername="postgresql+psycopg"),
            pool_size=most,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_SECONDS, "options": options},
        )
        event.listen(connections, "connect", _keep_durable)
        return connections
