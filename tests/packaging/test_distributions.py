"""What is built, and what becomes of it in an empty environment."""

import ast
import json
import os
import re
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path, PurePath

import pytest
import readme_renderer.markdown
import trove_classifiers
from packaging.metadata import Metadata
from ruamel.yaml import YAML

import bootstrap
import krea_aleph
from krea_aleph.emulator import Emulator

from .conftest import PYTHONS, ROOT, Install, build, run

CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
ENTRY_POINTS = {
    "console_scripts": {"krea-aleph": "krea_aleph.cli:main"},
    "pytest11": {"krea_aleph": "krea_aleph.pytest_plugin"},
}

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

TYPED = """
from krea_aleph import Aleph
from krea_aleph_api.models import Job

def look(aleph: Aleph, raw: Job) -> None:
    reveal_type(aleph.get("x"))
    reveal_type(raw.job_id)
"""

WITHOUT_EMULATOR = """
from krea_aleph import MissingExtraError
try:
    from krea_aleph.emulator import Emulator
except MissingExtraError as error:
    print(error)
"""


def _contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _metadata(wheel: Path) -> bytes:
    (text,) = [data for name, data in _contents(wheel).items() if name.endswith("/METADATA")]
    return text


def _package_files() -> set[str]:
    """Files of both packages in this checkout, by their names in a wheel; what git ignores not."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = run(*command, "krea_aleph", "generated", cwd=ROOT).splitlines()
    return {name.removeprefix("generated/") for name in listed if (ROOT / name).exists()}


def test_the_wheel_holds_the_library_and_nothing_else(wheel: Path) -> None:
    """Both packages, file by file, and what wheels say of themselves; no tests, no prefix."""
    info = f"krea_aleph-{krea_aleph.__version__}.dist-info"
    told = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    names = set(_contents(wheel))
    assert names == _package_files() | {f"{info}/{name}" for name in told}
    assert {"krea_aleph/py.typed", "krea_aleph_api/py.typed"} <= names
    assert {name.partition("/")[0] for name in names} == {"krea_aleph", "krea_aleph_api", info}
    assert {PurePath(name).suffix for name in names - {f"{info}/{name}" for name in told}} <= {
        ".css",
        ".html",
        ".js",
        ".json",
        ".py",
        ".toml",
        ".typed",
    }


def test_the_wheel_carries_the_contract_that_is_committed(wheel: Path) -> None:
    """An installed library can say, byte for byte, which contract it was made from."""
    carried = _contents(wheel)["krea_aleph_api/contract.json"]
    assert carried == (ROOT / "openapi.json").read_bytes()


def test_the_wheel_tells_what_it_is(wheel: Path) -> None:
    """Name, Python, licence, extras and entry points are in metadata that indexes accept."""
    metadata = Metadata.from_email(_metadata(wheel), validate=True)
    assert metadata.metadata_version == "2.4"
    assert metadata.name == "krea-aleph"
    assert metadata.license_expression == "MIT"
    assert metadata.license_files == ["LICENSE"]
    assert {"emulator", "otel", "preview", "all"} <= {*(metadata.provides_extra or [])}
    assert not metadata.project_urls  # there is no address yet that would be true
    (points,) = [data for name, data in _contents(wheel).items() if name.endswith("points.txt")]
    parser = ConfigParser()
    parser.read_string(points.decode())
    assert {group: dict(parser[group]) for group in parser.sections()} == ENTRY_POINTS


def test_every_supported_python_is_named_everywhere(wheel: Path) -> None:
    """What pip asks, what people read, what CI runs and what these tests run are one list."""
    metadata = Metadata.from_email(_metadata(wheel), validate=True)
    pythons = [f"{major}.{minor}" for major, minor in PYTHONS]
    prefix = "Programming Language :: Python :: 3."
    classifiers = metadata.classifiers or []
    assert [name.rpartition(" ")[2] for name in classifiers if name.startswith(prefix)] == pythons
    assert str(metadata.requires_python) == f">={pythons[0]}"
    assert PYTHONS[0] == bootstrap.OLDEST
    for workflow, job in (("ci.yml", "test"), ("release.yml", "test")):
        jobs = YAML(typ="safe").load(ROOT / ".github/workflows" / workflow)["jobs"]
        assert jobs[job]["strategy"]["matrix"]["python"] == pythons
    assert {*classifiers} <= trove_classifiers.classifiers
    assert not {*classifiers} & {*trove_classifiers.deprecated_classifiers}


def test_the_readme_reads_well_on_an_index(wheel: Path) -> None:
    """It renders, and nothing in it leads to files that are only in the repository."""
    described = Metadata.from_email(_metadata(wheel), validate=True).description or ""
    page = readme_renderer.markdown.render(described)
    assert page is not None
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert [link for link in links if not link.startswith(("#", "https://"))] == []
    assert re.findall(CODE, described) == re.findall(CODE, (ROOT / "README.md").read_text())


def test_the_source_distribution_builds_the_same_wheel(
    source: Path, wheel: Path, tmp_path: Path, epoch: dict[str, str]
) -> None:
    """Whoever builds from source, gets what we build, byte for byte."""
    again = build(source, "wheel", tmp_path / "built", **epoch)
    assert _contents(again) == _contents(wheel)
    assert again.read_bytes() == wheel.read_bytes()


def test_building_twice_gives_the_same_bytes(
    source: Path, wheel: Path, sdist: Path, tmp_path: Path, epoch: dict[str, str]
) -> None:
    """Neither place, times, hash seed nor who may read the files is in what is built."""
    for number, path in enumerate(sorted(source.rglob("*"))):
        path.chmod(path.stat().st_mode & 0o700)
        os.utime(path, (number, number))
    other = {"PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "LC_ALL": "C", **epoch}
    for target, first in (("wheel", wheel), ("sdist", sdist)):
        again = build(source, target, tmp_path / target, **other)
        assert again.name == first.name
        assert again.read_bytes() == first.read_bytes()


def test_the_version_stands_in_one_place(source: Path, tmp_path: Path) -> None:
    """Another number in one file is all that another version takes."""
    (source / "PKG-INFO").unlink()  # a checkout has none; with it the number is fixed
    place = source / "krea_aleph" / "_version.py"
    place.write_text(place.read_text().replace(krea_aleph.__version__, "7.8.9"))
    built = build(source, "wheel", tmp_path / "built")
    assert built.name.startswith("krea_aleph-7.8.9-")
    assert b"\nVersion: 7.8.9\n" in _metadata(built)
    sources = [data for name, data in _contents(built).items() if name.endswith(".py")]
    assert not [data for data in sources if f'"{krea_aleph.__version__}"'.encode() in data]


def test_a_plain_install_is_small(install: Install, tmp_path: Path) -> None:
    """Without extras at most nine other distributions come along, and 4.05 MB in all."""
    python = install("krea-aleph")
    sizes = json.loads(run(python, "-c", INSTALLED, cwd=tmp_path))
    ours = sizes.pop("krea-aleph")
    assert len(sizes) <= 9, sorted(sizes)
    assert ours + sum(sizes.values()) <= 4_050_000, sizes


def test_a_missing_extra_says_how_to_get_it(install: Install, tmp_path: Path) -> None:
    """Without [emulator], importing it answers with the pip line."""
    said = run(install("krea-aleph"), "-c", WITHOUT_EMULATOR, cwd=tmp_path)
    assert "krea-aleph[emulator]" in said


@pytest.mark.long
def test_an_installed_wheel_is_typed(install: Install, tmp_path: Path) -> None:
    """A strict type checker reads the types of both packages where they are installed."""
    (tmp_path / "program.py").write_text(TYPED)
    strict = ["-m", "mypy", "--strict", "--config-file=", "--cache-dir=.cache"]
    environment = ["--python-executable", install("krea-aleph")]
    said = run(sys.executable, *strict, *environment, "program.py", cwd=tmp_path)
    assert 'Revealed type is "krea_aleph.models.Job"' in said
    assert 'Revealed type is "str"' in said
    assert "Success" in said


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


def test_an_installed_command_runs(install: Install, tmp_path: Path) -> None:
    """With [cli] in an empty environment, the script tells its version, helps and finds its way."""
    command = install("krea-aleph[cli]").with_name("krea-aleph")
    assert run(command, "--version", cwd=tmp_path) == f"krea-aleph {krea_aleph.__version__}\n"
    assert "submit" in run(command, "--help", cwd=tmp_path)
    (tmp_path / "in.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(1000))
    with Emulator(render=False, job_seconds=0.1) as emulator:
        known = {"KREA_API_KEY": emulator.key, "KREA_BASE_URL": emulator.base_url}
        state = {"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}
        words = ("run", "in.mp4", "make it snow", "-o", "out.mp4", "--json")
        said = run(command, *words, cwd=tmp_path, **known, **state)
    assert json.loads(said.splitlines()[-1])["type"] == "saved"
    assert (tmp_path / "out.mp4").stat().st_size


def test_the_command_without_its_extra_says_what_to_do(install: Install, tmp_path: Path) -> None:
    """`uvx krea-aleph` and `pipx run krea-aleph` end with the line that works, not a traceback."""
    command = install("krea-aleph").with_name("krea-aleph")
    words = [command, "doctor"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "krea-aleph[cli]" in done.stderr
    assert "Traceback" not in done.stderr
    assert run(command, "--version", cwd=tmp_path) == f"krea-aleph {krea_aleph.__version__}\n"


@pytest.mark.long
def test_uvx_runs_the_command(shelf: Path, tmp_path: Path) -> None:
    """`uvx --from 'krea-aleph[cli]' krea-aleph` needs no project and no environment."""
    uvx = bootstrap.ensure(bootstrap.LOCK).with_name("uvx")
    source = ["--offline", "--no-config", "--no-index", "--find-links", shelf]
    places = {"UV_CACHE_DIR": str(tmp_path / "cache"), "UV_TOOL_DIR": str(tmp_path / "tools")}
    words = ["--from", "krea-aleph[cli]", "krea-aleph", "--version"]
    said = run(uvx, *source, "--python", sys.executable, *words, cwd=tmp_path, **places)
    assert said.splitlines()[-1] == f"krea-aleph {krea_aleph.__version__}"


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
        "release",
        "test",
        "update",
    ],
)
def test_old_pythons_can_read_the_scripts(script: str) -> None:
    """A Python that is too old gets a helpful sentence, not a syntax error."""
    ast.parse((ROOT / "scripts" / script).read_text(), feature_version=(3, 6))
