"""A real browser that looks at the pages, and sees what a visitor should never get to see.

Whatever a page does wrong by itself fails the test that has opened it: an error in the console, an
exception that nobody caught, a request that leaves the page's own place. Pages can reach nothing
but this machine.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "screenshots"
DOCS = ROOT / "docs"
SEVERE = {"serious", "critical"}
Scheme = Literal["light", "dark"]

_FLAGS = (
    *"--no-sandbox --disable-gpu --disable-quic --no-first-run".split(),
    *"--disable-background-networking --disable-component-update --disable-sync".split(),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
_OWN = ("file:", "data:", "blob:", "about:")
_MILLISECONDS = 20_000


def executable() -> str:
    """Return where Chromium is; without it a test is skipped, and fails in CI."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        missing = "Chromium is not there: install the system package chromium"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(missing)
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a browser. While it is there, this thread can run no event loop of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watch:
    """What a page must not do.

    Attributes:
        origin: The one server that it may talk to, such as the emulator that has served it.
        problems: What it has done all the same.
    """

    origin: str | None
    problems: list[str] = field(default_factory=list)

    def heard(self, message: ConsoleMessage) -> None:
        """Take note of a line of the console."""
        if message.type in {"error", "warning"}:
            self.problems.append(f"console {message.type}: {message.text}")

    def raised(self, error: Any) -> None:
        """Take note of an exception that nobody caught."""
        self.problems.append(f"exception: {error}")

    def asked(self, request: Request) -> None:
        """Take note of a request that goes elsewhere."""
        ours = _OWN if self.origin is None else (*_OWN, self.origin)
        if not request.url.startswith(ours):
            self.problems.append(f"request: {request.url}")


@contextmanager
def visiting(
    browser: Browser,
    address: str | Path,
    *,
    origin: str | None = None,
    scheme: Scheme = "light",
    calm: bool = True,
    size: tuple[int, int] = (1280, 800),
) -> Iterator[Page]:
    """Open a page as a visitor would, and hold it to what every page has to keep to.

    Args:
        browser: The browser.
        address: A URL, or a file.
        origin: The server that it may talk to.
        scheme: Which colours the visitor wants.
        calm: Whether the visitor wants nothing to move by itself.
        size: Of the window, in pixels.
    """
    watch = Watch(origin)
    context = browser.new_context(
        color_scheme=scheme,
        reduced_motion="reduce" if calm else "no-preference",
        viewport={"width": size[0], "height": size[1]},
    )
    context.set_default_timeout(_MILLISECONDS)
    page = context.new_page()
    page.on("console", watch.heard)
    page.on("pageerror", watch.raised)
    context.on("request", watch.asked)
    try:
        page.goto(address.absolute().as_uri() if isinstance(address, Path) else address)
        yield page
    finally:
        context.close()
    if watch.problems:
        raise AssertionError("\n".join(watch.problems))


def barriers(page: Page) -> list[str]:
    """Return what shuts people out of a page, as far as axe finds it serious."""
    found = Axe().run(page).response["violations"]
    return [
        f"{problem['id']}: {node['target']} {node['failureSummary']}"
        for problem in found
        if problem["impact"] in SEVERE
        for node in problem["nodes"]
    ]


def look(page: Page, name: str) -> Image.Image:
    """Return what is seen of a page, which is kept as a picture, too."""
    SHOTS.mkdir(exist_ok=True)
    seen = page.screenshot(path=SHOTS / f"{name}.png", animations="disabled")
    return Image.open(io.BytesIO(seen)).convert("RGB")


def draw(page: Page, name: str) -> Path:
    """Take the picture of a page that the docs show, small enough to be kept with them."""
    path = DOCS / f"{name}.png"
    look(page, name).quantize(256, Image.Quantize.FASTOCTREE).save(path, optimize=True)
    return path


def until(page: Page, condition: str) -> None:
    """Wait until something is so in a page, looked at with each of its frames.

    Playwright's own way runs text as a program, which the pages' policies forbid.
    """
    page.evaluate(f"""() => new Promise((done, fail) => {{
        const end = performance.now() + {_MILLISECONDS};
        const look = () => {{
            if ({condition}) done();
            else if (performance.now() > end) fail(new Error({condition!r}));
            else requestAnimationFrame(look);
        }};
        look();
    }})""")
