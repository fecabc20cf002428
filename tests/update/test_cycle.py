"""The whole cycle: a description changes on a server of this machine; one command, a branch."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import bootstrap
from local_site import Site, https_site
from updating.git import Repository
from updating.paths import allowed
from updating.proposal import Folder
from updating.workshop import lend

from .conftest import ROOT, Desk, git

PUBLISHED = "/openapi.json"
CONTRACT: dict[str, Any] = json.loads((ROOT / "openapi.json").read_bytes())
Done = subprocess.CompletedProcess[str]


def described(**properties: Any) -> dict[str, Any]:
    """Return the description with further or other options of the Aleph request."""
    document = copy.deepcopy(CONTRACT)
    post = document["paths"]["/generate/video/runway/aleph"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    schema["properties"] |= properties
    return document


STRENGTH = {"type": "number", "minimum": 0, "maximum": 1, "description": "How far to go."}


@dataclass(frozen=True)
class Office:
    """A checkout that follows a server of this machine.

    Attributes:
        root: The checkout, committed, with environments lent by this one.
        site: The server.
    """

    root: Path
    site: Site

    def publish(self, document: object) -> None:
        """Let the server publish a description, whatever it is."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.site.put(PUBLISHED, body, "Content-Type: application/json")


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Copy this checkout, and let its rules name a server of this machine and its authority."""
    place = tmp_path_factory.mktemp("office")
    with https_site(place) as site:
        root = place / "checkout"
        copy_files(root)
        rules = root / "scripts/codegen/rules.toml"
        text = rules.read_text()
        for kind, address in (("document", site.url(PUBLISHED)), ("page", site.url("/page.md"))):
            (line,) = [line for line in text.splitlines() if line.startswith(f"{kind} = ")]
            text = text.replace(line, f'{kind} = "{address}"')
        rules.write_text(text.replace("[upstream]\n", f'[upstream]\nca = "{site.ca}"\n'))
        for environment in (bootstrap.DEV, bootstrap.CODEGEN, bootstrap.DOCS):
            lend(environment, root)
        regenerate = [sys.executable, "scripts/regenerate"]  # the wheel carries the rules
        done = subprocess.run(regenerate, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        git(root, "init", "--quiet", "--initial-branch=main")
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--message=Start")
        yield Office(root, site)


def copy_files(root: Path) -> None:
    """Copy the files of this checkout as they are now, but not what git ignores."""
    listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in listed:
        if (ROOT / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)


@pytest.fixture
def desk(office: Office, tmp_path: Path) -> Desk:
    """Give the checkout a remote and a folder that are the test's own."""
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    git(office.root, "push", "--quiet", str(remote), "main")
    return Desk(office.root, remote, Folder(tmp_path / "proposal"))


def surroundings(desk: Desk) -> dict[str, str]:
    """Return the environment of a run: temporary files where the test can see them."""
    temporary = desk.folder.path.parent / "temporary"
    temporary.mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(temporary)}


def command(desk: Desk, *more: str) -> list[str]:
    """Write the one command, with few tests."""
    script = [sys.executable, str(desk.root / "scripts/update"), "run", "--fetch", "--no-tests"]
    return [*script, "--output", str(desk.folder.path), "--push", str(desk.remote), *more]


def update(desk: Desk, *more: str) -> Done:
    """Run the one command; whatever becomes of it, it leaves no temporary files."""
    environment = surroundings(desk)
    done = subprocess.run(
        command(desk, *more), env=environment, capture_output=True, text=True, check=False
    )
    assert list(Path(environment["TMPDIR"]).iterdir()) == []
    return done


def outcome(desk: Desk) -> str:
    """Tell what became of the branch."""
    return desk.folder.read("outcome.txt").decode().strip()


def everything(desk: Desk) -> tuple[str, str]:
    """Return all that must not change when nothing should: the remote, and the checkout."""
    mine = git(desk.root, "status", "--porcelain", "--branch")
    refs = git(desk.root, "for-each-ref")
    return git(desk.remote, "for-each-ref"), f"{mine}\n{refs}\n{git(desk.root, 'stash', 'list')}"


def test_a_changed_description_becomes_a_proposal(office: Office, desk: Desk) -> None:
    """One command: branch, text, changelog, checked; again: nothing; another change: refreshed.

    A proposal whose checks fail is made all the same, because a person goes on from it; the exit
    code tells, and the text says so first.
    """
    before = everything(desk)[1]
    office.publish(described(invented_strength=STRENGTH))
    done = update(desk)
    assert (done.returncode, outcome(desk)) == (0, "moved"), done.stderr
    first = desk.on_branch()
    assert len(first) == 2
    changed = git(desk.remote, "diff", "--name-only", *reversed(first)).split()
    assert {"openapi.json", "CHANGELOG.md", "scripts/codegen/contract.lock.json"} <= set(changed)
    assert "generated/krea_aleph_api/options.py" in changed
    assert all(map(allowed, changed))
    said = git(desk.remote, "show", "bot/spec-update:CHANGELOG.md")
    assert "- `invented_strength` of `submit` and `transform` can be given;" in said
    text = desk.folder.read("pull-request.md").decode()
    assert "**Checks passed**" in text
    assert "- adds `krea_aleph_api.options.AlephOptions.invented_strength`" in text
    assert desk.folder.read("title.txt") == git_subject(desk)
    assert desk.folder.read("label.txt") == b"spec: feature\n"

    done = update(desk)
    assert (done.returncode, outcome(desk)) == (0, "unchanged"), done.stderr
    assert desk.on_branch() == first

    brief = {"type": "string", "maxLength": 5}  # no prompt of ours is as short
    office.publish(described(invented_strength=STRENGTH, prompt=brief))
    done = update(desk)
    assert (done.returncode, outcome(desk)) == (3, "moved"), done.stderr
    refreshed = desk.on_branch()
    assert len(refreshed) == 2
    assert refreshed[0] != first[0]
    again = git(desk.remote, "show", "bot/spec-update:CHANGELOG.md")
    assert again.count("`invented_strength` of") == 1
    assert "`prompt` of `submit` and `transform` takes less than before" in again
    text = desk.folder.read("pull-request.md").decode()
    assert text.index("**Checks failed** at `one job with the emulator`") < text.index("## What")
    assert everything(desk)[1] == before


