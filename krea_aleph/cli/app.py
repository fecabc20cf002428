"""One run of one command."""

from __future__ import annotations

from typing import Any, Final

from cyclopts import CycloptsError, MissingArgumentError, UnusedCliTokensError

from krea_aleph.cli import output
from krea_aleph.cli.commands import COMMANDS, build, joined, program
from krea_aleph.cli.failures import of_usage
from krea_aleph.cli.interrupts import heard
from krea_aleph.cli.session import Session
from krea_aleph.errors import KreaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from krea_aleph import ClientOptions

_MISSPELT: Final = "Did you mean"


def run(arguments: Sequence[str], options: ClientOptions) -> int:
    """Run a command line and return its exit code."""
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    logging = bool({"--verbose", "-v"}.intersection(words))
    out = output.writer(as_json="--json" in words, logging=logging)
    session = Session(out, arguments, options)
    try:
        return _run(session)
    finally:
        out.close()


def _run(session: Session) -> int:
    try:
        with heard(session.last_words):
            return _perform(session)
    except KeyboardInterrupt as error:
        failure = session.interruption(error)
    except CycloptsError as error:
        failure = of_usage(_problem(error), _path_to_help(session.arguments))
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


def _problem(error: CycloptsError) -> str:
    """Return what is wrong with a command line, in the words of who has written it."""
    if isinstance(error, UnusedCliTokensError):
        words = ", ".join(map(repr, error.unused_tokens or ()))
        return f"not understood: {words}. A text with spaces in it needs quotes."
    said = str(error)
    if not isinstance(error, MissingArgumentError) or not error.argument or _MISSPELT in said:
        return said
    keyword = error.keyword or next(
        (token.keyword for token in error.argument.tokens if token.keyword is not None), None
    )
    return f"{error.argument.name} is missing." if keyword is None else f"{keyword} needs a value."


def _path_to_help(arguments: Sequence[str]) -> str:
    names = {command.name for command in COMMANDS}
    return joined([*program(), *(word for word in arguments[:1] if word in names)])
