"""What is enqueued: one job, as text that any process can read, on any machine."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final, Literal, TypeAlias

from krea_aleph.errors import ConfigError, InvalidRequestError
from krea_aleph.models import Asset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from krea_aleph import Aleph

Kept: TypeAlias = Literal["keep", "replace"]
Checks: TypeAlias = Literal["error", "warn", "off"]

LANE_PREFIX: Final = "krea_aleph.submit/"
"""What the names of the submits begin with, and so no intent does."""

# What a client takes, so that no job fails of it later.
_LONGEST_INTENT: Final = 500
_URL: Final = re.compile(r"(?:https?:|data:|(?:s3|gs|az)://)", re.IGNORECASE)
_EATEN: Final = re.compile(r"(?:s3|gs|az):[/\\](?![/\\])", re.IGNORECASE)
_BUCKET: Final = re.compile(r"(?:s3|gs|az)://", re.IGNORECASE)
# Stands for what is in a bucket when a request is looked at: whoever enqueues need not reach it.
_SOMEWHERE: Final = "https://example.com/in-a-bucket"
_REQUEST: Final = ("account", "video", "prompt", "options", "extra_body", "output")
_ELSEWHERE: Final = (
    "Whoever runs the job may be on another machine. Give a URL or an asset; where every worker"
    " sees the same files, say so with shared_paths=True."
)


@dataclass(frozen=True, slots=True)
class Task:
    """One job as it is enqueued.

    Attributes:
        intent: Its name, also for the engine.
        account: The label of the account that pays.
        video: The clip: a URL, or a path that is the same everywhere.
        prompt: What it should become.
        options: The optional fields of the contract.
        extra_body: Further fields of the body.
        output: Where the result goes; None where nobody wants it saved.
        exists: What to do where a file is there.
    """

    intent: str
    account: str
    video: str
    prompt: str
    options: Mapping[str, Any]
    extra_body: Mapping[str, Any] | None
    output: str | None
    exists: Kept

    def dump(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def load(cls, text: str) -> Task:
        """Return what `dump` wrote."""
        return cls(**json.loads(text))

    def differs(self, other: Task) -> tuple[str, ...]:
        """Name the parts in which another one differs; also where its result goes."""
        return tuple(name for name in _REQUEST if getattr(self, name) != getattr(other, name))


def draft(
    checker: Aleph,
    account: str,
    *,
    shared: bool,
    video: Any,
    prompt: str,
    options: Mapping[str, Any],
    extra_body: Mapping[str, Any] | None,
    intent: str | None,
    output: Any,
    exists: Kept,
) -> Task:
    """Return the task that a request amounts to, checked as a client would check it.

    Args:
        checker: A client, which sends nothing.
        account: The label of the account that pays.
        shared: Whether every process sees the same files.
        video: As in ``Durable.enqueue``, and so are the others.
        prompt: What it should become.
        options: The optional fields of the contract.
        extra_body: Further fields.
        intent: Its name.
        output: Where the result goes.
        exists: What to do where a file is there.

    Raises:
        InvalidRequestError: It would be refused, or means something in this process only.
    """
    clip = media(video, "video", shared=shared)
    fields = portable(dict(options), "options", shared=shared)
    extra = portable(extra_body and dict(extra_body), "extra_body", shared=shared)
    if exists not in {"keep", "replace"}:
        raise InvalidRequestError("exists", f'{exists!r} is neither "keep" nor "replace"')
    seen: Any = _without_buckets(fields, "options")
    somewhere = _without_buckets(clip, "video")
    uploads = checker.check(somewhere, prompt, extra_body=extra, **seen).uploads
    if uploads and not shared:
        place, name = next(iter(uploads.items()))
        path_for_all(name, place, shared=False)
    if intent is None:
        intent = name_of(account, clip, prompt, fields, extra)
    check_intent(intent)
    where = check_output(output, shared=shared)
    return Task(intent, account, clip, prompt, fields, extra, where, exists)


def check_intent(intent: Any) -> None:
    """Refuse what cannot be a name.

    Raises:
        InvalidRequestError: It is none.
    """
    fits = isinstance(intent, str) and intent.strip() and intent.isprintable()
    if not fits or len(intent) > _LONGEST_INTENT or intent.startswith(LANE_PREFIX):
        raise InvalidRequestError("intent", f"{intent!r} cannot be the name of a job")


def name_of(*request: object) -> str:
    """Return the name of a request to which nobody has given one: equal requests are one job."""
    return f"request-{sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:32]}"


def portable(value: Any, place: str, *, shared: bool) -> Any:
    """Return a value of a request as JSON can hold it.

    Raises:
        InvalidRequestError: It means something in this process only.
    """
    if isinstance(value, Asset):
        return value.url
    if isinstance(value, os.PathLike):
        return path_for_all(os.fspath(value), place, shared=shared)
    if isinstance(value, dict):
        return {key: portable(part, f"{place}.{key}", shared=shared) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = enumerate(value)
        return [portable(part, f"{place}[{number}]", shared=shared) for number, part in parts]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    kind = type(value).__name__
    raise InvalidRequestError(place, f"a {kind} cannot be handed to another process")


def media(value: Any, place: str, *, shared: bool) -> Any:
    """Return a clip as another process can find it.

    Raises:
        InvalidRequestError: It is on this machine only.
    """
    found = portable(value, place, shared=shared)
    if isinstance(value, str) and not _URL.match(value) and "://" not in value:
        return path_for_all(value, place, shared=shared)
    return found


def _without_buckets(value: Any, place: str) -> Any:
    """Return a value in which what is in a bucket has an address like any other.

    Raises:
        InvalidRequestError: It is in no bucket, or is all of one.
    """
    if isinstance(value, dict):
        return {name: _without_buckets(part, f"{place}.{name}") for name, part in value.items()}
    if isinstance(value, list):
        parts = enumerate(value)
        return [_without_buckets(part, f"{place}[{number}]") for number, part in parts]
    if not isinstance(value, str) or not is_in_bucket(value):
        return value
    from krea_aleph._objects import parse_object  # noqa: PLC0415 - few programs use buckets

    parse_object(value, place)
    return _SOMEWHERE


def is_in_bucket(place: str) -> bool:
    """Tell whether a place is in object storage."""
    return _BUCKET.match(place) is not None


def path_for_all(path: str | bytes, place: str, *, shared: bool) -> str:
    """Return a path that means the same in every process.

    Raises:
        InvalidRequestError: There is none.
    """
    text = os.fsdecode(path)
    if not shared:
        raise InvalidRequestError(place, f"{text!r} is a path on this machine", hint=_ELSEWHERE)
    return os.path.abspath(text)  # noqa: PTH100 - links stay as they are


def results_folder(place: Any) -> str:
    """Return the folder of the workers' results, on disk or in a bucket, with a slash at its end.

    Raises:
        ConfigError: It is none.
    """
    from krea_aleph._objects import parse_folder  # noqa: PLC0415 - few programs use buckets

    text = os.fspath(place)
    if _EATEN.match(text):
        raise ConfigError(
            f"output_dir: {text[:200]!r} is no path, and no URL of a bucket either.",
            hint="Give s3://bucket/folder as text: a Path makes one slash of two.",
        )
    if not is_in_bucket(text):
        return os.path.join(Path(text).absolute(), "")  # noqa: PTH118 - a slash at the end
    try:
        return str(parse_folder(text, "output_dir"))
    except InvalidRequestError as error:
        raise ConfigError(str(error.args[0]), hint=error.hint) from None


def place_in(folder: str, output: str) -> str:
    """Return where a result goes that is named so, for workers with that folder."""
    if is_in_bucket(output):
        return output
    if is_in_bucket(folder):  # which takes names as they are
        parts = [part for part in output.split("/") if part not in {"", "."}]
        return folder + "/".join(parts) + ("/" if output.endswith("/") else "")
    return os.path.join(folder, output)  # noqa: PTH118 - a slash at the end counts


def check_output(output: Any, *, shared: bool) -> str | None:
    """Return where a result goes, as every process can read it.

    Raises:
        InvalidRequestError: It leads out of the workers' folder.
    """
    if output is None:
        return None
    try:
        text = os.fsdecode(output)
    except TypeError:
        problem = f"{str(output)[:80]!r} is no path of a file"
        raise InvalidRequestError("output", problem) from None
    if is_in_bucket(text):
        from krea_aleph._objects import parse  # noqa: PLC0415 - few programs use buckets

        if not parse(text, "output").key and not text.endswith("/"):
            hint = f"Name a key, or write '{text}/' for its top."
            raise InvalidRequestError("output", f"{text!r} names no key", hint=hint)
        return text
    if shared:
        ends = "/" if text.endswith(("/", os.sep)) else ""
        return path_for_all(text, "output", shared=True) + ends
    both = (PurePosixPath(text), PureWindowsPath(text))
    leads_out = any(path.anchor or ".." in path.parts for path in both)
    if leads_out or "://" in text or not text.strip("./"):
        raise InvalidRequestError(
            "output",
            f"{text!r} is no name inside the workers' output_dir",
            hint="A bucket's URL will do, too; with shared_paths=True any path.",
        )
    return text
