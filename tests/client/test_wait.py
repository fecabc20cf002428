"""Waiting: hours pass in milliseconds, faults are missed looks, and a deadline is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from krea_aleph import AUTO, APIConnectionError, NotFoundError, PollPolicy, Update, WaitTimeoutError
from krea_aleph.emulator import Emulator, Fault

URL = "https://example.com/in.mp4"


def _looks(emulator: Emulator) -> int:
    return sum(request.operation == "get_job" for request in emulator.requests)


@pytest.mark.krea_emulator(job_seconds=7000)
def test_two_hours(aleph: Any, emulator: Emulator) -> None:
    """A job of almost two hours is waited for by default, with few looks."""
    job = aleph.wait(aleph.submit(URL, "night"))
    assert job.succeeded
    assert _looks(emulator) < 650


@pytest.mark.krea_emulator(job_seconds=169)
def test_an_ordinary_job(aleph: Any, emulator: Emulator) -> None:
    """A run of usual length costs at most 50 looks."""
    aleph.wait(aleph.submit(URL, "night"))
    assert _looks(emulator) <= 50


@pytest.mark.krea_emulator(job_seconds=60)
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503, "body": "<html>busy</html>"},
        {"status": 429, "headers": {"retry-after": "30"}},
        {"drop": "before"},
        {"truncate": 7},
        {"cut": 7},
        {"status": 200, "body": ""},
        {"status": 520},
    ],
    ids=str,
)
def test_a_look_that_fails_is_a_missed_look(
    aleph: Any, emulator: Emulator, fault: dict[str, Any]
) -> None:
    """Bad weather is counted and reported, and the job is still fetched."""
    emulator.fault(Fault(operation="get_job", times=3, **fault))
    updates: list[Update] = []
    job = aleph.wait(aleph.submit(URL, "night"), on_update=updates.append)
    assert job.succeeded
    assert updates[-1].poll_faults == 3


@pytest.mark.krea_emulator(job_seconds=3600)
def test_a_deadline(aleph: Any, emulator: Emulator) -> None:
    """The wait ends when it was told to; the job goes on and can be waited for again."""
    begun = emulator.clock.monotonic()
    with pytest.raises(WaitTimeoutError) as caught:
        aleph.wait(aleph.submit(URL, "night"), wait_timeout=100)
    assert emulator.clock.monotonic() - begun == pytest.approx(100, abs=1)
    error = caught.value
    assert error.job.id in str(error)
    assert error.job_id == error.job.id
    assert any("Wait for it again" in note for note in error.__notes__)
    assert aleph.wait(error.job).succeeded
    assert emulator.accepted == 1


def test_a_deadline_in_bad_weather(aleph: Any, emulator: Emulator) -> None:
    """When nothing could be seen to the end, the last fault is the cause of the timeout."""
    job = aleph.submit(URL, "night")
    emulator.fault(Fault(operation="get_job", drop="before", times=None))
    with pytest.raises(WaitTimeoutError) as caught:
        aleph.wait(job.id, wait_timeout=100)
    assert isinstance(caught.value.__cause__, APIConnectionError)


@pytest.mark.krea_emulator(job_seconds=300, concurrency=1)
def test_the_default_clock_stands_still_in_the_backlog(aleph: Any, emulator: Emulator) -> None:
    """However long others are served first, the default patience is for the run itself."""
    emulator.foreign(40)
    job = aleph.wait(aleph.submit(URL, "night"), wait_timeout=AUTO)
    assert job.succeeded
    assert emulator.clock.time() - job.created_at.timestamp() > 2 * 3600 + 600


def test_a_job_that_is_not_readable_yet(aleph: Any, emulator: Emulator) -> None:
    """Right after acceptance a 404 is forgiven a few times."""
    emulator.fault(Fault(operation="get_job", status=404, times=3))
    assert aleph.wait(aleph.submit(URL, "night")).succeeded


def test_a_job_that_is_gone(aleph: Any, emulator: Emulator) -> None:
    """A job that stays unknown is an error, not hours of looking."""
    job = aleph.submit(URL, "night")
    emulator.fault(Fault(operation="get_job", status=404, times=None))
    with pytest.raises(NotFoundError):
        aleph.wait(job)
    assert _looks(emulator) <= 5


def test_an_unknown_id_is_an_error_at_once(aleph: Any, emulator: Emulator) -> None:
    """An id that was never seen is not waited for."""
    with pytest.raises(NotFoundError):
        aleph.wait("no-such-job")
    assert _looks(emulator) == 1


@pytest.mark.parametrize("status", ["levitating", "PROCESSING", "intermediate-complete", ""])
def test_statuses_are_open(aleph: Any, emulator: Emulator, status: str) -> None:
    """A status that nobody has heard of means that the job runs."""
    emulator.outcome(statuses={status: 1.0})
    assert aleph.wait(aleph.submit(URL, "night")).succeeded


def test_watching(aleph: Any, emulator: Emulator) -> None:
    """Watching yields each change, the end of the job last, and a failed job is no error there."""
    emulator.outcome(status="failed", error={"code": "nsfw", "message": "blocked"})
    updates = list(aleph.watch(aleph.submit(URL, "night")))
    assert updates[-1].job.status == "failed"
    assert updates[-1].job.error_code == "nsfw"
    assert updates[-1].next_look == 0
    assert [update.elapsed for update in updates] == sorted(update.elapsed for update in updates)


def test_leaving_the_loop_leaves_the_job(aleph: Any, emulator: Emulator) -> None:
    """Who stops watching cancels nothing."""
    watching = aleph.watch(aleph.submit(URL, "night"))
    next(watching)
    watching.close()
    operations = {request.operation for request in emulator.requests}
    assert "delete_job" not in operations


@pytest.mark.krea_emulator(job_seconds=3600)
def test_cancelling_on_a_timeout(open_client: Any, emulator: Emulator) -> None:
    """abandon="cancel" stops paying when the patience is over, and says what came of it."""
    aleph = open_client(abandon="cancel")
    with pytest.raises(WaitTimeoutError) as caught:
        aleph.wait(aleph.submit(URL, "night"), wait_timeout=30)
    assert emulator.jobs[0].status == "cancelled"
    assert any("outcome: cancelled" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    ("stages", "outcome"),
    [({"queued": 1.0}, "cancelled"), ({"sampling": 1.0}, "refused")],
)
@pytest.mark.krea_emulator(job_seconds=100)
def test_cancelling(aleph: Any, emulator: Emulator, stages: dict[str, float], outcome: str) -> None:
    """What Krea made of it is reported as it was, and a finished job is not touched."""
    emulator.outcome(statuses=stages)
    job = aleph.submit(URL, "night")
    assert aleph.cancel(job).outcome == outcome
    again = aleph.cancel(job).outcome
    assert again == ("already_cancelled" if outcome == "cancelled" else outcome)
    done = aleph.wait(aleph.submit(URL, "night"))
    assert aleph.cancel(done).outcome == "already_finished"
    deletes = [request for request in emulator.requests if request.operation == "delete_job"]
    assert len(deletes) == (1 if outcome == "cancelled" else 2)


def test_a_poll_policy_of_ones_own(open_client: Any, emulator: Emulator) -> None:
    """How often it looks is the caller's to say."""
    aleph = open_client(poll=PollPolicy(early=0.5, spread=0))
    aleph.wait(aleph.submit(URL, "night"))
    assert _looks(emulator) >= 6


