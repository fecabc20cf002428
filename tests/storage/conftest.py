"""Every scenario runs three times, as in `tests/client`, and with a local S3."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from buckets import Bucket, Gate, gate_before, local_s3
from colours import OpenClient, clip, colour, emulator, open_client
from krea_aleph import Aleph
from krea_aleph.emulator import Emulator

__all__ = ["clip", "colour", "emulator", "open_client"]
_NAMES = itertools.count(1)


@pytest.fixture(scope="session")
def s3() -> Iterator[int]:
    """The port of a local S3."""
    with local_s3() as port:
        yield port


@pytest.fixture
def gate(s3: int) -> Iterator[Gate]:
    """What stands before it."""
    with gate_before(s3) as gate:
        yield gate


@pytest.fixture
def bucket(gate: Gate) -> Bucket:
    """An empty bucket."""
    return Bucket(f"clips-{next(_NAMES)}", gate)


@pytest.fixture
def aleph(open_client: OpenClient, bucket: Bucket) -> Any:
    """A client of one colour that reaches the bucket, and no other."""
    return open_client(storage={bucket.url: bucket.settings})


@pytest.fixture
def client(emulator: Emulator, bucket: Bucket) -> Iterator[Aleph]:
    """A client for what is the same in every colour."""
    with emulator.aleph(virtual_time=True, storage={bucket.url: bucket.settings}) as client:
        yield client


@pytest.fixture
def on_disk(tmp_path: Any) -> Callable[[], list[str]]:
    """What is in the test's folder."""
    return lambda: sorted(path.name for path in tmp_path.iterdir())
