"""The columns that a manifest may have, and the item that a row of them makes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple, cast

from krea_aleph import _wire
from krea_aleph._cells import CellError, reader
from krea_aleph.errors import InvalidRequestError, guess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from krea_aleph.models import StrPath
    from krea_aleph.outcomes import Item

OURS: Final = ("video", "prompt", "output", "intent")
REQUIRED: Final = ("video", "prompt")
# What a row has that was an item before.
NESTED: Final = ("options", "meta")
_META: Final = "meta."
_SHOWN: Final = 80
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# What Windows takes for a device, whatever ending it has.
_DEVICE: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(?:[.:].*)?",
    re.IGNORECASE,
)


class _Target(NamedTuple):
    """Where the value of a column goes: to the item itself, its options, or its meta."""

    part: str
    name: str


class Columns:
    """The columns that a manifest may have.

    Args:
        passthrough: The caller's own.
    """

    def __init__(self, passthrough: frozenset[str]) -> None:
        names = [*OURS, *sorted(_wire.option_schemas())]
        self._known = names
        self._targets = {
            **{spelled: _Target("options", name) for spelled, name in _spellings().items()},
            **{name: _Target("item" if name in OURS else "options", name) for name in names},
            **{name: _Target("meta", name) for name in passthrough},
        }

    def target(self, name: object) -> _Target:
        """Return where the value of a column goes.

        Raises:
            InvalidRequestError: It is no column.
        """
        found = self._targets.get(name) if isinstance(name, str) else None
        if found is not None:
            return found
        if isinstance(name, str) and name.startswith(_META) and name != _META:
            return _Target("meta", name.removeprefix(_META))
        raise self._unknown(name)

    def check_header(self, names: Sequence[str]) -> None:
        """Check the names of the columns of a table.

        Raises:
            InvalidRequestError: One is unknown, stands there twice, or is missing.
        """
        seen: dict[_Target, str] = {}
        for name in filter(None, names):
            target = self.target(name)
            if target in seen:
                raise InvalidRequestError(
                    name, f"it is the same column as {seen[target]!r}", hint="Leave one out."
                )
            seen[target] = name
        for name in REQUIRED:
            if _Target("item", name) not in seen:
                found = ", ".join(filter(None, names))[:200]
                raise InvalidRequestError(
                    name,
                    f"there is no such column, only {found}",
                    hint="The first line names the columns: video and prompt, and what else is"
                    " wanted; commas, semicolons or tabs separate them.",
                )

    def _unknown(self, name: object) -> InvalidRequestError:
        shown = repr(name)[:_SHOWN]
        if not isinstance(name, str):
            return InvalidRequestError("row", f"{shown} is no name of a column", hint=_NAMES)
        asked = guess(name.lower(), self._known)
        news = _wire.renamed(name)
        words = news or f"it is none of the columns {', '.join(self._known)}, meta.*{asked}"
        hint = f"What is yours goes to `meta`: call it meta.NAME, or give passthrough=[{shown}]."
        return InvalidRequestError(name[:_SHOWN], words, hint=hint)


_NAMES: Final = "Give one mapping a row, its keys the names of the columns."


def _spellings() -> Mapping[str, str]:
    """Return our name of each option that upstream spells otherwise and nobody else has."""
    known = {*OURS, *NESTED}
    return {name: ours for name, ours in _wire.wire_spellings().items() if name not in known}


class _Parts:
    """A row taken apart."""

    def __init__(self) -> None:
        self.item: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.meta: dict[str, Any] = {}
        self.spelled: dict[str, str] = {}


class Builder:
    """Makes items of rows.

    Args:
        columns: What a row may have.
        root: The folder that relative paths of files are relative to.
        checks: What to do about values that break a limit of the contract.
    """

    def __init__(self, columns: Columns, root: StrPath, checks: str) -> None:
        self.columns = columns
        self._root = os.fsdecode(root)
        self._checks = checks

    def item(self, row: Mapping[Any, object], *, typed: bool) -> Item:
        """Return the item that a row stands for.

        Args:
            row: Values by column.
            typed: Whether they are what they are: otherwise texts stand for what the contract asks.

        Raises:
            InvalidRequestError: It stands for none.
        """
        parts = _Parts()
        for name, value in row.items():
            self._take(parts, name, value, typed=typed)
        try:
            return self._checked(parts)
        except InvalidRequestError as error:
            head = re.split(r"[.\[]", error.field, maxsplit=1)[0]
            written = parts.spelled.get(head, head) + error.field[len(head) :]
            raise InvalidRequestError(written, error.problem, hint=error.hint) from None

    def _take(self, parts: _Parts, name: Any, value: object, *, typed: bool) -> None:
        if name == "meta":
            parts.item["meta"] = value
        elif name == "options":
            self._take_options(parts, value, typed=typed)
        else:
            part, key = self.columns.target(name)
            if part == "meta":
                parts.meta[key] = value
            elif _is_given(value) and part == "item":
                parts.item[key] = value
            elif _is_given(value):
                _take_option(parts, name, key, value if typed else _read(name, key, value))

    def _take_options(self, parts: _Parts, value: object, *, typed: bool) -> None:
        """Take the options of a row that was an item before."""
        if not _is_given(value):
            return
        if not isinstance(value, Mapping):
            shown = repr(value)[:_SHOWN]
            raise InvalidRequestError(
                "options", f"{shown} is no mapping", hint="Give each option a column of its own."
            )
        for name, given in value.items():
            if self.columns.target(name).part != "options":
                raise InvalidRequestError("options", f"{name!r} is no option", hint=_NAMES)
            self._take(parts, name, given, typed=typed)

    def _checked(self, parts: _Parts) -> Item:
        item = parts.item
        for name in REQUIRED:
            if name not in item:
                raise InvalidRequestError(
                    name, "nothing is given", hint="Every row needs a video and a prompt."
                )
        if parts.meta:
            if not isinstance(item.get("meta", {}), Mapping):
                raise InvalidRequestError("meta", "there is meta.* too", hint="Leave one out.")
            item["meta"] = {**item.get("meta", {}), **parts.meta}
        if "output" in item:
            check_output(item["output"])
        item["video"], options = _wire.rooted(item["video"], parts.options, self._root)
        _wire.draft(
            item["video"],
            item["prompt"],
            options,
            extra_body=None,
            checks=self._checks,
            account="",
            intent=item.get("intent"),
        )
        if options:
            item["options"] = options
        return cast("Item", item)


def _is_given(value: object) -> bool:
    """Whether a value says anything: null and the empty text say that nothing is given."""
    return value is not None and not (isinstance(value, str) and not value)


def _take_option(parts: _Parts, column: str, name: str, value: object) -> None:
    if name in parts.options:
        raise InvalidRequestError(column, "it is given twice", hint="Leave one out.")
    parts.options[name] = value
    parts.spelled[name] = column


@cache
def _reader(option: str) -> Callable[[str], object]:
    return reader(_wire.option_schemas()[option])


def _read(column: str, option: str, value: object) -> object:
    """Return what a text stands for in an option; anything else is what it is.

    Raises:
        InvalidRequestError: It stands for nothing that may stand there.
    """
    try:
        return _reader(option)(value) if isinstance(value, str) else value
    except CellError as error:
        raise InvalidRequestError(column, str(error), hint=error.remedy) from None


def check_output(output: object) -> None:
    """Check where a result is to go: inside of the folder, under a name that any system takes.

    Raises:
        InvalidRequestError: It may lead elsewhere, or nowhere on some systems.
    """
    path = os.fspath(output) if isinstance(output, os.PathLike) else output
    if not isinstance(path, str):
        raise InvalidRequestError(
            "output", f"{type(output).__name__} is no path", hint="Give a name as text."
        )
    problem = _problem_with(path)
    if problem:
        raise InvalidRequestError(
            "output",
            f"{path[:_SHOWN]!r} {problem}",
            hint="Give a path inside of the batch's folder, such as shots/017.mp4.",
        )


def _problem_with(path: str) -> str:
    """Say why a path is not inside of a folder on every system, if it is not."""
    parts = re.split(r"[/\\]", path)
    if _CONTROL.search(path):
        return "holds a control character"
    if not parts[0]:
        return "is absolute"
    if ".." in parts:
        return "leads out of the folder"
    if any(_DRIVE.match(part) for part in parts):
        return "names a drive"
    if "\\" in path:
        return "has a backslash, which is a folder's mark on some systems only; write /"
    return next(filter(None, map(_problem_with_part, parts[:-1])), "") or _problem_with_part(
        parts[-1], last=True
    )


def _problem_with_part(part: str, *, last: bool = False) -> str:
    if part.endswith((".", " ")) and (last or part != "."):
        return "has a name that ends in a dot or a space, which Windows drops"
    if _DEVICE.fullmatch(part):
        return "has a name that is a device on Windows"
    return ""
