"""`contract.lock.json`: which contract the committed tree was made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from krea_aleph.specdiff.document import dump_document
from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Lock:
    """The committed facts about `openapi.json`.

    Attributes:
        sha256: Of the bytes of `openapi.json`, in hex.
        date: When these bytes became our contract, YYYY-MM-DD.
        source: Where they came from.
        retired: Operations that are no longer published, with the date.
    """

    sha256: str
    date: str
    source: str
    retired: Mapping[str, str] = field(default_factory=dict)

    def follow(self, contract: bytes) -> Lock:
        """Return the lock for these bytes: this one, or one of today for an edited contract."""
        found = hashlib.sha256(contract).hexdigest()
        if found == self.sha256:
            return self
        today = datetime.now(UTC).date().isoformat()
        return replace(self, sha256=found, date=today, source="edited here")

    def dump(self) -> bytes:
        """Write the lock as JSON."""
        return dump_document(asdict(self))


def read_lock(path: Path) -> Lock:
    """Read the committed lock.

    Raises:
        StepError: It is missing or not a lock.
    """
    try:
        return Lock(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise StepError("read", f"{path.name} cannot be used: {error}") from error
