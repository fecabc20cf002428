"""The files of a proposal in its folder: what one half of an update hands to the other."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from updating import pull_request
from updating.failure import UpdateError

if TYPE_CHECKING:
    from pathlib import Path

    from updating.report import Report

PATCH: Final = "update.patch"
REPORT: Final = "report.json"
READABLE: Final = "report.md"
TEXT: Final = "pull-request.md"
TITLE: Final = "title.txt"
LABEL: Final = "label.txt"
OUTCOME: Final = "outcome.txt"

_ALL: Final = (PATCH, REPORT, READABLE, TEXT, TITLE, LABEL, OUTCOME)


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of a proposal."""

    path: Path

    def clear(self) -> None:
        """Make the folder, and remove the proposal of an earlier run, which could mislead.

        Raises:
            UpdateError: It cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in _ALL:
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._refused(error) from error

    def fill(self, files: dict[str, bytes]) -> None:
        """Write files, all of them or none; the patch comes last.

        Raises:
            UpdateError: They cannot be written.
        """
        try:
            for name in sorted(files, key=lambda name: name == PATCH):
                (self.path / name).write_bytes(files[name])
        except OSError as error:
            for name in files:
                with suppress(OSError):
                    (self.path / name).unlink(missing_ok=True)
            raise self._refused(error) from error

    def read(self, name: str) -> bytes:
        """Read a file that the other half wrote.

        Raises:
            UpdateError: It is missing.
        """
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            problem = f"{self.path / name}: {error.strerror}; run `scripts/update propose` first"
            raise UpdateError("output", problem) from error

    def _refused(self, error: OSError) -> UpdateError:
        return UpdateError("output", f"{self.path} cannot be written: {error.strerror}")


def texts(report: Report, branch: str) -> dict[str, bytes]:
    """Write title, text and label of a proposal."""
    return {
        TITLE: f"{pull_request.title(report)}\n".encode(),
        TEXT: pull_request.text(report, branch).encode(),
        LABEL: f"{pull_request.label(report)}\n".encode(),
    }
