"""The files that an update may change, and nothing else."""

from __future__ import annotations

import re
from typing import Final

CONTRACT: Final = "openapi.json"
GENERATED: Final = "generated"
LOCK: Final = "scripts/codegen/contract.lock.json"
CHANGELOG: Final = "CHANGELOG.md"

CHANGED: Final = (CONTRACT, GENERATED, LOCK, CHANGELOG)
"""What is taken into a patch."""

# No name that git, Python or a tool gives a meaning of its own: .gitattributes, *.pth, conftest.py.
_GENERATED: Final = re.compile(
    rf"{GENERATED}/krea_aleph_api/(?:[a-z][a-z0-9_]*/)*"
    r"(?:(?:__init__|[a-z_][a-z0-9_]*)\.py|(?:PROVENANCE|contract)\.json|[a-z]+\.toml|py\.typed)"
)


def allowed(path: str) -> bool:
    """Tell whether a proposal may add, change or remove a file."""
    return path in {CONTRACT, LOCK, CHANGELOG} or _GENERATED.fullmatch(path) is not None
