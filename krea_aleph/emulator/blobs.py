"""Files that the emulator serves, and the parts of them that a Range request asks for."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIECE: Final = 256 * 1024
"""How many bytes are read and sent at a time."""

# A box that says "MPEG-4 file", so that whoever looks at the first bytes takes them for a video.
_MP4_HEAD: Final = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"


class Blob(Protocol):
    """Bytes that can be read from anywhere."""

    @property
    def size(self) -> int:
        """The number of bytes."""
        ...

    @property
    def etag(self) -> str:
        """A strong entity tag, with its quotes."""
        ...

    @property
    def media_type(self) -> str:
        """The Content-Type."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from start up to stop."""
        ...


@frozen
class FileBlob:
    """A file on disk."""

    path: Path
    media_type: str
    size: int
    etag: str

    @classmethod
    def of(cls, path: Path, media_type: str) -> FileBlob:
        """Take a finished file; its tag is a digest of its content."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path, media_type, path.stat().st_size, f'"{digest[:32]}"')

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from start up to stop."""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)


@frozen
class BytesBlob:
    """Bytes in memory."""

    content: bytes
    media_type: str

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.content)

    @property
    def etag(self) -> str:
        """A digest of the content."""
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from start up to stop."""
        return self.content[start:stop]


@frozen
class SeededBlob:
    """Bytes that follow from a seed, of any size at no cost; they begin like an MP4 file.

    A block of an odd length repeats, so that a piece put in the wrong place is noticed.
    """

    seed: str
    size: int
    media_type: str = "video/mp4"

    @property
    def etag(self) -> str:
        """A digest of seed and size."""
        return f'"{hashlib.sha256(f"{self.seed}/{self.size}".encode()).hexdigest()[:32]}"'

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from start up to stop."""
        stop = min(stop, self.size)
        block = _block(self.seed)
        skip = start % len(block)
        repeats = (max(stop - start, 0) + skip) // len(block) + 1
        piece = (block * repeats)[skip : skip + max(stop - start, 0)]
        head = _MP4_HEAD[start:stop]
        return head + piece[len(head) :]


@frozen
class Slice:
    """The part of a blob that an answer carries."""

    blob: Blob
    start: int
    stop: int

    def pieces(self, size: int = PIECE) -> Iterator[bytes]:
        """Read it a piece at a time."""
        for start in range(self.start, self.stop, size):
            yield self.blob.read(start, min(start + size, self.stop))

    def __len__(self) -> int:
        return self.stop - self.start


def requested_range(header: str, size: int) -> tuple[int, int] | None:
    """Return start and stop that a Range header asks for; None if it is to be ignored.

    Raises:
        ValueError: If it lies outside the file, which is answered with 416.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    if start >= stop:
        raise ValueError(header)
    return start, stop


def _block(seed: str) -> bytes:
    """Return 65,537 bytes that follow from a seed."""
    return hashlib.shake_128(seed.encode()).digest(65_537)
