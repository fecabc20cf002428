"""A hundred jobs of which every seventh answer is lost: none more, and none missing."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import SQLiteStore, SubmitUncertainError
from krea_aleph.emulator import Emulator, Fault
from web import Deliveries, receiving

CREATE = "create_aleph_job"
URL = "https://example.com/in.mp4"
JOBS, EVERY = 100, 7
LOST = JOBS // EVERY
colours = pytest.mark.parametrize(
    "colour", ["sync", "asyncio", pytest.param("trio", marks=pytest.mark.long)]
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    """A store of the test's own."""
    with SQLiteStore(tmp_path / "jobs.sqlite3") as made:
        yield made


def submit_all(
    aleph: Any, emulator: Emulator, *, strangers: bool
) -> tuple[dict[str, str], dict[str, SubmitUncertainError]]:
    """Submit a hundred jobs, and return the ids of those answered and the errors of the others."""
    emulator.fault(Fault(operation=CREATE, drop="after", every=EVERY, times=None))
    known: dict[str, str] = {}
    uncertain: dict[str, SubmitUncertainError] = {}
    for number in range(JOBS):
        emulator.clock.sleep(0.1)
        if strangers:
            emulator.foreign(1, seconds=1.0)
        try:
            job = aleph.submit(URL, f"night {number}", intent=f"shot-{number}")
        except SubmitUncertainError as error:
            uncertain[f"night {number}"] = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        else:
            known[f"night {number}"] = job.id
    return known, uncertain


def started(emulator: Emulator) -> dict[str, str]:
    """Return the paid jobs on the server by their prompts; there is one for each."""
    ours = [job for job in emulator.jobs if not job.foreign]
    found = {job.body["prompt"]: job.id for job in ours}
    assert len(found) == len(ours)
    return found


@colours
@pytest.mark.krea_emulator(concurrency=200, job_seconds=20.0)
def test_100_jobs_with_every_7th_answer_lost(
    open_client: Any, emulator: Emulator, store: SQLiteStore
) -> None:
    """Exactly 100 on the server, each uncertain one reported and, as nobody else is there, found.

    Recovering each, and submitting each again, brings the same hundred jobs and starts none.
    """
    aleph = open_client(store=store, exclusive=True)
    known, uncertain = submit_all(aleph, emulator, strangers=False)
    assert emulator.accepted == JOBS
    assert len(uncertain) == LOST
    recovered = {prompt: aleph.recover(error).id for prompt, error in uncertain.items()}
    assert known | recovered == started(emulator)
    again = [aleph.submit(URL, f"night {n}", intent=f"shot-{n}").id for n in range(JOBS)]
    assert set(again) == set(started(emulator).values())
    assert emulator.accepted == JOBS


@colours
@pytest.mark.krea_emulator(concurrency=400, job_seconds=20.0)
def test_100_jobs_with_every_7th_answer_lost_on_a_shared_account(
    open_client: Any, emulator: Emulator, store: SQLiteStore
) -> None:
    """Among strangers' jobs, webhooks on the intents' own paths tell which are whose."""
    deliveries = Deliveries()
    with receiving(store=store, on_delivery=deliveries) as receiver:
        aleph = open_client(store=store, receiver=receiver)
        known, uncertain = submit_all(aleph, emulator, strangers=True)
        assert emulator.accepted == JOBS
        assert len(uncertain) == LOST
        recovered = {prompt: aleph.recover(error).id for prompt, error in uncertain.items()}
        assert known | recovered == started(emulator)
        emulator.clock.sleep(60)
        assert set(deliveries.jobs(JOBS)) == set(started(emulator).values())
    assert emulator.accepted == JOBS


@pytest.mark.long
@pytest.mark.krea_emulator(concurrency=400, job_seconds=20.0)
def test_100_jobs_with_every_7th_answer_lost_where_nothing_proves_it(
    emulator: Emulator, store: SQLiteStore
) -> None:
    """On a shared account without webhooks a human decides: the right job is a candidate, always.

    Nothing is paid twice, and no stranger's job is ever taken for one's own.
    """
    with emulator.aleph(virtual_time=True, store=store) as aleph:
        known, uncertain = submit_all(aleph, emulator, strangers=True)
        assert (emulator.accepted, len(uncertain)) == (JOBS, LOST)
        for prompt, error in uncertain.items():
            with pytest.raises(SubmitUncertainError) as caught:
                aleph.recover(error)
            mine = started(emulator)[prompt]
            assert mine in {job.id for job in caught.value.candidates}
            known[prompt] = aleph.adopt(caught.value, mine).id
    assert known == started(emulator)
    assert emulator.accepted == JOBS
