"""The smaller parts: rules, template edits, trees, the swap."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from codegen.lock import REMEMBERED, Lock, State, read_lock
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


LOCK = Lock(State("0" * 64, "2026-11-22", "here"))


def test_the_lock_is_written_in_one_way() -> None:
    """An unchanged lock is byte for byte the same."""
    data = (DATA / "contract.lock.json").read_bytes()
    assert read_lock(DATA / "contract.lock.json").dump() == data


def _follow(lock: Lock, contract: bytes, *retired: str) -> Lock:
    return lock.follow(contract, source="there", retired=retired, deprecated=("get_job",))


def test_a_new_contract_is_dated_and_the_old_one_remembered() -> None:
    """The lock goes forward with today's date, and keeps what was ours before."""
    new = _follow(LOCK, b"{}", "list_jobs")
    assert new.before == (LOCK.state,)
    assert (new.state.source, new.state.retired) == ("there", {"list_jobs": new.state.date})
    assert new.state.deprecated == {"get_job": new.state.date}


def test_going_back_forgets_what_came_after() -> None:
    """An earlier contract comes back with its own date, so that its tree is what it was."""
    second = _follow(LOCK, b"2")
    third = _follow(second, b"3")
    assert len(third.before) == 2
    assert _follow(third, b"2") == second
    assert _follow(second, b"2") == second


def test_the_same_bytes_with_an_operation_retired_are_another_state() -> None:
    """Retirement is no part of the contract's bytes, and has a date that stays."""
    first = _follow(LOCK, b"2", "get_job")
    assert first.state.retired.keys() == {"get_job"}
    second = _follow(first, b"2", "get_job", "list_jobs")
    assert second.before == (LOCK.state, first.state)
    assert second.state.retired["get_job"] == first.state.retired["get_job"]


def test_only_so_many_contracts_are_remembered() -> None:
    """A checkout that is edited often does not grow a lock without end."""
    lock = LOCK
    for number in range(REMEMBERED + 5):
        lock = _follow(lock, str(number).encode())
    assert len(lock.before) == REMEMBERED
