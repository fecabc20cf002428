"""Stores with the jobs of thousands of clips, without running any."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from krea_aleph import SQLiteStore
from krea_aleph.notes import Note
from krea_aleph.store import Record

BEGIN = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
BLOCKED = {
    "class": "JobRejectedError",
    "message": "job 7 was rejected: nsfw",
    "hint": "Change the prompt.",
    "charged": "no",
    "resubmit": "pointless",
}


def ended(intent: str, path: Path | None = None, account: str = "default", **facts: Any) -> Record:
    """Return the record of a job that has ended, with a path or with an error."""
    known = {"status": "completed", "created_at": BEGIN.isoformat()}
    known["completed_at"] = (BEGIN + timedelta(seconds=170)).isoformat()
    note = Note(**{**known, **facts})
    return Record(
        account,
        intent,
        "f",
        phase="accepted",
        job_id=f"job-{account}-{intent}",
        path=None if path is None else str(path),
        note=note.dump(),
    )


def filled(path: Path, records: Sequence[Record]) -> SQLiteStore:
    """Return a store that has some records."""
    store = SQLiteStore(path)
    with store._opened() as connection:  # all at once: each one alone is written to the disk
        connection.execute("BEGIN")
        for record in records:
            store.write(record)
        connection.execute("COMMIT")
    return store


def many(folder: Path, number: int) -> list[Record]:
    """Return so many records: each third has failed, each fifth is of another account."""
    records = []
    for index in range(number):
        begin = BEGIN + timedelta(seconds=index)
        facts: dict[str, Any] = {
            "video": f"https://example.com/in-{index}.mp4",
            "prompt": f"make it snow, wish {index}",
            "output": str(folder / f"clip-{index}.mp4"),
            "created_at": begin.isoformat(),
            "completed_at": (begin + timedelta(seconds=100)).isoformat(),
        }
        account = "other" if index % 5 == 0 else "default"
        if index % 3 == 0:
            kind = "JobFailedError" if index % 2 else "JobRejectedError"
            error = {**BLOCKED, "class": kind}
            records.append(ended(f"i{index}", None, account, error=error, **facts))
        else:
            records.append(ended(f"i{index}", folder / f"clip-{index}.mp4", account, **facts))
    return records
