"""The dialect "declared" keeps to the contract, as an independent referee reads it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import settings
from schemathesis.checks import CHECKS

from krea_aleph.emulator import Emulator, VirtualClock
from krea_aleph.emulator.local import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTRACT = json.loads(files("krea_aleph_api").joinpath("contract.json").read_text("utf-8"))

# What the contract cannot express, or contradicts; each for the operations it is true of.
EXCUSED = {
    # The documented kinds and the size of a file are no part of the schema, and in a form
    # everything is text: null is the word "null".
    ("POST", "/assets"): {"positive_data_acceptance", "negative_data_rejection"},
    # Declares 200 and 401 only: a wrong limit can only be overlooked.
    ("GET", "/assets"): {"negative_data_rejection"},
    # The body is not declared as required, although two of its members are.
    ("POST", "/generate/video/runway/aleph"): {"positive_data_acceptance"},
    # Declares no 401: a stranger is told that there is no such job.
    ("GET", "/jobs/{id}"): {"ignored_auth"},
    ("DELETE", "/jobs/{id}"): {"ignored_auth"},
}

schema = schemathesis.openapi.from_dict(CONTRACT)


@schema.auth()
class Key:
    """The key, unless an example is about a missing or a wrong one."""

    def get(self, _case: Any, _context: Any) -> str:
        """Return the key that every emulator accepts."""
        return KEY

    def set(self, case: Any, data: str, _context: Any) -> None:
        """Send it."""
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """One emulator of the dialect for all examples."""
    with Emulator(
        dialect="declared", clock=VirtualClock(), render=False, concurrency=10, backlog=10**6
    ) as running:
        yield running


@schema.parametrize()
@settings(max_examples=40)
def test_conforms(case: Any, emulator: Emulator) -> None:
    """Every answer, to valid, invalid and unauthorised requests, is one that is declared."""
    excused = EXCUSED.get((case.operation.method.upper(), case.operation.path), set())
    case.call_and_validate(
        base_url=emulator.base_url,
        excluded_checks=[check for check in CHECKS.get_all() if check.__name__ in excused],
    )
