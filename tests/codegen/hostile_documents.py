"""Several hundred documents that try to get code, or anything else that is theirs, into ours.

Every place of a document that could reach code meets every text that does harm in some language on
the way: Python, f-strings, Jinja, docstrings, comments, paths, headers, terminals. What executes
leaves a mark: it makes a folder, whose name the payload holds.
"""

# ruff: noqa: E501 - one case a line: they are tables

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from checkouts import ROOT

CONTRACT = json.loads((ROOT / "openapi.json").read_bytes())
ALEPH = "/generate/video/runway/aleph"

Contract = dict[str, Any]
Sink = Callable[[Contract, str], object]


class Hostile(NamedTuple):
    """One document.

    Attributes:
        name: Where it is hostile and how.
        make: Writes its bytes: most tests look at a sample only.
    """

    name: str
    make: Callable[[], bytes]


def hostile_documents(mark: Path) -> Iterator[Hostile]:
    """Make all documents; whatever of them is executed makes the folder `mark`."""
    for place, sink in SINKS.items():
        for kind, text in payloads(mark).items():
            yield Hostile(f"{kind} as {place}", partial(_made, sink, text))
    for place, plant in NODES.items():
        for kind, value in values().items():
            yield Hostile(f"{kind} as {place}", partial(_made, plant, value))
    for kind, data in raw(mark).items():
        yield Hostile(kind, partial(bytes, data))


def _made(plant: Callable[[Contract, Any], object], value: object) -> bytes:
    contract = copy.deepcopy(CONTRACT)
    plant(contract, value)
    return json.dumps(contract).encode()


# --- texts ------------------------------------------------------------------------------------------


def payloads(mark: Path) -> dict[str, str]:
    """List texts that do harm where they are not kept as text."""
    code = f"__import__('os').mkdir('{mark}')"
    other = f'__import__("os").mkdir("{mark}")'
    return {
        "a call": code,
        "a call behind a quote": f'x"+{code}+"',
        "a call behind another quote": f"x'+{other}+'",
        "a call behind an escaped quote": f'x\\"+{code}+\\"',
        "a call behind a backslash": f'x\\\\"+{code}#',
        "a docstring's end": f'x"""\n{code}\n"""',
        "a docstring's end in one line": f'"""+str({code})+"""',
        "another docstring's end": f"x'''\n{other}\n'''",
        "a trailing backslash": "x\\",
        "a trailing quote": 'x"',
        "three backslashes and a quote": f'\\\\\\"+{code}+"',
        "a line": f"x\n{code}",
        "an indented line": f"x\n    {code}\n",
        "a carriage return": f"x\r{code}",
        "a comment's end": f"x # \n{code}",
        "a coding comment": "# -*- coding: utf-7 -*-",
        "a type comment": "x  # type: ignore",
        "a directive": "# fmt: off\n# noqa\n# mypy: ignore-errors",
        "an f-string's field": f"{{{code}}}",
        "an f-string's field with quotes": f'{{{code}!r}}"',
        "a format's field": "{0.__class__.__init__.__globals__}",
        "two braces": f"{{{{{code}}}}}",
        "a template's expression": "{{ cycler.__init__.__globals__.os.mkdir('" + str(mark) + "') }}",
        "a template's statement": "{% include '/etc/passwd' %}{% set x = 1 %}",
        "a template's comment": "{# x #}",
        "a bracket's end": f'"]) + {code} + str(["',
        "a parameter's end": f"x: int = {code}, y",
        "a default's end": f"x) -> None: ...\n{code}\ndef f(",
        "a class's end": f"X:\n    x = {code}\nclass Y",
        "a subscript's end": f"'] + [{code}] + ['",
        "an import": "x\nimport os",
        "a star": "*",
        "a dunder": "__class__",
        "another dunder": "__init__",
        "builtins": "__builtins__",
        "a dunder in wide letters": "\uff3f\uff3fclass\uff3f\uff3f",
        "eval in bold letters": "\U0001d4ee\U0001d4ff\U0001d4ea\U0001d4f5",
        "a keyword in wide letters": "\uff49\uff4d\uff50\uff4f\uff52\uff54",
        "a look-alike": "\u0440rompt",
        "a keyword": "class",
        "a keyword that is a value": "None",
        "a builtin": "eval",
        "a variable of the generated code": "field_dict",
        "another variable": "_kwargs",
        "self": "self",
        "nothing": "",
        "a blank": " ",
        "a null": "x\0y",
        "a bell": "x\ay",
        "an escape sequence": "\x1b[2J\x1b]0;x\x07",
        "a backspace": "x\b\b\b",
        "a reversal": "x\u202ey",
        "an isolate": "x\u2066y\u2069",
        "a line separator": f"x\u2028{code}",
        "a paragraph separator": f"x\u2029{code}",
        "a next line": f"x\x85{code}",
        "a zero-width space": "pro\u200bmpt",
        "a byte order mark": "\ufeffx",
        "a lone surrogate": "x\ud800y",
        "a reversed pair": "\udc00\ud800",
        "a noncharacter": "x\uffff",
        "an invisible tag": "x\U000e0041",
        "another host": "https://evil.example/x",
        "another host after two slashes": "//evil.example/x",
        "a user and another host": "https://api.krea.ai@evil.example/",
        "a climb": "../../../../tmp/x",
        "a climb in a path": "/jobs/../../x",
        "an absolute path": "/etc/passwd",
        "a Windows path": "C:\\x\\..\\y",
        "a scheme": "javascript:alert(1)",
        "a header's end": "x\r\nAuthorization: evil",
        "a query": "/jobs?x=y#z",
        "an endless text": "x" * 30_000,
        "an endless word in prose": "x " * 9_000,
        "a bomb of accents": "x" + "\u0301" * 5_000,
        "an HTML": "<script>alert(1)</script><!--",
        "a link": "[click](javascript:alert(1)) ![x](https://evil.example/x.png)",
        "a shell": "$(touch x); `touch x` | sh",
        "a format string": "%s%n%(x)s",
        "an evil pattern": "(a+)+$",
        "a pattern that is none": "(((((",
    }  # fmt: skip


