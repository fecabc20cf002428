"""The public API as users' type checkers see it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
CHECKERS = {
    "mypy": ["mypy", "--strict", "--no-incremental", "--cache-dir", os.devnull],
    "pyright": ["pyright", "--pythonpath", sys.executable],
}

MISTAKES = {
    "misspelt option": 'aleph.submit("in.mp4", "snow", sede=1)',
    "unknown ratio": 'aleph.submit("in.mp4", "snow", ratio="1:1")',
    "seed as text": 'aleph.submit("in.mp4", "snow", seed="1")',
    "misspelt nested key": 'aleph.submit("a.mp4", "b", references=[{"type": "image", "url": "c"}])',
    "misspelt client option": 'Aleph(api_kye="id:secret")',
    "policy as text": 'aleph.download("id", "out.mp4", exists="overwrite")',
    "number as job": "aleph.get(7)",
    "misspelt name": "krea_aleph.Alef",
    "assignment to a value": 'aleph.get("id").status = "completed"',
}

REVEALED = {
    'aleph.submit("in.mp4", "snow")': "Job",
    'aleph.get("id").status': "str",
    'aleph.get("id").finished': "bool",
    'aleph.get("id").outputs[0].url': "str",
    'aleph.transform("in.mp4", "snow", "out.mp4")': "Saved",
    'aleph.download("id", "out.mp4").paths[0]': "Path",
    'aleph.cancel("id")': "Cancellation",
    'aleph.upload("in.mp4")': "Asset",
    'next(aleph.watch("id")).elapsed': "float",
    "next(aleph.list_jobs())": "Job",
    "krea_aleph.PollPolicy().early": "float",
}


def _check(checker: str, *files: Path) -> tuple[int, str]:
    """Check files of one folder outside the checkout, as a user of the installed library does."""
    done = subprocess.run(
        [sys.executable, "-m", *CHECKERS[checker], *(file.name for file in files)],
        cwd=files[0].parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def _program(folder: Path, *lines: str) -> Path:
    file = folder / "program.py"
    head = ["import krea_aleph", "from krea_aleph import Aleph", "aleph = Aleph()"]
    file.write_text("\n".join([*head, *lines, ""]))
    return file


@pytest.mark.parametrize("checker", CHECKERS)
def test_programs_with_every_verb_are_accepted(checker: str, tmp_path: Path) -> None:
    """What the documentation teaches, strict type checkers accept."""
    files = [Path(shutil.copy(path, tmp_path)) for path in sorted(PROGRAMS.glob("*.py"))]
    assert len(files) > 1
    status, said = _check(checker, *files)
    assert status == 0, said


@pytest.mark.parametrize("checker", CHECKERS)
def test_mistakes_are_refused(checker: str, tmp_path: Path) -> None:
    """Each misspelling and each wrong type is an error on its own line."""
    file = _program(tmp_path, *MISTAKES.values())
    _, said = _check(checker, file)
    flagged = {int(number) for number in re.findall(r"program\.py:(\d+).*error", said)}
    missed = [name for line, name in enumerate(MISTAKES, start=4) if line not in flagged]
    assert missed == [], said


@pytest.mark.parametrize("checker", CHECKERS)
def test_results_have_types(checker: str, tmp_path: Path) -> None:
    """Jobs, statuses and files are what they are, never Any."""
    file = _program(tmp_path, *(f"reveal_type({expression})" for expression in REVEALED))
    status, said = _check(checker, file)
    assert status == 0, said
    types = re.findall(r'(?:Revealed type is "|Type of ".*" is ")(?:[\w]+\.)*(\w+)"', said)
    assert types == list(REVEALED.values())
