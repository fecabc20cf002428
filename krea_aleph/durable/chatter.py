"""The engine's log, less what says nothing, and what must not be in a log.

While its database is away, the engine says so several times a second, over many lines each. Here it
is one line when that begins and one when it is over.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from sqlalchemy.exc import DBAPIError

from krea_aleph.durable.letters import JobEnded

_ENGINES: Final = logging.getLogger("dbos")
# It is followed by the request, with its prompt and addresses; that is how an orderly end looks.
_CANCELLED: Final = "Asyncio task cancelled"
_OF_THE_LINE: Final = (
    "(psycopg.OperationalError)",
    "(psycopg.InterfaceError)",
    "(psycopg.errors.",
    "Notification listener error",
)
# Connections that have died are found one after the other, also after the first new one was made.
_CALM_SECONDS: Final = 10.0


class Chatter(logging.Filter):
    """Lets through what is news.

    Attributes:
        away: Whether the database was missed, and is not back yet.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self.away = False
        self._calm_until = 0.0

    def begin(self) -> None:
        """Listen in."""
        _ENGINES.addFilter(self)

    def end(self) -> None:
        """Leave the log as it was."""
        _ENGINES.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is news; of the first of many, what is."""
        error = None if record.exc_info is None else record.exc_info[1]
        if isinstance(error, JobEnded):  # ours says more: a job's failure is no crash
            return False
        words = record.getMessage()
        if words.startswith(_CANCELLED):
            return False
        if not (isinstance(error, DBAPIError) or any(kind in words for kind in _OF_THE_LINE)):
            return True
        if not self._goes_away():
            return False
        first = (str(error) if isinstance(error, DBAPIError) else words).splitlines()[0]
        record.msg = "the database is away; jobs wait until it is back: %s"
        record.args, record.exc_info, record.exc_text = (first,), None, None
        return True

    def comes_back(self, *_: object) -> None:
        """Say that there is a connection again, if that was in doubt."""
        with self._lock:
            if not self.away:
                return
            self.away = False
            self._calm_until = time.monotonic() + _CALM_SECONDS
        _ENGINES.warning("the database is back")

    def _goes_away(self) -> bool:
        with self._lock:
            news = not self.away and time.monotonic() >= self._calm_until
            self.away = self.away or news
            return news
