"""Saving results: a partial file beside the final one, then one new name."""

import gc
import os
import re
import resource
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from krea_aleph._saving import PartFile, Target, keep, part_for, together
from krea_aleph.errors import DownloadError, InvalidRequestError
from krea_aleph.models import Exists, Job, Output, Saved

from .transcript import CLIP, CLIP_URL, label

JOB = Job("j1", "completed", outputs=(Output(CLIP_URL), Output(CLIP_URL)))


@pytest.fixture
def part(tmp_path: Path) -> Iterator[PartFile]:
    """A partial file for out.mp4."""
    file = part_for(Target(tmp_path, "out.mp4", "error"), JOB, 0, CLIP_URL + "?signature=s3cret")
    yield file
    file.leave()


def fill(part: PartFile, data: bytes = CLIP, headers: Mapping[str, str] | None = None) -> None:
    """Write a whole answer into a part."""
    assert part.begin(200, headers or {})
    part.write(data)


@pytest.mark.parametrize("exists", ["error", "replace", "keep"])
def test_an_exact_file(exists: Exists, tmp_path: Path) -> None:
    """Anything that is no folder is the exact name of the first result, others stand beside it."""
    target = Target.checked(tmp_path / "out.mp4", exists)
    assert tuple(target) == (tmp_path, "out.mp4", exists)
    paths = [target.path(JOB, index, "video/webm") for index in range(3)]
    assert [path.name for path in paths] == ["out.mp4", "out-2.mp4", "out-3.mp4"]


def test_a_folder(tmp_path: Path) -> None:
    """Into a folder go files named after the job, with the extension of what they really are."""
    target = Target.checked(tmp_path, "error")
    assert target == (tmp_path, None, "error")
    assert Target.checked(f"{tmp_path}/", "error") == target
    kinds = ("video/mp4", "video/webm", None)
    names = [target.path(JOB, index, kind).name for index, kind in enumerate(kinds)]
    assert names == ["j1.mp4", "j1-2.webm", "j1-3.bin"]


@pytest.mark.parametrize("job_id", ["C:job", "job*", "a/b", "..\\b", "..", "ü"])
def test_an_id_never_leaves_its_folder(job_id: str, tmp_path: Path) -> None:
    """Whatever an id is made of, its files are in the folder, and it is no pattern or stream."""
    target = Target(tmp_path, None, "error")
    job = Job(job_id, "completed", outputs=(Output(CLIP_URL),))
    (tmp_path / "jobs.mp4").touch()
    assert target.standing(job) == [None]
    part = part_for(target, job, 0, CLIP_URL)
    fill(part)
    final = part.finish(target, job, 0).path
    assert final.parent == tmp_path
    assert re.fullmatch(r"[\w.-]+\.mp4", final.name, re.ASCII)
    assert target._replace(exists="keep").standing(job) == [final]


@pytest.mark.parametrize(
    ("output", "exists", "words"),
    [
        ("taken.mp4", "error", "'.*taken.mp4' exists. .*exists=\"replace\""),
        ("dangling.mp4", "error", "exists"),
        ("out.mp4", "overwrite", "exists: 'overwrite' is none of"),
        ("missing/out.mp4", "error", "the folder '.*missing' does not exist"),
        ("missing/", "error", "the folder '.*missing' does not exist"),
        ("taken.mp4/out.mp4", "error", "the folder '.*taken.mp4' does not exist"),
        ("out.mp4", ["error"], r"exists: \['error'\] is none of"),
        ("nul\0byte.mp4", "error", "cannot be used: .*null"),
        ("nul\0byte/out.mp4", "error", "cannot be used: .*null"),
        ("\ud800.mp4", "replace", "cannot be used: .*surrogates not allowed"),
        ("x" * 300 + "/out.mp4", "replace", "File name too long"),
        ("x" * 252 + ".mp4", "replace", "File name too long"),
        ("x" * 235 + ".mp4", "replace", "File name too long"),  # its .part might be
    ],
)
def test_nothing_is_paid_for_an_output_that_cannot_work(
    output: str, exists: Any, words: str, tmp_path: Path
) -> None:
    """A taken name, a missing folder, a name that no file can have: each is refused at once."""
    (tmp_path / "taken.mp4").touch()
    (tmp_path / "dangling.mp4").symlink_to("nowhere")
    with pytest.raises(InvalidRequestError, match=words) as caught:
        Target.checked(f"{tmp_path}/{output}", exists)
    assert caught.value.charged == "no"


