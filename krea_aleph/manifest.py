"""Manifests: tables of what a batch is to make, from files or from anything that gives rows.

`read` turns the rows of a CSV file, a JSONL file or an iterable of mappings into items, one at a
time, so that a table may have any length. Texts become what the contract says belongs there. A row
that is of no use comes out as a `BadRow` and stops no other.

Example:
    >>> rows = [{"video": "https://example.com/in.mp4", "prompt": "make it snow", "seed": "7"}]
    >>> list(read(rows))
    [{'video': 'https://example.com/in.mp4', 'prompt': 'make it snow', 'options': {'seed': 7}}]
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import IO, Any, Final, Literal, NamedTuple, TypeAlias, cast

from krea_aleph._cells import strict_json
from krea_aleph._columns import NESTED, OURS, REQUIRED, Builder, Columns
from krea_aleph._tables import SAVE_AS, Line, Lines, Row, Stream, cells_of, rows
from krea_aleph.errors import InvalidRequestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from krea_aleph.models import StrPath
    from krea_aleph.outcomes import Item

__all__ = ["BadRow", "item", "read"]

Checks: TypeAlias = Literal["error", "warn", "off"]

_SHOWN: Final = 200
_KINDS: Final[Mapping[str, str]] = {
    ".csv": "CSV",
    ".tsv": "CSV",
    ".tab": "CSV",
    ".txt": "CSV",
    ".jsonl": "JSONL",
    ".ndjson": "JSONL",
}
_NAME_IT: Final = f"A name tells what is in a file by its ending: {', '.join(_KINDS)}."
_REPAIR: Final = "Repair this line; the others are read without it."
_SEPARATORS: Final = ",;\t"
_SEPARATOR_LINE: Final = re.compile(r"sep=(.)", re.IGNORECASE)
_COMMENTS: Final = ("#", "//")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a manifest that is no item. It costs nothing, and the rows after it are read.

    Attributes:
        index: Its place among the rows, good and bad, the first having 0. Empty ones do not count.
        line: The number of its line, the first having 1; None where the rows have no lines.
        field: The column that is wrong, or "row" if the row as a whole is.
        error: What is wrong, and what to do about it.
        row: The beginning of the row as it was found.

    Example:
        >>> [bad] = read([{"video": "in.mp4", "prompt": "make it snow", "seed": "seven"}])
        >>> bad.field
        'seed'
    """

    index: int
    line: int | None
    field: str
    error: InvalidRequestError
    row: str


def read(
    path_or_rows: StrPath | IO[str] | IO[bytes] | Iterable[Mapping[str, Any]],
    passthrough: Iterable[str] = (),
    root: StrPath | None = None,
    *,
    checks: Checks = "error",
) -> Iterator[Item | BadRow]:
    """Read a manifest row by row, as far as it is asked for.

    A CSV file names its columns in its first line; in JSONL each line is an object. Columns are
    ``video`` and ``prompt``, which every row needs, ``output``, ``intent``, and every option of
    `AlephOptions`. ``meta.NAME`` and the names in ``passthrough`` are yours and come back in the
    item's ``meta``. An empty cell, like a null, says that nothing is given.

    Args:
        path_or_rows: The path of a file, its kind told by its ending; "-" for the standard input;
            an open file; or mappings, such as those of `csv.DictReader`.
        passthrough: Columns of yours, which go to ``meta``.
        root: The folder that relative paths of files are relative to; by default that of the
            manifest, and for what has no path the current one.
        checks: What to do about rows that break a limit of the contract: "error" makes them bad
            rows, "warn" and "off" leave them to the client's own ``checks``.

    Returns:
        Items for ``batch``, and in their places the rows that are none. The file is closed at its
        end, or when nobody has the iterator any more.

    Raises:
        InvalidRequestError: It cannot be read or is no manifest, or a column of it is none. What
            its beginning shows is raised by the call itself.
    """
    columns = Columns(_own_names(passthrough))
    source = _opened(path_or_rows)
    builder = Builder(columns, source.folder if root is None else root, checks)
    found = _walk(source, builder)
    # The walk stops once before the first row: what is wrong with the file as a whole is said at
    # the call, and from here on the file is closed with the generator.
    next(found)
    return cast("Iterator[Item | BadRow]", found)


def item(row: Mapping[str, Any], root: StrPath = "", *, checks: Checks = "error") -> Item:
    """Return what one row stands for, as `read` does with the rows of a table.

    That is how a form or a command line, which have nothing but texts, get at what the contract
    asks for.

    Args:
        row: Texts, or values, by column.
        root: The folder that relative paths of files are relative to; default: the current one.
        checks: As in `read`.

    Raises:
        InvalidRequestError: It stands for none; names the column.

    Example:
        >>> item({"video": "in.mp4", "prompt": "make it snow", "seed": "7"})["options"]
        {'seed': 7}
    """
    return Builder(Columns(frozenset()), root, checks).item(_mapping(row), typed=False)


