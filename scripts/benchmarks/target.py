"""A server that costs next to nothing, so that what is measured is the client.

Bare asyncio and canned answers. It prints its two ports as JSON and serves until it is stopped. The
second port hangs up on everyone, which is as far as a first TLS handshake needs to get.
"""

import asyncio
import itertools
import json
import re
from collections import Counter

from benchmarks.settings import LOOKS

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_RUNNING = {"status": "processing", "created_at": "2026-01-01T00:00:00.000Z"}
_COMPLETED = {
    **_RUNNING,
    "status": "completed",
    "completed_at": "2026-01-01T00:03:00.000Z",
    "result": {"urls": ["https://example.com/out.mp4"]},
}


class Tally:
    """What has been asked so far."""

    def __init__(self) -> None:
        self.ids = itertools.count()
        self.looks: Counter[str] = Counter()
        self.counts = {"requests": 0, "connections": 0}

    def answer(self, method: str, path: str) -> dict[str, object]:
        """Answer a request and count it."""
        if path == "/counts":
            counts, self.counts = self.counts, dict.fromkeys(self.counts, 0)
            return dict(counts)
        self.counts["requests"] += 1
        job = path.rpartition("/")[2] if method == "GET" else f"job-{next(self.ids)}"
        self.looks[job] += method == "GET"
        return {"job_id": job, **(_COMPLETED if self.looks[job] >= LOOKS else _RUNNING)}


class Connection(asyncio.Protocol):
    """One connection: whole requests in, answers out."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._received = b""
        tally.counts["connections"] += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - for the type checker
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = _LENGTH.search(head)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < total:
                return
            self._received = self._received[total:]
            method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            if path.startswith("/jobs?"):  # what is measured here is the transport: look one by one
                self._write({"error": "no list"}, "403 Forbidden")
            else:
                self._write(self._tally.answer(method, path))

    def _write(self, answer: dict[str, object], status: str = "200 OK") -> None:
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._transport.write(head.encode() + b"\r\n\r\n" + body)


class HangUp(asyncio.Protocol):
    """Ends every connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hang up."""
        transport.close()


async def serve() -> None:
    """Serve for ever."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    server = await loop.create_server(lambda: Connection(tally), "127.0.0.1", 0, backlog=4096)
    closed = await loop.create_server(HangUp, "127.0.0.1", 0)
    ports = [each.sockets[0].getsockname()[1] for each in (server, closed)]
    print(json.dumps(ports), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
