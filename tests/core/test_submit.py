"""The request that pays: sent once, and again only after it has surely started nothing."""

import io
from datetime import UTC
from functools import partial
from typing import Any

import pytest

from krea_aleph import _wire
from krea_aleph._steps import RefreshKey, Report, Response, Send, Sleep, Today
from krea_aleph._submit import submit
from krea_aleph._wire import Draft
from krea_aleph.errors import (
    APIConnectionError,
    APIStatusError,
    ConfigError,
    InvalidRequestError,
    InvalidResponseError,
    KreaWarning,
    RateLimitError,
    SubmitUncertainError,
    SubmitVetoedError,
)
from krea_aleph.models import Checked, Job
from krea_aleph.policies import RetryPolicy

from .transcript import (
    CLIP,
    JOB_ID,
    UNIX,
    Interruption,
    Stage,
    answer,
    at,
    configured,
    cut_off,
    job_answer,
    label,
    not_sent,
    timed_out,
)

ACCEPTED = job_answer("queued")


def drafted(video: Any = "https://example.com/in.mp4", **options: Any) -> Draft:
    """Draft a request."""
    return _wire.draft(
        video, "make it snow", options, extra_body=None, checks="warn", account="default"
    )


def play(stage: Stage, *, webhook_url: str | None = None, **options: Any) -> Job:
    """Submit on a stage."""
    return stage.play(submit(configured(**options), drafted, webhook_url))


REFUSED = {400, 401, 402, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422, 431}


def outcome(reply: Any) -> tuple[str, int]:
    """Say what an answer to the POST amounts to, and how often it was sent."""
    stage = Stage(reply)
    try:
        play(stage)
    except SubmitUncertainError:
        return "uncertain", len(stage.requests)
    except (APIStatusError, APIConnectionError):
        return "refused", len(stage.requests)
    return "accepted", len(stage.requests)


@pytest.mark.parametrize("status", range(200, 600))
def test_every_status(status: int) -> None:
    """2xx with a job is accepted, some 4xx are refusals, 429 is tried again, the rest unknown."""
    if status < 300:
        expected = ("accepted", 1)
    elif status == 429:
        expected = ("refused", 4)
    else:
        expected = ("refused" if status in REFUSED else "uncertain", 1)
    assert outcome(answer({"job_id": JOB_ID}, status=status)) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (not_sent(), ("refused", 4)),
        (cut_off(), ("uncertain", 1)),
        (timed_out(), ("uncertain", 1)),
        (answer(), ("uncertain", 1)),
        (answer(b"<html>"), ("uncertain", 1)),
        (answer({"status": "queued"}), ("uncertain", 1)),
        (answer({"job_id": "../x"}), ("uncertain", 1)),
        (answer(b'{"job_id": "550e84'), ("uncertain", 1)),
        (ACCEPTED, ("accepted", 1)),
    ],
    ids=label,
)
def test_every_other_outcome(reply: Any, expected: tuple[str, int]) -> None:
    """A connection never made is tried again; whatever may have been accepted is sent once."""
    assert outcome(reply) == expected


@pytest.mark.parametrize("first", [not_sent(), answer(status=429)], ids=label)
def test_a_second_try_may_be_accepted(first: Any) -> None:
    """After what surely started nothing, the next try counts, and its outcome alone."""
    stage = Stage(first, first, ACCEPTED)
    assert play(stage).id == JOB_ID
    assert (len(stage.requests), stage.sleeps) == (3, [0.5, 1.0])
    stage = Stage(first, cut_off())
    with pytest.raises(SubmitUncertainError):
        play(stage)
    assert len(stage.requests) == 2


def test_an_accepted_job() -> None:
    """The job comes back as it was accepted, and everybody who listens is told its id."""
    stage = Stage(ACCEPTED, seconds=2.0)
    job = play(stage, account="studio")
    assert (job.id, job.status, job.account, job.fetched_at) == (
        JOB_ID,
        "queued",
        "studio",
        UNIX + 2.0,
    )
    assert stage.kinds() == ["request", "submitted"]
    assert stage.events[1].job_id == JOB_ID


