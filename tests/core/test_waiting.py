"""Waiting: looks at a pace, missed looks forgiven, a deadline kept."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from krea_aleph import _waiting
from krea_aleph._steps import Emit, Request, Response, Send, Sleep, TransportFault
from krea_aleph.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    InternalServerError,
    InvalidRequestError,
    JobCancelledError,
    JobEmptyError,
    JobError,
    JobFailedError,
    JobRejectedError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    WaitTimeoutError,
)
from krea_aleph.models import AUTO, Job, Output
from krea_aleph.policies import PollPolicy

from .transcript import (
    CLIP_URL,
    JOB_ID,
    UNIX,
    Interruption,
    Stage,
    answer,
    at,
    changes,
    completed,
    configured,
    cut_off,
    job_answer,
    label,
    not_sent,
    timed_out,
)

STEADY = PollPolicy(spread=0)
RUNNING = job_answer("processing")
BACKLOGGED = job_answer("backlogged")
FRESH = Job(JOB_ID, "queued", fetched_at=UNIX)
DONE = Job(JOB_ID, "completed", outputs=(Output(CLIP_URL),), fetched_at=UNIX)


def wait(
    stage: Stage, ref: Job | str = FRESH, wait_timeout: float | None = AUTO, **options: Any
) -> Job:
    """Wait on a stage, with a steady pace."""
    config = configured(**{"poll": STEADY, **options})
    return stage.play(_waiting.wait(config, ref, wait_timeout))


def lasting(seconds: float, *, end: Response | None = None) -> Any:
    """Answer with a running job for so many seconds, and with its end from then on."""

    def reply(stage: Stage, _: Request) -> Response:
        return RUNNING if stage.elapsed < seconds else (end or completed())

    return reply


def test_a_job_of_usual_length() -> None:
    """A job of 169 s is waited for with some 40 looks, and seen finished a moment later."""
    stage = Stage(lasting(169.0))
    assert wait(stage).succeeded
    assert 169.0 <= stage.elapsed <= 172.0
    assert len(stage.requests) <= 50
    assert changes(stage) == ["queued", "processing", "completed"]


def test_a_fresh_snapshot_is_not_looked_at_again_at_once() -> None:
    """After a submit the first pause comes first; an id or an old snapshot is looked at at once."""
    stage = Stage(completed())
    wait(stage)
    assert stage.sleeps == [3.0]
    for ref in (JOB_ID, Job(JOB_ID, "queued", fetched_at=UNIX - 60)):
        stage = Stage(completed())
        wait(stage, ref)
        assert (stage.sleeps, len(stage.requests)) == ([], 1)


def test_a_finished_snapshot_asks_nothing() -> None:
    """Waiting for what has ended costs no request."""
    stage = Stage()
    assert wait(stage, DONE) is DONE
    with pytest.raises(JobFailedError):
        wait(stage, Job(JOB_ID, "failed"))
    assert stage.requests == []


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (job_answer("completed", result={}), JobEmptyError),
        (job_answer("failed"), JobFailedError),
        (job_answer("failed", error={"code": "nsfw"}), JobRejectedError),
        (job_answer("Cancelled"), JobCancelledError),
    ],
    ids=label,
)
def test_jobs_that_end_badly(end: Response, kind: type[JobError]) -> None:
    """How a job has ended is an error of its own, with the last snapshot."""
    with pytest.raises(kind) as caught:
        wait(Stage(RUNNING, end))
    assert (caught.value.job_id, caught.value.job.finished) == (JOB_ID, True)


def test_watch_shows_changes_and_raises_for_no_job() -> None:
    """`watch` shows each change once, the last one with no next look; a failure is an update."""
    stage = Stage(RUNNING, RUNNING, job_answer("brand-new"), job_answer("failed"))
    last = stage.play(_waiting.watch(configured(poll=STEADY), JOB_ID, AUTO))
    assert changes(stage) == ["processing", "brand-new", "failed"]
    assert stage.updates[-1].job is last
    assert [update.next_look for update in stage.updates] == [3.0, 3.0, 0.0]
    assert [update.elapsed for update in stage.updates] == [0.0, 6.0, 9.0]
    assert [event.attributes["status"] for event in stage.events if event.kind == "changed"] == [
        "processing",
        "brand-new",
        "failed",
    ]


def test_where_news_come_from() -> None:
    """An update says whether it was known at the start or seen by a look."""
    stage = Stage(completed())
    wait(stage)
    assert [update.source for update in stage.updates] == ["start", "poll"]


FAULTS = [
    (not_sent(), "APIConnectionError"),
    (cut_off(), "APIConnectionError"),
    (timed_out(), "APITimeoutError"),
    (answer(status=429), "RateLimitError"),
    (answer(status=500), "InternalServerError"),
    (answer(status=524), "InternalServerError"),
    (answer(status=400), "BadRequestError"),
    (answer(status=410), "ModelUnavailableError"),
    (answer(b"<html>"), "InvalidResponseError"),
    (answer({}), "InvalidResponseError"),
    (answer({"job_id": "another", "status": "completed"}), "InvalidResponseError"),
]


@pytest.mark.parametrize(("fault", "name"), FAULTS, ids=label)
def test_a_look_that_fails_is_a_missed_look(fault: Any, name: str) -> None:
    """However often looks fail, the wait goes on; each failure is counted, shown and reported."""
    stage = Stage(*[fault] * 20, completed())
    assert wait(stage).succeeded
    assert [update.poll_faults for update in stage.updates] == [*range(21), 20]
    missed = [event for event in stage.events if event.kind == "poll_missed"]
    assert [event.attributes for event in missed] == [
        {"error": name, "faults": number} for number in range(1, 21)
    ]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthenticationError), (403, PermissionDeniedError), (404, NotFoundError)],
)
def test_looks_that_will_never_succeed(status: int, kind: type[APIStatusError]) -> None:
    """A refused key and an unknown job end the wait at once, the job's id on the error."""
    stage = Stage(answer(status=status))
    with pytest.raises(kind) as caught:
        wait(stage, JOB_ID)
    assert (caught.value.job_id, len(stage.requests)) == (JOB_ID, 1)


