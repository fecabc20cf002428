"""One run: the dice are thrown, the weather breaks in, and everything is checked."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio

from krea_aleph import KreaError
from weather.catalogue import Kind
from weather.checks import (
    Footprint,
    Violation,
    account_for,
    check_file,
    check_folder,
    check_tasks,
    check_updates,
    check_uploads,
    observed,
    refuse_secret,
)
from weather.customer import Blocking, Customer
from weather.every_kind import KINDS
from weather.hooks import check_forged
from weather.scene import Scene
from weather.stage import Stage

# Virtual seconds after which nothing can arrive any more that was held up on its way.
_LATEST = 60.0
# What is imported and made at the first use belongs to no run.
_WARMING_UP = range(6)


@dataclass
class Run:
    """What came of a run.

    Attributes:
        seed: Whence it follows.
        colour: The kind of client.
        kinds: The kinds of weather that have really happened.
        told: The classes of errors and interruptions on the way.
        at_once: Whether every first call brought the file.
        saved: Whether every wish was fulfilled in the end.
        lost: Paid jobs that nobody was told of.
        doubled: Paid jobs beyond one for each wish.
    """

    seed: int
    colour: str
    kinds: list[str]
    told: list[str] = field(default_factory=list)
    at_once: bool = False
    saved: bool = False
    lost: int = 0
    doubled: int = 0


def play_many(
    seeds: Iterable[int],
    folder: Path,
    on_failure: Callable[[int, Exception], None] | None = None,
) -> Iterator[Run]:
    """Play the runs of some seeds on one stage, and yield what came of each.

    Args:
        seeds: The seeds.
        folder: Where they write.
        on_failure: Told of runs that failed, which do not end the others then.

    Raises:
        Violation: Something happened that must never happen.
    """
    with Stage() as stage:
        for seed in _WARMING_UP:
            play(seed, stage, folder)
        gc.collect()
        gc.freeze()  # the collector runs after each run, and what was there before is no concern
        try:
            for seed in seeds:
                try:
                    run = play(seed, stage, folder)
                except Exception as error:
                    if on_failure is None:
                        raise
                    on_failure(seed, error)
                else:
                    yield run
        finally:
            gc.unfreeze()


def play(seed: int, stage: Stage, folder: Path) -> Run:
    """Play the run of a seed, and return what came of it.

    Raises:
        Violation: Something happened that must never happen.
    """
    with TemporaryDirectory(dir=folder) as own:
        scene = Scene(seed, stage, Path(own))
        random.seed(seed)
        _let_weather_in(scene)
        footprint = Footprint()
        try:
            with observed(scene):
                _perform(scene)
                scene.clock.sleep(_LATEST)
                scene.finish()
        except Violation:
            raise
        except BaseException as error:
            error.add_note(str(Violation(scene, "unexpected")))
            raise
        finally:
            scene.clear_up()
            scene.finish()
        footprint.check(scene)
        return _judged(scene)


def _let_weather_in(scene: Scene) -> None:
    """Choose kinds of weather: often one alone, so that it shows what it does, else several.

    Seeds that follow one another begin with kinds that do, so that none is left out for long.
    """
    possible = [kind for kind in KINDS.values() if scene.colour in kind.colours]
    first = possible[scene.seed % len(possible)]
    more = scene.dice.sample(possible, scene.dice.choice((0, 0, 1, 2, 3)))
    chosen: list[Kind] = []
    for kind in dict.fromkeys([first, *more]):
        if not kind.group or kind.group not in scene.groups:
            chosen.append(kind)
            scene.groups.add(kind.group)
    for kind in sorted(chosen, key=lambda kind: kind.group != "place"):
        _arm(scene, kind)
    scene.survived &= len(scene.kinds) == 1


def _arm(scene: Scene, kind: Kind) -> None:
    before = len(scene.faults)
    scene.arming = kind.name
    survived = kind.arm(scene)
    if survived is not None:
        scene.kinds[kind.name] = scene.faults[before:]
        scene.survived &= survived


def _perform(scene: Scene) -> None:
    match scene.colour:
        case "sync":
            _complete(_blocking(scene))
        case "asyncio":
            asyncio.run(_on_asyncio(scene))
        case _:
            trio.run(_awaiting, scene)


def _complete(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits for anything."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise AssertionError("a client that blocks has awaited something")


async def _blocking(scene: Scene) -> None:
    customer = Customer(scene)
    with scene.emulator.aleph(**scene.client_options()) as client:
        await customer.in_bad_weather(Blocking(client))
        scene.clear_up()
    with scene.emulator.aleph(**scene.calm_options()) as client:
        await customer.afterwards(Blocking(client))


async def _awaiting(scene: Scene) -> None:
    customer = Customer(scene)
    async with scene.emulator.async_aleph(**scene.client_options()) as client:
        await customer.in_bad_weather(client)
        scene.clear_up()
    async with scene.emulator.async_aleph(**scene.calm_options()) as client:
        await customer.afterwards(client)


async def _on_asyncio(scene: Scene) -> None:
    await _awaiting(scene)
    check_tasks(scene)


def _judged(scene: Scene) -> Run:
    """Count what came of it, and raise if it is what must not be."""
    run = Run(scene.seed, scene.colour, list(_happened(scene)))
    for wish in scene.wishes:
        lost, doubled = account_for(scene, wish)
        run.lost, run.doubled = run.lost + lost, run.doubled + doubled
        run.told += [type(error).__name__ for error in wish.told]
        check_file(scene, wish)
        check_updates(scene, wish)
    run.saved = all(wish.saved is not None for wish in scene.wishes)
    run.at_once = run.saved and not run.told
    check_folder(scene)
    check_uploads(scene)
    check_forged(scene)
    _check_stranger(scene)
    if run.lost or run.doubled:
        what = f"{run.lost} paid jobs are lost, {run.doubled} are there twice"
        raise Violation(scene, what)
    if scene.survived and not run.at_once:
        raise Violation(scene, f"it should have been survived, and was not: {run.told}")
    return run


def _happened(scene: Scene) -> Iterator[str]:
    """Yield the kinds whose moment came: a fault of a call that was never made did not happen."""
    left = any(not isinstance(error, KreaError) for wish in scene.wishes for error in wish.told)
    for name, faults in scene.kinds.items():
        if KINDS[name].group == "leave":
            happened = left
        elif name in scene.signs:
            happened = scene.signs[name]()
        else:
            happened = not faults or any(fault is hit for fault in faults for hit in scene.hit)
        if happened:
            yield name


def _check_stranger(scene: Scene) -> None:
    if "output redirected to a stranger" in scene.kinds:
        heads = scene.stage.stranger.heads
        for head in heads:
            refuse_secret(scene, head, "what a stranger was sent")
            if {"authorization:", "referer:"} & set(head.lower().split()):
                raise Violation(scene, f"a stranger was sent {head}")
        heads.clear()
