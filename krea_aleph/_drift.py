"""What an answer has that the pinned contract does not know: a status, a field, a type, a word.

Nothing is refused for it: the caller gets his job, and somebody is told once. What is told are
names alone, as the contract or the server writes them, never what a field holds: that may be a
prompt, an address or a key. The words of a list that the contract closes, such as a job's status,
are names as well.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, TypeAlias

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

Kinds: TypeAlias = tuple[str, ...]

_NAMES: Final[Mapping[type, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
    dict: "object",
    list: "array",
}
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    **{name: (kind,) for kind, name in _NAMES.items()},
    "number": (int, float),
}
# What a name looks like that may be repeated: anything else may be data where names should be.
_NAME: Final = re.compile(r"[A-Za-z_$@][A-Za-z0-9_$@.-]{0,39}")
_STRANGE: Final = "(no plain name)"
_MOST_FOUND: Final = 50
_MOST_ITEMS: Final = 2_000
# A server that fails says nothing about the contract.
_SERVER_ERRORS: Final = 500
# Stands for a place that the contract does not know, where None is one that holds anything.
_FOREIGN: Final[Any] = object()


class Unknown(NamedTuple):
    """One thing that the contract does not know.

    Attributes:
        kind: "status" (of the answer), "field", "type" or "value".
        where: The place in words of the contract, such as ``Job.result``.
        found: What was seen there: a status, a JSON type, a word.
    """

    kind: str
    where: str
    found: str


_Found: TypeAlias = dict[Unknown, None]


class _Place:
    """What may stand in one place, prepared for comparing quickly."""

    __slots__ = ("fields", "inside", "items", "name", "rest", "types", "words")

    def __init__(self, name: str) -> None:
        self.name = self.inside = name
        self.types: set[type] = set()
        self.words: set[str] | None = None
        self.items: _Place | None = None
        self.fields: dict[str, _Place | None] | None = None
        self.rest: Any = _FOREIGN


class Known:
    """What the contract knows of answers, as the regeneration has written it down."""

    def __init__(
        self,
        answers: Mapping[str, Mapping[str, Kinds]],
        shapes: Mapping[str, Mapping[str, Kinds]],
        words: Mapping[str, Kinds],
    ) -> None:
        self._shapes = shapes
        self._words = words
        self._fields: dict[str, dict[str, _Place | None]] = {}
        self._answers = {
            operation: {status: self._place(kinds, operation) for status, kinds in declared.items()}
            for operation, declared in answers.items()
        }

    def unknown_in(self, operation: str, status: int, content: Any) -> list[Unknown]:
        """Return what an answer has that the contract does not know.

        Args:
            operation: What was called.
            status: The status of the answer.
            content: Its body as JSON; None is not looked at.
        """
        declared = self._answers.get(operation, {})
        keys = (str(status), f"{status // 100}XX", "default")
        place = next((declared[key] for key in keys if key in declared), _FOREIGN)
        found: _Found = {}
        if place is not _FOREIGN:
            _compare(place if content is not None else None, content, found)
        elif status < _SERVER_ERRORS and declared:
            found[Unknown("status", operation, str(status))] = None
        return [*found]

    def _place(self, kinds: Kinds, name: str) -> _Place | None:
        """Return the place where any of these kinds may stand, or None where anything may."""
        if not kinds or "any" in kinds:
            return None
        place = _Place(name)
        for kind in kinds:
            self._admit(place, kind)
        lists = tuple(kind[:-2] for kind in kinds if kind.endswith("[]"))
        maps = tuple(kind[:-2] for kind in kinds if kind.endswith("{}"))
        place.items = self._place(lists, f"{name}[]")
        if maps:
            place.fields, place.rest = place.fields or {}, self._place(maps, f"{name}{{}}")
        # Beside a type as such, what it may hold is open.
        place.words = None if "string" in kinds else place.words
        place.fields = None if "object" in kinds else place.fields
        return place

    def _admit(self, place: _Place, kind: str) -> None:
        if kind in self._shapes:
            place.types.add(dict)
            place.inside = kind
            place.fields = {**(place.fields or {}), **self._fields_of(kind)}
            if "*" in self._shapes[kind]:
                place.rest = self._place(self._shapes[kind]["*"], f"{kind}.*")
        elif kind in self._words:
            place.types.add(str)
            place.words = {*(place.words or ()), *self._words[kind]}
        else:
            plain = {"[]": "array", "{}": "object"}.get(kind[-2:], kind)
            place.types.update(_TYPES[plain])

    def _fields_of(self, model: str) -> dict[str, _Place | None]:
        if model not in self._fields:
            self._fields[model] = {
                name: self._place(kinds, f"{model}.{name}")
                for name, kinds in self._shapes[model].items()
                if name != "*"
            }
        return self._fields[model]


def _compare(place: _Place | None, value: Any, found: _Found) -> None:
    """Note what in a value is unknown in its place."""
    if place is None or len(found) >= _MOST_FOUND:
        return
    kind = type(value)
    if kind not in place.types:
        if not (kind is float and int in place.types and value.is_integer()):
            found[Unknown("type", place.name, _NAMES.get(kind, kind.__name__))] = None
    elif kind is str:
        if place.words is not None and value not in place.words:
            found[Unknown("value", place.name, _name(value))] = None
    elif kind is dict:
        if place.fields is not None:
            _compare_fields(place, place.fields, value, found)
    elif kind is list:
        for entry in value[:_MOST_ITEMS]:
            _compare(place.items, entry, found)


def _compare_fields(
    place: _Place, fields: dict[str, _Place | None], value: dict[str, Any], found: _Found
) -> None:
    for name, entry in value.items():
        child = fields.get(name, place.rest)
        if child is _FOREIGN:
            if len(found) >= _MOST_FOUND:
                return
            where = f"{place.inside}.{_name(name)}"
            found[Unknown("field", where, _NAMES.get(type(entry), ""))] = None
        elif child is not None:
            _compare(child, entry, found)


def _name(text: str) -> str:
    """Return a name that a server gives, if it looks like one."""
    return text if _NAME.fullmatch(text) else _STRANGE
