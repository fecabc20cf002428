"""The exit codes of every command, stable: scripts decide by them.

One table goes from the classes of errors to codes; the first row that fits counts.
"""

from __future__ import annotations

from typing import Final

from krea_aleph.errors import (
    ConfigError,
    InsufficientCreditsError,
    InvalidRequestError,
    JobEmptyError,
    JobRejectedError,
    SubmitUncertainError,
    WaitTimeoutError,
)

DONE: Final = 0
USAGE: Final = 2
FAILED: Final = 3
TIMEOUT: Final = 4
UNCERTAIN: Final = 5
PAYMENT: Final = 6
REJECTED: Final = 7
INTERRUPTED: Final = 130

MEANINGS: Final = {
    DONE: "done",
    USAGE: "the command line, a setting or the request cannot work; nothing was sent",
    FAILED: "it failed: the message says what happened and what it has cost",
    TIMEOUT: "the job still runs: wait for it again",
    UNCERTAIN: "a job may or may not have been started: recover it, do not submit again",
    PAYMENT: "the balance is empty",
    REJECTED: "moderation has refused it: the same request will be refused again",
    INTERRUPTED: "interrupted by Ctrl-C or SIGTERM",
}

TABLE: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (ConfigError, USAGE),
    (InvalidRequestError, USAGE),
    (WaitTimeoutError, TIMEOUT),
    (SubmitUncertainError, UNCERTAIN),
    (InsufficientCreditsError, PAYMENT),
    (JobRejectedError, REJECTED),
    (JobEmptyError, REJECTED),  # how Krea has been seen to block content
    (KeyboardInterrupt, INTERRUPTED),
    (Exception, FAILED),
)


def code_of(error: BaseException) -> int:
    """Return the exit code that an error stands for."""
    return next(code for kind, code in TABLE if isinstance(error, kind))
