"""Who is asking: each key is an account with jobs and assets of its own."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from krea_aleph.emulator.paging import Places
from krea_aleph.emulator.values import AssetRecord

if TYPE_CHECKING:
    from krea_aleph.emulator.blobs import Blob
    from krea_aleph.emulator.jobs import Jobs


@frozen
class Asset:
    """An uploaded file. `uploaded` is in Unix seconds."""

    id: str
    url: str
    blob: Blob
    uploaded: float
    position: int
    description: str | None

    def record(self) -> AssetRecord:
        """Return what tests may know of it."""
        blob = self.blob
        return AssetRecord(self.id, self.url, blob.media_type, blob.size, self.description)


@define(eq=False)
class Account:
    """One customer of the emulated service."""

    key: str
    jobs: Jobs
    assets: dict[str, Asset] = field(factory=dict)
    places: Places = field(factory=Places)
    id: str = field(factory=lambda: str(uuid.uuid4()))