def test_a_job_that_was_accepted_a_moment_ago() -> None:
    """A 404 right after acceptance is forgiven three times: not every server may know it yet."""
    missing = answer(status=404)
    stage = Stage(missing, missing, missing, completed())
    assert wait(stage).succeeded
    stage = Stage(missing)
    with pytest.raises(NotFoundError) as caught:
        wait(stage)
    assert (len(stage.requests), caught.value.resubmit) == (4, "never")
    stage = Stage(missing, missing, RUNNING, missing, missing, missing, completed())
    assert wait(stage).succeeded  # it was there in between, so the count began again


def test_retry_after_between_looks() -> None:
    """A failed look obeys Retry-After up to a minute, and the next good one resumes the pace."""
    slow = answer(status=429, headers={"retry-after": "20"})
    slower = answer(status=503, headers={"retry-after": "900"})
    stage = Stage(slow, slower, RUNNING, completed())
    wait(stage)
    assert stage.sleeps == [3.0, 20.0, 60.0, 10.0]


@pytest.mark.parametrize("wait_timeout", [60, 60.0, 0.5, 7800.0])
def test_a_number_is_plain_elapsed_time(wait_timeout: float) -> None:
    """After so many seconds the wait ends, backlogged or not; the last look is at the deadline."""
    for running in (RUNNING, BACKLOGGED):
        stage = Stage(running)
        with pytest.raises(WaitTimeoutError) as caught:
            wait(stage, FRESH, wait_timeout)
        assert stage.elapsed == pytest.approx(wait_timeout)
        assert caught.value.job.status in {"processing", "backlogged"}
        assert f"wait again with wait('{JOB_ID}')" in str(caught.value)


