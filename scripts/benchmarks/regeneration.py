"""How long following a description takes, on a copy of the checkout: wall-clock seconds."""

import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bootstrap

AIMS = {"whole": 10.0, "no change": 2.0}
_PARTS = ("krea_aleph", "generated", "scripts/codegen")
_ALEPH = "/generate/video/runway/aleph"


def measure(repeats: int) -> dict[str, float]:
    """Follow a grown description, the first one again, and then what is known already.

    Returns:
        Medians by what was done, keys as in `AIMS`.
    """
    python = bootstrap.ensure(bootstrap.CODEGEN)
    with _copy() as root:
        first, grown = _documents(root)
        samples: dict[str, list[float]] = {name: [] for name in AIMS}
        for _ in range(repeats):
            for document in (grown, first):
                samples["whole"].append(_seconds(python, root, document))
            samples["no change"].append(_seconds(python, root, first))
    return {name: statistics.median(times) for name, times in samples.items()}


@contextmanager
def _copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        root = Path(folder)
        shutil.copy(bootstrap.ROOT / "openapi.json", root)
        ignore = shutil.ignore_patterns("__pycache__")
        for part in _PARTS:
            shutil.copytree(bootstrap.ROOT / part, root / part, ignore=ignore)
        yield root


def _documents(root: Path) -> tuple[Path, Path]:
    """Write the contract as it is, and with one more option."""
    first, grown = root / "first.json", root / "grown.json"
    shutil.copy(root / "openapi.json", first)
    contract = json.loads(first.read_bytes())
    body = contract["paths"][_ALEPH]["post"]["requestBody"]["content"]["application/json"]
    body["schema"]["properties"]["quality"] = {"type": "string"}
    grown.write_text(json.dumps(contract), encoding="utf-8")
    return first, grown


def _seconds(python: Path, root: Path, document: Path) -> float:
    command = [python, "-I", root / "scripts/codegen/__main__.py", "--from", document]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
