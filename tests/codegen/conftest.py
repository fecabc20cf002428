"""What the tests of the pipeline share: the contract, the rules, and copies of the checkout."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import bootstrap
from krea_aleph.specdiff.rules import Rules, load_rules

ROOT = Path(__file__).resolve().parents[2]
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


@dataclass(frozen=True)
class Checkout:
    """A copy of the checkout's part that the pipeline works on."""

    root: Path
    python: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command as `scripts/regenerate` does."""
        pipeline = self.root / "scripts/codegen/__main__.py"
        command = [str(self.python), "-I", str(pipeline), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def write(self, contract: object) -> None:
        """Replace the contract."""
        (self.root / "openapi.json").write_text(json.dumps(contract), encoding="utf-8")

    def files(self) -> dict[str, bytes]:
        """Read what must not change when a run fails, and must not differ when it repeats."""
        package = self.root / "generated"
        lock = self.root / "scripts/codegen/contract.lock.json"
        paths = [path for path in package.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in [*paths, lock]}


@pytest.fixture
def checkout(tmp_path: Path, tools: Path) -> Checkout:
    """Copy contract, pipeline and generated tree to a place of their own."""
    shutil.copy(ROOT / "openapi.json", tmp_path)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "scripts/codegen", tmp_path / "scripts/codegen", ignore=ignore)
    shutil.copytree(ROOT / "krea_aleph", tmp_path / "krea_aleph", ignore=ignore)
    shutil.copytree(ROOT / "generated", tmp_path / "generated", ignore=ignore)
    return Checkout(tmp_path, tools)


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
