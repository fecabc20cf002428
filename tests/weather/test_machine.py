"""Any order of the public verbs, with faults, crashes and restarts in between.

What the random runs find by numbers, this finds small: hypothesis shrinks what fails to the fewest
steps. Everything is of one account with one store; an intent's prompt tells its job on the server.
"""

from __future__ import annotations

import itertools
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from colours import COLOURS, Awaited
from krea_aleph import Job, KreaError, Saved, SQLiteStore, SubmitUncertainError
from krea_aleph.emulator import Emulator, Fault, VirtualClock
from weather.checks import check_error
from weather.folders import fast_folder
from weather.leaving import ShakyClock

URL = "https://example.com/in.mp4"
KEY = "emulator-id:emulator-secret"
CREATE, LIST, LOOK, DOWNLOAD = "create_aleph_job", "list_jobs", "get_job", "download"
INTENTS = st.sampled_from(("a", "b", "c"))
FAULTS = st.sampled_from(
    (
        Fault(operation=CREATE, drop="after"),
        Fault(operation=CREATE, drop="before"),
        Fault(operation=CREATE, status=502, body="<html></html>"),
        Fault(operation=CREATE, status=524, accept=True),
        Fault(operation=CREATE, status=429),
        Fault(operation=CREATE, status=402),
        Fault(operation=CREATE, cut=10),
        Fault(operation=LIST, times=5, status=503),
        Fault(operation=LIST, truncate=3),
        Fault(operation=LOOK, status=503),
        Fault(operation=LOOK, drop="before"),
        Fault(operation=DOWNLOAD, cut=1000),
        Fault(operation=DOWNLOAD, status=404),
    )
)


