"""Small real servers around the emulator: a TLS front, and a proxy that forwards and tunnels."""

from __future__ import annotations

import math
import select
import socket
import socketserver
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit


class Server(socketserver.ThreadingTCPServer):
    """A server on a free port of this machine, in a thread for each connection."""

    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: Any) -> None:
        """Connections break here on purpose."""


@contextmanager
def serving(server: Server) -> Iterator[int]:
    """Run a server, and give its port."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _pump(one: socket.socket, other: socket.socket, pieces: int | None = None) -> None:
    """Carry bytes both ways until a side ends, or for so many pieces."""
    left = math.inf if pieces is None else pieces
    with suppress(OSError):
        while left > 0:
            ready: list[socket.socket] = select.select([one, other], [], [], 10)[0]
            pending = [one] if isinstance(one, ssl.SSLSocket) and one.pending() else []
            for source in ready or pending:
                data = source.recv(65536)
                if not data:
                    return
                (other if source is one else one).sendall(data)
                left -= 1


def _hang_up(behind: socket.socket) -> None:
    """End a connection, and return when the other side has ended it, too.

    What was sent has arrived by then: a server that shares a virtual clock has begun to work on it
    before the caller hears that the connection is gone, and time cannot jump over that.
    """
    with suppress(OSError):
        behind.settimeout(10)
        behind.shutdown(socket.SHUT_WR)
        while behind.recv(65536):
            pass


@contextmanager
def tls_front(
    port: int,
    context: ssl.SSLContext,
    fate: Callable[[], str] = str,
    others: Mapping[str, ssl.SSLContext] | None = None,
) -> Iterator[int]:
    """Speak TLS on a new port and pass everything on to another port of this machine.

    Args:
        port: Where to pass it on.
        context: The server's.
        fate: Asked for each connection what goes wrong with its handshake, "" being nothing:
            "no TLS", "cut", "cut in the middle", or the name of one of the others.
        others: Contexts of the server's by the names of fates.
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wrong = fate()
            if wrong == "no TLS":
                self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            elif wrong == "cut in the middle":
                self.request.recv(16)
                self.request.sendall(b"\x16\x03\x03\x00\x7a\x02\x00")
            elif wrong != "cut":
                self._pass_on((others or {}).get(wrong, context))

        def _pass_on(self, chosen: ssl.SSLContext) -> None:
            with (
                chosen.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection(("127.0.0.1", port)) as behind,
            ):
                _pump(client, behind)
                _hang_up(behind)

    with serving(Server(("127.0.0.1", 0), Handler)) as front:
        yield front


class Proxy:
    """What an HTTP proxy has been asked for, and what goes wrong: with all, or those to come.

    A fate is a status that it refuses with, "silent", or "dies" for a tunnel that is soon cut.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.met: list[str] = []
        self.refuse = False
        self.fates: deque[str] = deque()
        self.url = ""

    def next_fate(self) -> str:
        """Return what goes wrong with the next request, "" being nothing."""
        fate = self.fates.popleft() if self.fates else ""
        self.met.append("407" if self.refuse else fate)
        return self.met[-1]


# What passes through a tunnel that dies: a handshake as a rule, and the beginning of a request.
_DYING = 4


@contextmanager
def http_proxy() -> Iterator[Proxy]:
    """Run a proxy that forwards plain requests and tunnels CONNECT."""
    proxy = Proxy()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:
                    return
                head += line
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            proxy.seen.append(f"{method} {target}")
            fate = proxy.next_fate()
            if fate.isdecimal():
                self.wfile.write(f"HTTP/1.1 {fate} {HTTPStatus(int(fate)).phrase}\r\n\r\n".encode())
            elif method == "CONNECT" and fate != "silent":
                self._tunnel(target, _DYING if fate == "dies" else None)
            elif fate != "silent":
                self._forward(head, target)

        def _tunnel(self, target: str, pieces: int | None) -> None:
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port))) as behind:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _pump(self.request, behind, pieces)
                _hang_up(behind)

        def _forward(self, head: bytes, target: str) -> None:
            parts = urlsplit(target)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            with socket.create_connection((parts.hostname or "", parts.port or 80)) as behind:
                behind.sendall(head.replace(target.encode(), path.encode(), 1))
                buffered = self.rfile.peek() if int(_length(head)) else b""
                behind.sendall(self.rfile.read(len(buffered)))
                _pump(self.request, behind)
                _hang_up(behind)

    with serving(Server(("127.0.0.1", 0), Handler)) as port:
        proxy.url = f"http://127.0.0.1:{port}"
        yield proxy


def _length(head: bytes) -> bytes:
    lines = head.lower().split(b"\r\n")
    found = [line for line in lines if line.startswith(b"content-length:")]
    return found[0].partition(b":")[2].strip() if found else b"0"
