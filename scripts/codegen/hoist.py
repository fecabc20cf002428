"""Inline schemas become named models; a name stands for exactly one shape."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from codegen.unify import error_sites
from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph.specdiff.rules import Rules

Schema = dict[str, Any]

REFERENCE: Final = "#/components/schemas/"
_WORDS: Final = re.compile(r"[A-Za-z0-9]+")
_LIMITS_OF_OBJECTS: Final = ("anyOf", "not", "minProperties", "maxProperties")


@dataclass(slots=True)
class Hoisted:
    """The operations with references in place of inline shapes, and the shapes by name.

    Attributes:
        operations: The intermediate form; every object and enum in it is a `$ref`.
        requests: Models that are sent.
        responses: Models that are received.
    """

    operations: dict[str, Any]
    requests: dict[str, Schema] = field(default_factory=dict)
    responses: dict[str, Schema] = field(default_factory=dict)


def hoist_slice(operations: Mapping[str, Any], rules: Rules) -> Hoisted:
    """Name every object and enum.

    Raises:
        StepError: Two different shapes want one name, or one shape is both sent and received.
    """
    hoister = _Hoister(operations, rules)
    result = Hoisted({name: hoister.operation(name, op) for name, op in operations.items()})
    result.requests = _in_words(hoister.requests, rules.words)
    result.responses = _in_words(hoister.responses, rules.words)
    _one_direction(result)
    return result


def reference_name(schema: Mapping[str, Any]) -> str | None:
    """Return the name that a schema refers to, if it is a reference."""
    reference = schema.get("$ref")
    return None if reference is None else str(reference).removeprefix(REFERENCE)


class _Hoister:
    def __init__(self, operations: Mapping[str, Any], rules: Rules) -> None:
        self._names = {site: name for name, rule in rules.models.items() for site in rule.sites}
        self._names |= dict.fromkeys(error_sites(operations), rules.responses.errors)
        self._prefixes = {name: rule.children or name for name, rule in rules.models.items()}
        self._shapes: dict[str, tuple[Schema, str]] = {}
        self._spelt: dict[str, str] = {}
        self.requests: dict[str, Schema] = {}
        self.responses: dict[str, Schema] = {}

    def operation(self, name: str, operation: Mapping[str, Any]) -> dict[str, Any]:
        result = dict(operation)
        if operation["body"] is not None:
            result["body"] = self._root(f"{name}.body", operation["body"], self.requests)
        result["parameters"] = {
            key: self._root(f"{name}.{key}", parameter, self.requests)
            for key, parameter in operation["parameters"].items()
        }
        result["responses"] = {
            status: self._root(f"{name}.{status}", response, self.responses)
            for status, response in operation["responses"].items()
        }
        return result

    def _root(
        self, site: str, content: Mapping[str, Any], models: dict[str, Schema]
    ) -> dict[str, Any]:
        if content["schema"] is None:
            return dict(content)
        name = "".join(_pascal(part) for part in site.split(".") if part not in {"query", "body"})
        return {**content, "schema": self._schema(content["schema"], site, name, models)}

    def _schema(self, schema: Schema, site: str, name: str, models: dict[str, Schema]) -> Schema:
        if _is_object(schema):
            return self._object(schema, site, name, models)
        if _is_word_list(schema):
            return self._enum(schema, site, name, models)
        if "anyOf" in schema:
            return self._union(schema, site, name, models)
        result = dict(schema)
        if isinstance(schema.get("items"), dict):
            result["items"] = self._schema(schema["items"], f"{site}[]", f"{name}Item", models)
        if isinstance(schema.get("additionalProperties"), dict):
            extra = schema["additionalProperties"]
            result["additionalProperties"] = self._schema(
                extra, f"{site}{{}}", f"{name}Value", models
            )
        return result

    def _object(self, schema: Schema, site: str, name: str, models: dict[str, Schema]) -> Schema:
        name = self._named(site, name)
        bare, outer = _split(schema, "object")
        self._claim(name, bare, site)
        if name not in models:
            models[name] = {}
            prefix = self._prefixes.get(name, name)
            words = {"description": outer["description"]} if "description" in outer else {}
            models[name] = {
                **words,
                **{key: value for key, value in bare.items() if key not in _LIMITS_OF_OBJECTS},
                "properties": {
                    key: self._schema(child, f"{site}.{key}", prefix + _pascal(key), models)
                    for key, child in bare.get("properties", {}).items()
                },
            }
        return _refer(name, outer)

    def _enum(self, schema: Schema, site: str, name: str, models: dict[str, Schema]) -> Schema:
        name = self._named(site, name)
        bare, outer = _split(schema, "string")
        shape = {"type": "string", "enum": [word for word in bare["enum"] if word is not None]}
        self._claim(name, shape, site)
        models[name] = shape
        return _refer(name, {**outer, **{k: v for k, v in bare.items() if k not in shape}})

    def _union(self, schema: Schema, site: str, name: str, models: dict[str, Schema]) -> Schema:
        parts = [
            self._schema(part, f"{site}|{index}", f"{name}Option{index}", models)
            for index, part in enumerate(schema["anyOf"], start=1)
        ]
        return {**schema, "anyOf": parts}

    def _named(self, site: str, name: str) -> str:
        """Name a site; names that differ only in capitals would share one file."""
        name = self._names.get(site, name)
        return self._spelt.setdefault(name.lower(), name)

    def _claim(self, name: str, shape: Schema, site: str) -> None:
        shape = {key: value for key, value in shape.items() if key != "description"}
        known, where = self._shapes.setdefault(name, (shape, site))
        if known != shape:
            problem = (
                f"two shapes want the name {name}: {where} and {site}."
                " Name or unify one of them in rules.toml"
            )
            raise StepError("normalise", problem)


def _one_direction(hoisted: Hoisted) -> None:
    for name in hoisted.requests.keys() & hoisted.responses.keys():
        if "properties" in hoisted.requests[name]:
            problem = f"{name} is both sent and received; name the two apart in rules.toml"
            raise StepError("normalise", problem)


def _in_words(models: dict[str, Schema], words: Mapping[str, str]) -> dict[str, Schema]:
    """Describe the properties that the contract leaves without a word."""
    return {name: _described(name, model, words) for name, model in models.items()}


def _described(name: str, model: Schema, words: Mapping[str, str]) -> Schema:
    if "properties" not in model:
        return model
    properties = {
        key: {"description": words[f"{name}.{key}"], **child} if f"{name}.{key}" in words else child
        for key, child in model["properties"].items()
    }
    return {**model, "properties": properties}


def _is_object(schema: Schema) -> bool:
    return "object" in _listed(schema.get("type")) and bool(schema.get("properties"))


def _is_word_list(schema: Schema) -> bool:
    words = [word for word in schema.get("enum", []) if word is not None]
    return bool(words) and all(isinstance(word, str) for word in words)


def _split(schema: Schema, kind: str) -> tuple[Schema, Schema]:
    """Take null and what describes the place, not the shape, apart from the shape itself."""
    outer: Schema = {key: schema[key] for key in ("default", "deprecated") if key in schema}
    if "null" in _listed(schema.get("type")):
        outer["null"] = True
    if "description" in schema:
        outer["description"] = schema["description"]
    bare = {key: value for key, value in schema.items() if key not in outer}
    return {**bare, "type": kind}, outer


def _refer(name: str, outer: Schema) -> Schema:
    reference = {"$ref": REFERENCE + name}
    rest = {key: value for key, value in outer.items() if key != "null"}
    if "null" in outer:
        return {**rest, "anyOf": [reference, {"type": "null"}]}
    return {**rest, **reference}


def _listed(types: object) -> list[Any]:
    return types if isinstance(types, list) else [types]


def _pascal(name: str) -> str:
    return "".join(word[0].upper() + word[1:] for word in _WORDS.findall(name))