# --- where a text stands ----------------------------------------------------------------------------


def _aleph(contract: Contract) -> Contract:
    operation: Contract = contract["paths"][ALEPH]["post"]
    return operation


def _content(contract: Contract) -> Contract:
    content: Contract = _aleph(contract)["requestBody"]["content"]
    return content


def _body(contract: Contract) -> Contract:
    schema: Contract = _content(contract)["application/json"]["schema"]
    return schema


def _job_answer(contract: Contract) -> Contract:
    answer: Contract = contract["paths"]["/jobs/{id}"]["get"]["responses"]["200"]
    return answer


def _job(contract: Contract) -> Contract:
    schema: Contract = _job_answer(contract)["content"]["application/json"]["schema"]
    return schema


def _new(contract: Contract, schema: object) -> None:
    _body(contract)["properties"]["new"] = schema


def _told(contract: Contract, schema: object) -> None:
    _job(contract)["properties"]["new"] = schema


def _component(contract: Contract, kind: str, name: str, value: object) -> None:
    contract["components"].setdefault(kind, {})[name] = value


def _both_ways(contract: Contract, schema: object) -> None:
    _new(contract, schema)
    _told(contract, schema)


def _referred(contract: Contract, name: str) -> None:
    _component(contract, "schemas", name, {"type": "string"})
    _new(contract, {"$ref": f"#/components/schemas/{name}"})


def _placeholder(contract: Contract, name: str) -> None:
    contract["paths"][f"/jobs/{{{name}}}"] = item = contract["paths"].pop("/jobs/{id}")
    for method in ("get", "delete"):
        item[method]["parameters"][0]["name"] = name


def _parameter(contract: Contract, **words: object) -> None:
    wanted = {"name": "x", "in": "query", "schema": {"type": "string"}, **words}
    contract["paths"]["/jobs"]["get"]["parameters"].append(wanted)


def _alias(contract: Contract, **words: object) -> None:
    alias = {"from": "old", "to": "prompt", **words}
    _aleph(contract)["x-krea-deprecated-field-aliases"] = [alias]


def _notice(contract: Contract, **words: object) -> None:
    _aleph(contract)["x-krea-deprecation"] = words


