"""Answers of every kind: real ones, damaged in every way, and what must come of reading them."""

from __future__ import annotations

import json
import pickle
import random
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from krea_aleph import InvalidResponseError, Job, KreaError
from krea_aleph._signals import read_signals
from krea_aleph._steps import Response
from krea_aleph._wire import (
    read_asset,
    read_asset_page,
    read_job,
    read_job_page,
    unknown_in,
)
from krea_aleph.errors import from_job, from_status

_ID: Final = "550e8400-e29b-41d4-a716-446655440000"
_NOW: Final = 1_800_000_000.0
_JOB: Final[dict[str, Any]] = {
    "job_id": _ID,
    "status": "completed",
    "created_at": "2026-11-22T08:00:00.000Z",
    "completed_at": "2026-11-22T08:02:50.123Z",
    "type": "externalVideo",
    "result": {"urls": ["https://gen.krea.ai/videos/a.mp4?sig=1"], "style_id": None},
}
_ASSET: Final[dict[str, Any]] = {
    "id": _ID,
    "image_url": "https://app-uploads.krea.ai/u/1-in.mp4",
    "uploaded_at": "2026-11-22T08:00:00.000Z",
    "width": None,
    "height": 720,
    "size_bytes": 2084,
    "mime_type": "video/mp4",
}
_REAL: Final[tuple[Any, ...]] = (
    _JOB,
    _JOB | {"status": "processing", "completed_at": None, "result": None},
    _JOB | {"status": "failed", "error": {"code": "nsfw", "message": "blocked"}, "result": {}},
    _JOB | {"result": {"urls": [{"type": "model", "url": "https://gen.krea.ai/a.mp4"}]}},
    _JOB | {"result": {"urls": {"video": "https://gen.krea.ai/a.mp4"}}},
    _JOB | {"status": "failed", "result": {"error": "safety_filter"}},
    {"items": [_JOB, _JOB | {"status": "queued"}], "next_cursor": "2026-11-22T08:00:00.000Z"},
    {"items": [_ASSET], "nextCursor": None},
    _ASSET,
    {"error": "Unauthorized"},
    {"message": "INSUFFICIENT_BALANCE"},
    {"detail": [{"loc": ["body", "prompt"], "msg": "field required", "type": "missing"}]},
    {"error": {"code": "CONCURRENCY_LIMIT_REACHED", "message": "too many"}},
    {
        "error": "model_unavailable",
        "reason": "deprecated",
        "message": "gone",
        "sunset_date": "2026-10-09",
        "migration_url": "https://docs.krea.ai/x",
    },
)
_PAGE: Final = (
    b"<!DOCTYPE html><html><head><title>524: A timeout occurred</title></head><body></body></html>"
)
_SCRAPS: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    1e308,
    10**400,
    "",
    " ",
    "\ud800",
    "\x00\x1b[31m",
    "a\nb\r\n" * 50,
    "x" * 5000,
    "../../etc/passwd",
    "\u202eevil",
    [],
    {},
    [None] * 50,
    {"url": {"url": {"url": 7}}},
    {"": ""},
    [[[[[[[[[[[[]]]]]]]]]]]],
)
_HEADERS: Final[dict[str, tuple[str, ...]]] = {
    "retry-after": ("3", "-1", "nan", "1e400", "soon", "Thu, 01 Jan 2099 00:00:00 GMT", "9" * 500),
    "date": ("Thu, 01 Jan 1970 00:00:00 GMT", "x", "", "Thu, 99 Foo 99999 99:99:99 GMT"),
    "deprecation": ("true", "@1688169599", "@" + "9" * 300, "no", "\x7f"),
    "sunset": ("Sat, 01 May 2027 00:00:00 GMT", "2027-05-01", "never", "2027-13-45"),
    "link": ('</d>; rel="deprecation"', "<" * 300, '<a>; rel="x"' * 100, "<>;;;=,,"),
    "x-request-id": ("abc", "", "x" * 3000),
    "content-type": ("text/html", "application/json", ""),
}
_STATUSES: Final = (200, 201, 202, 204, 301, 400, 401, 402, 403, 404, 409, 410, 413, 418, 422, 429)
_MORE_STATUSES: Final = (451, 499, 500, 502, 503, 520, 524, 530, 599, 600, 999, 99, 0)
_OPERATIONS: Final = ("create_aleph_job", "get_job", "list_jobs", "upload_asset", "delete_job")
_JOB_ID: Final = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)
_LONGEST_MESSAGE: Final = 4000


def answers(seed: int, count: int) -> Iterator[Response]:
    """Yield so many answers, which follow from a seed."""
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    for _ in range(count):
        status = dice.choice(_STATUSES + _MORE_STATUSES)
        yield Response(status, _headers(dice), body_of(dice))


def _headers(dice: random.Random) -> dict[str, str]:
    names = dice.sample(sorted(_HEADERS), dice.choice((0, 0, 1, 2, 4)))
    return {name: dice.choice(_HEADERS[name]) for name in names}


