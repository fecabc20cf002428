"""The half with the token: what it takes onto the branch, what it refuses, and what it spares."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from updating.apply import Target, apply
from updating.cli import main
from updating.failure import EXIT_CODES, UpdateError
from updating.patch import MAX_BYTES
from updating.proposal import OUTCOME, REPORT, TEXT, TITLE, Folder
from updating.standing import Branch

from .conftest import Desk, Edit, a_change, git, report_data

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "generated/krea_aleph_api"
ALLOWED = {
    "CHANGELOG.md",
    "openapi.json",
    "scripts/codegen/contract.lock.json",
    f"{PACKAGE}/models/job.py",
    f"{PACKAGE}/models/new_model.py",
}


def target(desk: Desk, *, withdraw: bool = False, merge_request: str | None = None) -> Target:
    """Aim at the standing branch of the remote."""
    return Target("HEAD", "bot/spec-update", str(desk.remote), merge_request, withdraw)


def put(desk: Desk, *, withdraw: bool = False) -> str:
    """Apply the proposal; what became of the branch."""
    assert apply(desk.repository, desk.folder, target(desk, withdraw=withdraw)) == 0
    return desk.folder.read(OUTCOME).decode().strip()


def an_update(number: int = 1, date: str = "2026-11-23") -> Edit:
    """Return an edit that changes every kind of file that an update changes."""

    def edit(root: Path) -> None:
        (root / "openapi.json").write_text(f'{{"openapi": "3.1.0", "number": {number}}}\n')
        (root / "CHANGELOG.md").write_text(f"# Changelog\n\n## Unreleased\n\n- {number}\n")
        lock = {"contract": {"date": date}, "retired": {}, "deprecated": {}}
        (root / "scripts/codegen/contract.lock.json").write_text(json.dumps(lock))
        (root / PACKAGE / "models/job.py").write_text(f"JOB = {number}\nDATE = '{date}'\n")
        (root / PACKAGE / "models/new_model.py").write_text("NEW = 1\n")

    return edit


def test_a_proposal_becomes_one_commit_on_the_branch(desk: Desk) -> None:
    """The branch is the base and one commit of exactly the patch, with title and text beside."""
    desk.propose(an_update())
    before = git(desk.root, "status", "--porcelain", "--branch")
    assert put(desk) == "moved"
    (_, base) = desk.on_branch()
    assert base == git(desk.root, "rev-parse", "HEAD")
    changed = git(desk.remote, "diff", "--name-only", base, "bot/spec-update").split()
    assert set(changed) == ALLOWED
    assert git(desk.remote, "log", "-1", "--format=%s", "bot/spec-update").startswith("Follow Krea")
    assert desk.folder.read(TITLE).startswith(b"Follow Krea's description of 2026-11-23")
    assert b"## What changed" in desk.folder.read(TEXT)
    assert git(desk.root, "status", "--porcelain", "--branch") == before


def test_the_same_proposal_again_moves_nothing(desk: Desk) -> None:
    """Neither a second run nor one of the next day, with other dates, pushes anything."""
    desk.propose(an_update())
    put(desk)
    before = desk.on_branch()
    desk.propose(an_update(date="2026-11-24"))
    assert put(desk) == "unchanged"
    assert desk.on_branch() == before


def test_another_proposal_replaces_the_first(desk: Desk) -> None:
    """There is one commit again, not two."""
    desk.propose(an_update())
    put(desk)
    before = desk.on_branch()
    desk.propose(an_update(2))
    assert put(desk) == "moved"
    after = desk.on_branch()
    assert len(after) == len(before) == 2
    assert after[0] != before[0]


def test_a_proposal_follows_its_base(desk: Desk) -> None:
    """When the base has moved on, the same change is proposed for the new base."""
    desk.propose(an_update())
    put(desk)
    (desk.root / "README.md").write_text("Another library.\n")
    git(desk.root, "commit", "--quiet", "--all", "--message=Go on")
    desk.propose(an_update())
    assert put(desk) == "moved"
    assert desk.on_branch()[1] == git(desk.root, "rev-parse", "HEAD")


def add_work(desk: Desk, *, amended: bool) -> None:
    """Let somebody go on from what the branch proposes."""
    git(desk.root, "fetch", "--quiet", "origin", "bot/spec-update")
    git(desk.root, "switch", "--quiet", "--detach", "FETCH_HEAD")
    (desk.root / "README.md").write_text("With a hint.\n")
    how = ["--amend", "--no-edit"] if amended else ["--message=Write a hint"]
    git(desk.root, "commit", "--quiet", "--all", *how)
    git(desk.root, "push", "--quiet", "--force", "origin", "HEAD:refs/heads/bot/spec-update")
    git(desk.root, "switch", "--quiet", "main")


@pytest.mark.parametrize("amended", [False, True], ids=["a commit", "an amended commit"])
def test_what_people_wrote_is_spared(desk: Desk, amended: bool) -> None:
    """A commit on top, or an amended one, is neither overwritten nor removed; a rerun is fine."""
    desk.propose(an_update())
    put(desk)
    add_work(desk, amended=amended)
    before = desk.on_branch()
    desk.propose(an_update())
    assert put(desk) == "unchanged"
    desk.propose(an_update(2))
    with pytest.raises(UpdateError, match="what people have written") as caught:
        put(desk)
    assert caught.value.exit_code == EXIT_CODES["branch"]
    nothing_to_do(desk)
    with pytest.raises(UpdateError, match="what people have written"):
        put(desk, withdraw=True)
    assert desk.on_branch() == before


def nothing_to_do(desk: Desk) -> None:
    """Leave the report of a run that found nothing new."""
    desk.folder.clear()
    desk.folder.fill({REPORT: json.dumps(report_data()).encode()})


def test_nothing_to_do_leaves_the_branch(desk: Desk) -> None:
    """An unchanged description touches no branch, unless it is to be withdrawn."""
    nothing_to_do(desk)
    assert put(desk) == "nothing"
    assert put(desk, withdraw=True) == "nothing"
    desk.propose(an_update())
    put(desk)
    nothing_to_do(desk)
    assert put(desk) == "nothing"
    assert len(desk.on_branch()) == 2


def test_what_is_no_longer_published_is_withdrawn(desk: Desk) -> None:
    """With --withdraw the branch goes when there is nothing to propose any more."""
    desk.propose(an_update())
    put(desk)
    nothing_to_do(desk)
    assert put(desk, withdraw=True) == "withdrawn"
    assert desk.on_branch() == []


def test_a_merged_branch_is_no_work_to_spare(desk: Desk) -> None:
    """After a merge the branch may be reused, whoever has committed there."""
    desk.propose(an_update())
    put(desk)
    add_work(desk, amended=False)
    git(desk.root, "fetch", "--quiet", "origin", "bot/spec-update")
    git(desk.root, "merge", "--quiet", "--ff-only", "FETCH_HEAD")
    desk.propose(an_update(2))
    assert put(desk) == "moved"


def test_without_a_remote_the_branch_stays_here(desk: Desk) -> None:
    """For a person who only wants to look."""
    desk.propose(an_update())
    here = Target("HEAD", "bot/spec-update")
    assert apply(desk.repository, desk.folder, here) == 0
    assert git(desk.root, "rev-parse", "bot/spec-update^") == git(desk.root, "rev-parse", "HEAD")
    assert desk.on_branch() == []
    nothing_to_do(desk)
    assert apply(desk.repository, desk.folder, Target("HEAD", here.branch, withdraw=True)) == 0
    assert git(desk.root, "branch", "--list", "bot/*") == ""


def symlink(root: Path) -> None:
    """Point a generated file at a secret."""
    (root / PACKAGE / "models/job.py").unlink()
    (root / PACKAGE / "models/job.py").symlink_to("/etc/passwd")


def executable(root: Path) -> None:
    """Let a generated file be a program."""
    (root / PACKAGE / "models/job.py").chmod(0o755)


def submodule(root: Path) -> None:
    """Bring another repository along."""
    nested = root / PACKAGE / "vendored"
    nested.mkdir()
    git(nested, "init", "--quiet")
    git(nested, "commit", "--quiet", "--allow-empty", "--message=Nested")


def written(path: str, data: bytes = b"import os\n") -> Edit:
    """Return an edit that writes a file."""

    def edit(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)

    return edit


HOSTILE = {
    "a workflow": written(".github/workflows/ci.yml"),
    "the build": written("pyproject.toml"),
    "the pipeline's rules": written("scripts/codegen/rules.toml"),
    "the updating script": written("scripts/update"),
    "the facade": written("krea_aleph/client.py"),
    "the facade, from another case": written("Krea_aleph/client.py"),
    "a removed file": lambda root: (root / "README.md").unlink(),
    "a renamed file": lambda root: (root / "README.md").rename(root / PACKAGE / "readme.py"),
    "a symbolic link": symlink,
    "a program": executable,
    "a repository": submodule,
    "attributes of git": written(f"{PACKAGE}/.gitattributes"),
    "a path file of Python": written(f"{PACKAGE}/evil.pth"),
    "a package beside": written("generated/evil/__init__.py"),
    "a module beside": written("generated/sitecustomize.py"),
    "compiled code": written(f"{PACKAGE}/models/__pycache__/job.cpython-311.pyc"),
    "a library": written(f"{PACKAGE}/fast.so"),
    "a binary in a text's place": written(f"{PACKAGE}/models/job.py", b"\0\1\2"),
    "a name with a new line": written(f"{PACKAGE}/models/a\nb.py"),
    "a name in other letters": written(f"{PACKAGE}/models/j\N{CYRILLIC SMALL LETTER O}b.py"),
}


@pytest.mark.parametrize("edit", HOSTILE.values(), ids=HOSTILE)
def test_what_an_update_must_not_hold_is_refused(desk: Desk, edit: Edit) -> None:
    """Whatever else the patch brings, none of it reaches the branch, and the exit code says so."""

    def both(root: Path) -> None:
        an_update()(root)
        edit(root)

    desk.propose(both)
    before = git(desk.root, "status", "--porcelain")
    with pytest.raises(UpdateError) as caught:
        put(desk)
    assert caught.value.exit_code == EXIT_CODES["patch"]
    assert desk.on_branch() == []
    assert git(desk.root, "status", "--porcelain") == before


@pytest.mark.parametrize("size", [0, MAX_BYTES + 1])
def test_a_patch_has_a_reasonable_size(desk: Desk, size: int) -> None:
    """Nothing at all is no proposal, and neither is what nobody could review."""
    desk.leave(b" " * size, b"")
    with pytest.raises(UpdateError, match=f"{size} bytes") as caught:
        put(desk)
    assert caught.value.exit_code == EXIT_CODES["patch"]


OUTSIDE = """\
diff --git a/{path} b/{path}
new file mode 100644
--- /dev/null
+++ b/{path}
@@ -0,0 +1 @@
+pwned
"""


@pytest.mark.parametrize("path", ["../outside.py", ".git/hooks/post-checkout", "/outside.py"])
def test_a_patch_cannot_leave_the_checkout(desk: Desk, path: str) -> None:
    """Paths above the checkout, of git itself or of the machine are refused; no file appears."""
    desk.leave(OUTSIDE.format(path=path).encode(), b"")
    with pytest.raises(UpdateError) as caught:
        put(desk)
    assert caught.value.exit_code in {EXIT_CODES["base"], EXIT_CODES["patch"]}
    assert not (desk.root / ".git/hooks/post-checkout").exists()
    assert not (desk.root.parent / "outside.py").exists()
    assert desk.on_branch() == []


def test_a_patch_for_another_base_is_refused(desk: Desk) -> None:
    """It does not apply, which is said, instead of a guess where the lines might belong."""
    desk.propose(an_update())
    written("openapi.json", b'{"other": 1}\n')(desk.root)
    git(desk.root, "commit", "--quiet", "--all", "--message=Another contract")
    with pytest.raises(UpdateError, match="does not apply") as caught:
        put(desk)
    assert caught.value.exit_code == EXIT_CODES["base"]


def test_a_report_about_another_contract_is_refused(desk: Desk) -> None:
    """What people read must be about what they merge."""
    desk.propose(an_update(), contract={"sha256": "c" * 64, "date": "2026-11-23"})
    with pytest.raises(UpdateError, match="the report is about another one"):
        put(desk)
    assert desk.on_branch() == []


NO_REPORTS = {
    "no JSON": b"<html>",
    "another shape": b"[]",
    "an invented severity": json.dumps(report_data(a_change("harmless"))).encode(),
    "a hash with more behind it": json.dumps(
        report_data(a_change(), contract={"sha256": f"{'b' * 64}\n", "date": "2026-11-23"})
    ).encode(),
    "a date that is none": json.dumps(
        report_data(a_change(), contract={"sha256": "b" * 64, "date": "[click](x)"})
    ).encode(),
    "too deep": b'{"result":' + b"[" * 100_000,
    "no version": json.dumps(
        {**report_data(a_change()), "proposal": {"version": "<b>new</b>"}}
    ).encode(),
}


@pytest.mark.parametrize("data", NO_REPORTS.values(), ids=NO_REPORTS)
def test_a_report_that_is_none_is_refused(desk: Desk, data: bytes) -> None:
    """It comes from the half that met a stranger's document: its form is checked."""
    desk.propose(an_update())
    (desk.folder.path / REPORT).write_bytes(data)
    with pytest.raises(UpdateError) as caught:
        put(desk)
    assert caught.value.exit_code == EXIT_CODES["report"]
    assert desk.on_branch() == []


