"""Uploading the packages of a release to an index of one's own."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final

from releasing.build import verify
from releasing.failure import ReleaseError

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS: Final = "UV_PUBLISH_URL"


def publish(folder: Path, uv: Path) -> int:
    """Upload the sdist and the wheel, and nothing else, to the index of the environment.

    uv reads the address and the credentials from the environment; they are in no argument.

    Args:
        folder: What `build` has left.
        uv: The program.

    Returns:
        uv's exit code.

    Raises:
        ReleaseError: No address is given, which would mean the public index; or a file is not
            what was built.
    """
    if not os.environ.get(ADDRESS):
        raise ReleaseError(f"{ADDRESS} is not set: to which index? The public one is never meant")
    verify(folder)
    packages = [*folder.glob("*.tar.gz"), *folder.glob("*.whl")]
    command = [str(uv), "publish", "--no-config", "--trusted-publishing", "never"]
    return subprocess.run([*command, *map(str, packages)], check=False).returncode
