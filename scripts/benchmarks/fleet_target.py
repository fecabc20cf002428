"""A server with jobs that end by the clock, and a list of them; prints its port and serves.

It costs next to nothing: rows are written once for each status. ``GET /counts`` says how many
requests there were, by kind, and begins to count anew.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

_END_OF_HEAD = b"\r\n\r\n"


class Job:
    """One job, with its rows as text."""

    def __init__(self, number: int, created: float) -> None:
        moment = datetime.fromtimestamp(created, UTC).isoformat(timespec="microseconds")
        self.created = created
        self.stamp = moment.replace("+00:00", "Z")
        facts = {"job_id": f"job-{number}", "created_at": self.stamp, "type": "externalVideo"}
        url = f"https://gen.example/videos/job-{number}.mp4"
        self.running = json.dumps({**facts, "status": "processing"})
        self.completed = json.dumps({**facts, "status": "completed", "result": {"urls": [url]}})


class Account:
    """Every job there is, in the order of creation."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._jobs: list[Job] = []
        self._counts: Counter[str] = Counter()

    def answer(self, method: str, target: str) -> str:
        """Answer a request and count it."""
        path = urlsplit(target)
        if path.path == "/counts":
            counts, self._counts = dict(self._counts), Counter()
            return json.dumps(counts)
        now = time.time()
        if method == "POST":
            self._counts["submits"] += 1
            self._jobs.append(Job(len(self._jobs), now))
            return self._jobs[-1].running
        if path.path == "/jobs":
            self._counts["pages"] += 1
            return self._page(parse_qs(path.query), now)
        self._counts["looks"] += 1
        return self._row(self._jobs[int(path.path.rpartition("-")[2])], now)

    def _page(self, query: dict[str, list[str]], now: float) -> str:
        limit = int(query.get("limit", ["100"])[0])
        stop = len(self._jobs)
        if "cursor" in query:
            before = datetime.fromisoformat(query["cursor"][0]).timestamp()
            while stop and self._jobs[stop - 1].created >= before:
                stop -= 1
        page = self._jobs[max(0, stop - limit) : stop][::-1]
        cursor = json.dumps(page[-1].stamp if stop > limit else None)
        rows = ",".join(self._row(job, now) for job in page)
        return f'{{"items": [{rows}], "next_cursor": {cursor}}}'

    def _row(self, job: Job, now: float) -> str:
        return job.completed if now >= job.created + self._seconds else job.running


class Connection(asyncio.Protocol):
    """One connection: whole requests in, answers out."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._received += data
        while (end := self._received.find(_END_OF_HEAD)) >= 0:
            head = self._received[:end].lower()
            _, found, after = head.partition(b"content-length:")
            total = end + len(_END_OF_HEAD) + (int(after.split(b"\r\n", 1)[0]) if found else 0)
            if len(self._received) < total:
                return
            method, target, _ = self._received[:end].split(b"\r\n", 1)[0].decode().split(" ")
            self._received = self._received[total:]
            body = self._account.answer(method, target).encode()
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(body), body)
            )


async def serve(seconds: float) -> None:
    """Serve for ever."""
    account = Account(seconds)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(account), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
