"""Every error that a public call can raise, and the one function that turns answers into errors.

Each answers three questions in code as well as in words: ``charged`` (does this cost money: "no",
"yes", "unknown"), ``resubmit`` (is sending the request again "safe", "pointless" until something
is changed, or "never" right because it may pay twice), and ``hint`` (what to do next)::

    KreaError
    ├─ ConfigError
    │  └─ MissingExtraError
    ├─ InvalidRequestError
    │  ├─ SubmitVetoedError
    │  └─ IntentConflictError
    ├─ IntentBusyError
    ├─ APIConnectionError
    │  └─ APITimeoutError
    ├─ APIStatusError
    │  ├─ BadRequestError          400 422
    │  ├─ AuthenticationError      401
    │  ├─ InsufficientCreditsError 402
    │  ├─ PermissionDeniedError    403
    │  ├─ NotFoundError            404
    │  ├─ ModelUnavailableError    410
    │  ├─ PayloadTooLargeError     413
    │  ├─ RateLimitError           429
    │  └─ InternalServerError      5xx
    ├─ InvalidResponseError
    ├─ SubmitUncertainError
    ├─ JobError
    │  ├─ JobFailedError
    │  ├─ JobRejectedError
    │  ├─ JobCancelledError
    │  ├─ JobEmptyError
    │  └─ JobNotFinishedError
    ├─ WaitTimeoutError
    ├─ UploadError
    ├─ DownloadError
    ├─ StoreError
    │  └─ JobClaimedError
    ├─ TooManyFailuresError
    └─ WebhookError
"""

from __future__ import annotations

import json
import math
import re
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Literal, TypeAlias

from krea_aleph._signals import Signals, read_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from krea_aleph.models import Job

Charged: TypeAlias = Literal["no", "yes", "unknown"]
Resubmit: TypeAlias = Literal["safe", "pointless", "never"]


class KreaWarning(UserWarning):
    """Something that works today and deserves a look: a loosened check, a deprecated operation."""


class KreaDeprecationWarning(KreaWarning):
    """Something of Krea's API that is in use here is going to end, or has ended.

    It is told once per process and thing, also to those who run Python without any options: what
    ends is a service, and whoever runs the program has to know. When the pinned contract says so,
    it comes before anything is sent or paid, and a filter may make it an exception; when it is the
    server that says so, in an answer, it is never raised, because a job may be at stake.
    """


