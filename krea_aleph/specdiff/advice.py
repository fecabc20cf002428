"""What a comparison means for somebody who has the library installed, in a sentence or two."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from krea_aleph.specdiff.changes import Severity, worst

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from krea_aleph.specdiff.changes import Change, Direction

_UPGRADE: Final = "pip install --upgrade krea-aleph"
_VERDICTS: Final = {
    Severity.NONE: "is up to date: nothing that it uses has changed.",
    Severity.DOCS: "is up to date in all that matters: only descriptions and the like changed.",
    Severity.FEATURE: "is behind, which does no harm: code goes on as before. What is new can be"
    f" sent with extra_body={{...}} and read in `raw`, or typed after `{_UPGRADE}`.",
    Severity.REVIEW: "is behind: calls go on, but look at what is marked review, since a value may"
    f" be another than before. A release that knows of it comes with `{_UPGRADE}`.",
}

_HARM: Final[tuple[tuple[Direction, str], ...]] = (
    ("request", "{} in what is sent (calls that use it are refused or do something else)"),
    ("response", "{} in answers (the library misses what it reads)"),
)


def verdict(changes: Sequence[Change], installed: str, file: Path | None) -> str:
    """Say whether an installed library is behind, whether that matters, and what to do.

    Args:
        changes: What changed since its contract.
        installed: What is installed, in words.
        file: Where the new contract is, if it is in a file.
    """
    found = worst(changes)
    if found is not Severity.BREAKING:
        return f"{installed} {_VERDICTS[found]}"
    trial = repr(str(file)) if file else "FILE"
    return (
        f"{installed} is behind, and it matters: breaking changes, {_harm(changes)}. Get a"
        f" release that knows of them (`{_UPGRADE}`), and try your application on the new contract:"
        f" krea_aleph.emulator.Emulator(contract={trial})"
        f"{'.' if file else ', with the FILE that --save keeps.'}"
    )


def _harm(changes: Sequence[Change]) -> str:
    sides = Counter(change.direction for change in changes if change.severity is Severity.BREAKING)
    return " and ".join(words.format(sides[side]) for side, words in _HARM if sides[side])
