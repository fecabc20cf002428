"""Changes that break nothing: a library built from the changed contract still does everything.

Each is played on a server of the changed contract and on one of the contract before.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from checkouts import Checkout
from evolution.matrix import build_library, description, play
from evolution.terms import ALEPH, WORKS

Key: TypeAlias = str | int
Edit: TypeAlias = tuple[tuple[Key, ...], Any]

GONE: Final = object()
POST: Final = ("paths", ALEPH, "post")
BODY: Final = (*POST, "requestBody", "content", "application/json", "schema")
FIELDS: Final = (*BODY, "properties")
ACCEPTED_JOB: Final = (*POST, "responses", "200", "content", "application/json", "schema")
GET_JOB: Final = ("paths", "/jobs/{id}", "get")
LIST_JOBS: Final = ("paths", "/jobs", "get", "parameters")
LIST_ASSETS: Final = ("paths", "/assets", "get", "parameters")
JOB: Final = ("components", "schemas", "Job")
ASSET: Final = ("components", "schemas", "Asset")
TEXT: Final = {"type": "string"}
ADDRESS: Final = {"type": "string", "format": "uri"}


def renamed(old: str, new: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return an edit that gives a member another name."""
    return lambda members: {new if name == old else name: part for name, part in members.items()}


def another(**members: Any) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return an edit that adds members."""
    return lambda before: {**before, **members}


def in_two_forms(job: Any) -> Any:
    """Say that a job is one of two things."""
    running = copy.deepcopy(job)
    running["properties"]["eta"] = {"type": "number"}
    return {"oneOf": [job, running]}


CHANGES: Final[dict[str, list[Edit]]] = {
    "a list loses a filter": [((*LIST_JOBS, 2), GONE)],
    "a filter of a list is renamed": [((*LIST_JOBS, 2, "name"), "kinds")],
    "a list loses its limit": [((*LIST_ASSETS, 0), GONE)],
    "an asset's address is renamed": [
        ((*ASSET, "properties"), renamed("image_url", "url")),
        ((*ASSET, "required"), ["id", "url"]),
    ],
    "a submit answers 201": [((*POST, "responses"), renamed("200", "201"))],
    "a submit answers its id alone": [(ACCEPTED_JOB, {"properties": {"job_id": TEXT}})],
    "a job is anything": [
        ((*GET_JOB, "responses", "200", "content", "application/json", "schema"), {})
    ],
    "a job comes in two forms": [(JOB, in_two_forms)],
    "a job is put together": [(JOB, lambda job: {"allOf": [job, {"properties": {"eta": TEXT}}]})],
    "outputs are a map": [((*JOB, "properties", "result", "properties", "urls"), {})],
    "statuses go by range": [((*GET_JOB, "responses"), renamed("200", "2XX"))],
    "refusals go by range": [((*POST, "responses"), renamed("400", "4XX"))],
    "refusals are plain text": [
        ((*POST, "responses", "400", "content"), {"text/plain": {"schema": TEXT}})
    ],
    "a placeholder is renamed": [
        (("paths",), renamed("/jobs/{id}", "/jobs/{job_id}")),
        (("paths", "/jobs/{job_id}", "get", "parameters", 0, "name"), "job_id"),
        (("paths", "/jobs/{job_id}", "delete", "parameters", 0, "name"), "job_id"),
    ],
    "the webhook's header is gone": [((*POST, "parameters"), [])],
    "a prompt may be an object": [
        ((*FIELDS, "prompt"), {"anyOf": [TEXT, {"type": "object", "properties": {"text": TEXT}}]})
    ],
    "a video may be an object": [
        ((*FIELDS, "init_video"), lambda old: {"anyOf": [old, {"properties": {"url": ADDRESS}}]})
    ],
    "fields have every name that is taken": [
        (FIELDS, another(**dict.fromkeys(["self", "video", "kwargs", "class", "2d", "a-b"], TEXT)))
    ],
    "a body comes in two media types": [
        (BODY[:-2], another(**{"multipart/form-data": {"schema": {"type": "object"}}}))
    ],
}


def changed(edits: list[Edit]) -> dict[str, Any]:
    """Return the present contract with edits."""
    document: dict[str, Any] = json.loads(description("v4").read_bytes())
    for (*path, last), value in edits:
        node: Any = document
        for key in path:
            node = node[key]
        if value is GONE:
            del node[last]
        else:
            node[last] = value(node[last]) if callable(value) else value
    return document


@pytest.mark.long
@pytest.mark.parametrize("edits", CHANGES.values(), ids=CHANGES)
def test_a_change_that_breaks_nothing(edits: list[Edit], tmp_path: Path, tools: Path) -> None:
    """Whatever a user does works as before, on the changed server and on the one before."""
    document = tmp_path / "changed.json"
    document.write_text(json.dumps(changed(edits)))
    library = tmp_path / "library"
    build_library([document], library, Checkout.copied(tmp_path / "checkout", tools))
    played = play(library, [document, description("v4")])
    before = {"submit", "get", "wait", "watch", "transform", "cancel", "list", "finish", "upload"}
    expected = {title for title in played.marks if title.split()[0] in before}
    expected -= {"submit what nobody knows, with checks off"}
    assert {
        title: played.marks[title] for title in expected if played.marks[title] != WORKS * 2
    } == {}
