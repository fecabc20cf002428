"""The commands for jobs on the durable engine, as people and supervisors use them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from buckets import Bucket, gate_before, local_s3, use_environment
from krea_aleph import SQLiteStore
from krea_aleph.emulator import Emulator

URL = "https://example.com/in.mp4"
DATABASE = "sqlite:///jobs.sqlite3"
PROGRAM = Path(__file__).parents[1] / "support" / "cli_program.py"
MINE = """
from functools import partial
from krea_aleph import AsyncAleph
from krea_aleph.durable import Durable
app = Durable("sqlite:///mine.sqlite3", {"a": partial(AsyncAleph), "b": partial(AsyncAleph)})
other = 3
"""


def _status(krea: Any, *arguments: str) -> dict[str, Any]:
    done = krea("status", "--json", *arguments)
    assert done.code == 0, done
    found: dict[str, Any] = done.documents[0]
    return found


def _written_down(count: int) -> bool:
    """Whether so many jobs are known to the store of the workers."""
    with SQLiteStore("jobs.sqlite3.intents") as store:
        return len(store.find("default", ["accepted"])) == count


def test_a_worker_and_somebody_who_enqueues(
    krea: Any, server: Emulator, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enqueued before the worker is there, killed once, ended in order: the result is saved."""
    monkeypatch.setenv("KREA_DATABASE", DATABASE)
    first = krea("enqueue", URL, "snow", "-o", "a.mp4", "--intent", "shot-1", "--ratio", "960:960")
    assert (first.code, first.out) == (0, "shot-1\n"), first
    assert krea("enqueue", URL, "rain", "--json").documents[0]["type"] == "enqueued"
    assert "default  2        0" in krea("status").out
    command = [sys.executable, str(PROGRAM), "worker", "-o", "out"]
    environment = {**environment, "KREA_DATABASE": DATABASE}
    with subprocess.Popen(command, env=environment) as worker:
        while not _written_down(2):  # or else the next worker would wait a minute for what is lost
            time.sleep(0.05)
        worker.kill()
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as worker:
        while _status(krea)["accounts"][0]["succeeded"] < 2:
            assert worker.poll() is None
            time.sleep(0.05)
        assert Path("out/a.mp4").exists()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
        assert worker.stderr is not None
        assert "working; Ctrl-C ends it in order" in worker.stderr.read()
    assert server.accepted == 2
    assert krea("rescue").out == "nothing\n"
    assert krea("rescue", "local", "--json").documents == [{"type": "rescued", "intents": []}]


