"""What the tests of updates share: reports, and small repositories to put proposals into."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from updating.git import Repository
from updating.proposal import PATCH, REPORT, Folder
from updating.report import Report, read_report

ROOT = Path(__file__).resolve().parents[2]
ALEPH = "/paths/~1generate~1video~1runway~1aleph/post"
BODY = f"{ALEPH}/requestBody/content/application~1json/schema"
ANSWER = "/paths/~1jobs~1{id}/get/responses/200/content/application~1json/schema"


def a_change(severity: str = "feature", **said: Any) -> dict[str, Any]:
    """Write a change as the regeneration reports it."""
    change = {
        "pointer": f"{BODY}/properties/strength",
        "old": None,
        "new": {"type": "number"},
        "direction": "request",
        "consequence": "create_aleph_job.body.strength can be given; code that leaves it out goes"
        " on as before.",
    }
    return {**change, **said, "severity": severity}


def report_data(*changes: dict[str, Any], **said: Any) -> dict[str, Any]:
    """Write a whole report of the regeneration."""
    data: dict[str, Any] = {
        "result": "updated" if changes else "nothing to do",
        "severity": changes[0]["severity"] if changes else "none",
        "source": "https://api.krea.ai/openapi.json",
        "contract": {"sha256": "b" * 64, "date": "2026-11-23"},
        "previous": {"sha256": "a" * 64, "date": "2026-11-22"},
        "changes": list(changes),
        "retired": {},
        "returned": [],
        "deprecated": {},
        "aliases": [],
        "decisions": [],
        "notes": [],
        "files": [],
        "seconds": 1.0,
    }
    return {**data, **said}


def a_report(*changes: dict[str, Any], **said: Any) -> Report:
    """Make a report of the regeneration."""
    return read_report(json.dumps(report_data(*changes, **said)).encode())


def git(root: Path, *arguments: str) -> str:
    """Run git, and return what it prints."""
    command = ["git", "-c", "user.name=Somebody", "-c", "user.email=somebody@localhost"]
    done = subprocess.run(
        [*command, *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


Edit = Callable[[Path], object]


@dataclass(frozen=True)
class Desk:
    """A checkout with a remote, and a folder for proposals.

    Attributes:
        root: The checkout.
        remote: The bare repository that it is pushed to.
        folder: Where proposals are left.
    """

    root: Path
    remote: Path
    folder: Folder

    @property
    def repository(self) -> Repository:
        """The checkout's repository."""
        return Repository(self.root)

    def propose(self, edit: Edit, **said: Any) -> None:
        """Leave the proposal that an edit of the checkout makes; the checkout stays as it was."""
        edit(self.root)
        git(self.root, "add", "--all", "--force")
        patch = self.repository.run("diff", "--cached", "--binary", "HEAD")
        contract = (self.root / "openapi.json").read_bytes()
        git(self.root, "reset", "--quiet", "--hard", "HEAD")
        self.leave(patch, contract, **said)

    def leave(self, patch: bytes, its_contract: bytes, **said: Any) -> None:
        """Leave a patch with the report of a contract."""
        sha256 = hashlib.sha256(its_contract).hexdigest()
        about = {"contract": {"sha256": sha256, "date": "2026-11-23"}, **said}
        report = json.dumps(report_data(a_change(), **about)).encode()
        self.folder.clear()
        self.folder.fill({PATCH: patch, REPORT: report})

    def on_branch(self) -> list[str]:
        """List the commits of the standing branch at the remote, the newest first."""
        if not git(self.remote, "branch", "--list", "bot/spec-update"):
            return []
        return git(self.remote, "rev-list", "bot/spec-update").split()


@pytest.fixture(scope="session")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a small checkout with the files that an update changes, and a remote beside it."""
    place = tmp_path_factory.mktemp("small")
    root = place / "checkout"
    package, data = root / "generated/krea_aleph_api", root / "scripts/codegen"
    for folder in (package / "models", data):
        folder.mkdir(parents=True)
    (root / "openapi.json").write_text('{"openapi": "3.1.0"}\n')
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n")
    (root / "README.md").write_text("A library.\n")
    lock = '{"contract": {}, "retired": {}, "deprecated": {}}\n'
    (data / "contract.lock.json").write_text(lock)
    (package / "__init__.py").write_text('"""Generated."""\n')
    (package / "models/job.py").write_text("JOB = 1\n")
    git(place, "init", "--quiet", "--bare", "--initial-branch=main", "remote.git")
    git(place, "init", "--quiet", "--initial-branch=main", "checkout")
    git(root, "remote", "add", "origin", "../remote.git")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message=Start")
    git(root, "push", "--quiet", "--set-upstream", "origin", "main")
    return place


@pytest.fixture
def desk(small_project: Path, tmp_path: Path) -> Desk:
    """Copy the small project to a place of the test's own."""
    place = tmp_path / "place"
    shutil.copytree(small_project, place)
    return Desk(place / "checkout", place / "remote.git", Folder(place / "proposal"))


@pytest.fixture(scope="session")
def changelog() -> str:
    """Read the project's own changelog."""
    return (ROOT / "CHANGELOG.md").read_text("utf-8")
