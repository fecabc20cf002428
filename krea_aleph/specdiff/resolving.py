"""Following references inside a document, wherever in it they point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REFERENCES: Final = 64


def resolve(node: Any, document: Mapping[str, Any]) -> Any:
    """Follow a reference, and the references that it leads to; other nodes are returned as such.

    What stands beside the reference of a parameter, body or response wins, as OpenAPI says.

    Raises:
        StepError: A reference leads nowhere or round in circles.
    """
    for _ in range(MAX_REFERENCES):
        if not (isinstance(node, dict) and "$ref" in node):
            return node
        beside = {key: value for key, value in node.items() if key != "$ref"}
        target = look_up(node["$ref"], document)
        node = {**target, **beside} if beside and isinstance(target, dict) else target
    raise StepError("slice", f"a reference refers to itself: {node!a:.200}")


def look_up(reference: object, document: Mapping[str, Any]) -> Any:
    """Return what a reference points to.

    Raises:
        StepError: It points outside the document, or to nothing.
    """
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise StepError("guard", f"$ref {reference!a:.120} does not stay inside the document")
    node: Any = document
    for step in reference.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, dict) and name in node:
            node = node[name]
        else:
            raise StepError("slice", f"{reference!a:.120} points to nothing")
    return node
