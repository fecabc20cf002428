"""What goes wrong in other libraries for jobs like these, one test for each, and how it goes here.

The addresses lead to public reports of each bug, for those who want to know what it did to whom.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import logging
import pickle
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import (
    AUTO,
    Aleph,
    APIStatusError,
    AsyncAleph,
    AuthenticationError,
    ConfigError,
    DownloadError,
    InternalServerError,
    JobFailedError,
    KreaError,
    PollPolicy,
    RateLimitError,
    RetryPolicy,
    SubmitUncertainError,
    WaitTimeoutError,
    errors,
)
from krea_aleph.emulator import Emulator, Fault

URL = "https://example.com/in.mp4"
CREATE, LOOK, DOWNLOAD = "create_aleph_job", "get_job", "download"


def test_1_no_wait_is_without_end_unless_it_says_so(aleph: Any, emulator: Emulator) -> None:
    """A job that never ends is given up after 2 h 10 min; for ever takes a written None.

    https://github.com/openai/openai-python/issues/3097
    https://github.com/replicate/replicate-python/issues/431
    """
    emulator.outcome(seconds=1e9)
    begun = emulator.clock.monotonic()
    with pytest.raises(WaitTimeoutError):
        aleph.wait(aleph.submit(URL, "night"))
    assert emulator.clock.monotonic() - begun == pytest.approx(7800, abs=60)
    for verb in (Aleph.wait, Aleph.watch, Aleph.transform, AsyncAleph.wait, AsyncAleph.transform):
        assert inspect.signature(verb).parameters["wait_timeout"].default is AUTO


def test_2_the_two_timeouts_have_two_names(open_client: Any, emulator: Emulator) -> None:
    """Nothing is called timeout alone; one exchange's limit does not end a longer wait.

    https://github.com/openai/openai-python/issues/1855
    """
    for client in (Aleph, AsyncAleph):
        verbs = inspect.getmembers(client, inspect.isfunction)
        assert not [name for name, verb in verbs if "timeout" in inspect.signature(verb).parameters]
    with pytest.raises(ConfigError, match=r"unknown option 'timeout'.*request_timeout"):
        open_client(timeout=5)
    emulator.outcome(seconds=600)
    aleph = open_client(request_timeout=5)
    assert aleph.wait(aleph.submit(URL, "night")).succeeded


def test_3_a_new_final_state_does_not_loop_for_ever(aleph: Any, emulator: Emulator) -> None:
    """A state that nobody knows counts as running, is shown, and the deadline ends it.

    https://github.com/replicate/replicate-python/pull/460
    """
    emulator.outcome(seconds=1e9, statuses={"aborted": 1})
    with pytest.raises(WaitTimeoutError, match="is still aborted after") as caught:
        aleph.wait(aleph.submit(URL, "night"), wait_timeout=300)
    assert caught.value.job.status == "aborted"


def test_4_a_new_word_breaks_no_installed_client(aleph: Any, emulator: Emulator) -> None:
    """Statuses are open: an unknown one is kept as it was sent, and the job goes on.

    https://github.com/apify/apify-client-python/issues/931
    https://github.com/tryVital/vital-python/issues/59
    """
    emulator.outcome(statuses={"backlogged-again": 1, "thinking": 1})
    seen = [update.job.status for update in aleph.watch(aleph.submit(URL, "night"))]
    assert {"backlogged-again", "thinking"} & set(seen)
    assert seen[-1] == "completed"


@pytest.mark.parametrize("status", [499, 520, 524, 530, 599])
def test_5_a_status_that_no_standard_knows_is_an_error_like_others(
    open_client: Any, emulator: Emulator, status: int
) -> None:
    """Gateways have statuses of their own; they are typed, with the number on them.

    https://github.com/openapi-generators/openapi-python-client/issues/1442
    https://github.com/langwatch/langwatch/pull/4403
    """
    aleph = open_client(retry=RetryPolicy(attempts=1))
    job = aleph.submit(URL, "night")
    emulator.fault(Fault(operation=LOOK, status=status, body="<title>A timeout occurred</title>"))
    with pytest.raises(APIStatusError, match="A timeout occurred") as caught:
        aleph.get(job)
    assert caught.value.status_code == status
    assert isinstance(caught.value, InternalServerError) == (status >= 500)


@pytest.mark.parametrize("body", [{"message": "no such job"}, {"error": "no such job"}])
def test_6_an_error_is_raised_and_says_what_the_server_said(
    aleph: Any, emulator: Emulator, body: Any
) -> None:
    """Nothing returns None for a failure, and the server's words are in the message.

    https://github.com/openapi-generators/openapi-python-client/issues/491
    """
    job = aleph.submit(URL, "night")
    emulator.fault(Fault(operation=LOOK, status=422, body=body))
    with pytest.raises(
        APIStatusError, match=r"get_job: Krea answered 422 .*: no such job"
    ) as caught:
        aleph.get(job)
    assert caught.value.body == body


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "accept": True},
        {"status": 524, "accept": True, "body": "<html></html>"},
        {"drop": "after"},
        {"cut": 10},
        {"status": 200, "body": b"{", "accept": True},
    ],
    ids=str,
)
def test_7_a_submit_whose_outcome_is_not_known_is_not_repeated(
    aleph: Any, emulator: Emulator, fault: Any
) -> None:
    """One request, one job at most, and an error that says so; Krea has no idempotency key.

    https://github.com/ohdearquant/lionagi/issues/2393
    https://github.com/Comfy-Org/comfy-python-sdk/pull/79
    https://github.com/danny-avila/LibreChat/pull/14344
    """
    emulator.fault(Fault(operation=CREATE, **fault))
    with pytest.raises(SubmitUncertainError) as caught:
        aleph.transform(URL, "night", "never.mp4")
    assert (caught.value.charged, caught.value.resubmit) == ("unknown", "never")
    assert sum(request.operation == CREATE for request in emulator.requests) == 1
    assert emulator.accepted == 1


def test_8_a_wait_that_ends_keeps_the_paid_job(open_client: Any, emulator: Emulator) -> None:
    """The id is on the error, also in another process, and waiting goes on from there.

    https://github.com/zpoint/vibe-seller/pull/124
    https://github.com/tinyhumansai/openhuman/pull/5411
    https://github.com/novitalabs/javascript-sdk/issues/3
    """
    emulator.outcome(seconds=300)
    with pytest.raises(WaitTimeoutError, match=r"wait again with wait\('") as caught:
        open_client().transform(URL, "night", "never.mp4", wait_timeout=10)
    told = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - as another process gets it
    assert told.resubmit == "never"
    assert open_client().wait(told.job_id).succeeded
    assert emulator.accepted == 1


def test_9_a_blip_while_polling_is_a_missed_look(aleph: Any, emulator: Emulator) -> None:
    """Looks that fail are counted and shown; the last one is the cause when time runs out.

    https://github.com/vikasprogrammer/agentric/pull/270
    https://github.com/HeyPuter/puter/pull/3730
    https://github.com/replicate/replicate-python/issues/345
    """
    for nth, how in enumerate(({"status": 503}, {"drop": "before"}, {"body": "<html>"}), start=1):
        emulator.fault(Fault(operation=LOOK, nth=nth, **how))
    emulator.outcome(seconds=170)
    updates = list(aleph.watch(aleph.submit(URL, "night")))
    assert max(update.poll_faults for update in updates) == 3
    assert updates[-1].job.succeeded
    emulator.outcome(seconds=1e6)
    emulator.fault(Fault(operation=LOOK, times=None, status=502))
    with pytest.raises(WaitTimeoutError) as caught:
        aleph.wait(aleph.submit(URL, "night"), wait_timeout=60)
    assert isinstance(caught.value.__cause__, InternalServerError)


@pytest.mark.parametrize("abandon", ["leave", "cancel"])
def test_10_who_stops_waiting_says_what_becomes_of_the_job(
    open_client: Any, emulator: Emulator, abandon: str
) -> None:
    """A deadline, like Ctrl-C and a cancelled task, leaves the job or cancels it, as configured.

    https://github.com/pollinations/pollinations/pull/12656
    """
    emulator.outcome(seconds=300)
    with pytest.raises(WaitTimeoutError) as caught:
        open_client(abandon=abandon).transform(URL, "night", "never.mp4", wait_timeout=60)
    told = "asked to be cancelled; outcome: cancelled" if abandon == "cancel" else "left as it was"
    assert told in " ".join(caught.value.__notes__)
    assert (emulator.jobs[0].status == "cancelled") == (abandon == "cancel")


def test_11_retry_after_is_kept_up_to_a_limit(aleph: Any, emulator: Emulator) -> None:
    """A minute is waited for; an hour is an error at once that names it.

    https://github.com/openai/openai-python/pull/3555
    https://github.com/earendil-works/pi/pull/6912
    https://github.com/NousResearch/hermes-agent/pull/53918
    """
    emulator.fault(Fault(operation=CREATE, status=429, headers={"Retry-After": "45"}))
    begun = emulator.clock.monotonic()
    aleph.submit(URL, "night")
    assert emulator.clock.monotonic() - begun >= 45
    emulator.fault(Fault(operation=CREATE, status=429, headers={"Retry-After": "3600"}))
    begun = emulator.clock.monotonic()
    with pytest.raises(RateLimitError) as caught:
        aleph.submit(URL, "night")
    assert (caught.value.retry_after, emulator.clock.monotonic() - begun) == (3600, 0)


def test_12_the_pace_of_looks_fits_the_jobs_and_can_be_changed(
    open_client: Any, emulator: Emulator
) -> None:
    """A run of 169 s costs at most 50 looks; a policy of one's own takes its place.

    https://github.com/fal-ai/fal/issues/573
    https://github.com/replicate/replicate-python/issues/32
    """
    slow = PollPolicy(early=30, sparse=30, dense=30, longest=30, spread=0)
    for poll, most in ((PollPolicy(), 50), (slow, 7)):
        emulator.reset()
        emulator.outcome(seconds=169)
        aleph = open_client(poll=poll)
        aleph.wait(aleph.submit(URL, "night"))
        assert sum(request.operation == LOOK for request in emulator.requests) <= most


@pytest.mark.krea_emulator(output_bytes=48 * 2**20)
def test_13_a_result_is_never_held_in_memory(
    aleph: Any, emulator: Emulator, tmp_path: Path
) -> None:
    """48 MiB pass through a few; and what breaks off has no final name.

    https://github.com/googleapis/python-genai/issues/1801
    https://github.com/backblaze-labs/genblaze/issues/285
    """
    job = aleph.wait(aleph.submit(URL, "night"))
    tracemalloc.start()
    try:
        saved = aleph.download(job, tmp_path / "out.mp4")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert saved.size_bytes == 48 * 2**20
    assert peak < 16 * 2**20
    emulator.fault(Fault(operation=DOWNLOAD, times=None, cut=1000))
    with pytest.raises(DownloadError):
        aleph.download(job, tmp_path / "cut.mp4")
    assert not (tmp_path / "cut.mp4").exists()


def test_14_errors_survive_the_way_to_another_process(aleph: Any, emulator: Emulator) -> None:
    """A worker's error arrives as what it was, with the job's id; every class of ours does so.

    https://github.com/meridianlabs-ai/inspect_scout/issues/616
    https://github.com/openai/openai-python/issues/1254
    """
    emulator.outcome(status="failed", error={"code": "provider_error", "message": "gave up"})
    with pytest.raises(JobFailedError) as caught:
        aleph.wait(aleph.submit(URL, "night"))
    assert pickle.loads(pickle.dumps(caught.value)) == caught.value  # noqa: S301 - our own
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, KreaError):
            assert kind.__reduce__ is KreaError.__reduce__


def test_14_a_client_of_an_event_loop_that_has_ended_says_so(emulator: Emulator) -> None:
    """An asynchronous client used from a second loop is an error that says what to do.

    https://github.com/genkit-ai/genkit/issues/4925
    """
    aleph = emulator.async_aleph()
    with asyncio.Runner() as first:
        first.run(aleph.submit(URL, "night"))
        for use in (partial(aleph.submit, URL, "night"), aleph.close):
            with pytest.raises(ConfigError, match=r"another event loop.*inside each asyncio\.run"):
                asyncio.run(use())
        first.run(aleph.close())
    assert emulator.accepted == 1


def test_15_the_key_is_in_no_log_and_no_repr(
    open_client: Any, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at any level, not of the libraries beneath, and not in what an error shows.

    https://github.com/openai/openai-python/issues/1196
    """
    caplog.set_level(logging.DEBUG)
    aleph = open_client()
    aleph.wait(aleph.submit(URL, "night"))
    emulator.fault(Fault(operation=LOOK, status=401, body={"error": f"bad key {emulator.key}"}))
    with pytest.raises(AuthenticationError) as caught:
        aleph.get(emulator.jobs[0].id)
    shown = [repr(aleph), repr(caught.value), str(caught.value), str(caught.value.body)]
    shown += [record.getMessage() for record in caplog.records]
    assert not [text for text in shown if emulator.key.rpartition(":")[2] in text]


