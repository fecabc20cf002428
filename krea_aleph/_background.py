"""Operations beside another one: in threads of their own, or as tasks of the running event loop.

They end with the operation that has started them. A request that pays is not cut off for that:
its answer is worth more than a second. What is stopped is a pause, a question, a transfer.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from krea_aleph._drivers import AsyncDriver, SyncDriver
from krea_aleph._steps import CLEANUP_SECONDS, Fetch, Send, SendAll, Sleep, Stopped
from krea_aleph._telemetry import LOGGER
from krea_aleph.clocks import Ring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from krea_aleph._config import Config
    from krea_aleph._steps import Body, Sink, Step, Steps
    from krea_aleph._transport import AsyncPool, SyncPool
    from krea_aleph.models import Bell

_NAME: Final = "krea-aleph-beside"


class Stop:
    """Whether those beside an operation are to end, and the bell that tells them in their sleep."""

    def __init__(self) -> None:
        self.asked = False
        self.bell = Ring()

    def ask(self) -> None:
        """Let everybody end."""
        self.asked = True
        self.bell.ring()

    def check(self) -> None:
        """Interrupt whoever is to end."""
        if self.asked:
            raise Stopped

    def interrupts(self, step: Step) -> bool:
        """Whether a step may be interrupted: any but the request that pays, and what is quick."""
        match step:
            case Send(request):
                return request.json is None
            case _:
                return isinstance(step, SendAll | Sleep | Fetch)

    def applied(self, step: Step) -> Step:
        """Return a step that ends when everybody is to end."""
        match step:
            case Sleep(seconds, bell):
                return Sleep(seconds, self.bell if bell is None else _Either(bell, self.bell))
            case Fetch():
                return step._replace(sink=_Sink(step.sink, self))
            case Send(request) if request.body is not None:
                return step._replace(request=request._replace(body=_Body(request.body, self)))
            case _:
                return step


class _Either:
    """Two bells as one."""

    def __init__(self, bell: Bell, other: Bell) -> None:
        self._bells = (bell, other)

    @contextmanager
    def waking(self, wake: Callable[[], object]) -> Generator[None]:
        """Call ``wake`` when either rings."""
        with ExitStack() as stack:
            for bell in self._bells:
                stack.enter_context(bell.waking(wake))
            yield

    def heard(self) -> int:
        """Return how often both have rung."""
        return sum(bell.heard() for bell in self._bells)

    def close(self) -> None:
        """Leave them as they are: whoever listens to them closes them."""


class _Sink:
    """A sink that takes no more once everybody is to end."""

    def __init__(self, sink: Sink, stop: Stop) -> None:
        self._stop = stop
        self._write = sink.write
        self.begin = sink.begin

    def write(self, data: bytes) -> None:
        """Take a piece of the body, or be interrupted."""
        self._write(data)
        self._stop.check()


class _Body:
    """A body that is read no further once everybody is to end."""

    def __init__(self, body: Body, stop: Stop) -> None:
        self.content_type = body.content_type
        self.length = body.length
        self._body = body
        self._stop = stop

    def chunks(self) -> Iterator[bytes]:
        """Read it from the start, or be interrupted."""
        for chunk in self._body.chunks():
            self._stop.check()
            yield chunk


class _SyncBeside(SyncDriver):
    """Performs steps like its base class until it is stopped; after that, only to clean up."""

    def __init__(self, config: Config, pool: SyncPool, stop: Stop) -> None:
        super().__init__(config, pool)
        self._stop = stop

    def _perform(self, step: Step, limit: float | None) -> Any:
        if limit is not None or not self._stop.interrupts(step):
            return super()._perform(step, limit)
        self._stop.check()
        reply = super()._perform(self._stop.applied(step), limit)
        if isinstance(step, Sleep):
            self._stop.check()
        return reply


class _AsyncBeside(AsyncDriver):
    """The same on an event loop."""

    def __init__(self, config: Config, pool: AsyncPool, stop: Stop) -> None:
        super().__init__(config, pool)
        self._stop = stop

    async def _perform(self, step: Step, limit: float | None) -> Any:
        if limit is not None or not self._stop.interrupts(step):
            return await super()._perform(step, limit)
        self._stop.check()
        reply = await super()._perform(self._stop.applied(step), limit)
        if isinstance(step, Sleep):
            self._stop.check()
        return reply


class Crew:
    """Threads that perform operations beside one; who has finished takes the next.

    They are daemons: a program that ends must not wait for two hours because of them.
    """

    def __init__(self, config: Config, pool: SyncPool) -> None:
        self.stop = Stop()
        self.clock = config.clock
        self._driver = _SyncBeside(config, pool, self.stop)
        self._workers: list[_Worker] = []
        self._idle: list[_Worker] = []

    def start(self, operation: Steps[None]) -> None:
        """Let an operation begin."""
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = _Worker(self)
            self._workers.append(worker)
        worker.take(operation)

    def perform(self, worker: _Worker, operation: Steps[None]) -> None:
        """Perform an operation to its end, in a worker's thread."""
        try:
            self._driver.run(operation)
        except Stopped:
            return
        except BaseException:  # noqa: BLE001 - nobody is above this in its thread
            LOGGER.exception("an operation in the background ended with an error of its own")
        self._idle.append(worker)

    def dismiss(self) -> None:
        """Let everybody end, and wait for that, but not for ever.

        A thread cannot be cancelled: one that is in a request ends when that does.
        """
        self.stop.ask()
        ends = time.monotonic() + CLEANUP_SECONDS
        for worker in self._workers:
            worker.thread.join(max(0.0, ends - time.monotonic()))


