"""Things that the emulator does by itself, later: by the virtual clock or by the real one."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, ExitStack, nullcontext
from contextvars import Context
from typing import TYPE_CHECKING

from krea_aleph.emulator.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from krea_aleph.models import Clock


def hold(clock: Clock) -> AbstractContextManager[None]:
    """Keep virtual time from jumping while the emulator works."""
    return clock.hold() if isinstance(clock, VirtualClock) else nullcontext()


class Timers:
    """Runs coroutine functions in the emulator's loop, now or later; usable from any thread."""

    def __init__(self, clock: Callable[[], Clock]) -> None:
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self.loop: asyncio.AbstractEventLoop | None = None

    def spawn(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """Begin work soon, and hold virtual time until it is done."""
        if self.loop is None or self.loop.is_closed():
            return
        stack = ExitStack()
        stack.enter_context(hold(self._clock()))
        try:
            # In a context of its own: whoever moves time may run trio, and this loop does not.
            self.loop.call_soon_threadsafe(self._begin, work, stack, context=Context())
        except RuntimeError:  # the emulator stopped meanwhile
            stack.close()

    def at(self, when: float, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """Begin work at a Unix time of the emulator's clock."""
        clock = self._clock()
        if isinstance(clock, VirtualClock):
            clock.call_at(when, lambda: self.spawn(work))
        elif self.loop is not None:
            delay = max(when - clock.time(), 0.0)
            self.loop.call_soon_threadsafe(self.loop.call_later, delay, self.spawn, work)

    def _begin(self, work: Callable[[], Coroutine[object, object, None]], stack: ExitStack) -> None:
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: stack.close())
