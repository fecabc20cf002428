"""What is said when something goes wrong: what happened, what it cost, and how to go on."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Final

from krea_aleph.cli.exits import FAILED, INTERRUPTED, USAGE, code_of
from krea_aleph.cli.words import seconds
from krea_aleph.errors import (
    ConfigError,
    DownloadError,
    InvalidRequestError,
    JobError,
    KreaError,
    NotFoundError,
    RateLimitError,
    SubmitUncertainError,
    WaitTimeoutError,
    one_line,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The library's hints speak of its calls, which nobody can make at a prompt; commands say the same.
_CALL: Final = re.compile(r"\b\w+=?\(|\b[a-z_]+=|\.\w+ has ")
_SENTENCES: Final = re.compile(r"(?<=[.:;])\s+(?=[A-Z])")
_NOT_SAVED: Final = (
    "The job is done: nothing needs to be paid twice. If the disk is full, make room, or give"
    " another -o to the command that goes on."
)
_HINTS: Final[Sequence[tuple[type[KreaError], str]]] = (
    (WaitTimeoutError, "It still runs: nothing is lost."),
    (SubmitUncertainError, "Do not submit again yet: see first whether there is a job."),
    (DownloadError, _NOT_SAVED),
)
# What a library's caller is told, and what somebody at a prompt.
_SAID_HERE: Final = (
    ("Every row needs a video and a prompt.", "A video and a prompt are needed."),
    ("Give a path to a readable file, or an open binary file.", "Give a file that can be read."),
    ("then call again.", "then run the command again."),
    (
        "Call again later, after retry_after seconds where the server names them.",
        "Run it again later.",
    ),
)
_OF_SUBMITS: Final = " For a new job it means that the operation is gone."
_ABOUT_MONEY: Final = (JobError, WaitTimeoutError, DownloadError, SubmitUncertainError)
_IN_THE_WAY: Final = ("' exists", '" exists')
_CHOOSE: Final = "--exists replace overwrites it; --exists keep leaves it, and sends nothing."
_FIELD_HINTS: Final[Mapping[str, str]] = {
    "wait_timeout": "It is in seconds; 0 waits for ever.",
    "intent": "A new attempt at something else needs a name of its own.",
}
_NO_KEY: Final = "no API key"
_KEY: Final = "api_key: "
_ONE_LINE: Final = "The key is the whole token, on one line, with nothing before or behind it."
_GIVE_KEY: Final = (
    "Set KREA_API_KEY to the whole token, or name a file that holds it: --api-key-file FILE."
)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One thing that went wrong, ready to be told.

    Attributes:
        error: The name of the error's class.
        message: What happened.
        hint: What to do about it.
        charged: Whether it costs money; None where that is no question.
        resubmit: Whether the same request may be sent again; likewise.
        job_id: The job that it is about.
        intent: The intent that it is about.
        candidates: Jobs that an uncertain submit may have become.
        go_on: Commands that go on from here.
        money: Whether people want to be told what it cost; programs are told in any case.
        exit_code: What the command ends with.
    """

    error: str
    message: str
    hint: str = ""
    charged: str | None = None
    resubmit: str | None = None
    job_id: str | None = None
    intent: str | None = None
    candidates: tuple[str, ...] = ()
    go_on: tuple[str, ...] = ()
    money: bool = False
    exit_code: int = FAILED

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        facts = asdict(self)
        del facts["money"]
        return {"type": "error", **facts}


def of_error(error: Exception, go_on: Sequence[str] = (), *, paying: bool = False) -> Failure:
    """Return what is to be said about an error, of a command that pays or of another one."""
    if not isinstance(error, KreaError):
        return Failure(error=type(error).__name__, message=_plain(error))
    asks = not isinstance(error, ConfigError)
    message, hint = _words(error)
    return Failure(
        error=type(error).__name__,
        message=message,
        hint=hint,
        charged=error.charged if asks else None,
        resubmit=error.resubmit if asks else None,
        job_id=error.job_id,
        intent=error.intent,
        candidates=tuple(job.id for job in getattr(error, "candidates", ())),
        go_on=tuple(go_on),
        money=(paying or isinstance(error, _ABOUT_MONEY)) and code_of(error) != USAGE,
        exit_code=code_of(error),
    )


def of_usage(problem: str, command: str) -> Failure:
    """Return what is to be said about a command line that cannot be understood."""
    return Failure(
        error="UsageError",
        message=one_line(problem),
        hint=f"See: {command} --help",
        exit_code=USAGE,
    )


def of_interruption(words: str, job_id: str | None, go_on: Sequence[str]) -> Failure:
    """Return what is to be said when somebody has interrupted."""
    return Failure(
        error="Interrupted",
        message=words,
        job_id=job_id,
        go_on=tuple(go_on),
        exit_code=INTERRUPTED,
    )


def resumable(error: KreaError) -> bool:
    """Whether there is a job to go on with, as far as anybody knows."""
    if isinstance(error, JobError):
        return not error.job.finished
    return error.job_id is not None and error.resubmit == "never" and not cancelling(error)


def cancelling(error: KreaError) -> str:
    """Return what came of cancelling a job that was not waited for any more, if that was asked."""
    notes = [note for note in getattr(error, "__notes__", ()) if "be cancelled" in note]
    return " ".join(notes)


def in_the_way(error: KreaError) -> bool:
    """Whether a file stands where the result goes."""
    if isinstance(error, InvalidRequestError):
        return error.field == "output" and error.problem.endswith(_IN_THE_WAY)
    return isinstance(error, DownloadError) and isinstance(error.__cause__, FileExistsError)


def _words(error: KreaError) -> tuple[str, str]:
    """Return what happened and what to do, in the words of a command line."""
    message = one_line(str(error.args[0]) if error.args else type(error).__name__)
    if isinstance(error, ConfigError) and message.startswith(_NO_KEY):
        return f"{_NO_KEY}: KREA_API_KEY is not set.", _GIVE_KEY
    if isinstance(error, ConfigError) and message.startswith(_KEY):
        return f"the API key: {message.removeprefix(_KEY)}", _ONE_LINE
    return message, _hint(error)


def _hint(error: KreaError) -> str:
    if isinstance(error, InvalidRequestError):
        if in_the_way(error):
            return _CHOOSE
        if error.field in _FIELD_HINTS:
            return _FIELD_HINTS[error.field]
    if isinstance(error, WaitTimeoutError) and (notes := cancelling(error)):
        return notes
    for kind, words in _HINTS:
        if isinstance(error, kind):
            return words
    if isinstance(error, RateLimitError) and error.retry_after is not None:
        return f"Run it again in {seconds(error.retry_after)}, as the server asks."
    hint = one_line(error.hint)
    if isinstance(error, NotFoundError) and not error.operation.startswith("create_"):
        hint = hint.replace(_OF_SUBMITS, "")
    for ours, theirs in _SAID_HERE:
        hint = hint.replace(ours, theirs)
    return " ".join(part for part in _SENTENCES.split(hint) if not _CALL.search(part))


def _plain(error: Exception) -> str:
    """Return what an error of Python's own says; the system's words come with the file's name."""
    if isinstance(error, OSError) and error.strerror:
        named = f": {error.filename}" if error.filename is not None else ""
        return one_line(f"{error.strerror}{named}")
    return one_line(str(error)) or type(error).__name__
