"""The commands by name, and one run of one of them. Its modules come only for the chosen one."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, NamedTuple

from cyclopts import App, CycloptsError, Group, Parameter

from krea_aleph.cli import output
from krea_aleph.cli.session import Session, joined, program
from krea_aleph.cli.words import paragraphs
from krea_aleph.errors import KreaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from krea_aleph import ClientOptions

_HERE: Final = "krea_aleph.cli"
_JOBS: Final = Group("Jobs", sort_key=1)
_FILES: Final = Group("Files and many jobs", sort_key=2)
_TOOLS: Final = Group("Tools", sort_key=3)
_OTHER: Final = Group("Other", sort_key=4)
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
    Command("batch", "many:batch", _FILES, "Restyle all clips of a manifest."),
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
        version_flags=(),
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
    module, _, name = command.place.partition(":")
    found = getattr(import_module(f"{_HERE}.{module}"), name)
    return paragraphs(getattr(found, "default_command", found).__doc__)


def run(arguments: Sequence[str], options: ClientOptions) -> int:
    """Run a command line and return its exit code."""
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    out = output.writer(as_json="--json" in words)
    session = Session(out, arguments, options)
    try:
        return _run(session)
    finally:
        out.close()


def _run(session: Session) -> int:
    from krea_aleph.cli.interrupts import heard  # noqa: PLC0415 - help needs no signals

    try:
        with heard(session.last_words):
            return _perform(session)
    except KeyboardInterrupt as error:
        failure = session.interruption(error)
    except BrokenPipeError:
        return 0
    except CycloptsError as error:
        from krea_aleph.cli.failures import of_usage  # noqa: PLC0415 - only for a mistake

        failure = of_usage(str(error), _path_to_help(session.arguments))
    except (KreaError, OSError) as error:
        failure = session.failure(error)
    session.out.fail(failure)
    return failure.exit_code


def _perform(session: Session) -> int:
    arguments = list(session.arguments)
    app = build(next((word for word in arguments if not word.startswith("-")), None))
    command, bound, ignored = app.parse_args(arguments, exit_on_error=False, print_error=False)
    for name in ignored:
        bound.arguments[name] = session
    code: Any = command(*bound.args, **bound.kwargs)
    return code if isinstance(code, int) else 0


def _path_to_help(arguments: Sequence[str]) -> str:
    names = {command.name for command in COMMANDS}
    return joined([*program(), *(word for word in arguments[:1] if word in names)])
