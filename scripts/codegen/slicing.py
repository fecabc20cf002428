"""Copying our operations out of a document, references resolved, nothing else taken along.

The intermediate form of an operation, plain JSON data that every later step works on:

    {"method", "path", "tag", "summary", "description", "deprecated",
     "notice": {"sunset", "replacement", "migration_url"},
     "aliases": [{"from", "to", "sunset", "reason", "url"}, ...],
     "left_out": ["what of a request is not checked", ...],
     "parameters": {"query.limit": {"required", "description", "schema"}, ...},
     "body": {"required", "media_type", "description", "schema"} or None,
     "responses": {"200": {"description", "media_type", "schema" or None}, ...}}

Only the keys named here are read, so an extension or a keyword we do not know cannot reach code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from codegen.notices import read_aliases, read_notice
from codegen.slice_schema import SchemaSlicer, prose
from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph.specdiff.rules import Notices, OperationRule, Rules

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


class _Slicer:
    """One operation's walk."""

    def __init__(self, document: Mapping[str, Any], notices: Notices) -> None:
        self._document = document
        self._notices = notices
        self._schemas = SchemaSlicer(document)

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
            "summary": prose(found.get("summary"), name),
            "description": prose(found.get("description"), name),
            "deprecated": found.get("deprecated") is True,
            "notice": read_notice(found, name, self._notices),
            "aliases": read_aliases(found, name),
            "parameters": self._parameters(item, found, name),
            "body": self._body(found.get("requestBody"), f"{name}.body"),
            "responses": self._responses(found.get("responses", {}), name),
            "left_out": list(dict.fromkeys(self._schemas.left_out)),
        }

    def _same_account(self, node: Mapping[str, Any], name: str) -> None:
        for key in ("servers", "security"):
            if key in node and node[key] != self._document.get(key):
                problem = f"{name}: {key} of its own; a human must look"
                raise StepError("guard", problem)

    def _parameters(
        self, item: Mapping[str, Any], found: Mapping[str, Any], name: str
    ) -> dict[str, Any]:
        """Copy the parameters of the path, and over them those of the operation."""
        every = {
            **self._listed(item.get("parameters", []), name),
            **self._listed(found.get("parameters", []), name),
        }
        return dict(sorted(every.values()))

    def _listed(self, listed: list[Any], name: str) -> dict[str, tuple[str, dict[str, Any]]]:
        """Copy parameters by what tells them apart: headers are the same in capitals."""
        result: dict[str, tuple[str, dict[str, Any]]] = {}
        for reference in listed:
            parameter = self._schemas.resolve(reference, f"{name}/parameters")
            key = f"{parameter.get('in')}.{parameter.get('name')}"
            alike = key.lower() if parameter.get("in") == "header" else key
            if alike in result:
                raise StepError("slice", f"{name}: the parameter {key!a:.80} is given twice")
            result[alike] = key, self._parameter(parameter, f"{name}.{key}")
            self._schemas.note_writing(parameter, f"{name}.{key}")
        return result

    def _parameter(self, parameter: Mapping[str, Any], place: str) -> dict[str, Any]:
        schema = parameter.get("schema")
        if schema is None:
            schema = self._content(parameter.get("content"))[1] or {}
        return {
            "required": parameter.get("required") is True,
            "description": prose(parameter.get("description"), place),
            "schema": self._schemas.schema(schema, place),
        }

    def _body(self, reference: Any, place: str) -> dict[str, Any] | None:
        if reference is None:
            return None
        body = self._schemas.resolve(reference, place)
        media_type, schema = self._content(body.get("content"))
        if media_type is None:
            raise StepError("slice", f"{place}: requestBody has no content")
        return {
            "required": body.get("required") is True,
            "media_type": media_type,
            "description": prose(body.get("description"), place),
            "schema": self._schemas.schema(schema, place),
        }

    def _responses(self, responses: Mapping[str, Any], name: str) -> dict[str, Any]:
        self._schemas.received = True
        return {
            status: self._response(responses[status], f"{name}.{status}")
            for status in sorted(responses)
            if not status.startswith("x-")
        }

    def _response(self, reference: Any, place: str) -> dict[str, Any]:
        response = self._schemas.resolve(reference, place)
        media_type, schema = self._content(response.get("content"))
        return {
            "description": prose(response.get("description"), place),
            "media_type": media_type,
            "schema": self._schemas.schema(schema, place) if media_type == _JSON else None,
        }

    def _content(self, content: Mapping[str, Any] | None) -> tuple[str | None, Any]:
        """Choose one media type: JSON where it is offered, else the first by name."""
        if not content:
            return None, None
        bare = {key.partition(";")[0].strip().lower(): key for key in sorted(content, reverse=True)}
        chosen = _JSON if _JSON in bare else min(bare)
        return chosen, content[bare[chosen]].get("schema", {})
