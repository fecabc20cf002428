"""The pipeline walks along the history of the contract, and back."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from checkouts import Checkout
from evolution.matrix import ACCEPTED, build_version, deciding_checkout, description
from krea_aleph.specdiff.errors import EXIT_CODES

KNOWN = ["v1", "v3", "v4", "absent"]
INVENTED = ["next-a", "next-b"]
SEVERITIES = {
    ("v1", "v3"): "breaking",
    ("v3", "v4"): "breaking",
    ("v4", "absent"): "breaking",
    ("absent", "v4"): "none",  # it says what it said before it was gone
    ("v4", "v3"): "breaking",
    ("v3", "v1"): "breaking",
    ("next-a", "next-b"): "breaking",
    ("next-b", "next-a"): "breaking",
}


def follow(checkout: Checkout, version: str) -> dict[str, Any]:
    """Follow a version and return the report."""
    done = checkout.run("--from", str(description(version)), "--json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def package(root: Path) -> dict[str, bytes]:
    """Read a package."""
    paths = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_a_demand_stops_for_a_human(tmp_path: Path, tools: Path) -> None:
    """Where Krea demands a field that nobody gives, the run stops, says so, and changes nothing."""
    checkout = Checkout.copied(tmp_path, tools)
    before = checkout.files()
    done = checkout.run("--from", str(description("next-b")), "--json")
    assert done.returncode == EXIT_CODES["classify"]
    assert ACCEPTED in json.loads(done.stdout)["problem"]
    assert checkout.files() == before


@pytest.mark.long
@pytest.mark.parametrize("history", [KNOWN, INVENTED], ids=["known", "invented"])
def test_along_the_history_and_back(history: list[str], tmp_path: Path, tools: Path) -> None:
    """Each step is judged and whole, gives what a direct step gives, and can be gone back."""
    checkout = deciding_checkout(tmp_path / "walk", tools)
    assert follow(checkout, history[0])["result"] == "updated"
    seen = {history[0]: checkout.files()}
    for before, now in pairwise([*history, *reversed(history[:-1])]):
        report = follow(checkout, now)
        assert (report["result"], report["severity"]) == ("updated", SEVERITIES[before, now])
        assert checkout.run("--check").returncode == 0
        assert seen.setdefault(now, checkout.files()) == checkout.files()
    for version in history:
        direct = package(build_version(version, tmp_path / "direct", tools) / "krea_aleph_api")
        walked = {
            name.removeprefix("generated/krea_aleph_api/"): data
            for name, data in seen[version].items()
            if name.startswith("generated/")
        }
        assert walked == direct


def test_the_end_of_an_operation_and_its_return(tmp_path: Path, tools: Path) -> None:
    """What vanishes keeps its last contract and is told of as retired, until it is there again."""
    checkout = Checkout.copied(tmp_path, tools)
    before = checkout.files()
    gone = follow(checkout, "absent")
    assert list(gone["retired"]) == ["create_aleph_job"]
    assert gone["returned"] == []
    operations = checkout.root / "generated/krea_aleph_api/operations.py"
    assert 'retired="' in operations.read_text("utf-8")
    again = checkout.run("--from", str(description("absent")), "--json")
    assert json.loads(again.stdout)["result"] == "nothing to do"
    back = checkout.run("--from", str(Path(__file__).parents[2] / "openapi.json"), "--json")
    assert json.loads(back.stdout)["returned"] == ["create_aleph_job"]
    assert checkout.files() == before
