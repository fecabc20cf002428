"""The fixture `krea_emulator`; every test run loads this module, so it imports next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krea_aleph.emulator import Emulator


def pytest_configure(config: pytest.Config) -> None:
    """Make the fixture's marker known."""
    config.addinivalue_line(
        "markers", "krea_emulator(**options): options of krea_aleph.testing.Emulator"
    )


@pytest.fixture
def krea_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A local Krea for one test, in milliseconds; it serves bytes in place of videos.

    The marker ``krea_emulator(...)`` takes every option of `krea_aleph.testing.Emulator`, for
    example ``render=True`` for real videos.
    """
    from krea_aleph.emulator import Emulator  # noqa: PLC0415 - only tests that use it need the extra

    marker = request.node.get_closest_marker("krea_emulator")
    options: dict[str, Any] = {"render": False} | (
        dict(marker.kwargs) if marker is not None else {}
    )
    with Emulator(**options) as emulator:
        yield emulator
