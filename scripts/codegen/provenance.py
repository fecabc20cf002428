"""`PROVENANCE.json`: from what, and by what, a tree was generated."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from krea_aleph.specdiff.document import dump_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from codegen.lock import Lock


def provenance(lock: Lock, pins: Mapping[str, str], *, rules: Path, templates: Path) -> bytes:
    """Write what decides the bytes of the tree: contract, tools, rules, template edits."""
    return dump_document(
        {
            "contract": {"sha256": lock.state.sha256, "date": lock.state.date},
            "generator": f"openapi-python-client {pins['openapi-python-client']}",
            "ruff": pins["ruff"],
            "rules": _sha256(rules),
            "templates": _sha256(templates),
        }
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
