"""Batches: many items, one paid job for each, however often and wherever they are run."""

from __future__ import annotations

import gc
import os
import resource
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count, islice, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from krea_aleph import (
    AuthenticationError,
    Checked,
    DownloadError,
    Failed,
    InsufficientCreditsError,
    IntentConflictError,
    InvalidRequestError,
    JobFailedError,
    JobRejectedError,
    SQLiteStore,
    SubmitUncertainError,
    SubmitVetoedError,
    Succeeded,
    TooManyFailuresError,
)
from krea_aleph.emulator import Emulator, Fault

URL = "https://example.com/in.mp4"
SUBMIT = "create_aleph_job"


def wishes(number: int, **more: Any) -> list[dict[str, Any]]:
    """List items that ask for different things of one clip."""
    return [{"video": URL, "prompt": f"wish {index}", **more} for index in range(number)]


def failed(outcomes: list[Any]) -> list[Failed]:
    """List those that have failed."""
    return [outcome for outcome in outcomes if isinstance(outcome, Failed)]


def errors(outcomes: list[Any]) -> dict[int, str]:
    """Name the errors by index."""
    return {outcome.index: type(outcome.error).__name__ for outcome in failed(outcomes)}


def submits(emulator: Emulator) -> int:
    """Count the requests that pay, refused ones included."""
    return sum(request.operation == SUBMIT for request in emulator.requests)


def files(folder: Path) -> list[str]:
    """List the files in a folder, by relative path."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    """A journal."""
    with SQLiteStore(tmp_path / "jobs.sqlite3") as opened:
        yield opened


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where results go."""
    return tmp_path / "out"


# Outcomes


def test_every_item_has_one_outcome(aleph: Any, emulator: Emulator, clip: Path, out: Path) -> None:
    """Files, jobs, places and what was given come back for each, and files go where they are to."""
    items = [
        *wishes(9, meta={"shot": 17}),
        {"video": clip, "prompt": "snow", "output": "reel 1/snow.mp4"},
        {"video": str(clip), "prompt": "rain", "options": {"seed": 7}},
    ]
    outcomes = list(aleph.batch(items, output_dir=out))
    assert {outcome.index for outcome in outcomes} == set(range(11))
    for outcome in outcomes:
        assert isinstance(outcome, Succeeded)
        assert outcome.item is items[outcome.index]
        assert outcome.job is not None
        assert outcome.job.succeeded
        assert outcome.saved is not None
        assert outcome.saved.path.read_bytes()
        assert outcome.saved.path.is_relative_to(out)
    assert emulator.accepted == 11
    assert {job.body["prompt"] for job in emulator.jobs} == {item["prompt"] for item in items}
    names = files(out)
    assert len(names) == 11
    assert "reel 1/snow.mp4" in names
    assert sum(name.startswith("shot-") for name in names) == 1
    assert sum(name.startswith("in-") for name in names) == 9
    assert len(emulator.assets) == 1


def test_outcomes_in_the_order_of_the_items(aleph: Any, emulator: Emulator, out: Path) -> None:
    """With ``ordered`` they come like the items, however slow one is; without it, as they end."""
    emulator.outcome(seconds=500)
    outcomes = list(aleph.batch(wishes(6), output_dir=out / "a", ordered=True))
    assert [outcome.index for outcome in outcomes] == [0, 1, 2, 3, 4, 5]
    emulator.outcome(seconds=500)
    outcomes = list(aleph.batch(wishes(6), output_dir=out / "b"))
    assert outcomes[-1].job.id == emulator.jobs[6].id


def test_one_failure_stops_no_other(aleph: Any, emulator: Emulator, out: Path) -> None:
    """A failed job, a rejected one and an empty one are outcomes; the error has job and advice."""
    emulator.outcome(status="failed", error={"code": "x", "message": "broken"})
    emulator.outcome(status="failed", error={"code": "nsfw"})
    outcomes = list(aleph.batch(wishes(5), output_dir=out, max_inflight=1))
    assert Counter(errors(outcomes).values()) == {"JobFailedError": 1, "JobRejectedError": 1}
    assert len(outcomes) == 5
    for outcome in failed(outcomes):
        assert outcome.job is not None
        assert outcome.error.job_id == outcome.job.id


# Bad input

