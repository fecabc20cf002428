"""The two drivers: each performs the steps of an operation, one in each colour.

`_steps` states the contract. What both share is `Flight`, an operation under way.
"""

from __future__ import annotations

import inspect
import random
import threading
import time
from typing import Any, Final, Generic, TypeVar

from krea_aleph._steps import (
    CLEANUP_SECONDS,
    Ask,
    Call,
    CleanUp,
    Draw,
    Emit,
    Fetch,
    Now,
    RefreshKey,
    Report,
    Response,
    Send,
    SendAll,
    Sleep,
    Spawn,
    Step,
    Steps,
    Today,
    TransportFault,
    Work,
)
from krea_aleph._telemetry import LOGGER, publish
from krea_aleph.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Sequence

    from krea_aleph._config import Config
    from krea_aleph._transport import AsyncPool, SyncPool

T = TypeVar("T")
_INSTANT: Final = (Now, Today, Draw, Report)

# How many requests a blocking client makes at once.
_THREADS: Final = 16


class Flight(Generic[T]):
    """An operation under way: what it wants next, and whether it is only cleaning up.

    Attributes:
        step: The step to perform; None once there is a result.
        result: What the operation has returned.
        crew: Those who perform operations beside it; None while there are none.
    """

    __slots__ = ("_cleanup_ends", "_operation", "_reason", "crew", "result", "step")

    result: T
    step: Step | None

    def __init__(self, operation: Steps[T]) -> None:
        self._operation = operation
        self._cleanup_ends: float | None = None
        self._reason: BaseException | None = None
        self.crew: Any = None

    def send(self, reply: Any) -> None:
        """Begin with None, or go on with a step's result."""
        self._advance(lambda: self._operation.send(reply))

    def throw(self, error: BaseException) -> None:
        """Go on with what a step raised; what the operation makes of it is raised from here."""
        if not isinstance(error, Exception):
            if self._reason is not None and self._reason is not error:
                # Interrupted again: whoever insists gets out at once, with what is known by now.
                for note in getattr(self._reason, "__notes__", ()):
                    error.add_note(note)
            self._reason = error
            if self._cleanup_ends is not None:
                raise error
            self.clean_up()
        self._advance(lambda: self._operation.throw(error))

    def clean_up(self) -> None:
        """Let the time for cleaning up begin, unless it has."""
        self._cleanup_ends = self._cleanup_ends or time.monotonic() + CLEANUP_SECONDS

    def limit(self) -> float | None:
        """Return the seconds left to clean up; None before that, and for what takes no time.

        Raises:
            TransportFault: There are none left.
        """
        if self._cleanup_ends is None or isinstance(self.step, _INSTANT):
            return None
        left = self._cleanup_ends - time.monotonic()
        if left <= 0:
            raise TransportFault("no time was left to clean up", sent=False)
        return left

    def interrupt(self, error: BaseException) -> None:
        """Go on with what has come between two steps, when the operation knows nothing of it yet.

        Signals may come at any moment: also when a step has been performed and its result has not
        arrived, so that nobody else could say what was done.
        """
        if inspect.getgeneratorstate(self._operation) != inspect.GEN_SUSPENDED:
            raise error
        self.throw(error)

    def close(self) -> None:
        """End it, wherever it is."""
        self._operation.close()

    def _advance(self, proceed: Callable[[], Step]) -> None:
        try:
            self.step = proceed()
        except StopIteration as stop:
            self.step = None
            self.result = stop.value


class _flying(Generic[T]):  # noqa: N801 - a with statement reads better in lower case
    """A flight that is ended in any case, and with it what runs beside it."""

    __slots__ = ("flight",)

    def __init__(self, operation: Steps[T]) -> None:
        self.flight = Flight(operation)

    def __enter__(self) -> Flight[T]:
        return self.flight

    def __exit__(self, *_: object) -> None:
        try:
            self.flight.close()
        finally:
            if self.flight.crew is not None:
                self.flight.crew.dismiss()


class _aflying(Generic[T]):  # noqa: N801 - as above
    """The same on an event loop."""

    __slots__ = ("flight",)

    def __init__(self, operation: Steps[T]) -> None:
        self.flight = Flight(operation)

    async def __aenter__(self) -> Flight[T]:
        return self.flight

    async def __aexit__(self, *_: object) -> None:
        try:
            self.flight.close()
        finally:
            if self.flight.crew is not None:
                await self.flight.crew.dismiss()


