"""How well a batch keeps the slots of an account full whose limit nobody has told it.

2,000 jobs of 3 s against the emulator, in virtual time: by 429 or by backlog, with and without
others' jobs; and a limit that changes from 8 to 3 to 20 in mid-run.
"""

import asyncio
import logging
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

from krea_aleph import Failed, PollPolicy
from krea_aleph.emulator import Emulator
from krea_aleph.emulator.values import JobRecord

JOBS, SECONDS, LIMIT, WARM_UP = 2000, 3.0, 8, 15.0
AIMS = {"used": 0.95, "refused": 0.02}
# The default policy is made for runs of minutes; this is its shape for runs of 3 s.
POLICY = PollPolicy(
    early=0.5, early_until=0.4, sparse=2.5, sparse_until=2.4, dense=0.05, longest=0.3, spread=0.2
)
# When the limit changes, in job times, and in which of them each is to be followed.
CHANGES = {20: 3, 45: 20}
FOLLOWED = {8: (5, 20), 3: (40, 45), 20: (65, 75)}


class Result(NamedTuple):
    """What came of a batch: shares of the slots' time, and of the submits."""

    used: dict[str, float]
    refused: float


def measure(jobs: int = JOBS) -> dict[str, Result]:
    """Run every kind of batch once."""
    logging.getLogger("krea_aleph").setLevel(logging.ERROR)
    found = {}
    for how, backlog in (("by 429", 0), ("by backlog", 100)):
        for others in (0, 3):
            name = f"limit of {LIMIT} {how}, {others} of others"
            found[name] = asyncio.run(_steady(jobs, backlog, others))
        found[f"8, 3, 20 {how}"] = asyncio.run(_changing(backlog))
    return found


async def _steady(jobs: int, backlog: int, others: int) -> Result:
    with _emulator(backlog) as emulator:
        emulator.foreign(others, seconds=1e6)
        begun = emulator.clock.time()
        await _run(emulator, iter(range(jobs)))
        ours = [job for job in emulator.jobs if not job.foreign]
        last = max(job.started_at or 0.0 for job in ours)
        used = _used(emulator, LIMIT, begun + WARM_UP, last)
        return Result({str(LIMIT): used}, _refused(emulator))


async def _changing(backlog: int) -> Result:
    with _emulator(backlog) as emulator:
        begun, changes = emulator.clock.time(), dict(CHANGES)

        def numbers() -> Iterator[int]:
            for number in range(950):
                for after in list(changes):
                    if emulator.clock.time() >= begun + after * SECONDS:
                        emulator.concurrency = changes.pop(after)
                yield number

        await _run(emulator, numbers())
        used = {
            str(limit): _used(emulator, limit, begun + first * SECONDS, begun + stop * SECONDS)
            for limit, (first, stop) in FOLLOWED.items()
        }
        return Result(used, _refused(emulator))


def _emulator(backlog: int) -> Emulator:
    return Emulator(
        render=False,
        job_seconds=SECONDS,
        concurrency=LIMIT,
        backlog=backlog,
        output_bytes=500,
    )


async def _run(emulator: Emulator, numbers: Iterator[int]) -> None:
    items: Any = ({"video": "https://example.com/in.mp4", "prompt": f"wish {n}"} for n in numbers)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with emulator.async_aleph(virtual_time=True, poll=POLICY) as aleph:
            async for outcome in aleph.batch(items, output_dir=folder):
                if isinstance(outcome, Failed):
                    raise outcome.error


def _used(emulator: Emulator, limit: int, begun: float, ended: float) -> float:
    """Return the share of the slots' time that was used between two moments, by whomever."""
    overlaps = (_overlap(job, begun, ended) for job in emulator.jobs)
    return sum(overlaps) / (limit * (ended - begun))


def _overlap(job: JobRecord, begun: float, ended: float) -> float:
    started = ended if job.started_at is None else job.started_at
    over = ended if job.ended_at is None else job.ended_at
    return max(0.0, min(over, ended) - max(started, begun))


def _refused(emulator: Emulator) -> float:
    statuses = [one.status for one in emulator.requests if one.operation == "create_aleph_job"]
    return statuses.count(429) / len(statuses)