TEXT = {"type": "string"}

SINKS: dict[str, Sink] = {
    "a path": lambda c, t: c["paths"].update({t: {"get": copy.deepcopy(c["paths"]["/jobs"]["get"])}}),
    "a path below ours": lambda c, t: c["paths"].update({f"/jobs/{t}": {}}),
    "a placeholder": _placeholder,
    "a method": lambda c, t: c["paths"]["/jobs"].update({t: c["paths"]["/jobs"]["get"]}),
    "a property": lambda c, t: _body(c)["properties"].update({t: TEXT}),
    "a property of an answer": lambda c, t: _job(c)["properties"].update({t: TEXT}),
    "a property that is an object": lambda c, t: _both_ways(
        c, {"type": "object", "properties": {t: {"type": "object", "properties": {t: TEXT}}}}
    ),
    "an object's own name": lambda c, t: _body(c)["properties"].update(
        {t: {"type": "object", "properties": {"a": TEXT}}}
    ),
    "a property of an upload": lambda c, t: c["paths"]["/assets"]["post"]["requestBody"]["content"][
        "multipart/form-data"
    ]["schema"]["properties"].update({t: TEXT}),
    "a required name": lambda c, t: _body(c)["required"].append(t),
    "a query parameter": lambda c, t: _parameter(c, name=t),
    "a header": lambda c, t: _parameter(c, name=t, **{"in": "header"}),
    "a cookie": lambda c, t: _parameter(c, name=t, **{"in": "cookie"}),
    "the place of a parameter": lambda c, t: _parameter(c, **{"in": t}),
    "a parameter's description": lambda c, t: _parameter(c, description=t),
    "a parameter's default": lambda c, t: _parameter(c, schema={"type": "string", "default": t}),
    "a parameter's value": lambda c, t: _parameter(c, schema={"enum": ["a", t]}),
    "a parameter's style": lambda c, t: _parameter(c, style=t),
    "a parameter's media type": lambda c, t: _parameter(c, schema=None, content={t: {"schema": TEXT}}),
    "a media type": lambda c, t: _content(c).update({t: {"schema": TEXT}}),
    "the only media type": lambda c, t: _aleph(c)["requestBody"].update(content={t: {"schema": TEXT}}),
    "a media type's parameter": lambda c, t: _aleph(c)["requestBody"].update(
        content={f"application/json; charset={t}": {"schema": _body(c)}}
    ),
    "an answer's media type": lambda c, t: _job_answer(c).update(content={t: {"schema": TEXT}}),
    "a status": lambda c, t: _aleph(c)["responses"].update({t: {"description": "x"}}),
    "an answer's description": lambda c, t: _job_answer(c).update(description=t),
    "an answer's header": lambda c, t: _job_answer(c).update(headers={t: {"schema": TEXT}}),
    "a value": lambda c, t: _both_ways(c, {"type": "string", "enum": ["a", t]}),
    "the only value": lambda c, t: _both_ways(c, {"type": "string", "enum": [t]}),
    "a value that is an object": lambda c, t: _both_ways(c, {"enum": [{t: t}, [t]]}),
    "a constant": lambda c, t: _both_ways(c, {"const": t}),
    "a default": lambda c, t: _both_ways(c, {"type": "string", "default": t}),
    "a default that is an object": lambda c, t: _both_ways(c, {"type": "object", "default": {t: [t]}}),
    "a default of a number": lambda c, t: _both_ways(c, {"type": "integer", "default": t}),
    "a format": lambda c, t: _both_ways(c, {"type": "string", "format": t}),
    "a pattern": lambda c, t: _both_ways(c, {"type": "string", "pattern": t}),
    "a pattern of names": lambda c, t: _both_ways(c, {"type": "object", "patternProperties": {t: {}}}),
    "a type": lambda c, t: _both_ways(c, {"type": t}),
    "a type among types": lambda c, t: _both_ways(c, {"type": ["string", t]}),
    "a title": lambda c, t: _both_ways(c, {"type": "object", "title": t, "properties": {"a": TEXT}}),
    "a description": lambda c, t: _both_ways(c, {"type": "string", "description": t}),
    "an object's description": lambda c, t: _both_ways(
        c, {"type": "object", "description": t, "properties": {"a": {**TEXT, "description": t}}}
    ),
    "a body's description": lambda c, t: _aleph(c)["requestBody"].update(description=t),
    "an example": lambda c, t: _both_ways(c, {"type": "string", "example": t, "examples": [t]}),
    "a media type's example": lambda c, t: _content(c)["application/json"].update(example={t: t}),
    "named examples": lambda c, t: _content(c)["application/json"].update(examples={t: {"value": t}}),
    "a comment": lambda c, t: _both_ways(c, {"type": "string", "$comment": t}),
    "a keyword": lambda c, t: _both_ways(c, {"type": "string", t: t}),
    "an extension": lambda c, t: _both_ways(c, {"type": "string", "x-enum-varnames": [t], f"x-{t}": t}),
    "a discriminator": lambda c, t: _both_ways(
        c, {"oneOf": [TEXT, {"type": "object"}], "discriminator": {"propertyName": t, "mapping": {t: t}}}
    ),
    "a dependency": lambda c, t: _both_ways(c, {"type": "object", "dependentRequired": {t: [t]}}),
    "an encoding": lambda c, t: _both_ways(c, {"type": "string", "contentEncoding": t, "contentMediaType": t}),
    "a component": _referred,
    "a component that nobody uses": lambda c, t: _component(c, "schemas", t, TEXT),
    "a reference": lambda c, t: _new(c, {"$ref": t}),
    "a reference in an answer": lambda c, t: _told(c, {"$ref": t}),
    "a reference with our beginning": lambda c, t: _new(c, {"$ref": f"#/components/schemas/{t}"}),
    "a reference to a parameter": lambda c, t: c["paths"]["/jobs"]["get"]["parameters"].append({"$ref": t}),
    "a reference to a body": lambda c, t: _aleph(c).update(requestBody={"$ref": t}),
    "a reference to an answer": lambda c, t: _aleph(c)["responses"].update({"200": {"$ref": t}}),
    "a reference to a path": lambda c, t: c["paths"].update({ALEPH: {"$ref": t}}),
    "a dynamic reference": lambda c, t: _new(c, {"$dynamicRef": t}),
    "an anchor": lambda c, t: _both_ways(c, {"type": "string", "$anchor": t, "$dynamicAnchor": t}),
    "an identity": lambda c, t: _new(c, {"type": "string", "$id": t}),
    "a summary": lambda c, t: _aleph(c).update(summary=t),
    "an operation's description": lambda c, t: _aleph(c).update(description=t),
    "an operation's id": lambda c, t: _aleph(c).update(operationId=t),
    "an operation's tag": lambda c, t: _aleph(c).update(tags=[t]),
    "a tag": lambda c, t: c["tags"].append({"name": t, "description": t}),
    "a tag's description": lambda c, t: c["tags"][2].update(description=t),
    "a path's summary": lambda c, t: c["paths"]["/jobs"].update(summary=t, description=t),
    "a link": lambda c, t: _job_answer(c).update(
        links={t: {"operationId": t, "parameters": {t: t}, "description": t}}
    ),
    "a callback": lambda c, t: _aleph(c).update(
        callbacks={t: {t: {"post": {"responses": {"200": {"description": t}}}}}}
    ),
    "a webhook": lambda c, t: c.update(webhooks={t: {"post": {"responses": {"200": {"description": t}}}}}),
    "the title": lambda c, t: c["info"].update(title=t),
    "the version": lambda c, t: c["info"].update(version=t),
    "the description": lambda c, t: c["info"].update(description=t, summary=t),
    "the contact": lambda c, t: c["info"].update(contact={"name": t, "email": t}, license={"name": t}),
    "the OpenAPI version": lambda c, t: c.update(openapi=t),
    "a server": lambda c, t: c.update(servers=[{"url": t}]),
    "a server's description": lambda c, t: c["servers"][0].update(description=t),
    "a server's variable": lambda c, t: c["servers"][0].update(variables={t: {"default": t}}),
    "an operation's server": lambda c, t: _aleph(c).update(servers=[{"url": t}]),
    "a security scheme": lambda c, t: _component(c, "securitySchemes", t, {"type": "http", "scheme": "bearer"}),
    "a scheme's words": lambda c, t: c["components"]["securitySchemes"]["bearerAuth"].update(description=t, bearerFormat=t),
    "a demand for security": lambda c, t: c.update(security=[{t: []}]),
    "an operation's security": lambda c, t: _aleph(c).update(security=[{t: [t]}]),
    "other documentation": lambda c, t: _aleph(c).update(externalDocs={"url": t, "description": t}),
    "an extension of an operation": lambda c, t: _aleph(c).update({f"x-{t}": {t: t}}),
    "an extension of the document": lambda c, t: c.update({f"x-{t}": t}),
    "a name of the document": lambda c, t: c.update({t: t}),
    "an old name of a field": lambda c, t: _alias(c, **{"from": t}),
    "a new name of a field": lambda c, t: _alias(c, to=t),
    "the end of an old name": lambda c, t: _alias(c, sunset_date=t),
    "the reason of a new name": lambda c, t: _alias(c, reason=t),
    "the address of a new name": lambda c, t: _alias(c, migration_url=t),
    "the end of an operation": lambda c, t: _notice(c, sunset_date=t),
    "what replaces an operation": lambda c, t: _notice(c, replacement=t),
    "the address of an end": lambda c, t: _notice(c, migration_url=t),
    "an encoding of a part": lambda c, t: c["paths"]["/assets"]["post"]["requestBody"]["content"][
        "multipart/form-data"
    ].update(encoding={t: {"contentType": t, "headers": {t: {"schema": TEXT}}}}),
}  # fmt: skip


