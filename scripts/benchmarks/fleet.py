"""What many jobs in flight cost, against a loop that polls each by itself at the same pauses."""

import json
import math
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

COUNTS = (1, 100, 1000, 5000)
CLIENTS = ("plain", "many", "tasks")
SECONDS = 20.0
"""How long a job takes, from its acceptance."""


class Cost(NamedTuple):
    """What one client needs for one number of jobs.

    Attributes:
        requests: Status requests for each job, pages included.
        cpu: CPU seconds of the waiting, for all jobs.
        submit_cpu: The same of the submits, which are no part of it.
        memory: Bytes that the process has grown by for each job, half-way.
        median_lag: Seconds from a job's end until it is known.
        p95_lag: Likewise.
        finished: How many jobs were seen finished.
    """

    requests: float
    cpu: float
    submit_cpu: float
    memory: float
    median_lag: float
    p95_lag: float
    finished: int


def measure(client: str, count: int, environment: Mapping[str, str]) -> Cost:
    """Run one client with one number of jobs, in processes of their own."""
    module = [sys.executable, "-m", "benchmarks.fleet_target", str(SECONDS)]
    with subprocess.Popen(module, env=environment, stdout=subprocess.PIPE, text=True) as target:
        try:
            url = f"http://127.0.0.1:{next(target.stdout or iter([])).strip()}"
            command = [sys.executable, "-m", "benchmarks.fleet_subject", client, str(count)]
            command += [str(SECONDS), url]
            found = json.loads(subprocess.check_output(command, env=environment, text=True))
            with urllib.request.urlopen(f"{url}/counts") as answer:  # noqa: S310 - our own server
                counts = json.load(answer)
        finally:
            target.terminate()
    looks = counts.get("looks", 0) + counts.get("pages", 0)
    return Cost(requests=looks / count, **found)


def compare(counts: Iterable[int], environment: Mapping[str, str]) -> dict[int, dict[str, Cost]]:
    """Measure every client with every number of jobs, taking turns."""
    return {
        count: {client: measure(client, count, environment) for client in CLIENTS}
        for count in counts
    }


def table(found: Mapping[int, Mapping[str, Cost]]) -> Iterable[str]:
    """Yield the lines of a table."""
    columns = ("looks a job", "CPU s", "CPU/plain", "KiB a job", "median lag", "p95 lag")
    yield f"{'jobs in flight, waiting':<26}" + "".join(f"{name:>13}" for name in columns)
    for count, clients in found.items():
        plain = clients["plain"]
        for client, cost in clients.items():
            values = (
                f"{cost.requests:.3f}",
                f"{cost.cpu:.2f}",
                f"{cost.cpu / plain.cpu:.3f}",
                f"{cost.memory / 1024:.1f}",
                f"{cost.median_lag:.2f} s",
                f"{cost.p95_lag:.2f} s",
            )
            yield f"{f'{count:,} {client}':<26}" + "".join(f"{value:>13}" for value in values)


_SVG = "http://www.w3.org/2000/svg"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 360, 70, 50
_COLOURS = {"plain": "#b45309", "many": "#1d4ed8", "tasks": "#15803d"}
_WORDS = {"plain": "one by one", "many": "wait_many", "tasks": "a wait in each task"}


def plot(found: Mapping[int, Mapping[str, Cost]]) -> str:
    """Draw CPU seconds of waiting against the number of jobs, both axes logarithmic, as SVG."""
    counts = sorted(found)
    costs = [cost.cpu for clients in found.values() for cost in clients.values()]
    across = _Axis(_LEFT, _WIDTH - 30, counts[0], counts[-1])
    up = _Axis(_HEIGHT - _BOTTOM, 30, min(costs) / 2, max(costs) * 2)
    parts = [
        f'<svg xmlns="{_SVG}" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-size="13" role="img">',
        "<style>text { font-family: sans-serif }</style>",
        "<title>CPU time of waiting against the number of jobs in flight</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        *_grid(across, up, counts),
    ]
    for number, client in enumerate(_WORDS):
        points = [(across.place(count), up.place(found[count][client].cpu)) for count in counts]
        parts += _line(points, _COLOURS[client])
        parts.append(
            f'<text x="{_LEFT + 14}" y="{48 + 18 * number}" fill="{_COLOURS[client]}">'
            f"{_WORDS[client]}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


class _Axis:
    """A logarithmic axis, in pixels."""

    def __init__(self, start: float, stop: float, least: float, most: float) -> None:
        self._start, self._stop = start, stop
        self._least = math.log10(least)
        self._most = math.log10(max(most, least * 10))

    @property
    def decades(self) -> list[int]:
        """The powers of ten on it."""
        return list(range(math.ceil(self._least), math.floor(self._most) + 1))

    def place(self, value: float) -> float:
        """Return where a value is."""
        share = (math.log10(value) - self._least) / (self._most - self._least)
        return round(self._start + share * (self._stop - self._start), 1)


def _grid(across: _Axis, up: _Axis, counts: Sequence[int]) -> Iterable[str]:
    for decade in up.decades:
        y = up.place(10.0**decade)
        yield f'<path d="M{_LEFT} {y}H{_WIDTH - 30}" stroke="#d4d4d4"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{10.0**decade:g} s</text>'
    for count in counts:
        x = across.place(count)
        yield f'<path d="M{x} 30V{_HEIGHT - _BOTTOM}" stroke="#e5e5e5"/>'
        yield f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{count:,}</text>'
    middle = (_LEFT + _WIDTH - 30) / 2
    yield f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">jobs in flight</text>'
    yield f'<text x="{_LEFT}" y="20">CPU time of the client while it waits</text>'


def _line(points: Sequence[tuple[float, float]], colour: str) -> Iterable[str]:
    path = " ".join(f"{x},{y}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y in points:
        yield f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'
