"""A small real clip to try things with, and a picture that shows two videos beside each other."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

# The project's module comes first, because it says which extra is missing.
from krea_aleph.emulator import video  # isort: skip
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

COMMENT: Final = "a sample clip of krea_aleph"

# The scene is drawn for this width and scaled to others.
_DRAWN_WIDTH: Final = 640
_SKY_TOP: Final = (52, 108, 196)
_SKY_BOTTOM: Final = (255, 206, 148)
_HILLS: Final = (  # horizon (share of the height), swing in pixels, pixels a frame, colour
    (0.58, 22, 0.4, (96, 124, 150)),
    (0.68, 26, 1.0, (72, 132, 92)),
    (0.82, 18, 2.2, (46, 96, 52)),
)


def make_clip(
    path: str | PathLike[str],
    *,
    seconds: float = 2.5,
    width: int = 320,
    height: int = 180,
) -> Path:
    """Write an MP4 file in which the sun sinks over passing hills and a balloon rises.

    It has 24 frames a second.

    Example:
        >>> make_clip("sample.mp4")
        PosixPath('sample.mp4')

    Raises:
        MissingExtraError: If PyAV or Pillow is not installed; raised when the module is imported.
    """
    scenes = _scenes(int(seconds * video.RATE), width, height)
    video.write(path, scenes, Fraction(24), COMMENT)
    return Path(path)


def side_by_side(
    before: str | PathLike[str],
    after: str | PathLike[str],
    png: str | PathLike[str],
    *,
    at: float = 1.0,
) -> Path:
    """Save a picture whose halves show the same moment, in seconds, of two videos.

    Raises:
        UnreadableError: If one of the two is no video.
    """
    left, right = _frame(before, at), _frame(after, at)
    right = right.resize((round(right.width * left.height / right.height), left.height))
    both = Image.new("RGB", (left.width + right.width, left.height))
    both.paste(_labelled(left, "before"), (0, 0))
    both.paste(_labelled(right, "after"), (left.width, 0))
    both.save(png, format="PNG")
    return Path(png)


def _frame(path: str | PathLike[str], at: float) -> Image.Image:
    """Return the last frame up to a moment, or the last of a shorter video."""
    *_, last = video.frames(path, max(at, 0.0) + 1e-9)
    return last


def _labelled(image: Image.Image, label: str) -> Image.Image:
    size = max(10, image.height // 16)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=size)
    draw.text((size // 2, size // 2), label, "white", font, stroke_width=2, stroke_fill="black")
    return image


def _scenes(frames: int, width: int, height: int) -> Iterator[Image.Image]:
    sky = _sky(width, height)
    for number in range(frames):
        scene = sky.copy()
        _draw_scene(ImageDraw.Draw(scene), width, height, number, number / frames)
        yield scene


def _sky(width: int, height: int) -> Image.Image:
    """Return a gradient from the top's colour to the horizon's."""
    column = Image.new("RGB", (1, height))
    for y in range(height):
        share = y / height
        mixed = (a + (b - a) * share for a, b in zip(_SKY_TOP, _SKY_BOTTOM, strict=True))
        column.putpixel((0, y), tuple(round(value) for value in mixed))
    return column.resize((width, height))


def _draw_scene(
    draw: ImageDraw.ImageDraw, width: int, height: int, number: int, progress: float
) -> None:
    scale = width / _DRAWN_WIDTH
    _disc(draw, width * 0.72, height * (0.22 + 0.3 * progress), 34 * scale, (255, 236, 170))
    for horizon, swing, speed, colour in _HILLS:
        ridge = [
            (
                x * scale,
                height * horizon
                + scale * swing * math.sin((x + number * speed) / 70) * math.cos(x / 190),
            )
            for x in range(0, _DRAWN_WIDTH + 8, 8)
        ]
        draw.polygon([(0, height), *ridge, (width, height)], fill=colour)
    _draw_balloon(draw, width * (0.2 + 0.2 * progress), height * (0.55 - 0.25 * progress), scale)


def _draw_balloon(draw: ImageDraw.ImageDraw, x: float, y: float, scale: float) -> None:
    for side in (-1, 1):
        rope = [(x + side * 16 * scale, y + 24 * scale), (x + side * 7 * scale, y + 50 * scale)]
        draw.line(rope, fill=(70, 50, 40), width=max(1, round(2 * scale)))
    _disc(draw, x, y, 30 * scale, (206, 58, 52))
    draw.ellipse(
        (x - 13 * scale, y - 30 * scale, x + 13 * scale, y + 30 * scale), fill=(250, 222, 120)
    )
    basket = (x - 9 * scale, y + 48 * scale, x + 9 * scale, y + 60 * scale)
    draw.rectangle(basket, fill=(120, 78, 44))


def _disc(
    draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: tuple[int, int, int]
) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
