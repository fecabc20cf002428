"""The files that start updates on other people's machines: sound, pinned, few rights."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import bootstrap
from updating import cli

from .conftest import ROOT

WORKFLOWS = {path.name: path for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
GITLAB = ROOT / "docs/updating/gitlab-ci.yml"
CRON = ROOT / "docs/updating/cron-update"
BIN = Path(sysconfig.get_path("scripts"))
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

MORE_RIGHTS = {
    ("release.yml", "attest"): {"attestations": "write", "id-token": "write"},
    ("release.yml", "publish"): {"id-token": "write"},
    ("release.yml", "announce"): {"contents": "write"},
}


def loaded(path: Path) -> dict[str, Any]:
    """Read YAML as GitHub does."""
    data: dict[str, Any] = YAML(typ="safe").load(path)
    return data


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """List the steps of every job."""
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def succeeds(*command: str | Path) -> None:
    """Run a checker; what it says if it fails."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "files"),
    [("github-workflows", list(WORKFLOWS.values())), ("gitlab-ci", [GITLAB])],
    ids=["GitHub", "GitLab"],
)
def test_they_are_of_the_form_that_the_services_want(schema: str, files: list[Path]) -> None:
    """The services' own schemas accept them."""
    succeeds(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


def test_a_checker_of_unsafe_workflows_finds_nothing() -> None:
    """No injection through expressions, no credentials left behind, no unpinned action."""
    options = ["--offline", "--no-progress", "--persona", "auditor"]
    succeeds(BIN / "zizmor", *options, WORKFLOWS["ci.yml"].parent)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_action_is_pinned_by_commit(name: str) -> None:
    """A tag can be moved; a commit cannot. The version stands beside it for people."""
    used = re.findall(r"uses: (.*)", WORKFLOWS[name].read_text())
    assert used
    assert all(PINNED.fullmatch(line) for line in used), used


def test_one_action_has_one_pin() -> None:
    """The workflows do not drift apart."""
    texts = "".join(path.read_text() for path in WORKFLOWS.values())
    pins = set(re.findall(r"uses: (.*)", texts))
    assert len({pin.partition("@")[0] for pin in pins}) == len(pins)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_job_has_more_rights_than_its_task_needs(name: str) -> None:
    """Nothing but contents: read, but for three jobs of a release that run no code of ours."""
    workflow = loaded(WORKFLOWS[name])
    top = workflow.get("permissions")
    assert top in ({}, {"contents": "read"})
    for title, job in workflow["jobs"].items():
        wanted = MORE_RIGHTS.get((name, title), {"contents": "read"})
        assert job.get("permissions", top) == wanted
        if wanted != {"contents": "read"}:
            assert "checkout@" not in str(job)
            assert "scripts/" not in str(job)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_run_leaves_credentials_or_lasts_for_ever(name: str) -> None:
    """Checkouts forget their token, and every job has an end."""
    workflow = loaded(WORKFLOWS[name])
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())
    checkouts = [step for step in steps(workflow) if "checkout@" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert "concurrency" in workflow


def test_the_job_that_meets_the_document_has_no_secret() -> None:
    """Secrets and tokens are named in the other job alone, which has an environment for them."""
    jobs = loaded(WORKFLOWS["update-spec.yml"])["jobs"]
    assert jobs.keys() == {"build", "pr"}
    said = str(jobs["build"])
    assert "secrets." not in said
    assert "github.token" not in said
    assert "environment" not in jobs["build"]
    assert jobs["pr"]["environment"] == "spec-update"
    assert jobs["pr"]["needs"] == "build"


def test_the_job_with_the_token_applies_and_builds_nothing() -> None:
    """It checks the base out, runs `apply` and talks to GitHub: no install, no test, no import."""
    job = loaded(WORKFLOWS["update-spec.yml"])["jobs"]["pr"]
    programs = [step["run"] for step in job["steps"] if "run" in step]
    ours = re.findall(r"(scripts/\w+)(?: (\w+))?", " ".join(programs))
    assert ours == [("scripts/update", "apply")]
    assert not re.search(r"\b(pip|python3?|uv|pytest|bash|source)\b", " ".join(programs))
    (checkout,) = [step for step in job["steps"] if "checkout@" in step.get("uses", "")]
    assert "ref" not in checkout["with"]
    (token,) = [step for step in job["steps"] if "app-token@" in step.get("uses", "")]
    granted = {key: value for key, value in token["with"].items() if key.startswith("permission")}
    assert granted == {"permission-contents": "write", "permission-pull-requests": "write"}


def test_no_expression_is_pasted_into_a_program() -> None:
    """What a step needs reaches it through the environment, so that no text becomes a command."""
    for path in WORKFLOWS.values():
        assert not [step for step in steps(loaded(path)) if "${{" in step.get("run", "")]


def test_scheduled_runs_end_by_themselves_and_say_so() -> None:
    """GitHub switches them off after 60 days of silence: the files tell how to go on."""
    for name in ("update-spec.yml", "audit.yml"):
        assert loaded(WORKFLOWS[name])["on"]["schedule"]
        assert "60 days" in WORKFLOWS[name].read_text()


def test_the_programs_in_workflows_are_sound() -> None:
    """The shell understands every step."""
    for path in WORKFLOWS.values():
        for step in steps(loaded(path)):
            succeeds("bash", "-n", "-c", step.get("run", ""))


GH = """#!/bin/sh
echo "$*" >> "$RECORD"
case "$*" in
  "pr list"*) [ -e "$RECORD.open" ] && echo 7 ;;
  *"/pulls -f"*) echo 8 ;;
  *DELETE*) exit 1 ;; # a label that is not there
esac
exit 0
"""
OPENED = {
    "a new one": ("moved", False, {"create", "label 8"}),
    "an open one, and news": ("moved", True, {"edit", "label 7"}),
    "an open one, no news": ("unchanged", True, {"label 7"}),
    "none, though the branch is there": ("unchanged", False, {"create", "label 8"}),
    "nothing to do": ("nothing", True, set()),
    "taken back": ("withdrawn", False, set()),
}


@pytest.mark.parametrize(("outcome", "is_open", "expected"), OPENED.values(), ids=OPENED)
def test_there_is_one_pull_request(
    tmp_path: Path, outcome: str, is_open: bool, expected: set[str]
) -> None:
    """It is opened once, refreshed when the branch moved, and otherwise left to its reviewers."""
    folder, record = tmp_path / "spec-update", tmp_path / "record"
    folder.mkdir()
    said = {"outcome.txt": outcome, "title.txt": "T $(x) `y`", "label.txt": "spec: review"}
    for name, text in {**said, "pull-request.md": "B"}.items():
        (folder / name).write_text(f"{text}\n")
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    record.touch()
    if is_open:
        (tmp_path / "record.open").touch()
    *_, last = loaded(WORKFLOWS["update-spec.yml"])["jobs"]["pr"]["steps"]
    surroundings = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(tmp_path),
        "RECORD": str(record),
        "REPOSITORY": "us/krea",
    }
    shell = ["bash", "--noprofile", "--norc", "-e", "-c", last["run"]]
    done = subprocess.run(shell, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    calls = record.read_text()
    body = "-f title=T $(x) `y` -F body=@pull-request.md"
    found = {
        "create": f"repos/us/krea/pulls -f head=bot/spec-update -f base=main {body}" in calls,
        "edit": f"PATCH repos/us/krea/pulls/7 {body}" in calls,
        "label 7": "issues/7/labels -f labels[]=spec: review" in calls,
        "label 8": "issues/8/labels -f labels[]=spec: review" in calls,
    }
    assert {name for name, there in found.items() if there} == expected
    assert "DELETE repos/us/krea/issues/7/labels/spec:%20review" not in calls


def test_the_token_of_gitlab_is_for_one_job() -> None:
    """Only the job in the environment uses it, and it goes to git alone."""
    jobs = loaded(GITLAB)
    using = [name for name, job in jobs.items() if "SPEC_UPDATE_TOKEN" in str(job)]
    assert using == ["spec-update-push"]
    assert jobs["spec-update-push"]["environment"]["name"] == "spec-update"
    assert "SPEC_UPDATE_TOKEN" not in str(jobs["spec-update-push"]["script"])
    for job in jobs.values():
        for line in job.get("script", []):
            succeeds("sh", "-n", "-c", line)


def test_the_script_for_cron_is_plain_shell() -> None:
    """Any POSIX shell understands it, and it may be run as it is."""
    succeeds("sh", "-n", CRON)
    assert CRON.stat().st_mode & 0o111
    if shutil.which("dash"):
        succeeds("dash", "-n", CRON)


@pytest.mark.parametrize("path", [WORKFLOWS["update-spec.yml"], GITLAB, CRON], ids=lambda p: p.name)
def test_all_of_them_call_the_one_script(path: Path) -> None:
    """What CI does can be run by hand: each command line is one that the script takes."""
    text = path.read_text().replace("\\\n", " ").replace("\n      --", " --")
    lines = re.findall(r"^[^#\n]*?scripts/update ([^>|\n]+)", text, re.MULTILINE)
    assert lines
    for line in lines:
        words = [word.strip('"') for word in line.split() if word != '"$@"']
        assert cli.arguments(words).verb in {"propose", "apply", "run"}


def test_the_weekly_audit_looks_at_every_lock() -> None:
    """No list of requirements is forgotten, the generator's least of all."""
    names = re.findall(r"bootstrap\.(\w+)\.lock", (ROOT / "scripts/audit").read_text())
    looked_at = {getattr(bootstrap, name).lock for name in names}
    locks = {path for path in (ROOT / "scripts").rglob("*.txt") if "--hash=" in path.read_text()}
    assert looked_at == locks
