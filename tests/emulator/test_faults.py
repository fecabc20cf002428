"""Each scripted fault, as a plain HTTP client sees it, and what it leaves on the server."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx
import pytest

from krea_aleph.emulator import Fault
from krea_aleph.errors import InvalidRequestError


def test_nth_call(krea: Any) -> None:
    """A fault hits the n-th matching call and so many after it; others go on as usual."""
    krea.emulator.fault(Fault(operation="list_jobs", nth=2, times=2, status=503))
    krea.submit()
    assert [krea.http.get("/jobs").status_code for _ in range(4)] == [200, 503, 503, 200]


def test_every_seventh(krea: Any) -> None:
    """A fault can come back at regular calls."""
    krea.emulator.fault(Fault(operation="list_jobs", every=3, times=None, status=500))
    statuses = [krea.http.get("/jobs").status_code for _ in range(9)]
    assert statuses == [200, 200, 500] * 3


def test_any_operation(krea: Any) -> None:
    """A fault without an operation hits whatever comes first."""
    krea.emulator.fault(Fault(status=502))
    assert krea.post().status_code == 502
    assert krea.emulator.accepted == 0


def test_reset_of_faults(krea: Any) -> None:
    """A reset takes faults back."""
    krea.emulator.fault(Fault(status=502))
    krea.emulator.reset()
    assert krea.http.get("/jobs").status_code == 200


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("<html>busy</html>", "text/html; charset=utf-8", "<html>busy</html>"),
        ({"detail": "no"}, "application/json", '{"detail": "no"}'),
        (b'{"job_', "application/json", '{"job_'),
        (None, "application/json", ""),
    ],
)
def test_answer(krea: Any, body: Any, kind: str, text: str) -> None:
    """A fault can answer with any status, body and headers."""
    krea.emulator.fault(Fault(status=429, body=body, headers={"Retry-After": "7"}))
    answer = krea.http.get("/jobs")
    assert (answer.status_code, answer.text) == (429, text)
    assert answer.headers["content-type"] == kind
    assert answer.headers["retry-after"] == "7"


def test_wrong_success(krea: Any) -> None:
    """A success can have another shape than the contract promises."""
    krea.emulator.fault(Fault(body=[1, 2]))
    answer = krea.http.get("/jobs")
    assert (answer.status_code, answer.json()) == (200, [1, 2])


def test_answer_lost_to_a_status(krea: Any) -> None:
    """A call can be carried out although the answer says otherwise."""
    krea.emulator.fault(Fault(operation="create_aleph_job", status=524, accept=True))
    assert krea.post().status_code == 524
    assert krea.emulator.accepted == 1


@pytest.mark.parametrize(("when", "accepted"), [("before", 0), ("after", 1)])
def test_drop(krea: Any, when: Any, accepted: int) -> None:
    """The connection can be cut before or after the call is carried out."""
    krea.emulator.fault(Fault(operation="create_aleph_job", drop=when))
    with pytest.raises(httpx.TransportError):
        krea.post()
    assert krea.emulator.accepted == accepted
    assert krea.emulator.requests[-1].status is None
    assert krea.post().status_code == 200


@pytest.mark.parametrize("accept", [True, False])
def test_stall(krea: Any, accept: bool) -> None:
    """A call can wait until the caller gives up, carried out or not."""
    krea.emulator.fault(Fault(stall=float("inf"), accept=accept))
    with pytest.raises(httpx.ReadTimeout):
        krea.http.post(
            "/generate/video/runway/aleph",
            json={"prompt": "", "init_video": "https://example.com/a.mp4"},
            timeout=0.05,
        )
    assert krea.emulator.accepted == int(accept)


def test_short_stall(krea: Any) -> None:
    """A call that stalls for less than the caller's patience is answered as usual."""
    krea.emulator.fault(Fault(stall=0.01))
    assert krea.http.get("/jobs").json() == {"items": [], "next_cursor": None}


def test_truncated(krea: Any) -> None:
    """A body can end early although its length is right."""
    krea.emulator.fault(Fault(operation="create_aleph_job", truncate=12))
    answer = krea.post()
    assert (answer.status_code, len(answer.content)) == (200, 12)
    assert krea.emulator.accepted == 1


