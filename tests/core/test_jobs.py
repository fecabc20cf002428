"""Reading, listing and cancelling jobs."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from krea_aleph import _jobs
from krea_aleph.errors import (
    APIConnectionError,
    AuthenticationError,
    InvalidRequestError,
    InvalidResponseError,
    KreaError,
    NotFoundError,
)
from krea_aleph.models import Job
from krea_aleph.policies import RetryPolicy

from .transcript import (
    JOB_ID,
    UNIX,
    Stage,
    answer,
    completed,
    configured,
    cut_off,
    job_answer,
    label,
    not_sent,
    timed_out,
)

WEST = timezone(timedelta(hours=-12))
CONFIG = configured(retry=RetryPolicy(attempts=1))


def test_a_job_as_it_is_now() -> None:
    """`get` asks whatever is known, and the snapshot says when it was taken."""
    stage = Stage(completed(), seconds=2.0)
    job = stage.play(_jobs.get(CONFIG, Job(JOB_ID, "completed")))
    assert (job.status, job.fetched_at, stage.operations) == ("completed", UNIX + 2.0, ["get_job"])


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer(status=404), NotFoundError),
        (answer(status=401), AuthenticationError),
        (cut_off(), APIConnectionError),
        (answer({}), InvalidResponseError),
        (answer(b"<html>"), InvalidResponseError),
        (answer({"job_id": "another", "status": "completed"}), InvalidResponseError),
    ],
    ids=label,
)
def test_a_job_that_cannot_be_read(reply: Any, kind: type[KreaError]) -> None:
    """Every failure names the job, and that of a known one forbids to pay for it again."""
    with pytest.raises(kind) as caught:
        Stage(reply).play(_jobs.get(CONFIG, JOB_ID))
    assert caught.value.job_id == JOB_ID
    with pytest.raises(kind) as caught:
        Stage(reply).play(_jobs.get(CONFIG, Job(JOB_ID, "queued")))
    assert caught.value.resubmit == "never"


def listed(*jobs: tuple[str, str], cursor: str | None = None) -> Any:
    """Make a page of jobs with their creation times."""
    items = [{"job_id": job_id, "created_at": moment} for job_id, moment in jobs]
    return answer({"items": items, "next_cursor": cursor})


def list_jobs(stage: Stage, **arguments: Any) -> list[str]:
    """List jobs, and return their ids."""
    defaults = {"status": None, "types": (), "created_before": None, "created_after": None}
    stage.play(_jobs.list_jobs(CONFIG, **{**defaults, **arguments}))
    return [job.id for job in stage.updates]


def test_jobs_are_listed_by_what_is_asked() -> None:
    """Status, types and a time become parameters; further pages are asked for by cursor."""
    stage = Stage(listed(("j1", "x"), cursor="c"), listed(("j2", "x")))
    before = datetime(2027, 1, 15, 10, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    found = list_jobs(stage, status="failed", types=["externalVideo"], created_before=before)
    assert found == ["j1", "j2"]
    first, second = (request.params for request in stage.requests)
    assert first["cursor"] == "2027-01-15T08:00:00.123Z"
    assert (first["status"], first["types"], second["cursor"]) == ("failed", "externalVideo", "c")


def test_newer_jobs_only() -> None:
    """A list of newer jobs ends at the first page that has none; unknown times are shown."""
    after = datetime(2027, 1, 15, tzinfo=UTC)
    stage = Stage(
        listed(("new", "2027-01-16T00:00:00Z"), ("odd", "?"), cursor="a"),
        listed(("old", "2027-01-14T00:00:00Z"), cursor="b"),
    )
    assert list_jobs(stage, created_after=after) == ["new", "odd"]
    assert len(stage.requests) == 2


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"types": "externalVideo"}, "types"),
        ({"created_before": "2027-01-15"}, "created_before"),
        ({"created_before": datetime(2027, 1, 15)}, "created_before"),  # noqa: DTZ001 - the point
        ({"created_before": datetime.max.replace(tzinfo=WEST)}, "created_before"),
        ({"created_after": 7}, "created_after"),
        ({"created_after": datetime(2027, 1, 15)}, "created_after"),  # noqa: DTZ001 - the point
    ],
    ids=label,
)
def test_lists_that_cannot_be_asked_for(arguments: dict[str, Any], field: str) -> None:
    """A text for a list, or a time without a zone, is refused before any request."""
    with pytest.raises(InvalidRequestError) as caught:
        list_jobs(Stage(), **arguments)
    assert caught.value.field == field


RUNNING, GONE, NO = job_answer("processing"), answer(status=404), answer(status=400)
CANCELLED, FAILED, OK = job_answer("Cancelled"), job_answer("failed"), answer()

# (what DELETE is answered, what the job is afterwards, the outcome)
OUTCOMES: list[tuple[Any, Any, str]] = [
    (OK, CANCELLED, "cancelled"),
    (OK, GONE, "cancelled"),
    (OK, RUNNING, "requested"),
    (OK, cut_off(), "requested"),
    (OK, answer(status=503), "requested"),
    (OK, answer(b"<html>"), "requested"),
    (OK, FAILED, "already_finished"),
    (OK, completed(), "already_finished"),
    (answer(status=204), RUNNING, "requested"),
    (NO, RUNNING, "refused"),
    (NO, CANCELLED, "cancelled"),
    (NO, completed(), "already_finished"),
    (answer(status=409), RUNNING, "refused"),
    (GONE, RUNNING, "refused"),
    (GONE, GONE, "unknown"),
    (GONE, CANCELLED, "cancelled"),
    (answer(status=429), RUNNING, "unknown"),
    (answer(status=502), RUNNING, "unknown"),
    (answer(status=502), CANCELLED, "cancelled"),
    (cut_off(), RUNNING, "unknown"),
    (cut_off(), GONE, "unknown"),
    (timed_out(), cut_off(), "unknown"),
    (not_sent(), RUNNING, "unknown"),
]


@pytest.mark.parametrize(("answered", "after", "outcome"), OUTCOMES, ids=label)
def test_what_comes_of_cancelling(answered: Any, after: Any, outcome: str) -> None:
    """The job is read, the DELETE is sent once, the job is read again, and it is told as it was."""
    stage = Stage(RUNNING, answered, after)
    cancellation = stage.play(_jobs.cancel(CONFIG, JOB_ID))
    assert cancellation.outcome == outcome
    assert cancellation.job.id == JOB_ID
    assert stage.operations == ["get_job", "delete_job", "get_job"]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("completed", "already_finished"),
        ("failed", "already_finished"),
        ("cancelled", "already_cancelled"),
    ],
)
def test_a_finished_job_is_never_deleted(status: str, outcome: str) -> None:
    """What has ended is only read, whatever an old snapshot says."""
    stage = Stage(job_answer(status))
    assert stage.play(_jobs.cancel(CONFIG, Job(JOB_ID, "queued"))).outcome == outcome
    assert stage.operations == ["get_job"]


def test_a_job_that_cannot_be_read_is_not_cancelled() -> None:
    """Without a first look nothing is deleted."""
    stage = Stage(answer(status=404))
    with pytest.raises(NotFoundError):
        stage.play(_jobs.cancel(CONFIG, JOB_ID))
    assert stage.operations == ["get_job"]
