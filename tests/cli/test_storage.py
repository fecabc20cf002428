"""The command line with clips and results in buckets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from buckets import Bucket, gate_before, local_s3, use_environment

from .conftest import Krea

_NAMES = itertools.count(1)
CLIP = b"\0\0\0\x18ftypmp42" + bytes(1000)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket with a clip, which the environment knows."""
    with local_s3() as port, gate_before(port) as gate:
        bucket = Bucket(f"clips-of-commands-{next(_NAMES)}", gate)
        bucket.put("in.mp4", CLIP)
        use_environment(monkeypatch, bucket)
        yield bucket


def test_from_a_bucket_to_a_bucket(
    krea: Krea, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run` prints the object's address, and again, from another folder, it pays nothing."""
    command = ("run", f"{bucket.url}/in.mp4", "make it snow", "-o", f"{bucket.url}/out.mp4")
    done = krea(*command)
    assert (done.code, done.out) == (0, f"{bucket.url}/out.mp4\n")
    assert bucket.keys == ["in.mp4", "out.mp4"]
    bucket.delete("out.mp4")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert krea(*command, "--json").documents[-1]["path"] == f"{bucket.url}/out.mp4"
    assert krea.emulator.accepted == 1


def test_an_object_that_is_not_there(krea: Krea, bucket: Bucket) -> None:
    """That is a mistake of the call, as with files, and says what to do."""
    done = krea("submit", f"{bucket.url}/no.mp4", "make it snow")
    assert done.code == 2
    assert "does not exist" in done.err
    assert krea.emulator.accepted == 0


def test_a_bucket_that_is_not_there(krea: Krea, bucket: Bucket) -> None:
    """Nobody is advised to overwrite anything there; where something is in the way, they are."""
    clip = f"{bucket.url}/in.mp4"
    done = krea("run", clip, "make it snow", "-o", "s3://no-such-bucket/out.mp4")
    assert done.code == 2
    assert "is in no bucket that exists" in done.err
    assert "Check the name of the bucket." in done.err
    assert "--exists" not in done.err
    assert "--exists replace" in krea("run", clip, "snow", "-o", clip).err
    assert krea.emulator.accepted == 0


def test_a_batch_below_a_prefix(krea: Krea, bucket: Bucket) -> None:
    """A manifest of objects goes to a prefix."""
    Path("shots.csv").write_text(
        f"video,prompt,output\n{bucket.url}/in.mp4,snow,1.mp4\n{bucket.url}/in.mp4,rain,2.mp4\n"
    )
    done = krea("batch", "shots.csv", "--out", f"{bucket.url}/results")
    assert done.code == 0, done.err
    assert bucket.keys == ["in.mp4", "results/1.mp4", "results/2.mp4"]
