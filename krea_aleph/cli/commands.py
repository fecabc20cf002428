"""The commands by name. Their modules come only for the chosen one, and for help none of them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from importlib import import_module
from typing import Final, NamedTuple

from cyclopts import App, Group, Parameter

from krea_aleph import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_HERE: Final = "krea_aleph.cli"
_JOBS: Final = Group("Jobs", sort_key=1)
_FILES: Final = Group("Files and many jobs", sort_key=2)
_ENGINE: Final = Group("Jobs that survive", sort_key=3)
_TOOLS: Final = Group("Tools", sort_key=4)
_OTHER: Final = Group("Other", sort_key=5)
_HELP: Final = "Restyle videos with Krea's Runway Aleph: submit, wait and save, nothing paid twice."
_EPILOGUE: Final = (
    "KREA_API_KEY holds the key. krea-aleph COMMAND --help says more; krea-aleph doctor looks for"
    " what may be wrong."
)


class Command(NamedTuple):
    """One command: its name, where it is, under which heading, and what it does in a few words."""

    name: str
    place: str
    group: Group
    summary: str


COMMANDS: Final = (
    Command("run", "making:run", _JOBS, "Restyle a clip: upload, submit, wait, save the result."),
    Command("submit", "making:submit", _JOBS, "Start a job and print its id."),
    Command("wait", "following:wait", _JOBS, "Wait for a job; with -o, save its result."),
    Command("watch", "following:watch", _JOBS, "Print each change of a job until it has ended."),
    Command("get", "following:get", _JOBS, "Print a job as it is now."),
    Command("list", "following:list_jobs", _JOBS, "Print the account's jobs, newest first."),
    Command("cancel", "following:cancel", _JOBS, "Ask Krea to cancel a job."),
    Command("recover", "recovering:recover", _JOBS, "Find what became of lost submits."),
    Command("download", "following:download", _FILES, "Save the result of a job that is done."),
    Command("upload", "uploading:upload", _FILES, "Upload a file, to use it in several jobs."),
    Command(
        "preview", "previewing:preview", _FILES, "Make a contact sheet or animation of a clip."
    ),
    Command("batch", "many:batch", _FILES, "Restyle all clips of a manifest."),
    Command("compare", "looking:compare", _FILES, "Show two clips in step, in one page."),
    Command("report", "looking:report", _FILES, "Show what became of a folder's clips."),
    Command("worker", "durably:worker", _ENGINE, "Work on enqueued jobs, through any crash."),
    Command("enqueue", "durably:enqueue", _ENGINE, "Hand a job over to the workers."),
    Command("status", "standing:status", _ENGINE, "Show how enqueued jobs stand."),
    Command("result", "standing:result", _ENGINE, "Wait for an enqueued job, and say where it is."),
    Command("retry", "standing:retry", _ENGINE, "Let an enqueued job that failed be tried again."),
    Command("wake", "standing:wake", _ENGINE, "Let accounts that rest try again now."),
    Command("slots", "standing:slots", _ENGINE, "Change how many jobs are under way at once."),
    Command("rescue", "standing:rescue", _ENGINE, "Give a dead worker's jobs to the living."),
    Command("emulator", "tools:emulator", _TOOLS, "Run a local Krea, for trying things out."),
    Command("doctor", "doctor:doctor", _TOOLS, "Look for what may be wrong here."),
    Command("contract", "tools:contract", _TOOLS, "Show the pinned API contract, or compare it."),
    Command("completion", "tools:completion", _TOOLS, "Print or install shell completion."),
)


def build(chosen: str | None = None, name: str | None = None) -> App:
    """Return the program; of all commands only the chosen one is more than a line of help."""
    app = App(
        name=name or joined(program()),
        help=_HELP,
        help_format="plaintext",
        help_epilogue="" if chosen else _EPILOGUE,
        help_flags=("--help", "-h"),
        version=f"krea-aleph {__version__}",
        version_flags=() if chosen else ("--version", "-V"),
        default_parameter=Parameter(negative=(), show_default=False),
        group_commands=_OTHER,
    )
    for number, command in enumerate(COMMANDS):
        app.command(
            f"{_HERE}.{command.place}",
            name=command.name,
            group=command.group,
            sort_key=number,
            help=_described(command) if command.name == chosen else command.summary,
        )
    return app


def _described(command: Command) -> str:
    """Return all that a command says about itself, its paragraphs unwrapped."""
    from krea_aleph.cli.words import paragraphs  # noqa: PLC0415 - not for the list of commands

    module, _, name = command.place.partition(":")
    found = getattr(import_module(f"{_HERE}.{module}"), name)
    return paragraphs(getattr(found, "default_command", found).__doc__)


def program() -> list[str]:
    """Return the words that start this program again."""
    if sys.argv[0].endswith(os.path.join("krea_aleph", "__main__.py")):  # noqa: PTH118 - fast
        return ["python", "-m", "krea_aleph"]
    return ["krea-aleph"]


def joined(words: Sequence[str]) -> str:
    """Return words as a line for the shell, which shows what is in it and steers no terminal."""
    if os.name == "nt":
        return subprocess.list2cmdline(words)
    return " ".join(shlex.quote(word) if word.isprintable() else _escaped(word) for word in words)


def _escaped(word: str) -> str:
    """Return a word as bash, zsh and ksh take it where signs cannot stand for themselves."""
    signs = (sign if sign.isprintable() and sign not in "'\\" else _octal(sign) for sign in word)
    return f"$'{''.join(signs)}'"


def _octal(sign: str) -> str:
    """Return a sign by its bytes, each with three digits, so that what follows is not taken in."""
    return "".join(f"\\{byte:03o}" for byte in sign.encode("utf-8", "surrogateescape"))
