"""The generated client by itself, against answers that no contract promises."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from krea_aleph_api import AuthenticatedClient, Client
from krea_aleph_api.api.assets import upload_asset
from krea_aleph_api.api.jobs import delete_job, get_job, list_jobs
from krea_aleph_api.api.video import create_aleph_job
from krea_aleph_api.models import (
    AlephReference,
    AlephRequest,
    Asset,
    AssetUpload,
    ErrorBody,
    Job,
    JobError,
    JobPage,
    JobResult,
)
from krea_aleph_api.types import UNSET, File, Unset, path_segment

from .conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "a-key-id:a-key-secret"


class Server(ThreadingHTTPServer):
    """Answers each request with the next scripted answer and keeps what it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: deque[tuple[int, bytes]] = deque()
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One exchange."""

    server: Server

    def answer(self) -> None:
        """Record the request and send what was scripted."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, dict(self.headers), body))
        status, content = self.server.answers.popleft()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - names given by the base class

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve scripted answers on a free port."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(server: Server) -> Iterator[AuthenticatedClient]:
    """Give a client of that server."""
    with AuthenticatedClient(base_url=server.url, token=TOKEN) as client:
        yield client


JOBS: dict[str, dict[str, Any]] = {
    "only the id": {},
    "unknown status": {"status": "pondering"},
    "status of another kind": {"status": 7},
    "everything null": dict.fromkeys(
        ["status", "created_at", "completed_at", "result", "error"], None
    ),
    "a bad date": {"created_at": "yesterday", "completed_at": 12.5},
    "error as text": {"error": "it broke"},
    "error as a list": {"error": ["it broke"]},
    "error without code": {"error": {"message": "it broke", "more": 1}},
    "error with a nested code": {"error": {"code": {"deep": 1}}},
    "result as text": {"result": "here"},
    "result as a list": {"result": []},
    "empty result": {"result": {}},
    "urls as texts": {"result": {"urls": ["https://x/1.mp4"]}},
    "urls as objects": {"result": {"urls": [{"type": "model", "url": "https://x/1.mp4"}]}},
    "urls as a map": {"result": {"urls": {"out": "https://x/1.mp4"}}},
    "urls null": {"result": {"urls": None}},
    "result with more": {"result": {"video_url": "https://x", "duration": 5}},
    "unknown properties": {"type": "externalVideo", "progress": 0.5, "meta": {"a": [1]}},
    "property names of ours": {"d": 1, "cls": 2, "additional_properties": {"x": 1}, "self": 3},
}


@pytest.mark.parametrize("body", JOBS.values(), ids=JOBS.keys())
def test_a_job_is_read_whatever_it_says(body: dict[str, Any]) -> None:
    """Only the id is needed; the rest is kept as it came, and nothing is lost on the way back."""
    sent = {"job_id": "j", **body}
    job = Job.from_dict(copy.deepcopy(sent))
    assert job.job_id == "j"
    assert job.to_dict() == sent


def test_a_job_without_id_is_none() -> None:
    """A missing id is the one thing that cannot be read."""
    with pytest.raises(KeyError, match="job_id"):
        Job.from_dict({"status": "queued"})


def test_urls_survive_untouched() -> None:
    """Whatever form the output addresses have, they are handed on as they were sent."""
    urls = ["https://x", {"type": "preview", "url": "https://y", "more": 1}, None, 3]
    result = Job.from_dict({"job_id": "j", "result": {"urls": urls}}).result
    assert isinstance(result, JobResult)
    assert result.urls == urls


PAGES: dict[str, dict[str, Any]] = {
    "empty object": {},
    "items null": {"items": None},
    "items of another kind": {"items": "none", "next_cursor": 5},
    "other cursor name": {"items": [], "nextCursor": "x"},
    "a bad item among good ones": {"items": [{"job_id": "a"}, None, "x", {"status": "queued"}]},
}


@pytest.mark.parametrize("body", PAGES.values(), ids=PAGES.keys())
def test_a_page_is_read_whatever_it_holds(body: dict[str, Any]) -> None:
    """A bad item is kept as it came and does not spoil the good ones beside it."""
    page = JobPage.from_dict(copy.deepcopy(body))
    assert page.to_dict() == body
    if isinstance(page.items, list) and page.items:
        assert isinstance(page.items[0], Job)


