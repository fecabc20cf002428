"""A small real clip to try things with, and a picture that shows two videos beside each other."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

# The project's module comes first, because it says which extra is missing.
from krea_aleph.emulator import video  # isort: skip
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

COMMENT: Final = "a sample clip of krea_aleph"
_GAP: Final = 8


def make_clip(
    path: str | PathLike[str],
    *,
    seconds: float = 2.5,
    width: int = 320,
    height: int = 180,
) -> Path:
    """Write an MP4 file in which a ball bounces over a landscape; 24 frames a second.

    Example:
        >>> make_clip("sample.mp4")
        PosixPath('sample.mp4')

    Raises:
        MissingExtraError: If PyAV or Pillow is not installed; raised when the module is imported.
    """
    video.write(path, _bouncing(int(seconds * video.RATE), width, height), Fraction(24), COMMENT)
    return Path(path)


def side_by_side(
    before: str | PathLike[str],
    after: str | PathLike[str],
    png: str | PathLike[str],
    *,
    at: float = 1.0,
) -> Path:
    """Save a picture with a frame of each video, both from the same moment, in seconds.

    Raises:
        UnreadableError: If one of the two is no video.
    """
    left, right = _frame(before, at), _frame(after, at)
    right = right.resize((round(right.width * left.height / right.height), left.height))
    both = Image.new("RGB", (left.width + _GAP + right.width, left.height), "white")
    both.paste(left, (0, 0))
    both.paste(right, (left.width + _GAP, 0))
    both.save(png, format="PNG")
    return Path(png)


def _frame(path: str | PathLike[str], at: float) -> Image.Image:
    """Return the last frame up to a moment, or the last of a shorter video."""
    *_, last = video.frames(path, max(at, 0.0) + 1e-9)
    return last


def _bouncing(frames: int, width: int, height: int) -> Iterator[Image.Image]:
    for index in range(frames):
        yield _scene(index / video.RATE, width, height)


def _scene(time: float, width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "#8ec5f0")
    draw = ImageDraw.Draw(image)
    ground = height * 3 // 4
    draw.rectangle((0, ground, width, height), fill="#5f9e4d")
    draw.polygon([(width * 0.5, ground), (width * 0.75, height * 0.3), (width, ground)], "#7d7466")
    draw.rectangle((width * 0.1, ground - height * 0.25, width * 0.25, ground), fill="#c9503f")
    radius = height / 10
    x = (time / 2.5 * width) % width
    y = ground - radius - abs(math.sin(time * 4)) * height * 0.4
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="#f2c230", outline="black")
    return image
