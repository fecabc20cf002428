"""What is in the way of a release, what it consists of, and the jobs that make one."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from ruamel.yaml import YAML

import bootstrap
import krea_aleph
from releasing import build, changelog, cli, number, readiness
from releasing.bill import bill_of_materials
from releasing.failure import NOT_READY, ReleaseError
from releasing.prepare import prepare
from updating.git import Repository

from .conftest import ROOT, needed, run
from .conftest import build as build_one

GIT = ("git", "-c", "user.name=Somebody", "-c", "user.email=somebody@localhost")
WORKFLOW = ROOT / ".github/workflows/release.yml"
GITLAB = ROOT / "docs/releasing/gitlab-ci.yml"
BY_HAND = ROOT / "docs/releasing/publish"
ENTRIES = "### Added\n\n- Something.\n"


def git(root: Path, *words: str) -> str:
    """Run git as somebody."""
    return run(*GIT, *words, cwd=root).strip()


def commit(root: Path, version: str = "0.2.0", log: str | None = None) -> None:
    """Commit a version and a changelog; the default is a release."""
    default = f"## Unreleased\n\n## {version} - 2026-12-01\n\n{ENTRIES}"
    (root / "krea_aleph").mkdir(exist_ok=True)
    (root / number.PLACE).write_text(f'"""The version."""\n\n__version__ = "{version}"\n')
    (root / changelog.PLACE).write_text(f"# Changelog\n\n{default if log is None else log}")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", f"Be {version}")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A checkout whose commit can be released, on the branch main; 0.1.0 was before it."""
    root = tmp_path / "shop"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch", "main")
    commit(root, "0.1.0")
    git(root, "tag", "v0.1.0")
    commit(root)
    return root


def said(root: Path, tag: str | None = None, branch: str | None = None) -> list[str]:
    """What is in the way there."""
    return [*readiness.problems(Repository(root), tag, branch)]


def test_a_release_that_is_ready(shop: Path) -> None:
    """Before the tag, and with it, on its branch, nothing is in the way."""
    assert said(shop) == []
    git(shop, "tag", "v0.2.0")
    assert said(shop, "v0.2.0", "main") == []


def _dirty(root: Path) -> None:
    (root / "krea_aleph" / "left.py").touch()


def _elsewhere(root: Path) -> None:
    git(root, "switch", "--quiet", "--create", "side")
    commit(root)


def _older(root: Path) -> None:
    git(root, "tag", "v0.3.0")
    commit(root)


def _taken(root: Path) -> None:
    git(root, "tag", "v0.2.0")
    commit(root)


def _unclosed(root: Path) -> None:
    commit(root, log=f"## Unreleased\n\n{ENTRIES}\n## 0.1.0 - 2026-12-01\n\n{ENTRIES}")


def _left_out(root: Path) -> None:
    commit(root, log=f"## Unreleased\n\n{ENTRIES}\n## 0.2.0 - 2026-12-01\n\n{ENTRIES}")


def _malformed(root: Path) -> None:
    commit(root, log=f"## Unreleased\n\n## 0.2.0\n\n{ENTRIES}")


def _candidate(root: Path) -> None:
    commit(root, "0.2.0rc1")


def _no_number(root: Path) -> None:
    (root / number.PLACE).write_text("__version__ = find()\n")
    git(root, "commit", "--quiet", "--all", "--message", "Find it")


OBSTACLES = {
    "what is not committed": (_dirty, "the checkout is not clean"),
    "a commit of another branch": (_elsewhere, "not on main: merge it first"),
    "a newer release": (_older, "0.2.0 is not newer than the last release, v0.3.0"),
    "a tag that is taken": (_taken, "v0.2.0 is another commit already"),
    "a changelog that was not closed": (
        _unclosed,
        "does not begin with 0.2.0: run `scripts/release",
    ),
    "entries that would be left out": (_left_out, "entries under Unreleased, which would be left"),
    "a changelog of another form": (_malformed, "`## 0.2.0` is neither"),
    "a version that is no release": (_candidate, "'0.2.0rc1' is no version to release"),
    "a version that is not stated": (_no_number, "needs one line such as"),
}