def test_the_default_does_not_count_the_backlog() -> None:
    """With AUTO the clock stands still while a job is backlogged, then runs for 2 h 10 min."""

    def reply(stage: Stage, _: Request) -> Response:
        return BACKLOGGED if stage.elapsed < 9000 else RUNNING

    stage = Stage(reply)
    with pytest.raises(WaitTimeoutError):
        wait(stage)
    assert 9000 + 7800 <= stage.elapsed <= 9000 + 7800 + 30


def test_a_job_ages_only_while_it_runs() -> None:
    """The pace begins anew when a job leaves the backlog: its early failure is seen early."""
    stage = Stage(*[BACKLOGGED] * 30, RUNNING, RUNNING, completed())
    wait(stage)
    assert stage.sleeps[-3:] == [10.0, 3.0, 3.0]


def test_an_old_job_is_looked_at_as_an_old_job() -> None:
    """The age of a job counts from its creation, not from the beginning of this wait."""
    created = datetime.fromtimestamp(UNIX - 1200, UTC)
    stage = Stage(RUNNING, completed())
    wait(stage, Job(JOB_ID, "processing", created_at=created, fetched_at=UNIX))
    assert stage.sleeps[0] == 12.0
    future = datetime.fromtimestamp(UNIX + 1200, UTC)
    stage = Stage(completed())
    wait(stage, Job(JOB_ID, "processing", created_at=future, fetched_at=UNIX))
    assert stage.sleeps == [3.0]
    stage = Stage(completed())
    wait(stage, Job(JOB_ID, "backlogged", created_at=created, fetched_at=UNIX))
    assert stage.sleeps == [10.0]


def test_for_ever() -> None:
    """None waits as long as it takes: here for a day."""
    stage = Stage(lasting(86_400.0))
    assert wait(stage, FRESH, None).succeeded
    assert stage.elapsed > 86_400


def test_a_job_that_ends_at_the_deadline() -> None:
    """The last look is the one that counts: what has ended by then is no timeout."""
    assert wait(Stage(lasting(60.0)), FRESH, 60.0).succeeded


def test_a_timeout_tells_why_the_last_look_failed() -> None:
    """The cause of a timeout is the last failed look; after a good one it has none."""
    with pytest.raises(WaitTimeoutError) as caught:
        wait(Stage(cut_off()), FRESH, 20.0)
    assert isinstance(caught.value.__cause__, APIConnectionError)
    with pytest.raises(WaitTimeoutError) as caught:
        wait(Stage(cut_off(), RUNNING), FRESH, 20.0)
    assert caught.value.__cause__ is None


def test_looks_may_not_outlast_the_wait() -> None:
    """A look gets the time that is left, and at least a second."""
    stage = Stage(RUNNING, seconds=4.0)
    with pytest.raises(WaitTimeoutError):
        wait(stage, FRESH, 12.0)
    limits = [step.limit for step in stage.sends]
    assert limits == [9.0, 2.0]
    stage = Stage(RUNNING)
    with pytest.raises(WaitTimeoutError):
        wait(stage, FRESH, 3.0)
    assert [step.limit for step in stage.sends] == [1.0]


@settings(max_examples=80, phases=[Phase.generate])  # shrinking endless waits takes ages
@given(
    start=st.floats(0, 1e9),
    wait_timeout=st.floats(0.1, 2e3),
    seed=st.floats(0, 1),
    took=st.floats(0, 1),
)
def test_no_wait_goes_round_in_circles(
    start: float, wait_timeout: float, seed: float, took: float
) -> None:
    """Whatever the clock says and however it rounds, a wait ends on time after few looks."""
    stage = Stage(RUNNING, start=start, draws=lambda: seed, seconds=took)
    with pytest.raises(WaitTimeoutError):
        wait(stage, FRESH, wait_timeout, poll=PollPolicy())
    assert stage.elapsed <= wait_timeout + 2.1
    assert len(stage.requests) <= 20 + wait_timeout


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "60", 10**400])
def test_bad_timeouts(value: Any) -> None:
    """A wait_timeout that is no positive number is refused, and the way to wait for ever named."""
    with pytest.raises(InvalidRequestError, match=r"wait_timeout.*waits for ever"):
        wait(Stage(), FRESH, value)


