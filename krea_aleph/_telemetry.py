"""Events to whoever listens: the log, and the callback of the client."""

from __future__ import annotations

import logging
from typing import Final

from krea_aleph.errors import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from krea_aleph.models import Event

LOGGER: Final = logging.getLogger("krea_aleph")


# The id of a job that is paid for must not depend on anybody keeping a value or reading a note.
# What is deprecated concerns whoever runs the program. What is only new to us works, as a rule,
# and some of it is seen in every process: nobody should have to silence that.
_LEVELS: Final = {
    "submitted": logging.INFO,
    "left": logging.WARNING,
    "uncertain": logging.WARNING,
    "recovering": logging.INFO,  # a minute without a word looks like a program that hangs
    "deprecated": logging.WARNING,
    "drift": logging.INFO,
}
_MOST_REMEMBERED: Final = 100


class Memory:
    """What has been told already, so that it is told once; of each kind only so much."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: dict[str, dict[Hashable, object]] = {}

    def first(self, kind: str, thing: Hashable) -> bool:
        """Take note of something, and say whether it is new and there is room for it."""
        known = self._told.setdefault(kind, {})
        if thing in known or len(known) >= _MOST_REMEMBERED:
            return False
        ours = object()
        return known.setdefault(thing, ours) is ours  # of several threads one is the first


def publish(event: Event, listener: Callable[[Event], None] | None) -> None:
    """Log an event and hand it to the listener, whose own errors are only logged."""
    level = _LEVELS.get(event.kind, logging.DEBUG)
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, "%s", _line(event))
    if listener is not None:
        try:
            listener(event)
        except Exception:
            LOGGER.exception("on_event raised; the job is not affected")


def _line(event: Event) -> str:
    facts = {"account": event.account, "job": event.job_id, **event.attributes}
    if event.duration is not None:
        facts["seconds"] = round(event.duration, 3)
    return " ".join(
        # Some words are the server's: they must not look like another line of the log.
        [event.kind, *(f"{name}={one_line(str(v))}" for name, v in facts.items() if v is not None)]
    )