class SyncDriver:
    """Performs steps by blocking."""

    def __init__(self, config: Config, pool: SyncPool) -> None:
        self._config = config
        self._pool = pool

    def run(self, operation: Steps[T], on_update: Callable[[Any], object] | None = None) -> T:
        """Return an operation's result; show each update to the callback, if there is one."""
        _check_callback(on_update)
        with _flying(operation) as flight:
            flight.send(None)
            while (step := flight.step) is not None:
                try:
                    self._advance(flight, step, on_update)
                except (KeyboardInterrupt, SystemExit) as error:  # SIGTERM, as a rule
                    flight.interrupt(error)
            return flight.result

    def iterate(self, operation: Steps[object]) -> Generator[Any]:
        """Yield what an operation emits. Leaving the loop closes it."""
        with _flying(operation) as flight:
            flight.send(None)
            while (step := flight.step) is not None:
                if isinstance(step, Emit):
                    yield step.update
                    flight.send(None)
                else:
                    self._advance(flight, step, None)

    def _advance(
        self, flight: Flight[Any], step: Step, on_update: Callable[[Any], object] | None
    ) -> None:
        try:
            reply: Any = None
            if isinstance(step, Emit):
                _show(on_update, step.update)
            elif isinstance(step, CleanUp):
                flight.clean_up()
            elif isinstance(step, Spawn):
                self._spawn(flight, step)
            else:
                reply = self._perform(step, flight.limit())
        except BaseException as error:  # noqa: BLE001 - the operation decides what it means
            flight.throw(error)
        else:
            flight.send(reply)

    def _spawn(self, flight: Flight[Any], step: Spawn) -> None:
        if flight.crew is None:
            from krea_aleph._background import Crew  # noqa: PLC0415 - few operations need it

            flight.crew = Crew(self._config, self._pool)
        flight.crew.start(step.operation)

    def _perform(self, step: Step, limit: float | None) -> Any:
        clock = self._config.clock
        match step:
            case Sleep(seconds, bell):
                return clock.sleep(seconds if limit is None else min(seconds, limit), bell)
            case Send() | SendAll() | Fetch() | Call() | RefreshKey():
                with clock.busy():
                    return self._work(step, limit)
            case Ask(function):
                return function()
            case _:
                return _answer(step, self._config)

    def _work(self, step: Work, limit: float | None) -> Any:
        match step:
            case Send():
                return self._exchange(step, limit)
            case SendAll(sends):
                return self._exchange_all(sends, limit)
            case Fetch():
                return self._pool.fetch(step)
            case Call(function):
                return function()
            case RefreshKey(generation):
                keys = self._config.keys
                return keys.renewable and bool(keys.resolve(generation))

    def _exchange(self, step: Send, limit: float | None) -> Response:
        keys, clock = self._config.keys, self._config.clock
        key, generation = keys.cached or keys.resolve()
        begun = clock.monotonic()
        try:
            response = self._pool.exchange(step, key, limit)
        except TransportFault as fault:
            fault.seconds = clock.monotonic() - begun
            raise
        seconds = clock.monotonic() - begun
        return response._replace(seconds=seconds, key_generation=generation)

    def _exchange_all(self, sends: Sequence[Send], limit: float | None) -> list[Any]:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only fleets need it

        def exchange(send: Send) -> Response | TransportFault:
            try:
                return self._exchange(send, limit)
            except TransportFault as fault:
                return fault

        threads = ThreadPoolExecutor(min(len(sends), _THREADS), "krea-look")
        try:
            found = list(threads.map(exchange, sends))
        except BaseException:  # who is interrupted does not wait for what nobody wants any more
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        threads.shutdown()
        return found


