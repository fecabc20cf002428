"""All kinds of weather, of every sort."""

from __future__ import annotations

from typing import Final

from weather import catalogue, hooks, kinds, neighbours, networks

_SORTS: Final = tuple(module.__name__ for module in (kinds, networks, hooks, neighbours))

KINDS: Final[dict[str, catalogue.Kind]] = dict(
    sorted(catalogue.KINDS.items(), key=lambda entry: _SORTS.index(entry[1].arm.__module__))
)
"""The catalogue, sort by sort, and in each as it is written down there."""
