"""Whether a folder can be written, found out by trying, because permissions do not say it all."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory


def problem_with(folder: Path) -> str:
    """Say why nothing could be put into a folder, which need not be there yet; "" if it could.

    Nothing of the trial is left.
    """
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with TemporaryDirectory(prefix=".krea-aleph-", dir=there):
            return ""
    except OSError as error:
        return error.strerror or type(error).__name__
    except ValueError as error:
        return str(error)
