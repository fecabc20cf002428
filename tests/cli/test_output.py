"""What is written where: pipes, terminals, consoles that do not know every letter."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from krea_aleph.cli import words
from krea_aleph.cli.commands import joined
from krea_aleph.cli.output import Lines
from krea_aleph.emulator import Emulator, Fault

from .conftest import PROGRAM, URL, Krea, Start

HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\u202eegap\n"


def control_characters(text: str) -> set[str]:
    """Return what could steer a terminal."""
    return {sign for sign in text if not sign.isprintable() and sign not in "\n\t"}


@pytest.mark.parametrize(
    "variables",
    [{}, {"FORCE_COLOR": "1"}, pytest.param({"TERM": "xterm"}, marks=pytest.mark.long)],
)
def test_what_is_piped_has_no_control_characters(
    program: Start, server: Emulator, variables: dict[str, str]
) -> None:
    """A log file shows words, whatever the server says."""
    server.outcome(status="failed", error={"code": HOSTILE, "message": HOSTILE})
    done = program("run", URL, "snow", "-o", "out.mp4", **variables)
    assert done.code == 3
    assert not control_characters(done.out + done.err)


def test_a_command_to_copy_steers_no_terminal_and_means_the_same(
    program: Start, server: Emulator
) -> None:
    """A prompt that somebody else wrote stands in the command that goes on, spelt out."""
    server.outcome(status="failed", error={"code": "oops", "message": "out of memory"})
    prompt = "it's \x1b[2J\u202e\x9b a\\b\n\u96ea"
    done = program("run", URL, prompt, "-o", "out.mp4")
    assert done.code == 3
    assert not control_characters(done.err)
    (line,) = (line for line in done.err.splitlines() if line.startswith("go on: "))
    command = line.removeprefix("go on:").strip().removeprefix("krea-aleph ")
    words = subprocess.check_output(["/bin/bash", "-c", f"printf '%s\\0' {command}"])
    assert words.decode().split("\0")[:3] == ["run", URL, prompt]


def test_a_command_that_reads_the_key_from_stdin_says_so(
    krea: Krea, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who copies it would else sit before a silent prompt."""
    krea.emulator.outcome(seconds=1e6)
    monkeypatch.setattr("sys.stdin", io.StringIO(krea.emulator.key))
    stdin = ("--api-key-file", "-")
    done = krea("run", URL, "snow", "-o", "o.mp4", "--wait-timeout", "1", *stdin)
    assert done.err.endswith(
        " --api-key-file -\nstdin:     the key is read from the standard input again\n"
    )


def test_a_name_that_is_no_text_can_be_copied_too() -> None:
    """Bytes of a file's name that are no letters come back as they were."""
    line = joined(["\udcff.mp4", "a b"])
    assert line.isprintable()
    words = subprocess.check_output(["/bin/bash", "-c", f"printf '%s\\0' {line}"])
    assert words == b"\xff.mp4\0a b\0"


def test_what_a_terminal_shows_as_a_result_does_not_steer_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path is one line, a document stays one, and what is piped is as it is."""
    path, body = f"{HOSTILE}.mp4", json.dumps({"prompt": "\u202e\x7f\u96ea"}, ensure_ascii=False)
    Lines().result({"path": path}, path)
    assert capsys.readouterr().out == f"{path}\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    Lines().result({"path": path}, path)
    Lines().result({"type": "checked"}, body)
    shown, document = capsys.readouterr().out.splitlines()
    assert not control_characters(shown + document)
    assert json.loads(document) == json.loads(body)
    assert "\u96ea" in document


def test_results_go_to_stdout_and_everything_else_to_stderr(krea: Krea, clip: str) -> None:
    """What is captured by a shell is the result alone."""
    done = krea("run", clip, "snow", "-o", "out.mp4")
    assert done.out == "out.mp4\n"
    assert len(done.err.splitlines()) > 3


def test_a_reader_who_has_enough_ends_nothing_badly(
    server: Emulator, environment: dict[str, str]
) -> None:
    """A pipe that was closed is no error, and costs no paid job."""
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), "run", URL, "snow", "-o", "out.mp4", "--json"],
        env=environment,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(write)
        os.read(read, 1)
        os.close(read)
        _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (0, "")
    assert Path("out.mp4").exists()
    assert server.accepted == 1


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["run", "--help"]])
def test_a_closed_pipe_is_no_traceback(
    environment: dict[str, str], arguments: list[str], server: Emulator
) -> None:
    """`krea-aleph ... | head` is quiet."""
    with server.aleph() as aleph:
        aleph.submit(URL, "snow")
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "krea_aleph", *arguments],
        env=environment,
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        timeout=30,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "encoding", ["ascii", "cp1252", pytest.param("cp437", marks=pytest.mark.long)]
)
def test_a_console_that_lacks_letters_shows_others(
    program: Start, clip: str, encoding: str
) -> None:
    """Names and words that a console cannot show are spelt out."""
    name = "n\u00e4chtlich-\u96ea.mp4"
    Path(clip).rename(name)
    done = program("run", name, "snow", "-o", name, PYTHONIOENCODING=encoding)
    assert done.code == 2
    assert "exists" in done.err
    page = program("run", "--help", PYTHONIOENCODING=encoding)
    assert page.code == 0, page.err
    if encoding == "ascii":
        assert page.out.isascii()


def test_the_key_is_nowhere(program: Start, server: Emulator, clip: str) -> None:
    """Not in results, not in errors, not in the log at its most talkative."""
    server.fault(Fault(operation="get_job", status=500, body={"error": server.key}))
    for arguments in (
        ("run", clip, "snow", "-o", "out.mp4", "--verbose"),
        ("doctor",),
        ("list", "--json"),
        ("run", clip, "snow", "-o", "x.mp4", "--dry-run"),
    ):
        done = program(*arguments)
        assert done.code == 0, done.err
        assert server.key not in done.out + done.err
        assert server.key.partition(":")[2] not in done.out + done.err


def test_verbose_prints_the_log(krea: Krea) -> None:
    """Who wants to know more sees each request."""
    assert "operation=list_jobs" in krea("list", "--verbose").err
    assert "operation=list_jobs" not in krea("list").err


def test_a_warning_is_a_line_and_stops_nothing(krea: Krea) -> None:
    """What may go wrong is said once, and not as Python says it."""
    done = krea("submit", URL, "snow", "--ratio", "1:1", "--checks", "warn", "--dry-run")
    assert done.code == 0
    assert done.err.count("warning: ") == 1
    assert ".py" not in done.err


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.4, "0 s"), (59.4, "59 s"), (60, "1:00"), (169, "2:49"), (3723, "1:02:03"), (-1, "0 s")],
)
def test_times_read_as_people_say_them(value: float, told: str) -> None:
    """Seconds, minutes, hours."""
    assert words.seconds(value) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (250_000, "250 kB"), (75e6, "75.0 MB"),
     (2.5e9, "2.5 GB"), (1e13, "10000.0 GB")],
)  # fmt: skip
def test_sizes_read_as_the_limits_are_given(value: float, told: str) -> None:
    """Thousands, not 1024s: 75 MB is 75,000,000 bytes."""
    assert words.size(value) == told


def test_a_stream_that_is_closed_is_taken_for_gone() -> None:
    """Nothing is raised at whoever writes to it."""
    from krea_aleph.cli.output import Stream  # noqa: PLC0415 - one test's own

    stream = Stream(io.StringIO())
    stream.stream.close()
    assert not stream.terminal
    stream.line("words")
    assert stream.gone
