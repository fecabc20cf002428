"""From bucket to bucket, killed on the way, and taken up again: one job paid, one object, whole."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bucket_program
import pytest

from buckets import Bucket, use_environment, wait_until
from colours import CLIP, COLOURS
from krea_aleph.emulator import Emulator

RESULT = CLIP * 9000  # so large that it goes up in parts
# The request in which the process is killed, and how many of its kind come before.
STAGES = {
    "the clip is read": ("GET", "in.mp4", 2),
    "the first part is written": ("PUT", "partNumber=1", 0),
    "a later part is written": ("PUT", "partNumber=3", 0),
    "the object is completed": ("POST", "uploadId=", 0),
}
pytestmark = pytest.mark.krea_emulator(job_seconds=0.05)


@pytest.fixture
def start(
    emulator: Emulator, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the program, which restyles ``in.mp4`` to ``out.mp4`` of the bucket."""
    use_environment(monkeypatch, bucket)
    started: list[subprocess.Popen[str]] = []

    def begin(colour: str, store: str = "jobs") -> subprocess.Popen[str]:
        arguments = [colour, emulator.base_url, emulator.key, str(tmp_path / f"{store}.sqlite3")]
        arguments += [f"{bucket.url}/in.mp4", f"{bucket.url}/out.mp4"]
        process = subprocess.Popen(
            [sys.executable, bucket_program.__file__, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_with_what_the_environment_says(start: Any, bucket: Bucket, emulator: Emulator) -> None:
    """Who has set the usual variables needs nothing else."""
    bucket.put("in.mp4", CLIP)
    printed, words = start("sync").communicate(timeout=60)
    assert printed.startswith(f"{bucket.url}/out.mp4 "), words
    assert bucket.keys == ["in.mp4", "out.mp4"]
    assert emulator.accepted == 1


@pytest.mark.parametrize("colour", COLOURS)
def test_ctrl_c(colour: str, start: Any, bucket: Bucket, emulator: Emulator) -> None:
    """A program that is interrupted while it writes ends as Python does, and says how to go on."""
    emulator.outcome(output=RESULT)
    bucket.put("in.mp4", CLIP)
    reached, over = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        over.wait(60)

    bucket.gate.trouble("PUT", "partNumber=2", status=None, before=hold)
    process = start(colour)
    assert reached.wait(60), process.communicate()
    process.send_signal(signal.SIGINT)
    over.set()
    _, words = process.communicate(timeout=60)
    assert process.returncode in {1, 130, -signal.SIGINT}
    assert "KeyboardInterrupt" in words
    assert "download(" in words
    assert bucket.keys == ["in.mp4"]
    assert bucket.unfinished == []


@pytest.mark.parametrize("stage", ["a later part is written"])
def test_killed_and_resumed(stage: str, start: Any, bucket: Bucket, emulator: Emulator) -> None:
    """The second process goes on with the job of the first, and the object is whole."""
    kill(stage, "sync", start, bucket, emulator)


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("colour", COLOURS)
def test_killed_at_every_stage(
    stage: str, colour: str, start: Any, bucket: Bucket, emulator: Emulator
) -> None:
    """Wherever it is killed, in whichever colour."""
    kill(stage, colour, start, bucket, emulator)


@pytest.mark.parametrize("known", [True, False])
def test_killed_in_the_only_request(
    known: bool, start: Any, bucket: Bucket, emulator: Emulator
) -> None:
    """Whether the store has had it whole or not: the next process finds its own, or writes it."""
    emulator.outcome(output=CLIP)
    bucket.put("in.mp4", CLIP)
    reached, killed = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        killed.wait(60)

    status = None if known else 500
    bucket.gate.trouble("PUT", "out.mp4", status=status, before=hold)
    process = start("sync")
    assert reached.wait(60), process.communicate()
    process.kill()
    process.communicate()
    assert bucket.keys == ["in.mp4"]
    killed.set()
    if known:
        wait_until(lambda: bucket.get("out.mp4"))
    bucket.gate.calm()
    printed, words = start("sync").communicate(timeout=60)
    assert printed.startswith(f"{bucket.url}/out.mp4 "), words
    found = bucket.get("out.mp4")
    assert found is not None
    assert found[0] == CLIP
    assert bucket.keys == ["in.mp4", "out.mp4"]
    assert emulator.accepted == 1


def kill(stage: str, colour: str, start: Any, bucket: Bucket, emulator: Emulator) -> None:
    """Kill a process at a stage, start another one, and look at what has become of it all."""
    method, path, before = STAGES[stage]
    emulator.outcome(output=RESULT)
    bucket.put("in.mp4", CLIP + bytes(9 * 2**20))
    reached, killed = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        killed.wait(60)

    bucket.gate.trouble(method, path, status=None, times=before)
    bucket.gate.trouble(method, path, before=hold)
    process = start(colour)
    assert reached.wait(60), process.communicate()
    process.kill()
    process.communicate()
    assert bucket.keys == ["in.mp4"]  # what was sent in parts is in nobody's sight
    killed.set()
    bucket.gate.calm()
    printed, words = start(colour).communicate(timeout=60)
    assert printed.startswith(f"{bucket.url}/out.mp4 "), words
    found = bucket.get("out.mp4")
    assert found is not None
    assert found[0] == RESULT
    assert bucket.keys == ["in.mp4", "out.mp4"]
    assert emulator.accepted == 1


@pytest.mark.long
@pytest.mark.parametrize("colour", COLOURS)
def test_memory(colour: str, start: Any, bucket: Bucket, emulator: Emulator) -> None:
    """Neither the size of the clip nor that of the result is seen in what the process takes."""
    growths: list[int] = []
    for clip, result, store in ((2**20, 2**20, "small"), (74 * 10**6, 300 * 2**20, "large")):
        emulator.outcome(output=CLIP.ljust(result, b"\1"))
        bucket.put("in.mp4", CLIP.ljust(clip, b"\2"))
        bucket.delete("out.mp4")
        printed, words = start(colour, store).communicate(timeout=120)
        assert printed, words
        growths.append(int(printed.split()[1]))
    small, large = growths
    assert large - small < 64 * 2**20
