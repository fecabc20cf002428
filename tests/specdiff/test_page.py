"""The description that a documentation page quotes."""

from __future__ import annotations

import pytest

from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.page import document_of_page

FENCED = "```yaml\nopenapi: 3.1.0\npaths: {}\n```\n"
WANTED = "openapi: 3.1.0\npaths: {}\n"
GOOD = {
    "alone": FENCED,
    "among other things": f"# Aleph\n\n```json\n{{}}\n```\n\n## OpenAPI\n\n{FENCED}\nMore.\n",
    "with words after it": FENCED.replace("yaml", "yaml POST /generate/video/runway/aleph"),
    "yml in capitals": FENCED.replace("yaml", " YML"),
    "windows": FENCED.replace("\n", "\r\n"),
    "old mac": FENCED.replace("\n", "\r"),
    "indented": "".join(f"   {line}\n" for line in FENCED.splitlines()),
    "indented by tabs": "".join(f"\t{line}\n" for line in FENCED.splitlines()),
    "tildes": FENCED.replace("```", "~~~~"),
    "a longer end": FENCED.replace("0\npaths: {}\n```", "0\npaths: {}\n`````  "),
    "no line end": FENCED.rstrip("\n"),
    "byte order mark": f"\ufeff{FENCED}",
    "components of the page": f"<Note>Read this.</Note>\n\n<Tab>\n  ```yaml\n{FENCED[8:]}</Tab>\n",
    "code within a line": f"```not a fence``` but a word\n{FENCED}",
    "another YAML": f"```yaml\nopenapi_url: x\ninfo: {{openapi: 1}}\n```\n{FENCED}",
    "quoted in a longer fence": f"````markdown\n{FENCED}````\n\n{FENCED}",
}


@pytest.mark.parametrize("page", GOOD.values(), ids=GOOD)
def test_the_one_description_is_found(page: str) -> None:
    """However it is fenced and indented, the text between the fences is what comes back."""
    assert document_of_page(page.encode()).decode() == WANTED


def test_fences_within_a_longer_one_are_text() -> None:
    """A description may show fences of its own when the outer one is longer."""
    inner = "openapi: 3.1.0\ninfo:\n  description: |\n    ```yaml\n    openapi: x\n    ```\n"
    page = f"````yaml\n{inner}````\n"
    assert document_of_page(page.encode()).decode() == inner


def test_nothing_of_the_text_is_lost() -> None:
    """Separators that only some tools take for line ends stay, for the guard to find."""
    odd = "openapi: 3.1.0\ninfo: {title: 'a\x0bb\u2028c\x85d'}\n"
    assert document_of_page(f"```yaml\n{odd}```\n".encode()).decode() == odd


BAD = {
    "HTML": ("<!DOCTYPE html>\n<p>Not found</p>", "Markdown form"),
    "HTML after blanks": (f"\n <html>\n{FENCED}</html>", "Markdown form"),
    "none": ("# Aleph\n\nSee elsewhere.\n", "no YAML block"),
    "empty": ("", "no YAML block"),
    "another language": (FENCED.replace("yaml", "json"), "no YAML block"),
    "no language": (FENCED.replace("yaml", ""), "no YAML block"),
    "several": (f"{FENCED}\n{FENCED}", "at lines 1 and 6"),
    "only quoted": (f"````text\n{FENCED}````\n", "no YAML block"),
    "cut off": (FENCED.removesuffix("```\n"), "line 1: the block has no end"),
    "a shorter end": (FENCED.replace("```yaml", "````yaml"), "no end"),
    "another end": (FENCED.replace("```yaml", "~~~yaml"), "no end"),
}


@pytest.mark.parametrize(("page", "words"), BAD.values(), ids=BAD)
def test_a_page_without_the_one_description_is_refused(page: str, words: str) -> None:
    """Each reason has its own sentence, and none is guessed away."""
    with pytest.raises(StepError, match=words) as caught:
        document_of_page(page.encode())
    assert caught.value.step == "page"


def test_a_page_that_is_no_text_is_refused() -> None:
    """Bytes that are no UTF-8 are said to be that."""
    with pytest.raises(StepError, match="UTF-8"):
        document_of_page(b"\xff\xfe")
