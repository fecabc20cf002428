"""What is not checked before a request is sent: never a reason to refuse, never unsaid."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from codegen.emit_constraints import constraints
from codegen.normalise import Normalised, normalise
from codegen.notes import notes
from krea_aleph._checks import problems
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.rules import Rules

from .conftest import CONTRACT, body_of

SITE = "create_aleph_job.body.new"


def _with_new(schema: object, rules: Rules, **components: object) -> Normalised:
    contract = copy.deepcopy(CONTRACT)
    body_of(contract)["properties"]["new"] = schema
    contract["components"]["schemas"] = components
    return normalise(contract, rules)


def _said(normalised: Normalised) -> list[str]:
    found: list[str] = normalised.operations["create_aleph_job"]["left_out"]
    return found


def _checked(normalised: Normalised, rules: Rules) -> dict[str, Any]:
    body = normalised.operations["create_aleph_job"]["body"]["schema"]
    return constraints(body, rules.media)


LEFT_OUT: dict[str, tuple[object, str]] = {
    "patternProperties": (
        {"type": "object", "patternProperties": {"^a": {"type": "string"}}},
        "'patternProperties'",
    ),
    "propertyNames": ({"type": "object", "propertyNames": {"maxLength": 1}}, "'propertyNames'"),
    "if": ({"if": {"minimum": 1}, "then": {"maximum": 9}, "else": {"maximum": -9}}, "'if'"),
    "then": ({"if": {"minimum": 1}, "then": {"maximum": 9}}, "'then'"),
    "else": ({"if": {"minimum": 1}, "else": {"maximum": 9}}, "'else'"),
    "prefixItems": ({"type": "array", "prefixItems": [{"type": "string"}]}, "'prefixItems'"),
    "contains": ({"type": "array", "contains": {"const": 1}}, "'contains'"),
    "minContains": (
        {"type": "array", "contains": {"const": 1}, "minContains": 2},
        "'minContains'",
    ),
    "maxContains": (
        {"type": "array", "contains": {"const": 1}, "maxContains": 2},
        "'maxContains'",
    ),
    "dependentRequired": (
        {"type": "object", "dependentRequired": {"a": ["b"]}},
        "'dependentRequired'",
    ),
    "dependentSchemas": (
        {"type": "object", "dependentSchemas": {"a": {"required": ["b"]}}},
        "'dependentSchemas'",
    ),
    "unevaluatedProperties": (
        {"type": "object", "unevaluatedProperties": False},
        "'unevaluatedProperties'",
    ),
    "unevaluatedItems": ({"type": "array", "unevaluatedItems": False}, "'unevaluatedItems'"),
    "contentEncoding": ({"type": "string", "contentEncoding": "base64"}, "'contentEncoding'"),
    "contentMediaType": (
        {"type": "string", "contentMediaType": "image/png"},
        "'contentMediaType'",
    ),
    "contentSchema": ({"type": "string", "contentSchema": {}}, "'contentSchema'"),
    "discriminator": ({"discriminator": {"propertyName": "kind"}}, "'discriminator'"),
    "nullable": ({"type": "string", "nullable": True}, "'nullable'"),
    "a misspelt keyword": ({"type": "string", "maxlength": 5}, "'maxlength'"),
    "a slow pattern": ({"type": "string", "pattern": "(a+)+$"}, "the pattern '(a+)+$'"),
    "a pattern of another language": ({"type": "string", "pattern": r"^\p{L}$"}, "the pattern"),
    "a pattern that is none": ({"type": "string", "pattern": "("}, "the pattern '('"),
    "not with more than is checked": ({"not": {"format": "uri"}}, "'not'"),
    "oneOf": ({"oneOf": [{"minimum": 1}, {"maximum": 9}]}, "'oneOf'"),
    "closed parts": (
        {
            "allOf": [
                {"type": "object", "properties": {"a": {}}, "additionalProperties": False},
                {"type": "object", "properties": {"b": {}}},
            ]
        },
        "'additionalProperties'",
    ),
    "read-only": ({"type": "string", "readOnly": True}, "it is read-only"),
    "nothing fits": ({"type": "string", "minLength": 2, "maxLength": 1}, "no value fits"),
}


@pytest.mark.parametrize(("schema", "words"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_what_is_not_checked_is_said(schema: object, words: str, rules: Rules) -> None:
    """Each keyword that is not checked before sending is named in the notes, with its place."""
    normalised = _with_new(schema, rules)
    [said] = [note for note in _said(normalised) if words in note]
    assert said.startswith(f"{SITE}: ")
    assert said in notes(normalised, rules)


NOTHING_LOST: list[object] = [
    {"type": "string", "title": "x", "example": "y", "examples": ["z"], "writeOnly": True},
    {"type": "string", "pattern": "^[a-z]+$", "format": "uri", "x-order": 1, "$comment": "x"},
    {"oneOf": [{"type": "string"}, {"type": "null"}]},
    {"oneOf": [{"type": "string"}, {"type": "object", "properties": {"a": {}}}]},
    {"oneOf": [{"const": "a"}, {"enum": ["b", "c"]}]},
    {"not": {"type": "string", "enum": ["a"]}},
    {
        "oneOf": [
            {
                "type": "object",
                "required": ["kind"],
                "properties": {"kind": {"const": kind}},
            }
            for kind in ("image", "video")
        ]
    },
]


@pytest.mark.parametrize("schema", NOTHING_LOST, ids=str)
def test_what_is_checked_needs_no_note(schema: object, rules: Rules) -> None:
    """What is checked, or says nothing about which values fit, makes no noise."""
    assert _said(_with_new(schema, rules)) == []


def test_the_committed_contract_is_checked_as_a_whole(rules: Rules) -> None:
    """Today everything that a request must hold is checked before it is sent."""
    normalised = normalise(CONTRACT, rules)
    assert [one["left_out"] for one in normalised.operations.values() if one["left_out"]] == []


def test_answers_make_no_notes(contract: dict[str, Any], rules: Rules) -> None:
    """What answers promise is loosened anyway, so nothing that is not checked there is named."""
    response = contract["paths"]["/jobs/{id}"]["get"]["responses"]["200"]
    response["content"]["application/json"]["schema"]["patternProperties"] = {"^x": {}}
    assert all(one["left_out"] == [] for one in normalise(contract, rules).operations.values())


def test_a_read_only_property_is_no_option(rules: Rules) -> None:
    """What only the server sets can neither be given nor be missed, however it is written."""
    parts = [{"$ref": "#/components/schemas/A"}, {"type": "object", "required": ["id", "b"]}]
    a = {
        "type": "object",
        "properties": {"id": {"$ref": "#/components/schemas/Id"}, "b": {"type": "string"}},
        "required": ["id"],
    }
    normalised = _with_new({"allOf": parts}, rules, A=a, Id={"type": "string", "readOnly": True})
    new = _checked(normalised, rules)["properties"]["new"]
    assert new["properties"].keys() == {"b"}
    assert new["required"] == ["b"]


few = st.integers(0, 3)
names = st.sampled_from(["a", "b", "c"])
scalars = st.sampled_from([None, True, False, 0, 1, 2, -1, 1.5, "", "a", "b", "ab", "abc"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
types = st.sampled_from("string number integer boolean null".split())
SCALAR = st.fixed_dictionaries(
    {},
    optional={
        "type": types | st.lists(types, min_size=1, max_size=3, unique=True),
        "enum": st.lists(scalars, min_size=1, max_size=4),
        "const": scalars,
        "minLength": few,
        "maxLength": few,
        "pattern": st.sampled_from(["^a", "b$", "(a+)+$", "^(?=a)", "["]),
        "minimum": few,
        "exclusiveMaximum": few,
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        "nullable": st.just(True),
        "contentEncoding": st.just("base64"),
    },
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    properties = st.dictionaries(names, inner, max_size=3)
    required = st.lists(names, max_size=2, unique=True)
    array = st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={
            "items": inner, "prefixItems": some, "contains": inner, "minContains": few,
            "maxContains": few, "unevaluatedItems": inner, "minItems": few,
            "uniqueItems": st.booleans(),
        },
    )  # fmt: skip
    thing = st.fixed_dictionaries(
        {"type": st.just("object")},
        optional={
            "properties": properties, "required": required, "additionalProperties": inner,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=2),
            "propertyNames": inner, "unevaluatedProperties": inner, "maxProperties": few,
            "dependentRequired": st.dictionaries(names, required, max_size=2),
            "dependentSchemas": st.dictionaries(names, inner, max_size=2),
        },
    )  # fmt: skip
    several = st.fixed_dictionaries(
        {},
        optional={
            "anyOf": some, "allOf": some, "oneOf": some, "not": inner,
            "if": inner, "then": inner, "else": inner,
        },
    )  # fmt: skip
    return st.one_of(array, thing, several)


SCHEMAS = st.recursive(SCALAR | st.booleans(), _nested, max_leaves=5)


@pytest.mark.parametrize("examples", [200, pytest.param(5_000, marks=pytest.mark.long)])
def test_nothing_that_fits_is_refused_and_nothing_is_lost_in_silence(
    examples: int, rules: Rules
) -> None:
    """What fits by JSON Schema is never refused here; what does not and passes is in the notes."""

    @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow])
    @given(schema=SCHEMAS, some=st.lists(values, min_size=1, max_size=6))
    @example(schema={"type": "array", "prefixItems": [True], "items": False}, some=[[1]])
    @example(schema={"not": {"pattern": "(a+)+$"}}, some=["b"])
    def compare(schema: Any, some: list[Any]) -> None:
        _compare(schema, some, rules)

    compare()


def _compare(schema: Any, some: list[Any], rules: Rules) -> None:
    try:
        normalised = _with_new(schema, rules)
    except StepError:
        assume(False)
    checked = _checked(normalised, rules)["properties"]["new"]
    whole = Draft202012Validator(_without_broken_patterns(schema))
    for value in some:
        ours, theirs = not list(problems(checked, value)), whole.is_valid(value)
        assert ours >= theirs, f"{value!r} would be refused"
        assert ours == theirs or _said(normalised), f"{value!r} would pass without a word"


def _without_broken_patterns(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_broken_patterns(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if (key, value) != ("pattern", "[")}
    return {key: _without_broken_patterns(value) for key, value in kept.items()}


WRITTEN: dict[str, tuple[dict[str, Any], str]] = {
    "another style": ({"style": "spaceDelimited"}, "style 'spaceDelimited'"),
    "not taken apart": ({"explode": False}, "explode False"),
    "signs as they are": ({"allowReserved": True}, "'allowReserved'"),
}


@pytest.mark.parametrize(("words", "said"), WRITTEN.values(), ids=WRITTEN.keys())
def test_a_parameter_that_is_written_otherwise_is_named(
    words: dict[str, Any], said: str, contract: dict[str, Any], rules: Rules
) -> None:
    """A way of writing a parameter that the low-level client does not follow is in the notes."""
    parameter = {"in": "query", "name": "tags", "schema": {"type": "array"}, **words}
    contract["paths"]["/jobs"]["get"]["parameters"].append(parameter)
    [note] = normalise(contract, rules).operations["list_jobs"]["left_out"]
    assert note.startswith(f"list_jobs.query.tags: {said} is not followed here")
