"""A pinned contract that announces an end, and a process that has not been warned of any."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from krea_aleph import _notices, contract
from krea_aleph_api.constraints import ALEPH_REQUEST, FIELD_ALIASES, FieldAlias
from krea_aleph_api.operations import OPERATIONS


class Endings:
    """Changes what the regeneration has written down, for the time of a test."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def operation(self, name: str = "create_aleph_job", **facts: Any) -> None:
        """Let the contract say something of an operation."""
        self._patch.setitem(OPERATIONS, name, OPERATIONS[name]._replace(**facts))
        contract.notices.cache_clear()

    def field(self, *path: str) -> None:
        """Let the contract mark a field of the request as deprecated."""
        schema: Any = ALEPH_REQUEST
        for name in path:
            schema = schema["items"] if name == "[]" else schema["properties"][name]
        self._patch.setitem(schema, "deprecated", True)

    def alias(self, old: str, new: str, **facts: str) -> None:
        """Let a field have had another name."""
        self._patch.setitem(FIELD_ALIASES, old, FieldAlias(new, **facts))


@contextmanager
def endings() -> Iterator[Endings]:
    """Let nothing have been told before, and nothing be remembered afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_notices, "_told", set())
        yield Endings(patch)
    contract.notices.cache_clear()


@contextmanager
def heard() -> Iterator[list[warnings.WarningMessage]]:
    """Collect every warning, also one that Python would not repeat."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught
