"""The WSGI application, held to the protocol and served by a real server."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import httpx
import pytest

from krea_aleph.webhooks import WebhookReceiver
from web import SECRETS, Deliveries

from .conftest import PUBLIC, body


class Silent(WSGIRequestHandler):
    """A handler that prints nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(receiver: WebhookReceiver) -> Iterator[str]:
    """The address of a server that serves it."""
    server = make_server("127.0.0.1", 0, validator(receiver.wsgi), handler_class=Silent)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_over_a_socket(site: str, receiver: WebhookReceiver, deliveries: Deliveries) -> None:
    """Deliveries are taken, and everything else is refused as everywhere."""
    path = urlsplit(receiver.mint()).path
    with httpx.Client(base_url=site, trust_env=False) as client:
        assert client.post(path, content=body()).status_code == 200
        assert client.post(path, content=b"{}").status_code == 400
        assert client.post("/hooks/a/b", content=body()).status_code == 404
        assert client.get(path).status_code == 405
        assert client.post(path, content=b" " * 70_000).status_code == 413
        packed = {"content-encoding": "gzip"}
        assert client.post(path, content=body(), headers=packed).status_code == 415
    assert len(deliveries.wait(1)) == 1


def answer(receiver: WebhookReceiver, content: bytes, **environ: Any) -> str:
    """Call the application, and return the status line."""
    whole: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": urlsplit(receiver.mint()).path,
        "wsgi.input": io.BytesIO(content),
    }
    setup_testing_defaults(whole)
    lines: list[str] = []
    receiver.wsgi(whole | environ, lambda status, _: lines.append(status))
    return lines[0]


def test_a_body_without_a_length(deliveries: Deliveries) -> None:
    """A body that the server ends is read up to the cap; any other would block, and is refused."""
    receiver = WebhookReceiver(PUBLIC, SECRETS, on_delivery=deliveries, max_body=200)
    assert answer(receiver, body()) == "411 Length Required"
    assert answer(receiver, body(), CONTENT_LENGTH="many") == "411 Length Required"
    ended = {"wsgi.input_terminated": True}
    assert answer(receiver, body(), **ended) == "200 OK"
    assert answer(receiver, body() + b" " * 200, **ended).startswith("413 ")
    assert len(deliveries.wait(1)) == 1
