"""Many runs at once, kills and answers: each follows from its seed, and is counted."""

from __future__ import annotations

import faulthandler
import logging
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from weather import results
from weather.answers import answers, read_in_every_way
from weather.calls import target
from weather.folders import fast_folder
from weather.killing import kill_one, killing_ground
from weather.play import play_many

_CHUNK = 200
# Real seconds: a run takes a tenth of one, and one that hangs shows where and ends everything.
_HANGING = 900.0


def _play_chunk(seeds: range) -> tuple[results.Counts, list[str]]:
    """Play some runs; return the counts, and what is to be said of those that failed."""
    failures: list[str] = []

    def note(seed: int, error: Exception) -> None:
        failures.append(f"seed {seed}\n{''.join(traceback.format_exception(error))}")

    faulthandler.dump_traceback_later(_HANGING, exit=True)
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        counts = results.tally(play_many(seeds, Path(folder), note))
    faulthandler.cancel_dump_traceback_later()
    return counts, failures


def play_all(seeds: range, processes: int) -> results.Counts:
    """Play the runs of some seeds in so many processes, and count what came of them.

    Raises:
        SystemExit: Some failed, and have been shown.
    """
    begun = time.monotonic()
    chunks = [seeds[place : place + _CHUNK] for place in range(0, len(seeds), _CHUNK)]
    counts: results.Counts = {}
    failed = 0
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for chunk, failures in pool.map(_play_chunk, chunks):
            results.add(counts, chunk)
            failed += len(failures)
            for failure in failures:
                print(failure)
            print(f"{counts['']['tried']} of {len(seeds)} runs, {failed} failed", file=sys.stderr)
    print(f"{len(seeds)} runs in {time.monotonic() - begun:.0f} s: {counts['']}")
    if failed:
        raise SystemExit(f"{failed} runs failed")
    return counts


def kill_all(first: int, kills: int) -> tuple[range, dict[str, list[int]]]:
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


def read_all(seed: int, count: int) -> None:
    """Read so many generated answers in every way, and make so many calls of a receiver."""
    for response in answers(seed, count):
        read_in_every_way(response)
    logging.getLogger("krea_aleph").addHandler(logging.NullHandler())  # each refusal is a warning
    with target(seed) as called:
        for call in called.calls(count):
            called.check(call)
    print(f"seed {seed}: {count} answers and {count} webhooks")
