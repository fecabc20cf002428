"""Interruptions: Ctrl-C and cancellation at a step, at a line or at any moment of real time."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import anyio

import krea_aleph
from krea_aleph.models import Bell, Clock

T = TypeVar("T")

_OURS = str(Path(krea_aleph.__file__).parent)
_NOT_OURS = str(Path(krea_aleph.__file__).parent / "emulator")


def is_ours(frame: FrameType) -> bool:
    """Whether a frame runs code of the library; the emulator is none of it."""
    path = frame.f_code.co_filename
    return path.startswith(_OURS) and not path.startswith(_NOT_OURS)


@dataclass
class Left:
    """A call that was interrupted, with what came out of it."""

    error: BaseException


@dataclass
class Leaving:
    """When the customer leaves: nothing set means never.

    Attributes:
        colour: The client's.
        steps: The touches of the clock, counted in all calls, at which it happens.
        line: The line of ours at which it happens, counted in all calls (sync only).
        seconds: The moment of a call at which it happens, in real seconds.
        anywhere: Whether it was to happen at a line.
        native: Cancel by asyncio's own means instead of anyio's.
    """

    colour: str
    steps: set[int] = field(default_factory=set)
    line: int | None = None
    seconds: float | None = None
    anywhere: bool = False
    native: bool = False
    _touches: int = 0
    _lines: int = 0
    _interrupt: Callable[[], object] | None = None
    _seen: BaseException | None = None

    def calm(self) -> None:
        """Stay from now on."""
        self.steps.clear()
        self.line = self.seconds = None

    def touch(self) -> None:
        """Count a step of the customer's own, and leave if it is the one."""
        mine = threading.current_thread() is threading.main_thread()
        if self._interrupt is not None and mine:
            self._touches += 1
            if self._touches in self.steps:
                self._interrupt()

    async def guard(self, call: Callable[[], Awaitable[T]]) -> T | Left:
        """Make a call, and return its result or how it was left."""
        self._seen = None
        try:
            if self.colour == "sync":
                return await self._guard_sync(call)
            if self.native and self.colour == "asyncio":
                return await self._guard_task(call)
            return await self._guard_scope(call)
        finally:
            self._interrupt = None

    async def _guard_sync(self, call: Callable[[], Awaitable[T]]) -> T | Left:
        self._interrupt = _press_ctrl_c
        try:
            with self._signalled(), self._traced():
                return await call()
        except KeyboardInterrupt as error:
            return Left(error)

    async def _guard_task(self, call: Callable[[], Awaitable[T]]) -> T | Left:
        task = asyncio.ensure_future(self._seeing(call))
        self._interrupt = task.cancel
        if self.seconds is not None:
            asyncio.get_running_loop().call_later(self.seconds, task.cancel)
        try:
            return await task
        except asyncio.CancelledError as error:
            return Left(self._seen or error)

    async def _guard_scope(self, call: Callable[[], Awaitable[T]]) -> T | Left:
        with anyio.CancelScope() as scope:
            if self.seconds is not None:
                scope.deadline = anyio.current_time() + self.seconds
            self._interrupt = scope.cancel
            return await self._seeing(call)
        assert scope.cancelled_caught
        assert self._seen is not None
        return Left(self._seen)

    async def _seeing(self, call: Callable[[], Awaitable[T]]) -> T:
        """Take note of the exception, which a scope or a task may not hand on."""
        try:
            return await call()
        except BaseException as error:
            self._seen = error
            raise

    @contextmanager
    def _signalled(self) -> Iterator[None]:
        """Send a real signal at a moment of real time; it counts while code of ours runs."""
        if self.seconds is None:
            yield
            return
        before = signal.signal(signal.SIGINT, _interrupted)
        main = threading.main_thread().ident or 0
        timer = threading.Timer(self.seconds, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            signal.signal(signal.SIGINT, before)

    @contextmanager
    def _traced(self) -> Iterator[None]:
        if self.line is None:
            yield
            return
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(before)

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if not is_ours(frame):
            return None
        if event == "line":
            self._lines += 1
            if self._lines == self.line:
                _press_ctrl_c()
        return self._trace


def _press_ctrl_c() -> None:
    raise KeyboardInterrupt


def _interrupted(_: int, frame: FrameType | None) -> None:
    """Raise where the library is at work; elsewhere the signal has come too early or too late.

    So it has within Python's logging: a handler that is interrupted between taking its lock and the
    next line keeps it for ever, and every other thread that logs waits for that.
    """
    while frame is not None:
        if frame.f_code.co_filename == logging.__file__:
            return
        if is_ours(frame):
            raise KeyboardInterrupt
        frame = frame.f_back


class ShakyClock:
    """A clock that tells whenever it is touched: at every step of an operation."""

    def __init__(self, clock: Clock, touch: Callable[[], None]) -> None:
        self._clock = clock
        self._touch = touch

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        self._touch()
        return self._clock.monotonic()

    def time(self) -> float:
        """Return Unix time in seconds."""
        self._touch()
        return self._clock.time()

    def sleep(self, seconds: float, bell: Bell | None = None) -> None:
        """Let time pass."""
        self._touch()
        self._clock.sleep(seconds, bell)
        self._touch()

    async def asleep(self, seconds: float, bell: Bell | None = None) -> None:
        """Let time pass for a task."""
        self._touch()
        await self._clock.asleep(seconds, bell)
        self._touch()

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self._touch()
        with self._clock.busy():
            yield
        self._touch()

    def busy(self) -> AbstractContextManager[None]:
        """Mark that something is in flight."""
        return self._busy()
