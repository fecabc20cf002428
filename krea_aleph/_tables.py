"""The lines of a file, and the rows of a CSV file: any length, any damage, constant memory."""

from __future__ import annotations

import re
from collections import deque
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol, cast

from krea_aleph.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_LINE: Final = 1 << 20
# A line that is too long is passed over, but not for ever: a device may have no end.
MOST_PASSED_OVER: Final = 1 << 28
# A quote that is never closed would otherwise make one row of all that follows.
MOST_LINES: Final = 1000
_PIECE: Final = 1 << 16
_SHOWN: Final = 200
# The inside of a quoted cell, as far as this line goes; the quantifiers never go back.
_INSIDE: Final = re.compile(r'[^"]*+(?:""[^"]*+)*+')
_QUOTE_TOO_LATE: Final = re.compile(r' +"')
_ALIEN: Final = (
    ((b"PK\x03\x04", b"\xd0\xcf\x11\xe0"), "it is a spreadsheet or an archive"),
    ((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"), "it is compressed"),
    ((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff"), "it is UTF-16 or UTF-32"),
)
SAVE_AS: Final = "Save it as 'CSV UTF-8', or as one JSON object a line (.jsonl), unpacked."


class Stream(Protocol):
    """What lines are read from: an open file, binary or text."""

    def readline(self, size: int = -1, /) -> str | bytes:
        """Return the next line, or at most so much of it."""
        ...


class Line(NamedTuple):
    """One line.

    Attributes:
        number: Its number, the first having 1.
        text: What it holds, its end included; of a line that is too long the beginning.
        problem: What is wrong with it, if anything.
        whole: Whether the text is all of it.
    """

    number: int
    text: str
    problem: str = ""
    whole: bool = True


class Row(NamedTuple):
    """One row of a table.

    Attributes:
        line: The number of the line that it begins on, or that its problem is on.
        cells: Its cells; none if it has a problem.
        text: Its beginning, as it stands in the file.
        problem: What is wrong with it, if anything.
    """

    line: int
    cells: list[str]
    text: str
    problem: str = ""


class Lines:
    """The lines of a stream; some may be put back.

    Args:
        stream: What to read from, an open file. It is asked for one line at a time.
        name: What to call it in errors.
    """

    def __init__(self, stream: Stream, name: str) -> None:
        self._stream = stream
        self._name = name
        self._number = 0
        self._waiting: deque[Line] = deque()

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        if self._waiting:
            return self._waiting.popleft()
        raw = self._read(LONGEST_LINE + 1)
        if not raw:
            raise StopIteration
        self._number += 1
        if self._number == 1:
            raw = self._without_mark(raw)
        if len(raw) > LONGEST_LINE and not _ended(raw):
            self._pass_over()
            return Line(
                self._number, _text(raw[:_SHOWN])[0], "it is longer than 1 MiB", whole=False
            )
        return Line(self._number, *_text(raw))

    def put_back(self, lines: Iterable[Line]) -> None:
        """Have some lines read again, in this order."""
        self._waiting.extendleft(reversed(tuple(lines)))

    def refusal(self, problem: str, hint: str) -> InvalidRequestError:
        """Return the error that says that the file as a whole is of no use."""
        return InvalidRequestError("manifest", f"{self._name}: {problem}", hint=hint)

    def _without_mark(self, raw: str | bytes) -> str | bytes:
        if isinstance(raw, str):
            return raw.removeprefix("\ufeff")
        for beginnings, problem in _ALIEN:
            if raw.startswith(beginnings):
                raise self.refusal(problem, SAVE_AS)
        if raw[:_SHOWN].count(0) > len(raw[:_SHOWN]) // 3:
            raise self.refusal("it is UTF-16 or no text at all", SAVE_AS)
        return raw.removeprefix(b"\xef\xbb\xbf")

    def _pass_over(self) -> None:
        for _ in range(MOST_PASSED_OVER // _PIECE):
            piece = self._read(_PIECE)
            if not piece or _ended(piece):
                return
        raise self.refusal(f"line {self._number} does not end in 256 MiB", SAVE_AS)

    def _read(self, size: int) -> str | bytes:
        try:
            raw: Any = self._stream.readline(size)
        except (OSError, ValueError) as error:  # ValueError: closed, or open as another encoding
            words = getattr(error, "strerror", None) or str(error)
            raise self.refusal(
                f"it cannot be read further than line {self._number}: {words}",
                "Give a path, or a file that is open for reading, best as bytes.",
            ) from error
        if not isinstance(raw, (str, bytes)):
            raise self.refusal(f"it gives {type(raw).__name__}, no text", "Give an open file.")
        return raw


def _ended(raw: str | bytes) -> bool:
    return raw.endswith("\n") if isinstance(raw, str) else raw.endswith(b"\n")


def _text(raw: str | bytes) -> tuple[str, str]:
    """Return a line as text, and what is wrong with it."""
    try:
        text = raw if isinstance(raw, str) else raw.decode()
    except UnicodeDecodeError as error:
        byte, place = error.object[error.start], error.start + 1
        return error.object.decode(errors="replace"), f"byte {byte:#04x} at {place} is no UTF-8"
    return text, f"there is a NUL byte at {text.index(chr(0)) + 1}" if "\0" in text else ""


def rows(lines: Lines, separator: str) -> Iterator[Row]:
    """Yield the rows of a CSV file. One that is malformed does not take the following with it."""
    for line in lines:
        if '"' in line.text and line.whole:
            yield _quoted(line, lines, separator)
        elif line.problem:
            yield Row(line.number, [], line.text[:_SHOWN], line.problem)
        else:
            cells = line.text.rstrip("\r\n").split(separator)
            yield Row(line.number, cells, line.text[:_SHOWN])


def _quoted(first: Line, lines: Lines, separator: str) -> Row:
    """Return the row that begins with a line, whose quoted cells may go on in the next ones."""
    parser, taken = _Parser(separator), [first]
    try:
        while not parser.feed(taken[-1].text):
            if len(taken) >= MOST_LINES or parser.size > LONGEST_LINE:
                raise _MalformedError(f"a quote is not closed in {MOST_LINES} lines or 1 MiB")  # noqa: TRY301
            taken.append(_next(lines))
    except _MalformedError as error:
        lines.put_back(taken[1:])
        return Row(first.number, [], first.text[:_SHOWN], str(error))
    broken = next((line for line in taken if line.problem), None)
    if broken is not None:
        return Row(broken.number, [], first.text[:_SHOWN], broken.problem)
    return Row(first.number, parser.cells, first.text[:_SHOWN])


def _next(lines: Lines) -> Line:
    """Return the line in which a row goes on."""
    line = next(lines, None)
    if line is None:
        raise _MalformedError("a quote is opened and never closed")
    if not line.whole:
        lines.put_back([line])
        raise _MalformedError("a quote is opened, and no line follows that could close it")
    return line


class _MalformedError(Exception):
    """Quotes that do not fit together."""


class _Parser:
    """Takes a row apart, line by line.

    Attributes:
        cells: The cells that are whole.
        size: How much it has been fed.
    """

    def __init__(self, separator: str) -> None:
        self.cells: list[str] = []
        self.size = 0
        self._separator = separator
        self._inside: list[str] | None = None

    def feed(self, text: str) -> bool:
        """Take a line; return whether the row is whole with it."""
        self.size += len(text)
        end = len(text) - (text.endswith("\n") + text.endswith("\r\n"))
        place: int | None = 0
        while place is not None:
            if self._inside is None and text.startswith('"', place):
                self._inside = []
                place += 1
            if self._inside is None:
                place = self._plain(text, place, end)
            elif (closing := self._quoted(text, place)) == len(text):
                return False
            else:
                place = self._after_quote(text, closing + 1, end)
        return True

    def _plain(self, text: str, place: int, end: int) -> int | None:
        if _QUOTE_TOO_LATE.match(text, place):
            raise _MalformedError("a space stands before the quote of a cell")
        stop = text.find(self._separator, place, end)
        self.cells.append(text[place : end if stop < 0 else stop])
        return None if stop < 0 else stop + 1

    def _quoted(self, text: str, place: int) -> int:
        """Take the inside of a quoted cell; return where it ends: at a quote, or with the line."""
        found = cast("re.Match[str]", _INSIDE.match(text, place))
        cast("list[str]", self._inside).append(found[0])
        return found.end()

    def _after_quote(self, text: str, place: int, end: int) -> int | None:
        self.cells.append("".join(self._inside or ()).replace('""', '"'))
        self._inside = None
        if place >= end:
            return None
        if text.startswith(self._separator, place):
            return place + 1
        found = text[place : place + 20]
        raise _MalformedError(f"{found!r} follows the closing quote of a cell")


def cells_of(text: str, separator: str) -> list[str]:
    """Return the cells of one line as far as they can be told apart, to see what separates them."""
    parser = _Parser(separator)
    with suppress(_MalformedError):
        parser.feed(text)
    return parser.cells
