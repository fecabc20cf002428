"""Putting a finished tree, its contract and its lock into the checkout."""

from __future__ import annotations

import contextlib
import fcntl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from codegen.swap import clear_leftovers, finish, swap_in
from codegen.trees import differences
from codegen.typecheck import check_types
from krea_aleph.specdiff.errors import StepError, step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codegen.pipeline import Built, Project


def install(project: Project, built: Built, contract: bytes, before: bytes) -> list[str]:
    """Check the types of a tree and put in place what differs.

    Args:
        project: The checkout.
        built: The finished tree and its lock.
        contract: The bytes of `openapi.json` that it was built from.
        before: Those that were there when the run began.

    Returns:
        A line for each file of the tree that is new, gone or different.

    Raises:
        StepError: Something stands in the way; then everything is as it was.
    """
    with step("type-check"):
        check_types(built.package, Path(sys.prefix) / "mypy-cache")
    with _alone(project), step("swap"):
        if project.contract.read_bytes() != before:
            problem = f"{project.contract.name} was changed by someone else meanwhile: run again"
            raise StepError("swap", problem)
        target = project.generated / built.package.name
        lines = differences(built.package, target)
        wanted: dict[Path, Path | bytes] = {} if not lines else {target: built.package}
        files = {project.contract: contract, project.lock: built.lock.dump()}
        wanted |= {path: data for path, data in files.items() if path.read_bytes() != data}
        if wanted:
            swap_in(wanted, project.generated, project.root)
        clear_leftovers(project.generated)
    return [line.replace("missing:", "new:").replace("stray:", "removed:") for line in lines]


def finish_killed_run(project: Project) -> None:
    """Carry out what a run had decided when it was killed.

    Raises:
        StepError: That cannot be done; then everything is as it was before that run.
    """
    with _alone(project), step("swap"):
        if finish(project.generated, project.root):
            print("finished what a killed run had begun", file=sys.stderr)


@contextlib.contextmanager
def _alone(project: Project) -> Iterator[None]:
    """Let one run at a time exchange the tree: each clears away what a killed one left."""
    with (project.data / "rules.toml").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
