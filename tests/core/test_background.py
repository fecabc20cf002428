"""Operations beside another one, in three colours: they start at once and end with it."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from krea_aleph import _background
from krea_aleph._drivers import AsyncDriver, SyncDriver
from krea_aleph._steps import (
    Fetch,
    Request,
    Response,
    Send,
    Steps,
    Stopped,
    call,
    emit,
    fetch,
    send,
    sleep,
    spawn,
)
from krea_aleph.clocks import Ring

from .transcript import configured

COLOURS = ["sync", "asyncio", "trio"]
POST = Request("create_aleph_job", "POST", "/jobs", json={})
GET = Request("get_job", "GET", "/jobs/j1")


class Wire:
    """Both pools in one: requests are answered when the test says so, downloads in pieces."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = threading.Event()
        self.reached = Ring()

    def _exchange(self, step: Send) -> Response:
        self.asked.append(step.request.operation)
        if step.request.body is not None:
            for _ in step.request.body.chunks():
                self.asked.append("chunk")
                self.reached.ring()
                self.answer.wait(5)
        elif step.request is POST:
            self.reached.ring()
            self.answer.wait(5)
        return Response(200, {})

    def _fetch(self, step: Fetch) -> Response:
        step.sink.begin(200, {})
        for piece in (b"1", b"2", b"3"):
            step.sink.write(piece)
            self.reached.ring()
            self.answer.wait(5)
        return Response(200, {})


class SyncWire(Wire):
    """For code that blocks."""

    def exchange(self, step: Send, *_: Any) -> Response:
        """Answer."""
        return self._exchange(step)

    def fetch(self, step: Fetch) -> Response:
        """Serve."""
        return self._fetch(step)


class AsyncWire(Wire):
    """For an event loop."""

    async def exchange(self, step: Send, *_: Any) -> Response:
        """Answer."""
        return await anyio.to_thread.run_sync(self._exchange, step)

    async def fetch(self, step: Fetch) -> Response:
        """Serve."""
        return await anyio.to_thread.run_sync(self._fetch, step)


def run(colour: str, make: Callable[[Wire], Steps[Any]], take: int | None = None) -> list[Any]:
    """Iterate an operation, or so many of what it emits, and return what came."""
    found: list[Any] = []
    if colour == "sync":
        wire: Any = SyncWire()
        values = SyncDriver(configured(), wire).iterate(make(wire))
        for value in values:
            found.append(value)
            if len(found) == take:
                break
        values.close()  # type: ignore[attr-defined]
        return found

    async def main() -> None:
        wire: Any = AsyncWire()
        values = AsyncDriver(configured(), wire).iterate(make(wire))
        async for value in values:
            found.append(value)
            if len(found) == take:
                break
        await values.aclose()  # type: ignore[attr-defined]

    anyio.run(main, backend=colour)
    return found


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    """No thread outlives its operation."""
    yield
    assert [t.name for t in threading.enumerate() if t.name == "krea-aleph-beside"] == []


@pytest.mark.parametrize("colour", COLOURS)
def test_they_run_beside_and_hand_over(colour: str) -> None:
    """Ten operations that each wait for all others: none could get through alone."""
    bell, there, done = Ring(), threading.Semaphore(0), []

    def beside(number: int) -> Steps[None]:
        there.release()
        yield from sleep(0.01)
        yield from call(lambda: None)
        done.append(number)
        bell.ring()

    def main(_: Wire) -> Steps[None]:
        for number in range(10):
            yield from spawn(beside(number))
        yield from emit("going on")
        while len(done) < 10:
            bell.heard()
            if len(done) < 10:
                yield from sleep(math.inf, bell)
        yield from emit(sorted(done))

    assert run(colour, main) == ["going on", list(range(10))]


def test_threads_are_used_again() -> None:
    """One after the other, a hundred operations need no hundred threads."""
    threads: set[int] = set()
    bell = Ring()

    def beside() -> Steps[None]:
        threads.add(threading.get_ident())
        bell.ring()
        yield from ()

    def main(_: Wire) -> Steps[None]:
        for _ in range(100):
            bell.heard()
            yield from spawn(beside())
            yield from sleep(math.inf, bell)
            yield from sleep(0.001)

    run("sync", main)
    assert len(threads) < 20


@pytest.mark.parametrize("colour", COLOURS)
def test_a_pause_ends_with_the_main_operation(colour: str) -> None:
    """It is interrupted, cleans up with steps of its own, and is waited for."""
    seen: list[Any] = []

    def beside() -> Steps[None]:
        try:
            yield from sleep(3600.0)
        except Stopped:
            seen.append((yield from send(GET)).status)
            yield from sleep(0.001)
            seen.append("clean")
            raise

    def main(_: Wire) -> Steps[None]:
        yield from spawn(beside())
        yield from sleep(0.02)
        yield from emit("x")

    assert run(colour, main, take=1) == ["x"]
    assert seen == [200, "clean"]


