"""What is built, and what becomes of it in an empty environment."""

import ast
import json
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from krea_aleph.emulator import Emulator

from .conftest import PYTHONS, ROOT, Install, build, run

MEGABYTE = 2**20

INSTALLED = """
import json
import sys
from importlib.metadata import distributions
sizes = {}
for found in distributions():
    files = [file.locate() for file in found.files if file.suffix != ".pyc"]
    sizes[found.metadata["Name"].lower()] = sum(f.stat().st_size for f in files if f.exists())
print(json.dumps(sizes))
"""

ONE_JOB = """
from pathlib import Path
from krea_aleph.emulator import Emulator

Path("in.mp4").write_bytes(b"\\0\\0\\0\\x18ftypmp42" + bytes(1000))  # a head
with Emulator(render=False) as emulator, emulator.aleph(virtual_time=True) as aleph:
    saved = aleph.transform("in.mp4", "make it snow", "out.mp4")
print(saved.job.status, Path(saved).stat().st_size > 0)
"""

CLIENT_ALONE = """
import sys
from pathlib import Path
from krea_aleph import Aleph, PollPolicy

Path("in.mp4").write_bytes(b"\\0\\0\\0\\x18ftypmp42" + bytes(1000))  # a head
base_url, key = sys.argv[1:]
with Aleph(base_url=base_url, api_key=key, poll=PollPolicy(early=0.1)) as aleph:
    saved = aleph.transform("in.mp4", "make it snow", "out.mp4")
print(saved.job.status, Path(saved).stat().st_size > 0)
"""

WITHOUT_EMULATOR = """
from krea_aleph import MissingExtraError
try:
    from krea_aleph.emulator import Emulator
except MissingExtraError as error:
    print(error)
"""


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    """Both packages, their type markers, the contract and the licence; no tests, no prefix."""
    names = _names(wheel)
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "krea_aleph",
        "krea_aleph_api",
    }
    assert {
        "krea_aleph/py.typed",
        "krea_aleph_api/py.typed",
        "krea_aleph_api/contract.json",
        "krea_aleph_api/PROVENANCE.json",
    } <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [
        name for name in names if "/tests/" in name or "/test_" in name or name.endswith(".pyc")
    ]


def test_the_wheel_carries_the_contract_that_is_committed(wheel: Path) -> None:
    """An installed library can say, byte for byte, which contract it was made from."""
    with zipfile.ZipFile(wheel) as archive:
        carried = archive.read("krea_aleph_api/contract.json")
    assert carried == (ROOT / "openapi.json").read_bytes()


def test_the_wheel_tells_what_it_is(wheel: Path) -> None:
    """Name, Python, licence, extras and the pytest fixture are in the metadata."""
    with zipfile.ZipFile(wheel) as archive:
        info = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(info).decode())
        points = archive.read(info.replace("METADATA", "entry_points.txt")).decode()
    assert metadata["Name"] == "krea-aleph"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert {"emulator", "otel", "preview", "all"} <= set(metadata.get_all("Provides-Extra", []))
    assert "[pytest11]" in points


def test_the_source_distribution_builds_the_same_wheel(
    sdist: Path, wheel: Path, tmp_path: Path
) -> None:
    """Whoever builds from source, gets what we build."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    (tmp_path / "built").mkdir()
    again = build(source, "wheel", tmp_path / "built")
    assert _names(again) == _names(wheel)


def test_a_plain_install_is_small(install: Install, tmp_path: Path) -> None:
    """Without extras at most nine other distributions come along, and 3.5 MB in all."""
    python = install("krea-aleph")
    sizes = json.loads(run(python, "-c", INSTALLED, cwd=tmp_path))
    ours = sizes.pop("krea-aleph")
    assert len(sizes) <= 9, sorted(sizes)
    assert ours + sum(sizes.values()) <= 3.5 * MEGABYTE, sizes


def test_a_missing_extra_says_how_to_get_it(install: Install, tmp_path: Path) -> None:
    """Without [emulator], importing it answers with the pip line."""
    said = run(install("krea-aleph"), "-c", WITHOUT_EMULATOR, cwd=tmp_path)
    assert "krea-aleph[emulator]" in said


def test_an_installed_wheel_brings_a_whole_emulator(install: Install, tmp_path: Path) -> None:
    """From any folder, in an empty environment, client and emulator do a job together."""
    python = install("krea-aleph[emulator]")
    assert run(python, "-W", "error", "-c", ONE_JOB, cwd=tmp_path).split() == ["completed", "True"]


@pytest.mark.parametrize("version", PYTHONS, ids=lambda version: f"{version[0]}.{version[1]}")
def test_an_installed_wheel_does_a_job_on_every_python(
    install: Install, tmp_path: Path, version: tuple[int, int]
) -> None:
    """The client alone, on each Python that is here, restyles a clip at a server elsewhere."""
    python = install("krea-aleph", version)
    with Emulator(render=False, job_seconds=0.1) as emulator:
        address = (emulator.base_url, emulator.key)
        said = run(python, "-W", "error", "-c", CLIENT_ALONE, *address, cwd=tmp_path)
    assert said.split() == ["completed", "True"]


def test_the_editable_install_is_the_checkout(tmp_path: Path) -> None:
    """Both packages are imported from the working tree, from wherever one is."""
    program = "import krea_aleph, krea_aleph_api as api; print(krea_aleph.__file__, api.__file__)"
    facade, generated = run(sys.executable, "-c", program, cwd=tmp_path).split()
    assert Path(facade).parent == ROOT / "krea_aleph"
    assert Path(generated).parent == ROOT / "generated" / "krea_aleph_api"


@pytest.mark.parametrize(
    "script",
    [
        "bootstrap.py",
        "audit",
        "bench",
        "check",
        "demo",
        "lock",
        "regenerate",
        "test",
        "update",
    ],
)
def test_old_pythons_can_read_the_scripts(script: str) -> None:
    """A Python that is too old gets a helpful sentence, not a syntax error."""
    ast.parse((ROOT / "scripts" / script).read_text(), feature_version=(3, 6))
