"""What must hold after every run, whatever went wrong."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import threading
import traceback
import urllib.request
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from krea_aleph import KreaError, SubmitUncertainError
from weather.leaving import is_ours
from weather.scene import SECRET

if TYPE_CHECKING:
    from weather.scene import Scene, Wish

_FREE: Final = {"failed", "cancelled"}
# What takes a key from its callable has to hold it for a moment, in which Ctrl-C may come.
_TAKING_A_KEY: Final = {"Secret.__init__", "_hidden", "_unless_awaited"}
# Threads that are nobody's fault: trio keeps idle ones for ten seconds, the virtual clock's timer
# lives for 50 ms, and the emulator's loop keeps those that have written uploads (a loop of ours has
# ended its own by then).
_PATIENT_THREADS: Final = ("Trio thread", "krea-aleph-virtual-clock", "asyncio_")
_PATIENCE: Final = 500
_PAUSE: Final = 0.01


class Violation(AssertionError):  # noqa: N818 - the word for it
    """Something that must never happen has happened; says how to see it again."""

    def __init__(self, scene: Scene, what: str) -> None:
        replay = f"PYTHONPATH=tests/support .venv/bin/python -m weather {scene.seed}"
        super().__init__(f"{what}\n  weather: {', '.join(scene.kinds)}\n  again: {replay}")

    def __reduce__(self) -> tuple[type[AssertionError], tuple[str]]:
        return AssertionError, (str(self),)  # a scene goes to no other process


# Errors


def check_error(scene: Scene, error: KreaError) -> None:
    """Hold an error to what every error promises."""
    if not type(error).__module__.startswith("krea_aleph."):
        raise Violation(scene, f"{type(error)} is none of ours")
    answers = (error.charged, error.resubmit)
    known = error.charged in {"no", "yes", "unknown"}
    if not known or error.resubmit not in {"safe", "pointless", "never"} or not error.hint:
        raise Violation(scene, f"{error!r} does not say what to do: {answers}, {error.hint!r}")
    if error.resubmit == "safe" and error.charged != "no":
        raise Violation(scene, f"{error!r} calls it safe to pay again: {answers}")
    if isinstance(error, SubmitUncertainError) and answers != ("unknown", "never"):
        raise Violation(scene, f"{error!r} is too sure of itself: {answers}")
    pickled = pickle.dumps(error)
    if pickle.loads(pickled) != error:  # noqa: S301 - our own
        raise Violation(scene, f"{error!r} does not survive pickling")
    _check_secret(scene, error, pickled)


def check_left(scene: Scene, error: BaseException) -> None:
    """Hold an interruption to the one promise that concerns it: it shows no key."""
    _check_secret(scene, error, b"")


def _check_secret(scene: Scene, error: BaseException, pickled: bytes) -> None:
    words = [repr(error), str(error), *getattr(error, "__notes__", []), repr(pickled)]
    words += traceback.format_exception(error)
    for text in words:
        refuse_secret(scene, text, type(error).__name__)
    for function, text in _locals(error):
        refuse_secret(scene, text, f"the local variables of {function}")


def _locals(error: BaseException) -> Iterator[tuple[str, str]]:
    """Yield what a debugger shows of our frames, by the names of the functions."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        for frame in _frames(found.__traceback__):
            if is_ours(frame) and frame.f_code.co_qualname not in _TAKING_A_KEY:
                with suppress(AttributeError):  # a value that is only half made
                    yield frame.f_code.co_name, repr(frame.f_locals)
        found = found.__cause__ or found.__context__


def _frames(trace: TracebackType | None) -> Iterator[FrameType]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def refuse_secret(scene: Scene, text: str, where: str) -> None:
    """Complain if a text holds a key."""
    if any(key.rpartition(":")[2] in text for key in scene.keys) or SECRET in text:
        raise Violation(scene, f"a secret shows in {where}")


# Money and files


def account_for(scene: Scene, wish: Wish) -> tuple[int, int]:
    """Return how many paid jobs of a wish are lost, and how many are there twice."""
    paid = [job for job in scene.jobs_of(wish) if job.status not in _FREE]
    known = {wish.saved.job.id} if wish.saved and wish.saved.job else set()
    known |= {error.job_id for error in wish.told if isinstance(error, KreaError) and error.job_id}
    known |= set(wish.jobs) | {event.job_id for event in scene.events}
    reported = [error for error in wish.told if isinstance(error, SubmitUncertainError)]
    notes = "".join("".join(getattr(error, "__notes__", ())) for error in wish.told)
    excused = bool(reported) or "may have been" in notes
    lost = 0 if excused else sum(job.id not in known for job in paid)
    return lost, max(0, len(paid) - 1)


