"""Built distributions, and empty environments to install them into; all of it offline."""

import functools
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from email.parser import HeaderParser
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from releasing.cli import RELEASE

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = [(3, minor) for minor in (11, 12, 13, 14)]

Install = Callable[..., Path]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a program in a folder; its output, or the test fails with it."""
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**outside, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def build(source: Path, target: str, folder: Path, **environment: str) -> Path:
    """Build an sdist or a wheel of a source tree with the installed hatchling."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", folder]
    run(*command, cwd=source, **environment)
    (built,) = folder.iterdir()
    return built


def released(pattern: str) -> Path | None:
    """The file of a release that is to be tested, which `scripts/release test` names."""
    folder = os.environ.get(RELEASE)
    if folder is None:
        return None
    (found,) = Path(folder).glob(pattern)
    return found.resolve()


@pytest.fixture(scope="session")
def epoch() -> dict[str, str]:
    """The time that stands in what is built: that of the last commit, as in a release."""
    command = ["git", "log", "-1", "--format=%ct"]
    return {"SOURCE_DATE_EPOCH": run(*command, cwd=ROOT).strip()}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, epoch: dict[str, str]) -> Path:
    """The project's wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    return released("*.whl") or build(ROOT, "wheel", folder, **epoch)


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory, epoch: dict[str, str]) -> Path:
    """The project's source distribution."""
    folder = tmp_path_factory.mktemp("sdist")
    return released("*.tar.gz") or build(ROOT, "sdist", folder, **epoch)


@pytest.fixture
def source(sdist: Path, tmp_path: Path) -> Path:
    """What the source distribution unpacks to."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (unpacked,) = (tmp_path / "source").iterdir()
    return unpacked


@pytest.fixture(scope="session")
def shelf(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels to install from instead of an index: the project's and what it needs."""
    folder = tmp_path_factory.mktemp("shelf")
    shutil.copy(wheel, folder)
    for found in needed("krea-aleph", frozenset({"", "cli", "emulator"})):
        _repack(found, folder)
    return folder


def needed(
    name: str, extras: frozenset[str], seen: set[str] | None = None
) -> Iterator[Distribution]:
    """Walk over the installed distributions that one requires, itself left out."""
    seen = set() if seen is None else seen
    for line in distribution(name).requires or []:
        requirement = Requirement(line)
        marker = requirement.marker
        if requirement.name in seen or requirement.name == "krea-aleph":
            continue
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            seen.add(requirement.name)
            yield distribution(requirement.name)
            yield from needed(requirement.name, frozenset({"", *requirement.extras}), seen)


def _repack(installed: Distribution, folder: Path) -> None:
    """Turn an installed distribution back into a wheel."""
    name = re.sub(r"[-_.]+", "_", installed.metadata["Name"])
    tag = HeaderParser().parsestr(installed.read_text("WHEEL") or "")["Tag"]
    with zipfile.ZipFile(folder / f"{name}-{installed.version}-{tag}.whl", "w") as packed:
        for file in installed.files or []:
            if ".." not in file.parts and file.suffix != ".pyc":
                packed.write(str(file.locate()), str(file))


def interpreter(version: tuple[int, int]) -> str:
    """Find a Python of a version, or skip the test."""
    if sys.version_info[:2] == version:
        return sys.executable
    name = f"python{version[0]}.{version[1]}"
    homes = sorted(Path.home().glob(f".pyenv/versions/{version[0]}.{version[1]}.*/bin/{name}"))
    for candidate in [*map(str, homes), shutil.which(name)]:
        if candidate and subprocess.run([candidate, "-c", ""], check=False).returncode == 0:
            return candidate
    pytest.skip(f"{name} is not installed here")


@pytest.fixture(scope="session")
def install(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Install a requirement into an empty environment; its Python. Equal ones are shared."""

    @functools.cache
    def into_an_empty_environment(
        requirement: str, version: tuple[int, int] = sys.version_info[:2]
    ) -> Path:
        folder = tmp_path_factory.mktemp("environment")
        run(interpreter(version), "-m", "venv", "--without-pip", folder, cwd=folder)
        python = folder / "bin" / "python"
        pip = [sys.executable, "-m", "pip", "--isolated", "--python", str(python), "install"]
        run(*pip, "--quiet", "--no-index", "--find-links", shelf, requirement, cwd=folder)
        return python

    return into_an_empty_environment
