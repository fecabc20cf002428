"""The two drivers, in three colours: scripted operations, a clock that only counts."""

import asyncio
import linecache
import logging
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from types import FrameType
from typing import Any, TypeVar, cast

import anyio
import pytest

from krea_aleph import _drivers
from krea_aleph._drivers import AsyncDriver, Flight, SyncDriver
from krea_aleph._steps import (
    Call,
    CleanUp,
    Fetch,
    Request,
    Response,
    Send,
    Step,
    Steps,
    TransportFault,
    call,
    clean_up,
    draw,
    emit,
    fetch,
    now,
    refresh_key,
    report,
    send,
    sleep,
    today,
)
from krea_aleph._telemetry import publish
from krea_aleph.clocks import Ring
from krea_aleph.errors import KreaError
from krea_aleph.models import Bell, Event, Job, Update

from .transcript import KEY, Served, configured

T = TypeVar("T")

COLOURS = ["sync", "asyncio", "trio"]
REQUEST = Request("get_job", "GET", "/jobs/j1")
UPDATES = [Update(Job("j1", status), 0.0) for status in ("queued", "processing", "completed")]


class Ticking:
    """A clock that counts: sleeping moves it, and it notes when something is in flight."""

    def __init__(self) -> None:
        self.now = 50.0
        self.in_flight = 0

    def monotonic(self) -> float:
        """Return seconds."""
        return self.now

    def time(self) -> float:
        """Return Unix seconds."""
        return 1000.0 + self.now

    def sleep(self, seconds: float, bell: Bell | None = None) -> None:
        """Move on, unless a bell has rung."""
        rung: list[bool] = []
        with nullcontext() if bell is None else bell.waking(lambda: rung.append(True)):
            self.now += 0.0 if rung else seconds

    async def asleep(self, seconds: float, bell: Bell | None = None) -> None:
        """Move on, unless a bell has rung."""
        await anyio.lowlevel.checkpoint()
        self.sleep(seconds, bell)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Note that something is in flight."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1


class Wire:
    """A pool of connections that answers by a function, in both colours."""

    def __init__(self, clock: Ticking, reply: Callable[[Send, float | None], Any]) -> None:
        self._clock = clock
        self._reply = reply
        self.keys: list[str] = []

    def exchange(self, step: Send, key: Any, limit: float | None) -> Response:
        """Answer a request."""
        assert self._clock.in_flight
        self.keys.append(key.reveal())
        reply = self._reply(step, limit)
        if isinstance(reply, BaseException):
            raise reply
        return cast("Response", reply)

    def fetch(self, step: Fetch) -> Response:
        """Answer a download."""
        assert self._clock.in_flight
        step.sink.begin(200, {})
        step.sink.write(b"data")
        return Response(200, {})


class AsyncWire(Wire):
    """The same, to be awaited; a reply may be awaited too."""

    async def exchange(self, step: Send, key: Any, limit: float | None) -> Response:  # type: ignore[override]
        """Answer a request."""
        await anyio.lowlevel.checkpoint()
        reply = self._reply(step, limit)
        if hasattr(reply, "__await__"):
            reply = await reply
        self.keys.append(key.reveal())
        if isinstance(reply, BaseException):
            raise reply
        return cast("Response", reply)

    async def fetch(self, step: Fetch) -> Response:  # type: ignore[override]
        """Answer a download."""
        await anyio.lowlevel.checkpoint()
        return super().fetch(step)


