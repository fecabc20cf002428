"""The one error of the pipeline, and the exit code of each step."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

DIFFERS: Final = 3
"""Exit code of `--check` when `generated/` is not what the contract gives."""

MAX_MESSAGE: Final = 2_000

EXIT_CODES: Final = {
    "tools": 10,
    "rules": 11,
    "read": 12,
    "validate": 13,
    "guard": 14,
    "slice": 15,
    "normalise": 16,
    "generate": 17,
    "emit": 18,
    "format": 19,
    "audit": 20,
    "type-check": 21,
    "swap": 22,
    "fetch": 23,
    "page": 24,
    "classify": 25,
    "compose": 26,
    "report": 27,
    "file": 40,
    "empty": 41,
    "html": 42,
    "yaml": 43,
    "version": 44,
    "foreign": 45,
}
"""Exit code of each step that can stop the run. 1 is an environment that could not
be made, 2 a wrong command line."""


class StepError(Exception):
    """A step refused to go on.

    Attributes:
        step: The name of the step, a key of `EXIT_CODES`.
        problem: What is wrong, where, and what to do about it.
    """

    def __init__(self, step: str, problem: str) -> None:
        self.step = step
        self.problem = _harmless(problem)
        super().__init__(f"{step}: {self.problem}")

    @property
    def exit_code(self) -> int:
        """The exit code that stands for the step."""
        return EXIT_CODES[self.step]


def _harmless(text: str) -> str:
    """Spell out what could hide, reorder or steer a terminal: much of it is a stranger's text."""
    plain = text.encode("ascii", "backslashreplace").decode()
    shown = "".join(
        sign if sign.isprintable() or sign == "\n" else ascii(sign)[1:-1] for sign in plain
    )
    return shown if len(shown) <= MAX_MESSAGE else f"{shown[:MAX_MESSAGE]}..."


@contextmanager
def step(name: str) -> Generator[None]:
    """Give every failure inside the block the name of the step.

    Raises:
        StepError: Whatever went wrong, so that no document ends in a bare traceback.
    """
    try:
        yield
    except StepError:
        raise
    except RecursionError as error:
        raise StepError(name, "the document leads too deep, from one thing to the next") from error
    except Exception as error:
        raise StepError(name, f"{type(error).__name__}: {error}") from error
