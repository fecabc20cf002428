"""Waits for a job until a signal ends it, and tells what the exception said.

Usage: leaving_program.py COLOUR ABANDON BASE_URL KEY
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any, cast

import anyio

from krea_aleph import Aleph, AsyncAleph, Update

URL = "https://example.com/in.mp4"


def show(_: Update) -> None:
    """Say that the wait is under way."""
    print("waiting", flush=True)


def tell(error: BaseException) -> None:
    """Print what ended it."""
    notes = getattr(error, "__notes__", [])
    print(json.dumps([type(error).__name__, notes]), flush=True)


def block(options: Any) -> None:
    """Wait with the blocking client; SIGTERM becomes SystemExit."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Aleph(**options) as aleph:
        job = aleph.submit(URL, "night")
        try:
            aleph.wait(job, on_update=show)
        except BaseException as error:
            tell(error)
            raise


async def waiting(options: Any) -> None:
    """Wait with the asynchronous client."""
    async with AsyncAleph(**options) as aleph:
        job = await aleph.submit(URL, "night")
        try:
            await aleph.wait(job, on_update=show)
        except BaseException as error:
            tell(error)
            raise


async def on_asyncio(options: Any) -> None:
    """Let SIGTERM cancel the task, by asyncio's own means."""
    task = cast("asyncio.Task[None]", asyncio.current_task())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await waiting(options)


async def on_trio(options: Any) -> None:
    """Let SIGTERM cancel a scope."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancelling, tasks.cancel_scope)
        await waiting(options)


async def _cancelling(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


if __name__ == "__main__":
    colour, abandon, base_url, key = sys.argv[1:]
    options = {"base_url": base_url, "api_key": key, "abandon": abandon}
    if colour == "sync":
        block(options)
    elif colour == "asyncio":
        asyncio.run(on_asyncio(options))
    else:
        anyio.run(on_trio, options, backend="trio")
