"""The clock that a client uses unless it is given another."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

    from krea_aleph.models import Bell


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
        if bell is None:
            time.sleep(seconds)
            return
        rung = threading.Event()
        with bell.waking(rung.set):
            rung.wait(seconds)

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
