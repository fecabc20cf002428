"""Showing strangers' texts in Markdown, where nothing of theirs may become more than text.

A title or a description can hold links, pictures, HTML, mentions (`@team`), references (`#1`) and
table bars. Backslashes do not stop all of that everywhere; code spans do. So a value is one code
span, and of a sentence every word that is not plain is one.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

VALUE: Final = 100
"""So many characters of a value are shown."""
SENTENCE: Final = 600
"""So many characters of a sentence are shown."""
WORD: Final = 300
"""So many characters of one of its words are shown."""

# Letters with the punctuation of prose around them, and plain numbers.
_PLAIN: Final = re.compile(r"[\"'(]*(?:[A-Za-z]+(?:['/-][A-Za-z]+)*|\d+)[\"')]*[.,:;?!]*|[+=]")
_TAIL: Final = re.compile(r"(.+?)([.,:;]*)", re.DOTALL)
_SITE: Final = re.compile(r"\bwww\b", re.IGNORECASE)
_MARKS: Final = {"`": "\\u0060", "|": "\\u007c", "\\": "\\u005c"}


def value(data: Any) -> str:
    """Show JSON data as one code span; nothing at all as a dash."""
    if data is None:
        return "-"
    return code(data if isinstance(data, str) else json.dumps(data, ensure_ascii=False))


def code(text: str, limit: int = VALUE) -> str:
    r"""Show a text as one code span on one line, cut when it is long.

    What would end the span or a table's cell, and what cannot be seen, is written as `\uXXXX`.
    A backslash is, too: some places turn a backslash and an n into a new line.
    """
    cut = text if len(text) <= limit else f"{text[: limit - 3]}..."
    shown = "".join(_MARKS.get(character) or _visible(character) for character in cut)
    return f"`{shown}`" if shown.strip() else "` `"


def prose(text: str) -> str:
    """Show a sentence: plain words as they are, every other one as code."""
    cut = text if len(text) <= SENTENCE else f"{text[:SENTENCE]}..."
    return " ".join(map(_word, cut.split()))


def _word(word: str) -> str:
    if _PLAIN.fullmatch(word) and not _SITE.search(word):
        return word
    found = _TAIL.fullmatch(word)
    stem, tail = found.groups() if found else (word, "")
    return f"{code(stem, WORD)}{tail}"


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return "".join(f"\\u{unit:04x}" for unit in _utf16(character))


def _utf16(character: str) -> list[int]:
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
