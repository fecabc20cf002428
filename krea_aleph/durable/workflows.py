"""The workflows: which stage comes next, and how long to wait before one is tried again.

A job is a workflow, and its submit is another one, on a queue where each account has one place:
the lane. Whoever is on the lane and cannot go on, for want of credit say, holds up the others, and
that is how an account pauses. What a stage has come to is one row; the whole wait for a job is one.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from dbos import DBOS, SetEnqueueOptions, SetWorkflowID
from dbos import error as refusals

from krea_aleph.durable.engine import JOB, SUBMIT, Queues
from krea_aleph.durable.letters import JobEnded
from krea_aleph.durable.stages import FOR_SOMEBODY, LOGGER, Alert, Stages
from krea_aleph.durable.tasks import LANE_PREFIX, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from krea_aleph.durable.stages import Verdict

    Stage: TypeAlias = Callable[[Task, Verdict, int], Coroutine[Any, Any, Verdict]]
    Listener: TypeAlias = Callable[[Alert], object]

AGAIN: Final = "krea_aleph.again"
"""The topic of the message that ends a rest."""
RESTS: Final = "krea_aleph.rests"
"""The event that says why a workflow rests."""

FIRST_REST = 2.0
"""Seconds before a stage is tried again; twice as many each further time."""
LONGEST_REST = 600.0


def define(
    stages: Stages, queues: Queues, active: set[str], *, poll_interval: float, alert: Listener
) -> None:
    """Make the workflows known to the engine of this process.

    The engine counts no attempts, because it counts the bystanders of a death too: see `suspects`.

    Args:
        stages: What they do.
        queues: Where they are.
        active: Has the names of those that are under way here.
        poll_interval: How often one looks whether its submit is through.
        alert: Called when somebody has to see to something.
    """

    @DBOS.workflow(name=SUBMIT, max_recovery_attempts=None)
    async def submit(text: str) -> str:
        task = Task.load(text)
        with _under_way(LANE_PREFIX + task.intent, active):
            return json.dumps(await _through(stages.submit, task, {}, alert))

    @DBOS.workflow(name=JOB, max_recovery_attempts=None)
    async def job(text: str) -> str:  # pyright: ignore[reportUnusedFunction] - the engine has it
        task = Task.load(text)
        with _under_way(task.intent, active):
            with (
                SetWorkflowID(LANE_PREFIX + task.intent),
                SetEnqueueOptions(queue_partition_key=task.account),
            ):
                lane = await DBOS.enqueue_workflow_async(queues.lane, submit, text)
            known: Verdict = json.loads(await lane.get_result(polling_interval_sec=poll_interval))
            if "saved" not in known:  # or it was there, and nothing was paid for
                known |= await _through(stages.wait, task, known, alert)
                if task.output is not None:
                    known |= await _through(stages.save, task, known, alert)
            LOGGER.info("%r is done%s", task.intent, _saved_to(known))
            return json.dumps(known)


def _saved_to(known: Verdict) -> str:
    return f": {known['saved']['path']}" if "saved" in known else ""


@contextmanager
def _under_way(workflow_id: str, active: set[str]) -> Generator[None]:
    """Note that a workflow is under way in this process.

    What is neither a job's failure nor the engine's own word is no outcome, but a fault of the way
    there. It ends the run and is not recorded, and so the workflow is taken up again.
    """
    active.add(workflow_id)
    try:
        yield
    except (JobEnded, refusals.DBOSException):
        raise
    except Exception as error:
        LOGGER.exception("%r was broken off, and will be taken up again", workflow_id)
        raise asyncio.CancelledError from error
    finally:
        active.discard(workflow_id)


async def _through(stage: Stage, task: Task, known: Verdict, alert: Listener) -> Verdict:
    """Try a stage until there is an outcome, at intervals that grow.

    Raises:
        JobEnded: It is a failure.
    """
    tries, why = 0, ""
    while True:
        verdict = await DBOS.run_step_async({"name": stage.__name__}, stage, task, known, tries)
        if "failed" in verdict:
            LOGGER.warning("%r has failed: %s", task.intent, verdict["words"])
            raise JobEnded(verdict["failed"])
        if "later" not in verdict:
            return verdict
        if verdict["why"] != why:
            tries, why = 0, verdict["why"]
            await _tell(task, verdict, alert)
        await _rest(verdict["later"], tries)
        tries += 1


async def _tell(task: Task, verdict: Verdict, alert: Listener) -> None:
    """Say once why a job rests."""
    why, words = verdict["why"], verdict["words"]
    if why not in FOR_SOMEBODY:
        LOGGER.warning("%r waits (%s): %s", task.intent, why, words)
        return

    def tell() -> dict[str, Any]:
        pause = max(verdict["later"], FIRST_REST)
        told = "account %r rests (%s): %s It is tried again in %.0f s, or when it is woken."
        LOGGER.error(told, task.account, why, words, pause)
        alert(Alert(task.account, why, words, task.intent))
        return {"why": why, "words": words, "since": time.time()}

    await DBOS.set_event_async(RESTS, await DBOS.run_step_async({"name": "alert"}, tell))


async def _rest(least: float, tries: int) -> None:
    """Wait, or until somebody says that it is worth trying again."""
    seconds = max(least, FIRST_REST) * 2.0 ** min(tries, 20)
    await DBOS.recv_async(AGAIN, timeout_seconds=min(seconds, LONGEST_REST))
