"""Putting a finished tree in the place of the old one: all of it or nothing.

The new tree is copied beside the old one, on the same file system; then two renames exchange them.
Killed between the two, `generated/` lacks the package: `--check` says so and the next run repairs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Final

from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path

STAGE: Final = ".stage-"
ASIDE: Final = ".aside-"


def swap_in(built: Path, target: Path) -> None:
    """Replace a folder by another, or leave everything as it was.

    Args:
        built: The finished tree, anywhere.
        target: The folder to replace; it need not exist.

    Raises:
        StepError: The disk is full, a permission is missing, or a rename failed.
    """
    parent = target.parent
    stage, aside = parent / f"{STAGE}{os.getpid()}", parent / f"{ASIDE}{os.getpid()}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(parent)
        shutil.copytree(built, stage)
        _exchange(stage, target, aside)
    except OSError as error:
        raise StepError("swap", f"{target.name} was left as it was: {error}") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)


def clear_leftovers(parent: Path) -> None:
    """Remove what a killed run left behind."""
    for name in (STAGE, ASIDE):
        for leftover in parent.glob(f"{name}*"):
            shutil.rmtree(leftover)


def write_file(path: Path, data: bytes) -> None:
    """Replace one file by a rename.

    Raises:
        StepError: The disk is full or a permission is missing.
    """
    stage = path.with_name(f"{path.name}{STAGE}{os.getpid()}")
    try:
        stage.write_bytes(data)
        stage.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            stage.unlink()
        raise StepError("swap", f"{path.name} was left as it was: {error}") from error


def _exchange(stage: Path, target: Path, aside: Path) -> None:
    if not target.exists():
        stage.rename(target)
        return
    target.rename(aside)
    try:
        stage.rename(target)
    except OSError:
        aside.rename(target)
        raise
