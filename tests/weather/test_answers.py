"""Generated answers and webhooks: whatever comes, there is a value, a typed error or a refusal."""

from __future__ import annotations

import os

import pytest

from weather.answers import answers, read_in_every_way
from weather.calls import target

SEED = int(os.environ.get("WEATHER_FIRST_SEED", "1"))
COUNTS = [3000, pytest.param(200_000, marks=pytest.mark.long)]


@pytest.mark.parametrize("count", COUNTS)
def test_every_answer_can_be_read(count: int) -> None:
    """Damaged, deep, endless or of another shape: the message is one line, the error pickles."""
    print(f"seed {SEED}, {count} answers")  # noqa: T201 - pytest shows it when one fails
    for response in answers(SEED, count):
        read_in_every_way(response)


@pytest.mark.parametrize("count", COUNTS)
def test_every_call_of_a_receiver_is_answered(count: int) -> None:
    """Nothing breaks it, only genuine addresses are heard, and only a job's id is taken."""
    print(f"seed {SEED}, {count} calls")  # noqa: T201 - as above
    with target(SEED) as called:
        for call in called.calls(count):
            called.check(call)
