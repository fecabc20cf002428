"""Transfers that are interrupted, killed, cancelled or out of room: kept, named, taken up again."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
import transfer_program

from krea_aleph import AuthenticationError, DownloadError, Job, PollPolicy, RetryPolicy
from krea_aleph.emulator import Emulator, Fault

COLOURS = ("sync", "asyncio", "trio")
BACKENDS = COLOURS[1:]
MIB = 2**20
SIZE = 6 * MIB

pytestmark = pytest.mark.krea_emulator(output_bytes=SIZE)


@pytest.fixture
def job(emulator: Emulator) -> Job:
    """A job that has succeeded."""
    with emulator.aleph(poll=PollPolicy(early=0.01)) as aleph:
        emulator.outcome(seconds=0.0)
        found = aleph.wait(aleph.submit("https://example.com/in.mp4", "night"))
    assert isinstance(found, Job)
    return found


@pytest.fixture
def expected(emulator: Emulator, job: Job, tmp_path: Path) -> str:
    """What the result hashes to, from a download in good weather."""
    with emulator.aleph() as aleph:
        saved = aleph.download(job, tmp_path / "reference.mp4")
    saved.path.unlink()
    return str(saved.sha256)


def held(folder: Path) -> list[str]:
    """Return the files of a folder that are open, and the threads of ours that run.

    A socket that is left open would be a ResourceWarning, and warnings are errors.
    """
    gc.collect()
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    targets = [os.path.realpath(link) for link in links]
    threads = [thread.name for thread in threading.enumerate() if thread.name == "krea-hash"]
    return [*(path for path in targets if path.startswith(str(folder))), *threads]


def slow(emulator: Emulator, pieces: int = 48) -> None:
    """Let the next download take its time."""
    emulator.fault(Fault(operation="download", pace=SIZE // pieces))


def begun(part: Path, size: int, process: subprocess.Popen[str]) -> None:
    """Return when so much of a part is there."""
    while not part.exists() or part.stat().st_size < size:
        with suppress(subprocess.TimeoutExpired):
            pytest.fail(f"it ended too early: {process.wait(0.002)}")


def resumed(emulator: Emulator, job: Job, output: Path) -> str:
    """Download in another way than before; return the hash and make sure that it was resumed."""
    with emulator.aleph() as aleph:
        saved = aleph.download(job, output)
    assert emulator.requests[-1].headers["range"].startswith("bytes=")
    assert emulator.requests[-1].status == 206
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    assert hashlib.sha256(output.read_bytes()).hexdigest() == saved.sha256
    return str(saved.sha256)


@pytest.fixture
def running(emulator: Emulator, job: Job, tmp_path: Path) -> Iterator[Any]:
    """Start a download in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(colour: str, pieces: int = 48) -> subprocess.Popen[str]:
        slow(emulator, pieces)
        program = [sys.executable, transfer_program.__file__, colour]
        arguments = [emulator.base_url, emulator.key, job.id, str(tmp_path / "out.mp4")]
        process = subprocess.Popen(
            [*program, *arguments], stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


@pytest.mark.parametrize("colour", COLOURS)
def test_ctrl_c_amid_a_download(
    running: Any, emulator: Emulator, job: Job, expected: str, tmp_path: Path, colour: str
) -> None:
    """Ctrl-C ends it at once, says where the beginning is, and the next process goes on there."""
    process = running(colour)
    begun(tmp_path / "out.mp4.part", 2 * MIB, process)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in words
    assert f"is in {tmp_path / 'out.mp4.part'}" in words
    assert f"download({job.id!r}" in words
    assert resumed(emulator, job, tmp_path / "out.mp4") == expected


@pytest.mark.parametrize("colour", COLOURS)
def test_a_process_that_is_killed(
    running: Any, emulator: Emulator, job: Job, expected: str, tmp_path: Path, colour: str
) -> None:
    """What a killed process has left is taken up, and what it may not have written whole is not."""
    process = running(colour)
    begun(tmp_path / "out.mp4.part", 3 * MIB, process)
    process.kill()
    process.wait()
    assert not (tmp_path / "out.mp4").exists()
    assert resumed(emulator, job, tmp_path / "out.mp4") == expected


@pytest.mark.long
@pytest.mark.parametrize("seed", range(60))
def test_processes_that_are_killed_at_any_point(
    running: Any, emulator: Emulator, job: Job, expected: str, tmp_path: Path, seed: int
) -> None:
    """Wherever kills hit, the file is whole in the end and nothing else is left."""
    chance = random.Random(seed)  # noqa: S311 - reproducible
    for _ in range(3):
        process = running(chance.choice(COLOURS))
        try:
            process.wait(chance.uniform(0.2, 1.2))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        if (tmp_path / "out.mp4").exists():
            break
    with emulator.aleph() as aleph:
        saved = aleph.download(job, tmp_path / "out.mp4", exists="keep")
    assert saved.sha256 == expected
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_two_processes_at_once(
    running: Any, emulator: Emulator, job: Job, expected: str, tmp_path: Path
) -> None:
    """Each has a part of its own; the second to finish does not overwrite what the first saved."""
    first = running("sync", 900)
    begun(tmp_path / "out.mp4.part", MIB, first)
    second = running("asyncio", 300)
    begun(tmp_path / "out.mp4.2.part", MIB, second)
    codes = [process.wait(60) for process in (first, second)]
    assert sorted(codes) == [0, 1]
    loser = first if first.returncode else second
    assert "made by somebody else meanwhile" in (loser.stderr.read() if loser.stderr else "")
    assert hashlib.sha256((tmp_path / "out.mp4").read_bytes()).hexdigest() == expected
    with emulator.aleph() as aleph:
        aleph.download(job, tmp_path / "out.mp4", exists="replace")
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cancelled_download_is_kept(
    emulator: Emulator, job: Job, expected: str, tmp_path: Path, backend: str
) -> None:
    """Cancellation leaves the beginning, and neither an open file nor a thread."""
    part = tmp_path / "out.mp4.part"
    noted: list[str] = []

    async def download(aleph: Any) -> None:
        try:
            await aleph.download(job, tmp_path / "out.mp4")
        except BaseException as error:
            noted.extend(error.__notes__)
            raise

    async def main() -> None:
        async with emulator.async_aleph() as aleph, anyio.create_task_group() as group:
            slow(emulator)
            group.start_soon(download, aleph)
            while not part.exists() or part.stat().st_size < MIB:  # noqa: ASYNC110 - no event
                await anyio.sleep(0.001)
            group.cancel_scope.cancel()

    anyio.run(main, backend=backend)
    assert any(f"is in {part}" in note for note in noted)
    assert held(tmp_path) == []
    assert resumed(emulator, job, tmp_path / "out.mp4") == expected


def test_a_task_that_is_cancelled_by_asyncio(
    emulator: Emulator, job: Job, expected: str, tmp_path: Path
) -> None:
    """Asyncio's own cancellation gives up worker threads; what they had written is kept."""
    part = tmp_path / "out.mp4.part"

    async def main() -> list[str]:
        async with emulator.async_aleph() as aleph:
            slow(emulator)
            task = asyncio.create_task(aleph.download(job, tmp_path / "out.mp4"))
            while not part.exists() or part.stat().st_size < MIB:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            return list(caught.value.__notes__)

    assert any(f"is in {part}" in note for note in asyncio.run(main()))
    assert held(tmp_path) == []
    assert resumed(emulator, job, tmp_path / "out.mp4") == expected


def test_a_key_that_is_refused_amid_a_download(
    open_client: Any, emulator: Emulator, job: Job, expected: str, tmp_path: Path
) -> None:
    """When an address has run out and the key too, the beginning stays, and the error names it."""
    emulator.fault(Fault(operation="download", cut=2 * MIB))
    emulator.fault(Fault(operation="download", nth=2, status=403))
    emulator.fault(Fault(operation="get_job", status=401))
    with pytest.raises(AuthenticationError) as caught:
        open_client().download(job, tmp_path / "out.mp4")
    assert f"is in {tmp_path / 'out.mp4.part'}" in str(caught.value)
    assert (caught.value.job_id, caught.value.resubmit) == (job.id, "never")
    assert resumed(emulator, job, tmp_path / "out.mp4") == expected


def test_a_disk_that_is_full(
    open_client: Any, emulator: Emulator, job: Job, expected: str, tmp_path: Path
) -> None:
    """The beginning is kept and named; when there is room, only the rest is fetched."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, limits[1]))
    try:
        with pytest.raises(DownloadError, match="File too large") as caught:
            open_client().download(job, tmp_path / "out.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.part == tmp_path / "out.mp4.part"
    assert caught.value.part.stat().st_size == 2 * MIB
    assert resumed(emulator, job, tmp_path / "out.mp4") == expected


def test_a_connection_that_breaks_again_and_again(
    open_client: Any, emulator: Emulator, job: Job, expected: str, tmp_path: Path
) -> None:
    """Each failed call leaves more than it has found, until the file is whole."""
    emulator.fault(Fault(operation="download", cut=MIB, times=None))
    aleph = open_client(retry=RetryPolicy(attempts=1))
    sizes = []
    for _ in range(3):
        with pytest.raises(DownloadError) as caught:
            aleph.download(job, tmp_path / "out.mp4")
        assert caught.value.part is not None
        sizes.append(caught.value.part.stat().st_size)
    assert sizes == [MIB, 2 * MIB, 3 * MIB]
    emulator.reset()
    assert expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cancelled_upload_leaves_nothing(
    emulator: Emulator, tmp_path: Path, backend: str
) -> None:
    """The next upload of the same file does not wait for one that was cancelled."""
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"\0\0\0\x18ftypisom".ljust(3 * MIB, b"\0"))

    async def main() -> None:
        async with emulator.async_aleph() as aleph:
            emulator.fault(Fault(operation="upload_asset", stall=30.0))
            with anyio.move_on_after(0.3) as scope:
                await aleph.upload(clip)
            assert scope.cancelled_caught
            with anyio.fail_after(10):
                assert (await aleph.upload(clip)).size_bytes == 3 * MIB

    anyio.run(main, backend=backend)
    assert held(tmp_path) == []