def test_dates_are_dates() -> None:
    """A well-formed time is an aware datetime."""
    job = Job.from_dict({"job_id": "j", "created_at": "2026-02-03T04:05:06.789Z"})
    assert not isinstance(job.created_at, str | Unset | None)
    assert job.created_at.utcoffset() is not None


def test_assets_need_only_their_id() -> None:
    """An asset may lack everything but its id."""
    assert Asset.from_dict({"id": "a", "width": None, "size_bytes": "big"}).id == "a"


ERRORS: dict[str, bytes] = {
    "as declared": b'{"error": "no"}',
    "under message": b'{"message": "no"}',
    "as an object": b'{"error": {"code": "no"}}',
    "null": b'{"error": null}',
}


@pytest.mark.parametrize("body", ERRORS.values(), ids=ERRORS.keys())
def test_declared_errors_are_read_in_any_form(
    body: bytes, server: Server, client: AuthenticatedClient
) -> None:
    """An error body is an ErrorBody whichever key it uses."""
    server.answers.append((404, body))
    answer = get_job.sync_detailed("j", client=client)
    assert isinstance(answer.parsed, ErrorBody)
    assert answer.content == body


@pytest.mark.parametrize("body", [b"<html>", b"", b"[1]", b'"no"', b"null", b"\xff", b'{"err'])
@pytest.mark.parametrize("status", [404, 410, 502, 520, 524, 599])
def test_errors_that_are_no_json_keep_their_status(
    status: int, body: bytes, server: Server, client: AuthenticatedClient
) -> None:
    """An HTML page or nothing at all never hides which status it came with."""
    server.answers.append((status, body))
    answer = get_job.sync_detailed("j", client=client)
    assert answer.status_code == status
    assert answer.content == body
    assert answer.parsed is None


def test_deleting_answers_with_a_status(server: Server, client: AuthenticatedClient) -> None:
    """A delete has no body, declared or not."""
    for status in (200, 204):
        server.answers.append((status, b""))
        assert delete_job.sync_detailed("j", client=client).status_code == status


SEGMENTS = {
    "a/b": "/jobs/a%2Fb",
    "../admin": "/jobs/..%2Fadmin",
    "a?b=c#d": "/jobs/a%3Fb%3Dc%23d",
    "%2e%2e": "/jobs/%252e%252e",
    "a b\r\nX: 1": "/jobs/a%20b%0D%0AX%3A%201",
    "\u00e4": "/jobs/%C3%A4",
    "{id}": "/jobs/%7Bid%7D",
    "...": "/jobs/...",
}


@pytest.mark.parametrize(("job_id", "path"), SEGMENTS.items())
def test_an_id_stays_one_segment(
    job_id: str, path: str, server: Server, client: AuthenticatedClient
) -> None:
    """Whatever an id holds, the request goes to that id below /jobs."""
    server.answers.append((404, b"{}"))
    get_job.sync_detailed(job_id, client=client)
    assert server.requests[0][1] == path


@pytest.mark.parametrize("job_id", ["", ".", "..", "\ud800"])
def test_an_id_that_leads_elsewhere_is_refused(job_id: str) -> None:
    """An id that would address another path is refused before any request."""
    with pytest.raises(ValueError, match=r"segment|surrogates"):
        delete_job.request_kwargs(job_id)
    with pytest.raises(ValueError, match=r"segment|surrogates"):
        path_segment(job_id)


def test_only_what_was_said_is_sent(server: Server, client: AuthenticatedClient) -> None:
    """No default of the contract is sent: the server's own may change."""
    server.answers.append((200, b'{"job_id": "j"}'))
    body = AlephRequest(prompt="p", init_video="https://x/in.mp4")
    create_aleph_job.sync(client=client, body=body)
    assert server.requests[0][3] == b'{"init_video":"https://x/in.mp4","prompt":"p"}'
    assert list_jobs.request_kwargs() == {"method": "get", "url": "/jobs", "params": {}}


def test_a_body_is_required() -> None:
    """Forgetting the body is a TypeError here, not a 400 there."""
    with pytest.raises(TypeError, match="body"):
        create_aleph_job.request_kwargs()  # type: ignore[call-arg]


