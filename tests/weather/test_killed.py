"""Processes that are killed with `kill -9`: what the store could know, it knows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from krea_aleph.emulator import Emulator
from weather.killing import VERBS, kill_one, killing_ground

FIRST = int(os.environ.get("WEATHER_FIRST_SEED", "1"))
KILLS = 300


@pytest.fixture(scope="module")
def ground() -> Iterator[Emulator]:
    """A Krea on which time passes fast."""
    with killing_ground() as emulator:
        yield emulator


@pytest.mark.parametrize("verb", VERBS)
def test_a_killed_program_is_taken_up_again(ground: Emulator, tmp_path: Path, verb: str) -> None:
    """One job, one whole file, nothing left behind, however often the program had to begin."""
    seed = FIRST - FIRST % len(VERBS) + VERBS.index(verb)
    assert kill_one(seed, ground, tmp_path).verb == verb


@pytest.mark.long
def test_three_hundred_kills(ground: Emulator, tmp_path: Path) -> None:
    """The same, three hundred times."""
    killed, seed = 0, FIRST
    while killed < KILLS:
        killed += kill_one(seed, ground, tmp_path).killed
        seed += 1
    print(f"seeds {FIRST} to {seed - 1}: {killed} kills")  # noqa: T201 - for the record
