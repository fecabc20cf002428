"""Batches of any length at constant memory."""

from __future__ import annotations

import resource
import tracemalloc
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import Aleph, Failed

ROW: dict[str, Any] = {"video": "https://example.com/in.mp4"}  # without a prompt


def grown(rows: int, out: Path, client: Aleph) -> int:
    """Return by how many bytes memory grows between the first rows and so many more."""
    outcomes = client.batch(repeat(ROW), output_dir=out)
    for _ in range(500):
        next(outcomes)
    tracemalloc.start()
    try:
        for _ in range(rows):
            assert isinstance(next(outcomes), Failed)
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_rows_without_end(tmp_path: Path) -> None:
    """An endless generator of rows costs no memory, however many there have been."""
    with Aleph(api_key="key-id:key-secret") as client:
        assert grown(5000, tmp_path, client) < 200_000


@pytest.mark.long
def test_ten_million_rows(tmp_path: Path) -> None:
    """The process is as large after ten million rows as it was after a thousand."""
    with Aleph(api_key="key-id:key-secret") as client:
        outcomes = client.batch(repeat(ROW), output_dir=tmp_path)
        for _ in range(1000):
            next(outcomes)
        before = resident()
        for _ in range(10_000_000):
            next(outcomes)
        assert resident() - before < 5_000_000


def resident() -> int:
    """Return how many bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()


def test_files_that_are_there(tmp_path: Path) -> None:
    """Nor do items whose results are there: what is remembered of them is bounded."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42")
    rows = repeat({**ROW, "prompt": "snow", "output": "a.mp4"})
    with Aleph(api_key="key-id:key-secret") as client:
        outcomes = client.batch(rows, output_dir=out)
        for _ in range(200):
            next(outcomes)
        tracemalloc.start()
        try:
            for _ in range(1000):
                next(outcomes)
            assert tracemalloc.get_traced_memory()[0] < 200_000
        finally:
            tracemalloc.stop()
            outcomes.close()  # type: ignore[attr-defined]
