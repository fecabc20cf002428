"""Equal content goes up once, and what was uploaded for one call can go when that is over."""

from __future__ import annotations

import io
import os
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import _assets, _results, _uploads, _wire
from krea_aleph._files import Source
from krea_aleph._steps import RefreshKey, Response, Send, Sleep
from krea_aleph._uploads import Lease, Upload, Uploads
from krea_aleph.errors import (
    APIConnectionError,
    ConfigError,
    DownloadError,
    InsufficientCreditsError,
    InvalidResponseError,
    JobFailedError,
    KreaError,
    SubmitUncertainError,
    WaitTimeoutError,
)
from krea_aleph.models import Asset

from .transcript import (
    CLIP,
    JOB_ID,
    Interruption,
    Served,
    Stage,
    answer,
    at,
    completed,
    configured,
    cut_off,
    job_answer,
    label,
    not_sent,
)


def told(number: int = 1, **more: Any) -> Response:
    """Make an answer with an asset."""
    url = f"https://u.example/{number}"
    return answer({"id": f"a{number}", "image_url": url, "size_bytes": len(CLIP), **more})


def upload(stage: Stage, config: Any, data: bytes = CLIP, **options: Any) -> Asset:
    """Upload on a stage."""
    return stage.play(_assets.upload(config, io.BytesIO(data), **options))


def test_content_that_was_uploaded_before() -> None:
    """The asset is asked for, and returned as it is now; nothing is sent twice."""
    config, stage = configured(), Stage(told(), told(mime_type="video/mp4"))
    assert upload(stage, config).media_type is None
    assert upload(stage, config).media_type == "video/mp4"
    assert stage.operations == ["upload_asset", "get_asset"]
    assert [event.attributes for event in stage.events if event.kind == "transfer"] == [
        {"upload": len(CLIP)}
    ]


@pytest.mark.parametrize(
    "reply",
    [
        answer(status=404),
        answer(status=500),
        cut_off(),
        answer(b"<html>"),
        told(2),
        told(1, size_bytes=7),
    ],
    ids=label,
)
def test_an_asset_that_is_not_there_any_more(reply: Any) -> None:
    """After anything but a good answer the content goes up again, and is remembered instead."""
    config = configured()
    upload(Stage(told()), config)
    stage = Stage(reply, told(3), told(3))
    assert upload(stage, config).id == "a3"
    assert upload(stage, config).id == "a3"
    assert stage.operations == ["get_asset", "upload_asset", "get_asset"]


def test_other_content_and_no_reuse() -> None:
    """Other content is another upload, and reuse=False is one in any case."""
    config, stage = configured(), Stage(told(1), told(2), told(3), told(1))
    ids = [
        upload(stage, config).id,
        upload(stage, config, CLIP + b"more").id,
        upload(stage, config, reuse=False).id,
        upload(stage, config).id,
    ]
    assert ids == ["a1", "a2", "a3", "a1"]
    assert stage.operations == ["upload_asset"] * 3 + ["get_asset"]


def test_an_upload_that_fails_is_not_remembered() -> None:
    """The next one goes up, and nobody waits for one that is over."""
    config = configured()
    for reply, kind in ((not_sent(), APIConnectionError), (answer({}), InvalidResponseError)):
        with pytest.raises(kind):
            upload(Stage(reply), config)
    stage = Stage(told())
    assert upload(stage, config).id == "a1"
    assert stage.sleeps == []


def test_the_same_content_at_the_same_time() -> None:
    """The second of two uploads waits for the first one, and uses what has come of it."""
    config, waiting = configured(), []

    def meanwhile(*_: object) -> Response:
        second = _assets.upload(config, io.BytesIO(CLIP))
        waiting.append(Stage().until(second, Sleep))
        return told()

    upload(Stage(meanwhile), config)
    stage = Stage(told())
    assert stage.play(waiting[0]).id == "a1"
    assert stage.operations == ["get_asset"]


def test_nobody_waits_for_ever() -> None:
    """An upload that does not end holds up another one only for a time."""
    config = configured()
    standing = Stage(told()).until(_assets.upload(config, io.BytesIO(CLIP)), Send)
    stage = Stage(told(2))
    assert upload(stage, config).id == "a2"
    assert stage.elapsed == pytest.approx(300, abs=1)
    standing.close()


class Remembered:
    """A store, as far as uploads go."""

    def __init__(self, found: str | None = None) -> None:
        self.found = found
        self.noted: list[tuple[str, ...]] = []
        self.broken = False

    def find_upload(self, account: str, sha256: str) -> str | None:
        """Return what was put in."""
        assert (account, len(sha256)) == ("default", 64)
        if self.broken:
            raise KreaError("the store is away")
        return self.found

    def note_upload(self, account: str, sha256: str, asset_id: str) -> None:
        """Take note."""
        if self.broken:
            raise KreaError("the store is away")
        self.noted.append((account, sha256, asset_id))


