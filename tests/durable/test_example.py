"""The guide's example as a reader runs it, and its files as the systems read them."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import yaml

from krea_aleph import AsyncAleph, SQLiteStore, Succeeded
from krea_aleph.cli import main
from krea_aleph.durable import Durable
from krea_aleph.emulator import Emulator
from krea_aleph.webhooks import WebhookReceiver
from weather.victim import FastClock

GUIDE = (Path(__file__).parents[2] / "docs/durable.md").read_text("utf-8")
CLIP = "https://example.com/in.mp4"
_open = build_opener(ProxyHandler({})).open


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)


def _until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    ends = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends
        time.sleep(0.05)
    return found


class Site:
    """The example's two processes, on a Krea of this machine."""

    def __init__(self, folder: Path, emulator: Emulator, opened: ExitStack) -> None:
        (source,) = (code for code in _blocks("python") if "HTTPException" in code)
        (folder / "studio.py").write_text(source)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._folder = folder
        self._opened = opened
        known = {"KREA_API_KEY": emulator.key, "KREA_BASE_URL": emulator.base_url}
        self._environment = {**os.environ, **known}
        self.web = self.start("uvicorn", "studio:app", "--port", str(self.port))
        self.worker = self.start(*self.work)

    work = ("krea_aleph", "worker", "--app", "studio:jobs")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of the programs that the guide shows."""
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._opened.callback(process.wait)
        self._opened.callback(process.kill)
        return process

    def ask(self, shot: str, **order: str) -> Any:
        """Order a shot, or look for it, as soon as the web application answers."""
        query = f"?{urlencode(order)}" if order else ""
        url = f"http://127.0.0.1:{self.port}/shots/{shot}{query}"

        def asked() -> Any:
            try:
                with _open(Request(url, method="POST" if order else "GET")) as answer:
                    return json.load(answer)
            except URLError:
                return None

        return _until(asked)

    def done(self, shot: str) -> Path:
        """Wait until a shot is there."""
        told = _until(lambda: (found := self.ask(shot))["state"] != "under way" and found)
        assert told["state"] == "done", told
        return Path(told["path"])


def test_the_example_through_a_kill_of_each_process(tmp_path: Path) -> None:
    """An application that enqueues and a worker, both killed with kill -9: each shot once."""
    with Emulator(render=False, job_seconds=2) as emulator, ExitStack() as opened:
        site = Site(tmp_path, emulator, opened)
        assert site.ask("shot-1", video=CLIP, prompt="snow") == "shot-1"
        with pytest.raises(HTTPError, match="404"):
            _open(f"http://127.0.0.1:{site.port}/shots/never-ordered")
        with SQLiteStore(tmp_path / "studio.sqlite3.intents") as store:
            _until(lambda: store.find("studio", ["accepted"]))
        site.worker.kill()
        site.web.kill()
        site.web.wait()
        site.web = site.start("uvicorn", "studio:app", "--port", str(site.port))
        assert site.ask("shot-1", video=CLIP, prompt="snow") == "shot-1"
        assert site.ask("shot-2", video=CLIP, prompt="rain") == "shot-2"
        site.worker.wait()
        site.start(*site.work)
        for shot in ("shot-1", "shot-2"):
            assert site.done(shot) == tmp_path / "restyled" / f"{shot}.mp4"
            assert site.done(shot).stat().st_size > 0
        assert emulator.accepted == 2


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[WebhookReceiver, str]]:
    """A web process that Krea calls: all that it shares with the workers is the store."""

    def answer(*call: Any) -> Any:
        return heard.wsgi(*call)

    server = make_server("127.0.0.1", 0, answer, handler_class=_Silent)
    url = f"http://127.0.0.1:{server.server_port}/hooks"
    with SQLiteStore(tmp_path / "jobs.sqlite3.intents") as store:
        heard = WebhookReceiver(url, ["a secret of sixteen bytes or more"], store=store)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield heard, url
        server.shutdown()
        thread.join()
        server.server_close()


def test_webhooks_save_looks(tmp_path: Path, web: tuple[WebhookReceiver, str]) -> None:
    """With a receiver in another process, a job costs three status requests at most."""
    _, url = web
    with Emulator(clock=FastClock(), render=False, job_seconds=170) as emulator:
        key, base = emulator.key, emulator.base_url
        factory = partial(AsyncAleph, api_key=key, base_url=base, clock=FastClock(), exclusive=True)
        with Durable(
            f"sqlite:///{tmp_path / 'jobs.sqlite3'}",
            {"studio": factory},
            receiver=WebhookReceiver(url, ["a secret of sixteen bytes or more"]),
            poll_interval=0.05,
        ) as jobs:
            jobs.launch()
            names = [jobs.enqueue(CLIP, f"wish {number}") for number in range(4)]
            assert all(isinstance(jobs.result(name, wait_timeout=60), Succeeded) for name in names)
        calls = [call.operation for call in emulator.requests]
        marks = calls.count("create_aleph_job")
        assert len(emulator.deliveries) == marks == 4
        assert calls.count("get_job") + calls.count("list_jobs") - marks <= 3 * 4


def test_the_systemd_unit_is_one() -> None:
    """It parses, starts a command that exists with options that it has, and lets workers end."""
    (text,) = _blocks("ini")
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    assert unit.sections() == ["Unit", "Service", "Install"]
    command = unit["Service"]["ExecStart"]
    assert main([*shlex.split(command)[1:2], "--help"]) == 0
    assert int(unit["Service"]["TimeoutStopSec"]) > 90
    assert "KREA_EXECUTOR_ID=krea-%i" in text


def test_the_stateful_set_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """It parses, its names fit each other, and the command knows its options and variables."""
    (text,) = _blocks("yaml")
    found = yaml.safe_load(text)
    assert (found["apiVersion"], found["kind"]) == ("apps/v1", "StatefulSet")
    spec = found["spec"]
    template = spec["template"]
    assert spec["selector"]["matchLabels"] == template["metadata"]["labels"]
    pod = template["spec"]
    assert pod["terminationGracePeriodSeconds"] > 90
    (container,) = pod["containers"]
    program, command, *options = container["command"]
    assert program == "krea-aleph"
    assert main([command, "--help"]) == 0
    told = capsys.readouterr().out
    assert all(option in told for option in options if option.startswith("--"))
    variables = {entry["name"]: entry["valueFrom"] for entry in container["env"]}
    assert variables["KREA_EXECUTOR_ID"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert {"KREA_EXECUTOR_ID", "KREA_DATABASE"} <= {n for n in variables if n in told}
    assert [mount["name"] for mount in container["volumeMounts"]] == [
        volume["name"] for volume in pod["volumes"]
    ]
