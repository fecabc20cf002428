"""What the command line says about itself.

The texts are in `golden`. After a change that is wanted, `WRITE_GOLDEN=1 scripts/test
tests/cli/test_help.py` writes them anew; read the difference before committing it.
"""

import os
import re
from pathlib import Path

import pytest

from krea_aleph import contract
from krea_aleph.cli import main
from krea_aleph.cli.commands import COMMANDS

GOLDEN = Path(__file__).parent / "golden"
# What the contract has to say changes with it; the lines around it do not.
CONTRACT = re.compile(r"╭─ Options of the contract ─.*?╰─+╯\n", re.DOTALL)
PAGES = ["", *(command.name for command in COMMANDS), "contract diff"]


@pytest.fixture
def page(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> str:
    """The help of one command."""
    assert main([*request.param.split(), "--help"]) == 0
    out, err = capsys.readouterr()
    assert not err
    return re.sub(r" +$", "", out, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "name"),
    [(page, page.replace(" ", "-") or "krea-aleph") for page in PAGES],
    indirect=["page"],
    ids=[page or "krea-aleph" for page in PAGES],
)
def test_the_help_of_each_command_is_what_was_agreed(page: str, name: str) -> None:
    """Help changes only when somebody has looked at it."""
    golden = GOLDEN / f"{name}.txt"
    shown = CONTRACT.sub("", page)
    if os.environ.get("WRITE_GOLDEN"):
        golden.write_text(shown, "utf-8")
    assert shown == golden.read_text("utf-8")


def test_every_golden_text_is_that_of_a_command() -> None:
    """What is no longer a command leaves no text behind."""
    names = {page.replace(" ", "-") or "krea-aleph" for page in PAGES}
    assert {path.stem for path in GOLDEN.iterdir()} == names


@pytest.mark.parametrize("page", ["run", "submit"], indirect=True)
def test_every_option_of_the_contract_is_in_the_help(page: str) -> None:
    """What the contract lets a request say is said here too, in the contract's own words."""
    (found,) = CONTRACT.findall(page)
    told = " ".join(found.replace("│", " ").split())
    for option in contract.options().values():
        assert f"--{option.name.replace('_', '-')} " in told
        assert option.description in told


def test_help_fits_into_the_columns_that_there_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No line is longer than the terminal is wide."""
    for columns in (40, 80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        main(["run", "--help"])
        assert max(map(len, capsys.readouterr().out.splitlines())) <= columns


def test_without_arguments_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Who types the name alone sees what there is."""
    assert main([]) == 0
    alone = capsys.readouterr().out
    main(["--help"])
    assert alone == capsys.readouterr().out


def test_each_command_says_the_same_in_the_list_and_in_its_own_help() -> None:
    """The list has no command that is not there, and none twice."""
    names = [command.name for command in COMMANDS]
    assert len(set(names)) == len(names)
