"""Unix seconds and the timestamps that Krea writes: ISO 8601 with milliseconds and Z."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(seconds: float) -> int:
    """Return Unix milliseconds, the precision of Krea's timestamps."""
    return int(seconds * 1000 + 0.5)


def stamp(seconds: float) -> str:
    """Write a timestamp with milliseconds."""
    return _text(milliseconds(seconds) * 1000, "milliseconds")


def fine_stamp(microseconds: int) -> str:
    """Write a timestamp with microseconds."""
    return _text(microseconds, "microseconds")


def parse(text: str) -> int:
    """Return the Unix microseconds of a timestamp.

    Raises:
        ValueError: If it is none.
    """
    moment = datetime.fromisoformat(text.upper())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def http_date(seconds: float) -> str:
    """Write a moment as HTTP headers do."""
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)


def _text(microseconds: int, precision: str) -> str:
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")
