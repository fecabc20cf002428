"""README and guides are true: what they show runs, in its order, and prints what they say."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import krea_aleph
from buckets import Bucket, gate_before, local_s3, use_environment
from krea_aleph import KreaError, _config
from krea_aleph.clocks import RealClock
from krea_aleph.emulator import Emulator, VirtualClock

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted(ROOT.glob("docs/**/*.md"))]
CLIP = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(2000)
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$\n(?:\n(?=```))?", re.DOTALL | re.MULTILINE)

pytest_plugins = ["pytester"]


class Block(NamedTuple):
    """A Python block, the output that stands below it, and where it is from."""

    page: str
    number: int
    code: str
    printed: str | None

    @property
    def tests(self) -> bool:
        """Whether it is to be run by pytest."""
        return "\ndef test_" in f"\n{self.code}"

    @property
    def alone(self) -> bool:
        """Whether it starts an emulator of its own."""
        return "import Emulator" in self.code

    def run(self) -> None:
        """Do what a reader does who copies it into a file."""
        code = compile(self.code, f"{self.page}, block {self.number}", "exec")
        with warnings.catch_warnings():
            exec(code, {"__name__": "__main__"})  # noqa: S102 - our own text


def blocks(page: Path) -> list[Block]:
    """Return the Python blocks of a page. A text block right below one is what it prints."""
    found: list[Block] = []
    end = -1
    for fence in _FENCE.finditer(page.read_text("utf-8")):
        if fence[1] == "python":
            found.append(Block(page.name, len(found) + 1, fence[2], None))
            end = fence.end()
        elif fence[1] == "text" and fence.start() == end:
            found[-1] = found[-1]._replace(printed=fence[2])
    return found


PROGRAMS = [page for page in PAGES if any(not block.tests for block in blocks(page))]
TESTS = [block for page in PAGES for block in blocks(page) if block.tests]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a clip, and a program's own signal handling, given back."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.mp4").write_bytes(CLIP)
    handler = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def krea(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A Krea that answers, its address and key in the environment, and virtual time."""
    with Emulator(clock=VirtualClock(), render=False) as emulator:
        monkeypatch.setenv("KREA_API_KEY", emulator.key)
        monkeypatch.setenv("KREA_BASE_URL", emulator.base_url)
        monkeypatch.setenv("PUBLIC_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("WEBHOOK_SECRET", "a secret of more than sixteen bytes")
        monkeypatch.setattr(_config, "RealClock", lambda: emulator.clock)
        yield emulator


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A bucket with a clip, and in the environment what reaches it."""
    with local_s3() as port, gate_before(port) as gate:
        bucket = Bucket("clips", gate)
        bucket.put("in.mp4", CLIP)
        use_environment(monkeypatch, bucket)
        yield


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: page.name)
def test_the_programs_of_a_page_run(
    page: Path,
    folder: Path,
    krea: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    """What a reader copies works as it stands, one after the other in one folder."""
    if "s3://" in page.read_text("utf-8"):
        request.getfixturevalue("buckets")
    for name, table in _tables(page):
        (folder / name).write_text(table, "utf-8")
        for row in csv.DictReader(table.splitlines()):
            (folder / row["video"]).parent.mkdir(exist_ok=True)
            (folder / row["video"]).write_bytes(CLIP)
    for block in blocks(page):
        if block.tests:
            continue
        seen = len(krea.requests)
        with monkeypatch.context() as patch:
            if block.alone:
                patch.undo()
                patch.setattr(_config, "RealClock", RealClock)
            else:
                _let_loops_sleep(patch, krea)
            block.run()
        printed = capsys.readouterr().out
        assert printed or len(krea.requests) > seen or "app = FastAPI(" in block.code, block
        assert block.printed in {None, printed}, block


def _tables(page: Path) -> list[tuple[str, str]]:
    """Return the tables that a page shows, each with the name that the line above gives it."""
    shown = r"`([\w.]+\.csv)`[^`]*\n\n```csv\n(.*?)^```"
    return re.findall(shown, page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def _let_loops_sleep(patch: pytest.MonkeyPatch, krea: Emulator) -> None:
    """Let a loop that somebody has written by hand sleep by the emulator's clock."""
    really, ours = time.sleep, threading.current_thread()

    def sleep(seconds: float) -> None:
        (krea.clock.sleep if threading.current_thread() is ours else really)(seconds)

    patch.setattr(time, "sleep", sleep)


def test_the_programs_pass_a_type_checker(tmp_path: Path) -> None:
    """Who copies one into checked code is told of no mistake, in branches that never ran either."""
    for page in PAGES:
        for block in blocks(page):
            name = f"{page.stem}_{block.number}.py".replace("-", "_")
            (tmp_path / name).write_text(block.code, "utf-8")
    command = [sys.executable, "-m", "mypy", "--python-version=3.11", "--check-untyped-defs"]
    checked = subprocess.run(
        [*command, "--config-file=", f"--cache-dir={os.devnull}", *tmp_path.iterdir()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("block", TESTS, ids=lambda block: f"{block.page}-{block.number}")
def test_the_tests_of_a_page_pass(pytester: pytest.Pytester, block: Block) -> None:
    """What a reader copies into a test suite passes there, the fixture found by itself."""
    pytester.makepyfile(block.code)
    passed = block.code.count("def test_")
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider").assert_outcomes(passed=passed)


def test_no_page_is_forgotten() -> None:
    """The pages are found, and so are their blocks, however they are fenced."""
    assert {"README.md", "errors.md", "jobs.md", "money.md"} <= {page.name for page in PROGRAMS}
    for page in PAGES:
        fences = page.read_text("utf-8").count("```python")
        assert fences == len(blocks(page)), page
        assert not re.search(r"^(?:~~~| +```|```py\n)", page.read_text("utf-8"), re.MULTILINE), page


def _errors() -> dict[str, type[KreaError]]:
    return {
        name: thing
        for name in krea_aleph.__all__
        if isinstance(thing := getattr(krea_aleph, name), type) and issubclass(thing, KreaError)
    }


def test_the_tables_of_errors_are_complete_and_right() -> None:
    """Every error has one row, with the truth about charging and sending again."""
    page = (ROOT / "docs/errors.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \|([^|]+)\| (\w+) \| (\w+) \|([^|]+)\|$", page, re.MULTILINE)
    told = [(name, charged, resubmit) for name, _, charged, resubmit, _ in rows]
    assert sorted(told) == sorted(
        (name, kind.charged, kind.resubmit) for name, kind in _errors().items()
    )


def test_the_tree_of_errors_is_the_one_in_the_code() -> None:
    """Each error stands below its parent."""
    page = (ROOT / "docs/errors.md").read_text("utf-8")
    tree = page.partition("## The tree")[2].partition("```text\n")[2].partition("```")[0]
    parents: list[str] = []
    found = {}
    for line in tree.splitlines():
        drawn, name = re.fullmatch(r"([├└─│ ]*)(\w+)\b.*", line).groups()  # type: ignore[union-attr]
        parents[len(drawn) // 3 :] = [name]
        found[name] = parents[-2] if len(parents) > 1 else "Exception"
    assert found == {name: kind.__bases__[0].__name__ for name, kind in _errors().items()}


def test_the_errors_of_the_readme_exist() -> None:
    """Its short table names classes that can be imported."""
    named = set(re.findall(r"`(\w+Error)\b", README.read_text("utf-8")))
    assert len(named) > 5
    assert named <= set(_errors())


def test_every_picture_is_shown() -> None:
    """What tests have drawn for the docs is on a page, and small."""
    docs = Path(__file__).parents[2] / "docs"
    pages = "\n".join(page.read_text("utf-8") for page in docs.rglob("*.md"))
    readme = (docs.parent / "README.md").read_text("utf-8")
    for picture in docs.glob("*.png"):
        assert f"]({picture.name})" in pages or f"](docs/{picture.name})" in readme
        assert picture.stat().st_size < 120_000
