"""Play one seed and tell what happened, or many of them; with --write, keep the figures."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from weather import results
from weather.folders import fast_folder
from weather.many import kill_all, play_all, read_all
from weather.play import play_many


def _play_one(seed: int) -> None:
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        for run in play_many([seed], Path(folder)):
            print(run)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m weather", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=1, help="the first seed")
    parser.add_argument("--runs", type=int, help="play so many seeds")
    parser.add_argument("--kills", type=int, help="kill so many processes")
    parser.add_argument("--inputs", type=int, help="read so many generated answers and webhooks")
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
        counts = play_all(seeds, options.processes)
        keep("transforms", {"seeds": [seeds[0], seeds[-1]], "counts": counts})
    elif options.kills:
        seeds, rows = kill_all(options.seed, options.kills)
        keep("kills", {"seeds": [seeds[0], seeds[-1]], "counts": rows})
    elif options.inputs:
        read_all(options.seed, options.inputs)
        keep("inputs", {"seed": options.seed, "count": options.inputs})
    else:
        _play_one(options.seed)


if __name__ == "__main__":
    main()
