"""A server that sends and takes large files as fast as it can; prints its port and serves.

``GET /files/N`` sends N bytes, ``POST /assets`` takes a file and throws it away.
"""

import json
import re
import socket
import threading

from benchmarks.transfers import MIB

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_PIECE = b"\0\0\0\x18ftypisom".ljust(MIB, b"\0")
_ASSET = {"id": "asset-1", "image_url": "https://example.com/asset-1"}


def main() -> None:
    """Serve until stopped."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    with connection, connection.makefile("rb") as lines:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while start := lines.readline():
            head = b"".join(iter(lines.readline, b"\r\n"))
            if start.startswith(b"GET "):
                _send(connection, int(start.split()[1].rpartition(b"/")[2]))
                continue
            found = _LENGTH.search(head)
            left = int(found[1]) if found else 0
            while left:
                left -= len(lines.read1(min(left, MIB)))
            body = json.dumps(_ASSET).encode()
            connection.sendall(_head(len(body)) + body)


def _send(connection: socket.socket, size: int) -> None:
    connection.sendall(_head(size))
    while size:
        piece = memoryview(_PIECE)[:size]
        connection.sendall(piece)
        size -= len(piece)


def _head(length: int) -> bytes:
    return f'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: {length}\r\n\r\n'.encode()


if __name__ == "__main__":
    main()
