"""Each line of the threat model names tests that exist, and the linter is excused as it says."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/security.md").read_text("utf-8")
SECTIONS = {
    section.partition("\n")[0]: section
    for section in PAGE.split("\n## ")[1:]
    if "| Held by |" in section
}
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE)))


@cache
def _functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("test", TESTS)
def test_every_test_exists(test: str) -> None:
    """What is named is a test function of that file."""
    path, _, name = test.partition("::")
    assert name.startswith("test_")
    assert name in _functions(path)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_line_names_a_test(section: str) -> None:
    """No claim of the tables goes without, and what is named is written as it can be run."""
    _, _, table = SECTIONS[section].partition("|---|---|---|\n")
    rows = [row.strip("|").split("|") for row in table.splitlines() if row.startswith("|")]
    assert rows
    for what, stops, held in rows:
        assert what.strip()
        assert stops.strip()
        assert re.findall(r"`([^`]+)`", held) == re.findall(r"`(tests/[\w/]+\.py::\w+)`", held)
        assert "::" in held, what


def test_every_actor_is_there() -> None:
    """Specs, servers, callers, addresses, logs, users, proxies and prompts have a section each."""
    assert len(SECTIONS) == 9
    words = "log server network address webhook user prompts description".split()
    assert all(any(word in heading.lower() for heading in SECTIONS) for word in words)


def test_what_the_linter_is_excused() -> None:
    """The table has every exception of the library to the rules on security, and no other."""
    found = {
        (str(path.relative_to(ROOT)), rule)
        for path in (ROOT / "krea_aleph").rglob("*.py")
        for rule in re.findall(r"# noqa: .*?\b(S\d+)\b", path.read_text("utf-8"))
    }
    told = set(re.findall(r"^\| `([\w/.]+)` \| (S\d+) \| \w", PAGE, re.MULTILINE))
    assert told == found
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    assert not [rule for rule in lint["ignore"] if re.fullmatch(r"S\d+", rule)]
    excused = lint["per-file-ignores"]
    assert not [name for name in excused if name.startswith("krea") and "S1" in str(excused[name])]


def test_every_excuse_has_a_reason() -> None:
    """Whoever silences a rule on security says why, in the same line, tests included."""
    for folder in ("krea_aleph", "scripts", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            for line in path.read_text("utf-8").splitlines():
                told = re.search(r"# noqa: (?:\w+, )*S\d+(?:, \w+)*(.*)$", line)
                assert told is None or '"' in line.partition("# noqa")[2] or " - " in told[1], line
