"""`python -m krea_aleph.contract`: which contract is this, and what has changed since?"""

from __future__ import annotations

import argparse
import io
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from krea_aleph import __version__, contract
from krea_aleph.specdiff.advice import verdict
from krea_aleph.specdiff.changes import SEVERITY_EXITS, worst
from krea_aleph.specdiff.diff import as_json, as_table
from krea_aleph.specdiff.document import dump_document
from krea_aleph.specdiff.errors import EXIT_CODES, StepError, step
from krea_aleph.specdiff.installed import Installed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from krea_aleph.specdiff.changes import Change

_INTERRUPTED: Final = 130
_STEPS: Final = (
    "rules read validate guard slice fetch page compose file empty html yaml version foreign"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _options(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may not know every letter
            stream.reconfigure(errors="backslashreplace")
    try:
        return _diff(options) if options.verb == "diff" else _show(json=options.json)
    except StepError as error:
        _say(f"contract: {error}", sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return _INTERRUPTED


def _show(*, json: bool) -> int:
    with step("rules"):
        pinned, notices = contract.pinned(), contract.notices()
    if json:
        ends = {name: asdict(notice) for name, notice in notices.items()}
        _print_json(dump_document({**asdict(pinned), "notices": ends}))
        return 0
    _say(f"contract   {pinned.sha256}")
    _say(f"taken on   {pinned.date}")
    _say(f"generator  {pinned.generator}")
    for notice in notices.values():
        _say(end_of(notice))
    return 0


def end_of(notice: contract.Notice) -> str:
    """Say when an operation ends, and what comes after it."""
    said = {
        "deprecated since": notice.deprecated,
        "switched off on": notice.sunset,
        "retired since": notice.retired,
        "replaced by": notice.replacement,
        "see": notice.migration_url,
    }
    told = [f"{words} {fact}" for words, fact in said.items() if fact]
    return f"{notice.operation}: {', '.join(told)}"


def compare(file: Path | None, save: Path | None = None) -> tuple[list[Change], list[str]]:
    """Compare the installed contract with the one in a file, or with what Krea publishes.

    Args:
        file: An OpenAPI description; None fetches what is published.
        save: Where to keep what was fetched.

    Returns:
        What has changed, and what there is to say about the comparison itself.

    Raises:
        StepError: It cannot be read, fetched or compared.
    """
    installed = Installed.load()
    published = installed.read(file) if file else installed.fetch()
    if save:
        _save(save, installed.whole(published))
    changes, remarks = installed.compare(published)
    return list(changes), list(remarks)


def conclusion(changes: Sequence[Change], file: Path | None) -> str:
    """Say what changes mean for who has this library installed."""
    return verdict(changes, _ours(), file)


def _diff(options: argparse.Namespace) -> int:
    changes, remarks = compare(options.file, options.save)
    for remark in remarks:
        _say(remark, sys.stderr if options.json else sys.stdout)
    if options.json:
        _print_json(as_json(changes))
    else:
        _say(as_table(changes))
        _say(conclusion(changes, options.file or options.save))
    return SEVERITY_EXITS[worst(changes)]


def _ours() -> str:
    pinned = contract.pinned()
    return f"krea-aleph {__version__} (contract {pinned.sha256[:12]} of {pinned.date})"


def _save(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise StepError("file", f"{path} cannot be written: {error.strerror}") from error


def _say(text: str, stream: TextIO | None = None) -> None:
    print(text, file=stream)


def _print_json(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.verb == "diff" and options.file and (options.live or options.save):
        parser.error("--live and --save go with what is fetched, not with a FILE")
    return options


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON on stdout, nothing else")
    parser = argparse.ArgumentParser(
        prog="python -m krea_aleph.contract",
        description="Say which contract the installed library speaks, and what has changed since.",
        epilog=_codes(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(verb="show", json=False)
    verbs = parser.add_subparsers(dest="verb", metavar="show | diff")
    verbs.add_parser("show", parents=[common], help="say which contract it is (the default)")
    diff = verbs.add_parser(
        "diff",
        parents=[common],
        help="is the library behind, and does it matter?",
        description="Compare the installed contract with the one in a file, or with what Krea\n"
        "publishes, and say whether the difference matters.",
        epilog=_codes(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_sources(diff)
    return parser


def _add_sources(diff: argparse.ArgumentParser) -> None:
    diff.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="an OpenAPI description, JSON or YAML"
    )
    diff.add_argument(
        "--live", action="store_true", help="what Krea publishes today (without FILE the default)"
    )
    diff.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="keep what was fetched, for krea_aleph.emulator.Emulator(contract=FILE)",
    )


def _codes() -> str:
    codes = {code: f"diff: {severity.name.lower()}" for severity, code in SEVERITY_EXITS.items()}
    codes |= {EXIT_CODES[name]: f"failed: {name}" for name in _STEPS.split()}
    codes |= {
        0: "done; diff: nothing has changed, or only descriptions",
        2: "wrong command line",
        _INTERRUPTED: "interrupted",
    }
    listed = "\n".join(f"{code:5}  {words}" for code, words in sorted(codes.items()))
    return f"exit codes:\n{listed}"
