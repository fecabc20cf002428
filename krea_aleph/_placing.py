"""Files that are made here: the place is checked before the work, and they are whole or absent."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from krea_aleph._renaming import rename_new
from krea_aleph._saving import Target, taken
from krea_aleph.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from krea_aleph.models import Exists, StrPath


class Place(NamedTuple):
    """Where a file is to go."""

    path: Path
    exists: Exists

    @classmethod
    def checked(cls, output: StrPath, exists: Exists, name: str) -> Place:
        """Return the place that an argument means.

        Args:
            output: A path; that of a folder is for a file of the usual name in there.
            exists: What to do where a file is there already.
            name: The usual name.

        Raises:
            InvalidRequestError: Nothing could be saved there; the text says why.
        """
        target = Target.checked(output, exists)
        place = cls(target.folder / (target.name or name), exists)
        if exists == "error" and os.path.lexists(place.path):
            taken(place.path)
        return place

    @property
    def kept(self) -> bool:
        """Whether what is there already is what was asked for."""
        return self.exists == "keep" and os.path.lexists(self.path)

    def fill(self, write: Callable[[BinaryIO], object]) -> Path:
        """Write the file, and return its path; it has its name only when it is whole.

        Raises:
            InvalidRequestError: It cannot be written, or has been made by somebody else meanwhile.
        """
        part = self.path.with_name(f".{secrets.token_hex(8)}.part")
        with self._explained(), _removed(part):
            with part.open("xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            if self.exists == "replace":
                part.replace(self.path)
            else:
                self._claim(part)
        return self.path

    def _claim(self, part: Path) -> None:
        try:
            rename_new(part, self.path)
        except FileExistsError:
            if self.exists == "error":
                taken(self.path)

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            words = error.strerror or str(error)
            problem = f"{str(self.path)!r} cannot be written: {words}"
            raise InvalidRequestError("output", problem) from error


@contextmanager
def _removed(part: Path) -> Generator[None]:
    """Leave nothing behind under a name that is not the final one."""
    try:
        yield
    finally:
        part.unlink(missing_ok=True)
