"""Who may have taken a process down: tried alone, counted alone, and given up in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from krea_aleph import KreaError, SQLiteStore
from krea_aleph.durable.suspects import Suspects


class Death(BaseException):
    """Stands for the end of a process: nothing is written after it."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    """Where tries are counted."""
    with SQLiteStore(tmp_path / "jobs.sqlite3") as opened:
        yield opened


def _most_at_once(suspects: Suspects, names: list[str]) -> int:
    """Watch jobs at the same time, and return how many were under way at once."""
    under_way, most = 0, 0

    async def attempt() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)
        under_way -= 1

    async def main() -> None:
        await asyncio.gather(*(suspects.watch(name, attempt) for name in names))

    asyncio.run(main())
    return most


def _die(suspects: Suspects, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a process end while it does nothing but this."""

    async def attempt() -> None:
        raise Death

    with monkeypatch.context() as patch:
        patch.setattr(Suspects, "acquit", lambda *_: None)
        with pytest.raises(Death):
            asyncio.run(suspects.watch(name, attempt))


def test_who_was_begun_seldom_is_no_suspect(store: SQLiteStore) -> None:
    """They are done beside each other, and nothing is written of them."""
    suspects = Suspects(store, "app", lambda _: 3, 2)
    assert _most_at_once(suspects, ["a", "b", "c"]) == 3
    assert store.read("krea_aleph.suspects/app", "a") is None


def test_suspects_are_tried_one_by_one(store: SQLiteStore) -> None:
    """So that a death says who it was; who gets through is innocent again."""
    suspects = Suspects(store, "app", lambda _: 4, 2)
    assert _most_at_once(suspects, ["a", "b", "c"]) == 1
    record = store.read("krea_aleph.suspects/app", "a")
    assert record is not None
    assert record.fields == {"tries": "0"}


def test_who_has_taken_processes_down_is_given_up(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many lonely deaths, and only those of its own; acquitted, it is tried again."""
    suspects = Suspects(store, "app", lambda _: 4, 2)
    _die(suspects, "guilty", monkeypatch)
    _die(suspects, "guilty", monkeypatch)
    with pytest.raises(KreaError, match="given up: 2 processes"):
        asyncio.run(suspects.watch("guilty", asyncio.Event().wait))
    assert _most_at_once(suspects, ["innocent"]) == 1
    suspects.acquit("guilty")
    assert _most_at_once(suspects, ["guilty"]) == 1
    suspects.acquit("unknown")
