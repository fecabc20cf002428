"""What a description says about the end of operations and fields, on its way into data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from codegen.audit import audit_source
from codegen.emit_answers import emit_answers
from codegen.emit_constraints import emit_constraints
from codegen.emit_operations import emit_operations
from codegen.normalise import normalise
from krea_aleph.specdiff.errors import StepError

from .conftest import ALEPH, job_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from krea_aleph.specdiff.rules import Rules

ALIASES = "x-krea-deprecated-field-aliases"
NOTICE = "x-krea-deprecation"
PAGE = "https://docs.example/deprecations#snake-case"


def emitted(contract: dict[str, Any], rules: Rules) -> dict[str, Any]:
    """Emit what a contract demands, its operations and its answers; audit and run all of it."""
    normalised = normalise(contract, rules)
    names: dict[str, Any] = {"__name__": "emitted"}
    for source in (
        emit_constraints(normalised.operations, normalised.strict, rules),
        emit_operations(normalised.operations, retired={}, deprecated={}),
        emit_answers(normalised.strict),
    ):
        audit_source(source.encode(), "options.py")
        exec(compile(source, "emitted.py", "exec", dont_inherit=True), names)  # noqa: S102 - audited
    return names


def with_extension(contract: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """Put an extension on the aleph operation."""
    contract["paths"][ALEPH]["post"][key] = value
    return contract


def test_old_names_of_fields(contract: dict[str, Any], rules: Rules) -> None:
    """Each old name leads to the new one, the last day of the old one, and the reason."""
    listed = [
        {"from": "initVideo", "to": "init_video"},
        {
            "from": "aspectRatio",
            "to": "ratio",
            "sunset_date": "2026-06-19T00:00:00Z",
            "reason": 'Names are \u201cmoving\u201d to "snake_case" \u2013 all of them.',
            "migration_url": PAGE,
            "more": object,
        },
        {"from": "initVideo", "to": "init_video"},
    ]
    found = emitted(with_extension(contract, ALIASES, listed), rules)["FIELD_ALIASES"]
    assert list(found) == ["aspectRatio", "initVideo"]
    assert found["initVideo"] == ("init_video", None, None, None)
    assert found["aspectRatio"] == (
        "ratio", "2026-06-19", "Names are 'moving' to 'snake_case' - all of them.", PAGE,
    )  # fmt: skip


@pytest.mark.parametrize("key", [NOTICE, "x-deprecation"])
def test_the_end_of_an_operation(key: str, contract: dict[str, Any], rules: Rules) -> None:
    """The day, the replacement and the page are read from any extension that the rules name."""
    said = {"sunset": "2027-01-31", "replacement": "/generate/video/x", "url": PAGE, "other": [1]}
    operation = emitted(with_extension(contract, key, said), rules)["OPERATIONS"][
        "create_aleph_job"
    ]
    assert (operation.deprecated, operation.retired) == (None, None)
    assert operation[-3:] == ("2027-01-31", "/generate/video/x", PAGE)


def test_what_is_not_said_is_not_there(contract: dict[str, Any], rules: Rules) -> None:
    """Missing and null are the same, and the first extension that says something counts."""
    with_extension(contract, NOTICE, {"sunset_date": None, "sunset": "2027-01-31", "url": None})
    with_extension(contract, "x-deprecation", {"sunset_date": None, "replacement": "later"})
    operation = emitted(contract, rules)["OPERATIONS"]["create_aleph_job"]
    assert operation[-3:] == ("2027-01-31", "later", None)


ENTRY = {"from": "aspectRatio", "to": "ratio"}
BAD_ALIASES: list[tuple[object, str]] = [
    ({}, f"{ALIASES}: not a list"),
    ("ratio", f"{ALIASES}: not a list"),
    ([ENTRY] * 501, f"{ALIASES}: not a list of at most 500"),
    ([ENTRY, "ratio"], f"{ALIASES}/1: not an object"),
    ([{"from": "a"}], f"{ALIASES}/0/to: None"),
    ([{"from": 'a"); import os', "to": "b"}], f"{ALIASES}/0/from"),
    ([{"from": "a\u202eb", "to": "b"}], f"{ALIASES}/0/from"),
    ([{**ENTRY, "sunset_date": "soon"}], f"{ALIASES}/0/sunset_date: 'soon'"),
    ([{**ENTRY, "sunset_date": "2026-02-31"}], "2026-02-31 is no day"),
    ([{**ENTRY, "sunset_date": 20260619}], f"{ALIASES}/0/sunset_date"),
    ([{**ENTRY, "reason": {"a": 1}}], f"{ALIASES}/0/reason"),
    ([{**ENTRY, "reason": "x" * 501}], f"{ALIASES}/0/reason"),
    ([{**ENTRY, "reason": "{braces}"}], f"{ALIASES}/0/reason"),
    ([{**ENTRY, "reason": "a\u2028b"}], r"U\+2028"),
    ([{**ENTRY, "migration_url": "http://docs.example"}], f"{ALIASES}/0/migration_url"),
    ([{**ENTRY, "migration_url": "https://user@docs.example"}], f"{ALIASES}/0/migration_url"),
    ([{**ENTRY, "migration_url": "https://docs.example/'''"}], f"{ALIASES}/0/migration_url"),
    ([ENTRY, {**ENTRY, "to": "seed"}], f"{ALIASES}/1: 'aspectRatio' is there twice"),
]


@pytest.mark.parametrize(("listed", "words"), BAD_ALIASES)
def test_a_malformed_list_of_names_is_refused_by_name(
    listed: object, words: str, contract: dict[str, Any], rules: Rules
) -> None:
    """What is no list of old and new names stops the run, and the message says where."""
    with pytest.raises(StepError, match=words) as caught:
        normalise(with_extension(contract, ALIASES, listed), rules)
    assert caught.value.step == "guard"


BAD_NOTICES: list[tuple[object, str]] = [
    ("soon", f"create_aleph_job/{NOTICE}: not an object"),
    ({"sunset_date": "soon"}, f"{NOTICE}/sunset_date: 'soon'"),
    ({"replacement": ["x"]}, f"{NOTICE}/replacement"),
    ({"replacement": "x\x1b[31m"}, r"U\+001B"),
    ({"url": "javascript:alert(1)"}, f"{NOTICE}/url"),
]


@pytest.mark.parametrize(("said", "words"), BAD_NOTICES)
def test_a_malformed_notice_is_refused_by_name(
    said: object, words: str, contract: dict[str, Any], rules: Rules
) -> None:
    """What is no notice stops the run, and the message says where."""
    with pytest.raises(StepError, match=words) as caught:
        normalise(with_extension(contract, NOTICE, said), rules)
    assert caught.value.step == "guard"


def _job(schema: object) -> Callable[[dict[str, Any]], None]:
    def change(contract: dict[str, Any]) -> None:
        job_of(contract)["properties"]["new"] = schema

    return change


KINDS: list[tuple[object, tuple[str, ...]]] = [
    ({"type": "string", "format": "uuid"}, ("string",)),
    ({"type": ["integer", "null"]}, ("integer", "null")),
    ({"enum": ["a", "b"]}, ("JobNew",)),
    ({"enum": ["a", "b", None]}, ("JobNew", "null")),
    ({"enum": [1, "a"]}, ("integer", "string")),
    ({"const": True}, ("boolean",)),
    ({"type": "object", "properties": {"a": {}}}, ("JobNew",)),
    ({"type": "object"}, ("object",)),
    ({"type": "object", "additionalProperties": {"type": "number"}}, ("number{}",)),
    ({"type": "array"}, ("any[]",)),
    ({"type": "array", "items": {"type": "array", "items": {"type": "null"}}}, ("null[][]",)),
    ({"anyOf": [{"type": "string"}, {}]}, ("any",)),
    ({}, ("any",)),
    (True, ("any",)),
]


@pytest.mark.parametrize(("schema", "kinds"), KINDS)
def test_what_an_answer_may_hold(
    schema: object, kinds: tuple[str, ...], contract: dict[str, Any], rules: Rules
) -> None:
    """Every field of an answer has the kinds that its schema allows, before it is loosened."""
    _job(schema)(contract)
    names = emitted(contract, rules)
    assert names["SHAPES"]["Job"]["new"] == kinds
    assert names["ANSWERS"]["get_job"]["200"] == ("Job",)
    if "JobNew" in kinds:
        assert "JobNew" in {**names["SHAPES"], **names["WORDS"]}


def test_statuses_and_further_fields(contract: dict[str, Any], rules: Rules) -> None:
    """Ranges, a default and an answer without a body are there; so is what a map may hold."""
    deleted = contract["paths"]["/assets/{id}"]["delete"]["responses"]["200"]["content"]
    deleted["application/json"]["schema"]["additionalProperties"] = {"type": "string"}
    responses = contract["paths"]["/jobs/{id}"]["get"]["responses"]
    responses["4XX"] = responses["404"]
    responses["default"] = {"description": "anything"}
    names = emitted(contract, rules)
    assert names["SHAPES"]["AssetDeleted"]["*"] == ("string",)
    assert names["ANSWERS"]["get_job"] == {
        "200": ("Job",), "404": ("ErrorBody",), "4XX": ("ErrorBody",), "default": (),
    }  # fmt: skip
