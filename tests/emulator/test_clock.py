"""Virtual time: how it passes, and for whom it waits."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

from krea_aleph.clocks import Ring
from krea_aleph.emulator.clock import GRACE, ROUNDS, START, VirtualClock

Run = Callable[[Callable[[], Awaitable[Any]]], Any]


def _run_asyncio(main: Callable[[], Any]) -> Any:
    return asyncio.run(main())


@pytest.fixture(params=[_run_asyncio, trio.run], ids=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run an asynchronous function in either library."""
    chosen: Run = request.param
    return chosen


async def _together(*functions: Callable[[], Awaitable[None]]) -> None:
    """Run asynchronous functions at the same time, in either library."""
    async with anyio.create_task_group() as group:
        for function in functions:
            group.start_soon(function)


async def _pause() -> None:
    await anyio.lowlevel.checkpoint()


def test_two_hours_in_milliseconds() -> None:
    """A wait of two hours with a look every five seconds takes no noticeable time."""
    clock = VirtualClock()
    began = time.perf_counter()
    for _ in range(1440):
        with clock.busy():
            pass
        clock.sleep(5)
    assert clock.monotonic() == 7200
    assert time.perf_counter() - began < 5


def test_two_hours_of_tasks(run: Run) -> None:
    """The same holds for tasks, in asyncio and in trio."""
    clock = VirtualClock()

    async def poll() -> None:
        for _ in range(1440):
            with clock.busy():
                await _pause()
            await clock.asleep(5)

    run(poll)
    assert clock.monotonic() == 7200


def test_unix_time_follows() -> None:
    """Unix time begins at a plausible moment and moves with the monotonic one."""
    clock = VirtualClock()
    clock.sleep(90)
    assert (clock.time(), clock.monotonic()) == (START + 90, 90)


def test_no_sleep() -> None:
    """Zero, negative and undefined durations return at once and move nothing."""
    clock = VirtualClock()
    for seconds in (0, -5, float("nan")):
        clock.sleep(seconds)
        asyncio.run(clock.asleep(seconds))
    assert clock.monotonic() == 0


def test_tasks_wake_in_order(run: Run) -> None:
    """A hundred tasks that sleep for different times wake in the order of those times."""
    clock, woken = VirtualClock(), []

    def sleeper(seconds: int) -> Callable[[], Awaitable[None]]:
        async def sleep() -> None:
            await clock.asleep(seconds)
            woken.append((seconds, clock.monotonic()))

        return sleep

    run(lambda: _together(*(sleeper(1 + (n * 37) % 100) for n in range(100))))
    assert woken == [(seconds, seconds) for seconds in range(1, 101)]


def test_threads_wake_in_order() -> None:
    """Threads that begin together under `busy` share one consistent time."""
    clock, woken = VirtualClock(), []

    def work(step: int) -> None:
        for _ in range(10):
            with clock.busy():
                pass
            clock.sleep(step)
            woken.append(clock.monotonic())

    threads = [threading.Thread(target=work, args=(step,)) for step in range(1, 9)]
    with clock.busy():
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join(10)
    assert woken == sorted(woken)
    assert len(woken) == 80
    assert clock.monotonic() == 80


def test_no_jump_while_busy(run: Run) -> None:
    """Time stands still for sleepers while another task is busy, however long that takes."""
    clock, seen = VirtualClock(), []

    async def exchange() -> None:
        with clock.busy():
            for _ in range(10 * ROUNDS):
                await _pause()
            seen.append(("answer", clock.monotonic()))

    async def sleep() -> None:
        await clock.asleep(1)
        seen.append(("slept", clock.monotonic()))

    run(lambda: _together(sleep, exchange))
    assert seen == [("answer", 0), ("slept", 1)]


def test_busy_in_another_thread() -> None:
    """A sleeper in one thread waits for what another thread has in flight."""
    clock, seen, entered = VirtualClock(), [], threading.Event()
    go_on = threading.Event()

    def exchange() -> None:
        with clock.busy():
            entered.set()
            go_on.wait(10)
            seen.append(clock.monotonic())

    thread = threading.Thread(target=exchange)
    thread.start()
    entered.wait(10)
    threading.Timer(0.05, go_on.set).start()
    clock.sleep(3)
    thread.join(10)
    assert seen == [0]
    assert clock.monotonic() == 3


