"""The parser and the whole judgement, held to anything that can be sent."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krea_aleph.errors import WebhookError
from krea_aleph.models import is_id
from krea_aleph.webhooks import WebhookReceiver, parse
from web import SECRETS

from .conftest import JOB, NONCE, PUBLIC, body

FEW, MANY = 5_000, 200_000
SEED = 20_261_122
WORDS = ["job_id", "status", "result", "urls", JOB, "..", "a/b", "", "null", "\ud800", "\x00"]


def strange_value(chance: random.Random, depth: int = 0) -> Any:
    """Make a JSON value that nobody expects."""
    kind = chance.randrange(10 if depth < 4 else 7)
    if kind == 9:
        return {
            chance.choice(WORDS): strange_value(chance, depth + 1)
            for _ in range(chance.randrange(5))
        }
    if kind >= 7:
        return [strange_value(chance, depth + 1) for _ in range(chance.randrange(5))]
    scalars: list[Callable[[], Any]] = [
        lambda: chance.choice(WORDS),
        lambda: None,
        lambda: chance.random() < 0.5,
        lambda: chance.randrange(-(10**30), 10**30),
        lambda: chance.choice([float("inf"), float("nan"), 1e308, -0.0]),
        lambda: "".join(map(chr, chance.choices(range(0x20, 0x2FF), k=chance.randrange(250)))),
        lambda: JOB,
    ]
    return scalars[kind]()


def damaged(chance: random.Random, content: bytes) -> bytes:
    """Damage a few bytes, cut it off, or double a part of it."""
    data = bytearray(content)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del data[at:]
            case 2:
                data[at:at] = data[: chance.randrange(40)]
            case _:
                data[at:at] = chance.choice(
                    [b"\\ud800", b'"', b"{", b"}", b"\xef\xbb\xbf", b"0" * 99]
                )
    return bytes(data)


def strange_body(chance: random.Random) -> bytes:
    """Make a body: bytes, strange JSON, a real delivery, or one of the three, damaged."""
    content: bytes = chance.choice(
        [
            lambda: chance.randbytes(chance.randrange(200)),
            lambda: json.dumps(strange_value(chance)).encode(),
            lambda: json.dumps({"job_id": strange_value(chance)}).encode(),
            lambda: body(status=chance.choice(WORDS)),
            lambda: body().decode().encode(chance.choice(["utf-16", "utf-32", "utf-8-sig"])),
        ]
    )()
    return damaged(chance, content) if chance.random() < 0.7 else content


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_bodies_of_any_kind(count: int) -> None:
    """Of any body the parser returns an id that can be one, or raises its one error."""
    print(f"seed {SEED}")  # noqa: T201 - shown when it fails
    chance = random.Random(SEED)  # noqa: S311 - no secret
    taken = 0
    for _ in range(count):
        content = strange_body(chance)
        try:
            found = parse(content)
        except WebhookError:
            continue
        assert is_id(found), content
        assert json.loads(content)["job_id"] == found
        taken += 1
    assert count / 20 < taken < count * 19 / 20  # both ways were gone often


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
def test_requests_of_any_kind(count: int) -> None:
    """Whatever method, path, headers and body, the answer is one of the documented statuses."""
    print(f"seed {SEED}")  # noqa: T201 - shown when it fails
    logging.getLogger("krea_aleph").setLevel(logging.CRITICAL)
    chance = random.Random(SEED)  # noqa: S311 - no secret
    receiver = WebhookReceiver(PUBLIC, SECRETS, max_body=300)
    path = urlsplit(receiver.url("default", NONCE)).path
    seen: dict[int, int] = {}
    try:
        for _ in range(count):
            where = path
            if chance.random() < 0.3:
                where = damaged(chance, path.encode()).decode("latin-1")
            method = chance.choice(["POST"] * 9 + ["GET", "", "\x00"])
            names = ["content-length", "Content-Encoding", "X"]
            values = ["5", "999", "-1", "gzip", "", "identity", "\xff"]
            headers = {chance.choice(names): chance.choice(values)} if chance.random() < 0.5 else {}
            status = receiver.handle(method, where, strange_body(chance), headers).status
            seen[status] = seen.get(status, 0) + 1
    finally:
        logging.getLogger("krea_aleph").setLevel(logging.NOTSET)
    assert set(seen) == {200, 400, 404, 405, 413, 415}


@given(st.binary(max_size=300))
def test_bytes_of_any_kind(content: bytes) -> None:
    """The same, for what hypothesis comes up with."""
    with suppress(WebhookError):
        assert is_id(parse(content))