def with_store(store: Remembered) -> Any:
    """Make a configuration with uploads that other processes know."""
    config = configured()
    config.uploads.cache = store
    return config


def test_uploads_of_other_processes() -> None:
    """What a store knows is used once it is seen to be there, and noted for others."""
    store = Remembered("a1")
    stage = Stage(told())
    assert upload(stage, with_store(store)).id == "a1"
    assert stage.operations == ["get_asset"]
    stage = Stage(answer(status=404), told(2))
    assert upload(stage, with_store(store)).id == "a2"
    assert [noted[2] for noted in store.noted] == ["a1", "a2"]


def test_a_store_that_is_away() -> None:
    """Without its store an upload only takes longer."""
    store = Remembered("a1")
    store.broken = True
    stage = Stage(told(2))
    assert upload(stage, with_store(store)).id == "a2"
    assert stage.operations == ["upload_asset"]


def source(data: bytes = CLIP) -> Source:
    """Inspect a clip."""
    return Source.open("file", io.BytesIO(data))


def made(uploads: Uploads, asset_id: str = "a1", data: bytes = CLIP) -> Upload:
    """Upload a clip."""
    upload, turn = uploads.claim("default", source(data))
    assert turn is not None
    uploads.made(upload, asset_id)
    return upload


def known(uploads: Uploads, data: bytes = CLIP) -> str | None:
    """Return what a clip is known to have become."""
    upload, turn = uploads.claim("default", source(data))
    if turn is not None:
        uploads.drop(upload)
    return upload.asset_id


def test_what_nobody_needs_can_go() -> None:
    """The last of those who do not want to keep an upload deletes it."""
    uploads = Uploads()
    first, second = Lease(uploads, keep=False), Lease(uploads, keep=False)
    upload = made(uploads)
    assert first.use(upload)
    assert second.use(upload)
    assert list(first.give_back()) == []
    assert list(second.give_back()) == ["a1"]
    assert not first.use(upload)
    assert known(uploads) is None


@pytest.mark.parametrize("who", ["a later user", "a job that may still run", "an earlier user"])
def test_what_somebody_needs_stays(who: str) -> None:
    """An upload that anybody wants to keep, or that a job may still read, is never deleted."""
    uploads = Uploads()
    upload, lease = made(uploads), Lease(uploads, keep=False)
    if who == "an earlier user":
        assert Lease(uploads, keep=True).use(upload)
    assert lease.use(upload)
    if who == "a later user":
        assert Lease(uploads, keep=True).use(upload)
    if who == "a job that may still run":
        other = Lease(uploads, keep=False)
        assert other.use(upload)
        other.end()
    assert list(lease.give_back()) == []
    assert known(uploads) == "a1"


def test_an_upload_that_was_replaced() -> None:
    """Whoever still uses an asset that is gone has no say about the one that came after it."""
    uploads = Uploads()
    lease = Lease(uploads, keep=False)
    upload = made(uploads)
    assert lease.use(upload)
    uploads.drop(upload)
    made(uploads, "a2")
    assert list(lease.give_back()) == []
    assert known(uploads) == "a2"


def test_contents_of_one_size() -> None:
    """Content counts, not size: other content of the same size is another upload."""
    uploads = Uploads()
    other = CLIP[:-1] + b"?"
    made(uploads, "a1")
    made(uploads, "a2", other)
    assert (known(uploads), known(uploads, other)) == ("a1", "a2")
    assert known(uploads, CLIP[:-2] + b"??") is None


