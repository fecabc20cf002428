"""One client in many threads, tasks, tenants and processes: bounded, unmixed, gone afterwards."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from krea_aleph import Aleph, Record, SQLiteStore
from krea_aleph.emulator import Emulator
from krea_aleph.webhooks import WebhookReceiver
from local_network import Server, serving

URL = "https://example.com/in.mp4"
MOST = 100
forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
quietly = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Door:
    """A port that leads to the emulator and counts the connections that are open.

    Attributes:
        url: How to reach it.
        most: How many were open at the same time at most.
    """

    def __init__(self) -> None:
        self.url = ""
        self.most = 0
        self._open = 0
        self._changed = threading.Condition()

    def passed(self, by: int) -> None:
        """Count somebody who comes or goes."""
        with self._changed:
            self._open += by
            self.most = max(self.most, self._open)
            self._changed.notify_all()

    def empty(self) -> bool:
        """Wait until nobody is left."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open, timeout=10)


class _Wide(Server):
    request_queue_size = 2 * MOST


@contextmanager
def door(emulator: Emulator) -> Iterator[Door]:
    """Open one."""
    found = Door()
    port = int(emulator.base_url.rpartition(":")[2])

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            found.passed(1)
            try:
                with socket.create_connection(("127.0.0.1", port)) as inside:
                    back = threading.Thread(target=_carry, args=(inside, self.request))
                    back.start()
                    _carry(self.request, inside)
                    back.join()
            finally:
                found.passed(-1)

    with serving(_Wide(("127.0.0.1", 0), Handler)) as number:
        found.url = f"http://127.0.0.1:{number}"
        yield found


