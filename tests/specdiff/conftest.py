"""What the tests of the comparison share: a site of our own, and the contract."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_site import Site, https_site

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = json.loads((ROOT / "openapi.json").read_bytes())
ALEPH = "/generate/video/runway/aleph"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Run a https server whose authority nobody knows."""
    with https_site(tmp_path) as running:
        yield running


@pytest.fixture
def contract() -> dict[str, Any]:
    """Give a copy of the committed contract that a test may change."""
    return copy.deepcopy(CONTRACT)
