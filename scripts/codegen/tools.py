"""The pinned tools: are they the ones installed, and how they are run."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path

_PIN: Final = re.compile(r"^([a-z0-9][a-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)
TOOK_TOO_LONG: Final = 124
_LIMIT: Final = 120.0
"""Seconds that a tool may take before it is taken for hung."""

TOOLS: Final = ("openapi-python-client", "ruff", "mypy", "openapi-spec-validator")
"""What must be installed; of the rest, a platform may need less than is pinned."""


def pinned(requirements: Path) -> dict[str, str]:
    """Read the exact versions from a pip requirements file."""
    return dict(_PIN.findall(requirements.read_text(encoding="utf-8")))


def refuse_other_tools(pins: dict[str, str]) -> None:
    """Check that the installed tools are the pinned ones.

    Raises:
        StepError: A tool is missing or of another version: its output could not be compared.
    """
    for name in TOOLS:
        if name not in pins:
            raise StepError("tools", f"{name} has no pin in the codegen requirements")
    for name in (*TOOLS, *sorted(pins)):
        found = installed(name)
        if found != pins[name] and (found or name in TOOLS):
            problem = (
                f"{name} {pins[name]} is pinned but {found or 'nothing'} is installed."
                " Remove .venv-codegen and run scripts/regenerate"
            )
            raise StepError("tools", problem)


def installed(name: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def run_module(module: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a Python module of this environment; see `run_python`."""
    return run_python("-m", module, *arguments, cwd=cwd)


def run_python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run this environment's Python, isolated and with an emptied environment.

    Returns:
        The finished process with its output as text; a failure is not raised.
    """
    command = [sys.executable, "-I", *arguments]
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "NO_COLOR": "1", "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        words = f"it took more than {_LIMIT:.0f} seconds and was ended"
        return subprocess.CompletedProcess(command, TOOK_TOO_LONG, "", words)
