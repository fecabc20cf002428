"""Many jobs at once: what is asked for, and what becomes of each. One failure stops no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Required, TypedDict

from krea_aleph.errors import InvalidRequestError, KreaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph._wire import AlephOptions
    from krea_aleph.models import Job, Media, Saved, StrPath

_KEYS: Final = ("video", "prompt", "output", "intent", "options", "meta")
_REQUIRED: Final = ("video", "prompt")


@dataclass(frozen=True, slots=True)
class Succeeded:
    """One of many that has its result.

    Attributes:
        index: Its place among what was given, the first having 0.
        item: What was given: a job or its id, or an `Item` of a batch.
        job: The job, completed; None where a batch found the file and nothing ran.
        saved: Its files, in a batch.

    Example:
        >>> match Succeeded(index=3, item="550e8400", job=None):
        ...     case Succeeded(index=index):
        ...         print("number", index, "is there")
        number 3 is there
    """

    index: int
    item: Any
    job: Job | None
    saved: Saved | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """One of many that has no result.

    Attributes:
        index: Its place among what was given, the first having 0.
        item: What was given: a job or its id, an `Item` of a batch, or a row that cannot be read.
        job: Its job as it was seen last, where there is one.
        error: Why; ``charged``, ``resubmit`` and ``hint`` on it say what to do.

    Example:
        >>> for outcome in aleph.as_completed(jobs):  # doctest: +SKIP
        ...     if isinstance(outcome, Failed) and outcome.error.resubmit == "safe":
        ...         again.append(outcome.item)
    """

    index: int
    item: Any
    job: Job | None
    error: KreaError


class Item(TypedDict, total=False):
    """What a batch is to make of one clip.

    Attributes:
        video: The clip, as in ``submit``.
        prompt: What it should become.
        output: The file to save to, inside the batch's folder.
        intent: Your name for it; without one a name is made of the request itself.
        options: The optional fields of the contract, see `AlephOptions`.
        meta: Anything of yours; it comes back with the outcome.

    Example:
        >>> item: Item = {"video": "in.mp4", "prompt": "make it snow", "meta": {"scene": 7}}
    """

    video: Required[Media]
    prompt: Required[str]
    output: StrPath
    intent: str
    options: AlephOptions
    meta: object


class BadItem(Protocol):
    """What stands where an item should be, such as a `BadRow`: a batch passes its error on."""

    @property
    def error(self) -> KreaError:
        """Why it is none."""
        ...


def check_item(row: Any) -> None:
    """Refuse what is no `Item`, whatever its values are; and raise what a `BadItem` brings along.

    Raises:
        KreaError: It is none.
    """
    problem = getattr(row, "error", None)
    if isinstance(problem, KreaError):
        raise problem
    if not isinstance(row, Mapping):
        raise InvalidRequestError(
            "item",
            f"a mapping is needed, not {type(row).__name__}",
            hint='It looks like {"video": "in.mp4", "prompt": "make it snow"}.',
        )
    unknown = [name for name in row if name not in _KEYS]
    if unknown:
        known = ", ".join(_KEYS)
        raise InvalidRequestError(
            str(unknown[0])[:80],
            f"it is none of the keys {known}",
            hint="Fields of the contract go into options, what is yours into meta.",
        )
    for name in _REQUIRED:
        if name not in row:
            raise InvalidRequestError(name, "it is missing")
    options = row.get("options") or {}
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise InvalidRequestError("options", "a mapping of names to values is needed")
