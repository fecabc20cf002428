"""What a run that followed a new description has to say, for programs and for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from codegen.markdown import WORD, code, prose, value
from krea_aleph.specdiff.changes import Severity, worst
from krea_aleph.specdiff.compare_operation import ALIASES, find_operation
from krea_aleph.specdiff.document import dump_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from codegen.follow import Followed
    from krea_aleph.specdiff.changes import Change
    from krea_aleph.specdiff.rules import Rules

Report = dict[str, Any]

UPDATED: Final = "updated"
NOTHING: Final = "nothing to do"


def report(
    followed: Followed, source: str, rules: Rules, files: Sequence[str], seconds: float
) -> Report:
    """Say what came of following a publication, as JSON data."""
    now, before = followed.lock.state, followed.lock_before.state
    notes = () if followed.built is None else followed.built.notes
    return {
        "result": NOTHING if followed.built is None else UPDATED,
        "severity": worst(followed.changes).name.lower(),
        "source": source,
        "contract": {"sha256": now.sha256, "date": now.date},
        "previous": {"sha256": before.sha256, "date": before.date},
        "changes": [
            {**asdict(change), "severity": change.severity.name.lower()}
            for change in followed.changes
        ],
        "retired": dict(now.retired),
        "returned": sorted(before.retired.keys() - now.retired.keys()),
        "deprecated": dict(now.deprecated),
        "aliases": list(_aliases(followed.document, rules)),
        "decisions": list(_decisions(followed.changes)),
        "notes": list(notes),
        "files": list(files),
        "seconds": round(seconds, 1),
    }


def _aliases(document: Mapping[str, Any], rules: Rules) -> Iterator[dict[str, Any]]:
    """List the old names of fields that the contract says are still taken."""
    for name, rule in rules.operations.items():
        found = find_operation(document, rule)
        listed = found.operation.get(ALIASES) if found is not None else None
        for alias in listed if isinstance(listed, list) else ():
            if isinstance(alias, dict):
                yield {"operation": name, **alias}


def _decisions(changes: Sequence[Change]) -> Iterator[str]:
    """Say what a human must look at before this is released."""
    for change in changes:
        if change.severity >= Severity.REVIEW:
            yield f"{change.consequence} ({change.pointer})"


def as_json(found: Report) -> bytes:
    """Write a report for programs."""
    return dump_document(found)


def as_lines(found: Report) -> str:
    """Write a report for the terminal."""
    contract = found["contract"]
    head = f"contract {contract['sha256'][:12]} of {contract['date']}"
    if found["result"] == NOTHING:
        return f"nothing to do: {found['source']} says what {head} says; {found['seconds']} s"
    telling = [change for change in found["changes"] if change["severity"] != "docs"]
    lines = [
        *(f"{change['severity']:9} {change['consequence']}" for change in telling),
        *(f"retired since {date}: {name}" for name, date in found["retired"].items()),
        *(f"published again: {name}" for name in found["returned"]),
        *(f"deprecated since {date}: {name}" for name, date in found["deprecated"].items()),
        *found["files"],
        *(f"note: {note}" for note in found["notes"]),
        _total(found, head),
    ]
    return "\n".join(lines)


def _total(found: Report, head: str) -> str:
    docs = sum(1 for change in found["changes"] if change["severity"] == "docs")
    counts = f"{len(found['changes'])} changes ({docs} of descriptions only)"
    counts += f", {len(found['files'])} files"
    return f"{found['severity']}: {counts}; {head}; {found['seconds']} s"


def as_markdown(found: Report) -> str:
    """Write a report as Markdown; nothing that upstream says can become markup."""
    blocks = [
        "# What Krea changed",
        f"{found['result'].capitalize()}, {found['severity']}. From {code(found['source'])}.",
        _hashes(found),
        _table(found["changes"]),
        *_listed("Retired: no longer published, last contract kept", _dated(found["retired"])),
        *_listed("Published again", found["returned"]),
        *_listed("Marked deprecated", _dated(found["deprecated"])),
        *_listed("Old field names that are still taken", map(_alias, found["aliases"])),
        *_listed("A human must look at", found["decisions"]),
        *_listed("Notes", found["notes"]),
        *_listed("Files", found["files"]),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _hashes(found: Report) -> str:
    now, before = found["contract"], found["previous"]
    return (
        f"Contract {code(now['sha256'])} of {now['date']},"
        f" before {code(before['sha256'])} of {before['date']}."
    )


def _table(changes: Sequence[Mapping[str, Any]]) -> str:
    if not changes:
        return "Nothing changed in the operations we use."
    rows = [
        " | ".join(
            (
                change["severity"],
                change["direction"],
                code(change["pointer"], WORD),
                value(change["old"]),
                value(change["new"]),
                prose(change["consequence"]),
            )
        )
        for change in changes
    ]
    head = "severity | direction | where | before | now | what follows"
    return "\n".join(f"| {row} |" for row in (head, " | ".join(["---"] * 6), *rows))


def _listed(title: str, entries: Any) -> Iterator[str]:
    lines = [f"- {prose(str(entry))}" for entry in entries]
    if lines:
        yield "\n".join([f"## {title}", "", *lines])


def _dated(dates: Mapping[str, str]) -> list[str]:
    return [f"{name} since {date}" for name, date in dates.items()]


def _alias(alias: Mapping[str, Any]) -> str:
    until = f" until {alias['sunset_date']}" if "sunset_date" in alias else ""
    return f"{alias['operation']}: {alias.get('from')} for {alias.get('to')}{until}"
