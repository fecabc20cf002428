"""Every error answers three questions; the readers of answers never raise."""

import copy
import inspect
import json
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import krea_aleph
from krea_aleph import errors
from krea_aleph.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigError,
    DownloadError,
    InsufficientCreditsError,
    IntentBusyError,
    IntentConflictError,
    InternalServerError,
    InvalidRequestError,
    InvalidResponseError,
    JobCancelledError,
    JobClaimedError,
    JobEmptyError,
    JobError,
    JobFailedError,
    JobNotFinishedError,
    JobRejectedError,
    KreaError,
    MissingExtraError,
    ModelUnavailableError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    StoreError,
    SubmitUncertainError,
    SubmitVetoedError,
    TooManyFailuresError,
    UploadError,
    WaitTimeoutError,
    WebhookError,
    from_job,
    from_status,
    read_body,
    retry_after,
)
from krea_aleph.models import Job, Output

JOB = Job("j1", "failed", error_code="E1", error_message="it broke", raw={"job_id": "j1"})
SINCE = datetime(2026, 11, 22, tzinfo=UTC)
HEADERS = {"x-request-id": "r-1", "retry-after": "7", "cf-ray": "ray"}


def status(kind: type[APIStatusError], code: int) -> APIStatusError:
    """Make an error of an answer."""
    return kind("get_job", code, HEADERS, b'{"error": "the words"}')


# (an error, charged, resubmit, the job it names, other types that it is)
TABLE: list[tuple[KreaError, str, str, str | None, tuple[type, ...]]] = [
    (KreaError("odd", hint="Ask."), "unknown", "never", None, ()),
    (ConfigError("no key", hint="Set it."), "no", "pointless", None, ()),
    (MissingExtraError("emulator"), "no", "pointless", None, (ConfigError, ImportError)),
    (InvalidRequestError("seed", "too big", hint="Less."), "no", "pointless", None, (ValueError,)),
    (SubmitVetoedError("over budget"), "no", "pointless", None, (InvalidRequestError,)),
    (IntentConflictError("a", ("seed",)), "no", "pointless", None, (InvalidRequestError,)),
    (IntentBusyError("busy"), "no", "safe", None, ()),
    (APIConnectionError("no answer"), "no", "safe", None, ()),
    (APITimeoutError("too slow"), "no", "safe", None, (APIConnectionError, TimeoutError)),
    (status(APIStatusError, 418), "no", "pointless", None, ()),
    (status(BadRequestError, 422), "no", "pointless", None, (APIStatusError,)),
    (status(AuthenticationError, 401), "no", "pointless", None, (APIStatusError,)),
    (status(InsufficientCreditsError, 402), "no", "pointless", None, (APIStatusError,)),
    (status(PermissionDeniedError, 403), "no", "pointless", None, (APIStatusError,)),
    (status(NotFoundError, 404), "no", "pointless", None, (APIStatusError,)),
    (status(ModelUnavailableError, 410), "no", "pointless", None, (APIStatusError,)),
    (status(PayloadTooLargeError, 413), "no", "pointless", None, (APIStatusError,)),
    (status(RateLimitError, 429), "no", "safe", None, (APIStatusError,)),
    (status(InternalServerError, 524), "no", "safe", None, (APIStatusError,)),
    (InvalidResponseError("get_job", "no JSON", b"<html>"), "unknown", "never", None, ()),
    (SubmitUncertainError("?", since=SINCE, fingerprint="ab"), "unknown", "never", None, ()),
    (JobError(JOB), "unknown", "never", "j1", ()),
    (JobFailedError(JOB), "no", "safe", "j1", (JobError,)),
    (JobRejectedError(JOB), "unknown", "pointless", "j1", (JobError,)),
    (JobCancelledError(JOB), "no", "safe", "j1", (JobError,)),
    (JobEmptyError(JOB), "yes", "pointless", "j1", (JobError,)),
    (JobNotFinishedError(JOB), "unknown", "never", "j1", (JobError,)),
    (WaitTimeoutError(JOB, 60.0), "unknown", "never", "j1", (TimeoutError,)),
    (UploadError("it changed"), "no", "safe", None, ()),
    (DownloadError("cut off", url="https://g.example/o.mp4?sig=1"), "yes", "never", None, ()),
    (StoreError("disk full"), "no", "safe", None, ()),
    (TooManyFailuresError(3), "unknown", "safe", None, ()),
    (JobClaimedError("taken", job_id="j1"), "unknown", "never", "j1", (StoreError,)),
    (WebhookError("it is no JSON"), "no", "pointless", None, ()),
]
ERRORS = [row[0] for row in TABLE]