class AsyncDriver:
    """Performs steps on asyncio's or trio's event loop."""

    def __init__(self, config: Config, pool: AsyncPool) -> None:
        self._config = config
        self._pool = pool

    async def run(self, operation: Steps[T], on_update: Callable[[Any], object] | None = None) -> T:
        """Return an operation's result; show each update to the callback, if there is one."""
        _check_callback(on_update)
        async with _aflying(operation) as flight:
            flight.send(None)
            while (step := flight.step) is not None:
                await self._advance(flight, step, on_update)
            return flight.result

    async def iterate(self, operation: Steps[object]) -> AsyncGenerator[Any]:
        """Yield what an operation emits. Leaving the loop closes it."""
        async with _aflying(operation) as flight:
            flight.send(None)
            while (step := flight.step) is not None:
                if isinstance(step, Emit):
                    yield step.update
                    flight.send(None)
                else:
                    await self._advance(flight, step, None)

    async def _advance(
        self, flight: Flight[Any], step: Step, on_update: Callable[[Any], object] | None
    ) -> None:
        try:
            reply: Any = None
            if isinstance(step, Emit):
                await _ashow(on_update, step.update)
            elif isinstance(step, CleanUp):
                flight.clean_up()
            elif isinstance(step, Spawn):
                self._spawn(flight, step)
            else:
                reply = await self._within(step, flight.limit())
        except BaseException as error:  # noqa: BLE001 - the operation decides what it means
            flight.throw(error)
        else:
            flight.send(reply)

    def _spawn(self, flight: Flight[Any], step: Spawn) -> None:
        if flight.crew is None:
            from krea_aleph._background import AsyncCrew  # noqa: PLC0415 - as above

            flight.crew = AsyncCrew(self._config, self._pool)
        flight.crew.start(step.operation)

    async def _within(self, step: Step, limit: float | None) -> Any:
        """Perform a step; one of a clean-up in its time, and shielded from more cancellation."""
        if limit is None:
            return await self._perform(step, limit)
        import anyio  # noqa: PLC0415 - a synchronous start should not pay for it

        with anyio.move_on_after(limit, shield=True):
            return await self._perform(step, limit)
        raise TransportFault("no time was left to clean up", sent=True)

    async def _perform(self, step: Step, limit: float | None) -> Any:
        clock = self._config.clock
        match step:
            case Sleep(seconds, bell):
                return await clock.asleep(seconds, bell)
            case Send() | SendAll() | Fetch() | Call() | RefreshKey():
                with clock.busy():
                    return await self._work(step, limit)
            case Ask(function, awaitable):
                return await (function() if awaitable else _in_thread(function))
            case _:
                return _answer(step, self._config)

    async def _work(self, step: Work, limit: float | None) -> Any:
        match step:
            case Send():
                return await self._exchange(step, limit)
            case SendAll(sends):
                return await self._exchange_all(sends, limit)
            case Fetch():
                return await self._pool.fetch(step)
            case Call(function):
                return await _in_thread(function)
            case RefreshKey(generation):
                keys = self._config.keys
                return keys.renewable and bool(await keys.aresolve(generation))

    async def _exchange(self, step: Send, limit: float | None) -> Response:
        keys, clock = self._config.keys, self._config.clock
        key, generation = keys.cached or await keys.aresolve()
        begun = clock.monotonic()
        try:
            response = await self._pool.exchange(step, key, limit)
        except TransportFault as fault:
            fault.seconds = clock.monotonic() - begun
            raise
        seconds = clock.monotonic() - begun
        return response._replace(seconds=seconds, key_generation=generation)

    async def _exchange_all(self, sends: Sequence[Send], limit: float | None) -> list[Any]:
        import anyio  # noqa: PLC0415 - as above

        found: list[Any] = [None] * len(sends)

        async def exchange(number: int, send: Send) -> None:
            try:
                found[number] = await self._exchange(send, limit)
            except Exception as error:  # noqa: BLE001 - a group would wrap it; raised below
                found[number] = error

        async with anyio.create_task_group() as tasks:
            for number, send in enumerate(sends):
                tasks.start_soon(exchange, number, send)
        for outcome in found:  # whatever is neither answer nor fault concerns all of them
            if isinstance(outcome, Exception) and not isinstance(outcome, TransportFault):
                raise outcome
        return found


class _Finishing:
    """A blocking function of which others can know that it has ended."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._begun = False
        self._ended = threading.Event()

    def __call__(self) -> Any:
        self._begun = True
        try:
            return self._function()
        finally:
            self._ended.set()

    @property
    def under_way(self) -> bool:
        return self._begun and not self._ended.is_set()

    def wait(self) -> None:
        self._ended.wait()


async def _in_thread(function: Callable[[], Any]) -> Any:
    """Run what blocks in a worker thread, and leave it only when it has ended.

    asyncio's own cancellation would leave it running: it would open and write files that nobody
    knows of any more.
    """
    import anyio  # noqa: PLC0415 - as above
    from anyio.to_thread import run_sync  # noqa: PLC0415 - as above

    work = _Finishing(function)
    try:
        return await run_sync(work)
    except BaseException:
        if work.under_way:
            with anyio.CancelScope(shield=True):
                await run_sync(work.wait)
        raise


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


def _check_callback(callback: object) -> None:
    if callback is not None and not callable(callback):
        kind = type(callback).__name__
        raise InvalidRequestError("on_update", f"a callable is needed, not {kind}")


def _show(callback: Callable[[Any], object] | None, update: Any) -> object:
    """Call a user's callback, if there is one; its own errors never break a paid job."""
    try:
        return None if callback is None else callback(update)
    except Exception:  # noqa: BLE001 - whatever it is, the job comes first
        LOGGER.exception("on_update raised; the job is not affected")
        return None


async def _ashow(callback: Callable[[Any], object] | None, update: Any) -> None:
    """Do the same where the callback may be a coroutine function."""
    shown = _show(callback, update)
    if inspect.isawaitable(shown):
        try:
            await shown
        except Exception:  # noqa: BLE001 - as above
            LOGGER.exception("on_update raised; the job is not affected")
