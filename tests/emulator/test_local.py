"""The emulator as its users hold it: starting, configuring, clients, the fixture, the program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

import krea_aleph.testing
from krea_aleph.emulator import Emulator, Fault, VirtualClock
from krea_aleph.emulator.__main__ import main
from krea_aleph.errors import ConfigError, InvalidRequestError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("named", "options"),
    [
        ("job_seconds", {"job_seconds": -1}),
        ("job_seconds", {"job_seconds": float("nan")}),
        ("job_seconds", {"job_seconds": "long"}),
        ("concurrency", {"concurrency": 0}),
        ("backlog", {"backlog": -1}),
        ("cancel_refusal", {"cancel_refusal": 200}),
        ("stages", {"stages": {}}),
        ("stages", {"stages": {"queued": 0}}),
        ("sunset", {"sunset": "soon"}),
        ("dialect", {"dialect": "slang"}),
        ("gravity", {"quirks": {"gravity": False}}),
        ("contract", {"contract": "/no/such/file.json"}),
        ("port", {"port": 70_000}),
        ("listen", {"host": "203.0.113.1"}),
    ],
)
def test_bad_configuration(named: str, options: Any) -> None:
    """What makes no sense is refused by name when the emulator is made, and leaves nothing open."""
    with pytest.raises(ConfigError, match=named):
        Emulator(**options)


def test_taken_port(krea: Any) -> None:
    """A port that somebody else has is refused with the way out."""
    port = int(krea.emulator.base_url.rpartition(":")[2])
    with pytest.raises(ConfigError, match="another port"):
        Emulator(port=port)


def test_impossible_outcome(krea: Any) -> None:
    """An outcome that means nothing is refused by the name of its field."""
    for outcome in ({"status": "great"}, {"urls": "xml"}, {"outputs": 0}, {"seconds": -1}):
        with pytest.raises(InvalidRequestError) as caught:
            krea.emulator.outcome(**outcome)
        assert caught.value.field == next(iter(outcome))


def test_stop_before_start_and_twice() -> None:
    """An emulator can be stopped at any time, even one that never ran."""
    emulator = Emulator()
    emulator.stop()
    with Emulator() as emulator:
        emulator.stop()


def test_stop_cuts_connections() -> None:
    """Stopping does not wait for a call that stalls."""
    with Emulator(render=False) as emulator:
        emulator.fault(Fault(stall=float("inf")))
        with httpx.Client(base_url=emulator.base_url, trust_env=False) as http:
            request = http.build_request("GET", "/jobs")
            with anyio.from_thread.start_blocking_portal() as portal:
                answer = portal.start_task_soon(anyio.to_thread.run_sync, http.send, request)
                while not emulator.requests:
                    portal.call(anyio.lowlevel.checkpoint)
                emulator.stop()
                assert isinstance(answer.exception(10), httpx.TransportError)


def test_clock_of_answers(open_shop: Any) -> None:
    """The Date of answers and the timestamps of jobs follow the emulator's clock, skew included."""
    krea = open_shop(skew=3600)
    assert krea.http.get("/jobs").headers["date"] == "Fri, 15 Jan 2027 09:00:00 GMT"
    assert krea.submit()["created_at"] == "2027-01-15T09:00:00.000Z"


def test_public_url(open_shop: Any) -> None:
    """URLs in answers begin with the public address, where one is given."""
    krea = open_shop(public_url="http://krea-emulator:8000/")
    url = krea.upload().json()["image_url"]
    assert url.startswith("http://krea-emulator:8000/files/uploads/")
    assert krea.post(init_video=url).status_code == 200