def test_between_two_exchanges(run: Run) -> None:
    """A task that has just been busy may go on before a sleeper's time comes."""
    clock, seen = VirtualClock(), []

    async def several_exchanges() -> None:
        for _ in range(20):
            with clock.busy():
                await _pause()
            await _pause()
        seen.append(clock.monotonic())

    run(lambda: _together(lambda: clock.asleep(5), several_exchanges))
    assert seen == [0]


def test_loops_and_threads_together() -> None:
    """Two event loops of different libraries and a plain thread share one time."""
    clock, woken, lock = VirtualClock(), [], threading.Lock()
    begun: list[float] = []  # on a busy machine a loop may start after time has moved

    def note() -> None:
        with lock:
            woken.append(clock.monotonic())

    async def poll() -> None:
        begun.append(clock.monotonic())
        for _ in range(50):
            await clock.asleep(3)
            note()

    def plain() -> None:
        for _ in range(50):
            clock.sleep(2)
            note()

    with ThreadPoolExecutor(3) as pool:
        with clock.busy():
            started = [pool.submit(_run_asyncio, poll), pool.submit(trio.run, poll)]
            started.append(pool.submit(plain))
        for future in started:
            future.result(20)
    assert len(woken) == 150
    assert woken == sorted(woken)
    assert clock.monotonic() == max(begun) + 150


def test_cancelled_sleeper() -> None:
    """A cancelled sleeper is forgotten: time never jumps to where it would have woken."""
    clock = VirtualClock()

    async def main() -> None:
        long = asyncio.create_task(clock.asleep(1000))
        await asyncio.sleep(0)
        long.cancel()
        await asyncio.gather(long, return_exceptions=True)
        await clock.asleep(1)

    asyncio.run(main())
    assert clock.monotonic() == 1


def test_cancelled_trio_sleeper() -> None:
    """The same in trio, where a scope is cancelled by somebody who slept less."""
    clock = VirtualClock()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clock.asleep, 1000)
            await clock.asleep(1)
            nursery.cancel_scope.cancel()
        await clock.asleep(1)

    trio.run(main)
    assert clock.monotonic() == 2


def test_no_lost_wake_up() -> None:
    """Many threads that sleep and work at random all come to an end."""
    clock = VirtualClock()

    def work(number: int) -> int:
        for step in range(30):
            clock.sleep((number * step) % 7 / 10)
            with clock.busy():
                pass
        return number

    with ThreadPoolExecutor(12) as pool:
        assert sorted(pool.map(work, range(12))) == list(range(12))


def test_absent_thread() -> None:
    """A thread that has used the clock and does something else does not hold time for ever."""
    clock = VirtualClock()
    with clock.busy():
        pass
    with ThreadPoolExecutor(1) as pool:
        pool.submit(clock.sleep, 100).result(10)
    assert clock.monotonic() == 100


def test_a_thread_that_computes_is_waited_for() -> None:
    """Time stands still while a thread that was woken computes, however long the grace period."""
    clock = VirtualClock()
    found = []

    def computes() -> None:
        clock.sleep(1)
        end = time.thread_time() + 5 * GRACE
        while time.thread_time() < end:
            pass
        found.append(clock.monotonic())
        clock.sleep(1)

    with clock.busy():
        thread = threading.Thread(target=computes)
        thread.start()
    for _ in range(50):
        clock.sleep(1)
    thread.join()
    assert found == [1.0]


def test_blocked_loop() -> None:
    """A loop that is blocked by a synchronous sleeper does not hold time for it."""
    clock = VirtualClock()

    async def main() -> None:
        await clock.asleep(1)
        clock.sleep(2)

    asyncio.run(main())
    assert clock.monotonic() == 3


def test_finished_loop() -> None:
    """What a loop left behind when it ended is of no concern to others."""
    clock = VirtualClock()

    async def leave() -> None:
        task = asyncio.create_task(clock.asleep(5))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    trio.run(clock.asleep, 1)
    clock.sleep(1)
    assert clock.monotonic() == 2


