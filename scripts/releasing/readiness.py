"""What is in the way of a release: all of it at once, a sentence each."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from releasing import changelog, number
from releasing.failure import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from updating.git import Repository


def problems(repository: Repository, tag: str | None, branch: str | None) -> Iterator[str]:
    """Say what speaks against releasing the commit that is checked out.

    Args:
        repository: The checkout.
        tag: The release's tag; None before there is one.
        branch: The branch whose commits may be released; None for any commit.
    """
    if repository.text("status", "--porcelain"):
        yield "the checkout is not clean: commit or remove what `git status` lists"
    if branch and not repository.succeeds("merge-base", "--is-ancestor", "HEAD", branch):
        yield f"the commit is not on {branch}: merge it first"
    yield from changelog.problems(_text(repository, changelog.PLACE))
    try:
        version = number.read(_text(repository, number.PLACE))
        number.parts(version)
    except ReleaseError as error:
        yield from error.problems
        return
    yield from _about_the_tag(repository, tag, version)
    yield from _about_the_changelog(repository, version)


def _about_the_tag(repository: Repository, tag: str | None, version: str) -> Iterator[str]:
    expected = f"v{version}"
    if tag is not None and tag != expected:
        yield f"the tag is {tag}, but {number.PLACE} says {version}: it should be {expected}"
        return
    head, tagged = repository.commit_of("HEAD"), _commit(repository, expected)
    if tag is not None and tagged is None:
        yield f"there is no tag {tag} here: fetch it"
    elif tagged not in {None, head}:
        yield f"{expected} is another commit already: this one needs another version"
    before = f"{head}^"
    last = repository.last_release(before) if repository.succeeds("rev-parse", before) else None
    if last is not None and number.parts(version) <= number.parts(last[1:]):
        yield f"{version} is not newer than the last release, {last}"


def _about_the_changelog(repository: Repository, version: str) -> Iterator[str]:
    try:
        sections = changelog.read(_text(repository, changelog.PLACE))
    except ReleaseError:
        return  # its form has been complained about
    releases = [section.name for section in sections if section.date is not None]
    if releases[:1] != [version]:
        yield f"{changelog.PLACE} does not begin with {version}: run `scripts/release prepare`"
    if any(section.lines for section in sections if section.date is None):
        yield f"{changelog.PLACE} has entries under {changelog.UNRELEASED}, which would be left out"


def _text(repository: Repository, path: str) -> str:
    """Return a file as it is committed."""
    return (repository.file("HEAD", path) or b"").decode()


def _commit(repository: Repository, tag: str) -> str | None:
    known = repository.text("tag", "--list", tag)
    return repository.commit_of(f"refs/tags/{tag}") if known else None


def contract_problems(root: Path) -> Iterator[str]:
    """Say whether the generated code is what the contract gives."""
    command = [sys.executable, str(root / "scripts" / "regenerate"), "--check"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        yield f"the generated code is not what the contract gives:\n{said}"