def _own_names(passthrough: object) -> frozenset[str]:
    """Check the names of the caller's own columns.

    Raises:
        InvalidRequestError: They are no names, or taken.
    """
    if isinstance(passthrough, str) or not isinstance(passthrough, Iterable):
        raise InvalidRequestError(
            "passthrough", f"{passthrough!r} is no list of columns", hint='Give ["name"].'
        )
    names, taken = list(passthrough), (*OURS, *NESTED)
    for name in names:
        if not isinstance(name, str) or not name or name in taken:
            raise InvalidRequestError(
                "passthrough",
                f"{name!r} can be no column of yours",
                hint=f"Give names; {', '.join(taken)} have a meaning already.",
            )
    return frozenset(names)


class _Source(NamedTuple):
    """Where rows come from.

    Attributes:
        name: What to call it in errors.
        rows: Its rows, if it has no lines.
        stream: Where its lines come from, if it has lines.
        kind: What its name says that is in it, if it says so.
        folder: The folder of its relative paths.
        closing: What to close at the end.
    """

    name: str
    rows: Iterable[object] = ()
    stream: Stream | None = None
    kind: str | None = None
    folder: str = ""
    closing: AbstractContextManager[object] = nullcontext()


def _opened(given: Any) -> _Source:
    if given == "-":
        given = getattr(sys.stdin, "buffer", sys.stdin)
    if isinstance(given, (str, os.PathLike)):
        return _file(os.fsdecode(given))
    if hasattr(given, "readline"):
        return _Source(repr(getattr(given, "name", "the file")), stream=given)
    if isinstance(given, Iterable) and not isinstance(given, (Mapping, bytes, bytearray)):
        return _Source("the rows", rows=given)
    raise _refusal(
        repr(given)[:_SHOWN],
        "it is no manifest",
        "Give a path, an open file, or an iterable of mappings.",
    )


def _file(path: str) -> _Source:
    kind = _kind_by_name(path)
    try:
        file = open(path, "rb")  # noqa: PTH123, SIM115 - as it was given, and closed by the walk
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        hint = "Give the path of a file that exists and may be read."
        raise _refusal(repr(path), f"it cannot be read: {words}", hint) from error
    folder = os.path.dirname(path)  # noqa: PTH120 - "" says that there is nothing to add
    return _Source(repr(path), stream=file, kind=kind, folder=folder, closing=file)


def _kind_by_name(path: str) -> str:
    ending = os.path.splitext(path)[1].lower()  # noqa: PTH122 - as it was given
    if ending == ".json":
        raise _refusal(
            repr(path),
            "a JSON document is one value, and may not fit into memory",
            "Write one object a line into a .jsonl file: jq -c '.[]' in.json > out.jsonl",
        )
    if ending not in _KINDS:
        raise _refusal(repr(path), f"{ending!r} is the ending of no manifest", _NAME_IT)
    return _KINDS[ending]


def _refusal(name: str, problem: str, hint: str) -> InvalidRequestError:
    return InvalidRequestError("manifest", f"{name}: {problem}", hint=hint)


def _walk(source: _Source, builder: Builder) -> Iterator[Item | BadRow | None]:
    """Yield None when the beginning is read and found good, then what becomes of each row."""
    with source.closing:
        if source.stream is None:
            found = _from_mappings(source.rows, builder)
        else:
            found = _from_lines(Lines(source.stream, source.name), source.kind, builder)
        yield None
        yield from found


def _from_mappings(given: Iterable[object], builder: Builder) -> Iterator[Item | BadRow]:
    for index, row in enumerate(given):

        def make(row: object = row) -> Item:
            return builder.item(_mapping(row), typed=False)

        yield _item(index, None, lambda: repr(row), make)  # noqa: B023 - called at once


def _mapping(row: Any) -> Mapping[Any, object]:
    """Return a row as a mapping; rows of databases have keys and are none.

    Raises:
        InvalidRequestError: It is nothing like it.
    """
    if isinstance(row, Mapping):
        return row
    if hasattr(row, "keys"):
        return dict(row)
    raise InvalidRequestError(
        "row",
        f"{type(row).__name__} is no mapping of columns to values",
        hint='Give {"video": ..., "prompt": ...}.',
    )


def _item(
    index: int, line: int | None, text: Callable[[], str], make: Callable[[], Item]
) -> Item | BadRow:
    """Make an item; if that is refused, say of which row it is said."""
    try:
        return make()
    except InvalidRequestError as error:
        located = _located(error, f"row {index}" if line is None else f"line {line}")
        return BadRow(index, line, located.field, located, text()[:_SHOWN])


def _located(error: InvalidRequestError, place: str) -> InvalidRequestError:
    hint = error.hint or _REPAIR
    return InvalidRequestError(error.field, f"{place}: {error.problem}", hint=hint)


