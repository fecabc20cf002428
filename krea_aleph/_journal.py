"""What became of the items of a batch in earlier runs, as the store has it.

The first attempt at an item is journalled under its intent, the next ones under ``intent#2``,
``intent#3``, ... Each is an intent like any other: one paid job at most.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from typing import NamedTuple

from krea_aleph.models import ObjectAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph.models import Place
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

    def was_saved_to(self, place: Place) -> bool:
        """Whether its result was saved there."""
        return self.record is not None and self.record.path == _text(place)


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


def note_saved(store: Store, account: str, intent: str, place: Place) -> None:
    """Write down where the result of an attempt is. This blocks, briefly."""
    while (record := store.read(account, intent)) is not None:
        saved = replace(record, path=_text(place))
        if record == saved or store.write(saved) is not None:
            return


def _text(place: Place) -> str:
    """Return a place as every store can keep it; a name that is no text loses some of itself."""
    if isinstance(place, ObjectAddress):
        return str(place)
    return os.fspath(place.absolute()).encode(errors="replace").decode()
