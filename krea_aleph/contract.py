"""Which contract this library was built from.

``sha256``, ``date`` and ``generator`` are read from the generated client when they are first asked
for; `pinned` has them as one value.

Example:
    >>> from krea_aleph import contract
    >>> contract.date <= "2999-01-01"
    True
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

TYPE_CHECKING = False
if TYPE_CHECKING:
    sha256: str
    date: str
    generator: str

# The generated package, by name: only _wire imports it, and its data files need no import.
_PACKAGE: Final = "krea_aleph_api"


@dataclass(frozen=True, slots=True)
class Contract:
    """The provenance of the pinned contract.

    Attributes:
        sha256: SHA-256 of the contract document, in hexadecimal.
        date: The day it was taken from what Krea publishes, as YYYY-MM-DD.
        generator: Name and version of the program that generated the low-level client.
    """

    sha256: str
    date: str
    generator: str


@cache
def pinned() -> Contract:
    """Return the contract that this installed library speaks."""
    facts = json.loads((folder() / "PROVENANCE.json").read_text("utf-8"))
    return Contract(
        sha256=facts["contract"]["sha256"],
        date=facts["contract"]["date"],
        generator=facts["generator"],
    )


def document() -> Path:
    """Return the path of the contract itself, an OpenAPI document in JSON."""
    return folder() / "contract.json"


@cache
def folder() -> Path:
    """Return the folder of the generated package, without importing it."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        message = f"{_PACKAGE} is not installed beside krea_aleph"
        raise ModuleNotFoundError(message)
    return Path(spec.origin).parent


if not TYPE_CHECKING:  # pragma: no branch - type checkers do not run it

    def __getattr__(name: str) -> str:
        """Give the facts of the pinned contract as names of the module."""
        if name in Contract.__dataclass_fields__:
            return getattr(pinned(), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
