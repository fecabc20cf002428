"""A customer who does what the library says, and nothing else, until each wish is fulfilled.

In bad weather the customer calls `transform` once or twice. Afterwards the weather is good, and
whatever was left open is resolved: with `recover`, with `adopt` where a human has to decide, with
`wait` and `download`, or with another `transform` where the library's own words allow it.
"""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import anyio

from krea_aleph import Job, JobError, KreaError, Saved, SubmitUncertainError
from weather.checks import Violation, check_error, check_left
from weather.leaving import Left
from weather.scene import Scene, Wish

_JOB_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ROUNDS: Final = 8
# Beside the wait: settling, the retry policy's minute for each transfer, waiting for one's turn.
_MARGIN: Final = 900.0
_AUTO_SECONDS: Final = 7800.0
_BACKLOG_SECONDS: Final = 12_100.0


class Blocking:
    """A client that blocks, called as if it were awaited."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            return method(*arguments, **options)

        return call


class Customer:
    """Somebody with wishes, a client for bad weather, and perhaps another one for afterwards."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    async def in_bad_weather(self, client: Any) -> None:
        """Call `transform` for every wish, and again where that is said to be safe."""
        scene = self._scene
        together = scene.colour != "sync" and not scene.leaving.steps and scene.dice.random() < 0.3
        if together and len(scene.wishes) > 1 and scene.leaving.seconds is None:
            async with anyio.create_task_group() as tasks:
                for wish in scene.wishes:
                    tasks.start_soon(self._try, client, wish, 1)
            return
        for wish in scene.wishes:
            await self._try(client, wish, scene.dice.randint(1, 2))

    async def afterwards(self, client: Any) -> None:
        """Resolve what is open, in good weather."""
        for wish in self._scene.wishes:
            for _ in range(_ROUNDS):
                if wish.ended:
                    break
                await self._resolve(client, wish)
            else:
                raise Violation(self._scene, f"{wish.prompt} is still open")

    async def _try(self, client: Any, wish: Wish, times: int) -> None:
        for _ in range(times):
            if not wish.may_submit or wish.ended:
                break
            await (self._both if self._scene.twin else self._transform)(client, wish)
            if wish.uncertain is not None and self._scene.dice.random() < 0.3:
                await self._recover(client, wish, wish.uncertain)

    async def _both(self, client: Any, wish: Wish) -> None:
        """Have a wish together with somebody else, who has another client on the same store."""
        scene, intent = self._scene, wish.intent
        if scene.colour == "sync":
            with (
                scene.emulator.aleph(**scene.twin_options()) as twin,
                ThreadPoolExecutor(1) as pool,
            ):
                other = pool.submit(twin.submit, scene.video_of(wish), wish.prompt, intent=intent)
                await self._transform(client, wish)
                self._note_twin(wish, other.exception() or other.result())
            return
        async with scene.emulator.async_aleph(**scene.twin_options()) as twin:

            async def have_it_too() -> None:
                try:
                    video = scene.video_of(wish)
                    came: object = await twin.submit(video, wish.prompt, intent=intent)
                except Exception as error:  # noqa: BLE001 - looked at below
                    came = error
                self._note_twin(wish, came)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(have_it_too)
                await self._transform(client, wish)

    def _note_twin(self, wish: Wish, came: object) -> None:
        """Hold what somebody else was told to the same promises."""
        if isinstance(came, KreaError):
            check_error(self._scene, came)
            wish.told.append(came)
        elif not isinstance(came, Job):
            raise Violation(self._scene, f"{came!r} is none of ours")
        elif came.id not in {job.id for job in self._scene.jobs_of(wish)}:
            raise Violation(self._scene, f"{came} is no job of {wish.prompt}")

    async def _transform(self, client: Any, wish: Wish) -> None:
        scene = self._scene
        wish.may_submit = False
        named = {} if scene.store is None else {"intent": wish.intent}
        exists = "error" if wish.before is None else "replace"
        await self._call(
            wish,
            lambda: client.transform(
                scene.video_of(wish),
                wish.prompt,
                wish.output,
                exists=exists,
                wait_timeout=scene.wait_timeout,
                on_update=lambda update: scene.update(wish, update),
                keep_upload=scene.keep_upload,
                **named,
            ),
        )

    async def _resolve(self, client: Any, wish: Wish) -> None:
        if wish.jobs:
            await self._finish(client, wish, wish.jobs[-1])
        elif wish.uncertain is not None:
            await self._recover(client, wish, wish.uncertain)
        elif wish.perhaps and self._scene.store is None:
            await self._search(client, wish)
        else:
            wish.perhaps = False
            await self._transform(client, wish)

    async def _finish(self, client: Any, wish: Wish, job_id: str) -> None:
        """Wait for a job that is known by its id, and download it."""
        job = await self._call(wish, lambda: client.wait(job_id))
        if isinstance(job, Job):
            await self._call(wish, lambda: client.download(job, wish.output, exists="replace"))

    async def _recover(self, client: Any, wish: Wish, error: KreaError) -> None:
        """Ask what became of a lost request; where the library cannot tell, look for oneself."""
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - as another process gets it
        wish.uncertain = None
        told = self._told_of(wish)
        found = await self._call(wish, lambda: client.recover(copy))
        if told and isinstance(found, SubmitUncertainError):
            raise Violation(self._scene, f"{told} came on its own path, and is not known: {found}")
        if found is None:
            wish.may_submit = True
        elif isinstance(found, Job):
            wish.jobs = [found.id]
        elif isinstance(found, SubmitUncertainError):
            await self._decide(client, wish, found)
        elif isinstance(found, Left) or not wish.may_submit:
            wish.uncertain, wish.may_submit = error, False  # the question is still open

    def _told_of(self, wish: Wish) -> set[str]:
        """Return the jobs of a wish of which a webhook on their own paths was taken."""
        paths = {(job.webhook_url, job.id) for job in self._scene.jobs_of(wish)}
        taken = {(d.url, d.job_id) for d in self._scene.emulator.deliveries if d.answer == 200}
        return {job_id for _, job_id in paths & taken}

    async def _decide(self, client: Any, wish: Wish, error: SubmitUncertainError) -> None:
        """Be the human who knows which candidate it is."""
        scene = self._scene
        mine = [job.id for job in scene.jobs_of(wish) if job.status not in {"failed", "cancelled"}]
        mine = [job_id for job_id in mine if job_id not in wish.jobs]
        if scene.exclusive:
            raise Violation(scene, f"{wish.prompt}: uncertain on an exclusive account: {error}")
        missed = set(mine) - {job.id for job in error.candidates}
        if missed:
            raise Violation(scene, f"{wish.prompt}: no candidate is {missed}")
        wish.uncertain = None
        if not mine:  # none of them is ours: whoever has looked at them all may submit again
            wish.may_submit, wish.attempt = True, wish.attempt + 1
            return
        job = await self._call(wish, lambda: client.adopt(error, mine[0]))
        if isinstance(job, Job):
            wish.jobs = [job.id]

    async def _search(self, client: Any, wish: Wish) -> None:
        """Look at the list for what an interrupted call may have started, as its note says."""
        listed = client.list_jobs()
        jobs = listed if hasattr(listed, "__aiter__") else await listed
        ids = [job.id async for job in jobs] if hasattr(jobs, "__aiter__") else [j.id for j in jobs]
        mine = [job.id for job in self._scene.jobs_of(wish) if job.id in ids]
        wish.perhaps, wish.may_submit, wish.jobs = False, not mine, mine[:1]

    async def _call(self, wish: Wish, call: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call, note what it says, and return its result or error."""
        scene = self._scene
        begun = scene.clock.monotonic()
        try:
            result = await scene.leaving.guard(lambda: _as_awaitable(call()))
        except KreaError as error:
            result = error
        except Exception as error:
            raise Violation(scene, f"{type(error).__name__} is none of ours") from error
        self._check_time(scene.clock.monotonic() - begun)
        if isinstance(result, Left):
            self._note_left(wish, result.error)
        elif isinstance(result, KreaError):
            self._note_error(wish, result)
        elif isinstance(result, Saved):
            wish.saved, wish.ended = result, True
        return result

    def _check_time(self, seconds: float) -> None:
        scene = self._scene
        known = scene.wait_timeout is not None and scene.wait_timeout < _AUTO_SECONDS
        longest = scene.wait_timeout if known else _AUTO_SECONDS + _BACKLOG_SECONDS
        if longest is not None and seconds > longest + _MARGIN:
            raise Violation(scene, f"a call took {seconds:.0f} virtual seconds")

    def _note_left(self, wish: Wish, error: BaseException) -> None:
        check_left(self._scene, error)
        wish.told.append(error)
        words = " ".join(getattr(error, "__notes__", []))
        found = _JOB_ID.findall(words) or self._logged(wish)
        if found:
            wish.jobs = [found[-1]]
        elif "may have been" in words:
            wish.perhaps = True
        else:
            wish.may_submit = True

    def _logged(self, wish: Wish) -> list[str]:
        """Return what the log says has been started for a wish, as somebody reads it there."""
        ids = [event.job_id for event in self._scene.events if event.kind == "submitted"]
        return [job.id for job in self._scene.jobs_of(wish) if job.id in ids]

    def _note_error(self, wish: Wish, error: KreaError) -> None:
        check_error(self._scene, error)
        wish.told.append(error)
        if isinstance(error, SubmitUncertainError):
            wish.uncertain = error
        elif isinstance(error, JobError) and error.job.finished:
            wish.jobs.clear()
            wish.may_submit, wish.attempt = error.resubmit == "safe", wish.attempt + 1
            wish.ended = error.resubmit == "pointless"
        elif error.job_id is not None:
            wish.jobs = [error.job_id]
        else:
            wish.may_submit = error.resubmit == "safe"


def _as_awaitable(value: Any) -> Awaitable[Any]:
    if not inspect.isawaitable(value):
        message = f"{value!r} cannot be awaited"
        raise TypeError(message)
    return value
