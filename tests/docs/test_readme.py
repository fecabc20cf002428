"""The README is true: its Python blocks run, in their order, against the emulator."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import krea_aleph
from krea_aleph import _config
from krea_aleph.emulator import Emulator, VirtualClock

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
CLIP = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(2000)

pytest_plugins = ["pytester"]


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder with a clip, a key in the environment, a Krea that answers, and virtual time."""
    with Emulator(clock=VirtualClock(), render=False) as emulator:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("KREA_API_KEY", emulator.key)
        monkeypatch.setenv("KREA_BASE_URL", emulator.base_url)
        monkeypatch.setattr(_config, "RealClock", lambda: emulator.clock)
        (tmp_path / "in.mp4").write_bytes(CLIP)
        yield emulator


@pytest.mark.parametrize("block", [block for block in BLOCKS if "def test_" not in block])
def test_examples_run(surroundings: Emulator, block: str) -> None:
    """What a reader copies works as it stands."""
    exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102 - our own text
    assert surroundings.requests or "no-such-clip" in block


@pytest.mark.parametrize("block", [block for block in BLOCKS if "def test_" in block])
def test_example_tests_pass(pytester: pytest.Pytester, block: str) -> None:
    """What a reader copies into a test suite passes there, the fixture found by itself."""
    pytester.makepyfile(block)
    pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider").assert_outcomes(passed=2)


def test_every_error_of_the_table_exists() -> None:
    """The table names classes that can be imported."""
    named = set(re.findall(r"`(\w+Error)\b", README.read_text()))
    assert len(named) > 10
    assert named <= set(krea_aleph.__all__)
