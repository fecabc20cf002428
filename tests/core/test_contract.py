"""Which contract this is, and the clock of this machine."""

import hashlib
import json
import sys
import time
from pathlib import Path

import anyio
import pytest

from krea_aleph import contract
from krea_aleph.clocks import RealClock
from krea_aleph_api import constraints, options  # what is taken away below must be there


def test_the_pinned_contract() -> None:
    """Date, digest and generator are those of the document that is installed beside the code."""
    pinned = contract.pinned()
    body = contract.document().read_bytes()
    assert pinned.sha256 == hashlib.sha256(body).hexdigest()
    assert json.loads(body)["openapi"].startswith("3.")
    assert "openapi-python-client" in pinned.generator
    assert time.strptime(pinned.date, "%Y-%m-%d")
    assert contract.pinned() is pinned
    assert (contract.sha256, contract.date) == (pinned.sha256, pinned.date)
    assert contract.generator == pinned.generator
    with pytest.raises(AttributeError, match="nonsense"):
        contract.nonsense  # type: ignore[attr-defined]  # noqa: B018 - asking is the test


def test_the_optional_fields() -> None:
    """Their names, words and limits are data, for whoever builds a form or a command line of them.

    They are the same with the generated client imported and without.
    """
    assert options.AlephOptions.__annotations__.keys() == contract.options().keys()
    assert constraints.ALEPH_REQUEST["properties"].keys() > contract.options().keys()
    found = contract.options()
    assert contract.options.__wrapped__() == found
    alone = {name: sys.modules.pop(f"krea_aleph_api.{name}") for name in ("options", "constraints")}
    try:
        assert contract.options.__wrapped__() == found
    finally:
        sys.modules.update({f"krea_aleph_api.{name}": module for name, module in alone.items()})
    assert found["ratio"].name == "ratio"
    assert found["ratio"].description.startswith("Width and height of the result in pixels.")
    assert "1280:720" in found["ratio"].schema["enum"]
    assert all(option.description and option.schema for option in found.values())


def test_without_the_generated_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-installed library says what is missing; a folder without code is no package."""
    monkeypatch.setitem(sys.modules, "krea_aleph_api", None)
    with pytest.raises(ModuleNotFoundError, match="krea_aleph_api is not installed"):
        contract.folder.__wrapped__()
    monkeypatch.delitem(sys.modules, "krea_aleph_api")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (tmp_path / "krea_aleph_api").mkdir()
    with pytest.raises(ModuleNotFoundError, match="krea_aleph_api is not installed"):
        contract.folder.__wrapped__()


def test_the_real_clock() -> None:
    """It tells this machine's time, sleeps in both colours, and is never held back."""
    clock = RealClock()
    before = clock.monotonic()
    clock.sleep(0.0)
    anyio.run(clock.asleep, 0.0)
    with clock.busy():
        assert clock.monotonic() >= before
    assert abs(clock.time() - time.time()) < 5