def test_call_at() -> None:
    """A scheduled call is made at its time, before a later sleeper wakes; a cancelled one never."""
    clock, seen = VirtualClock(), []
    clock.call_at(clock.time() + 2, lambda: seen.append(clock.monotonic()))
    clock.call_at(clock.time() + 3, lambda: seen.append(-1)).cancel()
    clock.sleep(5)
    assert seen == [2]


def test_call_without_sleepers() -> None:
    """A scheduled call needs nobody who sleeps."""
    clock, called = VirtualClock(), threading.Event()
    clock.call_at(clock.time() + 500, called.set)
    assert called.wait(10)
    assert clock.monotonic() == 500


def test_call_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A scheduled call that fails is logged, and time goes on."""
    clock = VirtualClock()

    def fail() -> None:
        raise RuntimeError("no")

    clock.call_at(clock.time() + 1, fail)
    with caplog.at_level(logging.ERROR):
        clock.sleep(2)
    assert "scheduled" in caplog.text
    assert clock.monotonic() == 2


def test_hold() -> None:
    """A server that holds time lets go of it for a sleeper who came meanwhile."""
    clock, slept = VirtualClock(), threading.Event()

    def sleep() -> None:
        clock.sleep(1)
        slept.set()

    with clock.hold():
        thread = threading.Thread(target=sleep)
        thread.start()
        assert not slept.wait(0.02)
    assert slept.wait(10)
    thread.join()


def _here(_: VirtualClock, ring: Callable[[], None]) -> None:
    ring()


def _elsewhere(clock: VirtualClock, ring: Callable[[], None]) -> None:
    """Ring in another thread, which holds time until it has rung."""
    holding = ExitStack()
    holding.enter_context(clock.hold())

    def ring_and_let_go() -> None:
        ring()
        holding.close()

    threading.Thread(target=ring_and_let_go).start()


@pytest.mark.parametrize("where", [_here, _elsewhere])
@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_a_bell_wakes_before_its_time(colour: str, where: Callable[..., None]) -> None:
    """A bell ends a pause at the moment at which it rings, and time waits for who was woken."""
    for _ in range(20):
        clock, bell = VirtualClock(), Ring(0, lambda: None)
        with ExitStack() as holding:
            holding.enter_context(clock.hold())
            clock.call_at(clock.time() + 100, partial(where, clock, bell.ring))
            clock.call_at(clock.time() + 5000, lambda: None)  # time would move on to here
            assert _naps(colour, clock, bell, holding) == [100, 150]


@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_a_bell_that_has_rung(colour: str) -> None:
    """A bell that rang before the pause ends it without any time passing."""
    for _ in range(20):
        clock, bell = VirtualClock(), Ring(1, lambda: None)
        with ExitStack() as holding:
            holding.enter_context(clock.hold())
            clock.call_at(clock.time() + 5000, lambda: None)
            assert _naps(colour, clock, bell, holding) == [0, 50]


@pytest.mark.parametrize("colour", ["asyncio", "trio"])
def test_a_bell_after_the_loop_has_ended(colour: str) -> None:
    """A task that was cancelled listens no longer, and time is not held for it."""
    clock, bell = VirtualClock(), Ring(0, lambda: None)

    async def main() -> None:
        with clock.hold(), anyio.move_on_after(0.05):
            await clock.asleep(7200, bell)

    anyio.run(main, backend=colour)
    bell.ring()
    clock.sleep(10)
    assert clock.monotonic() == 10


def _naps(colour: str, clock: VirtualClock, bell: Ring, holding: ExitStack) -> list[float]:
    """Let time go, pause until the bell rings and then for 50 s, and return when pauses ended."""
    seen = []
    if colour == "sync":
        holding.close()
        for seconds in (7200, 50):
            clock.sleep(seconds, bell)
            seen.append(clock.monotonic())
            bell.heard()
        return seen

    async def nap() -> None:
        holding.close()
        for seconds in (7200, 50):
            await clock.asleep(seconds, bell)
            seen.append(clock.monotonic())
            bell.heard()

    anyio.run(nap, backend=colour)
    return seen
