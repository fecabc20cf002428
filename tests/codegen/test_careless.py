"""Careless documents: each that cannot be followed gets one clear message, the rest are followed."""

# ruff: noqa: E501 - one case a line: they are tables

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from codegen.audit import audit_source
from krea_aleph.specdiff.errors import EXIT_CODES, StepError
from krea_aleph.specdiff.rules import Rules

from .conftest import ALEPH, body_of, job_of
from .parts import CONTRACT, emitted, published

Contract = dict[str, Any]
Change = Callable[[Contract], object]
TEXT = {"type": "string"}
BODY = "create_aleph_job"


def _aleph(contract: Contract) -> Contract:
    operation: Contract = contract["paths"][ALEPH]["post"]
    return operation


def _new(schema: object) -> Change:
    return lambda contract: body_of(contract)["properties"].update(new=schema)


def _told(schema: object) -> Change:
    return lambda contract: job_of(contract)["properties"].update(new=schema)


def _parameter(**words: object) -> Change:
    return lambda contract: contract["paths"]["/jobs"]["get"]["parameters"].append(words)


def _components(kind: str, **entries: object) -> Change:
    return lambda contract: contract["components"].update({kind: entries})


def _all(*changes: Change) -> Change:
    return lambda contract: [change(contract) for change in changes]


def _ref(name: str, kind: str = "schemas") -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _written(change: Change) -> bytes:
    contract = copy.deepcopy(CONTRACT)
    change(contract)
    return json.dumps(contract).encode()


