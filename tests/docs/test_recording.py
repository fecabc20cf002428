"""The recording in README shows what the command line does, and brings nothing from outside."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import recording

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs/run.svg"
PROGRAM = (sys.executable, str(ROOT / "tests/support/cli_program.py"))
_SVG = "{http://www.w3.org/2000/svg}"


def _final_lines(picture: str) -> list[str]:
    """Return what it ends with, ids and figures left out."""
    texts = ET.fromstring(picture).iter(f"{_SVG}text")  # noqa: S314 - our own picture
    shown = [text.text or "" for text in texts if text.get("visibility") != "hidden"]
    figures = re.compile(r"[0-9a-f-]{36}|\b\d+(?:\.\d+)?(?: [kM]?B)?\b")
    return [figures.sub("n", line) for line in shown]


def test_the_recording_is_what_a_person_sees(tmp_path: Path) -> None:
    """The same command, run again, ends with the same lines."""
    frames = recording.record(tmp_path, PROGRAM, job_seconds=0.3)
    drawn, committed = recording.draw(frames), PICTURE.read_text("utf-8")
    assert _final_lines(drawn) == _final_lines(committed)
    assert _final_lines(committed)[-1].startswith("saved out.mp4")
    for status in ("queued", "processing"):
        assert status in committed


def test_the_command_of_the_recording() -> None:
    """What is shown as typed is what was run."""
    assert shlex.split(recording.COMMAND) == ["krea-aleph", *recording.ARGUMENTS]
    assert f"$ {recording.COMMAND}" in PICTURE.read_text("utf-8").replace("&quot;", '"')


def test_the_recording_is_small_and_alone() -> None:
    """It runs no program and names no other host but that of its own vocabulary."""
    text = PICTURE.read_text("utf-8")
    assert len(text) < 20_000
    assert set(re.findall(r"https?://[\w./]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<script|@import|url\(|href|on\w+=", text)