class Machine(RuleBasedStateMachine):
    """A customer who does anything in any order."""

    emulator: ClassVar[Emulator]
    portals: ClassVar[dict[str, Any]]

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = tempfile.TemporaryDirectory(dir=fast_folder())
        self._folder = Path(self._stack.enter_context(folder))
        self.emulator.reset()
        self.emulator.clock = VirtualClock()
        self._promises: Any = SimpleNamespace(seed="a machine", kinds={}, keys=[KEY])
        self._told: dict[str, str] = {}
        self._open: dict[str, SubmitUncertainError] = {}
        self._left: set[str] = set()
        self._client: Any = None

    @initialize(colour=st.sampled_from(COLOURS), exclusive=st.booleans())
    def begin(self, colour: str, *, exclusive: bool) -> None:
        """Open a client."""
        self._colour, self._exclusive = colour, exclusive
        self._reopen()

    def teardown(self) -> None:
        """In good weather, each intent ends as the one job that it may have."""
        with self._stack:
            if self._client is not None:
                self._stack.callback(self._close)
                self.emulator._faults.clear()
                self.restart()
                for intent in sorted({*self._told, *self._open, *self._left}):
                    self._resolve(intent)
                    assert len(self._jobs(intent)) == 1
                self.everything_is_known()

    def _close(self) -> None:
        self._client.close()
        self._store.close()

    def _resolve(self, intent: str) -> None:
        came = self._call(lambda: self._client.submit(URL, intent, intent=intent))
        if isinstance(came, SubmitUncertainError):
            assert not self._exclusive
            came = self._client.adopt(came, self._jobs(intent)[0])
        assert isinstance(came, Job)
        self._note(intent, came)

    def _reopen(self, touch: Callable[[], None] | None = None) -> None:
        options: dict[str, Any] = {"store": SQLiteStore(self._folder / "jobs.sqlite3")}
        self._store = options["store"]
        options["exclusive"] = self._exclusive
        if touch is not None:
            options["clock"] = ShakyClock(self.emulator.clock, touch)
        self._client = self._made(options)

    def _made(self, options: dict[str, Any]) -> Any:
        if self._colour == "sync":
            return self.emulator.aleph(virtual_time=True, **options)
        portal = self.portals[self._colour]
        return Awaited(self.emulator.async_aleph(virtual_time=True, **options), portal)

    def _call(self, call: Callable[[], Any]) -> Any:
        """Make a call, and return what came; an error is held to what every error promises."""
        try:
            return call()
        except KreaError as error:
            check_error(self._promises, error)
            return pickle.loads(pickle.dumps(error))  # noqa: S301 - our own

    def _jobs(self, intent: str) -> list[str]:
        return [job.id for job in self.emulator.jobs if job.body.get("prompt") == intent]

    def _note(self, intent: str, came: object) -> None:
        if isinstance(came, Job):
            assert [came.id] == self._jobs(intent)
            assert self._told.setdefault(intent, came.id) == came.id
            self._open.pop(intent, None)
            self._left.discard(intent)
        elif isinstance(came, SubmitUncertainError):
            self._open[intent] = came
            self._left.discard(intent)

    # What the customer does

    @rule(intent=INTENTS)
    def submit(self, intent: str) -> None:
        """Submit under an intent, for the first time or again."""
        came = self._call(lambda: self._client.submit(URL, intent, intent=intent))
        self._note(intent, came)

    @rule(intent=INTENTS, settle=st.sampled_from((0.0, 60.0)))
    def recover(self, intent: str, settle: float) -> None:
        """Ask what became of a submit whose answer was lost."""
        if intent not in self._open:
            return
        error = self._open[intent]
        came = self._call(lambda: self._client.recover(error, settle=settle))
        if came is None:
            assert not self._jobs(intent)
            del self._open[intent]
        elif isinstance(came, SubmitUncertainError):
            assert not self._exclusive
            assert {*self._jobs(intent)} <= {job.id for job in came.candidates}
        self._note(intent, came)

    @rule(intent=INTENTS)
    def adopt(self, intent: str) -> None:
        """Decide which job it was, as a human who has looked."""
        if intent in self._open and self._jobs(intent):
            error, job_id = self._open[intent], self._jobs(intent)[0]
            self._note(intent, self._call(lambda: self._client.adopt(error, job_id)))

    @rule(intent=INTENTS, wait_timeout=st.sampled_from((1.0, 600.0)))
    def wait(self, intent: str, wait_timeout: float) -> None:
        """Wait for a job that is known."""
        if intent in self._told:
            job_id = self._told[intent]
            came = self._call(lambda: self._client.wait(job_id, wait_timeout=wait_timeout))
            if isinstance(came, Job):
                assert came.status in {
                    job.status for job in self.emulator.jobs if job.id == came.id
                }

    @rule(intent=INTENTS)
    def cancel(self, intent: str) -> None:
        """Cancel a job that is known."""
        if intent in self._told:
            self._call(lambda: self._client.cancel(self._told[intent]))

    @rule(intent=INTENTS)
    def download(self, intent: str) -> None:
        """Save the result of a job that is known."""
        if intent in self._told:
            output = self._folder / f"{intent}.mp4"
            job_id = self._told[intent]
            came = self._call(lambda: self._client.download(job_id, output, exists="keep"))
            assert output.exists() or not isinstance(came, Saved)

    # What happens to the customer

    @rule(fault=FAULTS)
    def fault(self, fault: Fault) -> None:
        """Let something go wrong, next time."""
        self.emulator.fault(fault)

    @rule(seconds=st.sampled_from((1.0, 70.0)))
    def time_passes(self, seconds: float) -> None:
        """Do nothing for a while."""
        self.emulator.clock.sleep(seconds)

    @precondition(lambda self: not self._exclusive)
    @rule()
    def strangers(self) -> None:
        """Somebody else on the account submits a job."""
        self.emulator.foreign(1, seconds=1.0)

    @rule()
    def restart(self) -> None:
        """End the program and begin anew: nothing is left but the store."""
        self._close()
        self._reopen()

    @precondition(lambda self: self._colour == "sync")
    @rule(intent=INTENTS, step=st.integers(1, 25))
    def crash(self, intent: str, step: int) -> None:
        """Submit, and have the program end in the middle of it."""
        self._restart_with(step)
        try:
            self._note(intent, self._call(lambda: self._client.submit(URL, intent, intent=intent)))
        except KeyboardInterrupt:
            self._left.add(intent)
        self.restart()

    def _restart_with(self, step: int) -> None:
        count = itertools.count(1)

        def touch() -> None:
            if next(count) == step:
                raise KeyboardInterrupt

        self._close()
        self._reopen(touch)

    # What must always hold

    @invariant()
    def everything_is_known(self) -> None:
        """No intent has two jobs, and of each job the customer or the store has been told."""
        for intent in ("a", "b", "c"):
            jobs = self._jobs(intent)
            assert len(jobs) <= 1, f"{intent} was paid twice"
            record = self._store.read("default", intent) if self._client else None
            if record is not None and record.job_id is not None:
                assert {record.job_id} >= {*jobs}
            if jobs and intent not in {*self._told, *self._open, *self._left}:
                pytest.fail(f"{intent} has job {jobs}, and nobody knows")

    @invariant()
    def files_are_whole(self) -> None:
        """What has the final name is all of it."""
        for path in self._folder.glob("*.mp4"):
            assert path.stat().st_size == 65_536


@pytest.fixture
def machine() -> Iterator[type[Machine]]:
    """The machine, with servers and event loops that all its runs share."""
    with (
        Emulator(render=False, job_seconds=12.0) as Machine.emulator,
        start_blocking_portal("asyncio") as asyncio_portal,
        start_blocking_portal("trio") as trio_portal,
    ):
        Machine.portals = {"asyncio": asyncio_portal, "trio": trio_portal}
        yield Machine


@pytest.mark.parametrize("examples", [25, pytest.param(1500, marks=pytest.mark.long)])
def test_any_order_of_verbs(machine: type[Machine], examples: int) -> None:
    """Whatever is done in whatever order: one job for an intent, and nobody loses sight of it."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
