"""Draw a small landscape in motion and encode it: a real video, made on the spot."""

import math
from collections.abc import Iterator
from pathlib import Path

import av
from PIL import Image, ImageDraw

SIZE = WIDTH, HEIGHT = 640, 360
FRAMES_PER_SECOND = 24
SECONDS = 4.0

_SKY_TOP, _SKY_BOTTOM = (52, 108, 196), (255, 206, 148)
_HILLS = (  # horizon (share of the height), swing in pixels, speed in pixels a frame, colour
    (0.58, 22, 0.4, (96, 124, 150)),
    (0.68, 26, 1.0, (72, 132, 92)),
    (0.82, 18, 2.2, (46, 96, 52)),
)


def draw_clip(path: Path) -> Path:
    """Write a few seconds of H.264: a sun going down, hills passing, a balloon rising."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for picture in _pictures():
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return path


def _pictures() -> Iterator[Image.Image]:
    sky = _sky()
    total = round(SECONDS * FRAMES_PER_SECOND)
    for number in range(total):
        picture = sky.copy()
        _draw_scene(ImageDraw.Draw(picture), number, number / total)
        yield picture


def _sky() -> Image.Image:
    """A vertical gradient from the top's colour to the horizon's."""
    column = Image.new("RGB", (1, HEIGHT))
    for y in range(HEIGHT):
        share = y / HEIGHT
        mixed = (a + (b - a) * share for a, b in zip(_SKY_TOP, _SKY_BOTTOM, strict=True))
        column.putpixel((0, y), tuple(round(value) for value in mixed))
    return column.resize(SIZE)


def _draw_scene(draw: ImageDraw.ImageDraw, number: int, progress: float) -> None:
    _disc(draw, (WIDTH * 0.72, HEIGHT * (0.22 + 0.3 * progress)), 34, (255, 236, 170))
    for horizon, swing, speed, colour in _HILLS:
        ridge = [
            (x, HEIGHT * horizon + swing * math.sin((x + number * speed) / 70) * math.cos(x / 190))
            for x in range(0, WIDTH + 8, 8)
        ]
        draw.polygon([(0, HEIGHT), *ridge, (WIDTH, HEIGHT)], fill=colour)
    _draw_balloon(draw, (WIDTH * (0.2 + 0.2 * progress), HEIGHT * (0.55 - 0.25 * progress)))


def _draw_balloon(draw: ImageDraw.ImageDraw, centre: tuple[float, float]) -> None:
    x, y = centre
    draw.line([(x - 16, y + 24), (x - 7, y + 50)], fill=(70, 50, 40), width=2)
    draw.line([(x + 16, y + 24), (x + 7, y + 50)], fill=(70, 50, 40), width=2)
    _disc(draw, centre, 30, (206, 58, 52))
    draw.pieslice((x - 13, y - 30, x + 13, y + 30), 0, 360, fill=(250, 222, 120))
    draw.rectangle((x - 9, y + 48, x + 9, y + 60), fill=(120, 78, 44))


def _disc(
    draw: ImageDraw.ImageDraw,
    centre: tuple[float, float],
    radius: float,
    colour: tuple[int, int, int],
) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