def test_a_branch_that_moves_meanwhile_is_not_overwritten(desk: Desk) -> None:
    """The push goes through only if the branch is what was looked at."""
    desk.propose(an_update())
    put(desk)
    branch = Branch.find(desk.repository, "bot/spec-update", str(desk.remote))
    add_work(desk, amended=False)
    before = desk.on_branch()
    with pytest.raises(UpdateError, match="stale info") as caught:
        branch.put(desk.repository.commit_of("HEAD"))
    assert caught.value.exit_code == EXIT_CODES["push"]
    assert desk.on_branch() == before


def test_gitlab_is_asked_for_one_merge_request(desk: Desk) -> None:
    """Title, text, target and label travel with the push, the text on one line."""
    git(desk.remote, "config", "receive.advertisePushOptions", "true")
    hook = desk.remote / "hooks/post-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\nenv | grep "^GIT_PUSH_OPTION_[0-9]" > options\n')
    hook.chmod(0o755)
    desk.propose(an_update())
    assert apply(desk.repository, desk.folder, target(desk, merge_request="main")) == 0
    options = (desk.remote / "options").read_text()
    assert "=merge_request.create\n" in options
    assert "=merge_request.target=main\n" in options
    assert "=merge_request.title=Follow Krea's description of 2026-11-23: 1 feature\n" in options
    assert "\\n## What changed\\n\\n| severity |" in options


