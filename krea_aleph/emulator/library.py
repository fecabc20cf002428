"""Files that customers have uploaded, and every file that the emulator serves."""

from __future__ import annotations

import asyncio
import re
import shutil
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from starlette.datastructures import UploadFile

from krea_aleph.emulator import moments
from krea_aleph.emulator.accounts import Account, Asset
from krea_aleph.emulator.blobs import Blob, FileBlob
from krea_aleph.emulator.checks import Problem

if TYPE_CHECKING:
    from starlette.datastructures import FormData

FILES: Final = "/files/"
"""The path under which files are served, without a key."""
OCTETS: Final = "application/octet-stream"

KINDS: Final = {
    "image/jpeg": (".jpg", ".jpeg"),
    "image/png": (".png",),
    "image/webp": (".webp",),
    "image/heic": (".heic", ".heif"),
    "video/mp4": (".mp4", ".m4v"),
    "video/quicktime": (".mov",),
    "video/webm": (".webm",),
    "model/gltf-binary": (".glb",),
    "audio/wav": (".wav",),
    "audio/x-wav": (),
    "audio/wave": (),
    "audio/mpeg": (".mp3",),
    "audio/mp3": (),
}
"""The kinds of files that are accepted, with the endings that stand for them."""


class Library:
    """All files by name, and how an upload becomes one."""

    def __init__(self, folder: Path, max_upload: int) -> None:
        self._folder = folder
        self._max_upload = max_upload
        self._lock = threading.Lock()
        self.files: dict[str, Blob] = {}

    def find(self, url: str) -> Blob | None:
        """Return the file that a URL names, whichever host it gives."""
        path = unquote(urlsplit(url).path)
        return self.files.get(path.removeprefix(FILES)) if path.startswith(FILES) else None

    async def upload(self, account: Account, form: FormData, now: float, base_url: str) -> Asset:
        """Keep an uploaded file.

        Raises:
            Problem: 400 for a kind that is not accepted or an empty file, 413 for one too large.
        """
        upload, description = form["file"], form.get("description")
        if not isinstance(upload, UploadFile):
            raise Problem(400, "file: must be a file")
        size = upload.size or 0
        if size > self._max_upload:
            raise Problem(413, f"file: has {size} bytes; the limit is {self._max_upload}")
        if not size:
            raise Problem(400, "file: is empty")
        kind = _kind(upload)
        blob = await asyncio.to_thread(self._store, upload, kind)
        note = description if isinstance(description, str) else None
        url = self._url(account, blob, _file_name(upload), now, base_url)
        asset = Asset(str(uuid.uuid4()), url, blob, now, account.places.take(now), note)
        account.assets[asset.id] = asset
        return asset

    def forget(self, account: Account, asset: Asset) -> None:
        """Remove an asset; its URL leads nowhere afterwards."""
        with self._lock:
            del account.assets[asset.id]
            self.files.pop(unquote(urlsplit(asset.url).path).removeprefix(FILES), None)

    def _store(self, upload: UploadFile, kind: str) -> FileBlob:
        path = self._folder / f"asset-{uuid.uuid4()}"
        with path.open("wb") as target:
            shutil.copyfileobj(upload.file, target)
        return FileBlob.of(path, kind)

    def _url(self, account: Account, blob: Blob, name: str, now: float, base_url: str) -> str:
        """Put a file where Krea would: under the account, the moment and its name."""
        moment = moments.milliseconds(now)
        with self._lock:
            while (place := f"uploads/{account.id}/{moment}-{name}") in self.files:
                moment += 1
            self.files[place] = blob
        return f"{base_url}{FILES}{quote(place)}"


def _kind(upload: UploadFile) -> str:
    """Return the media type of an upload as sent; without one, by the name's ending."""
    sent = (upload.content_type or "").partition(";")[0].strip().lower()
    if sent in KINDS:
        return sent
    ending = Path(upload.filename or "").suffix.lower()
    by_name = next((kind for kind, endings in KINDS.items() if ending in endings), None)
    if by_name is None or sent not in {"", OCTETS}:
        raise Problem(400, f"file: the kind {sent or ending or 'unknown'} is not accepted")
    return sent or by_name


def _file_name(upload: UploadFile) -> str:
    return re.sub(r"[^\w.()-]+", "_", Path(upload.filename or "file").name, flags=re.ASCII)[-100:]
