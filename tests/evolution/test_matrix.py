"""Libraries of every version against servers of every version."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolution.matrix import (
    BAD_REQUEST,
    NOT_FOUND,
    PAIR,
    REFUSED_HERE,
    VERSIONS,
    WORKS,
    play_all,
    read_table,
    request_body,
)
from evolution.page import PAGE, Pair, page

MARKS = read_table()
PAIRS = [Pair(MARKS, library, server) for library in VERSIONS for server in VERSIONS]
FIELDS = [title.removeprefix("option ") for title in MARKS if title.startswith("option ")]


def test_every_pair_does_what_is_written_down(libraries: dict[str, Path]) -> None:
    """Nothing crashes, is lost or is charged in vain; each scenario ends as the table says."""
    played = play_all(libraries)
    assert list(played) == list(MARKS)
    assert {title: marks for title, marks in played.items() if marks != MARKS[title]} == {}


def test_the_page_tells_the_table() -> None:
    """docs/evolution.md is what the marks say."""
    assert PAGE.read_text("utf-8") == page(MARKS)


def test_every_field_of_every_version_is_tried() -> None:
    """No optional field of any version is left out."""
    known = {name for version in VERSIONS for name in request_body(version)["properties"]}
    assert {*FIELDS} == known - PAIR


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.library} on {pair.server}")
def test_an_option_goes_where_both_contracts_say(pair: Pair) -> None:
    """What a library offers is sent, what it does not know only as extra_body; Krea decides."""
    offered = request_body(pair.own)["properties"]
    strict = {*pair.insisted_on} <= request_body(pair.server)["properties"].keys()
    for field in FIELDS:
        taken = _taken(pair.server, field)
        assert pair.mark(f"extra_body {field}") == taken, field
        expected = taken if field in offered or not strict else REFUSED_HERE
        assert pair.mark(f"option {field}") == expected, field


def _taken(server: str, field: str) -> str:
    """Return what a server makes of a field."""
    properties = request_body(server)["properties"]
    if not properties:
        return NOT_FOUND
    old_name = server == "next-b" and field == "init_image_url"
    return WORKS if field in properties or old_name else BAD_REQUEST


@pytest.mark.parametrize("library", VERSIONS)
def test_a_library_on_its_own_krea(library: str) -> None:
    """A library gets from the Krea that it was built for all that it offers."""
    pair = Pair(MARKS, library, library if library != "absent" else "v4")
    assert (pair.verdict, pair.refused) == ("works", [])