def test_what_is_sent() -> None:
    """The body is what was asked for, on a connection that was used a moment ago or is new."""
    stage = Stage(ACCEPTED)
    play(stage, webhook_url="https://hooks.example/1")
    (step,) = stage.sends
    assert step.max_idle == 2.0
    assert step.request.json == {
        "init_video": "https://example.com/in.mp4",
        "prompt": "make it snow",
    }
    assert step.request.headers == {"x-webhook-url": "https://hooks.example/1"}


def test_what_is_uncertain() -> None:
    """The error says when the request left, what it asked for, and what went wrong."""
    stage = Stage(answer({"error": "oops"}, status=502), seconds=3.0)
    with pytest.raises(SubmitUncertainError, match=r"may or may not .* 502 Bad Gateway") as caught:
        play(stage)
    error = caught.value
    assert error.since.timestamp() == UNIX - 120
    assert (error.since.tzinfo, error.fingerprint) == (UTC, drafted().inspect().checked.fingerprint)
    assert isinstance(error.__cause__, APIStatusError)
    assert (error.charged, error.resubmit) == ("unknown", "never")
    with pytest.raises(SubmitUncertainError) as caught:
        play(Stage(answer({"id": JOB_ID})))
    assert isinstance(caught.value.__cause__, InvalidResponseError)
    assert caught.value.__cause__.body == {"id": JOB_ID}


def test_rate_limits_in_a_handler() -> None:
    """A submit does not hang: a long Retry-After is handed to the caller at once."""
    stage = Stage(answer(status=429, headers={"retry-after": "300"}))
    with pytest.raises(RateLimitError) as caught:
        play(stage)
    assert (caught.value.retry_after, len(stage.requests)) == (300.0, 1)
    stage = Stage(answer(status=429))
    with pytest.raises(RateLimitError):
        play(stage, retry=RetryPolicy(attempts=1))
    assert len(stage.requests) == 1


def test_a_key_that_has_expired() -> None:
    """A 401 surely started nothing, so the POST is repeated where a newer key can be had."""
    refused = Response(401, {}, b"", key_generation=1)
    stage = Stage(refused, ACCEPTED, renewable=True)
    assert play(stage).id == JOB_ID
    assert (len(stage.requests), stage.refreshed) == (2, [1])


def clip(name: str) -> io.BytesIO:
    """Open a clip."""
    file = io.BytesIO(CLIP + name.encode())
    file.name = f"/clips/{name}"
    return file


def uploaded(number: int) -> Response:
    """Make the answer to an upload."""
    return answer({"id": f"a{number}", "image_url": f"https://u.example/{number}"})


def test_files_are_uploaded_first() -> None:
    """Each file is uploaded once, and its address stands in the body that is sent."""
    stage = Stage(uploaded(1), uploaded(2), ACCEPTED)
    ask = partial(drafted, clip("in.mp4"), init_image_url=clip("other.mp4"))
    stage.play(submit(configured(), ask))
    assert stage.operations == ["upload_asset", "upload_asset", "create_aleph_job"]
    assert stage.requests[2].json == {
        "init_video": "https://u.example/1",
        "prompt": "make it snow",
        "init_image_url": "https://u.example/2",
    }


def test_equal_files_are_uploaded_once() -> None:
    """A file that stands in two fields is uploaded once, and its address stands in both."""
    stage = Stage(uploaded(1), ACCEPTED)
    stage.play(
        submit(configured(), partial(drafted, clip("in.mp4"), init_image_url=clip("in.mp4")))
    )
    assert stage.operations == ["upload_asset", "create_aleph_job"]
    body = stage.requests[1].json or {}
    assert body["init_video"] == body["init_image_url"] == "https://u.example/1"


def test_an_upload_that_fails_pays_nothing() -> None:
    """Without its upload the job is not started."""
    stage = Stage(answer(status=413))
    with pytest.raises(APIStatusError) as caught:
        stage.play(submit(configured(), partial(drafted, clip("in.mp4"))))
    assert (stage.operations, caught.value.charged) == (["upload_asset"], "no")


def test_a_hook_sees_the_request_before_anything_is_sent() -> None:
    """`before_submit` gets what would be sent, with the files that would be uploaded."""
    seen: list[Checked] = []
    stage = Stage(uploaded(1), ACCEPTED)
    config = configured(before_submit=seen.append)
    stage.play(submit(config, partial(drafted, clip("in.mp4"))))
    assert seen[0].uploads == {"video": "in.mp4"}


