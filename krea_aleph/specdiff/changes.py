"""What a comparison of two contracts finds: differences of schemas, and judged changes."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Direction = Literal["request", "response"]
Place = tuple[str, ...]


class Severity(enum.IntEnum):
    """How much a change matters to users of the facade; the larger, the more."""

    NONE = 0
    DOCS = 1
    FEATURE = 2
    REVIEW = 3
    BREAKING = 4


SEVERITY_EXITS: Final = {
    Severity.NONE: 0,
    Severity.DOCS: 0,
    Severity.FEATURE: 30,
    Severity.REVIEW: 31,
    Severity.BREAKING: 32,
}
"""Exit code of `--diff` by the worst severity."""


class Effect(enum.Enum):
    """What becomes of the set of values that fit."""

    NOTE = "the same values fit"
    WIDER = "more values fit"
    NARROWER = "fewer values fit"
    OTHER = "other values fit, or it cannot be told"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference of two schemas, before it is known who sends and who reads.

    Attributes:
        place: The keys that lead to it from the schema, references resolved.
        kind: What differs, a key of the tables in `severity`.
        effect: What becomes of the values that fit.
        old: What was said before, JSON data; None where nothing was.
        new: What is said now.
    """

    place: Place
    kind: str
    effect: Effect
    old: Any
    new: Any

    def below(self, *place: str) -> Difference:
        """Return the same difference as seen from further up."""
        return replace(self, place=(*place, *self.place))


@dataclass(frozen=True, slots=True)
class Change:
    """One judged change.

    Attributes:
        pointer: JSON pointer into the document, as if every reference were written out.
        old: What was said before, JSON data; None where nothing was.
        new: What is said now.
        severity: How much it matters.
        direction: Whether it is about what we send or what we receive.
        consequence: One sentence on what users of the facade notice.
    """

    pointer: str
    old: Any
    new: Any
    severity: Severity
    direction: Direction
    consequence: str


def worst(changes: Iterable[Change]) -> Severity:
    """Return the severity of the whole."""
    return max((change.severity for change in changes), default=Severity.NONE)


def pointer(place: Place) -> str:
    """Write a place as a JSON pointer (RFC 6901)."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in place)
