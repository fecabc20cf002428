"""Requests that may be repeated, lists, and assets."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from krea_aleph import _assets
from krea_aleph._exchange import exchange
from krea_aleph._paging import emit_pages
from krea_aleph._steps import Fetch, Request, Response, Send, Sleep, Steps, TransportFault
from krea_aleph._wire import Page
from krea_aleph.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    InvalidRequestError,
    KreaError,
    RateLimitError,
    UploadError,
)
from krea_aleph.models import Asset, Job
from krea_aleph.policies import RetryPolicy

from .transcript import (
    CLIP,
    Interruption,
    Stage,
    answer,
    at,
    configured,
    cut_off,
    label,
    not_sent,
    timed_out,
)

REQUEST = Request("get_job", "GET", "/jobs/j1")
OK = answer({"job_id": "j1"})._replace(content={"job_id": "j1"})


@pytest.mark.parametrize(
    "first",
    [not_sent(), cut_off(), timed_out(), *(answer(status=s) for s in (408, 425, 429, 500, 524))],
    ids=label,
)
def test_what_may_pass_is_tried_again(first: Any) -> None:
    """A read that met a fault, a rate limit or a server error is repeated until it succeeds."""
    stage = Stage(first, first, OK)
    assert stage.play(exchange(configured(), REQUEST)) == OK
    assert len(stage.requests) == 3
    assert stage.sleeps == [0.5, 1.0]


@pytest.mark.parametrize("status", [302, 400, 402, 403, 404, 409, 410, 413, 422])
def test_what_will_not_pass_is_not_repeated(status: int) -> None:
    """A refusal that stands is raised at once."""
    stage = Stage(answer(status=status))
    with pytest.raises(APIStatusError):
        stage.play(exchange(configured(), REQUEST))
    assert len(stage.requests) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (not_sent(), APIConnectionError),
        (timed_out(), APITimeoutError),
        (answer(status=503), InternalServerError),
    ],
    ids=label,
)
def test_the_last_error_is_raised(reply: Any, kind: type[KreaError]) -> None:
    """When the policy gives up, the error says what the last try met, cause included."""
    if isinstance(reply, TransportFault):
        reply.__cause__ = OSError("refused")
    stage = Stage(reply)
    with pytest.raises(kind) as caught:
        stage.play(exchange(configured(), REQUEST))
    assert (type(caught.value), len(stage.requests)) == (kind, 4)
    assert isinstance(caught.value.__cause__, OSError) is isinstance(reply, TransportFault)


def test_retry_after_is_obeyed_up_to_a_cap() -> None:
    """The server's wish is granted where it is short enough, else its error is raised at once."""
    stage = Stage(answer(status=429, headers={"retry-after": "7"}), OK)
    stage.play(exchange(configured(), REQUEST))
    assert stage.sleeps == [7.0]
    stage = Stage(answer(status=429, headers={"retry-after": "61"}))
    with pytest.raises(RateLimitError) as caught:
        stage.play(exchange(configured(), REQUEST))
    assert (caught.value.retry_after, stage.sleeps) == (61.0, [])


def test_slow_failures_use_up_the_time() -> None:
    """No try is begun once it has been failing for max_elapsed, however few there have been."""
    stage = Stage(timed_out(), seconds=60.0)
    with pytest.raises(APITimeoutError):
        stage.play(exchange(configured(retry=RetryPolicy(max_elapsed=100)), REQUEST))
    assert len(stage.requests) == 3


@pytest.mark.parametrize(
    ("renewable", "answers", "sent"),
    [(False, 1, 1), (True, 1, 2), (True, 2, 2)],
    ids=["plain key", "newer key", "both refused"],
)
def test_a_refused_key_is_renewed_once(renewable: bool, answers: int, sent: int) -> None:
    """After a 401 a callable is asked once more, and the request is repeated with what it says."""
    refused = [Response(401, {}, b"", key_generation=3)] * answers
    stage = Stage(*refused, *([OK] if sent > answers else []), renewable=renewable)
    if sent > answers:
        assert stage.play(exchange(configured(), REQUEST)) == OK
    else:
        with pytest.raises(AuthenticationError):
            stage.play(exchange(configured(), REQUEST))
    assert (len(stage.requests), stage.refreshed) == (sent, [3])


def test_every_request_is_reported() -> None:
    """Each request is an event with its operation, outcome and duration; a resend is numbered."""
    stage = Stage(cut_off(), answer(status=500), OK, seconds=2.0)
    stage.play(exchange(configured(account="studio"), REQUEST))
    same = {"operation": "get_job", "method": "GET", "server": "api.krea.ai:443"}
    assert [(event.account, event.duration, event.attributes) for event in stage.events] == [
        ("studio", 2.0, {**same, "status": "no answer", "error": "connection"}),
        ("studio", 2.0, {**same, "status": 500, "resends": 1}),
        ("studio", 2.0, {**same, "status": 200, "resends": 2}),
    ]


@pytest.mark.parametrize("kind", [Send, Sleep])
def test_an_interruption_goes_straight_through(kind: Any) -> None:
    """Ctrl-C in a request or in a pause is not retried."""
    stage = Stage(cut_off(), OK, interruption=Interruption(KeyboardInterrupt(), at(kind)))
    with pytest.raises(KeyboardInterrupt):
        stage.play(exchange(configured(), REQUEST))
    assert len(stage.requests) <= 1


