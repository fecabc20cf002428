"""How long a frame of an MP4 or MOV file is shown, as its index of samples says.

It needs no decoder: the file is a tree of boxes, each with its size and kind, and all but a few of
them are stepped over.
"""

from __future__ import annotations

import struct
from typing import IO, Final

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WAY: Final = (b"trak", b"mdia")
_LONG: Final = 1
_HEAD: Final = 8
_LARGEST_BOX: Final = 1 << 16
_MOST_BOXES: Final = 4096
_LONGEST: Final = 1.0
_FEW: Final = 10  # one of so many


def frame_seconds(path: Path) -> float | None:
    """Return for how long a frame is shown, a short one where they differ; None if unknown."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            found = [_of_track(file, *media) for media in _inner(file, 0, end, (b"moov", *_WAY))]
    except (OSError, ValueError, LookupError, struct.error):
        return None
    known = [seconds for seconds in found if seconds is not None and 0 < seconds <= _LONGEST]
    return min(known, default=None)


def _of_track(file: IO[bytes], begin: int, end: int) -> float | None:
    """Return the length of a frame of one track, if that is one of pictures."""
    boxes = {kind: (at, stop) for kind, at, stop in _boxes(file, begin, end)}
    if b"hdlr" not in boxes or _content(file, *boxes[b"hdlr"])[8:12] != b"vide":
        return None
    header = _content(file, *boxes[b"mdhd"])
    (scale,) = struct.unpack_from(">I", header, 20 if header[0] else 12)
    for table in _inner(file, begin, end, (b"minf", b"stbl", b"stts")):
        entries = _content(file, *table)
        (count,) = struct.unpack_from(">I", entries, 4)
        known = min(count, (len(entries) - _HEAD) // _HEAD)
        found = (struct.unpack_from(">II", entries, _HEAD * (n + 1)) for n in range(known))
        length = _usual(sorted((length, frames) for frames, length in found if length))
        return length / scale if scale and length else None
    return None


def _usual(lengths: list[tuple[int, int]]) -> int:
    """Return the shortest of lengths that not only few have: recorders slip now and then."""
    few = sum(frames for _, frames in lengths) / _FEW
    passed = 0
    for length, frames in lengths:
        passed += frames
        if passed > few:
            return length
    return 0


def _inner(
    file: IO[bytes], begin: int, end: int, way: tuple[bytes, ...]
) -> Iterator[tuple[int, int]]:
    """Yield where the boxes are that a way of kinds leads to."""
    for kind, at, stop in _boxes(file, begin, end):
        if kind == way[0] and len(way) == 1:
            yield at, stop
        elif kind == way[0]:
            yield from _inner(file, at, stop, way[1:])


def _boxes(file: IO[bytes], begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes of a stretch: the kind of each, and where its content begins and ends."""
    for _ in range(_MOST_BOXES):
        file.seek(begin)
        head = file.read(2 * _HEAD)
        if begin >= end or len(head) < _HEAD:
            return
        size, kind = struct.unpack_from(">I4s", head)
        inside = begin + _HEAD
        if size == _LONG:
            (size,) = struct.unpack_from(">Q", head, _HEAD)
            inside += _HEAD
        stop = begin + size if size else end
        if stop < inside:
            return
        yield kind, inside, min(stop, end)
        begin = stop


def _content(file: IO[bytes], begin: int, end: int) -> bytes:
    file.seek(begin)
    return file.read(min(end - begin, _LARGEST_BOX))