class BytesPath:
    """A path of the kind that is no text."""

    def __fspath__(self) -> bytes:
        return b"bytes.mp4"


@pytest.mark.parametrize("output", [None, 7, b"bytes.mp4", BytesPath(), object()], ids=label)
def test_what_is_no_path(output: Any) -> None:
    """What is no path is refused by name."""
    with pytest.raises(InvalidRequestError, match="is no path"):
        Target.checked(output, "error")


def test_an_empty_path() -> None:
    """An empty text, an unset variable perhaps, does not mean the current folder."""
    with pytest.raises(InvalidRequestError, match="output: it is empty"):
        Target.checked("", "error")


def test_the_longest_names(tmp_path: Path) -> None:
    """A name that passes can be saved under, a second result and a busy .part included."""
    target = Target.checked(tmp_path / ("x" * 234 + ".mp4"), "error")
    parts = [part_for(target, JOB, 98, CLIP_URL) for _ in range(2)]
    fill(parts[1])
    assert parts[1].finish(target, JOB, 98).path.exists()
    parts[0].leave()


def test_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    """A folder in which nothing can be made is refused before anything is paid."""
    tmp_path.chmod(0o500)
    folders = (str(tmp_path), "/sys", "/proc/sys")  # the administrator may write to the first
    closed = next((folder for folder in folders if not os.access(folder, os.W_OK)), None)
    if closed is None:
        pytest.skip("this user may write everywhere")
    with pytest.raises(InvalidRequestError, match="is not writable"):
        Target.checked(f"{closed}/out.mp4", "error")


def test_what_is_in_the_way(tmp_path: Path) -> None:
    """In a folder only files of the job are in the way, and partial ones are not."""
    target = Target(tmp_path, None, "keep")
    for name in ("j1.part", "j1.part.json", "j10.mp4", "j1.json", "j1.mp4.part", "j1.mp4.txt"):
        (tmp_path / name).touch()
    assert target.standing() == [None]
    assert target.standing(JOB) == [None, None]
    (tmp_path / "j1.bin").touch()
    assert target.standing(JOB) == [tmp_path / "j1.bin", None]
    (tmp_path / "j1.jpg").touch()
    (tmp_path / "j1.mp4").touch()
    (tmp_path / "j1-2.webm").touch()
    assert target.standing(JOB) == [tmp_path / "j1.mp4", tmp_path / "j1-2.webm"]
    target._replace(exists="replace").standing(JOB)
    with pytest.raises(InvalidRequestError, match="exists"):
        target._replace(exists="error").standing(JOB)


def test_every_name_is_looked_at(tmp_path: Path) -> None:
    """A second result's name that is taken is an error before anything is fetched, too."""
    target = Target(tmp_path, "out.mp4", "error")
    (tmp_path / "out-2.mp4").touch()
    assert target.standing() == [None]
    with pytest.raises(InvalidRequestError, match=r"out-2\.mp4"):
        target.standing(JOB)
    assert target._replace(exists="keep").standing(JOB) == [None, tmp_path / "out-2.mp4"]


def test_a_whole_download(part: PartFile, tmp_path: Path) -> None:
    """A finished file has its final name, its digest and its type; nothing else is left."""
    before = part.whole
    fill(part, headers={"content-length": str(len(CLIP))})
    assert (before, part.whole) == (False, True)
    assert part.progress == f"{len(CLIP)} of {len(CLIP)} bytes"
    saved = part.finish(Target(tmp_path, "out.mp4", "error"), JOB, 0)
    assert saved == Saved(
        tmp_path / "out.mp4",
        (tmp_path / "out.mp4",),
        "video/mp4",
        len(CLIP),
        sha256(CLIP).hexdigest(),
        JOB,
    )
    part.leave()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == CLIP