class Rig:
    """A driver of one colour, with what is around it."""

    def __init__(self, colour: str, reply: Any = None, **options: Any) -> None:
        self.colour = colour
        self.clock = Ticking()
        self.config = configured(clock=self.clock, **options)
        kind = Wire if colour == "sync" else AsyncWire
        self.wire = kind(self.clock, reply or (lambda *_: Response(200, {})))

    def run(self, operation: Steps[T], on_update: Any = None) -> T:
        """Perform an operation."""
        if self.colour == "sync":
            return SyncDriver(self.config, cast("Any", self.wire)).run(operation, on_update)
        driver = AsyncDriver(self.config, cast("Any", self.wire))
        return anyio.run(driver.run, operation, on_update, backend=self.colour)

    def iterate(self, operation: Steps[object], most: int = 99) -> list[Any]:
        """Take so many updates of an operation, and leave it."""
        if self.colour == "sync":
            updates = SyncDriver(self.config, cast("Any", self.wire)).iterate(operation)
            found = list(islice(updates, most))
            cast("Any", updates).close()
            return found
        driver = AsyncDriver(self.config, cast("Any", self.wire))
        return anyio.run(_take, driver.iterate(operation), most, backend=self.colour)


async def _take(updates: AsyncIterator[Any], most: int) -> list[Any]:
    found: list[Any] = []
    async for update in updates:
        found.append(update)
        if len(found) == most:
            break
    await cast("Any", updates).aclose()
    return found


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> str:
    """One of the three colours."""
    return cast("str", request.param)


class Heap:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""

    def begin(self, status: int, headers: Any) -> bool:
        """Take every answer."""
        return status == 200 and headers == {}

    def write(self, data: bytes) -> None:
        """Keep a piece."""
        self.data += data


def every_step(sink: Heap) -> Steps[dict[str, Any]]:
    """Yield each kind of step once."""
    found: dict[str, Any] = {"begun": (yield from now())}
    yield from sleep(7.0)
    found["now"] = yield from now()
    found["today"] = yield from today()
    found["draw"] = yield from draw()
    found["send"] = yield from send(REQUEST, max_idle=2.0)
    found["fetch"] = yield from fetch("https://g.example/o.mp4", {}, sink)
    found["call"] = yield from call(threading.get_ident)
    found["renewed"] = yield from refresh_key(1)
    yield from report(Event("changed", "default"))
    yield from emit(UPDATES[0])
    return found


def test_every_step(colour: str) -> None:
    """Each step is performed, and its result comes back; files are no event loop's business."""
    events: list[Event] = []
    shown: list[Update] = []
    rig, sink = Rig(colour, on_event=events.append), Heap()
    found = rig.run(every_step(sink), shown.append)
    assert (found["begun"], found["now"], found["today"]) == (50.0, 57.0, 1057.0)
    assert 0 <= found["draw"] < 1
    assert (found["send"].status, found["fetch"].status, sink.data) == (200, 200, b"data")
    assert (found["call"] == threading.get_ident()) is (colour == "sync")
    assert found["renewed"] is False
    assert (rig.wire.keys, [event.kind for event in events]) == ([KEY], ["changed"])
    assert shown == [UPDATES[0]]
    assert rig.clock.in_flight == 0


def test_a_bell_ends_a_pause(colour: str) -> None:
    """Both drivers hand the bell to the clock."""
    bell = Ring(1, lambda: None)

    def operation() -> Steps[float]:
        yield from sleep(7.0, bell)
        return (yield from now())

    assert Rig(colour).run(operation()) == 50.0
    assert Rig(colour).run(operation()) == 50.0  # it goes on ringing, as nobody has heard it


def test_a_step_that_nobody_knows(colour: str) -> None:
    """A step that no driver performs is a TypeError, thrown into the operation."""

    def operation() -> Steps[str]:
        try:
            yield cast("Step", "surprise")
        except TypeError as error:
            return str(error)
        return "performed"

    assert Rig(colour).run(operation()) == "no driver performs str"


def test_keys(colour: str) -> None:
    """The key is asked for at the first request, its generation is on the answer, and it renews."""
    keys = iter(["a:1", "b:2"])

    def operation() -> Steps[list[Any]]:
        first = yield from send(REQUEST)
        renewed = yield from refresh_key(first.key_generation)
        second = yield from send(REQUEST)
        return [first.key_generation, renewed, second.key_generation]

    rig = Rig(colour, api_key=lambda: next(keys))
    assert rig.run(operation()) == [1, True, 2]
    assert rig.wire.keys == ["a:1", "b:2"]


