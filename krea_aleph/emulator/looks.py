"""The looks themselves: each makes a painter from a seed; a painter takes frames in order."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

if TYPE_CHECKING:
    from collections.abc import Callable

    Painter = Callable[[Image.Image], Image.Image]


def snow(seed: int) -> Painter:
    """A pale scene with falling flakes."""
    chance = random.Random(seed)  # noqa: S311 - flakes, not secrets
    flakes = [(chance.random(), chance.random(), chance.randint(1, 3)) for _ in range(150)]
    frame = 0

    def paint(image: Image.Image) -> Image.Image:
        nonlocal frame
        pale = Image.blend(ImageEnhance.Color(image).enhance(0.3), _plain(image, "#e8f0ff"), 0.35)
        draw = ImageDraw.Draw(pale)
        for across, down, size in flakes:
            x = across * image.width
            y = (down * image.height + frame * size * image.height / 120) % image.height
            draw.ellipse((x, y, x + 2 * size, y + 2 * size), fill="white")
        frame += 1
        return pale

    return paint


def night(seed: int) -> Painter:
    """A dark blue scene under a few stars."""
    chance = random.Random(seed)  # noqa: S311 - stars, not secrets
    stars = [(chance.random(), chance.random() / 2) for _ in range(40)]

    def paint(image: Image.Image) -> Image.Image:
        dark = ImageChops.multiply(image, _plain(image, "#28407a"))
        draw = ImageDraw.Draw(dark)
        for across, down in stars:
            draw.point((across * image.width, down * image.height), fill="#fffbe0")
        return dark

    return paint


def anime(seed: int) -> Painter:
    """Few flat colours within black lines."""
    threshold = 40 + seed % 20

    def paint(image: Image.Image) -> Image.Image:
        flat = ImageOps.posterize(image.filter(ImageFilter.MedianFilter(3)), 3)
        flat = ImageEnhance.Color(flat).enhance(1.8)
        edges = image.convert("L").filter(ImageFilter.FIND_EDGES)
        lines = edges.point([0 if level > threshold else 255 for level in range(256)])
        return ImageChops.multiply(flat, lines.convert("RGB"))

    return paint


def gold(seed: int) -> Painter:
    """Brown shadows, golden lights."""
    light = f"#ff{200 + seed % 40:02x}80"
    return lambda image: ImageOps.colorize(image.convert("L"), "#2a1405", light, mid="#a8702c")


def invert(seed: int) -> Painter:
    """A negative with its colours turned."""
    turned = [(0, 1, 2), (1, 2, 0), (2, 0, 1)][seed % 3]

    def paint(image: Image.Image) -> Image.Image:
        bands = ImageOps.invert(image).split()
        return Image.merge("RGB", [bands[band] for band in turned])

    return paint


def pixel(seed: int) -> Painter:
    """Large squares of few colours."""
    square = 8 + seed % 5

    def paint(image: Image.Image) -> Image.Image:
        small = (max(image.width // square, 1), max(image.height // square, 1))
        rough = image.resize(small, Image.Resampling.BOX)
        return ImageOps.posterize(rough.resize(image.size, Image.Resampling.NEAREST), 4)

    return paint


LOOKS: Final[dict[str, Callable[[int], Painter]]] = {
    "snow": snow,
    "night": night,
    "anime": anime,
    "gold": gold,
    "invert": invert,
    "pixel": pixel,
}


def _plain(image: Image.Image, color: str) -> Image.Image:
    return Image.new("RGB", image.size, color)
