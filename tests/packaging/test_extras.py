"""The core stands by itself: it works without any extra, and says which one is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from krea_aleph.emulator import Emulator

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
# Refuses to import whatever only an extra brings, as if it were not installed.
BLOCK = """
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""
EVERYTHING = """
import krea_aleph
for name in krea_aleph.__all__:
    getattr(krea_aleph, name)
from krea_aleph import contract, manifest, specdiff, storage, store, webhooks
from krea_aleph.testing import VirtualClock
"""
A_JOB = """
with krea_aleph.Aleph(api_key={key!r}, base_url={url!r}) as aleph:
    job = aleph.submit("https://example.com/in.mp4", "make it snow")
    assert aleph.wait(job).succeeded
"""


def _names(requirements: list[str]) -> set[str]:
    """Return the distributions that requirements ask for, in their normal spelling."""
    plain = (re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0] for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in plain}


def _packages(distributions: set[str]) -> set[str]:
    """Return what is imported from distributions."""
    owners = packages_distributions().items()
    return {package for package, names in owners if _names(names) & distributions}


EXTRAS = {name: _names(needs) for name, needs in PROJECT["optional-dependencies"].items()}
OPTIONAL = set().union(*EXTRAS.values()) - _names(PROJECT["dependencies"]) - {"krea-aleph"}
BLOCKED = _packages(OPTIONAL)


def _run(program: str) -> str:
    """Run a program without the extras; return what it prints."""
    code = BLOCK.format(blocked=BLOCKED) + program
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_extra_is_blocked() -> None:
    """Each extra that brings anything is really kept away from the programs below."""
    for name, needs in EXTRAS.items():
        assert name == "all" or _packages(needs) & BLOCKED, name


def test_the_core_without_extras() -> None:
    """Every public name is there and a job runs when no extra is installed."""
    with Emulator(render=False, job_seconds=0.01) as emulator:
        _run(EVERYTHING + A_JOB.format(key=emulator.key, url=emulator.base_url))


@pytest.mark.parametrize(
    ("program", "extra"),
    [
        ("from krea_aleph.durable import PostgresStore; PostgresStore", "durable"),
        ("from krea_aleph.durable import Durable; Durable", "durable"),
        ("from krea_aleph.emulator import Emulator; Emulator", "emulator"),
        ("import krea_aleph.tracing", "otel"),
        ("import krea_aleph.emulator.video", "preview"),
        ("import krea_aleph.preview", "preview"),
        ("from krea_aleph.storage import Storage; Storage().store('s3://clips')", "storage"),
    ],
)
def test_what_an_extra_is_for(program: str, extra: str) -> None:
    """What needs an extra says which one, in an error that is an ImportError, too."""
    said = _run(
        f"try:\n    {program}\nexcept ImportError as error:\n    print(type(error).__name__, error)"
    )
    assert f"krea-aleph[{extra}]" in said
    assert said.startswith("MissingExtraError")
