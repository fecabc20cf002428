"""Outcomes as text in the engine's database: values and errors, without pickles of ours."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from krea_aleph import errors
from krea_aleph.errors import KreaError
from krea_aleph.models import Job, ObjectAddress, Saved
from krea_aleph.outcomes import Failed, Succeeded

_JOB: Final = "krea_aleph.job"
_TIME: Final = "krea_aleph.time"
_TUPLE: Final = "krea_aleph.tuple"
# What a server answered may be long, and may hold what is nobody's business here.
_LEFT_OUT: Final = frozenset({"body", "headers"})


class JobEnded(Exception):  # noqa: N818 - what the engine is told, not what anybody catches
    """Ends a workflow whose job has no result; its only argument is the error as text."""


def dump_error(error: KreaError) -> str:
    """Return an error as text; what JSON cannot hold of it is left out."""
    facts = {name: _plain(value) for name, value in vars(error).items() if name not in _LEFT_OUT}
    known = {name: value for name, value in facts.items() if value is not _NOTHING}
    words = str(error.args[0]) if error.args else ""
    return json.dumps({"kind": type(error).__name__, "words": words, "facts": known})


def load_error(text: str) -> KreaError:
    """Return the error that `dump_error` wrote: of its class, where that is known here."""
    letter = json.loads(text)
    kind = getattr(errors, letter["kind"], KreaError)
    if not (isinstance(kind, type) and issubclass(kind, KreaError)):
        kind = KreaError
    error = kind.__new__(kind)
    error.args = (letter["words"],)
    vars(error).update({name: _rich(value) for name, value in letter["facts"].items()})
    return error


def dump_saved(saved: Saved) -> dict[str, Any]:
    """Return what was saved as JSON can hold it; the job is told apart."""
    return {
        "path": str(saved.path),
        "paths": [str(path) for path in saved.paths],
        "media_type": saved.media_type,
        "size_bytes": saved.size_bytes,
        "sha256": saved.sha256,
    }


def load_saved(facts: dict[str, Any], job: Job | None) -> Saved:
    """Return what `dump_saved` wrote."""
    return Saved(
        path=_place(facts["path"]),
        paths=tuple(_place(path) for path in facts["paths"]),
        media_type=facts["media_type"],
        size_bytes=facts["size_bytes"],
        sha256=facts["sha256"],
        job=job,
    )


def _place(text: str) -> Any:
    """Return a path, or the address of what is in a bucket."""
    scheme, found, rest = text.partition("://")
    bucket, _, key = rest.partition("/")
    return ObjectAddress(scheme, bucket, key) if found else Path(text)


def outcome(intent: str, status: str, left: Any, raised: Any) -> Succeeded | Failed:
    """Return what a job has come to, of what its workflow has left or raised."""
    if status == "SUCCESS":
        known = json.loads(left)
        job = Job.from_json(known["job"]) if "job" in known else None
        saved = load_saved(known["saved"], job) if "saved" in known else None
        return Succeeded(0, intent, job, saved)
    if isinstance(raised, JobEnded):
        error = load_error(str(raised.args[0]))
    else:
        error = KreaError(
            f"the engine has given {intent!r} up: {raised or status}",
            hint="See the workers' logs; retry(intent) lets it be tried again.",
        )
    error.intent = intent
    return Failed(0, intent, getattr(error, "job", None), error)


_NOTHING: Final = object()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Job):
        return {_JOB: value.to_json()}
    if isinstance(value, datetime):
        return {_TIME: value.isoformat()}
    if isinstance(value, tuple):
        parts = [_plain(part) for part in value]
        return _NOTHING if _NOTHING in parts else {_TUPLE: parts}
    return _NOTHING


def _rich(value: Any) -> Any:
    match value:
        case {"krea_aleph.job": text}:
            return Job.from_json(text)
        case {"krea_aleph.time": text}:
            return datetime.fromisoformat(text)
        case {"krea_aleph.tuple": parts}:
            return tuple(_rich(part) for part in parts)
        case _:
            return value
