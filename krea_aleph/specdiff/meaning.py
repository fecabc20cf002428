"""What a schema means: the branches of which a value must fit one, each of a single JSON type.

Two spellings of one meaning give the same branches: a reference or what it points to, a type list
or `anyOf`, `const` or an `enum` of one value, `allOf` or its parts written together. Nothing is
lost on the way: what is not understood in detail is kept word for word as a rule of its branch.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from krea_aleph.specdiff.document import children
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.pattern_tree import Unchecked
from krea_aleph.specdiff.patterns import python_pattern
from krea_aleph.specdiff.resolving import look_up
from krea_aleph.specdiff.respell import respell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from krea_aleph.specdiff.changes import Place

MAX_BRANCHES: Final = 2_000
TYPES: Final = ("null", "boolean", "string", "number", "array", "object")
SCALARS: Final = frozenset(TYPES[:4])

Node = Any
"""A schema as it was read: an object, or a boolean."""

_COUNTS: Final = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_RULES: Final = {
    "string": (("contentEncoding",), ("contentMediaType",), ("contentSchema",)),
    "array": (("contains", "minContains", "maxContains"), ("unevaluatedItems",)),
    "object": (
        ("patternProperties",), ("propertyNames",), ("dependentRequired",),
        ("dependentSchemas",), ("unevaluatedProperties",), ("dependencies",),
    ),
}  # fmt: skip
_ANY_RULES: Final = (("not",), ("if", "then", "else"))
_KNOWN: Final = frozenset(
    "$ref $defs definitions $anchor type enum const anyOf oneOf allOf minimum maximum"
    " exclusiveMinimum exclusiveMaximum multipleOf pattern format uniqueItems items prefixItems"
    " properties required additionalProperties".split()
) | {
    name
    for group in (
        *_COUNTS.values(),
        *_ANY_RULES,
        *(group for groups in _RULES.values() for group in groups),
    )
    for name in group
}
DOCS: Final = frozenset(
    "description title summary example examples externalDocs $comment xml".split()
)
_SHAPES: Final[tuple[tuple[set[str], tuple[type, ...], str], ...]] = (
    ({"properties", "patternProperties", "dependentSchemas"}, (dict,), "object"),
    ({"required", "enum", "anyOf", "oneOf", "allOf", "prefixItems"}, (list,), "array"),
    ({"pattern", "format", "$ref"}, (str,), "text"),
    ({"multipleOf", "minimum", "maximum"}, (int, float), "number"),
    ({"exclusiveMinimum", "exclusiveMaximum"}, (int, float), "number"),
    ({name for names in _COUNTS.values() for name in names}, (int, float), "number"),
    ({"items", "not", "additionalProperties"}, (dict, bool), "schema"),
)  # fmt: skip
_DATA: Final = frozenset({"enum", "const", "required", "default", "dependentRequired"})
_MAPS: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs"})


@dataclass(frozen=True, slots=True)
class Branch:
    """Values of one JSON type.

    Attributes:
        kind: The type, one of `TYPES`; an integer is a number with `integer`.
        at: Where in the schema the branch is written: () or ("anyOf", "0").
        values: The only values, by their JSON text, or None.
        bounds: `minimum`, `maximum` (each a pair: value, whether it is excluded), `minLength` ...
        integer: Whether a number must be whole.
        multiples: All the numbers that it must be a multiple of.
        patterns: All the patterns that a string must match.
        formats: All the formats that it must have.
        unique: Whether the items of an array must differ.
        items: The schemas that every item must fit.
        properties: The schemas that each named property must fit.
        extra: The schemas that every other property must fit.
        required: The properties that must be there.
        rules: Keywords kept word for word, each with all that was said under it.
    """

    kind: str
    at: Place = ()
    values: Mapping[str, Any] | None = None
    bounds: Mapping[str, Any] = field(default_factory=dict)
    integer: bool = False
    multiples: frozenset[float] = frozenset()
    patterns: frozenset[str] = frozenset()
    formats: frozenset[str] = frozenset()
    unique: bool = False
    items: tuple[Node, ...] = ()
    properties: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)
    extra: tuple[Node, ...] = ()
    required: frozenset[str] = frozenset()
    rules: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Meaning:
    """A schema understood.

    Attributes:
        branches: A value fits when it fits one of them; none: nothing fits.
        notes: What is said beside: description, default, deprecated, extensions ...
    """

    branches: tuple[Branch, ...]
    notes: Mapping[str, Any]


class Reader:
    """Reads the schemas of one document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def meaning(self, nodes: tuple[Node, ...]) -> Meaning:
        """Understand the schemas that a value must all fit; none of them: anything fits.

        Raises:
            StepError: A reference is broken or endless, or there are too many combinations.
        """
        branches = tuple(_boolean(Branch(kind)) for kind in TYPES)
        said: dict[str, list[Any]] = {}
        for node in nodes:
            branches = _meet(branches, self._branches(node, ()))
            self._notes(node, said, ())
        return Meaning(
            _implied(branches), {name: _one_or_all(values) for name, values in said.items()}
        )

    def target(self, node: Node) -> Node:
        """Return what a bare reference leads to, so that one schema is one object.

        Raises:
            StepError: A reference is broken or endless.
        """
        inside: Place = ()
        while isinstance(node, dict) and node.keys() == {"$ref"}:
            node, inside = self._follow(node, inside)
        return node

    def _branches(self, node: Node, inside: Place) -> tuple[Branch, ...]:
        if not isinstance(node, dict):
            return tuple(_boolean(Branch(kind)) for kind in TYPES) if node is True else ()
        found = self._own(node)
        if "$ref" in node:
            found = _meet(found, self._branches(*self._follow(node, inside)))
        for part in node.get("allOf", []):
            found = _meet(found, self._branches(part, inside))
        for keyword in ("anyOf", "oneOf"):
            if keyword in node:
                found = _meet(found, self._choice(node[keyword], keyword, inside))
        return found

    def _follow(self, node: Mapping[str, Any], inside: Place) -> tuple[Node, Place]:
        name = str(node["$ref"])
        if name in inside:
            raise StepError("slice", f"{name!a:.120} refers to itself")
        return look_up(name, self._document), (*inside, name)

    def _choice(self, parts: list[Node], keyword: str, inside: Place) -> tuple[Branch, ...]:
        options = [_implied(self._branches(part, inside)) for part in parts]
        found = [
            replace(branch, at=(keyword, str(index), *branch.at))
            for index, branches in enumerate(options)
            for branch in branches
        ]
        joined = _join_values(found)
        if keyword == "oneOf" and not self._exclusive(options):
            words = sorted(self._words({"not": part}) for part in parts)
            said = {"oneOf": frozenset({_text(words)})}
            met = [_both(branch, Branch(branch.kind, rules=said)) for branch in joined]
            return tuple(branch for branch in met if branch is not None)
        return tuple(joined)

    def _exclusive(self, options: list[tuple[Branch, ...]]) -> bool:
        """Tell whether surely no value fits two of the options."""
        return all(
            self._apart(left, right)
            for index, branches in enumerate(options)
            for others in options[index + 1 :]
            for left in branches
            for right in others
        )

    def _apart(self, left: Branch, right: Branch) -> bool:
        both = _both(left, right)
        if both is None:
            return True
        needed = left.required | right.required
        return any(
            not self.meaning(nodes).branches
            for name, nodes in both.properties.items()
            if name in needed and not any(self._deep(node) for node in nodes)
        )

    def _deep(self, node: Node) -> bool:
        """Tell whether a property could lead back to where we are."""
        return isinstance(node, dict) and bool(node.keys() & {"$ref", "oneOf", "anyOf", "allOf"})

    def _own(self, node: Mapping[str, Any]) -> tuple[Branch, ...]:
        _well_formed(node)
        if node.get("not", False) in ({}, True):
            return ()
        listed = node.get("type", [*TYPES])
        names = set(listed if isinstance(listed, list) else [listed])
        if names - {*TYPES, "integer"}:
            raise StepError("guard", f"type: {listed!a:.80} is no JSON type")
        kinds = [kind for kind in TYPES if kind in names or (kind == "number" and _whole(names))]
        found = [self._typed(node, kind, whole=_whole(names)) for kind in kinds]
        return tuple(branch for branch in found if branch is not None)

    def _typed(self, node: Mapping[str, Any], kind: str, *, whole: bool) -> Branch | None:
        text, number = kind == "string", kind == "number"
        branch = Branch(
            kind,
            values=_values(node, kind),
            bounds=_bounds(node, kind),
            integer=number and whole,
            multiples=frozenset([node["multipleOf"]] if number and "multipleOf" in node else []),
            patterns=frozenset([node["pattern"]] if text and "pattern" in node else []),
            formats=frozenset([node["format"]] if (text or number) and "format" in node else []),
            rules=self._rules(node, kind),
        )
        if kind == "array":
            return _array(branch, node)
        return _object(branch, node) if kind == "object" else _plausible(_boolean(branch))

    def _rules(self, node: Mapping[str, Any], kind: str) -> dict[str, frozenset[str]]:
        groups: list[tuple[str, ...]] = [*_ANY_RULES, *_RULES.get(kind, ())]
        if kind == "array" and "prefixItems" in node:
            groups.append(("prefixItems", "items"))
        found = {}
        for group in groups:
            said = {name: node[name] for name in group if name in node}
            if group[0] in said:
                found[group[0]] = frozenset({self._words(said)})
        return found

    def _words(self, said: Mapping[str, Any]) -> str:
        plain = {key: self._plain_part(key, value, ()) for key, value in said.items()}
        return _text({key: _respelled(value) for key, value in plain.items()})

    def _plain(self, node: Node, inside: Place) -> Any:
        """Write references out and leave prose out, so that only what counts is compared."""
        if isinstance(node, list):
            return [self._plain(part, inside) for part in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            if node["$ref"] in inside:
                return {"$ref": len(inside) - inside.index(node["$ref"])}
            target, inside = self._follow(node, inside)
            beside = {key: value for key, value in node.items() if key != "$ref"}
            every = [target, beside] if beside.keys() - DOCS else [target]
            return self._plain({"allOf": every}, inside)
        kept = {
            key: self._plain_part(key, value, inside)
            for key, value in node.items()
            if key not in DOCS and not key.startswith("x-")
        }
        parts = kept.get("allOf", [])
        return parts[0] if len(parts) == len(kept) == 1 else kept

    def _plain_part(self, key: str, value: Any, inside: Place) -> Any:
        if key in _DATA:
            return value
        if key in _MAPS and isinstance(value, dict):
            return {name: self._plain(child, inside) for name, child in value.items()}
        return self._plain(value, inside)

    def _notes(self, node: Node, said: dict[str, list[Any]], inside: Place) -> None:
        if not isinstance(node, dict):
            return
        for key in node.keys() - _KNOWN:
            value = " ".join(node[key].split()) if isinstance(node[key], str) else node[key]
            if not (value is False or value == "" or value in said.setdefault(key, [])):
                said[key].append(value)
        if "$ref" in node:
            target, below = self._follow(node, inside)
            self._notes(target, said, below)
        for keyword in ("allOf", "anyOf", "oneOf"):
            for part in node.get(keyword, []):
                self._notes(part, said, inside)


def _well_formed(node: Mapping[str, Any]) -> None:
    for names, kinds, wanted in _SHAPES:
        for name in names & node.keys():
            if not isinstance(node[name], kinds) or (wanted == "number" and node[name] is True):
                raise StepError("validate", f"{name}: {node[name]!a:.80} is no {wanted}")


def _implied(branches: tuple[Branch, ...]) -> tuple[Branch, ...]:
    """Take a schema that only names properties or items for an object or an array.

    Everybody means that by it, and it is how `respell` reads it.
    """
    if len(branches) != len(TYPES):
        return branches
    told = [
        branch for branch in branches if replace(branch, at=()) != _boolean(Branch(branch.kind))
    ]
    shaped = len(told) == 1 and (told[0].properties or told[0].items)
    return tuple(told) if shaped else branches


def _whole(names: set[str]) -> bool:
    return "integer" in names and "number" not in names


def _array(branch: Branch, node: Mapping[str, Any]) -> Branch:
    items = () if "items" not in node or "prefixItems" in node else (node["items"],)
    return replace(branch, unique=node.get("uniqueItems") is True, items=items)


def _object(branch: Branch, node: Mapping[str, Any]) -> Branch:
    properties = {name: (child,) for name, child in node.get("properties", {}).items()}
    extra = node.get("additionalProperties", True)
    return replace(
        branch,
        properties=properties,
        extra=() if extra is True or extra == {} else (extra,),
        required=frozenset(node.get("required", [])),
    )


def _values(node: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    """Collect the values of this type that `const` and `enum` both leave."""
    lists = [node["enum"]] if "enum" in node else []
    lists += [[node["const"]]] if "const" in node else []
    found: dict[str, Any] | None = None
    for listed in lists:
        texts = {_text(value): value for value in listed if type_of(value) == kind}
        found = texts if found is None else {k: v for k, v in found.items() if k in texts}
    return found


def type_of(value: object) -> str:
    """Name the JSON type of a value."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def _bounds(node: Mapping[str, Any], kind: str) -> dict[str, Any]:
    names = [name for name in _COUNTS.get(kind, ()) if name in node]
    found = {name: node[name] for name in names if node[name] or name.startswith("max")}
    if kind == "number":
        for side in ("minimum", "maximum"):
            strict = f"exclusive{side.title()}"
            said = [(node[name], name == strict) for name in (side, strict) if name in node]
            for bound in said:
                found[side] = tighter(side, found.get(side), bound)
    return found


def tighter(name: str, one: Any, other: Any) -> Any:
    """Return the tighter of two bounds; None is no bound."""
    if one is None or other is None:
        return other if one is None else one
    return one if _tightness(name, one) >= _tightness(name, other) else other


def _tightness(name: str, bound: Any) -> tuple[float, bool]:
    value, excluded = bound if isinstance(bound, tuple) else (bound, False)
    return (value if name.startswith("min") else -value, excluded)


def _boolean(branch: Branch) -> Branch:
    """Say what `boolean` and `null` are: lists of values."""
    every: dict[str, dict[str, Any]] = {
        "boolean": {"false": False, "true": True},
        "null": {"null": None},
    }
    if branch.values is None and branch.kind in every:
        return replace(branch, values=every[branch.kind])
    return branch


def _meet(left: tuple[Branch, ...], right: tuple[Branch, ...]) -> tuple[Branch, ...]:
    if len(left) * len(right) > MAX_BRANCHES:
        raise StepError("guard", f"a schema has more than {MAX_BRANCHES} combinations of choices")
    met = [_both(one, other) for one in left for other in right if one.kind == other.kind]
    return tuple(branch for branch in met if branch is not None)


def _both(left: Branch, right: Branch) -> Branch | None:
    """Return the values that fit both, or None when surely none does."""
    if left.kind != right.kind:
        return None
    names = left.bounds.keys() | right.bounds.keys()
    branch = Branch(
        left.kind,
        at=left.at or right.at,
        values=_both_values(left.values, right.values),
        bounds={n: tighter(n, left.bounds.get(n), right.bounds.get(n)) for n in names},
        integer=left.integer or right.integer,
        multiples=left.multiples | right.multiples,
        patterns=left.patterns | right.patterns,
        formats=left.formats | right.formats,
        unique=left.unique or right.unique,
        items=_all(left.items, right.items),
        properties={
            name: _all(
                left.properties.get(name, left.extra), right.properties.get(name, right.extra)
            )
            for name in {**left.properties, **right.properties}
        },
        extra=_all(left.extra, right.extra),
        required=left.required | right.required,
        rules={
            name: left.rules.get(name, frozenset()) | right.rules.get(name, frozenset())
            for name in {**left.rules, **right.rules}
        },
    )
    return _plausible(branch)


def _all(left: tuple[Node, ...], right: tuple[Node, ...]) -> tuple[Node, ...]:
    return (*left, *(node for node in right if not any(node is other for other in left)))


def _both_values(
    left: Mapping[str, Any] | None, right: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    if left is None or right is None:
        return right if left is None else left
    return {text: value for text, value in left.items() if text in right}


def _plausible(branch: Branch) -> Branch | None:
    """Leave out listed values that do not fit the rest; nothing left is no branch."""
    if branch.values is None:
        return branch
    kept = {text: value for text, value in branch.values.items() if may_fit(value, branch)}
    return replace(branch, values=kept) if kept else None


def may_fit(value: Any, branch: Branch) -> bool:
    """Tell whether a value fits a branch, as far as scalars can be told; else assume it."""
    if type_of(value) != branch.kind:
        return False
    if branch.values is not None and _text(value) not in branch.values:
        return False
    if isinstance(value, str):
        return _fits_text(value, branch)
    if branch.kind == "number":
        return _fits_number(value, branch)
    return True


def _fits_text(value: str, branch: Branch) -> bool:
    low, high = branch.bounds.get("minLength", 0), branch.bounds.get("maxLength", math.inf)
    return low <= len(value) <= high and all(_matches(p, value) for p in branch.patterns)


def _matches(pattern: str, value: str) -> bool:
    """Tell whether a value fits a pattern; where that cannot be told quickly, assume it."""
    try:
        return re.search(python_pattern(pattern), value) is not None
    except Unchecked:
        return True


def _fits_number(value: float, branch: Branch) -> bool:
    low, no_low = branch.bounds.get("minimum", (-math.inf, False))
    high, no_high = branch.bounds.get("maximum", (math.inf, False))
    if value < low or value > high or (no_low and value == low) or (no_high and value == high):
        return False
    if branch.integer and value != int(value):
        return False
    return all(is_multiple(value, unit) for unit in branch.multiples)


def is_multiple(value: float, unit: float) -> bool:
    """Tell whether one number is a whole multiple of another."""
    return unit != 0 and float(value / unit).is_integer()


def _join_values(branches: Iterable[Branch]) -> list[Branch]:
    """Make one branch of those of a type that do nothing but list values."""
    found: list[Branch] = []
    lists: dict[str, Branch] = {}
    for branch in branches:
        bare = replace(branch, at=(), values=None) == Branch(branch.kind)
        if branch.values is None or not bare:
            found.append(branch)
        elif branch.kind in lists:
            listed = {**(lists[branch.kind].values or {}), **branch.values}
            lists[branch.kind] = replace(branch, at=(), values=listed)
        else:
            lists[branch.kind] = branch
    return [*found, *lists.values()]


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else sorted(values, key=_text)


def _respelled(schema: Any) -> Any:
    """Respell a schema where nothing gets lost by it: `respell` joins what must hold at once."""
    if not isinstance(schema, dict) or _has_key(schema, {"oneOf", "allOf"}):
        return schema
    try:
        return respell(schema)
    except (StepError, TypeError, AttributeError):  # what cannot be respelled is compared as it is
        return schema


def _has_key(node: Any, names: set[str]) -> bool:
    inside = isinstance(node, dict) and bool(names & node.keys())
    return inside or any(_has_key(child, names) for child in children(node))
