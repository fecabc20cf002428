"""`python -m krea_aleph.emulator`: a local Krea in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from krea_aleph.emulator.outcomes import MARKERS
from krea_aleph.emulator.serving import quirks_listed, serve
from krea_aleph.errors import KreaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from krea_aleph.emulator import Emulator


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an emulator until it is interrupted; 2 if it cannot be started."""
    options = vars(_parser().parse_args(arguments))
    if options.pop("list_quirks"):
        return _list()
    try:
        serve(_introduce, options.pop("quirk"), **options)
    except KreaError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201 - a program
        return 2
    return 0


def _list() -> int:
    """Print the deviations; whoever has read enough of them has closed the pipe."""
    try:
        print("\n".join(quirks_listed()), flush=True)  # noqa: T201 - a program
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _introduce(emulator: Emulator) -> None:
    lines = [
        "A local Krea, for trying things out: it makes no real restyled videos.",
        f"  export KREA_BASE_URL={emulator.base_url}",
        f"  export KREA_API_KEY={emulator.key}",
        f"See what happens in it, and make bad weather: {emulator.base_url}/",
        "Ctrl-C ends it.",
    ]
    print("\n".join(lines), flush=True)  # noqa: T201 - a program


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m krea_aleph.emulator",
        description=__doc__,
        epilog=f"Words in a prompt that decide how its job ends: {', '.join(MARKERS)}.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8765, help="port; 0 takes a free one")
    parser.add_argument("--key", help="the API key to accept")
    parser.add_argument("--contract", help="an OpenAPI document in JSON to speak instead")
    parser.add_argument("--dialect", choices=("wire", "declared"), default="wire")
    parser.add_argument(
        "--quirk",
        action="append",
        default=[],
        metavar="[no-]NAME",
        help="switch a deviation on or off; repeatable",
    )
    parser.add_argument("--list-quirks", action="store_true", help="list the deviations and end")
    parser.add_argument("--job-seconds", type=float, default=10.0, help="how long a job runs")
    parser.add_argument("--concurrency", type=int, default=8, help="jobs that run at once")
    parser.add_argument("--backlog", type=int, default=100, help="jobs that may wait")
    parser.add_argument("--credits", type=float, help="completed jobs that can be paid for")
    parser.add_argument("--sunset", help="when the model retires, as an ISO date")
    parser.add_argument("--public-url", help="what URLs in answers begin with")
    parser.add_argument(
        "--no-render", dest="render", action="store_false", help="serve seeded bytes"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
