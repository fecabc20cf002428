"""The site is whole: links lead somewhere, names have entries, nothing is from outside."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import bootstrap

ROOT = Path(__file__).parents[2]
SITE = ROOT / "site"
DOCS = ROOT / "docs"
MODULES = (
    "",
    ".durable",
    ".emulator",
    ".manifest",
    ".notebook",
    ".pages",
    ".preview",
    ".testing",
    ".webhooks",
)
FURTHER = {"krea_aleph.tracing.OpenTelemetry", "krea_aleph.contract.notices"}
# Which attribute of an element makes a browser fetch something.
_LOADING = {
    *(("script", "src"), ("img", "src"), ("img", "srcset"), ("source", "src"), ("video", "src")),
    *(("iframe", "src"), ("embed", "src"), ("object", "data"), ("source", "srcset")),
    *(("link", "href"), ("use", "href"), ("video", "poster"), ("audio", "src")),
}


class Page(HTMLParser):
    """What a page links, loads, and can be linked by."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.policy = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        self.links += [found["href"]] if tag == "a" and "href" in found else []
        self.loads += [value for name, value in found.items() if (tag, name) in _LOADING]
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"]


@pytest.fixture(scope="session")
def site() -> dict[Path, Page]:
    """The site, built anew, without a warning."""
    bootstrap.ensure(bootstrap.DOCS)
    command = [sys.executable, ROOT / "scripts/docs", "build"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "No issues found" in built.stdout + built.stderr
    return {path: Page(path) for path in sorted(SITE.rglob("*.html"))}


def test_every_page_is_there(site: dict[Path, Page]) -> None:
    """Each page of docs/ has become one of the site, and the navigation names each."""
    made = {path.relative_to(SITE).with_suffix(".md").as_posix() for path in site} - {"404.md"}
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert made == written
    assert written == {path for _, path in navigation()}


def test_links_of_the_site_lead_somewhere(site: dict[Path, Page]) -> None:
    """Every link to the site itself finds its page or file, and the place on it."""
    wrong = [
        f"{page.path.relative_to(SITE)}: {link}"
        for page in site.values()
        if page.path.name != "404.html"  # it is served at any address
        for link in [*page.links, *page.loads]
        if not _leads_somewhere(page, link, site)
    ]
    assert sum(len(page.links) for page in site.values()) > len(site) * 10
    assert not wrong


def _leads_somewhere(page: Page, link: str, site: dict[Path, Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    path = unquote(parts.path)
    target = (page.path.parent / path).resolve() if path else page.path
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return False
    return not parts.fragment or unquote(parts.fragment) in site[target].anchors


def test_nothing_is_loaded_from_outside(site: dict[Path, Page]) -> None:
    """No page, no style and no picture names another host, and browsers would refuse it."""
    outside = re.compile(r"^(?:https?:)?//", re.IGNORECASE)
    for page in site.values():
        assert not [address for address in page.loads if outside.match(address)], page.path
        assert page.policy.startswith("default-src 'self'; "), page.path
        assert "//" not in page.policy
        assert "*" not in page.policy
    fetching = r"""(?:url\(|@import|href=|src=)\s*['"]?([^'")\s>]+)"""
    for file in [*SITE.rglob("*.css"), *SITE.rglob("*.svg")]:
        fetched = re.findall(fetching, file.read_text("utf-8"))
        assert not [address for address in fetched if outside.match(address)], file


@pytest.mark.usefixtures("site")
def test_every_public_name_has_an_entry() -> None:
    """Whatever can be imported can be looked up."""
    entries = set(_inventory())
    assert entries >= FURTHER
    for module in MODULES:
        for name in import_module(f"krea_aleph{module}").__all__:
            places = {f"krea_aleph{module}.{name}", f"krea_aleph.emulator.{name}"}
            assert name == "__version__" or places & entries, f"krea_aleph{module}.{name}"
    for colour in ("Aleph", "AsyncAleph"):
        for verb in vars(getattr(import_module("krea_aleph"), colour)):
            assert verb[0] == "_" or f"krea_aleph.{colour}.{verb}" in entries, f"{colour}.{verb}"


def _inventory() -> Iterator[str]:
    """Yield the names of the site's inventory, in the format of Sphinx."""
    head, _, packed = (SITE / "objects.inv").read_bytes().partition(b"zlib.\n")
    assert head.startswith(b"# Sphinx inventory version 2")
    for line in zlib.decompress(packed).decode().splitlines():
        yield line.split(" ")[0]


def navigation() -> list[tuple[str, str]]:
    """Return the titles and paths of the navigation, in its order."""
    _, _, rest = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")
    section = rest.partition("\n\n")[0]
    found = re.findall(r"^ +- (?:([^:\n]+): )?([\w/-]+\.md)$", section, re.MULTILINE)
    return [(title or "Reference", path) for title, path in found]


def test_llms_txt_names_every_page(site: dict[Path, Page]) -> None:
    """It has the shape that readers of such files expect, and the pages of the navigation."""
    text = (DOCS / "llms.txt").read_text("utf-8")
    assert re.match(r"# krea_aleph\n\n> [^\n]+\n\n(?:- [^\n]+\n)+\n## ", text)
    listed = re.findall(r"^- \[([^]]+)\]\(([^)]+)\): \S", text, re.MULTILINE)
    assert [(title, path.replace(".html", ".md")) for title, path in listed] == navigation()
    assert (SITE / "llms.txt").read_text("utf-8") == text
    assert all((SITE / path).is_file() for _, path in listed)
    assert all(path.endswith(".html") == path.startswith("reference/") for _, path in listed)
    assert site


def test_the_pages_are_there_as_markdown(site: dict[Path, Page]) -> None:
    """Each guide lies beside its page as it was written."""
    for guide in DOCS.glob("*.md"):
        assert (SITE / guide.name).read_bytes() == guide.read_bytes()
    assert site
