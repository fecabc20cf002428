"""Clips of every sort, made here: of plain colours, so that a picture tells which frame it is."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image

from krea_aleph.emulator import restyle
from krea_aleph.emulator.clips import make_clip

Pixel = tuple[int, int, int]
SIZE = (64, 48)


def grey(number: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """A frame that tells its number: 10 steps of brightness for each."""
    return Image.new("RGB", size, (10 * number + 10,) * 3)


def numbers(picture: Image.Image, places: Sequence[tuple[int, int]]) -> list[int]:
    """Read which frames stand at places of a picture."""
    pixels = [picture.convert("L").getpixel(place) for place in places]
    return [round((int(str(pixel)) - 10) / 10) for pixel in pixels]


def write(
    path: Path,
    frames: Sequence[Image.Image],
    *,
    at: Sequence[float] | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: int = 10,
    key_every: int = 10,
) -> Path:
    """Write frames as a clip, at even times or at the given ones."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"g": str(key_every)})
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(frames):
            frame = _frame(image).reformat(format=pixels)
            frame.time_base = Fraction(1, 1000)
            frame.pts = round(1000 * (number / rate if at is None else at[number]))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _frame(image: Image.Image) -> av.VideoFrame:
    """Return a picture as a frame, with its transparency if it has any."""
    if image.mode != "RGBA":
        return av.VideoFrame.from_image(image)
    frame = av.VideoFrame(*image.size, "rgba")
    frame.planes[0].update(image.tobytes())
    return frame


def turned(path: Path, target: Path) -> Path:
    """Copy an MP4 so that players turn it clockwise by a quarter, as phones record it."""
    content = bytearray(path.read_bytes())
    matrix = content.find(b"tkhd") + 4 + 40
    quarter = (0, 0x10000, 0, -0x10000, 0, 0, SIZE[1] << 16, 0, 0x40000000)
    content[matrix : matrix + 36] = struct.pack(">9i", *quarter)
    target.write_bytes(content)
    return target


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Two seconds of frames that tell their numbers, ten in a second."""
    return write(tmp_path / "clip.mp4", [grey(number) for number in range(20)])


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of the emulator's, two seconds long."""
    return make_clip(tmp_path_factory.mktemp("scene") / "in.mp4", seconds=2)


@pytest.fixture(scope="session")
def restyled(scene: Path) -> Path:
    """What the emulator's studio makes of it."""
    target = scene.with_name("out.mp4")
    restyle.restyle(scene, target, restyle.Style.of("make it snow", "x"))
    return target
