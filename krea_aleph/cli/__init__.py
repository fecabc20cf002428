"""The command `krea-aleph`: the library's verbs for people and for shell scripts.

It has no logic of its own: each command is a call that a program could make. Here is only the way
in, which must cost nothing: the framework, and all that speaks HTTP, come when they are needed.
"""

from __future__ import annotations

import sys

from krea_aleph import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from krea_aleph import ClientOptions

__all__ = ["main"]

_USAGE = 2
_INTERRUPTED = 130
_MISSING = "the command line needs packages that are not installed."
_HINT = "Run: pip install 'krea-aleph[cli]'"


def main(arguments: Sequence[str] | None = None, **options: Unpack[ClientOptions]) -> int:
    """Run a command and return its exit code, which `krea_aleph.cli.exits` lists.

    Args:
        arguments: The command line without the program's name; default: that of the process.
        **options: Further options of the client, below those of the command line; for programs
            that embed the command, such as tests.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        sys.stdout.write(f"krea-aleph {__version__}\n")
        return 0
    try:
        if given in ([], ["--help"], ["-h"]):
            return _help()
        from krea_aleph.cli.app import run  # noqa: PLC0415 - see above

        return run(given, options)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("krea_aleph"):
            raise
        return _say_what_is_missing(as_json="--json" in given)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (BrokenPipeError, SystemExit):  # the latter is how rich tells the same
        return _hang_up()


def _hang_up() -> int:
    """End quietly: whoever has read enough has closed the pipe."""
    import os  # noqa: PLC0415 - as above
    from contextlib import suppress  # noqa: PLC0415 - as above

    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _help() -> int:
    from krea_aleph.cli.commands import build  # noqa: PLC0415 - see above

    build().help_print([])
    return 0


def _say_what_is_missing(*, as_json: bool) -> int:
    if as_json:
        import json  # noqa: PLC0415 - as above

        document = {
            "type": "error",
            "error": "MissingExtraError",
            "message": _MISSING,
            "hint": _HINT,
            "exit_code": _USAGE,
        }
        sys.stdout.write(f"{json.dumps(document)}\n")
    else:
        sys.stderr.write(f"krea-aleph: {_MISSING} {_HINT}\n")
    return _USAGE
