"""What the guard lets near code, and what it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from codegen.normalise import normalise
from codegen.slice_schema import MAX_INSIDE, MAX_NESTED
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.texts import guard_references

from .conftest import ALEPH, body_of, job_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from krea_aleph.specdiff.rules import Rules

CODE = '__import__("os").system("id")'


def _aleph(contract: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = contract["paths"][ALEPH]["post"]
    return operation


def _property(name: str, schema: object) -> Callable[[dict[str, Any]], object]:
    return lambda contract: body_of(contract)["properties"].update({name: schema})


def _prompt(**words: object) -> Callable[[dict[str, Any]], object]:
    return lambda contract: body_of(contract)["properties"]["prompt"].update(words)


def _parameter(**words: object) -> Callable[[dict[str, Any]], object]:
    parameter = {"in": "query", "name": "x", "schema": {"type": "string"}, **words}
    return lambda contract: _aleph(contract)["parameters"].append(parameter)


def _path(path: str) -> Callable[[dict[str, Any]], object]:
    return lambda contract: contract["paths"].update({path: {}})


def _reference(target: str) -> Callable[[dict[str, Any]], object]:
    return _property("x", {"$ref": target})


HOSTILE: dict[str, Callable[[dict[str, Any]], object]] = {
    "name that ends a string": _property(f'x": {CODE}, "y', {"type": "string"}),
    "name with a quote": _property("x'y", {"type": "string"}),
    "name with a backslash": _property("x\\", {"type": "string"}),
    "name with a line end": _property("x\ny", {"type": "string"}),
    "name with braces": _property("{x}", {"type": "string"}),
    "template in a name": _property("{{ x }}", {"type": "string"}),
    "special name": _property("__class__", {"type": "string"}),
    "empty name": _property("", {"type": "string"}),
    "endless name": _property("x" * 101, {"type": "string"}),
    "name in bold letters": _property("\U0001d4f2\U0001d4f7", {"type": "string"}),
    "required name": lambda c: body_of(c)["required"].append(f'x"]{CODE}'),
    "enum value": _property("x", {"enum": [f"'] + [{CODE}] + ['"]}),
    "enum value with a line end": _property("x", {"enum": ["a\nimport os"]}),
    "enum value in bold letters": _property("x", {"enum": ["\U0001d4ee\U0001d4ff"]}),
    "enum value that is an object": _property("x", {"enum": [{"a": 1}]}),
    "const": _property("x", {"const": f'"{CODE}'}),
    "const in an answer": lambda c: job_of(c)["properties"].update(x={"const": f'"{CODE}'}),
    "type": _property("x", {"type": CODE}),
    "format": _property("x", {"type": "string", "format": f'uri"{CODE}'}),
    "header name": _parameter(**{"in": "header", "name": "X\r\nEvil: 1"}),
    "header of ours": _parameter(**{"in": "header", "name": "Authorization"}),
    "query name": _parameter(name=f'x"]{CODE}'),
    "a parameter called like the body": _parameter(name="body"),
    "a name of Python's insides": _property("f_globals", {"type": "string"}),
    "no values": _property("x", {"enum": []}),
    "no types": _property("x", {"type": []}),
    "place of a parameter": _parameter(**{"in": "body"}),
    "path parameter that is not in the path": _parameter(**{"in": "path"}),
    "path to another host": _path("https://evil.example/x"),
    "path with two slashes": _path("//evil.example/x"),
    "path that climbs": _path("/jobs/../admin"),
    "path with code": _path(f'/x"{CODE}'),
    "path with a query": _path("/x?y=z"),
    "path with a format field": _path("/jobs/{id.__class__}"),
    "path with one placeholder twice": _path("/jobs/{id}/{id}"),
    "path with a line end": _path("/jobs\n"),
    "status": lambda c: _aleph(c)["responses"].update({f"200 or {CODE}": {"description": ""}}),
    "media type of a body": lambda c: _aleph(c)["requestBody"].update(
        content={f'text/x"{CODE}': {"schema": {}}}
    ),
    "media type of an answer": lambda c: _aleph(c)["responses"].update(
        {"200": {"description": "", "content": {f'text/x"{CODE}': {"schema": {}}}}}
    ),
    "external reference": _reference("https://evil.example/schema.json"),
    "reference to a file": _reference("../../etc/passwd"),
    "reference outside components": _reference("#/paths"),
    "reference with code": _reference(f'#/components/schemas/x"{CODE}'),
    "reference that is no text": _property("x", {"$ref": 1}),
    "null character": _prompt(description="a\x00b"),
    "escape character": _prompt(description="a\x1b[31mb"),
    "bidirectional override": _prompt(description="a\u202eb"),
    "bidirectional isolate": _prompt(description="a\u2066b"),
    "line separator": _prompt(description="a\u2028b"),
    "byte order mark": _prompt(description="a\ufeffb"),
    "lone surrogate": _prompt(description="a\ud800b"),
    "invisible tag": _prompt(description="a\U000e0041b"),
    "hidden character in a summary": lambda c: _aleph(c).update(summary="x\u202e"),
    "hidden character in a default": _prompt(default="x\u202e"),
    "another server": lambda c: c.update(servers=[{"url": "https://evil.example"}]),
    "a second server": lambda c: c["servers"].append({"url": "https://evil.example"}),
    "no server": lambda c: c.pop("servers"),
    "a server for one operation": lambda c: _aleph(c).update(servers=[{"url": "https://evil"}]),
    "a server for one path": lambda c: c["paths"][ALEPH].update(servers=[{"url": "https://x"}]),
    "no security": lambda c: c.pop("security"),
    "optional security": lambda c: c["security"].append({}),
    "no security for one operation": lambda c: _aleph(c).update(security=[]),
    "another scheme": lambda c: c["components"]["securitySchemes"].update(
        bearerAuth={"type": "apiKey", "in": "query", "name": "key"}
    ),
    "OpenAPI 3.0": lambda c: c.update(openapi="3.0.3"),
    "OpenAPI 3.2": lambda c: c.update(openapi="3.2.0"),
    "no version": lambda c: c.pop("openapi"),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_the_guard_refuses(
    change: Callable[[dict[str, Any]], object], contract: dict[str, Any], rules: Rules
) -> None:
    """What could end a string, lead elsewhere or hide something never reaches the generator."""
    change(contract)
    with pytest.raises(StepError) as caught:
        normalise(contract, rules)
    assert caught.value.step == "guard"
    assert str(caught.value).isascii(), "what is hostile is not printed as it is"


FINE: dict[str, Callable[[dict[str, Any]], object]] = {
    "pattern that is none": _property("x", {"type": "string", "pattern": "(" * 99}),
    "pattern without end": _property("x", {"type": "string", "pattern": "a" * 501}),
    "hyphen": _property("end-frame", {"type": "string"}),
    "dots and dollars": _property("$x.y", {"type": "string"}),
    "blank": _property("2d mode", {"type": "string"}),
    "letters in a value": _property("x", {"enum": ["Gr\u00f6\u00dfe", "\u4e2d\u6587", "a_b"]}),
    "a format of their own": _property("x", {"type": "string", "format": "media_url"}),
    "punctuation in a value": _property("x", {"enum": ["16:9", "5 s (fast)", "a/b", "100%"]}),
    "emoji in prose": _prompt(description="Make it \U0001f600 nice: na\u00efve caf\u00e9"),
    "an error page of HTML": lambda c: _aleph(c)["responses"].update(
        {"502": {"description": "", "content": {"text/html": {"schema": {"type": "string"}}}}}
    ),
    "charset": lambda c: _aleph(c)["requestBody"].update(
        content={"application/json; charset=utf-8": {"schema": body_of(c)}}
    ),
    "extensions": lambda c: _aleph(c).update({"x-krea-pricing": {'"': CODE}}),
    "an operation we do not use": lambda c: c["paths"].update({"/x": {"get": {"summary": CODE}}}),
}


@pytest.mark.parametrize("change", FINE.values(), ids=FINE.keys())
def test_the_guard_lets_pass(
    change: Callable[[dict[str, Any]], object], contract: dict[str, Any], rules: Rules
) -> None:
    """What a careless but honest description may hold goes through."""
    change(contract)
    normalise(contract, rules)


OUTSIDE = [
    {"$ref": "https://evil.example/schema.json"},
    {"$ref": "file:///etc/passwd"},
    {"$ref": "other.json#/components/schemas/X"},
    {"$ref": "//evil.example/x"},
    {"$dynamicRef": "https://evil.example/x"},
    {"$id": "https://evil.example/x"},
    {"$schema": "https://evil.example/x"},
]


@pytest.mark.parametrize("schema", OUTSIDE, ids=str)
def test_nothing_outside_the_document_is_ever_fetched(
    schema: dict[str, str], contract: dict[str, Any]
) -> None:
    """References out of the document are refused before a validator could follow them."""
    contract["components"]["schemas"] = {"Unused": {"properties": {"x": schema}}}
    with pytest.raises(StepError) as caught:
        guard_references(contract)
    assert caught.value.step == "guard"


def test_a_property_may_be_called_like_a_keyword(contract: dict[str, Any]) -> None:
    """A property that is named $ref or $id is a property."""
    contract["x"] = {"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}}
    guard_references(contract)


CHAINS: dict[str, Callable[[dict[str, str]], dict[str, Any]]] = {
    "one in the other": lambda link: {"type": "object", "properties": {"x": link}},
    "all of one": lambda link: {"allOf": [{"type": "object", "properties": {"x": link}}]},
    "one of two": lambda link: {
        "oneOf": [{"type": "object", "properties": {"x": link}}, {"type": "null"}]
    },
    "not": lambda link: {"not": {"type": "object", "properties": {"x": link}}},
}


@pytest.mark.parametrize("levels", [20, 24, 400])
@pytest.mark.parametrize("wrap", CHAINS.values(), ids=CHAINS.keys())
def test_long_chains_of_references_take_no_time(
    wrap: Callable[[dict[str, str]], dict[str, Any]],
    levels: int,
    contract: dict[str, Any],
    rules: Rules,
) -> None:
    """What leads from one schema to the next is read as far as it may lead, or refused by name."""
    names = [f"#/components/schemas/L{number}" for number in range(levels + 1)]
    schemas = {f"L{number}": wrap({"$ref": names[number + 1]}) for number in range(levels)}
    contract["components"]["schemas"] = {**schemas, f"L{levels}": {"type": "string"}}
    body_of(contract)["properties"]["x"] = {"$ref": names[0]}
    job_of(contract)["properties"]["x"] = {"$ref": names[0]}
    if levels <= MAX_INSIDE:
        normalise(contract, rules)
    else:
        with pytest.raises(StepError, match="levels deep"):
            normalise(contract, rules)


def test_lists_in_lists_are_read_up_to_a_depth(contract: dict[str, Any], rules: Rules) -> None:
    """A type checker takes twice the time for each level of lists, so there are not many."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(MAX_NESTED + 1):
        schema = {"type": "array", "items": schema}
    job_of(contract)["properties"]["x"] = schema
    normalise(contract, rules)
    body_of(contract)["properties"]["x"] = schema["items"]
    normalise(contract, rules)
    body_of(contract)["properties"]["x"] = schema
    with pytest.raises(StepError, match="deeper than"):
        normalise(contract, rules)


def test_endless_references_are_refused(contract: dict[str, Any], rules: Rules) -> None:
    """A document cannot unfold to more than it should by referring to itself again and again."""
    level = {"type": "object", "properties": {"leaf": {"type": "string"}}}
    schemas: dict[str, Any] = {"L0": level}
    for number in range(1, 20):
        reference = {"$ref": f"#/components/schemas/L{number - 1}"}
        schemas[f"L{number}"] = {"type": "object", "properties": {"a": reference, "b": reference}}
    contract["components"]["schemas"] = schemas
    body_of(contract)["properties"]["x"] = {"$ref": "#/components/schemas/L19"}
    with pytest.raises(StepError, match="unfolds to more than"):
        normalise(contract, rules)
