"""`answers.py`: what the contract says about answers, before any of it is loosened.

With it the facade says, when an answer has something that the contract does not know, what that is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from codegen.hoist import reference_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codegen.hoist import Hoisted

Schema = dict[str, Any]

_HEAD: Final = '''"""What the contract says about answers: to compare with, not to insist on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

'''
_TYPE_OF: Final = {str: "string", bool: "boolean", int: "integer", float: "number"}


def emit_answers(strict: Hoisted) -> str:
    """Write `answers.py`.

    Args:
        strict: The operations with named models, before anything is loosened.
    """
    answers = {name: _answers(operation) for name, operation in sorted(strict.operations.items())}
    models = sorted(strict.responses.items())
    shapes = {name: _shape(model) for name, model in models if "properties" in model}
    words = {name: tuple(model["enum"]) for name, model in models if "properties" not in model}
    return (
        f"{_HEAD}ANSWERS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {answers!r}\n"
        '"""The kinds of each declared answer, by operation and status. None are no body."""\n\n'
        f"SHAPES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {shapes!r}\n"
        '"""The kinds of each field, by model; `*` is any other field.\n\n'
        "A kind is a model, a list of `WORDS`, a JSON type or `any`; with `[]` it is a list of\n"
        'such, with `{}` a map."""\n\n'
        f"WORDS: Final[Mapping[str, tuple[str, ...]]] = {words!r}\n"
        '"""The words of each list."""\n'
    )


def _answers(operation: Schema) -> dict[str, tuple[str, ...]]:
    return {
        status: () if response["schema"] is None else _kinds(response["schema"])
        for status, response in sorted(operation["responses"].items())
    }


def _shape(model: Schema) -> dict[str, tuple[str, ...]]:
    fields = {name: _kinds(schema) for name, schema in sorted(model["properties"].items())}
    extra = model.get("additionalProperties")
    return {**fields, "*": _kinds(extra)} if isinstance(extra, dict) else fields


def _kinds(schema: Schema) -> tuple[str, ...]:
    """Name what may stand in a place; `any` where that is not certain."""
    found = {*_each_kind(schema)}
    return ("any",) if "any" in found or not found else tuple(sorted(found))


def _each_kind(schema: Schema) -> Iterable[str]:
    model = reference_name(schema)
    if model is not None:
        return [model]
    if "anyOf" in schema:
        return [kind for part in schema["anyOf"] for kind in _each_kind(part)]
    types = schema.get("type")
    if types is None:
        return _types_of_values(schema)
    listed = types if isinstance(types, list) else [types]
    return [kind for name in listed for kind in _of_type(name, schema)]


def _types_of_values(schema: Schema) -> list[str]:
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    return [_TYPE_OF.get(type(value), "null") for value in values] or ["any"]


def _of_type(name: str, schema: Schema) -> list[str]:
    if name == "array":
        return [f"{kind}[]" for kind in _kinds(schema.get("items", {}))]
    extra = schema.get("additionalProperties")
    if name == "object" and isinstance(extra, dict) and not schema.get("properties"):
        return [f"{kind}{{}}" for kind in _kinds(extra)]
    return [name]
