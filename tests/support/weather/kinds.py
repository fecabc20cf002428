"""What goes wrong with the API, its jobs, their files and the caller."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

from krea_aleph import Checked
from weather.catalogue import Arm, kind
from weather.scene import ANY, CREATE, DOWNLOAD, LIST, LOOK, UPLOAD, Scene

HTML: Final = "<html><head><title>Bad gateway</title></head><body>busy</body></html>"
# No resolver is asked about it: a host name may have 253 characters.
NOWHERE: Final = ".".join(["nowhere" * 8] * 5)
ENDLESS: Final = float("inf")


# Answers of the API

_RETRIED = "Nothing but a delay; at the paid request, SubmitUncertainError."


def _status(code: int) -> Arm:
    def arm(scene: Scene) -> bool:
        operation = scene.operation(CREATE, CREATE, UPLOAD, LOOK, LIST, DOWNLOAD, ANY)
        body = scene.dice.choice((HTML, {"error": "busy"}, {"message": "busy"}, b"", b"\xff\xfe"))
        accept = operation == CREATE and scene.dice.random() < 0.5
        times = scene.dice.randint(1, 3)
        scene.fault(operation=operation, times=times, status=code, body=body, accept=accept)
        return operation in {UPLOAD, LOOK, LIST, DOWNLOAD}

    return arm


for _code in (500, 502, 503, 504, 520, 524):
    kind(f"status {_code}", _RETRIED)(_status(_code))


def _too_many(header: Callable[[Scene], str | None]) -> Arm:
    def arm(scene: Scene) -> bool:
        operation = scene.operation(CREATE, UPLOAD, LOOK, LIST, DOWNLOAD)
        wish = header(scene)
        headers = {"Date": _http_date(scene)} | ({} if wish is None else {"Retry-After": wish})
        times = scene.dice.randint(1, 3)
        scene.fault(operation=operation, times=times, status=429, headers=headers)
        return wish is None or operation == LOOK

    return arm


def _http_date(scene: Scene, seconds: float = 0.0) -> str:
    return formatdate(scene.clock.time() + seconds, usegmt=True)


_LATER = "Nothing but a delay, also at the paid request; RateLimitError when it lasts."
kind("429 without Retry-After", _LATER)(_too_many(lambda _: None))
kind("429, Retry-After in seconds", "The server's wish is kept, up to 60 s; beyond it an error.")(
    _too_many(lambda scene: str(scene.dice.choice((0, 1, 20, 61, 3600))))
)
kind("429, Retry-After as a date", "As with seconds.")(
    _too_many(lambda scene: _http_date(scene, scene.dice.choice((-60, 5, 45, 7200))))
)
kind("429, absurd Retry-After", "What is no time is ignored; ten years are an error at once.")(
    _too_many(
        lambda scene: scene.dice.choice(("soon", "-5", "nan", "inf", "1e9", "315360000", "", "Mon"))
    )
)


@kind("key rotated in the middle", "Nothing, when the key is a callable; AuthenticationError else.")
def _rotated(scene: Scene) -> bool:
    turn = scene.dice.randint(1, 12)
    scene.on_request.append(lambda number: scene.rotate() if number == turn else None)
    return callable(scene.options["api_key"])


@kind("401 although the key is right", "Nothing, when the key is a callable; else an error.")
def _refused_once(scene: Scene) -> bool:
    scene.fault(operation=scene.operation(CREATE, UPLOAD, LOOK), status=401)
    return callable(scene.options["api_key"])


@kind("403 from a gateway", "PermissionDeniedError; the job goes on, and its id is on the error.")
def _forbidden(scene: Scene) -> bool:
    scene.fault(operation=scene.operation(CREATE, LOOK, LIST), status=403)
    return False


@kind("404 for a job that was seen", "Nothing; NotFoundError with the id when it stays away.")
def _missing(scene: Scene) -> bool:
    times = scene.dice.choice((1, 2, 3, 4))
    scene.fault(operation=LOOK, times=times, status=404)
    return times < 4


@kind("409, a status that nobody documented", "At the paid request, SubmitUncertainError.")
def _conflict(scene: Scene) -> bool:
    operation = scene.operation(CREATE, LOOK)
    accept = operation == CREATE and scene.dice.random() < 0.5
    scene.fault(operation=operation, status=409, accept=accept)
    return operation == LOOK


@kind("402, no credits", "InsufficientCreditsError; nothing was started.")
def _poor(scene: Scene) -> bool:
    scene.fault(operation=CREATE, status=402, body={"message": "INSUFFICIENT_BALANCE"})
    return False


# The connection to the API


def _broken(**how: Any) -> Arm:
    def arm(scene: Scene) -> bool:
        operation = scene.operation(CREATE, CREATE, UPLOAD, LOOK, LIST, DOWNLOAD)
        scene.fault(operation=operation, times=scene.dice.randint(1, 2), **how)
        return operation != CREATE

    return arm


kind("cut before the request was taken", _RETRIED)(_broken(drop="before"))
kind("cut after the request was taken", _RETRIED)(_broken(drop="after"))
kind("reset before the request was taken", _RETRIED)(_broken(drop="before", reset=True))
kind("reset after the request was taken", _RETRIED)(_broken(drop="after", reset=True))
kind("reset in the middle of a body", _RETRIED)(_broken(cut=20, reset=True))
kind("body cut short", _RETRIED)(_broken(cut=30))
kind("Content-Length too long", _RETRIED)(_broken(length=1_000_000))


@kind("Content-Length too short", "As with truncated JSON.")
def _too_short(scene: Scene) -> bool:
    operation = scene.operation(CREATE, UPLOAD, LOOK, LIST)
    scene.fault(operation=operation, length=scene.dice.choice((0, 1, 40)))
    return operation == LOOK


@kind("request held up on its way", "SubmitUncertainError; recover waits until it has settled.")
def _held_up(scene: Scene) -> bool:
    late = scene.dice.uniform(1, 50)
    scene.fault(operation=CREATE, drop="before", late=late)
    return False


@kind("no answer for ever", "APITimeoutError after request_timeout; a missed look while waiting.")
def _stall(scene: Scene) -> bool:
    scene.options["request_timeout"] = 0.15
    operation = scene.operation(CREATE, UPLOAD, LOOK, LIST, DOWNLOAD)
    accept = operation == CREATE and scene.dice.random() < 0.5
    scene.fault(operation=operation, stall=ENDLESS, accept=accept)
    return False


@kind("slow drip", "Nothing but a delay, within request_timeout.")
def _drip(scene: Scene) -> bool:
    operation = scene.operation(CREATE, LOOK, DOWNLOAD)
    pace = 16_384 if operation == DOWNLOAD else 64
    scene.fault(operation=operation, pace=pace)
    return True


@kind("kept connection closed while idle", "Nothing as a rule; it can cost an answer.")
def _closed(scene: Scene) -> bool:
    scene.fault(operation=ANY, nth=1, times=None, every=scene.dice.randint(1, 4), close=True)
    return False


@kind("HTML page in place of JSON", "As with truncated JSON; the page's title is in the message.")
def _page(scene: Scene) -> bool:
    operation = scene.operation(CREATE, UPLOAD, LOOK, LIST)
    accept = operation == CREATE and scene.dice.random() < 0.5
    scene.fault(operation=operation, status=200, body=HTML, accept=accept)
    return operation == LOOK


@kind("truncated JSON", "A missed look; InvalidResponseError; SubmitUncertainError where paid.")
def _truncated(scene: Scene) -> bool:
    operation = scene.operation(CREATE, CREATE, UPLOAD, LOOK, LIST)
    scene.fault(operation=operation, truncate=scene.dice.randint(0, 60))
    return operation == LOOK


_SHAPES: Final = (
    [],
    None,
    "queued",
    7,
    {},
    {"job_id": 7, "status": "queued"},
    {"job_id": "../../etc/passwd", "status": "completed"},
    {"job_id": "somebody-elses-job", "status": "completed", "result": {"urls": []}},
    {"items": {"a": 1}},
    {"data": {"job_id": "550e8400-e29b-41d4-a716-446655440000"}},
    [[[[[]]]]],
)


@kind("JSON of another shape", "As with truncated JSON; nobody else's job is ever taken.")
def _shape(scene: Scene) -> bool:
    # At the paid request an answer with a plausible id would be believed, as it has to be.
    operation = scene.operation(UPLOAD, LOOK, LIST)
    body = scene.dice.choice(_SHAPES)
    scene.fault(operation=operation, status=200, body=body)
    return operation == LOOK


@kind("paid answer of another shape", "SubmitUncertainError; the job is found by recover.")
def _paid_shape(scene: Scene) -> bool:
    body = scene.dice.choice([shape for shape in _SHAPES if "status" not in str(shape)])
    scene.fault(operation=CREATE, status=200, body=body, accept=True)
    return False


# Clocks


@kind("server clock off by an hour or a day", "Nothing.", group="place")
def _skew(scene: Scene) -> bool:
    scene.use_skewed(scene.dice.choice((-86_400.0, -3600.0, 7.0, 3600.0)))
    return True


@kind("a gateway with another clock", "Nothing: the date of an error page proves nothing.")
def _gateway_clock(scene: Scene) -> bool:
    date = scene.dice.choice(
        ("Thu, 01 Jan 2099 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "yesterday", "")
    )
    headers = {"Date": date}
    if scene.dice.random() < 0.5:
        scene.fault(operation=LOOK, status=503, body=HTML, headers=headers)
        return True
    # The last thing that a client sees before it loses an answer, of the next wish.
    scene.wish_again()
    scene.fault(operation=LOOK, nth=1, status=403, body=HTML, headers=headers)
    scene.fault(operation=CREATE, nth=2, drop=scene.dice.choice(("after", "before")))
    return False


# Jobs


@kind("unknown statuses", "Nothing: they count as running, and are shown as they are.")
def _statuses(scene: Scene) -> bool:
    words = scene.dice.sample(("paused", "COOKING", "re-queued", "réessayé", "0", "null"), 3)
    scene.outcome(times=None, statuses=dict.fromkeys(words, 1.0))
    return True


@kind("completed without an address", "JobEmptyError: charged, and pointless to repeat as it is.")
def _empty(scene: Scene) -> bool:
    scene.outcome(urls="none")
    return False


@kind("previews before the result", "Nothing: a preview is never taken for a result.")
def _previews(scene: Scene) -> bool:
    scene.outcome(times=None, urls="objects", seconds=scene.dice.choice((5.0, 60.0)))
    return True


@kind("addresses in another form", "Nothing.")
def _forms(scene: Scene) -> bool:
    scene.outcome(times=None, urls=scene.dice.choice(("map", "video_url", "top_level", "objects")))
    return True


@kind("moderation", "JobRejectedError with the server's code; pointless to repeat as it is.")
def _moderated(scene: Scene) -> bool:
    code = scene.dice.choice(("nsfw", "ip_detected", "violence", "personal_info"))
    scene.outcome(status="failed", error={"code": code, "message": "blocked"})
    return False


@kind("job failed", "JobFailedError: free, and safe to submit again.")
def _failed(scene: Scene) -> bool:
    how: dict[str, Any] = scene.dice.choice(
        (
            {"error": {"code": "provider_error", "message": "The provider gave up"}},
            {"result_error": "timeout"},
            {},
        )
    )
    scene.outcome(status="failed", **how)
    return False


@kind("job cancelled by somebody else", "JobCancelledError: free, and safe to submit again.")
def _cancelled(scene: Scene) -> bool:
    scene.outcome(status="cancelled")
    return False


@kind("backlogged behind others", "Nothing: the clock stands still while a job is backlogged.")
def _backlogged(scene: Scene) -> bool:
    scene.emulator.concurrency = 1
    # Hours are a thousand looks, which takes long where each one is a handshake.
    seconds = 20.0 if "place" in scene.groups else scene.dice.choice((20.0, 20.0, 20.0, 4000.0))
    scene.emulator.foreign(scene.dice.randint(1, 3), seconds=seconds)
    return True


@kind("Krea gone for a long time", "Missed looks; WaitTimeoutError with the last one as its cause.")
def _gone(scene: Scene) -> bool:
    scene.fault(operation=LOOK, nth=2, times=60, status=scene.dice.choice((502, 503)))
    scene.wait_timeout = scene.dice.choice((scene.wait_timeout, 120.0))
    return False


# The host of the outputs


@kind("output expired", "Nothing: the job is asked once for a new address. DownloadError else.")
def _expired(scene: Scene) -> bool:
    times = scene.dice.choice((1, 1, 5))
    status = scene.dice.choice((403, 404, 410))
    scene.fault(operation=DOWNLOAD, times=times, status=status, body="<Error>Expired</Error>")
    return times == 1


@kind("output redirected", "Nothing.")
def _redirected(scene: Scene) -> bool:
    status = scene.dice.choice((301, 302, 303, 307, 308))
    times = scene.dice.randint(1, 5)
    scene.fault(operation=DOWNLOAD, times=times, status=status, headers={"Location": "?moved=1"})
    return True


@kind("output redirected to a stranger", "DownloadError; the stranger learns nothing of the key.")
def _stranger(scene: Scene) -> bool:
    location = f"{scene.stage.stranger.url}/video.mp4"
    scene.fault(operation=DOWNLOAD, times=None, status=302, headers={"Location": location})
    return False


@kind("output redirected in a circle", "DownloadError.")
def _circle(scene: Scene) -> bool:
    scene.fault(operation=DOWNLOAD, times=None, status=302, headers={"Location": "?again"})
    return False


@kind("output on a host without address", "DownloadError after the tries of the retry policy.")
def _nowhere(scene: Scene) -> bool:
    location = scene.dice.choice((f"http://{NOWHERE}/a.mp4", "http://", "http://[", "ftp://a/b"))
    scene.fault(operation=DOWNLOAD, times=None, status=302, headers={"Location": location})
    return False


@kind("wrong answer to a range", "Nothing: the download begins again.")
def _range(scene: Scene) -> bool:
    scene.fault(operation=DOWNLOAD, nth=1, cut=scene.dice.randint(1, 60_000))
    elsewhere = {"Content-Range": "bytes 5-104/65536"}
    wrong: dict[str, Any] = scene.dice.choice(
        (
            {"status": 206, "body": b"x" * 100, "headers": elsewhere},
            {"status": 206, "body": b"x" * 100, "headers": elsewhere},
            {"status": 206, "body": b"x" * 100},
            {"status": 206, "body": b"", "headers": {"Content-Range": "bytes */65536"}},
            {"status": 416, "body": b""},
            {"status": 206, "body": b"x", "headers": {"Content-Range": "bytes 0-0/1"}},
        )
    )
    scene.fault(operation=DOWNLOAD, nth=2, **wrong)
    return True


@kind("another file behind the address", "Nothing: parts of two files are never put together.")
def _changed(scene: Scene) -> bool:
    cut = scene.dice.randint(1, 60_000)
    scene.fault(operation=DOWNLOAD, nth=1, cut=cut)
    headers = {"ETag": '"another"', "Content-Range": f"bytes {cut}-65535/65536"}
    body = b"x" * (65_536 - cut)
    scene.fault(operation=DOWNLOAD, nth=2, status=206, body=body, headers=headers)
    return True


@kind("host without ranges or strong tags", "Nothing: after a break the download begins again.")
def _no_ranges(scene: Scene) -> bool:
    scene.quirk(scene.dice.choice(("ranges_ignored", "weak_etags")))
    scene.fault(operation=DOWNLOAD, nth=1, cut=scene.dice.randint(0, 60_000))
    return True


@kind("download cut again and again", "Nothing: it is resumed; DownloadError when it stays so.")
def _cut_often(scene: Scene) -> bool:
    times = scene.dice.randint(2, 6)
    reset = scene.dice.random() < 0.5
    scene.fault(operation=DOWNLOAD, times=times, cut=scene.dice.randint(0, 9000), reset=reset)
    return times <= 3


@kind("page in place of a video", "DownloadError; no page ever has a video's name.")
def _no_video(scene: Scene) -> bool:
    scene.fault(operation=DOWNLOAD, status=200, body=HTML)
    return False


@kind("several results", "Nothing: each has a file of its own, and all or none is reported.")
def _several(scene: Scene) -> bool:
    scene.outcome(times=None, outputs=2)
    if scene.dice.random() < 0.5:
        scene.fault(operation=DOWNLOAD, nth=2, cut=100)
    return True


# The upload


@kind("upload refused as too large", "PayloadTooLargeError; nothing was started.")
def _too_large(scene: Scene) -> bool | None:
    scene.fault(operation=UPLOAD, status=413, body=HTML)
    return False if isinstance(scene.video, Path) else None


@kind("clip changed while it is uploaded", "UploadError; nothing was started.")
def _rewritten(scene: Scene) -> bool | None:
    video = scene.video
    if not isinstance(video, Path):
        return None
    scene.wish_once()  # to the next wish it would be another request under its intent
    whole = video.read_bytes()

    def before_submit(_: Checked) -> None:
        video.write_bytes(whole + b"more")

    scene.options["before_submit"] = before_submit
    return False


# Leaving


@kind("Ctrl-C or cancellation at any step", "The id and how to go on; or that a job may be there.",
      group="leave")  # fmt: skip
def _left(scene: Scene) -> bool:
    step = int(10 ** scene.dice.uniform(0, 2.1))  # more often near the beginning, and the payment
    scene.leaving.steps = {step}
    if scene.dice.random() < 0.2:
        scene.leaving.steps.add(step + scene.dice.randint(1, 4))  # somebody who insists
    scene.leaving.native = scene.dice.random() < 0.5
    return False


@kind("Ctrl-C or cancellation at any moment", "The same.", group="leave")
def _left_sometime(scene: Scene) -> bool:
    scene.leaving.seconds = scene.dice.uniform(0.0, 0.03)
    scene.leaving.native = scene.dice.random() < 0.5
    return False


@kind("Ctrl-C at any line of the library", "The same.", group="leave", colours=("sync",))
def _left_anywhere(scene: Scene) -> bool:
    scene.leaving.line = int(10 ** scene.dice.uniform(1, 4.2))
    scene.leaving.anywhere = True
    return False


@kind("deadline", "WaitTimeoutError with the job; it goes on, or is cancelled if so configured.")
def _deadline(scene: Scene) -> bool:
    scene.wait_timeout = scene.dice.uniform(0.5, 40.0)
    return False


@kind("callbacks that raise", "Nothing but an entry in the log.")
def _bad_callback(scene: Scene) -> bool:
    scene.rude = True

    def shout(_: int) -> None:
        raise RuntimeError("a listener of the user's own")

    scene.on_request.append(shout)
    return True
