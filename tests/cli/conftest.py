"""The command line, in this process with virtual time, or as a program of its own in real time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from krea_aleph.cli import main
from krea_aleph.emulator import Emulator, VirtualClock

URL = "https://example.com/in.mp4"
PROGRAM = Path(__file__).parents[1] / "support" / "cli_program.py"
SCRIPT = Path(sys.executable).with_name("krea-aleph")


@dataclass(frozen=True)
class Done:
    """What a command has left: its exit code, and what it has written."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The lines of the output, each of which is a document."""
        return [json.loads(line) for line in self.out.splitlines()]


class Krea:
    """A local Krea in virtual time, and the command line in this process."""

    def __init__(self, emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
        self.emulator = emulator
        self._capsys = capsys

    def __call__(self, *arguments: str, **options: Any) -> Done:
        """Run a command."""
        account = {"base_url": self.emulator.base_url, "api_key": self.emulator.key}
        code = main(arguments, **{**account, "clock": self.emulator.clock, **options})
        out, err = self._capsys.readouterr()
        return Done(code, out, err)


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a folder and a state folder of its own, and 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("NO_COLOR", "FORCE_COLOR", "CI", "TERM", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """The name of a file that looks like a clip."""
    (tmp_path / "in.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(1000))
    return "in.mp4"


@pytest.fixture
def krea(capsys: pytest.CaptureFixture[str]) -> Iterator[Krea]:
    """A local Krea in virtual time."""
    with Emulator(render=False, clock=VirtualClock(), job_seconds=170) as emulator:
        yield Krea(emulator, capsys)


@pytest.fixture
def server() -> Iterator[Emulator]:
    """A local Krea in real time, whose jobs take no time worth speaking of."""
    with Emulator(render=False, job_seconds=0.2) as emulator:
        yield emulator


@pytest.fixture
def environment(server: Emulator) -> dict[str, str]:
    """The environment of a user whose API is the local Krea in real time."""
    return {
        **os.environ,
        "KREA_BASE_URL": server.base_url,
        "KREA_API_KEY": server.key,
        "PYTHONIOENCODING": "utf-8",
    }


Start = Callable[..., Done]


@pytest.fixture
def program(environment: dict[str, str]) -> Start:
    """The command as a program of its own, which looks at jobs often."""

    def start(*arguments: str, **variables: str) -> Done:
        done = subprocess.run(
            [sys.executable, str(PROGRAM), *arguments],
            capture_output=True,
            check=False,
            env={**environment, **variables},
            timeout=60,
            encoding=variables.get("PYTHONIOENCODING", "utf-8"),
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return start