def name(value: object) -> str | None:
    """Name an error by its class in test ids."""
    return type(value).__name__ if isinstance(value, KreaError) else None


def test_the_table_has_every_class() -> None:
    """No error class escapes the tests below."""
    classes = {
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, KreaError)
    }
    assert {type(error) for error in ERRORS} == classes
    assert {kind.__name__ for kind in classes} <= set(krea_aleph.__all__)


@pytest.mark.parametrize(("error", "charged", "resubmit", "job_id", "kinds"), TABLE, ids=name)
def test_every_error_answers_three_questions(
    error: KreaError, charged: str, resubmit: str, job_id: str | None, kinds: tuple[type, ...]
) -> None:
    """Does it cost money, may I send it again, of which job is it: each class has its answers."""
    assert (error.charged, error.resubmit, error.job_id) == (charged, resubmit, job_id)
    for kind in (KreaError, *kinds):
        assert isinstance(error, kind)


@pytest.mark.parametrize("error", ERRORS, ids=name)
def test_every_error_says_what_to_do_next(error: KreaError) -> None:
    """The text is whole sentences: what happened, then the hint; the job's id is among it."""
    text = str(error)
    assert text.endswith(error.hint)
    assert text.rstrip().endswith(".") or error.hint.endswith("'")
    assert error.hint or type(error) in {JobError, SubmitVetoedError}
    assert error.job_id is None or error.job_id in text


@pytest.mark.parametrize("error", ERRORS, ids=name)
def test_every_error_pickles_and_copies_equal(error: KreaError) -> None:
    """Another process gets the same error: class, text, facts and notes."""
    error = copy.copy(error)
    error.add_note("a note")
    for protocol in (2, pickle.HIGHEST_PROTOCOL):
        back = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - our own bytes
        assert back == error
        assert (str(back), repr(back), vars(back)) == (str(error), repr(error), vars(error))
    assert copy.deepcopy(error) == error
    assert hash(copy.copy(error)) == hash(error)


_OTHER_PROCESS = """
import pickle, sys

for error in (errors := pickle.load(sys.stdin.buffer)):
    try:
        raise error
    except type(error) as caught:
        assert caught is error
told = [(str(e), repr(e), e.charged, e.resubmit, e.hint, e.__notes__) for e in errors]
sys.stdout.buffer.write(pickle.dumps((errors, told)))
"""


def test_errors_cross_to_another_process_and_back() -> None:
    """A process that has imported nothing of ours gets each class whole, and returns it equal."""
    errors = [copy.deepcopy(error) for error in ERRORS]
    for error in errors:
        error.add_note("a note")
        error.__cause__ = OSError("a cause, which stays behind")
    sent = pickle.dumps(errors)
    done = subprocess.run(
        [sys.executable, "-c", _OTHER_PROCESS], input=sent, check=True, capture_output=True
    )
    back, told = pickle.loads(done.stdout)  # noqa: S301 - our own bytes
    assert back == errors
    facts = [(str(e), repr(e), e.charged, e.resubmit, e.hint, e.__notes__) for e in errors]
    assert told == facts


def test_every_message_is_one_printable_line() -> None:
    """Whatever words it was made of, the text of an error breaks no log and no terminal."""
    for error in ERRORS:
        broken = copy.deepcopy(error)
        broken.args = ("the words\nsubmitted job=forged \x1b[2J \ud800",)
        broken.hint += "\nand more"
        for whole in (error, broken):
            assert str(whole).isprintable()
            assert "\n" not in "".join(traceback.format_exception_only(whole)).rstrip("\n")


@pytest.mark.parametrize("error", ERRORS, ids=name)
def test_errors_differ_by_class_and_facts(error: KreaError) -> None:
    """Errors of two classes are never equal, nor are two of one class with other facts."""
    assert [other for other in ERRORS if other == error] == [error]
    changed = copy.copy(error)
    changed.hint += "!"
    assert changed != error
    assert error != "text"


@pytest.mark.parametrize(
    ("charged", "further"), [("unknown", "go on with wait('j9')"), ("yes", "download('j9', ...)")]
)
@pytest.mark.parametrize("error", ERRORS, ids=name)
def test_a_paid_job_behind_an_error_is_not_lost(
    error: KreaError, charged: errors.Charged, further: str
) -> None:
    """`about` adds the job's id and forbids a second submit, unless the error knows its job."""
    told = copy.copy(error)
    told.about("j9", charged=charged)
    if error.job_id is not None:
        assert told == error
        return
    assert (told.job_id, told.charged, told.resubmit) == ("j9", charged, "never")
    assert "(job j9)" in str(told)
    assert further in str(told)


