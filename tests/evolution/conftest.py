"""What every version of the library does with every version of Krea, found out once."""

from __future__ import annotations

from pathlib import Path

import pytest

import bootstrap
from evolution.matrix import Played, build_libraries, play_all


@pytest.fixture(scope="session")
def tools() -> Path:
    """Give the Python that has the pinned tools."""
    return bootstrap.ensure(bootstrap.CODEGEN)


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory, tools: Path) -> dict[str, Played]:
    """Build a library from every version, and play with each on every server."""
    return play_all(build_libraries(tmp_path_factory.mktemp("libraries"), tools))
