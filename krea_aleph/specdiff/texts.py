"""What every text, path and reference of a document must be, whoever reads it.

A description is shown to people and walked by tools: no text may hold characters that change what
a reader sees, no path may lead anywhere but below the server, no reference outside the document.
"""

from __future__ import annotations

import re
from typing import Final

from krea_aleph.specdiff.document import children
from krea_aleph.specdiff.errors import StepError

MAX_TEXT: Final = 20_000
MAX_SHOWN: Final = 80
"""How much of a stranger's name a message repeats."""

_PATH: Final = re.compile(r"(/([A-Za-z0-9_~-][A-Za-z0-9._~-]*|\{[A-Za-z_][A-Za-z0-9_]*\}))+")
_INSIDE: Final = re.compile(r"#/[A-Za-z0-9._~%{}/$ -]{1,300}")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters other than tab and line ends
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional: they reorder what is shown
    "\u2028\u2029\ufeff\ufff9-\ufffb\ufffe\uffff"  # separators and non-characters
    "\ud800-\udfff\U000e0000-\U000e007f]"  # lone surrogates, invisible tags
)


def guard_references(document: object) -> None:
    """Check that every reference stays inside the document.

    This comes before validation: a validator would go and fetch what lies outside.

    Raises:
        StepError: A reference leads elsewhere, or a schema gives itself an address of its own.
    """
    if isinstance(document, dict):
        for key in ("$ref", "$dynamicRef", "$recursiveRef"):
            target = document.get(key)
            if isinstance(target, str) and not _INSIDE.fullmatch(target):
                raise refused(key, f"{target!a:.120} does not stay inside the document")
        for key in ("$id", "$schema", "jsonSchemaDialect"):
            if isinstance(document.get(key), str):
                raise refused(key, "a schema that says where it lives is not read")
    for child in children(document):
        guard_references(child)


def guard_path(path: str) -> None:
    """Check one path template.

    Raises:
        StepError: It is more than plain segments and `{placeholders}` below the server.
    """
    matches(_PATH, path, "paths", "a plain path such as /jobs/{id}")
    names = placeholders(path)
    if len(set(names)) != len(names):
        raise refused("paths", f"{path!r} has the same placeholder twice")


def placeholders(path: str) -> list[str]:
    """Return the names in the braces of a path, in order."""
    return _PLACEHOLDER.findall(path)


def guard_text(text: str, place: str) -> None:
    """Check a text for length and for characters that hide something.

    Raises:
        StepError: It is too long, or holds a control, bidirectional or separator character.
    """
    if len(text) > MAX_TEXT:
        raise refused(place, f"a text of {len(text)} characters; at most {MAX_TEXT} are read")
    guard_visible(text, place)


def guard_visible(text: str, place: str) -> None:
    """Check a text of any length for characters that hide something.

    Raises:
        StepError: It holds a control, bidirectional or separator character.
    """
    found = _INVISIBLE.search(text)
    if found:
        raise refused(place, f"the character U+{ord(found[0]):04X} hides or reorders text")


def guard_texts(node: object, place: str = "") -> None:
    """Check every name and text in a node, and below it.

    Raises:
        StepError: One is too long, or holds what nobody sees; the message says where.
    """
    if isinstance(node, str):
        guard_text(node, place or "a text")
    elif isinstance(node, dict):
        for name, child in node.items():
            below = f"{place}/{name[:MAX_SHOWN]}"
            guard_text(name, f"{below}: this name")
            guard_texts(child, below)
    elif isinstance(node, list):
        for index, child in enumerate(node):
            guard_texts(child, f"{place}/{index}")


def matches(pattern: re.Pattern[str], text: object, place: str, wanted: str) -> None:
    """Check a text against an allowlist.

    Raises:
        StepError: It does not match; `wanted` says in words what would.
    """
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise refused(place, f"{text!a:.120} is not {wanted}")


def refused(place: str, problem: str) -> StepError:
    """Return the refusal of what stands in a place."""
    return StepError("guard", f"{place}: {problem}")
