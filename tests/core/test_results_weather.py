"""Downloads from a host in any mood, again and again: the file is whole in the end, or absent."""

from __future__ import annotations

import random
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from krea_aleph._results import download
from krea_aleph._steps import Call, Fetch, Response
from krea_aleph.errors import KreaError
from krea_aleph.models import Job, Output
from krea_aleph.policies import RetryPolicy

from .transcript import CLIP_URL, JOB_ID, Interruption, Stage, at, completed, configured, cut_off

JOB = Job(JOB_ID, "completed", outputs=(Output(CLIP_URL),))
HEAD = b"\x00\x00\x00\x18ftypisom"
FINAL = "out.mp4"
PARTS = {"out.mp4.part", "out.mp4.part.json"}


class Moody(Stage):
    """A stage with a host that breaks off, forgets ranges, changes its file, lies and is away."""

    def __init__(self, chance: random.Random, **options: Any) -> None:
        super().__init__(completed(), **options)
        self.chance = chance
        self.versions = [HEAD + chance.randbytes(chance.randrange(1, 4000)) for _ in range(2)]
        self.version = 0
        self.tags = chance.choice(["strong", "strong", "weak", "none"])
        self.digests = chance.random() < 0.5
        self.kindness = 0.0

    def _fetch(self, step: Fetch) -> Response:
        self.fetches.append(step)
        mood = "kind" if self.chance.random() < self.kindness else self._mood()
        match mood:
            case "away":
                raise cut_off()
            case "busy":
                return self._brief(step, self.chance.choice([429, 500, 503, 403, 416]))
            case "changed":
                self.version = 1 - self.version
        content = self.versions[self.version]
        status, headers, body = self._answer(step.headers, content)
        if mood == "spoilt" and self.digests and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        if mood == "odd":
            status, headers, body = self.chance.choice(
                [
                    (206, {"content-range": f"bytes 3-9/{len(content)}"}, body[:6]),
                    (206, {}, body),
                    (200, {**headers, "content-encoding": "gzip"}, body),
                    (204, {}, b""),
                    (200, {"content-length": "99999"}, b""),
                ]
            )
        return self._deliver(step, status, headers, body, cut=mood == "cut")

    def _mood(self) -> str:
        moods = ["kind", "cut", "cut", "cut", "away", "busy", "changed", "spoilt", "odd", "ranges"]
        return self.chance.choice(moods)

    def _answer(self, asked: Any, content: bytes) -> tuple[int, dict[str, str], bytes]:
        tag = f'"{sha256(content).hexdigest()[:9]}"'
        headers = {"strong": {"etag": tag}, "weak": {"etag": f"W/{tag}"}, "none": {}}[self.tags]
        if self.digests:
            headers["repr-digest"] = f"sha-256=:{b64encode(sha256(content).digest()).decode()}:"
        start = int(asked.get("range", "bytes=0-")[6:-1])
        if start and asked["if-range"] == tag and self.chance.random() < 0.9:
            headers["content-range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return 206, headers, content[start:]
        return 200, {**headers, "content-length": str(len(content))}, content

    def _brief(self, step: Fetch, status: int) -> Response:
        step.sink.begin(status, {})
        return Response(status, {})

    def _deliver(
        self, step: Fetch, status: int, headers: dict[str, str], body: bytes, *, cut: bool
    ) -> Response:
        end = self.chance.randrange(len(body) + 1) if cut else len(body)
        if step.sink.begin(status, headers):
            for start in range(0, end, 700):
                step.sink.write(body[start : min(start + 700, end)])
        if cut:
            raise cut_off()
        return Response(status, headers)


def left(folder: Path) -> set[str]:
    """Return what is in a folder."""
    return {path.name for path in folder.iterdir()}


def said(error: BaseException) -> str:
    """Return an error's words and notes."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


@pytest.mark.parametrize("seed", range(300))
def test_any_weather(seed: int, tmp_path: Path) -> None:
    """What is saved is one version of the file, whole; what is left otherwise is named."""
    chance = random.Random(seed)  # noqa: S311 - reproducible
    stage = Moody(chance)
    config = configured(retry=RetryPolicy(attempts=chance.randrange(1, 4)))
    kept: set[str] = set()
    for number in range(12):
        stage.kindness = number / 10
        stage._interruption = interruption(chance) if chance.random() < 0.3 else None
        try:
            saved = stage.play(download(config, JOB, tmp_path / FINAL, exists="error"))
        except (KeyboardInterrupt, SystemExit, KreaError) as error:
            named = PARTS if f"{FINAL}.part;" in said(error) else set()
            assert left(tmp_path) in (named, kept)
            untouched = not isinstance(error, KreaError)  # it may not have come to the part
            assert untouched or left(tmp_path) == named
            kept = left(tmp_path)
        else:
            assert saved.path.read_bytes() in stage.versions
            assert saved.sha256 == sha256(saved.path.read_bytes()).hexdigest()
            assert left(tmp_path) == {FINAL}
            return
    pytest.fail("a kind host at last, and still no file")


def interruption(chance: random.Random) -> Interruption:
    """Interrupt the download somewhere."""
    kind = chance.choice([KeyboardInterrupt, SystemExit])
    return Interruption(kind(), at(chance.choice([Call, Fetch]), chance.randrange(1, 6)))
