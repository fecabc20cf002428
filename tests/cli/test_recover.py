"""Submits whose answers were lost, and what a human does about them."""

import subprocess
import sys
from pathlib import Path

import pytest

from krea_aleph import Record, SQLiteStore, SubmitUncertainError
from krea_aleph.emulator import Emulator, Fault

from .conftest import URL, Krea

LOST = Fault(operation="create_aleph_job", drop="after")


def lose(krea: Krea, *options: str) -> None:
    """Lose the answer to a submit."""
    krea.emulator.fault(LOST)
    assert krea("submit", URL, "snow", "--intent", "shot", *options).code == 5


def test_on_an_exclusive_account_the_job_is_found(krea: Krea) -> None:
    """Where every submit goes through the store, the job can be told."""
    lose(krea, "--exclusive")
    (job,) = krea.emulator.jobs
    done = krea("recover", "shot", "--exclusive")
    assert (done.code, done.out) == (0, f"{job.id}\n")
    assert "a lost request may still arrive: looking in " in done.err
    assert krea("submit", URL, "snow", "--intent", "shot", "--exclusive").out == f"{job.id}\n"
    assert krea.emulator.accepted == 1


def test_on_a_shared_account_a_human_decides(krea: Krea) -> None:
    """The jobs that it may be are shown; what somebody says of them is written down."""
    lose(krea)
    (job,) = krea.emulator.jobs
    done = krea("recover", "shot")
    assert (done.code, done.out) == (5, f"{job.id}\n")
    assert f"perhaps:   {job.id}" in done.err
    assert f"go on:     krea-aleph recover shot --adopt {job.id}\n" in done.err
    assert "If none is, it stays open" in done.err
    assert krea("recover", "shot", "--adopt", job.id).code == 0
    assert krea("submit", URL, "snow", "--intent", "shot").out == f"{job.id}\n"


def test_that_nothing_was_started_is_told(krea: Krea) -> None:
    """Where it is proved, submitting again is safe, and the message says so."""
    krea.emulator.fault(Fault(operation="create_aleph_job", drop="before"))
    assert krea("submit", URL, "snow", "--intent", "shot", "--exclusive").code == 5
    done = krea("recover", "shot", "--exclusive")
    assert (done.code, done.out) == (0, "")
    assert "no job was started: submitting again is safe" in done.err
    assert krea("submit", URL, "snow", "--intent", "shot", "--exclusive").code == 0


def test_without_a_name_all_that_are_open_are_looked_at(krea: Krea) -> None:
    """One command cleans up after a bad day."""
    lose(krea, "--exclusive")
    assert "shot: " in krea("recover", "--exclusive").err
    done = krea("recover", "--exclusive")
    assert (done.code, done.out) == (0, "")
    assert "Nothing is open" in done.err


def test_a_name_that_nobody_knows_is_refused(krea: Krea) -> None:
    """A misspelt name is asked about."""
    lose(krea)
    done = krea("recover", "shott")
    assert done.code == 2
    assert "did you mean 'shot'?" in done.err
    assert "recover without a name looks at all that are open" in done.err
    assert krea("recover", "--adopt", "some-job").code == 2


def test_a_job_that_nobody_knows_cannot_be_adopted(krea: Krea) -> None:
    """Nothing is written down, and no command is named that leads nowhere."""
    lose(krea)
    done = krea("recover", "shot", "--adopt", "nope")
    assert done.code == 2
    assert "--adopt: the server knows of no job 'nope'" in done.err
    assert "go on" not in done.err
    assert krea("submit", URL, "snow", "--intent", "shot").code == 5


def test_the_error_is_the_last_document(krea: Krea) -> None:
    """The jobs that it may be come before it."""
    lose(krea)
    documents = krea("recover", "shot", "--json").documents
    assert [one["type"] for one in documents[-2:]] == ["candidate", "error"]


def test_what_a_store_holds_is_enough_to_recover(krea: Krea, tmp_path: Path) -> None:
    """The error of a process that is gone can be made again from its record."""
    with SQLiteStore(tmp_path / "s.sqlite3") as store:
        options = {"store": store, "exclusive": True}
        with krea.emulator.aleph(virtual_time=True, **options) as aleph:
            krea.emulator.fault(LOST)
            with pytest.raises(SubmitUncertainError) as caught:
                aleph.submit(URL, "snow", intent="shot")
            record = store.read("default", "shot")
            assert record is not None
            again = record.uncertain()
            first = caught.value
            assert (again.intent, again.fingerprint) == ("shot", first.fingerprint)
            assert (again.account, again.mark) == (first.account, first.mark)
            (job,) = krea.emulator.jobs
            assert again.since.timestamp() <= job.created_at
            found = aleph.recover(again)
    assert found is not None
    assert found.id == job.id


def test_a_record_without_a_mark_can_be_told_of_too() -> None:
    """Nothing is known then but when it was written."""
    error = Record("default", "shot", "digest", updated_at=1_800_000_000.0).uncertain()
    assert (error.since.timestamp(), error.mark) == (1_800_000_000.0, None)


def test_a_process_that_was_killed_at_the_request_leaves_something_to_recover(
    server: Emulator, environment: dict[str, str]
) -> None:
    """After a crash between the request and its answer the store knows that one is open."""
    server.fault(Fault(operation="create_aleph_job", kill=True))
    code = (
        "import os; from krea_aleph.cli import main;"
        "main(['submit', 'https://example.com/in.mp4', 'snow', '--intent', 'shot', '--exclusive'],"
        "extra_headers={'x-debug-pid': str(os.getpid())})"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=60)
    assert done.returncode < 0
    script = [sys.executable, "-m", "krea_aleph", "recover", "--exclusive", "--settle", "0"]
    found = subprocess.run(
        script, env=environment, check=False, capture_output=True, text=True, timeout=60
    )
    assert (found.returncode, found.stdout) == (0, f"{server.jobs[0].id}\n"), found.stderr
