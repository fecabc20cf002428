"""Submit jobs and wait for them all in a process of its own, and print what it cost as JSON.

Usage: python -m benchmarks.fleet_subject CLIENT JOBS SECONDS URL

The clients are `plain` (a loop of one's own over httpx, each job polled by itself, with pauses as
`PollPolicy` has them), `many` (`wait_many`) and `tasks` (one `wait` in a task for each job).
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.plain import BODY, options
from krea_aleph import AsyncAleph, PollPolicy

# How many submits are under way at once.
_SUBMITTERS = 20
_KEPT_ALIVE = 100
_POLICY = PollPolicy()

Submit = Callable[[], Awaitable[Any]]
WaitForAll = Callable[[list[Any], Callable[[str], None]], Awaitable[object]]


def _rss() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def _submitted(submit: Submit, count: int) -> list[Any]:
    places, jobs = asyncio.Semaphore(_SUBMITTERS), []

    async def one() -> None:
        async with places:
            jobs.append(await submit())

    await asyncio.gather(*(one() for _ in range(count)))
    return jobs


class _Plain:
    """What one writes by hand."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def submit(self) -> dict[str, Any]:
        answer = await self._client.post("/generate/video/runway/aleph", json=BODY)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    async def wait_for_all(self, jobs: list[Any], done: Callable[[str], None]) -> None:
        await asyncio.gather(*(self._wait(job, done) for job in jobs))

    async def _wait(self, job: dict[str, Any], done: Callable[[str], None]) -> None:
        accepted = time.monotonic()
        while job["status"] != "completed":
            age = time.monotonic() - accepted
            pause = _POLICY.pause(age=age, status=job["status"], draw=random.random())  # noqa: S311 - jitter
            await asyncio.sleep(pause)
            answer = await self._client.get(f"/jobs/{job['job_id']}")
            job = answer.raise_for_status().json()
        done(job["created_at"])


class _Ours:
    """krea_aleph with its defaults."""

    def __init__(self, client: AsyncAleph) -> None:
        self._client = client

    async def submit(self) -> Any:
        return await self._client.submit("https://example.com/in.mp4", "make it snow")

    async def wait_for_all(self, jobs: list[Any], done: Callable[[str], None]) -> None:
        async for outcome in self._client.as_completed(jobs):
            if outcome.job is not None:
                done(outcome.job.raw["created_at"])


class _Tasks(_Ours):
    """The same, each job waited for in a task of its own."""

    async def wait_for_all(self, jobs: list[Any], done: Callable[[str], None]) -> None:
        async def one(job: Any) -> None:
            done((await self._client.wait(job)).raw["created_at"])

        await asyncio.gather(*(one(job) for job in jobs))


def _client(name: str, url: str) -> tuple[AbstractAsyncContextManager[Any], Any]:
    if name == "plain":
        return httpx.AsyncClient(**options(url, _KEPT_ALIVE)), _Plain
    return AsyncAleph(base_url=url, api_key="id:secret"), _Ours if name == "many" else _Tasks


async def main(name: str, count: int, seconds: float, url: str) -> None:
    """Print what it cost."""
    client, kind = _client(name, url)
    lags: list[float] = []

    def done(created_at: str) -> None:
        lags.append(time.time() - datetime.fromisoformat(created_at).timestamp() - seconds)

    async with client as opened:
        work = kind(opened)
        await _submitted(work.submit, 1)  # imports and connections are not what is measured
        before, began = _rss(), time.process_time()
        jobs = await _submitted(work.submit, count)
        submitted = time.process_time()
        waiting = asyncio.ensure_future(work.wait_for_all(jobs, done))
        del jobs
        await asyncio.sleep(seconds / 2)
        grown = _rss() - before
        await waiting
        cpu = time.process_time() - submitted
    lags.sort()
    print(
        json.dumps(
            {
                "cpu": cpu,
                "submit_cpu": submitted - began,
                "memory": max(grown, 0) / count,
                "median_lag": lags[len(lags) // 2],
                "p95_lag": lags[min(len(lags) - 1, int(len(lags) * 0.95))],
                "finished": len(lags),
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))
