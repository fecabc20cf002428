"""The items of a batch: what each asks for, what it is known by, and where its result goes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from krea_aleph import _wire
from krea_aleph._saving import Target, keep
from krea_aleph.errors import InvalidRequestError
from krea_aleph.models import Asset, ObjectAddress
from krea_aleph.outcomes import check_item

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph._config import Config
    from krea_aleph._objects import ObjectFolder
    from krea_aleph._wire import Draft
    from krea_aleph.models import Exists, Place, Saved

# Room for the number of an attempt behind an intent.
_LONGEST_INTENT: Final = 480
_LONGEST_PART: Final = 200
_LONGEST_STEM: Final = 60
_NO_NAME: Final = re.compile(r"[^\w.-]+")
# What is a device, a drive or something else than a name on some system that folders are shared to.
_ODD: Final = re.compile(r'[\\:*?"<>|]|[ .]$')
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_PARTIAL: Final = ".part"


@dataclass(frozen=True, slots=True)
class Wish:
    """One item, checked as far as it goes without reading files.

    Attributes:
        index: Its place among the items.
        item: What was given.
        draft: The request.
        identity: What tells it from other requests.
        intent: What it is journalled under: its own intent, or one that its identity makes.
        named: Whether the intent is its own.
        place: Where the result goes, relative to the batch's folder.
    """

    index: int
    item: Any
    draft: Draft
    identity: str
    intent: str
    named: bool
    place: str


def read_item(config: Config, index: int, row: Any) -> Wish:
    """Return what a row asks for. This looks at files and blocks, briefly.

    Raises:
        KreaError: It asks for nothing that can be done; or the row itself says so.
    """
    check_item(row)
    intent, options = row.get("intent"), row.get("options") or {}
    if isinstance(intent, str) and len(intent) > _LONGEST_INTENT:
        raise InvalidRequestError("intent", f"it has more than {_LONGEST_INTENT} characters")
    draft = _wire.draft(
        row["video"],
        row["prompt"],
        options,
        extra_body=None,
        checks=config.checks,
        account=config.account,
        intent=intent,
        nearby=config.nearby,
        storage=config.storage,
    ).settled()
    identity = draft.identity()
    output = row.get("output")
    place = _derived(row["video"], identity) if output is None else checked_place(output)
    return Wish(index, row, draft, identity, intent or f"batch:{identity}", bool(intent), place)


def checked_place(output: Any) -> str:
    """Return a relative path for a result, in its plainest form.

    Raises:
        InvalidRequestError: It could lead out of the folder, or is no name on some system.
    """
    try:
        text = os.fspath(output)
    except TypeError:
        text = None
    if not isinstance(text, str) or not text:
        raise InvalidRequestError("output", f"{str(output)[:80]!r} is no path of a file")
    if text.startswith(("/", "~")) or text.endswith("/"):
        raise InvalidRequestError("output", f"{text[:200]!r} is no name inside the folder")
    if "://" in text:
        hint = "Outputs are names below output_dir, which may be in a bucket: leave the rest out."
        raise InvalidRequestError("output", f"{text[:200]!r} is a whole address", hint=hint)
    parts = [part for part in text.split("/") if part not in {"", "."}]
    for part in parts or [""]:
        _check_part(text, part)
    return "/".join(parts)


def _check_part(text: str, part: str) -> None:
    problem = None
    if part == "..":
        problem = "leads out of its folder"
    elif not part or not part.isprintable() or _ODD.search(part) or _DEVICE.fullmatch(part):
        problem = f"has the part {part[:80]!r}, which is no name everywhere"
    elif len(os.fsencode(part)) > _LONGEST_PART:
        problem = f"has a part of more than {_LONGEST_PART} bytes"
    elif part.lower().endswith(_PARTIAL):
        problem = f"ends in {_PARTIAL!r}, as files do that are not whole yet"
    if problem is not None:
        raise InvalidRequestError("output", f"{text[:200]!r} {problem}")


def _derived(video: Any, identity: str) -> str:
    """Return a name that is the same in every run, and another one for every other request."""
    stem = Path(_name_of(video)).stem
    clean = _NO_NAME.sub("_", stem)[:_LONGEST_STEM].strip("._-")
    if _DEVICE.fullmatch(clean):
        clean = ""
    return f"{clean or 'video'}-{identity[:12]}.mp4"


def _name_of(video: Any) -> str:
    if isinstance(video, Asset):
        return video.id
    if hasattr(video, "read"):
        return str(getattr(video, "name", ""))
    text = os.fspath(video)
    if _wire.is_url(text):
        return "" if text.startswith("data:") else unquote(urlsplit(text).path)
    return str(text)


class Folder:
    """The folder that every result of a batch is in."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self) -> None:
        """Make it, if it is not there.

        Raises:
            InvalidRequestError: It cannot be made.
        """
        _make(self._path, "output_dir")

    def target(self, place: str, exists: Exists) -> Target:
        """Return where a result goes, its folder made. This blocks, briefly.

        Raises:
            InvalidRequestError: It is outside, or nothing can be saved there.
        """
        path = self._path / place
        self._check_inside(path)
        _make(path.parent, "output")
        self._check_inside(path)
        if path.is_dir():
            raise InvalidRequestError("output", f"{str(path)!r} is a folder")
        target = Target(path.parent, path.name, exists)
        target.check()
        return target

    def path(self, place: str) -> Path:
        """Return the path of a result."""
        return self._path / place

    def has(self, place: str) -> bool:
        """Whether a result is there. This blocks, briefly."""
        return self.path(place).is_file()

    def keep(self, place: str) -> Saved:
        """Describe a result that is there already. This blocks, briefly."""
        return keep(self.path(place), None)

    def _check_inside(self, path: Path) -> None:
        """Refuse a path that a link leads out of the folder."""
        try:
            inside = path.resolve().is_relative_to(self._path.resolve())
        except (OSError, RuntimeError):  # links that go round in circles
            inside = False
        if not inside:
            raise InvalidRequestError("output", f"{str(path)!r} is a way out of the folder")


def folder_of(place: Place, config: Config) -> Folder | ObjectFolder:
    """Return the folder that every result of a batch is in, on disk or in a bucket."""
    if not isinstance(place, ObjectAddress):
        return Folder(place)
    from krea_aleph._objects import ObjectFolder  # noqa: PLC0415 - few programs use buckets

    return ObjectFolder(place, config.storage)


def _make(folder: Path, field: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"the folder {str(folder)!r} cannot be made: {error.strerror}"
        raise InvalidRequestError(field, problem) from error
