"""What the tests of the pipeline share: the contract, the rules, and copies of the checkout."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import bootstrap
from checkouts import ROOT, Checkout
from krea_aleph.specdiff.rules import Rules, load_rules

__all__ = ["ROOT", "Checkout"]

CONTRACT = json.loads((ROOT / "openapi.json").read_bytes())
ALEPH = "/generate/video/runway/aleph"


@pytest.fixture
def contract() -> dict[str, Any]:
    """Give a copy of the committed contract that a test may change."""
    return copy.deepcopy(CONTRACT)


@pytest.fixture(scope="session")
def rules() -> Rules:
    """Give the committed rules."""
    return load_rules(ROOT / "scripts/codegen/rules.toml")


@pytest.fixture(scope="session")
def tools() -> Path:
    """Give the Python that has the pinned tools."""
    return bootstrap.ensure(bootstrap.CODEGEN)


@pytest.fixture
def checkout(tmp_path: Path, tools: Path) -> Checkout:
    """Copy contract, pipeline and generated tree to a place of their own."""
    return Checkout.copied(tmp_path, tools)


def body_of(contract: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the aleph request."""
    content = contract["paths"][ALEPH]["post"]["requestBody"]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema


def job_of(contract: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a job as `GET /jobs/{id}` answers it."""
    content = contract["paths"]["/jobs/{id}"]["get"]["responses"]["200"]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema
