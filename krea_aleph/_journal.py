"""What became of the items of a batch in earlier runs, as the store has it.

The first attempt at an item is journalled under its intent, the next ones under ``intent#2``,
``intent#3``, ... Each is an intent like any other: one paid job at most.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import NamedTuple

from krea_aleph._exchange import tell
from krea_aleph._steps import call
from krea_aleph.errors import KreaError
from krea_aleph.notes import place_text, write_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph._config import Config
    from krea_aleph._steps import Steps
    from krea_aleph.models import Job, Place, Saved
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
        return self.record is not None and self.record.path == place_text(place)


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


def note_end(
    config: Config,
    intent: str,
    *,
    job: Job | None,
    path: Place | None = None,
    error: KreaError | None = None,
) -> Steps[None]:
    """Write down how an attempt has ended. What was paid for is there also when that fails.

    Nothing depends on it, and so no error of it is worth a result.
    """
    if config.store is None:
        return
    end = partial(write_end, config.store, config.account, intent, job=job, path=path, error=error)
    try:
        yield from call(end)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the job comes first
        job_id = None if job is None else job.id
        yield from tell(config, "store_failed", job_id=job_id, error=type(problem).__name__)


def noting_end(config: Config, intent: str, going: Steps[Saved]) -> Steps[Saved]:
    """Go the whole way to a result, and write down how that has ended."""
    try:
        saved = yield from going
    except KreaError as error:
        yield from note_end(config, intent, job=getattr(error, "job", None), error=error)
        raise
    yield from note_end(config, intent, job=saved.job, path=saved.path)
    return saved
