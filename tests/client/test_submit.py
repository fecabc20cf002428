"""The request that pays leaves once."""

from __future__ import annotations

import copy
import pickle
import socket
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import (
    APIConnectionError,
    APIStatusError,
    BadRequestError,
    InternalServerError,
    InvalidResponseError,
    KreaWarning,
    RateLimitError,
    RetryPolicy,
    SubmitUncertainError,
    SubmitVetoedError,
)
from krea_aleph.emulator import Emulator, Fault

CREATE = "create_aleph_job"


def _posts(emulator: Emulator) -> int:
    return sum(request.operation == CREATE for request in emulator.requests)


@pytest.mark.parametrize(
    ("fault", "cause", "accepted"),
    [
        ({"drop": "before"}, APIConnectionError, 0),
        ({"drop": "after"}, APIConnectionError, 1),
        ({"stall": 5.0, "accept": True}, APIConnectionError, 1),
        ({"status": 500}, InternalServerError, 0),
        ({"status": 502, "body": "<html></html>", "accept": True}, InternalServerError, 1),
        ({"status": 524, "accept": True}, InternalServerError, 1),
        ({"status": 409}, APIStatusError, 0),
        ({"status": 200, "body": "<html></html>"}, InvalidResponseError, 0),
        ({"truncate": 10}, InvalidResponseError, 1),
        ({"cut": 10}, APIConnectionError, 1),
        ({"status": 200, "body": {"status": "queued"}}, InvalidResponseError, 0),
    ],
    ids=str,
)
def test_what_may_have_been_accepted_is_never_sent_again(
    open_client: Any,
    emulator: Emulator,
    fault: dict[str, Any],
    cause: type[Exception],
    accepted: int,
) -> None:
    """Whatever the server did, there is one request, and the error says that it is not known."""
    aleph = open_client(request_timeout=0.2)
    emulator.fault(Fault(operation=CREATE, times=None, **fault))
    with pytest.raises(SubmitUncertainError) as caught:
        aleph.submit("https://example.com/in.mp4", "night")
    assert _posts(emulator) == 1
    assert emulator.accepted == accepted
    error = caught.value
    assert isinstance(error.__cause__, cause)
    assert (error.charged, error.resubmit) == ("unknown", "never")
    checked = aleph.check("https://example.com/in.mp4", "night")
    assert error.fingerprint == checked.fingerprint
    listed = list(open_client().list_jobs(created_after=error.since))
    assert len(listed) == accepted


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 410, 413, 422])
def test_a_refusal_is_an_error_at_once(aleph: Any, emulator: Emulator, status: int) -> None:
    """What surely started nothing, and would not start anything the next time, is sent once."""
    emulator.fault(Fault(operation=CREATE, status=status, times=None))
    with pytest.raises(APIStatusError) as caught:
        aleph.submit("https://example.com/in.mp4", "night")
    assert caught.value.status_code == status
    assert (caught.value.charged, caught.value.resubmit) == ("no", "pointless")
    assert _posts(emulator) == 1


def test_429_is_waited_out(aleph: Any, emulator: Emulator) -> None:
    """A full account started nothing, so the request goes out again when the server says."""
    emulator.fault(Fault(operation=CREATE, status=429, times=2, headers={"retry-after": "20"}))
    before = emulator.clock.monotonic()
    assert aleph.submit("https://example.com/in.mp4", "night").id
    assert emulator.clock.monotonic() - before >= 40
    assert (_posts(emulator), emulator.accepted) == (3, 1)


def test_429_is_not_waited_out_for_ever(open_client: Any, emulator: Emulator) -> None:
    """A server that wants minutes is told to the caller, who has a request of his own to answer."""
    emulator.fault(Fault(operation=CREATE, status=429, headers={"retry-after": "600"}))
    with pytest.raises(RateLimitError) as caught:
        open_client().submit("https://example.com/in.mp4", "night")
    assert caught.value.retry_after == 600
    assert caught.value.resubmit == "safe"


