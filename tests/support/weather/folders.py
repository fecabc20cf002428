"""Where runs write their files."""

from __future__ import annotations

import os


def fast_folder() -> str | None:
    """Return a folder in memory where the system has one: no disk takes part in the weather."""
    shared = "/dev/shm"  # noqa: S108 - the folder inside gets a random name
    return shared if os.access(shared, os.W_OK) else None
