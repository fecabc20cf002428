"""How long the command `krea-aleph` takes to begin, beside importing httpx: wall-clock seconds."""

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_BASELINE = "import httpx"
# Where click is installed, as beside our tools, httpx brings a command of its own, and rich with
# it. Users have no click from us: without it the baseline is what it is for them.
_WITHOUT_CLICK = "import sys; sys.modules['click'] = None; import httpx"
_SCRIPT = str(Path(sys.executable).with_name("krea-aleph"))
AIMS = {"--version": 0.6, "--help": 2.2, "python -m --version": 0.6, "run --help": None}
_COMMANDS: Mapping[str, list[str]] = {
    _BASELINE: [sys.executable, "-c", _WITHOUT_CLICK],
    "--version": [_SCRIPT, "--version"],
    "--help": [_SCRIPT, "--help"],
    "python -m --version": [sys.executable, "-m", "krea_aleph", "--version"],
    "run --help": [_SCRIPT, "run", "--help"],
}


class Start(NamedTuple):
    """The median of what one command takes, and how often that is what importing httpx takes."""

    milliseconds: float
    ratio: float


def measure(repeats: int, environment: Mapping[str, str]) -> dict[str, Start]:
    """Start each command again and again, in turns, so that a busy machine disturbs all alike."""
    samples: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    for number in range(repeats + 1):
        for name, command in _COMMANDS.items():
            seconds = _seconds(command, environment)
            if number:  # the first start of all fills the caches
                samples[name].append(seconds)
    medians = {name: statistics.median(times) for name, times in samples.items()}
    return {
        name: Start(median * 1000, median / medians[_BASELINE]) for name, median in medians.items()
    }


def _seconds(command: list[str], environment: Mapping[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env={**environment, "COLUMNS": "80"}
    )
    return time.perf_counter() - started