def test_client_in_virtual_time(tmp_path: Path) -> None:
    """A client of the emulator restyles a file through a job of nearly two hours, at once."""
    clip = tmp_path / "in.mp4"
    clip.write_bytes(b"\x00\x00\x00\x18ftypisom and so on")
    with (
        Emulator(render=False, job_seconds=7000) as emulator,
        emulator.aleph(virtual_time=True) as aleph,
    ):
        saved = aleph.transform(clip, "make it snow", tmp_path / "out.mp4")
        assert saved.path.stat().st_size == 65_536
        assert isinstance(emulator.clock, VirtualClock)
        (job,) = emulator.jobs
        assert job.ended_at is not None
        assert job.ended_at - job.created_at == pytest.approx(7000)
        downloads = [seen for seen in emulator.requests if seen.operation == "download"]
        assert downloads
        assert all("authorization" not in seen.headers for seen in downloads)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_many_tasks_in_virtual_time(backend: str) -> None:
    """Thirty waits of one asynchronous client end at the right virtual time."""

    async def main() -> None:
        async with emulator.async_aleph(virtual_time=True) as aleph:

            async def restyle(number: int) -> None:
                job = await aleph.submit("https://example.com/in.mp4", f"take {number}")
                assert (await aleph.wait(job)).succeeded

            async with anyio.create_task_group() as group:
                for number in range(30):
                    group.start_soon(restyle, number)

    with Emulator(render=False, job_seconds=100, concurrency=10) as emulator:
        anyio.run(main, backend=backend)
        ends = sorted(job.ended_at - emulator.jobs[0].created_at for job in emulator.jobs)
    assert ends[0] == pytest.approx(100, abs=1)
    assert ends[-1] == pytest.approx(300, abs=5)


def test_clock_of_another_kind() -> None:
    """Virtual time is refused where the emulator was given another clock."""

    class Mine:
        pass

    with (
        Emulator(clock=Mine()) as emulator,  # type: ignore[arg-type]
        pytest.raises(ConfigError, match="VirtualClock"),
    ):
        emulator.aleph(virtual_time=True)


