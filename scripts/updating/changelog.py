"""The changelog entry of an update: in words for users, under `## Unreleased`.

Every line ends with the contract that it is about. So a refreshed proposal replaces its own lines
and leaves those of people, and of other contracts, as they are.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from krea_aleph.specdiff.changes import Severity
from updating.failure import UpdateError
from updating.words import for_users

if TYPE_CHECKING:
    from collections.abc import Iterator

    from updating.report import Change, Report

GROUPS: Final = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
MOST: Final = 25
"""So many lines a group gets; more would be read by nobody."""

_UNRELEASED: Final = re.compile(r"## \[?Unreleased\]?\s*", re.IGNORECASE)
_ANNOUNCED: Final = ("/deprecated", "/x-krea-deprecated-field-aliases")
_WIDTH: Final = 100


def entry(report: Report) -> dict[str, list[str]]:
    """Write the lines of an update by group, without the marks of Markdown's lists.

    What only changes descriptions is left out.
    """
    told = [change for change in report.changes if change.severity > Severity.DOCS]
    groups: dict[str, list[str]] = {}
    for change in told:
        groups.setdefault(group(change), []).append(for_users(change.consequence))
    # Several calls answer with a job: what is said of each is said once.
    return {name: _bounded([*dict.fromkeys(groups[name])]) for name in GROUPS if name in groups}


def group(change: Change) -> str:
    """Say under which of the usual headings a change belongs."""
    if change.pointer.endswith(_ANNOUNCED) and change.new:
        return "Deprecated"
    gone = change.severity is Severity.BREAKING or change.pointer.endswith(_ANNOUNCED)
    if gone and change.new is None and change.direction == "request":
        return "Removed"
    new = change.severity is Severity.FEATURE and change.old is None
    return "Added" if new and not change.pointer.endswith("/enum") else "Changed"


def with_entry(changelog: str, report: Report) -> str:
    """Put an update's lines into a changelog, in the place of those of the same contract.

    Raises:
        UpdateError: There is no section for what is not released.
    """
    lines = changelog.splitlines()
    start = next((n for n, line in enumerate(lines) if _UNRELEASED.fullmatch(line)), None)
    if start is None:
        problem = "CHANGELOG.md has no line `## Unreleased`: add it above the newest release"
        raise UpdateError("changelog", problem)
    rest = range(start + 1, len(lines))
    end = next((n for n in rest if lines[n].startswith("## ")), len(lines))
    section = _Section.read(lines[start + 1 : end])
    mark = f"(contract `{report.contract.sha256[:12]}`)"
    section.remove(mark)
    for name, said in entry(report).items():
        section.add(name, [_bullet(f"{line} {mark}") for line in said])
    written = [*lines[: start + 1], *section.lines(), *([""] if lines[end:] else []), *lines[end:]]
    return "\n".join(written) + "\n"


def _bounded(lines: list[str]) -> list[str]:
    more = len(lines) - MOST
    return lines if more <= 0 else [*lines[:MOST], f"And {more} more of this kind."]


def _bullet(text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent="- ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


@dataclass
class _Section:
    """One release of a changelog: what stands before the groups, then the groups.

    Attributes:
        head: What stands before the first group.
        groups: The entries of each group by its heading; an entry may have several lines.
    """

    head: str = ""
    groups: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, lines: list[str]) -> _Section:
        head, *parts = re.split(r"^### ", "\n".join(lines), flags=re.MULTILINE)
        section = cls(head.strip("\n"))
        for part in parts:
            name, _, rest = part.partition("\n")
            entries = section.groups.setdefault(name.strip(), [])
            entries += re.split(r"\n(?=- )", rest.strip("\n")) if rest.strip() else []
        return section

    def remove(self, mark: str) -> None:
        """Drop the entries with a mark, and the groups that held nothing else."""
        for name, entries in [*self.groups.items()]:
            kept = [text for text in entries if mark not in " ".join(text.split())]
            if kept or not entries:
                self.groups[name] = kept
            else:
                del self.groups[name]

    def add(self, name: str, entries: list[str]) -> None:
        """Add entries at the end of a group; a new group takes its usual place."""
        self.groups.setdefault(name, []).extend(entries)
        known = [group for group in GROUPS if group in self.groups]
        others = [group for group in self.groups if group not in GROUPS]
        self.groups = {group: self.groups[group] for group in (*known, *others)}

    def lines(self) -> Iterator[str]:
        """Write the section, a blank line around each heading."""
        if self.head:
            yield from ("", self.head)
        for name, entries in self.groups.items():
            yield from ("", f"### {name}", "", "\n".join(entries).rstrip("\n"))
