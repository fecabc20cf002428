"""What a document may contain before any of it comes near code.

Two looks: `guard_document` at the whole (who it speaks for, where keys would be sent, every path),
`guard_slice` at what we copied out of it, by allowlist: every name, path, media type, status and
enum value must match a pattern that leaves no way out of a string, and no text may hold characters
that change what a reviewer sees.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from codegen.document import children
from codegen.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codegen.rules import Expected

MAX_TEXT: Final = 20_000
MAX_ENUM: Final = 1_000
MAX_PROPERTIES: Final = 500
MAX_PATTERN: Final = 500

_PATH: Final = re.compile(r"(/([A-Za-z0-9_~-][A-Za-z0-9._~-]*|\{[A-Za-z_][A-Za-z0-9_]*\}))+")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_PROPERTY: Final = re.compile(r"[A-Za-z0-9_$@][A-Za-z0-9_$@.: -]{0,99}")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_VALUE: Final = re.compile(r"[A-Za-z0-9 _.,:;/+()%&@#!?*=<>|~^-]{0,200}")
_FORMAT: Final = re.compile(r"[A-Za-z0-9-]{1,40}")
_STATUS: Final = re.compile(r"[1-5](\d\d|XX)|default")
_OUR_HEADERS: Final = frozenset(
    "authorization connection content-length content-type cookie host proxy-authorization"
    " transfer-encoding".split()
)
_MEDIA_TYPES: Final = frozenset({"application/json", "multipart/form-data"})
_ANY_MEDIA_TYPE: Final = re.compile(r"[a-z]+/([a-z0-9][a-z0-9.+-]*|\*)|\*/\*")
_PLACES: Final = frozenset({"path", "query", "header", "cookie"})
_TYPES: Final = frozenset("string number integer boolean array object null".split())
_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters other than tab and line ends
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional: they reorder what is shown
    "\u2028\u2029\ufeff\ufff9-\ufffb\ufffe\uffff"  # separators and non-characters
    "\ud800-\udfff\U000e0000-\U000e007f]"  # lone surrogates, invisible tags
)


def guard_document(document: Mapping[str, Any], expected: Expected) -> None:
    """Check what the document says about itself, and every path in it.

    Raises:
        StepError: It is not the kind of OpenAPI we read, its servers or its security changed, or a
            path could lead anywhere but below the server.
    """
    version = document.get("openapi")
    if not isinstance(version, str) or not version.startswith(f"{expected.openapi}."):
        raise _refused("openapi", f"{version!r} is not {expected.openapi}")
    servers = [server.get("url") for server in document.get("servers", [])]
    _unchanged("servers", servers, list(expected.servers))
    _unchanged("security", document.get("security"), list(expected.security))
    schemes = document.get("components", {}).get("securitySchemes", {})
    for name, wanted in expected.schemes.items():
        found = {key: schemes.get(name, {}).get(key) for key in wanted}
        _unchanged(f"components/securitySchemes/{name}", found, dict(wanted))
    for path in document.get("paths", {}):
        guard_path(path)


def guard_references(document: object) -> None:
    """Check that every reference stays inside the document.

    This comes before validation: a validator would go and fetch what lies outside.

    Raises:
        StepError: A reference leads elsewhere, or a schema gives itself an address of its own.
    """
    if isinstance(document, dict):
        for key in ("$ref", "$dynamicRef", "$recursiveRef"):
            target = document.get(key)
            if isinstance(target, str) and not target.startswith("#/"):
                raise _refused(key, f"{target!a:.120} does not stay inside the document")
        for key in ("$id", "$schema", "jsonSchemaDialect"):
            if isinstance(document.get(key), str):
                raise _refused(key, "a schema that says where it lives is not read")
    for child in children(document):
        guard_references(child)


def guard_path(path: str) -> None:
    """Check one path template.

    Raises:
        StepError: It is more than plain segments and `{placeholders}` below the server.
    """
    _matches(_PATH, path, "paths", "a plain path such as /jobs/{id}")
    names = _PLACEHOLDER.findall(path)
    if len(set(names)) != len(names):
        raise _refused("paths", f"{path!r} has the same placeholder twice")


def guard_slice(operations: Mapping[str, Any]) -> None:
    """Check everything that was copied out of the document.

    Raises:
        StepError: A name, value or text is outside its allowlist; the message says where.
    """
    for place, text in _texts(operations, ""):
        guard_text(text, place)
    for name, operation in operations.items():
        _guard_operation(operation, name)


def guard_text(text: str, place: str) -> None:
    """Check a text for length and for characters that hide something.

    Raises:
        StepError: It is too long, or holds a control, bidirectional or separator character.
    """
    if len(text) > MAX_TEXT:
        raise _refused(place, f"a text of {len(text)} characters; at most {MAX_TEXT} are read")
    found = _INVISIBLE.search(text)
    if found:
        raise _refused(place, f"the character U+{ord(found[0]):04X} hides or reorders text")


def _guard_operation(operation: Mapping[str, Any], place: str) -> None:
    guard_path(operation["path"])
    wanted = set(_PLACEHOLDER.findall(operation["path"]))
    given = {key.partition(".")[2] for key in operation["parameters"] if key.startswith("path.")}
    if wanted != given:
        problem = f"{operation['path']} and its path parameters {sorted(given)} do not agree"
        raise _refused(f"{place}/parameters", problem)
    for key, parameter in operation["parameters"].items():
        _guard_parameter(key, parameter, f"{place}/parameters/{key}")
    if operation["body"] is not None:
        _guard_media(operation["body"], f"{place}/body")
    for status, response in operation["responses"].items():
        _matches(_STATUS, status, f"{place}/responses", "a status such as 200 or 4XX")
        _guard_response(response, f"{place}/responses/{status}")


def _guard_parameter(key: str, parameter: Mapping[str, Any], place: str) -> None:
    where, _, name = key.partition(".")
    if where not in _PLACES:
        raise _refused(place, f"a parameter cannot be in {where!r}")
    _matches(_HEADER if where == "header" else _PROPERTY, name, place, "a plain name")
    if where == "header" and name.lower() in _OUR_HEADERS:
        raise _refused(place, f"the header {name} is the client's own")
    guard_schema(parameter["schema"], f"{place}/schema")


def _guard_response(response: Mapping[str, Any], place: str) -> None:
    if response["media_type"] is not None:
        _matches(_ANY_MEDIA_TYPE, response["media_type"], place, "a media type")
    if response["schema"] is not None:
        guard_schema(response["schema"], f"{place}/schema")


def _guard_media(content: Mapping[str, Any], place: str) -> None:
    if content["media_type"] not in _MEDIA_TYPES:
        known = ", ".join(sorted(_MEDIA_TYPES))
        raise _refused(place, f"media type {content['media_type']!r} is none of {known}")
    guard_schema(content["schema"], f"{place}/schema")


def guard_schema(schema: Mapping[str, Any], place: str) -> None:
    """Check one schema and all below it.

    Raises:
        StepError: A property name, type, format, pattern or value is outside its allowlist.
    """
    _guard_types(schema, place)
    for value in [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]:
        _guard_value(value, f"{place}/enum")
    if len(schema.get("enum", [])) > MAX_ENUM:
        raise _refused(f"{place}/enum", f"more than {MAX_ENUM} values")
    if "format" in schema:
        _matches(_FORMAT, schema["format"], f"{place}/format", "a plain format name")
    if "pattern" in schema:
        _guard_pattern(schema["pattern"], f"{place}/pattern")
    _guard_properties(schema, place)
    for keyword in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(keyword), dict):
            guard_schema(schema[keyword], f"{place}/{keyword}")
    for keyword in ("anyOf", "oneOf", "allOf"):
        for index, part in enumerate(schema.get(keyword, [])):
            guard_schema(part, f"{place}/{keyword}/{index}")


def _guard_types(schema: Mapping[str, Any], place: str) -> None:
    types = schema.get("type", [])
    for name in types if isinstance(types, list) else [types]:
        if name not in _TYPES:
            raise _refused(f"{place}/type", f"{name!r} is no JSON type")


def _guard_properties(schema: Mapping[str, Any], place: str) -> None:
    properties = schema.get("properties", {})
    if len(properties) > MAX_PROPERTIES:
        raise _refused(f"{place}/properties", f"more than {MAX_PROPERTIES} properties")
    for name in [*properties, *schema.get("required", [])]:
        _matches(_PROPERTY, name, f"{place}/properties", "a plain property name")
        if name.startswith("__"):
            raise _refused(f"{place}/properties", f"{name!r} looks like a Python special name")
    for name, child in properties.items():
        guard_schema(child, f"{place}/properties/{name}")


def _guard_value(value: object, place: str) -> None:
    if isinstance(value, str):
        _matches(_VALUE, value, place, "a plain word or phrase")
    elif not (value is None or isinstance(value, bool | int | float)):
        raise _refused(place, f"{value!r} is neither text nor number")


def _guard_pattern(pattern: object, place: str) -> None:
    if not isinstance(pattern, str) or len(pattern) > MAX_PATTERN:
        raise _refused(place, f"not a text of at most {MAX_PATTERN} characters")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise _refused(place, f"{pattern!r} is no regular expression here: {error}") from error


def _texts(node: object, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield place.removeprefix("/"), node
    elif isinstance(node, dict):
        for key, child in node.items():
            yield f"{place}/{key!a}".removeprefix("/"), key
            yield from _texts(child, f"{place}/{key}")
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from _texts(child, f"{place}/{index}")


def _matches(pattern: re.Pattern[str], text: object, place: str, wanted: str) -> None:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise _refused(place, f"{text!a:.120} is not {wanted}")


def _unchanged(place: str, found: object, wanted: object) -> None:
    if found != wanted:
        problem = f"{ascii(found)[:300]} where rules.toml expects {wanted!r}; a human must look"
        raise _refused(place, problem)


def _refused(place: str, problem: str) -> StepError:
    return StepError("guard", f"{place}: {problem}")
