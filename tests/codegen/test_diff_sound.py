"""A narrower request is never called harmless, whatever the schemas look like."""

# ruff: noqa: E501 - one case a line: they are tables

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from krea_aleph.specdiff.changes import Severity
from krea_aleph.specdiff.compare_schema import SchemaComparison
from krea_aleph.specdiff.rules import Rules
from krea_aleph.specdiff.severity import Judge, Reads

SCALARS: list[Any] = [None, True, False, 0, 1, 2, 3, 6, -1, 1.5, "", "a", "b", "ab", "abc", "1"]
INSTANCES: list[Any] = [
    *SCALARS,
    [], ["a"], [1], ["a", "a"], [1, 2, 3], [None], [["a"]],
    {}, *({"a": value} for value in [*SCALARS, ["a"], {"a": 1}, {"b": "a"}]),
    *({"a": value, "b": "a"} for value in (1, "a", None)), {"b": 1}, {"b": "ab"}, {"a": {"a": "a", "b": 2}},
]  # fmt: skip

few = st.integers(0, 3)
text = st.fixed_dictionaries(
    {"type": st.just("string")},
    optional={
        "minLength": few,
        "maxLength": few,
        "pattern": st.sampled_from(["^a", "b$", "^[ab]*$"]),
        "format": st.sampled_from(["uri", "uri-reference"]),
    },
)
number = st.fixed_dictionaries(
    {"type": st.sampled_from(["number", "integer", ["integer", "null"], ["number", "string"]])},
    optional={
        "minimum": few,
        "maximum": few,
        "exclusiveMinimum": few,
        "exclusiveMaximum": few,
        "multipleOf": st.sampled_from([1, 2, 3, 6, 0.5]),
    },
)
values = st.lists(st.sampled_from(SCALARS), min_size=1, max_size=4).map(lambda v: {"enum": v})
const = st.sampled_from(SCALARS).map(lambda v: {"const": v})
other = st.sampled_from([True, {}, False, {"type": "boolean"}, {"type": ["string", "null"]}])
leaf = st.one_of(text, number, values, const, other)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Make objects that declare a or b or both; those that do not declare both say what else fits.

    Where others pass unseen, a property that becomes known is called a feature: that one exception
    is argued in the code and left out here.
    """
    need = st.lists(st.sampled_from(["a", "b"]), unique=True)
    limits = {"required": need, "minProperties": few, "maxProperties": few}
    full = {
        "type": st.just("object"),
        "properties": st.fixed_dictionaries({"a": inner, "b": inner}),
    }
    part = st.dictionaries(st.sampled_from(["a", "b"]), inner)
    extra = st.one_of(st.just(False), inner.filter(lambda schema: schema not in (True, {})))
    closed = {"type": st.just("object"), "properties": part, "additionalProperties": extra}
    return st.one_of(
        st.fixed_dictionaries(full, optional=limits),
        st.fixed_dictionaries(closed, optional=limits),
    )


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Make arrays, objects and combinations."""
    two = st.lists(inner, min_size=1, max_size=3)
    array = st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={"items": inner, "minItems": few, "maxItems": few, "uniqueItems": st.booleans()},
    )
    return st.one_of(
        array,
        objects(inner),
        *(two.map(lambda parts, key=key: {key: parts}) for key in ("anyOf", "oneOf", "allOf")),
        inner.map(lambda schema: {"not": schema}),
    )


schemas = st.recursive(leaf, nested, max_leaves=5)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    """Draw a schema and a changed one: now and then a wholly different one."""
    old = draw(schemas)
    return old, draw(st.one_of(schemas, st.just(old).flatmap(changed)))


def changed(schema: Any) -> st.SearchStrategy[Any]:
    """Change one keyword of a schema, here or below."""
    if not isinstance(schema, dict) or not schema:
        return leaf
    keys = st.sampled_from(sorted(schema))
    return keys.flatmap(lambda key: _changed_at(schema, key))


def _changed_at(schema: dict[str, Any], key: str) -> st.SearchStrategy[Any]:
    value = schema[key]
    rest = {name: kept for name, kept in schema.items() if name != key}
    options: list[st.SearchStrategy[Any]] = [st.just(rest)] if key != "additionalProperties" else []
    if key in {"items", "not", "additionalProperties"}:
        options.append(changed(value).map(lambda new: {**rest, key: new}))
    elif key in {"anyOf", "oneOf", "allOf"}:
        options = [changed(value[0]).map(lambda new: {**rest, key: [new, *value[1:]]})]
        options.append(leaf.map(lambda new: {**rest, key: [*value, new]}))
        options += [st.just({**rest, key: value[1:]})] if value[1:] else []
    elif isinstance(value, int) and not isinstance(value, bool):
        options.append(few.map(lambda new: {**rest, key: new or 1}))
    elif isinstance(value, list):
        options += [st.just({**rest, key: value[1:]})] if value[1:] else []
    elif key == "properties" and value:
        name = min(value)
        options = [
            changed(value[name]).map(lambda new: {**rest, key: {**value, name: new}}),
        ]
    return st.one_of(*options)


def fits(schema: Any, value: Any) -> bool:
    """Ask an independent validator."""
    return bool(Draft202012Validator(schema).is_valid(value))


def quiet(schema: Any) -> bool:
    """Tell whether neither exception can play a part.

    They are: properties that pass unseen, and properties or items without a type, which are taken
    for an object or an array as everybody means them.
    """
    if isinstance(schema, list):
        return all(map(quiet, schema))
    if not isinstance(schema, dict):
        return True
    if "type" not in schema and schema.keys() & {"properties", "items"}:
        return False
    open_ = "properties" in schema and schema.get("additionalProperties", {}) in ({}, True)
    return not (open_ and len(schema["properties"]) < 2) and all(map(quiet, schema.values()))


@settings(max_examples=500, suppress_health_check=list(HealthCheck), deadline=None)
@given(pair=pairs())
@example(pair=({"oneOf": [{"maxLength": 3}]}, {"oneOf": [{"maxLength": 3}, {"maxLength": 1}]}))
@example(pair=({"type": "integer", "minimum": 0}, {"type": "integer", "exclusiveMinimum": 0}))
@example(pair=({"enum": [1, "a"]}, {"enum": ["a"]}))
def test_what_some_call_trips_over_is_never_harmless(pair: tuple[Any, Any], rules: Rules) -> None:
    """If an instance that was valid is valid no more, the verdict is review or worse."""
    old, new = pair
    judge = Judge(rules, Reads(frozenset(), frozenset(), frozenset()))
    found = SchemaComparison({}, {}).compare((old,), (new,))
    verdict = max((judge.sent(d, (), "body").severity for d in found), default=Severity.NONE)
    lost = [value for value in INSTANCES if fits(old, value) and not fits(new, value)]
    if lost and quiet(old) and quiet(new):
        assert verdict >= Severity.REVIEW, (lost, found)


@settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None)
@given(schema=schemas)
def test_nothing_differs_from_itself(schema: Any) -> None:
    """A schema compared with itself, written anew, has no differences."""
    assert SchemaComparison({}, {}).compare((schema,), (copy.deepcopy(schema),)) == []
