"""`mypy --strict` on what was generated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codegen.tools import run_module
from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from pathlib import Path


def check_types(package: Path, cache: Path) -> None:
    """Check the package as it will be installed.

    Args:
        package: The folder to check.
        cache: Where mypy keeps what it learnt; it makes the next run about ten times faster.

    Raises:
        StepError: mypy found errors.
    """
    result = run_module(
        "mypy",
        "--strict",
        "--config-file=",
        "--python-version=3.11",
        f"--cache-dir={cache}",
        "--no-error-summary",
        package.name,
        cwd=package.parent,
    )
    if result.returncode != 0:
        raise StepError("type-check", f"mypy --strict: {result.stdout}{result.stderr}")
