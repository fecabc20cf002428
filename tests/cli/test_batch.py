"""`batch`: a manifest, a folder, and what is said about each row."""

from pathlib import Path

import pytest

from krea_aleph.emulator import Fault

from .conftest import Krea


@pytest.fixture
def shots(clip: str) -> str:
    """The name of a manifest with three rows."""
    rows = "".join(f"{clip},{prompt},{prompt}.mp4\n" for prompt in ("snow", "rain", "night"))
    Path("shots.csv").write_text(f"video,prompt,output\n{rows}")
    return "shots.csv"


def test_every_row_gets_its_file(krea: Krea, shots: str) -> None:
    """The results are in the folder; their paths can be piped, and the last line counts them."""
    done = krea("batch", shots, "--out", "o", "--ordered")
    assert (done.code, done.out) == (0, "o/snow.mp4\no/rain.mp4\no/night.mp4\n")
    assert done.err.endswith("row 3: saved o/night.mp4, 65.5 kB\n3 done, 0 failed\n")
    assert {path.name for path in Path("o").iterdir()} == {"snow.mp4", "rain.mp4", "night.mp4"}


def test_the_same_batch_again_pays_for_nothing(krea: Krea, shots: str) -> None:
    """Only what is missing is done."""
    krea("batch", shots, "--out", "o")
    Path("o/rain.mp4").unlink()
    assert krea("batch", shots, "--out", "o").code == 0
    assert Path("o/rain.mp4").exists()
    assert krea.emulator.accepted == 3


def test_a_row_that_fails_stops_no_other(krea: Krea, shots: str) -> None:
    """The exit code says that something failed, the lines say what."""
    krea.emulator.outcome(status="failed", error={"code": "nsfw", "message": "blocked"})
    done = krea("batch", shots, "--out", "o")
    assert (done.code, len(done.out.splitlines())) == (3, 2)
    assert done.err.endswith("\n2 done, 1 failed\n")
    assert "was rejected by moderation: nsfw: blocked." in done.err


def test_a_row_is_named_as_people_count(krea: Krea, clip: str) -> None:
    """The first row is 1, and the line is that of the file."""
    Path("shots.csv").write_text(f"video,prompt,seed\n{clip},snow,1\n{clip},rain,seven\n")
    done = krea("batch", "shots.csv", "--out", "o", "--ordered")
    assert "row 2 (line 3) failed: seed: 'seven' is not a number." in done.err
    Path("shots.csv").write_text(f"video,prompt\nno.mp4,snow\n{clip},rain\n")
    done = krea("batch", "shots.csv", "--out", "o", "--ordered")
    assert "row 1 failed: video: " in done.err


def test_failures_that_scrolled_away_are_told_again(krea: Krea, clip: str) -> None:
    """Above the counts, the first twenty of them; those that still stand there are not repeated."""
    rows = f"{clip},snow,x\n" * 22
    Path("shots.csv").write_text(f"video,prompt,seed\n{rows}")
    done = krea("batch", "shots.csv", "--out", "o", "--ordered")
    assert done.err.count(" failed: ") == 22
    Path("shots.csv").write_text(f"video,prompt,seed\n{rows}{clip},snow,1\n")
    done = krea("batch", "shots.csv", "--out", "o", "--ordered")
    assert done.err.count(" failed: ") == 42
    assert done.err.endswith("and 2 more rows failed\n1 done, 22 failed\n")


def test_a_submit_without_an_answer_is_told_apart(krea: Krea, shots: str) -> None:
    """Exit code 5: somebody has to look before more is paid."""
    krea.emulator.fault(Fault(operation="create_aleph_job", drop="after"))
    assert krea("batch", shots, "--out", "o").code == 5


def test_an_empty_balance_ends_it(krea: Krea, shots: str) -> None:
    """Exit code 6, and nothing more is submitted."""
    krea.emulator.credits = 1
    done = krea("batch", shots, "--out", "o", "--max-inflight", "1")
    assert done.code == 6
    assert len(done.out.splitlines()) == 1
    assert done.err.endswith("1 done, 0 failed\n")
    assert krea.emulator.accepted == 1


