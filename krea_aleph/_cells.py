"""What a piece of text stands for where the contract says what belongs there. Nothing is guessed.

A text that looks like a number is one only where a number is asked for: "007" stays a text where
the contract takes texts.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

from krea_aleph._checks import problems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from krea_aleph._checks import Schema

_NUMBER: Final = re.compile(r"[+-]?\d{1,400}(?:\.\d{0,400})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE: Final = re.compile(r"[+-]?\d+", re.ASCII)
_BOOLEANS: Final = {"true": True, "false": False}
_NAMES: Final[Mapping[str, str]] = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list in JSON",
    "object": "an object in JSON",
}
_REMEDIES: Final[Mapping[str, str]] = {
    "number": "Write digits with a full stop, such as 7 or 0.5.",
    "integer": "Write digits alone, such as 7.",
    "boolean": "Write true or false.",
    "array": 'Write JSON, such as ["a", "b"] or [{"name": "value"}].',
    "object": 'Write JSON, such as {"name": "value"}.',
}
_ANY: Final = frozenset({"string", "null", *_NAMES})


class CellError(ValueError):
    """A text that stands for nothing that may stand there.

    Attributes:
        remedy: What to write instead.
    """

    remedy: str

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


def reader(schema: Schema) -> Callable[[str], object]:
    """Return what turns texts into values for a schema.

    What it returns raises `CellError` for a text that is of no kind that the schema takes. A value
    of the right kind that breaks another constraint is returned: who may break one is decided
    elsewhere.
    """
    kinds = _kinds(schema)
    if kinds & {"string"} and not kinds - {"string", "null"}:
        return _as_it_is
    return lambda text: _read(schema, kinds, text)


def _as_it_is(text: str) -> object:
    return text


def _read(schema: Schema, kinds: frozenset[str], text: str) -> object:
    values = list(_candidates(kinds, text))
    for value in values:
        if not any(problems(schema, value)):
            return value
    if values:
        return values[0]
    wanted = [kind for kind in _NAMES if kind in kinds - _implied(kinds)]
    names = " or ".join(_NAMES[kind] for kind in wanted) or "anything that is taken here"
    shown = text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004 - a line's worth
    raise CellError(f"{shown!r} is not {names}", " ".join(_REMEDIES[kind] for kind in wanted))


def _implied(kinds: frozenset[str]) -> frozenset[str]:
    return frozenset({"integer"} if "number" in kinds else ())


def _candidates(kinds: frozenset[str], text: str) -> Iterator[object]:
    """Yield what a text can stand for; where texts are taken it is a text before all else."""
    if "string" in kinds:
        yield text
    bare = text.strip()
    if kinds & {"number", "integer"} and _NUMBER.fullmatch(bare):
        value = int(bare) if _WHOLE.fullmatch(bare) else float(bare)
        if "number" in kinds and math.isfinite(value):
            yield value
        elif math.isfinite(value) and value == int(value):
            yield int(value)
    if "boolean" in kinds and bare.lower() in _BOOLEANS:
        yield _BOOLEANS[bare.lower()]
    if kinds & {"array", "object"} and bare[:1] in {"[", "{"}:
        yield from _structures(kinds, bare)


def _structures(kinds: frozenset[str], text: str) -> Iterator[object]:
    try:
        value = strict_json(text)
    except ValueError as error:
        if "string" not in kinds:
            raise CellError(f"{text[:80]!r} is no JSON: {error}", _REMEDIES["array"]) from None
        return
    if ("array" if isinstance(value, list) else "object") in kinds:
        yield value


def _kinds(schema: Schema) -> frozenset[str]:
    """Return the JSON types that a schema takes."""
    if isinstance(schema, bool):
        return _ANY
    declared = schema.get("type")
    found = _ANY
    if declared is not None:
        found = _with_integers([declared] if isinstance(declared, str) else declared)
    members = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
    if members:
        found &= _with_integers(_kind(member) for member in members)
    for part in schema.get("allOf", ()):
        found &= _kinds(part)
    for keyword in ("anyOf", "oneOf"):
        if branches := schema.get(keyword):
            found &= frozenset().union(*map(_kinds, branches))
    return found


def _with_integers(kinds: Iterable[str]) -> frozenset[str]:
    """Return kinds as a set in which every integer is a number."""
    found = frozenset(kinds)
    return found | {"integer"} if "number" in found else found


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, (list, tuple)) else "object"


def strict_json(text: str) -> Any:
    """Return the value of a JSON text, in which no key may stand twice.

    Raises:
        ValueError: It is none, is nested too deeply, or holds a number that JSON or Python do not
            know.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1}") from None


def _single(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:80]!r} stands in it twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:80]} is no finite number")
    return value


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python reads no whole numbers of more than some thousand digits
        raise ValueError(f"a number of {len(text)} digits is too long") from None


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_single,
    parse_float=_finite,
    parse_int=_integer,
    parse_constant=_finite,
)
