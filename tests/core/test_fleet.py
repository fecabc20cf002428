"""Many jobs at once: one look answers for as many as it can, and nothing depends on the list."""

from __future__ import annotations

import json
import logging
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from account import DAY, Account, Simulated
from krea_aleph import _many
from krea_aleph._steps import Emit, Response, Sleep
from krea_aleph.errors import (
    AuthenticationError,
    InvalidRequestError,
    JobFailedError,
    JobRejectedError,
    NotFoundError,
    WaitTimeoutError,
)
from krea_aleph.models import AUTO, Job
from krea_aleph.outcomes import Failed, Succeeded
from krea_aleph.policies import PollPolicy

from .transcript import Interruption, Stage, answer, at, configured, cut_off

STEADY = PollPolicy(spread=0)


def fleet(count: int, *, spacing: float = 0.01, seconds: float = 60.0) -> list[Simulated]:
    """Make jobs, one after the other, that take equally long."""
    return [
        Simulated(f"job-{number}", number * spacing - count * spacing, seconds)
        for number in range(count)
    ]


def others(count: int, spacing: float = 0.01) -> list[Simulated]:
    """Make somebody else's jobs, in between."""
    return [
        Simulated(f"other-{number}", number * spacing - count * spacing - 0.004, 30.0)
        for number in range(count)
    ]


def waited(
    account: Account, jobs: list[Simulated], wait_timeout: float | None = AUTO, **options: Any
) -> tuple[Stage, list[Succeeded | Failed]]:
    """Wait for jobs of an account."""
    stage = Stage(account, draws=random.Random(1).random)  # noqa: S311 - no secret
    config = configured(**{"poll": STEADY, **options})
    refs = [job.job() for job in jobs]
    return stage, stage.play(_many.wait_many(config, refs, wait_timeout))


def one_by_one(jobs: list[Simulated], **options: Any) -> int:
    """Return how many requests waiting for jobs takes where there is no list."""
    account = Account(jobs, refusal=answer(status=403))
    waited(account, jobs, **options)
    return account.asked["get_job"]


def test_a_thousand_jobs_cost_a_page() -> None:
    """Looks grow with pages, not with jobs, and each job is seen as soon as by itself."""
    jobs = fleet(1000)
    account = Account(jobs)
    stage, found = waited(account, jobs)
    assert all(isinstance(outcome, Succeeded) for outcome in found)
    assert account.requests * 20 <= one_by_one(jobs)
    assert stage.elapsed <= 60 + 10  # the pause of a job of that age
    assert [outcome.index for outcome in found] == list(range(1000))


def test_one_job_is_a_plain_wait() -> None:
    """A list is of no use for one job."""
    jobs = fleet(1)
    account = Account(jobs)
    waited(account, jobs)
    assert set(account.asked) == {"get_job"}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-300, 0), st.floats(0, 400)), min_size=1, max_size=30),
    st.integers(0, 2000),
    st.sampled_from([0.0005, 0.01, 1.0]),
)
def test_no_fleet_costs_more_than_its_jobs_one_by_one(
    ours: list[tuple[float, float]], foreign: int, spacing: float
) -> None:
    """However jobs lie among those of others, sharing looks never costs a request more."""
    jobs = [Simulated(f"job-{n}", created, ends) for n, (created, ends) in enumerate(ours)]
    account = Account([*jobs, *others(foreign, spacing)])
    _, found = waited(account, jobs)
    assert all(isinstance(outcome, Succeeded) for outcome in found)
    assert account.requests <= one_by_one(jobs)


def test_a_crowded_account_is_asked_one_by_one() -> None:
    """Where thousands of others' jobs lie between ours, pages are given up."""
    jobs = fleet(20, spacing=30.0, seconds=200.0)
    crowd = [Simulated(f"other-{n}", -n * 0.005, 1.0) for n in range(100_000)]
    account = Account([*jobs, *crowd])
    waited(account, jobs)
    assert account.asked.get("list_jobs", 0) <= 3


@pytest.mark.parametrize("spacing", [0.0, 0.0001, 0.001])
def test_jobs_of_the_same_moment(spacing: float) -> None:
    """Ties do not hide anybody, on a page or between two."""
    jobs = fleet(1500, spacing=spacing)
    account = Account(jobs)
    _, found = waited(account, jobs)
    assert all(isinstance(outcome, Succeeded) for outcome in found)


