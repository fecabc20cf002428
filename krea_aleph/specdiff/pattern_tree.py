"""Patterns of ECMA-262 as trees: what that language and Python read alike, and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

MAX_PATTERN: Final = 500
MAX_DEPTH: Final = 10
MAX_REPEAT: Final = 10_000

Ranges: TypeAlias = tuple[tuple[int, int], ...]
"""Code points from and to, both included, in order and apart."""

LAST: Final = 0x10FFFF


class Unchecked(ValueError):  # noqa: N818 - no error of anybody: the server checks
    """Why a pattern is left to the server, as the end of a sentence."""


def read_pattern(text: str) -> Node:
    """Read a pattern.

    Raises:
        Unchecked: It is no regular expression, or Python would take it to mean something else.
    """
    if len(text) > MAX_PATTERN:
        raise Unchecked(f"it has more than {MAX_PATTERN} characters")
    return _Reader(text).read()


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of some."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Start:
    """The start of the text."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of the text."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of several."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same several times; without `most`, any number of times."""

    part: Node
    least: int
    most: int | None


Node: TypeAlias = Chars | Start | End | Sequence | Either | Repeat


def joined(ranges: list[tuple[int, int]]) -> Ranges:
    """Put ranges in order, and together where they touch."""
    result: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if result and low <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], high))
        else:
            result.append((low, high))
    return tuple(result)


def others(ranges: Ranges) -> Ranges:
    """List the characters that are in none of these ranges."""
    edges = [-1, *(edge for low, high in ranges for edge in (low - 1, high)), LAST]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return tuple((below + 1, above) for below, above in pairs if below < above)


def meet(ours: Ranges, theirs: Ranges) -> bool:
    """Tell whether a character is in both."""
    return any(low <= top and bottom <= high for low, high in ours for bottom, top in theirs)


def size(ranges: Ranges) -> int:
    """Count the characters."""
    return sum(high - low + 1 for low, high in ranges)


_DIGIT: Final[Ranges] = ((0x30, 0x39),)
_WORD: Final[Ranges] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_LINE_END: Final[Ranges] = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_SPACE: Final[Ranges] = (
    (0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A),
    (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
)  # fmt: skip
_CLASSES: Final = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROLS: Final = {"t": 0x09, "n": 0x0A, "v": 0x0B, "f": 0x0C, "r": 0x0D}
_COUNT: Final = re.compile(r"\{([0-9]{1,6})(?:(,)([0-9]{1,6})?)?\}")
_HEX: Final = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})")
_SIMPLE: Final = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_NO_REGEX: Final = "it is no regular expression of the kind that JSON Schema means"


class _Reader:
    """Reads what ECMA-262 and Python mean alike, and stops at anything else."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def read(self) -> Node:
        tree = self._either()
        if self._at < len(self._text):
            raise Unchecked(_NO_REGEX)
        return tree

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        self._at += 1
        return self._text[self._at - 1 : self._at]

    def _either(self) -> Node:
        parts = [self._sequence()]
        while self._next() == "|":
            self._take()
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._next() not in {"", "|", ")"}:
            first = not parts and self._depth == 0
            parts.append(self._anchor(first=first) or self._repeated(self._atom()))
        return Sequence(tuple(parts))

    def _anchor(self, *, first: bool) -> Node | None:
        if self._next() == "$":
            self._take()
            return End()
        if self._next() != "^":
            return None
        self._take()
        if not first:
            raise Unchecked("it asks for the start of the text where that is not first")
        return Start()

    def _atom(self) -> Node:
        found = self._take()
        if found == "(":
            return self._group()
        if found == "[":
            return Chars(self._class())
        if found == ".":
            return Chars(others(_LINE_END))
        if found == "\\":
            return Chars(self._escape())
        if found in "*+?{}])":
            raise Unchecked(_NO_REGEX)
        return Chars(self._literal(found))

    def _group(self) -> Node:
        if self._text.startswith("?:", self._at):
            self._at += 2
        elif self._next() == "?":
            raise Unchecked("what it does with (? is read in more than one way")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unchecked(f"it is nested deeper than {MAX_DEPTH} levels")
        inside = self._either()
        self._depth -= 1
        if self._take() != ")":
            raise Unchecked(_NO_REGEX)
        return inside

    def _repeated(self, part: Node) -> Node:
        if self._next() == "{":
            least, most = self._count()
        elif self._next() in _SIMPLE and self._next():
            least, most = _SIMPLE[self._take()]
        else:
            return part
        if self._next() == "?":
            self._take()  # which match is found first does not matter here
        return Repeat(part, least, most)

    def _count(self) -> tuple[int, int | None]:
        found = _COUNT.match(self._text, self._at)
        if found is None:
            raise Unchecked(_NO_REGEX)
        self._at = found.end()
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else None
        if max(least, most or 0) > MAX_REPEAT:
            raise Unchecked(f"it repeats more than {MAX_REPEAT} times")
        if most is not None and most < least:
            raise Unchecked(_NO_REGEX)
        return least, most

    def _literal(self, found: str) -> Ranges:
        code = ord(found)
        if code > 0xFFFF or 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004 - one or two units there
            raise Unchecked("it names a character that counts as one or as two")
        return ((code, code),)

    def _escape(self) -> Ranges:
        found = self._take()
        if not found:
            raise Unchecked(_NO_REGEX)
        if found.lower() in _CLASSES:
            ranges = _CLASSES[found.lower()]
            return ranges if found.islower() else others(ranges)
        if found in _CONTROLS:
            return ((_CONTROLS[found], _CONTROLS[found]),)
        if code := _HEX.match(self._text, self._at - 1):
            self._at = code.end()
            return self._literal(chr(int(code[1] or code[2], 16)))
        if found.isascii() and found.isprintable() and not found.isalnum():
            return ((ord(found), ord(found)),)
        raise Unchecked(f"what it means by \\{found!a:.4} is read in more than one way")

    def _class(self) -> Ranges:
        inverted = self._next() == "^"
        if inverted:
            self._take()
        ranges: list[tuple[int, int]] = []
        while self._next() != "]":
            ranges += self._item()
        self._take()
        if not ranges:
            raise Unchecked("what it means by [] is read in more than one way")
        found = joined(ranges)
        return others(found) if inverted else found

    def _item(self) -> Ranges:
        low = self._member()
        if self._next() != "-" or self._text[self._at + 1 : self._at + 2] in {"]", ""}:
            return low
        before = self._at
        self._take()
        high = self._member()
        if size(low) != 1 or size(high) != 1:
            self._at = before  # beside a class a hyphen is a hyphen
            return low
        if high[0][0] < low[0][0]:
            raise Unchecked(_NO_REGEX)
        return ((low[0][0], high[0][0]),)

    def _member(self) -> Ranges:
        found = self._take()
        if not found:
            raise Unchecked(_NO_REGEX)
        return self._escape() if found == "\\" else self._literal(found)
