"""Uploads over sockets: sent again when the weather is bad, once when the content is the same."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

from colours import CLIP
from krea_aleph import (
    APIStatusError,
    AuthenticationError,
    Event,
    InternalServerError,
    InvalidRequestError,
    PayloadTooLargeError,
    RetryPolicy,
    UploadError,
)
from krea_aleph.emulator import Emulator, Fault

URL = "https://example.com/in.mp4"


def operations(emulator: Emulator) -> list[str]:
    """Return what was asked for, in order."""
    return [request.operation for request in emulator.requests]


@pytest.mark.parametrize(
    "fault",
    [
        {"drop": "before"},
        {"drop": "after"},
        {"status": 500},
        {"status": 503, "headers": {"retry-after": "7"}},
        {"status": 429},
        {"status": 520, "body": "<html>"},
        {"cut": 5},
    ],
    ids=str,
)
@pytest.mark.parametrize("source", ["path", "file", "stream"])
def test_uploads_in_bad_weather(
    aleph: Any, emulator: Emulator, clip: Path, fault: dict[str, Any], source: str
) -> None:
    """An upload is free, so it is sent again, from its start and whatever it is read from."""
    emulator.fault(Fault(operation="upload_asset", times=2, **fault))
    with clip.open("rb") as file:
        media = {"path": clip, "file": file, "stream": Once(CLIP)}[source]
        asset = aleph.upload(media)
    assert operations(emulator) == ["upload_asset"] * 3
    assert asset.size_bytes == len(CLIP)
    assert emulator.assets[-1].size == len(CLIP)


class Once(io.RawIOBase):
    """A stream that can be read once, as a pipe is."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some."""
        return self._data.readinto(buffer)


def test_bad_weather_that_stays(open_client: Any, emulator: Emulator, clip: Path) -> None:
    """After as many tries as the policy allows, the last answer is the error."""
    emulator.fault(Fault(operation="upload_asset", times=None, status=503))
    with pytest.raises(InternalServerError) as caught:
        open_client(retry=RetryPolicy(attempts=2)).upload(clip)
    assert (caught.value.charged, caught.value.resubmit) == ("no", "safe")
    assert operations(emulator) == ["upload_asset"] * 2


@pytest.mark.krea_emulator(max_upload=1000)
def test_a_refusal_is_final(aleph: Any, emulator: Emulator, clip: Path) -> None:
    """What the server will refuse the next time too is not sent again."""
    with pytest.raises(PayloadTooLargeError):
        aleph.upload(clip)
    assert operations(emulator) == ["upload_asset"]


def test_a_key_that_changes_amid_an_upload(
    open_client: Any, emulator: Emulator, clip: Path
) -> None:
    """After a 401 the key is asked for once more, and the file goes out from its start."""
    keys = iter(["old:key", emulator.key, "never:asked"])
    assert open_client(api_key=lambda: next(keys)).upload(clip).size_bytes == len(CLIP)
    assert operations(emulator) == ["upload_asset"] * 2
    with pytest.raises(AuthenticationError):
        open_client(api_key="old:key").upload(clip)


def test_what_cannot_be_uploaded_is_refused_first(
    aleph: Any, emulator: Emulator, tmp_path: Path
) -> None:
    """Kind and size are looked at before anything is sent."""
    (tmp_path / "notes.mp4").write_text("a shopping list")
    (tmp_path / "large.mp4").write_bytes(CLIP)
    with (tmp_path / "large.mp4").open("ab") as file:
        file.truncate(75_000_001)
    for name in ("notes.mp4", "large.mp4"):
        with pytest.raises(InvalidRequestError):
            aleph.upload(tmp_path / name)
    assert operations(emulator) == []


def test_a_file_that_changes_between_two_tries(
    open_client: Any, emulator: Emulator, clip: Path
) -> None:
    """What was checked is not what would be sent: it is an UploadError, and no asset."""
    aleph = open_client(on_event=lambda _: clip.write_bytes(CLIP[:-1] + b"?"))
    emulator.fault(Fault(operation="upload_asset", status=503))
    with pytest.raises(UploadError, match="has changed since it was checked") as caught:
        aleph.upload(clip)
    assert (caught.value.charged, caught.value.resubmit) == ("no", "safe")
    assert emulator.assets == []


