"""Comparing two schemas by what fits them.

Sound in one direction: whenever a value that fitted no longer does, some difference says that fewer
or other values fit. The one exception is argued where it is made: a property that becomes known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from krea_aleph.specdiff.changes import Difference, Effect
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.meaning import (
    DOCS,
    SCALARS,
    TYPES,
    Branch,
    Meaning,
    Node,
    Reader,
    is_multiple,
    may_fit,
    tighter,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from krea_aleph.specdiff.changes import Place

MAX_PAIRS: Final = 50_000

Nodes = tuple[Node, ...]

_WIDER_FORMATS: Final = {
    "uri": {"uri-reference", "iri", "iri-reference"},
    "uri-reference": {"iri-reference"},
    "iri": {"iri-reference"},
    "email": {"idn-email"},
    "hostname": {"idn-hostname"},
    "int32": {"int64"},
}
_TELLING: Final = frozenset({"x-krea-dependent-enum", "x-krea-deprecated-field-aliases"})
_FLAGS: Final = frozenset({"deprecated", "readOnly", "writeOnly"})


class SchemaComparison:
    """Compares schemas of two documents; every pair is looked at once."""

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self._old, self._new = Reader(old), Reader(new)
        self._known: dict[tuple[tuple[int, ...], tuple[int, ...]], list[Difference]] = {}

    def compare(self, old: Nodes, new: Nodes) -> list[Difference]:
        """List the differences of what fits all of `old` and what fits all of `new`.

        A pair that is met again inside itself adds nothing to what is found on the way.

        Raises:
            StepError: A reference is broken or endless, or the documents unfold to too much.
        """
        old, new = tuple(map(self._old.target, old)), tuple(map(self._new.target, new))
        key = (tuple(map(id, old)), tuple(map(id, new)))
        if key not in self._known:
            if len(self._known) >= MAX_PAIRS:
                raise StepError("guard", f"the schemas unfold to more than {MAX_PAIRS} pairs")
            self._known[key] = []
            left, right = self._old.meaning(old), self._new.meaning(new)
            found = [*_notes(left, right), *_types(left, right), *self._branches(left, right)]
            self._known[key] = _once(found)
        return self._known[key]

    def _branches(self, old: Meaning, new: Meaning) -> Iterator[Difference]:
        for kind in TYPES:
            left = [branch for branch in old.branches if branch.kind == kind]
            right = [branch for branch in new.branches if branch.kind == kind]
            if left and right:
                yield from self._one_type(left, right)

    def _one_type(self, old: list[Branch], new: list[Branch]) -> Iterator[Difference]:
        """Pair branches that say the same; what is left is compared alone or told as a whole."""
        left, right = list(old), list(new)
        for one in old:
            twin = next((other for other in right if self._same(one, other)), None)
            if twin is not None:
                left.remove(one)
                right.remove(twin)
                yield from self._inside(one, twin)
        if len(left) == len(right) == 1:
            yield from self._inside(left[0], right[0])
            return
        for one in left:
            if not any(self._covers(one, other) for other in new):
                yield Difference(one.at or ("anyOf",), "choice", Effect.NARROWER, _told(one), None)
        for other in right:
            if not any(self._covered(one, other) for one in old):
                yield Difference(other.at or ("anyOf",), "choice", Effect.WIDER, None, _told(other))

    def _inside(self, old: Branch, new: Branch) -> Iterator[Difference]:
        at = new.at if new.at or not old.at else old.at
        for difference in self._facets(old, new):
            yield difference.below(*at)

    def _same(self, old: Branch, new: Branch) -> bool:
        return all(difference.effect is Effect.NOTE for difference in self._facets(old, new))

    def _covers(self, old: Branch, new: Branch) -> bool:
        """Tell whether all that fitted the old branch fits the new one."""
        return all(d.effect in {Effect.NOTE, Effect.WIDER} for d in self._facets(old, new))

    def _covered(self, old: Branch, new: Branch) -> bool:
        """Tell whether all that fits the new branch fitted the old one."""
        return all(d.effect in {Effect.NOTE, Effect.NARROWER} for d in self._facets(old, new))

    def _facets(self, old: Branch, new: Branch) -> Iterator[Difference]:
        yield from _rules(old, new)
        if old.values is not None or new.values is not None:
            yield from _values(old, new)
            if old.kind in SCALARS:
                return
        yield from _bounds(old, new)
        yield from _number(old, new)
        yield from _set("pattern", old.patterns, new.patterns, _same_text)
        yield from _set("format", old.formats, new.formats, _format_implies)
        if old.kind == "array":
            yield from self._arrays(old, new)
        if old.kind == "object":
            yield from self._objects(old, new)

    def _arrays(self, old: Branch, new: Branch) -> Iterator[Difference]:
        if old.unique != new.unique:
            effect = Effect.NARROWER if new.unique else Effect.WIDER
            yield Difference(("uniqueItems",), "bound", effect, old.unique, new.unique)
        yield from _below(("items",), self.compare(old.items, new.items))

    def _objects(self, old: Branch, new: Branch) -> Iterator[Difference]:
        for name in sorted({**old.properties, **new.properties}):
            yield from self._property(name, old, new)
        for name in sorted(old.required ^ new.required):
            yield from self._required(name, old, new)
        place = ("additionalProperties",)
        closed = (
            not self._old.meaning(old.extra).branches,
            not self._new.meaning(new.extra).branches,
        )
        if closed[0] != closed[1]:
            effect = Effect.NARROWER if closed[1] else Effect.WIDER
            yield Difference(place, "closed", effect, _extra(old), _extra(new))
        elif not all(closed):
            yield from _below(place, self.compare(old.extra, new.extra))

    def _property(self, name: str, old: Branch, new: Branch) -> Iterator[Difference]:
        place = ("properties", name)
        left, right = old.properties.get(name), new.properties.get(name)
        if left is not None and right is not None:
            yield from _below(place, self.compare(left, right))
        elif right is not None:
            yield from self._added(place, old, new, right)
        elif left is not None:
            forbidden = not self._old.meaning(left).branches
            if not forbidden:
                yield Difference(place, "removed", Effect.NARROWER, _node(left), None)
            elif self._new.meaning(new.extra).branches:
                yield Difference(place, "opened", Effect.WIDER, {"not": {}}, None)

    def _added(self, place: Place, old: Branch, new: Branch, nodes: Nodes) -> Iterator[Difference]:
        """Tell of a property that becomes known.

        Where other properties were let through unseen, a value of another type passed before. It
        meant nothing then, so this is told as a new possibility; a declared type of the others is
        compared.
        """
        if not self._new.meaning(nodes).branches:
            if self._old.meaning(old.extra).branches:
                yield Difference(place, "forbidden", Effect.NARROWER, None, {"not": {}})
            return
        kind = "added required" if place[-1] in new.required else "added"
        effect = Effect.NARROWER if kind == "added required" else Effect.WIDER
        yield Difference(place, kind, effect, None, _node(nodes))
        if old.extra and self._old.meaning(old.extra).branches:
            yield from _below(place, self.compare(old.extra, nodes))

    def _required(self, name: str, old: Branch, new: Branch) -> Iterator[Difference]:
        if name in new.required and (name in old.properties or name not in new.properties):
            yield Difference(("required",), "required", Effect.NARROWER, None, name)
        if name in old.required and (name in new.properties or name not in old.properties):
            yield Difference(("required",), "optional", Effect.WIDER, name, None)


def _notes(old: Meaning, new: Meaning) -> Iterator[Difference]:
    for name in sorted({**old.notes, **new.notes}):
        left, right = old.notes.get(name), new.notes.get(name)
        if _told_apart(left, right):
            yield Difference((name,), _kind_of_note(name, right), Effect.NOTE, left, right)


def _told_apart(left: Any, right: Any) -> bool:
    return left != right or isinstance(left, bool) != isinstance(right, bool)


def _kind_of_note(name: str, new: Any) -> str:
    if name in _FLAGS:
        return name if new else f"no {name}"
    if name in DOCS:
        return "docs"
    if name.startswith("x-"):
        return name if name in _TELLING else "extension"
    return "default" if name == "default" else "unknown keyword"


def _types(old: Meaning, new: Meaning) -> Iterator[Difference]:
    left, right = _names(old), _names(new)
    gone = {name for name in left if name not in right}
    came = {name for name in right if name not in left}
    if "null" in gone | came:
        effect = Effect.WIDER if "null" in came else Effect.NARROWER
        yield Difference(("type",), "null", effect, left, right)
    gone, came = gone - {"null"}, came - {"null"}
    if gone or came:
        effect = Effect.OTHER if gone and came else Effect.WIDER if came else Effect.NARROWER
        yield Difference(("type",), "type", effect, left, right)


def _names(meaning: Meaning) -> list[str]:
    kinds = {branch.kind for branch in meaning.branches}
    return [kind for kind in TYPES if kind in kinds]


def _values(old: Branch, new: Branch) -> Iterator[Difference]:
    place = ("enum",)
    left, right = old.values, new.values
    for value in (left or {}).values():
        if not may_fit(value, new):
            yield Difference(place, "value", Effect.NARROWER, value, None)
    for value in (right or {}).values():
        if not may_fit(value, old):
            yield Difference(place, "value", Effect.WIDER, None, value)
    if left is None and right is not None:
        yield Difference(place, "values", Effect.NARROWER, None, list(right.values()))
    if right is None and left is not None:
        yield Difference(place, "values", Effect.WIDER, list(left.values()), None)


def _rules(old: Branch, new: Branch) -> Iterator[Difference]:
    for name in sorted({**old.rules, **new.rules}):
        left, right = old.rules.get(name, frozenset()), new.rules.get(name, frozenset())
        for found in _set(name, left, right, _same_text):
            yield replace(found, kind="rule")


def _bounds(old: Branch, new: Branch) -> Iterator[Difference]:
    for name in sorted({**old.bounds, **new.bounds}):
        left = _whole_bound(name, old)
        right = _whole_bound(name, new)
        if left != right:
            effect = Effect.NARROWER if tighter(name, left, right) == right else Effect.WIDER
            keyword, *told = _bound_words(name, left, right)
            yield Difference((keyword,), "bound", effect, *told)


def _whole_bound(name: str, branch: Branch) -> Any:
    """Return a bound; for whole numbers above 0 is from 1."""
    bound = branch.bounds.get(name)
    if not (isinstance(bound, tuple) and branch.integer):
        return bound
    value, excluded = bound
    step = 1 if name == "minimum" else -1
    if value == int(value):
        return (int(value) + step, False) if excluded else (int(value), False)
    return bound


def _bound_words(name: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    pair = new if new is not None else old
    if not isinstance(pair, tuple):
        return name, old, new
    strict = f"exclusive{name.title()}"
    if old is None or new is None or old[1] == new[1]:
        told = [None if bound is None else bound[0] for bound in (old, new)]
        return strict if pair[1] else name, told[0], told[1]
    spelled = [{strict if bound[1] else name: bound[0]} for bound in (old, new)]
    return strict if pair[1] else name, spelled[0], spelled[1]


def _number(old: Branch, new: Branch) -> Iterator[Difference]:
    if old.integer != new.integer:
        names = ["integer" if branch.integer else "number" for branch in (old, new)]
        effect = Effect.NARROWER if new.integer else Effect.WIDER
        yield Difference(("type",), "type", effect, *names)
    yield from _set("multipleOf", old.multiples, new.multiples, is_multiple)


def _set(
    name: str, old: frozenset[Any], new: frozenset[Any], implies: Callable[[Any, Any], bool]
) -> Iterator[Difference]:
    """Compare demands that must all be met."""
    gone = any(not any(implies(demand, one) for demand in new) for one in old)
    came = any(not any(implies(demand, one) for demand in old) for one in new)
    if gone or came:
        effect = Effect.OTHER if gone and came else Effect.NARROWER if came else Effect.WIDER
        yield Difference((name,), name, effect, _listed(old), _listed(new))


def _listed(demands: Iterable[Any]) -> Any:
    found = sorted(demands)
    return None if not found else found[0] if len(found) == 1 else found


def _same_text(one: str, other: str) -> bool:
    return one == other


def _format_implies(one: str, other: str) -> bool:
    return one == other or other in _WIDER_FORMATS.get(one, ())


def _below(place: Place, differences: Iterable[Difference]) -> Iterator[Difference]:
    return (difference.below(*place) for difference in differences)


def _node(nodes: Sequence[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else {"allOf": list(nodes)}


def _extra(branch: Branch) -> Node:
    return _node(branch.extra) if branch.extra else True


def _told(branch: Branch) -> dict[str, Any]:
    """Say in short what a branch is, for the report."""
    found: dict[str, Any] = {"type": "integer" if branch.integer else branch.kind}
    if branch.values is not None:
        found["enum"] = list(branch.values.values())
    found |= {
        name: bound[0] if isinstance(bound, tuple) else bound
        for name, bound in sorted(branch.bounds.items())
    }
    for name in ("patterns", "formats"):
        if getattr(branch, name):
            found[name.removesuffix("s")] = _listed(getattr(branch, name))
    if branch.properties:
        found["properties"] = {name: _node(nodes) for name, nodes in branch.properties.items()}
    if branch.items:
        found["items"] = _node(branch.items)
    if branch.required:
        found["required"] = sorted(branch.required)
    return found


def _once(differences: Iterable[Difference]) -> list[Difference]:
    return list({repr(difference): difference for difference in differences}.values())
