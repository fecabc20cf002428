"""A batch in a process of its own that is killed at random, and run again until it is through."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
import urllib.request
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

import trio

from krea_aleph import Aleph, AsyncAleph, SQLiteStore
from krea_aleph.emulator import Emulator, Fault
from weather.victim import FastClock

_COLOURS: Final = ("sync", "asyncio", "trio")
_PATIENCE: Final = 90.0


@dataclass(frozen=True)
class Errand:
    """A batch that is to be run."""

    colour: str
    base_url: str
    key: str
    folder: Path
    items: int
    exclusive: bool = True


def run(errand: Errand) -> None:
    """Run the batch to its end."""
    items = [
        {
            "video": "https://example.com/in.mp4",
            "prompt": f"wish {number}",
            "output": f"{number}.mp4",
        }
        for number in range(errand.items)
    ]
    with SQLiteStore(errand.folder / "jobs.sqlite3") as store:
        options: dict[str, Any] = {
            "api_key": errand.key,
            "base_url": errand.base_url,
            "store": store,
            "exclusive": errand.exclusive,
            "clock": FastClock(),
            "extra_headers": {"X-Debug-Pid": str(os.getpid())},
        }
        _perform(errand, items, options)


def _perform(errand: Errand, items: list[Any], options: dict[str, Any]) -> None:
    out = errand.folder / "out"
    if errand.colour == "sync":
        with Aleph(**options) as aleph:
            for _ in aleph.batch(items, output_dir=out):
                pass
        return

    async def main() -> None:
        async with AsyncAleph(**options) as aleph:
            async for _ in aleph.batch(items, output_dir=out):
                pass

    if errand.colour == "asyncio":
        asyncio.run(main())
    else:
        trio.run(main)


class KillingError(AssertionError):
    """Something that must never happen has happened; names the seed."""


def kill_batch(seed: int, emulator: Emulator, folder: Path, *, items: int = 12) -> int:
    """Run a batch, kill it at random, run it until it is through, and return how often it died.

    Raises:
        KillingError: A job was paid twice or is missing, or a file is wrong.
    """
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    key = f"account-{seed}-{time.monotonic_ns()}:secret"
    emulator.add_account(key)
    folder.mkdir()
    errand = Errand(dice.choice(_COLOURS), emulator.base_url, key, folder, items)
    before, deaths = emulator.accepted, 0
    for _ in range(dice.choice((1, 2, 3))):
        if dice.random() < 0.4:
            nth = dice.randint(1, max(1, items // 3))
            emulator.fault(Fault(operation="create_aleph_job", nth=nth, kill=True))
        process = _start(errand)
        threading.Event().wait(dice.uniform(0.2, 1.2))
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
        process.join(_PATIENCE)
        deaths += process.exitcode == -signal.SIGKILL
        emulator._faults.clear()
    _get_through(seed, errand)
    _check(seed, emulator, errand, emulator.accepted - before)
    return deaths


def _start(errand: Errand) -> ForkServerProcess:
    process = get_context("forkserver").Process(target=run, args=(errand,))
    process.start()
    return process


def _get_through(seed: int, errand: Errand) -> None:
    """Run the batch twice: what an answer was lost of is found in a run after the loss."""
    for _ in range(2):
        process = _start(errand)
        process.join(_PATIENCE)
        if process.exitcode != 0:
            process.kill()
            raise KillingError(f"seed {seed}: the program ended with {process.exitcode}")


def _check(seed: int, emulator: Emulator, errand: Errand, paid: int) -> None:
    out = errand.folder / "out"
    names = sorted(path.name for path in out.iterdir())
    if paid != errand.items or names != sorted(f"{n}.mp4" for n in range(errand.items)):
        raise KillingError(f"seed {seed}: {errand}: {paid} paid, {names}")
    account = emulator._service.accounts[errand.key]
    for job in account.jobs.all.values():
        number = str(job.body["prompt"]).removeprefix("wish ")
        if (out / f"{number}.mp4").read_bytes() != _served(emulator, job.id):
            raise KillingError(f"seed {seed}: the file of wish {number} is not whole")


def _served(emulator: Emulator, job_id: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{emulator.base_url}/files/videos/{job_id}.mp4") as answer:
        content: bytes = answer.read()
        return content
