"""A clean copy of a commit, in a folder that is gone afterwards, with environments lent to it.

Everything is tried there: the checkout that one works in, its branches and its uncommitted
changes are never touched, and a killed run leaves nothing but a folder for temporary files.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from updating.failure import UpdateError
from updating.git import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bootstrap import Environment


# What is written where it stands would be written for the lender, too.
_CACHES: Final = shutil.ignore_patterns("*-cache", "*.log")


@contextmanager
def workshop(repository: Repository, commit: str) -> Iterator[Repository]:
    """Check a commit out into a clone of its own.

    Raises:
        UpdateError: Git refused, or the disk is full.
    """
    folder = tempfile.mkdtemp(prefix="spec-update-")
    try:
        clone = Path(folder) / "checkout"
        top = repository.text("rev-parse", "--show-toplevel")
        repository.run("clone", "--quiet", "--shared", "--no-checkout", "--", top, str(clone))
        inside = Repository(clone)
        inside.run("checkout", "--quiet", "--detach", commit)
        yield inside
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lend(environment: Environment, root: Path) -> None:
    """Give another checkout a copy of an environment, so that nothing is installed again.

    Files are linked where the disk allows it. What is not the other checkout's yet, the project
    itself, its first script installs: the copy says that everything else is there.
    """
    folder = root / environment.folder.name
    try:
        shutil.copytree(
            environment.folder, folder, symlinks=True, ignore=_CACHES, copy_function=_link
        )
        stamp = folder / environment.stamp.name
        facts = json.loads(stamp.read_bytes())
        stamp.unlink()  # linked: writing would change the lender's
        stamp.write_text(json.dumps({"root": str(root), "requirements": facts["requirements"]}))
    except (OSError, ValueError, KeyError) as error:
        raise UpdateError("output", f"{folder.name} cannot be copied: {error}") from error


def _link(source: str, target: str) -> None:
    with suppress(OSError):
        os.link(source, target, follow_symlinks=False)
        return
    shutil.copy2(source, target, follow_symlinks=False)
