"""What an answer has that the contract does not know, found by name and told once."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krea_aleph import contract
from krea_aleph._drift import Known, Unknown
from krea_aleph._exchange import exchange
from krea_aleph._steps import Request
from krea_aleph._telemetry import Memory

from .transcript import Stage, answer, configured

GET = Request("get_job", "GET", "/jobs/j1")
JOB = {
    "job_id": "j1",
    "status": "processing",
    "created_at": "2026-11-22T10:00:00.000Z",
    "completed_at": None,
    "result": {"urls": ["https://a.example/1", {"type": "preview", "url": "https://a.example/2"}]},
}
SECRET = "a prompt, an address, a key"

# What the contract of November 2026 says, in short; the pinned one may have more by now.
REFUSED: dict[str, tuple[str, ...]] = {"404": ("ErrorBody",)}
KNOWN = Known(
    {
        "create_aleph_job": {"200": ("Job",), "429": ("ErrorBody",)},
        "get_job": {"200": ("Job",), **REFUSED},
        "delete_job": {"200": (), **REFUSED},
        "list_jobs": {"200": ("JobPage",)},
        "get_asset": {"200": ("Asset",), **REFUSED},
        "upload_asset": {"200": ("Asset",)},
    },
    {
        "Asset": {
            "id": ("string",),
            "image_url": ("string",),
            "metadata": ("any",),
            "size_bytes": ("null", "number"),
            "width": ("null", "number"),
        },
        "ErrorBody": {"error": ("string",)},
        "Job": {
            "completed_at": ("null", "string"),
            "created_at": ("string",),
            "error": ("JobError",),
            "job_id": ("string",),
            "result": ("JobResult", "null"),
            "status": ("JobStatus",),
        },
        "JobError": {"code": ("string",), "message": ("string",)},
        "JobPage": {"items": ("Job[]",), "next_cursor": ("null", "string")},
        "JobResult": {"style_id": ("string",), "urls": ("JobOutput[]", "string[]")},
        "JobOutput": {"type": ("JobOutputType",), "url": ("string",)},
    },
    {
        "JobOutputType": ("model", "preview"),
        "JobStatus": ("queued", "processing", "completed", "failed", "cancelled"),
    },
)
unknown_in = KNOWN.unknown_in

# What Krea was seen to send although its description does not say so, and what may come.
DEVIATIONS: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = [
    ({}, []),
    ({"result": None}, []),
    ({"result": {}}, []),
    ({"result": SECRET}, [("type", "Job.result", "string")]),
    ({"type": "externalVideo"}, [("field", "Job.type", "string")]),
    ({"error": None}, [("type", "Job.error", "null")]),
    ({"error": {"code": 7, "hint": SECRET}}, [
        ("type", "JobError.code", "integer"), ("field", "JobError.hint", "string"),
    ]),
    ({"completed_at": 1.5}, [("type", "Job.completed_at", "number")]),
    ({"created_at": True}, [("type", "Job.created_at", "boolean")]),
    ({"status": "upscaling"}, [("value", "Job.status", "upscaling")]),
    ({"status": SECRET}, [("value", "Job.status", "(no plain name)")]),
    ({"status": None}, [("type", "Job.status", "null")]),
    ({"result": {"urls": {"node": SECRET}}}, [("type", "JobResult.urls", "object")]),
    ({"result": {"urls": [7]}}, [("type", "JobResult.urls[]", "integer")]),
    ({"result": {"urls": [{"type": "mask", "url": SECRET}]}}, [
        ("value", "JobOutput.type", "mask"),
    ]),
    ({"result": {"video_url": SECRET}}, [("field", "JobResult.video_url", "string")]),
    ({SECRET: {"a": SECRET}}, [("field", "Job.(no plain name)", "object")]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), DEVIATIONS, ids=str)
def test_a_job(change: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    """Unknown fields, types and words of a job are named by their place; nothing else is told."""
    found = unknown_in("get_job", 200, JOB | change)
    assert found == expected
    assert SECRET not in str(found)
    page = {"items": [JOB, JOB | change], "next_cursor": None}
    assert unknown_in("list_jobs", 200, page) == expected


ANSWERS: list[tuple[str, int, object, list[tuple[str, str, str]]]] = [
    ("list_jobs", 200, {"items": []} | {"nextCursor": "c"}, [
        ("field", "JobPage.nextCursor", "string"),
    ]),
    ("list_jobs", 200, [JOB], [("type", "list_jobs", "array")]),
    ("get_asset", 200, {"id": "a", "size_bytes": 1.5, "width": 2, "url": "u", "metadata": {}}, [
        ("field", "Asset.url", "string"),
    ]),
    ("get_job", 404, {"error": "x"}, []),
    ("get_job", 404, {"message": "x"}, [("field", "ErrorBody.message", "string")]),
    ("get_job", 404, None, []),
    ("get_job", 401, {"message": "x"}, [("status", "get_job", "401")]),
    ("create_aleph_job", 418, None, [("status", "create_aleph_job", "418")]),
    ("delete_job", 200, {"deleted": True}, []),
    ("delete_job", 204, None, [("status", "delete_job", "204")]),
    ("get_job", 503, {"message": "x"}, []),
    ("some_other", 418, {}, []),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "status", "content", "expected"), ANSWERS, ids=str)
def test_other_answers(
    operation: str, status: int, content: object, expected: list[tuple[str, str, str]]
) -> None:
    """Pages, assets and refusals are compared too; a server that fails is no news of the API."""
    assert unknown_in(operation, status, content) == expected


def known(shapes: dict[str, Any], words: dict[str, Any] | None = None, *kinds: str) -> Known:
    """Know answers of one operation."""
    return Known({"op": {"2XX": kinds or ("Thing",), "default": ()}}, shapes, words or {})


KINDS: list[tuple[tuple[str, ...], object, str]] = [
    (("string",), "", ""),
    (("string",), 1, "integer"),
    (("integer",), 1, ""),
    (("integer",), 1.0, ""),
    (("integer",), 1.5, "number"),
    (("integer",), float("inf"), "number"),
    (("integer",), True, "boolean"),
    (("number",), 1, ""),
    (("boolean",), 0, "integer"),
    (("null",), {}, "object"),
    (("any",), {}, ""),
    (("object",), {"any": 1}, ""),
    (("object", "Inner"), {"any": 1}, ""),
    (("string[]",), ["a", None], "null"),
    (("string[][]",), [["a"], "b"], "string"),
    (("string[]", "null"), None, ""),
    (("array",), [object], ""),
    (("string{}",), {"a": "b"}, ""),
    (("string{}",), {"a": 1}, "integer"),
    (("any{}",), {"a": 1}, ""),
    (("Words",), "c", "c"),
    (("Words", "More"), "c", ""),
    (("Words", "string"), "c", ""),
    (("Inner",), {"b": 1}, "integer"),
    (("Inner", "Other"), {"a": 1, "b": 1}, ""),
    (("Inner", "string"), "x", ""),
    (("Open",), {"x": "y"}, ""),
    (("Open",), {"x": 1}, "integer"),
    (("Anything",), {"x": 1}, ""),
]
SHAPES: dict[str, Any] = {
    "Inner": {"a": ("integer",)},
    "Other": {"b": ("integer",)},
    "Open": {"*": ("string",)},
    "Anything": {"*": ("any",)},
}
WORDS = {"Words": ("a", "b"), "More": ("c",)}


@pytest.mark.parametrize(("kinds", "value", "told"), KINDS, ids=str)
def test_kinds(kinds: tuple[str, ...], value: object, told: str) -> None:
    """Every kind that the regeneration writes is understood, alone and as a choice."""
    shapes = {**SHAPES, "Thing": {"x": kinds}}
    found = known(shapes, WORDS).unknown_in("op", 201, {"x": value})
    assert [unknown.found for unknown in found] == ([told] if told else [])


def test_ranges_and_a_default() -> None:
    """A status may be declared as a range or by a default, which then says nothing of bodies."""
    assert known({"Thing": {}}).unknown_in("op", 299, {"a": 1}) == [("field", "Thing.a", "integer")]
    assert known({"Thing": {}}).unknown_in("op", 418, {"a": 1}) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(["job_id", "status", "result", "error", "urls", "items", "x"])


@given(st.dictionaries(FIELDS, JSON | st.dictionaries(FIELDS, JSON)))
def test_any_json_is_compared_without_harm(body: dict[str, Any]) -> None:
    """Nothing that JSON can hold breaks the comparison, and it never repeats what is no name."""
    for operation in ("get_job", "list_jobs", "upload_asset"):
        for unknown in unknown_in(operation, 200, body):
            assert len(unknown.where) < 100
            assert len(unknown.found) <= 40


def test_a_flood_is_bounded() -> None:
    """Of an answer of nothing but strange things only so many are looked at."""
    flood: dict[str, Any] = {f"field{number}": {} for number in range(1_000)}
    assert len(unknown_in("get_job", 200, flood)) == 50
    page: dict[str, Any] = {"items": [flood] * 1_000}
    assert len(unknown_in("list_jobs", 200, page)) == 50
    page = {"items": [JOB | {"type": "x"}] * 1_000 + [JOB | {"status": "upscaling"}]}
    assert [found.kind for found in unknown_in("list_jobs", 200, page)] == ["field", "value"]
    page = {"items": [JOB] * 2_000 + [flood]}
    assert unknown_in("list_jobs", 200, page) == []


def test_it_is_told_once_with_the_contract_it_was_held_against(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One event for each thing and client says what, where, and which contract does not know it."""
    config = configured(account="studio")
    stage = Stage(answer(JOB | {"status": "reticulating", "xtype": 1, "xstyle": SECRET}))
    with caplog.at_level(logging.INFO, "krea_aleph"):
        for _ in range(3):
            stage.play(exchange(config, GET))
    events = [event for event in stage.events if event.kind == "drift"]
    assert [(event.attributes["unknown"], event.attributes["where"]) for event in events] == [
        ("value", "Job.status"), ("field", "Job.xtype"), ("field", "Job.xstyle"),
    ]  # fmt: skip
    assert events[0].account == "studio"
    assert events[0].attributes == {
        "operation": "get_job",
        "unknown": "value",
        "where": "Job.status",
        "found": "reticulating",
        "contract": contract.sha256[:12],
        "contract_date": contract.date,
        "generator": contract.generator,
    }
    assert SECRET not in str(events)


