"""The page for people who decide whether to upgrade, told from the marks alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from evolution.matrix import ROOT, VERSIONS, Marks, description
from evolution.terms import BAD_REQUEST, NOT_FOUND, PAIR, REFUSED_HERE, WORKS, request_body

PAGE: Final = ROOT / "docs/evolution.md"

BARE: Final = "submit a video and a prompt, nothing else"
UNCHECKED: Final = ", checks off"

_HEAD: Final = """\
# Old library, new Krea, and the other way round

Krea changes its API without changing its version. This page says what that does to an installed
library, so that you can decide whether to upgrade. A library built from each version of Krea's
description was played against an emulator of each version: {pairs} pairs, {scenarios} scenarios
each, from submitting with every option that any version knows to waiting, cancelling, uploading,
downloading and every refusal.

## The versions

{versions}

`next-a` and `next-b` were made up for these tests. Nobody has published them, and they show what
may come, not what will.

## In short

{matrix}

- **works**: everything that this library offers is accepted.
- **less**: a video and a prompt are accepted, some options of this library are not: see below.
- **add**: Krea demands a field that this library does not know. Give it as `extra_body={{...}}`.
- **off**: this library demands a field that this Krea does not know. Make the client with
  `checks="off"`, or use an older release.
- **gone**: there is nothing to submit to any more. Jobs from before can still be read, waited for,
  cancelled and downloaded.

Whatever the pair, no refusal costs anything or starts a job. What the library itself refuses is an
`InvalidRequestError` before anything is sent. What Krea refuses is a `BadRequestError` (400, 422)
that names the field, or a `NotFoundError` or `ModelUnavailableError` when the operation is gone.

What an answer has that the library's contract does not is handed on in `raw` and told once, as an
event `drift` and a line in the log. That the operation is going to end is a
`KreaDeprecationWarning`, once, with the last day and the replacement where they are known: the
library built from `next-b` or `absent` warns before it sends anything, the others once a `next-b`
says so in its answers.

**Should you upgrade?** Where your row says *works* there is no hurry: what is new on the other side
can be sent with `extra_body` and read from `job.raw`. Where it says *less*, an upgrade changes
nothing about what Krea takes, but your editor, your type checker and the library tell you before
anything is sent. Where it says *add*, upgrade, or give the field yourself. A library that is newer
than Krea is fine as long as you leave its newer options alone.
"""

_TAIL: Final = """\
## What holds for every pair

{always}

And wherever there is something to submit to:

{mostly}

## How this page is made

`tests/evolution` plays all pairs, and fails when a mark differs from those in `marks.json` there
or this page from what the marks say. After a change that is meant, this writes both anew:

    PYTHONPATH=tests/support .venv/bin/python -m evolution
"""


@dataclass(frozen=True)
class Pair:
    """One library on one server."""

    marks: Marks
    library: str
    server: str

    def mark(self, title: str, server: str = "") -> str:
        """Return the mark of a scenario here, or on another server."""
        return self.marks[title][self.library][[*VERSIONS].index(server or self.server)]

    @property
    def own(self) -> str:
        """The server that this library was built for."""
        return "v4" if self.library == "absent" else self.library

    @property
    def demanded(self) -> list[str]:
        """What the server demands beside the video and the prompt."""
        return sorted({*request_body(description(self.server))["required"]} - PAIR)

    @property
    def insisted_on(self) -> list[str]:
        """What the library demands beside them."""
        return sorted({*request_body(description(self.own))["required"]} - PAIR)

    @property
    def refused(self) -> list[str]:
        """What this library offers and this server refuses."""
        return [
            _short(title)
            for title in _offers(self.marks)
            if self.mark(title) == BAD_REQUEST and self.mark(title, self.own) == WORKS
        ]

    @property
    def unknown(self) -> list[str]:
        """What this server takes and this library refuses, unless it is told not to."""
        return [
            _short(title)
            for title, way in _offers(self.marks).items()
            if self.mark(title) == REFUSED_HERE and self.mark(way) == WORKS
        ]

    @property
    def verdict(self) -> str:
        """The pair in a word."""
        if not request_body(description(self.server))["properties"]:
            return "gone"
        if self.mark(BARE) == BAD_REQUEST:
            return "add"
        if self.mark(BARE) == REFUSED_HERE and self.insisted_on != self.demanded:
            return "off"
        return "less" if self.refused else "works"


def page(marks: Marks) -> str:
    """Return the page."""
    versions = _table(
        ("name", "what it is"), ([f"`{name}`", f"{words}"] for name, words in VERSIONS.items())
    )
    head = _HEAD.format(
        pairs=len(VERSIONS) ** 2,
        scenarios=len(marks),
        versions=versions,
        matrix=_matrix(marks),
    )
    details = "\n\n".join(_details(marks, library) for library in VERSIONS)
    tail = _TAIL.format(
        always=_bullets(_everywhere(marks, WORKS)),
        mostly=_bullets(_everywhere(marks, WORKS + NOT_FOUND)),
    )
    return f"{head}\n## In detail\n\n{details}\n\n{tail}"


def _matrix(marks: Marks) -> str:
    rows = (
        [f"**{library}**", *(Pair(marks, library, server).verdict for server in VERSIONS)]
        for library in VERSIONS
    )
    return _table(("library, against Krea:", *VERSIONS), rows)


def _details(marks: Marks, library: str) -> str:
    rows = []
    for server in VERSIONS:
        pair = Pair(marks, library, server)
        if pair.verdict != "gone":
            rows.append([server, _first(pair), _listed(pair.refused), _listed(pair.unknown)])
    head = ("Krea", "a video and a prompt", "refused if you use it", "taken, though not known here")
    return f"### The library built from {library}\n\n{_table(head, rows)}"


def _first(pair: Pair) -> str:
    if pair.verdict == "add":
        return f"refused without {_listed(pair.demanded)}: give it as `extra_body`"
    if pair.verdict == "off":
        return f'refused here without {_listed(pair.insisted_on)}: `checks="off"` sends it'
    return f"accepted with {_listed(pair.demanded)}" if pair.demanded else "accepted"


def _offers(marks: Marks) -> dict[str, str]:
    """Return the scenarios that offer something, each with the way past a library's checks."""
    found = {}
    for title in marks:
        if title.startswith("option "):
            found[title] = title.replace("option ", "extra_body ")
        elif f"{title}{UNCHECKED}" in marks:
            found[title] = f"{title}{UNCHECKED}"
    return found


def _short(title: str) -> str:
    return title.removeprefix("option ")


def _everywhere(marks: Marks, allowed: str) -> Iterator[str]:
    """Yield the scenarios that have these marks and no others; an option is no scenario of use."""
    for title, by_library in marks.items():
        told = not title.startswith(("option ", "extra_body "))
        if told and {*"".join(by_library.values())} == {*allowed}:
            yield title


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name if " " in name else f"`{name}`" for name in names) or "nothing"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = [*head]
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