@pytest.mark.parametrize("colour", COLOURS)
def test_a_request_that_pays_is_answered(colour: str) -> None:
    """It is not cut off; what would follow it, a pause or a question, is."""
    seen: list[Any] = []

    def beside(then: Steps[Any]) -> Steps[None]:
        seen.append((yield from send(POST)).status)
        try:
            yield from then
        except Stopped:
            seen.append("stopped")
            raise

    def main(wire: Wire) -> Steps[None]:
        yield from spawn(beside(send(GET)))
        yield from spawn(beside(sleep(0.0)))
        while len(wire.asked) < 2:
            yield from sleep(0.01)
        threading.Timer(0.05, wire.answer.set).start()
        yield from emit("x")

    run(colour, main, take=1)
    assert sorted(seen, key=str) == [200, 200, "stopped", "stopped"]


class Endless:
    """A body, and a sink, that come to no end by themselves."""

    content_type, length = "video/mp4", 10**9

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def chunks(self) -> Any:
        """Give pieces."""
        while True:
            yield b"x"

    def begin(self, *_: Any) -> bool:
        """Take all."""
        return True

    def write(self, data: bytes) -> None:
        """Take a piece."""
        self.written.append(data)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("what", ["upload", "download"])
def test_transfers_end_at_the_next_piece(colour: str, what: str) -> None:
    """What is under way goes no further than a piece."""
    endless, ended = Endless(), threading.Event()

    def beside() -> Steps[None]:
        try:
            if what == "upload":
                yield from send(Request("upload_asset", "POST", "/assets", body=endless))
            else:
                yield from fetch("https://g.example/x", {}, endless)
        except Stopped:
            ended.set()
            raise

    def main(wire: Wire) -> Steps[None]:
        yield from spawn(beside())
        yield from sleep(5.0, wire.reached)
        threading.Timer(0.05, wire.answer.set).start()
        yield from emit("x")

    run(colour, main, take=1)
    assert ended.is_set()
    assert len(endless.written) <= 2


@pytest.mark.parametrize("colour", COLOURS)
def test_an_error_beside_breaks_nothing(colour: str, caplog: pytest.LogCaptureFixture) -> None:
    """Who lets an error out of an operation in the background finds it in the log."""

    def beside() -> Steps[None]:
        yield from sleep(0.0)
        raise ZeroDivisionError

    def main(_: Wire) -> Steps[None]:
        yield from spawn(beside())
        yield from sleep(0.05)
        yield from emit("x")

    with caplog.at_level(logging.ERROR, "krea_aleph"):
        assert run(colour, main) == ["x"]
    assert "in the background" in caplog.text


@pytest.mark.parametrize("colour", ["asyncio", "trio"])
def test_a_task_that_does_not_end_is_cancelled(
    colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time to clean up nobody is waited for any longer."""
    monkeypatch.setattr(_background, "CLEANUP_SECONDS", 0.05)
    ended = threading.Event()

    class Silent(AsyncWire):
        async def exchange(self, *_: Any) -> Response:  # type: ignore[override]
            self.reached.ring()
            await anyio.sleep(3600)
            raise AssertionError

    def beside() -> Steps[None]:
        try:
            yield from send(POST)
        finally:
            ended.set()

    async def main() -> None:
        wire: Any = Silent()

        def operation() -> Steps[None]:
            yield from spawn(beside())
            yield from sleep(5.0, wire.reached)
            yield from emit("x")

        async for _ in AsyncDriver(configured(), wire).iterate(operation()):
            pass
        assert ended.is_set()

    anyio.run(main, backend=colour)


def test_a_loop_that_is_left_without_closing() -> None:
    """Asyncio closes the iterator with its loop, and nothing is left to be warned about."""
    ended = threading.Event()

    def beside() -> Steps[None]:
        try:
            yield from sleep(3600.0)
        finally:
            ended.set()

    def operation() -> Steps[None]:
        yield from spawn(beside())
        yield from sleep(0.01)
        yield from emit("x")

    async def main() -> Any:
        wire: Any = AsyncWire()
        values = AsyncDriver(configured(), wire).iterate(operation())
        await anext(values)
        return values

    asyncio.run(main())
    assert ended.is_set()


def test_a_thread_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The main operation is told, and a virtual clock is not held for ever."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    def main(_: Wire) -> Steps[None]:
        yield from spawn(sleep(1.0))

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        run("sync", main)


def test_either_of_two_bells() -> None:
    """Both wake, both are heard, and none is closed by it."""
    one, other = Ring(), Ring()
    either = _background._Either(one, other)
    for bell in (one, other):
        rung = threading.Event()
        with either.waking(rung.set):
            assert not rung.is_set()
            bell.ring()
            assert rung.is_set()
        either.heard()
    assert either.heard() == 2
    either.close()