def test_cut(krea: Any) -> None:
    """A body can break off before the length that was promised."""
    krea.emulator.fault(Fault(operation="download", cut=1000))
    url = krea.finished()["result"]["urls"][0]
    pieces: list[bytes] = []
    with httpx.stream("GET", url, trust_env=False) as answer:
        assert answer.headers["content-length"] == "65536"
        with pytest.raises(httpx.RemoteProtocolError):
            pieces.extend(answer.iter_raw())
    received = b"".join(pieces)
    assert len(received) == 1000
    rest = httpx.get(url, headers={"Range": "bytes=1000-"}, trust_env=False)
    assert len(received + rest.content) == 65_536


@pytest.mark.parametrize(("length", "received"), [(4, 4), (1_000_000, None)])
def test_length(krea: Any, length: int, received: int | None) -> None:
    """A length can be a lie: what is beyond a short one is lost, a long one is never kept."""
    # What is beyond it comes as the next answer of a connection that is used again.
    krea.http.headers["connection"] = "close"
    krea.emulator.fault(Fault(operation="list_jobs", length=length))
    if received is None:
        with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without"):
            krea.http.get("/jobs")
    else:
        assert len(krea.http.get("/jobs").content) == received
    assert krea.http.get("/jobs").status_code == 200


@pytest.mark.parametrize("how", [{"drop": "after"}, {"drop": "before"}, {"cut": 5}])
def test_reset(krea: Any, how: Any) -> None:
    """A connection can be reset where it would be closed."""
    krea.emulator.fault(Fault(operation="list_jobs", reset=True, **how))
    with pytest.raises((httpx.ReadError, httpx.WriteError), match=r"reset|Broken pipe"):
        krea.http.get("/jobs")


def test_late(krea: Any) -> None:
    """A request that was cut off can arrive all the same, later by the emulator's clock."""
    krea.emulator.fault(Fault(operation="create_aleph_job", drop="before", late=30))
    with pytest.raises(httpx.TransportError):
        krea.post()
    assert krea.emulator.accepted == 0
    krea.sleep(29)
    assert krea.emulator.accepted == 0
    krea.sleep(2)
    krea.http.get("/jobs")  # whatever was under way has been carried out by now
    assert krea.emulator.accepted == 1
    assert krea.emulator.jobs[0].created_at - krea.emulator.requests[0].at == 30


def test_pace(krea: Any) -> None:
    """A body can drip; nothing of it is lost."""
    krea.emulator.fault(Fault(operation="download", pace=10_000))
    url = krea.finished()["result"]["urls"][0]
    dripped, at_once = (httpx.get(url, trust_env=False).content for _ in range(2))
    assert dripped == at_once


def test_close(krea: Any) -> None:
    """A kept connection can be closed without a word; the next call notices."""
    krea.emulator.fault(Fault(close=True))
    first = krea.http.get("/jobs")
    assert first.status_code == 200
    assert "connection" not in first.headers


def test_kill(krea: Any) -> None:
    """The caller can be killed just after its job was accepted."""
    krea.emulator.fault(Fault(operation="create_aleph_job", kill=True))
    program = (
        "import httpx, os, sys\n"
        "httpx.post(sys.argv[1], json={'prompt': '', 'init_video': 'https://example.com/a.mp4'},"
        " headers={'Authorization': 'Bearer ' + sys.argv[2], 'X-Debug-Pid': str(os.getpid())})"
    )
    url = f"{krea.emulator.base_url}/generate/video/runway/aleph"
    done = subprocess.run([sys.executable, "-c", program, url, krea.emulator.key], check=False)
    assert done.returncode == -9
    assert krea.emulator.accepted == 1


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        ("nth", {"nth": 0}),
        ("times", {"times": 0}),
        ("every", {"every": 0}),
        ("pace", {"pace": 0}),
        ("stall", {"stall": -1}),
        ("status", {"status": 99}),
        ("drop", {"drop": "during"}),
        ("length", {"length": -1}),
        ("reset", {"reset": True}),
        ("late", {"late": 5}),
        ("late", {"late": -5, "drop": "before"}),
        ("operation", {"operation": "get_job", "duplicates": 1}),
    ],
)
def test_impossible_fault(field: str, fault: Any) -> None:
    """A fault that could never happen is refused, and the field is named."""
    with pytest.raises(InvalidRequestError) as caught:
        Fault(**fault)
    assert caught.value.field == field


def test_unknown_operation(krea: Any) -> None:
    """A fault for an operation that does not exist is refused with those that do."""
    with pytest.raises(InvalidRequestError, match="get_job"):
        krea.emulator.fault(Fault(operation="get_jobs", status=500))