MISTAKES = {
    "no such base": (["--base", "nowhere"], "git", "nowhere is no commit here"),
    "no such remote": (["--base", "HEAD", "--push", "nowhere"], "git", "nowhere"),
    "no such branch name": (["--base", "HEAD", "--branch", "a..b"], "branch", "a..b"),
    "an option as a name": (["--base", "HEAD", "--branch=--delete"], "branch", "--delete"),
    "the branch of the checkout": (["--base", "HEAD", "--branch", "main"], "branch", "main"),
}


@pytest.mark.parametrize(("arguments", "code", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_command_line_is_named(
    desk: Desk, arguments: list[str], code: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, an exit code of its own, and no branch is touched."""
    desk.propose(an_update())
    before = git(desk.root, "for-each-ref")
    done = main(["apply", str(desk.folder.path), *arguments], desk.root)
    assert done == EXIT_CODES[code]
    told = capsys.readouterr().err
    assert said in told
    assert "No branch was touched." in told
    assert git(desk.root, "for-each-ref") == before


def test_a_folder_without_a_proposal_is_named(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who applies before proposing is told the order."""
    assert main(["apply", str(desk.root / "empty")], desk.root) == EXIT_CODES["output"]
    assert "scripts/update propose" in capsys.readouterr().err


def test_a_token_in_an_address_is_not_told(desk: Desk) -> None:
    """When a push fails, the log shows neither name nor password."""
    desk.propose(an_update())
    secret = Target("HEAD", "bot/spec-update", "https://bot:s3cret@localhost:1/nowhere.git")
    with pytest.raises(UpdateError) as caught:
        apply(desk.repository, desk.folder, secret)
    assert "s3cret" not in str(caught.value)


def test_it_runs_on_the_standard_library_alone(desk: Desk) -> None:
    """The job with the token installs nothing: nobody's package runs beside it."""
    desk.propose(an_update())
    for folder in ("krea_aleph", "scripts/codegen", "scripts/updating"):
        shutil.copytree(ROOT / folder, desk.root / folder, dirs_exist_ok=True)
    for program in ("bootstrap.py", "update"):
        shutil.copy(ROOT / "scripts" / program, desk.root / "scripts")
    script = [sys.executable, "-S", str(desk.root / "scripts/update")]
    done = subprocess.run(
        [*script, "apply", str(desk.folder.path), "--base", "HEAD"],
        cwd=desk.root,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not list(desk.root.glob(".venv*"))


def test_an_unwritable_folder_is_named(desk: Desk) -> None:
    """A file where the folder belongs is said, not a traceback."""
    with pytest.raises(UpdateError, match="cannot be written"):
        Folder(desk.root / "README.md").clear()
