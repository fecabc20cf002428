"""What the headers of an answer say about the end of what was called.

``Deprecation`` comes as ``true`` (the older form, which Krea documents), as ``@<unix time>``
(RFC 9745) or as a date; ``Sunset`` (RFC 8594) as a date; ``Link`` (RFC 8288) leads to a page about
either, or to what comes next. All of it is a stranger's text: what cannot be read says nothing.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LONGEST_DATE: Final = 200
_LONGEST_LINK: Final = 4_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT: Final = re.compile(r"@(-?[0-9]{1,12})(?:\.[0-9]{0,9})?\s*(?:[;,].*)?", re.DOTALL)
_ISO_DAY: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?![0-9]).*", re.DOTALL)
_HTTP_DATE: Final = re.compile(
    r"[A-Za-z]{3,9}, [0-9]{1,2}[ -][A-Za-z]{3}[ -][0-9]{2,4} [0-9:]{5,8} [A-Za-z]{1,5}"
)
_YES: Final = frozenset({"true", "?1", "1", "yes"})
_LINK: Final = re.compile(
    r'<([^<>]*)>((?:\s*;\s*[^\s;,="<>]+(?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)'
)
_PARAMETER: Final = re.compile(r';\s*([^\s;,="<>]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))')
# What of an address may be shown: a query may hold a signature, and a user's name a password.
_ADDRESS: Final = re.compile(
    r"((?:https?://[A-Za-z0-9.-]{1,200}(?::[0-9]{1,5})?)?(?:/[A-Za-z0-9._~%:@!$&'()*+,;=/-]{0,300})?)"
    r"(?:\?[^#]*)?(#[A-Za-z0-9._~/-]{1,100})?",
    re.IGNORECASE,
)


class Signals(NamedTuple):
    """What an answer says about the end of what was called; days are YYYY-MM-DD."""

    deprecated: bool = False
    """Whether it is said to be so; without that there is only a day or a link."""
    since: str | None = None
    """The day from which it is deprecated, where one is named."""
    sunset: str | None = None
    """The day on which it is switched off."""
    replacement: str | None = None
    """Where what comes next is to be found."""
    url: str | None = None
    """A page about it."""


def read_signals(headers: Mapping[str, str]) -> Signals | None:
    """Return what headers say about an end, or None when they say nothing. Never raises.

    Args:
        headers: The headers of an answer, names in lower case.
    """
    if not ("deprecation" in headers or "sunset" in headers or "link" in headers):
        return None
    return _read(
        headers.get("deprecation", "")[:_LONGEST_DATE],
        headers.get("sunset", "")[:_LONGEST_DATE],
        headers.get("link", "")[:_LONGEST_LINK],
    )


@lru_cache(maxsize=32)  # a server says the same in every answer
def _read(deprecation: str, end: str, link: str) -> Signals | None:
    deprecated, since = _deprecation(deprecation)
    sunset = _day(end)
    links = dict(reversed([*_links(link)]))
    url = links.get("deprecation") or links.get("sunset")
    replacement = links.get("successor-version")
    if not (deprecated or sunset or url or replacement):
        return None
    return Signals(deprecated, since, sunset, replacement, url)


def _deprecation(value: str) -> tuple[bool, str | None]:
    since = _day(value)
    word = re.split(r"[,;\s]", value.strip(), maxsplit=1)[0]
    return since is not None or word.lower() in _YES, since


def _day(text: str) -> str | None:
    """Return the day of a moment, however it is written."""
    text = text.strip().strip("\"'")
    try:
        if moment := _MOMENT.fullmatch(text):
            return (_EPOCH + timedelta(seconds=int(moment[1]))).date().isoformat()
        if day := _ISO_DAY.fullmatch(text):
            return date.fromisoformat(day[1]).isoformat()
        found = _HTTP_DATE.search(text)
        when = parsedate_to_datetime(found[0] if found else text)
        return (when.astimezone(UTC) if when.tzinfo else when).date().isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _links(value: str) -> Iterator[tuple[str, str]]:
    """Yield relation and address of each link; one may have several relations."""
    for link in _LINK.finditer(value):
        address = _shown(link[1])
        parameters = (
            (name.lower(), quoted or plain) for name, quoted, plain in _PARAMETER.findall(link[2])
        )
        relations = next((text for name, text in parameters if name == "rel"), "")
        if address is not None:
            yield from ((word, address) for word in relations.lower().strip("'").split())


def _shown(address: str) -> str | None:
    found = _ADDRESS.fullmatch(address.strip())
    return (found[1] + (found[2] or "") or None) if found else None