def git_subject(desk: Desk) -> bytes:
    """Return the first line of the proposal's commit message."""
    return f"{git(desk.remote, 'log', '-1', '--format=%s', 'bot/spec-update')}\n".encode()


def test_an_unchanged_description_does_nothing(office: Office, desk: Desk) -> None:
    """Other spellings and other operations are no change: no branch, no patch, exit code 0."""
    document = described()
    document["paths"]["/elsewhere"] = {"get": {"responses": {"200": {"description": "x"}}}}
    office.publish(document)
    before = everything(desk)
    done = update(desk)
    assert (done.returncode, outcome(desk)) == (0, "nothing"), done.stderr
    assert "nothing to do" in done.stderr
    assert not (desk.folder.path / "update.patch").exists()
    assert everything(desk) == before


def hostile() -> dict[str, Any]:
    """Write a description that names a file of its own choice."""
    return described(**{"../../../evil": {"type": "string"}})


def renamed() -> dict[str, Any]:
    """Write a description in which the prompt goes by another name."""
    document = described()
    post = document["paths"]["/generate/video/runway/aleph"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    schema["properties"]["text"] = schema["properties"].pop("prompt")
    schema["required"] = ["text", *(name for name in schema["required"] if name != "prompt")]
    return document


REFUSED = {
    "a page of HTML": (b"<!doctype html><title>Maintenance</title>", 23),
    "half a document": (json.dumps(CONTRACT).encode()[:5000], 12),
    "a hostile name": (hostile(), 14),
    "a renamed prompt": (renamed(), 25),
}


@pytest.mark.parametrize(("document", "code"), REFUSED.values(), ids=REFUSED)
def test_a_refused_document_changes_nothing(
    office: Office, desk: Desk, document: Any, code: int
) -> None:
    """The exit code is the step's, its words are shown, and no earlier proposal is left behind."""
    desk.folder.clear()
    desk.folder.fill({"update.patch": b"of an earlier run", "report.json": b"{}"})
    office.publish(document)
    before = everything(desk)
    done = update(desk)
    assert done.returncode == code, done.stderr
    assert "update: scripts/regenerate: it stopped" in done.stderr
    assert "No branch was touched." in done.stderr
    assert list(desk.folder.path.iterdir()) == []
    assert everything(desk) == before


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(signal.SIGKILL, id="killed"),
        pytest.param(signal.SIGTERM, id="cancelled", marks=pytest.mark.long),
    ],
)
def test_a_killed_run_damages_nothing(office: Office, desk: Desk, end: signal.Signals) -> None:
    """Neither branch nor checkout nor folder shows it; cancelled, it also cleans up."""
    office.publish(described(invented_strength=STRENGTH))
    before = everything(desk)
    environment = surroundings(desk)
    with subprocess.Popen(
        command(desk), env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("Running scripts/regenerate --check"):  # half way, the patch is made
                process.send_signal(end)
                break
        process.stderr.read()
    assert process.returncode != 0
    assert everything(desk) == before
    assert list(desk.folder.path.iterdir()) == []
    if end is signal.SIGTERM:
        assert list(Path(environment["TMPDIR"]).iterdir()) == []


@pytest.mark.long
def test_everything_is_tried_on_the_result(office: Office, desk: Desk) -> None:
    """By default scripts/check and scripts/test run on the proposal, in a checkout of its own."""
    office.publish(described(one_more=STRENGTH))
    whole = [part for part in command(desk) if part != "--no-tests"]
    done = subprocess.run(
        whole, env=surroundings(desk), capture_output=True, text=True, check=False
    )
    assert (done.returncode, outcome(desk)) == (0, "moved"), done.stderr
    text = desk.folder.read("pull-request.md").decode()
    assert "**Checks passed**: `scripts/check`, `scripts/test`." in text
    assert Repository(desk.remote).commit_of("bot/spec-update") == desk.on_branch()[0]


@pytest.mark.long
def test_the_script_for_cron_goes_the_whole_way(office: Office, desk: Desk, tmp_path: Path) -> None:
    """It tells of news once, is silent when there is none, and hands on what went wrong."""
    checkout = tmp_path / "checkout"
    git(tmp_path, "clone", "--quiet", str(desk.remote), str(checkout))
    for environment in (bootstrap.DEV, bootstrap.CODEGEN, bootstrap.DOCS):
        lend(environment, checkout)
    night = {**surroundings(desk), "CHECKOUT": str(checkout)}

    def at_night() -> Done:
        script = ["sh", str(checkout / "docs/updating/cron-update"), "--no-tests"]
        return subprocess.run(script, env=night, capture_output=True, text=True, check=False)

    office.publish(described())
    quiet = at_night()
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    office.publish(described(invented_strength=STRENGTH))
    news = at_night()
    assert news.returncode == 0, news.stdout
    assert "## A human decides" in news.stdout
    assert len(desk.on_branch()) == 2
    again = at_night()
    assert (again.returncode, again.stdout) == (0, "")
    office.publish(b"<!doctype html>")
    broken = at_night()
    assert broken.returncode == 23
    assert "update: scripts/regenerate" in broken.stdout
    assert len(desk.on_branch()) == 2