# --- values of another kind -------------------------------------------------------------------------


def values() -> dict[str, object]:
    """List values that are not what belongs there."""
    deep: object = "x"
    for _ in range(40):
        deep = {"properties": {"x": deep}}
    return {
        "null": None, "true": True, "false": False, "a number": 7, "a fraction": 1.5,
        "a huge number": 10**400, "a text": "x", "an empty array": [], "an empty object": {},
        "an array of nulls": [None, None], "an array of arrays": [[[]]], "an array of numbers": [1, 2],
        "an object in an array": [{"x": 1}], "an object of nulls": {"x": None, "y": None},
        "an object with a null name": {"": {"": None}}, "something deep": deep,
        "a thousand texts": ["x"] * 1_000, "a reference that is no text": {"$ref": 7},
        "a reference to nothing": {"$ref": "#/components/schemas/Nothing"},
        "a reference to everything": {"$ref": "#"},
        "a reference into the paths": {"$ref": "#/paths"},
    }  # fmt: skip


def _at(*path: str) -> Callable[[Contract, object], None]:
    def plant(contract: Contract, value: object) -> None:
        node: Any = contract
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value

    return plant


def _keyword(name: str) -> Callable[[Contract, object], None]:
    return lambda contract, value: _both_ways(contract, {"type": "string", name: value})


