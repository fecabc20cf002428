"""The whole way: hand over a video and a prompt, get the restyled video on disk."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import DownloadError, InvalidRequestError, Job, JobNotFinishedError, Update
from krea_aleph.emulator import Emulator, Fault


def test_the_brief_way(aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path) -> None:
    """One call uploads, submits, waits and saves, and asks for nothing twice."""
    saved = aleph.transform(clip, "make it snow", tmp_path / "out.mp4")
    assert saved.path == tmp_path / "out.mp4"
    assert os.fspath(saved) == str(saved.path)
    content = saved.path.read_bytes()
    assert saved.size_bytes == len(content)
    assert saved.sha256 == hashlib.sha256(content).hexdigest()
    assert saved.job.succeeded
    assert emulator.accepted == 1
    operations = [request.operation for request in emulator.requests]
    assert operations[:2] == ["upload_asset", "create_aleph_job"]
    assert operations[-1] == "download"


def test_the_request_that_arrives(aleph: Any, emulator: Emulator, clip: Path) -> None:
    """Options go out under their names and unset ones not at all; nested files are uploaded."""
    aleph.submit(
        clip,
        "night",
        ratio="960:960",
        seed=7,
        references=[{"type": "image", "uri": "https://example.com/look.png"}],
    )
    request = emulator.requests[-1]
    asset = emulator.assets[0]
    assert request.json() == {
        "prompt": "night",
        "init_video": asset.url,
        "ratio": "960:960",
        "seed": 7,
        "references": [{"type": "image", "uri": "https://example.com/look.png"}],
    }
    assert request.headers["user-agent"].startswith("krea-aleph/")
    assert "x-webhook-url" not in request.headers


def test_one_file_in_two_places_is_uploaded_once(
    aleph: Any, emulator: Emulator, clip: Path
) -> None:
    """Equal content has one address."""
    aleph.submit(clip, "night", init_image_url=clip)
    body = emulator.requests[-1].json()
    assert body["init_image_url"] == body["init_video"]
    assert len(emulator.assets) == 1


@pytest.mark.parametrize("media", ["url", "open file", "stream", "asset", "str"])
def test_every_kind_of_media(aleph: Any, emulator: Emulator, clip: Path, media: str) -> None:
    """URLs pass through; paths, open files, streams and assets become addresses at Krea."""
    with clip.open("rb") as file, _Pipe(clip.read_bytes()) as pipe:
        video = {
            "url": "https://example.com/in.mp4",
            "open file": file,
            "stream": pipe,
            "asset": aleph.upload(clip),
            "str": str(clip),
        }[media]
        aleph.submit(video, "night")
    sent = emulator.requests[-1].json()["init_video"]
    uploaded = {asset.url for asset in emulator.assets}
    assert sent == "https://example.com/in.mp4" if media == "url" else sent in uploaded


class _Pipe(io.BytesIO):
    """A stream that cannot be rewound."""

    def seekable(self) -> bool:
        return False


def test_what_is_shown_on_the_way(aleph: Any, clip: Path, tmp_path: Path) -> None:
    """The accepted job comes first, so that its id is known before anything can go wrong."""
    updates: list[Update] = []
    aleph.transform(clip, "night", tmp_path / "out.mp4", on_update=updates.append)
    assert not updates[0].job.finished
    assert updates[0].elapsed == 0
    assert updates[-1].job.succeeded
    assert len({update.job.status for update in updates}) == len(updates)


def test_a_broken_callback_breaks_no_paid_job(
    aleph: Any, clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What on_update raises is logged, and the result is still saved."""

    def broken(_: Update) -> None:
        raise ZeroDivisionError

    saved = aleph.transform(clip, "night", tmp_path / "out.mp4", on_update=broken)
    assert saved.path.exists()
    assert "on_update raised" in caplog.text


@pytest.mark.parametrize("urls", ["strings", "objects", "map", "video_url", "top_level"])
def test_every_form_of_result(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path, urls: Any
) -> None:
    """However the server tells the address of a result, the result is found."""
    emulator.outcome(urls=urls)
    assert aleph.transform(clip, "night", tmp_path / "out.mp4").size_bytes > 0


def test_several_outputs(aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path) -> None:
    """Further results lie beside the first under numbered names."""
    emulator.outcome(outputs=3)
    saved = aleph.transform(clip, "night", tmp_path / "out.mp4")
    assert [path.name for path in saved.paths] == ["out.mp4", "out-2.mp4", "out-3.mp4"]
    assert all(path.stat().st_size for path in saved.paths)


def test_a_folder_as_output(aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path) -> None:
    """In a folder a result is named after its job, by what its bytes show it to be."""
    emulator.outcome(output=clip.read_bytes())
    folder = tmp_path / "results"
    folder.mkdir()
    saved = aleph.transform(clip, "night", folder)
    assert saved.path == folder / f"{saved.job.id}.mp4"


@pytest.mark.parametrize("exists", ["replace", "keep"])
def test_a_name_that_is_taken(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path, exists: str
) -> None:
    """Only "replace" touches the file, and "keep" does not pay for what is there."""
    taken = tmp_path / "out.mp4"
    taken.write_bytes(b"old")
    saved = aleph.transform(clip, "night", taken, exists=exists)
    assert emulator.accepted == (exists == "replace")
    assert (taken.read_bytes() == b"old") == (exists == "keep")
    assert (saved.job is None) == (exists == "keep")


