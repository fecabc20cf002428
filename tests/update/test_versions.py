"""The next version: the larger of what the description and the Python surface ask for."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from updating.failure import UpdateError
from updating.git import Repository
from updating.report import Surface
from updating.surface import compare
from updating.versions import Bump, following, of_change, proposed

from .conftest import ROOT, Desk, a_change, a_report, git

CHANGES: dict[str, tuple[Bump, dict[str, Any]]] = {
    "an option that goes": (Bump.BREAKING, a_change("breaking", new=None)),
    "a tighter limit": (Bump.BREAKING, a_change("breaking", old=1000, new=900)),
    "a retired operation": (Bump.BREAKING, a_change("breaking", old={"summary": "x"}, new=None)),
    "a field that is no longer sent": (Bump.MINOR, a_change("breaking", direction="response")),
    "a new status": (Bump.MINOR, a_change("review", direction="response")),
    "another default": (Bump.MINOR, a_change("review")),
    "a new option": (Bump.MINOR, a_change("feature")),
    "other words": (Bump.PATCH, a_change("docs")),
    "nothing": (Bump.NONE, a_change("none")),
}


@pytest.mark.parametrize(("bump", "change"), CHANGES.values(), ids=CHANGES)
def test_what_a_change_of_the_description_asks_for(bump: Bump, change: dict[str, Any]) -> None:
    """Requests break callers; answers are read tolerantly; descriptions are a patch at most."""
    assert of_change(a_report(change).changes[0]) is bump


SURFACES = {
    "nothing of either": ([], Surface(), Bump.NONE),
    "the description": (["breaking", "docs"], Surface(), Bump.BREAKING),
    "what breaks in Python": (["docs"], Surface(broken=("x",)), Bump.BREAKING),
    "what is new in Python": (["docs"], Surface(added=("x",)), Bump.MINOR),
    "words alone": (["docs"], Surface(), Bump.PATCH),
}


@pytest.mark.parametrize(("severities", "surface", "bump"), SURFACES.values(), ids=SURFACES)
def test_the_larger_of_both_counts(severities: list[str], surface: Surface, bump: Bump) -> None:
    """Neither side may hide what the other one sees."""
    report = a_report(*map(a_change, severities), result="updated")
    assert proposed(dataclasses.replace(report, surface=surface)) is bump


NEXT = [
    ("0.3.1", Bump.NONE, "0.3.1"),
    ("0.3.1", Bump.PATCH, "0.3.2"),
    ("0.3.1", Bump.MINOR, "0.4.0"),
    ("0.3.1", Bump.BREAKING, "0.4.0"),
    ("v1.2.3", Bump.PATCH, "1.2.4"),
    ("1.2.3", Bump.MINOR, "1.3.0"),
    ("1.2.3", Bump.BREAKING, "2.0.0"),
    ("0.4.0.dev1", Bump.PATCH, "0.4.1"),
    ("1.0.0rc2", Bump.NONE, "1.0.0"),
]


@pytest.mark.parametrize(("version", "bump", "next_"), NEXT)
def test_before_one_what_breaks_is_a_minor_release(version: str, bump: Bump, next_: str) -> None:
    """From 1.0 on it is a major one."""
    assert following(version, bump) == next_


@pytest.mark.parametrize("version", ["", "1", "1.2", "one.two.three", "1.2.3.4.5", "<b>"])
def test_what_is_no_version_is_refused(version: str) -> None:
    """A proposal names a version that exists."""
    with pytest.raises(UpdateError, match="is no version"):
        following(version, Bump.MINOR)


PACKAGES = {
    "krea_aleph/__init__.py": "from krea_aleph.client import Aleph\n\n__all__ = ['Aleph']\n",
    "krea_aleph/client.py": """
from krea_aleph._inside import Base


class Aleph(Base):
    def get(self, job, *, fields=()): ...
    def _ask(self): ...
""",
    "krea_aleph/_inside.py": "class Base:\n    def close(self): ...\n",
    "krea_aleph/emulator/__init__.py": """
from krea_aleph.emulator.local import Emulator

__all__ = ["Emulator"]
""",
    "krea_aleph/emulator/local.py": "class Emulator:\n    def aleph(self): ...\n\nTIMERS = 1\n",
    "generated/krea_aleph_api/__init__.py": '"""Generated."""\n',
    "generated/krea_aleph_api/models/__init__.py": "",
    "generated/krea_aleph_api/models/job.py": "class Job:\n    job_id: str\n    error: str\n",
    "generated/krea_aleph_api/options.py": "class AlephOptions:\n    seed: int\n",
}
Pair = tuple[Path, Path]


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Make two checkouts with the same two small packages."""
    for root in (tmp_path / "old", tmp_path / "new"):
        for name, source in PACKAGES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(source)
    return tmp_path / "old", tmp_path / "new"