NODES: dict[str, Callable[[Contract, object], object]] = {
    **{
        " in ".join(reversed(path)): _at(*path)
        for path in [
            ("openapi",), ("info",), ("servers",), ("security",), ("tags",), ("paths",),
            ("components",), ("components", "schemas"), ("components", "securitySchemes"),
            ("components", "securitySchemes", "bearerAuth"), ("paths", ALEPH),
            ("paths", ALEPH, "post"), ("paths", ALEPH, "parameters"),
            *(
                ("paths", ALEPH, "post", key)
                for key in "tags summary description parameters requestBody responses deprecated"
                " servers security x-krea-deprecated-field-aliases x-krea-deprecation".split()
            ),
            ("paths", ALEPH, "post", "requestBody", "content"),
            ("paths", ALEPH, "post", "requestBody", "required"),
            ("paths", ALEPH, "post", "requestBody", "content", "application/json"),
            ("paths", ALEPH, "post", "requestBody", "content", "application/json", "schema"),
            ("paths", ALEPH, "post", "responses", "200"),
            ("paths", ALEPH, "post", "responses", "200", "content"),
            ("paths", ALEPH, "post", "responses", "200", "content", "application/json"),
            ("paths", ALEPH, "post", "responses", "200", "content", "application/json", "schema"),
            ("paths", ALEPH, "post", "responses", "200", "description"),
        ]
    },
    "a parameter": lambda c, v: c["paths"]["/jobs"]["get"]["parameters"].append(v),
    "a parameter's name": lambda c, v: _parameter(c, name=v),
    "a parameter's place": lambda c, v: _parameter(c, **{"in": v}),
    "a parameter's schema": lambda c, v: _parameter(c, schema=v),
    "a parameter's need": lambda c, v: _parameter(c, required=v),
    "a property": _new,
    "a property of an answer": _told,
    **{
        f"the keyword {name}": _keyword(name)
        for name in "type enum const format pattern minLength maximum multipleOf uniqueItems required"
        " properties items additionalProperties anyOf oneOf allOf not description deprecated default"
        " readOnly patternProperties prefixItems if discriminator".split()
    },
}  # fmt: skip


