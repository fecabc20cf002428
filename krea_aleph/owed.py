"""What a store could not be told while it was away: it is told as soon as it is back.

A call that ends gives back what it has taken. Where that fails, the process would seem to have it
for as long as it lives, and everybody would wait for somebody who has long left.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Final

from krea_aleph.errors import KreaError, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LOGGER: Final = logging.getLogger("krea_aleph")
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 2.0


class _Debt:
    """A thread that pays what is owed to one store, and ends when nothing is."""

    def __init__(self, store: object, work: Callable[[], None]) -> None:
        self.left = [work]
        self.store = store  # and so no other object has its id
        self.forgiven = threading.Event()
        threading.Thread(target=self._pay, name="krea-aleph-owed", daemon=True).start()

    def _pay(self) -> None:
        pause = _FIRST_PAUSE
        while not self.forgiven.wait(pause):
            try:
                self.left[0]()
            except StoreError:
                pause = min(max(pause, _FIRST_PAUSE) * 2, _LONGEST_PAUSE)
                continue
            except KreaError as error:
                LOGGER.warning("a store does not take what it was to be told: %s", error)
            pause = 0.0
            with _guard:
                del self.left[0]
                if not self.left:
                    if not self.forgiven.is_set():
                        del _DEBTS[id(self.store)]
                    return


_guard = threading.Lock()
_DEBTS: Final[dict[int, _Debt]] = {}


def tell(store: object, work: Callable[[], None]) -> None:
    """Tell a store something now, or else as soon as it can be reached.

    Args:
        store: The store.
        work: Tells it; a `StoreError` of it says that this was not possible. It may be called any
            number of times.
    """
    try:
        work()
    except StoreError:
        with _guard:
            debt = _DEBTS.get(id(store))
            if debt is not None:
                debt.left.append(work)
            else:
                _DEBTS[id(store)] = _Debt(store, work)


def forgive(store: object) -> None:
    """Forget what is owed to a store that is closed: others see by themselves that it is over."""
    with _guard:
        debt = _DEBTS.pop(id(store), None)
        if debt is not None:
            debt.forgiven.set()


def _after_fork() -> None:
    """Leave to the parent what is the parent's."""
    global _guard  # noqa: PLW0603 - somebody may have held it
    _guard = threading.Lock()
    _DEBTS.clear()


if hasattr(os, "register_at_fork"):  # pragma: no branch - other systems do not fork
    os.register_at_fork(after_in_child=_after_fork)