def test_fields_have_names_not_positions() -> None:
    """The order of properties in the contract is nothing that callers can come to rely on."""
    with pytest.raises(TypeError, match="positional"):
        AlephRequest("p", "https://x")  # type: ignore[call-arg]


def test_what_was_left_out_survives_copies() -> None:
    """A copied, deep-copied or pickled request is the same request."""
    reference = AlephReference(type_="image", uri="https://x/look.png")
    body = AlephRequest(prompt="p", init_video="https://x/in.mp4", references=[reference])
    for other in (copy.copy(body), copy.deepcopy(body), pickle.loads(pickle.dumps(body))):  # noqa: S301 - ours
        assert other == body
        assert other.to_dict() == body.to_dict()
        assert other.seed is UNSET
    assert repr(UNSET) == "UNSET"


def test_nothing_shows_the_key(server: Server, client: AuthenticatedClient) -> None:
    """Neither the client's repr nor its parts' show the key, before or after it was used."""
    secret = client.with_headers({"X-Secret": "hush"}).with_cookies({"sid": "hush"})
    server.answers.append((200, b'{"job_id": "j"}'))
    get_job.sync("j", client=client)
    assert server.requests[0][2]["Authorization"] == f"Bearer {TOKEN}"
    for shown in (repr(client), str(client), repr(secret), repr(client.get_httpx_client())):
        assert "key-secret" not in shown
        assert "hush" not in shown
        assert "Bearer " not in shown


def test_a_changed_client_leaves_the_first_alone(
    server: Server, client: AuthenticatedClient
) -> None:
    """`with_headers` and `with_timeout` give a new client and do not reach into the live one."""
    first = client.get_httpx_client()
    client.with_headers({"X-Team": "blue"})
    client.with_timeout(httpx.Timeout(1.0))
    assert "X-Team" not in first.headers
    assert first.timeout == httpx.Timeout(60.0, connect=10.0)
    assert server.requests == []


def test_waiting_has_an_end() -> None:
    """Without a word about timeouts no request waits for ever."""
    for made in (Client(base_url="http://x"), AuthenticatedClient(base_url="http://x", token="t")):
        with made as client:
            assert None not in client.get_httpx_client().timeout.as_dict().values()


def test_threads_share_one_client(client: AuthenticatedClient) -> None:
    """Threads that meet at the first request use the same pool of connections."""
    fresh = client.with_headers({})
    barrier = threading.Barrier(8)
    found: list[httpx.Client] = []

    def ask() -> None:
        barrier.wait()
        found.append(fresh.get_httpx_client())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in found}) == 1
    found[0].close()


def test_a_file_cannot_add_form_fields(server: Server, client: AuthenticatedClient) -> None:
    """The boundary between the parts of an upload is drawn anew for each one."""
    evil = b'\r\n--+++\r\nContent-Disposition: form-data; name="description"\r\n\r\nmine\r\n--+++--'
    boundaries = set()
    for _ in range(2):
        server.answers.append((200, b'{"id": "a"}'))
        upload = File(payload=io.BytesIO(evil), file_name="in.mp4", mime_type="video/mp4")
        upload_asset.sync(client=client, body=AssetUpload(file=upload))
        _, _, headers, body = server.requests.pop()
        kind, _, boundary = headers["Content-Type"].partition("; boundary=")
        assert kind == "multipart/form-data"
        assert boundary.encode() not in evil
        assert body.count(b"--" + boundary.encode()) == 2
        boundaries.add(boundary)
    assert len(boundaries) == 2


def test_errors_of_a_job_are_typed() -> None:
    """A failed job's reason is an object with code and message."""
    job = Job.from_dict({"job_id": "j", "error": {"code": "nsfw", "message": "no"}})
    assert isinstance(job.error, JobError)
    assert (job.error.code, job.error.message) == ("nsfw", "no")


LIGHT = """
import sys
sys.path.insert(0, sys.argv[1])
import krea_aleph_api, krea_aleph_api.options, krea_aleph_api.constraints, krea_aleph_api.operations
assert not [name for name in sys.modules if name.startswith("krea_aleph_api.models")]
"""


def test_the_data_modules_load_no_models() -> None:
    """Importing the package, its options, constraints and operations loads no model."""
    command = [sys.executable, "-c", LIGHT, str(ROOT / "generated")]
    subprocess.run(command, check=True)
