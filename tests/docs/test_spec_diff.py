"""The page about the comparison is true where a program can tell."""

from __future__ import annotations

import re
from pathlib import Path

from krea_aleph.specdiff.changes import SEVERITY_EXITS

PAGE = (Path(__file__).parents[2] / "docs/spec-diff.md").read_text("utf-8")


def test_the_exit_codes_of_the_page() -> None:
    """Its table has the exit code of every severity."""
    listed = re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.MULTILINE)
    wanted = {severity.name.lower(): code for severity, code in SEVERITY_EXITS.items()}
    assert {name: int(code) for name, code in listed[: len(wanted)]} == wanted