def test_a_time_that_was_waited_is_round() -> None:
    """Nobody needs the fifth digit of a time that was waited."""
    assert "after 2 s of waiting" in str(WaitTimeoutError(JOB, 2.01311))
    assert "after 7800 s of waiting" in str(WaitTimeoutError(JOB, 7800.04))


def test_without_words() -> None:
    """An error raised without any argument still has a text."""
    bare = KreaError.__new__(KreaError)
    assert str(bare) == "."


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (MissingExtraError("emulator"), {"extra": "emulator"}),
        (InvalidRequestError("seed", "bad"), {"field": "seed", "problem": "bad"}),
        (SubmitVetoedError("no"), {"field": "request", "problem": "no"}),
        (
            SubmitUncertainError("?", since=SINCE, fingerprint="ab"),
            {"since": SINCE, "candidates": ()},
        ),
        (JobFailedError(JOB), {"job": JOB, "code": "E1", "reason": "it broke"}),
        (WaitTimeoutError(JOB, 60), {"job": JOB}),
        (InvalidResponseError("get_job", "bad", b'{"a": 1}'), {"body": {"a": 1}}),
        (DownloadError("x", url="https://g/o.mp4?sig=1"), {"url": "https://g/o.mp4"}),
        (
            status(RateLimitError, 429),
            {
                "status_code": 429,
                "operation": "get_job",
                "message": "the words",
                "body": {"error": "the words"},
                "headers": HEADERS,
                "request_id": "r-1",
                "retry_after": 7.0,
            },
        ),
    ],
    ids=name,
)
def test_errors_carry_facts(error: KreaError, facts: dict[str, Any]) -> None:
    """What the documentation of a class promises is there to read."""
    assert {fact: getattr(error, fact) for fact in facts} == facts


CLASSES = {
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    410: ModelUnavailableError,
    413: PayloadTooLargeError,
    422: BadRequestError,
    429: RateLimitError,
}


@pytest.mark.parametrize("code", [100, 302, *range(400, 432), *range(500, 600), 999])
def test_every_status_has_a_class(code: int) -> None:
    """The table, every 5xx with the gateway's own ones, and anything else as APIStatusError."""
    error = from_status("get_job", code, {}, b"")
    default = InternalServerError if code >= 500 else APIStatusError
    assert type(error) is CLASSES.get(code, default)
    assert str(code) in str(error)
    assert (error.body, error.message, error.request_id, error.retry_after) == (
        None,
        "",
        None,
        None,
    )


def test_a_model_that_is_gone() -> None:
    """A 410 tells when the model went and what replaces it; what is no text is left out."""
    facts = {"sunset_date": "2026-06-10", "replacement": 5, "error": "model_unavailable"}
    error = from_status("create_aleph_job", 410, {}, json.dumps(facts).encode())
    assert isinstance(error, ModelUnavailableError)
    assert (error.sunset_date, error.replacement, error.migration_url) == ("2026-06-10", None, None)
    empty = from_status("create_aleph_job", 410, {}, b"[]")
    assert isinstance(empty, ModelUnavailableError)
    assert empty.sunset_date is None


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [({"cf-ray": "a"}, "a"), ({"request-id": "b", "cf-ray": "a"}, "b"), ({}, None)],
)
def test_request_ids(headers: dict[str, str], request_id: str | None) -> None:
    """The id for the server's operators is found under the names that servers use."""
    assert from_status("get_job", 500, headers, b"").request_id == request_id


BODIES = [
    (b'{"error": "too long"}', "too long"),
    (b'{"message": "Unauthorized"}', "Unauthorized"),
    (b'{"detail": "Not Found"}', "Not Found"),
    (b'{"details": "a", "errors": "b"}', "a"),
    (b'{"errors": ["a", "b"]}', "a, b"),
    (b'{"issues": [{"path": ["references", 0], "message": "bad"}]}', "references.0, bad"),
    (b'{"validationErrors": {"message": "bad seed"}}', "bad seed"),
    (b'{"error": {"code": "nsfw", "message": "blocked"}}', "blocked"),
    (b'{"error": {"code": "nsfw"}}', "nsfw"),
    (b'{"error": "model_unavailable", "message": "It is gone"}', "model_unavailable, It is gone"),
    (b'{"detail": [{"loc": ["body", "seed"], "msg": "bad", "type": "x"}]}', "body.seed, bad"),
    (b'{"error": "", "message": null, "title": "Bad"}', "Bad"),
    (b'{"errors": ["1", "2", "3", "4", "5", "6"]}', "1, 2, 3, 4, 5"),
    (b'"just text"', "just text"),
    (b"[]", ""),
    (b"{}", ""),
    (b"17", ""),
    (b"null", ""),
    (b"", ""),
    (b"   \n", ""),
    (b"plain\n  text", "plain text"),
    (b'{"error": "cut of', '{"error": "cut of'),
    (b"<html><head><title>502 Bad\nGateway</title></head>", "HTML page '502 Bad Gateway'"),
    (b"<html><title></title>no title", "<html><title></title>no title"),
    (b"\xff\xfe\x00bad", "???bad"),
    (b'{"error": "a\\u001b[31mred"}', "a?[31mred"),
    (b'{"error": "\\ud800"}', "?"),
    (b'\xef\xbb\xbf{"error": "no credits"}', "no credits"),
    (b'{"error": {"error": {"error": {"error": {"error": "too deep"}}}}}', ""),
]


