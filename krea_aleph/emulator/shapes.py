"""From what the emulator knows to what the contract promises.

A *shaper* is made from a JSON schema. It takes a plain value and returns the part of it that fits
the schema: undeclared keys go, values of a wrong type go, and what the schema requires but the
emulator has never heard of is made up. So a new required field upstream is there tomorrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


Schema: TypeAlias = "Mapping[str, Any] | bool"


class _Misfit:
    """The answer of a shaper to a value that does not fit."""


MISFIT: Final = _Misfit()


class Forms(tuple[Any, ...]):
    """One fact in every form that Krea has told it in, the usual one first."""

    __slots__ = ()


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}
_FORMATS: Final[Mapping[str, str]] = {
    "uuid": "00000000-0000-4000-8000-000000000000",
    "date-time": "2027-01-15T08:00:00.000Z",
    "date": "2027-01-15",
    "uri": "https://example.com/",
    "email": "someone@example.com",
}


def shaper(schema: Schema) -> Callable[[Any], Any]:
    """Compile a schema into a function that returns the fitting part of a value, or `MISFIT`."""
    shape = _shaper(schema)
    return lambda value: _fitting_form(shape, value) if isinstance(value, Forms) else shape(value)


def plain(value: Any) -> Any:
    """Return a value with each fact in its usual form."""
    if isinstance(value, Forms):
        return plain(value[0])
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def _fitting_form(shape: Callable[[Any], Any], forms: Forms) -> Any:
    return next((fit for form in forms if (fit := shape(form)) is not MISFIT), MISFIT)


def _shaper(schema: Schema) -> Callable[[Any], Any]:
    if isinstance(schema, bool):
        return plain if schema else (lambda _: MISFIT)
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return _first_that_fits([shaper(option) for option in schema[keyword]])
    allowed = _allowed(schema)
    inner = _inner(schema)
    return lambda value: inner(value) if allowed(value) else MISFIT


def sample(schema: Schema) -> Any:
    """Make up a small value that fits the schema."""
    if isinstance(schema, bool):
        return None
    for keyword in ("const", "default", "example"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if schema.get(keyword):
            return sample(schema[keyword][0])
    return _sample_of_type(schema)


def _sample_of_type(schema: Mapping[str, Any]) -> Any:
    kinds = _kinds(schema) or (["object"] if "properties" in schema else ["null"])
    if "null" in kinds:
        return None
    match kinds[0]:
        case "object":
            required = schema.get("required", ())
            return {name: sample(schema.get("properties", {}).get(name, {})) for name in required}
        case "array":
            return [sample(schema.get("items", {}))] * schema.get("minItems", 0)
        case "string":
            return _FORMATS.get(schema.get("format", ""), "x" * schema.get("minLength", 0))
        case "boolean":
            return False
        case _:
            return schema.get("minimum", 0)


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    return [*kinds, "null"] if kinds and schema.get("nullable") else kinds


def _allowed(schema: Mapping[str, Any]) -> Callable[[Any], bool]:
    kinds = _kinds(schema)
    types = tuple(kind for name in kinds for kind in _TYPES[name])
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    flag = "boolean" in kinds

    def check(value: Any) -> bool:
        if types and (not isinstance(value, types) or (isinstance(value, bool) and not flag)):
            return False
        return values is None or value in values

    return check


def _inner(schema: Mapping[str, Any]) -> Callable[[Any], Any]:
    if "properties" in schema:
        return _object(schema)
    if "items" in schema:
        return _array(shaper(schema["items"]))
    return plain


def _object(schema: Mapping[str, Any]) -> Callable[[Any], Any]:
    members = {name: shaper(member) for name, member in schema["properties"].items()}
    required = {name: schema["properties"].get(name, {}) for name in schema.get("required", ())}

    def shape(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        fitting = {name: member(value[name]) for name, member in members.items() if name in value}
        fitting = {name: part for name, part in fitting.items() if part is not MISFIT}
        missing = {name: sample(want) for name, want in required.items() if name not in fitting}
        return fitting | missing

    return shape


def _array(item: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def shape(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [part for part in map(item, value) if part is not MISFIT]

    return shape


def _first_that_fits(options: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def shape(value: Any) -> Any:
        return next((fit for option in options if (fit := option(value)) is not MISFIT), MISFIT)

    return shape
