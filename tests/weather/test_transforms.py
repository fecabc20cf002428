"""Whole transforms in bad weather: what must hold, holds after every one.

Each run follows from its seed. A violation names it and the command that plays it again.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weather import results
from weather.every_kind import KINDS
from weather.play import play_many

FIRST = int(os.environ.get("WEATHER_FIRST_SEED", "1"))
RUNS, BATCH = 120, 60
LONG_RUNS, LONG_BATCH = 10_000, 500


def _play(first: int, count: int, folder: Path) -> results.Counts:
    print(f"seeds {first} to {first + count - 1}")  # noqa: T201 - pytest shows it when one fails
    return results.tally(play_many(range(first, first + count), folder))


@pytest.mark.parametrize("first", range(FIRST, FIRST + RUNS, BATCH))
def test_nothing_is_lost_or_paid_twice(first: int, quick_folder: Path) -> None:
    """Files are whole or absent, errors typed, jobs known and paid once; nothing is left behind."""
    counts = _play(first, BATCH, quick_folder)
    assert counts[""]["tried"] == BATCH
    assert (counts[""]["lost"], counts[""]["doubled"]) == (0, 0)
    # Runs that end without a file are those that are refused for good, and they are few.
    assert counts[""]["refused"] < BATCH / 4
    assert counts[""]["at_once"] > BATCH / 4


@pytest.mark.long
@pytest.mark.parametrize("first", range(FIRST, FIRST + LONG_RUNS, LONG_BATCH))
def test_nothing_is_lost_or_paid_twice_in_ten_thousand_runs(first: int, quick_folder: Path) -> None:
    """The same, for as many runs as the issue of reliability asks for."""
    counts = _play(first, LONG_BATCH, quick_folder)
    assert (counts[""]["lost"], counts[""]["doubled"]) == (0, 0)
    happened = {name for name, row in counts.items() if row["tried"]}
    assert happened - {""} == set(KINDS)


def test_there_are_enough_kinds_of_weather() -> None:
    """More than twenty things can go wrong, alone and together."""
    assert len(KINDS) >= 20


def test_the_page_tells_the_results() -> None:
    """docs/reliability.md is what the long run has written, and nobody has edited it."""
    kept = results.read()
    assert results.PAGE.read_text("utf-8") == results.page(kept)
    assert set(kept["transforms"]["counts"]) <= {"", *KINDS}
