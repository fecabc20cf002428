"""Batches that are killed with `kill -9`: nothing is paid twice, and every file is whole."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from krea_aleph.emulator import Emulator
from weather.batches import FastClock, kill_batch

KILLS = 50


@pytest.fixture(scope="module")
def ground() -> Iterator[Emulator]:
    """A Krea on which time passes fast: a job takes 0.2 s."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["weather.batches", "krea_aleph.client", "krea_aleph._batch"])
    with Emulator(clock=FastClock(), render=False, job_seconds=60.0, concurrency=4) as emulator:
        yield emulator


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_batch_is_taken_up_again(ground: Emulator, tmp_path: Path, seed: int) -> None:
    """As many jobs as items, one whole file for each, nothing left behind."""
    kill_batch(seed, ground, tmp_path / "batch")


@pytest.mark.long
def test_fifty_kills(ground: Emulator, tmp_path: Path) -> None:
    """The same, fifty times."""
    killed, seed = 0, 10
    while killed < KILLS:
        killed += kill_batch(seed, ground, tmp_path / str(seed))
        seed += 1
    print(f"seeds 10 to {seed - 1}: {killed} kills")  # noqa: T201 - for the record
