"""The stages of a job, in a process that is to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from krea_aleph import Aleph, AsyncAleph, SQLiteStore
from krea_aleph.durable.stages import Stages
from krea_aleph.durable.suspects import Suspects
from krea_aleph.durable.tasks import Task
from krea_aleph.emulator import Emulator, Fault
from weather.victim import FastClock

CLIP = "https://example.com/in.mp4"


@pytest.mark.parametrize("stage", ["wait", "save"])
def test_what_a_closing_breaks_off_has_no_outcome(
    ground: Callable[..., Emulator], tmp_path: Path, stage: str
) -> None:
    """The error of a client that is closed is nothing that a job waits for, or fails of."""
    emulator = ground(seconds=0.0 if stage == "save" else 1000.0, places=1)
    emulator.fault(Fault(operation="download", stall=1e6))
    known = {"api_key": emulator.key, "base_url": emulator.base_url, "clock": FastClock()}
    with Aleph(**known) as aleph, SQLiteStore(tmp_path / "jobs.sqlite3") as store:
        job = aleph.submit(CLIP, "snow")
        job = aleph.wait(job) if stage == "save" else job
        suspects = Suspects(store, "app", lambda _: 1, 1)
        stages = Stages(
            {"studio": partial(AsyncAleph, **known)}, store, {}, f"{tmp_path}/", suspects
        )
        task = Task("shot-1", "studio", CLIP, "snow", {}, None, "a.mp4", "keep")
        told = {"job": job.to_json().replace('"default"', '"studio"')}

        async def main() -> None:
            running = asyncio.ensure_future(getattr(stages, stage)(task, told, 0))
            begun = {"wait": "get_job", "save": "download"}[stage]
            while begun not in {call.operation for call in emulator.requests}:
                assert not running.done(), running
                await asyncio.sleep(0)
            await asyncio.to_thread(stages.close, 1.0)
            late = asyncio.ensure_future(getattr(stages, stage)(task, told, 0))
            done, _ = await asyncio.wait([running, late], timeout=0.3)  # they would end at once
            assert not done
            running.cancel()
            late.cancel()

        asyncio.run(main())
