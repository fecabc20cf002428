"""A library for each version of the contract, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

import bootstrap
from evolution.matrix import build_libraries


@pytest.fixture(scope="session")
def tools() -> Path:
    """Give the Python that has the pinned tools."""
    return bootstrap.ensure(bootstrap.CODEGEN)


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory, tools: Path) -> dict[str, Path]:
    """Give the folder of each library, by the version that it was built from."""
    return build_libraries(tmp_path_factory.mktemp("libraries"), tools)
