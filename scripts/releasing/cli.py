"""The command `scripts/release`."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import bootstrap
from releasing import changelog, number, readiness
from releasing.bill import bill_of_materials
from releasing.build import build, verify
from releasing.failure import NOT_READY, ReleaseError
from releasing.prepare import prepare
from releasing.publish import publish
from updating.failure import UpdateError
from updating.git import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER: Final = "dist"
RELEASE: Final = "TESTED_RELEASE"
"""The environment variable that names the folder to the tests in tests/packaging."""


def main(words: Sequence[str], root: Path) -> int:
    """Run the command and return its exit code.

    Args:
        words: The command line without the program's name.
        root: The checkout to work on.
    """
    options = arguments(words)
    try:
        return int(VERBS[options.verb](options, Repository(root)) or 0)
    except ReleaseError as error:
        for problem in error.problems:
            bootstrap.say(f"release: {problem}")
        return NOT_READY
    except UpdateError as error:  # git refused
        bootstrap.say(f"release: {error}")
        return NOT_READY


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Understand a command line, or leave the program with 2."""
    return _parser().parse_args(words)


def _prepare(options: argparse.Namespace, repository: Repository) -> None:
    today = dt.datetime.now(dt.UTC).date().isoformat()
    prepare(repository, options.version, options.date or today)
    bootstrap.say(
        f"{number.PLACE} and {changelog.PLACE} are of {options.version} now. Next:\n"
        f'  git commit --all --message "Release {options.version}"\n'
        "  scripts/release check"
    )


def _check(options: argparse.Namespace, repository: Repository) -> None:
    found = [*readiness.problems(repository, options.tag, options.on)]
    found += [] if found else readiness.contract_problems(repository.root)
    if found:
        raise ReleaseError(*found)
    version = number.read((repository.root / number.PLACE).read_text(encoding="utf-8"))
    bootstrap.say(f"{version} can be released.")


def _build(options: argparse.Namespace, repository: Repository) -> None:
    for path in build(repository, options.rev, options.folder, bootstrap.DEV.lock):
        print(path)


def _test(options: argparse.Namespace, repository: Repository) -> int:
    verify(options.folder)
    packaging = ["scripts/test", "tests/packaging", "-q"]
    done = subprocess.run(
        ["bash", ".ci/run"] if options.all else [sys.executable, *packaging],
        cwd=repository.root,
        env={**os.environ, RELEASE: str(options.folder.resolve())},
        check=False,
    )
    return done.returncode


def _publish(options: argparse.Namespace, _: Repository) -> int:
    uv = bootstrap.ensure(bootstrap.LOCK).with_name("uv")
    return publish(options.folder, uv)


def _notes(options: argparse.Namespace, repository: Repository) -> None:
    root = repository.root
    version = options.version or number.read((root / number.PLACE).read_text(encoding="utf-8"))
    text = (root / changelog.PLACE).read_text(encoding="utf-8")
    print(changelog.notes(text, version), end="")


def _sbom(options: argparse.Namespace, _: Repository) -> None:
    when = dt.datetime.now(dt.UTC)
    print(bill_of_materials(options.wheel, bootstrap.DEV.lock, when), end="")


VERBS: Final = {
    "prepare": _prepare,
    "check": _check,
    "build": _build,
    "test": _test,
    "publish": _publish,
    "notes": _notes,
    "sbom": _sbom,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/release",
        description="Make a release. docs/releasing.md tells how: on GitHub, on GitLab, by hand.",
        epilog="exit codes:\n  0  done\n  1  the tools could not be installed, or tests failed\n"
        f"  2  wrong command line\n  {NOT_READY}  something is in the way: it is said, a line each",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar=" | ".join(VERBS))
    preparing = verbs.add_parser("prepare", help="write version and changelog for a release")
    preparing.add_argument("version", metavar="X.Y.Z", help="the release's version")
    preparing.add_argument("--date", metavar="DAY", help="its day; default: today, in UTC")
    checking = verbs.add_parser("check", help="say what is in the way of a release")
    checking.add_argument("--tag", help="the release's tag, vX.Y.Z; without it there is none yet")
    checking.add_argument("--on", metavar="BRANCH", help="the commit must be on this branch")
    building = verbs.add_parser("build", help="build the files of a release from a commit")
    building.add_argument("--rev", default="HEAD", help="the commit; default HEAD")
    building.add_argument(
        "--output",
        dest="folder",
        type=Path,
        default=Path(FOLDER),
        metavar="DIR",
        help=f"where they are put; default {FOLDER}",
    )
    testing = verbs.add_parser("test", help="hold built files to the tests of the packaging")
    testing.add_argument("folder", type=Path, metavar="DIR", help="what build left there")
    testing.add_argument("--all", action="store_true", help="run all that CI runs, with them")
    publishing = verbs.add_parser(
        "publish", help="upload both packages to the index that UV_PUBLISH_URL names"
    )
    publishing.add_argument("folder", type=Path, metavar="DIR", help="what build left there")
    noting = verbs.add_parser("notes", help="print what the changelog says of a release")
    noting.add_argument("version", nargs="?", metavar="X.Y.Z", help="default: the current version")
    billing = verbs.add_parser("sbom", help="print the bill of materials of a wheel")
    billing.add_argument("wheel", type=Path, metavar="WHEEL", help="the wheel")
    return parser
