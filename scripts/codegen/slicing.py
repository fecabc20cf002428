"""Copying our operations out of a document, references resolved, nothing else taken along.

The intermediate form of an operation, plain JSON data that every later step works on:

    {"method", "path", "tag", "summary", "description", "deprecated",
     "notice": {"sunset", "replacement", "migration_url"},
     "aliases": [{"from", "to", "sunset", "reason", "url"}, ...],
     "parameters": {"query.limit": {"required", "description", "schema"}, ...},
     "body": {"required", "media_type", "description", "schema"} or None,
     "responses": {"200": {"description", "media_type", "schema" or None}, ...}}

Only the keys named here are read, so an extension or a keyword we do not know cannot reach code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from codegen.guard import guard_text
from codegen.notices import read_aliases, read_notice
from codegen.prose import clean
from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph.specdiff.rules import Notices, OperationRule, Rules

MAX_NODES: Final = 100_000
MAX_REFERENCES: Final = 64

SCHEMA_KEYS: Final = frozenset(
    "type const enum format pattern minLength maxLength minimum maximum exclusiveMinimum"
    " exclusiveMaximum multipleOf minItems maxItems uniqueItems minProperties maxProperties"
    " required deprecated default".split()
)
_REFERENCE: Final = re.compile(
    r"#/components/(schemas|responses|parameters|requestBodies)/([A-Za-z0-9._-]{1,100})"
)
_ANNOTATIONS: Final = frozenset({"$ref", "description", "summary", "deprecated", "default"})
_JSON: Final = "application/json"


def slice_document(document: Mapping[str, Any], rules: Rules) -> dict[str, Any]:
    """Copy the operations that the rules name into the intermediate form.

    Raises:
        StepError: An operation is missing, or a reference is foreign, broken or endless.
    """
    return {
        name: _Slicer(document, rules.notices).operation(name, rule)
        for name, rule in rules.operations.items()
    }


def _prose(text: object) -> str:
    """Clean a text; what hides in it is refused before cleaning could hide that."""
    if isinstance(text, str):
        guard_text(text, "a description")
    return clean(text)


class _Slicer:
    """One operation's walk: it counts, so that references cannot multiply without end."""

    def __init__(self, document: Mapping[str, Any], notices: Notices) -> None:
        self._document = document
        self._notices = notices
        self._nodes = 0
        self._received = False

    def operation(self, name: str, rule: OperationRule) -> dict[str, Any]:
        item = self._document.get("paths", {}).get(rule.path, {})
        found = item.get(rule.method)
        if not isinstance(found, dict):
            problem = f"{rule.method.upper()} {rule.path} ({name}) is not in the document"
            raise StepError("slice", problem)
        self._same_account(item, name)
        self._same_account(found, name)
        return {
            "method": rule.method,
            "path": rule.path,
            "tag": rule.tag,
            "summary": _prose(found.get("summary")),
            "description": _prose(found.get("description")),
            "deprecated": found.get("deprecated") is True,
            "notice": read_notice(found, name, self._notices),
            "aliases": read_aliases(found, name),
            "parameters": self._parameters(item, found),
            "body": self._body(found.get("requestBody")),
            "responses": self._responses(found.get("responses", {})),
        }

    def _same_account(self, node: Mapping[str, Any], name: str) -> None:
        for key in ("servers", "security"):
            if key in node and node[key] != self._document.get(key):
                problem = f"{name}: {key} of its own; a human must look"
                raise StepError("guard", problem)

    def _parameters(self, item: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for reference in [*item.get("parameters", []), *found.get("parameters", [])]:
            parameter = self._resolve(reference)
            schema = parameter.get("schema") or self._content(parameter.get("content"))[1] or {}
            result[f"{parameter.get('in')}.{parameter.get('name')}"] = {
                "required": parameter.get("required") is True,
                "description": _prose(parameter.get("description")),
                "schema": self._schema(schema, ()),
            }
        return dict(sorted(result.items()))

    def _body(self, reference: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if reference is None:
            return None
        body = self._resolve(reference)
        media_type, schema = self._content(body.get("content"))
        return {
            "required": body.get("required") is True,
            "media_type": media_type,
            "description": _prose(body.get("description")),
            "schema": self._schema(schema, ()),
        }

    def _responses(self, responses: Mapping[str, Any]) -> dict[str, Any]:
        self._received = True
        return {
            status: self._response(self._resolve(responses[status]))
            for status in sorted(responses)
            if not status.startswith("x-")
        }

    def _response(self, response: Mapping[str, Any]) -> dict[str, Any]:
        media_type, schema = self._content(response.get("content"))
        return {
            "description": _prose(response.get("description")),
            "media_type": media_type,
            "schema": self._schema(schema, ()) if media_type == _JSON else None,
        }

    def _content(self, content: Mapping[str, Any] | None) -> tuple[str | None, Any]:
        """Choose one media type: JSON where it is offered, else the first by name."""
        if not content:
            return None, None
        bare = {key.partition(";")[0].strip().lower(): key for key in sorted(content)}
        chosen = _JSON if _JSON in bare else min(bare)
        return chosen, content[bare[chosen]].get("schema", {})

    def _schema(self, schema: object, inside: tuple[str, ...]) -> dict[str, Any]:
        self._count()
        if isinstance(schema, bool):
            return {} if schema else {"not": {}}
        if not isinstance(schema, dict):
            raise StepError("slice", f"a schema is a {type(schema).__name__}, not an object")
        if "$ref" in schema:
            return self._referenced(schema, inside)
        result = {key: schema[key] for key in sorted(SCHEMA_KEYS & schema.keys())}
        if "description" in schema:
            result["description"] = _prose(schema["description"])
        return {**result, **self._children(schema, inside)}

    def _children(self, schema: Mapping[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        if "properties" in schema:
            properties = schema["properties"].items()
            result["properties"] = {key: self._schema(child, inside) for key, child in properties}
        for keyword in ("anyOf", "oneOf", "allOf"):
            if keyword in schema:
                result[keyword] = [self._schema(part, inside) for part in schema[keyword]]
        for keyword in ("items", "not"):
            if keyword in schema:
                result[keyword] = self._schema(schema[keyword], inside)
        extra = schema.get("additionalProperties")
        if extra is not None:
            closed = isinstance(extra, bool)
            result["additionalProperties"] = extra if closed else self._schema(extra, inside)
        return result

    def _referenced(self, schema: Mapping[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
        name = schema["$ref"]
        if name in inside:
            if self._received:
                return {}  # an answer that goes on like this is kept as it was sent
            raise StepError("slice", f"{name} contains itself: such a schema cannot be inlined")
        target = self._schema(self._look_up(name), (*inside, name))
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        if schema.keys() <= _ANNOTATIONS:
            return {**target, **self._schema(beside, inside)}
        return {"allOf": [target, self._schema(beside, inside)]}

    def _resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(MAX_REFERENCES):
            if "$ref" not in node:
                return node
            node = self._look_up(node["$ref"])
        raise StepError("slice", f"{node['$ref']} refers to itself")

    def _look_up(self, reference: object) -> Any:
        found = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
        if found is None:
            problem = (
                f"$ref {ascii(reference)[:120]} does not point into this document's components"
            )
            raise StepError("guard", problem)
        kind, name = found.groups()
        target = self._document.get("components", {}).get(kind, {}).get(name)
        if target is None:
            raise StepError("slice", f"{reference} points to nothing")
        return target

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise StepError("guard", f"one operation unfolds to more than {MAX_NODES} schemas")
