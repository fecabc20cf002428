"""One library on one server, and what is said and sent there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from krea_aleph import Aleph
from krea_aleph.emulator import Emulator
from krea_aleph.models import Job
from krea_aleph_api.constraints import ALEPH_REQUEST, WIRE_NAMES
from terms import PAIR, request_body

VIDEO: Final = "https://example.com/in.mp4"
PICTURE: Final = "https://example.com/in.png"
PROMPT: Final = "make it snow"

# A good value of every field that some contract has.
SAMPLES: Final[Mapping[str, Any]] = {
    "init_image_url": PICTURE,
    "references": [{"type": "image", "uri": PICTURE}],
    "ratio": "960:960",
    "seed": 7,
    "startImage": PICTURE,
    "contentModeration": {"publicFigureThreshold": "low"},
    "start_image": PICTURE,
    "start_video": VIDEO,
    "output": "webm",
    "negative_prompt": "no rain",
    "scene": {"backdrop": PICTURE, "strength": 0.5},
    "init_image": PICTURE,
    "audience": "private",
}


@dataclass(frozen=True)
class Stage:
    """One server, and a client of this library.

    Attributes:
        emulator: The server.
        document: The path of its contract.
        aleph: The client.
        folder: A place for files.
    """

    emulator: Emulator
    document: Path
    aleph: Aleph
    folder: Path

    @property
    def loose(self) -> Aleph:
        """The same client without checks."""
        return self.aleph.with_options(checks="off")

    @property
    def body(self) -> Mapping[str, Any]:
        """What the server asks of a request to start a job; nothing where it starts none."""
        return request_body(self.document)

    @property
    def tells_reasons(self) -> bool:
        """Whether a job has a place of its own for why it failed."""
        job = json.loads(self.document.read_bytes())["components"]["schemas"]["Job"]
        return '"error"' in json.dumps(job)

    def client(self) -> Aleph:
        """Return a client that does not insist on what this server has never heard of."""
        foreign = set(ALEPH_REQUEST["required"]) - PAIR - self.body["properties"].keys()
        return self.loose if foreign else self.aleph

    def arguments(self, **given: Any) -> dict[str, Any]:
        """Add what the server demands: as an option, or past a library that knows none."""
        extra = dict(given.pop("extra_body", {}))
        for name in set(self.body["required"]) - PAIR - extra.keys() - given.keys():
            known = name in ALEPH_REQUEST["properties"]
            (given if known else extra)[option(name)] = SAMPLES[name]
        return {**given, "extra_body": extra}

    def submit(self, video: str = VIDEO, prompt: str = PROMPT, **given: Any) -> Job:
        """Submit as somebody does who has read what this server asks for."""
        return self.client().submit(video, prompt, **self.arguments(**given))

    @contextmanager
    def quirk(self, name: str, *, on: bool) -> Iterator[None]:
        """Switch a quirk for a while."""
        self.emulator.quirk(name, on=on)
        yield
        self.emulator.quirk(name, on=not on)


def option(name: str) -> str:
    """Return what a field is called as an option of this library."""
    return {wire: ours for ours, wire in WIRE_NAMES.items()}.get(name, name)
