"""Real processes, killed at random, and what must hold when their work is taken up again."""

from __future__ import annotations

import os
import pickle
import random
import signal
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from krea_aleph import Aleph, IntentBusyError, SubmitUncertainError
from krea_aleph.emulator import Emulator, Fault
from weather.victim import Errand, FastClock, run

VERBS: Final = ("submit", "transform", "download", "submit twice at once")
TWICE: Final = VERBS[-1]
_COLOURS: Final = ("sync", "asyncio", "trio")
_ROUNDS: Final = 6
_PATIENCE: Final = 60.0
# About what a program of each sort takes, in real seconds and in lines of ours.
_SECONDS: Final = {"submit": 0.15, "transform": 0.6, "download": 0.25, TWICE: 0.2}
_LINES: Final = {"submit": 3000, "transform": 8000, "download": 2500, TWICE: 3000}


@dataclass
class Death:
    """What came of one scenario.

    Attributes:
        verb: What the program was to do.
        killed: How many of its processes were killed.
        lived: How many got through before that.
        lost: Paid jobs that the store does not lead to.
        doubled: Paid jobs beyond the first.
        wrong: Files that are neither whole nor absent.
    """

    verb: str
    killed: int = 0
    lived: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0


class KillingError(AssertionError):
    """Something that must never happen has happened; names the seed."""