def _carry(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _prompts(emulator: Emulator) -> dict[str, Any]:
    return {job.id: job.body["prompt"] for job in emulator.jobs}


@pytest.mark.krea_emulator(backlog=2000)
def test_sixteen_threads(emulator: Emulator) -> None:
    """Each call gets its own answer, on at most as many connections as there are threads."""
    with door(emulator) as way:
        with emulator.aleph(base_url=way.url) as aleph, ThreadPoolExecutor(16) as threads:

            def call(number: int) -> tuple[str, str]:
                job = aleph.submit(URL, f"night {number}")
                assert aleph.get(job).id == job.id
                return job.id, f"night {number}"

            told = dict(threads.map(call, range(160)))
        assert way.empty()
    assert told == _prompts(emulator)
    assert 1 < way.most <= 16


@pytest.mark.krea_emulator(backlog=2000)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thousand_tasks(emulator: Emulator, backend: str) -> None:
    """They share a hundred connections, each gets its own answer, and none is left afterwards.

    Then a thousand more are cancelled wherever they are, and nothing of them is left either.
    """
    told: dict[str, str] = {}

    async def main(url: str) -> None:
        async with emulator.async_aleph(base_url=url) as aleph:

            async def call(number: int) -> None:
                job = await aleph.submit(URL, f"night {number}")
                told[job.id] = f"night {number}"

            async with anyio.create_task_group() as tasks:
                for number in range(1000):
                    tasks.start_soon(call, number)
            job_id = next(iter(told))
            async with anyio.create_task_group() as tasks:
                for _ in range(1000):
                    tasks.start_soon(aleph.get, job_id)
                while len(emulator.requests) < 1050:
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            assert aleph._pool._connections.async_places.value == MOST
            assert (await aleph.get(job_id)).id == job_id

    with door(emulator) as way:
        anyio.run(main, way.url, backend=backend)
        assert way.empty()
    assert told == _prompts(emulator)
    assert 1 < way.most <= MOST


TENANTS = {f"tenant-{number}": f"id-{number}:secret-{number}" for number in range(8)}


def _all_tenants(emulator: Emulator, first: Any) -> dict[str, Any]:
    for key in TENANTS.values():
        emulator.add_account(key)
    return {name: first.with_options(account=name, api_key=key) for name, key in TENANTS.items()}


@pytest.mark.krea_emulator(backlog=2000)
@pytest.mark.parametrize("kind", ["threads", "asyncio", "trio"])
def test_eight_tenants(emulator: Emulator, kind: str) -> None:  # noqa: C901 - one story, twice
    """Under concurrency each tenant's calls have his key, his label and his jobs, on one pool."""
    told: dict[str, set[str]] = {name: set() for name in TENANTS}

    def turns() -> list[str]:
        return [name for _ in range(40) for name in TENANTS]

    async def main() -> None:
        async with emulator.async_aleph() as first:
            clients = _all_tenants(emulator, first)

            async def call(name: str) -> None:
                job = await clients[name].submit(URL, f"for {name}.")
                assert (await clients[name].get(job)).account == name
                told[name].add(job.id)

            async with anyio.create_task_group() as tasks:
                for name in turns():
                    tasks.start_soon(call, name)
            for name, client in clients.items():
                assert {job.id async for job in client.list_jobs()} == told[name]

    def block() -> None:
        with emulator.aleph() as first, ThreadPoolExecutor(16) as threads:
            clients = _all_tenants(emulator, first)

            def call(name: str) -> None:
                job = clients[name].submit(URL, f"for {name}.")
                assert clients[name].get(job).account == name
                told[name].add(job.id)

            list(threads.map(call, turns()))
            for name, client in clients.items():
                assert {job.id for job in client.list_jobs()} == told[name]

    if kind == "threads":
        block()
    else:
        anyio.run(main, backend=kind)
    of_whom = {job: name for name, jobs in told.items() for job in jobs}
    assert len(of_whom) == 320
    whose = {f"Bearer {key}": name for name, key in TENANTS.items()}
    for request in emulator.requests:
        tenant = whose[request.headers["authorization"]]
        if request.operation == "create_aleph_job":
            assert f"for {tenant}.".encode() in request.body
        elif request.operation == "get_job":
            assert of_whom[request.path.rpartition("/")[2]] == tenant
    assert len(_ports(emulator)) <= (16 if kind == "threads" else MOST)


def _ports(emulator: Emulator, since: int = 0) -> set[str]:
    return {request.client for request in emulator.requests[since:]}


@forking
@quietly
def test_a_forked_process_leaves_the_parents_sockets_alone(emulator: Emulator) -> None:
    """The child connects anew, closes as it likes, and the parent goes on with what it had."""
    with emulator.aleph() as aleph:
        job = aleph.submit(URL, "night")
        mine = _ports(emulator)
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                aleph.get(job)
                aleph.close()
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        count = len(emulator.requests)
        theirs = _ports(emulator, 1)
        assert aleph.get(job).id == job.id
    assert len(mine) == 1
    assert not mine & theirs
    assert _ports(emulator, count) == mine


@forking
@quietly
def test_an_asynchronous_client_in_a_forked_process(emulator: Emulator) -> None:
    """In the child it belongs to no event loop yet, so that the child may run one for it."""
    aleph = emulator.async_aleph()
    with asyncio.Runner() as runner:
        job = runner.run(aleph.submit(URL, "night"))
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                anyio.run(aleph.get, job, backend="trio")
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert runner.run(aleph.get(job)).id == job.id
        runner.run(aleph.close())
    assert len(_ports(emulator)) == 2


SECRET = "a secret of more than sixteen bytes"
NONCE = "n" * 32


def _work(base_url: str, key: str, path: str, queue: Any) -> None:
    """Use everything in a process of one's own, as a worker would."""
    receiver = WebhookReceiver("https://example.com/hooks", [SECRET])
    with (
        SQLiteStore(path) as store,
        Aleph(base_url=base_url, api_key=key, store=store) as aleph,
    ):
        job = aleph.submit(URL, "night", intent="shared")
        queue.put((job.id, receiver.url("default", NONCE)))


@quietly
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_worker_processes(
    emulator: Emulator, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a worker is started, it has its parent's intents by the store, and its addresses."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {method}")
    places = [*filter(None, sys.path), str(Path(__file__).parent)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    path = str(tmp_path / "jobs.sqlite3")
    receiver = WebhookReceiver("https://example.com/hooks", [SECRET])
    with SQLiteStore(path) as store, emulator.aleph(store=store) as aleph:
        mine = aleph.submit(URL, "night", intent="shared")
        workers = [
            context.Process(target=_work, args=(emulator.base_url, emulator.key, path, queue))
            for _ in range(2)
        ]
        for worker in workers:
            worker.start()
        told = [queue.get() for _ in workers]
        for worker in workers:
            worker.join(20)
            assert worker.exitcode == 0
        assert aleph.submit(URL, "night", intent="shared").id == mine.id
    queue.close()
    assert told == [(mine.id, receiver.url("default", NONCE))] * 2
    assert emulator.accepted == 1


def test_what_goes_to_another_process(emulator: Emulator, tmp_path: Path) -> None:
    """A store pickles as its path; clients and receivers do not, and say what to do instead."""
    with SQLiteStore(tmp_path / "jobs.sqlite3") as store:
        store.write(Record("default", "shot", "fingerprint"))
        with pickle.loads(pickle.dumps(store)) as other:  # noqa: S301 - our own bytes
            assert other.read("default", "shot") == store.read("default", "shot")
    things: list[Callable[[], Any]] = [
        emulator.aleph,
        emulator.async_aleph,
        lambda: WebhookReceiver("https://example.com/hooks", [SECRET]),
    ]
    for make in things:
        with pytest.raises(TypeError, match="does not pickle: make one in each process"):
            pickle.dumps(make())
