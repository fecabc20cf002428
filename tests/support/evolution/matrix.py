"""The versions, a library built from each, and the marks that playing with them gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from checkouts import ROOT, Checkout

HERE: Final = Path(__file__).parent
HISTORY: Final = ROOT / "tests/codegen/history"
TABLE: Final = ROOT / "tests/evolution/marks.json"

VERSIONS: Final[Mapping[str, str]] = {
    "v1": "as published in early 2026",
    "v3": "as published on 25 May 2026",
    "v4": "as published in mid 2026; the library is built from this one today",
    "next-a": "invented: new options, ratios, statuses and answers, and a limit on addresses",
    "next-b": "invented: demands a new field; renames, limits and drops others; is deprecated",
    "absent": "Aleph is no longer published; such a library keeps the last contract, v4",
}
# What each library follows, in this order: what is no longer published it keeps from before.
LINEAGE: Final[Mapping[str, Sequence[str]]] = {
    **{version: [version] for version in VERSIONS},
    "absent": ["v4", "absent"],
}
# As somebody decides who releases a library for next-b.
ACCEPTED: Final = "create_aleph_job.body.audience"

Marks: TypeAlias = dict[str, dict[str, str]]
"""By scenario and library: a mark for each server, in the order of the versions."""


def description(version: str) -> Path:
    """Return the path of a version of the description."""
    return HISTORY / f"{version}.json"


def deciding_checkout(folder: Path, python: Path) -> Checkout:
    """Copy the checkout, with rules that accept the field that next-b demands."""
    checkout = Checkout.copied(folder, python)
    rules = checkout.root / "scripts/codegen/rules.toml"
    decided = rules.read_text("utf-8").replace("accepted = []", f'accepted = ["{ACCEPTED}"]')
    assert ACCEPTED in decided
    rules.write_text(decided, "utf-8")
    return checkout


def build_library(documents: Iterable[Path], library: Path, checkout: Checkout) -> None:
    """Make a folder with the library that a checkout gives when it follows documents in turn."""
    library.mkdir(parents=True)
    command = [checkout.python, "-I", HERE / "build_library.py", checkout.root, library]
    _run([*command, *documents])
    (library / "krea_aleph").symlink_to(ROOT / "krea_aleph")


def build_version(version: str, folder: Path, python: Path) -> Path:
    """Make a folder with the library as a release that follows a version has it."""
    checkout = deciding_checkout(folder / "checkouts" / version, python)
    build_library(map(description, LINEAGE[version]), folder / version, checkout)
    return folder / version


def build_libraries(folder: Path, python: Path) -> dict[str, Path]:
    """Make such a folder for every version."""
    with ThreadPoolExecutor(2) as pool:
        folders = pool.map(lambda version: build_version(version, folder, python), VERSIONS)
        return dict(zip(VERSIONS, folders, strict=True))


@dataclass(frozen=True)
class Played:
    """What came of playing every scenario with one library on every server.

    Attributes:
        package: The folder of the library's generated package.
        marks: By scenario: a mark for each server.
        told: By server: what the library told by itself, drift and ends.
    """

    package: str
    marks: Mapping[str, str]
    told: Mapping[str, Sequence[str]]


def play_all(libraries: Mapping[str, Path]) -> dict[str, Played]:
    """Play every scenario with every library on every server."""
    servers = [*map(description, VERSIONS)]
    with ThreadPoolExecutor(2) as pool:
        played = pool.map(lambda library: play(library, servers), libraries.values())
        return dict(zip(libraries, played, strict=True))


def marks_of(played: Mapping[str, Played]) -> Marks:
    """Put the marks of all libraries together."""
    titles = next(iter(played.values())).marks
    return {title: {name: one.marks[title] for name, one in played.items()} for title in titles}


def play(library: Path, servers: Iterable[Path]) -> Played:
    """Play every scenario with one library against emulators of these descriptions."""
    played = Played(**json.loads(_run([sys.executable, HERE / "play.py", *servers], library)))
    assert played.package == str(library / "krea_aleph_api"), "another library was played with"
    return played


def _run(command: Sequence[str | Path], library: Path | None = None) -> str:
    path = {} if library is None else {"PYTHONPATH": str(library)}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **path},
        timeout=300,
    )
    assert done.returncode == 0, f"{command[-1]}: {done.stderr[-4000:]}"
    return done.stdout


def read_table() -> Marks:
    """Read the committed marks."""
    lines: dict[str, str] = json.loads(TABLE.read_bytes())
    return {title: dict(zip(VERSIONS, line.split(), strict=True)) for title, line in lines.items()}


def write_table(marks: Marks) -> None:
    """Write the marks: a line for each scenario, a word for each library."""
    lines = {title: " ".join(by_library.values()) for title, by_library in marks.items()}
    TABLE.write_text(json.dumps(lines, indent=2) + "\n", "utf-8")
