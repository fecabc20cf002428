"""Generated answers: whatever is sent, a reader returns a value or a typed error."""

from __future__ import annotations

import os

import pytest

from weather.answers import answers, read_in_every_way

SEED = int(os.environ.get("WEATHER_FIRST_SEED", "1"))


@pytest.mark.parametrize("count", [4000, pytest.param(200_000, marks=pytest.mark.long)])
def test_every_answer_can_be_read(count: int) -> None:
    """Damaged, deep, endless or of another shape: the message is one line, the error pickles."""
    print(f"seed {SEED}, {count} answers")  # noqa: T201 - pytest shows it when one fails
    for response in answers(SEED, count):
        read_in_every_way(response)
