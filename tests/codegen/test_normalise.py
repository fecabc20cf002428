"""From a published description to named, unified, loosened models."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.emit_answers import emit_answers
from codegen.emit_constraints import emit_constraints
from codegen.emit_operations import emit_operations
from codegen.emit_options import emit_options
from codegen.normalise import normalise
from codegen.notes import notes
from codegen.unify import upper_bound
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.respell import respell

from .conftest import ALEPH, CONTRACT, ROOT, body_of, job_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from krea_aleph.specdiff.rules import Rules


def everything(contract: dict[str, Any], rules: Rules) -> str:
    """Write down all that decides the generated files."""
    normalised = normalise(contract, rules)
    return "\n".join(
        [
            json.dumps(normalised.document, indent=1),
            emit_options(normalised.strict, rules),
            emit_constraints(normalised.operations, normalised.strict, rules),
            emit_operations(normalised.operations, retired={}, deprecated={}),
            emit_answers(normalised.strict),
        ]
    )


class Respeller:
    """Says the same in other words, chosen at random."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.components: dict[str, Any] = {}

    def contract(self, contract: dict[str, Any]) -> dict[str, Any]:
        """Respell every schema, reorder every object, add what we do not read."""
        result = self.node(copy.deepcopy(contract))
        result["components"]["schemas"] = self.components
        result["paths"]["/other"] = {"get": {"responses": {"200": {"description": "x"}}}}
        result["tags"] = [{"name": "Other"}]
        return self.shuffled(result)

    def node(self, node: Any) -> Any:
        """Respell whatever is below a node."""
        if isinstance(node, list):
            return [self.node(child) for child in node]
        if not isinstance(node, dict):
            return node
        result = {key: self.node(child) for key, child in node.items() if key != "schema"}
        if "schema" in node:
            result["schema"] = self.schema(node["schema"])
        return self.shuffled(result)

    def schema(self, schema: dict[str, Any]) -> Any:
        """Respell a schema and all below it."""
        if not schema:
            return self.random.choice([{}, True])
        result = dict(schema)
        for key in ("items",):
            if key in result:
                result[key] = self.schema(result[key])
        if "properties" in result:
            properties = result["properties"].items()
            result["properties"] = self.shuffled({k: self.schema(v) for k, v in properties})
            if self.random.random() < 0.3:
                del result["type"]
        if "anyOf" in result:
            parts = [self.schema(part) for part in result.pop("anyOf")]
            self.random.shuffle(parts)
            result[self.random.choice(["anyOf", "oneOf"])] = parts
        for key in ("required", "enum"):
            if key in result:
                self.random.shuffle(result[key])
        return self.elsewhere(self.shuffled({**self.spelled(result), "x-krea-extra": True}))

    def spelled(self, schema: dict[str, Any]) -> dict[str, Any]:  # noqa: PLR0911 - a table
        """Say one schema in another of its forms."""
        choice = self.random.random()
        if isinstance(schema.get("type"), list):
            rest = {key: value for key, value in schema.items() if key != "type"}
            if choice < 0.7:
                parts = [{"type": name, **rest} for name in schema["type"] if name != "null"]
                return {"anyOf": [{"type": "null"}, *parts]}
            return {"type": list(reversed(schema["type"])), **rest}
        if "const" in schema and choice < 0.7:
            rest = {key: value for key, value in schema.items() if key != "const"}
            return {**rest, "enum": [schema["const"]]}
        if "enum" in schema and choice < 0.7:
            rest = {key: value for key, value in schema.items() if key not in {"enum", "type"}}
            return {**rest, "anyOf": [{"type": "string", "const": word} for word in schema["enum"]]}
        if "maximum" in schema:
            return {**schema, "maximum": float(schema["maximum"])}
        if isinstance(schema.get("type"), str) and choice < 0.3:
            return {**schema, "type": [schema["type"]]}
        return {"allOf": [schema]} if choice > 0.9 else schema

    def elsewhere(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Now and then put a schema among the components and refer to it."""
        if self.random.random() < 0.7:
            return schema
        name = f"C{len(self.components)}"
        self.components[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}

    def shuffled(self, node: dict[str, Any]) -> dict[str, Any]:
        """Put the keys in another order."""
        keys = list(node)
        self.random.shuffle(keys)
        return {key: node[key] for key in keys}


@given(seed=st.integers(0, 2**32))
def test_a_respelled_contract_gives_the_same_files(seed: int, rules: Rules) -> None:
    """Inline or referenced, list or choice, const or one-value enum, any order: no difference."""
    respelled = Respeller(seed).contract(CONTRACT)
    assert everything(respelled, rules) == everything(CONTRACT, rules)


SAME = [
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": ["null", "string"]}),
    ({"oneOf": [{"const": "a"}, {"const": "b"}]}, {"type": "string", "enum": ["b", "a"]}),
    ({"enum": ["a"]}, {"type": "string", "const": "a"}),
    ({"enum": ["a", None]}, {"anyOf": [{"const": "a"}, {"type": "null"}]}),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, {"type": ["string", "integer"]}),
    ({"allOf": [{"type": "string"}], "maxLength": 5}, {"type": "string", "maxLength": 5}),
    ({"allOf": [{"maxLength": 9}, {"maxLength": 5}]}, {"maxLength": 5}),
    ({"minimum": 0.0}, {"minimum": 0}),
    ({"type": "object", "additionalProperties": True}, {"type": "object"}),
    ({"properties": {"b": {}, "a": {}}}, {"type": "object", "properties": {"a": {}, "b": {}}}),
    ({"required": []}, {}),
    (
        {"anyOf": [{"anyOf": [{"type": "string", "minLength": 1}, {"type": "array"}]}]},
        {"anyOf": [{"type": "array"}, {"type": "string", "minLength": 1}]},
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_meaning_become_one(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Each of these pairs says the same, so it is spelled the same afterwards, and stays so."""
    assert respell(one) == respell(other)
    assert respell(respell(one)) == respell(one)


def test_contradictions_stop() -> None:
    """An allOf that cannot hold is not merged into something that can."""
    with pytest.raises(StepError, match="allOf says two things about type"):
        respell({"allOf": [{"type": "string"}, {"type": "object"}]})


BOUNDS = [
    ({"type": "null"}, {"type": "string"}, {"type": ["string", "null"]}),
    ({"type": "string", "enum": ["a"]}, {"type": "string", "enum": ["b"]},
     {"type": "string", "enum": ["a", "b"]}),
    ({"type": "string", "enum": ["a"]}, {"type": "string"}, {"type": "string"}),
    ({"type": "string", "format": "uri"}, {"type": "string"}, {"type": "string"}),
    ({"type": "string"}, {"type": "number"}, {"type": ["number", "string"]}),
    ({"type": "object", "properties": {"a": {}}, "required": ["a"]},
     {"type": "object", "properties": {"b": {}}, "required": ["b"]},
     {"type": "object", "properties": {"a": {}, "b": {}}}),
    ({"type": "object", "properties": {"a": {"type": "null"}}},
     {"type": "object", "properties": {"a": {"type": "integer"}}},
     {"type": "object", "properties": {"a": {"type": ["integer", "null"]}}}),
    ({"type": "array", "items": {"type": "string"}}, {"type": "array"},
     {"type": "array", "items": {}}),
    ({}, {"type": "string"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right", "bound"), BOUNDS)
def test_upper_bounds(left: dict[str, Any], right: dict[str, Any], bound: dict[str, Any]) -> None:
    """The least upper bound fits both shapes, whichever comes first."""
    assert upper_bound(respell(left), respell(right)) == bound
    assert upper_bound(respell(right), respell(left)) == bound


def test_the_model_names(contract: dict[str, Any], rules: Rules) -> None:
    """The models are the thirteen that people see, and no more."""
    assert list(normalise(contract, rules).document["components"]["schemas"]) == [
        "AlephRatio", "AlephReference", "AlephRequest", "Asset", "AssetDeleted", "AssetPage",
        "AssetUpload", "ErrorBody", "Job", "JobError", "JobPage", "JobResult", "JobStatus",
    ]  # fmt: skip


def test_answers_require_only_their_identity(contract: dict[str, Any], rules: Rules) -> None:
    """A job needs its id and an asset its id; nothing else in any answer is required."""
    normalised = normalise(contract, rules)
    models = normalised.document["components"]["schemas"]
    required = {
        name: models[name]["required"]
        for name in normalised.strict.responses.keys() & models.keys()
        if models[name].get("required")
    }
    assert required == {"Job": ["job_id"], "Asset": ["id"]}


def test_requests_keep_their_limits_and_send_no_defaults(
    contract: dict[str, Any], rules: Rules
) -> None:
    """What is sent is as strict as published, and only what the caller said is sent."""
    normalised = normalise(contract, rules)
    text = json.dumps(normalised.document)
    assert '"default":' not in text
    request = normalised.document["components"]["schemas"]["AlephRequest"]
    assert request["additionalProperties"] is False
    assert request["required"] == ["init_video", "prompt"]
    bodies = [
        operation["requestBody"]["required"]
        for item in normalised.document["paths"].values()
        for operation in item.values()
        if "requestBody" in operation
    ]
    assert bodies == [True, True]


def test_a_new_status_in_one_place_is_known_everywhere(
    contract: dict[str, Any], rules: Rules
) -> None:
    """Upstream edits to any one of the unified shapes flow through."""
    job_of(contract)["properties"]["status"]["enum"].append("paused")
    models = normalise(contract, rules).document["components"]["schemas"]
    assert "paused" in models["JobStatus"]["enum"]


def test_a_new_object_gets_a_name_after_its_place(contract: dict[str, Any], rules: Rules) -> None:
    """An inline object that no rule names is called after its parent and property."""
    usage = {"type": "object", "properties": {"cu": {"type": "number"}}}
    job_of(contract)["properties"]["usage"] = usage
    body_of(contract)["properties"]["camera"] = copy.deepcopy(usage)
    models = normalise(contract, rules).document["components"]["schemas"]
    assert {"JobUsage", "AlephCamera"} <= models.keys()


def test_what_a_human_should_look_at_is_noted(contract: dict[str, Any], rules: Rules) -> None:
    """Derived names and rules that match nothing are told, and a clean contract is quiet."""
    assert notes(normalise(contract, rules), rules) == ()
    del body_of(contract)["properties"]["references"]
    body_of(contract)["properties"]["style"] = {"enum": ["a", "b"]}
    assert notes(normalise(contract, rules), rules) == (
        "AlephStyle is named after its place: name it in rules.toml if it deserves better",
        (
            "the site create_aleph_job.body.references[] of AlephReference in rules.toml"
            " matches nothing"
        ),
        "AlephRequest.references in rules.toml matches nothing",
        "AlephReference.type in rules.toml matches nothing",
        "AlephReference.uri in rules.toml matches nothing",
    )


def test_an_option_that_is_spelt_otherwise_is_noted(contract: dict[str, Any], rules: Rules) -> None:
    """Who regenerates learns under which name users will find a field whose own is taken."""
    body_of(contract)["properties"]["output"] = {"type": "string"}
    (note,) = notes(normalise(contract, rules), rules)
    assert note.startswith("the option for output is spelt output_")


CLASHES: dict[str, Callable[[dict[str, Any]], object]] = {
    "twins in case": lambda c: job_of(c)["properties"].update(
        Status={"type": "object", "properties": {"a": {"type": "string"}}}
    ),
    "sent and received": lambda c: c["paths"]["/jobs/{id}"]["delete"]["responses"].update(
        {"200": {"description": "", "content": {"application/json": {"schema": body_of(c)}}}}
    ),
}


def test_two_shapes_cannot_share_a_name(contract: dict[str, Any], rules: Rules) -> None:
    """When two different shapes want one name, a human must choose."""
    CLASHES["twins in case"](contract)
    with pytest.raises(StepError, match=r"two shapes want the name JobStatus.*rules\.toml"):
        normalise(contract, rules)


def test_a_shape_is_sent_or_received(contract: dict[str, Any], rules: Rules) -> None:
    """One name for what is strict and for what is loose stops for a human."""
    CLASHES["sent and received"](contract)
    request = replace(
        rules.models["AlephRequest"], sites=("create_aleph_job.body", "delete_job.200")
    )
    changed = replace(rules, models={**rules.models, "AlephRequest": request})
    with pytest.raises(StepError, match="both sent and received"):
        normalise(contract, changed)


@pytest.mark.parametrize("index", range(4))
def test_a_stale_correction_stops(index: int, contract: dict[str, Any], rules: Rules) -> None:
    """Each correction states what it expects and stops when upstream no longer says so."""
    assert len(rules.corrections) == 4
    correction = rules.corrections[index]
    name, kind = correction.at.split("/")[:2]
    rule = rules.operations[name]
    operation = contract["paths"][rule.path][rule.method]
    if kind == "body":
        operation["requestBody"]["required"] = True
    else:
        cursor = next(p for p in operation["parameters"] if p["name"] == "cursor")
        del cursor["schema"]["format"]
    with pytest.raises(StepError, match="Upstream may have fixed it") as caught:
        normalise(contract, rules)
    assert correction.at in str(caught.value)
    assert correction.because in str(caught.value)


def test_a_missing_operation_is_named(contract: dict[str, Any], rules: Rules) -> None:
    """An operation that is gone stops the slice and says which."""
    del contract["paths"][ALEPH]
    with pytest.raises(StepError, match=r"POST .*/aleph \(create_aleph_job\)") as caught:
        normalise(contract, rules)
    assert caught.value.step == "slice"


def test_an_answer_may_contain_itself(contract: dict[str, Any], rules: Rules) -> None:
    """A recursive answer is kept as it was sent from where it repeats."""
    tree = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"}}}
    contract["components"]["schemas"] = {"Tree": tree}
    job_of(contract)["properties"]["tree"] = {"$ref": "#/components/schemas/Tree"}
    models = normalise(contract, rules).document["components"]["schemas"]
    assert models["JobTree"]["properties"]["child"] == {}


def test_a_request_cannot_contain_itself(contract: dict[str, Any], rules: Rules) -> None:
    """A recursive request is refused by name."""
    tree = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"}}}
    contract["components"]["schemas"] = {"Tree": tree}
    body_of(contract)["properties"]["tree"] = {"$ref": "#/components/schemas/Tree"}
    with pytest.raises(StepError, match="Tree contains itself"):
        normalise(contract, rules)


def test_error_answers_are_one_model(contract: dict[str, Any], rules: Rules) -> None:
    """However the error answers differ, they are read by the one ErrorBody."""
    responses = contract["paths"][ALEPH]["post"]["responses"]
    gone = {"type": "object", "properties": {"error": {"type": "object"}, "sunset_date": {}}}
    responses["410"] = {"description": "", "content": {"application/json": {"schema": gone}}}
    document = normalise(contract, rules).document
    body = document["components"]["schemas"]["ErrorBody"]
    assert body["properties"].keys() == {"error", "sunset_date"}
    assert body["properties"]["error"].keys() <= {"description"}, "of two kinds, so as sent"


def test_prose_stays_in_its_docstring(contract: dict[str, Any], rules: Rules) -> None:
    """Quotes, backslashes and links in a description are neutralised before any template."""
    prompt = body_of(contract)["properties"]["prompt"]
    prompt["description"] = 'See [docs](https://x.example) """ \\" {{ x }}\n\n\n   Second  part'
    found = normalise(contract, rules).document["components"]["schemas"]["AlephRequest"]
    words = found["properties"]["prompt"]["description"]
    assert words == "See docs ''' /' {{ x }}\n\nSecond part. At most 1000 characters."


def test_the_committed_contract_is_as_published() -> None:
    """Nothing is named, unified or corrected in openapi.json: that is the pipeline's work."""
    text = (ROOT / "openapi.json").read_text(encoding="utf-8")
    assert "operationId" not in text
    assert "$ref" not in text
    assert "required" not in CONTRACT["paths"][ALEPH]["post"]["requestBody"]
    assert text == json.dumps(CONTRACT, indent=2, ensure_ascii=False) + "\n"
