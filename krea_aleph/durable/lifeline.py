"""How a process shows others, through Postgres, that it is alive.

Each process holds an advisory lock of a session of its own. The server gives it back by itself when
the session ends, as it does when the process is killed. A session also ends when the server is
started anew or a line breaks, so a thread makes another one as soon as it can, and the others wait
for that: only whoever has been missed for longer than the grace is dead.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import threading
from typing import Any, Final

from krea_aleph.errors import MissingExtraError

try:
    import psycopg
    from psycopg import sql
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
except ImportError as error:
    raise MissingExtraError("durable") from error

CONNECT_SECONDS: Final = 10
# When nobody at the other end answers any more, the server and this end find out within a minute.
_TIMES: Final = {"idle": 30, "interval": 10, "count": 3}
# What the server has taken must survive its end, whatever its settings say.
DURABLY: Final = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'
"""
_LOOK_SECONDS: Final = 1.0
_LOOKS_PER_QUESTION: Final = 20
_ANNOUNCE: Final = """
INSERT INTO holders (token, key) VALUES (%(token)s, %(key)s)
ON CONFLICT (token) DO UPDATE SET missed_at = NULL
"""


def connect(dsn: str, schema: str) -> psycopg.Connection[Any]:
    """Return a connection whose statements stand alone and see the store's tables."""
    usual = {f"keepalives_{name}": value for name, value in _TIMES.items()}
    usual |= {"connect_timeout": CONNECT_SECONDS}
    asked = conninfo_to_dict(dsn)
    info = make_conninfo(dsn, **{name: value for name, value in usual.items() if name not in asked})
    connection = psycopg.connect(info, autocommit=True)
    try:
        connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
        connection.execute(DURABLY)
        for name, value in _TIMES.items():
            setting = sql.Identifier(f"tcp_keepalives_{name}")
            connection.execute(sql.SQL("SET {} = {}").format(setting, sql.Literal(value)))
    except BaseException:
        connection.close()
        raise
    return connection


def key_of(token: str) -> int:
    """Return the number of a token's lock: 63 of its bits."""
    return int(token[:16], 16) >> 1


def disown(connection: psycopg.Connection[Any]) -> None:
    """In a forked process: close the socket without a word, since the session is the parent's."""
    with contextlib.suppress(psycopg.Error):
        silence = os.open(os.devnull, os.O_RDWR)
        os.dup2(silence, connection.fileno())
        os.close(silence)


class Lifeline:
    """A token that is alive for as long as this process is, or until it is closed.

    Attributes:
        token: Unguessable, and nobody else's.
        connection: The session that holds its lock; None while there is none.
    """

    def __init__(self, dsn: str, schema: str) -> None:
        self.token = secrets.token_hex(16)
        self._dsn = dsn
        self._schema = schema
        self._stopped = threading.Event()
        self.connection: psycopg.Connection[Any] | None = self._announce()
        self._thread = threading.Thread(target=self._keep, name="krea-aleph-alive", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Be dead to others, at once."""
        self._stopped.set()
        self._thread.join(CONNECT_SECONDS)
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.execute("DELETE FROM holders WHERE token = %s", [self.token])
            connection.close()

    def _announce(self) -> psycopg.Connection[Any]:
        """Take the lock. Whoever has just lost one waits until the server has noticed that."""
        values = {"token": self.token, "key": key_of(self.token)}
        connection = connect(self._dsn, self._schema)
        try:
            connection.execute("SELECT pg_advisory_lock(%(key)s)", values)
            connection.execute(_ANNOUNCE, values)
        except BaseException:
            connection.close()
            raise
        return connection

    def _keep(self) -> None:
        """See to it that there is a session, until the end."""
        looks = 0
        while not self._stopped.wait(_LOOK_SECONDS):
            looks += 1
            try:
                if self.connection is None:
                    self.connection = self._announce()
                elif looks % _LOOKS_PER_QUESTION == 0 or _has_ended(self.connection):
                    self.connection.execute("SELECT 1")
            except psycopg.Error:
                connection, self.connection = self.connection, None
                if connection is not None:
                    connection.close()


def _has_ended(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server has something to say unasked, which is that this is the end."""
    readable, _, _ = select.select([connection.fileno()], [], [], 0)
    return bool(readable)