def test_listing_jobs(aleph: Any, emulator: Emulator) -> None:
    """All pages, newest first, each job once, and no page more than is asked for."""
    ids = [aleph.submit(URL, f"night {number}").id for number in range(8)]
    for _ in range(6):
        emulator.clock.sleep(1)
        emulator.foreign(50)
    listed = list(aleph.list_jobs())
    assert len({job.id for job in listed}) == len(listed) == 308
    assert set(ids) <= {job.id for job in listed}
    first = next(iter(aleph.list_jobs()))
    assert first.id == listed[0].id


def test_listing_jobs_of_a_time(aleph: Any, emulator: Emulator) -> None:
    """created_after and created_before bound the list."""
    middle = []
    for number in range(3):
        middle.append(aleph.submit(URL, f"night {number}"))
        emulator.clock.sleep(10)
    after = [job.id for job in aleph.list_jobs(created_after=middle[0].created_at)]
    assert after == [middle[2].id, middle[1].id]
    before = [job.id for job in aleph.list_jobs(created_before=middle[1].created_at)]
    assert before == [middle[0].id]
    assert [job.id for job in aleph.list_jobs(status="failed")] == []


def test_assets(aleph: Any, emulator: Emulator, clip: Path) -> None:
    """What is uploaded can be listed, asked for and deleted."""
    asset = aleph.upload(clip)
    assert asset.media_type == "video/mp4"
    assert asset.size_bytes == clip.stat().st_size
    assert [listed.id for listed in aleph.list_assets()] == [asset.id]
    assert aleph.get_asset(asset) == asset
    assert aleph.delete_asset(asset.id) is None
    assert emulator.assets == []
    with pytest.raises(NotFoundError):
        aleph.get_asset(asset)