def test_the_last_document_counts_also_where_the_balance_is_empty(krea: Krea, shots: str) -> None:
    """What stopped the batch stands before it, and the counts have the exit code."""
    krea.emulator.credits = 0
    last = krea("batch", shots, "--out", "o", "--json").documents[-2:]
    assert [one["type"] for one in last] == ["error", "batch"]
    assert last[0]["error"] == "InsufficientCreditsError"
    assert last[1]["exit_code"] == 6


def test_a_row_whose_result_is_not_saved_says_how_to_go_on(krea: Krea, shots: str) -> None:
    """The same command saves it, and pays nothing."""
    krea.emulator.fault(Fault(operation="download", status=404, times=2))
    command = ("batch", shots, "--out", "o", "--max-inflight", "1")
    done = krea(*command, "--json")
    (error,) = [one["error"] for one in done.documents if not one.get("ok", True)]
    assert error["go_on"] == [f"krea-aleph {' '.join(command)} --json"]
    assert krea(*command).code == 0
    assert krea.emulator.accepted == 3


def test_a_lost_submit_of_a_batch_is_told_of_while_it_may_arrive(krea: Krea) -> None:
    """A minute without a word looks like a program that hangs."""
    shots = "one.csv"
    Path(shots).write_text("video,prompt\nhttps://example.com/in.mp4,snow\n")
    krea.emulator.fault(Fault(operation="create_aleph_job", drop="after"))
    krea("batch", shots, "--out", "o", "--exclusive")
    again = krea("batch", shots, "--out", "o", "--exclusive")
    assert again.code == 0
    assert "a lost request may still arrive: looking in " in again.err


def test_a_job_of_a_batch_is_told_with_its_row(krea: Krea, shots: str) -> None:
    """Who reads the documents knows which row a job is of before that has ended."""
    documents = krea("batch", shots, "--out", "o", "--json").documents
    told = {one["job_id"]: one["index"] for one in documents if one["type"] == "update"}
    moved = {one["job_id"]: one["index"] for one in documents if one["type"] == "transfer"}
    ended = {one["job_id"]: one["index"] for one in documents if one["type"] == "outcome"}
    assert told == ended
    assert moved.pop(None) in told.values()  # the one clip goes up once
    assert moved == ended
    assert sorted(told.values()) == [0, 1, 2]


def test_limits_are_kept(krea: Krea, shots: str) -> None:
    """How many are paid for, and how many failures are too many."""
    assert krea("batch", shots, "--out", "o", "--max-submits", "1").err.endswith(
        "\n1 done, 0 failed\n"
    )
    assert krea.emulator.accepted == 1
    krea.emulator.outcome(status="failed", times=None)
    done = krea("batch", shots, "--out", "o", "--stop-after-failures", "1", "--max-inflight", "1")
    assert done.code == 3
    assert "the batch has stopped after 1 failure" in done.err


def test_outcomes_come_in_order_when_wanted(krea: Krea, shots: str) -> None:
    """`--ordered` tells rows as they stand in the manifest."""
    done = krea("batch", shots, "--out", "o", "--ordered", "--json")
    indexes = [one["index"] for one in done.documents if one["type"] == "outcome"]
    assert indexes == [0, 1, 2]


def test_a_manifest_may_come_from_a_pipe(
    krea: Krea, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """- is the standard input."""
    Path("in.csv").write_text(f"video,prompt\n{clip},snow\n")
    with Path("in.csv").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert krea("batch", "--out", "o", "-").code == 0
    assert krea("batch", "--out", "o", "in.csv", "--ordered").code == 0


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="nothing else is closed to everybody")
def test_a_folder_that_cannot_be_written_stops_a_batch_before_its_rows(
    krea: Krea, shots: str
) -> None:
    """It is said once, as what it is: a command line that cannot work."""
    for folder in ("/proc", "/proc/o"):
        done = krea("batch", shots, "--out", folder)
        assert (done.code, done.err.count("error: ")) == (2, 1)
        assert f"--out: nothing can be written to '{folder}': " in done.err
    assert not krea.emulator.requests
