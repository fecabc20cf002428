"""What has been uploaded already, so that equal content goes up once, and who still needs it.

A client and those derived from it share one memory. A store may stand behind it, so that other
processes find uploads too; what is going to be deleted is never told to it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final, TypeAlias

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class UploadCache(Protocol):
        """Where uploads are remembered for other processes. Its methods may block."""

        def find_upload(self, account: str, sha256: str) -> str | None:
            """Return the id of the asset that has this content, if one is known."""
            ...

        def note_upload(self, account: str, sha256: str, asset_id: str) -> None:
            """Remember that this asset has this content, in place of any other."""
            ...


# Whose content, and which: the account's label and a SHA-256, in hexadecimal.
Key: TypeAlias = tuple[str, str]
_MOST_REMEMBERED: Final = 10_000


class _Entry:
    """One upload.

    Attributes:
        asset_id: What it has become.
        users: How many calls need it that do not want it to be kept.
        keep: Whether somebody wants it to be kept.
    """

    __slots__ = ("asset_id", "keep", "users")

    def __init__(self, asset_id: str) -> None:
        self.asset_id = asset_id
        self.users = 0
        self.keep = False

    def use(self, *, keep: bool) -> None:
        if keep:
            self.keep = True
        else:
            self.users += 1


class Uploads:
    """The uploads of a client's accounts. Any number of threads may use it.

    Attributes:
        cache: Where they are remembered for other processes, if anywhere.
    """

    def __init__(self, cache: UploadCache | None = None) -> None:
        self.cache = cache
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._under_way: set[Key] = set()

    def begin(self, key: Key) -> bool:
        """Begin to upload a content; say no while somebody else does."""
        with self._lock:
            free = key not in self._under_way
            self._under_way.add(key)
            return free

    def end(self, key: Key) -> None:
        """Let others upload it."""
        with self._lock:
            self._under_way.discard(key)

    def use(self, key: Key, *, keep: bool) -> str | None:
        """Return the asset that has a content, if one is known; it is needed from now on.

        Args:
            key: The content.
            keep: Whether it is to be kept; if not, `let_go` must follow.
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            entry.use(keep=keep)
            return entry.asset_id

    def add(self, key: Key, asset_id: str, *, keep: bool) -> None:
        """Take note of an upload, and use it."""
        with self._lock:
            entry = self._entries[key] = _Entry(asset_id)
            self._entries.move_to_end(key)
            entry.use(keep=keep)
            self._forget_the_oldest()

    def forget(self, key: Key, asset_id: str) -> None:
        """Forget an asset that is gone."""
        with self._lock:
            if self._has(key, asset_id):
                del self._entries[key]

    def let_go(self, key: Key, asset_id: str, *, keep: bool) -> bool:
        """Need an asset no longer, and say whether it is to be deleted.

        It is if nobody else needs it and nobody wants it to be kept; then it is forgotten.

        Args:
            key: The content.
            asset_id: The asset that this call has used.
            keep: Whether it has to stay after all: the job may still run.
        """
        with self._lock:
            if not self._has(key, asset_id):
                return False
            entry = self._entries[key]
            entry.users -= 1
            entry.keep |= keep
            if entry.users or entry.keep:
                return False
            del self._entries[key]
            return True

    def _has(self, key: Key, asset_id: str) -> bool:
        return key in self._entries and self._entries[key].asset_id == asset_id

    def _forget_the_oldest(self) -> None:
        if len(self._entries) > _MOST_REMEMBERED:
            unused = (key for key, entry in self._entries.items() if not entry.users)
            self._entries.pop(next(unused, ("", "")), None)


class Lease:
    """The uploads that one call uses, until it is over.

    Attributes:
        keep: Whether they are to be kept.
    """

    def __init__(self, uploads: Uploads, *, keep: bool) -> None:
        self.keep = keep
        self._uploads = uploads
        self._held: list[tuple[Key, str]] = []

    def hold(self, key: Key, asset_id: str) -> None:
        """Take note of what was used."""
        if not self.keep:
            self._held.append((key, asset_id))

    def give_back(self) -> Iterator[str]:
        """Let go of everything, and yield the ids of the assets that are to be deleted."""
        while self._held:
            key, asset_id = self._held.pop()
            if self._uploads.let_go(key, asset_id, keep=False):
                yield asset_id

    def end(self) -> None:
        """Let go of what is still held, and keep it: it may still be needed."""
        while self._held:
            self._uploads.let_go(*self._held.pop(), keep=True)