def test_a_fault_is_thrown_in(colour: str) -> None:
    """What a step raises is raised where it was yielded, and the operation may go on."""

    def operation() -> Steps[str]:
        try:
            yield from send(REQUEST)
        except TransportFault as fault:
            yield from sleep(1.0)
            return str(fault)
        return "answered"

    rig = Rig(colour, lambda *_: TransportFault("cut off", sent=True))
    assert rig.run(operation()) == "cut off"
    assert rig.clock.now == 51.0


@pytest.mark.parametrize("error", [KreaError("ours"), ValueError("a bug"), KeyboardInterrupt()])
def test_what_an_operation_does_not_handle_is_raised(colour: str, error: BaseException) -> None:
    """Errors, bugs and interruptions come out as they went in."""

    def operation() -> Steps[None]:
        yield from sleep(1.0)
        raise error

    with pytest.raises(type(error)) as caught:
        Rig(colour).run(operation())
    assert caught.value is error


def updates() -> Steps[str]:
    """Show three updates."""
    for update in UPDATES:
        yield from emit(update)
        yield from sleep(1.0)
    return "done"


def test_updates_are_shown_in_order(colour: str) -> None:
    """A callback sees each update; without one nothing is lost but the view."""
    shown: list[Update] = []
    rig = Rig(colour)
    assert rig.run(updates(), shown.append) == "done"
    assert shown == UPDATES
    assert rig.run(updates()) == "done"


def test_a_coroutine_function_is_awaited() -> None:
    """An asynchronous client awaits what a callback returns."""
    shown: list[str] = []

    async def show(update: Update) -> None:
        await anyio.lowlevel.checkpoint()
        shown.append(update.job.status)

    for backend in ("asyncio", "trio"):
        assert Rig(backend).run(updates(), show) == "done"
    assert shown == ["queued", "processing", "completed"] * 2


def broken(_: Any) -> None:
    """Fail, as a callback may."""
    message = "a bug of the user's"
    raise RuntimeError(message)


async def abroken(_: Any) -> None:
    """Fail late."""
    broken(_)


