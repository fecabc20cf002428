"""By how much the version must grow: what upstream changed, and what became of the surface."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Final

from krea_aleph.specdiff.changes import Severity
from updating.failure import UpdateError

if TYPE_CHECKING:
    from updating.report import Change, Report, Surface

_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:\.?(?:a|b|rc|dev)\d+)?")


class Bump(enum.IntEnum):
    """What the next release is, by semantic versioning."""

    NONE = 0
    PATCH = 1
    MINOR = 2
    BREAKING = 3


def proposed(report: Report) -> Bump:
    """Return the larger of what both sides ask for."""
    asked = [of_change(change) for change in report.changes]
    return max([*asked, of_surface(report.surface)], default=Bump.NONE)


def of_change(change: Change) -> Bump:
    """Judge one change of the description.

    What breaks requests breaks callers. Answers are read tolerantly: whatever becomes of them
    is seen in the types, which griffe looks at, and is worth a minor release.
    """
    if change.severity is Severity.BREAKING and change.direction == "request":
        return Bump.BREAKING
    if change.severity >= Severity.FEATURE:
        return Bump.MINOR
    return Bump.PATCH if change.severity is Severity.DOCS else Bump.NONE


def of_surface(surface: Surface) -> Bump:
    """Judge what changed in the Python surface."""
    if surface.broken:
        return Bump.BREAKING
    return Bump.MINOR if surface.added else Bump.NONE


def following(version: str, bump: Bump) -> str:
    """Return the version after this one; before 1.0 what breaks is a minor release.

    Raises:
        UpdateError: It is no version.
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        raise UpdateError("report", f"{version!r:.80} is no version such as 0.1.0")
    major, minor, patch = map(int, found.groups())
    if bump is Bump.NONE:
        return f"{major}.{minor}.{patch}"
    if bump is Bump.PATCH:
        return f"{major}.{minor}.{patch + 1}"
    if bump is Bump.BREAKING and major:
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0"
