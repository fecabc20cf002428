"""Options that come from the contract: what is new upstream is an option without an edit here."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from cyclopts.completion.detect import ShellDetectionError

from krea_aleph import contract
from krea_aleph.cli import params
from krea_aleph.cli.commands import COMMANDS
from krea_aleph.contract import Option

from .conftest import URL, Krea

# A program whose contract has further fields, one of them with a name that is taken here.
GROWN = """
import sys
from types import SimpleNamespace
import krea_aleph_api.constraints as constraints
import krea_aleph_api.options as options
properties = constraints.ALEPH_REQUEST["properties"]
properties["quality"] = {"type": "string", "enum": ["low", "high"]}
properties["upscale"] = {"type": "boolean"}
properties["output"] = {"type": "object"}
constraints.WIRE_NAMES = {"output_": "output"}
options.AlephOptions.__annotations__ |= {"quality": str, "upscale": bool, "output_": object}
words = options.AlephOptions.__doc__.rstrip()
margin = words.splitlines()[-1].partition("seed")[0]  # Pythons from 3.13 on have taken some away
options.AlephOptions.__doc__ = f"{words}\\n{margin}quality: How good it\\n{margin}    shall be.\\n"
from krea_aleph.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def grown(environment: dict[str, str]) -> dict[str, str]:
    """The environment of a program with a newer contract."""
    return {**environment, "COLUMNS": "100"}


def run(environment: dict[str, str], *arguments: str) -> str:
    """Run the command with a newer contract, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", GROWN, *arguments],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_new_field_is_in_the_help(grown: dict[str, str]) -> None:
    """With its words, its choices and its kind."""
    page = run(grown, "submit", "--help")
    assert "--quality TEXT " in page
    assert "How good it shall be. One of low, high." in " ".join(page.replace("│", " ").split())
    assert "--upscale true|false" in page


def test_a_new_field_is_sent_as_the_contract_has_it(grown: dict[str, str]) -> None:
    """A text becomes what the contract asks for; a taken name has another spelling."""
    options = ["--quality", "high", "--upscale", "true", "--contract-output", '{"a": 1}']
    printed = run(grown, "run", URL, "snow", "-o", "out.mp4", "--dry-run", "--json", *options)
    body = json.loads(printed.splitlines()[-1])["body"]
    assert (body["quality"], body["upscale"], body["output"]) == ("high", True, {"a": 1})


def test_the_options_of_the_contract_are_read_without_the_client() -> None:
    """The data of the generated package comes alone: nothing that speaks HTTP is imported."""
    code = (
        "import sys; from krea_aleph import contract; print(list(contract.options()));"
        "print('krea_aleph_api' in sys.modules, 'httpx' in sys.modules)"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.splitlines() == [str(list(contract.options())), "False False"]


def test_options_are_the_same_with_the_client_and_without() -> None:
    """Both ways read one file."""
    from krea_aleph import AlephOptions  # noqa: PLC0415 - from here on the client is there

    assert set(contract.options()) == set(AlephOptions.__annotations__)
    assert contract.options()["ratio"].description.startswith("Width and height")
    assert "enum" in contract.options()["ratio"].schema


@pytest.mark.parametrize(
    ("name", "spelled"),
    [("quality", "--quality"), ("store_", "--contract-store"), ("from_", "--from")],
)
def test_a_name_that_is_ours_gets_another_spelling(name: str, spelled: str) -> None:
    """No field of the contract can take an option of ours away."""
    found, annotation, default = params.field_of(Option(name, "", {}))
    assert (found, default) == (name, None)
    assert annotation.__metadata__[0].name == (spelled,)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_command_can_be_completed(krea: Krea, shell: str) -> None:
    """The scripts for shells know the commands and their options."""
    script = krea("completion", shell).out
    for command in COMMANDS:
        assert command.name in script
    assert "dry-run" in script


def test_the_shell_takes_its_completion(krea: Krea) -> None:
    """It offers the commands, as somebody sees who presses the tabulator."""
    Path("completion.bash").write_text(krea("completion", "bash").out)
    code = (
        "source completion.bash; COMP_WORDS=(krea-aleph reco); COMP_CWORD=1;"
        ' _krea_aleph; echo "${COMPREPLY[@]}"'
    )
    shown = subprocess.check_output(["/bin/bash", "-c", code], text=True)
    assert shown.split() == ["recover"]


def test_the_shell_offers_files_where_a_clip_is_wanted(krea: Krea, clip: str) -> None:
    """What bash itself knows is not lost, as somebody sees who presses the tabulator."""
    Path("completion.bash").write_text(krea("completion", "bash").out)
    read, write = pty.openpty()
    with subprocess.Popen(
        ["/bin/bash", "--norc", "-i"],
        stdin=write,
        stdout=write,
        stderr=write,
        start_new_session=True,
        env={**os.environ, "TERM": "dumb", "PS1": ""},
    ):
        os.close(write)
        os.write(read, b"krea-aleph() { echo took-$2; }; source completion.bash\n")
        os.write(read, b"krea-aleph run in.\t\nexit\n")
        shown = "".join(iter(lambda: read_from(read), ""))
    os.close(read)
    assert f"took-{clip}" in shown


def read_from(terminal: int) -> str:
    """Return what was written to a terminal; nothing once nobody can write any more."""
    try:
        return os.read(terminal, 65536).decode()
    except OSError:
        return ""


def test_a_shell_that_nobody_knows_is_asked_for(
    krea: Krea, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a shell around it the command says what to write."""
    monkeypatch.setattr("cyclopts.completion.detect.detect_shell", unknown_shell)
    done = krea("completion")
    assert done.code == 2
    assert "Name it: krea-aleph completion zsh" in done.err


def unknown_shell() -> None:
    """Find no shell."""
    raise ShellDetectionError


def test_completion_is_installed_where_the_shell_looks(krea: Krea) -> None:
    """The path is printed."""
    path = Path(krea("completion", "fish", "--install").out.strip())
    assert path.is_relative_to(Path.home())
    assert "recover" in path.read_text()


@pytest.mark.parametrize(("shell", "file"), [("bash", ".bashrc"), ("zsh", ".zshrc")])
def test_a_start_up_file_that_is_changed_is_named(krea: Krea, shell: str, file: str) -> None:
    """Once: a second time there is nothing to change."""
    done = krea("completion", shell, "--install")
    assert f"changed {Path.home() / file}: " in done.err
    assert Path(done.out.strip()).read_text("utf-8").rstrip() == krea("completion", shell).out[:-1]
    assert ("compinit" in done.err) is (shell == "zsh")
    again = krea("completion", shell, "--install", "--json").documents[-1]
    assert (again["path"], again["changed"]) == (done.out.strip(), None)