@contextmanager
def killing_ground() -> Iterator[Emulator]:
    """Run a Krea whose time passes fast, and get ready to start processes quickly."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["weather.victim", "krea_aleph.client", "krea_aleph._transport"])
    with Emulator(clock=FastClock(), render=False, job_seconds=60.0) as emulator:
        yield emulator


def kill_one(seed: int, emulator: Emulator, folder: Path) -> Death:
    """Play the scenario of a seed: kill a program, once or more, and let it get through then.

    Raises:
        KillingError: A job was lost or paid twice, or a file is wrong.
    """
    with TemporaryDirectory(dir=folder) as own:
        scenario = _Scenario(seed, emulator, Path(own))
        death = scenario.play()
    if death.lost or death.doubled or death.wrong:
        raise KillingError(f"seed {seed}: {death}")
    return death


class _Scenario:
    def __init__(self, seed: int, emulator: Emulator, folder: Path) -> None:
        self._seed = seed
        self._dice = random.Random(seed)  # noqa: S311 - a test's dice
        self._emulator = emulator
        self._key = f"account-{seed}-{os.getpid()}-{time.monotonic_ns()}:secret"
        emulator.add_account(self._key)
        verb = VERBS[seed % len(VERBS)]
        self._death = Death(verb)
        self._told: list[str] = []
        self._errand = Errand(
            verb="submit" if verb == TWICE else verb,
            colour=self._dice.choice(_COLOURS),
            base_url=emulator.base_url,
            key=self._key,
            store=folder / "jobs.sqlite3",
            exclusive=self._dice.random() < 0.5,
            prompt=f"wish of {self._key}",
            output=folder / "out.mp4",
        )

    def play(self) -> Death:
        """Kill, then finish, then count."""
        if self._errand.verb == "download":
            self._errand = replace(self._errand, job_id=self._finished_job())
        self._emulator._faults.clear()
        if self._errand.verb != "submit":
            pace = self._dice.choice((1024, 4096, 16_384))
            self._emulator.fault(Fault(operation="download", pace=pace, times=None))
        for _ in range(self._dice.choice((1, 1, 2, 3))):
            self._kill()
            self._check_file()
        self._emulator._faults.clear()
        told = self._get_through()
        self._count(told)
        return self._death

    def _finished_job(self) -> str:
        with self._client() as aleph:
            job = aleph.submit("https://example.com/in.mp4", self._errand.prompt)
            return aleph.wait(job).id

    def _client(self, **options: Any) -> Aleph:
        return Aleph(
            api_key=self._key, base_url=self._emulator.base_url, clock=FastClock(), **options
        )

    # Killing

    def _kill(self) -> None:
        """Start the program and kill it: at a line, at a moment, or when its job is accepted."""
        dice, verb = self._dice, self._death.verb
        ways = ["line", "moment", "accepted"] if verb != "download" else ["line", "moment"]
        way = dice.choice(ways)
        line = dice.randint(1, _LINES[verb]) if way == "line" else 0
        if way == "accepted":
            self._emulator.fault(Fault(operation="create_aleph_job", kill=True))
        victim = self._start(replace(self._errand, line=line))
        others = [self._start(self._errand)] if verb == TWICE else []
        process, _ = victim
        if way == "moment":
            process.join(dice.uniform(0.0, _SECONDS[verb]))
            with suppress(ProcessLookupError):  # it may have ended by itself just now
                if process.pid is not None and process.is_alive():
                    os.kill(process.pid, signal.SIGKILL)
        for process, report in (victim, *others):
            self._bury(process, report)

    def _bury(self, process: ForkServerProcess, report: Any) -> None:
        """Wait for the end of a process, however it comes, and take down what it said."""
        process.join(_PATIENCE)
        killed = process.exitcode == -signal.SIGKILL
        self._death.killed += killed
        self._death.lived += not killed
        if not killed and process.exitcode != 0:
            raise KillingError(f"seed {self._seed}: the program ended with {process.exitcode}")
        if not killed:
            self._hear(report.recv())
        report.close()
        process.close()

    def _hear(self, told: object) -> None:
        if isinstance(told, str):
            self._told.append(told)
            return
        allowed = (
            IntentBusyError if self._errand.exclusive else IntentBusyError | SubmitUncertainError
        )
        if not isinstance(told, allowed):
            raise KillingError(f"seed {self._seed}: {told!r}")

    def _start(self, errand: Errand) -> tuple[ForkServerProcess, Any]:
        reading, writing = Pipe(duplex=False)
        process = get_context("forkserver").Process(target=run, args=(errand, writing))
        process.start()
        writing.close()
        return process, reading

    # Getting through

    def _get_through(self) -> str:
        """Run the program until it is through, as a supervisor does, and return its job's id."""
        for _ in range(_ROUNDS):
            process, report = self._start(self._errand)
            told = report.recv() if report.poll(_PATIENCE) else None
            process.join(_PATIENCE)
            report.close()
            process.close()
            if isinstance(told, str):
                return told
            if not isinstance(told, SubmitUncertainError) or self._errand.exclusive:
                raise KillingError(f"seed {self._seed}: {told!r}")
            self._decide(told)
        raise KillingError(f"seed {self._seed}: it never got through")

    def _decide(self, error: SubmitUncertainError) -> None:
        """Be the human who knows which job it was."""
        from krea_aleph import SQLiteStore  # noqa: PLC0415 - as programs do it

        mine = [job.id for job in self._jobs()]
        if not mine or mine[0] not in {job.id for job in error.candidates}:
            raise KillingError(f"seed {self._seed}: no candidate is {mine}")
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        with SQLiteStore(self._errand.store) as store, self._client(store=store) as aleph:
            aleph.adopt(copy, mine[0])

    # Counting

    def _jobs(self) -> list[Any]:
        return [job for job in self._emulator.jobs if job.body.get("prompt") == self._errand.prompt]

    def _served(self, job_id: str) -> bytes:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.addheaders = [("User-Agent", "weather")]
        with opener.open(f"{self._emulator.base_url}/files/videos/{job_id}.mp4") as answer:
            content: bytes = answer.read()
            return content

    def _check_file(self) -> None:
        """Whatever has the final name is whole, also right after a death."""
        output = self._errand.output
        if output.exists() and output.read_bytes() not in [
            self._served(j.id) for j in self._jobs()
        ]:
            self._death.wrong += 1

    def _count(self, told: str) -> None:
        ids = [job.id for job in self._jobs()]
        self._death.doubled = max(0, len(ids) - 1)
        self._death.lost = int({told, *self._told} != {*ids})
        self._check_file()
        saves = self._errand.verb != "submit"
        if saves and not self._errand.output.exists():
            self._death.wrong += 1
        left = [path.name for path in self._errand.output.parent.glob("*.part")]
        if left:
            raise KillingError(f"seed {self._seed}: {left} are left behind")