def test_a_file_of_no_known_kind_is_saved_as_bytes(part: PartFile, tmp_path: Path) -> None:
    """A result of a kind that we don't know is the user's all the same."""
    fill(part, b"GIF89a")
    saved = part.finish(Target(tmp_path, None, "error"), JOB, 1)
    assert (saved.path.name, saved.media_type) == ("j1-2.bin", "application/octet-stream")


STRONG = {"etag": '"v1"', "content-length": "10"}


@pytest.mark.parametrize(
    ("headers", "resume"),
    [
        (STRONG, {"range": "bytes=4-", "if-range": '"v1"'}),
        ({"etag": 'W/"v1"', "content-length": "10"}, {}),
        ({"content-length": "10"}, {}),
        ({"etag": '"\u2603"', "content-length": "10"}, {}),
        ({"etag": '"' + "x" * 500 + '"', "content-length": "10"}, {}),
        ({"etag": '"', "content-length": "10"}, {}),
    ],
    ids=["strong", "weak", "none", "no ASCII", "long", "broken"],
)
def test_only_a_strong_etag_is_resumed(
    headers: dict[str, str], resume: dict[str, str], part: PartFile
) -> None:
    """The rest is asked for where an ETag proves that it is of the same file."""
    assert part.resume_headers() == {}
    fill(part, CLIP[:4], headers)
    assert part.resume_headers() == resume
    assert not part.whole


def test_resuming(part: PartFile) -> None:
    """A 206 for the rest is appended; a 200 begins again."""
    fill(part, CLIP[:4], STRONG)
    assert part.begin(206, {"content-range": "bytes 4-9/10"})
    part.write(CLIP[4:10])
    assert part.whole
    fill(part, CLIP[:3], {"content-length": "3"})
    assert part.whole
    assert part.path.read_bytes() == CLIP[:3]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {"content-range": "bytes 3-9/10"}),
        (206, {"content-range": "bytes 5-9/10"}),
        (206, {"content-range": "bytes 4-9/11"}),
        (206, {"content-range": "bytes 4-9/10", "etag": '"v2"'}),
        (206, {"content-range": "bytes 4-9/10", "content-encoding": "gzip"}),
        (206, {"content-range": f"bytes {'9' * 5000}-9/10"}),
        (200, {"content-encoding": "gzip", "content-length": "10", "etag": '"v1"'}),
        (206, {"content-range": "4-9"}),
        (206, {"content-range": "bytes \u0664-9/10"}),
        (206, {}),
        (416, {"content-range": "bytes */10"}),
    ],
    ids=str,
)
def test_a_rest_that_does_not_fit(status: int, headers: dict[str, str], part: PartFile) -> None:
    """What does not continue what is there is not taken, and the next try begins again."""
    fill(part, CLIP[:4], STRONG)
    assert not part.begin(status, headers)
    assert part.resume_headers() == {}


def test_a_part_that_nobody_asked_for(part: PartFile) -> None:
    """A 206 without a Range is no file, at the beginning or after a try that has broken off."""
    unasked = {"content-range": "bytes 0-3/10"}
    assert not part.begin(206, unasked)
    fill(part, CLIP[:4])
    assert part.whole  # nothing had announced more
    assert not part.begin(206, unasked)
    assert not part.begin(206, {"content-range": "bytes 4-9/10"})
    assert not part.begin(204, {})
    assert not part.whole


def test_the_total_of_a_range_counts(part: PartFile) -> None:
    """Once an answer has told the total, less is not whole, whatever later answers leave out."""
    fill(part, CLIP[:4], {"etag": '"v1"'})
    assert part.begin(206, {"content-range": "bytes 4-5/10", "etag": '"v1"'})
    part.write(CLIP[4:6])
    assert part.progress == "6 of 10 bytes"
    assert not part.whole
    assert part.begin(206, {"content-range": "bytes 6-7/*"})
    part.write(CLIP[6:8])
    assert not part.whole


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_an_encoded_answer_is_no_file(encoding: str, part: PartFile) -> None:
    """Nobody asked for an encoding: its bytes are not taken, and the try says why."""
    assert not part.begin(200, {"content-encoding": encoding, "content-length": "10"})
    assert not part.whole
    assert part.progress == f"0 of unknown bytes, encoded as {encoding!r}"
    fill(part, headers={"content-encoding": "identity"})
    assert part.whole


