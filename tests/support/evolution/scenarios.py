"""What users do. Each scenario demands that what it asks for has really happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from krea_aleph import contract
from krea_aleph.emulator import Fault
from krea_aleph.errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InsufficientCreditsError,
    JobEmptyError,
    JobError,
    JobFailedError,
    JobRejectedError,
    ModelUnavailableError,
    NotFoundError,
    RateLimitError,
)
from krea_aleph_api.constraints import ALEPH_REQUEST
from stage import PROMPT, SAMPLES, VIDEO, Stage, option
from terms import PAIR

CLIP: Final = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(2048)
STILL: Final = b"\x89PNG\r\n\x1a\n" + bytes(64)
NOWHERE: Final = "00000000-0000-4000-8000-000000000000"
# Values that some contracts take and others don't.
VALUES: Final[Mapping[str, Mapping[str, Any]]] = {
    "ratio=848:480": {"ratio": "848:480"},
    "ratio=1920:1080": {"ratio": "1920:1080"},
    "seed=7.5": {"seed": 7.5},
    "two references": {"references": SAMPLES["references"] * 2},
    "init_image_url=None": {"init_image_url": None},
    "a prompt of 800 characters": {"prompt": "x" * 800},
    "a video as data of 2,000 characters": {"video": "data:video/mp4;base64," + "A" * 2000},
}


Play: TypeAlias = Callable[[Stage], object]
SCENARIOS: Final[dict[str, Play]] = {}


def scenario(title: str) -> Callable[[Play], Play]:
    """Register a scenario."""

    def register(play: Play) -> Play:
        SCENARIOS[title] = play
        return play

    return register


# Submitting


@scenario("submit a video and a prompt, nothing else")
def _bare(stage: Stage) -> None:
    stage.aleph.submit(VIDEO, PROMPT)


@scenario("submit them with checks off")
def _bare_unchecked(stage: Stage) -> None:
    stage.loose.submit(VIDEO, PROMPT)


@scenario("submit with what the server demands")
def _as_demanded(stage: Stage) -> None:
    stage.submit()


@scenario("submit what nobody knows, with checks off")
def _unknown_to_all(stage: Stage) -> None:
    given = stage.arguments(nobody_knows=1)
    _naming("nobody_knows", lambda: stage.loose.submit(VIDEO, PROMPT, **given))


def _naming(name: str, submit: Callable[[], object]) -> None:
    """Submit, and demand that a refusal names the field."""
    try:
        submit()
    except BadRequestError as error:
        _require_named(name, error)
        raise


def _require_named(name: str, error: BadRequestError) -> None:
    assert name in error.message, error


def _arrived(stage: Stage, value: Any) -> None:
    """Demand that a value is in the request, under its name or, of old names, under the new one."""
    (job,) = stage.emulator.jobs
    assert value in job.body.values(), job.body


def _add_option(name: str, value: Any) -> None:
    @scenario(f"option {name}")
    def _given(stage: Stage) -> None:
        _naming(name, lambda: stage.submit(**{option(name): value}))
        _arrived(stage, value)

    @scenario(f"extra_body {name}")
    def _past_the_contract(stage: Stage) -> None:
        _naming(name, lambda: stage.submit(extra_body={name: value}))
        _arrived(stage, value)


def _add_value(title: str, given: Mapping[str, Any]) -> None:
    @scenario(title)
    def _checked(stage: Stage) -> None:
        stage.submit(**given)

    @scenario(f"{title}, checks off")
    def _unchecked(stage: Stage) -> None:
        video, prompt = given.get("video", VIDEO), given.get("prompt", PROMPT)
        rest = {name: value for name, value in given.items() if name not in {"video", "prompt"}}
        stage.loose.submit(video, prompt, **stage.arguments(**rest))


for _name, _sample in SAMPLES.items():
    _add_option(_name, _sample)
for _name, _values in VALUES.items():
    _add_value(_name, _values)


@scenario("a picture from this disk inside of scene")
def _nested_file(stage: Stage) -> None:
    picture = stage.folder / "still.png"
    picture.write_bytes(STILL)
    stage.submit(scene={"backdrop": str(picture)})
    (asset,) = stage.emulator.assets
    _arrived(stage, {"backdrop": asset.url})


# The life of a job


@scenario("get a job")
def _get(stage: Stage) -> None:
    job = stage.submit()
    found = stage.aleph.get(job)
    assert (found.id, found.finished) == (job.id, False)
    assert found.created_at is not None


@scenario("wait for a job")
def _wait(stage: Stage) -> None:
    job = stage.aleph.wait(stage.submit().id)
    assert job.succeeded


@scenario("watch a job")
def _watch(stage: Stage) -> None:
    seen = [update.job.status for update in stage.aleph.watch(stage.submit())]
    assert seen[-1] == "completed", seen
    assert "processing" in seen, seen


@scenario("wait for a job through a status that nobody knows")
def _unknown_status(stage: Stage) -> None:
    stage.emulator.outcome(statuses={"queued": 0.2, "dreaming": 0.8})
    seen = [update.job.status for update in stage.aleph.watch(stage.submit())]
    assert "dreaming" in seen, seen
    assert seen[-1] == "completed", seen


@scenario("transform a file into a file")
def _transform(stage: Stage) -> None:
    clip, result = stage.folder / "clip.mp4", stage.folder / "result.mp4"
    clip.write_bytes(CLIP)
    result.unlink(missing_ok=True)
    saved = stage.client().transform(clip, PROMPT, result, **stage.arguments())
    assert saved.path.stat().st_size == saved.size_bytes > 0
    assert len(stage.emulator.assets) == stage.emulator.accepted == 1


@scenario("cancel a job")
def _cancel(stage: Stage) -> None:
    assert stage.aleph.cancel(stage.submit()).outcome == "cancelled"


@scenario("list more jobs than one page holds")
def _list_jobs(stage: Stage) -> None:
    with stage.quirk("ties_lost", on=False):
        stage.emulator.foreign(120)
        listed = [job.id for job in stage.aleph.list_jobs()]
    assert listed == [job.id for job in reversed(stage.emulator.jobs)]


@scenario("list the jobs of one status")
def _list_by_status(stage: Stage) -> None:
    stage.emulator.foreign(3)
    assert not list(stage.aleph.list_jobs(status="completed"))


@scenario("finish a job that was accepted before the server changed")
def _before_the_change(stage: Stage) -> None:
    demanded = set(ALEPH_REQUEST["required"]) - PAIR
    stage.emulator.speak(contract.document())
    job = stage.aleph.submit(VIDEO, PROMPT, **{option(name): SAMPLES[name] for name in demanded})
    stage.emulator.speak(stage.document)
    saved = stage.aleph.download(stage.aleph.wait(job), stage.folder / "late.mp4", exists="replace")
    assert saved.size_bytes > 0


# Files


@scenario("upload, look at, list and delete an asset")
def _assets(stage: Stage) -> None:
    clip = stage.folder / "clip.mp4"
    clip.write_bytes(CLIP)
    asset = stage.aleph.upload(clip)
    assert (asset.size_bytes, asset.media_type) == (len(CLIP), "video/mp4")
    assert stage.aleph.get_asset(asset) == asset
    assert list(stage.aleph.list_assets()) == [asset]
    stage.aleph.delete_asset(asset)
    assert stage.emulator.assets == []


# Jobs that fail


@scenario("a job that fails, and why")
def _failed(stage: Stage) -> None:
    error = _failure(stage, "provider_error", "The provider gave up", JobFailedError)
    assert type(error) is JobFailedError
    assert error.charged == "no"


@scenario("a job that moderation stops")
def _moderated(stage: Stage) -> None:
    _failure(stage, "nsfw", "Stopped by moderation", JobRejectedError)


def _failure(stage: Stage, code: str, words: str, kind: type[JobError]) -> JobError:
    """Let a job fail in the place that the contract has for it, else where the prose says."""
    told: dict[str, Any] = {"error": {"code": code, "message": words}}
    if not stage.tells_reasons:
        told = {"result_error": f"{code}: {words}"}
    stage.emulator.outcome(status="failed", **told)
    job = stage.submit()
    error: JobError = _raises(kind, lambda: stage.aleph.wait(job))
    assert words in str(error), error
    assert code in str(error), error
    return error


@scenario("a job that completes without a result")
def _empty(stage: Stage) -> None:
    stage.emulator.outcome(urls="none")
    _raises(JobEmptyError, lambda: stage.aleph.wait(stage.submit()))


# Refusals


def _raises(kind: type[Exception], call: Callable[[], object]) -> Any:
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"there was no {kind.__name__}")


@scenario("a wrong key (401)")
def _unauthorized(stage: Stage) -> None:
    stranger = stage.aleph.with_options(api_key="another:key")
    _raises(AuthenticationError, lambda: list(stranger.list_jobs()))


@scenario("an empty balance (402)")
def _no_credits(stage: Stage) -> None:
    stage.emulator.credits = 0
    try:
        _refused(stage, InsufficientCreditsError)
    finally:
        stage.emulator.credits = None


@scenario("a job and an asset that are unknown (404)")
def _unknown(stage: Stage) -> None:
    _raises(NotFoundError, lambda: stage.aleph.get(NOWHERE))
    _raises(NotFoundError, lambda: stage.aleph.get_asset(NOWHERE))
    _raises(NotFoundError, lambda: stage.aleph.delete_asset(NOWHERE))


@scenario("a model that has been switched off (410)")
def _gone(stage: Stage) -> None:
    told = {"error": "model_unavailable", "message": "It is gone", "replacement": "aleph-2"}
    _fault(stage, Fault(operation="create_aleph_job", status=410, body=told))
    assert _refused(stage, ModelUnavailableError).replacement == "aleph-2"


@scenario("media that Krea refuses (422)")
def _foreign_media(stage: Stage) -> None:
    with stage.quirk("foreign_media_422", on=True):
        error = _refused(stage, BadRequestError)
    assert "Invalid asset URL" in error.message, error


@scenario("too many jobs at once (429)")
def _too_many(stage: Stage) -> None:
    _fault(stage, Fault(operation="create_aleph_job", status=429, times=None))
    _refused(stage, RateLimitError)


def _fault(stage: Stage, fault: Fault) -> None:
    """Let something go wrong, where there is anything that could."""
    if stage.body["properties"]:
        stage.emulator.fault(fault)


def _refused(stage: Stage, kind: type[APIStatusError]) -> Any:
    """Submit, and return the refusal; where there is nothing to submit to, that is the answer."""
    wanted: type[APIStatusError] = kind if stage.body["properties"] else NotFoundError
    error = _raises(wanted, stage.submit)
    if wanted is not kind:
        raise error
    assert (error.charged, stage.emulator.accepted) == ("no", 0)
    return error
