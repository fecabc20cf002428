"""What has been uploaded already, so that equal content goes up once, and who still needs it.

A client and those derived from it share one memory. A store may stand behind it, so that other
processes find uploads too; what is going to be deleted is never told to it.

Files are hashed only where there is something to compare with: another upload of the same size.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import Final, TypeAlias

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from krea_aleph._files import Source

    class UploadCache(Protocol):
        """Where uploads are remembered for other processes. Its methods may block."""

        def find_upload(self, account: str, sha256: str) -> str | None:
            """Return the id of the asset that has this content, if one is known."""
            ...

        def note_upload(self, account: str, sha256: str, asset_id: str) -> None:
            """Remember that this asset has this content, in place of any other."""
            ...


_MOST_REMEMBERED: Final = 10_000

# Whose content, and its size in bytes.
Key: TypeAlias = tuple[str, int]


class Turn:
    """The right to make an upload. Who loses it, as a cancelled task may, has given it up."""

    __slots__ = ("__weakref__",)


class Upload:
    """One content of one account.

    Attributes:
        key: Whose it is, and its size in bytes.
        asset_id: The asset that it has become; None before that.
        users: How many calls need it that do not want it to be kept.
        keep: Whether somebody wants it to be kept.
    """

    __slots__ = ("_gone", "_source", "_turn", "asset_id", "keep", "key", "users")

    def __init__(self, key: Key, source: Source, turn: Turn) -> None:
        self.key = key
        self.asset_id: str | None = None
        self.users = 0
        self.keep = False
        self._gone = False
        self._turn = weakref.ref(turn)
        # Only what has to be read again to be hashed is held for that.
        self._source: Source | str = source.hashed or source

    @property
    def gone(self) -> bool:
        """Whether it has failed, was given up, or its asset is not there any more."""
        return self._gone or (self.asset_id is None and self._turn() is None)

    def forget(self) -> None:
        """Take note that it is gone."""
        self._gone = True

    def sha256(self) -> str:
        """Return the hash of its content; none where its file is not any more what it was."""
        if not isinstance(self._source, str):
            try:
                self._source = self._source.sha256
            except Exception:  # noqa: BLE001 - a file of the user's own may raise anything
                self._source = ""
        return self._source


class Uploads:
    """The uploads of a client's accounts. Any number of threads may use it.

    Attributes:
        cache: Where they are remembered for other processes, if anywhere.
    """

    def __init__(self, cache: UploadCache | None = None) -> None:
        self.cache = cache
        self._lock = threading.Lock()
        self._by_size: OrderedDict[Key, list[Upload]] = OrderedDict()

    def claim(self, account: str, source: Source) -> tuple[Upload, Turn | None]:
        """Return the upload that has a source's content, and the turn to make it, if it is new.

        This may read files. Who has the turn goes on with `made` or `drop`.

        Raises:
            UploadError: The source has changed or cannot be read.
        """
        key = account, source.size_bytes
        while True:
            with self._lock:
                others = self._present(key)
                if not others:
                    return self._new(key, source)
            known = {upload.sha256(): upload for upload in others}
            if source.sha256 in known:
                return known[source.sha256], None
            with self._lock:
                if all(upload in others for upload in self._present(key)):
                    return self._new(key, source)

    def made(self, upload: Upload, asset_id: str) -> None:
        """Take note that an upload has become an asset."""
        with self._lock:
            upload.asset_id = asset_id

    def drop(self, upload: Upload) -> None:
        """Forget an upload that has failed, or whose asset is gone."""
        with self._lock:
            self._remove(upload)

    def use(self, upload: Upload, *, keep: bool) -> bool:
        """Need an upload from now on, unless it has been given up meanwhile.

        Args:
            upload: The upload.
            keep: Whether it is to be kept; if not, `let_go` must follow.
        """
        with self._lock:
            if upload.gone:
                return False
            if upload.key in self._by_size:
                self._by_size.move_to_end(upload.key)
            if keep:
                upload.keep = True
            else:
                upload.users += 1
            return True

    def let_go(self, upload: Upload, *, keep: bool) -> bool:
        """Need an upload no longer, and say whether it is to be deleted.

        It is if nobody else needs it and nobody wants it to be kept; then it is forgotten.

        Args:
            upload: What this call has used.
            keep: Whether it has to stay after all: the job may still run.
        """
        with self._lock:
            upload.users -= 1
            upload.keep |= keep
            if upload.users or upload.keep or upload.gone:
                return False
            self._remove(upload)
            return True

    def _present(self, key: Key) -> list[Upload]:
        return [upload for upload in self._by_size.get(key, ()) if not upload.gone]

    def _new(self, key: Key, source: Source) -> tuple[Upload, Turn]:
        turn = Turn()
        upload = Upload(key, source, turn)
        self._by_size[key] = [*self._present(key), upload]
        self._by_size.move_to_end(key)
        self._forget_the_oldest()
        return upload, turn

    def _remove(self, upload: Upload) -> None:
        upload.forget()
        if not self._present(upload.key):
            self._by_size.pop(upload.key, None)

    def _forget_the_oldest(self) -> None:
        if len(self._by_size) > _MOST_REMEMBERED:
            for key in self._by_size:
                if not any(
                    upload.users or upload.asset_id is None for upload in self._present(key)
                ):
                    del self._by_size[key]
                    return


class Lease:
    """The uploads that one call uses, until it is over.

    Attributes:
        keep: Whether they are to be kept.
    """

    def __init__(self, uploads: Uploads, *, keep: bool) -> None:
        self.keep = keep
        self._uploads = uploads
        self._held: list[Upload] = []

    def use(self, upload: Upload) -> bool:
        """Need an upload until this call is over, unless it has been given up meanwhile."""
        needed = self._uploads.use(upload, keep=self.keep)
        if needed and not self.keep:
            self._held.append(upload)
        return needed

    def give_back(self) -> Iterator[str]:
        """Let go of everything, and yield the ids of the assets that are to be deleted."""
        while self._held:
            upload = self._held.pop()
            if self._uploads.let_go(upload, keep=False) and upload.asset_id is not None:
                yield upload.asset_id

    def end(self) -> None:
        """Let go of what is still held, and keep it: it may still be needed."""
        while self._held:
            self._uploads.let_go(self._held.pop(), keep=True)