BAD: dict[str, Any] = {
    "no mapping": "in.mp4",
    "no prompt": {"video": URL},
    "no video": {"prompt": "x"},
    "unknown key": {"video": URL, "prompt": "x", "colour": "red"},
    "prompt of a wrong type": {"video": URL, "prompt": 7},
    "blank prompt": {"video": URL, "prompt": " "},
    "options are no mapping": {"video": URL, "prompt": "x", "options": [1]},
    "unknown option": {"video": URL, "prompt": "x", "options": {"sed": 1}},
    "blank intent": {"video": URL, "prompt": "x", "intent": ""},
    "long intent": {"video": URL, "prompt": "x", "intent": "i" * 481},
    "no such file": {"video": "/no/such/clip.mp4", "prompt": "x"},
    "a row that could not be read": SimpleNamespace(error=InvalidRequestError("line 7", "torn")),
}
PLACES = [
    "../x.mp4",
    "a/../../x.mp4",
    "/tmp/x.mp4",  # noqa: S108 - refused
    "a/",
    "",
    ".",
    "a\\b.mp4",
    "C:x.mp4",
    "con.mp4",
    "a\nb.mp4",
    "x.mp4.part",
    "x.mp4 ",
    "~/x.mp4",
    "n" * 300,
    7,
    b"x.mp4",
]