def pages(*found: tuple[str, str | None]) -> tuple[list[str | None], Callable[..., Steps[Page]]]:
    """Make a source of pages, each with one letter for each job; note the cursors asked for."""
    asked: list[str | None] = []

    def fetch(cursor: str | None) -> Steps[Page]:
        asked.append(cursor)
        letters, following = found[len(asked) - 1]
        yield Sleep(0.0)
        return Page(tuple(Job(letter, "queued") for letter in letters), following)

    return asked, fetch


@pytest.mark.parametrize(
    ("found", "shown", "asked"),
    [
        ([("", None)], "", [None]),
        ([("ab", None)], "ab", [None]),
        ([("ab", "1"), ("c", None)], "abc", [None, "1"]),
        ([("ab", "1"), ("bc", None)], "abc", [None, "1"]),  # two jobs of one moment
        ([("ab", "1"), ("", "2"), ("c", None)], "abc", [None, "1", "2"]),  # none can be read
        ([("", str(n)) for n in range(99)], "", [None, *map(str, range(9))]),
        ([("ab", "1"), ("c", "1")], "abc", [None, "1"]),  # a server that goes round in circles
        ([("ab", str(n)) for n in range(99)], "ab", [None, *map(str, range(10))]),
        ([("az", "1"), ("zz", "2")], "a", [None, "1"]),  # z is not wanted: the rest is older
    ],
    ids=label,
)
def test_lists(found: Any, shown: str, asked: list[str | None]) -> None:
    """Each wanted item is shown once, page after page, and no list goes on for ever."""
    cursors, fetch = pages(*found)
    stage = Stage()
    stage.play(emit_pages(fetch, wanted=lambda job: job.id != "z"))
    assert ("".join(job.id for job in stage.updates), cursors) == (shown, asked)


def test_a_list_begins_at_its_cursor() -> None:
    """A first cursor is where the list begins, and coming back to it ends the list."""
    cursors, fetch = pages(("a", "c0"))
    Stage().play(emit_pages(fetch, cursor="c0"))
    assert cursors == ["c0"]


def test_the_next_page_is_asked_for_when_it_is_needed() -> None:
    """Leaving the loop early costs no further request."""
    cursors, fetch = pages(("ab", "1"), ("c", None))
    operation = emit_pages(fetch)
    assert isinstance(operation.send(None), Sleep)
    operation.send(None)
    operation.close()
    assert cursors == [None]


ASSET = {"id": "a1", "image_url": "https://app-uploads.krea.ai/a1.mp4"}


def test_an_upload() -> None:
    """A file is sent as one multipart part, and comes back as an asset; the transfer is told."""
    stage = Stage(answer(ASSET), seconds=3.0)
    asset = stage.play(_assets.upload(configured(account="studio"), io.BytesIO(CLIP)))
    assert asset == Asset("a1", ASSET["image_url"], "studio")
    (request,) = stage.requests
    assert (request.operation, request.method, request.path) == ("upload_asset", "POST", "/assets")
    assert request.body is not None
    assert CLIP in b"".join(request.body.chunks())
    assert stage.kinds() == ["request", "transfer"]
    assert (stage.events[1].duration, stage.events[1].attributes) == (3.0, {"upload": len(CLIP)})


def test_an_upload_is_repeated() -> None:
    """An upload costs nothing, so it is repeated like a read."""
    stage = Stage(cut_off(), answer(status=503), answer(ASSET))
    assert stage.play(_assets.upload(configured(), io.BytesIO(CLIP))).id == "a1"
    stage = Stage(answer({"error": "bad file"}, status=400))
    with pytest.raises(BadRequestError, match="bad file"):
        stage.play(_assets.upload(configured(), io.BytesIO(CLIP)))


def test_a_source_that_changes_is_not_sent_again() -> None:
    """An upload whose file has changed stops with what the file says."""
    stage = Stage(UploadError("it changed"))
    with pytest.raises(UploadError, match="it changed"):
        stage.play(_assets.upload(configured(), io.BytesIO(CLIP)))
    assert len(stage.requests) == 1


@pytest.mark.parametrize("file", ["https://example.com/in.mp4", Asset("a1", "https://u"), "", 7])
def test_what_needs_no_upload(file: Any) -> None:
    """What has an address, or is no file, is refused before any request."""
    stage = Stage()
    with pytest.raises(InvalidRequestError, match="file"):
        stage.play(_assets.upload(configured(), file))
    assert stage.requests == []


def test_looking_after_assets() -> None:
    """Assets are read, listed and deleted by their ids."""
    config = configured()
    assert Stage(answer(ASSET)).play(_assets.get_asset(config, "a1")).url == ASSET["image_url"]
    stage = Stage(answer({"success": True}))
    stage.play(_assets.delete_asset(config, Asset("a1", "https://u")))
    assert stage.requests[0][:3] == ("delete_asset", "DELETE", "/assets/a1")
    stage = Stage(answer({"items": [ASSET], "next_cursor": "c"}), answer({"items": []}))
    stage.play(_assets.list_assets(config))
    assert [asset.id for asset in stage.updates] == ["a1"]
    assert [request.params.get("cursor") for request in stage.requests] == [None, "c"]
    assert not any(isinstance(step, Fetch) for step in stage.sends)
