"""The fixture `krea_emulator`; every test run loads this module, so it imports next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
    example ``render=True`` for real videos. A fault that has never happened is a warning.
    """
    import inspect  # noqa: PLC0415 - only tests that use the fixture need it
    import warnings  # noqa: PLC0415 - likewise

    from krea_aleph.emulator import Emulator  # noqa: PLC0415 - and the extra
    from krea_aleph.errors import KreaWarning  # noqa: PLC0415 - likewise

    marker = request.node.get_closest_marker("krea_emulator")
    options: dict[str, Any] = {"render": False} | (
        dict(marker.kwargs) if marker is not None else {}
    )
    _know(options, list(inspect.signature(Emulator).parameters))
    with Emulator(**options) as emulator:
        yield emulator
        unused = emulator.unused_faults
    if unused:
        told = ", ".join(f"call {fault.nth} of {fault.operation}" for fault in unused)
        warnings.warn(f"faults that never happened: {told}", KreaWarning, stacklevel=1)


def _know(options: Iterable[str], known: Sequence[str]) -> None:
    """Refuse an option that there is not, and name the nearest one."""
    from difflib import get_close_matches  # noqa: PLC0415 - as above

    for name in options:
        if name not in known:
            close = get_close_matches(name, known, 1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise pytest.UsageError(f"the marker krea_emulator has no option {name!r}{meant}")
