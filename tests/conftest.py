"""What holds for every test: no stranger's settings, no network beyond this machine."""

import ipaddress
import os
import sys

import pytest
from hypothesis import settings

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


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the developer's key, base URL and proxies from the tests."""
    for name in os.environ:
        if name.upper().startswith(_SETTINGS):
            monkeypatch.delenv(name)