@pytest.mark.parametrize(
    ("colour", "callback"),
    [("sync", broken), ("asyncio", broken), ("trio", broken), ("asyncio", abroken)],
)
def test_a_broken_callback_never_breaks_a_job(
    colour: str, callback: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What a callback raises is logged, and the job goes on."""
    assert Rig(colour).run(updates(), callback) == "done"
    assert caplog.text.count("on_update raised; the job is not affected") == 3


def test_iterating(colour: str) -> None:
    """A loop gets the updates one by one, and what is between them is performed."""
    rig = Rig(colour)
    assert rig.iterate(updates()) == UPDATES
    assert rig.clock.now == 53.0


def test_leaving_a_loop_closes_the_operation(colour: str) -> None:
    """Leaving early closes the operation, which performs nothing more."""
    closed = []

    def operation() -> Steps[None]:
        try:
            yield from updates()
        finally:
            closed.append(True)

    rig = Rig(colour)
    assert rig.iterate(operation(), most=2) == UPDATES[:2]
    assert (closed, rig.clock.now) == ([True], 51.0)


def test_a_loop_gets_the_error(colour: str) -> None:
    """An operation that fails raises in the loop, after the updates before it."""

    def operation() -> Steps[None]:
        yield from emit(UPDATES[0])
        raise KreaError("it ended")

    with pytest.raises(KreaError, match="it ended"):
        Rig(colour).iterate(operation())


def interrupted() -> None:
    """Interrupt."""
    raise KeyboardInterrupt


def test_cleaning_up_after_an_interruption(colour: str) -> None:
    """After Ctrl-C the steps of the clean-up are performed within 5 s, then Ctrl-C goes on."""
    limits: list[float | None] = []
    log: list[Any] = []

    def reply(_: Send, limit: float | None) -> Response:
        limits.append(limit)
        return Response(200, {})

    def operation() -> Steps[None]:
        try:
            yield from call(interrupted)
        except KeyboardInterrupt:
            log.append((yield from send(REQUEST)).status)
            raise

    rig = Rig(colour, reply)
    with pytest.raises(KeyboardInterrupt):
        rig.run(operation())
    assert log == [200]
    assert all(limit is not None and 4.0 < limit <= 5.0 for limit in limits)


def test_a_clean_up_runs_out_of_time(colour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time is over every further step of a clean-up is a fault at once."""
    monkeypatch.setattr(_drivers, "CLEANUP_SECONDS", 0.0)

    def operation() -> Steps[str]:
        yield from clean_up()
        try:
            yield from send(REQUEST)
        except TransportFault as fault:
            return str(fault)
        return "sent"

    rig = Rig(colour)
    assert rig.run(operation()) == "no time was left to clean up"
    assert rig.wire.keys == []


def test_what_takes_no_time_is_done_even_so(
    colour: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the time is over what was left behind is still told, and Ctrl-C stays Ctrl-C."""
    monkeypatch.setattr(_drivers, "CLEANUP_SECONDS", 0.0)

    def operation() -> Steps[None]:
        try:
            yield from emit(UPDATES[0])
        except KeyboardInterrupt:
            yield from report(Event("left", "studio", "j1"))
            raise

    def interrupt(_: Update) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Rig(colour).run(operation(), interrupt)
    assert "left account=studio job=j1" in caplog.text


def test_pauses_of_a_clean_up_are_cut() -> None:
    """A pause in a clean-up takes no longer than the clean-up may, where nothing can break it."""

    def operation() -> Steps[None]:
        yield from clean_up()
        yield from sleep(60.0)

    rig = Rig("sync")
    rig.run(operation())
    assert rig.clock.now <= 55.0


def test_a_request_that_hangs_in_a_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that does not come is given up when the time for the clean-up is over."""
    monkeypatch.setattr(_drivers, "CLEANUP_SECONDS", 0.05)

    def operation() -> Steps[str]:
        yield from clean_up()
        try:
            yield from send(REQUEST)
        except TransportFault as fault:
            return f"{fault}, sent: {fault.sent}"
        return "answered"

    for backend in ("asyncio", "trio"):
        rig = Rig(backend, lambda *_: anyio.sleep_forever())
        assert rig.run(operation()) == "no time was left to clean up, sent: True"


def test_whoever_insists_gets_out() -> None:
    """A second interruption ends the clean-up at once."""
    log: list[Any] = []
    rig = Rig("sync", lambda *_: SystemExit(3))

    def operation() -> Steps[None]:
        try:
            yield from call(interrupted)
        except KeyboardInterrupt:
            log.append("cleaning")
            yield from send(REQUEST)
            log.append("never")

    with pytest.raises(SystemExit):
        rig.run(operation())
    assert log == ["cleaning"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelling_a_task(backend: str) -> None:
    """A cancelled task cleans up shielded from its cancellation, which then goes on."""
    log: list[Any] = []

    def operation() -> Steps[None]:
        try:
            yield from send(REQUEST)
        except BaseException:
            log.append((yield from send(Request("delete_job", "DELETE", "/jobs/j1"))).status)
            raise

    def reply(step: Send, _: float | None) -> Any:
        hangs = step.request.operation == "get_job"
        return anyio.sleep_forever() if hangs else Response(200, {})

    rig = Rig(backend, reply)

    async def main() -> bool:
        driver = AsyncDriver(rig.config, cast("Any", rig.wire))
        with anyio.move_on_after(0.02) as scope:
            await driver.run(operation())
        return scope.cancelled_caught

    assert anyio.run(main, backend=backend)
    assert log == [200]


def test_an_interruption_in_a_callback(colour: str) -> None:
    """Ctrl-C in a callback reaches the operation, which may clean up."""
    log: list[str] = []

    def operation() -> Steps[None]:
        try:
            yield from emit(UPDATES[0])
        except KeyboardInterrupt:
            log.append("told")
            raise

    def callback(_: Update) -> None:
        interrupted()

    with pytest.raises(KeyboardInterrupt):
        Rig(colour).run(operation(), callback)
    assert log == ["told"]


def test_a_flight_by_hand() -> None:
    """A flight holds the step that is wanted, the result once there is one, and its time."""
    flight = Flight(updates())
    flight.send(None)
    assert flight.limit() is None
    flight.clean_up()
    ends = flight.limit()
    assert ends is not None
    assert ends <= 5.0
    flight.clean_up()
    time.sleep(0.002)
    later = flight.limit()
    assert later is not None
    assert later < ends  # the time does not begin anew
    while flight.step is not None:
        flight.send(None)
    assert flight.result == "done"
    flight.close()


def test_events_are_logged_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """At debug level each event is a line of facts; what is not known is left out."""
    caplog.set_level(logging.DEBUG, "krea_aleph")
    publish(Event("request", "studio", "j1", 1.23456, {"status": 200}), None)
    publish(Event("changed", "studio"), None)
    assert [record.message for record in caplog.records] == [
        "request account=studio job=j1 status=200 seconds=1.235",
        "changed account=studio",
    ]
    caplog.clear()
    caplog.set_level(logging.INFO, "krea_aleph")
    publish(Event("changed", "studio"), None)
    assert caplog.records == []


def test_a_broken_listener_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What `on_event` raises goes no further than the log."""
    publish(Event("changed", "studio"), broken)
    assert "on_event raised; the job is not affected" in caplog.text


def test_steps_are_values() -> None:
    """Steps compare by what they ask for, and have the defaults of a plain request."""
    assert Send(REQUEST) == Send(Request("get_job", "GET", "/jobs/j1"), None, None)
    assert (REQUEST.params, REQUEST.headers, REQUEST.json, REQUEST.body) == ({}, {}, None, None)
    assert CleanUp() == CleanUp()
    assert Call(interrupted).function is interrupted
    assert [Response(status, {}).success for status in (199, 200, 299, 300)] == [
        False,
        True,
        True,
        False,
    ]
    assert Served().pieces == ()


def test_asyncios_own_cancellation_waits_for_a_worker_thread() -> None:
    """What a thread has begun has ended when the operation goes on: nothing is half done then."""
    begun, may_end = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        begun.set()
        may_end.wait(10)
        done.append("worked")

    def operation() -> Steps[None]:
        try:
            yield from call(work)
        finally:
            done.append("went on")

    async def main() -> None:
        config = configured(clock=Ticking())
        task = asyncio.ensure_future(AsyncDriver(config, cast("Any", None)).run(operation()))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        assert not done
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert done == ["worked", "went on"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_between_two_steps_reaches_the_operation(kind: type[BaseException]) -> None:
    """A step that was performed is known to the operation even if its result never arrived."""
    told: list[str] = []

    def operation() -> Steps[None]:
        try:
            yield from now()
        except kind:
            told.append("interrupted")
            raise

    def trace(frame: FrameType, event: str, _: object) -> Any:
        ours = frame.f_code.co_filename == _drivers.__file__
        at_send = "flight.send(reply)" in linecache.getline(_drivers.__file__, frame.f_lineno)
        if ours and event == "line" and at_send:
            raise kind
        return trace if ours else None

    driver = SyncDriver(configured(clock=Ticking()), cast("Any", None))
    sys.settrace(trace)
    try:
        with pytest.raises(kind):
            driver.run(operation())
    finally:
        sys.settrace(None)
    assert told == ["interrupted"]


def test_ctrl_c_within_an_operation_is_its_own() -> None:
    """What has come out of an operation that is over is not thrown into it again."""

    def operation() -> Steps[None]:
        yield from now()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SyncDriver(configured(clock=Ticking()), cast("Any", None)).run(operation())


def test_words_of_a_server_cannot_look_like_lines_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A status with a line end in it is one line, and no control character comes through."""
    status = "queued\n2027-01-01 submitted job=forged\x1b[2J"
    with caplog.at_level(logging.DEBUG, "krea_aleph"):
        publish(Event("changed", "default", "j1", attributes={"status": status}), None)
    assert "\n" not in caplog.messages[0]
    assert "\x1b" not in caplog.messages[0]
