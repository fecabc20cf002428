"""Putting a finished tree in place: all of it or nothing, whatever happens in between."""

from __future__ import annotations

import collections
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codegen.swap import COMMIT, clear_leftovers, finish, swap_in
from krea_aleph.specdiff.errors import DIFFERS, StepError

from .conftest import CONTRACT, Checkout
from .test_follow import grown

KILLED = Path(__file__).with_name("killed_swaps.py")
SEED = 20261122
KILLS = 200


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def _read(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in files}


OLD = {"openapi.json": "1", "generated/package/old": "1", "generated/package/both": "1"}
NEW = {"openapi.json": "2", "generated/package/new": "2", "generated/package/both": "2"}


def _swap(root: Path, built: Path) -> None:
    target = root / "generated/package"
    swap_in({target: built, root / "openapi.json": b"2"}, root / "generated", root)


def _built(folder: Path) -> Path:
    return _write(folder, {"new": "2", "both": "2"})


def test_a_swap_replaces_everything(tmp_path: Path) -> None:
    """After a swap there are the new files and no others, and nothing is left lying about."""
    root = _write(tmp_path / "checkout", {**OLD, "generated/.stage-1/x": ""})
    _swap(root, _built(tmp_path / "built"))
    assert _read(root) == NEW


def test_a_first_swap_needs_no_old_tree(tmp_path: Path) -> None:
    """Where nothing is, the new tree is put."""
    root = tmp_path / "checkout"
    _swap(root, _built(tmp_path / "built"))
    assert _read(root) == NEW


def _dangling(root: Path, built: Path) -> None:
    (built / "dangling").symlink_to(root / "nowhere")


def _folder_for_file(root: Path, _: Path) -> None:
    (root / "openapi.json").unlink()
    (root / "openapi.json").symlink_to("/nowhere/at/all")
    (root / "generated/package").rename(root / "generated/kept")
    (root / "generated/package").write_text("a file", encoding="utf-8")


@pytest.mark.parametrize("obstacle", [_dangling, _folder_for_file])
def test_a_swap_that_fails_leaves_everything_as_it_was(obstacle: object, tmp_path: Path) -> None:
    """Whatever the system refuses, the step says so and what was there stays or comes back."""
    root, built = _write(tmp_path / "checkout", OLD), _built(tmp_path / "built")
    assert callable(obstacle)
    obstacle(root, built)
    before = sorted(path.relative_to(root) for path in root.rglob("*"))
    with pytest.raises(StepError, match="was left as it was") as caught:
        _swap(root, built)
    assert caught.value.step == "swap"
    assert sorted(path.relative_to(root) for path in root.rglob("*")) == before


def test_leftovers_of_a_killed_run_go(tmp_path: Path) -> None:
    """What a killed run left before it decided is removed, and nothing else."""
    _write(tmp_path, {".stage-7/x": "", "package/x": ""})
    clear_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["package"]


def test_nothing_to_finish_is_no_work(tmp_path: Path) -> None:
    """Without a decision of a killed run there is nothing to carry out."""
    assert not finish(tmp_path, tmp_path)


def test_killed_at_every_touch_of_the_disk_the_state_is_old_or_new(tmp_path: Path) -> None:
    """All is old, or all is new, or a mark says that the next run must finish; and it does."""
    command = [sys.executable, "-I", str(KILLED), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    assert len(seen) > 20
    for at_once, pending, after, rest in seen:
        assert at_once in {"old", "new"} or pending
        assert after == ("new" if pending else at_once)
        assert rest == ["package"]
    assert seen[-1] == ["new", False, "new", ["package"]]


def _killed_run(checkout: Checkout, document: Path, delay: float) -> bool:
    """Start an update and kill it after a while; say whether it was still running."""
    command = [checkout.python, "-I", checkout.root / "scripts/codegen/__main__.py"]
    with subprocess.Popen(
        [*command, "--from", document],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return True
        return False


@pytest.mark.long
def test_two_hundred_updates_killed_at_random_leave_no_half_state(checkout: Checkout) -> None:
    """Killed with -9 at any moment of the whole run, the checkout is old, new, or says so."""
    draw = random.Random(SEED)  # noqa: S311 - moments, no secrets
    documents = [checkout.root / "a.json", checkout.root / "b.json"]
    documents[0].write_text(json.dumps(CONTRACT), encoding="utf-8")
    documents[1].write_text(json.dumps(grown(CONTRACT)), encoding="utf-8")
    states = []
    for document in documents:
        started = time.monotonic()
        assert checkout.run("--from", str(document)).returncode == 0
        states.append(_state(checkout))
    longest = time.monotonic() - started
    found: collections.Counter[str] = collections.Counter()
    for number in range(KILLS):
        _killed_run(checkout, documents[number % 2], draw.uniform(0.5, 1.1) * longest)
        if _state(checkout) in states and not (checkout.root / "generated" / COMMIT).exists():
            found["whole"] += 1
        else:
            found["half"] += 1
            assert checkout.run("--check").returncode == DIFFERS
        assert checkout.run().returncode == 0
        assert _state(checkout) in states
    print(f"seed {SEED}: {dict(found)}")  # noqa: T201 - the counts are what is asked for


def _state(checkout: Checkout) -> dict[str, bytes]:
    contract = (checkout.root / "openapi.json").read_bytes()
    return {**checkout.files(), "openapi.json": contract}
