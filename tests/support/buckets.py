"""A local S3, and a gate before it where things go wrong as a test says."""

from __future__ import annotations

import http.client
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote

import pytest
from moto.server import ThreadedMotoServer

from krea_aleph import storage

KEY_ID = "AKIDKREATESTS0000001"
SECRET = "s3cr3t-of-the-bucket/that+nobody/may=see"
# As S3 says it: with the id of the key, and what was to be signed.
REFUSED = f"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId><Message>no</Message></Error>"""
_ENVIRONMENT = ("AWS_", "GOOGLE_", "AZURE_")
_OWNER = {
    "authorization": f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20260101/us-east-1/s3/aws4_request,"
    " SignedHeaders=host, Signature=0"
}
_UNSENT = {"transfer-encoding", "connection", "content-length", "date", "server"}


@dataclass
class Trouble:
    """What goes wrong with requests.

    Attributes:
        method: The method that it concerns.
        path: A pattern that is searched for in path and query.
        status: The answer's status; 0 for an answer that breaks off in its body, None for what S3
            says itself.
        body: The answer's body.
        headers: The answer's headers.
        times: How often it happens; None for always.
        before: Called before anything else; what it does may take its time.
        after: Whether the request is passed on, and only its answer is another one.
    """

    method: str
    path: str
    status: int | None = 500
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    times: int | None = None
    before: Callable[[], object] = bool
    after: bool = False


class Gate(ThreadingHTTPServer):
    """Passes requests on to S3 as they are, but for what is to go wrong.

    Attributes:
        requests: The method and path of every request so far.
        heads: Their headers.
        deaf: A header of requests that the S3 is not to hear of.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target = port
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: list[tuple[str, str]] = []
        self.heads: list[dict[str, str]] = []
        self.deaf = ""
        self._troubles: list[Trouble] = []
        self._lock = threading.Lock()

    def trouble(self, method: str, path: str, **more: Any) -> Trouble:
        """Let something go wrong from now on."""
        found = Trouble(method, path, **more)
        with self._lock:
            self._troubles.append(found)
        return found

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self._troubles.clear()

    def next_for(self, method: str, path: str, head: dict[str, str]) -> Trouble | None:
        """Take note of a request, and return what happens to it."""
        with self._lock:
            self.requests.append((method, path))
            self.heads.append(head)
            for found in self._troubles:
                if found.method == method and re.search(found.path, path) and found.times != 0:
                    found.times = None if found.times is None else found.times - 1
                    return found
            return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that have gone."""


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        trouble = self.server.next_for(self.command, self.path, dict(self.headers.items()))
        if trouble is not None:
            trouble.before()
            if trouble.status and not trouble.after:
                self._answer(trouble.status, trouble.headers, trouble.body.encode())
                return
        sent = {name: text for name, text in self.headers.items() if name != self.server.deaf}
        found, data = _exchange(self.server.target, self.command, self.path, body, sent)
        if trouble is not None and trouble.after and trouble.status:
            self._answer(trouble.status, trouble.headers, trouble.body.encode())
            return
        headers = {name: text for name, text in found.getheaders() if name.lower() not in _UNSENT}
        length = int(found.getheader("content-length") or 0) if self.command == "HEAD" else None
        cut = trouble is not None and trouble.status == 0
        self._answer(found.status, headers, data, length=length, cut=cut)

    def _answer(
        self,
        status: int,
        headers: dict[str, str],
        body: bytes,
        *,
        length: int | None = None,
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("content-length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815 - as the base names them

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Bucket:
    """A bucket of the local S3, as its owner sees it.

    Attributes:
        name: Its name.
        url: Its URL.
        gate: What stands before the S3.
        settings: What obstore reaches it with.
    """

    def __init__(self, name: str, gate: Gate) -> None:
        self.name = name
        self.url = f"s3://{name}"
        self.gate = gate
        self.settings: dict[str, Any] = {
            "endpoint": gate.url,
            "access_key_id": KEY_ID,
            "secret_access_key": SECRET,
            "region": "us-east-1",
            "client_options": {"allow_http": True, "timeout": "2s", "connect_timeout": "2s"},
            "retry_config": {
                "max_retries": 2,
                "backoff": {"init_backoff": _moment(), "max_backoff": _moment(), "base": 2},
            },
        }
        self._direct("PUT", "")

    def put(self, key: str, data: bytes) -> str:
        """Write an object, and return its URL."""
        self._direct("PUT", f"/{quote(key)}", data)
        return f"{self.url}/{key}"

    def get(self, key: str) -> tuple[bytes, dict[str, str]] | None:
        """Return an object and its headers; None if there is none."""
        status, headers, data = self._direct("GET", f"/{quote(key)}")
        return (data, headers) if status < 400 else None

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._direct("DELETE", f"/{quote(key)}")

    @property
    def keys(self) -> list[str]:
        """Every key."""
        return re.findall(r"<Key>(.*?)</Key>", self._direct("GET", "?list-type=2")[2].decode())

    @property
    def unfinished(self) -> list[str]:
        """The keys of what is being written in parts, or was left."""
        return re.findall(r"<Key>(.*?)</Key>", self._direct("GET", "?uploads")[2].decode())

    def _direct(
        self, method: str, path: str, body: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        found, data = _exchange(self.gate.target, method, f"/{self.name}{path}", body, _OWNER)
        return found.status, {name.lower(): text for name, text in found.getheaders()}, data


def _exchange(
    port: int, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[http.client.HTTPResponse, bytes]:
    """Ask the S3 itself."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as target:
        target.request(method, path, body, headers)
        with target.getresponse() as found:
            return found, found.read()


def _moment() -> Any:
    return timedelta(milliseconds=10)


@contextmanager
def local_s3() -> Iterator[int]:
    """Give the port of an S3 of this machine."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()[1]
    finally:
        server.stop()


@contextmanager
def gate_before(port: int) -> Iterator[Gate]:
    """Give a gate before an S3."""
    with Gate(port) as gate:
        thread = threading.Thread(target=gate.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield gate
        finally:
            gate.calm()
            gate.shutdown()


def use_environment(monkeypatch: pytest.MonkeyPatch, bucket: Bucket) -> None:
    """Put into the environment what reaches a bucket, and nothing else of that kind."""
    for name in os.environ:
        if name.startswith(_ENVIRONMENT):
            monkeypatch.delenv(name)
    monkeypatch.setattr(
        storage, "FROM_ENVIRONMENT", storage.Storage()
    )  # no store of an earlier test
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.gate.url)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def wait_until(happened: Callable[[], object], seconds: float = 20) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        with suppress(TimeoutError):
            threading.Event().wait(0.01)
