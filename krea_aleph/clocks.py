"""The clock that a client uses unless it is given another, and the bell that ends its pauses."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Final

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from contextlib import AbstractContextManager

    from krea_aleph.models import Bell


# The longest that every system lets a thread wait at once; nobody lives to see the difference.
_LONGEST_PAUSE: Final = min(threading.TIMEOUT_MAX, 1e9)


class RealClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        return time.monotonic()

    def time(self) -> float:
        """Return Unix time in seconds."""
        return time.time()

    def sleep(self, seconds: float, bell: Bell | None = None) -> None:
        """Return when the seconds have passed, or when the bell rings."""
        seconds = min(seconds, _LONGEST_PAUSE)
        if bell is None:
            time.sleep(seconds)
            return
        rung = threading.Event()
        with bell.waking(rung.set):
            rung.wait(min(seconds, threading.TIMEOUT_MAX))

    async def asleep(self, seconds: float, bell: Bell | None = None) -> None:
        """Do the same without blocking the event loop."""
        import anyio  # noqa: PLC0415 - a synchronous start should not pay for asyncio

        if bell is None:
            await anyio.sleep(seconds)
            return
        rung, wake = sleeper()
        with bell.waking(wake), anyio.move_on_after(seconds):
            await rung()

    def busy(self) -> AbstractContextManager[None]:
        """Real time passes whatever is in flight."""
        return nullcontext()


class Ring:
    """A bell, rung from any thread, that one sleeper listens to at a time."""

    def __init__(self, count: int = 0, forget: Callable[[], None] = lambda: None) -> None:
        """Make a bell that has rung so often, and say what is to be done when it is closed."""
        self._lock = threading.Lock()
        self._count = count
        self._heard = 0
        self._wakes: list[Callable[[], object]] = []
        self.close = forget

    def ring(self) -> None:
        """Wake whoever listens."""
        with self._lock:
            self._count += 1
            wakes = list(self._wakes)
        for wake in wakes:
            _wake(wake)

    def heard(self) -> int:
        """Return how often it has rung so far; from here on only another ring wakes."""
        with self._lock:
            self._heard = self._count
            return self._count

    @contextmanager
    def waking(self, wake: Callable[[], object]) -> Generator[None]:
        """Call ``wake`` when it rings, at once if it has not been heard."""
        with self._lock:
            self._wakes.append(wake)
            late = self._count > self._heard
        try:
            if late:
                _wake(wake)
            yield
        finally:
            with self._lock:
                self._wakes.remove(wake)


def _wake(wake: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the sleeper's event loop has ended
        wake()


def sleeper() -> tuple[Callable[[], Awaitable[object]], Callable[[], object]]:
    """Return how a task of the running event loop waits, and how any thread wakes it.

    Once the loop has ended, waking raises RuntimeError.
    """
    import sniffio  # noqa: PLC0415 - only tasks need it

    if sniffio.current_async_library() == "trio":
        import trio  # noqa: PLC0415 - only those who run it have it

        event, token = trio.Event(), trio.lowlevel.current_trio_token()
        return event.wait, partial(token.run_sync_soon, event.set)
    import asyncio  # noqa: PLC0415 - as above

    loop, happened = asyncio.get_running_loop(), asyncio.Event()
    return happened.wait, partial(loop.call_soon_threadsafe, happened.set)
