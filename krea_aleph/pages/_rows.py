"""What a report tells of a folder: a row for each job that went there, and for each other video."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from krea_aleph.notes import Note
from krea_aleph.pages._clips import link
from krea_aleph.pages._escape import readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from krea_aleph.store import Record

_VIDEOS: Final = (".mp4", ".mov", ".webm")
_ATTEMPT: Final = re.compile(r"#(\d{1,9})$")
_OPEN: Final = ("posting", "unknown", "parked")
# Whoever has waited gave up, and the job goes on.
_NO_END: Final = ("WaitTimeoutError", "JobNotFinishedError")


@dataclass(frozen=True, slots=True)
class Row:
    """One job, or one video that no job is known for.

    Attributes:
        record: What the store has of it, if it has anything.
        note: What of that is for people.
        path: The restyled clip, where it is or should be; None where that is not known.
        attempts: How many tries of the same are behind it, this one included.
    """

    record: Record | None
    note: Note
    path: Path | None
    attempts: int = 1

    @property
    def there(self) -> bool:
        """Whether the restyled clip is there."""
        return self.path is not None and os.path.isfile(self.path)  # noqa: PTH113 - as below

    @property
    def status(self) -> str:
        """How it stands, in a word or two."""
        if self.record is None:
            return "no record"
        if self.record.phase in _OPEN:
            return "uncertain"
        if self.note.error is not None and self.note.error.get("class") not in _NO_END:
            return "failed"
        if self.record.path is not None:
            return "done" if self.there else "file is gone"
        return "under way" if self.record.job_id is not None else "not begun"

    @property
    def span(self) -> tuple[float, float] | None:
        """From when to when the job was under way, in Unix time."""
        begin, end = _moment(self.note.created_at), _moment(self.note.completed_at)
        return None if begin is None or end is None or end < begin else (begin, end)


class Cause(NamedTuple):
    """Why some have failed.

    Attributes:
        name: The class of the error.
        charged: Whether it costs money.
        resubmit: Whether to submit again.
        hint: What to do, as most of them say.
        rows: How many there are.
    """

    name: str
    charged: str
    resubmit: str
    hint: str
    rows: int


def rows_of(folder: Path, records: Iterable[Record]) -> list[Row]:
    """Return the rows of a folder, those of jobs first and the newest first."""
    inside = _Inside(folder)
    last: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        place = record.path or Note.load(record.note).output
        if place is not None and inside.holds(place):
            first = _ATTEMPT.sub("", record.intent)
            last.setdefault((record.account, first, place), []).append(record)
    found = [_row(inside, attempts) for attempts in last.values()]
    found.sort(key=lambda row: -(row.record.updated_at if row.record else 0))
    return [*found, *_others(folder, found)]


def causes_of(rows: Iterable[Row]) -> list[Cause]:
    """Return why rows have failed, the commonest first."""
    hints: dict[tuple[str, str, str], Counter[str]] = {}
    for row in rows:
        if (key := cause_key(row)) is not None and row.note.error is not None:
            hints.setdefault(key, Counter())[str(row.note.error.get("hint", ""))] += 1
    found = [
        Cause(*key, counter.most_common(1)[0][0], counter.total()) for key, counter in hints.items()
    ]
    return sorted(found, key=lambda cause: -cause.rows)


def cause_key(row: Row) -> tuple[str, str, str] | None:
    """Return what tells the cause of a failure from others."""
    error = row.note.error
    if error is None:
        return None
    return str(error.get("class")), str(error.get("charged")), str(error.get("resubmit"))


def told(row: Row, folder: Path, page: Path) -> dict[str, Any]:
    """Return what the page's script has to know of a row; names are text, links are addresses."""
    note, record, error = row.note, row.record, row.note.error or {}
    before = _local(note.video)
    # Unlike its like of `Path` it says no of what may not be looked at, and of names too long.
    known = before is not None and os.path.isfile(before)  # noqa: PTH113
    facts = {
        "name": readable(_name(row, folder)),
        "status": row.status,
        "prompt": readable(note.prompt),
        "video": readable(note.video),
        "options": readable(", ".join(f"{name}: {value}" for name, value in _options(note))),
        "account": readable(record.account) if record else "",
        "job": readable(record.job_id or "") if record else "",
        "intent": readable(record.intent) if record else "",
        "attempts": row.attempts,
        "seconds": None if row.span is None else round(row.span[1] - row.span[0], 1),
        "at": None if row.span is None else row.span[0],
        "after": link(page, row.path) if row.path is not None and row.there else None,
        "before": link(page, before) if before is not None and known else None,
        "message": readable(str(error.get("message", ""))),
        "hint": readable(str(error.get("hint", ""))),
        "error": readable(str(error.get("class", ""))),
        "charged": readable(str(error.get("charged", ""))),
    }
    return {name: value for name, value in facts.items() if value not in {"", None}}


class _Inside:
    """Tells what is inside a folder, whichever way leads there."""

    def __init__(self, folder: Path) -> None:
        self.base = os.path.realpath(folder)
        self._real = cache(os.path.realpath)

    def holds(self, place: str) -> bool:
        """Whether a place is in there; an address of an object never is."""
        if "://" in place or "\0" in place:
            return False
        parent = str(self._real(os.path.dirname(place)))  # noqa: PTH120 - of thousands
        within = parent == self.base or parent.startswith(os.path.join(self.base, ""))  # noqa: PTH118 - likewise
        return within or self._real(place) == self.base


def _row(inside: _Inside, attempts: list[Record]) -> Row:
    record = max(attempts, key=lambda one: (_number(one), one.updated_at))
    note = Note.load(record.note)
    place = record.path or note.output or ""
    whole = Path(place) if os.path.realpath(place) != inside.base else None
    return Row(record, note, whole, len(attempts))


def _number(record: Record) -> int:
    found = _ATTEMPT.search(record.intent)
    return int(found[1]) if found else 1


def _others(folder: Path, known: list[Row]) -> Iterator[Row]:
    """Yield the videos of a folder that no row knows, as result or as input."""
    places = {os.path.realpath(row.path) for row in known if row.path is not None}
    places |= {os.path.realpath(path) for row in known if (path := _local(row.note.video))}
    for path in sorted(folder.rglob("*")):
        video = path.suffix.lower() in _VIDEOS and os.path.isfile(path)  # noqa: PTH113 - as above
        if video and os.path.realpath(path) not in places:
            yield Row(None, Note(), path)


def _name(row: Row, folder: Path) -> str:
    if row.path is None:
        return row.record.job_id or row.record.intent if row.record else ""
    for base in (folder, folder.absolute(), folder.resolve()):
        if row.path.is_relative_to(base):
            return str(row.path.relative_to(base))
    return row.path.name


def _local(video: str) -> Path | None:
    """Return the path of a clip, if it was one."""
    local = "://" not in video and "\0" not in video and os.path.isabs(video)  # noqa: PTH117 - text
    return Path(video) if local else None


def _options(note: Note) -> Iterable[tuple[str, Any]]:
    return sorted((note.options or {}).items())


def _moment(text: str | None) -> float | None:
    try:
        moment = datetime.fromisoformat(text or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        return None
