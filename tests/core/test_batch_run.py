"""The book that a batch keeps: what was reserved and paid, by however many threads at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from krea_aleph._batch_run import Options, Run

from .transcript import configured

MOST = 7


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A batch that may submit a few times."""
    options = Options(
        output_dir=tmp_path,
        max_inflight=1,
        max_submits=MOST,
        stop_after_failures=None,
        retry_failed=True,
        ordered=False,
        no_credit="stop",
        exists="keep",
        delete_uploads=False,
        wait_timeout=None,
    )
    return Run(configured(), options)


def test_no_more_is_reserved_than_may_be_paid(run: Run) -> None:
    """Of many threads that ask at once, exactly as many are told yes as `max_submits` has."""
    start = threading.Barrier(8)
    told: list[bool] = []

    def asks() -> None:
        start.wait()
        told.extend(run.reserve() for _ in range(5))

    threads = [threading.Thread(target=asks) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (told.count(True), told.count(False)) == (MOST, 40 - MOST)
    assert run.all_reserved


def test_what_was_not_paid_may_be_tried_again(run: Run) -> None:
    """A refused submit gives its place back; the last one that is paid ends the submitting."""
    for _ in range(MOST):
        assert run.reserve()
    run.settle(paid=False)
    assert not run.all_reserved
    assert run.reserve()
    for _ in range(MOST - 1):
        run.settle(paid=True)
    assert not run.over
    run.settle(paid=True)
    assert run.over
    assert run.ending is None
