"""The half without secrets: follow a description in a clean checkout and write the proposal."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import bootstrap
from updating import checks, surface
from updating.changelog import with_entry
from updating.failure import CHECKS_FAILED, UpdateError
from updating.paths import CHANGED, CHANGELOG
from updating.proposal import PATCH, READABLE, REPORT, Folder, texts
from updating.report import Checks, Report, Surface, read_report
from updating.versions import Bump, following
from updating.workshop import workshop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from updating.git import Repository

_VERSION: Final = re.compile(rb'^__version__ = "([^"]+)"$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Wish:
    """What to propose.

    Attributes:
        source: A file with the new description; None to fetch what is published.
        base: The revision that the proposal is for.
        branch: The branch that it will be on, for its text.
        tests: Whether everything is tried on the result, or the least.
    """

    source: Path | None
    base: str
    branch: str
    tests: bool


def propose(repository: Repository, wish: Wish, folder: Folder) -> int:
    """Follow a description and leave a proposal in a folder, if there is one to make.

    Returns:
        0, or `CHECKS_FAILED` when the proposal is there and its checks fail.

    Raises:
        UpdateError: A step refused; the folder holds no proposal.
    """
    folder.clear()
    base = repository.commit_of(wish.base)
    with workshop(repository, base) as inside:
        found, readable = _regenerate(inside.root, wish.source)
        report = read_report(found)
        if not report.updated:
            folder.fill({REPORT: found})
            bootstrap.say(f"nothing to do: contract {report.contract.sha256} is what is published")
            return 0
        return _write(repository, wish, folder, Draft(inside, base, json.loads(found), readable))


@dataclass(frozen=True, slots=True)
class Draft:
    """A regenerated checkout.

    Attributes:
        inside: The checkout.
        base: The commit that it was before.
        data: The report of the regeneration, JSON data.
        readable: The same for people.
    """

    inside: Repository
    base: str
    data: dict[str, Any]
    readable: bytes


def _write(repository: Repository, wish: Wish, folder: Folder, draft: Draft) -> int:
    inside = draft.inside
    _add_changelog(inside.root, read_report(json.dumps(draft.data).encode()))
    patch = _patch(inside)
    version, changed = _compare(repository, draft.base, inside.root)
    tried = (checks.everything if wish.tests else checks.the_least)(inside.root)
    found = {"version": version, "surface": asdict(changed), "checks": asdict(tried)}
    data = json.dumps({**draft.data, "proposal": found}, indent=2).encode()
    report = read_report(data)
    files = {PATCH: patch, REPORT: data, READABLE: draft.readable, **texts(report, wish.branch)}
    folder.fill(files)
    bootstrap.say(f"{files['title.txt'].decode().strip()}\nThe proposal is in {folder.path}")
    return _told(tried)


def _told(tried: Checks) -> int:
    if tried.failed is None:
        return 0
    bootstrap.say(f"{tried.failed} fails on the result: the proposal says so")
    return CHECKS_FAILED


def _regenerate(root: Path, source: Path | None) -> tuple[bytes, bytes]:
    """Run the regeneration of a checkout in the environment of the pinned tools.

    Returns:
        The report for programs, and the one for people.
    """
    python = bootstrap.ensure(bootstrap.CODEGEN)
    readable = root.parent / READABLE
    wanted = ["--fetch"] if source is None else ["--from", str(source.resolve())]
    pipeline = [str(python), "-I", str(root / "scripts/codegen/__main__.py")]
    command = [*pipeline, *wanted, "--report", str(readable), "--json"]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        problem = "it stopped, as it says above; nothing was proposed"
        raise UpdateError("scripts/regenerate", problem, exit_code=max(done.returncode, 1))
    return done.stdout, readable.read_bytes() if readable.exists() else b""


def _add_changelog(root: Path, report: Report) -> None:
    path = root / CHANGELOG
    if not path.is_file():
        raise UpdateError("changelog", f"{CHANGELOG} is missing")
    path.write_text(with_entry(path.read_text("utf-8"), report), encoding="utf-8")


def _patch(inside: Repository) -> bytes:
    """Stage what belongs to an update and return it as a patch.

    Raises:
        UpdateError: The regeneration has changed something else, too.
    """
    inside.run("add", "--all", "--", *CHANGED)
    left = inside.run("status", "--porcelain", "-z", "--untracked-files=all").decode().split("\0")
    stray = [line[3:] for line in left if line[1:2].strip()]
    if stray:
        raise UpdateError("stray", f"changed, and no part of an update: {', '.join(stray[:10])}")
    return inside.run("diff", "--cached", "--binary", "--no-renames", "--no-ext-diff", "HEAD")


def _compare(repository: Repository, base: str, root: Path) -> tuple[str, Surface]:
    """Compare the surface with the last release.

    Returns:
        The version of that release, or of the base where there is none; and what changed.
    """
    release = repository.last_release(base)
    with _packages_of(repository, release or base) as old:
        broken, added = surface.compare(old, root)
    version = release or _version(repository, base)
    return following(version, Bump.NONE), Surface(release, broken, added)


def _version(repository: Repository, commit: str) -> str:
    found = _VERSION.search(repository.file(commit, "krea_aleph/_version.py") or b"")
    return found[1].decode() if found else "0.0.0"


@contextmanager
def _packages_of(repository: Repository, commit: str) -> Iterator[Path]:
    """Unpack the packages as they were in a commit."""
    archive = repository.run("archive", "--format=tar", commit, "krea_aleph", "generated")
    with tempfile.TemporaryDirectory(prefix="spec-update-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(folder, filter="data")
        yield Path(folder)