@pytest.mark.parametrize(("body", "words"), BODIES, ids=[repr(body)[2:40] for body, _ in BODIES])
def test_the_words_of_a_body(body: bytes, words: str) -> None:
    """The server's words are found wherever servers put them, on one printable line."""
    found = read_body(body)[1]
    assert found.replace("\N{REPLACEMENT CHARACTER}", "?") == words


def test_the_content_of_a_body() -> None:
    """JSON is given parsed, everything else as text, nothing as None."""
    bodies = (b'{"a": [1]}', b"<html>", b"", b"null", b"\xff")
    assert [read_body(body)[0] for body in bodies] == [{"a": [1]}, "<html>", None, None, "\ufffd"]


def test_long_words_are_cut() -> None:
    """However much a server says, the message stays short."""
    words = read_body(json.dumps({"error": "x" * 10_000}).encode())[1]
    assert (len(words), words[-1]) == (500, "…")


def nested(depth: int) -> Iterator[bytes]:
    """Make bodies with something deep in every place that is looked at."""
    deep = b"[" * depth + b"]" * depth
    for body in (
        b"%s",
        b'{"error": %s}',
        b'{"loc": [%s]}',
        b'{"errors": [{"path": [%s], "message": "bad"}]}',
    ):
        yield body % deep
    yield b'{"error":' * depth + b"1" + b"}" * depth
    yield b'{"error":' * depth


@pytest.mark.parametrize("depth", [5, 100, *range(900, 1000, 3), 100_000])
def test_deep_nesting(depth: int) -> None:
    """However deep a body is nested, its words are looked for without an error."""
    for body in nested(depth):
        assert isinstance(from_status("get_job", 500, {}, body).message, str)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*errors._WORD_KEYS, "loc", "path"]) | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=1000)
@given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_reading_a_body_never_raises(body: bytes) -> None:
    """Any bytes at all become an error whose words are one short, printable line."""
    _, words = read_body(body)
    assert len(words) <= 500
    assert words.isprintable()
    assert words == words.strip()
    InvalidResponseError("get_job", "odd", body)


@settings(max_examples=2000)
@given(body=st.binary(max_size=100), cut=st.integers(0, 60))
def test_truncated_json_never_raises(body: bytes, cut: int) -> None:
    """An answer that was cut off, or has bytes that are no text, is read as far as it goes."""
    whole = json.dumps({"error": {"message": "text"}, "detail": [1, 2]}).encode()
    assert isinstance(read_body(whole[:cut] + body)[1], str)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "5"}, 5.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, None),  # by which clock?
        (
            {
                "retry-after": "Fri, 15 Jan 2027 08:00:30 GMT",
                "date": "Fri, 15 Jan 2027 08:00:00 GMT",
            },
            30.0,
        ),
        (
            {
                "retry-after": "Fri, 15 Jan 2027 07:00:00 GMT",
                "date": "Fri, 15 Jan 2027 08:00:00 GMT",
            },
            0.0,
        ),
        (
            {
                "retry-after": "Fri, 15 Jan 2027 08:00:30 -0000",
                "date": "Fri, 15 Jan 2027 08:00:00 GMT",
            },
            None,
        ),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Retry-After counts as seconds, or as a date by the server's own clock, or not at all."""
    assert retry_after(headers) == seconds


