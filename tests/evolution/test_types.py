"""A type checker sees what Krea has changed, after a regeneration and without handwritten edits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from evolution.matrix import build_version

PROGRAM = """\
from pathlib import Path
from krea_aleph import Aleph

def run(aleph: Aleph) -> None:
    aleph.submit("in.mp4", "snow", audience="private", output_="webm", negative_prompt=None)
    aleph.submit("in.mp4", "snow", audience="public", ratio="1920:1080", seed=7)
    aleph.submit("in.mp4", "snow", audience="public", scene={"backdrop": Path("a.png")})
    aleph.transform("in.mp4", "snow", "out.mp4", audience="private", output_="mp4")
    aleph.submit("in.mp4", "snow")  # wrong: audience is demanded
    aleph.submit("in.mp4", "snow", audience="nobody")  # wrong
    aleph.submit("in.mp4", "snow", audience="public", output_="gif")  # wrong
    aleph.submit("in.mp4", "snow", audience="public", scene={"backdrop": 7})  # wrong
    aleph.submit("in.mp4", "snow", audience="public", ratio="640:480")  # wrong: it is gone
    aleph.submit("in.mp4", "snow", audience="public", references=[])  # wrong: they are gone
    aleph.submit("in.mp4", "snow", audience="public", init_image_url="a")  # wrong: it was renamed
"""


def test_what_is_new_is_typed_and_what_is_gone_is_flagged(tmp_path: Path, tools: Path) -> None:
    """New options have types, one that is called like our parameter too; old ones are errors."""
    library = build_version("next-b", tmp_path, tools)
    (tmp_path / "program.py").write_text(PROGRAM)
    options = ["--strict", "--config-file=", "--no-incremental", f"--cache-dir={os.devnull}"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    flagged = {int(number) for number in re.findall(r"program\.py:(\d+): error", done.stdout)}
    lines = enumerate(PROGRAM.splitlines(), start=1)
    assert flagged == {number for number, line in lines if "# wrong" in line}, done.stdout
