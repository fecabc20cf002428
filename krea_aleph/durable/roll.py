"""Who works: a worker's name belongs to one living process, through a store."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from krea_aleph.store import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph import SQLiteStore
    from krea_aleph.durable.postgres import PostgresStore

_PAUSE: Final = 0.1


class Roll:
    """The names of an application's workers, and which of them are taken.

    Args:
        store: Knows which processes are alive.
        name: Of the application.
    """

    def __init__(self, store: SQLiteStore | PostgresStore, name: str) -> None:
        self._store = store
        self._account = f"krea_aleph.workers/{name}"

    def take(self, worker: str, *, patience: float) -> bool:
        """Take a name for this process, unless another one that is alive keeps it so long."""
        ends = time.monotonic() + patience
        while not self._try(worker):
            if time.monotonic() > ends:
                return False
            time.sleep(_PAUSE)
        return True

    def give_back(self, worker: str) -> None:
        """Give a name back that this process has."""
        record = self._store.read(self._account, worker)
        if record is not None and record.holder == self._store.holder():
            self._store.write(replace(record, holder=""))

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def alive(self, worker: str) -> bool | None:
        """Tell whether somebody has a name; None if nobody ever had it."""
        record = self._store.read(self._account, worker)
        return None if record is None else self._taken(record)

    def _try(self, worker: str) -> bool:
        record = self._store.read(self._account, worker)
        if record is not None and self._taken(record):
            return False
        found = record or Record(self._account, worker, "")
        return self._store.write(replace(found, holder=self._store.holder())) is not None

    def _taken(self, record: Record) -> bool:
        return bool(record.holder) and self._store.alive(record.holder)
