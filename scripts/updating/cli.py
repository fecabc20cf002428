"""The command `scripts/update`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import bootstrap
from updating.apply import Target, apply
from updating.failure import CHECKS_FAILED, EXIT_CODES, UpdateError
from updating.git import Repository
from updating.proposal import Folder

if TYPE_CHECKING:
    from collections.abc import Sequence

BRANCH: Final = "bot/spec-update"
FOLDER: Final = "spec-update"
BUILDS: Final = frozenset({"propose", "run"})
"""The verbs that build and test, and need the development environment for it."""


def main(words: Sequence[str], root: Path) -> int:
    """Run the command and return its exit code.

    Args:
        words: The command line without the program's name.
        root: The checkout to work on.
    """
    options = arguments(words)
    signal.signal(signal.SIGTERM, _end)
    repository, folder = Repository(root), Folder(options.folder)
    try:
        code = _propose(options, repository, folder) if options.verb in BUILDS else 0
        if options.verb == "propose" or code not in {0, CHECKS_FAILED}:
            return code
        return _apply(options, repository, folder) or code
    except UpdateError as error:
        bootstrap.say(f"update: {error}\nNo branch was touched.")
        return error.exit_code
    except KeyboardInterrupt:
        bootstrap.say("update: interrupted. No branch was touched.")
        return 130


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Understand a command line, or leave the program with 2."""
    return _parser().parse_args(words)


def _propose(options: argparse.Namespace, repository: Repository, folder: Folder) -> int:
    from updating.propose import Wish, propose  # noqa: PLC0415 - needs what enter() installs

    wish = Wish(options.source, options.base, options.branch, tests=options.tests)
    return propose(repository, wish, folder)


def _apply(options: argparse.Namespace, repository: Repository, folder: Folder) -> int:
    target = Target(
        base=options.base,
        branch=options.branch,
        remote=options.push,
        merge_request=options.merge_request,
        withdraw=options.withdraw,
    )
    return apply(repository, folder, target)


def _end(number: int, _: object) -> NoReturn:
    """Let a job that is cancelled clean up behind itself."""
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code}  {name}" for name, code in EXIT_CODES.items())
    parser = argparse.ArgumentParser(
        prog="scripts/update",
        description="Turn a changed description of Krea's API into a proposal on one standing"
        " branch. `propose` needs no secrets, `apply` runs nothing of what it applies.",
        epilog="exit codes:\n   0  done, or nothing to do\n   1  the tools could not be installed\n"
        f"   2  wrong command line\n   {CHECKS_FAILED}  the proposal is there, but its checks fail:"
        " it says so\n  10 to 59  a step of scripts/regenerate stopped: see its --help\n"
        f"{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="propose | apply | run")
    propose = verbs.add_parser("propose", help="build and try what is new, leave it in a folder")
    applying = verbs.add_parser("apply", help="put a proposal from a folder onto the branch")
    both = verbs.add_parser("run", help="both, one after the other, for a person or cron")
    applying.add_argument("folder", type=Path, metavar="DIR", help="what propose left there")
    for verb in (propose, both):
        _building(verb)
    for verb in (applying, both):
        _placing(verb)
    _everywhere(propose, "HEAD")
    _everywhere(applying, "origin/main")
    _everywhere(both, "HEAD")
    return parser


def _building(verb: argparse.ArgumentParser) -> None:
    source = verb.add_mutually_exclusive_group()
    source.add_argument(
        "--fetch", action="store_true", help="fetch what is published; this is the default"
    )
    source.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="take it from a file, JSON or YAML"
    )
    verb.add_argument(
        "--output",
        dest="folder",
        type=Path,
        default=Path(FOLDER),
        metavar="DIR",
        help=f"where the proposal is written; default {FOLDER}",
    )
    verb.add_argument(
        "--no-tests",
        dest="tests",
        action="store_false",
        help="instead of scripts/check and scripts/test only compare the generated code once more"
        " and let the library do one job with its emulator",
    )


def _placing(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--push", metavar="REMOTE", help="push the branch there; without it it stays here"
    )
    verb.add_argument(
        "--merge-request",
        metavar="BRANCH",
        help="with --push: ask a GitLab server for a merge request into this branch",
    )
    verb.add_argument(
        "--withdraw",
        action="store_true",
        help="remove the branch when there is nothing to propose any more",
    )


def _everywhere(verb: argparse.ArgumentParser, base: str) -> None:
    verb.add_argument(
        "--branch", default=BRANCH, metavar="NAME", help=f"the standing branch; default {BRANCH}"
    )
    verb.add_argument(
        "--base", default=base, metavar="REV", help=f"the proposal is for this; default {base}"
    )