def test_a_connection_that_was_never_made_is_tried_again(open_client: Any) -> None:
    """Nobody listened, so nothing started: it is no uncertain submit."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        events: list[Any] = []
        aleph = open_client(
            base_url=f"http://127.0.0.1:{port}",
            retry=RetryPolicy(attempts=3),
            on_event=events.append,
        )
        with pytest.raises(APIConnectionError) as caught:
            aleph.submit("https://example.com/in.mp4", "night")
    assert (caught.value.charged, caught.value.resubmit) == ("no", "safe")
    assert len([event for event in events if event.kind == "request"]) == 3


def test_a_stale_connection_is_not_used_for_money(open_client: Any, emulator: Emulator) -> None:
    """A connection that the server has closed while it was idle is no cause of not knowing."""
    aleph = open_client()
    emulator.fault(Fault(operation="get_job", close=True))
    with pytest.raises(APIStatusError):
        aleph.get("no-such-job")
    list(open_client().list_assets())  # by when this is answered, the server has hung up
    assert aleph.submit("https://example.com/in.mp4", "night").id


def test_the_hook_sees_what_would_be_paid_for(
    open_client: Any, emulator: Emulator, clip: Path
) -> None:
    """before_submit comes before the upload, knows body and files, and its veto stops both."""
    seen: list[Any] = []

    def only_once(checked: Any) -> None:
        seen.append(checked)
        if len(seen) > 1:
            raise SubmitVetoedError("one a day")

    aleph = open_client(before_submit=only_once)
    aleph.submit(clip, "night", seed=1)
    before = len(emulator.requests)
    with pytest.raises(SubmitVetoedError, match="one a day"):
        aleph.submit(clip, "night", seed=1)
    assert len(emulator.requests) == before
    assert seen[0] == seen[1]
    assert seen[0].uploads == {"video": "shot.mp4"}
    assert seen[0].body["seed"] == 1


def test_what_was_checked_survives_a_queue(aleph: Any, clip: Path) -> None:
    """A checked request is the same after pickling and copying, placeholders of files included."""
    checked = aleph.check(clip, "night")
    assert pickle.loads(pickle.dumps(checked)) == checked  # noqa: S301 - our own bytes
    assert copy.deepcopy(checked) == checked


def test_a_hook_that_breaks_stops_the_payment(open_client: Any, emulator: Emulator) -> None:
    """A guard that fails is no permission."""

    def broken(_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(SubmitVetoedError, match="ZeroDivisionError"):
        open_client(before_submit=broken).submit("https://example.com/in.mp4", "night")
    assert emulator.requests == []


def test_webhook_url(aleph: Any, emulator: Emulator) -> None:
    """The endpoint goes out in its header."""
    aleph.submit("https://example.com/in.mp4", "night", webhook_url="https://example.com/hook")
    assert emulator.requests[0].headers["x-webhook-url"] == "https://example.com/hook"


@pytest.mark.parametrize("checks", ["warn", "off"])
def test_going_past_an_old_contract(open_client: Any, emulator: Emulator, checks: Any) -> None:
    """checks= lets a value through that the pinned contract forbids; "warn" says so."""
    aleph = open_client(checks=checks)

    def submit() -> None:
        with pytest.raises(BadRequestError):  # the server still has the old contract
            aleph.submit("https://example.com/in.mp4", "night", ratio="4:3", novel=1)

    if checks == "warn":
        with pytest.warns(KreaWarning, match="ratio|novel"):
            submit()
    else:
        submit()
    body = emulator.requests[0].json()
    assert (body["ratio"], body["novel"]) == ("4:3", 1)


def test_extra_body_is_sent_as_it_is(aleph: Any, emulator: Emulator) -> None:
    """Fields that the contract does not know go out when they are put into extra_body."""
    with pytest.raises(BadRequestError, match="new_field"):  # the server has the old contract
        aleph.submit("https://example.com/in.mp4", "night", extra_body={"new_field": [1]})
    assert emulator.requests[0].json()["new_field"] == [1]


def test_a_prompt_of_many_emoji_is_warned_about(aleph: Any, emulator: Emulator) -> None:
    """Code points are within the contract; the model behind it counts UTF-16 units."""
    with pytest.warns(KreaWarning, match="1200 UTF-16 units"):
        aleph.submit("https://example.com/in.mp4", "\N{SNOWMAN WITHOUT SNOW}\N{FIRE}" * 400)
    assert emulator.accepted == 1
