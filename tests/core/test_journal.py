"""What a batch reads out of the store, and how its items are named."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krea_aleph import Asset, InvalidRequestError, SQLiteStore
from krea_aleph._items import Folder, checked_place, read_item
from krea_aleph._journal import last_attempt
from krea_aleph.models import ObjectAddress
from krea_aleph.notes import write_end
from krea_aleph.store import Record

from .transcript import CLIP, configured

URL = "https://example.com/clips/a%20shot.mp4?sig=1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    """A journal."""
    with SQLiteStore(tmp_path / "jobs.sqlite3") as opened:
        yield opened


def test_the_last_attempt_counts(store: SQLiteStore, tmp_path: Path) -> None:
    """Attempts are numbered from the second on, and the next one follows."""
    assert last_attempt(None, "default", "shot") == (1, "shot", None)
    assert last_attempt(store, "default", "shot") == (1, "shot", None)
    for name in ("shot", "shot#2", "shot#3", "shot#5"):
        store.write(Record("default", name, "f"))
    last = last_attempt(store, "default", "shot")
    assert (last.number, last.intent) == (3, "shot#3")
    assert last.next("shot") == (4, "shot#4", None)
    assert not last.was_saved_to(tmp_path / "out.mp4")


def test_what_is_done(store: SQLiteStore, tmp_path: Path) -> None:
    """It is, when the journal has the place and the file is there; a lost race is run again."""
    path = tmp_path / "out\udce9.mp4"
    write_end(store, "default", "shot", path=path)
    assert store.read("default", "shot") is None
    store.write(Record("default", "shot", "f"))
    write, lost = store.write, []

    def losing(record: Record) -> Record | None:
        if lost:
            return write(record)
        lost.append(record)
        other = store.read("default", "shot")
        assert other is not None
        assert write(replace(other, phase="accepted", job_id="j1")) is not None
        return write(record)

    store.write = losing  # type: ignore[method-assign]
    write_end(store, "default", "shot", path=path)
    write_end(store, "default", "shot", path=path)
    attempt = last_attempt(store, "default", "shot")
    assert attempt.record is not None
    assert (attempt.record.job_id, attempt.record.version) == ("j1", 3)
    assert attempt.was_saved_to(path)
    assert not attempt.was_saved_to(tmp_path / "other.mp4")
    folder = Folder(tmp_path)
    assert not folder.has(path.name)
    path.write_bytes(b"x")
    assert folder.has(path.name)


def test_what_is_done_in_a_bucket(store: SQLiteStore) -> None:
    """There the place is the object's address."""
    place = ObjectAddress("s3", "clips", "out.mp4")
    store.write(Record("default", "shot", "f"))
    write_end(store, "default", "shot", path=place)
    attempt = last_attempt(store, "default", "shot")
    assert attempt.record is not None
    assert attempt.record.path == "s3://clips/out.mp4"
    assert attempt.was_saved_to(place)
    assert not attempt.was_saved_to(place.beside("other.mp4"))


def wish(video: Any, prompt: str = "snow", **more: Any) -> Any:
    """Read an item."""
    row = {"video": video, "prompt": prompt, **more}
    return read_item(configured(account=more.pop("account", "a")), 0, row)


def test_what_tells_requests_apart(tmp_path: Path) -> None:
    """Clip, prompt, options and account do; the row's number, intent, output and meta do not."""
    clip, copy, twin = (tmp_path / name for name in ("a.mp4", "b.mp4", "c.mp4"))
    for path, content in ((clip, CLIP), (copy, CLIP), (twin, CLIP[:-1] + b"x")):
        path.write_bytes(content)
        os.utime(path, ns=(10**18, 10**18))
    os.utime(copy, ns=(10**18, 10**18 + 1))
    same = wish(clip).identity
    assert wish(str(copy)).identity == same
    assert wish(clip, intent="x", output="y.mp4", meta=7).identity == same
    assert read_item(configured(account="a"), 9, {"video": clip, "prompt": "snow"}).identity == same
    others = [
        wish(clip, "rain"),
        wish(clip, options={"seed": 7}),
        wish(URL),
        wish(Asset("a1", "https://example.com/a1")),
        wish(twin),
        wish(io.BytesIO(CLIP + b"x")),
        read_item(configured(account="b"), 0, {"video": clip, "prompt": "snow"}),
    ]
    assert wish(io.BytesIO(CLIP)).identity == same
    assert len({same, *(other.identity for other in others)}) == len(others) + 1
    assert wish(clip).intent == f"batch:{same}"
    assert wish(clip, intent="mine").intent == "mine"


NAMES = [
    (URL, "a_shot-"),
    ("https://example.com", "video-"),
    ("data:video/mp4;base64,AAAA", "video-"),
    (Asset("a1", "https://example.com/x"), "a1-"),
    (io.BytesIO(CLIP), "video-"),
    ("https://example.com/nul.mp4", "video-"),
    (f"https://example.com/{'n' * 300}.mp4", f"{'n' * 60}-"),
]


@pytest.mark.parametrize(("video", "begins"), NAMES, ids=lambda value: str(value)[:20])
def test_names_of_results(video: Any, begins: str) -> None:
    """They come from the clip's name and a digest: the same in every run, fit for every system."""
    place = wish(video).place
    assert place.startswith(begins)
    assert place.endswith(".mp4")
    assert checked_place(place) == place


def test_a_stream_that_can_be_read_once() -> None:
    """It is inspected once, and its content is still there when the request is prepared."""

    class Once(io.BytesIO):
        def seekable(self) -> bool:
            return False

    draft = wish(Once(CLIP)).draft
    assert next(iter(draft.inspect().sources.values())).size_bytes == len(CLIP)
    assert (
        draft.inspect().checked.fingerprint
        == wish(io.BytesIO(CLIP)).draft.inspect().checked.fingerprint
    )


@given(
    st.text(max_size=40) | st.lists(st.sampled_from(["..", ".", "", "a", "b c", "~"])).map("/".join)
)
def test_no_place_is_outside(text: str) -> None:
    """Whatever is given as an output is refused or stays below the folder."""
    try:
        place = checked_place(text)
    except InvalidRequestError:
        return
    found = os.path.normpath(f"/folder/{place}")
    assert found == f"/folder/{place}"
    assert checked_place(place) == place
