"""What somebody sees at a terminal: recordings of whole commands, compared as text.

A small terminal shows what is written, state by state. Ids, times and rates differ from run to run
and are replaced by words of the same kind.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from krea_aleph.emulator import Emulator
from screen import Screen

from .conftest import PROGRAM, URL

ROWS = 24
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What moves shows the beginning of an id.
SHORT = 8
SHORT_ID = re.compile(r"^[0-9a-f]{8}(?= )", re.MULTILINE)


class Recording:
    """A command that somebody has watched."""

    def __init__(self, screen: Screen, code: int) -> None:
        self.code = code
        self.cursor_shown = screen.cursor_shown
        self.frames = [plain(frame) for frame in screen.frames]
        self.last = plain(screen.text)

    def saw(self, pattern: str) -> bool:
        """Whether some state had such a line."""
        return any(re.search(pattern, frame, re.MULTILINE) for frame in self.frames)


def plain(text: str) -> str:
    """Replace what differs from run to run."""
    text = ID.sub("JOB", text)
    text = SHORT_ID.sub("JOB", text)
    text = re.sub(r", [\d.]+ [kMG]?B/s", ", RATE", text)
    text = re.sub(r"in-[0-9a-f]{12}", "in-DIGEST", text)
    return re.sub(r"\b\d+ s\b", "N s", text)


Record = Callable[..., Recording]


@pytest.fixture
def record(environment: dict[str, str]) -> Record:
    """Run a command at a terminal of some columns, and watch it."""

    def watch(columns: int, *arguments: str, **variables: str) -> Recording:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        given = {**environment, "TERM": "xterm-256color", **variables}
        given.pop("COLUMNS")
        screen = Screen(columns)
        with subprocess.Popen(
            [sys.executable, str(PROGRAM), *arguments],
            env=given,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as process:
            os.close(theirs)
            for text in iter(lambda: read(ours), ""):
                screen.feed(text)
        os.close(ours)
        return Recording(screen, process.returncode)

    return watch


def read(terminal: int) -> str:
    """Return what was written to a terminal; nothing once nobody can write any more."""
    try:
        return os.read(terminal, 65536).decode()
    except OSError:
        return ""


@pytest.mark.parametrize("columns", [80, 200])
def test_a_run(record: Record, server: Emulator, clip: str, columns: int) -> None:
    """One line a job while it runs; what is left is what is worth keeping."""
    server.outcome(seconds=1, statuses={"processing": 0.5, "sampling": 0.5})
    seen = record(columns, "run", clip, "make it snow", "-o", "out.mp4")
    assert seen.code == 0
    assert seen.last == (
        "uploaded 1.0 kB, RATE\n"
        "submitted as job JOB\n"
        "JOB: completed, took N s\n"
        "downloaded 65.5 kB, RATE\n"
        "saved out.mp4, 65.5 kB"
    )
    for status in ("processing", "sampling"):
        assert seen.saw(rf"^JOB {status}, waited N s(, next look in N s)?$")
    assert not seen.saw("looking")  # nobody tells of the looks between two changes
    assert seen.cursor_shown


@pytest.mark.parametrize("columns", [80, 200])
def test_a_batch(record: Record, server: Emulator, clip: str, columns: int) -> None:
    """A table of what is in flight, and a line for each row that failed."""
    server.outcome(seconds=1, times=None, statuses={"processing": 0.5, "sampling": 0.5})
    Path("shots.csv").write_text(
        f"video,prompt,seed\n{clip},make it snow,1\n{clip},make it rain,seven\n{clip},night,3\n"
    )
    seen = record(columns, "batch", "shots.csv", "--out", "o")
    failed = (
        "row 2 (line 3) failed: seed: 'seven' is not a number. Write digits with a full stop, such"
        " as 7 or 0.5."
    )
    assert seen.code == 3
    lines = seen.last.splitlines()
    first, third = (f"row {row}: saved o/in-DIGEST.mp4, 65.5 kB" for row in (1, 3))
    assert sorted(lines[:-2]) == [first, failed, third]
    assert lines[-2:] == [failed, "2 done, 1 failed"]  # once more, where it can be seen
    for status in ("processing", "sampling"):
        assert seen.saw(rf"^[01] done, 1 failed, [12] in flight\n(.+\n)?JOB  {status} +N s$")
    assert seen.cursor_shown


def test_a_terminal_that_is_too_narrow(record: Record, server: Emulator, clip: str) -> None:
    """Lines that move are cut rather than wrapped; what stays is whole."""
    server.outcome(seconds=0.5)
    seen = record(20, "run", clip, "make it snow", "-o", "out.mp4")
    assert seen.code == 0
    assert seen.last.endswith("saved out.mp4, 65.5 kB")
    assert seen.saw("…$")
    moving = {line for frame in seen.frames for line in frame.splitlines() if line.endswith("…")}
    shown = max(map(len, moving)) - len("JOB") + SHORT  # the terminal's own ^C still fits behind it
    assert shown == 20 - len("^C")


def test_an_error(record: Record, server: Emulator) -> None:
    """It names what happened, what it cost, and how to go on."""
    server.outcome(status="failed", error={"code": "nsfw", "message": "blocked \x1b[2J"})
    seen = record(80, "run", URL, "make it snow", "-o", "out.mp4")
    assert seen.code == 7
    assert seen.last == (
        "submitted as job JOB\n"
        "error: job JOB was rejected by moderation: nsfw: blocked ?[2J.\n"
        "charged:   unknown\n"
        "resubmit:  pointless\n"
        "hint:      Change the prompt or the input: the same request will be refused again.\n"
        "job:       JOB"
    )


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"CI": "true"}])
def test_colours_and_movement_can_be_had_without(
    record: Record, server: Emulator, variables: dict[str, str]
) -> None:
    """NO_COLOR takes the colours away, a dumb terminal and CI the movement as well."""
    server.outcome(status="failed")
    seen = record(80, "run", URL, "snow", "-o", "out.mp4", **variables)
    assert seen.code == 3
    assert "error: job JOB failed" in seen.last


def test_a_list_on_a_terminal_is_a_table(record: Record, server: Emulator) -> None:
    """People get headings, programs get tabs."""
    with server.aleph() as aleph:
        aleph.submit(URL, "snow")
    seen = record(80, "list")
    assert re.fullmatch(r"id +status +created_at\nJOB +[\w-]+ +[\d-]+ [\d:]+", seen.last), seen.last


def test_an_id_in_a_narrow_table_is_whole(record: Record, server: Emulator) -> None:
    """The terminal wraps the line, so that what is copied has no end of line in it."""
    with server.aleph() as aleph:
        aleph.submit(URL, "snow")
    seen = record(30, "list")
    assert re.fullmatch(r"JOB +[\w-]+ +[\d-]+ [\d:]+", seen.last.splitlines()[1]), seen.last