@pytest.mark.parametrize("later", ["the same", "changed", "gone"])
def test_files_are_hashed_only_to_compare(later: str, tmp_path: Path) -> None:
    """A file is not read a second time for its hash before there is another of its size."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(CLIP)
    os.utime(path, (1e9, 1e9))
    uploads, file = Uploads(), Source.open("file", path)
    upload, turn = uploads.claim("default", file)
    uploads.made(upload, "a1")
    assert (file.hashed, turn is None) == (None, False)
    if later == "changed":
        path.write_bytes(CLIP[:-1] + b"?")
    if later == "gone":
        path.unlink()
    assert known(uploads) == ("a1" if later == "the same" else None)


def test_an_upload_that_was_given_up() -> None:
    """Who has lost the turn to upload, as a cancelled task may, holds up nobody."""
    uploads = Uploads()
    upload, turn = uploads.claim("default", source())
    other, waiting = uploads.claim("default", source())
    assert (other is upload, waiting, upload.gone) == (True, None, False)
    del turn
    assert upload.gone
    again, turn = uploads.claim("default", source())
    assert again is not upload
    assert turn is not None


def test_uploads_that_are_made_while_one_is_hashed() -> None:
    """What has come meanwhile is compared too, before the content counts as new."""
    uploads, other = Uploads(), CLIP[:-1] + b"?"
    made(uploads, "a1")

    class Slow(Source):
        """A source that somebody else uploads while it is being hashed."""

        @property
        def sha256(self) -> str:
            """Return the hash."""
            if known(uploads, other) is None:
                made(uploads, "a2", other)
            return super().sha256

    upload, turn = uploads.claim("default", Slow.open("file", io.BytesIO(other)))
    assert (upload.asset_id, turn) == ("a2", None)


def test_memory_of_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is forgotten that a call still needs."""
    monkeypatch.setattr(_uploads, "_MOST_REMEMBERED", 0)
    uploads = Uploads()
    Lease(uploads, keep=False).use(made(uploads))
    assert known(uploads) == "a1"


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The upload that was used least recently is forgotten, unless a call needs it."""
    monkeypatch.setattr(_uploads, "_MOST_REMEMBERED", 2)
    uploads = Uploads()
    Lease(uploads, keep=False).use(made(uploads, "a1"))
    forgotten = made(uploads, "a2", CLIP + b"2")
    made(uploads, "a3", CLIP + b"33")
    assert [known(uploads, CLIP + more) for more in (b"", b"33", b"2")] == ["a1", "a3", None]
    assert Lease(uploads, keep=True).use(forgotten)


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_calls(seed: int) -> None:
    """Whatever calls come and go, nothing that is needed or to be kept is deleted, the rest is."""
    chance = random.Random(seed)  # noqa: S311 - reproducible
    uploads, numbers, clip = Uploads(), iter(range(1000)), source()
    calls: list[tuple[Lease, str]] = []
    kept: set[str] = set()
    alive: set[str] = set()
    for _ in range(200):
        action = chance.random()
        if action < 0.5:
            lease = Lease(uploads, keep=chance.random() < 0.1)
            upload, turn = uploads.claim("default", clip)
            if turn is not None:
                uploads.made(upload, f"a{next(numbers)}")
            assert lease.use(upload)
            asset = str(upload.asset_id)
            alive |= {asset} if turn is not None else set()
            assert asset in alive
            calls.append((lease, asset))
            kept |= {asset} if lease.keep else set()
        elif calls:
            lease, asset = calls.pop(chance.randrange(len(calls)))
            if action < 0.55:
                lease.end()
                kept |= {asset}
            else:
                deleted = set(lease.give_back())
                assert not deleted & (kept | {other for _, other in calls})
                alive -= deleted
    for lease, _ in calls:
        alive -= set(lease.give_back())
    assert alive <= kept


def transform(stage: Stage, output: Path, config: Any = None, **options: Any) -> Any:
    """Go the whole way on a stage, with a clip that is not to stay at Krea."""
    ask = partial(
        _wire.draft,
        options.pop("video", io.BytesIO(CLIP)),
        "make it snow",
        {},
        extra_body=None,
        checks="error",
        account="default",
    )
    operation = _results.transform(
        config or configured(),
        ask,
        output,
        exists="error",
        wait_timeout=options.pop("wait_timeout", 60.0),
        webhook_url=None,
        keep_upload=options.pop("keep_upload", False),
    )
    return stage.play(operation)


WHOLE = Served(200, {}, (CLIP,))
DELETED = answer({"success": True})


def outcomes(stage: Stage) -> list[object]:
    """Return what came of deleting."""
    return [
        (event.job_id, event.attributes["outcome"])
        for event in stage.events
        if event.kind == "upload_deleted"
    ]


def test_an_upload_that_is_not_to_stay(tmp_path: Path) -> None:
    """It is deleted when the result is on disk, and not without being told to."""
    stage = Stage(told(), job_answer(), completed(), DELETED, hosts=[WHOLE])
    transform(stage, tmp_path / "out.mp4")
    assert stage.operations[-1] == "delete_asset"
    assert stage.requests[-1].path == "/assets/a1"
    assert outcomes(stage) == [(JOB_ID, "deleted")]
    stage = Stage(told(), job_answer(), completed(), hosts=[WHOLE])
    transform(stage, tmp_path / "kept.mp4", keep_upload=True)
    assert "delete_asset" not in stage.operations


@pytest.mark.parametrize(
    ("answers", "kind", "hosts"),
    [
        ((answer(status=402),), InsufficientCreditsError, []),
        ((job_answer(), job_answer("failed")), JobFailedError, []),
        ((job_answer(), completed()), DownloadError, [Served(400)]),
    ],
    ids=label,
)
def test_uploads_of_jobs_that_are_over(
    answers: Any, kind: type[KreaError], hosts: Any, tmp_path: Path
) -> None:
    """However a job ends, or where none was started, nothing needs the upload any more."""
    stage = Stage(told(), *answers, DELETED, hosts=hosts)
    with pytest.raises(kind):
        transform(stage, tmp_path / "out.mp4")
    assert stage.operations[-1] == "delete_asset"
    assert [outcome for _, outcome in outcomes(stage)] == ["deleted"]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ((cut_off(),), SubmitUncertainError),
        ((job_answer(), job_answer()), WaitTimeoutError),
    ],
    ids=label,
)
def test_uploads_of_jobs_that_may_run(answers: Any, kind: type[KreaError], tmp_path: Path) -> None:
    """A job that may still run may still read the clip: it stays, and can be used again."""
    config = configured()
    stage = Stage(told(), *answers)
    with pytest.raises(kind):
        transform(stage, tmp_path / "out.mp4", config)
    assert "delete_asset" not in stage.operations
    again = Stage(told(), job_answer(), completed(), hosts=[WHOLE])
    transform(again, tmp_path / "out.mp4", config)
    assert "delete_asset" not in again.operations


def test_an_interrupted_transform_deletes_nothing(tmp_path: Path) -> None:
    """Whoever interrupts wants out at once; the upload stays."""
    config = configured()
    stage = Stage(told(), job_answer(), interruption=Interruption(KeyboardInterrupt(), at(Sleep)))
    with pytest.raises(KeyboardInterrupt):
        transform(stage, tmp_path / "out.mp4", config)
    assert "delete_asset" not in stage.operations


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (answer(status=404), "deleted"),
        (answer(status=500), "InternalServerError"),
        (cut_off(), "APIConnectionError"),
        (not_sent(), "APIConnectionError"),
    ],
    ids=label,
)
def test_a_deletion_that_fails(reply: Any, outcome: str, tmp_path: Path) -> None:
    """It is tried once and told; the result is there all the same."""
    stage = Stage(told(), job_answer(), completed(), reply, hosts=[WHOLE])
    assert transform(stage, tmp_path / "out.mp4").size_bytes == len(CLIP)
    assert (stage.operations.count("delete_asset"), stage.sends[-1].limit) == (1, 10.0)
    assert outcomes(stage) == [(JOB_ID, outcome)]


def test_a_key_that_fails_while_deleting(tmp_path: Path) -> None:
    """Not even a key callable with a bug breaks the result."""
    interruption = Interruption(ConfigError("api_key: the callable raised"), at(RefreshKey))
    answers = (told(), job_answer(), completed(), answer(status=401))
    stage = Stage(*answers, hosts=[WHOLE], interruption=interruption)
    assert transform(stage, tmp_path / "out.mp4").size_bytes == len(CLIP)
    assert outcomes(stage) == [(JOB_ID, "ConfigError")]


@pytest.mark.parametrize("earlier", ["uploaded", "an asset", "a URL"])
def test_what_is_not_ours_to_delete(earlier: str, tmp_path: Path) -> None:
    """Neither what was uploaded for itself, nor assets and URLs of the caller, are deleted."""
    config = configured()
    video: Any = io.BytesIO(CLIP)
    replies = [told()]
    if earlier == "uploaded":
        upload(Stage(told()), config)
    else:
        video = Asset("a1", "https://u.example/1") if earlier == "an asset" else "https://x.example"
        replies = []
    stage = Stage(*replies, job_answer(), completed(), hosts=[WHOLE])
    transform(stage, tmp_path / "out.mp4", config, video=video)
    assert "delete_asset" not in stage.operations
    assert outcomes(stage) == []


def test_what_is_to_be_deleted_is_not_told_to_others(tmp_path: Path) -> None:
    """Another process must not rely on an upload that is about to go."""
    store = Remembered()
    stage = Stage(told(), job_answer(), completed(), DELETED, hosts=[WHOLE])
    transform(stage, tmp_path / "out.mp4", with_store(store))
    assert store.noted == []
    transform(
        Stage(told(), job_answer(), completed(), hosts=[WHOLE]),
        tmp_path / "two.mp4",
        with_store(store),
        keep_upload=True,
    )
    assert len(store.noted) == 1
