"""What became of the items of a batch in earlier runs, as the store has it.

The first attempt at an item is journalled under its intent, the next ones under ``intent#2``,
``intent#3``, ... Each is an intent like any other: one paid job at most.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from krea_aleph.store import Record, Store


class Attempt(NamedTuple):
    """One attempt at an item.

    Attributes:
        number: The how-manieth it is.
        intent: What it is journalled under.
        record: What the store has of it, if it has been begun.
    """

    number: int
    intent: str
    record: Record | None

    def next(self, first: str) -> Attempt:
        """Return the attempt after this one.

        Args:
            first: The intent of the first one.
        """
        return Attempt(self.number + 1, f"{first}#{self.number + 1}", None)

    def is_done(self, path: Path) -> bool:
        """Whether its result was saved under this path, and is there. This blocks, briefly."""
        record = self.record
        done = record is not None and record.path == _text(path)
        return done and path.is_file()


def last_attempt(store: Store | None, account: str, intent: str) -> Attempt:
    """Return the last attempt at an item, or the first one to come. This blocks, briefly."""
    last = Attempt(1, intent, None if store is None else store.read(account, intent))
    if store is None or last.record is None:
        return last
    for number in itertools.count(2):
        name = f"{intent}#{number}"
        record = store.read(account, name)
        if record is None:
            break
        last = Attempt(number, name, record)
    return last


def note_saved(store: Store, account: str, intent: str, path: Path) -> None:
    """Write down where the result of an attempt is. This blocks, briefly."""
    while (record := store.read(account, intent)) is not None:
        saved = replace(record, path=_text(path))
        if record == saved or store.write(saved) is not None:
            return


def _text(path: Path) -> str:
    """Return a path as every store can keep it; a name that is no text loses some of itself."""
    return os.fspath(path.absolute()).encode(errors="replace").decode()
