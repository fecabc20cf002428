"""The changelog entry: what goes where, in words, and once."""

# ruff: noqa: E501 - one case a line: they are tables

from __future__ import annotations

from typing import Any

import pytest

from updating.changelog import MOST, entry, group, with_entry
from updating.failure import EXIT_CODES, UpdateError
from updating.report import Report

from .conftest import ALEPH, ANSWER, BODY, a_change, a_report

SEED = f"{BODY}/properties/seed"
STATUS = f"{ANSWER}/properties/status"
ALIASES = f"{ALEPH}/x-krea-deprecated-field-aliases"

GROUPS: dict[str, tuple[str, dict[str, Any]]] = {
    "a new option": ("Added", a_change("feature", pointer=SEED, old=None, new={"type": "integer"})),
    "a new operation": ("Added", a_change("feature", pointer=ALEPH, old=None, new={"summary": "x"})),
    "a new field of an answer": ("Added", a_change("feature", pointer=STATUS, old=None, new={}, direction="response")),
    "a wider limit": ("Changed", a_change("feature", pointer=f"{SEED}/maximum", old=1, new=2)),
    "another ratio": ("Changed", a_change("feature", pointer=f"{SEED}/enum", old=None, new="16:9")),
    "a tighter limit": ("Changed", a_change("breaking", pointer=f"{SEED}/maximum", old=2, new=1)),
    "a limit where none was": ("Changed", a_change("breaking", pointer=f"{SEED}/maximum", old=None, new=1)),
    "a new required option": ("Changed", a_change("breaking", pointer=SEED, old=None, new={})),
    "a new status": ("Changed", a_change("review", pointer=f"{STATUS}/enum", old=None, new="paused", direction="response")),
    "a field that is no longer sent": ("Changed", a_change("breaking", pointer=STATUS, old={}, new=None, direction="response")),
    "an option that goes": ("Removed", a_change("breaking", pointer=SEED, old={"type": "integer"}, new=None)),
    "an operation that goes": ("Removed", a_change("breaking", pointer=ALEPH, old={"summary": "x"}, new=None)),
    "an old name that goes": ("Removed", a_change("review", pointer=ALIASES, old={"from": "a"}, new=None)),
    "an option that is going to go": ("Deprecated", a_change("review", pointer=f"{SEED}/deprecated", old=False, new=True)),
    "an old name that still works": ("Deprecated", a_change("review", pointer=ALIASES, old=None, new={"from": "a"})),
}  # fmt: skip


@pytest.mark.parametrize(("heading", "change"), GROUPS.values(), ids=GROUPS)
def test_each_kind_of_change_has_its_heading(heading: str, change: dict[str, Any]) -> None:
    """Readers of changelogs look under the usual four headings."""
    assert group(a_report(change).changes[0]) == heading


def test_descriptions_are_no_news() -> None:
    """What only changes descriptions is not worth a line."""
    assert entry(a_report(a_change("docs"))) == {}


def test_what_is_said_of_each_call_is_said_once() -> None:
    """Three calls answer with a job: a new status is one line."""
    sites = ("create_aleph_job.200", "get_job.200", "list_jobs.200.items[]")
    changes = [
        a_change("review", direction="response", consequence=f"{site}.status may be new.")
        for site in sites
    ]
    assert entry(a_report(*changes)) == {"Changed": ["`status` of a job may be new."]}


def test_a_flood_is_cut() -> None:
    """Nobody reads a hundred lines: the rest is counted."""
    changes = [a_change(consequence=f"Field {number} can be given.") for number in range(MOST + 7)]
    lines = entry(a_report(*changes))["Added"]
    assert len(lines) == MOST + 1
    assert lines[-1] == "And 7 more of this kind."


def an_update(sha256: str = "b" * 64, severity: str = "feature", said: str = "X is new.") -> Report:
    """Make a report with one change."""
    contract = {"sha256": sha256, "date": "2026-11-23"}
    return a_report(a_change(severity, consequence=said, pointer="/x"), contract=contract)


