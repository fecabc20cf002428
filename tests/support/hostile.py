"""Servers that answer with any bytes, at any pace: what an honest emulator cannot do."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from local_network import Server, serving

Script = Callable[[socketserver.StreamRequestHandler, bytes], None]


@contextmanager
def raw_server(script: Script) -> Iterator[str]:
    """Answer each request of each connection with a script, which is given its head."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while head := self._head():
                    script(self, head)
                    self.wfile.flush()

        def _head(self) -> bytes:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:
                    return b""
                head += line
            length = [
                int(line.partition(b":")[2])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            ]
            self.rfile.read(*length or [0])
            return head

    with serving(Server(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}"


def always(answer: bytes) -> Script:
    """Give the same answer every time."""
    return lambda handler, _: handler.wfile.write(answer) and None


def endlessly(first: bytes, again: bytes, *, until: threading.Event) -> Script:
    """Begin an answer and never end it."""

    def script(handler: socketserver.StreamRequestHandler, _: bytes) -> None:
        handler.wfile.write(first)
        while not until.is_set():
            handler.wfile.write(again)
            time.sleep(0.005)

    return script


def answer(
    body: bytes, *, status: str = "200 OK", headers: str = "Content-Type: application/json"
) -> bytes:
    """Return an HTTP answer with its length."""
    return f"HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
