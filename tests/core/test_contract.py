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
