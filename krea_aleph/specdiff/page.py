"""The description that a documentation page quotes: its one YAML block with `openapi:`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Only these end a line; str.splitlines would also cut at characters that must not be lost.
_LINE_END: Final = re.compile(r"\r\n|\n|\r")
# A block may stand in a list or in a component of the page, so any indentation will do.
_OPENING: Final = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>.*)")
_MARKUP: Final = re.compile(rb"\s*<(!doctype|html|head|body|\?xml)\b", re.IGNORECASE)
_DESCRIPTION: Final = re.compile(r"^openapi[ \t]*:", re.MULTILINE)


class _Block(NamedTuple):
    """What stands between two fences."""

    line: int
    language: str
    text: str


def document_of_page(text: bytes) -> bytes:
    """Return the description that a page in Markdown quotes, in YAML.

    Args:
        text: The page, UTF-8, whatever its line ends.

    Raises:
        StepError: It has no such block, or several, or it is no Markdown at all.
    """
    if _MARKUP.match(text):
        raise StepError("page", "a web page in HTML; the address of its Markdown form is needed")
    found = [block for block in _blocks(_decoded(text)) if _describes(block)]
    if not found:
        raise StepError("page", "it has no YAML block that begins an OpenAPI description")
    if len(found) > 1:
        lines = " and ".join(str(block.line) for block in found)
        raise StepError("page", f"several OpenAPI descriptions, at lines {lines}: which is meant?")
    return found[0].text.encode()


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StepError("page", f"it is not UTF-8 text: {error}") from error


def _describes(block: _Block) -> bool:
    return block.language in {"yaml", "yml"} and bool(_DESCRIPTION.search(block.text))


def _blocks(text: str) -> Iterator[_Block]:
    """Find the fenced blocks; what looks like a fence inside of one is its content."""
    lines = enumerate(_LINE_END.split(text), start=1)
    for number, line in lines:
        opening = _opening(line)
        if opening is None:
            continue
        inside: list[str] = []
        for _, content in lines:
            if _closes(content, opening["fence"]):
                break
            inside.append(_dedented(content, len(opening["indent"])))
        else:
            raise StepError("page", f"line {number}: the block has no end; is the page cut off?")
        language = opening["info"].split(maxsplit=1)[:1]
        yield _Block(number, "".join(language).lower(), "\n".join([*inside, ""]))


def _opening(line: str) -> re.Match[str] | None:
    found = _OPENING.fullmatch(line)
    # Backticks after backticks are code within a line, as ```this```.
    inline = found is not None and found["fence"][0] == "`" and "`" in found["info"]
    return None if inline else found


def _closes(line: str, fence: str) -> bool:
    bare = line.strip(" \t")
    return len(bare) >= len(fence) and not bare.strip(fence[0])


def _dedented(line: str, width: int) -> str:
    return line[:width].lstrip(" \t") + line[width:]