def test_jobs_that_are_missing_from_the_list() -> None:
    """Who is not where it should be is asked for by itself, and soon no longer looked for there."""
    jobs = fleet(50)
    account = Account(jobs, unlisted=frozenset({"job-7", "job-49"}))
    _, found = waited(account, jobs)
    assert all(isinstance(outcome, Succeeded) for outcome in found)
    pages = account.asked["list_jobs"]
    assert pages <= 25
    assert account.asked["get_job"] <= 4 * pages


def test_a_list_that_lags_behind() -> None:
    """A copy that is 30 s old is noticed by a look beside it, and given up for a while."""
    jobs = fleet(40, seconds=100.0)
    account = Account(jobs, lag=30.0)
    stage, found = waited(account, jobs)
    assert all(isinstance(outcome, Succeeded) for outcome in found)
    assert stage.elapsed <= 145


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_list_that_is_refused(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """It is never asked for again, that is said once, and every job has its outcome."""
    jobs = fleet(30)
    account = Account(jobs, refusal=answer({"error": "not for you"}, status=status))
    with caplog.at_level(logging.WARNING):
        stage, found = waited(account, jobs)
    assert all(isinstance(outcome, Succeeded) for outcome in found)
    assert account.asked["list_jobs"] == 1
    assert stage.kinds().count("list_refused") == 1
    assert caplog.text.count("cannot be listed") == 1


@pytest.mark.parametrize("fault", [answer(status=502), answer(b"<html>"), answer({}), cut_off()])
def test_a_page_that_does_not_come(fault: Any) -> None:
    """It is a missed look for all who were due on it, and nothing more."""
    jobs = fleet(10)
    account = Account(jobs)
    replies = iter([fault] * 3)

    def bad(stage: Stage, request: Any) -> Any:
        if request.operation == "list_jobs" and (reply := next(replies, None)) is not None:
            return reply
        return account(stage, request)

    stage = Stage(lambda stage, request: _raised(bad(stage, request)))
    config = configured(poll=STEADY)
    found = stage.play(_many.wait_many(config, [job.job() for job in jobs], AUTO))
    assert all(isinstance(outcome, Succeeded) for outcome in found)
    assert stage.kinds().count("poll_missed") == 30


def _raised(reply: Any) -> Any:
    if isinstance(reply, BaseException):
        raise reply
    return reply


def test_failures_are_asked_for_in_full() -> None:
    """Where a row says that a job failed and not why, the job itself is asked."""
    jobs = fleet(6)
    jobs[2].status = jobs[4].status = "failed"
    account = Account(jobs)

    def detailed(stage: Stage, request: Any) -> Response:
        reply = account(stage, request)
        if request.operation == "get_job" and b'"failed"' in reply.body:
            raw = {**json.loads(reply.body), "error": {"code": "nsfw", "message": "blocked"}}
            return answer(raw)
        return reply

    stage = Stage(detailed)
    found = stage.play(_many.wait_many(configured(poll=STEADY), [j.job() for j in jobs], AUTO))
    failed = [outcome for outcome in found if isinstance(outcome, Failed)]
    assert [outcome.index for outcome in failed] == [2, 4]
    assert all(isinstance(outcome.error, JobRejectedError) for outcome in failed)
    assert [outcome.job.error_code for outcome in failed if outcome.job] == ["nsfw", "nsfw"]


def test_each_failure_is_an_outcome() -> None:
    """A job that nobody knows, one that failed and one that takes too long stop no other."""
    jobs = fleet(4)
    jobs[1].status = "failed"
    jobs[3].ends = 1e6
    account = Account(jobs)
    stage = Stage(account)
    refs: list[Any] = [*(job.job() for job in jobs), "nobody-knows", jobs[0].id]
    found = stage.play(_many.wait_many(configured(poll=STEADY), refs, 600.0))
    kinds = [type(o.error) if isinstance(o, Failed) else Succeeded for o in found]
    assert kinds == [
        Succeeded, JobFailedError, Succeeded, WaitTimeoutError, NotFoundError, Succeeded,
    ]  # fmt: skip
    assert stage.elapsed == pytest.approx(600.0)
    assert found[5].item == "job-0"
    assert found[5].job == found[0].job
    lost = found[4]
    assert isinstance(lost, Failed)
    assert (lost.job, lost.error.job_id) == (None, "nobody-knows")


def test_ids_alone_are_looked_at_and_then_shared() -> None:
    """When a job was made is learned at the first look."""
    jobs = fleet(100)
    account = Account(jobs)
    stage = Stage(account)
    refs = [job.id for job in jobs]
    stage.play(_many.wait_many(configured(poll=STEADY), refs, AUTO))
    assert account.asked["get_job"] <= 110


def test_outcomes_come_as_they_are_known() -> None:
    """The first to end is the first to be shown."""
    jobs = fleet(5)
    for number, job in enumerate(jobs):
        job.ends = 100.0 - 20 * number
    stage = Stage(Account(jobs))
    stage.play(_many.as_completed(configured(poll=STEADY), [job.job() for job in jobs], AUTO))
    assert [outcome.index for outcome in stage.updates] == [4, 3, 2, 1, 0]


def test_every_change_is_shown() -> None:
    """`watch_many` shows each job's changes, its end last, and raises for what has no end."""
    jobs = fleet(3)
    stage = Stage(Account(jobs))
    refs: list[Any] = [*(job.job() for job in jobs), "nobody-knows"]
    with pytest.raises(NotFoundError):
        stage.play(_many.watch_many(configured(poll=STEADY), refs, AUTO))
    for job in jobs:
        mine = [update.job.status for update in stage.updates if update.job.id == job.id]
        assert mine == ["queued", "processing", "completed"]


def test_a_refused_key_ends_everything() -> None:
    """Each job has that as its outcome, after one request."""
    jobs = fleet(10)
    stage = Stage(answer(status=401))
    found = stage.play(_many.wait_many(configured(poll=STEADY), [j.job() for j in jobs], AUTO))
    errors = [outcome.error for outcome in found if isinstance(outcome, Failed)]
    assert {type(error) for error in errors} == {AuthenticationError}
    assert len(stage.requests) == 1
    # Whoever goes on by an error's id must not get another's video.
    assert [error.job_id for error in errors] == [job.id for job in jobs]
    assert all(job.id in str(error) for job, error in zip(jobs, errors, strict=True))


def test_a_list_takes_nothing_back() -> None:
    """A row that is older than what a single look showed is not believed."""
    jobs = fleet(2, spacing=0.5, seconds=30.0)
    account = Account(jobs, lag=5.0)
    stage = Stage(account)
    refs = [Job(job.id, "processing", created_at=job.job().created_at) for job in jobs]
    stage.play(_many.watch_many(configured(poll=STEADY), refs, AUTO))
    for job in jobs:
        mine = [update.job.status for update in stage.updates if update.job.id == job.id]
        assert mine in (["processing", "completed"], ["queued", "processing", "completed"])


@pytest.mark.parametrize("jobs", ["one", Job("one", "queued"), [3], ["../x"], 7])
def test_what_is_no_list_of_jobs(jobs: Any) -> None:
    """It is refused before anything is asked."""
    stage = Stage()
    with pytest.raises(InvalidRequestError):
        stage.play(_many.wait_many(configured(), jobs, AUTO))
    assert stage.requests == []


def test_nothing_to_wait_for() -> None:
    """An empty list has an empty result; finished jobs ask nothing."""
    stage = Stage()
    assert stage.play(_many.wait_many(configured(), [], AUTO)) == []
    done = Job("done", "failed", fetched_at=DAY)
    (outcome,) = stage.play(_many.wait_many(configured(), [done], AUTO))
    assert isinstance(outcome, Failed)
    assert stage.requests == []


@pytest.mark.parametrize("abandon", ["leave", "cancel"])
def test_an_interruption_says_what_becomes_of_the_jobs(abandon: Any) -> None:
    """The note names them; with "cancel" those that still run are asked to be cancelled."""
    jobs = fleet(8)
    account = Account(jobs)
    stage = Stage(account, interruption=Interruption(KeyboardInterrupt(), at(Sleep, 3)))
    config = configured(poll=STEADY, abandon=abandon)
    with pytest.raises(KeyboardInterrupt) as caught:
        stage.play(_many.wait_many(config, [job.job() for job in jobs], AUTO))
    (note,) = caught.value.__notes__
    assert note.startswith("8 jobs were left" if abandon == "leave" else "8 of 8 jobs were asked")
    assert "job-0, job-1" in note
    assert account.asked.get("delete_job", 0) == (8 if abandon == "cancel" else 0)
    assert config.board.parties == []


def test_leaving_the_loop_leaves_the_jobs() -> None:
    """Whoever breaks out is forgotten, and nothing is asked."""
    jobs = fleet(3)
    stage, config = Stage(Account(jobs)), configured(poll=STEADY)
    operation = _many.as_completed(config, [job.job() for job in jobs], AUTO)
    stage.until(operation, Emit)
    operation.close()
    assert config.board.parties == []
