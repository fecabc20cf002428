"""The report of a folder as a file: which jobs are in it, and what it says of each."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clips import BLUE, RED, clip
from gallery import BEGIN, BLOCKED, ended, filled
from krea_aleph import InvalidRequestError, SQLiteStore, pages
from krea_aleph.cli import main
from krea_aleph.emulator import Emulator
from krea_aleph.notes import Note
from krea_aleph.pages._plot import Step, columns, plot, steps

DATA = re.compile(r'<script type="application/json" id="rows">(.*?)</script>', re.DOTALL)


def rows(page: Path) -> list[dict[str, Any]]:
    """Return the rows of a report."""
    found = DATA.search(page.read_text("utf-8"))
    assert found is not None
    listed: list[dict[str, Any]] = json.loads(found[1])["rows"]
    return listed


def by_name(page: Path) -> dict[str, dict[str, Any]]:
    """Return them by their names."""
    return {row["name"]: row for row in rows(page)}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder for results."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_a_row_for_each_job_that_went_there(out: Path, tmp_path: Path) -> None:
    """Done, failed, gone, under way and without a record: each is told as it is."""
    done = clip(out / "done.mp4", BLUE, seconds=0.1)
    clip(out / "sub.mp4", BLUE, seconds=0.1)
    before = clip(tmp_path / "in.mp4", RED, seconds=0.1)
    output = str(out / "x.mp4")
    open_ = replace(ended("lost", output=output), phase="unknown", job_id=None)
    known = [
        ended("done", done, video=str(before), prompt="snow", options={"seed": 7}),
        ended("gone", out / "gone.mp4"),
        ended("bad", output=str(out / "bad.mp4"), error=BLOCKED),
        ended("waiting", output=str(out / "soon.mp4"), status="processing", completed_at=None),
        open_,
        ended("elsewhere", tmp_path / "other.mp4"),
        ended("bucket", None, output="s3://films/a.mp4"),
    ]
    with filled(tmp_path / "s", known) as store:
        found = by_name(pages.report(out, store=store))
    assert {name: row["status"] for name, row in found.items()} == {
        "done.mp4": "done",
        "gone.mp4": "file is gone",
        "bad.mp4": "failed",
        "soon.mp4": "under way",
        "x.mp4": "uncertain",
        "sub.mp4": "no record",
    }
    assert found["done.mp4"] == {
        "name": "done.mp4",
        "status": "done",
        "prompt": "snow",
        "video": str(before),
        "options": "seed: 7",
        "account": "default",
        "job": "job-default-done",
        "intent": "done",
        "attempts": 1,
        "seconds": 170.0,
        "at": BEGIN.timestamp(),
        "before": "./../in.mp4",
        "after": "./done.mp4",
    }
    assert found["bad.mp4"]["error"] == "JobRejectedError"
    assert found["bad.mp4"]["charged"] == "no"


def test_who_has_given_up_has_ended_no_job(out: Path, tmp_path: Path) -> None:
    """A wait that came to its end says nothing of the job: it is under way, with advice."""
    error = {"class": "WaitTimeoutError", "hint": "Wait again.", "charged": "unknown"}
    facts: Any = {"status": "processing", "completed_at": None, "error": error}
    known = [ended("slow", output=str(out / "slow.mp4"), **facts)]
    with filled(tmp_path / "s", known) as store:
        (row,) = rows(pages.report(out, store=store))
    assert (row["status"], row["hint"]) == ("under way", "Wait again.")


def test_clips_on_the_network_are_named_only(out: Path, tmp_path: Path) -> None:
    """What was at an address is told as text; the page has no address to load it from."""
    with filled(tmp_path / "s", [ended("a", out / "a.mp4", video="https://e.com/a.mp4")]) as store:
        (row,) = rows(pages.report(out, store=store))
    assert row["video"] == "https://e.com/a.mp4"
    assert "before" not in row


def test_only_the_last_attempt_counts(out: Path, tmp_path: Path) -> None:
    """Tries of one item are one row, as the last of them has ended."""
    place = str(out / "a.mp4")
    known = [ended(f"i{tail}", output=place, error=BLOCKED) for tail in ("", "#2", "#10")]
    done = ended("i#11", clip(out / "a.mp4", BLUE, seconds=0.1), output=place)
    with filled(tmp_path / "s", [done, *known]) as store:
        (row,) = rows(pages.report(out, store=store))
    assert (row["intent"], row["status"], row["attempts"]) == ("i#11", "done", 4)


def test_causes_are_counted(out: Path, tmp_path: Path) -> None:
    """Failures of one kind are one line, with what it costs and what to do."""
    known = [ended(f"i{n}", output=str(out / f"{n}.mp4"), error=BLOCKED) for n in range(3)]
    other = {**BLOCKED, "class": "DownloadError", "charged": "yes", "hint": "Again <b>."}
    known += [ended("d", output=str(out / "d.mp4"), error=other)]
    with filled(tmp_path / "s", known) as store:
        text = pages.report(out, store=store).read_text("utf-8")
    table = re.findall(r"<tr><th scope=\"row\">.*?</tr>", text)
    cells = [
        [re.sub("<.*?>", "", cell) for cell in re.findall("<t[hd].*?</t[hd]>", line)]
        for line in table
    ]
    assert cells == [
        ["JobRejectedError", "3", "no", "pointless", "Change the prompt."],
        ["DownloadError", "1", "yes", "pointless", "Again &lt;b&gt;."],
    ]
    assert "4 in all, 4 failed" in text


def test_a_folder_without_a_store(out: Path) -> None:
    """Its videos are rows without a record; what is no video is none."""
    clip(out / "a.mp4", BLUE, seconds=0.1)
    (out / "notes.txt").write_text("x")
    (out / "b.mp4.part").write_bytes(b"x")
    assert [row["name"] for row in rows(pages.report(out))] == ["a.mp4"]


def test_only_files_are_videos(out: Path, tmp_path: Path) -> None:
    """A folder that is named so, and a link that leads nowhere, have no row."""
    clip(out / "a.mp4", BLUE, seconds=0.1)
    (out / "folder.mp4").mkdir()
    (out / "dead.mp4").symlink_to(tmp_path / "nowhere")
    assert [row["name"] for row in rows(pages.report(out))] == ["a.mp4"]


def test_what_cannot_be_looked_at_is_not_there(out: Path, tmp_path: Path) -> None:
    """Clips whose paths no system takes, and times that no clock has, spoil no report."""
    early, late = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"
    name = "a" * 300
    known = [
        ended("long", output=str(out / f"{name}.mp4"), video=f"/{name}.mp4"),
        ended("saved", out / f"{name}-2.mp4"),
        ended("null", output=str(out / "b.mp4"), video="/a\0.mp4"),
        ended("old", output=str(out / "c.mp4"), created_at=early, completed_at=late),
    ]
    with filled(tmp_path / "s", known) as store:
        found = by_name(pages.report(out, store=store))
    assert found[f"{name}-2.mp4"]["status"] == "file is gone"
    assert len(found) == 4
    assert not any("before" in row or "after" in row for row in found.values())
    assert "seconds" not in found["c.mp4"]


def test_what_cannot_work_is_refused(out: Path, tmp_path: Path) -> None:
    """No folder, or a page that somebody else has written: said, and nothing is touched."""
    for wrong in (tmp_path / "none", out / "file"):
        (out / "file").touch()
        with pytest.raises(InvalidRequestError, match="is no folder"):
            pages.report(wrong)
    with pytest.raises(InvalidRequestError, match="object has no method 'noted'"):
        pages.report(out, store=object())  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="is no path"):
        pages.report(5)  # type: ignore[arg-type]
    page = out / "report.html"
    page.write_text("mine")
    with pytest.raises(InvalidRequestError, match="exists and is no page of this library"):
        pages.report(out)
    assert page.read_text() == "mine"
    assert pages.report(out, exists="keep").read_text() == "mine"
    page.unlink()
    pages.report(out)
    assert "Report" in pages.report(out).read_text("utf-8")
    with pytest.raises(InvalidRequestError, match="exists"):
        pages.report(out, exists="error")
    page.unlink()
    page.mkdir()
    with pytest.raises(InvalidRequestError, match="Is a directory"):
        pages.report(out)


def test_words_of_strangers_cannot_leave_their_place(out: Path, tmp_path: Path) -> None:
    """Neither in HTML nor in the data is there markup, a line end of JavaScript, or a turn."""
    hostile = "</script><script>alert(1)</script><!--\u2028\u202e'\""
    error = {**BLOCKED, "class": hostile, "message": hostile, "hint": hostile}
    note = {"prompt": hostile, "video": hostile, "options": {hostile: hostile}, "error": error}
    with filled(tmp_path / "s", [ended(hostile, output=str(out / "a.mp4"), **note)]) as store:
        page = pages.report(out, store=store)
    text = page.read_text("utf-8")
    assert "<script>alert" not in text
    assert not {"\u2028", "\u202e"} & set(text)
    (row,) = rows(page)
    assert row["prompt"] == "</script><script>alert(1)</script><!--\\u2028\\u202e'\""


def test_jobs_under_way_are_counted() -> None:
    """The plot has the number at each change, and the most in each part of the time."""
    spans = [(0.0, 10.0), (5.0, 20.0), (5.0, 6.0)]
    assert steps(spans) == [Step(0, 1), Step(5, 3), Step(6, 2), Step(10, 1), Step(20, 0)]
    assert columns(steps(spans), 4) == [1, 3, 2, 1]
    assert "at most 3, from 1970-01-01 00:00:00 UTC" in plot(spans)
    assert plot([]) == ""
    assert "at most 1" in plot([(7.0, 7.0), (7.0, 8.0)])


def test_a_real_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`krea-aleph report DIR` finds what `krea-aleph batch` has written down by itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    Path("m.csv").write_text(
        "video,prompt\nhttps://example.com/a.mp4,snow\nhttps://example.com/a.mp4,rain\n"
    )
    with Emulator(render=False, job_seconds=0.01) as emulator:
        emulator.outcome(status="failed", error={"code": "nsfw", "message": "blocked"})
        server = {"base_url": emulator.base_url, "api_key": emulator.key}
        assert main(["batch", "m.csv", "--out", "out"], **server) == 3  # type: ignore[arg-type]
        capsys.readouterr()
        assert main(["report", "out", "--base-url", emulator.base_url]) == 0
        assert capsys.readouterr().out == "out/report.html\n"
    found = rows(Path("out/report.html"))
    assert sorted(row["status"] for row in found) == ["done", "failed"]
    assert sorted(row["prompt"] for row in found) == ["rain", "snow"]


def test_the_command_without_a_store(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was named has to be there, and is not made; without any there is a note."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert main(["report", str(out), "--store", str(tmp_path / "none")]) == 2
    assert "is no file" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert main(["report", str(out), "-o", str(tmp_path / "r.html")]) == 0
    told = capsys.readouterr()
    assert "no jobs are known" in told.err
    assert told.out.strip() == str(tmp_path / "r.html")
    with SQLiteStore(tmp_path / "s") as store:
        store.write(ended("a", out / "a.mp4"))
    assert main(["report", str(out), "--store", str(tmp_path / "s"), "--json"]) == 0
    assert Note().dump() == "{}"
    assert [row["intent"] for row in rows(out / "report.html")] == ["a"]
