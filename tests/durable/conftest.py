"""A Krea on which time passes fast, and databases of both kinds for the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from krea_aleph.emulator import Emulator
from postgres import Server
from weather.victim import SPEED, FastClock


@pytest.fixture
def make_url(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Returns the address of an empty database, "sqlite" or "postgres"."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / 'engine.sqlite3'}"
        server: Server = request.getfixturevalue("postgres")
        return server.database()

    return make


@pytest.fixture
def ground() -> Iterator[Callable[..., Emulator]]:
    """Makes a Krea whose jobs take so many real seconds, and that refuses what has no place."""
    made: list[Emulator] = []

    def make(*, seconds: float, places: int, **options: float) -> Emulator:
        emulator = Emulator(
            clock=FastClock(),
            render=False,
            job_seconds=seconds * SPEED,
            concurrency=places,
            **{"backlog": 0, **options},  # type: ignore[arg-type]
        )
        made.append(emulator.start())
        return emulator

    yield make
    for emulator in made:
        emulator.stop()
