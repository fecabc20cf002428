"""The text of a proposal: what changed, what follows, and what a human must decide."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from codegen.markdown import code, prose, value
from krea_aleph.specdiff.changes import Severity
from updating.versions import Bump, following, proposed
from updating.words import for_users

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from updating.report import Change, Report

LONGEST: Final = 60_000
"""So many bytes a text may have: the services that show it take little more."""
MOST_ROWS: Final = 100

_MEANS: Final = {
    Severity.BREAKING: "Some calls that work today are going to fail, or an answer lacks what the"
    " library reads. Installed versions go on as far as the server lets them.",
    Severity.REVIEW: "Nothing breaks, but somebody should look before this is released.",
    Severity.FEATURE: "Something new can be used. Code that does not use it goes on as before.",
    Severity.DOCS: "Only descriptions change.",
    Severity.NONE: "Nothing changes for users.",
}
_RELEASE: Final = {
    Bump.NONE: "no release is needed",
    Bump.PATCH: "a patch release is enough",
    Bump.MINOR: "a minor release",
    Bump.BREAKING: "a release that breaks",
}
_TABLE: Final = (
    "| severity | where | before | now | what follows |\n| --- | --- | --- | --- | --- |"
)


def title(report: Report) -> str:
    """Write the title; only words and numbers of ours are in it."""
    counts = Counter(change.severity for change in report.changes)
    told = [f"{counts[each]} {each.name.lower()}" for each in sorted(counts, reverse=True)]
    return f"Follow Krea's description of {report.contract.date}: {', '.join(told) or 'no change'}"


def label(report: Report) -> str:
    """Name the label that tells how much a proposal matters."""
    return f"spec: {report.severity.name.lower()}"


def text(report: Report, branch: str) -> str:
    """Write the whole text.

    Args:
        report: What changed and what was found out.
        branch: The branch that the proposal is on.
    """
    blocks = [
        _summary(report),
        _checks(report),
        *_decide(report),
        *_changes(report),
        *_more(report),
        _version(report),
        _contract(report),
        _try_it(branch),
    ]
    return _fitting("\n\n".join(blocks) + "\n")


def message(report: Report) -> str:
    """Write the message of the commit, without its trailer."""
    words = f"{_MEANS[report.severity]} {_release(report)}"
    hashes = f"Contract {report.contract.sha256}, before {report.previous.sha256}."
    return f"{title(report)}\n\n{words}\n\n{hashes}\n"


def _summary(report: Report) -> str:
    source = code(report.source)
    return (
        f"Krea's published description ({source}) differs from our contract in what we use."
        f" Worst change: **{report.severity.name.lower()}**. {_MEANS[report.severity]}"
        "\n\nThis was written by `scripts/update`. Only `openapi.json`, `generated/`, the lock and"
        " the changelog change."
    )


def _checks(report: Report) -> str:
    checks = report.checks
    if not checks.names:
        return "**Not checked**: nothing was tried on the result."
    names = ", ".join(map(code, checks.names))
    if checks.failed is None:
        return f"**Checks passed**: {names}."
    said = "\n".join(f"    {_line(line)}" for line in checks.said.splitlines()[-40:])
    return (
        f"**Checks failed** at {code(checks.failed)}: the library needs work by hand before this"
        f" can be merged. The end of what it said:\n\n{said}"
    )


def _line(line: str) -> str:
    """Show a line inside an indented block: markup has no meaning there, hidden signs have."""
    shown = (char if char.isprintable() else " " for char in line.replace("\\", "/"))
    return "".join(shown)[:200]


def _decide(report: Report) -> Iterator[str]:
    tasks = [
        *map(for_users, report.decisions),
        *(f"The call behind {code(name)} is retired: tell users." for name in _new(report)),
        f"Version: {_release(report)}",
        "The changelog says it in words that users understand.",
    ]
    if report.checks.failed is not None:
        tasks.insert(0, "The checks pass.")
    yield _listed("A human decides", tasks, mark="- [ ]")


def _new(report: Report) -> list[str]:
    """List the operations that are retired by this very update."""
    return [name for name, date in report.retired.items() if date == report.contract.date]


def _changes(report: Report) -> Iterator[str]:
    if report.changes:
        rows = [_row(change) for change in report.changes[:MOST_ROWS]]
        yield "\n".join(["## What changed", "", _TABLE, *rows])
    hidden = len(report.changes) - MOST_ROWS
    if hidden > 0:
        yield f"And {hidden} more: `report.json` has them all."


def _row(change: Change) -> str:
    cells = (
        change.severity.name.lower(),
        f"{code(change.pointer, 300)} ({prose(change.direction)})",
        value(change.old),
        value(change.new),
        for_users(change.consequence),
    )
    return f"| {' | '.join(cells)} |"


def _more(report: Report) -> Iterator[str]:
    lists: dict[str, Iterable[str]] = {
        "Retired: no longer published; the last contract is kept": _dated(report.retired),
        "Published again": map(code, report.returned),
        "Marked deprecated": _dated(report.deprecated),
        "Old field names that are still taken": map(_alias, report.aliases),
        "Notes": map(prose, report.notes),
    }
    for heading, lines in lists.items():
        listed = [*lines]
        if listed:
            yield _listed(heading, listed)


def _version(report: Report) -> str:
    surface = report.surface
    since = f"release {code(surface.since)}" if surface.since else "the base of this proposal"
    found = [f"breaks {code(line, 200)}" for line in surface.broken]
    found += [f"adds {code(name, 200)}" for name in surface.added]
    lines = [*found[:40], *([f"and {len(found) - 40} more"] if found[40:] else [])]
    told = "\n".join(f"- {line}" for line in lines) or "It found nothing."
    return f"## Version\n\n{_release(report)} griffe compared the packages with {since}.\n\n{told}"


def _release(report: Report) -> str:
    bump = proposed(report)
    next_ = following(report.version, bump)
    words = _RELEASE[bump]
    if bump is Bump.NONE:
        return f"{words[:1].upper()}{words[1:]}."
    if bump is Bump.BREAKING and next_.startswith("0."):
        words = f"{words}, which before 1.0 is a minor one"
    return f"{words[:1].upper()}{words[1:]}: {following(report.version, Bump.NONE)} to {next_}."


def _contract(report: Report) -> str:
    now, before = report.contract, report.previous
    return (
        "## Contract\n\n"
        f"- now `{now.sha256}`, since {now.date}\n"
        f"- before `{before.sha256}`, since {before.date}"
    )


def _try_it(branch: str) -> str:
    commands = [
        f"git fetch origin {branch} && git switch --detach FETCH_HEAD",
        "scripts/regenerate --check    # generated/ is what openapi.json gives",
        "scripts/test",
        "scripts/demo",
    ]
    lines = "\n".join(f"    {command}" for command in commands)
    return f"## Try it\n\n{lines}\n\n`docs/updating.md` says what each severity asks of you."


def _dated(dates: Mapping[str, str]) -> list[str]:
    return [f"{code(name)} since {date}" for name, date in dates.items()]


def _alias(alias: Mapping[str, str]) -> str:
    said: dict[str, Any] = {"operation": "", "from": "", "to": "", **alias}
    until = f" until {code(said['sunset_date'])}" if said.get("sunset_date") else ""
    return f"{code(said['operation'])}: {code(said['from'])} is now {code(said['to'])}{until}"


def _listed(heading: str, lines: Iterable[str], mark: str = "-") -> str:
    return "\n".join([f"## {heading}", "", *(f"{mark} {line}" for line in lines)])


def _fitting(whole: str) -> str:
    data = whole.encode()
    if len(data) <= LONGEST:
        return whole
    kept = data[:LONGEST].decode(errors="ignore").rpartition("\n")[0]
    return f"{kept}\n\nThe rest is left out here: `report.md` has it all.\n"
