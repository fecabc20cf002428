"""Checks of a request against the constraints of the contract: JSON Schema, as far as it is used.

The constraints are data that the regeneration emits, so a limit that Krea changes is checked
without an edit here. A general validator would be a heavy dependency for a handful of keywords;
the regeneration reports keywords that this module does not know.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self, TypeAlias

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fractions import Fraction

Schema: TypeAlias = Mapping[str, Any] | bool
_Keywords: TypeAlias = Mapping[str, Any]


class Problem(NamedTuple):
    """Where a value breaks a constraint, and how."""

    field: str
    text: str
    unknown_field: bool = False


class Pending(str):
    """A media value whose address is not known yet: a file that is still to be uploaded.

    Attributes:
        field: Where it stands in the request.
    """

    __slots__ = ("field",)

    field: str

    def __new__(cls, field: str) -> Self:
        """Return the placeholder for what stands in a field."""
        placeholder = super().__new__(cls, f"upload:{field}")
        placeholder.field = field
        return placeholder

    def __getnewargs__(self) -> tuple[str]:
        return (self.field,)


def problems(schema: Schema, value: object, field: str = "") -> Iterator[Problem]:
    """Yield every way in which a value breaks a schema."""
    if isinstance(schema, bool):
        if not schema:
            yield Problem(field, "nothing is allowed here")
        return
    expected = _types(schema)
    if expected and not any(_TYPES.get(name, _anything)(value) for name in expected):
        yield Problem(field, f"{_show(value)} is not {_a(expected)}")
        return
    yield from _fixed(schema, value, field)
    if isinstance(value, str) and not isinstance(value, Pending):
        yield from _string(schema, value, field)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _number(schema, value, field)
    elif isinstance(value, Mapping):
        yield from _object(schema, value, field)
    elif isinstance(value, (list, tuple)):
        yield from _array(schema, value, field)
    yield from _combined(schema, value, field)


def _fixed(schema: _Keywords, value: object, field: str) -> Iterator[Problem]:
    if "const" in schema and not _equal(value, schema["const"]):
        yield Problem(field, f"{_show(value)} is not {schema['const']!r}")
    if "enum" in schema and not any(_equal(value, member) for member in schema["enum"]):
        allowed = ", ".join(repr(member) for member in schema["enum"])
        yield Problem(field, f"{_show(value)} is none of {allowed}")


def _string(schema: _Keywords, value: str, field: str) -> Iterator[Problem]:
    # JSON Schema counts code points, as len does.
    longest, shortest = schema.get("maxLength", math.inf), schema.get("minLength", 0)
    if len(value) > longest:
        yield Problem(field, f"{len(value)} characters are more than {longest}")
    if len(value) < shortest:
        yield Problem(field, f"{len(value)} characters are fewer than {shortest}")
    # What is run is the regeneration's spelling of the pattern, which never takes long.
    regex = schema.get("regex")
    if regex is not None and re.search(regex, value) is None:
        yield Problem(field, f"{_show(value)} does not match {schema.get('pattern', regex)!r}")


def _number(schema: _Keywords, value: float, field: str) -> Iterator[Problem]:
    if not isinstance(value, int) and not math.isfinite(value):
        yield Problem(field, f"{value} is not a finite number")
        return
    for keyword, holds, words in _BOUNDS:
        bound = schema.get(keyword)
        if bound is not None and not holds(value, bound):
            yield Problem(field, f"{_show(value)} is {words} {bound}")
    step = schema.get("multipleOf")
    if step and _exact(value) % _exact(step):
        yield Problem(field, f"{_show(value)} is not a multiple of {step}")


def _object(schema: _Keywords, value: Mapping[str, Any], field: str) -> Iterator[Problem]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield Problem(_inside(field, name), "it is required")
    for name, entry in value.items():
        wanted = properties.get(name, schema.get("additionalProperties", True))
        if wanted is False and name not in properties:
            known = ", ".join(sorted(properties))
            yield Problem(_inside(field, name), f"it is not one of {known}", unknown_field=True)
        else:
            yield from problems(wanted, entry, _inside(field, name))
    yield from _count(schema, len(value), field, "Properties", "fields")


def _array(schema: _Keywords, value: Sequence[Any], field: str) -> Iterator[Problem]:
    yield from _count(schema, len(value), field, "Items", "entries")
    if schema.get("uniqueItems") and any(
        _equal(entry, other) for index, entry in enumerate(value) for other in value[:index]
    ):
        yield Problem(field, "an entry stands in it twice")
    prefix = schema.get("prefixItems", ())
    for index, entry in enumerate(value):
        wanted = prefix[index] if index < len(prefix) else schema.get("items", True)
        yield from problems(wanted, entry, f"{field}[{index}]")


def _count(schema: _Keywords, size: int, field: str, what: str, words: str) -> Iterator[Problem]:
    if size > schema.get(f"max{what}", math.inf):
        yield Problem(field, f"{size} {words} are more than {schema[f'max{what}']}")
    if size < schema.get(f"min{what}", 0):
        yield Problem(field, f"{size} {words} are fewer than {schema[f'min{what}']}")


def _combined(schema: _Keywords, value: object, field: str) -> Iterator[Problem]:
    for part in schema.get("allOf", ()):
        yield from problems(part, value, field)
    for keyword in ("anyOf", "oneOf"):
        found = [list(problems(branch, value, field)) for branch in schema.get(keyword, ())]
        if found and all(found):
            # The branch that fits best says most about what was meant.
            yield from min(found, key=len)
        elif keyword == "oneOf" and sum(not broken for broken in found) > 1:
            yield Problem(field, "it fits more than one of the forms that exclude each other")
    if "not" in schema and not any(problems(schema["not"], value, field)):
        yield Problem(field, f"{_show(value)} is a form that is excluded")


def _types(schema: _Keywords) -> tuple[str, ...]:
    declared = schema.get("type", ())
    return (declared,) if isinstance(declared, str) else tuple(declared)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    # JSON Schema: 1.0 is an integer.
    return _is_number(value) and (isinstance(value, int) or float(value).is_integer())  # type: ignore[arg-type]


def _is_array(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _anything(_: object) -> bool:
    return True


_TYPES: Final[Mapping[str, Callable[[object], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": _is_integer,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, Mapping),
    "array": _is_array,
}
_BOUNDS: Final[Sequence[tuple[str, Callable[[Any, Any], bool], str]]] = (
    ("minimum", lambda value, bound: value >= bound, "less than"),
    ("maximum", lambda value, bound: value <= bound, "more than"),
    ("exclusiveMinimum", lambda value, bound: value > bound, "not more than"),
    ("exclusiveMaximum", lambda value, bound: value < bound, "not less than"),
)


def _exact(number: float) -> Fraction:
    """Return a number as it is written: 0.3 is a multiple of 0.1."""
    from fractions import Fraction  # noqa: PLC0415 - 2 ms of imports for a rare keyword

    return Fraction(number if isinstance(number, int) else repr(number))


def _equal(value: object, other: object) -> bool:
    """Compare as JSON does, where True is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _inside(field: str, name: str) -> str:
    return f"{field}.{name}" if field else str(name)


def _show(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole numbers of more than some thousand digits
        text = "a number that is too long to show"
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004 - a line's worth


def _a(names: tuple[str, ...]) -> str:
    words = {"null": "null", "integer": "an integer", "object": "an object", "array": "a list"}
    return " or ".join(words.get(name, f"a {name}") for name in names)
