"""Bad weather: scenarios in three colours, and the way in which whole runs are played."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from colours import aleph, clip, colour, emulator, open_client
from weather.folders import fast_folder

__all__ = ["aleph", "clip", "colour", "emulator", "open_client"]


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory, where the system has such: hundreds of runs write files."""
    with TemporaryDirectory(dir=fast_folder()) as folder:
        yield Path(folder)
