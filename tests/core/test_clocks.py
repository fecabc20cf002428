"""The real clock: a pause passes, or a bell ends it, from any thread and on any event loop."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable

import anyio
import pytest
import trio

from krea_aleph.clocks import RealClock, Ring, sleeper

LONG = 30.0


@pytest.fixture
def bell() -> Ring:
    """A bell that nobody waits for yet."""
    return Ring(0, lambda: None)


def pause(colour: str, seconds: float, bell: Ring | None = None) -> float:
    """Pause in a colour, and return how long it took."""
    clock, begun = RealClock(), time.monotonic()
    if colour == "sync":
        clock.sleep(seconds, bell)
    else:
        anyio.run(clock.asleep, seconds, bell, backend=colour)
    return time.monotonic() - begun


@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_pauses(colour: str, bell: Ring) -> None:
    """Without a ring a pause lasts as long as it should, with a bell and without one."""
    assert pause(colour, 0.02) >= 0.02
    assert pause(colour, 0.02, bell) >= 0.02
    assert bell._wakes == []


@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_a_bell_that_rings_in_another_thread(colour: str, bell: Ring) -> None:
    """The pause ends at once, and only that one: the next lasts until the bell rings again."""
    threading.Timer(0.05, bell.ring).start()
    assert pause(colour, LONG, bell) < LONG / 2
    assert bell.heard() == 1
    assert pause(colour, 0.02, bell) >= 0.02


@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_a_bell_that_has_rung(colour: str, bell: Ring) -> None:
    """What rang before the pause ends it at once, until it has been heard."""
    bell.ring()
    bell.ring()
    assert pause(colour, LONG, bell) < LONG / 2
    assert pause(colour, LONG, bell) < LONG / 2
    assert bell.heard() == 2
    assert bell.heard() == 2
    assert bell._wakes == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_pause(backend: str, bell: Ring) -> None:
    """A task that is cancelled leaves nothing at the bell."""

    async def main() -> bool:
        with anyio.move_on_after(0.02) as scope:
            await RealClock().asleep(LONG, bell)
        return scope.cancelled_caught

    assert anyio.run(main, backend=backend)
    assert bell._wakes == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thousand_tasks(backend: str, bell: Ring) -> None:
    """One ring wakes everybody, and no task waits longer than the others."""

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(1000):
                tasks.start_soon(RealClock().asleep, LONG, bell)
            await anyio.sleep(0.05)
            await anyio.to_thread.run_sync(bell.ring)

    begun = time.monotonic()
    anyio.run(main, backend=backend)
    assert time.monotonic() - begun < LONG / 2
    assert bell._wakes == []


def test_an_event_loop_that_has_ended(bell: Ring) -> None:
    """Ringing for somebody whose event loop is gone hurts nobody."""

    async def made() -> Callable[[], object]:
        return sleeper()[1]

    for run in (asyncio.run, trio.run):
        wake = run(made) if run is trio.run else asyncio.run(made())
        with pytest.raises(RuntimeError):
            wake()
        with bell.waking(wake):
            bell.ring()


@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
@pytest.mark.parametrize("seconds", [math.inf, 1e30])
def test_a_pause_without_an_end(colour: str, seconds: float, bell: Ring) -> None:
    """Who waits for ever, or for longer than a system can count, waits until the bell rings."""
    threading.Timer(0.05, bell.ring).start()
    assert pause(colour, seconds, bell) < LONG / 2
