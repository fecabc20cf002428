"""What a change of the contract means for users: one change of every kind, and its verdict."""

# ruff: noqa: E501 - one case a line: they are tables

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from codegen.validate import validate_shape
from krea_aleph.specdiff.changes import Severity, worst
from krea_aleph.specdiff.diff import check_document, diff_documents
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.rules import Rules
from krea_aleph.specdiff.severity import Reads, load_reads

from .conftest import ALEPH, CONTRACT, ROOT, body_of, job_of
from .test_normalise import Respeller

Contract = dict[str, Any]


@pytest.fixture(scope="session")
def reads(rules: Rules) -> Reads:
    """Give what the facade reads."""
    return load_reads(ROOT / "scripts/codegen/reads.toml", rules)


def field(name: str) -> Callable[[Contract], dict[str, Any]]:
    """Return a way to a property of the aleph request."""
    return lambda c: body_of(c)["properties"][name]


def operation(contract: Contract, path: str = ALEPH, method: str = "post") -> dict[str, Any]:
    """Return an operation."""
    found: dict[str, Any] = contract["paths"][path][method]
    return found


def answer(contract: Contract, path: str, method: str, status: str = "200") -> dict[str, Any]:
    """Return the schema of an answer."""
    content = operation(contract, path, method)["responses"][status]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema


def parameter(contract: Contract, path: str, method: str, name: str) -> dict[str, Any]:
    """Return a parameter."""
    found: dict[str, Any] = next(
        one for one in operation(contract, path, method)["parameters"] if one["name"] == name
    )
    return found


def put(find: Callable[[Contract], dict[str, Any]], **changes: Any) -> Callable[[Contract], None]:
    """Return a mutation that sets keys, or takes away those that are None."""

    def mutate(contract: Contract) -> None:
        node = find(contract)
        for key, value in changes.items():
            node.pop(key, None)
            if value is not None:
                node[key] = value

    return mutate


def sent(name: str, **changes: Any) -> Callable[[Contract], None]:
    """Return a mutation of a property of the aleph request."""
    return put(field(name), **changes)


def got(name: str, **changes: Any) -> Callable[[Contract], None]:
    """Return a mutation of a property of the job."""
    return put(lambda c: job_of(c)["properties"][name], **changes)


def uri(contract: Contract) -> dict[str, Any]:
    """Return the deepest property of the request."""
    found: dict[str, Any] = field("references")(contract)["items"]["properties"]["uri"]
    return found


def body(contract: Contract) -> dict[str, Any]:
    """Return the request body of the aleph operation."""
    found: dict[str, Any] = operation(contract)["requestBody"]
    return found


def responses(contract: Contract) -> dict[str, Any]:
    """Return the answers of the aleph operation."""
    found: dict[str, Any] = operation(contract)["responses"]
    return found


def limit(contract: Contract) -> dict[str, Any]:
    """Return the parameter `limit` of the list of jobs."""
    return parameter(contract, "/jobs", "get", "limit")


def move(source: Callable[[Contract], dict[str, Any]], old: str, new: str) -> Any:
    """Return a mutation that renames a key."""

    def mutate(contract: Contract) -> None:
        node = source(contract)
        node[new] = node.pop(old)

    return mutate


def required(name: str, *, on: bool) -> Callable[[Contract], None]:
    """Return a mutation of what the aleph request requires."""

    def mutate(contract: Contract) -> None:
        listed = body_of(contract)["required"]
        if on:
            listed.append(name)
        else:
            listed.remove(name)

    return mutate


def all_of(*steps: Callable[[Contract], object]) -> Callable[[Contract], None]:
    """Return a mutation of several steps."""

    def mutate(contract: Contract) -> None:
        for one in steps:
            one(contract)

    return mutate


def properties(contract: Contract) -> dict[str, Any]:
    """Return the properties of the aleph request."""
    found: dict[str, Any] = body_of(contract)["properties"]
    return found


def job_properties(contract: Contract) -> dict[str, Any]:
    """Return the properties of the job."""
    found: dict[str, Any] = job_of(contract)["properties"]
    return found


