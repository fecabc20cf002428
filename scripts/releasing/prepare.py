"""The edits that make a commit a release: the number, and the changelog's section of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from releasing import changelog, number
from releasing.failure import ReleaseError

if TYPE_CHECKING:
    from updating.git import Repository


def prepare(repository: Repository, version: str, date: str) -> None:
    """Write a version and its day into the two files that state them.

    Raises:
        ReleaseError: The version is none, or not newer than the last release; or there is nothing
            to say about it. Nothing is written then.
    """
    last = repository.last_release("HEAD")
    if number.parts(version) <= (number.parts(last[1:]) if last else ()):
        raise ReleaseError(f"{version} is not newer than the last release, {last}")
    module = repository.root / number.PLACE
    log = repository.root / changelog.PLACE
    texts = {
        module: number.written(module.read_text(encoding="utf-8"), version),
        log: changelog.closed(log.read_text(encoding="utf-8"), version, date),
    }
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
