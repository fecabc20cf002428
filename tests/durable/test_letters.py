"""Outcomes as text: what was an error comes back as that error, without a pickle."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from krea_aleph import Job, JobFailedError, KreaError, RateLimitError, SubmitUncertainError, errors
from krea_aleph.durable.letters import dump_error, load_error

JOB = Job("j1", "failed", error_code="E1", error_message="no", created_at=datetime.now(UTC))
UNCERTAIN = SubmitUncertainError(
    "perhaps", since=datetime.now(UTC), fingerprint="f", candidates=(JOB, JOB), mark="{}"
)
ERRORS = [
    JobFailedError(JOB),
    UNCERTAIN,
    errors.InvalidRequestError("prompt", "is too long", hint="Shorten it."),
    errors.IntentConflictError("shot-1", ("prompt", "video")),
    errors.WaitTimeoutError(JOB, 3.0),
    KreaError("plain", charged="yes", resubmit="never"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back(error: KreaError) -> None:
    """Class, words, job, candidates and advice are what they were."""
    found = load_error(dump_error(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert {**vars(found)} == {**vars(error)}


def test_what_a_server_said_at_length_is_left_out() -> None:
    """Bodies and headers do not go into the database."""
    error = RateLimitError("get_job", 429, {"x-request-id": "r1", "x-secret": "s"}, b'{"error": 1}')
    text = dump_error(error)
    found = load_error(text)
    assert "x-secret" not in text
    assert isinstance(found, RateLimitError)
    assert (found.status_code, found.request_id, str(found)) == (429, "r1", str(error))


def test_an_error_of_another_version() -> None:
    """A class that is not known here is a KreaError, and no other name makes an object."""
    for name in ("OfTomorrowError", "json", "read_body"):
        text = dump_error(KreaError("words")).replace('"KreaError"', f'"{name}"')
        assert type(load_error(text)) is KreaError
