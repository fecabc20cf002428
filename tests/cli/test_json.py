"""`--json`: documents on the standard output, whatever happens, and nothing beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from krea_aleph.emulator import Fault

from .conftest import URL, Krea

RUN = ("run", URL, "make it snow", "-o", "out.mp4")


def nothing(_: Krea) -> None:
    """Let everything go well."""


def failed(krea: Krea) -> None:
    """Let the job fail."""
    krea.emulator.outcome(status="failed", error={"code": "oops", "message": "it broke"})


def rejected(krea: Krea) -> None:
    """Let moderation refuse it."""
    krea.emulator.outcome(status="failed", error={"code": "nsfw", "message": "blocked"})


def empty(krea: Krea) -> None:
    """Let it complete without any output."""
    krea.emulator.outcome(urls="none")


def endless(krea: Krea) -> None:
    """Let it take very long."""
    krea.emulator.outcome(seconds=1e6)


def lost(krea: Krea) -> None:
    """Lose the answer to the request that pays."""
    krea.emulator.fault(Fault(operation="create_aleph_job", drop="after"))


def poor(krea: Krea) -> None:
    """Let the balance be empty."""
    krea.emulator.credits = 0


def down(krea: Krea) -> None:
    """Let nobody answer."""
    krea.emulator.fault(Fault(drop="before", times=1000))


OUTCOMES: list[tuple[Callable[[Krea], None], tuple[str, ...], int, str]] = [
    (nothing, RUN, 0, "saved"),
    (nothing, ("submit", URL, "snow"), 0, "job"),
    (nothing, ("list",), 0, ""),
    (nothing, ("contract",), 0, "contract"),
    (nothing, ("doctor",), 0, "doctor"),
    (nothing, ("emulator", "--list-quirks"), 0, "quirks"),
    (nothing, ("completion", "bash"), 0, "completion"),
    (nothing, ("recover",), 0, "note"),
    (nothing, ("report", "."), 0, "page"),
    (nothing, ("report", "no-such-folder"), 2, "error"),
    (nothing, ("compare", "none.mp4", "none.mp4", "-o", "c.html"), 2, "error"),
    (nothing, (*RUN, "--dry-run"), 0, "checked"),
    (failed, RUN, 3, "error"),
    (nothing, ("get", "no-such-job"), 3, "error"),
    (down, ("get", "some-job"), 3, "error"),
    (endless, (*RUN, "--wait-timeout", "5"), 4, "error"),
    (lost, RUN, 5, "error"),
    (poor, RUN, 6, "error"),
    (rejected, RUN, 7, "error"),
    (empty, RUN, 7, "error"),
    (nothing, ("run", URL), 2, "error"),
    (nothing, (*RUN, "--no-such-option"), 2, "error"),
    (nothing, ("no-such-command",), 2, "error"),
    (nothing, (*RUN, "--seed", "seven"), 2, "error"),
    (nothing, ("run", "no-such-clip.mp4", "snow", "-o", "out.mp4"), 2, "error"),
    (nothing, ("batch", "no-such-file.csv", "--out", "o"), 2, "error"),
]


@pytest.mark.parametrize(
    ("given", "arguments", "code", "last"),
    OUTCOMES,
    ids=[f"{given.__name__}-{'-'.join(a)[:30]}" for given, a, _, _ in OUTCOMES],
)
def test_every_outcome_is_documents_and_nothing_else(
    krea: Krea, given: Callable[[Krea], None], arguments: tuple[str, ...], code: int, last: str
) -> None:
    """Each line parses, the last one is the outcome, and errors carry the exit code."""
    given(krea)
    done = krea(*arguments, "--json")
    documents = done.documents
    assert done.code == code
    assert not done.err
    assert all("type" in document for document in documents)
    if last:
        assert documents[-1]["type"] == last
    if last == "error":
        assert documents[-1]["exit_code"] == code
        assert documents[-1]["message"]


def test_a_run_tells_the_job_before_it_waits(krea: Krea, clip: str) -> None:
    """Who reads the documents knows the job's id from the first moment."""
    documents = krea("run", clip, "snow", "-o", "out.mp4", "--json").documents
    (job,) = krea.emulator.jobs
    kinds = [document["type"] for document in documents]
    assert kinds[:3] == ["transfer", "accepted", "update"]
    assert documents[1] == {"type": "accepted", "job_id": job.id, "before": False}
    saved = documents[-1]
    assert saved["paths"] == ["out.mp4"]
    assert saved["size_bytes"] == Path("out.mp4").stat().st_size


def test_an_error_has_all_that_a_program_needs(krea: Krea) -> None:
    """What it cost, whether to send it again, which job, and the command that goes on."""
    lost(krea)
    error = krea(*RUN, "--json").documents[-1]
    expected: dict[str, Any] = {
        "type": "error",
        "error": "SubmitUncertainError",
        "charged": "unknown",
        "resubmit": "never",
        "job_id": None,
        "exit_code": 5,
    }
    assert {name: error[name] for name in expected} == expected
    assert error["go_on"] == [f"krea-aleph recover {error['intent']}"]


def test_a_batch_tells_each_item(krea: Krea, clip: str) -> None:
    """Each row has one document, the bad one too; the last document counts them."""
    Path("shots.csv").write_text(
        f"video,prompt,seed,meta.scene\n{clip},a,1,007\n{clip},b,seven,008\n{clip},c,3,009\n"
    )
    done = krea("batch", "shots.csv", "--out", "o", "--json")
    outcomes = {d["index"]: d for d in done.documents if d["type"] == "outcome"}
    assert done.code == 3
    assert [outcomes[index]["ok"] for index in range(3)] == [True, False, True]
    assert outcomes[0]["meta"] == {"scene": "007"}
    assert "line 3: 'seven' is not a number" in outcomes[1]["error"]["message"]
    assert done.documents[-1] == {
        "type": "batch",
        "done": 2,
        "failed": 1,
        "uncertain": 0,
        "exit_code": 3,
    }


def test_a_file_name_that_is_no_text_does_not_break_a_document(krea: Krea) -> None:
    """Whatever a name holds, the document parses."""
    done = krea("run", "no\udcffsuch\n\x1b[31mclip.mp4", "snow", "-o", "out.mp4", "--json")
    assert done.documents[-1]["exit_code"] == 2