def body_of(dice: random.Random) -> bytes:
    """Return a body: a real one, or one that has been damaged in some way."""
    way = dice.randrange(10)
    if way == 0:
        return dice.choice(
            (b"", b"null", b"\xff\xfe\x00", _PAGE, b"[" * 100_000, dice.randbytes(40))
        )
    value = dice.choice(_REAL)
    for _ in range(dice.choice((0, 1, 1, 2, 4))):
        value = _misshapen(dice, value)
    body = _written(dice, value)
    return body if way < 6 else _damaged(dice, body)


def _misshapen(dice: random.Random, value: Any) -> Any:
    """Return a value in which one place holds something else."""
    if isinstance(value, dict) and value and dice.random() < 0.85:
        name = dice.choice(sorted(value))
        changed = dict(value)
        match dice.randrange(6):
            case 0:
                del changed[name]
            case 1:
                changed[name.upper()] = changed.pop(name)
            case 2:
                changed[dice.choice(("extra", "", "é", "__class__", "error"))] = _scrap(dice)
            case _:
                changed[name] = _misshapen(dice, value[name])
        return changed
    if isinstance(value, list) and value and dice.random() < 0.85:
        place = dice.randrange(len(value))
        return [*value[:place], _misshapen(dice, value[place]), *value[place + 1 :]]
    return _scrap(dice)


def _scrap(dice: random.Random) -> Any:
    return dice.choice((*_SCRAPS, *_REAL)) if dice.random() < 0.9 else dice.random() * 1e6


def _written(dice: random.Random, value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=dice.random() < 0.8)
    if dice.random() < 0.03:
        text = text.replace("null", dice.choice(("NaN", "Infinity", "undefined", "None")))
    coding = "utf-8" if dice.random() < 0.96 else dice.choice(("utf-16", "utf-8-sig", "latin-1"))
    return text.encode(coding, "surrogatepass" if coding.startswith("utf") else "replace")


def _damaged(dice: random.Random, body: bytes) -> bytes:
    place, other = sorted((dice.randint(0, len(body)), dice.randint(0, len(body))))
    match dice.randrange(5):
        case 0:
            return body[:place]
        case 1:
            return body[:place] + body[other:]
        case 2:
            return body[:place] + dice.randbytes(dice.randint(1, 8)) + body[place:]
        case 3:
            return body + body[place:other] * dice.randint(1, 3)
        case _:
            return body[:place] + b"\x00" + body[place:]


class AnswerError(AssertionError):
    """An answer was read into something that must not be; shows the answer."""

    def __init__(self, response: Response, what: str) -> None:
        super().__init__(f"{what!a}: {response.status} {response.headers} {response.body[:2000]!r}")


def read_in_every_way(response: Response) -> None:
    """Read an answer as every reader does.

    Raises:
        AnswerError: A reader raised something else than it says, or returned what cannot be.
    """
    _check(response, lambda: _as_error(response))
    for operation in _OPERATIONS[:2]:
        _check(response, lambda name=operation: _as_job(response, name))
    _check(response, lambda: [_job(job) for job in read_job_page(response, "a", _NOW).items])
    _check(response, lambda: read_asset(response, "upload_asset", "a"))
    _check(response, lambda: read_asset_page(response, "a"))
    _check(response, lambda: read_signals(response.headers))
    _check(response, lambda: unknown_in("get_job", response.status, _content(response.body)))


def _check(response: Response, read: Callable[[], object]) -> None:
    try:
        read()
    except InvalidResponseError as error:
        _check_error(response, error)
    except Exception as error:
        raise AnswerError(response, f"{type(error).__name__}: {error}") from error


def _as_error(response: Response) -> None:
    error = from_status("get_job", response.status, response.headers, response.body)
    if error.status_code != response.status:
        raise AnswerError(response, f"its status is {error.status_code}")
    _check_error(response, error)


def _check_error(response: Response, error: KreaError) -> None:
    words = str(error)
    if not words.isprintable() or len(words) > _LONGEST_MESSAGE:
        raise AnswerError(response, f"its message is {words!r}")
    same = pickle.loads(pickle.dumps(error)) == error  # noqa: S301 - our own
    if not same and b"NaN" not in response.body:  # which is not even equal to itself
        raise AnswerError(response, "the error does not pickle")


def _as_job(response: Response, operation: str) -> None:
    _job(read_job(response, operation, "a", _NOW))


def _job(job: Job) -> None:
    """Hold a job to its own types; whatever it is, it must be of use."""
    assert _JOB_ID.fullmatch(job.id)
    assert not {*job.id} & {*'/?#%"\\<>'}
    assert isinstance(job.status, str)
    assert all(isinstance(output.url, str) and output.url for output in job.outputs)
    assert job.succeeded is (from_job(job) is None)
    assert not (job.succeeded and not job.finished)
    assert pickle.loads(pickle.dumps(job)) == job  # noqa: S301 - our own
    error = from_job(job)
    if error is not None:
        assert str(error).isprintable(), str(error)
        assert len(str(error)) < _LONGEST_MESSAGE, len(str(error))


def _content(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
