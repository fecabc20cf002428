"""What a store has for people to look at, however a job was started and however it has ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import (
    IntentConflictError,
    JobRejectedError,
    SQLiteStore,
    StoreError,
    SubmitUncertainError,
)
from krea_aleph.emulator import Emulator, Fault
from krea_aleph.notes import Note

URL = "https://example.com/in.mp4?signature=secret"
SUBMIT = "create_aleph_job"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    """A store."""
    with SQLiteStore(tmp_path / "jobs.sqlite3") as opened:
        yield opened


def note_of(store: SQLiteStore, intent: str) -> Note:
    """Return the note of an intent."""
    record = store.read("default", intent)
    assert record is not None
    return Note.load(record.note)


def test_a_transform_under_an_intent(
    open_client: Any, store: SQLiteStore, clip: Path, tmp_path: Path
) -> None:
    """Clip, prompt and fields are there with the submit, times and path when it is done."""
    aleph = open_client(store=store)
    aleph.transform(clip, "snow", tmp_path / "out.mp4", intent="shot", seed=7)
    note, record = note_of(store, "shot"), store.read("default", "shot")
    assert record is not None
    assert record.path == note.output == str(tmp_path / "out.mp4")
    assert (note.video, note.prompt, note.options) == (str(clip), "snow", {"seed": 7})
    assert (note.status, note.error) == ("completed", None)
    assert note.created_at is not None
    assert note.completed_at is not None
    assert note.created_at < note.completed_at


def test_a_submit_is_noted_before_the_request_leaves(
    open_client: Any, emulator: Emulator, store: SQLiteStore
) -> None:
    """What was asked for is known although the answer was lost; nothing signed is."""
    emulator.fault(Fault(operation=SUBMIT, drop="after"))
    with pytest.raises(SubmitUncertainError):
        open_client(store=store).submit(URL, "snow", intent="shot")
    note = note_of(store, "shot")
    assert (note.video, note.prompt) == ("https://example.com/in.mp4", "snow")
    assert note.status is None


def test_a_failure_and_then_a_recovery(
    open_client: Any, emulator: Emulator, store: SQLiteStore, tmp_path: Path
) -> None:
    """Why there is no result is there until there is one."""
    aleph = open_client(store=store, exclusive=True)
    emulator.fault(Fault(operation=SUBMIT, drop="after"))
    with pytest.raises(SubmitUncertainError) as lost:
        aleph.transform(URL, "snow", tmp_path / "out.mp4", intent="shot")
    error = note_of(store, "shot").error
    assert error is not None
    assert (error["class"], error["charged"]) == ("SubmitUncertainError", "unknown")
    assert aleph.recover(lost.value) is not None
    assert note_of(store, "shot").error is None
    aleph.transform(URL, "snow", tmp_path / "out.mp4", intent="shot")
    assert note_of(store, "shot").status == "completed"


def test_a_batch(open_client: Any, emulator: Emulator, store: SQLiteStore, tmp_path: Path) -> None:
    """Each item that was begun has its prompt, its place and its end: a path or an error."""
    emulator.outcome(status="failed", error={"code": "nsfw", "message": "blocked"})
    items = [{"video": URL, "prompt": f"wish {n}", "intent": f"i{n}"} for n in range(3)]
    aleph = open_client(store=store)
    outcomes = list(aleph.batch(items, output_dir=tmp_path / "out", max_inflight=1))
    assert sum(hasattr(outcome, "error") for outcome in outcomes) == 1
    notes = [note_of(store, f"i{n}") for n in range(3)]
    assert [note.prompt for note in notes] == ["wish 0", "wish 1", "wish 2"]
    (bad,) = [note for note in notes if note.error]
    assert bad.error is not None
    assert bad.error["class"] == JobRejectedError.__name__
    assert bad.error["hint"]
    assert bad.status == "failed"
    assert all(Path(note.output or "").parent == tmp_path / "out" for note in notes)
    assert [record.path is None for record in store.noted()].count(True) == 1


class Forgetful(SQLiteStore):
    """A store that cannot be written any more once a job was accepted."""

    def write(self, record: Any) -> Any:
        """Write it, or fail."""
        if record.job_id is not None or record.path is not None:
            raise StoreError("the disk is full")
        return super().write(record)


def test_notes_break_nothing(open_client: Any, tmp_path: Path) -> None:
    """A store that cannot be written costs the note and not the result; an event says so."""
    events: list[Any] = []
    with Forgetful(tmp_path / "jobs.sqlite3") as store:
        aleph = open_client(store=store, on_event=events.append)
        saved = aleph.transform(URL, "snow", tmp_path / "out.mp4", intent="shot")
    assert saved.path == tmp_path / "out.mp4"
    assert [event.kind for event in events].count("store_failed") == 2


class Strange(SQLiteStore):
    """A store whose errors are no StoreError, as one of somebody else's may have."""

    def write(self, record: Any) -> Any:
        """Write it, or fail."""
        if record.path is not None:
            raise RuntimeError("no such table")
        return super().write(record)


def test_no_error_of_a_note_is_worth_a_result(open_client: Any, tmp_path: Path) -> None:
    """Whatever a store raises when a note is written, the paid result is handed out."""
    events: list[Any] = []
    with Strange(tmp_path / "jobs.sqlite3") as store:
        aleph = open_client(store=store, on_event=events.append)
        saved = aleph.transform(URL, "snow", tmp_path / "out.mp4", intent="shot")
    assert saved.path == tmp_path / "out.mp4"
    assert "store_failed" in [event.kind for event in events]


def test_a_second_call_does_not_make_a_done_job_fail(
    open_client: Any, store: SQLiteStore, tmp_path: Path
) -> None:
    """Another request under the same intent is refused, and the note says what it said."""
    aleph = open_client(store=store)
    aleph.transform(URL, "snow", tmp_path / "out.mp4", intent="shot")
    before = note_of(store, "shot")
    with pytest.raises(IntentConflictError):
        aleph.transform(URL, "rain", tmp_path / "rain.mp4", intent="shot")
    assert note_of(store, "shot") == before


def test_the_end_is_one_write(open_client: Any, store: SQLiteStore, tmp_path: Path) -> None:
    """From claim to end there are as many writes as before there were notes, and one."""
    aleph = open_client(store=store)
    aleph.submit(URL, "rain", intent="plain")
    aleph.transform(URL, "snow", tmp_path / "out.mp4", intent="shot")
    plain, shot = store.read("default", "plain"), store.read("default", "shot")
    assert plain is not None
    assert shot is not None
    assert shot.version == plain.version + 1 == 4
