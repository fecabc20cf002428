"""A browser for each file of tests: one that stayed would keep event loops out of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

import browsing

Visit = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Have Chromium, without a window."""
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Visit:
    """Open pages as `browsing.visiting` does."""
    return partial(browsing.visiting, browser)


@pytest.fixture
def draw(pytestconfig: pytest.Config) -> Callable[[Page, str], Path | None]:
    """Draw a picture of the docs, if the run was asked to; else only look."""
    if pytestconfig.getoption("--pictures"):
        return browsing.draw
    return lambda page, name: browsing.look(page, name) and None