BY_HAND = """\
# Changelog

What changes.

## Unreleased

### Added

- By hand, in a line that
  goes on here.

  - And below.

### Fixed

- A mistake.

## 0.1.0

### Added

- Everything.
"""
WITH_ONE = """\
# Changelog

What changes.

## Unreleased

### Added

- By hand, in a line that
  goes on here.

  - And below.
- X is new. (contract `bbbbbbbbbbbb`)

### Fixed

- A mistake.

## 0.1.0

### Added

- Everything.
"""


def test_an_entry_joins_what_people_wrote() -> None:
    """It goes to the end of its group; other lines and other releases stay as they are."""
    assert with_entry(BY_HAND, an_update()) == WITH_ONE


def test_the_same_entry_again_changes_nothing() -> None:
    """A second run refreshes instead of duplicating."""
    once = with_entry(BY_HAND, an_update())
    assert with_entry(once, an_update()) == once


def test_a_refreshed_entry_takes_the_place_of_the_old_one() -> None:
    """Of the same contract only the newest words stay, also under another heading."""
    once = with_entry(BY_HAND, an_update())
    again = with_entry(once, an_update(severity="breaking", said="X is gone."))
    assert "X is new." not in again
    assert "### Changed\n\n- X is gone. (contract `bbbbbbbbbbbb`)\n\n### Fixed" in again


def test_the_entry_of_another_contract_stays() -> None:
    """Two updates between two releases are two entries."""
    once = with_entry(BY_HAND, an_update())
    twice = with_entry(once, an_update("c" * 64, said="Y is new."))
    assert "- X is new. (contract `bbbbbbbbbbbb`)\n- Y is new. (contract `cccccccccccc`)" in twice


def test_a_group_of_its_own_takes_the_usual_place() -> None:
    """Changed stands between Added and Fixed."""
    done = with_entry(BY_HAND, an_update(severity="review"))
    headings = [line for line in done.splitlines() if line.startswith("#")]
    assert headings[2:6] == ["### Added", "### Changed", "### Fixed", "## 0.1.0"]


def test_an_emptied_group_goes() -> None:
    """No heading is left without lines."""
    empty = "# Changelog\n\n## Unreleased\n"
    once = with_entry(empty, an_update())
    assert once == f"{empty}\n### Added\n\n- X is new. (contract `bbbbbbbbbbbb`)\n"
    assert with_entry(once, an_update(severity="docs")) == empty


def test_long_lines_are_wrapped_and_still_recognised() -> None:
    """No line is longer than 100 signs, and a wrapped entry is replaced as a whole."""
    long = an_update(said=f"{'Words and words ' * 12}end.")
    once = with_entry(BY_HAND, long)
    assert max(map(len, once.splitlines())) <= 100
    assert with_entry(once, long) == once


def test_the_projects_own_changelog_takes_an_entry(changelog: str) -> None:
    """Nothing of it is lost or moved."""
    done = with_entry(changelog, an_update())
    added = [line for line in done.splitlines() if line not in changelog.splitlines()]
    assert added == ["- X is new. (contract `bbbbbbbbbbbb`)"]
    assert [line for line in done.splitlines() if line not in added] == changelog.splitlines()


@pytest.mark.parametrize("heading", ["## Unreleased", "## [Unreleased]", "## unreleased "])
def test_the_heading_may_be_written_as_is_usual(heading: str) -> None:
    """With or without the brackets of Keep a Changelog."""
    assert "X is new." in with_entry(f"# Changelog\n\n{heading}\n\n## 1.0.0\n", an_update())


def test_a_changelog_without_the_section_is_refused() -> None:
    """It says which line is missing."""
    with pytest.raises(UpdateError, match="## Unreleased") as caught:
        with_entry("# Changelog\n\n## 0.1.0\n", an_update())
    assert caught.value.exit_code == EXIT_CODES["changelog"]
