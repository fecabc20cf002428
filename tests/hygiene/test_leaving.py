"""A program that is told to end leaves its paid job as it was told to, and says how to go on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from krea_aleph.emulator import Emulator, Fault

PROGRAM = Path(__file__).parents[1] / "support/leaving_program.py"
ENDS = {
    ("sync", signal.SIGINT): "KeyboardInterrupt",
    ("sync", signal.SIGTERM): "SystemExit",
    ("asyncio", signal.SIGINT): "CancelledError",
    ("asyncio", signal.SIGTERM): "CancelledError",
    ("trio", signal.SIGINT): "KeyboardInterrupt Cancelled",
    ("trio", signal.SIGTERM): "Cancelled",
}


@contextmanager
def waiting(emulator: Emulator, colour: str, abandon: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program that waits for a job, and give it when it does."""
    arguments = [sys.executable, str(PROGRAM), colour, abandon, emulator.base_url, emulator.key]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "waiting\n"
            yield process
        finally:
            process.kill()


def outcome(process: subprocess.Popen[str]) -> tuple[str, list[str], str]:
    """Wait for its end, and return what ended it, with which notes, and what it showed."""
    shown, errors = process.communicate(timeout=20)
    (line,) = [line for line in shown.splitlines() if line.startswith("[")]
    kind, notes = json.loads(line)
    return kind, notes, errors


@pytest.mark.krea_emulator(job_seconds=600)
@pytest.mark.parametrize("abandon", ["leave", "cancel"])
@pytest.mark.parametrize(("colour", "number"), ENDS, ids=str)
def test_a_signal(emulator: Emulator, colour: str, number: signal.Signals, abandon: str) -> None:
    """Real signals, in each colour: the job is left or cancelled, and the exception says which."""
    with waiting(emulator, colour, abandon) as process:
        process.send_signal(number)
        kind, notes, errors = outcome(process)
    (job,) = emulator.jobs
    assert kind in ENDS[colour, number].split()
    (note,) = notes
    assert job.id in note
    if abandon == "cancel":
        assert "outcome: cancelled" in note
        assert job.status == "cancelled"
    else:
        assert f"wait({job.id!r})" in note
        assert job.status not in {"cancelled", "completed"}
    assert f"left account=default job={job.id}" in errors or job.id in errors
    assert process.returncode != 0 or (colour, number) == ("trio", signal.SIGTERM)


@pytest.mark.long
@pytest.mark.krea_emulator(job_seconds=600)
@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
@pytest.mark.parametrize("operation", ["get_job", "delete_job"])
def test_a_server_that_is_silent_holds_nobody(
    emulator: Emulator, colour: str, operation: str
) -> None:
    """Cancelling is best effort for at most five seconds; what came of it is told as it was."""
    with waiting(emulator, colour, "cancel") as process:
        emulator.fault(Fault(operation=operation, stall=120.0, times=None))
        process.send_signal(signal.SIGTERM)
        kind, (note,), errors = outcome(process)
    assert kind == ENDS[colour, signal.SIGTERM]
    assert "outcome: unknown" in note
    assert emulator.jobs[0].id in note
    assert emulator.jobs[0].id in errors


@pytest.mark.krea_emulator(job_seconds=600)
def test_a_second_signal_ends_the_cleaning_up(emulator: Emulator) -> None:
    """Whoever insists gets out at once, with the id all the same."""
    with waiting(emulator, "sync", "cancel") as process:
        emulator.fault(Fault(operation="get_job", stall=120.0, times=None))
        count = len(emulator.requests)
        process.send_signal(signal.SIGTERM)
        while len(emulator.requests) == count:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        kind, (note,), _ = outcome(process)
    assert kind == "SystemExit"
    assert f"Job {emulator.jobs[0].id} was asked to be cancelled; outcome: unknown" in note
