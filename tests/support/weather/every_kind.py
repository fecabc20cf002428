"""All kinds of weather, of every sort."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from weather import hooks, kinds, networks, neighbours
from weather.catalogue import KINDS

__all__ = ["KINDS", "SORTS"]

SORTS: Final[tuple[ModuleType, ...]] = (kinds, networks, hooks, neighbours)
"""The modules that enter kinds into the catalogue when they are imported."""
