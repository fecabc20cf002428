"""Run one client through one scenario in a process of its own, and print its CPU seconds.

Usage: python -m benchmarks.subject CLIENT SCENARIO URL

The clients are `plain` (httpx by hand), `plain-100` (the same with 100 connections kept alive) and
`ours`. CPU time is this process's, user and system, all threads. The interpreter's own start never
counts; imports and the warm-up request count in `start` only.

Imports stand inside functions because the cost of an import is one of the things measured.
"""

import sys
import time
from typing import Any


def main(client: str, scenario: str, url: str) -> None:
    """Print the CPU seconds that the scenario costs this client."""
    began = time.process_time()
    if scenario == "start":
        _module(client).start(url)
        print(time.process_time() - began)
    elif scenario == "sync":
        print(_sync(_module(client), _options(client, url)))
    else:
        import asyncio

        run = {"async": _async, "even": _even, "bursts": _bursts}[scenario]
        print(asyncio.run(run(_module(client), _options(client, url))))


def _module(client: str) -> Any:
    from importlib import import_module

    return import_module(f"benchmarks.{client.partition('-')[0]}")


def _options(client: str, url: str) -> Any:
    kept_alive = client.partition("-")[2]
    module = _module(client)
    return module.options(url, int(kept_alive)) if kept_alive else module.options(url)


def _sync(module: Any, options: Any) -> float:
    """Submit and get on a warm client, one after the other: CPU seconds of one such pair."""
    from benchmarks.settings import PAIRS

    with module.Client(**options) as client:
        module.pair(client)
        began = time.process_time()
        for _ in range(PAIRS):
            module.pair(client)
        return (time.process_time() - began) / PAIRS


async def _async(module: Any, options: Any) -> float:
    """Do the same on a warm asynchronous client."""
    from benchmarks.settings import PAIRS

    async with module.AsyncClient(**options) as client:
        await module.async_pair(client)
        began = time.process_time()
        for _ in range(PAIRS):
            await module.async_pair(client)
        return (time.process_time() - began) / PAIRS


async def _even(module: Any, options: Any) -> float:
    """Wait for many jobs that started evenly spread: httpx's pool is never congested."""
    from benchmarks.settings import JOBS

    return await _many(module, options, JOBS)


async def _bursts(module: Any, options: Any) -> float:
    """Wait for as many that started in bursts, as batches do: looks queue for connections."""
    from benchmarks.settings import BURSTS

    return await _many(module, options, BURSTS)


async def _many(module: Any, options: Any, starts: int) -> float:
    """Wait for many jobs at once, each asked for by itself: CPU seconds of them all."""
    import asyncio

    from benchmarks.settings import JOBS, PAUSE

    async def sleep() -> None:
        await asyncio.sleep(PAUSE)

    async def wait(client: Any, number: int) -> None:
        await asyncio.sleep(PAUSE * (number % starts) / starts)
        await module.wait(client, f"wait-{number}", sleep)

    async with module.AsyncClient(**options) as client:
        began = time.process_time()
        await asyncio.gather(*(wait(client, number) for number in range(JOBS)))
        return time.process_time() - began


if __name__ == "__main__":
    main(*sys.argv[1:])
