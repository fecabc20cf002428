"""Warnings: what there is to warn of, in words, and telling it once, at the caller's line.

What the pinned contract says is told before anything is sent; a filter that makes the warning an
exception then stops the call in time. What an answer says is never raised: by then a job may have
been paid for.
"""

from __future__ import annotations

import os
import threading
import warnings
from inspect import currentframe
from pathlib import Path
from typing import Final, NamedTuple

from krea_aleph import contract
from krea_aleph._telemetry import LOGGER
from krea_aleph.errors import KreaDeprecationWarning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from krea_aleph._signals import Signals
    from krea_aleph.contract import Notice
    from krea_aleph.errors import KreaWarning

_LIBRARY: Final = f"{Path(__file__).parent}{os.sep}"
# A server that says something else in every answer is not listened to for ever.
_MOST_TOLD: Final = 200
_LOCK: Final = threading.Lock()
_told: Final[set[tuple[str, ...]]] = set()


class Caution(NamedTuple):
    """Something to warn of.

    Attributes:
        key: What makes it the same thing as another time.
        words: What is told to people.
        facts: What is told to programs.
    """

    key: tuple[str, ...]
    words: str
    facts: dict[str, str]


def of_operations(*names: str) -> Iterator[Caution]:
    """Yield what the pinned contract says about the end of operations that are to be called."""
    known = contract.notices()
    yield from (_of_contract(known[name]) for name in names if name in known)


def of_field(operation: str, field: str, state: str, words: str) -> Caution:
    """Return what is to be said of a field of a request: it is deprecated, or was renamed."""
    facts = {"operation": operation, "source": "contract", "state": state, "field": field}
    return Caution(("field", operation, field), f"{field}: {words}. {_source()}", facts)


def of_answer(operation: str, signals: Signals) -> Caution | None:
    """Return what an answer says about its operation's end, if the pinned contract does not."""
    known = contract.notices().get(operation)
    if known is not None and signals.sunset in {None, known.sunset}:
        return None
    since = f" since {signals.since}" if signals.since else ""
    says = f"say that it is deprecated{since}" if signals.deprecated else "announce its end"
    ends = _ends(signals.sunset, signals.replacement, signals.url)
    facts = _facts(
        operation=operation,
        source="answer",
        state="deprecated" if signals.deprecated else "announced",
        since=signals.since,
        sunset=signals.sunset,
        replacement=signals.replacement,
        url=signals.url,
    )
    key = ("answer", operation, f"{signals.since}", f"{signals.sunset}")
    return Caution(key, f"{operation}: Krea's answers {says}{ends}", facts)


def retirement(operation: str) -> str:
    """Return in a sentence that the pinned contract has an operation as gone, or nothing."""
    known = contract.notices().get(operation)
    if known is None or known.retired is None:
        return ""
    return f"The contract of {contract.date} has it as retired since {known.retired}."


def warn_once(caution: Caution) -> None:
    """Warn, unless this process has been warned of the same thing.

    Raises:
        KreaDeprecationWarning: A filter makes it an exception; then it counts as not told.
    """
    with _LOCK:
        if caution.key in _told:
            return
        _told.add(caution.key)
    try:
        warn(caution.words, KreaDeprecationWarning)
    except BaseException:
        _told.discard(caution.key)
        raise


def warn_safely(caution: Caution) -> None:
    """Warn once; what a filter or a hook makes of it goes to the log and no further."""
    try:
        if len(_told) < _MOST_TOLD:
            warn_once(caution)
    except Exception as error:  # noqa: BLE001 - a stranger's hook; and the job comes first
        kind = type(error).__name__
        LOGGER.warning("%s is not raised, as a job may be at stake: %s", kind, caution.words)


def warn(text: str, category: type[KreaWarning]) -> None:
    """Warn at the line that called the library."""
    level, frame = 1, currentframe()  # `skip_file_prefixes` needs Python 3.12
    while frame is not None and frame.f_code.co_filename.startswith(_LIBRARY):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)


def _of_contract(known: Notice) -> Caution:
    if known.retired:
        state, since = "retired", known.retired
        words = f"Krea's description no longer has it since {since}; it may be refused at any time"
    elif known.deprecated:
        state, since = "deprecated", known.deprecated
        words = f"Krea advises against it since {since}"
    else:
        state, since = "announced", None
        words = "its end is announced"
    ends = _ends(known.sunset, known.replacement, known.migration_url)
    facts = _facts(
        operation=known.operation,
        source="contract",
        state=state,
        since=since,
        sunset=known.sunset,
        replacement=known.replacement,
        url=known.migration_url,
    )
    text = f"{known.operation}: {words}{ends} {_source()}"
    return Caution(("contract", known.operation, state), text, facts)


def _ends(sunset: str | None, replacement: str | None, url: str | None) -> str:
    """Say when it ends, what comes next and where to read on, as far as that is known."""
    day = f"; its last day is {sunset}" if sunset else ""
    instead = f" Use {replacement} instead." if replacement else ""
    page = f" See {url}" if url else ""
    return f"{day}.{instead}{page}"


def _source() -> str:
    return f"So says the contract of {contract.date} that this library was built from."


def _facts(**facts: str | None) -> dict[str, str]:
    return {name: fact for name, fact in facts.items() if fact is not None}
