"""A real https server of this machine that answers each path as it is told, byte for byte."""

from __future__ import annotations

import socketserver
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from local_network import Server, serving

Answer = bytes | Callable[[Any], None]
"""What is sent, or a function that is given the connection."""


@dataclass
class Site:
    """What the server answers, and what it was asked.

    Attributes:
        ca: The file with the certificate of the authority that the server's is from.
        port: Where it listens.
        answers: The answer by path; a path without one is answered with 404.
        requests: The head of each request, in order.
    """

    ca: Path
    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"https://localhost:{self.port}{path}"

    def put(self, path: str, body: bytes, *head: str, status: str = "200 OK") -> str:
        """Publish something, and return its address."""
        self.answers[path] = answer(body, *head, status=status)
        return self.url(path)


def answer(body: bytes, *head: str, status: str = "200 OK") -> bytes:
    """Write a whole answer; a length is added unless the head gives one."""
    lines = [f"HTTP/1.1 {status}", *head, "Connection: close"]
    if not any(line.lower().startswith(("content-length", "transfer")) for line in head):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def dripping(head: bytes, seconds: float) -> Callable[[Any], None]:
    """Send a head, and then a byte now and then for ever."""

    def drip(connection: Any) -> None:
        connection.sendall(head)
        while True:
            time.sleep(seconds)  # the server's slowness is the point
            connection.sendall(b" ")

    return drip


@contextmanager
def https_site(folder: Path) -> Iterator[Site]:
    """Run the server with an authority of its own, whose certificate is put into the folder."""
    authority = trustme.CA()
    site = Site(folder / "ca.pem")
    authority.cert_pem.write_to_path(str(site.ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), context.wrap_socket(self.request, server_side=True) as client:
                _respond(site, client)

    with serving(Server(("127.0.0.1", 0), Handler)) as site.port:
        yield site


def _respond(site: Site, client: ssl.SSLSocket) -> None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        read = client.recv(65536)
        if not read:
            return
        head += read
    site.requests.append(head.decode())
    path = head.split(b" ", 2)[1].decode()
    found = site.answers.get(path, answer(b"", status="404 Not Found"))
    if isinstance(found, bytes):
        client.sendall(found)
    else:
        found(client)