def test_a_field_is_one_thing_whatever_it_holds() -> None:
    """An unknown field that is null at first and a text later is told once."""
    config = configured()
    stage = Stage(*(answer(JOB | {"xstyle": value}) for value in (None, "x", 1)))
    for _ in range(3):
        stage.play(exchange(config, GET))
    assert stage.kinds().count("drift") == 1


def test_what_is_remembered_is_bounded() -> None:
    """A server that invents a field in each answer is heard a hundred times; a word still is."""
    config = configured()
    fields = [answer(JOB | {f"field{number}": 1}) for number in range(150)]
    stage = Stage(*fields, answer(JOB | {"status": "reticulating"}))
    for _ in range(151):
        stage.play(exchange(config, GET))
    assert stage.kinds().count("drift") == 101
    assert stage.events[-1].attributes["found"] == "reticulating"
    memory = Memory()
    assert memory.first("deprecated", "x")
    assert not memory.first("deprecated", "x")


def test_a_comparison_that_breaks_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever goes wrong in looking for news, the answer comes through."""

    def broken(*_: object) -> list[Unknown]:
        raise ZeroDivisionError

    monkeypatch.setattr("krea_aleph._wire.unknown_in", broken)
    response = Stage(answer(JOB)).play(exchange(configured(), GET))
    assert json.loads(response.body) == JOB
    assert "could not be compared" in caplog.text
