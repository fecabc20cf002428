"""The command `scripts/regenerate`."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from codegen.pipeline import Built, Project, build
from codegen.swap import clear_leftovers, swap_in, write_file
from codegen.tools import refuse_other_tools
from codegen.trees import differences
from codegen.typecheck import check_types
from codegen.validate import validate_shape
from krea_aleph.specdiff.changes import SEVERITY_EXITS, worst
from krea_aleph.specdiff.diff import as_json, as_table, diff_files
from krea_aleph.specdiff.errors import DIFFERS, EXIT_CODES, StepError, step
from krea_aleph.specdiff.severity import load_reads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def main(arguments: Sequence[str], root: Path) -> int:
    """Run the command and return its exit code.

    Args:
        arguments: The command line without the program's name.
        root: The checkout to work on.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.json and not options.diff:
        parser.error("--json goes with --diff")
    project = Project(root)
    try:
        if options.diff:
            return _diff(project, *options.diff, json=options.json)
        with step("tools"):
            refuse_other_tools(project.pins)
        with step("swap"), tempfile.TemporaryDirectory(prefix="regenerate-") as scratch:
            run = _check if options.check else _regenerate
            return run(project, Path(scratch))
    except StepError as error:
        print(f"regenerate: {error}\nNothing was changed.", file=sys.stderr)
        return error.exit_code


def _regenerate(project: Project, scratch: Path) -> int:
    started = time.monotonic()
    built = build(project, scratch)
    with step("type-check"):
        check_types(built.package, Path(sys.prefix) / "mypy-cache")
    with _alone(project):
        changed = _put_in_place(project, built)
    seconds = time.monotonic() - started
    files = sum(1 for path in built.package.rglob("*") if path.is_file())
    for line in changed:
        print(line.replace("missing:", "new:").replace("stray:", "removed:"))
    print(f"{len(changed)} of {files} files changed; contract {built.lock.sha256[:12]}", end="")
    print(f" of {built.lock.date}; {seconds:.1f} s")
    for note in built.notes:
        print(f"note: {note}")
    return 0


@contextlib.contextmanager
def _alone(project: Project) -> Iterator[None]:
    """Let one run at a time exchange the tree: each clears away what a killed one left."""
    with (project.data / "rules.toml").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _put_in_place(project: Project, built: Built) -> list[str]:
    """Swap the tree in if anything differs, and say what did."""
    target = project.generated / built.package.name
    changed = differences(built.package, target)
    if changed:
        swap_in(built.package, target)
    with step("swap"):
        clear_leftovers(project.generated)
        if project.lock.read_bytes() != built.lock.dump():
            write_file(project.lock, built.lock.dump())
    return changed


def _check(project: Project, scratch: Path) -> int:
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
        sys.stdout.buffer.write(as_json(changes))
        sys.stdout.flush()
    else:
        print(as_table(changes))
    return SEVERITY_EXITS[worst(changes)]


def _parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code}  {name}" for name, code in EXIT_CODES.items())
    verdicts = "\n".join(
        f"  {code:2}  --diff found: {severity.name.lower()}"
        for severity, code in SEVERITY_EXITS.items()
    )
    parser = argparse.ArgumentParser(
        prog="regenerate",
        description="Rebuild generated/ from openapi.json. A step that fails names itself and"
        " leaves everything as it was.",
        epilog="exit codes:\n   0  done\n   1  the tools could not be installed\n"
        f"   2  wrong command line\n   {DIFFERS}  --check found a difference\n"
        f"{verdicts}\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    task = parser.add_mutually_exclusive_group()
    task.add_argument(
        "--check",
        action="store_true",
        help="change nothing, need no network: rebuild elsewhere and compare every byte",
    )
    task.add_argument(
        "--diff",
        nargs=2,
        type=Path,
        metavar=("OLD", "NEW"),
        help="change nothing: say what differs between two descriptions (JSON or YAML, OpenAPI 3.1)"
        " in the operations we use, and what follows for users",
    )
    parser.add_argument(
        "--json", action="store_true", help="with --diff: print the report as JSON, nothing else"
    )
    return parser
