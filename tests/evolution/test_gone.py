"""The library of today meets a Krea that no longer has the operation."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolution.matrix import description
from krea_aleph import ModelUnavailableError, NotFoundError
from krea_aleph.emulator import Emulator

VIDEO = "https://example.com/in.mp4"
GONE = description("absent")


def test_gone_without_a_word() -> None:
    """Where only an HTML page answers, the error says that the operation is gone, and is free."""
    with (
        Emulator(contract=GONE, render=False) as krea,
        krea.aleph(virtual_time=True) as aleph,
        pytest.raises(NotFoundError, match="the operation is gone") as caught,
    ):
        aleph.submit(VIDEO, "make it snow")
    assert (caught.value.charged, caught.value.resubmit) == ("no", "pointless")
    assert len(krea.requests) == 1, "asking again would not help"


def test_gone_with_directions(tmp_path: Path) -> None:
    """Where Krea says what to do instead, the error has it, and no file is left behind."""
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom")
    with (
        Emulator(contract=GONE, render=False, sunset="2026-10-09", replacement="aleph-2") as krea,
        krea.aleph(virtual_time=True) as aleph,
        pytest.raises(ModelUnavailableError, match="aleph-2") as caught,
    ):
        aleph.transform(clip, "make it snow", tmp_path / "out.mp4")
    told = caught.value
    assert (told.sunset_date, told.replacement, told.charged) == ("2026-10-09", "aleph-2", "no")
    assert not (tmp_path / "out.mp4").exists()


def test_gone_while_a_job_runs(tmp_path: Path) -> None:
    """A job that was accepted before is finished and downloaded all the same."""
    with Emulator(render=False) as krea, krea.aleph(virtual_time=True) as aleph:
        job = aleph.submit(VIDEO, "make it snow")
        krea.speak(GONE)
        saved = aleph.download(aleph.wait(job), tmp_path / "out.mp4")
        with pytest.raises(NotFoundError):
            aleph.submit(VIDEO, "make it snow")
    assert saved.size_bytes > 0
    assert krea.accepted == 1
