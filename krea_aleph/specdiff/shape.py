"""Has everything that a comparison walks the form that OpenAPI gives it?

Whatever has another form is refused by its place, so that nothing that comes after has to ask.
References are followed: what they lead to must have the form of where they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from krea_aleph.specdiff.changes import pointer
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.resolving import look_up
from krea_aleph.specdiff.texts import refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from krea_aleph.specdiff.changes import Place

# Of each kind of object its keys: a kind, [kind] for an array of them, (kind,) for a map.
_KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "document": {
        "servers": ["object"], "security": [(["text"],)], "paths": ("path item",),
        "components": "object", "tags": ["object"],
    },
    "path item": {
        "parameters": ["parameter"], "servers": ["object"],
        **dict.fromkeys("get put post delete options head patch trace".split(), "operation"),
    },
    "operation": {
        "parameters": ["parameter"], "requestBody": "body", "responses": ("response",),
        "servers": ["object"], "security": [(["text"],)], "tags": ["text"],
    },
    "parameter": {
        "name": "text", "in": "text", "schema": "schema", "content": ("media type",),
        "required": "flag",
    },
    "body": {"content": ("media type",), "required": "flag"},
    "response": {"content": ("media type",), "headers": ("header",)},
    "header": {"schema": "schema"},
    "object": {},
    "media type": {"schema": "schema", "encoding": ("object",)},
    "schema": {
        "type": "type", "required": ["text"], "dependentRequired": (["text"],),
        "properties": ("schema",), "patternProperties": ("schema",), "items": "schema",
        "dependentSchemas": ("schema",), "additionalProperties": "schema",
        "propertyNames": "schema", "contains": "schema", "prefixItems": ["schema"],
        "anyOf": ["schema"], "oneOf": ["schema"], "allOf": ["schema"], "not": "schema",
        "if": "schema", "then": "schema", "else": "schema",
        "pattern": "text", "format": "text", "enum": ["value"],
        **dict.fromkeys("uniqueItems deprecated readOnly writeOnly".split(), "flag"),
        **dict.fromkeys(
            "minLength maxLength minItems maxItems minProperties maxProperties".split(), "count"
        ),
        **dict.fromkeys(
            "minimum maximum exclusiveMinimum exclusiveMaximum".split(), "number"
        ),
        "multipleOf": "step",
    },
}  # fmt: skip
_NEEDED: Final = {"document": ("paths",), "parameter": ("name", "in")}
_SCALARS: Final[Mapping[str, tuple[Any, str]]] = {
    "text": (str, "a text"),
    "flag": (bool, "true or false"),
    "number": ((int, float), "a number"),
    "step": ((int, float), "a number above 0"),
    "count": ((int, float), "a whole number from 0 on"),
}
_TYPES: Final = ("string", "number", "integer", "boolean", "array", "object", "null")
_EXTENDED: Final = ("path item", "response")
"""What stands in maps that may have extensions beside."""

_Step = tuple[Any, "Place", Any]


def check_shape(document: Mapping[str, Any]) -> None:
    """Check all that a document's paths lead to.

    Raises:
        StepError: Something has another form, or a reference leads nowhere.
    """
    seen: set[tuple[str, int]] = set()
    waiting: list[_Step] = [("document", (), document)]
    while waiting:
        form, place, node = waiting.pop()
        if (str(form), id(node)) not in seen:
            seen.add((str(form), id(node)))
            waiting += _below(form, place, node)
            if isinstance(node, dict) and isinstance(form, str) and "$ref" in node:
                waiting.append((form, place, _target(node["$ref"], place, document)))


def _target(reference: object, place: Place, document: Mapping[str, Any]) -> Any:
    try:
        return look_up(reference, document)
    except StepError as error:
        raise StepError(error.step, f"{pointer(place)}: {error.problem}") from error


def _below(form: Any, place: Place, node: Any) -> Iterator[_Step]:
    """Check one node, and list what has to be checked below it."""
    if isinstance(form, list):
        for index, child in enumerate(_is(node, place, list, "an array")):
            yield form[0], (*place, str(index)), child
    elif isinstance(form, tuple):
        for key, child in _is(node, place, Mapping, "an object").items():
            if not (form[0] in _EXTENDED and str(key).startswith("x-")):
                yield form[0], (*place, str(key)), child
    elif form in _SCALARS:
        _is_scalar(node, place, form)
    elif form == "type":
        _is_type(node, place)
    elif form in _KINDS and not (form == "schema" and isinstance(node, bool)):
        yield from _keys(form, place, _is(node, place, Mapping, "an object"))


def _keys(kind: str, place: Place, node: Mapping[str, Any]) -> Iterator[_Step]:
    for key in _NEEDED.get(kind, ()):
        if key not in node and "$ref" not in node:
            raise _refused(place, f"this {kind} has no {key}")
    for key, form in _KINDS.get(kind, {}).items():
        if key in node:
            yield form, (*place, key), node[key]


def _is(node: Any, place: Place, wanted: Any, words: str) -> Any:
    if not isinstance(node, wanted):
        raise _refused(place, f"{node!a:.80} stands where {words} belongs")
    return node


def _is_type(node: Any, place: Place) -> None:
    for name in node if isinstance(node, list) else [node]:
        if name not in _TYPES:
            raise refused(pointer(place), f"{name!a:.80} is no JSON type")


def _is_scalar(node: Any, place: Place, form: str) -> None:
    wanted, words = _SCALARS[form]
    _is(node, place, wanted, words)
    uncountable = form == "count" and (node < 0 or node != int(node))
    still = form == "step" and node <= 0
    if isinstance(node, bool) is not (form == "flag") or uncountable or still:
        raise _refused(place, f"{node!a:.80} stands where {words} belongs")


def _refused(place: Place, problem: str) -> StepError:
    return StepError("validate", f"{pointer(place) or 'the document'}: {problem}")
