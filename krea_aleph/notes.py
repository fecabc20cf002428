"""What a store keeps of a job for people to look at: what was asked for, and how it ended.

A note is beside what decides about money, and nothing depends on it. It holds no key, no signed
part of an address and no content of a file, and it is never long.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from krea_aleph.errors import IntentBusyError, IntentConflictError
from krea_aleph.models import ObjectAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from krea_aleph.errors import KreaError
    from krea_aleph.models import Job, Place, StrPath
    from krea_aleph.store import Record, Store

_LONGEST_TEXT: Final = 1000
_LONGEST_MESSAGE: Final = 2000
_LONGEST_OPTIONS: Final = 2000
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# It looks at no letter twice: words of servers may be of any length.
_IN_TEXT: Final = re.compile(r"://[^\s'\"<>]*")
_USER: Final = re.compile(r"//[^\s/@]*@")
_QUERY: Final = re.compile(r"[?#]")
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Note:
    """What is kept of a job.

    Attributes:
        video: The clip: an address without its query, or an absolute path.
        prompt: What it was to become.
        options: The other fields of the request.
        output: Where the result was to go, if it was to be saved.
        status: The job's, as it was seen last.
        created_at: When the job was accepted, in ISO 8601.
        completed_at: When it ended, likewise.
        error: Why there is no result: ``class``, ``message``, ``hint``, ``charged``, ``resubmit``.
    """

    video: str = ""
    prompt: str = ""
    options: Mapping[str, Any] | None = None
    output: str | None = None
    status: str | None = None
    created_at: str | None = None
    completed_at: str | None = None
    error: Mapping[str, str] | None = None

    def dump(self) -> str:
        """Return it as text; what is not known is left out."""
        return json.dumps({name: value for name, value in asdict(self).items() if value})

    @classmethod
    def load(cls, text: str | None) -> Note:
        """Return what `dump` wrote; of what something else has written, what fits."""
        try:
            found = json.loads(text or "{}")
        except ValueError:
            return cls()
        facts = found if isinstance(found, dict) else {}
        kinds = {"options": dict, "error": dict}
        fitting: dict[str, Any] = {
            name: value
            for name, value in facts.items()
            if name in cls.__slots__ and isinstance(value, kinds.get(name, str))
        }
        return cls(**fitting)

    def of_job(self, job: Job | None) -> Note:
        """Return it with what is known of a job."""
        if job is None:
            return self
        begin, end = _iso(job.created_at), _iso(job.completed_at)
        return replace(self, status=_cut(job.status), created_at=begin, completed_at=end)


def asked(body: Mapping[str, Any], video: str, prompt: str, output: Place | None) -> str:
    """Return the note of a request, as text.

    Args:
        body: The request; what is a file in it is a name already.
        video: Which field is the clip.
        prompt: Which field is the prompt.
        output: Where the result goes.
    """
    options = {name: _plain(value) for name, value in body.items() if name not in {video, prompt}}
    if len(json.dumps(options)) > _LONGEST_OPTIONS:
        options = dict.fromkeys(options, "…")
    words = str(body.get(prompt) or "")
    where = None if output is None else place_text(output)
    clip = _plain(str(body.get(video) or ""))
    return Note(clip, _cut(_closed(words)), options, where).dump()


def given(file: Any) -> str:
    """Return how a file was given: where it is, as far as that can be told."""
    if isinstance(file, str) and _SCHEME.match(file):
        return _cut(_address(file))
    if isinstance(file, (str, os.PathLike)):
        return _text(os.path.abspath(os.fsdecode(file)))  # noqa: PTH100 - links stay what they are
    name = getattr(file, "name", None)
    return _closed(_text(name)) if isinstance(name, str) else "a stream"


def begun(note: str | None, job: Job) -> str:
    """Return the note of a request that has become a job."""
    return replace(Note.load(note), error=None).of_job(job).dump()


def write_end(
    store: Store,
    account: str,
    intent: str,
    *,
    job: Job | None = None,
    path: StrPath | Place | None = None,
    error: KreaError | None = None,
    output: StrPath | None = None,
) -> None:
    """Write down how it ended, if it was begun; once for each end. This blocks, briefly.

    What goes wrong once the result has been saved is no end: the job stays done. Neither is the
    refusal of another request, or of a second one, under the same intent.

    Args:
        store: Where.
        account: The label of the account.
        intent: What the job is known as.
        job: The job as it was seen last.
        path: Where its result is, if it has been saved: a path or the address of an object.
        error: Why there is none.
        output: Where the result was to go, if that was not known before.

    Raises:
        StoreError: It could not be written down.
    """
    if isinstance(error, (IntentBusyError, IntentConflictError)):
        return
    for _ in range(_TRIES):
        record = store.read(account, intent)
        if record is None or (error is not None and record.path is not None):
            return
        ended = _ended(record, job, path, error, output)
        if record == ended or store.write(ended) is not None:
            return


def _ended(
    record: Record,
    job: Job | None,
    path: StrPath | Place | None,
    error: KreaError | None,
    output: StrPath | None,
) -> Record:
    note = replace(
        Note.load(record.note).of_job(job), error=None if error is None else _told(error)
    )
    if output is not None:
        note = replace(note, output=place_text(output))
    where = record.path if path is None else place_text(path)
    return replace(record, path=where, note=note.dump())


def _told(error: KreaError) -> dict[str, str]:
    message = str(error.args[0]) if error.args else ""
    return {
        "class": type(error).__name__,
        "message": _message(message),
        "hint": _message(error.hint),
        "charged": error.charged,
        "resubmit": error.resubmit,
    }


def _message(text: str) -> str:
    return _text(_closed(text))[:_LONGEST_MESSAGE]


def place_text(path: StrPath | Place) -> str:
    """Return a place as every store can keep it; a name that is no text loses some of itself."""
    if isinstance(path, ObjectAddress) or (isinstance(path, str) and _SCHEME.match(path)):
        return str(path)
    return _text(os.fspath(Path(path).absolute()))


def _plain(value: Any) -> Any:
    """Return a value without what opens doors: an address ends before its query."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if not isinstance(value, str):
        return value
    if value[:5].lower() == "data:":
        return value[:40].partition(",")[0]
    return _cut(_address(value) if _SCHEME.match(value) else _closed(value))


def _closed(text: str) -> str:
    """Return text whose addresses end before their queries, and have no passwords."""
    return _IN_TEXT.sub(lambda found: _QUERY.split(found[0], 1)[0], _USER.sub("//", text))


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("?")[0]
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _cut(text: str) -> str:
    return _text(text)[:_LONGEST_TEXT]


def _text(text: str) -> str:
    """Return text that every database takes."""
    return text.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
