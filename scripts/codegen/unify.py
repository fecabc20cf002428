"""Several shapes of one thing become one: their least upper bound.

It has the properties, types and values of all of them and requires only what all of them require,
so that an upstream edit to any of them keeps flowing through.
"""

from __future__ import annotations

import copy
from functools import reduce
from typing import TYPE_CHECKING, Any

from codegen.sites import find, roots
from krea_aleph.specdiff.respell import respell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph.specdiff.rules import Rules

Schema = dict[str, Any]


def unify_slice(operations: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    """Give all sites of a model, and all error answers, their least upper bound."""
    result = copy.deepcopy(dict(operations))
    for model in rules.models.values():
        _unify(result, model.sites)
    _unify(result, error_sites(result))
    return result


def error_sites(operations: Mapping[str, Any]) -> tuple[str, ...]:
    """List the sites of all answers that are no success."""
    return tuple(
        site for site, _ in roots(operations) if site.rpartition(".")[2][:1] in {"3", "4", "5"}
    ) + tuple(site for site, _ in roots(operations) if site.endswith(".default"))


def _unify(operations: dict[str, Any], sites: tuple[str, ...]) -> None:
    places = [place for site in sites if (place := find(operations, site))]
    if places:
        bound = reduce(upper_bound, (node[key] for node, key in places))
        for node, key in places:
            node[key] = copy.deepcopy(bound)


def upper_bound(left: Schema, right: Schema) -> Schema:
    """Find the narrowest schema, in canonical spelling, that both of these fit."""
    bound = _join(left, right) if left != right else left
    words = left.get("description") or right.get("description")
    rest = {key: value for key, value in bound.items() if key != "description"}
    return respell({**rest, "description": words} if words else rest)


def _join(left: Schema, right: Schema) -> Schema:
    types = _types(left) | _types(right)
    bare = [_without_null(schema) for schema in (left, right)]
    core = [schema for schema in bare if schema is not None]
    joined = _join_bare(*core) if len(core) == 2 else core[0] if core else {"type": "null"}  # noqa: PLR2004
    return joined if "null" not in types else {"anyOf": [joined, {"type": "null"}]}


def _join_bare(left: Schema, right: Schema) -> Schema:
    if not left or not right:
        return {}
    kinds = {left.get("type"), right.get("type")} if _plain(left) and _plain(right) else set()
    if kinds == {"object"}:
        return _join_objects(left, right)
    if kinds == {"array"}:
        return {**_common(left, right), "items": _items(left, right)}
    if len(kinds) == 1:
        return _join_scalars(left, right)
    return {"anyOf": [left, right]}


def _join_objects(left: Schema, right: Schema) -> Schema:
    ours, theirs = left.get("properties", {}), right.get("properties", {})
    properties = {
        name: upper_bound(ours[name], theirs[name])
        if name in ours and name in theirs
        else {**ours, **theirs}[name]
        for name in {**ours, **theirs}
    }
    required = set(left.get("required", [])) & set(right.get("required", []))
    return {**_common(left, right), "properties": properties, "required": sorted(required)}


def _items(left: Schema, right: Schema) -> Schema:
    if "items" not in left or "items" not in right:
        return {}
    return upper_bound(left["items"], right["items"])


def _join_scalars(left: Schema, right: Schema) -> Schema:
    values = [_values(left), _values(right)]
    joined = _common(left, right)
    joined.pop("enum", None)
    joined.pop("const", None)
    if all(values):
        joined["enum"] = [value for listed in values for value in listed]
    return joined


def _common(left: Schema, right: Schema) -> Schema:
    return {key: value for key, value in left.items() if key in right and right[key] == value}


def _values(schema: Schema) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", []))


def _plain(schema: Schema) -> bool:
    return isinstance(schema.get("type"), str) and "anyOf" not in schema


def _types(schema: Schema) -> set[str]:
    types = schema.get("type", [])
    return set(types) if isinstance(types, list) else {types}


def _without_null(schema: Schema) -> Schema | None:
    """Take `null` out of a schema; nothing is left of a bare `null`."""
    if schema.get("type") == "null":
        return None
    result = dict(schema)
    if isinstance(schema.get("type"), list):
        result["type"] = [name for name in schema["type"] if name != "null"]
    if "enum" in schema:
        result["enum"] = [value for value in schema["enum"] if value is not None]
    if "anyOf" in schema:
        result["anyOf"] = [part for part in schema["anyOf"] if part != {"type": "null"}]
    return respell(result)
