"""Pages of a list, newest first, by a cursor that is a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from krea_aleph.emulator import moments
from krea_aleph.emulator.checks import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence


class Placed(Protocol):
    """Something with a place in a list."""

    @property
    def position(self) -> int:
        """Its place, see `Places`."""
        ...


class Places:
    """Gives each new item a place of its own: its creation in Unix microseconds, never twice."""

    def __init__(self) -> None:
        self._last = 0

    def take(self, created: float) -> int:
        """Return the place of an item created at a moment, in Unix seconds."""
        self._last = max(moments.milliseconds(created) * 1000, self._last + 1)
        return self._last


Item = TypeVar("Item", bound=Placed)
DEFAULT_LIMIT: Final = 100


def page(
    listed: Sequence[Item], cursor: str | None, limit: int | None, *, exact: bool
) -> tuple[list[Item], str | None]:
    """Return the items created before the cursor, at most `limit`, and the next cursor.

    With `exact`, the cursor tells items of the same millisecond apart; without, it cannot, and
    those that share the millisecond of a page's last item are never seen.

    Raises:
        Problem: 400 for a cursor that is no moment.
    """
    before = None if cursor is None else _position(cursor)
    rest = [item for item in listed if before is None or item.position < before]
    limit = DEFAULT_LIMIT if limit is None else limit
    if len(rest) <= limit:
        return rest, None
    last = rest[limit - 1].position
    following = moments.fine_stamp(last) if exact else moments.stamp(last // 1000 / 1000)
    return rest[:limit], following


def _position(cursor: str) -> int:
    try:
        return moments.parse(cursor)
    except ValueError as error:
        raise Problem(400, f"cursor: {cursor!r} is no date-time") from error
