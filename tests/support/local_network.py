"""Small real servers around the emulator: a TLS front, and a proxy that forwards and tunnels."""

from __future__ import annotations

import select
import socket
import socketserver
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until a side ends."""
    with suppress(OSError):
        while True:
            ready: list[socket.socket] = select.select([one, other], [], [], 10)[0]
            pending = [one] if isinstance(one, ssl.SSLSocket) and one.pending() else []
            for source in ready or pending:
                data = source.recv(65536)
                if not data:
                    return
                (other if source is one else one).sendall(data)


@contextmanager
def tls_front(
    port: int, context: ssl.SSLContext, spoiled: deque[bool] | None = None
) -> Iterator[int]:
    """Speak TLS on a new port and pass everything on to another port of this machine.

    Args:
        port: Where to pass it on.
        context: The server's.
        spoiled: For each connection to come, whether its handshake goes wrong.
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if spoiled and spoiled.popleft():
                self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            with (
                context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection(("127.0.0.1", port)) as behind,
            ):
                _pump(client, behind)

    with serving(Server(("127.0.0.1", 0), Handler)) as front:
        yield front


class Proxy:
    """What an HTTP proxy has been asked for, and whether it refuses: all, or those to come."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.refuse = False
        self.fates: deque[bool] = deque()
        self.url = ""


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
            if proxy.refuse or (proxy.fates and proxy.fates.popleft()):
                self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            elif method == "CONNECT":
                self._tunnel(target)
            else:
                self._forward(head, target)

        def _tunnel(self, target: str) -> None:
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port))) as behind:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _pump(self.request, behind)

        def _forward(self, head: bytes, target: str) -> None:
            parts = urlsplit(target)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            with socket.create_connection((parts.hostname or "", parts.port or 80)) as behind:
                behind.sendall(head.replace(target.encode(), path.encode(), 1))
                buffered = self.rfile.peek() if int(_length(head)) else b""
                behind.sendall(self.rfile.read(len(buffered)))
                _pump(self.request, behind)

    with serving(Server(("127.0.0.1", 0), Handler)) as port:
        proxy.url = f"http://127.0.0.1:{port}"
        yield proxy


def _length(head: bytes) -> bytes:
    lines = head.lower().split(b"\r\n")
    found = [line for line in lines if line.startswith(b"content-length:")]
    return found[0].partition(b":")[2].strip() if found else b"0"
