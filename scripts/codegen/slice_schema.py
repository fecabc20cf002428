"""Copying one schema out of a document: references resolved, known keywords, nothing else.

What a request must hold by the contract and the library does not check is not copied, but must not
get lost in silence either: it is listed with its place, for the notes of the run. Keywords that say
nothing about which values fit (titles, examples, comments) are no loss and not listed.
"""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from codegen.prose import clean
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.pattern_tree import Unchecked
from krea_aleph.specdiff.patterns import python_pattern
from krea_aleph.specdiff.texts import guard_text

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NODES: Final = 100_000
MAX_REFERENCES: Final = 64
MAX_INSIDE: Final = 24
"""How many references may lead from one into the next."""
MAX_NESTED: Final = 12
MAX_COMPARED: Final = 50

_COPIED: Final = frozenset(
    "type const enum format pattern minLength maxLength minimum maximum exclusiveMinimum"
    " exclusiveMaximum multipleOf minItems maxItems uniqueItems minProperties maxProperties"
    " required deprecated default".split()
)
_WALKED: Final = frozenset("properties items additionalProperties not anyOf oneOf allOf".split())
_SAYS_NOTHING: Final = frozenset(
    "$ref $defs definitions $comment $anchor title summary description example examples"
    " externalDocs xml readOnly writeOnly".split()
)
_HINDERED_BY: Final = {"items": "prefixItems", "additionalProperties": "patternProperties"}
"""What the first one is about depends on the second one, which is not copied."""
_REFERENCE: Final = re.compile(
    r"#/components/(schemas|responses|parameters|requestBodies)/([A-Za-z0-9._-]{1,100})"
)
_NESTED: Final = re.compile(rf"(\[\]|{{}}|\|\d+){{{MAX_NESTED + 1}}}\Z")
"""Checkers take twice the time for each level of such types."""
_LIMITS: Final = (
    ("minLength", "maxLength"), ("minItems", "maxItems"), ("minProperties", "maxProperties"),
    ("minimum", "maximum"),
)  # fmt: skip
_STYLES: Final = {"path": "simple", "header": "simple", "query": "form", "cookie": "form"}
_EXPLODED: Final = frozenset({"query", "cookie"})
_ANNOTATIONS: Final = frozenset({"$ref", "description", "summary", "deprecated", "default"})

_EXACT: Final = frozenset(
    "type const enum minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum"
    " multipleOf minItems maxItems uniqueItems minProperties maxProperties required properties"
    " items title description".split()
)

Schema: TypeAlias = dict[str, Any]
Inside: TypeAlias = tuple[str, ...]


def prose(text: object, place: str) -> str:
    """Clean a text; what hides in it is refused before cleaning could hide that.

    Raises:
        StepError: It holds characters that nobody sees, or is endless.
    """
    if isinstance(text, str):
        guard_text(text, f"{place}: its description")
    return clean(text)