def without(node: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return a copy without these keys."""
    return {key: value for key, value in node.items() if key not in keys}


RATIOS = CONTRACT["paths"][ALEPH]["post"]["requestBody"]["content"]["application/json"]["schema"][
    "properties"
]["ratio"]["enum"]
STATUSES = job_of(CONTRACT)["properties"]["status"]["enum"]
TEXT = {"type": "string"}
ALIAS = [{"from": "initVideo", "to": "init_video", "sunset_date": "2027-01-01"}]
ALIASES = "x-krea-deprecated-field-aliases"

REQUEST: dict[str, tuple[str, Callable[[Contract], object]]] = {
    # Properties.
    "a new optional field": ("feature", put(properties, camera=TEXT)),
    "a new required field": ("breaking", all_of(put(properties, camera=TEXT), required("camera", on=True))),
    "a new optional field deep inside": (
        "feature", lambda c: field("references")(c)["items"]["properties"].update(weight={"type": "number"})),
    "a new required field deep inside": (
        "breaking", lambda c: field("references")(c)["items"]["required"].append("weight")),
    "a field removed": ("breaking", put(properties, seed=None)),
    "a required field removed": ("breaking", all_of(put(properties, prompt=None), required("prompt", on=False))),
    "a field removed where others pass unseen": (
        "breaking", lambda c: c["paths"]["/assets"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"].pop("description")),
    "a field renamed": ("breaking", move(properties, "seed", "random_seed")),
    "a field becomes required": ("breaking", required("seed", on=True)),
    "a field becomes optional": ("feature", required("prompt", on=False)),
    # Types.
    "number to integer": ("breaking", sent("seed", type="integer")),
    "number or text": ("feature", sent("seed", type=["number", "string"])),
    "text instead of a number": ("breaking", sent("seed", type="string")),
    "null allowed": ("feature", sent("seed", type=["number", "null"])),
    "any type": ("feature", sent("seed", type=None)),
    "an array or its one item": (
        "feature", lambda c: properties(c).update(references={"anyOf": [field("references")(c), copy.deepcopy(field("references")(c)["items"])]})),
    "a second kind of reference": (
        "feature", lambda c: field("references")(c).update(items={"oneOf": [field("references")(c)["items"], {"type": "object", "properties": {"type": {"const": "video"}, "uri": TEXT}, "required": ["type", "uri"]}]})),
    "an overlapping choice": (
        "breaking", lambda c: properties(c).update(prompt={"oneOf": [{"type": "string", "maxLength": 1000}, {"type": "string", "maxLength": 5}]})),
    "an allOf that adds a limit": ("breaking", lambda c: properties(c).update(prompt={"allOf": [field("prompt")(c), {"minLength": 1}]})),
    "never": ("breaking", lambda c: properties(c).update(seed=False)),
    # Values.
    "a ratio more": ("feature", sent("ratio", enum=[*RATIOS, "1920:1080"])),
    "a ratio less": ("breaking", sent("ratio", enum=RATIOS[:-1])),
    "the default ratio less": ("breaking", sent("ratio", enum=RATIOS[1:])),
    "a ratio respelled": ("breaking", sent("ratio", enum=["16:9", *RATIOS[1:]])),
    "any ratio": ("feature", sent("ratio", enum=None)),
    "a list of prompts": ("breaking", sent("prompt", enum=["a", "b"])),
    "null among the ratios, and allowed": ("feature", sent("ratio", enum=[*RATIOS, None], type=["string", "null"])),
    "another const": ("breaking", lambda c: field("references")(c)["items"]["properties"]["type"].update(const="video")),
    "a const less": ("feature", lambda c: field("references")(c)["items"]["properties"]["type"].pop("const")),
    # Limits.
    "a shorter prompt": ("breaking", sent("prompt", maxLength=900)),
    "a longer prompt": ("feature", sent("prompt", maxLength=4096)),
    "a prompt without end": ("feature", sent("prompt", maxLength=None)),
    "no empty prompt": ("breaking", sent("prompt", minLength=1)),
    "an address with an end": ("breaking", put(uri, maxLength=1024)),
    "more references": ("feature", sent("references", maxItems=2)),
    "no references": ("breaking", sent("references", maxItems=0)),
    "at least one reference": ("breaking", sent("references", minItems=1)),
    "references must differ": ("breaking", sent("references", uniqueItems=True)),
    "a smaller seed": ("breaking", sent("seed", maximum=2**31 - 1)),
    "a larger seed": ("feature", sent("seed", maximum=2**53)),
    "a seed above 0": ("breaking", sent("seed", minimum=None, exclusiveMinimum=0)),
    "a negative seed": ("feature", sent("seed", minimum=-1)),
    "a seed below a limit": ("breaking", sent("seed", exclusiveMaximum=100)),
    "even seeds": ("breaking", sent("seed", multipleOf=2)),
    "a pattern": ("breaking", sent("prompt", pattern="^[a-z]")),
    "a format": ("breaking", sent("prompt", format="email")),
    "another format": ("breaking", put(uri, format="uuid")),
    "a wider format": ("feature", put(uri, format="uri-reference")),
    "no address any more": ("review", sent("init_video", format=None)),
    "at least three fields": ("breaking", put(body_of, minProperties=3)),
    "at most three fields": ("breaking", put(body_of, maxProperties=3)),
    "an open body": ("feature", put(body_of, additionalProperties=True)),
    "a body with further texts": ("feature", put(body_of, additionalProperties=TEXT)),
    "a closed reference": ("breaking", lambda c: field("references")(c)["items"].update(additionalProperties=False)),
    "not": ("breaking", sent("prompt", **{"not": {"const": "x"}})),
    "one field asks for another": ("breaking", put(body_of, dependentRequired={"seed": ["ratio"]})),
    "if and then": ("breaking", put(body_of, **{"if": {"required": ["seed"]}, "then": {"required": ["ratio"]}})),
    "names of a form": ("breaking", put(body_of, propertyNames={"maxLength": 10})),
    "fields by pattern": ("breaking", put(body_of, patternProperties={"^x_": TEXT})),
    "first item of its own": ("breaking", sent("references", prefixItems=[TEXT])),
    "something among the items": ("breaking", sent("references", contains={"type": "object"})),
    # What is said beside.
    "another default": ("review", sent("ratio", default="720:1280")),
    "no default": ("review", sent("ratio", default=None)),
    "a first default": ("review", sent("seed", default=0)),
    "a field deprecated": ("review", sent("seed", deprecated=True)),
    "read only": ("breaking", sent("seed", readOnly=True)),
    "write only": ("docs", sent("seed", writeOnly=True)),
    "a description": ("docs", sent("seed", description="Chance.")),
    "a title": ("docs", put(body_of, title="Aleph")),
    "examples": ("docs", sent("prompt", examples=["x"])),
    "an extension": ("docs", sent("prompt", **{"x-krea-visible-when": "always"})),
    "what goes with what": ("review", sent("ratio", **{"x-krea-dependent-enum": {"a": "b"}})),
    "an alias of a field": ("review", put(body_of, **{ALIASES: ALIAS})),
    "an unknown keyword": ("review", sent("prompt", nullable=True)),
    # Parameters.
    "a new optional header": ("feature", lambda c: operation(c)["parameters"].append({"in": "header", "name": "X-Priority", "schema": TEXT})),
    "a new required header": ("breaking", lambda c: operation(c)["parameters"].append({"in": "header", "name": "X-Org", "required": True, "schema": TEXT})),
    "a new required cookie": ("breaking", lambda c: operation(c)["parameters"].append({"in": "cookie", "name": "org", "required": True, "schema": TEXT})),
    "a new parameter of all methods": ("breaking", lambda c: c["paths"][ALEPH].update(parameters=[{"in": "query", "name": "org", "required": True, "schema": TEXT}])),
    "the header removed": ("breaking", lambda c: operation(c)["parameters"].clear()),
    "the header becomes a query": ("breaking", lambda c: operation(c)["parameters"][0].update({"in": "query"})),
    "the header renamed": ("breaking", lambda c: operation(c)["parameters"][0].update(name="X-Hook")),
    "the header required": ("breaking", lambda c: operation(c)["parameters"][0].update(required=True)),
    "a header in other letters": ("none", lambda c: operation(c)["parameters"][0].update(name="x-webhook-url")),
    "a smaller page": ("breaking", put(lambda c: limit(c)["schema"], maximum=100)),
    "a larger page": ("feature", put(lambda c: limit(c)["schema"], maximum=5000)),
    "any number of items": ("feature", put(lambda c: limit(c)["schema"], type="number")),
    "a parameter deprecated": ("review", put(limit, deprecated=True)),
    "a parameter described": ("docs", put(limit, description="So many.")),
    "a parameter written otherwise": ("breaking", put(limit, style="pipeDelimited")),
    "an id of a form": ("breaking", lambda c: parameter(c, "/jobs/{id}", "get", "id")["schema"].update(format="uuid")),
    "a status less to ask for": ("breaking", lambda c: parameter(c, "/jobs", "get", "status")["schema"].update(enum=STATUSES[1:])),
    "a placeholder renamed": (
        "docs", all_of(lambda c: parameter(c, "/jobs/{id}", "get", "id").update(name="job_id"), lambda c: parameter(c, "/jobs/{id}", "delete", "id").update(name="job_id"), move(lambda c: c["paths"], "/jobs/{id}", "/jobs/{job_id}"))),
    # Bodies.
    "a body that we always send is required": ("review", put(body, required=True)),
    "another media type too": ("feature", lambda c: body(c)["content"].update({"application/xml": {}})),
    "another media type only": ("breaking", move(lambda c: body(c)["content"], "application/json", "application/xml")),
    "a media type with parameters": ("none", move(lambda c: body(c)["content"], "application/json", "application/json; charset=utf-8")),
    "no body": ("breaking", lambda c: operation(c).pop("requestBody")),
    "a body to list jobs": ("feature", lambda c: operation(c, "/jobs", "get").update(requestBody={"content": {"application/json": {}}})),
    "a body needed to delete": ("breaking", lambda c: operation(c, "/jobs/{id}", "delete").update(requestBody={"required": True, "content": {"application/json": {}}})),
    "another example": ("docs", lambda c: body(c)["content"]["application/json"].update(example={})),
}  # fmt: skip

RESPONSE: dict[str, tuple[str, Callable[[Contract], object]]] = {
    "a new field": ("feature", put(job_properties, progress={"type": "number"})),
    "a new field that is always there": (
        "feature", all_of(put(job_properties, progress=TEXT), lambda c: job_of(c)["required"].append("progress"))),
    "a new status": ("review", got("status", enum=[*STATUSES, "paused"])),
    "a status less": ("review", got("status", enum=STATUSES[:-1])),
    "any status": ("review", got("status", enum=None)),
    "a status that is a number": ("breaking", got("status", type="integer", enum=None)),
    "the status may be missing": ("review", lambda c: job_of(c)["required"].remove("status")),
    "the status gone": ("breaking", put(job_properties, status=None)),
    "the id gone": ("breaking", put(job_properties, job_id=None)),
    "the id renamed": ("breaking", move(job_properties, "job_id", "id")),
    "the id may be missing": ("breaking", lambda c: job_of(c)["required"].remove("job_id")),
    "the id may be null": ("breaking", got("job_id", type=["string", "null"])),
    "the id a number": ("breaking", got("job_id", type="integer", format=None)),
    "the id or a number": ("breaking", got("job_id", type=["string", "integer"])),
    "the result gone": ("breaking", put(job_properties, result=None)),
    "the result may be null": ("feature", got("result", type=["object", "null"])),
    "the result a text": ("breaking", got("result", type="string", properties=None)),
    "the addresses gone": ("breaking", lambda c: job_properties(c)["result"]["properties"].pop("urls")),
    "the addresses a map": ("review", lambda c: job_properties(c)["result"]["properties"].update(urls={"type": "object", "additionalProperties": TEXT})),
    "a third form of address": ("review", lambda c: job_properties(c)["result"]["properties"]["urls"]["items"]["anyOf"].append({"type": "array", "items": TEXT})),
    "fewer forms of address": ("docs", lambda c: job_properties(c)["result"]["properties"]["urls"]["items"]["anyOf"].pop()),
    "a new kind of output": ("review", lambda c: job_properties(c)["result"]["properties"]["urls"]["items"]["anyOf"][1]["properties"]["type"]["enum"].append("mask")),
    "a field that nothing reads gone": ("review", lambda c: job_properties(c)["result"]["properties"].pop("style_id")),
    "a moment that may be missing": ("feature", lambda c: job_of(c)["required"].remove("created_at")),
    "a moment that is always there": ("docs", lambda c: job_of(c)["required"].append("completed_at")),
    "a moment never null": ("docs", got("completed_at", type="string")),
    "a moment that may be null": ("feature", got("created_at", type=["string", "null"])),
    "a moment in another form": ("review", got("created_at", format=None)),
    "a moment in seconds": ("review", got("created_at", type="number", format=None)),
    "an error that is a text": ("breaking", got("error", type="string", properties=None, required=None)),
    "a reason without a code": ("feature", lambda c: job_properties(c)["error"].pop("required")),
    "an address that is longer": ("docs", lambda c: job_properties(c)["result"]["properties"]["urls"].update(maxItems=5)),
    "a closed answer": ("docs", put(job_of, additionalProperties=False)),
    "a field deprecated": ("review", got("created_at", deprecated=True)),
    "a field write only": ("review", got("created_at", writeOnly=True)),
    "the id write only": ("breaking", got("job_id", writeOnly=True)),
    "a field read only": ("docs", got("created_at", readOnly=True)),
    "a field described": ("docs", got("created_at", description="When.")),
    "a default": ("docs", got("error", default={})),
    "no list of jobs": ("breaking", lambda c: answer(c, "/jobs", "get")["properties"].pop("items")),
    "no cursor": ("breaking", lambda c: answer(c, "/jobs", "get")["properties"].pop("next_cursor")),
    "another cursor": ("breaking", move(lambda c: answer(c, "/jobs", "get")["properties"], "next_cursor", "nextCursor")),
    "the id of a listed job gone": ("breaking", lambda c: answer(c, "/jobs", "get")["properties"]["items"]["items"]["properties"].pop("job_id")),
    "no address of an upload": ("breaking", lambda c: answer(c, "/assets", "post")["properties"].pop("image_url")),
    "an upload without width": ("review", lambda c: answer(c, "/assets", "post")["properties"].pop("width")),
    "no id of an asset": ("breaking", lambda c: answer(c, "/assets/{id}", "get")["properties"].pop("id")),
    "whole pixels": ("docs", lambda c: answer(c, "/assets/{id}", "get")["properties"]["width"].update(type=["integer", "null"])),
    "an answer that is a list": ("review", lambda c: operation(c, "/jobs/{id}", "get")["responses"]["200"]["content"]["application/json"].update(schema={"type": "array", "items": TEXT})),
    # Statuses, media types, headers.
    "a new error status": ("feature", lambda c: responses(c).update({"413": {"description": ""}})),
    "a range of error statuses": ("feature", lambda c: responses(c).update({"5XX": {"description": ""}})),
    "a default answer": ("feature", lambda c: responses(c).update(default={"description": ""})),
    "gone is declared": ("review", lambda c: responses(c).update({"410": {"description": ""}})),
    "a redirect": ("review", lambda c: responses(c).update({"307": {"description": ""}})),
    "accepted is declared": ("review", lambda c: responses(c).update({"202": responses(c)["200"]})),
    "created instead of 200": ("review", move(responses, "200", "201")),
    "no success": ("breaking", lambda c: responses(c).pop("200")),
    "an error status less": ("docs", lambda c: responses(c).pop("402")),
    "an error that is an object": ("review", lambda c: answer(c, ALEPH, "post", "400")["properties"].update(error={"type": "object"})),
    "an error without text": ("review", lambda c: answer(c, ALEPH, "post", "400")["properties"].pop("error")),
    "an error with a code": ("feature", lambda c: answer(c, ALEPH, "post", "400")["properties"].update(code=TEXT)),
    "an answer no longer JSON": ("breaking", move(lambda c: responses(c)["200"]["content"], "application/json", "text/plain")),
    "an answer also in XML": ("review", lambda c: responses(c)["200"]["content"].update({"application/xml": {}})),
    "an answer without a body": ("breaking", lambda c: responses(c)["200"].pop("content")),
    "a deleted job answers": ("feature", lambda c: operation(c, "/jobs/{id}", "delete")["responses"]["200"].update(content={"application/json": {}})),
    "a new header": ("feature", lambda c: responses(c)["429"].update(headers={"Retry-After": {"schema": {"type": "integer"}}})),
    "a header that announces the end": ("review", lambda c: responses(c)["200"].update(headers={"Sunset": {"schema": TEXT}})),
    "an answer described": ("docs", lambda c: responses(c)["200"].update(description="A job.")),
}  # fmt: skip

WHOLE: dict[str, tuple[str, Callable[[Contract], object]]] = {
    "aleph gone": ("breaking", lambda c: c["paths"].pop(ALEPH)),
    "delete gone": ("breaking", lambda c: c["paths"]["/jobs/{id}"].pop("delete")),
    "aleph moved": ("breaking", move(lambda c: c["paths"], ALEPH, "/generate/video/runway/aleph-2")),
    "another method": ("breaking", move(lambda c: c["paths"][ALEPH], "post", "put")),
    "aleph deprecated": ("review", lambda c: operation(c).update(deprecated=True)),
    "a summary": ("docs", lambda c: operation(c).update(summary="Aleph")),
    "an alias": ("review", lambda c: operation(c).update({ALIASES: ALIAS})),
    "an extension": ("docs", lambda c: operation(c).update({"x-krea-pricing": {"cu": 1}})),
    "an end": ("review", lambda c: operation(c).update({"x-krea-deprecation": {"sunset": "2027"}})),
    "a callback": ("review", lambda c: operation(c).update(callbacks={"done": {}})),
    "another server": ("review", lambda c: c["servers"][0].update(url="https://api2.krea.ai")),
    "a second server": ("review", lambda c: c["servers"].append({"url": "https://eu.krea.ai"})),
    "a server of its own": ("review", lambda c: operation(c).update(servers=[{"url": "https://x.krea.ai"}])),
    "no key": ("review", lambda c: c.pop("security")),
    "no key for one": ("review", lambda c: operation(c).update(security=[])),
    "another scheme": ("review", lambda c: c["components"]["securitySchemes"]["bearerAuth"].update(scheme="basic")),
    "another operation": ("none", lambda c: c["paths"].update({"/usage": {"get": {"responses": {"200": {"description": ""}}}}})),
    "other tags": ("none", lambda c: (operation(c).update(tags=["Krea"]), c["tags"].clear())),
    "another title": ("none", lambda c: c["info"].update(title="Krea", version="v2")),
    "an operation id": ("none", lambda c: operation(c).update(operationId="aleph")),
    "a limit that says nothing": ("none", sent("prompt", minLength=0)),
    "a scheme that nothing asks for": ("none", lambda c: c["components"]["securitySchemes"].update(key={"type": "apiKey", "in": "header", "name": "k"})),
}  # fmt: skip

CASES = {
    f"{side}: {name}": case
    for side, table in (("request", REQUEST), ("response", RESPONSE), ("whole", WHOLE))
    for name, case in table.items()
}


@pytest.mark.parametrize(("severity", "mutate"), CASES.values(), ids=CASES.keys())
def test_a_single_change_and_its_verdict(
    severity: str,
    mutate: Callable[[Contract], object],
    contract: Contract,
    rules: Rules,
    reads: Reads,
) -> None:
    """Each kind of change has its verdict, and is seen the other way round too."""
    mutate(contract)
    check_document(contract, rules, validate_shape)
    found = diff_documents(CONTRACT, contract, rules, reads)
    assert worst(found).name.lower() == severity, found
    for change in found:
        assert change.pointer.startswith("/")
        assert change.consequence.endswith(".")
    assert bool(diff_documents(contract, CONTRACT, rules, reads)) == bool(found)


def test_the_table_is_large() -> None:
    """There are enough kinds to believe in the class."""
    assert len(CASES) >= 150


class Plain(Respeller):
    """Respells without adding remarks, which are reported as such."""

    def elsewhere(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Leave out the remark that the respeller adds."""
        return super().elsewhere(without(schema, "x-krea-extra"))


@pytest.mark.parametrize("seed", range(20))
def test_another_spelling_is_no_change(seed: int, rules: Rules, reads: Reads) -> None:
    """References, unions, one-value enums and any order of keys mean the same."""
    respelled = Plain(seed).contract(json.loads(json.dumps(CONTRACT)))
    for one, other in ((CONTRACT, respelled), (respelled, CONTRACT)):
        found = [c for c in diff_documents(one, other, rules, reads) if c.severity > Severity.NONE]
        assert found == []


SAME: dict[str, tuple[Any, Any]] = {
    "null": ({"anyOf": [TEXT, {"type": "null"}]}, {"type": ["null", "string"]}),
    "numbers": ({"type": ["integer", "number"]}, {"type": "number"}),
    "above 0": ({"type": "integer", "exclusiveMinimum": 0}, {"type": "integer", "minimum": 1}),
    "consts": ({"oneOf": [{"const": "a"}, {"const": "b"}]}, {"type": "string", "enum": ["b", "a"]}),
    "allOf of one": ({"allOf": [TEXT]}, TEXT),
    "allOf split": ({"allOf": [{"type": "string"}, {"maxLength": 3}]}, {"type": "string", "maxLength": 3}),
    "tighter wins": ({"allOf": [{"maxLength": 9}, {"maxLength": 3}]}, {"maxLength": 3}),
    "booleans": ({"type": "boolean"}, {"enum": [True, False]}),
    "anything": (True, {}),
    "nothing": (False, {"not": {}}),
    "foreign limits": ({"type": "string", "maximum": 3}, TEXT),
    "open": ({"type": "object", "additionalProperties": True}, {"type": "object"}),
    "twice": ({"enum": ["a", "a"]}, {"const": "a"}),
    "values limited": ({"enum": ["a", "bbb"], "maxLength": 1}, {"const": "a"}),
    "two patterns": ({"allOf": [{"pattern": "a"}, {"pattern": "b"}]}, {"pattern": "b", "allOf": [{"pattern": "a"}]}),
}  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME.keys())
def test_one_meaning_has_many_spellings(one: Any, other: Any, rules: Rules, reads: Reads) -> None:
    """What says the same is no change, in either direction."""
    left, right = copy.deepcopy(CONTRACT), copy.deepcopy(CONTRACT)
    properties(left)["seed"], properties(right)["seed"] = one, other
    assert diff_documents(left, right, rules, reads) == []
    assert diff_documents(right, left, rules, reads) == []