def test_a_part_that_is_lost(tmp_path: Path) -> None:
    """A part that nobody holds any more is closed and removed: its task was cancelled."""
    part_for(Target(tmp_path, "out.mp4", "error"), JOB, 0, CLIP_URL)
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_place_of_a_part(tmp_path: Path) -> None:
    """A partial file is never written through a link to another file."""
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "out.mp4.part").symlink_to(other)
    target = Target(tmp_path, "out.mp4", "error")
    part = part_for(target, JOB, 0, CLIP_URL)
    fill(part)
    assert part.finish(target, JOB, 0).path.read_bytes() == CLIP
    assert other.read_text() == "mine"


def test_a_rest_of_unknown_size(part: PartFile) -> None:
    """A host that does not know the total is believed when its answer ends."""
    fill(part, CLIP[:4], {"etag": '"v1"'})
    assert part.begin(206, {"content-range": "bytes 4-9/*"})
    part.write(CLIP[4:10])
    assert part.whole


@pytest.mark.parametrize("status", [204, 301, 403, 500])
def test_other_answers_are_not_written(status: int, part: PartFile) -> None:
    """The body of an error is never part of a file."""
    assert not part.begin(status, STRONG)
    assert part.progress == "0 of unknown bytes"


@pytest.mark.parametrize("length", ["ten", "-1", "", "\u0661"])
def test_a_length_that_is_none(length: str, part: PartFile) -> None:
    """A length that is no number counts as unknown."""
    fill(part, headers={"content-length": length})
    assert part.whole


@pytest.mark.parametrize("spelling", ["Identity", " identity "])
def test_a_file_as_it_is(spelling: str, part: PartFile) -> None:
    """A host may say in any spelling that what it sends is not encoded."""
    fill(part, headers={"content-encoding": spelling})
    assert part.whole


