"""The guide says what the command line does."""

import re
from pathlib import Path

from krea_aleph.cli import documents, exits
from krea_aleph.cli.commands import COMMANDS

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
SOURCES = Path(documents.__file__).parent


def test_every_command_is_in_the_guide() -> None:
    """And none that is not there."""
    rows = re.findall(r"^\| `([a-z]+)[^|]*\|", PAGE.partition("## ")[0], re.MULTILINE)
    assert rows == [command.name for command in COMMANDS]


def test_every_exit_code_is_in_the_guide() -> None:
    """With what it means; the words may say more there."""
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert [int(code) for code, _ in rows] == list(exits.MEANINGS)
    for code, words in rows:
        first = exits.MEANINGS[int(code)].split()[:3]
        assert words.split()[:3] == first


def test_every_document_is_in_the_guide() -> None:
    """Whoever reads documents finds each type described."""
    pattern = re.compile(r"\"type\": \"(\w+)\"|kind=\"(\w+)\"|kind: str = \"(\w+)\"")
    found = (pattern.findall(path.read_text("utf-8")) for path in SOURCES.glob("*.py"))
    written = {name for names in found for groups in names for name in groups if name}
    section = PAGE.partition("## For programs")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+)\|", section, re.MULTILINE)
    told = set(re.findall(r"`(\w+)`", "".join(cells)))
    assert told == written


def test_every_variable_is_in_the_guide() -> None:
    """What is read from the environment is no secret."""
    read = {
        name
        for path in SOURCES.glob("*.py")
        for name in re.findall(r"KREA_[A-Z_]+", path.read_text("utf-8"))
    }
    assert read <= set(re.findall(r"`(KREA_[A-Z_]+)`", PAGE))