def test_bad_jobs() -> None:
    """What is no id, or of another account, is refused before any request."""
    with pytest.raises(InvalidRequestError, match="is no id"):
        wait(Stage(), "../x")
    with pytest.raises(InvalidRequestError, match="account 'other'"):
        wait(Stage(), Job(JOB_ID, "completed", "other"))


def notes(error: BaseException) -> str:
    """Return the notes of an error."""
    return " ".join(getattr(error, "__notes__", ()))


@pytest.mark.parametrize("kind", [Sleep, Send, Emit])
def test_leaving(kind: Any) -> None:
    """An interruption leaves the job alone, asks nothing more, and says how to go on."""
    stage = Stage(RUNNING, interruption=Interruption(KeyboardInterrupt(), at(kind)))
    with pytest.raises(KeyboardInterrupt) as caught:
        wait(stage)
    assert f"wait('{JOB_ID}')" in notes(caught.value)
    assert (len(stage.requests), stage.cleaning) == (0, False)


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ((RUNNING, answer(), job_answer("cancelled")), "cancelled"),
        ((RUNNING, answer(), RUNNING), "requested"),
        ((RUNNING, answer(status=400), RUNNING), "refused"),
        ((RUNNING, cut_off(), RUNNING), "unknown"),
        ((completed(),), "already_finished"),
        ((answer(status=404),), "unknown (NotFoundError)"),
        ((RuntimeError("a bug"),), "unknown (RuntimeError)"),
    ],
    ids=label,
)
@pytest.mark.parametrize("reason", ["interrupted", "timed out"])
def test_cancelling(answers: Any, outcome: str, reason: str) -> None:
    """With abandon="cancel" the job is cancelled, and what came of it is noted on the reason."""
    if reason == "interrupted":
        stage = Stage(*answers, interruption=Interruption(KeyboardInterrupt(), at(Sleep)))
    else:
        stage = Stage(RUNNING, *answers)
    with pytest.raises((KeyboardInterrupt, WaitTimeoutError)) as caught:
        wait(stage, FRESH, 3.0, abandon="cancel")
    assert notes(caught.value).endswith(f"cancelled; outcome: {outcome}.")
    assert stage.cleaning


def test_an_interrupted_clean_up() -> None:
    """A second interruption stops the cancelling; the note says how the job was left."""

    def insist(_: Stage, __: Request) -> BaseException:
        return SystemExit(1)

    stage = Stage(insist, interruption=Interruption(KeyboardInterrupt(), at(Sleep)))
    with pytest.raises(SystemExit):
        wait(stage, abandon="cancel")


def test_errors_do_not_cancel() -> None:
    """A job is not cancelled because a look was refused: only interruptions and deadlines do."""
    stage = Stage(answer(status=403))
    with pytest.raises(PermissionDeniedError):
        wait(stage, abandon="cancel")
    assert stage.operations == ["get_job"]


@pytest.mark.parametrize("abandon", ["leave", "cancel"])
@pytest.mark.parametrize("kind", [Emit, Sleep, Send])
def test_leaving_a_watch_leaves_the_job(abandon: Any, kind: Any) -> None:
    """Closing a watch, wherever it is, yields no step and cancels nothing."""
    stage = Stage(RUNNING)
    operation = _waiting.watch(configured(abandon=abandon), FRESH, AUTO)
    stage.until(operation, kind).close()
    assert stage.requests == []


def test_errors_of_looks_are_kept_apart() -> None:
    """An error that a look has met is of its own kind, however it was met."""
    kinds = (RateLimitError, InternalServerError)
    for status, kind in zip((429, 503), kinds, strict=True):
        with pytest.raises(WaitTimeoutError) as caught:
            wait(Stage(answer(status=status)), FRESH, 5.0)
        assert type(caught.value.__cause__) is kind
    assert not issubclass(TransportFault, kinds)
