"""The normalised operations as an OpenAPI document again, for the generator to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codegen.hoist import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codegen.hoist import Hoisted
    from krea_aleph.specdiff.rules import ModelRule, Rules


def assemble(hoisted: Hoisted, rules: Rules) -> dict[str, Any]:
    """Build the document: named models, our operation ids and tags."""
    paths: dict[str, Any] = {}
    for name, operation in hoisted.operations.items():
        item = paths.setdefault(operation["path"], {})
        item[operation["method"]] = {
            **_operation(name, operation),
            "security": list(rules.expected.security),  # the generator looks only here
        }
    schemas = _reachable(paths, {**hoisted.responses, **hoisted.requests})
    return {
        "openapi": f"{rules.expected.openapi}.0",
        "info": {"title": "Krea API", "version": "v1"},
        "servers": [{"url": url} for url in rules.expected.servers],
        "security": list(rules.expected.security),
        "paths": paths,
        "components": {
            "schemas": {
                name: _model(schemas[name], rules.models.get(name)) for name in sorted(schemas)
            },
            "securitySchemes": dict(rules.expected.schemes),
        },
    }


def _reachable(paths: object, schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the models that an operation still leads to once responses are loosened."""
    kept: dict[str, Any] = {}
    waiting = [*_references(paths)]
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept[name] = schemas[name]
            waiting += _references(schemas[name])
    return kept


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix(REFERENCE)
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)


def _model(schema: Mapping[str, Any], rule: ModelRule | None) -> dict[str, Any]:
    result = dict(schema)
    if "properties" in result:
        result["properties"] = dict(sorted(result["properties"].items()))
    if rule is not None and rule.about:
        result.setdefault("description", rule.about)
    return result


def _operation(name: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {"operationId": name, "tags": [operation["tag"]]}
    for key in ("summary", "description", "deprecated"):
        if operation[key]:
            result[key] = operation[key]
    result["parameters"] = [
        _parameter(key, parameter) for key, parameter in operation["parameters"].items()
    ]
    body = operation["body"]
    if body is not None:
        content = {body["media_type"]: {"schema": body["schema"]}}
        result["requestBody"] = {"required": body["required"], "content": content}
    result["responses"] = {
        status: _response(response) for status, response in operation["responses"].items()
    }
    return result


def _parameter(key: str, parameter: Mapping[str, Any]) -> dict[str, Any]:
    where, _, name = key.partition(".")
    return {"in": where, "name": name, **parameter}


def _response(response: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {"description": response["description"]}
    if response["schema"] is not None:
        result["content"] = {response["media_type"]: {"schema": response["schema"]}}
    return result
