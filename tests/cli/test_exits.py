"""Every exit code, reached by the command as a program of its own."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from krea_aleph import RetryPolicy, errors
from krea_aleph.cli import exits
from krea_aleph.emulator import Emulator, Fault

from .conftest import SCRIPT, URL, Krea, Start

RUN = ("run", URL, "snow", "-o", "out.mp4")


def test_0_done(program: Start) -> None:
    """Everything went well."""
    done = program(*RUN)
    assert (done.code, done.out) == (0, "out.mp4\n"), done.err


def test_2_usage(program: Start) -> None:
    """A mistake on the command line, in a setting, in the request: nothing is sent."""
    assert program("run", URL).code == 2
    assert program("list", KREA_API_KEY="").code == 2
    assert program(*RUN, "--ratio", "1:1").code == 2


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run in.mp4 snow", "--output is missing."),
        ("run in.mp4 -o out.mp4", "PROMPT is missing."),
        ("run in.mp4 snow -o", "-o needs a value."),
        ("contract difff", "not understood: 'difff'. A text with spaces in it needs quotes."),
        ("run in.mp4 snow --outptu out.mp4", "Did you mean --output instead of --outptu?"),
        ("list --limit many", "Invalid value for --limit"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_in_its_words(krea: Krea, line: str, told: str) -> None:
    """And not in those of whoever has programmed the command."""
    done = krea(*line.split())
    assert done.code == 2
    assert told in done.err, done.err


def test_hints_speak_of_commands(krea: Krea, clip: str) -> None:
    """Nobody at a prompt makes calls, opens binary files or has rows."""
    told = [
        krea("run", clip, "", "-o", "out.mp4").err,
        krea("run", "no.mp4", "snow", "-o", "out.mp4").err,
        krea("list", base_url="http://127.0.0.1:9", retry=RetryPolicy(attempts=1)).err,
        krea("get", "no-such-job").err,
    ]
    for fault in ({}, {"headers": {"retry-after": "7"}}):
        krea.emulator.fault(Fault(operation="list_jobs", status=429, times=None, **fault))
        told.append(krea("list", retry=RetryPolicy(attempts=1)).err)
        krea.emulator.reset()
    hints = [re.findall(r"^hint: +(.*)$", text, re.MULTILINE)[0] for text in told]
    assert hints == [
        "A video and a prompt are needed.",
        "Give a file that can be read.",
        "Check the network, the proxy and the base URL, then run the command again.",
        "Check the id, the account and the base URL.",
        "Run it again later.",
        "Run it again in 7 s, as the server asks.",
    ]


@pytest.mark.parametrize("key", ["ab\nc", "Bearer ab:c"])
def test_a_key_that_is_none_is_told_without_it(program: Start, key: str) -> None:
    """In words that fit wherever it came from, with what a key looks like."""
    done = program("list", KREA_API_KEY=key)
    assert done.code == 2
    assert "api_key" not in done.err
    assert "The key is the whole token, on one line" in done.err


def test_3_failed(program: Start, server: Emulator) -> None:
    """The job failed; the key was refused; nobody answers."""
    server.outcome(status="failed", error={"code": "oops", "message": "it broke"})
    assert program(*RUN).code == 3
    assert program("list", KREA_API_KEY="wrong:key").code == 3
    assert program("get", "some-job", KREA_BASE_URL="http://127.0.0.1:9").code == 3


def test_4_timeout(program: Start, server: Emulator) -> None:
    """The job still runs."""
    server.outcome(seconds=1000)
    assert program(*RUN, "--wait-timeout", "0.2").code == 4


def test_5_uncertain(program: Start, server: Emulator) -> None:
    """A job may or may not have been started."""
    server.fault(Fault(operation="create_aleph_job", drop="after"))
    assert program(*RUN).code == 5


def test_6_payment(program: Start, server: Emulator) -> None:
    """The balance is empty."""
    server.credits = 0
    assert program(*RUN).code == 6


def test_7_rejected(program: Start, server: Emulator) -> None:
    """Moderation has refused it."""
    server.outcome(status="failed", error={"code": "nsfw", "message": "blocked"})
    assert program(*RUN).code == 7


def test_130_interrupted(environment: dict[str, str], server: Emulator) -> None:
    """Ctrl-C ends it."""
    server.outcome(seconds=1000)
    with subprocess.Popen(
        [SCRIPT, *RUN], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "queued" in line)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130


def test_each_code_has_its_test_its_meaning_and_a_place_in_the_documentation() -> None:
    """No code is promised that nobody has seen."""
    numbers = {
        value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)
    }
    tested = {int(found) for found in re.findall(r"def test_(\d+)_", Path(__file__).read_text())}
    assert numbers == tested == set(exits.MEANINGS)


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.KreaError)
    ],
)
def test_every_error_has_a_code(kind: type[errors.KreaError]) -> None:
    """The table is total, and no error of ours counts as done."""
    assert exits.code_of(kind.__new__(kind)) in set(exits.MEANINGS) - {exits.DONE}


def test_without_the_extra_one_line_says_what_to_install() -> None:
    """Nobody who has not installed the extra gets a traceback."""
    code = (
        "import sys; sys.modules['cyclopts'] = None;"
        "from krea_aleph.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    for arguments in (["--help"], ["run"], []):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, check=False, text=True
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert "pip install 'krea-aleph[cli]'" in done.stderr


@pytest.mark.parametrize("command", ["krea_aleph.emulator", "krea_aleph emulator"])
def test_without_the_emulators_extra_one_line_says_what_to_install(command: str) -> None:
    """The same holds for the emulator, however it is started."""
    code = (
        "import sys, runpy; sys.modules['starlette'] = None; sys.argv = sys.argv[1:];"
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()], capture_output=True, check=False, text=True
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "pip install 'krea-aleph[emulator]'" in done.stderr
