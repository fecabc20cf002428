"""Which strings of a request are media."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph.specdiff.rules import Media


def is_media(schema: Mapping[str, Any], name: str, rules: Media) -> bool:
    """Tell whether a string schema under a property of this name is a media address."""
    types = schema.get("type")
    listed = types if isinstance(types, list) else [types]
    return "string" in listed and schema.get("format") in rules.formats and name not in rules.never