@settings(max_examples=300)
@given(value=st.text(max_size=40), date=st.text(max_size=40))
def test_reading_retry_after_never_raises(value: str, date: str) -> None:
    """Whatever stands in the headers, what comes out is None or seconds to wait."""
    seconds = retry_after({"retry-after": value, "date": date})
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("job", "kind"),
    [
        (Job("j1", "completed", outputs=(Output("https://a.example/o.mp4"),)), type(None)),
        (Job("j1", "Completed"), JobEmptyError),
        (Job("j1", "completed", outputs=(Output("p", "preview"),)), JobEmptyError),
        (Job("j1", "Cancelled"), JobCancelledError),
        (Job("j1", "failed"), JobFailedError),
        (Job("j1", "failed", error_code="provider_error"), JobFailedError),
        (Job("j1", "failed", error_code="nsfw"), JobRejectedError),
        (Job("j1", "failed", error_code="SAFETY.INPUT.TEXT"), JobRejectedError),
        (Job("j1", "failed", error_message="Violates our content policy"), JobRejectedError),
        (Job("j1", "failed", error_message="flagged by moderation"), JobRejectedError),
        (Job("j1", "processing"), JobNotFinishedError),
        (Job("j1", "brand-new-status"), JobNotFinishedError),
    ],
)
def test_what_a_job_amounts_to(job: Job, kind: type) -> None:
    """A snapshot is a success, or the error of how it ended; moderation is told by its words."""
    assert type(from_job(job)) is kind


DOCUMENTED = {
    "error": "model_unavailable",
    "reason": "deprecated",
    "message": "This model is no longer available.",
    "sunset_date": "2026-10-09",
}
NEXT = {"replacement": "aleph-2", "migration_url": "https://docs.example/move"}
SUNSET = {"sunset": "Fri, 09 Oct 2026 00:00:00 GMT"}
LINK = {
    "link": '<https://docs.example/move>; rel="deprecation", </aleph-2>; rel="successor-version"'
}
NO_NEXT = "No replacement is named"
# body, headers; day, replacement, page; what the text says to do
SWITCHED_OFF: list[tuple[object, dict[str, str], tuple[object, object, object], str]] = [
    (DOCUMENTED, {}, ("2026-10-09", None, None), NO_NEXT),
    (
        DOCUMENTED | NEXT,
        {},
        ("2026-10-09", "aleph-2", "https://docs.example/move"),
        "Move to aleph-2. How to move: https://docs.example/move",
    ),
    ({"error": {"code": "model_unavailable", **NEXT}}, {}, (None, *NEXT.values()), "to aleph-2"),
    ({"detail": DOCUMENTED | NEXT}, {}, ("2026-10-09", *NEXT.values()), "Move to aleph-2."),
    (DOCUMENTED | {"replacement": None}, LINK, (
        "2026-10-09", "/aleph-2", "https://docs.example/move",
    ), "Move to /aleph-2."),
    (DOCUMENTED | {"replacement": ["x"], "sunset_date": 7}, SUNSET, (
        "2026-10-09", None, None,
    ), NO_NEXT),
    ({"message": "gone"}, {}, (None, None, None), NO_NEXT),
    (["gone"], {}, (None, None, None), NO_NEXT),
    (None, {}, (None, None, None), NO_NEXT),
    ("<html><title>410 Gone</title></html>", SUNSET, ("2026-10-09", None, None), NO_NEXT),
    ({"replacement": "a\x1b[31m" + "b" * 900}, {}, (None, "a\x1b[31m" + "b" * 900, None), "bb…"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "headers", "facts", "words"), SWITCHED_OFF, ids=str)
def test_a_model_that_was_switched_off(
    body: object,
    headers: dict[str, str],
    facts: tuple[object, object, object],
    words: str,
) -> None:
    """Every form of a 410 tells when, what instead and where to read, and what to do about it."""
    content = (
        b"" if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
    )
    error = from_status("create_aleph_job", 410, headers, content)
    assert isinstance(error, ModelUnavailableError)
    assert (error.sunset_date, error.replacement, error.migration_url) == facts
    assert (error.charged, error.resubmit) == ("no", "pointless")
    assert words in str(error)
    assert error.hint in str(error)
    assert str(error).isprintable()
    assert pickle.loads(pickle.dumps(error)) == error  # noqa: S301 - our own bytes


def test_what_a_job_says_is_one_printable_line() -> None:
    """A server's words in the message of a job's error cannot break a log or a terminal."""
    words = "blocked\nsubmitted job=forged \x1b[2J \ud800 " + "x" * 5000
    job = Job("j1", "failed", error_code="nsfw\n", error_message=words)
    for error in (from_job(job), WaitTimeoutError(Job("j1", "queued\n" * 500), 5.0)):
        assert error is not None
        assert str(error).isprintable()
        assert len(str(error)) < 1000
    assert job.error_message == words
