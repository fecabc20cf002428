"""The changelog: its form, and what a release takes from it."""

import pytest

import krea_aleph
from releasing import changelog
from releasing.failure import ReleaseError

from .conftest import ROOT

RIGHT = """# Changelog

What changes.

## Unreleased

## 0.2.0 - 2026-12-01

This one breaks `submit`.

### Added

- `wait` takes [a policy](docs/jobs.md), which
  says how often; see [the API](https://docs.krea.ai).
- Nothing else.

### Fixed

- `x[0](1)` works.

## 0.1.0 - 2026-11-23

### Added

- Everything.
"""
WRONG = {
    "another title": ("# Changelog\n", "# Changes\n", "does not start with"),
    "no place for what comes": ("## Unreleased\n", "", "needs one `## Unreleased`"),
    "two places for it": ("## Unreleased\n", "## Unreleased\n\n## Unreleased\n", "needs one"),
    "a version without a day": (" - 2026-12-01", "", "`## 0.2.0` is neither"),
    "no version": ("## 0.2.0", "## next", "'next' is no version to release"),
    "no day": ("2026-12-01", "2026-12-41", "2026-12-41 is no day"),
    "the wrong order": ("## 0.2.0", "## 0.0.9", "the newest release does not stand first"),
    "a version twice": ("## 0.2.0", "## 0.1.0", "stands there twice"),
    "days that go back": ("2026-12-01", "2026-11-01", "dated after the one above"),
    "an empty release": ("### Added\n\n- Everything.\n", "", "0.1.0: nothing is said"),
    "a heading of one's own": ("### Fixed", "### News", "0.2.0: the headings are Added, Changed"),
    "headings in another order": ("### Fixed", "### Added", "each once and in this order"),
    "a heading without entries": ("- `x[0](1)` works.\n", "", "nothing under ### Fixed"),
    "prose instead of a list": ("- Nothing else.", "Nothing else.", "is a list: Nothing else."),
}


def test_the_projects_own_is_of_the_right_form() -> None:
    """`scripts/update` finds its place in it, and readers find the newest release first."""
    assert [*changelog.problems((ROOT / changelog.PLACE).read_text())] == []
    assert [*changelog.problems(RIGHT)] == []


def test_it_knows_the_current_version() -> None:
    """The version has its section, or is what will be released next."""
    sections = changelog.read((ROOT / changelog.PLACE).read_text())
    unreleased, *released = sections
    assert unreleased.lines or released
    if not unreleased.lines:
        assert released[0].name == krea_aleph.__version__


@pytest.mark.parametrize(("right", "wrong", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_one_is_said(right: str, wrong: str, said: str) -> None:
    """Each departure from the form is named, so that it is found before a release."""
    assert right in RIGHT
    found = [*changelog.problems(RIGHT.replace(right, wrong, 1))]
    assert any(said in problem for problem in found), found


def test_notes_are_the_section_of_a_release() -> None:
    """An entry is one line, and words remain of links that lead nowhere outside the repository."""
    assert changelog.notes(RIGHT, "0.2.0") == (
        "This one breaks `submit`.\n\n"
        "### Added\n\n"
        "- `wait` takes a policy, which says how often; see [the API](https://docs.krea.ai).\n"
        "- Nothing else.\n\n"
        "### Fixed\n\n"
        "- `x[0](1)` works.\n"
    )


@pytest.mark.parametrize("version", ["0.3.0", "Unreleased"])
def test_without_a_section_there_are_no_notes(version: str) -> None:
    """Nothing is released of which nothing is said."""
    with pytest.raises(ReleaseError, match=f"says nothing under `## {version}`"):
        changelog.notes(RIGHT, version)


def test_what_was_unreleased_becomes_the_release() -> None:
    """The same entries stand under the version and its day, below an empty place for new ones."""
    entry = "### Changed\n\n- More.\n"
    text = RIGHT.replace("## Unreleased\n", f"## Unreleased\n\n{entry}", 1)
    closed = changelog.closed(text, "0.3.0", "2026-12-24")
    assert [*changelog.problems(closed)] == []
    newest = [(section.name, section.date, section.lines) for section in changelog.read(closed)][:2]
    assert newest == [
        ("Unreleased", None, ()),
        ("0.3.0", "2026-12-24", tuple(entry.splitlines())),
    ]
    assert closed.replace("\n## 0.3.0 - 2026-12-24\n", "", 1) == text


def test_nothing_is_closed_twice() -> None:
    """Without entries, or for a version that has some, the text stays as it is."""
    with pytest.raises(ReleaseError, match="what is to be released"):
        changelog.closed(RIGHT, "0.3.0", "2026-12-24")
    text = RIGHT.replace("## Unreleased\n", "## Unreleased\n\n- More.\n", 1)
    with pytest.raises(ReleaseError, match=r"a section for 0\.2\.0 already"):
        changelog.closed(text, "0.2.0", "2026-12-24")


def test_everything_that_follows_a_version_is_kept() -> None:
    """Closing the project's own changelog loses no line of it."""
    text = (ROOT / changelog.PLACE).read_text()
    if not changelog.read(text)[0].lines:
        text = text.replace("## Unreleased\n", "## Unreleased\n\n### Fixed\n\n- Something.\n")
    closed = changelog.closed(text, "99.0.0", "2099-01-01")
    assert [*changelog.problems(closed)] == []
    assert {*text.splitlines()} <= {*closed.splitlines()}
