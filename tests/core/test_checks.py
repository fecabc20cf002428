"""JSON Schema, as far as contracts use it, held against a whole implementation of it."""

import math
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krea_aleph._checks import Pending, Problem, problems

NAN, INF = float("nan"), float("inf")
HUGE = 10**400

# (schema, a value that fits, one that does not, what is said of it)
KEYWORDS: list[tuple[dict[str, Any], Any, Any, str]] = [
    ({"type": "string"}, "a", 1, "1 is not a string"),
    ({"type": "number"}, 1.5, "1", "'1' is not a number"),
    ({"type": "number"}, 1, True, "True is not a number"),
    ({"type": "integer"}, 1.0, 1.5, "1.5 is not an integer"),
    ({"type": "integer"}, HUGE, INF, "inf is not an integer"),
    ({"type": "integer"}, -1, False, "False is not an integer"),
    ({"type": "boolean"}, True, 1, "1 is not a boolean"),
    ({"type": "null"}, None, 0, "0 is not null"),
    ({"type": "object"}, {}, [], "[] is not an object"),
    ({"type": "array"}, (), {}, "{} is not a list"),
    ({"type": ["string", "null"]}, None, 1, "1 is not a string or null"),
    ({"type": "colour"}, object, None, ""),
    ({"const": "image"}, "image", "video", "'video' is not 'image'"),
    ({"const": 1}, 1.0, True, "True is not 1"),
    ({"enum": ["a", 1]}, "a", "b", "'b' is none of 'a', 1"),
    ({"enum": ["a", 1]}, 1, True, "True is none of 'a', 1"),
    ({"maxLength": 2}, "ab", "abc", "3 characters are more than 2"),
    ({"minLength": 1}, "\N{GRINNING FACE}", "", "0 characters are fewer than 1"),
    ({"regex": r"\Aa", "pattern": "^a"}, "abc", "bc", "'bc' does not match '^a'"),
    ({"pattern": "(a+)+$"}, "a" * 99 + "!", None, ""),
    ({"minimum": 0}, 0, -1, "-1 is less than 0"),
    ({"maximum": 4294967295}, 4294967295, HUGE, "1000"),
    ({"exclusiveMinimum": 0}, 0.1, 0, "0 is not more than 0"),
    ({"exclusiveMaximum": 1}, 0.9, 1, "1 is not less than 1"),
    ({"multipleOf": 0.1}, 0.3, 0.35, "0.35 is not a multiple of 0.1"),
    ({"multipleOf": 8}, HUGE * 8, HUGE + 1, "1000"),
    ({"maximum": 5}, 5, NAN, "nan is not a finite number"),
    ({"type": "number"}, 0.0, INF, "inf is not a finite number"),
    ({"required": ["a"]}, {"a": 1}, {}, "it is required"),
    ({"properties": {"a": {"type": "null"}}}, {"b": 1}, {"a": 1}, "1 is not null"),
    ({"properties": {"a": False}}, {"b": 1}, {"a": 1}, "nothing is allowed here"),
    (
        {"properties": {"a": {}, "b": True}, "additionalProperties": False},
        {"a": 1, "b": 2},
        {"c": 1},
        "it is not one of a, b",
    ),
    ({"additionalProperties": {"type": "null"}}, {"a": None}, {"a": 1}, "1 is not null"),
    ({"maxProperties": 1}, {"a": 1}, {"a": 1, "b": 2}, "2 fields are more than 1"),
    ({"minProperties": 1}, {"a": 1}, {}, "0 fields are fewer than 1"),
    ({"items": {"type": "null"}}, [None, None], [None, 1], "1 is not null"),
    ({"maxItems": 1}, [1], [1, 2], "2 entries are more than 1"),
    ({"minItems": 1}, [1], [], "0 entries are fewer than 1"),
    ({"uniqueItems": True}, [1, True, 2], [1, 2, 1], "an entry stands in it twice"),
    ({"uniqueItems": False}, [1, 1], None, ""),
    ({"prefixItems": [{"type": "null"}]}, [None, 1], [1], "1 is not null"),
    ({"prefixItems": [{}], "items": False}, [1], [1, 2], "nothing is allowed here"),
    ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, 1, 3, "3 is more than 2"),
    ({"anyOf": [{"type": "null"}, {"minimum": 1}]}, None, 0, "0 is not null"),
    ({"oneOf": [{"minimum": 1}, {"maximum": -1}]}, 1, 0, "0 is less than 1"),
    ({"oneOf": [{"minimum": 1}, {"minimum": 0}]}, 0.5, 1, "it fits more than one of the forms"),
    (
        {"anyOf": [{"minimum": 0}, {"maximum": 9}], "oneOf": [{"minimum": 1}, {"maximum": -1}]},
        1,
        0,
        "0 is less than 1",
    ),
    ({"not": {"const": "a"}}, "b", "a", "'a' is a form that is excluded"),
    ({"regex": r"\Aa", "maxLength": 1}, 7, "ba", "2 characters are more than 1"),
    ({"title": "words", "media": True}, object(), None, ""),
]


