"""The one error of `scripts/update`, and the exit code of everything that can go wrong."""

from __future__ import annotations

from typing import Final

CHECKS_FAILED: Final = 3
"""Exit code when a proposal is there, but its checks fail: it says so in its text."""

EXIT_CODES: Final = {
    "git": 60,
    "output": 61,
    "report": 62,
    "stray": 63,
    "changelog": 64,
    "surface": 65,
    "patch": 66,
    "base": 67,
    "branch": 68,
    "push": 69,
}
"""Exit code of each thing that can stop a run; the steps of scripts/regenerate keep theirs."""


class UpdateError(Exception):
    """A run stopped; nothing was proposed, and no branch was touched.

    Attributes:
        exit_code: What the program ends with.
    """

    def __init__(self, what: str, problem: str, *, exit_code: int | None = None) -> None:
        super().__init__(f"{what}: {problem}")
        self.exit_code = EXIT_CODES[what] if exit_code is None else exit_code
