"""What a document may contain before any of it comes near code.

Two looks: `guard_document` at the whole (who it speaks for, where keys would be sent, every path),
`guard_slice` at what we copied out of it, by allowlist: every name, path, media type, status and
enum value must match a pattern that leaves no way out of a string, and no text may hold characters
that change what a reviewer sees.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from codegen.audit_rules import INSIDES
from krea_aleph.specdiff.texts import (
    MAX_SHOWN,
    guard_path,
    guard_texts,
    matches,
    placeholders,
    refused,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph.specdiff.rules import Expected

MAX_ENUM: Final = 1_000
MAX_PROPERTIES: Final = 500

_PROPERTY: Final = re.compile(r"[A-Za-z0-9_$@][A-Za-z0-9_$@.: -]{0,99}")
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_VALUE: Final = re.compile(r"[\w .,:;/+()%&@#!?*=<>|~^-]{0,200}")
_FORMAT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,39}")
_STATUS: Final = re.compile(r"[1-5](\d\d|XX)|default")
OUR_HEADERS: Final = frozenset(
    "authorization connection content-length content-type cookie host proxy-authorization"
    " transfer-encoding".split()
)
_MEDIA_TYPES: Final = frozenset({"application/json", "multipart/form-data"})
_ANY_MEDIA_TYPE: Final = re.compile(r"[a-z]+/([a-z0-9][a-z0-9.+-]*|\*)|\*/\*")
_PLACES: Final = frozenset({"path", "query", "header", "cookie"})
_TYPES: Final = frozenset("string number integer boolean array object null".split())


def guard_document(document: Mapping[str, Any], expected: Expected) -> None:
    """Check what the document says about itself, and every path in it.

    Raises:
        StepError: It is not the kind of OpenAPI we read, its servers or its security changed, or a
            path could lead anywhere but below the server.
    """
    version = document.get("openapi")
    if not isinstance(version, str) or not version.startswith(f"{expected.openapi}."):
        raise refused("openapi", f"{version!a:.80} is not {expected.openapi}")
    servers = [server.get("url") for server in document.get("servers", [])]
    _unchanged("servers", servers, list(expected.servers))
    _unchanged("security", document.get("security"), list(expected.security))
    schemes = document.get("components", {}).get("securitySchemes", {})
    for name, wanted in expected.schemes.items():
        scheme = schemes.get(name) if isinstance(schemes, dict) else None
        known = scheme if isinstance(scheme, dict) else {}
        found = {key: known.get(key) for key in wanted}
        _unchanged(f"components/securitySchemes/{name}", found, dict(wanted))
    for path in document.get("paths", {}):
        guard_path(path)


def guard_slice(operations: Mapping[str, Any]) -> None:
    """Check everything that was copied out of the document.

    Raises:
        StepError: A name, value or text is outside its allowlist; the message says where.
    """
    guard_texts(operations)
    for name, operation in operations.items():
        _guard_operation(operation, name)


def _guard_operation(operation: Mapping[str, Any], place: str) -> None:
    guard_path(operation["path"])
    wanted = set(placeholders(operation["path"]))
    given = {key.partition(".")[2] for key in operation["parameters"] if key.startswith("path.")}
    if wanted != given:
        problem = f"{operation['path']} and its path parameters {sorted(given)} do not agree"
        raise refused(f"{place}/parameters", problem)
    for key, parameter in operation["parameters"].items():
        _guard_parameter(key, parameter, f"{place}/parameters/{key[:MAX_SHOWN]}")
    if operation["body"] is not None:
        for key in operation["parameters"]:
            if key.partition(".")[2].lower() == "body":
                raise refused(f"{place}/parameters/{key}", "the request has a body beside it")
        _guard_media(operation["body"], f"{place}/body")
    for status, response in operation["responses"].items():
        matches(_STATUS, status, f"{place}/responses", "a status such as 200 or 4XX")
        _guard_response(response, f"{place}/responses/{status}")


def _guard_parameter(key: str, parameter: Mapping[str, Any], place: str) -> None:
    where, _, name = key.partition(".")
    if where not in _PLACES:
        raise refused(place, f"a parameter cannot be in {where!a:.40}")
    matches(_HEADER if where == "header" else _PROPERTY, name, place, "a plain name")
    if where == "header" and name.lower() in OUR_HEADERS:
        raise refused(place, f"the header {name} is the client's own")
    guard_schema(parameter["schema"], f"{place}/schema")


def _guard_response(response: Mapping[str, Any], place: str) -> None:
    if response["media_type"] is not None:
        matches(_ANY_MEDIA_TYPE, response["media_type"], place, "a media type")
    if response["schema"] is not None:
        guard_schema(response["schema"], f"{place}/schema")


def _guard_media(content: Mapping[str, Any], place: str) -> None:
    if content["media_type"] not in _MEDIA_TYPES:
        known = ", ".join(sorted(_MEDIA_TYPES))
        raise refused(place, f"media type {content['media_type']!a:.80} is none of {known}")
    guard_schema(content["schema"], f"{place}/schema")


def guard_schema(schema: Mapping[str, Any], place: str) -> None:
    """Check one schema and all below it.

    Raises:
        StepError: A property name, type, format, pattern or value is outside its allowlist.
    """
    _guard_types(schema, place)
    for value in [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]:
        _guard_value(value, f"{place}/enum")
    if schema.get("enum") == []:
        raise refused(f"{place}/enum", "there is nothing in it, so no value would fit")
    if len(schema.get("enum", [])) > MAX_ENUM:
        raise refused(f"{place}/enum", f"more than {MAX_ENUM} values")
    if "format" in schema:
        matches(_FORMAT, schema["format"], f"{place}/format", "a plain format name")
    _guard_properties(schema, place)
    for keyword in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(keyword), dict):
            guard_schema(schema[keyword], f"{place}/{keyword}")
    for keyword in ("anyOf", "oneOf", "allOf"):
        for index, part in enumerate(schema.get(keyword, [])):
            guard_schema(part, f"{place}/{keyword}/{index}")


def _guard_types(schema: Mapping[str, Any], place: str) -> None:
    types = schema.get("type", ["string"])
    if types == []:
        raise refused(f"{place}/type", "there is nothing in it, so no value would fit")
    for name in types if isinstance(types, list) else [types]:
        if name not in _TYPES:
            raise refused(f"{place}/type", f"{name!a:.80} is no JSON type")


def _guard_properties(schema: Mapping[str, Any], place: str) -> None:
    properties = schema.get("properties", {})
    if len(properties) > MAX_PROPERTIES:
        raise refused(f"{place}/properties", f"more than {MAX_PROPERTIES} properties")
    for name in [*properties, *schema.get("required", [])]:
        matches(_PROPERTY, name, f"{place}/properties", "a plain property name")
        if name.startswith("__") or name in INSIDES:
            raise refused(f"{place}/properties", f"{name!a:.80} looks like a Python special name")
    for name, child in properties.items():
        guard_schema(child, f"{place}/properties/{name}")


def _guard_value(value: object, place: str) -> None:
    if isinstance(value, str):
        matches(_VALUE, value, place, "a plain word or phrase")
        if unicodedata.normalize("NFKC", value) != value:
            raise refused(place, f"{value!a:.80} has letters that look like others")
    elif not (value is None or isinstance(value, bool | int | float)):
        raise refused(place, f"{value!a:.80} is neither text nor number")


def _unchanged(place: str, found: object, wanted: object) -> None:
    if found != wanted:
        problem = f"{ascii(found)[:300]} where rules.toml expects {wanted!r}; a human must look"
        raise refused(place, problem)
