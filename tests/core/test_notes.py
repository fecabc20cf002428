"""Notes: what a store keeps of a job for people, and what it never keeps."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import (
    IntentBusyError,
    IntentConflictError,
    InvalidRequestError,
    Job,
    JobRejectedError,
    KreaError,
    Record,
    SQLiteStore,
)
from krea_aleph.models import ObjectAddress
from krea_aleph.notes import Note, asked, begun, given, write_end

SIGNED = "https://me:pass@cdn.example.com/a.mp4?X-Amz-Signature=abc#part"


def body(**more: Any) -> dict[str, Any]:
    """Return a request."""
    return {"init_video": "https://example.com/a.mp4", "prompt": "snow", **more}


def noted(request: dict[str, Any], output: Any = None) -> Note:
    """Return the note of a request."""
    return Note.load(asked(request, "init_video", "prompt", output))


def job(status: str = "completed") -> Job:
    """Return a job that took three minutes."""
    begin = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
    return Job("job-1", status, "default", begin, begin.replace(minute=3))


@pytest.fixture
def store(tmp_path: Path) -> SQLiteStore:
    """A store."""
    return SQLiteStore(tmp_path / "jobs.sqlite3")


def test_a_note_tells_what_was_asked_for(tmp_path: Path) -> None:
    """Clip, prompt, other fields, and where the result goes."""
    note = noted(body(seed=7), tmp_path / "out.mp4")
    assert (note.video, note.prompt) == ("https://example.com/a.mp4", "snow")
    assert note.options == {"seed": 7}
    assert note.output == str(tmp_path / "out.mp4")
    assert noted(body(), ObjectAddress("s3", "films", "out.mp4")).output == "s3://films/out.mp4"


def test_a_note_has_no_signature() -> None:
    """Of an address there is neither query nor password, wherever it is; of data nothing."""
    clean = "https://cdn.example.com/a.mp4"
    note = noted(body(init_video=SIGNED, references=[{"uri": SIGNED}], image="data:image/png,x"))
    assert note.video == clean
    assert note.options == {"references": [{"uri": clean}], "image": "data:image/png"}
    assert given(SIGNED) == clean
    assert noted(body(init_video="https://[broken?secret=1")).video == "https://[broken"
    note = noted(body(prompt=f"like {SIGNED} in rain", style=f"(see {SIGNED})"))
    assert note.prompt == f"like {clean} in rain"
    assert note.options == {"style": f"(see {clean}"}
    stream = BytesIO()
    stream.name = SIGNED  # type: ignore[attr-defined]
    assert given(stream) == clean


def test_words_of_any_length_are_read_once() -> None:
    """A message that is made of beginnings of addresses takes no more time than another."""
    began = time.process_time()
    note = noted(body(prompt="https://" * 200_000))
    assert time.process_time() - began < 5
    assert note.prompt == ("https://" * 125)


def test_a_note_is_never_long() -> None:
    """Text is cut; options that are too many are named only."""
    note = noted(body(prompt="a" * 5000, more=["b" * 900] * 9))
    assert note.prompt == "a" * 1000
    assert note.options == {"more": "…"}


def test_how_a_file_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is told in full, a stream by its name, if it has one; names that are no text too."""
    monkeypatch.chdir(tmp_path)
    assert given("in.mp4") == given(Path("in.mp4")) == str(tmp_path / "in.mp4")
    assert given(BytesIO()) == "a stream"
    assert given("s3://films/in.mp4") == "s3://films/in.mp4"
    assert given("\udcff\0.mp4").endswith("?\N{REPLACEMENT CHARACTER}.mp4")


def test_the_end_is_written_beside_the_beginning(store: SQLiteStore, tmp_path: Path) -> None:
    """Status, times and path come to what was asked for; the same again writes nothing."""
    note = asked(body(), "init_video", "prompt", tmp_path / "out.mp4")
    store.write(Record("default", "shot", "f", note=begun(note, job("queued"))))
    for _ in range(2):
        write_end(store, "default", "shot", job=job(), path=tmp_path / "out.mp4")
    (record,) = store.noted()
    found = Note.load(record.note)
    assert (record.path, record.version) == (str(tmp_path / "out.mp4"), 2)
    assert (found.prompt, found.status, found.error) == ("snow", "completed", None)
    assert found.created_at == "2026-11-23T10:00:00+00:00"
    assert found.completed_at == "2026-11-23T10:03:00+00:00"
    write_end(store, "default", "nobody's", path=tmp_path / "out.mp4")
    assert len(store.noted()) == 1


def test_a_failure_is_written_with_its_answers(store: SQLiteStore) -> None:
    """Class, words, hint, whether it was charged and what to do; without signatures, and cut."""
    store.write(Record("default", "shot", "f", note=asked(body(), "init_video", "prompt", None)))
    words = f"blocked: see {SIGNED} {'x' * 5000}"
    error = JobRejectedError(job("failed"))
    error.args = (words,)
    write_end(store, "default", "shot", job=error.job, error=error, output="s3://films/a.mp4")
    found = Note.load(store.noted()[0].note)
    assert found.error is not None
    assert found.error["class"] == "JobRejectedError"
    assert found.error["message"].startswith("blocked: see https://cdn")
    assert "Signature" not in found.error["message"]
    assert len(found.error["message"]) == 2000
    assert found.error["charged"] == error.charged
    assert found.error["hint"] == error.hint
    assert (found.status, found.output) == ("failed", "s3://films/a.mp4")


def test_what_has_been_saved_stays_done(store: SQLiteStore, tmp_path: Path) -> None:
    """A call that goes wrong afterwards is no end of a job whose result is there."""
    store.write(Record("default", "shot", "f", note=asked(body(), "init_video", "prompt", None)))
    write_end(store, "default", "shot", job=job(), path=tmp_path / "out.mp4")
    before = store.noted()
    write_end(store, "default", "shot", error=InvalidRequestError("output", "it exists"))
    assert store.noted() == before


@pytest.mark.parametrize(
    "error", [IntentConflictError("shot", ("prompt",)), IntentBusyError("busy")], ids=repr
)
def test_another_request_says_nothing_of_this_one(store: SQLiteStore, error: KreaError) -> None:
    """Whoever is refused an intent that stands for something else has not ended that."""
    store.write(Record("default", "shot", "f", note=asked(body(), "init_video", "prompt", None)))
    before = store.noted()
    write_end(store, "default", "shot", error=error)
    assert store.noted() == before


class Busy(SQLiteStore):
    """A store in which somebody else has always written meanwhile."""

    def write(self, record: Record) -> Record | None:
        """Write nothing, once it has been begun."""
        return None if self.noted() else super().write(record)


def test_nobody_tries_for_ever_to_write_a_note(tmp_path: Path) -> None:
    """The result is handed out although the note never gets its turn."""
    with Busy(tmp_path / "jobs.sqlite3") as store:
        store.write(Record("default", "shot", "f", note=begun(None, job("queued"))))
        write_end(store, "default", "shot", job=job(), path=tmp_path / "out.mp4")
        assert store.noted()[0].path is None


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", '{"video": 5, "x": 1, "error": "words"}'])
def test_what_is_no_note_is_an_empty_one(text: str) -> None:
    """Something else may have written it."""
    assert Note.load(text) == Note()
    assert json.loads(Note().dump()) == {}
