"""The smaller parts: rules, template edits, trees, the swap."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from codegen.lock import Lock, read_lock
from codegen.swap import clear_leftovers, swap_in
from codegen.templates import apply_edits
from codegen.tools import pinned, refuse_other_tools
from codegen.trees import differences
from krea_aleph.specdiff.errors import DIFFERS, EXIT_CODES, StepError, step
from krea_aleph.specdiff.rules import parse_rules

from .conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DATA = ROOT / "scripts/codegen"


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_exit_codes_are_distinct() -> None:
    """Each step that can fail has a code of its own, apart from those every program has."""
    codes = [0, 1, 2, DIFFERS, *EXIT_CODES.values()]
    assert len(set(codes)) == len(codes)


def test_no_document_ends_in_a_traceback() -> None:
    """Whatever goes wrong inside a step is reported under its name."""
    with pytest.raises(StepError, match=r"slice: KeyError: 'x'") as caught, step("slice"):
        raise KeyError("x")
    assert caught.value.exit_code == EXIT_CODES["slice"]


@pytest.mark.parametrize("change", [{"operations": None}, {"media": {"format": []}}])
def test_wrong_rules_are_named(change: dict[str, Any]) -> None:
    """A key that is missing or misspelt in the rules stops before anything else."""
    data = tomllib.loads((DATA / "rules.toml").read_text(encoding="utf-8"))
    data.update(change)
    if data["operations"] is None:
        del data["operations"]
    with pytest.raises(StepError, match=r"rules\.toml does not fit"):
        parse_rules(data)


def test_an_edit_that_does_not_fit_stops() -> None:
    """A template that changed under an edit is noticed, not silently left unedited."""
    edit = {"file": "a", "count": 2, "old": "x", "new": "y", "because": "of this"}
    assert apply_edits({"a": "x-x"}, [edit]) == {"a": "y-y"}
    for text in ("x", "xxx", ""):
        with pytest.raises(StepError, match=r"fits \d times, not 2 \(of this\)"):
            apply_edits({"a": text}, [edit])


def test_the_generator_is_never_the_one_that_runs_descriptions() -> None:
    """The pinned generator is 0.29.1 or newer: older ones execute text from the document."""
    version = pinned(DATA / "requirements.txt")["openapi-python-client"]
    assert tuple(int(part) for part in version.split(".")) >= (0, 29, 1)


def test_every_pinned_requirement_has_hashes() -> None:
    """What runs on a contract is installed by hash alone, from no index in particular."""
    text = (DATA / "requirements.txt").read_text(encoding="utf-8")
    pins = pinned(DATA / "requirements.txt")
    assert len(pins) > 20
    assert text.count("--hash=sha256:") >= len(pins)
    assert "index" not in text


def test_other_tools_are_refused() -> None:
    """A tool of another version, or none at all, is named with what to do."""
    with pytest.raises(StepError, match=r"is pinned but .* Remove \.venv-codegen") as caught:
        refuse_other_tools(dict.fromkeys(pinned(DATA / "requirements.txt"), "0.0.1"))
    assert caught.value.exit_code == EXIT_CODES["tools"]


def test_the_lock_follows_an_edited_contract() -> None:
    """The same bytes keep their date, other bytes get a new one."""
    lock = read_lock(DATA / "contract.lock.json")
    contract = (ROOT / "openapi.json").read_bytes()
    assert lock.follow(contract) == lock
    edited = lock.follow(contract + b" ")
    assert edited.sha256 != lock.sha256
    assert edited.source == "edited here"
    assert edited.dump().endswith(b"\n")


@pytest.mark.parametrize("data", ["", "{}", "[]", '{"sha256": 1, "else": 2}'])
def test_a_broken_lock_is_named(data: str, tmp_path: Path) -> None:
    """A lock that cannot be read stops the run."""
    path = tmp_path / "contract.lock.json"
    path.write_text(data, encoding="utf-8")
    with pytest.raises(StepError, match=r"contract\.lock\.json cannot be used"):
        read_lock(path)


def test_differences_are_named_one_by_one(tmp_path: Path) -> None:
    """Each differing, missing and stray file is named; caches of tools are no files of a tree."""
    wanted = _tree(tmp_path / "a", {"same": "1", "other": "1", "sub/gone": "1"})
    found = _tree(
        tmp_path / "b",
        {"same": "1", "other": "2", "sub/new": "1", "__pycache__/x.pyc": "1"},
    )
    (found / "link").symlink_to("same")
    assert differences(wanted, found) == [
        "stray: link", "differs: other", "missing: sub/gone", "stray: sub/new",
    ]  # fmt: skip


def test_a_missing_tree_differs_in_every_file(tmp_path: Path) -> None:
    """A tree that is not there is all missing files, not an error."""
    wanted = _tree(tmp_path / "a", {"x": "1"})
    assert differences(wanted, tmp_path / "none") == ["missing: x"]


def test_a_swap_replaces_everything(tmp_path: Path) -> None:
    """After a swap there are the new files and no others, and nothing is left lying about."""
    target = _tree(tmp_path / "generated/package", {"old": "1", "both": "1"})
    built = _tree(tmp_path / "scratch", {"new": "2", "both": "2"})
    _tree(target.parent, {".stage-1/x": "", ".aside-1/x": ""})
    swap_in(built, target)
    assert differences(built, target) == []
    assert [path.name for path in target.parent.iterdir()] == ["package"]


def test_a_first_swap_needs_no_old_tree(tmp_path: Path) -> None:
    """Where nothing is, the new tree is put."""
    built = _tree(tmp_path / "scratch", {"new": "2"})
    swap_in(built, tmp_path / "generated/package")
    assert differences(built, tmp_path / "generated/package") == []


@pytest.mark.parametrize("obstacle", ["a file in the way", "a source that goes"])
def test_a_swap_that_fails_leaves_the_old_tree(obstacle: str, tmp_path: Path) -> None:
    """Whatever the system refuses, the step says so and the old tree stays."""
    target = _tree(tmp_path / "generated/package", {"old": "1"})
    built = _tree(tmp_path / "scratch", {"new": "2"})
    if obstacle == "a file in the way":
        (target.parent / f".aside-{os.getpid()}").write_text("", encoding="utf-8")
    else:
        (built / "dangling").symlink_to(built / "nowhere")
    with pytest.raises(StepError, match="was left as it was") as caught:
        swap_in(built, target)
    assert caught.value.step == "swap"
    assert (target / "old").read_text(encoding="utf-8") == "1"


def test_leftovers_of_a_killed_run_go(tmp_path: Path) -> None:
    """What a killed run left is removed, and nothing else."""
    _tree(tmp_path, {".stage-7/x": "", ".aside-7/x": "", "package/x": ""})
    clear_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["package"]


def test_a_lock_source_may_say_anything() -> None:
    """A lock is written in one way, so that an unchanged one is byte for byte the same."""
    lock = Lock("0" * 64, "2026-11-22", "here", {"get_job": "2026-12-01"})
    assert (
        read_lock(DATA / "contract.lock.json").dump() == (DATA / "contract.lock.json").read_bytes()
    )
    assert b'"get_job": "2026-12-01"' in lock.dump()
