"""Many jobs from one process: waits share their looks, whoever of them looks, and lose nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
import trio

from krea_aleph import (
    Failed,
    JobFailedError,
    NotFoundError,
    PollPolicy,
    Succeeded,
    WaitTimeoutError,
)
from krea_aleph.emulator import Emulator, Fault

URL = "https://example.com/in.mp4"
MANY = pytest.mark.krea_emulator(job_seconds=169, concurrency=1000)


def submit_many(aleph: Any, emulator: Emulator, count: int) -> list[Any]:
    """Start jobs, some hundredths of a second apart."""
    jobs = []
    for number in range(count):
        jobs.append(aleph.submit(URL, f"night {number}"))
        emulator.clock.sleep(0.02)
    return jobs


def asked(emulator: Emulator, operation: str) -> int:
    """Return how many requests of a kind there were."""
    return sum(request.operation == operation for request in emulator.requests)


def run(backend: str, main: Any) -> Any:
    """Run on one of the two event loops."""
    return asyncio.run(main()) if backend == "asyncio" else trio.run(main)


@MANY
def test_a_fleet_costs_pages(aleph: Any, emulator: Emulator) -> None:
    """Sixty jobs cost not much more than one, and a twentieth of what they would by themselves."""
    jobs = submit_many(aleph, emulator, 60)
    found = aleph.wait_many(jobs)
    assert all(isinstance(outcome, Succeeded) for outcome in found)
    assert [outcome.item for outcome in found] == jobs
    assert asked(emulator, "list_jobs") + asked(emulator, "get_job") <= 60 * 42 / 20


@MANY
def test_outcomes_and_changes_one_by_one(aleph: Any, emulator: Emulator) -> None:
    """`as_completed` and `watch_many` show what happens when it happens."""
    emulator.outcome(seconds=300)
    emulator.outcome(status="failed", seconds=20, error={"code": "provider_error"})
    jobs = submit_many(aleph, emulator, 3)
    found = list(aleph.as_completed([*jobs, jobs[1]]))
    assert [outcome.index for outcome in found] == [1, 3, 2, 0]  # a usual one takes 169 s
    assert [type(outcome) for outcome in found] == [Failed, Failed, Succeeded, Succeeded]
    assert isinstance(found[0].error, JobFailedError)
    seen = [update.job.status for update in aleph.watch_many(submit_many(aleph, emulator, 2))]
    assert seen.count("completed") == 2


@MANY
def test_bad_ones_among_good_ones(aleph: Any, emulator: Emulator) -> None:
    """An unknown job and a slow one are outcomes; the others have theirs."""
    emulator.outcome(seconds=1e6)
    jobs = submit_many(aleph, emulator, 3)
    slow, good, also_good, unknown = aleph.wait_many([*jobs, "no-such-job"], wait_timeout=1000)
    assert isinstance(slow.error, WaitTimeoutError)
    assert isinstance(unknown.error, NotFoundError)
    assert good.job.succeeded
    assert also_good.job.succeeded


@MANY
@pytest.mark.parametrize("status", [403, 404])
def test_without_a_list(
    aleph: Any, emulator: Emulator, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """An account whose list is refused is asked one by one, and told of once."""
    emulator.fault(Fault(operation="list_jobs", status=status, times=None))
    found = aleph.wait_many(submit_many(aleph, emulator, 12))
    assert all(isinstance(outcome, Succeeded) for outcome in found)
    assert asked(emulator, "list_jobs") == 1
    assert caplog.text.count("cannot be listed") == 1


@MANY
def test_a_list_in_bad_weather(aleph: Any, emulator: Emulator) -> None:
    """Pages that fail in every way are missed looks."""
    for number, how in enumerate(({"status": 502}, {"cut": 40}, {"body": "<html>"}), start=1):
        emulator.fault(Fault(operation="list_jobs", nth=2 * number, **how))
    emulator.fault(Fault(operation="get_job", nth=1, drop="before"))
    found = aleph.wait_many(submit_many(aleph, emulator, 12))
    assert all(isinstance(outcome, Succeeded) for outcome in found)


@MANY
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_independent_waits_share_their_looks(emulator: Emulator, backend: str) -> None:
    """Nobody has to ask for it: tasks that wait on one client look together."""

    async def main() -> None:
        async with emulator.async_aleph(virtual_time=True) as aleph:

            async def one() -> None:
                job = await aleph.submit(URL, "night")
                seen: list[str] = []
                await aleph.wait(job, on_update=lambda update: seen.append(update.job.status))
                assert (seen[0], seen[-1]) == ("queued", "completed")

            async with anyio.create_task_group() as tasks:
                for _ in range(60):
                    tasks.start_soon(one)
                    await emulator.clock.asleep(0.05)

    run(backend, main)
    assert asked(emulator, "list_jobs") + asked(emulator, "get_job") <= 150


@MANY
def test_threads_share_their_looks(emulator: Emulator) -> None:
    """So do threads that wait on one blocking client."""
    with emulator.aleph(virtual_time=True) as aleph:
        jobs = submit_many(aleph, emulator, 12)
        with ThreadPoolExecutor(12) as pool, emulator.clock.busy():
            waits = [pool.submit(aleph.wait, job) for job in jobs]
        assert all(wait.result().succeeded for wait in waits)
    assert asked(emulator, "list_jobs") + asked(emulator, "get_job") <= 6 * 45


def test_threads_that_wait_for_ever(emulator: Emulator) -> None:
    """They do so in real time, too: a thread that leaves the looking to another sleeps on."""
    emulator.outcome(seconds=0.5, times=None)
    pace = PollPolicy(early=0.1, sparse=0.1, dense=0.1, longest=0.1, spread=0)
    with emulator.aleph(poll=pace) as aleph, ThreadPoolExecutor(3) as pool:
        jobs = [aleph.submit(URL, "night") for _ in range(3)]
        waits = [pool.submit(aleph.wait, job, wait_timeout=None) for job in jobs]
        assert all(wait.result().succeeded for wait in waits)


@MANY
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_whoever_looks_may_leave(emulator: Emulator, backend: str) -> None:
    """Tasks that are cancelled, the one that looks among them, leave the others theirs."""

    async def main() -> list[Any]:
        done: list[Any] = []
        async with emulator.async_aleph(virtual_time=True) as aleph:
            scopes = [anyio.CancelScope() for _ in range(20)]

            async def one(scope: anyio.CancelScope) -> None:
                job = await aleph.submit(URL, "night")
                with scope:
                    done.append(await aleph.wait(job))

            async with anyio.create_task_group() as tasks:
                for scope in scopes:
                    tasks.start_soon(one, scope)
                for scope in scopes[::2]:
                    await emulator.clock.asleep(7.0)
                    scope.cancel()
            assert aleph._config.board.parties == []
        return done

    assert len(run(backend, main)) == 10


@MANY
def test_a_slow_listener_holds_nobody_up(emulator: Emulator) -> None:
    """While one wait's callback takes its time, the others are looked for."""

    async def main() -> None:
        async with emulator.async_aleph(virtual_time=True) as aleph:
            jobs = [await aleph.submit(URL, "night") for _ in range(3)]

            async def dawdle(_: object) -> None:
                await emulator.clock.asleep(1000)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: aleph.wait(jobs[0], on_update=dawdle))
                await aleph.wait_many(jobs[1:])
                assert emulator.clock.monotonic() < 180

    asyncio.run(main())


