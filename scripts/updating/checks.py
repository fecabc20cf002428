"""Trying the result of an update, in its own checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import bootstrap
from updating.report import Checks
from updating.workshop import lend

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_JOB: Final = """
import sys, tempfile
from pathlib import Path
import krea_aleph, krea_aleph_api
from krea_aleph.emulator import Emulator

root = Path(sys.argv[1]).resolve()
for package in (krea_aleph, krea_aleph_api):
    assert Path(package.__file__).resolve().is_relative_to(root), package.__file__
with tempfile.TemporaryDirectory() as folder:
    clip, result = Path(folder) / "in.mp4", Path(folder) / "out.mp4"
    clip.write_bytes(b"\\0\\0\\0\\x18ftypmp42" + bytes(1000))
    with Emulator(render=False) as emulator, emulator.aleph(virtual_time=True) as aleph:
        saved = aleph.transform(clip, "make it snow", result)
        assert saved.job.succeeded and result.stat().st_size
"""


def everything(root: Path) -> Checks:
    """Run `scripts/check` and `scripts/test` as a fresh checkout would."""
    for environment in (bootstrap.DEV, bootstrap.CODEGEN, bootstrap.DOCS):
        bootstrap.ensure(environment)
        lend(environment, root)
    python = sys.executable
    return _run(
        root,
        {
            "scripts/check": [python, "scripts/check"],
            "scripts/test": [python, "scripts/test"],
        },
    )


def the_least(root: Path) -> Checks:
    """Compare the generated code once more, and let the library do one job with its emulator."""
    pipeline = [str(bootstrap.CODEGEN.python), "-I", "scripts/codegen/__main__.py"]
    return _run(
        root,
        {
            "scripts/regenerate --check": [*pipeline, "--check"],
            "one job with the emulator": [sys.executable, "-W", "error", "-c", _JOB, str(root)],
        },
    )


def _run(root: Path, commands: Mapping[str, list[str]]) -> Checks:
    """Run one after another, until one fails."""
    outside = {name: said for name, said in os.environ.items() if not name.startswith("KREA_")}
    packages = os.pathsep.join([str(root), str(root / "generated")])
    ran: list[str] = []
    for name, command in commands.items():
        bootstrap.say(f"Running {name}")
        ran.append(name)
        done = subprocess.run(
            command,
            cwd=root,
            env={**outside, "PYTHONPATH": packages} if "-c" in command else outside,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            bootstrap.say(done.stdout)
            return Checks(tuple(ran), name, "\n".join(done.stdout.splitlines()[-60:]))
    return Checks(tuple(ran))
