"""Turning a patch that others made into a tree, and refusing what it must not hold.

Nothing is written into the working tree and nothing of the patch is run: git applies it to an
index of its own, and what counts is the tree that comes of it, not what the patch says of itself.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from updating.failure import UpdateError
from updating.paths import CONTRACT, allowed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from updating.git import Repository
    from updating.report import Report

MAX_BYTES: Final = 20_000_000
_FILE, _NOTHING = "100644", "000000"


def patched(repository: Repository, base: str, patch: bytes) -> str:
    """Apply a patch to a commit and return the id of the tree.

    Raises:
        UpdateError: It is too large, does not apply, or touches what it must not.
    """
    if not 0 < len(patch) <= MAX_BYTES:
        raise UpdateError("patch", f"{len(patch)} bytes; 1 to {MAX_BYTES} are taken")
    with tempfile.TemporaryDirectory(prefix="spec-update-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        repository.run("read-tree", base, environment=index)
        apply = ("apply", "--cached", "--whitespace=nowarn", "-")
        repository.run(*apply, data=patch, environment=index, failing="base")
        tree = repository.text("write-tree", environment=index)
    problems = [*_problems(repository, base, tree)]
    if problems:
        raise UpdateError("patch", "; ".join(problems[:10]))
    return tree


def is_of(repository: Repository, tree: str, report: Report) -> None:
    """Check that a tree has the contract that a report is about.

    Raises:
        UpdateError: They do not belong together.
    """
    contract = repository.file(tree, CONTRACT) or b""
    found = hashlib.sha256(contract).hexdigest()
    if found != report.contract.sha256:
        problem = f"the patch brings contract {found[:12]}, the report is about another one"
        raise UpdateError("patch", problem)


def _problems(repository: Repository, base: str, tree: str) -> Iterator[str]:
    listed = repository.run("diff-tree", "-r", "-z", "--no-renames", "--raw", base, tree)
    fields = listed.decode(errors="replace").split("\0")[:-1]
    if not fields:
        yield "it changes nothing"
    for about, path in zip(fields[::2], fields[1::2], strict=True):
        before, after, *_ = about.removeprefix(":").split()
        if not allowed(path):
            yield f"{path!a:.200} is no file of an update"
        elif not {before, after} <= {_FILE, _NOTHING}:
            yield f"{path} would get mode {after}: only plain files are taken"
    counted = repository.run("diff-tree", "-r", "-z", "--no-renames", "--numstat", base, tree)
    for line in counted.decode(errors="replace").split("\0")[:-1]:
        added, removed, path = line.split("\t", 2)
        if "-" in {added, removed}:
            yield f"{path!a:.200} is no text"
