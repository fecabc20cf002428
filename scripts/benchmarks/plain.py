"""What one writes by hand with httpx: the measure. One shared client, no care taken of anything."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from httpx import AsyncClient, Client

BODY = {"prompt": "make it snow", "init_video": "https://example.com/in.mp4"}


def options(url: str, keep: int = 20) -> dict[str, Any]:  # 20 is httpx's own default
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=keep)
    key = {"Authorization": "Bearer id:secret"}
    return {"base_url": url, "headers": key, "limits": limits, "timeout": 300}


def start(url: str) -> None:
    with Client(**options(url)) as client, contextlib.suppress(httpx.HTTPError):
        client.get("/jobs/job-1").raise_for_status()


def pair(client: Client) -> None:
    job = client.post("/generate/video/runway/aleph", json=BODY).raise_for_status().json()
    client.get(f"/jobs/{job['job_id']}").raise_for_status().json()


async def async_pair(client: AsyncClient) -> None:
    answer = await client.post("/generate/video/runway/aleph", json=BODY)
    answer = await client.get(f"/jobs/{answer.raise_for_status().json()['job_id']}")
    answer.raise_for_status().json()


async def wait(client: AsyncClient, job: str, sleep: Callable[[], Awaitable[None]]) -> None:
    answer = await client.get(f"/jobs/{job}")
    while answer.raise_for_status().json()["status"] != "completed":
        await sleep()
        answer = await client.get(f"/jobs/{job}")
