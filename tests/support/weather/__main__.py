"""Play one seed and tell what happened, or many of them; with --write, keep the figures."""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from weather import results
from weather.answers import answers, read_in_every_way
from weather.folders import fast_folder
from weather.killing import kill_one, killing_ground
from weather.play import play_many

_CHUNK = 200
# Real seconds: a run takes a tenth of one, and one that hangs shows where and ends everything.
_HANGING = 900.0


def _play_chunk(seeds: range) -> results.Counts:
    faulthandler.dump_traceback_later(_HANGING, exit=True)
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        counts = results.tally(play_many(seeds, Path(folder)))
    faulthandler.cancel_dump_traceback_later()
    return counts


def _play_one(seed: int) -> None:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        for run in play_many([seed], Path(folder)):
            print(run)


def _play_all(seeds: range, processes: int) -> results.Counts:
    begun = time.monotonic()
    chunks = [seeds[place : place + _CHUNK] for place in range(0, len(seeds), _CHUNK)]
    counts: results.Counts = {}
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for chunk in pool.map(_play_chunk, chunks):
            results.add(counts, chunk)
            print(f"{counts['']['tried']} of {len(seeds)} runs", file=sys.stderr)
    print(f"{len(seeds)} runs in {time.monotonic() - begun:.0f} s: {counts['']}")
    return counts


def _kill_all(first: int, kills: int) -> tuple[range, dict[str, list[int]]]:
    """Kill so many processes, and count by what they did."""
    counts: dict[str, Counter[str]] = {}
    seed = first
    with killing_ground() as emulator, tempfile.TemporaryDirectory() as folder:
        while sum(count["killed"] for count in counts.values()) < kills:
            death = kill_one(seed, emulator, Path(folder))
            count = counts.setdefault(death.verb, Counter())
            for column in results.KILL_COLUMNS:
                count[column] += getattr(death, column)
            seed += 1
    rows = {verb: [counts[verb][name] for name in results.KILL_COLUMNS] for verb in sorted(counts)}
    print(f"seeds {first} to {seed - 1}: {rows}")
    return range(first, seed), rows


def _read_all(seed: int, count: int) -> None:
    for response in answers(seed, count):
        read_in_every_way(response)
    print(f"seed {seed}: {count} answers")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m weather", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=1, help="the first seed")
    parser.add_argument("--runs", type=int, help="play so many seeds")
    parser.add_argument("--kills", type=int, help="kill so many processes")
    parser.add_argument("--inputs", type=int, help="read so many generated answers")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md")
    return parser.parse_args()


def main() -> None:
    """Do what the command line asks for."""
    options = _options()
    for name in list(os.environ):  # a proxy of the developer's would have a say in it
        if name.upper().startswith(("KREA_", "HTTP_", "HTTPS_", "ALL_PROXY", "NO_PROXY")):
            del os.environ[name]
    keep = results.write if options.write else lambda *_: None
    if options.runs:
        seeds = range(options.seed, options.seed + options.runs)
        counts = _play_all(seeds, options.processes)
        keep("transforms", {"seeds": [seeds[0], seeds[-1]], "counts": counts})
    elif options.kills:
        seeds, rows = _kill_all(options.seed, options.kills)
        keep("kills", {"seeds": [seeds[0], seeds[-1]], "counts": rows})
    elif options.inputs:
        _read_all(options.seed, options.inputs)
        keep("inputs", {"seed": options.seed, "count": options.inputs})
    else:
        _play_one(options.seed)


if __name__ == "__main__":
    main()
