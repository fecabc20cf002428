"""Transfer one file in a process of its own, and print seconds and growth as JSON.

Usage: python -m benchmarks.transfer_subject CLIENT KIND URL FOLDER

A small transfer comes first, so that neither imports nor connecting count.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from benchmarks.transfers import MIB, SIZES
from krea_aleph import Aleph, AsyncAleph, Job, Output

Run = Callable[[int], None]
_WARM_UP = 2 * MIB
_LONG_AGO = 1_600_000_000


def main(client: str, kind: str, url: str, folder: Path) -> None:
    """Print what the transfer costs."""
    run = {
        "plain": _plain,
        "ours": _ours,
        "async-plain": _async_plain,
        "async-ours": _async_ours,
    }[client](kind, url, folder)
    size = SIZES[kind]
    for name in (_WARM_UP, size):
        _clip(folder, name)
    run(_WARM_UP)
    before = memory("VmRSS")
    began = time.perf_counter()
    run(size)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "growth": max(memory("VmHWM") - before, 0) / MIB}))


def memory(kind: str) -> int:
    """Return what this process takes now (VmRSS), or took at most (VmHWM), in bytes.

    The peak that getrusage tells includes the process that has started this one.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


def _clip(folder: Path, size: int) -> Path:
    """Return a file of a size; what uploads is the same in every run.

    It is as old as a clip usually is: one that has just been written is hashed before it is sent,
    because its time could not show a change.
    """
    path = folder / f"clip-{size}.mp4"
    if not path.exists():
        with path.open("wb") as file:
            file.write(b"\0\0\0\x18ftypisom")
            for _ in range(size // MIB):
                file.write(bytes(MIB))
            file.truncate(size)
        os.utime(path, (_LONG_AGO, _LONG_AGO))
    return path


def _job(url: str, size: int) -> Job:
    return Job(f"job-{size}", "completed", outputs=(Output(f"{url}/files/{size}"),))


def _plain(kind: str, url: str, folder: Path) -> Run:
    client = httpx.Client(timeout=60)

    def download(size: int) -> None:
        with (
            client.stream("GET", f"{url}/files/{size}") as answer,
            (folder / "plain.mp4").open("wb") as file,
        ):
            for piece in answer.iter_bytes():
                file.write(piece)

    def upload(size: int) -> None:
        with _clip(folder, size).open("rb") as file:
            client.post(f"{url}/assets", files={"file": file}).raise_for_status()

    return download if kind == "download" else upload


def _ours(kind: str, url: str, folder: Path) -> Run:
    aleph = Aleph(base_url=url, api_key="id:secret")

    def download(size: int) -> None:
        aleph.download(_job(url, size), folder / "ours.mp4", exists="replace")

    def upload(size: int) -> None:
        aleph.upload(_clip(folder, size), reuse=False)

    return download if kind == "download" else upload


def _async_plain(kind: str, url: str, folder: Path) -> Run:
    runner, client = asyncio.Runner(), httpx.AsyncClient(timeout=60)

    async def download(size: int) -> None:
        async with client.stream("GET", f"{url}/files/{size}") as answer:
            with (folder / "plain.mp4").open("wb") as file:
                async for piece in answer.aiter_bytes():
                    file.write(piece)

    async def upload(size: int) -> None:
        with _clip(folder, size).open("rb") as file:
            answer = await client.post(f"{url}/assets", files={"file": file})
            answer.raise_for_status()

    work = download if kind == "download" else upload
    return lambda size: runner.run(work(size))


def _async_ours(kind: str, url: str, folder: Path) -> Run:
    runner, aleph = asyncio.Runner(), AsyncAleph(base_url=url, api_key="id:secret")

    async def download(size: int) -> None:
        await aleph.download(_job(url, size), folder / "ours.mp4", exists="replace")

    async def upload(size: int) -> None:
        await aleph.upload(_clip(folder, size), reuse=False)

    work = download if kind == "download" else upload
    return lambda size: runner.run(work(size))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