REFUSED: dict[str, tuple[str, str, Change]] = {
    "paths missing": ("foreign", "none of the operations", lambda c: c.pop("paths")),
    "paths null": ("foreign", "none of the operations", lambda c: c.update(paths=None)),
    "paths a list": ("validate", "paths", lambda c: c.update(paths=[])),
    "no path of ours": ("foreign", "none of the operations", lambda c: c.update(paths={"/x": {}})),
    "a path null": ("validate", ALEPH, lambda c: c["paths"].update({ALEPH: None})),
    "an operation null": ("validate", f"{ALEPH}/post", lambda c: c["paths"][ALEPH].update(post=None)),
    "an operation a list": ("validate", f"{ALEPH}/post", lambda c: c["paths"][ALEPH].update(post=[])),
    "3.0": ("version", "3.0.3", lambda c: c.update(openapi="3.0.3")),
    "3.2": ("version", "3.2.0", lambda c: c.update(openapi="3.2.0")),
    "Swagger 2": ("version", "2.0", _all(lambda c: c.pop("openapi"), lambda c: c.update(swagger="2.0"))),
    "a version that is a number": ("version", "3.1", lambda c: c.update(openapi=3.1)),
    "a parameter without a name": ("validate", "has no name", _parameter(**{"in": "query", "schema": TEXT})),
    "a parameter without a place": ("validate", "has no in", _parameter(name="x", schema=TEXT)),
    "a parameter null": ("validate", "parameters/4", lambda c: c["paths"]["/jobs"]["get"]["parameters"].append(None)),
    "a parameter in nowhere": ("guard", "cannot be in 'body'", _parameter(name="x", schema=TEXT, **{"in": "body"})),
    "a parameter called body": ("guard", "query.body", lambda c: _aleph(c)["parameters"].append({"name": "body", "in": "query", "schema": TEXT})),
    "a header twice in other capitals": ("slice", "given twice", lambda c: _aleph(c)["parameters"].append({"name": "x-webhook-url", "in": "header", "schema": TEXT})),
    "parameters null": ("validate", "parameters", lambda c: _aleph(c).update(parameters=None)),
    "a path without its parameter": ("guard", "do not agree", lambda c: c["paths"]["/jobs/{id}"]["get"].pop("parameters")),
    "required in words": ("validate", "true or false", _parameter(name="x", required="yes", **{"in": "query"})),
    "responses null": ("validate", "responses", lambda c: _aleph(c).update(responses=None)),
    "an answer null": ("validate", "responses/200", lambda c: _aleph(c)["responses"].update({"200": None})),
    "a status in lower case": ("guard", "a status such as", lambda c: _aleph(c)["responses"].update({"4xx": {"description": "x"}})),
    "a loop in a request": ("slice", "contains itself", _all(_components("schemas", A={"properties": {"a": _ref("A")}}), _new(_ref("A")))),
    "a reference to itself": ("slice", "contains itself", _all(_components("schemas", A=_ref("A")), _new(_ref("A")))),
    "two references to each other": ("slice", "contains itself", _all(_components("schemas", A=_ref("B"), B=_ref("A")), _new(_ref("A")))),
    "a parameter that refers to itself": ("slice", "refers to itself", _all(_components("parameters", A=_ref("A", "parameters")), lambda c: c["paths"]["/jobs"]["get"]["parameters"].append(_ref("A", "parameters")))),
    "a reference to another file": ("guard", "does not stay inside", _new({"$ref": "other.json#/x"})),
    "a reference to nothing": ("slice", "properties/new", _new(_ref("Nothing"))),
    "a reference into the paths": ("guard", "components", _new({"$ref": "#/paths/~1jobs/get/parameters/0/schema"})),
    "components null": ("validate", "components", lambda c: c.update(components=None)),
    "no components": ("guard", "securitySchemes", lambda c: c.pop("components")),
    "schemas null": ("slice", "points to nothing", _all(lambda c: c["components"].update(schemas=None), _new(_ref("A")))),
    "two shapes for one name": ("normalise", "two shapes want the name", _all(_new({"type": "object", "properties": {"a": TEXT}}), lambda c: body_of(c)["properties"].update({"n-ew": {"type": "object", "properties": {"b": TEXT}}}), lambda c: body_of(c)["properties"].update({"New": {"type": "object", "properties": {"b": TEXT}}}))),
    "a stale correction": ("normalise", "upload_asset/body/required expects False", lambda c: c["paths"]["/assets"]["post"]["requestBody"].update(required=True)),
    "a correction of nothing": ("normalise", "query.cursor", lambda c: c["paths"]["/jobs"]["get"]["parameters"].pop(0)),
    "an empty enum": ("guard", "nothing in it", _new({"type": "string", "enum": []})),
    "an enum that is a text": ("validate", "an array belongs", _new({"enum": "a"})),
    "an enum of objects": ("guard", "neither text nor number", _new({"enum": [{"a": 1}]})),
    "ten thousand values": ("guard", "more than 1000 values", _new({"enum": [f"v{n}" for n in range(10_000)]})),
    "a thousand properties": ("guard", "more than 500", lambda c: body_of(c)["properties"].update({f"p{n}": TEXT for n in range(1_000)})),
    "a property that is required by itself": ("validate", "new/required", _new({"type": "string", "required": True})),
    "an unknown property is required": ("classify", "body.nope must be given", lambda c: body_of(c)["required"].append("nope")),
    "a new property is required": ("classify", "body.new must be given", _all(_new(TEXT), lambda c: body_of(c)["required"].append("new"))),
    "no types": ("guard", "nothing in it", _new({"type": []})),
    "a type of another language": ("guard", "new/type: 'file'", _new({"type": "file"})),
    "a type null": ("guard", "new/type: None", _new({"type": None})),
    "a bound as OpenAPI 3.0 has it": ("validate", "exclusiveMinimum", _new({"type": "number", "minimum": 1, "exclusiveMinimum": True})),
    "a limit in words": ("validate", "maxLength", _new({"type": "string", "maxLength": "5"})),
    "a limit below nothing": ("validate", "maxLength", _new({"type": "string", "maxLength": -5})),
    "a step of nothing": ("validate", "multipleOf", _new({"type": "number", "multipleOf": 0})),
    "a property null": ("validate", "properties/new", _new(None)),
    "items of the old kind": ("validate", "new/items", _new({"type": "array", "items": [TEXT]})),
    "allOf null": ("validate", "new/allOf", _new({"allOf": None})),
    "parts that contradict": ("normalise", "create_aleph_job.body: allOf says two things about pattern", _new({"allOf": [{"pattern": "^a"}, {"pattern": "b$"}]})),
    "one and some of": ("normalise", "create_aleph_job.body: a schema with both", _new({"anyOf": [TEXT, {"type": "integer"}], "oneOf": [TEXT]})),
    "lists in lists in lists": ("guard", "deeper than", _new(json.loads('{"type": "array", "items": ' * 20 + "{}" + "}" * 20))),
    "a special name": ("guard", "special name", lambda c: body_of(c)["properties"].update({"__dict": TEXT})),
    "a name in another script": ("guard", "a plain property name", lambda c: body_of(c)["properties"].update({"gr\u00f6\u00dfe": TEXT})),
    "no prompt": ("classify", "no longer takes prompt", lambda c: body_of(c)["properties"].pop("prompt")),
    "a prompt that is a number": ("emit", "has no text property 'prompt'", lambda c: body_of(c)["properties"].update(prompt={"type": "integer"})),
    "no body": ("normalise", "create_aleph_job/body/required", lambda c: _aleph(c).pop("requestBody")),
    "a body without content": ("slice", "requestBody has no content", lambda c: _aleph(c).update(requestBody={})),
    "a body that is a form": ("guard", "media type", lambda c: _aleph(c)["requestBody"].update(content={"application/x-www-form-urlencoded": {"schema": body_of(c)}})),
    "a body that is a list": ("classify", "no longer takes", lambda c: _aleph(c)["requestBody"]["content"]["application/json"].update(schema={"type": "array"})),
    "no security": ("guard", "security", lambda c: c.pop("security")),
    "no servers": ("guard", "servers", lambda c: c.pop("servers")),
    "another server": ("guard", "servers", lambda c: c.update(servers=[{"url": "https://api.krea.ai/"}])),
    "an operation without security": ("guard", "security of its own", lambda c: _aleph(c).update(security=[])),
    "a null character": ("guard", "description: the character U+0000", lambda c: _aleph(c).update(description="a\0b")),
    "a tag that is no text": ("validate", "tags", lambda c: _aleph(c).update(tags=[None])),
}  # fmt: skip


