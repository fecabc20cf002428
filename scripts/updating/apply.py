"""The half with the token: apply a patch to the base and move the one standing branch.

It needs git and Python's standard library, and runs nothing that the patch brings.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import bootstrap
from updating import pull_request
from updating.failure import UpdateError
from updating.patch import is_of, patched
from updating.proposal import OUTCOME, PATCH, REPORT, TEXT, TITLE, Folder, texts
from updating.report import read_report
from updating.standing import Branch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from updating.git import Repository
    from updating.report import Report


class Outcome(enum.StrEnum):
    """What became of the branch; the caller finds it in `outcome.txt`."""

    MOVED = "moved"
    UNCHANGED = "unchanged"
    NOTHING = "nothing"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a proposal goes.

    Attributes:
        base: The revision to apply the patch to.
        branch: The standing branch.
        remote: Where to push it; None to leave it in this repository.
        merge_request: Ask a GitLab server to open a merge request into this branch.
        withdraw: Remove the branch when there is nothing to propose any more.
    """

    base: str
    branch: str
    remote: str | None = None
    merge_request: str | None = None
    withdraw: bool = False


def apply(repository: Repository, folder: Folder, target: Target) -> int:
    """Put a proposal onto the standing branch; the same one again changes nothing.

    Raises:
        UpdateError: The patch is refused or does not apply, people have worked on the branch, or
            the push failed; the branch is as it was.
    """
    report = read_report(folder.read(REPORT))
    base = repository.commit_of(target.base)
    branch = Branch.find(repository, target.branch, target.remote)
    if report.updated:
        written = texts(report, branch.name)
        outcome = _move(branch, base, folder, report, target)
    else:
        written = {}
        outcome = _withdraw(branch, base) if target.withdraw else Outcome.NOTHING
    folder.fill({**written, OUTCOME: f"{outcome}\n".encode()})
    bootstrap.say(f"{branch.name}: {_SAID[outcome]}")
    return 0


_SAID = {
    Outcome.MOVED: "the proposal is there",
    Outcome.UNCHANGED: "this is proposed already",
    Outcome.NOTHING: "nothing to propose",
    Outcome.WITHDRAWN: "taken back, what it proposed is no longer published",
}


def _move(branch: Branch, base: str, folder: Folder, report: Report, target: Target) -> Outcome:
    tree = patched(branch.repository, base, folder.read(PATCH))
    is_of(branch.repository, tree, report)
    if branch.proposes(tree, base):
        return Outcome.UNCHANGED
    _spare_people(branch, base)
    commit = branch.commit(tree, base, pull_request.message(report))
    branch.put(commit, [*_push_options(report, target)])
    return Outcome.MOVED


def _withdraw(branch: Branch, base: str) -> Outcome:
    if branch.tip is None:
        return Outcome.NOTHING
    _spare_people(branch, base)
    branch.remove()
    return Outcome.WITHDRAWN


def _spare_people(branch: Branch, base: str) -> None:
    if branch.has_work_of_people(base):
        problem = (
            f"{branch.name} holds what people have written: merge it, or delete the branch, and"
            " run this again"
        )
        raise UpdateError("branch", problem)


def _push_options(report: Report, target: Target) -> Iterator[str]:
    """Ask GitLab for a merge request, or to bring the open one up to date."""
    if target.merge_request is None:
        return
    written = {name: data.decode() for name, data in texts(report, target.branch).items()}
    description = written[TEXT].strip().replace("\n", "\\n")  # how GitLab wants its line ends
    yield "merge_request.create"
    yield f"merge_request.target={target.merge_request}"
    yield f"merge_request.title={written[TITLE].strip()}"
    yield f"merge_request.description={description}"
    yield f"merge_request.label={pull_request.label(report)}"
