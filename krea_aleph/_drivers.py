"""The two drivers: each performs the steps of an operation, one in each colour.

`_steps` states the contract. What both share is `Flight`, an operation under way.
"""

from __future__ import annotations

import inspect
import random
import time
from contextlib import closing
from typing import Any, Generic, TypeVar

from krea_aleph._steps import (
    CLEANUP_SECONDS,
    Call,
    Draw,
    Emit,
    Fetch,
    Now,
    RefreshKey,
    Report,
    Response,
    Send,
    Sleep,
    Step,
    Steps,
    Today,
)
from krea_aleph._telemetry import LOGGER, publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from krea_aleph._config import Config
    from krea_aleph._transport import AsyncPool, SyncPool

T = TypeVar("T")


class Flight(Generic[T]):
    """An operation under way: what it wants next, and whether it is only cleaning up."""

    __slots__ = ("_cleanup_ends", "_interruption", "_operation", "_step", "result")

    result: T

    def __init__(self, operation: Steps[T]) -> None:
        self._operation = operation
        self._interruption: BaseException | None = None
        self._cleanup_ends = 0.0
        self._step: Step | None = None

    @property
    def update(self) -> Any:
        """What the operation shows, when ``pending`` has returned None and it has not ended."""
        return self._step.update if isinstance(self._step, Emit) else None

    @property
    def ended(self) -> bool:
        """Whether there is a result."""
        return self._step is None

    def pending(self) -> Step | None:
        """Return the step to perform, or None when it shows something or has ended."""
        return None if isinstance(self._step, Emit) else self._step

    def send(self, reply: Any) -> None:
        """Go on with a step's result; None also begins, and goes on after an update."""
        self._advance(lambda: self._operation.send(reply))

    def throw(self, error: BaseException) -> None:
        """Go on with what a step raised; what the operation makes of it is raised from here."""
        if not isinstance(error, Exception):
            if self._interruption is not None:
                # Interrupted again, or out of time: whoever insists gets out at once.
                raise error
            self._interruption = error
            self._cleanup_ends = time.monotonic() + CLEANUP_SECONDS
        self._advance(lambda: self._operation.throw(error))

    def cleanup_left(self) -> float | None:
        """Return the seconds left to clean up, or None while nothing has interrupted."""
        if self._interruption is None:
            return None
        left = self._cleanup_ends - time.monotonic()
        if left <= 0:
            raise self._interruption
        return left

    def close(self) -> None:
        """End it, wherever it is."""
        self._operation.close()

    def _advance(self, proceed: Callable[[], Step]) -> None:
        try:
            self._step = proceed()
        except StopIteration as stop:
            self._step = None
            self.result = stop.value


class SyncDriver:
    """Performs steps by blocking."""

    def __init__(self, config: Config, pool: SyncPool) -> None:
        self._config = config
        self._pool = pool

    def run(self, operation: Steps[T], on_update: Callable[[Any], object] | None = None) -> T:
        """Return an operation's result; show each update to the callback, if there is one."""
        with closing(Flight(operation)) as flight:
            while self._to_update(flight):
                _show(on_update, flight.update)
            return flight.result

    def iterate(self, operation: Steps[object]) -> Iterator[Any]:
        """Yield what an operation emits. Leaving the loop closes it."""
        with closing(Flight(operation)) as flight:
            while self._to_update(flight):
                yield flight.update

    def _to_update(self, flight: Flight[Any]) -> bool:
        """Perform steps until the operation shows something; say whether it has not ended."""
        flight.send(None)
        while (step := flight.pending()) is not None:
            try:
                reply = self._perform(step, flight.cleanup_left())
            except BaseException as error:  # noqa: BLE001 - the operation decides what it means
                flight.throw(error)
            else:
                flight.send(reply)
        return not flight.ended

    def _perform(self, step: Step, limit: float | None) -> Any:
        clock = self._config.clock
        match step:
            case Send():
                with clock.busy():
                    return self._exchange(step, limit)
            case Sleep(seconds):
                return clock.sleep(seconds)
            case Call(function):
                with clock.busy():
                    return function()
            case Fetch():
                with clock.busy():
                    return self._pool.fetch(step)
            case RefreshKey(generation):
                keys = self._config.keys
                return keys.renewable and bool(keys.resolve(generation))
            case _:
                return _answer(step, self._config)

    def _exchange(self, step: Send, limit: float | None) -> Response:
        keys = self._config.keys
        key, generation = keys.cached or keys.resolve()
        response = self._pool.exchange(step, key, limit)
        return response._replace(key_generation=generation)


