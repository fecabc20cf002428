"""A local Krea on a real socket, for tests, demonstrations and trying out tomorrow's contract.

It is built from the contract: routes, request checks, statuses and answers come from the OpenAPI
document, so that another document makes another server. What the real service is known to do
differently is added as *quirks*, each with a name; see `krea_aleph.emulator.quirks`.

Example:
    >>> from krea_aleph.emulator import Emulator
    >>> with Emulator(render=False) as emulator, emulator.aleph(virtual_time=True) as aleph:
    ...     saved = aleph.transform("in.mp4", "make it snow", "out.mp4")

Nothing here is a model: the videos are restyled by simple filters, and every job says so.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from krea_aleph.emulator.clock import VirtualClock
    from krea_aleph.emulator.local import Emulator
    from krea_aleph.emulator.quirks import QUIRKS, Quirk
    from krea_aleph.emulator.values import (
        AssetRecord,
        DeliveryRecord,
        Fault,
        JobRecord,
        Outcome,
        RequestRecord,
    )

__all__ = [
    "QUIRKS",
    "AssetRecord",
    "DeliveryRecord",
    "Emulator",
    "Fault",
    "JobRecord",
    "Outcome",
    "Quirk",
    "RequestRecord",
    "VirtualClock",
]

_HOMES: Final = {
    "QUIRKS": "quirks",
    "Quirk": "quirks",
    "Emulator": "local",
    "VirtualClock": "clock",
}


if not TYPE_CHECKING:  # type checkers know the names from above

    def __getattr__(name: str) -> object:
        """Import a part when it is first used: values and the virtual clock need no extra."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'values')}"), name)
