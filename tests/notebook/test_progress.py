"""`notebook.progress()`: outside of notebooks lines, and never in a job's way."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import Aleph, Job, Update, notebook
from krea_aleph.emulator import Emulator

from .conftest import Run

HOSTILE = "<script>\u202e\x1b]0;owned\x07\nline"


@pytest.fixture
def aleph(krea_emulator: Emulator) -> Iterator[Aleph]:
    """A client whose waiting takes no time."""
    with krea_emulator.aleph(virtual_time=True) as aleph:
        yield aleph


def done(aleph: Aleph, prompt: str = "snow") -> Job:
    """Have a job made, followed by a new listener."""
    job = aleph.submit("https://example.com/in.mp4", prompt)
    return aleph.wait(job, on_update=notebook.progress())


def test_each_change_is_a_line(aleph: Aleph, capsys: pytest.CaptureFixture[str]) -> None:
    """Outside of a notebook it says the same, on the standard error."""
    job = done(aleph)
    out, err = capsys.readouterr()
    assert not out
    lines = err.splitlines()
    assert lines[0].startswith(f"{job.id}: queued, waited 0 s, next look in ")
    assert lines[-1] == f"{job.id}: completed, took 3 s"


def test_hostile_words_steer_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A server's words are one line of text."""
    job = Job("j1", "failed", error_code=HOSTILE, error_message=HOSTILE)
    notebook.progress()(Update(job, 1.0))
    (line,) = capsys.readouterr().err.splitlines()
    assert "<script>" in line
    assert line.isprintable()


@pytest.mark.parametrize("closed", [False, True], ids=["none", "closed"])
def test_a_stream_that_is_gone_costs_no_job(
    aleph: Aleph, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, closed: bool
) -> None:
    """A program without a standard error still gets its video, and nothing is logged for it."""
    with Path(os.devnull).open("w") as stream:
        pass  # from here on it is closed
    monkeypatch.setattr(sys, "stderr", stream if closed else None)
    assert done(aleph).succeeded
    assert "on_update" not in caplog.text


MANY = """
from krea_aleph import Job, Update, notebook
show = notebook.progress()
for number in [*range(25), 7]:
    show(Update(Job(f"j{number}", "queued"), 1.0))
"""
HOSTILE_JOB = f"notebook.progress()(Update(Job('j1', {HOSTILE!r}), 1.0))"
BROKEN = """
from krea_aleph.emulator import Emulator
with Emulator(render=False) as emulator, emulator.aleph(virtual_time=True) as aleph:
    job = aleph.submit("https://example.com/in.mp4", "snow")
    publisher, get_ipython().display_pub = get_ipython().display_pub, None
    try:
        job = aleph.wait(job, on_update=notebook.progress())
    finally:
        get_ipython().display_pub = publisher
job.status
"""


@pytest.fixture(scope="module")
def shown(run: Run) -> list[list[dict[str, Any]]]:
    """What these cells show in a kernel."""
    return run([MANY, HOSTILE_JOB, BROKEN])


def test_many_jobs_are_one_display(shown: list[list[dict[str, Any]]]) -> None:
    """Each has a line, the one that has changed is last, and the newest twenty are shown."""
    (display,) = shown[0]
    lines = display["data"]["text/plain"].splitlines()
    numbers = [int(line.partition(":")[0][1:]) for line in lines]
    assert numbers == [5, 6, *range(8, 25), 7]


def test_hostile_words_are_text_in_a_notebook(shown: list[list[dict[str, Any]]]) -> None:
    """The display has elements of its own alone."""
    ((display,),) = shown[1:2]
    markup, plain = display["data"]["text/html"], display["data"]["text/plain"]
    assert "&lt;script&gt;" in markup
    assert "<script" not in markup
    assert "j1: <script>" in plain
    assert plain.isprintable()


def test_a_display_that_fails_costs_no_job(shown: list[list[dict[str, Any]]]) -> None:
    """Whatever becomes of the display, the job goes on, and nothing is said about it."""
    (result,) = shown[2]
    assert result["data"]["text/plain"] == "'completed'"