class KreaError(Exception):
    """The base of every error that this library raises.

    Errors pickle, compare by what they say, and carry no value of a foreign library except as
    ``__cause__``.

    Attributes:
        job_id: The job that it is about, where one is known.
        intent: The intent that it is about, where one was given.
        charged: Whether it costs money.
        resubmit: Whether the same request may be sent again.
        hint: What to do next, in one sentence.
    """

    charged: Charged = "unknown"
    resubmit: Resubmit = "never"
    hint: str = ""
    job_id: str | None = None
    intent: str | None = None

    def __init__(
        self,
        message: str,
        *,
        job_id: str | None = None,
        charged: Charged | None = None,
        resubmit: Resubmit | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.charged = charged or type(self).charged
        self.resubmit = resubmit or type(self).resubmit
        self.hint = type(self).hint if hint is None else hint

    def about(self, job_id: str, *, exists: bool = True, charged: Charged = "unknown") -> None:
        """Note which job this error is about, so that its id is not lost.

        Args:
            job_id: The job's id.
            exists: Whether it is known to exist: then it may be paid for already.
            charged: What that means for ``charged``.
        """
        if self.job_id is not None:
            return
        self.job_id = job_id
        if exists:
            self.charged = charged
            self.resubmit = "never"
            further = f"The job was accepted: go on with wait({job_id!r})."
            if charged == "yes":
                further = f"The job is done: fetch it with download({job_id!r}, ...)."
            self.hint = f"{self.hint} {further}".strip()

    def __str__(self) -> str:
        words = str(self.args[0]) if self.args else ""
        if self.job_id is not None and self.job_id not in words:
            words = f"{words.removesuffix('.')} (job {self.job_id})"
        sentence = words if words.endswith((".", "!", "?", "…")) else f"{words}."
        return _printable(f"{sentence} {self.hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, dict(self.__dict__))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.args == other.args and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), self.args))


def _restore(
    kind: type[KreaError], args: tuple[object, ...], facts: dict[str, object]
) -> KreaError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


class ConfigError(KreaError):
    """The client cannot work as it is configured: no key, a bad base URL, options at odds."""

    charged: Charged = "no"
    resubmit: Resubmit = "pointless"


class MissingExtraError(ConfigError, ImportError):
    """A part of the library needs packages that are not installed.

    Attributes:
        extra: The extra that brings them.
    """

    extra: str

    def __init__(self, extra: str) -> None:
        super().__init__(
            f"this needs the extra [{extra}], which is not installed.",
            hint=f"Run: pip install 'krea-aleph[{extra}]'",
        )
        self.extra = extra


class InvalidRequestError(KreaError, ValueError):
    """Refused here, before any request, upload or payment.

    Attributes:
        field: The argument or option that is wrong, such as ``references[0].uri``.
        problem: What is wrong with it.
    """

    charged: Charged = "no"
    resubmit: Resubmit = "pointless"
    field: str
    problem: str

    def __init__(self, field: str, problem: str, *, hint: str = "") -> None:
        super().__init__(f"{field}: {problem}", hint=hint)
        self.field = field
        self.problem = problem


class SubmitVetoedError(InvalidRequestError):
    """``before_submit`` refused the request. Raise it there; nothing has been uploaded or sent."""

    def __init__(self, problem: str = "vetoed by before_submit") -> None:
        super().__init__("request", problem)


class IntentConflictError(InvalidRequestError):
    """An intent was used before for another request; nothing has been sent.

    Attributes:
        fields: The fields of the request that differ from the first time.
    """

    fields: tuple[str, ...]

    def __init__(self, intent: str, fields: tuple[str, ...]) -> None:
        named = f", which differs in {', '.join(fields)}" if fields else ""
        super().__init__(
            "intent",
            f"{intent!r} stands for another request{named}",
            hint="A new attempt at something else needs an intent of its own.",
        )
        self.intent = intent
        self.fields = fields


class IntentBusyError(KreaError):
    """Another call is submitting at this moment, and took longer than one waits for it.

    It is either the same intent, or on an exclusive account any other.
    """

    charged: Charged = "no"
    resubmit: Resubmit = "safe"
    hint = "Nothing was sent by this call: make it again later."


class APIConnectionError(KreaError):
    """There was no usable answer; ``__cause__`` is what the transport said."""

    charged: Charged = "no"
    resubmit: Resubmit = "safe"
    hint = "Check the network, the proxy and the base URL, then call again."


class APITimeoutError(APIConnectionError, TimeoutError):
    """The server took longer than ``request_timeout`` over one exchange."""

    hint = "Call again, or raise request_timeout."


class APIStatusError(KreaError):
    """The server answered with an error.

    Attributes:
        status_code: The HTTP status.
        operation: The operation's id in the contract, such as ``get_job``.
        message: The server's own words, shortened; empty when it gave none.
        body: The whole answer: parsed JSON, else text, else None when empty.
        headers: Its headers, names in lower case.
        request_id: The id under which the server's operators can find the request, if sent.
        retry_after: Seconds that the server asks to be left alone, if it does.
    """

    charged: Charged = "no"
    resubmit: Resubmit = "pointless"
    hint = "Change what the server objects to; .body has all that it said."
    status_code: int
    operation: str
    message: str
    body: Any
    headers: Mapping[str, str]
    request_id: str | None
    retry_after: float | None

    def __init__(
        self, operation: str, status_code: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        parsed, words = read_body(body)
        reason = _reason_phrase(status_code)
        said = words.rstrip(".") or "(no message)"
        super().__init__(f"{operation}: Krea answered {status_code} {reason}: {said}.")
        self.operation = operation
        self.status_code = status_code
        self.headers = dict(headers)
        self.body = parsed
        self.message = words
        self.request_id = next(
            (headers[name] for name in _REQUEST_ID_HEADERS if name in headers), None
        )
        self.retry_after = retry_after(headers)


class BadRequestError(APIStatusError):
    """400 or 422: the server did not accept the request as it stands."""

    hint = "Change the request as the server says; nothing was charged."


class AuthenticationError(APIStatusError):
    """401: the key is missing, wrong or revoked."""

    hint = "Check KREA_API_KEY: it must be the whole token."


class InsufficientCreditsError(APIStatusError):
    """402: the API balance is empty, or the plan does not include the model."""

    hint = "Top up the API balance, which is separate from the workspace's compute balance."


class PermissionDeniedError(APIStatusError):
    """403: this key may not do this, or a gateway in front of the API refused it."""

    hint = "Check that the workspace allows API access and what the key may do."


class NotFoundError(APIStatusError):
    """404: unknown, or not this account's; Krea does not tell the two apart."""

    hint = (
        "Check the id, the account and the base URL."
        " For a new job it means that the operation is gone."
    )


class ModelUnavailableError(APIStatusError):
    """410: the model has been switched off.

    Attributes:
        sunset_date: When it went, as the server wrote it, if it said so; of a ``Sunset`` header
            the day.
        replacement: What replaces it, if anything does.
        migration_url: Where to read how to move, if anywhere.
    """

    hint = "The model is gone for good: sending the same again will not help."
    sunset_date: str | None
    replacement: str | None
    migration_url: str | None

    def __init__(
        self, operation: str, status_code: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        super().__init__(operation, status_code, headers, body)
        signals = read_signals(headers) or Signals()
        self.sunset_date = _text_in(self.body, "sunset_date", "sunset") or signals.sunset
        self.replacement = _text_in(self.body, "replacement") or signals.replacement
        self.migration_url = _text_in(self.body, "migration_url") or signals.url
        self.hint = " ".join([self.hint, *self._next_steps()])

    def _next_steps(self) -> Iterator[str]:
        if self.replacement:
            yield f"Move to {one_line(self.replacement)}."
        else:
            yield "No replacement is named: see whether a newer krea-aleph has one, or ask Krea."
        if self.migration_url:
            yield f"How to move: {one_line(self.migration_url)}"


class PayloadTooLargeError(APIStatusError):
    """413: the upload is larger than the server takes."""

    hint = "Upload a smaller or shorter file: only the first 5 seconds are used."


class RateLimitError(APIStatusError):
    """429: too many jobs or requests at once. Nothing was started."""

    resubmit: Resubmit = "safe"
    hint = "Call again later, after retry_after seconds where the server names them."


class InternalServerError(APIStatusError):
    """5xx, 520 to 599 of the gateway in front included."""

    resubmit: Resubmit = "safe"
    hint = "Call again later; if it stays, ask Krea and name the request id."


class InvalidResponseError(KreaError):
    """A success that is not what any version of the contract promises.

    Attributes:
        operation: The operation's id in the contract.
        body: What the server sent: parsed JSON, else text, else None when empty.
    """

    hint = "Call again; if it stays, look at .body: something between here and Krea answers for it."
    operation: str
    body: Any

    def __init__(self, operation: str, problem: str, body: bytes = b"") -> None:
        parsed, words = read_body(body)
        excerpt = f" It began: {words}" if words else ""
        super().__init__(f"{operation}: unusable answer: {problem}.{excerpt}")
        self.operation = operation
        self.body = parsed


class SubmitUncertainError(KreaError):
    """The request to start a job left, and whether Krea accepted it is not known.

    It is not sent again by itself, because Krea has no idempotency key: a second one may be a
    second paid job. ``__cause__`` is what went wrong.

    Attributes:
        since: A moment before the request left, with a margin for clocks that differ: the job, if
            there is one, is among ``list_jobs(created_after=error.since)``.
        fingerprint: The fingerprint of what was asked for, as in ``Checked``.
        candidates: Jobs that it may have become, where somebody has looked.
        account: The label of the account that it was for.
        mark: What the server showed just before, as text for ``recover``; None where nobody knows,
            and then ``recover`` can only list candidates.
        nonce: What a webhook receiver knows the submit by; empty without one, and under an intent.
    """

    hint = (
        "Do not submit again yet: recover(error) looks for the job; it returns None only when it"
        " is proved that none was started."
    )
    since: datetime
    fingerprint: str
    candidates: tuple[Job, ...]
    account: str
    mark: str | None
    nonce: str = ""

    def __init__(
        self,
        message: str,
        *,
        since: datetime,
        fingerprint: str,
        candidates: tuple[Job, ...] = (),
        account: str = "default",
        mark: str | None = None,
    ) -> None:
        super().__init__(message)
        self.since = since
        self.fingerprint = fingerprint
        self.candidates = candidates
        self.account = account
        self.mark = mark


class JobError(KreaError):
    """The job did not end with a result.

    Attributes:
        job: The last snapshot.
        code: The server's code, if it gave one.
        reason: The server's words, if it gave any.
    """

    job: Job
    code: str | None
    reason: str | None
    _words = "ended without a result"

    def __init__(self, job: Job) -> None:
        detail = one_line(": ".join(part for part in (job.error_code, job.error_message) if part))
        super().__init__(
            f"job {job.id} {self._words}{': ' + detail if detail else ''}.", job_id=job.id
        )
        self.job = job
        self.code = job.error_code
        self.reason = job.error_message


class JobFailedError(JobError):
    """The job failed. Krea documents that failed jobs are free."""

    charged: Charged = "no"
    resubmit: Resubmit = "safe"
    hint = "Submit again if the reason may pass; change the request if it will not."
    _words = "failed"


class JobRejectedError(JobError):
    """Moderation refused the prompt, the input or the result.

    Krea documents failed jobs as free; one of its pages says that flagged ones count all the same.
    """

    charged: Charged = "unknown"
    resubmit: Resubmit = "pointless"
    hint = "Change the prompt or the input: the same request will be refused again."
    _words = "was rejected by moderation"


class JobCancelledError(JobError):
    """The job was cancelled, here or by somebody else. Cancelled jobs are free."""

    charged: Charged = "no"
    resubmit: Resubmit = "safe"
    hint = "Submit again if you still want it."
    _words = "was cancelled"


class JobEmptyError(JobError):
    """The job says "completed" and has no result: how Krea has been seen to block content."""

    charged: Charged = "yes"
    resubmit: Resubmit = "pointless"
    hint = "Change the prompt or the input; ask Krea about the charge, naming the job."
    _words = "completed without any output"


class JobNotFinishedError(JobError):
    """The job still runs, and the call does not wait."""

    charged: Charged = "unknown"
    resubmit: Resubmit = "never"
    hint = "Wait for it first: wait(job)."
    _words = "has not finished"


class WaitTimeoutError(KreaError, TimeoutError):
    """The job did not finish within ``wait_timeout``. It goes on; the wait can too.

    ``__cause__`` is the last failed look, if the last look failed.

    Attributes:
        job: The last snapshot.
    """

    job: Job

    def __init__(self, job: Job, seconds: float) -> None:
        waited = f"{round(seconds, 1):g} s of waiting"
        super().__init__(
            f"job {job.id} is still {one_line(job.status)} after {waited}.",
            job_id=job.id,
            hint=f"It still runs: wait again with wait({job.id!r}), or cancel({job.id!r}).",
        )
        self.job = job


class UploadError(KreaError):
    """The source changed or failed while it was being read for the upload."""

    charged: Charged = "no"
    resubmit: Resubmit = "safe"
    hint = "Make sure that nothing writes to the file, then call again."


class DownloadError(KreaError):
    """A result could not be brought to disk whole. No partial file has the final name.

    Attributes:
        url: The output that was asked for, without its query, which may hold a signature.
        retry_after: Seconds that its host asks to be left alone, if it does.
        part: The partial file that was kept, if any: the next download of this result to the same
            name goes on from there.
    """

    charged: Charged = "yes"
    resubmit: Resubmit = "never"
    hint = "The job is done: download it again, nothing needs to be paid twice."
    url: str
    retry_after: float | None = None
    part: Path | None = None

    def __init__(self, message: str, *, url: str = "", job_id: str | None = None) -> None:
        super().__init__(message, job_id=job_id)
        self.url = url.partition("?")[0]


class StoreError(KreaError):
    """The store of intents cannot be used. Before a submit this means that nothing was sent."""

    charged: Charged = "no"
    resubmit: Resubmit = "safe"
    hint = (
        "Make sure that the disk has room, that the file may be written and that it is a store;"
        " then call again."
    )


class JobClaimedError(StoreError):
    """A job belongs to another intent already: no two intents may share one."""

    charged: Charged = "unknown"
    resubmit: Resubmit = "never"
    hint = "Look at both intents before anything else is submitted."


class TooManyFailuresError(KreaError):
    """A batch has stopped submitting, because as many of its items have failed as it may lose.

    What was in flight has been finished and yielded. ``__cause__`` is the last failure.

    Attributes:
        failures: How many have failed.
    """

    charged: Charged = "unknown"
    resubmit: Resubmit = "safe"
    hint = (
        "Look at the failures that were yielded, mend their cause, and run the same batch again:"
        " with a store, what is done or paid for is not paid for again."
    )
    failures: int

    def __init__(self, failures: int) -> None:
        many = "1 failure" if failures == 1 else f"{failures} failures"
        super().__init__(f"the batch has stopped after {many}")
        self.failures = failures


class WebhookError(KreaError):
    """What came as a webhook is no delivery that was asked for. Nobody acts on it."""

    charged: Charged = "no"
    resubmit: Resubmit = "pointless"
    hint = "Ignore it: the jobs that are waited for are asked for with the key in any case."


_CLASSES: Final[Mapping[int, type[APIStatusError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    410: ModelUnavailableError,
    413: PayloadTooLargeError,
    422: BadRequestError,
    429: RateLimitError,
}
_SERVER_ERRORS: Final = 500
_REQUEST_ID_HEADERS: Final = ("x-request-id", "request-id", "cf-ray")

# Krea's description declares `error`; bodies on the wire carry `message` too, and its own tools
# look for all of these.
_WORD_KEYS: Final = (
    "error",
    "message",
    "detail",
    "details",
    "errors",
    "issues",
    "validationErrors",
    "reason",
    "msg",
    "title",
    "code",
)
_LONGEST_WORDS: Final = 500
_DEEPEST_WORDS: Final = 4


def from_status(
    operation: str, status: int, headers: Mapping[str, str], body: bytes
) -> APIStatusError:
    """Return the error for an answer that is no success, whatever it contains."""
    default = InternalServerError if status >= _SERVER_ERRORS else APIStatusError
    return _CLASSES.get(status, default)(operation, status, headers, body)


# Codes and words met in failed jobs of several providers behind Krea; no official list exists.
_REJECTIONS: Final = re.compile(
    r"nsfw|moderat|safety|violence|ip_detected|personal_info|content.?policy|flagged",
    re.IGNORECASE,
)


def from_job(job: Job) -> JobError | None:
    """Return the error that a job snapshot amounts to, or None when it has succeeded."""
    if job.succeeded:
        return None
    if not job.finished:
        return JobNotFinishedError(job)
    match job.status.lower():
        case "completed":
            return JobEmptyError(job)
        case "cancelled":
            return JobCancelledError(job)
        case _:
            rejected = _REJECTIONS.search(f"{job.error_code} {job.error_message}")
            return (JobRejectedError if rejected else JobFailedError)(job)


def read_body(body: bytes) -> tuple[Any, str]:
    """Return an answer's content and its own words for what is wrong. Never raises.

    JSON is searched for the keys that Krea and its gateways use; of an HTML page the title counts.
    """
    text = body.decode("utf-8-sig", "replace").strip()
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return (text or None), one_line(_page_title(text) or text)
    return parsed, one_line(", ".join(_words(parsed, _DEEPEST_WORDS)))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that ``Retry-After`` asks for, given as a number or as a date."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value, headers.get("date", ""))
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _seconds_until(date: str, now: str) -> float:
    try:
        wait = parsedate_to_datetime(date) - parsedate_to_datetime(now)
        return max(0.0, wait.total_seconds())
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _words(value: object, depth: int) -> Iterator[str]:
    """Yield the sentences that a JSON value holds, the most telling key first."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and depth:
        found = next((value[key] for key in _WORD_KEYS if value.get(key)), None)
        # FastAPI's and zod's lists say where as well as what.
        where = value.get("loc") or value.get("path")
        if isinstance(where, list):
            yield ".".join(str(part) for part in where if isinstance(part, (str, int)))
        yield from _words(found, depth - 1)
        extra = value.get("message")
        if isinstance(extra, str) and extra is not found:
            yield extra
    elif isinstance(value, list) and depth:
        for entry in value[:5]:
            yield from _words(entry, depth - 1)


def _page_title(text: str) -> str:
    found = re.search(r"<title[^>]{0,200}>([^<]{1,300})", text[:20_000], re.IGNORECASE)
    return f"HTML page {' '.join(found[1].split())!r}" if found else ""


def guess(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that asks whether another name was meant, or nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

    close = get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def one_line(text: str) -> str:
    """Return text on one printable line: it goes to terminals and logs."""
    clean = _printable(text)
    return clean if len(clean) <= _LONGEST_WORDS else clean[: _LONGEST_WORDS - 1] + "…"


def _printable(text: str) -> str:
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(character if character.isprintable() else "?" for character in line)


def _reason_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown Status"


def _text_in(body: object, *keys: str) -> str | None:
    """Return what stands under one of the keys, on top or in one of the objects there."""
    if not isinstance(body, dict):
        return None
    places = [body, *(value for value in body.values() if isinstance(value, dict))]
    found = (place.get(key) for place in places for key in keys)
    return next((value for value in found if isinstance(value, str) and value), None)