def test_absurdly_large_results(part: PartFile) -> None:
    """A result of more than 4 GiB is refused when it is announced, and when it arrives."""
    with pytest.raises(DownloadError, match="more than 4,294,967,296 bytes"):
        part.begin(200, {"content-length": str(2**32 + 1)})
    fill(part, headers=STRONG)
    part._part.size = 2**32
    with pytest.raises(DownloadError, match="more than 4,294,967,296 bytes") as caught:
        part.write(b"x")
    assert part.leave() is None
    assert caught.value.url == CLIP_URL


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>gone", b'{"message": "expired"}'])
def test_a_page_is_no_result(page: bytes, part: PartFile, tmp_path: Path) -> None:
    """An error page that comes with 200 is neither saved nor kept."""
    fill(part, page, {"etag": '"v1"'})
    with pytest.raises(DownloadError, match="the output is text, not a media file"):
        part.accept()
    assert part.leave() is None
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def full_disk() -> Iterator[None]:
    """A disk on which no file may grow beyond 1,000 bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("etag", [{}, {"etag": '"v1"'}], ids=["no tag", "tag"])
def test_a_full_disk(etag: dict[str, str], part: PartFile, tmp_path: Path) -> None:
    """A disk that is full is a DownloadError that says so; what can be resumed is kept."""
    part.begin(200, etag)
    with pytest.raises(DownloadError, match=r"out\.mp4\.part failed: File too large") as caught:
        part.write(CLIP)
    assert (caught.value.charged, caught.value.resubmit) == ("yes", "never")
    assert (caught.value.url, caught.value.job_id) == (CLIP_URL, "j1")
    if etag:
        assert part.leave() == tmp_path / "out.mp4.part"
        assert (tmp_path / "out.mp4.part").read_bytes() == CLIP[:1000]
    else:
        assert part.leave() is None
        assert list(tmp_path.iterdir()) == []


def test_a_part_that_is_closed(part: PartFile, tmp_path: Path) -> None:
    """Whatever a worker thread does too late is an error that says so, and changes nothing."""
    fill(part, headers={"etag": '"v1"'})
    part.leave()
    for work in (
        lambda: part.begin(200, {}),
        lambda: part.write(b"late"),
        part.accept,
        lambda: part.finish(Target(tmp_path, "out.mp4", "error"), JOB, 0),
    ):
        with pytest.raises(DownloadError, match="it has been closed"):
            work()
    assert part.path.read_bytes() == CLIP


def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    """A partial file that cannot be made is a DownloadError that names it and the job."""
    with pytest.raises(DownloadError, match=r"gone.out\.mp4\.part cannot be written") as caught:
        part_for(Target(tmp_path / "gone", "out.mp4", "error"), JOB, 0, CLIP_URL)
    assert (caught.value.job_id, caught.value.url) == ("j1", CLIP_URL)


def test_a_name_taken_meanwhile(part: PartFile, tmp_path: Path) -> None:
    """A file that somebody makes during the download is not overwritten, unless asked for."""
    fill(part)
    (tmp_path / "out.mp4").write_text("mine")
    with pytest.raises(DownloadError, match=r"out\.mp4' has been made by somebody else meanwhile"):
        part.finish(Target(tmp_path, "out.mp4", "error"), JOB, 0)
    assert (tmp_path / "out.mp4").read_text() == "mine"
    part.finish(Target(tmp_path, "out.mp4", "replace"), JOB, 0)
    assert (tmp_path / "out.mp4").read_bytes() == CLIP


def test_a_name_taken_meanwhile_that_is_to_be_kept(part: PartFile, tmp_path: Path) -> None:
    """With "keep" the file that somebody has made meanwhile is the result, and ours goes."""
    fill(part, headers={"etag": '"v1"'})
    (tmp_path / "out.mp4").write_text("mine")
    saved = part.finish(Target(tmp_path, "out.mp4", "keep"), JOB, 0)
    assert (saved.size_bytes, saved.sha256) == (4, sha256(b"mine").hexdigest())
    assert part.leave() is None
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_one_part_each(tmp_path: Path) -> None:
    """A part that is in use is left alone: a second download to the same name has its own."""
    target = Target(tmp_path, "out.mp4", "replace")
    first = part_for(target, JOB, 0, CLIP_URL)
    second = part_for(target, JOB, 0, CLIP_URL)
    assert (first.path.name, second.path.name) == ("out.mp4.part", "out.mp4.2.part")
    first.leave()
    second.leave()
    assert list(tmp_path.iterdir()) == []
    third = part_for(target, JOB, 1, CLIP_URL)
    assert third.path.name == "out.mp4-2.part"
    third.leave()


def test_a_part_left_behind_is_begun_anew(tmp_path: Path) -> None:
    """What somebody else has left under the name of a part is overwritten, never continued."""
    (tmp_path / "out.mp4.part").write_bytes(b"old" * 9999)
    target = Target(tmp_path, "out.mp4", "error")
    part = part_for(target, JOB, 0, CLIP_URL)
    assert part.resume_headers() == {}
    fill(part)
    assert part.finish(target, JOB, 0).path.read_bytes() == CLIP
    part.leave()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_keeping_what_is_there(tmp_path: Path) -> None:
    """A file that is kept is described as if it had just been saved."""
    (tmp_path / "out.mp4").write_bytes(CLIP)
    (tmp_path / "odd").write_bytes(b"odd")
    digest = sha256(CLIP).hexdigest()
    path = tmp_path / "out.mp4"
    assert keep(path, JOB) == Saved(path, (path,), "video/mp4", len(CLIP), digest, JOB)
    assert keep(tmp_path / "odd", None).media_type == "application/octet-stream"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("folder", "is no regular file"),
        ("dangling", "is no regular file"),
        ("fifo", "is no regular file"),
        ("/proc/self/mem", "cannot be read: Input/output error"),
    ],
)
def test_what_cannot_be_kept(name: str, words: str, tmp_path: Path) -> None:
    """What is no file, or cannot be read, is refused; nothing has been paid for it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InvalidRequestError, match=words) as caught:
        keep(tmp_path / name, None)
    assert (caught.value.field, caught.value.charged) == ("output", "no")


def test_together() -> None:
    """Several files are reported as the first one, with the paths of all."""
    one = Saved(Path("a"), (Path("a"),), "video/mp4", 1, "d1", JOB)
    two = Saved(Path("b"), (Path("b"),), "image/png", 2, "d2", JOB)
    assert together([one]) == one
    assert together([one, two]) == Saved(
        Path("a"), (Path("a"), Path("b")), "video/mp4", 1, "d1", JOB
    )