@pytest.mark.parametrize(("change", "expected"), OBSTACLES.values(), ids=OBSTACLES)
def test_each_obstacle_is_named(shop: Path, change: Any, expected: str) -> None:
    """Whatever is wrong is said in words, before anything is built."""
    change(shop)
    found = said(shop, branch="main")
    assert any(expected in problem for problem in found), found


def test_the_tag_says_the_version(shop: Path) -> None:
    """A tag of another version is refused, and so is one that is not there."""
    (found,) = said(shop, "v0.2.1")
    assert "the tag is v0.2.1" in found
    assert "should be v0.2.0" in found
    assert said(shop, "v0.2.0") == ["there is no tag v0.2.0 here: fetch it"]


def test_a_release_from_end_to_end(shop: Path) -> None:
    """What `prepare` writes is, once it is committed, what `check` wants."""
    log = (shop / changelog.PLACE).read_text()
    commit(shop, log=log.split("\n", 2)[2].replace("Unreleased\n", f"Unreleased\n\n{ENTRIES}", 1))
    git(shop, "tag", "v0.2.0", "HEAD^")
    prepare(Repository(shop), "0.3.0", "2026-12-24")
    assert number.read((shop / number.PLACE).read_text()) == "0.3.0"
    git(shop, "commit", "--quiet", "--all", "--message", "Release 0.3.0")
    assert said(shop, branch="main") == []
    assert changelog.notes((shop / changelog.PLACE).read_text(), "0.3.0") == ENTRIES


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.1.0", "not newer"),
        ("0.3", "no version"),
        ("v0.3.0", "no version"),
        ("0.3.0", "says noth"),
    ],
)
def test_what_cannot_be_prepared(shop: Path, version: str, expected: str) -> None:
    """Nothing is written for a version that is old, is none, or has nothing to tell."""
    with pytest.raises(ReleaseError, match=expected):
        prepare(Repository(shop), version, "2026-12-24")
    assert git(shop, "status", "--porcelain") == ""