class SchemaSlicer:
    """Copies the schemas of one operation; it counts, so that references cannot multiply.

    Attributes:
        received: Whether what is copied comes from the server, where everything is loosened.
        left_out: What is not checked before it is sent, in sentences.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.received = False
        self.left_out: list[str] = []
        self._document = document
        self._unsendable: dict[str, set[str]] = {}
        self._nodes = 0

    def schema(self, node: object, place: str, inside: Inside = ()) -> Schema:
        """Copy a schema.

        Args:
            node: The schema as it stands in the document.
            place: Where it is, as in `rules.toml`: create_aleph_job.body.references[].uri.
            inside: The references that the walk is inside of.

        Raises:
            StepError: It is no schema, or a reference in it is foreign, broken or endless.
        """
        self._count(place)
        if _NESTED.search(place):
            if self.received:
                return {}  # kept as it was sent
            problem = f"{place}: lists, maps and choices are nested deeper than {MAX_NESTED} levels"
            raise StepError("guard", problem)
        if isinstance(node, bool):
            return {} if node else {"not": {}}
        if not isinstance(node, dict):
            raise StepError("slice", f"{place}: {node!a:.80} stands where a schema belongs")
        if "$ref" in node:
            return self._referenced(node, place, inside)
        self._note(node, place)
        result = {key: node[key] for key in sorted(_COPIED & node.keys())}
        if "description" in node:
            result["description"] = prose(node["description"], place)
        return {**result, **self._children(node, place, inside)}

    def resolve(self, node: Any, place: str) -> Any:
        """Follow a reference, and the references that it leads to.

        Raises:
            StepError: It is foreign, broken or endless.
        """
        for _ in range(MAX_REFERENCES):
            if not isinstance(node, dict):
                raise StepError("slice", f"{place}: {node!a:.80} stands where an object belongs")
            if "$ref" not in node:
                return node
            node = self._look_up(node["$ref"], place)
        raise StepError("slice", f"{place}: {node['$ref']} refers to itself")

    def note_writing(self, parameter: Mapping[str, Any], place: str) -> None:
        """Say that a parameter is to be written in a way that the client does not know."""
        where = str(parameter.get("in"))
        usual = {"style": _STYLES.get(where), "explode": where in _EXPLODED}
        for key, value in usual.items():
            if parameter.get(key, value) != value:
                self._leave_out(place, f"{key} {parameter[key]!a:.40} is not followed here")
        for key in ("content", "allowReserved"):
            if parameter.get(key):
                self._leave_out(place, f"{key!a} is not followed here: it is written as usual")

    def _note(self, node: Schema, place: str) -> None:
        """Say what of a schema is not copied, if it says which values fit."""
        for key in sorted(node.keys() - _COPIED - _WALKED - _SAYS_NOTHING):
            if not key.startswith("x-"):
                self._leave_out(place, f"{key!a:.40} is not checked here")
        for least, most in _LIMITS:
            if least in node and most in node and node[least] > node[most]:
                self._leave_out(place, f"no value fits: {least} is more than {most}")
        try:
            python_pattern(node.get("pattern", ""))
        except Unchecked as reason:
            words = f"the pattern {node['pattern']!a:.60} is not checked here, because {reason}"
            self._leave_out(place, words)

    def _leave_out(self, place: str, words: str) -> None:
        if not self.received:
            self.left_out.append(f"{place}: {words}")

    def _children(self, node: Schema, place: str, inside: Inside) -> Schema:
        result: Schema = {}
        if "properties" in node:
            result["properties"] = self._properties(node["properties"], place, inside)
        if "allOf" in node:
            result["allOf"] = self._all(node, place, inside)
        for keyword in ("anyOf", "oneOf"):
            if keyword in node:
                parts = enumerate(node[keyword], start=1)
                result[keyword] = [self.schema(p, f"{place}|{n}", inside) for n, p in parts]
        for keyword, sign in (("items", "[]"), ("additionalProperties", "{}")):
            if keyword in node and _HINDERED_BY[keyword] not in node:
                result[keyword] = self._further(node[keyword], place + sign, inside)
        if not exclusive(result.get("oneOf", [])):
            self._leave_out(place, "that no more than one of 'oneOf' fits is not checked here")
        if "required" in node:
            result["required"] = self._sendable(node["required"], place)
        return {**result, **self._opposite(node, place, inside)}

    def _further(self, node: object, place: str, inside: Inside) -> Any:
        """Copy what holds for all entries; a boolean stays one."""
        return (
            node
            if isinstance(node, bool) and place[-1] == "}"
            else self.schema(node, place, inside)
        )

    def _properties(self, properties: Schema, place: str, inside: Inside) -> Schema:
        result: Schema = {}
        for key, child in properties.items():
            below = f"{place}.{key}"
            if not self.received and self._is_read_only(child, below):
                self._leave_out(below, "it is read-only and so no option")
                self._unsendable.setdefault(place, set()).add(key)
            else:
                result[key] = self.schema(child, below, inside)
        return result

    def _is_read_only(self, node: object, place: str) -> bool:
        for _ in range(MAX_REFERENCES):
            if not isinstance(node, dict) or node.get("readOnly") is True:
                return isinstance(node, dict)
            if "$ref" not in node:
                break
            node = self._look_up(node["$ref"], place)
        return False

    def _all(self, node: Schema, place: str, inside: Inside) -> list[Schema]:
        """Copy the parts of one value: what is read-only in one part is so in all."""
        parts = [self.schema(part, place, inside) for part in node["allOf"]]
        for part in parts:
            if "required" in part:
                part["required"] = self._sendable(part["required"], place)
        described = [part for part in [*parts, node] if "properties" in part]
        if len(described) > 1 and any(
            part.get("additionalProperties") is False for part in described
        ):
            words = "'additionalProperties' is checked for all parts of 'allOf' together"
            self._leave_out(place, words)
        return parts

    def _sendable(self, required: list[str], place: str) -> list[str]:
        gone = self._unsendable.get(place, set())
        return [name for name in required if name not in gone]

    def _opposite(self, node: Schema, place: str, inside: Inside) -> Schema:
        """Copy `not`; in a request only if all that it says is checked, or it would refuse more."""
        if "not" not in node:
            return {}
        inner = self.schema(node["not"], f"{place}|not", inside)
        if self.received or _is_exact(node["not"]):
            return {"not": inner}
        self._leave_out(place, "'not' is not checked here")
        return {}

    def _referenced(self, node: Schema, place: str, inside: Inside) -> Schema:
        name = node["$ref"]
        if len(inside) > MAX_INSIDE:
            problem = f"{place}: references lead more than {MAX_INSIDE} levels deep"
            raise StepError("guard", problem)
        if name in inside:
            if self.received:
                return {}  # an answer that goes on like this is kept as it was sent
            problem = f"{place}: {name} contains itself: such a schema cannot be inlined"
            raise StepError("slice", problem)
        target = self.schema(self._look_up(name, place), place, (*inside, name))
        beside = {key: value for key, value in node.items() if key != "$ref"}
        if node.keys() <= _ANNOTATIONS:
            return {**target, **self.schema(beside, place, inside)}
        return {"allOf": [target, self.schema(beside, place, inside)]}

    def _look_up(self, reference: object, place: str) -> Any:
        found = _REFERENCE.fullmatch(reference) if isinstance(reference, str) else None
        if found is None:
            problem = (
                f"{place}: $ref {reference!a:.120} does not point into this document's components"
            )
            raise StepError("guard", problem)
        kind, name = found.groups()
        target = self._document.get("components", {}).get(kind, {}).get(name)
        if target is None:
            raise StepError("slice", f"{place}: {reference} points to nothing")
        return target

    def _count(self, place: str) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            problem = f"{place}: one operation unfolds to more than {MAX_NODES} schemas"
            raise StepError("guard", problem)


def _is_exact(node: object) -> bool:
    """Tell whether a schema is checked to the letter, neither more nor less."""
    if not isinstance(node, dict):
        return isinstance(node, bool)
    children = [*node.get("properties", {}).values(), *(node[k] for k in ("items",) if k in node)]
    return node.keys() <= _EXACT and all(_is_exact(child) for child in children)


def exclusive(parts: list[Schema]) -> bool:
    """Tell whether no value can fit two of these schemas, as far as that is evident."""
    if len(parts) > MAX_COMPARED:
        return False
    pairs = combinations(parts, 2)
    return all(_apart(left, right) for left, right in pairs)


def _apart(left: Schema, right: Schema) -> bool:
    types = [_types(part) for part in (left, right)]
    if all(types) and not types[0] & types[1]:
        return True
    values = [_values(part) for part in (left, right)]
    if all(values) and not values[0] & values[1]:
        return True
    shared = left.get("properties", {}).keys() & right.get("properties", {}).keys()
    needed = shared & set(left.get("required", [])) & set(right.get("required", []))
    return any(_apart(left["properties"][name], right["properties"][name]) for name in needed)


def _types(part: Schema) -> set[str]:
    types = part.get("type", [])
    names = set(types) if isinstance(types, list) else {types}
    return names | {"integer"} if "number" in names else names


def _values(part: Schema) -> set[str]:
    values = [part["const"]] if "const" in part else part.get("enum", [])
    return {json.dumps(value, sort_keys=True) for value in values}
