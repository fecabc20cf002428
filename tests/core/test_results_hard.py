"""Downloads that go wrong in ways that no honest host has: nothing broken is ever delivered."""

from __future__ import annotations

import gc
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from krea_aleph._results import download, transform
from krea_aleph._steps import Fetch
from krea_aleph.errors import DownloadError, InvalidRequestError
from krea_aleph.models import Job, Output, Saved

from .transcript import (
    CLIP,
    CLIP_URL,
    JOB_ID,
    Host,
    Interruption,
    Served,
    Stage,
    completed,
    configured,
    cut_off,
)

if TYPE_CHECKING:
    from pathlib import Path

    from krea_aleph._steps import Step, Steps

JOB = Job(JOB_ID, "completed", outputs=(Output(CLIP_URL),))
WHOLE = Served(200, {"content-length": str(len(CLIP))}, (CLIP,))
FIRST = Served(206, {"content-range": f"bytes 0-49/{len(CLIP)}"}, (CLIP[:50],))


def saving(folder: Path, job: Job | str = JOB) -> Steps[Saved]:
    """Begin to save a job's result."""
    return download(configured(), job, folder / "out.mp4", exists="error")


@pytest.mark.parametrize(
    ("job", "field"),
    [
        (Job("../pwn", "completed", outputs=(Output(CLIP_URL),)), "job"),
        (Job(JOB_ID, "completed", "somebody", outputs=(Output(CLIP_URL),)), "job"),
        ("../pwn", "job"),
    ],
    ids=["a path", "another account's", "only an id"],
)
def test_jobs_that_are_not_ours(job: Job | str, field: str, tmp_path: Path) -> None:
    """A job that we could not ask about is not downloaded either, finished or not."""
    stage = Stage()
    with pytest.raises(InvalidRequestError) as caught:
        stage.play(download(configured(), job, tmp_path, exists="replace"))
    assert caught.value.field == field
    assert (stage.fetches, stage.sends, list(tmp_path.iterdir())) == ([], [], [])


@pytest.mark.parametrize("exists", ["error", "replace", "keep"])
def test_a_bad_timeout_is_found_before_anything_is_paid(exists: str, tmp_path: Path) -> None:
    """A timeout that no wait would take is refused first, even before files are looked at."""

    def ask() -> Any:
        raise AssertionError

    stage = Stage()
    with pytest.raises(InvalidRequestError, match="wait_timeout"):
        stage.play(
            transform(
                configured(),
                ask,
                tmp_path / "out.mp4",
                exists=exists,  # type: ignore[arg-type]
                wait_timeout=-1,
                webhook_url=None,
            )
        )
    assert stage.sends == []


@pytest.mark.parametrize(
    "odd",
    [
        FIRST,
        Served(200, {"content-encoding": "gzip"}, (b"\x1f\x8b",)),
        Served(204),
        Served(202),
    ],
    ids=["unasked range", "gzip", "no content", "not yet"],
)
@pytest.mark.parametrize("before", [None, Served(200, {}, (CLIP[:50],), cut_off())])
def test_what_is_no_file_is_never_delivered(
    odd: Served, before: Host | None, tmp_path: Path
) -> None:
    """A success that is no whole file is a failed try; when it stays so, nothing is saved."""
    (tmp_path / "out.mp4.part").write_bytes(b"left behind")
    hosts = [] if before is None else [before]
    saved = Stage(hosts=[*hosts, odd, WHOLE]).play(saving(tmp_path))
    assert saved.path.read_bytes() == CLIP
    saved.path.unlink()
    with pytest.raises(DownloadError) as caught:
        Stage(hosts=[*hosts, *[odd] * 4]).play(saving(tmp_path))
    assert (caught.value.job_id, caught.value.charged) == (JOB_ID, "yes")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("location", ["http://[::1", "//[x]/o.mp4", "https://gen.example:x/"])
def test_redirects_to_what_is_no_address(location: str, tmp_path: Path) -> None:
    """A Location that cannot be read is a DownloadError that knows the job."""
    stage = Stage(hosts=[Served(302, {"location": location})])
    with pytest.raises(DownloadError) as caught:
        stage.play(saving(tmp_path))
    assert caught.value.job_id == JOB_ID
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_interruption_leaves_nothing_behind(kind: type[BaseException], tmp_path: Path) -> None:
    """Wherever a download is interrupted, no file is left open and no .part is left."""
    for number in count(1):
        left = number

        def reached(_: Step) -> bool:
            nonlocal left
            left -= 1
            return left == 0

        hosts = [Served(200, {"content-length": "9"}, (CLIP[:5],), cut_off()), WHOLE]
        stage = Stage(completed(), hosts=hosts, interruption=Interruption(kind(), reached))
        with suppress(kind):
            stage.play(saving(tmp_path, JOB_ID))
        gc.collect()  # a file that was left open would be a ResourceWarning
        found = [path.name for path in tmp_path.iterdir()]
        assert found in ([], ["out.mp4"])
        (tmp_path / "out.mp4").unlink(missing_ok=True)
        if left > 0:
            break
    assert number > 10


def test_a_download_that_is_closed(tmp_path: Path) -> None:
    """An operation that is closed in the middle cleans up on the spot."""
    operation = Stage().until(saving(tmp_path), Fetch)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4.part"]
    operation.close()
    assert list(tmp_path.iterdir()) == []
