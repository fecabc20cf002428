"""What holds for every test: no stranger's settings, no network beyond this machine.

And no end that the pinned contract announces: warnings are errors here, so that the tests of a
contract that has an operation as deprecated would fail by nothing but that. Tests that are about an
end bring their own.
"""

import gc
import ipaddress
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from krea_aleph_api.constraints import ALEPH_REQUEST
from krea_aleph_api.operations import OPERATIONS
from postgres import Server, postgres_server

settings.register_profile("project", deadline=None, derandomize=True)  # same examples everywhere
settings.load_profile("project")

_SETTINGS = ("KREA_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def _stay_on_this_machine(event: str, arguments: tuple[object, ...]) -> None:
    """Fail loudly when a test connects to anything but a loopback address."""
    if event != "socket.connect" or not isinstance(address := arguments[1], tuple):
        return
    host = str(address[0])
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        pytest.fail(f"a test tried to connect to {address}: tests stay on this machine")


sys.addaudithook(_stay_on_this_machine)


def _without_marks(schema: Any) -> None:
    """Take the marks of what is deprecated out of a schema."""
    if isinstance(schema, dict) and isinstance(schema.get("deprecated"), bool):
        del schema["deprecated"]
    for part in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(part, dict | list):
            _without_marks(part)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the pictures of the docs be drawn anew, by the tests that look at what they show."""
    parser.addoption("--pictures", action="store_true", help="draw the pictures of the docs")


@pytest.fixture(autouse=True, scope="session")
def _no_end() -> None:
    """Let the pinned contract announce no end, whatever it does."""
    known: Any = OPERATIONS
    for name, operation in OPERATIONS.items():
        known[name] = operation._replace(deprecated=None, retired=None, sunset=None)
    _without_marks(ALEPH_REQUEST)


@pytest.fixture(autouse=True, scope="module")
def _young_heap() -> None:
    """Let the collector look at nothing older than the module: many tests run it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the developer's key, base URL and proxies from the tests."""
    for name in os.environ:
        if name.upper().startswith(_SETTINGS):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _own_engine_log() -> Iterator[None]:
    """Let the durable engine write to no stream of an earlier test, which is closed by now."""
    yield
    logging.getLogger("dbos").handlers.clear()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A real Postgres, started when the first test asks for it."""
    with postgres_server() as server:
        yield server
