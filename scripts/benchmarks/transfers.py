"""How fast large files come and go, as a ratio to httpx by hand, and how much memory that takes.

Every transfer is a process of its own. The plain ones stream: a download into a file, without a
hash, a check or a sync, an upload from an open file.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import NamedTuple

MIB = 2**20
SIZES = {"download": 200 * MIB, "upload": 50 * MIB}
LEAST_RATIO = 0.9
MOST_GROWTH = {"download": 16.0, "upload": 4.0}  # MiB
CLIENTS = {"sync": ("plain", "ours"), "async": ("async-plain", "async-ours")}


class Transfer(NamedTuple):
    """One transfer: wall-clock seconds, and by how many MiB the process grew at most."""

    seconds: float
    growth: float


class Comparison(NamedTuple):
    """Medians of the repeats: our throughput by the plain one's, and our growth in MiB."""

    mib_per_second: float
    ratio: float
    growth: float


def measure(repeats: int, environment: Mapping[str, str]) -> dict[str, Comparison]:
    """Compare both colours in both directions, taking turns.

    Returns:
        By what was done, such as "download, sync".
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return {
            f"{kind}, {colour}": _compare(kind, clients, repeats, folder, environment)
            for kind in SIZES
            for colour, clients in CLIENTS.items()
        }


def _compare(
    kind: str, clients: tuple[str, str], repeats: int, folder: str, environment: Mapping[str, str]
) -> Comparison:
    pairs = [
        [_transfer(client, kind, folder, environment) for client in clients] for _ in range(repeats)
    ]
    return Comparison(
        SIZES[kind] / MIB / statistics.median(ours.seconds for _, ours in pairs),
        statistics.median(plain.seconds / ours.seconds for plain, ours in pairs),
        statistics.median(ours.growth for _, ours in pairs),
    )


def _transfer(client: str, kind: str, folder: str, environment: Mapping[str, str]) -> Transfer:
    module = "benchmarks.transfer_target"
    with subprocess.Popen(
        [sys.executable, "-m", module], env=environment, stdout=subprocess.PIPE, text=True
    ) as target:
        try:
            url = f"http://127.0.0.1:{next(target.stdout or iter([])).strip()}"
            command = [sys.executable, "-m", "benchmarks.transfer_subject"]
            command += [client, kind, url, folder]
            return Transfer(**json.loads(subprocess.check_output(command, env=environment)))
        finally:
            target.terminate()