def edit(root: Path, name: str, old: str, new: str) -> None:
    """Replace a text in a file."""
    source = (root / name).read_text()
    assert old in source
    (root / name).write_text(source.replace(old, new))


JOB, OPTIONS = "generated/krea_aleph_api/models/job.py", "generated/krea_aleph_api/options.py"
LOCAL = "krea_aleph/emulator/local.py"
BROKEN = {
    "a verb": (("krea_aleph/client.py", "get(", "fetch("), "krea_aleph.client.Aleph.get"),
    "a parameter": (("krea_aleph/client.py", "fields", "keys"), "krea_aleph.client.Aleph.get"),
    "what a class inherits": (
        ("krea_aleph/_inside.py", "close(", "_close("),
        "krea_aleph.client.Aleph.close",
    ),
    "an option": ((OPTIONS, "seed", "grain"), "krea_aleph_api.options.AlephOptions.seed"),
    "a field of an answer": ((JOB, "error", "problem"), "krea_aleph_api.models.job.Job.error"),
    "what a package exports": (
        (LOCAL, "aleph(", "client("),
        "krea_aleph.emulator.local.Emulator.aleph",
    ),
}


@pytest.mark.parametrize(("change", "name"), BROKEN.values(), ids=BROKEN)
def test_what_breaks_in_python_is_found(
    pair: Pair, change: tuple[str, str, str], name: str
) -> None:
    """In the facade, in what it exports or inherits, and in the generated package."""
    edit(pair[1], *change)
    broken, _ = compare(*pair)
    assert [line.partition(":")[0].partition("(")[0] for line in broken] == [name]


def test_what_is_new_in_python_is_found(pair: Pair) -> None:
    """By its outermost name, and nothing is called broken."""
    model = pair[1] / "generated/krea_aleph_api/models/job_extra.py"
    model.write_text("class JobExtra:\n    field = 1\n")
    edit(pair[1], OPTIONS, "seed: int", "seed: int\n    grain: int")
    assert compare(*pair) == (
        (),
        ("krea_aleph_api.models.job_extra", "krea_aleph_api.options.AlephOptions.grain"),
    )


INSIDE = {
    "a private name": ("krea_aleph/client.py", "_ask", "_tell"),
    "a name inside the emulator": (LOCAL, "TIMERS", "CLOCKS"),
    "the order of what is named": (
        JOB,
        "job_id: str\n    error: str",
        "error: str\n    job_id: str",
    ),
    "code that would run": (JOB, "class Job", "raise SystemExit\n\nclass Job"),
}


@pytest.mark.parametrize("change", INSIDE.values(), ids=INSIDE)
def test_what_nobody_should_use_may_change(pair: Pair, change: tuple[str, str, str]) -> None:
    """Private names, and modules inside of packages around the core, are ours; nothing runs."""
    edit(pair[1], *change)
    assert compare(*pair) == ((), ())


def test_code_that_cannot_be_read_is_named(pair: Pair) -> None:
    """A package that is missing is said, not taken for unchanged."""
    shutil.rmtree(pair[1] / "generated/krea_aleph_api")
    with pytest.raises(UpdateError, match="krea_aleph_api cannot be read"):
        compare(*pair)


def test_the_project_itself_can_be_compared(tmp_path: Path) -> None:
    """Of the real packages, a verb that goes and an option that comes are what is found."""
    ignore = shutil.ignore_patterns("__pycache__")
    for root in (tmp_path / "old", tmp_path / "new"):
        for folder in ("krea_aleph", "generated"):
            shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
    edit(tmp_path / "new", "krea_aleph/client.py", "def get_asset(", "def _get_asset(")
    edit(tmp_path / "new", OPTIONS, "    seed: ", "    grain: int\n    seed: ")
    assert compare(tmp_path / "old", tmp_path / "new") == (
        tuple(
            f"krea_aleph.client.{client}.get_asset: public object was removed"
            for client in ("Aleph", "AsyncAleph")
        ),
        ("krea_aleph_api.options.AlephOptions.grain",),
    )


def test_the_last_release_is_the_highest_tag_below(desk: Desk) -> None:
    """Tags of other forms and of other branches do not count; without one there is none."""
    repository = Repository(desk.root)
    assert repository.last_release("HEAD") is None
    for tag in ("v0.9.0", "v0.10.0", "v0.11.0rc1", "nightly", "v1"):
        git(desk.root, "tag", tag)
    git(desk.root, "commit", "--quiet", "--allow-empty", "--message=Beside")
    git(desk.root, "tag", "v2.0.0")
    assert repository.last_release("HEAD~1") == "v0.10.0"
    assert repository.last_release("HEAD") == "v2.0.0"
