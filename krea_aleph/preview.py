"""Pictures of videos, to judge them at a glance: contact sheets and small animations.

They need the extra ``[preview]`` (PyAV and Pillow). What is decoded is never kept, so that a clip
may be of any length and size.

Example:
    >>> from krea_aleph import preview
    >>> preview.sheet("out.mp4", "sheet.png", before="in.mp4")
    PosixPath('sheet.png')
    >>> preview.animate("out.mp4", "out.webp", before="in.mp4")
    PosixPath('out.webp')
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from typing import Any, BinaryIO, Final, NamedTuple, Self, overload

# The project's module comes first, because it says which extra is missing.
from krea_aleph._stills import Clip, Still, local_path  # isort: skip
from PIL import Image, ImageDraw, ImageFont

from krea_aleph._placing import Place
from krea_aleph.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from krea_aleph.models import Exists, Saved, StrPath

__all__ = ["animate", "sheet"]

_PAPER: Final = "#18181b"
_INK: Final = "#e4e4e7"
_GAP: Final = 8
_CAPTION: Final = 22
_FONT_SIZE: Final = 14
_MOST_CELLS: Final = 20
_MOST_PIXELS: Final = 50_000_000
_LONGEST_SECONDS: Final = 30.0
_FASTEST: Final = 30.0
_WIDEST: Final = 1920
_NARROWEST: Final = 16
_COLOURS: Final = 128
_QUALITY: Final = 70
_ENDINGS: Final = "A contact sheet ends in .png, an animation in .gif or .webp."
_ANIMATIONS: Final = {".gif": "GIF", ".webp": "WEBP"}
_MINUTE, _HOUR = 60, 3600
_HUNDREDTHS: Final = 100


@overload
def sheet(
    video: StrPath | Saved,
    output: None = None,
    *,
    before: StrPath | None = None,
    rows: int = 3,
    columns: int = 4,
    width: int = 320,
    exists: Exists = "error",
) -> Image.Image: ...
@overload
def sheet(
    video: StrPath | Saved,
    output: StrPath,
    *,
    before: StrPath | None = None,
    rows: int = 3,
    columns: int = 4,
    width: int = 320,
    exists: Exists = "error",
) -> Path: ...
def sheet(
    video: StrPath | Saved,
    output: StrPath | None = None,
    *,
    before: StrPath | None = None,
    rows: int = 3,
    columns: int = 4,
    width: int = 320,
    exists: Exists = "error",
) -> Image.Image | Path:
    """Make a contact sheet: frames of a video at even times, each with its time code.

    A clip that has fewer frames than the sheet has room for shows each of them once.

    Args:
        video: A video file, or the `Saved` of one.
        output: The PNG file to write; a folder, which exists or ends in ``/``, gets
            ``<name>-sheet.png``. Without it the picture itself is returned, which notebooks show.
        before: The clip that the video was made of: its frames at the same times stand above.
        rows: How many rows, at most 20.
        columns: How many frames a row has, at most 20.
        width: How wide a frame is at most, in pixels, from 16 to 1920.
        exists: What to do where the file exists: "error", "replace" it or "keep" it.

    Returns:
        The path that was written, or a ``PIL.Image.Image``.

    Raises:
        InvalidRequestError: There is no such file, it is no whole video, the sheet would be too
            large, or cannot be written.
        MissingExtraError: On import, if PyAV or Pillow is not installed.

    Example:
        >>> saved = aleph.transform("in.mp4", "make it snow", "out.mp4")
        >>> sheet(saved, "sheet.png", before="in.mp4", columns=3)
        PosixPath('sheet.png')
    """
    _check("rows", rows, 1, _MOST_CELLS, int)
    _check("columns", columns, 1, _MOST_CELLS, int)
    _check("width", width, _NARROWEST, _WIDEST, int)
    path = local_path("video", video)
    place = None
    if output is not None:
        place = Place.checked(output, exists, f"{path.stem}-sheet.png")
        _require_ending(place.path, {".png": "PNG"})
        if place.kept:
            return place.path
    with _Clips.opened(path, before) as clips:
        sizes = [_within(clip.size, width) for clip in clips.shown]
        drawn = _drawn(clips, sizes, rows, columns)
    return drawn if place is None else place.fill(partial(drawn.save, format="PNG", optimize=True))


def animate(
    video: StrPath | Saved,
    output: StrPath,
    *,
    before: StrPath | None = None,
    seconds: float = 5.0,
    fps: float = 12.0,
    width: int = 480,
    exists: Exists = "error",
) -> Path:
    """Make a small animation of a video's beginning, for chats, pages and pull requests.

    Args:
        video: A video file, or the `Saved` of one.
        output: The file to write, ``.gif`` or ``.webp``; a folder, which exists or ends in ``/``,
            gets ``<name>-preview.webp``. WebP is much smaller and has all colours.
        before: The clip that the video was made of: it plays on the left, in step.
        seconds: How much of the video is shown, at most 30.
        fps: How many frames a second, at most 30.
        width: How wide the whole picture is at most, in pixels, from 16 to 1920.
        exists: What to do where the file exists: "error", "replace" it or "keep" it.

    Returns:
        The path that was written.

    Raises:
        InvalidRequestError: There is no such file, it is no whole video, or the animation cannot
            be written.
        MissingExtraError: On import, if PyAV or Pillow is not installed.

    Example:
        >>> animate("out.mp4", "out.gif", before="in.mp4", seconds=2)
        PosixPath('out.gif')
    """
    _check("seconds", seconds, 0.04, _LONGEST_SECONDS)
    _check("fps", fps, 1, _FASTEST)
    _check("width", width, _NARROWEST, _WIDEST, int)
    path = local_path("video", video)
    place = Place.checked(output, exists, f"{path.stem}-preview.webp")
    kind = _require_ending(place.path, _ANIMATIONS)
    if place.kept:
        return place.path
    with _Clips.opened(path, before) as clips:
        count = max(1, round(min(seconds, clips.after.seconds) * fps))
        _require_room(count * width * width, "seconds")
        pictures = _side_by_side(clips, _beside(clips, width), [at / fps for at in range(count)])
        return place.fill(partial(_save, kind, pictures, _durations(count, fps)))


class _Clips(NamedTuple):
    """What is looked at: a clip, and perhaps what it was made of."""

    after: Clip
    before: Clip | None
    closing: ExitStack

    @classmethod
    def opened(cls, after: Path, before: StrPath | None) -> _Clips:
        with ExitStack() as closing:
            first = closing.enter_context(Clip(after, "video", _PAPER))
            second = None
            if before is not None:
                path = local_path("before", before)
                second = closing.enter_context(Clip(path, "before", _PAPER))
            return cls(first, second, closing.pop_all())

    @property
    def shown(self) -> list[Clip]:
        """The clips in the order in which they are shown."""
        return [self.after] if self.before is None else [self.before, self.after]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.close()


class _Cell(NamedTuple):
    """One place on a sheet: a picture of each clip at a moment."""

    at: float
    pictures: list[Image.Image]


def _drawn(clips: _Clips, sizes: Sequence[tuple[int, int]], rows: int, columns: int) -> Image.Image:
    """Return a sheet; it is no larger than its pictures need."""
    width = max(size[0] for size in sizes)
    height = sum(size[1] for size in sizes) + (len(sizes) - 1) * _GAP // 2 + _CAPTION
    _require_room(rows * columns * (width + _GAP) * (height + _GAP), "width")
    cells = list(_cells(clips, sizes, rows * columns))
    across = min(columns, len(cells))
    down = math.ceil(len(cells) / across)
    extent = (across * (width + _GAP) + _GAP, down * (height + _GAP) + _GAP)
    drawn = Image.new("RGB", extent, _PAPER)
    font = ImageFont.load_default(size=_FONT_SIZE)
    for number, cell in enumerate(cells):
        row, column = divmod(number, across)
        corner = (_GAP + column * (width + _GAP), _GAP + row * (height + _GAP))
        _draw_cell(drawn, cell, corner, width, font)
    return drawn


def _cells(clips: _Clips, sizes: Sequence[tuple[int, int]], count: int) -> Iterator[_Cell]:
    """Yield what is seen at even times, each frame once."""
    last: float | None = None
    for number in range(count):
        moment = clips.after.seconds * (number + 0.5) / count
        stills = _stills(clips, sizes, moment)
        if stills[-1].at != last:
            last = stills[-1].at
            yield _Cell(max(0.0, last), [still.image for still in stills])


def _stills(clips: _Clips, sizes: Sequence[tuple[int, int]], moment: float) -> list[Still]:
    pairs = zip(clips.shown, sizes, strict=True)
    return [clip.at(moment, size) for clip, size in pairs]


def _draw_cell(
    drawn: Image.Image, cell: _Cell, corner: tuple[int, int], width: int, font: Any
) -> None:
    left, top = corner
    draw = ImageDraw.Draw(drawn)
    for picture, label in zip(cell.pictures, _labels(cell.pictures), strict=True):
        place = (left + (width - picture.width) // 2, top)
        drawn.paste(picture, place)
        _draw_label(draw, place, label, font)
        top += picture.height + _GAP // 2
    draw.text((left + 2, top), _time_code(cell.at), _INK, font)


def _labels(pictures: Sequence[Image.Image]) -> Sequence[str]:
    return ("before", "after") if len(pictures) > 1 else ("",)


def _draw_label(draw: ImageDraw.ImageDraw, place: tuple[int, int], label: str, font: Any) -> None:
    at = (place[0] + 6, place[1] + 4)
    draw.text(at, label, "white", font, stroke_width=2, stroke_fill="black")


def _side_by_side(
    clips: _Clips, sizes: Sequence[tuple[int, int]], moments: Sequence[float]
) -> Iterator[Image.Image]:
    """Yield the frames of an animation."""
    width = sum(size[0] for size in sizes) + (len(sizes) - 1) * _GAP // 2
    font = ImageFont.load_default(size=_FONT_SIZE)
    for moment in moments:
        frame, left = Image.new("RGB", (width, sizes[0][1]), _PAPER), 0
        pictures = [still.image for still in _stills(clips, sizes, moment)]
        for picture, label in zip(pictures, _labels(pictures), strict=True):
            frame.paste(picture, (left, 0))
            _draw_label(ImageDraw.Draw(frame), (left, 0), label, font)
            left += picture.width + _GAP // 2
        yield frame


def _beside(clips: _Clips, width: int) -> list[tuple[int, int]]:
    """Return sizes of the same height that fit beside each other into a width."""
    aspects = [clip.size[0] / clip.size[1] for clip in clips.shown]
    room = width - (len(aspects) - 1) * _GAP // 2
    height = max(1, min(round(room / sum(aspects)), width))
    return [(max(1, int(height * aspect)), height) for aspect in aspects]


def _within(size: tuple[int, int], width: int) -> tuple[int, int]:
    """Return a size in proportion, at most so wide and not much taller."""
    scale = min(1.0, width / size[0], 2 * width / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _save(
    kind: str, pictures: Iterator[Image.Image], durations: Sequence[int], file: BinaryIO
) -> None:
    """Write an animation that repeats."""
    options: dict[str, Any] = {"save_all": True, "duration": list(durations), "loop": 0}
    if kind == "GIF":
        pictures = (picture.quantize(_COLOURS) for picture in pictures)
        options["optimize"] = True
    else:
        options |= {"quality": _QUALITY, "method": 4}
    first = next(pictures)
    first.save(file, format=kind, append_images=pictures, **options)


def _durations(count: int, fps: float) -> list[int]:
    """Return how long each frame is shown, in milliseconds; GIF knows hundredths of a second."""
    ends = [round(number * _HUNDREDTHS / fps) for number in range(count + 1)]
    return [10 * (end - begin) for begin, end in pairwise(ends)]


def _time_code(seconds: float) -> str:
    """Return a moment of a video: 0:01.25, 1:02:03.25."""
    hundredths = round(seconds * _HUNDREDTHS)
    whole, rest = divmod(hundredths, _HUNDREDTHS)
    minutes = f"{whole // _MINUTE}"
    if whole >= _HOUR:
        minutes = f"{whole // _HOUR}:{whole % _HOUR // _MINUTE:02}"
    return f"{minutes}:{whole % _MINUTE:02}.{rest:02}"


def _check(field: str, value: object, least: float, most: float, kind: type = float) -> None:
    good = isinstance(value, (int, kind)) and not isinstance(value, bool)
    if not good or not least <= float(str(value)) <= most:
        number = "whole number" if kind is int else "number"
        raise InvalidRequestError(field, f"it is {value!r}; use a {number} from {least} to {most}")


def _require_room(pixels: int, field: str) -> None:
    if pixels > _MOST_PIXELS:
        problem = f"the picture would have {pixels:,} pixels; {_MOST_PIXELS:,} are the most"
        raise InvalidRequestError(field, problem, hint="Ask for fewer or smaller frames.")


def _require_ending(path: Path, kinds: dict[str, str]) -> str:
    """Return what a file is to be, by the ending of its name."""
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        problem = f"{path.name!r} does not end in {' or '.join(kinds)}"
        raise InvalidRequestError("output", problem, hint=_ENDINGS)
    return kind
