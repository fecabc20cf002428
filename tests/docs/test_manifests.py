"""The guide to manifests is true: its blocks run in their order, and print what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs/manifests.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """Return the blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_blocks_print_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who copies the table and the programs sees the same."""
    monkeypatch.chdir(tmp_path)
    (table,) = blocks("csv")
    Path("shots.csv").write_text(table)
    names: dict[str, Any] = {"__name__": "__main__"}
    programs = blocks("python")
    assert len(programs) > 3
    for program, printed in zip(programs, blocks("text"), strict=True):
        exec(compile(program, "manifests.md", "exec"), names)  # noqa: S102 - our own text
        assert capsys.readouterr().out == printed
