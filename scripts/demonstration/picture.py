"""Set a moment of two clips side by side in one picture."""

from pathlib import Path

import av
from PIL import Image, ImageDraw, ImageFont

HALF = (640, 360)


def side_by_side(before: Path, after: Path, picture: Path) -> Path:
    """Show the same moment, one second in, of two videos: the left half and the right half."""
    both = Image.new("RGB", (2 * HALF[0], HALF[1]))
    for number, (clip, label) in enumerate(((before, "before"), (after, "after"))):
        both.paste(_labelled(_frame(clip, 1.0), label), (number * HALF[0], 0))
    both.save(picture)
    return picture


def _frame(clip: Path, seconds: float) -> Image.Image:
    """Decode the frame at a time, or the last one of a shorter clip; letterboxed to a half."""
    chosen = None
    with av.open(clip) as container:
        for chosen in container.decode(video=0):
            if chosen.time >= seconds:
                break
    if chosen is None:
        raise SystemExit(f"{clip} has no frame that can be decoded")
    image = chosen.to_image()
    image.thumbnail(HALF)
    half = Image.new("RGB", HALF)
    half.paste(image, ((HALF[0] - image.width) // 2, (HALF[1] - image.height) // 2))
    return half


def _labelled(image: Image.Image, label: str) -> Image.Image:
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=22)
    draw.text((14, 10), label, font=font, fill="white", stroke_width=2, stroke_fill="black")
    return image