def test_the_command_says_what_is_in_the_way(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each obstacle is a line on stderr, and the exit code is 3."""
    _dirty(shop)
    _unclosed(shop)
    _dirty(shop)
    (shop / "left").touch()
    assert cli.main(["check"], shop) == NOT_READY
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len([line for line in lines if line.startswith("release: ")]) == 3


def test_the_command_prints_notes(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are those of the current version, or of another one that is named."""
    assert cli.main(["notes"], shop) == 0
    assert cli.main(["notes", "0.2.0"], shop) == 0
    assert capsys.readouterr().out == 2 * ENTRIES
    assert cli.main(["notes", "0.9.0"], shop) == NOT_READY


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of this project's last commit, in a checkout where more lies about."""
    root = tmp_path_factory.mktemp("checkout") / "project"
    run("git", "clone", "--quiet", ROOT, root, cwd=ROOT)
    (root / "krea_aleph" / "left.py").write_text("not committed")
    folder = root / "dist"
    build.build(Repository(root), "HEAD", folder, bootstrap.DEV.lock)
    return folder


def test_a_release_is_built_of_what_is_committed(
    built: Path, tmp_path: Path, epoch: dict[str, str]
) -> None:
    """An sdist, a wheel, the bill of materials, checksums: of the commit, at the commit's time."""
    version = number.read(run("git", "show", f"HEAD:{number.PLACE}", cwd=ROOT))
    names = {path.name for path in built.iterdir()} - {build.NOTES}
    wheel, sdist = f"krea_aleph-{version}-py3-none-any.whl", f"krea_aleph-{version}.tar.gz"
    assert names == {wheel, sdist, build.BILL, build.CHECKSUMS}
    checkout = tmp_path / "checkout"
    run("git", "clone", "--quiet", ROOT, checkout, cwd=ROOT)
    for target, name in (("wheel", wheel), ("sdist", sdist)):
        again = build_one(checkout, target, tmp_path / target, **epoch)
        assert again.read_bytes() == (built / name).read_bytes()
    moment = run("git", "log", "-1", "--format=%cI", cwd=ROOT).strip()
    told = json.loads((built / build.BILL).read_text())["metadata"]["timestamp"]
    assert dt.datetime.fromisoformat(told) == dt.datetime.fromisoformat(moment)


def test_checksums_are_what_sha256sum_reads(built: Path) -> None:
    """Whoever has the files can hold them to the list with a common tool."""
    assert run("sha256sum", "--check", build.CHECKSUMS, cwd=built).count(": OK") == 3
    build.verify(built)


def test_changed_files_are_not_tested(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A release whose files are not those that were built is refused by name."""
    for path in built.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (wheel,) = tmp_path.glob("*.whl")
    wheel.write_bytes(wheel.read_bytes() + b"x")
    assert cli.main(["test", str(tmp_path)], ROOT) == NOT_READY
    assert f"{wheel.name} is missing, or is not what" in capsys.readouterr().err
    assert cli.main(["test", str(tmp_path / "nowhere")], ROOT) == NOT_READY


def test_nothing_is_built_on_top_of_something(built: Path) -> None:
    """A folder that holds files is refused, so that no old one is published."""
    with pytest.raises(ReleaseError, match="is not empty"):
        build.build(Repository(ROOT), "HEAD", built, bootstrap.DEV.lock)


def test_the_bill_of_materials_is_valid(wheel: Path) -> None:
    """CycloneDX's own schema accepts it; the same wheel and time give the same text."""
    when = dt.datetime(2026, 12, 24, tzinfo=dt.UTC)
    text = bill_of_materials(wheel, bootstrap.DEV.lock, when)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert bill_of_materials(wheel, bootstrap.DEV.lock, when) == text
    data = json.loads(text)
    assert data["metadata"]["component"]["purl"] == f"pkg:pypi/krea-aleph@{krea_aleph.__version__}"
    (digest,) = data["metadata"]["component"]["hashes"]
    sum_ = run("sha256sum", wheel, cwd=ROOT).split()[0]
    assert digest == {"alg": "SHA-256", "content": sum_}
    data["bomFormat"] = "Other"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(data)) is not None


def test_the_bill_of_materials_is_what_a_plain_install_brings(wheel: Path) -> None:
    """It has all hard dependencies, none of an extra's, as they are locked, with a licence each."""
    text = bill_of_materials(wheel, bootstrap.DEV.lock, dt.datetime.now(dt.UTC))
    data = json.loads(text)
    listed = {part["name"]: part["version"] for part in data["components"]}
    lock = dict(re.findall(r"^([\w-]+)==(\S+)", bootstrap.DEV.lock.read_text(), re.MULTILINE))
    assert listed == {name: lock[name] for name in listed}
    here = {each.name.lower().replace("_", "-") for each in needed("krea-aleph", frozenset({""}))}
    assert here <= {*listed} <= here | {"typing-extensions"}  # of older Pythons
    assert all(part["licenses"] for part in data["components"])
    refs = {part["bom-ref"] for part in data["components"]}
    (own,) = [each for each in data["dependencies"] if "krea-aleph" in each["ref"]]
    assert {*own["dependsOn"]} <= refs
    assert len(own["dependsOn"]) == 5


def test_a_bill_of_materials_has_no_gaps(wheel: Path, tmp_path: Path) -> None:
    """A lock that lacks a requirement is refused."""
    lock = tmp_path / "lock.txt"
    lock.write_text(bootstrap.DEV.lock.read_text().replace("\nhttpcore==", "\nother=="))
    with pytest.raises(ReleaseError, match="the lock has no httpcore"):
        bill_of_materials(wheel, lock, dt.datetime.now(dt.UTC))


def _workflow() -> dict[str, Any]:
    jobs: dict[str, Any] = YAML(typ="safe").load(WORKFLOW)["jobs"]
    return jobs


def test_nothing_is_published_that_was_not_tested_and_approved() -> None:
    """Each job needs the one before; the one that publishes waits in an environment."""
    needs = {name: job.get("needs") for name, job in _workflow().items()}
    order = ["build", "test", "attest", "publish", "announce"]
    assert needs == dict(zip(order, [None, *order], strict=False))
    environments = {name: job.get("environment") for name, job in _workflow().items()}
    assert [name for name, environment in environments.items() if environment] == ["publish"]


def test_a_release_knows_no_secret() -> None:
    """The index trusts the workflow; no token and no password is stored anywhere."""
    assert "secrets." not in WORKFLOW.read_text()
    assert [name for name, job in _workflow().items() if "github.token" in str(job)] == ["announce"]


def test_the_variant_for_gitlab_is_sound() -> None:
    """GitLab's schema accepts it, the shell understands it, and publishing waits for somebody."""
    checker = Path(sysconfig.get_path("scripts")) / "check-jsonschema"
    run(checker, "--builtin-schema", "vendor.gitlab-ci", GITLAB, cwd=ROOT)
    jobs = YAML(typ="safe").load(GITLAB)
    for job in jobs.values():
        for line in job.get("script", []):
            run("sh", "-n", "-c", line, cwd=ROOT)
    (rule,) = jobs["release-publish"]["rules"]
    assert rule["when"] == "manual"
    assert rule["if"] == jobs[".release"]["rules"][0]["if"]
    assert [name for name, job in jobs.items() if "PUBLISH" in str(job)] == ["release-publish"]
    assert jobs["release-test"]["parallel"]["matrix"] == [
        {"PYTHON": _workflow()["test"]["strategy"]["matrix"]["python"]}
    ]


def test_the_script_for_any_index_is_plain_shell() -> None:
    """Any POSIX shell understands it, and it may be run as it is."""
    run("sh", "-n", BY_HAND, cwd=ROOT)
    assert BY_HAND.stat().st_mode & 0o111


@pytest.mark.parametrize("path", [WORKFLOW, GITLAB, BY_HAND], ids=lambda path: path.name)
def test_all_jobs_call_the_one_script(path: Path) -> None:
    """What jobs do can be done by hand: each of their lines is one that the script takes."""
    lines = re.findall(r"^[^#\n]*?scripts/release ([^>|;&\n]+)", path.read_text(), re.MULTILINE)
    verbs = [cli.arguments(shlex.split(line)).verb for line in lines]
    assert verbs[:3] == ["check", "build", "test"]


def test_the_guide_is_true() -> None:
    """The script takes its command lines; every verb and every file of a release is told."""
    text = (ROOT / "docs/releasing.md").read_text()
    lines = re.findall(r"^\$ scripts/release (.*?)(?: {2,}#.*)?$", text, re.MULTILINE)
    told = {cli.arguments(shlex.split(line)).verb for line in lines}
    assert told | {"publish"} == {*cli.VERBS}
    assert "`scripts/release publish dist`" in text
    assert not [
        name for name in (build.BILL, build.CHECKSUMS, build.NOTES) if f"`{name}`" not in text
    ]


GH = """#!/bin/sh
printf '%s\\n' "$@" > "$RECORD"
"""


def test_the_release_on_github_has_the_notes_and_every_file(built: Path, tmp_path: Path) -> None:
    """The last step takes the tag as it is, and stops if a file is not what it was."""
    (step,) = [step for step in _workflow()["announce"]["steps"] if "run" in step]
    place = tmp_path / "dist"
    place.mkdir()
    for path in built.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    surroundings = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "RECORD": str(tmp_path / "record"),
        "REPOSITORY": "us/krea",
        "GITHUB_REF_NAME": "v0.2.0",
    }
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
    where: dict[str, Any] = {"cwd": tmp_path, "env": surroundings, "capture_output": True}
    assert subprocess.run(command, **where, check=False).returncode == 0
    words = (tmp_path / "record").read_text().split("\n")
    assert words[:8] == "release create v0.2.0 --repo us/krea --verify-tag --title 0.2.0".split()
    files = {path.name for path in built.iterdir()} - {build.NOTES}
    assert {Path(word).name for word in words[10:] if word} == files
    (tmp_path / "record").unlink()
    (place / build.BILL).write_text("{}")
    assert subprocess.run(command, **where, check=False).returncode != 0
    assert not (tmp_path / "record").exists()
