"""What goes wrong with webhooks: on their way, at the receiver, and by somebody's ill will."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from krea_aleph import SQLiteStore
from krea_aleph.emulator import Fault
from krea_aleph.webhooks import WebhookReceiver
from weather.catalogue import Arm, kind
from weather.checks import Violation
from weather.scene import CREATE, SECRET, WEBHOOK, Scene

_PATIENCE: Final = 10.0
_NOTHING: Final = "Nothing: looks go on, and find out within minutes."
_UNHEARD: Final = "Nothing: the address is not one of ours, and answers 404."
_UNBELIEVED: Final = "Nothing: the job is read with the key; what a body says is never believed."


# On their way


def _on_the_way(**how: Any) -> Arm:
    def arm(scene: Scene) -> bool:
        scene.receive()
        times = scene.dice.choice((1, None))
        drawn = {name: draw(scene) if callable(draw) else draw for name, draw in how.items()}
        scene.fault(operation=WEBHOOK, nth=1, times=times, **drawn)
        return True

    return arm


kind("webhook lost", _NOTHING)(_on_the_way(drop="before"))
kind("webhook delivered more than once", "Nothing: what has come before is passed over.")(
    _on_the_way(duplicates=lambda scene: scene.dice.randint(1, 3))
)
kind("webhook late", _NOTHING)(
    _on_the_way(delay=lambda scene: scene.dice.choice((2.0, 40.0, 400.0)))
)


@kind("older webhook after the final one", "Nothing: the job is asked, not the webhook.")
def _out_of_order(scene: Scene) -> bool:
    scene.receive()
    scene.emulator.concurrency = 1
    scene.emulator.foreign(1, seconds=20.0)
    scene.quirk("webhook_on_start")
    scene.fault(operation=WEBHOOK, nth=1, delay=scene.dice.choice((20.0, 100.0)))
    return True


@kind("webhook before the answer to the submit", "Nothing; and a lost answer is recovered by it.")
def _early(scene: Scene) -> bool:
    scene.receive()
    lost = scene.dice.random() < 0.4
    how: dict[str, Any] = {"drop": "after"} if lost else {"accept": True}
    service, webhooks = scene.emulator._service, scene.emulator._webhooks
    told: list[str] = []

    def changed(account: Any, change: Any) -> None:
        webhooks.changed(account, change)
        job = change.job
        if job.webhook_url is not None and job.end is None and change.at == job.created:
            told.append(job.id)
            body = webhooks._present(job, change.at)
            work = partial(webhooks._deliver, job, body, Fault(operation=WEBHOOK))
            scene.emulator._timers.spawn(work)

    service.on_change = changed
    scene.undone(lambda: setattr(service, "on_change", webhooks.changed))
    # In real time, in which the webhook arrives while the answer is still held back.
    scene.fault(operation=CREATE, nth=1, stall=0.04, **how)
    scene.only_if(lambda: bool(told))
    return not lost


# At the receiver


def _at_the_receiver(fate: str) -> Arm:
    def arm(scene: Scene) -> bool:
        scene.receive()
        front = scene.stage.front
        front.fates.extend(fate if scene.dice.random() < 0.7 else "" for _ in range(6))
        scene.only_if(lambda: fate in front.happened)
        return True

    return arm


kind("receiver's answer lost", "Nothing: the webhook has been heard.", group="receiver")(
    _at_the_receiver("lost")
)
kind("receiver slow to answer", "Nothing.", group="receiver")(_at_the_receiver("slow"))
kind("receiver gone", _NOTHING, group="receiver")(_at_the_receiver("gone"))


@kind("webhook taken by another process", "Nothing: the wait finds it in the store.")
def _elsewhere(scene: Scene) -> bool | None:
    if scene.store is None:
        return None
    scene.receive()
    front = scene.stage.front
    store = SQLiteStore(scene.folder / "jobs.sqlite3")
    scene.stores.append(store)
    front.receiver = WebhookReceiver(front.url, [SECRET], store=store, on_delivery=scene.called)
    scene.only_if(lambda: bool(front.happened))
    return True


# By ill will

_DEEP: Final = b'{"job_id": ' + b"[" * 60_000
_SHAPES: Final[tuple[Any, ...]] = (
    None,
    [],
    7,
    "completed",
    {},
    {"id": "550e8400-e29b-41d4-a716-446655440000", "status": "completed"},
    *(
        {"job_id": value}
        for value in (None, 7, True, [], {}, "", "../../etc/passwd", "a\x00b", "é")
    ),
    {"job_id": "x" * 5000},
    [{"job_id": "550e8400-e29b-41d4-a716-446655440000"}],
)
HOSTILE: Final[tuple[bytes, ...]] = (
    b"",
    b"\xff\xfe\x00",
    b"<html>",
    b"{",
    _DEEP,
    b'{"job_id": ' + b"9" * 5000 + b"}",
    b'{"job_id": "' + b"x" * 200_000 + b'"}',
    *(json.dumps(shape).encode() for shape in _SHAPES),
)


@kind("webhook with a hostile body", "Nothing: it is refused, and looks go on.")
def _hostile(scene: Scene) -> bool:
    scene.receive()
    body = scene.dice.choice(HOSTILE)
    if scene.dice.random() < 0.5:
        scene.fault(operation=WEBHOOK, nth=1, body=body)
    else:
        _forge(scene, lambda job: [(job.webhook_url, body, {400, 413})])
    return True


@kind("forged webhook on the right address", _UNBELIEVED)
def _forged(scene: Scene) -> bool:
    scene.receive()
    status = scene.dice.choice(("completed", "failed", "cancelled", "queued", "made up"))
    evil = {"status": status, "result": {"urls": ["https://example.com/evil.mp4"]}}
    times = scene.dice.choice((1, 2, 12))

    def posts(job: Any) -> Iterator[Any]:
        for number in range(times):
            body = json.dumps({"job_id": job.id, **evil, "number": number}).encode()
            yield job.webhook_url, body, {200}

    _forge(scene, posts)
    return True


@kind("webhook of somebody else's job", "Nothing: an address is for one job; it answers 404.")
def _of_another(scene: Scene) -> bool:
    receiver = scene.receive()
    scene.emulator.foreign(1, seconds=1.0)
    other = [job.id for job in scene.emulator.jobs if job.foreign][-1]
    body = json.dumps({"job_id": other, "status": "completed"}).encode()

    def posts(job: Any) -> Iterator[Any]:
        # Another process has to look into the store first, and has answered by then.
        here = scene.stage.front.receiver is receiver
        yield job.webhook_url, body, {404} if here else {200, 404}

    _forge(scene, posts)
    return True


@kind("webhook with a wrong token", _UNHEARD)
def _wrong_token(scene: Scene) -> bool:
    receiver = scene.receive()
    stranger = WebhookReceiver(scene.stage.front.url, ["the secret of somebody else"])
    elsewhere = receiver.url("another-account", "a" * 24)

    def posts(job: Any) -> Iterator[Any]:
        body = json.dumps({"job_id": job.id, "status": "completed"}).encode()
        front, _, token = str(job.webhook_url).rpartition("/")
        wrong = "A" if token[-3] != "A" else "B"
        for url in (
            stranger.mint(scene.account),
            f"{front}/{token[:-3]}{wrong}{token[-2:]}",
            f"{front}/{token.partition('.')[0]}.",
            f"{elsewhere.rpartition('/')[0]}/{token}",
            f"{front}/../{token}",
            scene.stage.front.url,
        ):
            yield url, body, {404}

    _forge(scene, posts)
    return True


Posts = Callable[[Any], Any]


def _forge(scene: Scene, posts: Posts) -> None:
    """Post to the address of each job that is known to be ours, at some request that is made."""
    turn = scene.dice.randint(1, 4)
    made: list[str] = []

    def listen(number: int) -> None:
        if number < turn or not scene.on_main_thread:
            return
        receiver = scene.receive()
        for job in scene.emulator.jobs:
            if job.id not in made and receiver.expects(scene.account, job.id):
                made.append(job.id)
                for url, body, expected in posts(job):
                    _post(scene, url, body, expected)

    scene.on_request.append(listen)
    scene.only_if(lambda: bool(made))


def _post(scene: Scene, url: str, body: bytes, expected: set[int]) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_PATIENCE)
    status = None
    with suppress(OSError, http.client.HTTPException):  # as when the receiver is gone
        connection.request("POST", parts.path, body, {"Content-Type": "application/json"})
        status = connection.getresponse().status
    connection.close()
    if status is not None and status not in expected:
        scene.violations.append(f"a forged webhook was answered {status}, not {expected}")


def check_forged(scene: Scene) -> None:
    """See that nothing forged was answered as if it were genuine.

    Raises:
        Violation: Something was.
    """
    for what in scene.violations:
        raise Violation(scene, what)
