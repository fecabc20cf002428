"""Workers that are killed with `kill -9`: nothing is paid twice, mixed up or lost."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from durability.schedule import Crew, Plan, Reckoning, play
from durability.worker import Post

from krea_aleph import ConfigError, StoreError, Succeeded
from krea_aleph.emulator import Emulator, Fault
from postgres import postgres_server

SEED = int(os.environ.get("WEATHER_FIRST_SEED", "1"))
KINDS = [("sqlite", 1), ("postgres", 2)]


def _clean(found: Reckoning, jobs: int) -> None:
    print(found)  # noqa: T201 - for the record
    assert found.clean
    assert found.succeeded == jobs


@pytest.mark.parametrize(("kind", "workers"), KINDS)
def test_workers_that_die(
    ground: Callable[..., Emulator],
    make_url: Callable[[str], str],
    tmp_path: Path,
    kind: str,
    workers: int,
) -> None:
    """One dies at some moment, one inside the POST, an answer is lost: all goes on as before."""
    plan = Plan(jobs=6, workers=workers, deaths=[(0.8, [0])], in_post=[2], lost=[4], pause=0.0)
    emulator = ground(seconds=0.2, places=4)
    found = play(emulator, make_url(kind), tmp_path / "out", plan, patience=60, slots=4)
    _clean(found, plan.jobs)
    assert found.deaths >= 1


def _full(workers: int, seed: int) -> Plan:
    """The schedule of deaths: of single workers, of all at once, and inside the POST."""
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    last = workers - 1
    moments = [(12, [0]), (25, [last]), (45, list(range(workers))), (70, [last])]
    deaths = [(at + dice.uniform(-2, 2), those) for at, those in moments]
    positions = dice.sample(range(5, 180), 5)
    return Plan(jobs=200, workers=workers, deaths=deaths, in_post=positions[:3], lost=positions[3:])


@pytest.mark.long
@pytest.mark.parametrize(("kind", "workers"), [*KINDS, ("postgres", 4)])
def test_the_whole_schedule(
    ground: Callable[..., Emulator],
    make_url: Callable[[str], str],
    tmp_path: Path,
    kind: str,
    workers: int,
) -> None:
    """The same with 200 jobs: kills of one and of all, three inside the POST, two lost answers."""
    plan = _full(workers, SEED)
    print(f"seed {SEED}: {plan}")  # noqa: T201 - for the record
    emulator = ground(seconds=3, places=8)
    found = play(emulator, make_url(kind), tmp_path / "out", plan, patience=900)
    _clean(found, plan.jobs)


@pytest.mark.long
def test_postgres_away_for_a_minute(ground: Callable[..., Emulator], tmp_path: Path) -> None:
    """Two workers with jobs under way wait and go on; whoever enqueues meanwhile is told soon."""
    emulator = ground(seconds=3, places=4)
    with postgres_server() as server:
        url = server.database()
        post = Post(url, emulator.base_url, emulator.key, tmp_path, "w", {"slots": 4})
        with Crew(emulator, post, 2) as crew:
            intents, begun = crew.enqueue(20), time.monotonic()
            crew.start()
            crew.until(lambda: emulator.accepted >= 6)
            server.stop()
            gone = time.monotonic()
            with pytest.raises(StoreError, match="cannot be used"):
                crew.app.enqueue("https://example.com/in.mp4", "one more")
            assert time.monotonic() - gone < 15
            threading.Event().wait(60)  # so long it is away
            server.start()
            back = time.monotonic()
            crew.until(lambda: crew.app.status().accounts[0].succeeded == 20, 180)
            print(f"{time.monotonic() - back:.1f} s after it was back")  # noqa: T201 - for the record
            crew.tend(None)
            assert crew.deaths == 0
            _clean(crew.reckon(intents, time.monotonic() - begun), 20)


RESCUES = [5, pytest.param(60, marks=pytest.mark.long)]


@pytest.mark.parametrize("jobs", RESCUES)
def test_a_dead_workers_jobs_are_rescued(
    ground: Callable[..., Emulator], make_url: Callable[[str], str], tmp_path: Path, jobs: int
) -> None:
    """A worker dies inside the POST and never returns; `rescue` moves its jobs, and only then."""
    emulator = ground(seconds=0.3, places=4)
    post = Post(make_url("postgres"), emulator.base_url, emulator.key, tmp_path, "w", {"slots": 4})
    with Crew(emulator, post, 2) as crew:
        emulator.fault(Fault(operation="create_aleph_job", nth=3, kill=True))
        intents, begun = crew.enqueue(jobs), time.monotonic()
        crew.start(0)
        assert crew.ended(0) == -signal.SIGKILL
        crew.until(lambda: crew.app.status().workers[0].alive is False)
        assert "no: start it again, or rescue its jobs" in str(crew.app.status())
        crew.start(1)
        moved = crew.app.rescue()
        assert moved
        assert crew.app.rescue("w-0") == []
        crew.until(lambda: crew.app.status().accounts[0].succeeded == jobs)
        with pytest.raises(ConfigError, match="'w-1' is alive"):
            crew.app.rescue("w-1")
        _clean(crew.reckon(intents, time.monotonic() - begun), jobs)


DEPLOYS = [3, pytest.param(16, marks=pytest.mark.long)]


@pytest.mark.parametrize("jobs", DEPLOYS)
def test_a_deploy_of_another_version(
    ground: Callable[..., Emulator], make_url: Callable[[str], str], tmp_path: Path, jobs: int
) -> None:
    """A worker of another version leaves jobs alone; those of their own version finish them."""
    emulator = ground(seconds=0.5, places=2)
    url = make_url("sqlite")
    post = Post(url, emulator.base_url, emulator.key, tmp_path, "w", {"slots": 2})
    other = replace(post, more={"app_version": "new"}, labels=("elsewhere",))
    with Crew(emulator, post, 1) as crew:
        intents, begun = crew.enqueue(jobs), time.monotonic()
        crew.start()
        crew.until(lambda: emulator.accepted == 2)
        crew.kill(0)
        accepted, before = emulator.accepted, crew.app.status()
        with Crew(emulator, other, 1) as newer:
            newer.start()
            own = newer.app.enqueue("https://example.com/in.mp4", "new", account="elsewhere")
            assert isinstance(newer.app.result(own, wait_timeout=60), Succeeded)
            assert newer.stop(0) == 0
        assert emulator.accepted == accepted + 1
        elsewhere, now = crew.app.status().accounts
        (then,) = before.accounts
        assert elsewhere.succeeded == 1
        # What nobody is at goes back onto the queue after a while, for a worker of its version.
        assert now.waiting + now.running == then.waiting + then.running
        crew.start()
        crew.until(lambda: crew.app.status().accounts[-1].succeeded == jobs)
        _clean(crew.reckon(intents, time.monotonic() - begun), jobs)