def test_bad_items_are_refused_one_by_one(aleph: Any, emulator: Emulator, out: Path) -> None:
    """Each is a failure of its own that costs nothing, and the good ones get through."""
    items: list[Any] = []
    for bad in BAD.values():
        items += [bad, {"video": URL, "prompt": f"good {len(items)}"}]
    outcomes = sorted(aleph.batch(items, output_dir=out), key=lambda outcome: outcome.index)
    for outcome in outcomes:
        if outcome.index % 2:
            assert isinstance(outcome, Succeeded)
        else:
            assert isinstance(outcome, Failed), list(BAD)[outcome.index // 2]
            assert isinstance(outcome.error, InvalidRequestError)
            assert outcome.item is items[outcome.index]
    assert emulator.accepted == len(BAD)


def test_outputs_stay_in_the_folder(aleph: Any, emulator: Emulator, out: Path) -> None:
    """No absolute path, no way up, no odd name, no link that leads out: refused before paying."""
    out.mkdir()
    outside = out.parent / "outside"
    outside.mkdir()
    (out / "link").symlink_to(outside)
    (out / "file.mp4").symlink_to(outside / "file.mp4")
    (out / "folder.mp4").mkdir()
    places = [*PLACES, "link/x.mp4", "link/deep/x.mp4", "file.mp4", "folder.mp4"]
    items = [{"video": URL, "prompt": f"w {n}", "output": place} for n, place in enumerate(places)]
    outcomes = list(aleph.batch(items, output_dir=out))
    assert set(errors(outcomes)) == set(range(len(places))), sorted(errors(outcomes))
    for outcome in failed(outcomes):
        assert isinstance(outcome.error, InvalidRequestError)
        assert outcome.error.field == "output"
    assert submits(emulator) == 0
    assert files(outside) == []
    assert files(out) == []


def test_one_output_for_two_items(aleph: Any, emulator: Emulator, out: Path) -> None:
    """The second is refused before anything is paid, also when the first is long done."""
    items = wishes(3, output="same.mp4")
    outcomes = list(aleph.batch(items, output_dir=out, max_inflight=1))
    assert errors(outcomes) == {1: "InvalidRequestError", 2: "InvalidRequestError"}
    assert emulator.accepted == 1


ARGUMENTS: list[dict[str, Any]] = [
    {"max_inflight": 0},
    {"max_submits": True},
    {"stop_after_failures": -1},
    {"no_credit": "wait"},
    {"exists": "maybe"},
    {"ordered": "yes"},
    {"wait_timeout": 0},
    {"output_dir": 7},
    {"output_dir": ""},
    {"items": "in.mp4"},
    {"items": 7},
]


@pytest.mark.parametrize("wrong", ARGUMENTS, ids=str)
def test_wrong_arguments(aleph: Any, out: Path, wrong: dict[str, Any]) -> None:
    """They are refused by the call itself, before the first item is asked for."""
    with pytest.raises(InvalidRequestError) as caught:
        aleph.batch(**{"items": wishes(1), "output_dir": out, **wrong})
    assert caught.value.field == next(iter(wrong))


def test_a_generator_that_raises(aleph: Any, emulator: Emulator, out: Path) -> None:
    """What it gave is finished and yielded; then its own exception comes as it was."""
    boom = OSError("the catalogue is gone")

    def rows() -> Iterator[dict[str, Any]]:
        yield from wishes(4)
        raise boom

    outcomes: list[Any] = []
    with pytest.raises(OSError, match="the catalogue is gone") as caught:
        outcomes.extend(aleph.batch(rows(), output_dir=out))
    assert caught.value is boom
    assert {outcome.index for outcome in outcomes} == {0, 1, 2, 3}
    assert emulator.accepted == 4


def test_an_endless_generator(aleph: Any, emulator: Emulator, out: Path) -> None:
    """Items are taken as there is room for them, and not one more while nobody takes outcomes."""
    given = count()
    rows = ({"video": URL, "prompt": f"wish {number}"} for number in given)
    with closing(aleph.batch(rows, output_dir=out, max_inflight=3)) as outcomes:
        taken = list(islice(outcomes, 12))
        assert len(taken) == 12
        at_rest = next(given)
        assert at_rest <= 12 + 3 + 2 + 16
        emulator.clock.sleep(100.0)
        assert next(given) == at_rest + 1


def test_asynchronous_items(aleph: Any, colour: str, out: Path) -> None:
    """An asynchronous client takes an asynchronous iterable; a blocking one says that it cannot."""

    async def rows() -> Any:
        for item in wishes(3):
            yield item

    if colour == "sync":
        with pytest.raises(InvalidRequestError, match="an iterable of items is needed"):
            aleph.batch(rows(), output_dir=out)
    else:
        assert len(list(aleph.batch(rows(), output_dir=out))) == 3


# Running it again


def test_a_finished_batch_sends_nothing(
    open_client: Any, emulator: Emulator, store: SQLiteStore, out: Path, clip: Path
) -> None:
    """Everything is there: no request at all, with a store and, by the files, without one."""
    items = [*wishes(4), {"video": clip, "prompt": "snow", "intent": "mine"}]
    assert len(list(open_client(store=store).batch(items, output_dir=out))) == 5
    before = len(emulator.requests)
    for options in ({"store": store}, {}):
        again = list(open_client(**options).batch(items, output_dir=out))
        assert len(again) == 5
        assert not failed(again)
        assert all(outcome.saved.path.is_file() for outcome in again)
    for exists in ("replace", "error"):
        again = list(open_client().batch(items, output_dir=out, store=store, exists=exists))
        assert not failed(again)
    assert len(emulator.requests) == before


def test_results_that_were_lost(
    open_client: Any, emulator: Emulator, store: SQLiteStore, out: Path
) -> None:
    """With a store a file that is gone is downloaded again and not paid for again."""
    aleph = open_client(store=store)
    for outcome in list(aleph.batch(wishes(3), output_dir=out)):
        outcome.saved.path.unlink()
    again = list(aleph.batch(wishes(3), output_dir=out))
    assert not failed(again)
    assert len(files(out)) == 3
    assert emulator.accepted == 3


def test_order_and_number_of_rows_do_not_matter(
    open_client: Any, emulator: Emulator, store: SQLiteStore, out: Path
) -> None:
    """What an item asks for tells it from others, never its place: only what is new is paid."""
    aleph = open_client(store=store)
    list(aleph.batch(wishes(3), output_dir=out))
    list(aleph.batch(reversed(wishes(5)), output_dir=out))
    assert emulator.accepted == 5


def test_a_failed_job_is_tried_once_in_each_run(
    open_client: Any, emulator: Emulator, store: SQLiteStore, out: Path
) -> None:
    """A poisoned item costs one attempt a run, numbered in the store, however often it is given."""
    emulator.outcome(times=None, status="failed", error={"code": "x", "message": "broken"})
    aleph = open_client(store=store)
    for run in (1, 2, 3):
        outcomes = list(aleph.batch(wishes(1, intent="shot") * 3, output_dir=out, max_inflight=1))
        assert errors(outcomes) == dict.fromkeys(range(3), "JobFailedError")
        assert emulator.accepted == run
    assert [store.read("default", f"shot{n}") is not None for n in ("", "#2", "#3", "#4")] == [
        True,
        True,
        True,
        False,
    ]
    (told,) = failed(
        list(aleph.batch(wishes(1, intent="shot"), output_dir=out, retry_failed=False))
    )
    assert isinstance(told.error, JobFailedError)
    assert emulator.accepted == 3


def test_a_rejected_job_is_not_submitted_again(
    open_client: Any, emulator: Emulator, store: SQLiteStore, out: Path
) -> None:
    """What failed for a reason that stays is told again from the journal."""
    emulator.outcome(status="failed", error={"code": "nsfw"})
    aleph = open_client(store=store)
    for _ in range(2):
        (told,) = failed(list(aleph.batch(wishes(1), output_dir=out)))
        assert isinstance(told.error, JobRejectedError)
    assert emulator.accepted == 1


@pytest.mark.krea_emulator(output_bytes=3_000_000)
def test_a_disk_that_fills(
    open_client: Any, emulator: Emulator, store: SQLiteStore, out: Path
) -> None:
    """What cannot be saved is a failure that names the job; once there is room, nothing is paid."""
    aleph = open_client(store=store)
    with full_disk():
        outcomes = list(aleph.batch(wishes(2), output_dir=out))
    for outcome in failed(outcomes):
        assert isinstance(outcome.error, DownloadError)
        assert outcome.error.job_id
    assert len(failed(outcomes)) == 2
    assert not failed(list(aleph.batch(wishes(2), output_dir=out)))
    assert emulator.accepted == 2


@contextmanager
def full_disk() -> Iterator[None]:
    """A disk on which no file may grow beyond 2,000,000 bytes: results do, the journal does not."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_a_download_that_fails(
    open_client: Any, emulator: Emulator, store: SQLiteStore, out: Path
) -> None:
    """The next run fetches it, also where it is a new client, and pays nothing."""
    emulator.fault(Fault(operation="download", status=404, times=2))
    (told,) = failed(list(open_client(store=store).batch(wishes(1), output_dir=out)))
    assert isinstance(told.error, DownloadError)
    assert told.job is not None
    assert not failed(list(open_client(store=store).batch(wishes(1), output_dir=out)))
    assert emulator.accepted == 1


def test_lost_answers(open_client: Any, emulator: Emulator, store: SQLiteStore, out: Path) -> None:
    """On an exclusive account the next run finds the jobs that nobody was told of."""
    emulator.fault(Fault(operation=SUBMIT, drop="after", every=3, times=6))
    aleph = open_client(store=store, exclusive=True)
    first = list(aleph.batch(wishes(7), output_dir=out))
    lost = failed(first)
    assert lost
    assert all(isinstance(outcome.error, SubmitUncertainError) for outcome in lost)
    assert not failed(list(aleph.batch(wishes(7), output_dir=out)))
    assert emulator.accepted == 7


def test_a_journal_of_plain_submits(
    open_client: Any, emulator: Emulator, store: SQLiteStore, out: Path
) -> None:
    """A store from before there were batches counts: its intents are not paid for again."""
    aleph = open_client(store=store)
    job = aleph.submit(URL, "wish 0", intent="shot")
    (outcome,) = aleph.batch(wishes(1, intent="shot"), output_dir=out)
    assert outcome.job.id == job.id
    assert emulator.accepted == 1


def test_two_at_once_on_one_store(
    open_client: Any, emulator: Emulator, tmp_path: Path, out: Path
) -> None:
    """Two runs of the same batch, with stores of their own on one file, pay once for each item."""
    first, second = (SQLiteStore(tmp_path / "jobs.sqlite3") for _ in range(2))
    results: list[list[Any]] = [[], []]

    def work(number: int, aleph: Any) -> None:
        results[number] = list(aleph.batch(wishes(12), output_dir=out))

    clients = [open_client(store=first), open_client(store=second)]
    with emulator.clock.busy():
        threads = [threading.Thread(target=work, args=pair) for pair in enumerate(clients)]
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    assert [errors(found) for found in results] == [{}, {}]
    assert [len(found) for found in results] == [12, 12]
    assert emulator.accepted == 12
    first.close()
    second.close()


# Duplicates


@pytest.mark.parametrize("journal", [True, False])
def test_the_same_request_twice(
    aleph: Any, emulator: Emulator, store: SQLiteStore, out: Path, journal: bool
) -> None:
    """It is paid once, and every item has its file."""
    items = [
        *wishes(1, output="a.mp4"),
        *wishes(1, output="b/b.mp4"),
        *wishes(1, output="a.mp4"),
        *wishes(2),
    ]
    outcomes = list(aleph.batch(items, output_dir=out, store=store if journal else None))
    assert errors(outcomes) == {}
    assert len(outcomes) == 5
    assert emulator.accepted == 2
    assert len({outcome.job.id for outcome in outcomes if outcome.index != len(items) - 1}) == 1
    names = files(out)
    assert {"a.mp4", "b/b.mp4"} <= set(names)
    assert len(names) == 4


def test_an_intent_for_two_requests(
    open_client: Any, emulator: Emulator, store: SQLiteStore, out: Path
) -> None:
    """The second is a conflict that names the field, in one run and in the next one."""
    aleph = open_client(store=store)
    items = wishes(2, intent="shot")
    (told,) = failed(list(aleph.batch(items, output_dir=out)))
    assert isinstance(told.error, IntentConflictError)
    assert told.index == 1
    assert told.error.fields == ("prompt",)
    (told,) = failed(list(aleph.batch(items[1:], output_dir=out)))
    assert isinstance(told.error, IntentConflictError)
    assert emulator.accepted == 1


def test_files_that_look_the_same(
    aleph: Any, emulator: Emulator, clip: Path, tmp_path: Path, out: Path
) -> None:
    """Two files of one size and time are not taken for one another: their content decides."""
    twin = tmp_path / "twin.mp4"
    content = bytearray(clip.read_bytes())
    content[-1] ^= 1
    twin.write_bytes(content)
    os.utime(clip, ns=(10**18, 10**18))
    os.utime(twin, ns=(10**18, 10**18))
    items = [{"video": file, "prompt": "snow", "output": file.name} for file in (clip, twin)]
    assert errors(list(aleph.batch(items, output_dir=out))) == {}
    assert emulator.accepted == 2


def test_files_with_a_new_time(
    aleph: Any, emulator: Emulator, clip: Path, store: SQLiteStore, tmp_path: Path, out: Path
) -> None:
    """A checkout, a copy or `touch` gives clips new times; nothing is paid again for that."""
    assert (
        errors(
            list(
                aleph.batch(
                    [{**item, "video": clip} for item in wishes(2)], output_dir=out, store=store
                )
            )
        )
        == {}
    )
    copy = tmp_path / "elsewhere" / clip.name
    copy.parent.mkdir()
    copy.write_bytes(clip.read_bytes())
    os.utime(copy, ns=(10**18, 10**18))
    again = list(
        aleph.batch([{**item, "video": copy} for item in wishes(2)], output_dir=out, store=store)
    )
    assert errors(again) == {}
    assert emulator.accepted == 2
    assert len(files(out)) == 2


# Money


def test_max_submits(aleph: Any, emulator: Emulator, store: SQLiteStore, out: Path) -> None:
    """So many requests are paid in this run, and it ends quietly; the next ones go on."""
    for total in (4, 8, 10):
        outcomes = list(aleph.batch(wishes(10), output_dir=out, store=store, max_submits=4))
        assert errors(outcomes) == {}
        assert emulator.accepted == total
    assert len(files(out)) == 10


def test_max_submits_counts_what_was_paid_only(aleph: Any, emulator: Emulator, out: Path) -> None:
    """A refusal costs nothing, and does not count."""
    emulator.fault(Fault(operation=SUBMIT, status=429, times=2))
    emulator.fault(Fault(operation=SUBMIT, nth=3, status=400))
    outcomes = list(aleph.batch(wishes(9), output_dir=out, max_submits=3))
    assert Counter(errors(outcomes).values()) == {"BadRequestError": 1}
    assert emulator.accepted == 3


@pytest.mark.krea_emulator(concurrency=50)
def test_max_inflight(aleph: Any, emulator: Emulator, out: Path) -> None:
    """No more than so many jobs run at once, however many the account would run."""
    list(aleph.batch(wishes(9), output_dir=out, max_inflight=2))
    moments = sorted(
        [(job.started_at or 0.0, 1) for job in emulator.jobs]
        + [(job.ended_at or 0.0, -1) for job in emulator.jobs]
    )
    running = [sum(change for _, change in moments[: end + 1]) for end in range(len(moments))]
    assert max(running) == 2


def test_stop_after_failures(aleph: Any, emulator: Emulator, out: Path) -> None:
    """After so many nothing more is submitted; what was in flight is yielded, then it is raised."""
    emulator.outcome(times=3, status="failed", error={"code": "x", "message": "broken"})
    outcomes: list[Any] = []
    with pytest.raises(TooManyFailuresError) as caught:
        outcomes.extend(
            aleph.batch(wishes(40), output_dir=out, max_inflight=2, stop_after_failures=3)
        )
    assert caught.value.failures == 3
    assert isinstance(caught.value.__cause__, JobFailedError)
    assert len(failed(outcomes)) == 3
    assert len(outcomes) == emulator.accepted <= 5


@pytest.mark.krea_emulator(credits=3)
def test_an_empty_balance_stops(aleph: Any, emulator: Emulator, store: Any, out: Path) -> None:
    """What is in flight is finished and yielded, then the error is raised; a rerun goes on."""
    outcomes: list[Any] = []
    with pytest.raises(InsufficientCreditsError):
        outcomes.extend(aleph.batch(wishes(9), output_dir=out, store=store, max_inflight=2))
    assert errors(outcomes) == {}
    assert len(outcomes) == emulator.accepted
    paid = emulator.accepted
    emulator.credits = None
    assert len(list(aleph.batch(wishes(9), output_dir=out, store=store))) == 9
    assert emulator.accepted == 9
    assert paid < 9


def test_a_refused_key_stops(open_client: Any, emulator: Emulator, out: Path) -> None:
    """A 401 is nobody's failure but the batch's: the items are as good as before."""
    aleph = open_client(api_key="wrong:key")
    with pytest.raises(AuthenticationError):
        list(aleph.batch(wishes(5), output_dir=out))
    assert emulator.accepted == 0
    assert submits(emulator) <= 3


@pytest.mark.krea_emulator(credits=0)
def test_a_pause_until_there_is_credit(open_client: Any, emulator: Emulator, out: Path) -> None:
    """One item is tried now and then, less and less often; the event comes once."""
    events: list[Any] = []
    tried: list[float] = []

    def hear(event: Any) -> None:
        events.append(event)
        if event.attributes.get("status") == 402:
            tried.append(emulator.clock.monotonic())
            if len(tried) == 5:
                emulator.credits = None

    aleph = open_client(on_event=hear)
    assert len(list(aleph.batch(wishes(4), output_dir=out, no_credit="pause"))) == 4
    assert sum(event.kind == "paused" for event in events) == 1
    pauses = [after - before for before, after in pairwise(tried)]
    assert all(pause >= 59 or pause < 1 for pause in pauses)
    assert max(pauses) >= 119
    assert emulator.accepted == 4


def test_a_429_is_no_failure(open_client: Any, emulator: Emulator, out: Path) -> None:
    """The item goes back to the gate, for longer than any retry policy, and Retry-After is kept."""
    emulator.fault(Fault(operation=SUBMIT, status=429, times=6, headers={"Retry-After": "90"}))
    sent: list[float] = []
    aleph = open_client(
        on_event=lambda event: (
            sent.append(emulator.clock.monotonic())
            if event.attributes.get("operation") == SUBMIT
            else None
        )
    )
    assert errors(list(aleph.batch(wishes(3), output_dir=out))) == {}
    assert all(after - before >= 89 for before, after in pairwise(sent[:7]))
    assert emulator.accepted == 3


def test_leave_is_asked_for_each_item(open_client: Any, emulator: Emulator, out: Path) -> None:
    """A veto costs that item alone, and nobody is asked twice for the same, refusals or not."""
    asked: Counter[str] = Counter()

    def leave(checked: Checked) -> None:
        asked[checked.body["prompt"]] += 1
        if checked.body["prompt"] == "wish 2":
            raise SubmitVetoedError("too dear")

    emulator.fault(Fault(operation=SUBMIT, status=429, times=2))
    outcomes = list(open_client(before_submit=leave).batch(wishes(4), output_dir=out))
    assert errors(outcomes) == {2: "SubmitVetoedError"}
    assert asked == {f"wish {number}": 1 for number in range(4)}
    assert emulator.accepted == 3


def test_uploads_can_be_deleted(aleph: Any, emulator: Emulator, clip: Path, out: Path) -> None:
    """What the batch has uploaded goes when its last job is over."""
    items = [{"video": clip, "prompt": f"wish {number}"} for number in range(3)]
    assert errors(list(aleph.batch(items, output_dir=out, delete_uploads=True))) == {}
    assert emulator.assets == []


# Ending early


@pytest.fixture(autouse=True)
def leaves_no_thread() -> Iterator[None]:
    """Nothing that a batch has started outlives it."""
    yield
    gc.collect()
    left = [thread for thread in threading.enumerate() if thread.name == "krea-aleph-beside"]
    assert left == []


@pytest.mark.parametrize("abandon", ["leave", "cancel"])
def test_leaving_the_loop(
    open_client: Any, emulator: Emulator, store: SQLiteStore, out: Path, abandon: str
) -> None:
    """Jobs in flight are left or cancelled as the client says; the next run goes on."""
    aleph = open_client(store=store, abandon=abandon)
    emulator.outcome(seconds=1.0)
    emulator.outcome(seconds=1000.0, times=7)
    with closing(aleph.batch(wishes(8), output_dir=out)) as outcomes:
        next(outcomes)
    paid = emulator.accepted
    assert paid >= 2
    cancelled = sum(job.status == "cancelled" for job in emulator.jobs)
    assert cancelled == (paid - 1 if abandon == "cancel" else 0)
    again = list(aleph.batch(wishes(8), output_dir=out))
    assert errors(again) == {}
    assert emulator.accepted == 8 + cancelled


def test_an_interruption(emulator: Emulator, store: SQLiteStore, out: Path) -> None:
    """Ctrl-C says how many jobs are in flight and how to go on; all of them are in the store."""

    def rows() -> Iterator[dict[str, Any]]:
        yield from wishes(4)
        while emulator.accepted < 4:
            emulator.clock.sleep(0.1)
        raise KeyboardInterrupt

    aleph = emulator.aleph(virtual_time=True, store=store)
    with pytest.raises(KeyboardInterrupt) as caught:
        list(aleph.batch(rows(), output_dir=out))
    (note,) = caught.value.__notes__
    assert "4 jobs of the batch were in flight and are left as they are" in note
    assert "run the same batch again" in note
    assert errors(list(aleph.batch(wishes(4), output_dir=out))) == {}
    assert emulator.accepted == 4
    aleph.close()


def test_an_interruption_without_a_store(emulator: Emulator, out: Path) -> None:
    """Without a store the message has the ids: nobody else knows them."""

    def rows() -> Iterator[dict[str, Any]]:
        yield from wishes(2)
        while emulator.accepted < 2:
            emulator.clock.sleep(0.1)
        emulator.clock.sleep(0.5)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught, emulator.aleph(virtual_time=True) as aleph:
        list(aleph.batch(rows(), output_dir=out))
    (note,) = caught.value.__notes__
    assert all(job.id in note for job in emulator.jobs)


@pytest.mark.parametrize("abandon", ["leave", "cancel"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_task(
    emulator: Emulator, store: SQLiteStore, out: Path, backend: str, abandon: Any
) -> None:
    """Whoever cancels the task around the loop leaves nothing behind but jobs in the store."""
    emulator.outcome(seconds=1000.0, times=6)
    seen: list[BaseException] = []

    async def main() -> None:
        options = {"store": store, "abandon": abandon}
        async with emulator.async_aleph(virtual_time=True, **options) as aleph:
            with anyio.CancelScope() as scope:

                async def rows() -> Any:
                    for item in wishes(6):
                        yield item
                    while emulator.accepted < 6:
                        await emulator.clock.asleep(0.1)
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()

                try:
                    async for _ in aleph.batch(rows(), output_dir=out):
                        pass
                except BaseException as error:
                    seen.append(error)
                    raise

    anyio.run(main, backend=backend)
    verb = "asked to be cancelled" if abandon == "cancel" else "left as they are"
    assert f"6 jobs of the batch were in flight and are {verb}" in seen[0].__notes__[0]
    statuses = {job.status for job in emulator.jobs}
    assert statuses == {"cancelled" if abandon == "cancel" else "queued"}
    with emulator.aleph(virtual_time=True, store=store) as aleph:
        assert errors(list(aleph.batch(wishes(6), output_dir=out))) == {}
    assert emulator.accepted == (12 if abandon == "cancel" else 6)


class Odd(dict[str, Any]):
    """An item that breaks when it is looked at."""

    def get(self, *_: Any) -> Any:
        """Break."""
        raise ZeroDivisionError


def test_an_error_of_the_callers_code(aleph: Any, emulator: Emulator, out: Path) -> None:
    """An error that is none of ours ends the batch, and comes out after what is in flight."""
    items = [*wishes(2), Odd(video=URL, prompt="x")]
    outcomes: list[Any] = []
    with pytest.raises(ZeroDivisionError):
        outcomes.extend(aleph.batch(items, output_dir=out))
    assert len(outcomes) == emulator.accepted == 2
