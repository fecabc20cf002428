"""Text from the contract, made fit for a docstring."""

from __future__ import annotations

import re
from typing import Final

MAX_PROSE: Final = 2_000

_LINK: Final = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\([^()]*\)[^()\s]*)?\)")
_PLAIN: Final = str.maketrans(
    {"\\": "/", '"': "'", "\r": "\n"} | dict.fromkeys("\u00ad\u200b\u2060\u2061\u2062\u2063\u2064")
)
"""Signs without width go: no reader would see them."""


def clean(text: object) -> str:
    """Neutralise quotes and backslashes, drop link targets, fold white space.

    Paragraphs stay apart; anything but text becomes the empty string.
    """
    if not isinstance(text, str):
        return ""
    plain = _LINK.sub(r"\1", text.translate(_PLAIN))
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", plain)]
    return "\n\n".join(part for part in paragraphs if part)[:MAX_PROSE].rstrip()


def sentence(text: str) -> str:
    """End a text with a full stop, unless it ends a sentence already."""
    return text if not text or text[-1] in ".!?:" else f"{text}."
