"""Text of strangers in pages: prompts, file names and servers' words are text, whatever they hold.

Whatever goes into a page goes through here. Standard library only, and little of it: the cards of
notebooks need it, too.
"""

from __future__ import annotations

import html
import json
import unicodedata
from typing import Any, Final

# Letters of some scripts, and pictures of people, are made with these two.
_JOINERS: Final = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
_KEPT: Final = f"\n\t{_JOINERS}"
_STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Within a script element these could end it, or begin a comment.
_IN_SCRIPT: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def readable(text: str) -> str:
    """Return text whose order and lines are what they look like.

    Signs that steer, such as those that turn the direction of writing, are spelt as in JSON.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(json.dumps(sign)[1:-1] if _steers(sign) else sign for sign in text)


def _steers(sign: str) -> bool:
    return sign not in _KEPT and unicodedata.category(sign) in _STEERING


def as_html(text: object) -> str:
    """Return text as it stands in HTML, in an element as well as in a quoted attribute."""
    return html.escape(readable(str(text)), quote=True)


def as_json(value: Any) -> str:
    """Return a value as it stands in a script element whose type is JSON."""
    return json.dumps(value, separators=(",", ":")).translate(_IN_SCRIPT)