def test_lazy() -> None:
    """Importing the testing module or the plugin brings none of the extra's packages."""
    heavy = "starlette", "uvicorn", "jsonschema", "av", "PIL"
    program = (
        "import sys, krea_aleph.testing, krea_aleph.pytest_plugin\n"
        "krea_aleph.testing.VirtualClock, krea_aleph.testing.Fault\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_missing_extra() -> None:
    """Without the extra, the emulator says which one to install."""
    program = (
        "import sys\n"
        "sys.modules['starlette'] = None\n"
        "sys.modules['uvicorn'] = None\n"
        "from krea_aleph.emulator import Emulator\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "MissingExtraError" in done.stderr
    assert "krea-aleph[emulator]" in done.stderr


def test_names() -> None:
    """The public names can be imported, and others cannot."""
    for module in (krea_aleph.testing, krea_aleph.emulator):
        for name in module.__all__:
            assert getattr(module, name) is not None
        with pytest.raises(AttributeError, match="nothing"):
            _ = module.nothing


def run_tests(folder: Path, text: str) -> str:
    """Run tests with the plugin alone, and return what pytest says."""
    (folder / "test_it.py").write_text(text)
    options = ["--strict-markers", "-q", "-p", "krea_aleph.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(folder), "--rootdir", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    return done.stdout + done.stderr


def test_fixture(tmp_path: Path) -> None:
    """The pytest fixture gives an emulator with the options of the marker."""
    told = run_tests(
        tmp_path,
        "import pytest\n"
        "def test_plain(krea_emulator):\n"
        "    assert krea_emulator.concurrency == 8\n"
        "@pytest.mark.krea_emulator(concurrency=2)\n"
        "def test_marked(krea_emulator):\n"
        "    assert krea_emulator.concurrency == 2\n",
    )
    assert "2 passed" in told, told
    assert "warning" not in told


def test_fixture_that_is_held_wrongly(tmp_path: Path) -> None:
    """A misspelt option is answered with the nearest one, a fault that never happens is told."""
    told = run_tests(
        tmp_path,
        "import pytest\n"
        "from krea_aleph.testing import Fault\n"
        "def test_fault(krea_emulator):\n"
        "    krea_emulator.fault(Fault(operation='get_job', nth=3, status=500))\n"
        "@pytest.mark.krea_emulator(credit=1)\n"
        "def test_marked(krea_emulator):\n"
        "    pass\n",
    )
    assert "1 passed, 1 warning, 1 error" in told, told
    assert "KreaWarning: faults that never happened: call 3 of get_job\n" in told
    assert "the marker krea_emulator has no option 'credit'; did you mean 'credits'?" in told


def test_faults_that_have_happened(krea: Any) -> None:
    """Only those that hit no call are unused."""
    for operation in ("get_job", "list_jobs"):
        krea.emulator.fault(Fault(operation=operation, status=500))
    krea.http.get("/jobs")
    assert [fault.operation for fault in krea.emulator.unused_faults] == ["get_job"]


def test_program() -> None:
    """The program says where it is and with which key, logs its requests, and ends by Ctrl-C."""
    command = [sys.executable, "-m", "krea_aleph.emulator", "--port", "0", "--quirk", "delete-204"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        told = [program.stdout.readline().strip() for _ in range(4)]
        settings = dict(line.removeprefix("export ").split("=", 1) for line in told[1:3])
        headers = {"Authorization": f"Bearer {settings['KREA_API_KEY']}"}
        answer = httpx.get(f"{settings['KREA_BASE_URL']}/jobs", headers=headers, trust_env=False)
        program.send_signal(signal.SIGINT)
        _, log = program.communicate(timeout=20)
    assert answer.json() == {"items": [], "next_cursor": None}
    assert program.returncode == 0
    assert "GET /jobs -> 200" in log
    assert settings["KREA_API_KEY"] not in log


def test_program_with_bad_options(capsys: pytest.CaptureFixture[str]) -> None:
    """The program refuses what the emulator refuses, and lists the quirks it knows."""
    assert main(["--port", "0", "--quirk", "gravity"]) == 2
    assert "no quirk 'gravity'" in capsys.readouterr().err
    assert main(["--list-quirks"]) == 0
    assert "delete_204" in capsys.readouterr().out


def test_a_reader_of_the_list_who_has_enough() -> None:
    """`python -m krea_aleph.emulator --list-quirks | head -3` is quiet."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "krea_aleph.emulator", "--list-quirks"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        timeout=30,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_log_that_steers_no_terminal(krea: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever asks for a path cannot write on the screen of who watches the log."""
    with caplog.at_level("INFO", logger="krea_aleph.emulator"):
        krea.http.get("/jobs/%1B[2J%E2%80%AEa")
        krea.http.get("/jobs")  # the log comes after the answer
    (line,) = (text for text in caplog.messages if "/jobs/" in text)
    assert line == "GET /jobs/%1B%5B2J%E2%80%AEa -> 404"


def test_log_without_secrets(krea: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The log tells each request in a line, that it is an emulation, and never the key."""
    with caplog.at_level("INFO", logger="krea_aleph.emulator"):
        krea.finished()
    assert "POST /generate/video/runway/aleph -> 200" in caplog.text
    assert "An emulation" in caplog.text
    assert krea.emulator.key not in caplog.text


def test_records(krea: Any) -> None:
    """Requests are recorded with operation, query, headers, body, status and time."""
    krea.submit(prompt="snow", seed=3)
    krea.http.get("/jobs?limit=5")
    submit, look = krea.emulator.requests
    assert (submit.operation, submit.status, submit.json()["seed"]) == ("create_aleph_job", 200, 3)
    assert (look.method, look.path, look.query) == ("GET", "/jobs", "limit=5")
    assert look.headers["authorization"] == f"Bearer {krea.emulator.key}"
    assert submit.at == krea.emulator.clock.time()
    assert json.loads(submit.body) == submit.json()
