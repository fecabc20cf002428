"""Where a page goes, and what it leads to: checked before, and written whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from krea_aleph._files import sniff
from krea_aleph._renaming import rename_new
from krea_aleph._saving import Target
from krea_aleph.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from krea_aleph.models import Exists, StrPath

_HEAD_BYTES: Final = 4096
_PLAYED: Final = ("video/mp4", "video/quicktime", "video/webm")


class Place(NamedTuple):
    """Where a page goes.

    Attributes:
        path: Its file.
        exists: What to do where there is one.
        kept: Whether what is there stays.
    """

    path: Path
    exists: Exists
    kept: bool

    @classmethod
    def checked(cls, output: StrPath, exists: Exists) -> Place:
        """Return the place that an argument means.

        Raises:
            InvalidRequestError: No page could be written there; the text says why.
        """
        target = Target.checked(output, exists)
        if target.name is None:
            raise InvalidRequestError(
                "output", f"{os.fspath(output)!r} is a folder", hint="Name a file, such as a.html."
            )
        path = target.folder / target.name
        return cls(path, exists, exists == "keep" and os.path.lexists(path))

    def write(self, pieces: Iterable[bytes]) -> Path:
        """Write a page, which has its name only when it is whole; return its path.

        Raises:
            InvalidRequestError: It cannot be written, or its name was taken meanwhile.
        """
        part = self.path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            with part.open("xb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            if self.exists == "replace":
                part.replace(self.path)
            else:
                rename_new(part, self.path)
        except OSError as error:
            problem = f"{str(self.path)!r} cannot be written: {error.strerror}"
            raise InvalidRequestError("output", problem) from error
        finally:
            part.unlink(missing_ok=True)
        return self.path

    def link(self, path: Path) -> str:
        """Return the address of a file as the page can name it: relative, so that both may move."""
        start = os.path.realpath(self.path.parent)
        try:
            way = os.path.relpath(os.path.realpath(path.parent), start)
        except ValueError:  # another drive
            return path.absolute().as_uri()
        return "./" + quote(os.fsencode(Path(way, path.name).as_posix()))


class Clip(NamedTuple):
    """A video on disk.

    Attributes:
        path: Its file.
        media_type: What its first bytes show it to be.
        size: In bytes.
    """

    path: Path
    media_type: str
    size: int

    @classmethod
    def checked(cls, field: str, file: StrPath) -> Clip:
        """Look at a file.

        Raises:
            InvalidRequestError: It is no video that a browser could play, or cannot be read.
        """
        try:
            path = Path(os.fspath(file))
            if not path.is_file():
                problem = "is no regular file" if path.exists() else "does not exist"
                raise InvalidRequestError(field, f"{str(path)!r} {problem}")
            with path.open("rb") as opened:
                kind, size = sniff(opened.read(_HEAD_BYTES)), os.fstat(opened.fileno()).st_size
        except TypeError:
            raise InvalidRequestError(field, f"{file!r} is no path") from None
        except (OSError, ValueError) as error:
            words = getattr(error, "strerror", None) or str(error)
            raise InvalidRequestError(field, f"{file!r} cannot be read: {words}") from error
        if kind not in _PLAYED:
            raise InvalidRequestError(
                field,
                f"{path.name!r} is no video, judged by its first bytes",
                hint="MP4, MOV and WebM can be shown.",
            )
        return cls(path, kind, size)