def veto(_: Checked) -> None:
    """Refuse."""
    raise SubmitVetoedError("over budget")


def broken(_: Checked) -> None:
    """Fail."""
    message = "no such table"
    raise LookupError(message)


async def awaited(_: Checked) -> None:
    """Refuse too late."""


@pytest.mark.parametrize(
    ("hook", "words"),
    [(veto, "over budget"), (broken, "LookupError: no such table"), (awaited, "coroutine")],
)
def test_a_hook_can_refuse(hook: Any, words: str) -> None:
    """A veto stops before the upload; so does a hook that breaks, since money is at stake."""
    stage = Stage()
    with pytest.raises(SubmitVetoedError, match=words):
        stage.play(submit(configured(before_submit=hook), partial(drafted, clip("in.mp4"))))
    assert stage.requests == []


def test_bad_requests_are_never_sent() -> None:
    """What the checks refuse, and a bad webhook address, cost no request."""
    stage = Stage()
    with pytest.raises(InvalidRequestError, match="webhook_url"):
        play(stage, webhook_url="hooks.example")
    with pytest.raises(InvalidRequestError, match="video"):
        stage.play(submit(configured(), partial(drafted, "")))
    assert stage.requests == []


def test_loosened_checks_are_warned_about() -> None:
    """What the contract forbids and is sent all the same is a KreaWarning."""
    with pytest.warns(KreaWarning, match="seed: -1 is less than 0"):
        Stage(ACCEPTED).play(submit(configured(), partial(drafted, seed=-1)))


def notes(error: BaseException) -> str:
    """Return the notes of an error."""
    return " ".join(getattr(error, "__notes__", ()))


def test_an_interrupted_post() -> None:
    """Ctrl-C during the POST goes through, with a note that the job may have been started."""
    stage = Stage(ACCEPTED, interruption=Interruption(KeyboardInterrupt(), at(Send)))
    with pytest.raises(KeyboardInterrupt) as caught:
        play(stage)
    assert "may have been" in notes(caught.value)


def test_an_interruption_right_after_acceptance() -> None:
    """Ctrl-C while the acceptance is reported does not lose the job's id."""
    stage = Stage(ACCEPTED, interruption=Interruption(KeyboardInterrupt(), at(Report, 2)))
    with pytest.raises(KeyboardInterrupt) as caught:
        play(stage)
    assert JOB_ID in notes(caught.value)


@pytest.mark.parametrize("step", [Today, Report])
def test_an_interruption_between_the_answer_and_its_reading(step: Any) -> None:
    """Ctrl-C just after the answer has come says that there may be a job, and the log does too."""
    turn = 3 if step is Today else 1
    stage = Stage(ACCEPTED, interruption=Interruption(KeyboardInterrupt(), at(step, turn)))
    with pytest.raises(KeyboardInterrupt) as caught:
        play(stage)
    assert "may have been" in notes(caught.value)
    left = [event for event in stage.events if event.kind == "left"]
    assert [event.attributes for event in left] == [{"outcome": "perhaps started"}]


def test_an_interruption_before_the_next_try() -> None:
    """Ctrl-C in the pause after a refusal says nothing about a job: there surely is none."""
    stage = Stage(answer(status=429), interruption=Interruption(KeyboardInterrupt(), at(Sleep)))
    with pytest.raises(KeyboardInterrupt) as caught:
        play(stage)
    assert notes(caught.value) == ""


@pytest.mark.parametrize("kind", [Send, RefreshKey])
def test_a_key_that_cannot_be_had(kind: Any) -> None:
    """A key callable that fails surely started nothing, and nothing else is said."""
    error = ConfigError("api_key: the callable raised OSError.")
    stage = Stage(answer(status=401), interruption=Interruption(error, at(kind)))
    with pytest.raises(ConfigError) as caught:
        play(stage)
    assert (notes(caught.value), caught.value.charged) == ("", "no")


def test_a_submit_that_is_closed() -> None:
    """Closing the operation during the POST yields no further step."""
    operation = Stage().until(submit(configured(), drafted), Send)
    operation.close()
