"""What became of enqueued jobs, and what to do about them, from a shell."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from krea_aleph.emulator import Emulator, Fault

from .conftest import PROGRAM, URL

DATABASE = "sqlite:///jobs.sqlite3"


@pytest.fixture(autouse=True)
def _database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KREA_DATABASE", DATABASE)


@contextmanager
def _worker(environment: dict[str, str], *arguments: str) -> Iterator[None]:
    """Have a worker work, and end it in order."""
    command = [sys.executable, str(PROGRAM), "worker", "-o", "out", *arguments]
    with subprocess.Popen(command, env={**environment, "KREA_DATABASE": DATABASE}) as worker:
        try:
            yield
        except BaseException:
            worker.kill()
            raise
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0


def test_what_became_of_a_job(krea: Any, server: Emulator, environment: dict[str, str]) -> None:
    """The path or the address of its result; or the error, its price, and the code of run."""
    server.outcome(status="failed", error={"code": "nsfw", "message": "blocked"})
    krea("enqueue", URL, "snow", "--intent", "bad")
    with _worker(environment):
        failed = krea("result", "bad", "--wait-timeout", "60")
        assert failed.code == 7, failed
        assert "blocked" in failed.err
        assert "charged:" in failed.err
        assert "go on:" not in failed.err  # Krea has ended it
        krea("enqueue", URL, "rain", "--intent", "good", "-o", "a.mp4")
        krea("enqueue", URL, "fog", "--intent", "unsaved")
        good = krea("result", "good")
        assert (good.code, good.out) == (0, f"{Path('out/a.mp4').absolute()}\n"), good
        assert krea("result", "good", "--json").documents[-1]["type"] == "saved"
        assert krea("result", "unsaved").out.startswith(server.base_url)
        assert krea("result", "unsaved", "--json").documents[-1]["type"] == "job"
    assert krea("result", "bad", "--json").documents[-1]["intent"] == "bad"
    named, table = krea("status", "--failed", "--json").documents
    assert (named["type"], named["intent"]) == ("failed", "bad")
    assert (named["error"]["error"], table["type"]) == ("JobRejectedError", "status")
    assert krea("status", "--failed").out.startswith("bad: ")


@pytest.mark.long
def test_a_lost_answer_is_adopted_and_tried_again(
    krea: Any, server: Emulator, environment: dict[str, str], program: Any
) -> None:
    """On a shared account somebody says which job it was; then it goes on, paid once."""
    server.fault(Fault(operation="create_aleph_job", drop="after"))
    krea("enqueue", URL, "snow", "--intent", "shot-1", "-o", "a.mp4")
    with _worker(environment, "--shared-account"):
        lost = krea("result", "shot-1", "--wait-timeout", "100")  # a minute is given to it
        assert lost.code == 5, lost
        assert "go on:     krea-aleph retry shot-1\n" in lost.err
        assert server.jobs[0].id in lost.err
        store = ("--store", "jobs.sqlite3.intents", "--account", "default")
        adopted = program("recover", "shot-1", "--adopt", server.jobs[0].id, *store)
        assert adopted.code == 0, adopted
        assert krea("retry", "shot-1").out == "shot-1\n"
        assert krea("result", "shot-1", "--wait-timeout", "60").code == 0
    assert server.accepted == 1


def test_what_was_in_the_way_is_seen_to(
    krea: Any, server: Emulator, environment: dict[str, str], clip: str
) -> None:
    """The error has the command that lets the job be tried again."""
    krea("enqueue", clip, "snow", "--shared-paths", "--intent", "shot-1")
    there = Path(clip).rename("elsewhere.mp4")
    with _worker(environment, "--shared-paths"):
        failed = krea("result", "shot-1", "--wait-timeout", "30")
        assert failed.code == 2, failed
        assert "cannot be read" in failed.err
        assert "go on:     krea-aleph retry shot-1\n" in failed.err
        there.rename(clip)
        assert krea("retry", "shot-1", "--json").documents[-1]["type"] == "retried"
        assert krea("result", "shot-1", "--wait-timeout", "30").code == 0
    assert server.accepted == 1


def test_an_account_is_woken_and_slots_are_changed(
    krea: Any, server: Emulator, environment: dict[str, str]
) -> None:
    """After topping up, in place of waiting for the next try."""
    server.credits = 0
    assert krea("slots", "3", "--json").documents[0]["error"] == "ConfigError"
    krea("enqueue", URL, "snow", "--intent", "shot-1")
    with _worker(environment):
        while "credit: " not in krea("status").out:
            time.sleep(0.05)
        server.credits = None
        assert krea("wake", "nobody", "--json").documents == [{"type": "woken", "count": 0}]
        assert "2 that are under way" in krea("wake").out
        assert krea("result", "shot-1", "--wait-timeout", "30").code == 0
        assert krea("slots", "3").out == "3 at once\n"
        assert krea("slots", "0").code == 2


def test_what_is_not_over(krea: Any) -> None:
    """Code 4, and the command that waits again for the same job."""
    krea("enqueue", URL, "snow", "--intent", "shot 1", "--name", "other")
    for patience in (("--now",), ("--wait-timeout", "0.1")):
        done = krea("result", "shot 1", *patience, "--name", "other")
        assert (done.code, done.out) == (4, ""), done
        assert "'shot 1' is not over yet; it goes on" in done.err
        assert "go on:     krea-aleph result 'shot 1' --name other\n" in done.err
    assert krea("retry", "shot 1", "--name", "other").code == 2
    assert "has not failed" in krea("retry", "shot 1", "--name", "other").err
    unknown = krea("result", "shot-2", "--json")
    assert unknown.code == 2
    assert "nobody has enqueued 'shot-2'" in unknown.documents[0]["message"]
