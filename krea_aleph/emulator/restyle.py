"""The stand-in for the model: a look chosen from the prompt, put over the first five seconds."""

from __future__ import annotations

import importlib.util
import zlib
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from pathlib import Path

SECONDS: Final = 5.0
"""How much of the input is used, as with Aleph."""

EXTRA: Final = ("av", "PIL")
"""The modules that rendering needs: those of the extra ``[preview]``."""

WORDS: Final = {
    "snow": ("snow", "winter", "ice", "frost", "blizzard"),
    "night": ("night", "dark", "moon", "midnight", "noir"),
    "anime": ("anime", "cartoon", "comic", "drawing", "sketch", "manga", "edges"),
    "gold": ("gold", "sepia", "vintage", "old", "desert", "sunset", "autumn"),
    "invert": ("invert", "negative", "x-ray", "alien"),
    "pixel": ("pixel", "8-bit", "retro", "mosaic", "lego", "game"),
}
"""The looks, and the words of a prompt that choose them; any other prompt gets one by its hash."""


class NotAVideoError(Exception):
    """The input is no video that can be decoded."""


@frozen
class Style:
    """A look, and the seed of what is random in it."""

    look: str
    seed: int

    @classmethod
    def of(cls, prompt: str, key: str) -> Style:
        """Choose by the prompt; vary by the key."""
        words = prompt.lower()
        looks = [look for look, marks in WORDS.items() if any(mark in words for mark in marks)]
        by_hash = list(WORDS)[zlib.crc32(prompt.encode("utf-8", "replace")) % len(WORDS)]
        return cls(looks[0] if looks else by_hash, zlib.crc32(key.encode("utf-8", "replace")))


def available() -> bool:
    """Say whether videos can be decoded and encoded here."""
    return all(importlib.util.find_spec(name) is not None for name in EXTRA)


def restyle(source: Path, target: Path, style: Style) -> None:
    """Write the restyled beginning of a video as an MP4 file.

    Raises:
        NotAVideoError: If the source is no video.
    """
    from krea_aleph.emulator import looks, video  # noqa: PLC0415 - they need the extra [preview]

    try:
        paint = looks.LOOKS[style.look](style.seed)
        pictures = (paint(image) for image in video.frames(source, SECONDS))
        video.write(target, pictures, video.rate(source), f"{style.look}, by an emulator")
    except video.UnreadableError as error:
        raise NotAVideoError(str(error)) from error


def require_video_bytes(head: bytes) -> None:
    """Check by the first bytes that something is an MP4, MOV or WebM file.

    Raises:
        NotAVideoError: If it is none of them.
    """
    boxes = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    if head[4:8] not in boxes and not head.startswith(b"\x1a\x45\xdf\xa3"):
        raise NotAVideoError("the input is not a video: it begins like no MP4, MOV or WebM file")
