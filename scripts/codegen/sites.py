"""Where a schema occurs: `get_job.200.result.urls[]`, `list_jobs.query.limit`, `x.body`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_STEPS: Final = re.compile(r"\[\]|[^.\[\]]+")


def roots(operations: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Walk the places that hold a schema: each site with the node whose `schema` it is."""
    for name, operation in operations.items():
        if operation["body"] is not None:
            yield f"{name}.body", operation["body"]
        for key, parameter in operation["parameters"].items():
            yield f"{name}.{key}", parameter
        for status, response in operation["responses"].items():
            if response["schema"] is not None:
                yield f"{name}.{status}", response


def find(operations: Mapping[str, Any], site: str) -> tuple[dict[str, Any], str] | None:
    """Find the node and the key that hold the schema of a site, or nothing."""
    for root, node in roots(operations):
        if site == root or site.startswith((f"{root}.", f"{root}[")):
            return _descend(node, _STEPS.findall(site[len(root) :]))
    return None


def _descend(node: dict[str, Any], steps: list[str]) -> tuple[dict[str, Any], str] | None:
    key = "schema"
    for name in steps:
        schema = node[key]
        node, key = (schema, "items") if name == "[]" else (schema.get("properties", {}), name)
        if key not in node:
            return None
    return node, key
