"""Play every scenario with one library on one server after another, and print the marks.

A program of its own: it runs with a library's folder on PYTHONPATH, so it imports its neighbours as
programs do, and it is given the descriptions that the servers are to speak.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

from krea_aleph import contract
from krea_aleph.emulator import Emulator, VirtualClock
from krea_aleph.errors import (
    APIStatusError,
    BadRequestError,
    InvalidRequestError,
    KreaWarning,
    NotFoundError,
)
from krea_aleph.models import Event
from scenarios import SCENARIOS, Play
from stage import Stage
from terms import BAD_REQUEST, NOT_FOUND, REFUSED_HERE, WORKS

# The events of interest, and what in them is.
TOLD: Final = {
    "drift": ("unknown", "where", "found"),
    "deprecated": ("source", "state", "operation", "field", "sunset", "replacement"),
}


class BrokenError(Exception):
    """What may never happen has."""


def play(stage: Stage) -> dict[str, str]:
    """Play every scenario, and return its mark."""
    marks = {}
    for title, scene in SCENARIOS.items():
        stage.emulator.reset()
        try:
            marks[title] = _mark(stage, scene)
        except BaseException as error:
            raise BrokenError(f"{title}: {type(error).__name__}: {error}") from error
    return marks


def _mark(stage: Stage, scene: Play) -> str:
    """Play one scenario; anything but success and an honest refusal is raised."""
    try:
        scene(stage)
    except InvalidRequestError:
        if stage.emulator.requests:
            raise
        return REFUSED_HERE
    except APIStatusError as error:
        _require_honest(stage, error)
        return {BadRequestError: BAD_REQUEST, NotFoundError: NOT_FOUND}[type(error)]
    return WORKS


def _require_honest(stage: Stage, error: APIStatusError) -> None:
    assert (error.charged, stage.emulator.accepted) == ("no", 0), "refused, and charged"
    assert error.message, "refused without a word"
    assert error.hint, "refused without a hint"


def main(documents: list[Path]) -> None:
    """Play on one server after another, and print what came of it.

    That is the marks of each scenario in the order of the servers, and for each server what the
    library told by itself.
    """
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", KreaWarning)
    told: dict[str, list[str]] = {document.stem: [] for document in documents}
    with tempfile.TemporaryDirectory() as folder:
        played = [
            _play_on(document, Path(folder), told[document.stem].append) for document in documents
        ]
    marks = {title: "".join(one[title] for one in played) for title in SCENARIOS}
    print(json.dumps({"package": str(contract.folder()), "marks": marks, "told": told}))


def _play_on(document: Path, folder: Path, tell: Callable[[str], None]) -> dict[str, str]:
    def listen(event: Event) -> None:
        if event.kind in TOLD:
            facts = (event.attributes.get(name) for name in TOLD[event.kind])
            tell(" ".join(str(fact) for fact in facts if fact is not None))

    clock = VirtualClock()  # its year is always the same: some old names are taken until a day
    with (
        Emulator(contract=document, clock=clock, render=False, job_seconds=60) as emulator,
        emulator.aleph(virtual_time=True, on_event=listen) as aleph,
    ):
        try:
            return play(Stage(emulator, document, aleph, folder))
        except BrokenError as error:
            error.add_note(f"on {document.name}")
            raise


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
