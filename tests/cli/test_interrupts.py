"""Ctrl-C and SIGTERM, by real signals: what becomes of the job, and how to go on."""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from krea_aleph.emulator import Emulator, Fault

from .conftest import PROGRAM, URL, Start

RUN = ("run", URL, "snow", "-o", "out.mp4")


class Running:
    """The command, under way."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.told = ""

    def until(self, words: str) -> None:
        """Return when it has said something on its standard error."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.told += line
            if words in line:
                return
        pytest.fail(f"it ended without {words!r}: {self.told}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """Return its exit code, its output, and all that it has said."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, self.told + err


def until_asked(server: Emulator, operation: str) -> None:
    """Return when a request has arrived."""
    while not any(request.operation == operation for request in server.requests):
        pass


Begin = Callable[..., Running]


@pytest.fixture
def begin(environment: dict[str, str]) -> Iterator[Begin]:
    """Start the command, and go on while it runs."""
    begun: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> Running:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *arguments],
            env=environment,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        begun.append(process)
        return Running(process)

    yield start
    for process in begun:
        with process:
            process.kill()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_once_leaves_the_job_and_says_how_to_go_on(
    server: Emulator, begin: Begin, program: Start, number: signal.Signals
) -> None:
    """The command that is printed fetches the result of the job that was left."""
    server.outcome(seconds=1)
    running = begin(*RUN)
    running.until("queued")
    running.signal(number)
    code, out, told = running.end()
    (job,) = server.jobs
    assert (code, out) == (130, "")
    assert "interrupted: the job goes on." in told
    (command,) = (line.partition("go on:")[2] for line in told.splitlines() if "go on:" in line)
    words = shlex.split(command)
    assert words == ["krea-aleph", "wait", job.id, "-o", "out.mp4"]
    done = program(*words[1:])
    assert (done.code, done.out) == (0, "out.mp4\n"), done.err
    assert Path("out.mp4").exists()
    assert server.accepted == 1


def test_the_same_command_goes_on_as_well(server: Emulator, begin: Begin, program: Start) -> None:
    """Who repeats the command does not pay again."""
    server.outcome(seconds=1)
    running = begin(*RUN)
    running.until("queued")
    running.signal(signal.SIGINT)
    running.end()
    assert program(*RUN).code == 0
    assert server.accepted == 1


def test_once_cancels_the_job_when_that_was_chosen(server: Emulator, begin: Begin) -> None:
    """`--abandon cancel` leaves no job that nobody waits for."""
    server.outcome(seconds=1000)
    running = begin(*RUN, "--abandon", "cancel")
    running.until("queued")
    running.signal(signal.SIGTERM)
    code, _, told = running.end()
    assert code == 130
    assert "interrupted: the job was asked to be cancelled: cancelled." in told
    assert server.jobs[0].status == "cancelled"


def test_twice_quits_at_once(server: Emulator, begin: Begin) -> None:
    """Who insists does not wait for a server that does not answer."""
    server.outcome(seconds=1000)
    server.fault(Fault(operation="delete_job", stall=float("inf")))
    running = begin(*RUN, "--abandon", "cancel", "--verbose")
    running.until("queued, waited 0 s")
    running.signal(signal.SIGINT)
    until_asked(server, "delete_job")  # and it hangs from here on
    running.signal(signal.SIGINT)
    code, _, told = running.end()
    assert code == 130
    assert f"job {server.jobs[0].id}; krea-aleph wait {server.jobs[0].id} -o out.mp4" in told
    assert "Traceback" not in told


def test_an_interrupted_request_is_looked_for(
    server: Emulator, begin: Begin, program: Start
) -> None:
    """Who interrupts the very request that pays is told how to find out what became of it."""
    server.fault(Fault(operation="create_aleph_job", stall=float("inf"), accept=True))
    running = begin(*RUN, "--new", "--exclusive")
    until_asked(server, "create_aleph_job")
    running.signal(signal.SIGINT)
    code, _, told = running.end()
    assert code == 130
    assert "interrupted: a job may have been started" in told
    (command,) = (line.partition("go on:")[2] for line in told.splitlines() if "go on:" in line)
    words = shlex.split(command)
    assert words[1] == "recover"
    done = program(*words[1:], "--settle", "0")
    assert (done.code, done.out) == (0, f"{server.jobs[0].id}\n"), done.err


def test_a_document_says_that_it_was_interrupted(server: Emulator, begin: Begin) -> None:
    """`--json` holds here, too."""
    server.outcome(seconds=1000)
    running = begin(*RUN, "--json")
    assert running.process.stdout is not None
    first = running.process.stdout.readline()
    running.signal(signal.SIGINT)
    code, out, told = running.end()
    documents = [json.loads(line) for line in (first + out).splitlines()]
    assert (code, told) == (130, "")
    assert documents[-1]["error"] == "Interrupted"
    assert documents[-1]["job_id"] == server.jobs[0].id
    assert documents[-1]["exit_code"] == 130


def test_a_batch_says_what_is_left_and_goes_on(
    server: Emulator, begin: Begin, program: Start
) -> None:
    """The same command finishes what was left, and pays for nothing twice."""
    Path("shots.csv").write_text("video,prompt\n" + f"{URL},a\n{URL},b\n")
    server.outcome(seconds=1, times=2)
    running = begin("batch", "shots.csv", "--out", "o")
    running.until("queued")
    running.until("queued")
    running.signal(signal.SIGINT)
    code, _, told = running.end()
    assert code == 130
    assert "2 jobs of the batch were in flight and are left as they are." in told
    assert "go on:     krea-aleph batch shots.csv --out o" in told
    done = program("batch", "shots.csv", "--out", "o")
    assert done.code == 0, done.err
    assert done.err.endswith("\n2 done, 0 failed\n")
    assert server.accepted == 2


def test_the_emulator_ends_quietly(begin: Begin) -> None:
    """Ctrl-C is how an emulator is meant to end."""
    running = begin("emulator", "--port", "0", "--no-render")
    assert running.process.stdout is not None
    address = running.process.stdout.readline()
    assert address.startswith("export KREA_BASE_URL=http://127.0.0.1:")
    running.signal(signal.SIGINT)
    code, _, told = running.end()
    assert code == 0
    assert "Traceback" not in told
    assert f"make bad weather: {address.strip().partition('=')[2]}/" in told