@pytest.mark.parametrize(("step", "words", "change"), REFUSED.values(), ids=REFUSED.keys())
def test_a_careless_document_gets_one_clear_message(
    step: str, words: str, change: Change, rules: Rules
) -> None:
    """What cannot be followed is refused by the step whose business it is, with its place."""
    with pytest.raises(StepError) as caught:
        emitted(published(_written(change), rules), rules)
    assert caught.value.step == step, str(caught.value)
    assert words in str(caught.value)
    assert "Error:" not in str(caught.value), "the words are ours"
    assert caught.value.exit_code == EXIT_CODES[step]


FOLLOWED: dict[str, tuple[str, Change]] = {
    "a loop in an answer": ("", _all(_components("schemas", A={"properties": {"a": _ref("A")}}), _told(_ref("A")))),
    "words beside a reference": ("", _all(_components("schemas", A={**TEXT, "maxLength": 5}), _new({**_ref("A"), "maxLength": 3, "description": "x"}))),
    "a body elsewhere": ("", lambda c: (c["components"].update(requestBodies={"A": _aleph(c)["requestBody"]}), _aleph(c).update(requestBody=_ref("A", "requestBodies")))),
    "values of every kind": ("", _new({"enum": ["a", 1, None, True, 1.5]})),
    "a value twice": ("", _new({"enum": ["a", "a"]})),
    "an empty value": ("", _new({"enum": ["", "a"]})),
    "a required name twice": ("", lambda c: body_of(c)["required"].append("prompt")),
    "nothing fits": ("no value fits: minLength is more than maxLength", _new({**TEXT, "minLength": 9, "maxLength": 3})),
    "a type twice": ("", _new({"type": ["string", "string"]})),
    "closed parts": ("'additionalProperties' is checked for all parts", _new({"allOf": [{"type": "object", "properties": {"a": TEXT}, "additionalProperties": False}, {"type": "object", "properties": {"b": TEXT}}]})),
    "a discriminator": ("'discriminator' is not checked here", _new({"oneOf": [TEXT, {"type": "integer"}], "discriminator": {"propertyName": "x"}})),
    "a parameter of the path, said again": ("", lambda c: c["paths"]["/jobs"].update(parameters=[{"name": "limit", "in": "query", "schema": TEXT}])),
    "a header in other capitals": ("", lambda c: _aleph(c)["parameters"][0].update(name="x-webhook-url")),
    "a default that is no value": ("", lambda c: body_of(c)["properties"]["ratio"].update(default="nope")),
    "a default of another type": ("", lambda c: body_of(c)["properties"]["seed"].update(default="x")),
    "a default that is an object": ("", _new({"type": "object", "properties": {"a": TEXT}, "default": {"a": "b"}})),
    "nullable": ("'nullable' is not checked here", _new({**TEXT, "nullable": True})),
    "read-only": ("it is read-only", _new({**TEXT, "readOnly": True})),
    "a pattern of another language": ("the pattern", _new({**TEXT, "pattern": r"\p{L}"})),
    "a limit of a schema that says no more": ("", _new({"maxLength": 3})),
    "four hundred properties": ("", lambda c: body_of(c)["properties"].update({f"p{n}": TEXT for n in range(400)})),
    "nine hundred values": ("", _new({"enum": [f"v{n}" for n in range(900)]})),
    "an untyped body": ("", lambda c: body_of(c).pop("type")),
    "a body in parts": ("", lambda c: _aleph(c)["requestBody"]["content"]["application/json"].update(schema={"allOf": [body_of(c)]})),
    "objects in objects": ("", _new(json.loads('{"type": "object", "properties": {"a": ' * 15 + "{}" + "}}" * 15))),
    "a parameter written otherwise": ("'content' is not followed here", _parameter(name="x", content={"application/json": {"schema": TEXT}}, **{"in": "query"})),
    **{
        f"a property called {name}": ("", lambda c, name=name: [schema["properties"].update({name: TEXT}) for schema in (body_of(c), job_of(c))])
        for name in "class None import self cls id type eval print dict str to_dict additional_properties output video Any T UNSET field items _private camelCase $x @type 2d a-b x.y cast d match async property annotations".split()
    },
}  # fmt: skip


@pytest.mark.parametrize(("note", "change"), FOLLOWED.values(), ids=FOLLOWED.keys())
def test_what_is_careless_and_clear_is_followed(note: str, change: Change, rules: Rules) -> None:
    """What can only mean one thing is followed; what is lost on the way is said."""
    modules, said = emitted(published(_written(change), rules), rules)
    for name, source in modules.items():
        audit_source(source.encode(), name)
    assert any(note in line for line in said) or not note, said