def test_a_place_is_looked_at_before_anything_is_sent(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path
) -> None:
    """Whoever downloads later learns now what would be in the way, and what would be kept."""
    place = tmp_path / "out.mp4"
    assert aleph.check_output(place) is None
    assert aleph.check_output(tmp_path, exists="keep") is None
    saved = aleph.transform(clip, "make it snow", place)
    sent = len(emulator.requests)
    kept = aleph.check_output(place, exists="keep")
    assert (kept.path, kept.sha256, kept.job) == (place, saved.sha256, None)
    assert aleph.check_output(place, exists="replace") is None
    with pytest.raises(InvalidRequestError, match="exists"):
        aleph.check_output(place)
    with pytest.raises(InvalidRequestError, match="output"):
        aleph.check_output(tmp_path / "nowhere" / "out.mp4")
    assert len(emulator.requests) == sent


def test_resuming_by_id(open_client: Any, clip: Path, tmp_path: Path) -> None:
    """Another client, in another process for instance, goes on with nothing but the id."""
    job_id = open_client().submit(clip, "night").id
    later = open_client()
    assert later.wait(job_id).succeeded
    assert later.download(job_id, tmp_path / "out.mp4").path.exists()


def test_a_job_survives_the_database(aleph: Any, clip: Path, tmp_path: Path) -> None:
    """What to_json wrote can be waited for and downloaded, and says the same."""
    job = aleph.submit(clip, "night")
    kept = Job.from_json(job.to_json())
    assert kept == job
    done = aleph.wait(kept)
    assert aleph.download(Job.from_json(done.to_json()), tmp_path / "out.mp4").path.exists()


def test_a_download_never_waits(aleph: Any, clip: Path, tmp_path: Path) -> None:
    """A job that still runs is an error that says what to do."""
    job = aleph.submit(clip, "night")
    with pytest.raises(JobNotFinishedError, match="wait") as caught:
        aleph.download(job, tmp_path / "out.mp4")
    assert caught.value.job_id == job.id
    assert list(tmp_path.glob("out*")) == []


def test_a_finished_snapshot_is_not_asked_about(aleph: Any, emulator: Emulator, clip: Path) -> None:
    """Waiting for what has ended sends nothing."""
    done = aleph.wait(aleph.submit(clip, "night"))
    before = len(emulator.requests)
    assert aleph.wait(done) is done
    assert len(emulator.requests) == before


@pytest.mark.parametrize(
    "fault",
    [
        Fault(operation="download", cut=1000),
        Fault(operation="download", drop="before"),
        Fault(operation="download", status=503, body="<html>busy</html>"),
        Fault(operation="download", cut=60_000, times=3),
    ],
    ids=lambda fault: f"{fault.status or fault.drop or fault.cut}",
)
def test_a_broken_download_is_taken_up_again(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path, fault: Fault
) -> None:
    """A connection that breaks costs time, not the file: it is whole in the end."""
    job = aleph.wait(aleph.submit(clip, "night"))
    emulator.fault(fault)
    saved = aleph.download(job, tmp_path / "out.mp4")
    again = aleph.download(job, tmp_path / "again.mp4")
    assert saved.path.read_bytes() == again.path.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.mp4", "out.mp4", "shot.mp4"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(operation="download", cut=1000, times=None),
        Fault(operation="download", status=500, times=None),
        Fault(operation="download", status=200, body="<html>maintenance</html>", times=None),
        Fault(operation="download", status=200, body=b"", times=None),
        Fault(operation="download", status=302, times=None, headers={"location": "/files/loop"}),
    ],
    ids=["always cut", "always 500", "a page", "empty", "redirects for ever"],
)
def test_a_download_that_cannot_succeed(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path, fault: Fault
) -> None:
    """It ends in a DownloadError that knows the job, and nothing lies under the final name."""
    job = aleph.wait(aleph.submit(clip, "night"))
    emulator.fault(fault)
    with pytest.raises(DownloadError) as caught:
        aleph.download(job, tmp_path / "out.mp4")
    assert caught.value.job_id == job.id
    assert caught.value.charged == "yes"
    assert caught.value.resubmit == "never"
    assert not (tmp_path / "out.mp4").exists()
    part = tmp_path / "out.mp4.part" if fault.cut else None
    assert caught.value.part == part
    left = {"shot.mp4", *(["out.mp4.part", "out.mp4.part.json"] if part else [])}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_the_error_of_a_transform_knows_the_paid_job(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path
) -> None:
    """When only the download fails, the job's id is on the error: nothing has to be paid again."""
    emulator.fault(Fault(operation="download", status=500, times=None))
    with pytest.raises(DownloadError) as caught:
        aleph.transform(clip, "night", tmp_path / "out.mp4")
    assert caught.value.job_id == emulator.jobs[0].id


def test_the_key_never_goes_to_an_output_host(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path
) -> None:
    """A download carries no Authorization, no Referer and none of the extra headers."""
    aleph.transform(clip, "night", tmp_path / "out.mp4")
    download = next(request for request in emulator.requests if request.operation == "download")
    assert "authorization" not in download.headers
    assert "referer" not in download.headers


def test_an_output_that_appears_meanwhile_is_not_overwritten(
    aleph: Any, clip: Path, tmp_path: Path
) -> None:
    """A file that somebody makes while the job runs stays, and the error knows the job."""
    target = tmp_path / "out.mp4"
    with pytest.raises(InvalidRequestError) as caught:
        aleph.transform(
            clip, "night", target, on_update=lambda _: target.write_bytes(b"somebody else's")
        )
    assert target.read_bytes() == b"somebody else's"
    assert caught.value.job_id is not None
    assert caught.value.resubmit == "never"
    assert caught.value.charged == "yes"
    assert f"The job is done: fetch it with download({caught.value.job_id!r}" in str(caught.value)
