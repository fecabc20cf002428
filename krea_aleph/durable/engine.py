"""The engine's database, as whoever does not launch the engine sees it."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from krea_aleph import SQLiteStore
from krea_aleph.durable.postgres import PostgresStore
from krea_aleph.errors import ConfigError, MissingExtraError, StoreError

try:
    import sqlalchemy
    from dbos import DBOS, DBOSClient
    from dbos import error as refusals
    from sqlalchemy.exc import SQLAlchemyError
except ImportError as missing:
    raise MissingExtraError("durable") from missing

NameTaken = refusals.DBOSWorkflowIDInUseError
"""What the engine raises where a workflow has a name already."""

if TYPE_CHECKING:
    from collections.abc import Generator

JOB: Final = "krea_aleph.job"
"""The name of the workflow that brings a job to its end."""
SUBMIT: Final = "krea_aleph.submit"
"""The name of the workflow that starts it, on the lane of its account."""

_NAME: Final = re.compile(r"[a-z0-9_-]{3,256}")
_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = ("postgresql://", "postgres://", "postgresql+psycopg://")


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
        if not url.startswith((_SQLITE, *_POSTGRES)):
            scheme = url.partition(":")[0]
            raise ConfigError(
                f"database_url: {scheme!r} is neither sqlite nor postgresql.",
                hint="Such as sqlite:///jobs.sqlite3 or postgresql://user@host/name.",
            )
        if not _NAME.fullmatch(name):
            message = f"name: the engine refuses {name!r}."
            raise ConfigError(message, hint="3 to 256 of a-z, 0-9, - and _ are needed.")
        self.url = url
        self.name = name
        self.queues = Queues(f"{name}.jobs", f"{name}.submits")
        self.on_sqlite = url.startswith(_SQLITE)

    def store(self, part: str, **options: Any) -> SQLiteStore | PostgresStore:
        """Return a store in the same database, or in a file beside that of SQLite."""
        if self.on_sqlite:
            return SQLiteStore(f"{self._file}.{part}")
        return PostgresStore(self.url.replace("+psycopg", "", 1), **options)

    @contextmanager
    def client(self) -> Generator[DBOSClient]:
        """Give the engine's client, and make typed errors of what becomes of its calls."""
        try:
            yield self._client
        except (SQLAlchemyError, OSError) as error:
            words = " ".join(str(getattr(error, "orig", None) or error).split())
            raise StoreError(f"the engine's database cannot be used: {words}") from error

    def count(self, *columns: str, running: bool = False) -> list[Any]:
        """Return how many jobs there are for each combination of some columns of theirs."""
        with self.client():
            table = sqlalchemy.table(
                "workflow_status",
                *map(sqlalchemy.column, {*columns, "name", "application_name", "status"}),
                schema=None if self.on_sqlite else "dbos",
            )
            chosen = [table.c[name] for name in columns]
            query = sqlalchemy.select(*chosen, sqlalchemy.func.count()).group_by(*chosen)
            query = query.where(table.c.name == JOB, table.c.application_name == self.name)
            if running:
                query = query.where(table.c.status == "PENDING")
            with self._connections.connect() as connection:
                return list(connection.execute(query))

    def close(self) -> None:
        """Close the connections; any further use opens new ones."""
        if client := self.__dict__.pop("_client", None):
            client.destroy()
        if connections := self.__dict__.pop("_connections", None):
            connections.dispose()

    @property
    def _file(self) -> Path:
        return Path(self.url.removeprefix(_SQLITE)).absolute()

    @cached_property
    def _client(self) -> DBOSClient:
        if self.on_sqlite:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        DBOS.migrate(self.url)
        return DBOSClient(
            system_database_url=self.url,
            application_name=self.name,
            retry_connection_errors=False,
        )

    @cached_property
    def _connections(self) -> sqlalchemy.Engine:
        url = sqlalchemy.make_url(self.url)
        return sqlalchemy.create_engine(
            url if self.on_sqlite else url.set(drivername="postgresql+psycopg")
        )
