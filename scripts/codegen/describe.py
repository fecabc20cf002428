"""A schema's description, limits and default in words, for docstrings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from codegen.prose import clean, sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEAST_AND_MOST: Final = (
    ("minLength", "maxLength", "characters"),
    ("minItems", "maxItems", "items"),
    ("minimum", "maximum", ""),
)


def describe(schema: Mapping[str, Any]) -> str:
    """Say what a value means, which values fit, and what happens when it is left out."""
    parts = [
        sentence(clean(schema.get("description"))),
        *(_range(schema, *words) for words in _LEAST_AND_MOST),
        _exclusive(schema),
        _default(schema),
        "Deprecated by Krea." if schema.get("deprecated") else "",
    ]
    return " ".join(part for part in parts if part)


def _range(schema: Mapping[str, Any], least: str, most: str, unit: str) -> str:
    low, high = schema.get(least), schema.get(most)
    if low is None and high is None:
        return ""
    if low is None:
        span = f"At most {high}"
    elif high is None:
        span = f"At least {low}"
    else:
        span = f"{low} to {high}" if low != high else f"Exactly {low}"
    if 1 in (low, high) and (low == high or None in (low, high)):
        unit = unit.removesuffix("s")
    words = f"{span} {unit}".rstrip()
    return f"{words}."


def _exclusive(schema: Mapping[str, Any]) -> str:
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    words = [
        *([f"above {above}"] if above is not None else []),
        *([f"below {below}"] if below is not None else []),
    ]
    return f"{' and '.join(words).capitalize()}." if words else ""


def _default(schema: Mapping[str, Any]) -> str:
    if "default" not in schema:
        return ""
    return sentence(clean(f"When it is left out, the server takes {schema['default']!s}"))
