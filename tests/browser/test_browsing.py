"""What tests of pages stand on: a browser that fails whoever opens a page that misbehaves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Page

from browsing import barriers, executable, look

Visit = Callable[..., AbstractContextManager[Page]]
HEAD = "<!doctype html><html lang=en><title>A page</title>"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<script>console.error('no good')</script>", "no good"),
        ("<script>throw new Error('uncaught')</script>", "uncaught"),
        ("<img alt='' src='https://example.com/a.png'>", "https://example.com/a.png"),
        ("<script>fetch('http://127.0.0.1:9/').catch(() => 0)</script>", "127.0.0.1:9"),
    ],
)
def test_a_page_that_misbehaves_fails_its_test(
    visit: Visit, tmp_path: Path, body: str, problem: str
) -> None:
    """Errors in the console, exceptions and requests to elsewhere are told to whoever tests."""
    path = tmp_path / "page.html"
    path.write_text(f"{HEAD}{body}")
    with pytest.raises(AssertionError, match=problem), visit(path) as page:
        page.wait_for_load_state("networkidle")


@pytest.mark.parametrize(("scheme", "seen"), [("light", (255, 255, 255)), ("dark", (18, 18, 18))])
def test_pages_are_seen_in_both_schemes(
    visit: Visit, tmp_path: Path, scheme: str, seen: tuple[int, int, int]
) -> None:
    """The colours that a visitor asks for are what the pixels show."""
    path = tmp_path / "page.html"
    path.write_text(f"{HEAD}<meta name=color-scheme content='light dark'><main><h1>.</h1></main>")
    with visit(path, scheme=scheme, size=(100, 100)) as page:
        assert look(page, f"plain-{scheme}").getpixel((90, 90)) == seen


@pytest.mark.parametrize(
    ("ci", "ending"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_without_a_browser_nothing_passes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, ending: type[BaseException]
) -> None:
    """A developer's run leaves these tests out and names the package; one of CI fails."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(ending, match="install the system package chromium"):
        executable()


def test_barriers_are_found(visit: Visit, tmp_path: Path) -> None:
    """A picture without words for it shuts people out, and is found; a whole page passes."""
    good, bad = tmp_path / "good.html", tmp_path / "bad.html"
    good.write_text(f"{HEAD}<main><h1>Words</h1></main>")
    bad.write_text(f"{HEAD}<main><h1>Words</h1><img src='data:,'></main>")
    with visit(good) as page:
        assert barriers(page) == []
    with visit(bad) as page:
        assert any(found.startswith("image-alt") for found in barriers(page))
