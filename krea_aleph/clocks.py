"""The clock that a client uses unless it is given another."""

from __future__ import annotations

import time
from contextlib import nullcontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class RealClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        return time.monotonic()

    def time(self) -> float:
        """Return Unix time in seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Return when the seconds have passed."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Do the same without blocking the event loop."""
        import anyio  # noqa: PLC0415 - a synchronous start should not pay for asyncio

        await anyio.sleep(seconds)

    def busy(self) -> AbstractContextManager[None]:
        """Real time passes whatever is in flight."""
        return nullcontext()
