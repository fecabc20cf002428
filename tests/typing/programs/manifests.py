"""Manifests, as users read them."""

import csv
from collections.abc import Iterator
from pathlib import Path

from krea_aleph import Aleph, InvalidRequestError, manifest
from krea_aleph.manifest import BadRow


def every_row(path: Path) -> None:
    """Take each row for what it is."""
    with Aleph() as aleph:
        for row in manifest.read(path, passthrough=["shot"], root=path.parent, checks="warn"):
            if isinstance(row, BadRow):
                print(row.index + 1, row.line, row.field.upper(), row.error.hint, row.row[:5])
            else:
                job = aleph.submit(row["video"], row["prompt"], **row.get("options", {}))
                print(job.id, row.get("output"), row.get("intent", "").upper(), row.get("meta"))


def rows() -> Iterator[dict[str, object]]:
    """Make rows by program."""
    for name in ("a", "b"):
        yield {"video": f"{name}.mp4", "prompt": "make it snow", "seed": 7}


def from_anything() -> int:
    """Count the good rows of every kind of source."""
    with Path("shots.csv").open(newline="") as text, Path("shots.csv").open("rb") as binary:
        sources = [manifest.read(source) for source in (text, binary)]
        sources += [manifest.read("-"), manifest.read(rows()), manifest.read(csv.DictReader(text))]
        return sum(isinstance(row, dict) for found in sources for row in found)


def handle() -> str:
    """Handle what is no manifest."""
    try:
        manifest.read("shots.xlsx")
    except InvalidRequestError as error:
        return error.problem
    return ""
