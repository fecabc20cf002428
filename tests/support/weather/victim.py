"""A program that works with the library until it is killed, or until it is through."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

import trio

from krea_aleph import Aleph, AsyncAleph, KreaError, SQLiteStore
from krea_aleph.clocks import RealClock
from krea_aleph.models import Bell
from weather.leaving import is_ours

SPEED = 300.0
"""How much faster time passes: 60 s to settle, or a job, in 0.2 s."""


class FastClock:
    """A clock that all processes share, on which time passes faster."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        return time.monotonic() * SPEED

    def time(self) -> float:
        """Return Unix time in seconds, of a time to come."""
        return _START + (time.time() - _START) * SPEED

    def sleep(self, seconds: float, bell: Bell | None = None) -> None:
        """Let seconds pass."""
        RealClock().sleep(max(0.0, seconds) / SPEED, bell)

    async def asleep(self, seconds: float, bell: Bell | None = None) -> None:
        """Let seconds pass for a task."""
        await RealClock().asleep(max(0.0, seconds) / SPEED, bell)

    def busy(self) -> AbstractContextManager[None]:
        """Time passes whatever is in flight."""
        return nullcontext()


_START = 1_790_000_000.0


@dataclass(frozen=True)
class Errand:
    """What a program is to do.

    Attributes:
        verb: "submit", "download" or "transform".
        colour: The client's.
        base_url: Where the server is.
        key: The key, and with it the account on the server.
        store: The path of the store.
        exclusive: Whether the account is this store's alone.
        prompt: What the jobs can be told by, on the server.
        output: Where results go.
        job_id: What is to be downloaded.
        line: The line of the library at which the program kills itself; 0 for none.
    """

    verb: str
    colour: str
    base_url: str
    key: str
    store: Path
    exclusive: bool
    prompt: str
    output: Path
    job_id: str = ""
    line: int = 0


def run(errand: Errand, report: Connection) -> None:
    """Do an errand, and report its job's id or the error that came of it."""
    if errand.line:
        _die_at(errand.line)
    store = SQLiteStore(errand.store)
    options: dict[str, Any] = {
        "api_key": errand.key,
        "base_url": errand.base_url,
        "store": store,
        "exclusive": errand.exclusive,
        "clock": FastClock(),
        "extra_headers": {"X-Debug-Pid": str(os.getpid())},
    }
    try:
        report.send(_perform(errand, options))
    except KreaError as error:
        report.send(error)
    store.close()


def _perform(errand: Errand, options: dict[str, Any]) -> str:
    if errand.colour == "sync":
        with Aleph(**options) as aleph:
            return str(_job_of(_call(aleph, errand)))

    async def main() -> str:
        async with AsyncAleph(**options) as aleph:
            return str(_job_of(await _call(aleph, errand)))

    return asyncio.run(main()) if errand.colour == "asyncio" else trio.run(main)


def _call(aleph: Any, errand: Errand) -> Any:
    video = "https://example.com/in.mp4"
    match errand.verb:
        case "submit":
            return aleph.submit(video, errand.prompt, intent="wish")
        case "transform":
            return aleph.transform(
                video, errand.prompt, errand.output, intent="wish", exists="replace"
            )
        case _:
            return aleph.download(errand.job_id, errand.output, exists="replace")


def _job_of(result: Any) -> str:
    job = getattr(result, "job", None)
    return str((job or result).id)


def _die_at(line: int) -> None:
    """Kill this process at a line of the library, counted from here."""
    left = line

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if not is_ours(frame):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
