"""What a page leads to: the videos, checked before, and where they are from its own place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from krea_aleph._files import sniff
from krea_aleph.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph.models import StrPath

_HEAD_BYTES: Final = 4096
_PLAYED: Final = ("video/mp4", "video/quicktime", "video/webm")


def link(page: Path, file: Path) -> str:
    """Return the address of a file as a page can name it: relative, so that both may move."""
    try:
        way = os.path.relpath(os.path.realpath(file.parent), os.path.realpath(page.parent))
    except ValueError:  # another drive
        return file.absolute().as_uri()
    return "./" + quote(os.fsencode(Path(way, file.name).as_posix()))


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
