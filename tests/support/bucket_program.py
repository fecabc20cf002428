"""Restyles a clip of a bucket into it, for tests that kill it or measure what it takes.

Usage: bucket_program.py COLOUR BASE_URL KEY STORE VIDEO OUTPUT

Buckets are reached with what the environment says. Prints where the result is, and by how many
bytes this process has grown since it had made its client.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from krea_aleph import Aleph, AsyncAleph, PollPolicy, SQLiteStore
from krea_aleph.models import Saved

POLL = PollPolicy(early=0.05, spread=0)


def memory(kind: str) -> int:
    """Return what this process takes now (VmRSS), or took at most (VmHWM), in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


async def restyle(url: str, key: str, store: SQLiteStore, video: str, output: str) -> Saved:
    """Go the whole way with the asynchronous client."""
    async with AsyncAleph(base_url=url, api_key=key, store=store, poll=POLL) as aleph:
        return await aleph.transform(video, "snow", output, intent="shot-1", exists="keep")


def main(colour: str, url: str, key: str, path: str, video: str, output: str) -> None:
    """Go the whole way, under an intent."""
    import obstore.store  # noqa: F401, PLC0415 - what it takes is no news

    before = memory("VmRSS")
    with SQLiteStore(path) as store:
        if colour == "sync":
            with Aleph(base_url=url, api_key=key, store=store, poll=POLL) as aleph:
                saved = aleph.transform(video, "snow", output, intent="shot-1", exists="keep")
        else:
            saved = anyio.run(restyle, url, key, store, video, output, backend=colour)
    print(saved.url, max(0, memory("VmHWM") - before))


if __name__ == "__main__":
    main(*sys.argv[1:])
