"""Copies of this checkout's part that the regeneration works on, for tests to change."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("scripts/codegen", "krea_aleph", "generated")


@dataclass(frozen=True)
class Checkout:
    """A copy of the checkout's part that the pipeline works on."""

    root: Path
    python: Path

    @classmethod
    def copied(cls, root: Path, python: Path) -> Checkout:
        """Copy contract, pipeline and generated tree to a place of their own.

        Args:
            root: The folder to copy to.
            python: The Python that has the pinned tools.
        """
        root.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "openapi.json", root)
        ignore = shutil.ignore_patterns("__pycache__")
        for folder in FOLDERS:
            shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
        return cls(root, python)

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
