"""Comparing two descriptions: what changed in the operations we use, and does it matter."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from krea_aleph.specdiff.changes import Change, Severity, worst
from krea_aleph.specdiff.compare_operation import OperationComparison, find_operation
from krea_aleph.specdiff.document import dump_document
from krea_aleph.specdiff.errors import StepError, step
from krea_aleph.specdiff.read_any import read_file
from krea_aleph.specdiff.severity import Judge, brief
from krea_aleph.specdiff.shape import check_shape
from krea_aleph.specdiff.texts import guard_path, guard_references, guard_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from krea_aleph.specdiff.rules import Rules
    from krea_aleph.specdiff.severity import Reads

    Validate = Callable[[Mapping[str, Any]], None]


def _no_more_checks(_: Mapping[str, Any]) -> None:
    """Leave it at the checks that need the standard library alone."""


def diff_files(
    old: Path, new: Path, rules: Rules, reads: Reads, validate: Validate = _no_more_checks
) -> list[Change]:
    """Compare two files.

    Args:
        old: The description before, JSON or YAML.
        new: The description now.
        rules: Which operations we use.
        reads: What the facade reads in answers.
        validate: A further check of a document, cut down to our operations; it raises `StepError`.

    Raises:
        StepError: One of them is no description that we read; the message names the file.
    """
    before, after = (
        checked(read_file(path), str(path), rules, reads, validate) for path in (old, new)
    )
    return diff_documents(before, after, rules, reads)


def diff_documents(
    old: Mapping[str, Any], new: Mapping[str, Any], rules: Rules, reads: Reads
) -> list[Change]:
    """Compare two parsed descriptions; the worst changes come first.

    Raises:
        StepError: A reference is broken or endless, or a schema unfolds to too much.
    """
    with step("slice"):
        found = OperationComparison(old, new, rules, Judge(rules, reads)).changes()
        return sorted(found, key=lambda change: (-change.severity, change.pointer))


def checked(
    document: dict[str, Any],
    source: str,
    rules: Rules,
    reads: Reads,
    validate: Validate = _no_more_checks,
) -> dict[str, Any]:
    """Return a document that can be compared: it is tried with itself.

    Raises:
        StepError: It cannot be compared; the message begins with the source.
    """
    try:
        check_document(document, rules, validate)
        diff_documents(document, document, rules, reads)
    except StepError as error:
        raise StepError(error.step, f"{source}: {error.problem}") from error
    return document


def check_document(
    document: Mapping[str, Any], rules: Rules, validate: Validate = _no_more_checks
) -> None:
    """Check that a parsed file is an OpenAPI 3.1 description of operations that we use.

    Raises:
        StepError: It is not, or it holds what could mislead a reader or the tools.
    """
    version = document.get("openapi", document.get("swagger"))
    if not isinstance(version, str) or not version.startswith(f"{rules.expected.openapi}."):
        problem = f"only OpenAPI {rules.expected.openapi} is read, and this says {brief(version)}"
        raise StepError("version", problem)
    guard_references(document)
    with step("validate"):
        ours = _ours(document, rules)
        validate(ours)
        check_shape(ours)
    if not ours["paths"]:
        raise StepError("foreign", "it has none of the operations that we use: whose API is it?")
    for found in ours["paths"]:
        guard_path(found)
    guard_texts(ours)


def _ours(document: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    """Leave out the paths that we do not use: what is wrong there is none of our business.

    The security schemes are left out too: a human looks at any change of them, well formed or not.
    """
    parts = document.get("components")
    if isinstance(parts, dict):
        kept = {name: part for name, part in parts.items() if name != "securitySchemes"}
        document = {**document, "components": kept}
    paths = document.get("paths")
    if not isinstance(paths, dict):
        return {**document, "paths": {} if paths is None else paths}
    used = [find_operation(document, rule) for rule in rules.operations.values()]
    return {**document, "paths": {found.path: paths[found.path] for found in used if found}}


def as_json(changes: list[Change]) -> bytes:
    """Write the report for programs."""
    listed = [{**asdict(change), "severity": change.severity.name.lower()} for change in changes]
    return dump_document({"severity": worst(changes).name.lower(), "changes": listed})


def as_table(changes: list[Change]) -> str:
    """Write the report for people: one line a change, the worst first."""
    lines = [_line(change) for change in changes]
    counts = [
        f"{count} {severity.name.lower()}"
        for severity in sorted(Severity, reverse=True)
        if (count := sum(1 for change in changes if change.severity is severity))
    ]
    total = f"{worst(changes).name.lower()}: {', '.join(counts) or 'no change in what we use'}"
    return "\n".join([*lines, total])


def _line(change: Change) -> str:
    head = f"{change.severity.name.lower():9} {change.direction:9} {change.pointer}"
    return f"{head}\n{'':20}{brief(change.old)} -> {brief(change.new)}\n{'':20}{change.consequence}"
