"""Which fault hits which call."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

from attrs import define

from krea_aleph.emulator.values import ANY, WEBHOOK

if TYPE_CHECKING:
    from krea_aleph.emulator.values import Fault


@define(eq=False)
class _Armed:
    fault: Fault
    number: int
    calls: int = 0
    hits: int = 0

    def hit_by(self, operation: str) -> bool:
        """Count a call, and say whether the fault happens to it."""
        fault = self.fault
        anything = fault.operation == ANY and operation != WEBHOOK
        if not anything and fault.operation != operation:
            return False
        self.calls += 1
        turn = self.calls - fault.nth
        if fault.every is not None:
            turn = -1 if (self.calls < fault.nth or self.calls % fault.every) else 0
        if turn < 0 or (fault.times is not None and self.hits >= fault.times):
            return False
        self.hits += 1
        return True


class Faults:
    """The faults that are set, in that order."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Set a fault; it counts calls from now on."""
        with self._lock:
            self._armed.append(_Armed(fault, next(self._numbers)))

    def unused(self) -> list[Fault]:
        """Return those that have happened to no call."""
        with self._lock:
            return [armed.fault for armed in self._armed if not armed.hits]

    def standing(self) -> list[tuple[int, Fault, int]]:
        """Return those that are set: the number of each, and how many calls it has happened to."""
        with self._lock:
            return [(armed.number, armed.fault, armed.hits) for armed in self._armed]

    def remove(self, number: int) -> None:
        """Forget one, by its number."""
        with self._lock:
            self._armed = [armed for armed in self._armed if armed.number != number]

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._armed.clear()

    def next_for(self, operation: str) -> Fault | None:
        """Count a call for every fault, and return the first that happens to it."""
        with self._lock:
            hits = [armed.fault for armed in list(self._armed) if armed.hit_by(operation)]
        return hits[0] if hits else None
