"""The command `scripts/regenerate`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from codegen import report
from codegen.follow import fetch_publication, follow, read_publication, unchanged
from codegen.install import finish_killed_run, install
from codegen.pipeline import Project, build, committed
from codegen.swap import COMMIT
from codegen.tools import refuse_other_tools
from codegen.trees import differences
from codegen.validate import validate_shape
from krea_aleph.specdiff.changes import SEVERITY_EXITS, worst
from krea_aleph.specdiff.diff import as_json, as_table, diff_files
from krea_aleph.specdiff.document import dump_document
from krea_aleph.specdiff.errors import DIFFERS, EXIT_CODES, StepError, step
from krea_aleph.specdiff.severity import load_reads

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str], root: Path) -> int:
    """Run the command and return its exit code.

    Args:
        arguments: The command line without the program's name.
        root: The checkout to work on.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    following = options.fetch or options.source is not None
    if options.json and not (options.diff or following):
        parser.error("--json goes with --diff, --fetch and --from")
    if options.report and not following:
        parser.error("--report goes with --fetch and --from")
    try:
        return _run(Project(root), options, following=following)
    except BrokenPipeError:  # whoever reads has enough; Python must not complain once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except StepError as error:
        if options.json and following:
            _print_json(_refusal(error))
        print(f"regenerate: {error}\nNothing was changed.", file=sys.stderr)
        return error.exit_code


def _run(project: Project, options: argparse.Namespace, *, following: bool) -> int:
    if options.diff:
        return _diff(project, *options.diff, json=options.json)
    with step("tools"):
        refuse_other_tools(project.pins)
    with step("swap"), tempfile.TemporaryDirectory(prefix="regenerate-") as folder:
        scratch = Path(folder)
        if options.check:
            return _check(project, scratch)
        finish_killed_run(project)
        if following:
            return _follow(project, options, scratch)
        return _regenerate(project, scratch)


def _regenerate(project: Project, scratch: Path) -> int:
    started = time.monotonic()
    source = committed(project)
    built = build(project, scratch, source)
    lines = install(project, built, source.contract, source.contract)
    files = sum(1 for path in built.package.rglob("*") if path.is_file())
    for line in lines:
        print(line)
    state, seconds = built.lock.state, time.monotonic() - started
    print(f"{len(lines)} of {files} files changed; contract {state.sha256[:12]}", end="")
    print(f" of {state.date}; {seconds:.1f} s")
    for note in built.notes:
        print(f"note: {note}")
    return 0


def _follow(project: Project, options: argparse.Namespace, scratch: Path) -> int:
    started = time.monotonic()
    with step("read"):
        before = project.contract.read_bytes()
    file = options.source
    publication = fetch_publication(project) if file is None else read_publication(file)
    followed = follow(project, publication, scratch) if publication.data else unchanged(project)
    lines: list[str] = []
    if followed.built is not None:
        lines = install(project, followed.built, followed.contract, before)
    seconds = time.monotonic() - started
    found = report.report(followed, publication.source, project.rules(), lines, seconds)
    if options.json:
        _print_json(found)
    else:
        print(report.as_lines(found))
    return _write_report(options.report, found) if options.report else 0


def _write_report(path: Path, found: report.Report) -> int:
    try:
        path.write_text(report.as_markdown(found), encoding="utf-8")
    except OSError as error:
        print(f"regenerate: all is done, but for the report: {error}", file=sys.stderr)
        return EXIT_CODES["report"]
    return 0


def _check(project: Project, scratch: Path) -> int:
    if (project.generated / COMMIT).exists():
        print("a run was killed while it put its result in place: run scripts/regenerate")
        return DIFFERS
    expected = scratch / "expected"
    built = build(project, scratch)
    shutil.copytree(built.package, expected / built.package.name)
    lines = differences(expected, project.generated)
    if project.lock.read_bytes() != built.lock.dump():
        lines.append(f"differs: {project.lock.relative_to(project.root).as_posix()}")
    for line in lines:
        print(line)
    if lines:
        print("generated/ is not what openapi.json gives: run scripts/regenerate")
        return DIFFERS
    print("generated/ is what openapi.json gives")
    return 0


def _diff(project: Project, old: Path, new: Path, *, json: bool) -> int:
    rules = project.rules()
    reads = load_reads(project.data / "reads.toml", rules)
    changes = diff_files(old, new, rules, reads, validate_shape)
    if json:
        _write(as_json(changes))
    else:
        print(as_table(changes))
    return SEVERITY_EXITS[worst(changes)]


def _print_json(data: object) -> None:
    _write(dump_document(data))


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


def _refusal(error: StepError) -> dict[str, object]:
    return {
        "result": "refused",
        "step": error.step,
        "code": error.exit_code,
        "problem": error.problem,
    }


def _parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code}  {name}" for name, code in EXIT_CODES.items())
    verdicts = "\n".join(
        f"  {code:2}  --diff found: {severity.name.lower()}"
        for severity, code in SEVERITY_EXITS.items()
    )
    parser = argparse.ArgumentParser(
        prog="regenerate",
        description="Rebuild generated/ from openapi.json, or follow a new description of the API."
        " A step that fails names itself and leaves everything as it was.",
        epilog="exit codes:\n   0  done, or nothing to do\n"
        "   1  the tools could not be installed\n"
        f"   2  wrong command line\n   {DIFFERS}  --check found a difference\n"
        f"{verdicts}\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_tasks(parser)
    parser.add_argument(
        "--report",
        type=_new_file,
        metavar="FILE",
        help="with --fetch or --from: write what changed and what to decide, as Markdown",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="with --diff, --fetch or --from: print the report as JSON, nothing else",
    )
    return parser


def _add_tasks(parser: argparse.ArgumentParser) -> None:
    task = parser.add_mutually_exclusive_group()
    task.add_argument(
        "--check",
        action="store_true",
        help="change nothing, need no network: rebuild elsewhere and compare every byte",
    )
    task.add_argument(
        "--fetch",
        action="store_true",
        help="fetch what is published at the address in rules.toml, and follow it",
    )
    task.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FILE",
        help="follow the description in a file, JSON or YAML",
    )
    task.add_argument(
        "--diff",
        nargs=2,
        type=Path,
        metavar=("OLD", "NEW"),
        help="change nothing: say what differs between two descriptions (JSON or YAML, OpenAPI 3.1)"
        " in the operations we use, and what follows for users",
    )


def _new_file(text: str) -> Path:
    """Take a path that can be written to, before anything else is done."""
    path = Path(text)
    if path.is_dir() or not path.parent.is_dir():
        problem = f"{text}: no file can be written there"
        raise argparse.ArgumentTypeError(problem)
    return path
