"""The one error of `scripts/release`."""

from __future__ import annotations

from typing import Final

NOT_READY: Final = 3
"""Exit code when something is in the way of a release; each thing is a line."""


class ReleaseError(Exception):
    """A release cannot be made.

    Attributes:
        problems: What is in the way, a sentence each.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