def _from_lines(lines: Lines, expected: str | None, builder: Builder) -> Iterator[Item | BadRow]:
    """Look at the first line that says something, and return the rows.

    Raises:
        InvalidRequestError: That line shows that it is no manifest.
    """
    first = next((line for line in lines if line.text.strip() or line.problem), None)
    if first is None:
        if expected == "JSONL":
            return iter(())
        raise lines.refusal("it is empty", "Its first line names the columns.")
    kind = _kind_by_look(first, lines)
    if expected not in {None, kind}:
        shown = first.text[:80].rstrip()
        raise lines.refusal(
            f"its name says {expected}, and line {first.number} says {kind}: {shown!r}", _NAME_IT
        )
    lines.put_back([first])
    return (_from_json if kind == "JSONL" else _from_csv)(lines, builder)


def _kind_by_look(first: Line, lines: Lines) -> str:
    start = first.text.lstrip()
    if first.problem and not start.startswith("{"):
        raise lines.refusal(f"line {first.number}: {first.problem}", SAVE_AS)
    if start.startswith("["):
        raise lines.refusal(
            "it is one JSON array, which may not fit into memory",
            "Write one object a line: jq -c '.[]' in.json > out.jsonl",
        )
    return "JSONL" if start.startswith(("{", *_COMMENTS)) else "CSV"


def _from_json(lines: Lines, builder: Builder) -> Iterator[Item | BadRow]:
    index = 0
    for line in lines:
        start = line.text.lstrip()
        if not line.problem and (not start or start.startswith(_COMMENTS)):
            continue

        def make(line: Line = line) -> Item:
            return builder.item(_object(line), typed=True)

        yield _item(index, line.number, lambda: line.text, make)  # noqa: B023 - called at once
        index += 1


def _object(line: Line) -> Mapping[str, object]:
    """Return the object of a line.

    Raises:
        InvalidRequestError: There is none.
    """
    if line.problem:
        raise InvalidRequestError("row", line.problem, hint=_REPAIR)
    try:
        value = strict_json(line.text)
    except ValueError as error:
        hint = 'A line is one object: {"video": "in.mp4", "prompt": "make it snow"}.'
        raise InvalidRequestError("row", f"it is no JSON: {error}", hint=hint) from None
    return _mapping(value)


def _from_csv(lines: Lines, builder: Builder) -> Iterator[Item | BadRow]:
    """Read the header, and return the rows.

    Raises:
        InvalidRequestError: A column is unknown, missing, or there twice.
    """
    first = next(lines)
    told = _SEPARATOR_LINE.fullmatch(first.text.strip("\r\n"))
    if told is None:
        lines.put_back([first])
    # The line that names the separator is Excel's own way to say it.
    table = rows(lines, _separator(first.text) if told is None else told[1])
    header = next((row for row in table if row.problem or not _is_blank(row)), None)
    if header is None or header.problem:
        problem = "no line names the columns" if header is None else header.problem
        raise lines.refusal(f"line {header.line if header else first.number}: {problem}", SAVE_AS)
    names = [cell.strip() for cell in header.cells]
    try:
        builder.columns.check_header(names)
    except InvalidRequestError as error:
        raise _located(error, f"line {header.line}") from None
    return _csv_items(names, table, builder)


def _separator(header: str) -> str:
    """Return what separates the cells of a header: what yields most of the names it must have."""

    def told(separator: str) -> tuple[int, int]:
        cells = [cell.strip() for cell in cells_of(header, separator)]
        return sum(name in cells for name in REQUIRED), len(cells)

    return max(_SEPARATORS, key=told)


def _is_blank(row: Row) -> bool:
    return not any(map(str.strip, row.cells))


def _csv_items(
    names: Sequence[str], table: Iterator[Row], builder: Builder
) -> Iterator[Item | BadRow]:
    index = 0
    for row in table:
        if not row.problem and _is_blank(row):
            continue  # spreadsheets leave empty rows behind

        def make(row: Row = row) -> Item:
            return builder.item(_cells(names, row), typed=False)

        yield _item(index, row.line, lambda: row.text, make)  # noqa: B023 - called at once
        index += 1


def _cells(names: Sequence[str], row: Row) -> Mapping[str, object]:
    """Return the cells of a row by column; cells that are missing at its end are empty.

    Raises:
        InvalidRequestError: It is malformed, or has a cell that belongs to no column.
    """
    if row.problem:
        raise InvalidRequestError("row", row.problem, hint=_REPAIR)
    filled = [*row.cells, *[""] * (len(names) - len(row.cells))]
    cells = dict(zip(names, filled, strict=False))
    nameless = [cell for name, cell in zip(names, filled, strict=False) if not name]
    lost = next((cell for cell in (*nameless, *filled[len(names) :]) if cell.strip()), None)
    if lost is not None:
        raise InvalidRequestError(
            "row",
            f"{lost[:80]!r} stands in no column that has a name: the header names {len(names)},"
            f" and here are {len(row.cells)} cells",
            hint='Put a text that holds the separator in quotes: "make it snow, at night".',
        )
    cells.pop("", None)
    return cells
