"""Batches from buckets to buckets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buckets import Bucket
from colours import CLIP, OpenClient
from krea_aleph import Failed, InvalidRequestError, SQLiteStore, Succeeded, manifest
from krea_aleph.emulator import Emulator
from krea_aleph.storage import Storage


@pytest.fixture
def items(bucket: Bucket) -> list[dict[str, Any]]:
    """Three clips that are in the bucket, and one that is not."""
    urls = [bucket.put(f"in/{number}.mp4", CLIP) for number in range(3)]
    return [{"video": url, "prompt": "snow"} for url in [*urls, f"{bucket.url}/in/no.mp4"]]


def test_a_batch(aleph: Any, bucket: Bucket, items: list[dict[str, Any]]) -> None:
    """Every result is below the prefix, and what is not there fails by itself."""
    found = list(aleph.batch(items, output_dir=f"{bucket.url}/out", ordered=True))
    assert [type(outcome) for outcome in found] == [Succeeded] * 3 + [Failed]
    assert "does not exist" in str(found[3].error)
    urls = [outcome.saved.url for outcome in found[:3]]
    assert all(url.startswith(f"{bucket.url}/out/") for url in urls)
    assert {url.removeprefix(f"{bucket.url}/") for url in urls} < set(bucket.keys)


def test_a_batch_that_is_run_again(
    open_client: OpenClient,
    bucket: Bucket,
    items: list[dict[str, Any]],
    emulator: Emulator,
    tmp_path: Path,
) -> None:
    """What is done sends nothing; what was deleted is fetched again, and not paid again."""
    storage = Storage({bucket.url: bucket.settings}, presign=600)
    with SQLiteStore(tmp_path / "jobs.sqlite3") as store:
        aleph = open_client(storage=storage, store=store)
        output_dir = f"{bucket.url}/out/"
        first = list(aleph.batch(items[:3], output_dir=output_dir))
        assert emulator.accepted == 3
        emulator_requests = len(emulator.requests)
        again = list(aleph.batch(items[:3], output_dir=output_dir))
        assert len(emulator.requests) == emulator_requests
        urls = {outcome.saved.url for outcome in first}
        assert urls == {outcome.saved.url for outcome in again}
        assert all(outcome.job is None for outcome in again)
        bucket.delete(next(iter(urls)).removeprefix(f"{bucket.url}/"))
        third = list(aleph.batch(items[:3], output_dir=output_dir))
        assert {outcome.saved.url for outcome in third} == urls
    assert emulator.accepted == 3


def test_a_bucket_that_nothing_can_be_written_to(
    aleph: Any, bucket: Bucket, items: list[dict[str, Any]], emulator: Emulator
) -> None:
    """A batch does not begin where none of its results could be saved."""
    bucket.gate.trouble("POST", "uploads", status=403)
    with pytest.raises(InvalidRequestError, match="refused by its store") as caught:
        list(aleph.batch(items, output_dir=f"{bucket.url}/out"))
    assert caught.value.field == "output_dir"
    assert not emulator.requests


def test_a_manifest(
    bucket: Bucket, items: list[dict[str, Any]], emulator: Emulator, tmp_path: Path
) -> None:
    """A table names objects by their URLs; they are not relative to its folder."""
    named = [f"{item['video']},snow,{number}.mp4" for number, item in enumerate(items[:2])]
    lines = ["video,prompt,output", *named]
    (tmp_path / "shots.csv").write_text("\n".join(lines))
    rows = manifest.read(tmp_path / "shots.csv")
    with emulator.aleph(virtual_time=True, storage={bucket.url: bucket.settings}) as aleph:
        found: list[Any] = list(aleph.batch(rows, output_dir=f"{bucket.url}/out"))
    urls = {outcome.saved.url for outcome in found}
    assert urls == {f"{bucket.url}/out/0.mp4", f"{bucket.url}/out/1.mp4"}


def test_a_row_that_names_no_object(bucket: Bucket) -> None:
    """A table is read without looking at buckets, and tells what cannot be an object."""
    good, bad = manifest.read(
        [
            {"video": f"{bucket.url}/in.mp4", "prompt": "snow"},
            {"video": f"{bucket.url}/folder/", "prompt": "snow"},
        ]
    )
    assert good == {"video": f"{bucket.url}/in.mp4", "prompt": "snow"}
    assert isinstance(bad, manifest.BadRow)
    assert "is a folder, no object" in str(bad.error)
    assert bucket.gate.requests == []


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("s3://other/out.mp4", "is a whole address. Outputs are names below output_dir"),
        ("../out.mp4", "leads out of its folder"),
        ("/out.mp4", "is no name inside the folder"),
        ("a/../../b.mp4", "leads out of its folder"),
    ],
)
def test_outputs_stay_below_the_prefix(
    output: str, words: str, bucket: Bucket, items: list[dict[str, Any]], emulator: Emulator
) -> None:
    """An item's own output leads nowhere else."""
    with emulator.aleph(storage={bucket.url: bucket.settings}) as aleph:
        (found,) = aleph.batch([{**items[0], "output": output}], output_dir=f"{bucket.url}/out")
    assert isinstance(found, Failed)
    assert isinstance(found.error, InvalidRequestError)
    assert words in str(found.error)
    assert not emulator.accepted
