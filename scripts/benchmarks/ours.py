"""The same work done with krea_aleph: its defaults, but for the pause between two looks."""

import contextlib
from typing import Any

from benchmarks.settings import PAUSE
from krea_aleph import Aleph as Client
from krea_aleph import APIConnectionError, PollPolicy, RetryPolicy
from krea_aleph import AsyncAleph as AsyncClient

REQUEST = ("https://example.com/in.mp4", "make it snow")


def options(url: str) -> dict[str, Any]:
    even = PollPolicy(early=PAUSE, sparse=PAUSE, dense=PAUSE, longest=PAUSE, spread=0)
    return {"base_url": url, "api_key": "id:secret", "poll": even}


def start(url: str) -> None:
    once = RetryPolicy(attempts=1)
    with Client(**options(url), retry=once) as aleph, contextlib.suppress(APIConnectionError):
        aleph.get("job-1")


def pair(aleph: Client) -> None:
    aleph.get(aleph.submit(*REQUEST))


async def async_pair(aleph: AsyncClient) -> None:
    await aleph.get(await aleph.submit(*REQUEST))


async def wait(aleph: AsyncClient, job: str, _sleep: object) -> None:
    await aleph.wait(job)