@MANY
def test_a_rate_limited_list(aleph: Any, emulator: Emulator) -> None:
    """Retry-After holds for everybody who was on the page."""
    jobs = submit_many(aleph, emulator, 5)
    emulator.fault(Fault(operation="list_jobs", status=429, headers={"Retry-After": "40"}))
    begun = emulator.clock.monotonic()
    update = next(update for update in aleph.watch_many(jobs) if update.poll_faults)
    assert update.next_look == pytest.approx(40, abs=1)
    assert emulator.clock.monotonic() - begun < 40


@MANY
def test_foreign_jobs(open_client: Any, emulator: Emulator) -> None:
    """Others' jobs on the account are passed over."""
    aleph = open_client(poll=PollPolicy(spread=0))
    jobs = submit_many(aleph, emulator, 5)
    emulator.foreign(50, seconds=10.0)
    jobs += submit_many(aleph, emulator, 5)
    found = aleph.wait_many(jobs)
    assert [outcome.job.id for outcome in found] == [job.id for job in jobs]


def test_a_lot_of_threads_come_and_go(emulator: Emulator) -> None:
    """Waits that begin and end at random leave the board empty and nobody waiting."""
    ended = threading.Semaphore(0)
    with emulator.aleph(virtual_time=True) as aleph:

        def one(number: int) -> None:
            emulator.clock.sleep(number % 7)
            assert aleph.wait(aleph.submit(URL, f"night {number}")).succeeded
            ended.release()

        with ThreadPoolExecutor(16) as pool, emulator.clock.busy():
            for number in range(48):
                pool.submit(one, number)
        assert aleph._config.board.parties == []
    assert sum(ended.acquire(blocking=False) for _ in range(48)) == 48


def test_the_fall_back_is_said_once_for_all_waits(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where many tasks meet it at once."""
    emulator.fault(Fault(operation="list_jobs", status=403, times=None))

    async def main() -> None:
        async with emulator.async_aleph(virtual_time=True) as aleph:
            jobs = [await aleph.submit(URL, "night") for _ in range(8)]
            await asyncio.gather(*(aleph.wait(job) for job in jobs))

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert caplog.text.count("cannot be listed") == 1
