"""README and guides are true: their Python blocks run, in their order, against the emulator."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import krea_aleph
from krea_aleph import _config
from krea_aleph.emulator import Emulator, VirtualClock

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [
    "README.md",
    "docs/many-jobs.md",
    "docs/observability.md",
    "docs/webhooks.md",
    "docs/batch.md",
]
BLOCKS = [
    block
    for page in PAGES
    for block in re.findall(
        r"^```python\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
]
# What starts an emulator of its own, in real time.
ALONE = [block for block in BLOCKS if "import Emulator" in block]
TESTS = [block for block in BLOCKS if "def test_" in block]
# What only shows an error, or defines an application.
SILENT = ("no-such-clip", "app = FastAPI(")
CLIP = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(2000)

pytest_plugins = ["pytester"]


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder with a clip, a key in the environment, a Krea that answers, and virtual time."""
    with Emulator(clock=VirtualClock(), render=False) as emulator:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("KREA_API_KEY", emulator.key)
        monkeypatch.setenv("KREA_BASE_URL", emulator.base_url)
        monkeypatch.setenv("PUBLIC_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("WEBHOOK_SECRET", "a secret of more than sixteen bytes")
        monkeypatch.setattr(_config, "RealClock", lambda: emulator.clock)
        (tmp_path / "in.mp4").write_bytes(CLIP)
        yield emulator


@pytest.mark.parametrize("block", [block for block in BLOCKS if block not in ALONE + TESTS])
def test_examples_run(surroundings: Emulator, block: str) -> None:
    """What a reader copies works as it stands."""
    exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102 - our own text
    assert surroundings.requests or any(words in block for words in SILENT)


@pytest.mark.usefixtures("surroundings")
def test_a_reader_may_run_all_in_one_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """No example is in the way of a later one: each saves to a name of its own."""
    for block in BLOCKS:
        if block not in ALONE + TESTS and "simplefilter" not in block:
            exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102 - ours
    assert "'no-such-clip.mp4' cannot be read" in capsys.readouterr().out


@pytest.mark.parametrize("block", ALONE)
def test_examples_with_a_krea_of_their_own_run(
    block: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What needs no setting at all works as it stands, and prints what the page says."""
    exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102 - our own text
    assert capsys.readouterr().out == "queued start\ncompleted webhook\n"


@pytest.mark.parametrize("block", TESTS)
def test_example_tests_pass(pytester: pytest.Pytester, block: str) -> None:
    """What a reader copies into a test suite passes there, the fixture found by itself."""
    pytester.makepyfile(block)
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider").assert_outcomes(passed=2)


def test_every_error_of_the_table_exists() -> None:
    """The table names classes that can be imported."""
    named = set(re.findall(r"`(\w+Error)\b", README.read_text()))
    assert len(named) > 10
    assert named <= set(krea_aleph.__all__)
