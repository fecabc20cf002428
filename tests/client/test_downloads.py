"""Downloads over sockets: hosts that answer oddly, and tasks that are cancelled in the middle."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from krea_aleph import DownloadError, InvalidRequestError, Job
from krea_aleph.emulator import Emulator, Fault
from krea_aleph.models import Output

UNASKED = {"status": 206, "body": b"x" * 50, "headers": {"content-range": "bytes 0-49/112"}}
ENCODED = {"status": 200, "body": b"\x1f\x8b", "headers": {"content-encoding": "gzip"}}


@pytest.mark.parametrize("odd", [UNASKED, ENCODED], ids=["unasked range", "gzip"])
def test_what_is_no_whole_file(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path, odd: dict[str, Any]
) -> None:
    """A range that nobody asked for, or encoded bytes, are a failed try and never the file."""
    job = aleph.wait(aleph.submit(clip, "night"))
    (tmp_path / "out.mp4.part").write_bytes(b"left behind")
    emulator.fault(Fault(operation="download", **odd))
    saved = aleph.download(job, tmp_path / "out.mp4")
    assert saved.path.read_bytes() == aleph.download(job, tmp_path / "again.mp4").path.read_bytes()
    emulator.fault(Fault(operation="download", times=None, **odd))
    with pytest.raises(DownloadError) as caught:
        aleph.download(job, tmp_path / "third.mp4")
    assert caught.value.job_id == job.id
    names = {"again.mp4", "out.mp4", "shot.mp4"}
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize(
    "url",
    [
        "http://☃..com/o.mp4",
        "http://xn--é/o.mp4",
        "http://[::1/o.mp4",
        "http://localhost:1/" + "o" * 70_000,
        " http://localhost:1/o.mp4",
        "http://user:p@ss@/o.mp4",
    ],
    ids=lambda url: url[:20],
)
def test_addresses_that_cannot_be_fetched(aleph: Any, tmp_path: Path, url: str) -> None:
    """Whatever a server calls an address, what comes of it is a DownloadError."""
    job = Job("some-job", "completed", outputs=(Output(url),))
    with pytest.raises(DownloadError) as caught:
        aleph.download(job, tmp_path / "out.mp4")
    assert caught.value.job_id == "some-job"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://[x]/", "http://xn--\xe9/", "http://localhost:99999/"]
)
def test_redirects_that_lead_nowhere(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path, location: str
) -> None:
    """A Location that is no address is a DownloadError too."""
    job = aleph.wait(aleph.submit(clip, "night"))
    emulator.fault(
        Fault(operation="download", status=302, times=None, headers={"location": location})
    )
    with pytest.raises(DownloadError) as caught:
        aleph.download(job, tmp_path / "out.mp4")
    assert caught.value.job_id == job.id
    assert [path.name for path in tmp_path.iterdir()] == ["shot.mp4"]


@pytest.mark.parametrize("name", ["\ud800.mp4", "x" * 252, "x" * 300, "x" * 300 + "/out.mp4"])
def test_names_that_no_file_can_have(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path, name: str
) -> None:
    """A name that could not be saved under is refused before anything is sent."""
    with pytest.raises(InvalidRequestError) as caught:
        aleph.transform(clip, "night", f"{tmp_path}/{name}")
    assert caught.value.field == "output"
    assert emulator.requests == []


def _writing(folder: Path) -> bool:
    return any(path.stat().st_size for path in folder.glob("*.part"))


def _left(folder: Path) -> list[str]:
    """Return what is in a folder once every worker thread has come to its end."""
    for thread in threading.enumerate():
        if "AnyIO" in thread.name:
            thread.join()
    gc.collect()  # an open file would be a ResourceWarning, and warnings are errors
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_download_leaves_nothing(
    emulator: Emulator, tmp_path: Path, backend: str
) -> None:
    """A download that is cancelled while it writes leaves no open file and no .part."""
    job = Job("some-job", "completed", outputs=(Output(f"{emulator.base_url}/files/x"),))

    async def main() -> None:
        async with emulator.async_aleph() as aleph, anyio.create_task_group() as group:
            group.start_soon(aleph.download, job, tmp_path / "out.mp4")
            while not _writing(tmp_path):  # noqa: ASYNC110 - a file has no event
                await anyio.sleep(0.001)
            group.cancel_scope.cancel()

    emulator.fault(Fault(operation="download", status=200, body=b"x" * 2**25, pace=2**17))
    anyio.run(main, backend=backend)
    assert _left(tmp_path) == []


def test_a_download_cancelled_at_any_turn(emulator: Emulator, tmp_path: Path) -> None:
    """Asyncio's own cancellation gives up worker threads; what they open or write is removed."""
    job = Job("some-job", "completed", outputs=(Output(f"{emulator.base_url}/files/x"),))

    async def main(turns: int) -> None:
        async with emulator.async_aleph() as aleph:
            task = asyncio.create_task(aleph.download(job, tmp_path / "out.mp4"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    endless = Fault(operation="download", status=200, body=b"x" * 2**20, pace=2**10, times=None)
    emulator.fault(endless)
    for turns in range(0, 60, 3):
        asyncio.run(main(turns))
        assert _left(tmp_path) == []
