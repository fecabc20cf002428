"""What goes wrong, and what the caller gets: the same table for every colour."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import krea_aleph
from krea_aleph import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigError,
    DownloadError,
    InsufficientCreditsError,
    IntentBusyError,
    IntentConflictError,
    InternalServerError,
    InvalidRequestError,
    InvalidResponseError,
    JobCancelledError,
    JobClaimedError,
    JobEmptyError,
    JobFailedError,
    JobNotFinishedError,
    JobRejectedError,
    KreaError,
    ModelUnavailableError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    Record,
    RetryPolicy,
    SQLiteStore,
    StoreError,
    SubmitUncertainError,
    SubmitVetoedError,
    TooManyFailuresError,
    UploadError,
    WaitTimeoutError,
)
from krea_aleph.emulator import Emulator, Fault
from leaks import Hunt

ONCE = RetryPolicy(attempts=1)
# No client raises the last one: it is what a receiver makes of what is no delivery.
ABSTRACT = {"KreaError", "APIStatusError", "JobError", "MissingExtraError", "WebhookError"}
EVERY_CLASS = {
    name
    for name in krea_aleph.__all__
    if isinstance(value := getattr(krea_aleph, name), type) and issubclass(value, KreaError)
}


class Scene:
    """What a story about an error may use."""

    def __init__(self, open_client: Any, emulator: Emulator, clip: Path, folder: Path) -> None:
        self.open_client = open_client
        self.emulator = emulator
        self.clip = clip
        self.folder = folder
        self.aleph = open_client(retry=ONCE)

    def submit(self, prompt: str = "night") -> Any:
        """Start a job."""
        return self.aleph.submit(self.clip, prompt)

    def transform(self, prompt: str = "night") -> Any:
        """Go the whole way."""
        return self.aleph.transform(self.clip, prompt, self.folder / "out.mp4")

    def fault(self, operation: str, **what: Any) -> None:
        """Let every such call go wrong from now on."""
        self.emulator.fault(Fault(operation=operation, **{"times": None, **what}))


def _bad_answer(scene: Scene, operation: str, **what: Any) -> Any:
    """Get a job, or upload, while a fault is on."""
    job = scene.submit()
    scene.fault(operation, **what)
    if operation == "upload_asset":
        return scene.aleph.upload(scene.clip, reuse=False)
    return scene.aleph.get(job)


def _changing_file(scene: Scene) -> Any:
    class Shrinking:
        """A file that has lost its end when it is read for the second time."""

        def __init__(self) -> None:
            self.file = scene.clip.open("rb")
            self.reads = 0
            self.name = "shot.mp4"

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def seek(self, *place: int) -> int:
            self.reads += 1
            return self.file.seek(*place)

        def read(self, size: int = -1) -> bytes:
            return b"" if self.reads > 3 else self.file.read(size)

    shrinking = Shrinking()
    try:
        return scene.aleph.upload(shrinking)
    finally:
        shrinking.file.close()


def _veto(scene: Scene) -> Any:
    def no(_: Any) -> None:
        raise SubmitVetoedError("not on a Sunday")

    return scene.open_client(before_submit=no).submit(scene.clip, "night")


def _cancelled(scene: Scene) -> Any:
    scene.emulator.outcome(status="cancelled")
    return scene.transform()


def _late(scene: Scene) -> Any:
    scene.emulator.outcome(seconds=3600)
    return scene.aleph.wait(scene.submit(), wait_timeout=10)


def _unfinished(scene: Scene) -> Any:
    return scene.aleph.download(scene.submit(), scene.folder / "out.mp4")


def _lost(scene: Scene) -> Any:
    scene.fault("create_aleph_job", drop="after")
    return scene.submit()


def _slow(scene: Scene) -> Any:
    job = scene.submit()
    scene.fault("get_job", stall=5.0)
    return scene.open_client(retry=ONCE, request_timeout=0.1).get(job)


def _nobody_there(scene: Scene) -> Any:
    return scene.open_client(retry=ONCE, base_url="http://127.0.0.1:1").get("some-job")


def _refused(operation: str, status: int, body: Any) -> Callable[[Scene], Any]:
    return lambda scene: _bad_answer(scene, operation, status=status, body=body)


def _with_store(scene: Scene) -> tuple[Any, SQLiteStore]:
    store = SQLiteStore(scene.folder / "jobs.sqlite3")
    return scene.open_client(retry=ONCE, store=store), store


def _other_request(scene: Scene) -> Any:
    studio, _ = _with_store(scene)
    studio.submit(scene.clip, "night", intent="shot-1")
    return studio.submit(scene.clip, "day", intent="shot-1")


def _somebody_at_it(scene: Scene) -> Any:
    studio, store = _with_store(scene)
    checked = studio.check(scene.clip, "night")
    held = Record("default", "shot-1", checked.fingerprint, holder=f"{store.holder()}:0")
    store.write(held)
    return studio.submit(scene.clip, "night", intent="shot-1")


def _claimed_twice(scene: Scene) -> Any:
    studio, _ = _with_store(scene)
    first = studio.submit(scene.clip, "night", intent="shot-1")
    scene.fault("create_aleph_job", drop="after")
    try:
        studio.submit(scene.clip, "day", intent="shot-2")
    except SubmitUncertainError as error:
        return studio.adopt(error, first)


def _broken_store(scene: Scene) -> Any:
    (scene.folder / "jobs.sqlite3").mkdir()
    return _with_store(scene)


HTML = "<html><head><title>Bad gateway</title></head></html>"


def _failing_batch(scene: Scene) -> Any:
    """Run a batch whose only item cannot be used, and which may not lose one."""
    items = [{"video": scene.clip, "prompt": ""}]
    return list(scene.aleph.batch(items, output_dir=scene.folder, stop_after_failures=1))


STORIES: list[tuple[type[KreaError], str, Callable[[Scene], Any]]] = [
    (ConfigError, "closed", lambda scene: (scene.aleph.close(), scene.aleph.get("job"))),
    (InvalidRequestError, "prompt", lambda scene: scene.submit("")),
    (SubmitVetoedError, "Sunday", _veto),
    (APIConnectionError, "get_job", _nobody_there),
    (APITimeoutError, "get_job", _slow),
    (BadRequestError, "nope", _refused("get_job", 400, {"message": "nope"})),
    (BadRequestError, "where", _refused("get_job", 422, {"detail": [{"msg": "where"}]})),
    (AuthenticationError, "Unauthorized", _refused("get_job", 401, {"message": "Unauthorized"})),
    (InsufficientCreditsError, "empty", _refused("get_job", 402, {"error": "empty"})),
    (PermissionDeniedError, "1010", _refused("get_job", 403, "error code: 1010")),
    (NotFoundError, "404", lambda scene: scene.aleph.get("no-such-job")),
    (ModelUnavailableError, "gone", _refused("get_job", 410, {"message": "gone"})),
    (PayloadTooLargeError, "upload_asset", _refused("upload_asset", 413, HTML)),
    (RateLimitError, "busy", _refused("get_job", 429, {"error": {"message": "busy"}})),
    (InternalServerError, "Bad gateway", _refused("get_job", 502, HTML)),
    (InternalServerError, "524", _refused("get_job", 524, "")),
    (APIStatusError, "418", _refused("get_job", 418, "")),
    (APIStatusError, "302", _refused("get_job", 302, "")),
    (InvalidResponseError, "no JSON", _refused("get_job", 200, HTML)),
    (InvalidResponseError, "no JSON", _refused("get_job", 200, '{"job_id": "a", "st')),
    (InvalidResponseError, "no JSON", _refused("get_job", 200, "")),
    (InvalidResponseError, "job_id", _refused("get_job", 200, {"status": "queued"})),
    (InvalidResponseError, "object", _refused("get_job", 200, [1])),
    (SubmitUncertainError, "may or may not", _lost),
    (IntentConflictError, "differs in prompt", _other_request),
    (IntentBusyError, "somebody else", _somebody_at_it),
    (JobClaimedError, "belongs to another", _claimed_twice),
    (StoreError, "cannot be used", _broken_store),
    (JobFailedError, "provider", lambda scene: scene.transform("[fail]")),
    (JobFailedError, "failed", lambda scene: scene.transform("[silent]")),
    (JobRejectedError, "nsfw", lambda scene: scene.transform("[nsfw]")),
    (JobCancelledError, "cancelled", _cancelled),
    (JobEmptyError, "without any output", lambda scene: scene.transform("[empty]")),
    (JobNotFinishedError, "has not finished", _unfinished),
    (WaitTimeoutError, "still", _late),
    (TooManyFailuresError, "stopped after 1 failure", _failing_batch),
    (UploadError, "changed", _changing_file),
    (DownloadError, "404", lambda scene: (scene.fault("download", status=404), scene.transform())),
]


@pytest.mark.parametrize(
    ("kind", "words", "story"),
    STORIES,
    ids=[f"{kind.__name__}-{words}".replace(" ", "-") for kind, words, _ in STORIES],
)
def test_each_failure_is_one_error_of_ours(
    kind: type[KreaError],
    words: str,
    story: Callable[[Scene], Any],
    open_client: Any,
    emulator: Emulator,
    clip: Path,
    tmp_path: Path,
) -> None:
    """The exact class, telling words, a hint, the three answers, and a pickle that is equal."""
    with pytest.raises(KreaError, match=words) as caught:
        story(Scene(open_client, emulator, clip, tmp_path))
    error = caught.value
    assert type(error) is kind
    assert error.charged in {"no", "yes", "unknown"}
    assert error.resubmit in {"safe", "pointless", "never"}
    assert error.hint or isinstance(error, APIStatusError | InvalidRequestError)
    assert pickle.loads(pickle.dumps(error)) == error  # noqa: S301 - our own bytes
    Hunt(emulator.key).refuse_error(error)
    assert copy.deepcopy(error) == error
    assert str(error).isprintable()
    assert ".. " not in str(error)
    assert not list(tmp_path.glob("out*"))


def test_the_table_leaves_no_class_out() -> None:
    """Every error that the library exports is reached over a socket, or is only a base."""
    assert {kind.__name__ for kind, _, _ in STORIES} | ABSTRACT == EVERY_CLASS


def test_errors_of_an_accepted_job_say_its_id(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path
) -> None:
    """A key revoked while waiting loses no job: its id is on the error and in its words."""
    emulator.fault(Fault(operation="get_job", status=401, times=None))
    with pytest.raises(AuthenticationError) as caught:
        aleph.transform(clip, "night", tmp_path / "out.mp4")
    job = emulator.jobs[0]
    assert caught.value.job_id == job.id
    assert job.id in str(caught.value)
    assert (caught.value.charged, caught.value.resubmit) == ("unknown", "never")


def test_a_gone_model_says_where_to_go(aleph: Any, emulator: Emulator, clip: Path) -> None:
    """410 carries the date, the replacement and the guide as data."""
    body = {
        "error": "model_unavailable",
        "reason": "deprecated",
        "message": "Runway Aleph was retired.",
        "sunset_date": "2026-10-01",
        "replacement": "aleph2",
        "migration_url": "https://example.com/move",
    }
    emulator.fault(Fault(operation="create_aleph_job", status=410, body=body))
    with pytest.raises(ModelUnavailableError, match="retired") as caught:
        aleph.submit(clip, "night")
    assert caught.value.sunset_date == "2026-10-01"
    assert caught.value.replacement == "aleph2"
    assert caught.value.migration_url == "https://example.com/move"


def test_a_server_that_echoes_the_key_does_not_make_us_show_it(
    aleph: Any, emulator: Emulator
) -> None:
    """The key is blotted out of error bodies before anybody sees them."""
    emulator.fault(Fault(operation="get_job", status=400, body=f"Bearer {emulator.key} is bad"))
    with pytest.raises(BadRequestError) as caught:
        aleph.get("some-job")
    assert emulator.key not in str(caught.value) + repr(caught.value.body)
    assert "***" in str(caught.value)