def test_recursive_schemas_are_compared(rules: Rules, reads: Reads) -> None:
    """A schema that contains itself is compared to its end, and its depths are seen."""
    contracts = []
    for size in (5, 4):
        tree = {"type": "object", "properties": {
            "child": {"$ref": "#/components/schemas/Tree"}, "name": {"type": "string", "maxLength": size},
        }}  # fmt: skip
        contract = copy.deepcopy(CONTRACT)
        contract["components"]["schemas"] = {"Tree": tree}
        properties(contract)["tree"] = {"$ref": "#/components/schemas/Tree"}
        contracts.append(contract)
    found = diff_documents(*contracts, rules, reads)
    assert [change.severity for change in found] == [Severity.BREAKING]
    assert found[0].pointer.endswith("/properties/tree/properties/name/maxLength")
    assert diff_documents(contracts[0], copy.deepcopy(contracts[0]), rules, reads) == []


def test_a_moved_operation_is_named(contract: Contract, rules: Rules, reads: Reads) -> None:
    """Where the same request is asked for elsewhere, the report says so."""
    contract["paths"]["/generate/video/aleph"] = contract["paths"].pop(ALEPH)
    found = diff_documents(CONTRACT, contract, rules, reads)
    assert "POST /generate/video/aleph asks for the same" in found[0].consequence


BAD = [
    {"properties": []}, {"required": "prompt"}, {"enum": "a"}, {"maxLength": "9"}, {"minimum": True},
    {"anyOf": {}}, {"pattern": 1}, {"items": []}, {"type": "text"},
]  # fmt: skip


@pytest.mark.parametrize("schema", BAD, ids=str)
def test_a_schema_that_is_none_is_refused(
    schema: dict[str, Any], contract: Contract, rules: Rules, reads: Reads
) -> None:
    """A keyword of another form than JSON Schema gives it stops with its name."""
    properties(contract)["seed"] = schema
    with pytest.raises(StepError, match=rf"^(validate|guard): {next(iter(schema))}: "):
        diff_documents(CONTRACT, contract, rules, reads)
