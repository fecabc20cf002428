"""How far transfers are: told to whoever wants to know, and to nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from colours import CLIP, OpenClient
from krea_aleph import Progress
from krea_aleph.emulator import Emulator, Fault

URL = "https://example.com/in.mp4"
OUTPUT = 65_536


def test_an_upload_is_told_from_its_beginning_to_its_end(
    open_client: OpenClient, clip: Path
) -> None:
    """The first word is that nothing is through, the last that everything is."""
    told: list[Progress] = []
    open_client(on_progress=told.append).upload(clip)
    assert {one.direction for one in told} == {"upload"}
    assert told[0].done == 0
    assert told[-1].done == told[-1].total
    assert len(CLIP) < (told[-1].total or 0) < len(CLIP) + 1000


def test_a_download_is_told_with_its_job(
    open_client: OpenClient, emulator: Emulator, tmp_path: Path
) -> None:
    """Of a result the whole size is known from the first answer on."""
    told: list[Progress] = []
    saved = open_client(on_progress=told.append).transform(URL, "snow", tmp_path / "out.mp4")
    assert told[0] == Progress("download", 0, OUTPUT, saved.job.id)
    assert told[-1] == Progress("download", OUTPUT, OUTPUT, saved.job.id)
    assert emulator.accepted == 1


def test_what_an_earlier_try_has_brought_counts(
    open_client: OpenClient, emulator: Emulator, tmp_path: Path
) -> None:
    """A download that broke off goes on from where it was."""
    told: list[Progress] = []
    emulator.fault(Fault(operation="download", cut=30_000))
    open_client(on_progress=told.append).transform(URL, "snow", tmp_path / "out.mp4")
    assert [one.done for one in told if one.done in {0, 30_000, OUTPUT}] == [0, 30_000, OUTPUT]


def test_an_answer_that_is_no_result_is_not_told(
    open_client: OpenClient, emulator: Emulator, tmp_path: Path
) -> None:
    """A page that says 503 is no progress."""
    told: list[Progress] = []
    emulator.fault(Fault(operation="download", status=503, body="x" * 500))
    open_client(on_progress=told.append).transform(URL, "snow", tmp_path / "out.mp4")
    assert {one.total for one in told} == {OUTPUT}


def test_it_is_told_now_and_then(
    open_client: OpenClient, emulator: Emulator, tmp_path: Path
) -> None:
    """However many pieces there are, nobody is told more than ten times a second."""
    told: list[Progress] = []
    emulator.fault(Fault(operation="download", pace=100))
    client = open_client(on_progress=told.append)
    client.transform(URL, "snow", tmp_path / "out.mp4")  # time stands still meanwhile
    assert [one.done for one in told] == [0, OUTPUT]


def test_a_listener_that_raises_breaks_nothing(
    open_client: OpenClient, clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What it raises goes to the log, and the job is finished."""

    def fail(_: Progress) -> None:
        raise RuntimeError("oops")

    saved: Any = open_client(on_progress=fail).transform(clip, "snow", tmp_path / "out.mp4")
    assert saved.size_bytes == OUTPUT
    assert "on_progress raised; the job is not affected" in caplog.text


def test_of_a_client_it_can_be_told_where_it_speaks_to(
    open_client: OpenClient, emulator: Emulator
) -> None:
    """The address, and the proxy on the way without its password."""
    plain = open_client(trust_env=False)
    assert (plain.base_url, plain.proxy) == (emulator.base_url, None)
    proxied = open_client(proxy="http://user:secret@127.0.0.1:3128")
    assert proxied.proxy == "http://127.0.0.1:3128"
