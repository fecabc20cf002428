"""What a hundred thousand enqueued jobs cost: to enqueue, to look at, and to keep a worker beside.

The database is a Postgres of this machine, without fsync; Krea is the emulator with 8 slots and
jobs of 30 s.
"""

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from bootstrap import ROOT
from krea_aleph import Failed, Item
from krea_aleph.durable import Durable
from krea_aleph.emulator import Emulator

JOBS, THREADS, SECONDS, SLOTS, WORKED = 100_000, 8, 30.0, 8, 60.0
AIMS = {"status": 1.0, "megabytes": 120.0}
CLIP = "https://example.com/in.mp4"


class Result(NamedTuple):
    """What it has cost.

    Attributes:
        enqueued: Jobs a second, many at a time from one thread.
        single: The same one at a time, from 8 threads.
        again: The same for jobs that are there already.
        status: Seconds that the table takes.
        megabytes: The worker's peak of memory.
        used: The share of the slots' time that was used, after the worker's start.
    """

    enqueued: float
    single: float
    again: float
    status: float
    megabytes: float
    used: float


def measure(jobs: int = JOBS) -> Result:
    """Enqueue so many jobs, look at them, and let one worker work for a minute."""
    sys.path.insert(0, str(ROOT / "tests/support"))
    from postgres import postgres_server  # noqa: PLC0415 - it is the tests'

    with (
        postgres_server() as server,
        Emulator(render=False, job_seconds=SECONDS, concurrency=SLOTS, backlog=0) as emulator,
    ):
        url = server.database()
        with Durable(url, ["default"]) as app:
            some = min(jobs // 2, 10_000)
            enqueued = _rate_of_many(app, range(some, jobs))
            single = _rate(app, range(some))
            again = _rate(app, range(some))
            begun = time.perf_counter()
            app.status()
            status = time.perf_counter() - begun
            peak, used = _work(emulator, url)
        return Result(enqueued, single, again, status, peak, used)


def _rate_of_many(app: Durable, numbers: range) -> float:
    begun = time.perf_counter()
    wishes = (
        Item(video=CLIP, prompt=f"wish {n}", intent=f"wish-{n}", output=f"{n}.mp4") for n in numbers
    )
    for outcome in app.enqueue_many(wishes):
        if isinstance(outcome, Failed):
            raise outcome.error
    return len(numbers) / (time.perf_counter() - begun)


def _rate(app: Durable, numbers: range) -> float:
    def enqueue(number: int) -> str:
        return app.enqueue(CLIP, f"wish {number}", intent=f"wish-{number}", output=f"{number}.mp4")

    begun = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(enqueue, numbers):
            pass
    return len(numbers) / (time.perf_counter() - begun)


def _work(emulator: Emulator, url: str) -> tuple[float, float]:
    """Return a worker's peak in megabytes, and how much of the slots' time it has used."""
    known = {"KREA_API_KEY": emulator.key, "KREA_BASE_URL": emulator.base_url}
    command = [sys.executable, "-m", "krea_aleph", "worker", "--executor-id", "bench"]
    options = ["--database", url, "--output-dir"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen([*command, *options, folder], env={**os.environ, **known}) as worker,
    ):
        while emulator.accepted < SLOTS:
            time.sleep(0.05)
        begun = time.time()
        time.sleep(WORKED)
        ended, peak = time.time(), _peak(worker.pid)
        worker.kill()
    spans = ((job.started_at or ended, job.ended_at or ended) for job in emulator.jobs)
    busy = sum(max(0.0, min(end, ended) - max(start, begun)) for start, end in spans)
    return peak, busy / (SLOTS * (ended - begun))


def _peak(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123 - a file of Linux
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
