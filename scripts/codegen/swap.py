"""Putting new files and folders in the place of old ones: all of them or none, also when killed.

Everything new is copied into one folder on the same file system. Renaming that folder to `COMMIT`
decides: killed before, all is as it was; killed after, `finish` carries out what is left, and until
it has, `--check` says so. An error in between is undone from what was put aside.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Final, NamedTuple

from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STAGE: Final = ".stage-"
COMMIT: Final = ".commit"
_TARGETS: Final = "targets.json"


class _Move(NamedTuple):
    """One thing to replace. All three are on one file system; any of them may be missing."""

    new: Path
    target: Path
    aside: Path

    def do(self) -> None:
        """Put the old one aside and the new one in its place; a file is never missing."""
        if not self.new.exists():
            return  # done by the run that was killed
        self.target.parent.mkdir(parents=True, exist_ok=True)
        if self.target.is_dir():
            self.target.rename(self.aside)
        elif self.target.exists():
            shutil.copy2(self.target, self.aside)
        self.new.replace(self.target)

    def undo(self) -> None:
        """Put the old one back, or take the new one away where there was none."""
        if not self.new.exists():
            self.target.rename(self.new)
        if self.aside.exists() and not self.target.exists():
            self.aside.replace(self.target)


def swap_in(changes: Mapping[Path, Path | bytes], parent: Path, root: Path) -> None:
    """Replace files and folders by others, or leave everything as it was.

    Args:
        changes: What is to be replaced (it need not exist yet), each with a finished folder or the
            bytes of a file; all below `root`.
        parent: Where to prepare; it is made if it is missing.
        root: The checkout, from which the places are noted.

    Raises:
        StepError: The disk is full, a permission is missing, or a rename failed.
    """
    stage = parent / f"{STAGE}{os.getpid()}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(parent)
        _prepare(changes, stage, root)
        stage.rename(parent / COMMIT)
        finish(parent, root)
    except OSError as error:
        raise StepError("swap", f"everything was left as it was: {error}") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def finish(parent: Path, root: Path) -> bool:
    """Carry out what a killed run had decided, and say whether there was anything.

    Raises:
        OSError: It cannot be done; then all is as it was before that run.
    """
    commit = parent / COMMIT
    if not commit.is_dir():
        return False
    moves = _moves(commit, root)
    try:
        for move in moves:
            move.do()
    except OSError:
        for move in moves:
            move.undo()  # if this fails too, all is still there for the next run to go on with
        shutil.rmtree(commit)
        raise
    shutil.rmtree(commit)
    return True


def clear_leftovers(parent: Path) -> None:
    """Remove what a run that was killed before it decided has left behind."""
    for leftover in parent.glob(f"{STAGE}*"):
        shutil.rmtree(leftover)


def _prepare(changes: Mapping[Path, Path | bytes], stage: Path, root: Path) -> None:
    for folder in ("new", "aside"):
        (stage / folder).mkdir(parents=True)
    for index, new in enumerate(changes.values()):
        staged = stage / "new" / str(index)
        if isinstance(new, bytes):
            staged.write_bytes(new)
        else:
            shutil.copytree(new, staged)
    targets = [target.relative_to(root).as_posix() for target in changes]
    (stage / _TARGETS).write_text(json.dumps(targets), encoding="utf-8")


def _moves(commit: Path, root: Path) -> list[_Move]:
    """Read what is to be moved; nothing where only the clearing away was cut short."""
    try:
        targets = json.loads((commit / _TARGETS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return [
        _Move(commit / "new" / str(index), root / target, commit / "aside" / str(index))
        for index, target in enumerate(targets)
    ]
