"""Clips whose frames can be told from each other by their colours."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from PIL import Image

from krea_aleph.emulator import video

Colour = tuple[int, int, int]
RED: Colour = (200, 0, 0)
BLUE: Colour = (0, 0, 200)


def clip(
    path: Path,
    colour: Colour | Callable[[int], Colour],
    *,
    seconds: float = 2.0,
    rate: int = 24,
    size: tuple[int, int] = (320, 180),
) -> Path:
    """Write a clip of one colour, or of one for each frame."""
    count = round(seconds * rate)
    colours = (colour(number) if callable(colour) else colour for number in range(count))
    video.write(path, (Image.new("RGB", size, one) for one in colours), Fraction(rate), "a test")
    return path
