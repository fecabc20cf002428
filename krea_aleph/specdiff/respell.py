"""One spelling for each meaning, so that a respelled document regenerates byte for byte the same.

After it: `type` is a word, or a sorted list with `null` last; a one-value `enum` is a `const`; what
can be said by a type list or an `enum` is no `anyOf`; `oneOf` is `anyOf` (the pipeline does not
validate instances); `allOf` is merged; names are sorted, required ones listed once; whole numbers
are integers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]

_TYPE_OF: Final[dict[type, str]] = {str: "string", bool: "boolean", int: "integer", float: "number"}
_PROSE: Final = frozenset({"description", "default", "deprecated"})


def respell_slice(operations: Mapping[str, Any]) -> dict[str, Any]:
    """Respell every schema of the intermediate form.

    Raises:
        StepError: An `allOf` says things that contradict each other.
    """
    return {name: _operation(operation, name) for name, operation in operations.items()}


def _operation(operation: Mapping[str, Any], name: str) -> dict[str, Any]:
    parts = {
        kind: {key: _respelled(value, f"{name}.{key}") for key, value in operation[kind].items()}
        for kind in ("parameters", "responses")
    }
    body = operation["body"]
    return {
        **operation,
        **parts,
        "body": None if body is None else _respelled(body, f"{name}.body"),
    }


def _respelled(content: Mapping[str, Any], place: str) -> dict[str, Any]:
    schema = content["schema"]
    try:
        return {**content, "schema": None if schema is None else respell(schema)}
    except StepError as error:
        raise StepError(error.step, f"{place}: {error.problem}") from error


def respell(schema: Mapping[str, Any]) -> Schema:
    """Give a schema its canonical spelling."""
    result: Schema = {key: _number(value) for key, value in schema.items()}
    _children(result)
    return _top(result)


def _top(schema: Schema) -> Schema:
    """Respell a schema below which everything is respelled."""
    result = _merge_all(schema)
    result = _merge_any(result)
    _values(result)
    _types(result)
    if "required" in result:
        result["required"] = sorted(set(result["required"]))
        if not result["required"]:
            del result["required"]
    if result.get("deprecated") is False:
        del result["deprecated"]
    if result.get("additionalProperties") in (True, {}):
        del result["additionalProperties"]
    return dict(sorted(result.items()))


def _children(schema: Schema) -> None:
    if "properties" in schema:
        names = sorted(schema["properties"])
        schema["properties"] = {name: respell(schema["properties"][name]) for name in names}
    for keyword in ("items", "not", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            schema[keyword] = respell(schema[keyword])
    for keyword in ("anyOf", "oneOf", "allOf"):
        if keyword in schema:
            schema[keyword] = [respell(part) for part in schema[keyword]]


def _merge_all(schema: Schema) -> Schema:
    parts = schema.pop("allOf", None)
    if parts is None:
        return schema
    merged: Schema = {}
    for part in [*parts, schema]:
        merged = _both(merged, part)
    return merged


def _both(left: Schema, right: Schema) -> Schema:
    """Join two schemas that must hold at once."""
    result = dict(left)
    for key, value in right.items():
        if key not in result or key in _PROSE or result[key] == value:
            result[key] = value
        elif key == "properties":
            result[key] = _both_properties(result[key], value)
        elif key == "required":
            result[key] = sorted({*result[key], *value})
        elif key in _TIGHTER:
            result[key] = _TIGHTER[key](result[key], value)
        elif key in {"items", "additionalProperties"}:
            result[key] = _both_or_none(result[key], value)
        elif key == "type":
            result[key] = _both_types(result[key], value)
        elif key == "enum":
            result[key] = _both_values(result[key], value)
        else:
            raise _two_things(key, result[key], value)
    return result


_TIGHTER: Final = {
    "minLength": max, "minimum": max, "minItems": max, "exclusiveMinimum": max,
    "maxLength": min, "maximum": min, "maxItems": min, "exclusiveMaximum": min,
    "minProperties": max, "maxProperties": min, "uniqueItems": max,
}  # fmt: skip


def _both_or_none(left: Any, right: Any) -> Any:
    both = isinstance(left, dict) and isinstance(right, dict)
    return _top(_both(left, right)) if both else False


def _both_types(left: object, right: object) -> list[str]:
    """List the types that both allow; a whole number is a number, too."""
    ours, theirs = ({*_listed(types)} for types in (left, right))
    for some, others in ((ours, theirs), (theirs, ours)):
        if "number" in some and "integer" in others:
            some.add("integer")
    names = sorted(ours & theirs)
    if not names:
        raise _two_things("type", left, right)
    return names


def _both_values(left: list[Any], right: list[Any]) -> list[Any]:
    known = {_key(value) for value in left}
    values = [value for value in right if _key(value) in known]
    if not values:
        raise _two_things("enum", left, right)
    return values


def _two_things(about: str, left: object, right: object) -> StepError:
    problem = f"allOf says two things about {about}: {left!a:.120} and {right!a:.120}"
    return StepError("normalise", problem)


def _both_properties(left: Mapping[str, Schema], right: Mapping[str, Schema]) -> dict[str, Schema]:
    alone = {**left, **right}
    return {
        name: _top(_both(left[name], right[name])) if name in left and name in right else child
        for name, child in sorted(alone.items())
    }


def _merge_any(schema: Schema) -> Schema:
    parts = _alternatives(schema)
    if parts is None:
        return schema
    null = any(part == {"type": "null"} for part in parts)
    rest = _unique([part for part in parts if part != {"type": "null"}])
    rest = _joined_values(sorted(rest, key=_key))
    if not rest:
        return {**schema, "type": "null"}
    if len(rest) == 1:
        return _with_null(_both(rest[0], schema), null=null)
    if null:
        rest = [*rest, {"type": "null"}]
    if all(part.keys() == {"type"} for part in rest) and "type" not in schema:
        return {**schema, "type": [name for part in rest for name in _listed(part["type"])]}
    return {**schema, "anyOf": rest}


def _alternatives(schema: Schema) -> list[Schema] | None:
    one, some = schema.pop("oneOf", None), schema.pop("anyOf", None)
    if one is not None and some is not None:
        raise StepError("normalise", "a schema with both anyOf and oneOf is not understood")
    parts = one if one is not None else some
    if parts is None:
        return None
    flat: list[Schema] = []
    for part in parts:
        flat += part["anyOf"] if part.keys() == {"anyOf"} else [part]
    return flat


def _with_null(schema: Schema, *, null: bool) -> Schema:
    if not null:
        return schema
    result = dict(schema)
    if "const" in result:
        result["enum"] = [result.pop("const")]
    if "enum" in result:
        result["enum"] = [*result["enum"], None]
    if "anyOf" in result:
        result["anyOf"] = [*result["anyOf"], {"type": "null"}]
    elif "type" in result:
        result["type"] = [*_listed(result["type"]), "null"]
    return result


def _joined_values(parts: list[Schema]) -> list[Schema]:
    """Turn alternatives that are all lists of values into one."""
    if len(parts) < 2 or not all(_only_values(part) for part in parts):  # noqa: PLR2004
        return parts
    values = [value for part in parts for value in part.get("enum", [part.get("const")])]
    return [respell({"enum": values})]


def _only_values(part: Schema) -> bool:
    return bool(part.keys() & {"const", "enum"}) and part.keys() <= {
        "const", "enum", "type", "description",
    }  # fmt: skip


def _values(schema: Schema) -> None:
    if "const" in schema and "enum" not in schema:
        schema["enum"] = [schema.pop("const")]
    if "enum" not in schema:
        return
    values = _unique(schema["enum"])
    schema.setdefault("type", sorted({_type_of(value) for value in values}))
    schema["enum"] = sorted(values, key=lambda value: (value is None, _key(value)))
    if len(values) == 1 and values[0] is not None:
        schema["const"] = schema.pop("enum")[0]


def _types(schema: Schema) -> None:
    if "type" not in schema:
        if "properties" in schema:
            schema["type"] = "object"
        elif "items" in schema:
            schema["type"] = "array"
        return
    names = sorted(set(_listed(schema["type"])), key=lambda name: (name == "null", name))
    if "number" in names and "integer" in names:
        names.remove("integer")
    schema["type"] = names[0] if len(names) == 1 else names


def _number(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _type_of(value: object) -> str:
    return "null" if value is None else _TYPE_OF.get(type(value), "object")


def _unique(values: list[Any]) -> list[Any]:
    return list({_key(value): value for value in values}.values())


def _key(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _listed(types: object) -> list[Any]:
    return list(types) if isinstance(types, list) else [types]