# --- what no JSON library would write ---------------------------------------------------------------


def _with(text: str) -> bytes:
    """Write the contract with something in the place of a limit."""
    written = json.dumps(CONTRACT)
    assert '"maxLength": 1000' in written
    return written.replace('"maxLength": 1000', text, 1).encode("utf-8", "surrogatepass")


def raw(mark: Path) -> dict[str, bytes]:
    """List files that are hostile before they are anything."""
    plain = json.dumps(CONTRACT)
    return {
        "a number beyond range": _with('"maxLength": 1e999'),
        "a number without end": _with('"maxLength": ' + "9" * 5_000),
        "NaN": _with('"maxLength": NaN'),
        "Infinity": _with('"maxLength": Infinity'),
        "a negative limit": _with('"maxLength": -1'),
        "a fraction of a limit": _with('"maxLength": 1.5'),
        "a limit in words": _with('"maxLength": "1000"'),
        "a key twice": _with('"maxLength": 1, "maxLength": 1000'),
        "paths twice": (plain[:-1] + ', "paths": {}}').encode(),
        "a key twice, once escaped": _with('"maxLength": 1, "max\\u004cength": 1000'),
        "a comment": _with('"maxLength": 1000 // x'),
        "a comma too many": _with('"maxLength": 1000,'),
        "single quotes": plain.replace('"', "'").encode(),
        "a raw control character": _with('"description": "a\x01b"'),
        "a raw null": _with('"description": "a\0b"'),
        "raw surrogates": _with('"description": "\ud800"'),
        "something after the end": plain.encode() + b"{}",
        "nulls after the end": plain.encode() + b"\0\0\0",
        "too deep": _with('"not": ' + '{"not": ' * 100 + "{}" + "}" * 100),
        "far too deep": b'{"a":' * 100_000,
        "an object of arrays without end": b"[" * 100_000,
        "a byte order mark": b"\xef\xbb\xbf" + plain.encode(),
        "UTF-16": plain.encode("utf-16"),
        "UTF-32": plain.encode("utf-32"),
        "latin-1": plain.replace("Krea API", "Kr\u00e9a").encode("latin-1"),
        "a pickle": b"cposix\nmkdir\n(S'" + str(mark).encode() + b"'\ntR.",
        "a tag of YAML": b"!!python/object/apply:os.mkdir ['" + str(mark).encode() + b"']",
        "a tag of YAML inside": b"openapi: !!python/name:os.system x",
        "billions of laughs": b"a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b,*b,*b]\n",
        "a merge of YAML": b"a: {b: 1}\nc:\n  <<: {d: 2}\n",
        "two documents of YAML": b"openapi: 3.1.0\n---\nopenapi: 3.1.0\n",
        "YAML with a directive": b"%YAML 1.1\n---\nopenapi: 3.1.0\n",
        "XML": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
        "a program": b"#!/bin/sh\ntouch x\n",
        "a zip": b"PK\x03\x04" + bytes(range(256)),
        "random bytes": bytes(range(256)) * 10,
        "a very long line": b"x" * 1_000_000,
        "more than is read": b'{"x": "' + b"x" * 8_000_000 + b'"}',
    }  # fmt: skip
