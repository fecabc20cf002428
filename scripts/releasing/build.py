"""Everything that a release consists of, made of one commit.

The source distribution is built from a clean export of the commit, and the wheel from the source
distribution. The time that stands in both is the commit's: whoever builds the same commit again,
with the same tools, gets the same bytes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from releasing import changelog
from releasing.bill import bill_of_materials
from releasing.failure import ReleaseError

if TYPE_CHECKING:
    from updating.git import Repository

CHECKSUMS: Final = "SHA256SUMS"
NOTES: Final = "notes.md"
BILL: Final = "bill-of-materials.cdx.json"


def build(repository: Repository, revision: str, folder: Path, lock: Path) -> list[Path]:
    """Build what is published of a commit.

    Args:
        repository: Where the commit is; nothing that is not committed has any influence.
        revision: The commit.
        folder: Where the files are put: an sdist, a wheel, a bill of materials and their
            checksums, and the notes if the changelog has a section for the version.
        lock: The locked requirements, for the bill of materials.

    Returns:
        The files, the notes left out.

    Raises:
        ReleaseError: The folder is not empty, or something does not build.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ReleaseError(f"{folder} is not empty: a release is built into an empty folder")
    commit = repository.commit_of(revision)
    time = int(repository.text("show", "--no-patch", "--format=%ct", commit))
    with tempfile.TemporaryDirectory() as temporary:
        export, unpacked = Path(temporary, "export"), Path(temporary, "sdist")
        _unpack(repository.run("archive", "--format=tar", commit), export)
        sdist = _hatchling(export, "sdist", folder, time)
        _unpack(sdist.read_bytes(), unpacked)
        (source,) = unpacked.iterdir()
        wheel = _hatchling(source, "wheel", folder, time)
    bill = folder / BILL
    when = dt.datetime.fromtimestamp(time, dt.UTC)
    bill.write_text(bill_of_materials(wheel, lock, when), encoding="utf-8")
    made = [sdist, wheel, bill]
    sums = write_checksums(folder, made)
    _write_notes(repository, commit, wheel, folder)
    return [*made, sums]


def write_checksums(folder: Path, files: list[Path]) -> Path:
    """Write the list that `sha256sum --check` reads."""
    sums = folder / CHECKSUMS
    sums.write_text("".join(f"{_sha256(path)}  {path.name}\n" for path in files), encoding="utf-8")
    return sums


def verify(folder: Path) -> None:
    """Hold the files of a release to its checksums.

    Raises:
        ReleaseError: There are no checksums, or a file is not what they say.
    """
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ReleaseError(f"{folder} has no {CHECKSUMS}: {error.strerror}") from error
    expected = {
        folder / name: digest for digest, _, name in (line.partition("  ") for line in lines)
    }
    wrong = [
        f"{path.name} is missing, or is not what {CHECKSUMS} says"
        for path, digest in expected.items()
        if not path.is_file() or _sha256(path) != digest
    ]
    if wrong:
        raise ReleaseError(*wrong)


def _write_notes(repository: Repository, commit: str, wheel: Path, folder: Path) -> None:
    """Write the notes; a build between two releases has none."""
    text = (repository.file(commit, changelog.PLACE) or b"").decode()
    version = wheel.name.split("-")[1]
    if changelog.section_of(text, version) is not None:
        (folder / NOTES).write_text(changelog.notes(text, version), encoding="utf-8")


def _unpack(data: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(folder, filter="data")


def _hatchling(source: Path, target: str, folder: Path, time: int) -> Path:
    """Build with the locked hatchling, without looking for another one."""
    before = {*folder.iterdir()}
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        target,
        "-d",
        str(folder.resolve()),
    ]
    done = subprocess.run(
        command,
        cwd=source,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(time)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ReleaseError(f"the {target} does not build:\n{done.stdout}")
    (built,) = {*folder.iterdir()} - before
    return built


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