def test_15_a_start_loads_nothing_that_is_not_needed() -> None:
    """Importing the library loads neither pydantic nor the generated models.

    https://github.com/openai/openai-python/issues/2819
    https://github.com/replicate/replicate-python/issues/452
    """
    program = "import sys, krea_aleph; print(sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout
    loaded = {name.partition(".")[0] for name in ast.literal_eval(shown.decode())}
    assert not loaded & {"pydantic", "krea_aleph_api", "attrs", "anyio", "asyncio", "trio"}


@pytest.mark.parametrize("use", ["threads", "tasks"])
def test_15_many_at_once_stay_within_the_pool(emulator: Emulator, use: str) -> None:
    """Threads and tasks beyond the number of connections wait for one instead of failing.

    https://github.com/openai/openai-python/issues/821
    """
    ways: dict[str, Callable[[Emulator], list[Any]]] = {"threads": _threads, "tasks": _tasks}
    assert len({job.id for job in ways[use](emulator)}) == emulator.accepted
    assert len({request.client for request in emulator.requests}) <= 100
    assert threading.active_count() < 60


def _threads(emulator: Emulator) -> list[Any]:
    with emulator.aleph() as aleph, ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda n: aleph.submit(URL, f"night {n}"), range(80)))


def _tasks(emulator: Emulator) -> list[Any]:
    async def main() -> list[Any]:
        async with emulator.async_aleph() as aleph:
            return await asyncio.gather(*(aleph.submit(URL, f"night {n}") for n in range(100)))

    return asyncio.run(main())
