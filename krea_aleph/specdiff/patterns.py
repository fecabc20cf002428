r"""Which patterns can be checked before a request is sent, and how Python spells them.

A `pattern` of the contract is a regular expression of ECMA-262 from somebody else, and Python's
`re` would run it on a text of the user's. Two things speak against that: the two languages read
some of it differently (`\d`, `$`, `(?<x>`), and `re` goes back and tries again, so that a pattern
like `(a+)+$` takes for ever. So only a pattern that is read alike and needs at most a fixed number
of steps for each character is written again in Python's spelling, with every class spelt out. Any
other pattern is left to the server.
"""

from __future__ import annotations

import re
from typing import Final

from krea_aleph.specdiff.pattern_steps import steps
from krea_aleph.specdiff.pattern_tree import (
    LAST,
    Chars,
    Either,
    Node,
    Ranges,
    Repeat,
    Sequence,
    Start,
    others,
    read_pattern,
    size,
)

_COUNTS: Final = {(1, 1): "", (0, 1): "?", (0, None): "*", (1, None): "+"}


def python_pattern(pattern: str) -> str:
    """Write a pattern for `re.search` so that it says the same and never takes long.

    Raises:
        Unchecked: It is no regular expression, means something else in Python, or could need
            more than a fixed number of steps for each character.
    """
    tree = shortened(read_pattern(pattern))
    steps(tree)
    return _spelt(tree)


def shortened(tree: Node) -> Node:
    """Drop what cannot change whether a search finds something: repetition at an open end."""
    if isinstance(tree, Either):
        return Either(tuple(shortened(part) for part in tree.parts))
    if isinstance(tree, Sequence):
        return Sequence(_open_end(_open_end(tree.parts)[::-1])[::-1])
    return tree


def _open_end(parts: tuple[Node, ...]) -> tuple[Node, ...]:
    while parts and isinstance(last := parts[-1], Repeat):
        if last.least:
            return (*parts[:-1], Repeat(last.part, last.least, last.least))
        parts = parts[:-1]
    return parts


def _spelt(node: Node) -> str:
    if isinstance(node, Chars):
        return _class_of(node.ranges)
    if isinstance(node, Sequence):
        return "".join(_spelt(part) for part in node.parts)
    if isinstance(node, Either):
        return f"(?:{'|'.join(_spelt(part) for part in node.parts)})"
    if isinstance(node, Repeat):
        return _spelt_repeat(node)
    return r"\A" if isinstance(node, Start) else r"\Z"


def _spelt_repeat(node: Repeat) -> str:
    inside = _spelt(node.part)
    inside = inside if isinstance(node.part, Chars | Either) else f"(?:{inside})"
    return inside + _COUNTS.get((node.least, node.most), _count(node))


def _count(node: Repeat) -> str:
    if node.least == node.most:
        return f"{{{node.least}}}"
    return f"{{{node.least},{'' if node.most is None else node.most}}}"


def _class_of(ranges: Ranges) -> str:
    if size(ranges) == 1:
        return _letter(ranges[0][0])
    if not ranges:
        return r"[^\x00-\U0010ffff]"
    rest = others(ranges)
    if rest and ranges[-1][1] == LAST:
        return f"[^{''.join(map(_span, rest))}]"
    return f"[{''.join(map(_span, ranges))}]"


def _span(span: tuple[int, int]) -> str:
    low, high = span
    return _letter(low) if low == high else f"{_letter(low)}-{_letter(high)}"


def _letter(code: int) -> str:
    letter = chr(code)
    if letter.isascii() and letter.isprintable():
        return re.escape(letter)
    if code <= 0xFF:  # noqa: PLR2004
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004