def check_file(scene: Scene, wish: Wish) -> None:
    """See that what has the final name is a whole result of this wish, or what was there before."""
    expected = {path: _served(scene, wish, index) for index, path in enumerate(_paths(wish))}
    for path, results in expected.items():
        if not path.exists():
            if wish.saved is not None and path in wish.saved.paths:
                raise Violation(scene, f"{path.name} was said to be saved, and is not there")
        elif path.read_bytes() not in results:
            raise Violation(scene, f"{path.name} is neither a result nor what was there before")
    if wish.saved is not None and wish.output.read_bytes() == wish.before:
        raise Violation(scene, f"{wish.output.name} was said to be replaced, and is not")


def _paths(wish: Wish) -> list[Path]:
    second = wish.output.with_name(f"{wish.output.stem}-2{wish.output.suffix}")
    return [wish.output, second] if second.exists() else [wish.output]


def _served(scene: Scene, wish: Wish, index: int) -> list[bytes]:
    """Return the bytes that may have a name: of each job, and what was there before."""
    wanted = [wish.before] if index == 0 and wish.before is not None else []
    for job in scene.jobs_of(wish):
        if job.status == "completed":
            name = f"{job.id}-{index + 1}" if index else job.id
            url = f"{scene.emulator.base_url}/files/videos/{name}.mp4"
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            opener.addheaders = [("User-Agent", "weather")]
            with opener.open(url) as answer:
                wanted.append(answer.read())
    return wanted


def check_folder(scene: Scene) -> None:
    """See that nothing is left lying about that nobody has named."""
    named = " ".join(
        [record.getMessage() for record in scene.log]
        + ["".join([str(error), *getattr(error, "__notes__", [])]) for error in _told(scene)]
    )
    usual = {"shot.mp4"} | {f"shot{wish.number}.mp4" for wish in scene.wishes}
    usual |= {path.name for wish in scene.wishes for path in _paths(wish)}
    for path in scene.folder.iterdir():
        kept = path.name.startswith("jobs.sqlite3") or path.name in usual
        if scene.leaving.anywhere and path.suffix == ".part":
            continue  # Ctrl-C has come between its making and anybody's knowing of it
        finished = all(wish.saved is not None for wish in scene.wishes)
        if not kept and (finished or path.name not in named):
            raise Violation(scene, f"{path.name} is left behind, and nobody has said so")


def _told(scene: Scene) -> list[BaseException]:
    return [error for wish in scene.wishes for error in wish.told]


def check_updates(scene: Scene, wish: Wish) -> None:
    """See that what was told on the way is about this wish's jobs, and ends as the server says."""
    jobs = {job.id: job.status for job in scene.jobs_of(wish)}
    for update in wish.updates:
        known = jobs.get(update.job.id)  # a cancelled job may be deleted by now
        if known is None and update.job.succeeded:
            raise Violation(scene, f"{update.job} is no job of {wish.prompt}")
        if update.job.finished and known is not None and update.job.status != known:
            raise Violation(scene, f"{update.job} is {known}")


def check_uploads(scene: Scene) -> None:
    """See that what is not to be kept is deleted, and nothing that a job may still need."""
    deleted = [
        record.at
        for record in scene.emulator.requests
        if record.operation == "delete_asset" and record.status == 200
    ]
    if scene.keep_upload and deleted:
        raise Violation(scene, "an upload was deleted that was to be kept")
    for job in scene.emulator.jobs:
        url = next((str(value) for name, value in job.body.items() if "video" in name), "")
        ours = url.startswith(scene.emulator.base_url)
        if ours and scene.emulator._service.library.find(url) is None:
            ended = job.ended_at or float("inf")
            if ended > max(deleted, default=0.0):
                raise Violation(scene, f"the upload of {job.id} was deleted while it ran")
    known = not any(r.operation == "upload_asset" and r.fault for r in scene.emulator.requests)
    calm = scene.survived and not scene.twin and known
    if calm and not scene.keep_upload and scene.emulator.assets:
        raise Violation(scene, f"{scene.emulator.assets} were to be deleted")


# What stays behind in the process


