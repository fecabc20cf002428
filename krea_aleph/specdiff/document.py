"""Reading JSON strictly, and writing it in one way."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, Final

from krea_aleph.specdiff.errors import StepError

MAX_BYTES: Final = 8_000_000
MAX_DEPTH: Final = 64


def read_document(data: bytes) -> dict[str, Any]:
    """Parse a JSON document that is safe to walk recursively.

    Args:
        data: The bytes of the file: UTF-8, at most `MAX_BYTES`.

    Raises:
        StepError: Not UTF-8, not JSON, no object, too large, too deep, a key given twice, or a
            number that JSON does not know.
    """
    if len(data) > MAX_BYTES:
        raise _refused(f"the document has {len(data)} bytes; at most {MAX_BYTES} are read")
    try:
        document = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        raise _refused(f"the document is not plain JSON: {error}") from error
    if not isinstance(document, dict):
        raise _refused(f"the document is a JSON {type(document).__name__}, not an object")
    _limit_depth(document)
    return document


def dump_document(document: object) -> bytes:
    """Write JSON for people: two spaces, UTF-8, a newline at the end."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _refused(problem: str) -> StepError:
    return StepError("read", problem)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = [name for name, count in counts.items() if count > 1][:5]
        raise _refused(f"keys are given twice: {', '.join(map(repr, twice))}")
    return result


def _no_constant(name: str) -> float:
    raise _refused(f"{name} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _refused(f"{text} is out of range")
    return value


def _limit_depth(document: object) -> None:
    level: list[object] = [document]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in children(node)]
        if not level:
            return
    raise _refused(f"the document is nested deeper than {MAX_DEPTH} levels")


def children(node: object) -> list[object]:
    """List what an object or an array of JSON holds."""
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