class AsyncDriver:
    """Performs steps on asyncio's or trio's event loop."""

    def __init__(self, config: Config, pool: AsyncPool) -> None:
        self._config = config
        self._pool = pool

    async def run(self, operation: Steps[T], on_update: Callable[[Any], object] | None = None) -> T:
        """Return an operation's result; show each update to the callback, if there is one."""
        with closing(Flight(operation)) as flight:
            while await self._to_update(flight):
                shown = _show(on_update, flight.update)
                if inspect.isawaitable(shown):
                    await shown
            return flight.result

    async def iterate(self, operation: Steps[object]) -> AsyncIterator[Any]:
        """Yield what an operation emits. Leaving the loop closes it."""
        with closing(Flight(operation)) as flight:
            while await self._to_update(flight):
                yield flight.update

    async def _to_update(self, flight: Flight[Any]) -> bool:
        """Perform steps until the operation shows something; say whether it has not ended."""
        flight.send(None)
        while (step := flight.pending()) is not None:
            try:
                limit = flight.cleanup_left()
                perform = self._perform if limit is None else self._perform_shielded
                reply = await perform(step, limit)
            except BaseException as error:  # noqa: BLE001 - the operation decides what it means
                flight.throw(error)
            else:
                flight.send(reply)
        return not flight.ended

    async def _perform_shielded(self, step: Step, limit: float | None) -> Any:
        """Perform a step of a clean-up, which further cancellation must not stop half-way."""
        import anyio  # noqa: PLC0415 - a synchronous start should not pay for it

        with anyio.fail_after(limit, shield=True):
            return await self._perform(step, limit)

    async def _perform(self, step: Step, limit: float | None) -> Any:
        clock = self._config.clock
        match step:
            case Send():
                with clock.busy():
                    return await self._exchange(step, limit)
            case Sleep(seconds):
                return await clock.asleep(seconds)
            case Call(function):
                from anyio.to_thread import run_sync  # noqa: PLC0415 - as above

                with clock.busy():
                    return await run_sync(function)
            case Fetch():
                with clock.busy():
                    return await self._pool.fetch(step)
            case RefreshKey(generation):
                keys = self._config.keys
                return keys.renewable and bool(await keys.aresolve(generation))
            case _:
                return _answer(step, self._config)

    async def _exchange(self, step: Send, limit: float | None) -> Response:
        keys = self._config.keys
        key, generation = keys.cached or await keys.aresolve()
        response = await self._pool.exchange(step, key, limit)
        return response._replace(key_generation=generation)


def _answer(step: Step, config: Config) -> Any:
    """Return the result of a step that neither blocks nor waits."""
    match step:
        case Now():
            return config.clock.monotonic()
        case Today():
            return config.clock.time()
        case Draw():
            return random.random()  # noqa: S311 - jitter, no secret
        case Report(event):
            return publish(event, config.on_event)
        case _:
            message = f"no driver performs {type(step).__name__}"
            raise TypeError(message)


def _show(callback: Callable[[Any], object] | None, update: Any) -> object:
    """Call a user's callback, if there is one; its own errors never break a paid job."""
    try:
        return None if callback is None else callback(update)
    except Exception:  # noqa: BLE001 - whatever it is, the job comes first
        LOGGER.exception("on_update raised; the job is not affected")
        return None
