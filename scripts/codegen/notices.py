"""What an operation says about its end, and about fields that have got another name.

Both stand in extensions of the description. Only the keys named here are read, and each by
allowlist: what is copied goes into data that the facade shows to people.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from codegen.prose import clean
from krea_aleph.specdiff.compare_operation import ALIASES
from krea_aleph.specdiff.texts import guard_text, matches, refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from krea_aleph.specdiff.rules import Notices

MAX_ALIASES: Final = 500

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}(T[0-9:.]{5,15}(Z|[+-]\d{2}:?\d{2})?)?")
_URL: Final = re.compile(
    r"https://[A-Za-z0-9][A-Za-z0-9.-]{0,200}(:\d{1,5})?([/?#][A-Za-z0-9._~:/?#@!$&()*+,;=%-]{0,500})?"
)
_FIELD: Final = re.compile(r"[A-Za-z0-9_$@][A-Za-z0-9_$@.-]{0,99}")
_WORDS: Final = re.compile(r"[A-Za-z0-9 _.,:;/()%&@#!?*=<>|+'`~^$\[\]-]{1,500}")
# What a writer's keyboard makes of plain punctuation.
_TYPOGRAPHY: Final = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": "'", "\u201d": "'", "\u2013": "-", "\u2014": "-"}
)

Alias = dict[str, Any]


def read_aliases(operation: Mapping[str, Any], place: str) -> list[Alias]:
    """Copy the old names of fields: each with `from`, `to`, `sunset`, `reason` and `url`.

    Args:
        operation: An operation as it stands in the document.
        place: What to call it in messages.

    Raises:
        StepError: The extension is no list of objects, or one name stands for two fields.
    """
    listed = operation.get(ALIASES, [])
    place = f"{place}/{ALIASES}"
    if not isinstance(listed, list) or len(listed) > MAX_ALIASES:
        raise refused(place, f"not a list of at most {MAX_ALIASES} entries")
    aliases: dict[str, Alias] = {}
    for index, entry in enumerate(listed):
        alias = _alias(entry, f"{place}/{index}")
        if aliases.setdefault(alias["from"], alias) != alias:
            raise refused(f"{place}/{index}", f"{alias['from']!r} is there twice, and differs")
    return [aliases[name] for name in sorted(aliases)]


def read_notice(operation: Mapping[str, Any], place: str, notices: Notices) -> dict[str, Any]:
    """Copy when an operation ends and what comes then: `sunset`, `replacement`, `migration_url`.

    Raises:
        StepError: The extension is no object, or a value is not what belongs there.
    """
    found: dict[str, Any] = {}
    for key in notices.extensions:
        extension = operation.get(key)
        if extension is not None and not isinstance(extension, dict):
            raise refused(f"{place}/{key}", "not an object")
        for name, value in (extension or {}).items():
            found.setdefault(name, (value, f"{place}/{key}/{name}"))
    return {
        "sunset": _day(*_first(found, notices.sunset)),
        "replacement": _words(*_first(found, notices.replacement)),
        "migration_url": _url(*_first(found, notices.migration_url)),
    }


def _first(found: Mapping[str, tuple[Any, str]], names: Iterable[str]) -> tuple[Any, str]:
    given = (found[name] for name in names if name in found)
    return next((pair for pair in given if pair[0] is not None), (None, ""))


def _alias(entry: object, place: str) -> Alias:
    if not isinstance(entry, dict):
        raise refused(place, "not an object with from and to")
    for key in ("from", "to"):
        matches(_FIELD, entry.get(key), f"{place}/{key}", "the name of a field")
    return {
        "from": entry["from"],
        "to": entry["to"],
        "sunset": _day(entry.get("sunset_date"), f"{place}/sunset_date"),
        "reason": _words(entry.get("reason"), f"{place}/reason"),
        "url": _url(entry.get("migration_url"), f"{place}/migration_url"),
    }


def _day(value: object, place: str) -> str | None:
    if value is None:
        return None
    matches(_DATE, value, place, "a date such as 2027-01-31")
    day = str(value)[:10]
    try:
        date.fromisoformat(day)
    except ValueError as error:
        raise refused(place, f"{day} is no day: {error}") from error
    return day


def _url(value: object, place: str) -> str | None:
    if value is not None:
        matches(_URL, value, place, "a plain https address")
    return None if value is None else str(value)


def _words(value: object, place: str) -> str | None:
    """Copy a short text; quotes and backslashes are neutralised as in every description."""
    if value is None:
        return None
    if isinstance(value, str):
        guard_text(value, place)
        value = " ".join(clean(value.translate(_TYPOGRAPHY)).split())
    matches(_WORDS, value, place, "a short text in plain words")
    return str(value)