@pytest.mark.parametrize(
    ("schema", "good", "bad", "words"), KEYWORDS, ids=[str(row[0]) for row in KEYWORDS]
)
def test_keywords(schema: dict[str, Any], good: Any, bad: Any, words: str) -> None:
    """Each keyword lets through what fits, and says of the rest what is wrong."""
    assert list(problems(schema, good)) == []
    found = next(problems(schema, bad), Problem("", ""))
    assert found.text.startswith(words) if words else found.text == ""


def test_every_problem_names_its_place() -> None:
    """All problems are found, each with the field that it is in."""
    schema = {
        "required": ["prompt", "seed"],
        "properties": {
            "prompt": {"maxLength": 1},
            "refs": {"items": {"required": ["uri"], "properties": {"type": {"const": "image"}}}},
        },
        "additionalProperties": False,
    }
    value = {"prompt": "ab", "refs": [{"uri": "x", "type": "y"}, {}], "seeed": 1}
    assert [(found.field, found.unknown_field) for found in problems(schema, value)] == [
        ("seed", False),
        ("prompt", False),
        ("refs[0].type", False),
        ("refs[1].uri", False),
        ("seeed", True),
    ]
    assert next(problems({"type": "null"}, 1, "top")).field == "top"


def test_the_closest_form_is_explained() -> None:
    """Of several forms none of which fits, the one with the fewest problems speaks."""
    forms = [{"required": ["a", "b"]}, {"required": ["a"]}]
    assert [found.field for found in problems({"anyOf": forms}, {})] == ["a"]


def test_files_that_are_still_to_be_uploaded() -> None:
    """A placeholder is text, and rules about its characters do not count for it."""
    pending = Pending("video")
    assert list(problems({"type": "string", "maxLength": 1, "regex": "^https"}, pending)) == []
    assert list(problems({"type": "null"}, pending)) != []


def test_long_values_are_shortened() -> None:
    """A message shows a line's worth of a value."""
    found = next(problems({"type": "null"}, "x" * 1000))
    assert len(found.text) < 120
    found = next(problems({"type": "number", "maximum": 1}, 10**9999))
    assert found.text == "a number that is too long to show is more than 1"


NAMES = st.sampled_from(["a", "b", "c"])
NUMBERS = st.integers(-3, 3)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.sampled_from([0.5, 1.0]) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text("ab", max_size=2)
TYPES = st.sampled_from("string number integer boolean null object array".split())
SIZES = st.integers(0, 3)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Make schemas of the keywords that we know."""
    several = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
            "const": SCALARS,
            "enum": st.lists(SCALARS, min_size=1, max_size=3),
            "minLength": SIZES,
            "maxLength": SIZES,
            "pattern": st.sampled_from(["^a", "b$", "ab"]),
            "minimum": NUMBERS,
            "maximum": NUMBERS,
            "exclusiveMinimum": NUMBERS,
            "exclusiveMaximum": NUMBERS,
            "multipleOf": st.sampled_from([1, 2, 0.5]),
            "required": st.lists(NAMES, max_size=2, unique=True),
            "properties": st.dictionaries(NAMES, inner, max_size=2),
            "additionalProperties": inner,
            "minProperties": SIZES,
            "maxProperties": SIZES,
            "items": inner,
            "prefixItems": several,
            "minItems": SIZES,
            "maxItems": SIZES,
            "uniqueItems": st.booleans(),
            "allOf": several,
            "anyOf": several,
            "oneOf": several,
            "not": inner,
        },
    )


SCHEMAS: st.SearchStrategy[Any] = st.recursive(st.booleans() | st.just({}), objects, max_leaves=4)


@settings(max_examples=400)
@given(schema=SCHEMAS.filter(lambda schema: isinstance(schema, dict)), value=VALUES)
def test_we_agree_with_a_whole_implementation(schema: dict[str, Any], value: Any) -> None:
    """For any schema of these keywords and any JSON, we say yes exactly where jsonschema does."""
    valid = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (list(problems(with_regex(schema), value)) == []) is valid


def with_regex(schema: Any) -> Any:
    """Give each pattern the spelling that the regeneration emits beside it."""
    if isinstance(schema, list):
        return [with_regex(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    spelt = {key: with_regex(value) for key, value in schema.items()}
    return {**spelt, "regex": spelt["pattern"]} if "pattern" in spelt else spelt


@settings(max_examples=300)
@given(value=st.floats() | st.integers())
def test_numbers_of_any_size(value: float) -> None:
    """No number, however large or strange, breaks the checks; what is not finite is refused."""
    schema = {"type": "number", "minimum": 0, "multipleOf": 0.5}
    found = list(problems(schema, value))
    assert found or (math.isfinite(value) and value >= 0)