class Footprint:
    """The threads and file descriptors of this process at one moment."""

    def __init__(self) -> None:
        self._threads = set(_threads())
        self._files = _open_files()

    def check(self, scene: Scene) -> None:
        """See that there are no more of them now; what is about to end is waited for."""
        patience = threading.Event()
        for _ in range(_PATIENCE):
            if not self._surplus(scene):
                return
            patience.wait(_PAUSE)
        raise Violation(scene, f"left behind: {'; '.join(self._surplus(scene))}")

    def _surplus(self, scene: Scene) -> list[str]:
        threads = [f"thread {thread.name}" for thread in set(_threads()) - self._threads]
        files = (_open_files() - self._files).elements()
        if _signalled(scene):  # between `os.open` and whatever keeps its number
            files = (name for name in files if not name.startswith(str(scene.folder)))
        return [*threads, *files]


def _threads() -> Iterator[threading.Thread]:
    for thread in threading.enumerate():
        if not thread.name.startswith(_PATIENT_THREADS) and not _of_a_server(thread):
            yield thread


def _of_a_server(thread: threading.Thread) -> bool:
    """Whether this is a worker of a loop that still runs: no client's does between the runs."""
    loop = getattr(thread, "loop", None)
    return loop is not None and loop.is_running()


def _open_files() -> Counter[str]:
    """Count what is open by name; of sockets and pipes by sort."""
    folder = Path("/proc/self/fd")
    if not folder.exists():  # another system, which only counts
        return Counter({"file": len(os.listdir("/dev/fd"))})  # noqa: PTH208 - names are enough
    found: Counter[str] = Counter()
    for entry in os.listdir(folder):  # noqa: PTH208 - names are enough
        with suppress(OSError):  # the listing itself was one
            found[os.readlink(folder / entry).partition(":[")[0]] += 1  # noqa: PTH115 - as text
    return found


def check_tasks(scene: Scene) -> None:
    """See that no task but this one is left on an event loop of asyncio's."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        raise Violation(scene, f"left behind: {others}")


class _Listener(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__(logging.DEBUG)
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record; the emulator's own are none of the library's."""
        if not record.name.startswith("krea_aleph.emulator"):
            self._records.append(record)


@contextmanager
def observed(scene: Scene) -> Iterator[None]:
    """Listen to every log, and see that there is no warning and no key in what was told."""
    listener, root = _Listener(scene.log), logging.getLogger()
    level = root.level
    unraisable: list[Any] = []
    before, sys_hook = logging.raiseExceptions, _hook(unraisable)
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as caught, sys_hook:
            warnings.simplefilter("always")
            yield
            for error in _told(scene):
                _forget_frames(error)
            gc.collect()
    finally:
        root.removeHandler(listener)
        root.setLevel(level)
        logging.raiseExceptions = before
    for warning in caught:
        if not (_signalled(scene) and issubclass(warning.category, ResourceWarning)):
            raise Violation(scene, f"warning: {warning.category.__name__}: {warning.message}")
    for what in unraisable:
        raise Violation(scene, f"unraisable: {what}")
    _check_log(scene)


def _signalled(scene: Scene) -> bool:
    """Whether a signal may have come between the making of a file or socket and its taking.

    Python's own functions have such moments, as `socket.create_connection` has. The collector
    closes what was made, and says so in a ResourceWarning; a bare descriptor stays open.
    """
    return scene.colour == "sync" and "leave" in scene.groups


def _forget_frames(error: BaseException) -> None:
    """Let go of everything that an error's frames hold, so that what leaks shows in this run."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            found.__traceback__ = None
            waiting += [found.__cause__, found.__context__]


@contextmanager
def _hook(found: list[str]) -> Iterator[None]:
    import sys  # noqa: PLC0415 - its hook alone

    before = sys.unraisablehook
    sys.unraisablehook = lambda what: found.append(f"{what.err_msg} {what.exc_value!r}")
    try:
        yield
    finally:
        sys.unraisablehook = before


def _check_log(scene: Scene) -> None:
    tokens = [(job.webhook_url or "").rpartition("/")[2] for job in scene.emulator.jobs]
    told = "".join(r.getMessage() for r in scene.log if r.name.startswith("krea_aleph"))
    told += "".join(str(error) for error in _told(scene)) + repr(scene.events)
    if any(token and token in told for token in tokens):
        raise Violation(scene, "the address of a webhook is told")
    for record in scene.log:
        text = f"{record.getMessage()} {record.exc_text}"
        refuse_secret(scene, text, f"the log of {record.name}")
        broken = record.name.startswith("uvicorn") and record.levelno >= logging.ERROR
        if broken:
            raise Violation(scene, f"the emulator broke: {record.getMessage()} {record.exc_info}")
    for event in scene.events:
        refuse_secret(scene, repr(event), "an event")
