"""Responses accept whatever a server may send; requests say only what the caller said.

In a response every property may be missing, null, of an unknown value or of another type without an
error: only the identity keys of a model are required. In a request a default is documented, never
sent: the server's own default may change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from codegen.describe import describe
from codegen.hoist import Hoisted, reference_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph.specdiff.rules import Rules

Schema = dict[str, Any]
_KEPT = ("type", "format", "description", "items", "anyOf", "$ref", "additionalProperties")


def loosen(hoisted: Hoisted, rules: Rules) -> Hoisted:
    """Open the models that are received, and take the defaults out of those that are sent."""
    enums = {name for name, model in hoisted.responses.items() if "enum" in model}
    responses = {
        name: model if name in enums else _open_model(name, model, rules, enums)
        for name, model in hoisted.responses.items()
    }
    requests = {name: _without_defaults(model) for name, model in hoisted.requests.items()}
    operations = {name: _operation(op, enums) for name, op in hoisted.operations.items()}
    return replace(hoisted, operations=operations, requests=requests, responses=responses)


def _operation(operation: Mapping[str, Any], enums: set[str]) -> dict[str, Any]:
    parameters = {
        key: {
            **parameter,
            "description": describe({**parameter["schema"], **_words(parameter)}),
            "schema": _parameter(key, parameter["schema"]),
        }
        for key, parameter in operation["parameters"].items()
    }
    responses = {
        status: {**response, "schema": _answer(response["schema"], enums)}
        for status, response in operation["responses"].items()
    }
    return {**operation, "parameters": parameters, "responses": responses}


def _words(parameter: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": parameter["description"]} if parameter["description"] else {}


def _parameter(key: str, schema: Schema) -> Schema:
    plain = _sent(schema)
    plain.pop("description", None)
    if key.startswith("path."):
        plain.pop("format", None)
    return plain


def _answer(schema: Schema | None, enums: set[str]) -> Schema | None:
    """Open what a whole answer may be, without making the answer itself optional."""
    if schema is None or "$ref" in schema:
        return schema
    return _open(schema, enums)


def _open_model(name: str, model: Schema, rules: Rules, enums: set[str]) -> Schema:
    identity = rules.models[name].identity if name in rules.models else ()
    properties = {
        key: _identity(child)
        if key in identity
        else _words_only(child)
        if f"{name}.{key}" in rules.responses.as_sent
        else _optional(child, enums)
        for key, child in model["properties"].items()
    }
    required = [key for key in identity if key in properties]
    words = {"description": model["description"]} if "description" in model else {}
    return {"type": "object", **words, "properties": properties, "required": required}


def _identity(schema: Schema) -> Schema:
    return {key: schema[key] for key in ("type", "description") if key in schema}


def _words_only(schema: Schema) -> Schema:
    return {"description": schema["description"]} if "description" in schema else {}


def _optional(schema: Schema, enums: set[str]) -> Schema:
    """Open a property and let it be null; what is neither is kept as it was sent."""
    opened = _open(schema, enums)
    words = _words_only(schema)
    core = {key: value for key, value in opened.items() if key != "description"}
    parts = _without_null(core["anyOf"] if core.keys() == {"anyOf"} else [core])
    if any(part == {} or part.get("items") == {} for part in parts):
        return words  # nothing is known of what is inside: kept as it was sent, and untyped
    return {**words, "anyOf": [*parts, {"type": "null"}]}


def _open(schema: Schema, enums: set[str]) -> Schema:
    name = reference_name(schema)
    words = _words_only(schema)
    if name is not None:
        reference = {"$ref": schema["$ref"]}
        if name in enums:
            return {**words, "anyOf": [reference, {"type": "string"}]}
        return {**words, **reference}
    if "anyOf" in schema:
        return _open_union(schema, enums)
    types = schema.get("type")
    if isinstance(types, list):
        return {**words, **_open_types(schema, types, enums)}
    result = {key: schema[key] for key in _KEPT if key in schema}
    return _open_plain(result, enums)


def _open_types(schema: Schema, types: list[str], enums: set[str]) -> Schema:
    rest = [name for name in types if name != "null"]
    if len(rest) != 1:
        return {}
    bare = {key: value for key, value in schema.items() if key != "description"}
    opened = _open({**bare, "type": rest[0]}, enums)
    parts = opened.get("anyOf", [opened])
    return {"anyOf": [*parts, {"type": "null"}]} if opened else {}


def _open_union(schema: Schema, enums: set[str]) -> Schema:
    """Open a choice: one thing or null stays typed, a real choice is handed on as sent."""
    rest = _without_null(schema["anyOf"])
    if len(rest) != 1:
        return _words_only(schema)
    opened = _open(rest[0], enums)
    parts = opened.get("anyOf", [opened])
    return {**_words_only(schema), "anyOf": [*parts, {"type": "null"}]}


def _open_plain(schema: Schema, enums: set[str]) -> Schema:
    if schema.get("type") == "string" and schema.pop("format", None) == "date-time":
        parts = [{"type": "string", "format": "date-time"}, {"type": "string"}]
        return {**_words_only(schema), "anyOf": parts}
    schema.pop("format", None)
    if "items" in schema:
        schema["items"] = _item(schema["items"], enums)
    if schema.get("type") == "array":
        schema.setdefault("items", {})
    if isinstance(schema.get("additionalProperties"), dict):
        schema["additionalProperties"] = _open(schema["additionalProperties"], enums)
    elif schema.get("additionalProperties") is False:
        del schema["additionalProperties"]
    return schema


def _item(schema: Schema, enums: set[str]) -> Schema:
    """Open an item so that one bad item among good ones is kept as sent, alone."""
    opened = _open(schema, enums)
    return {"anyOf": [opened, {"type": "null"}]} if "$ref" in opened else opened


def _without_null(parts: list[Schema]) -> list[Schema]:
    return [part for part in parts if part != {"type": "null"}]


def _without_defaults(model: Schema) -> Schema:
    if "properties" not in model:
        return model
    properties = {key: _sent(child) for key, child in model["properties"].items()}
    return {**model, "properties": properties}


def _sent(schema: Schema) -> Schema:
    """Say limits and default in words, and drop what the generator cannot express."""
    words = describe(schema)
    rest = {key: value for key, value in schema.items() if key not in {"default", "description"}}
    rest.pop("enum", None)  # lists of words are models by now; a list of anything else is not typed
    if isinstance(rest.get("const"), float):
        del rest["const"]
    if "array" in _listed(rest.get("type")):
        rest["items"] = _sent(rest.get("items", {}))
    for keyword in ("additionalProperties", "not"):
        if isinstance(rest.get(keyword), dict):
            rest[keyword] = _sent(rest[keyword])
    if "anyOf" in rest:
        rest["anyOf"] = [_sent(part) for part in rest["anyOf"]]
    return {**rest, "description": words} if words else rest


def _listed(types: object) -> list[object]:
    return types if isinstance(types, list) else [types]