def test_the_same_content_goes_up_once(aleph: Any, emulator: Emulator, clip: Path) -> None:
    """By whatever name and in whichever call, equal content is uploaded once for an account."""
    first = aleph.upload(clip)
    assert aleph.upload(io.BytesIO(CLIP)).id == first.id
    aleph.submit(str(clip), "night", init_image_url=clip)
    assert [asset.id for asset in emulator.assets] == [first.id]
    assert emulator.requests[-1].json()["init_video"] == first.url
    aleph.delete_asset(first)
    assert aleph.upload(clip).id != first.id
    assert aleph.upload(clip, reuse=False).id != aleph.upload(clip).id
    assert len(emulator.assets) == 2


def test_accounts_do_not_share_uploads(open_client: Any, emulator: Emulator, clip: Path) -> None:
    """Clients of one account share them, those of another have their own."""
    emulator.add_account("other:secret")
    aleph = open_client()

    def derived(**options: Any) -> Any:
        other = aleph.with_options(**options)
        return type(aleph)(other, aleph._portal) if hasattr(aleph, "_portal") else other

    asset = aleph.upload(clip)
    assert derived(checks="warn").upload(clip).id == asset.id
    assert derived(account="other", api_key="other:secret").upload(clip).id != asset.id
    assert operations(emulator).count("upload_asset") == 2


@pytest.mark.parametrize("colour", ["sync", "asyncio", "trio"])
def test_many_uploads_of_one_file_at_a_time(colour: str, emulator: Emulator, clip: Path) -> None:
    """Calls that need the same content at the same moment wait for one upload."""
    events: list[Event] = []
    options: Any = {"virtual_time": True, "on_event": events.append}
    if colour == "sync":
        with emulator.aleph(**options) as aleph, ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda number: aleph.submit(clip, f"take {number}"), range(8)))
    else:

        async def main() -> None:
            async with emulator.async_aleph(**options) as aleph, anyio.create_task_group() as group:
                for number in range(8):
                    group.start_soon(aleph.submit, clip, f"take {number}")

        anyio.run(main, backend=colour)
    assert operations(emulator).count("upload_asset") == 1
    assert emulator.accepted == 8
    assert [event.kind for event in events].count("transfer") == 1


def test_an_upload_that_is_not_to_stay(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path
) -> None:
    """keep_upload=False leaves nothing at Krea, and the next transform uploads again."""
    for name in ("one.mp4", "two.mp4"):
        aleph.transform(clip, "night", tmp_path / name, keep_upload=False)
        assert emulator.assets == []
    assert operations(emulator).count("upload_asset") == 2


def test_an_asset_of_the_callers_stays(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path
) -> None:
    """What the caller has uploaded is the caller's, handed over as an asset or as a file."""
    asset = aleph.upload(clip)
    for video in (asset, clip, URL):
        aleph.transform(video, "night", f"{tmp_path}/", keep_upload=False)
    assert [kept.id for kept in emulator.assets] == [asset.id]


def test_a_deletion_that_fails_breaks_nothing(
    open_client: Any, emulator: Emulator, clip: Path, tmp_path: Path
) -> None:
    """The result is there; that something stays at Krea is an event."""
    events: list[Event] = []
    emulator.fault(Fault(operation="delete_asset", status=500))
    aleph = open_client(on_event=events.append)
    assert aleph.transform(clip, "night", tmp_path / "out.mp4", keep_upload=False).job.succeeded
    (told,) = [event for event in events if event.kind == "upload_deleted"]
    assert (told.job_id, told.attributes) == (
        emulator.jobs[0].id,
        {"outcome": "InternalServerError"},
    )


def test_transforms_that_share_an_upload(emulator: Emulator, clip: Path, tmp_path: Path) -> None:
    """It is deleted when the last of them is over, and not before."""
    with emulator.aleph(virtual_time=True) as aleph, ThreadPoolExecutor(4) as threads:
        barrier = threading.Barrier(4)

        def one(number: int) -> Any:
            barrier.wait()
            return aleph.transform(
                clip, f"take {number}", tmp_path / f"{number}.mp4", keep_upload=False
            )

        assert all(saved.job.succeeded for saved in threads.map(one, range(4)))
    assert emulator.assets == []
    asked = operations(emulator)
    assert asked.count("upload_asset") == asked.count("delete_asset")
    starts = [number for number, name in enumerate(asked) if name == "create_aleph_job"]
    assert asked.index("delete_asset") > starts[0]


def test_a_refused_submit_leaves_no_upload(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path
) -> None:
    """Where surely nothing was started, nothing needs the upload."""
    emulator.fault(Fault(operation="create_aleph_job", status=402))
    with pytest.raises(APIStatusError):
        aleph.transform(clip, "night", tmp_path / "out.mp4", keep_upload=False)
    assert emulator.assets == []