def test_what_a_worker_says(
    krea: Any, server: Emulator, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line for each job that is done or has failed, and for each account that rests."""
    monkeypatch.setenv("KREA_DATABASE", DATABASE)
    server.outcome(status="failed", error={"code": "nsfw", "message": "blocked \33[31m"})
    krea("enqueue", URL, "snow", "--intent", "bad")
    krea("enqueue", URL, "snow", "--intent", "alien", "--account", "nobody")
    command = [sys.executable, str(PROGRAM), "worker", "-o", "out"]
    environment = {**environment, "KREA_DATABASE": DATABASE}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as worker:
        while not (accounts := _status(krea)["accounts"])[0]["failed"] or not accounts[1]["rests"]:
            time.sleep(0.05)
        alone = krea("enqueue", URL, "snow", "--intent", "alien", "--account", "nobody")
        assert "no worker that runs has the account 'nobody'; jobs wait for one" in alone.err
        noted = krea("enqueue", URL, "rain", "--intent", "good", "-o", "a.mp4")
        assert noted.err == ""
        while not _status(krea)["accounts"][0]["succeeded"]:
            time.sleep(0.05)
        second = [*command, "--executor-id", "second"]
        refused = subprocess.run(
            second, env=environment, capture_output=True, text=True, check=False
        )
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
        assert worker.stderr is not None
        told = worker.stderr.read()
    assert told.startswith("working; Ctrl-C ends it in order\n")
    assert "'bad' has failed: " in told
    assert "\33" not in told
    assert f"'good' is done: {Path('out/a.mp4').absolute()}\n" in told
    assert "account 'nobody' rests (account): account: this worker knows no 'nobody'" in told
    assert "It is tried again in 60 s, or when it is woken." in told
    assert refused.returncode == 2
    assert "working" not in refused.stderr


def test_a_worker_without_a_key(program: Any) -> None:
    """It does not begin, in the words of every other command."""
    done = program("worker", "--database", DATABASE, KREA_API_KEY="")
    assert done.code == 2
    assert "no API key: KREA_API_KEY is not set" in done.err
    assert "working" not in done.err


def test_results_in_a_bucket(
    krea: Any, server: Emulator, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose folder is in a bucket puts them there, and makes no folder named s3:."""
    with local_s3() as port, gate_before(port) as gate:
        bucket = Bucket("results-of-workers", gate)
        use_environment(monkeypatch, bucket)
        done = krea("enqueue", URL, "snow", "-o", "a.mp4", "--database", DATABASE)
        assert done.code == 0, done
        command = [sys.executable, str(PROGRAM), "worker", "-o", f"{bucket.url}/restyled"]
        environment = {**environment, **os.environ, "KREA_DATABASE": DATABASE}
        with subprocess.Popen(command, env=environment) as worker:
            while not _status(krea, "--database", DATABASE)["accounts"][0]["succeeded"]:
                assert worker.poll() is None
                time.sleep(0.05)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0
        assert bucket.keys == ["restyled/a.mp4"]
    assert server.accepted == 1
    assert not Path("s3:").exists()


def test_a_program_of_ones_own(krea: Any, tmp_path: Path) -> None:
    """With --app the accounts are those of a program; it must be there, and a Durable."""
    (tmp_path / "mine_app.py").write_text(MINE)
    app = ("--app", "mine_app:app")
    assert krea("enqueue", URL, "snow", "--account", "b", *app).code == 0
    accounts = {row["account"]: row["waiting"] for row in _status(krea, *app)["accounts"]}
    assert accounts == {"a": 0, "b": 1}
    for wrong, words in (
        (("--app", "mine_app"), "is no MODULE:NAME"),
        (("--app", "mine_app:other"), "is no krea_aleph.durable.Durable"),
        (("--app", "mine_app:missing"), "cannot be had"),
        (("--app", "nowhere:app"), "cannot be had"),
        ((*app, "--database", DATABASE), "leave --database out"),
        ((*app, "--name", "other"), "leave --name out"),
        ((), "where are the jobs?"),
        (("--database", "mysql://x"), "neither sqlite nor postgresql"),
        (("--database", DATABASE, "--name", "My App"), "the engine refuses"),
    ):
        done = krea("status", *wrong)
        assert done.code == 2, done
        assert words in " ".join(done.err.split())


def test_what_a_program_says_itself(
    krea: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --app no option is taken and then left out of account; the environment may have some."""
    (tmp_path / "mine_too.py").write_text(MINE)
    app = ("--app", "mine_too:app")
    for option in (
        ("-o", "there"),
        ("--slots", "3"),
        ("--executor-id", "w"),
        ("--api-key-file", "key"),
        ("--shared-paths",),
        ("--shared-account",),
        ("--account", "a"),
        ("--base-url", "https://example.com"),
        ("--trusted-host", "example.com"),
    ):
        done = krea("worker", *app, *option)
        assert done.code == 2, done
        assert "--app: it says that itself" in done.err
        name = {"-o": "--output-dir"}.get(option[0], option[0])
        assert f"leave {name} out" in " ".join(done.err.split())
    assert "leave --shared-paths out" in krea("enqueue", URL, "snow", *app, "--shared-paths").err
    monkeypatch.setenv("KREA_EXECUTOR_ID", "w")
    monkeypatch.setenv("KREA_DATABASE", DATABASE)
    assert krea("enqueue", URL, "snow", *app, "--account", "a").code == 0


def test_a_database_that_nobody_has_made(krea: Any, tmp_path: Path) -> None:
    """Looking for jobs in the wrong place is told, and leaves nothing there."""
    for command in (("status",), ("rescue",), ("rescue", "w"), ("wake",), ("slots", "3")):
        done = krea(*command, "--database", DATABASE)
        assert done.code == 2, done
        assert "there is no file" in done.err
    assert "nobody has enqueued 'x'" in krea("result", "x", "--database", DATABASE).err
    assert not list(tmp_path.glob("jobs*"))
    done = krea("enqueue", URL, "snow", "--database", "sqlite:///no/jobs.sqlite3")
    assert done.code == 2, done
    assert "there is no folder" in done.err
    krea("enqueue", URL, "snow", "--database", DATABASE)
    done = krea("rescue", "w", "--database", DATABASE)
    assert done.code == 2, done
    assert "there is no worker 'w'" in done.err


def test_what_cannot_be_enqueued(krea: Any, clip: str) -> None:
    """It is refused like a submit, and files only where every process sees them."""
    for arguments, words in (
        ((clip, "snow"), "is a path on this machine"),
        ((URL, "x" * 1001), "prompt"),
        ((URL, "snow", "-o", "../a.mp4"), "no name inside"),
    ):
        done = krea("enqueue", *arguments, "--database", DATABASE)
        assert done.code == 2, done
        assert words in " ".join(done.err.split())
    done = krea("enqueue", clip, "snow", "--shared-paths", "--database", DATABASE)
    assert done.code == 0, done
    failed = json.loads(
        krea("status", "--database", "postgresql://x/y?host=/nowhere", "--json").out
    )
    assert (failed["error"], failed["exit_code"]) == ("StoreError", 3)
    assert os.path.exists("jobs.sqlite3")  # noqa: PTH110 - nothing else is asked of it


def test_a_manifest_is_enqueued(krea: Any, tmp_path: Path) -> None:
    """Each row's name, what is wrong with others, and the counts; again, all are there already."""
    rows = tmp_path / "clips.csv"
    rows.write_text(
        f"video,prompt,intent,output,scene\n{URL},snow,a,a.mp4,1\n{URL},rain,b,b.mp4,2\n"
        f"in.mp4,fog,c,c.mp4,3\n{URL},{'x' * 1001},d,d.mp4,4\n"
    )
    command = ("enqueue", "-m", str(rows), "--passthrough", "scene", "--database", DATABASE)
    done = krea(*command)
    assert (done.code, done.out) == (3, "a\nb\n"), done
    assert "row 3 failed: video: " in " ".join(done.err.split())
    assert "row 4 (line 5) failed" in " ".join(done.err.split())
    assert "2 enqueued, 0 were there already, 2 failed" in done.err
    told = krea(*command, "--json").documents
    assert told[0] == {"type": "enqueued", "intent": "a", "index": 0, "new": False}
    assert [document["type"] for document in told] == ["enqueued"] * 2 + ["outcome"] * 2 + [
        "manifest"
    ]
    counts = {"type": "manifest", "new": 0, "known": 2, "failed": 2, "exit_code": 3}
    assert told[-1] == counts
    assert _status(krea, "--database", DATABASE)["accounts"][0]["waiting"] == 2


def test_a_manifest_or_a_clip(krea: Any, tmp_path: Path) -> None:
    """One of both is needed, and both cannot be."""
    (tmp_path / "clips.csv").write_text(f"video,prompt\n{URL},snow\n")
    for arguments, words in (
        ((), "Name a VIDEO and a PROMPT, or a --manifest"),
        ((URL,), "Name a VIDEO and a PROMPT, or a --manifest"),
        ((URL, "-m", "clips.csv"), "leave video out"),
        (("-m", "clips.csv", "-o", "a.mp4", "--seed", "7"), "leave output, seed out"),
        (("-m", "nowhere.csv"), "nowhere.csv"),
    ):
        done = krea("enqueue", *arguments, "--database", DATABASE)
        assert done.code == 2, done
        assert words in " ".join(done.err.split())
