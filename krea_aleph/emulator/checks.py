"""Is this request what the contract asks for? Each check raises `Problem` if it is not."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]
from jsonschema.exceptions import best_match  # type: ignore[import-untyped]

from krea_aleph.emulator import moments
from krea_aleph.specdiff.pattern_tree import Unchecked
from krea_aleph.specdiff.patterns import python_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.datastructures import FormData
    from starlette.requests import Request

    from krea_aleph.emulator.contract import Operation

_VALUES: Final = frozenset({"enum", "const", "default", "required", "examples"})
_NAMED: Final = frozenset({"properties", "dependentSchemas", "$defs"})
_BY_PATTERN: Final = frozenset(
    {"patternProperties", "additionalProperties", "unevaluatedProperties"}
)
_URI: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"
)
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_MOMENT: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)


class Problem(Exception):  # noqa: N818 - not an error of the emulator
    """Why a request is refused.

    Attributes:
        status: The status that Krea answers.
        words: What it says.
        extra: Further members of the answer's body.
    """

    def __init__(self, status: int, words: str, **extra: Any) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.extra = extra


async def json_body(operation: Operation, request: Request, now: float) -> Any:
    """Read and check a JSON body; fields under names that are still taken get their new ones.

    Raises:
        Problem: 400 if it is no JSON or not what the contract asks for.
    """
    schema = operation.bodies["application/json"]
    raw = await request.body()
    if not raw and not operation.body_required and "required" not in schema:
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        _refuse(f"Content-Type is {kind or 'missing'}; send application/json")
    try:
        body = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        _refuse(f"the body is not JSON: {error}")
    if isinstance(body, dict):
        body = {_new_name(operation, name, now): value for name, value in body.items()}
    check(schema, body, "body")
    return body


def form_fields(operation: Operation, form: FormData) -> None:
    """Check the fields of a multipart form.

    Raises:
        Problem: 400 if a field is missing, or of the wrong kind.
    """
    schema = operation.bodies["multipart/form-data"]
    for name in schema.get("required", ()):
        if name not in form:
            _refuse(f"{name}: is required")
    for name, member in schema.get("properties", {}).items():
        binary = member.get("format") == "binary"
        for value in form.getlist(name):
            if binary is isinstance(value, str):
                _refuse(f"{name}: must be {'a file' if binary else 'text'}")


def parameters(operation: Operation, request: Request, *, lenient: bool) -> dict[str, Any]:
    """Read and check the parameters of path, query and headers; return them by name.

    With `lenient`, a wrong one in the query counts as not given.

    Raises:
        Problem: 400 for a query or a header that is wrong, 404 for a path that can name nothing.
    """
    places: Mapping[str, Mapping[str, str]] = {
        "query": request.query_params,
        "header": request.headers,
        "cookie": request.cookies,
        "path": operation.path_values(request.url.path),
    }
    found = {}
    for parameter in operation.parameters:
        name, given = parameter["name"], places[parameter["in"]]
        if name in given:
            try:
                found[name] = _parameter(parameter, given[name])
            except Problem:
                if not lenient or parameter["in"] != "query":
                    raise
        elif parameter.get("required"):
            _refuse(f"{name}: is required")
    return found


def check(schema: Mapping[str, Any], value: Any, name: str) -> None:
    """Hold a value to a schema.

    Raises:
        Problem: 400 that names the field and what is wrong with it.
    """
    validator = _validator(json.dumps(schema))
    if validator.is_valid(value):  # the usual case needs no search for the best error
        return
    error = best_match(validator.iter_errors(value))
    if error is not None:
        where = ".".join(str(step) for step in error.absolute_path) or name
        _refuse(f"{where}: {error.message[:300]}")


def _new_name(operation: Operation, name: str, now: float) -> str:
    new, until = operation.aliases.get(name, (name, now))
    return new if now < until else name


def _parameter(parameter: Mapping[str, Any], text: str) -> Any:
    schema = parameter.get("schema", {})
    value = _parsed(text, schema.get("type"))
    try:
        check(schema, value, parameter["name"])
    except Problem as problem:
        if parameter["in"] == "path":
            raise Problem(404, "Not found") from problem
        raise
    return value


def _parsed(text: str, kind: str | None) -> Any:
    """Read text as its type says; what does not fit stays text and fails the check."""
    if kind == "integer" and re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    if kind == "number" and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        return float(text)
    if kind == "boolean" and text in {"true", "false"}:
        return text == "true"
    return text


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _refuse(words: str) -> NoReturn:
    raise Problem(400, words)


@lru_cache(maxsize=256)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(_runnable(json.loads(schema)), format_checker=_formats())


def _runnable(node: Any, *, named: bool = False) -> Any:
    """Leave out the patterns that Python could not run, or could run for ever.

    Args:
        node: A schema, or what is below one.
        named: Whether its keys are names of somebody's, no keywords.
    """
    if isinstance(node, list):
        return [_runnable(part) for part in node]
    if not isinstance(node, dict):
        return node
    if named:
        return {name: _runnable(schema) for name, schema in node.items()}
    result = {
        key: value if key in _VALUES else _runnable(value, named=key in _NAMED)
        for key, value in node.items()
    }
    if "patternProperties" in result:
        result = {key: value for key, value in result.items() if key not in _BY_PATTERN}
    pattern = result.pop("pattern", None)
    with suppress(Unchecked):
        return result if pattern is None else {**result, "pattern": python_pattern(str(pattern))}
    return result


@lru_cache(maxsize=1)
def _formats() -> FormatChecker:
    checker = FormatChecker(())
    checker.checks("uri")(_matches(_URI))
    checker.checks("uuid")(_matches(_UUID))
    checker.checks("date-time", raises=ValueError)(_is_moment)
    return checker


def _matches(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, str) or pattern.fullmatch(value) is not None


def _is_moment(value: object) -> bool:
    """Say whether a string is a timestamp by the letter of RFC 3339, of a day that exists."""
    if not isinstance(value, str):
        return True
    moments.parse(value)  # raises if there is no such moment
    return _MOMENT.fullmatch(value) is not None
