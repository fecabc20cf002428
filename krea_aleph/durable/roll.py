"""Who works: a worker's name belongs to one living process, through a store."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Final, NamedTuple

from krea_aleph.store import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from krea_aleph import SQLiteStore
    from krea_aleph.durable.postgres import PostgresStore

_PAUSE: Final = 0.1
_GUESTS: Final = "guests of an application"


class Entry(NamedTuple):
    """One worker that has worked here.

    Attributes:
        worker: Its name.
        alive: Whether it runs.
        version: Of the jobs that it takes up.
        accounts: The labels that it has clients for.
    """

    worker: str
    alive: bool
    version: str
    accounts: tuple[str, ...]


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

    def sign(self, place: str, worker: str, version: str, accounts: Iterable[str]) -> None:
        """Say who has taken a name, and for whom it works."""
        record = self._store.read(self._account, place)
        if record is not None:
            fields = {"worker": worker, "version": version, "accounts": json.dumps([*accounts])}
            self._store.write(replace(record, fields=fields))

    def entries(self) -> list[Entry]:
        """Return the workers that have signed."""
        return [
            Entry(
                record.fields["worker"],
                self._taken(record),
                record.fields["version"],
                tuple(json.loads(record.fields["accounts"])),
            )
            for record in self._store.find(self._account, ["new"])
            if "worker" in record.fields
        ]

    def note_guests(self) -> None:
        """Note that there are workers of whom nobody can tell whether they live."""
        if self._store.read(self._account, _GUESTS) is None:
            self._store.write(Record(self._account, _GUESTS, ""))

    def has_guests(self) -> bool:
        """Tell whether there are, or were, such workers."""
        return self._store.read(self._account, _GUESTS) is not None

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
