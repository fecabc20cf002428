"""The guide to updates is true: its commands are taken, its tables and files are complete."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from krea_aleph.specdiff import errors
from updating import cli, failure, proposal

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/updating.md"
TEXT = GUIDE.read_text("utf-8")
COMMANDS = re.findall(r"^\$ (.*?)(?: {2,}#.*)?$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("line", [line for line in COMMANDS if "scripts/update" in line])
def test_the_script_takes_what_the_guide_says(line: str) -> None:
    """Each command line of the guide is one that `scripts/update` understands."""
    words = shlex.split(line)
    assert cli.arguments(words[words.index("scripts/update") + 1 :]).verb


def test_the_programs_of_the_guide_exist() -> None:
    """No command names a script that is not there."""
    named = {word for line in COMMANDS for word in re.findall(r"(?:scripts/|\.ci/)\w+", line)}
    assert len(named) > 4
    missing = {name for name in named - {"scripts/codegen"} if not (ROOT / name).is_file()}
    assert not missing


def test_the_links_of_the_guide_lead_somewhere() -> None:
    """Every file that is linked is there."""
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert links
    assert not [link for link in links if not (GUIDE.parent / link).exists()]


def test_every_exit_code_is_explained() -> None:
    """The table has all codes of `scripts/update`, and no code that does not exist."""
    rows = re.findall(r"^\| ([\d, ]+) \|", TEXT, re.MULTILINE)
    told = {int(code) for row in rows for code in row.split(",")}
    ours = {*failure.EXIT_CODES.values(), failure.CHECKS_FAILED, 0, 1, 2}
    assert ours <= told <= ours | {*errors.EXIT_CODES.values()}


def test_every_file_of_a_proposal_is_explained() -> None:
    """Who looks into the folder finds each name in the guide."""
    names = {proposal.PATCH, proposal.REPORT, proposal.READABLE, proposal.TEXT, proposal.TITLE}
    assert not [name for name in {*names, proposal.LABEL, proposal.OUTCOME} if name not in TEXT]