class _Worker:
    """One thread of a crew."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._bell = Ring()
        self._operation: Steps[None] | None = None
        # A virtual clock stands still until the thread runs.
        self._begun = crew.clock.busy()
        self._begun.__enter__()
        try:
            self.thread = threading.Thread(target=self._run, name=_NAME, daemon=True)
            self.thread.start()
        except BaseException:
            self._begun.__exit__(None, None, None)
            raise

    def take(self, operation: Steps[None]) -> None:
        """Perform an operation as soon as possible."""
        self._operation = operation
        self._bell.ring()

    def _run(self) -> None:
        self._begun.__exit__(None, None, None)
        bell = _Either(self._bell, self._crew.stop.bell)
        while not self._crew.stop.asked:
            self._bell.heard()
            operation, self._operation = self._operation, None
            if operation is None:
                self._crew.clock.sleep(math.inf, bell)
            else:
                self._crew.perform(self, operation)


class AsyncCrew:
    """Tasks of the running event loop that perform operations beside one.

    No nursery holds them: none may be open where an asynchronous generator yields.
    """

    def __init__(self, config: Config, pool: AsyncPool) -> None:
        self._stop = Stop()
        self._driver = _AsyncBeside(config, pool, self._stop)
        self._tasks: set[Any] = set()
        self._scopes: set[Any] = set()
        self._left = 0
        self._none_left: Any = None

    def start(self, operation: Steps[None]) -> None:
        """Let an operation begin."""
        import sniffio  # noqa: PLC0415 - see clocks

        if sniffio.current_async_library() == "trio":
            import trio  # noqa: PLC0415 - only those who run it have it

            trio.lowlevel.spawn_system_task(self._alone, operation, name=_NAME)
        else:
            import asyncio  # noqa: PLC0415 - as above

            task = asyncio.get_running_loop().create_task(self._perform(operation), name=_NAME)
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        self._left += 1

    async def _alone(self, operation: Steps[None]) -> None:
        try:
            await self._perform(operation)
        finally:
            self._ended()

    async def _perform(self, operation: Steps[None]) -> None:
        import anyio  # noqa: PLC0415 - see clocks

        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                await self._driver.run(operation)
            except Stopped:
                return
            except Exception:  # noqa: BLE001 - nobody is above this in its task
                LOGGER.exception("an operation in the background ended with an error of its own")
            finally:
                self._scopes.discard(scope)

    def _ended(self, task: Any = None) -> None:
        self._tasks.discard(task)
        self._left -= 1
        if not self._left and self._none_left is not None:
            self._none_left.set()

    async def dismiss(self) -> None:
        """Let everybody end, wait for that, and cancel whoever has not by then."""
        self._stop.ask()
        await self._wait()
        for scope in list(self._scopes):
            scope.cancel()
        await self._wait()

    async def _wait(self) -> None:
        import anyio  # noqa: PLC0415 - see clocks

        if self._left:
            self._none_left = anyio.Event()
            with anyio.move_on_after(CLEANUP_SECONDS, shield=True):
                await self._none_left.wait()
