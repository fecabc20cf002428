"""What a command costs before it does anything: which modules it imports."""

import json
import subprocess
import sys

import pytest

LISTING = """
import json, sys
from krea_aleph.cli import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
HEAVY = {"httpx", "httpcore", "av", "anyio", "krea_aleph_api", "starlette", "PIL", "sqlite3"}


def imported(*arguments: str) -> set[str]:
    """Run a command in a process of its own, and return what it has imported."""
    done = subprocess.run(
        [sys.executable, "-c", LISTING, *arguments], capture_output=True, check=True, text=True
    )
    code, names = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    return set(names)


@pytest.mark.parametrize("arguments", ["", "--help", "run --help", "batch --help", "doctor --help"])
def test_help_imports_nothing_that_speaks_http(arguments: str) -> None:
    """Help comes at once: neither httpx nor PyAV is loaded for it."""
    found = imported(*arguments.split())
    assert "cyclopts" in found
    assert not HEAVY & found


def test_the_version_imports_not_even_the_framework() -> None:
    """`--version` costs little more than Python itself."""
    assert not (HEAVY | {"cyclopts", "rich", "attr", "json"}) & (imported("--version") - {"json"})
