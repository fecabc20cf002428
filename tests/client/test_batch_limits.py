"""Batches against an emulator with a limit that nobody has told them: 300 jobs of 3 s."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import Failed, PollPolicy
from krea_aleph.emulator import Emulator
from krea_aleph.emulator.values import JobRecord

URL = "https://example.com/in.mp4"
SECONDS = 3.0
WARM_UP = 5 * SECONDS
# Looks fit the jobs: the default policy is made for runs of minutes.
SHORT = PollPolicy(
    early=0.5, early_until=0.4, sparse=2.5, sparse_until=2.4, dense=0.05, longest=0.3, spread=0.2
)


def run(client: Any, out: Path, jobs: int) -> None:
    """Run a batch that has so many items."""
    items = ({"video": URL, "prompt": f"wish {number}"} for number in range(jobs))
    for outcome in client.batch(items, output_dir=out):
        assert not isinstance(outcome, Failed), outcome.error


def utilisation(emulator: Emulator, limit: int, begun: float, ended: float) -> float:
    """Return the share of the slots' time that was used between two moments."""
    overlaps = (_overlap(job, begun, ended) for job in emulator.jobs)
    return sum(overlaps) / (limit * (ended - begun))


def _overlap(job: JobRecord, begun: float, ended: float) -> float:
    started = ended if job.started_at is None else job.started_at
    over = ended if job.ended_at is None else job.ended_at
    return max(0.0, min(over, ended) - max(started, begun))


def share_refused(emulator: Emulator) -> float:
    """Return how many of the submits were refused."""
    statuses = [one.status for one in emulator.requests if one.operation == "create_aleph_job"]
    return statuses.count(429) / len(statuses)


def check(client: Any, emulator: Emulator, out: Path, others: int, jobs: int) -> None:
    """Run a batch beside others, and measure it from warm-up to its last start."""
    emulator.foreign(others, seconds=100_000.0)
    begun = emulator.clock.time()
    run(client, out, jobs)
    ours = [job for job in emulator.jobs if not job.foreign]
    last = max(job.started_at or 0.0 for job in ours)
    assert len(ours) == jobs
    used = utilisation(emulator, 8, begun + WARM_UP, last)
    refused = share_refused(emulator)
    print(f"used {used:.3f}, refused {refused:.4f}")  # noqa: T201 - for the record
    assert used >= 0.95
    assert refused < 0.02


@pytest.mark.krea_emulator(job_seconds=SECONDS, backlog=0, output_bytes=500)
def test_a_limit_that_refuses(emulator: Emulator, tmp_path: Path) -> None:
    """120 jobs: at least 95 % of eight slots are used after warm-up."""
    with emulator.aleph(virtual_time=True, poll=SHORT) as aleph:
        begun = emulator.clock.time()
        run(aleph, tmp_path, 120)
    last = max(job.started_at or 0.0 for job in emulator.jobs)
    assert utilisation(emulator, 8, begun + WARM_UP, last) >= 0.95
    assert share_refused(emulator) < 0.04


@pytest.mark.long
@pytest.mark.parametrize("others", [0, 3])
@pytest.mark.krea_emulator(job_seconds=SECONDS, backlog=0, output_bytes=500)
def test_eight_slots_by_refusals(
    open_client: Any, emulator: Emulator, tmp_path: Path, others: int
) -> None:
    """At least 95 % of the slots are used after warm-up, and fewer than 2 % are refused."""
    check(open_client(poll=SHORT), emulator, tmp_path, others, 300)


@pytest.mark.long
@pytest.mark.parametrize("others", [0, 3])
@pytest.mark.krea_emulator(job_seconds=SECONDS, backlog=100, output_bytes=500)
def test_eight_slots_by_backlog(
    open_client: Any, emulator: Emulator, tmp_path: Path, others: int
) -> None:
    """The same where jobs are backlogged: nothing is refused at all."""
    check(open_client(poll=SHORT), emulator, tmp_path, others, 300)
    assert share_refused(emulator) == 0


@pytest.mark.long
@pytest.mark.parametrize("backlog", [0, 100])
@pytest.mark.krea_emulator(job_seconds=SECONDS, output_bytes=500)
def test_a_limit_that_changes(
    open_client: Any, emulator: Emulator, tmp_path: Path, backlog: int
) -> None:
    """From 8 to 3 to 20 in mid-run: each is followed within about 20 job times."""
    emulator._account.jobs.backlog = backlog
    client = open_client(poll=SHORT)
    begun = emulator.clock.time()
    changes = {20 * SECONDS: 3, 45 * SECONDS: 20}

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(950):
            for after in [after for after in changes if emulator.clock.time() >= begun + after]:
                emulator.concurrency = changes.pop(after)
            yield {"video": URL, "prompt": f"wish {number}"}

    for outcome in client.batch(rows(), output_dir=tmp_path):
        assert not isinstance(outcome, Failed), outcome.error
    followed = {8: (5, 20), 3: (30, 45), 20: (68, 78)}
    used = {
        limit: utilisation(emulator, limit, begun + first * SECONDS, begun + last * SECONDS)
        for limit, (first, last) in followed.items()
    }
    print(used, share_refused(emulator))  # noqa: T201 - for the record
    assert min(used.values()) >= 0.9, used
    assert share_refused(emulator) < 0.03
