"""The crash schedule: workers that die at given moments and inside the POST, and the reckoning."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Self

from durability.worker import LABEL, Post, durable, work
from krea_aleph import Succeeded
from krea_aleph.durable import Durable
from krea_aleph.emulator import Emulator, Fault

SUBMIT = "create_aleph_job"
_PATIENCE = 60.0
_LOOK = 0.05


@dataclass(frozen=True)
class Plan:
    """What is to happen.

    Attributes:
        jobs: How many jobs there are.
        workers: How many workers.
        deaths: At which moments, in seconds, which workers are killed.
        in_post: At which accepted POSTs the process that has sent it is killed.
        lost: The answers to which POSTs are lost.
        pause: After how many seconds a dead worker is started again; None for never.
    """

    jobs: int
    workers: int = 1
    deaths: Sequence[tuple[float, Sequence[int]]] = ()
    in_post: Sequence[int] = ()
    lost: Sequence[int] = ()
    pause: float | None = 2.0


@dataclass
class Reckoning:
    """What came of it.

    Attributes:
        succeeded: How many jobs have a result.
        doubled: How many were paid for beyond one for each.
        wrong: How many files are not what was made for their job.
        lost: How many jobs have no outcome.
        refused: How many submits were answered with 429.
        deaths: How many processes were killed.
        seconds: How long it took.
        failed: The errors of jobs that have failed.
    """

    succeeded: int = 0
    doubled: int = 0
    wrong: int = 0
    lost: int = 0
    refused: int = 0
    deaths: int = 0
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing happened that must not."""
        return not (self.doubled or self.wrong or self.lost or self.failed)


class Crew:
    """Workers of one application, on an emulator's account."""

    def __init__(self, emulator: Emulator, post: Post, workers: int) -> None:
        self._emulator = emulator
        self._posts = [replace(post, worker=f"{post.worker}-{n}") for n in range(workers)]
        self._processes: list[ForkServerProcess | None] = [None] * workers
        self._back: dict[int, float] = {}
        self._begun = time.monotonic()
        self.app: Durable = durable(post)
        self.deaths = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process is not None:
                process.kill()
                process.join()
        self.app.close()

    def enqueue(self, count: int) -> list[str]:
        """Enqueue so many jobs."""
        return [
            self.app.enqueue(
                "https://example.com/in.mp4",
                f"wish {number}",
                account=LABEL,
                intent=f"wish-{number}",
                output=f"{number}.mp4",
            )
            for number in range(count)
        ]

    def start(self, *workers: int) -> None:
        """Start workers; without arguments all of them."""
        context = get_context("forkserver")
        context.set_forkserver_preload(["durability.worker", "krea_aleph.client"])
        for number in workers or range(len(self._posts)):
            process = context.Process(target=work, args=(self._posts[number],))
            process.start()
            self._processes[number] = process

    def kill(self, number: int) -> None:
        """Kill a worker, if it lives."""
        process = self._processes[number]
        if process is not None and process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
            process.join(_PATIENCE)

    def ended(self, number: int) -> int | None:
        """Wait until a worker has ended, and return what with."""
        process = self._processes[number]
        assert process is not None
        process.join(_PATIENCE)
        return process.exitcode

    def stop(self, number: int) -> int | None:
        """Ask a worker to end, and return what it ends with."""
        process = self._processes[number]
        assert process is not None
        process.terminate()
        return self.ended(number)

    def tend(self, pause: float | None) -> None:
        """Note who has died, and start them again when it is time."""
        moment = time.monotonic()
        for number, process in enumerate(self._processes):
            if process is not None and not process.is_alive():
                assert process.exitcode == -signal.SIGKILL, f"it ended with {process.exitcode}"
                self.deaths += 1
                self._processes[number] = None
                if pause is not None:
                    self._back[number] = moment + pause
        for number in [number for number, at in self._back.items() if at <= moment]:
            del self._back[number]
            self.start(number)

    def until(self, condition: Callable[[], bool], seconds: float = _PATIENCE) -> None:
        """Wait for something that workers bring about; it is looked for whenever one has ended."""
        ends = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < ends
            self._pause()

    def _pause(self) -> None:
        """Wait until a worker ends, or until it is time to look again."""
        running = [process for process in self._processes if process is not None]
        wait([process.sentinel for process in running if process.is_alive()], timeout=_LOOK)

    def play(self, plan: Plan, patience: float) -> Reckoning:
        """Let a plan happen to jobs that are enqueued, until all are over."""
        for number in plan.in_post:
            self._emulator.fault(Fault(operation=SUBMIT, nth=number, kill=True))
        for number in plan.lost:
            self._emulator.fault(Fault(operation=SUBMIT, nth=number, drop="after"))
        intents, begun = self.enqueue(plan.jobs), time.monotonic()
        self.start()
        deaths = sorted(plan.deaths)
        over = 0
        while over < plan.jobs and time.monotonic() - begun < patience:
            while deaths and time.monotonic() - begun >= deaths[0][0]:
                for number in deaths.pop(0)[1]:
                    self.kill(number)
            self.tend(plan.pause)
            (row,) = self.app.status().accounts
            over = row.succeeded + row.failed
            self._pause()
        return self.reckon(intents, time.monotonic() - begun)

    def reckon(self, intents: Sequence[str], seconds: float) -> Reckoning:
        """Count what has come of jobs, on both sides."""
        found = Reckoning(seconds=seconds, deaths=self.deaths)
        paid: Counter[str] = Counter()
        made: dict[str, str] = {}
        for job in self._emulator.jobs:
            paid[str(job.body["prompt"])] += 1
            made[str(job.body["prompt"])] = job.id
        found.doubled = sum(count - 1 for count in paid.values())
        for intent in intents:
            number = intent.removeprefix("wish-")
            try:
                outcome = self.app.result(intent, wait_timeout=0)
            except TimeoutError:
                found.lost += 1
                continue
            if not isinstance(outcome, Succeeded):
                found.failed.append(repr(outcome.error))
                continue
            found.succeeded += 1
            file = self._posts[0].folder / f"{number}.mp4"
            job_id = made.get(f"wish {number}", "")
            right = file.exists() and file.read_bytes() == served(self._emulator, job_id)
            found.wrong += not right
        submits = (r for r in self._emulator.requests if r.operation == SUBMIT)
        found.refused = sum(request.status == 429 for request in submits)
        return found


def served(emulator: Emulator, job_id: str) -> bytes:
    """Return what the emulator has made for a job."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{emulator.base_url}/files/videos/{job_id}.mp4") as answer:
        content: bytes = answer.read()
        return content


def play(
    emulator: Emulator, url: str, folder: Path, plan: Plan, *, patience: float, **more: Any
) -> Reckoning:
    """Let a plan happen on a database."""
    post = Post(url, emulator.base_url, emulator.key, folder, "worker", more)
    with Crew(emulator, post, plan.workers) as crew:
        return crew.play(plan, patience)
