"""The sections of CHANGELOG.md: their form, a release's notes, and closing "Unreleased".

A section starts with `## Unreleased` or `## X.Y.Z - YYYY-MM-DD`; the newest stands first. Below it
the entries are lists under the headings of Keep a Changelog.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from releasing import number
from releasing.failure import ReleaseError
from updating.changelog import GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE: Final = "CHANGELOG.md"
UNRELEASED: Final = "Unreleased"

_HEADING: Final = re.compile(r"## (?:(Unreleased)|(\S+) - (\d{4}-\d{2}-\d{2}))")
_GROUP: Final = "### "
# Beside a release's notes there is no repository to lead into: the words of such a link stay.
_LINK: Final = re.compile(r"(?<!\w)\[([^\]]*)\]\((?!https:|#)[^)\s]*\)")


@dataclass(frozen=True, slots=True)
class Section:
    """One release, or what is not released yet.

    Attributes:
        name: The version, or "Unreleased".
        date: The day of the release, as in ISO 8601; None if there was none.
        lines: What stands below the heading, without blank lines at the ends.
    """

    name: str
    date: str | None
    lines: tuple[str, ...]


def read(text: str) -> list[Section]:
    """Return the sections of a changelog in their order.

    Raises:
        ReleaseError: A heading is neither `## Unreleased` nor `## X.Y.Z - YYYY-MM-DD`.
    """
    heads = [(n, line) for n, line in enumerate(text.splitlines()) if line.startswith("## ")]
    wrong = [
        f"{PLACE}: `{line}` is neither `## {UNRELEASED}` nor `## 0.2.0 - 2026-12-31`"
        for _, line in heads
        if not _HEADING.fullmatch(line)
    ]
    if wrong:
        raise ReleaseError(*wrong)
    ends = [n for n, _ in heads[1:]] + [None]
    lines = text.splitlines()
    return [
        _section(line, lines[start + 1 : end])
        for (start, line), end in zip(heads, ends, strict=True)
    ]


def _section(heading: str, lines: list[str]) -> Section:
    found = _HEADING.fullmatch(heading)
    assert found is not None  # noqa: S101 - for the type checkers: read() has looked
    unreleased, version, date = found.groups()
    body = "\n".join(lines).strip("\n")
    return Section(unreleased or version, date, tuple(body.splitlines()))


def problems(text: str) -> Iterator[str]:
    """Say what is wrong with the form of a changelog, a sentence each."""
    if not text.startswith("# Changelog\n"):
        yield f"{PLACE} does not start with `# Changelog`"
    try:
        sections = read(text)
        released = [number.parts(each.name) for each in sections if each.date is not None]
    except ReleaseError as error:
        yield from error.problems
        return
    if [each.name for each in sections].count(UNRELEASED) != 1 or sections[0].date is not None:
        yield f"{PLACE} needs one `## {UNRELEASED}`, above the releases"
    if released != sorted(set(released), reverse=True):
        yield f"{PLACE}: the newest release does not stand first, or one stands there twice"
    dates = [each.date for each in sections if each.date is not None]
    if dates != sorted(dates, reverse=True):
        yield f"{PLACE}: a release is dated after the one above it"
    for section in sections:
        yield from _problems_of(section)


def _problems_of(section: Section) -> Iterator[str]:
    where = f"{PLACE}, {section.name}:"
    if section.date is not None and not section.lines:
        yield f"{where} nothing is said about this release"
    if section.date is not None and not _is_day(section.date):
        yield f"{where} {section.date} is no day"
    heads = [line for line in section.lines if line.startswith(_GROUP)]
    if heads != [f"{_GROUP}{name}" for name in GROUPS if f"{_GROUP}{name}" in heads]:
        yield f"{where} the headings are {', '.join(GROUPS)}, each once and in this order"
    filled = [line for line in section.lines if line]
    for line, after in itertools.pairwise([*filled, _GROUP]):
        if line.startswith(_GROUP) and after.startswith(_GROUP):
            yield f"{where} there is nothing under {line}"
    listed = itertools.dropwhile(lambda line: not line.startswith(_GROUP), filled)
    for line in listed:
        if not line.startswith((_GROUP, "- ", "  ")):
            yield f"{where} what stands under a heading is a list: {line:.40}"


def _is_day(date: str) -> bool:
    try:
        dt.date.fromisoformat(date)
    except ValueError:
        return False
    return True


def section_of(text: str, name: str) -> Section | None:
    """Return the section of a version, or "Unreleased"; None if there is none."""
    return next((each for each in read(text) if each.name == name), None)


def notes(text: str, name: str) -> str:
    """Return what a changelog says of one release, as the notes beside its files.

    An entry is one line: where notes are shown, line ends inside of it would stay. Links into the
    repository are words.

    Raises:
        ReleaseError: It has no section for it, or an empty one.
    """
    section = section_of(text, name)
    if section is None or not section.lines:
        raise ReleaseError(f"{PLACE} says nothing under `## {name}`")
    joined = re.sub(r"(?<=\S)\n +", " ", "\n".join(section.lines))
    return _LINK.sub(r"\1", joined) + "\n"


def closed(text: str, version: str, date: str) -> str:
    """Make what is not released the section of a version, with a new empty one above it.

    Raises:
        ReleaseError: There is nothing to release, or the version has a section already.
    """
    unreleased = section_of(text, UNRELEASED)
    if unreleased is None or not unreleased.lines:
        raise ReleaseError(f"{PLACE} says nothing under `## {UNRELEASED}`: what is to be released?")
    if section_of(text, version) is not None:
        raise ReleaseError(f"{PLACE} has a section for {version} already")
    return text.replace(f"## {UNRELEASED}\n", f"## {UNRELEASED}\n\n## {version} - {date}\n", 1)
