"""Libraries of every version against servers of every version."""

from __future__ import annotations

import pytest

from evolution.matrix import VERSIONS, Played, description, marks_of, read_table
from evolution.page import PAGE, Pair, page
from evolution.terms import BAD_REQUEST, NOT_FOUND, PAIR, REFUSED_HERE, WORKS, request_body

MARKS = read_table()
PAIRS = [Pair(MARKS, library, server) for library in VERSIONS for server in VERSIONS]
FIELDS = [title.removeprefix("option ") for title in MARKS if title.startswith("option ")]


# What Krea and the emulator do whatever their contract says, and what the scenarios make up.
ALWAYS = {
    "field Job.emulation string",
    "field Job.type string",
    "field ErrorBody.message string",
    "value Job.status dreaming",
    "status create_aleph_job 410",
}


def test_every_pair_does_what_is_written_down(played: dict[str, Played]) -> None:
    """Nothing crashes, is lost or is charged in vain; each scenario ends as the table says."""
    found = marks_of(played)
    assert list(found) == list(MARKS)
    assert {title: marks for title, marks in found.items() if marks != MARKS[title]} == {}


def test_what_is_new_is_told_once(played: dict[str, Played]) -> None:
    """What an answer has and the library's contract has not is an event, one of each."""
    for one in played.values():
        for told in one.told.values():
            assert sorted(told) == sorted({*told})
    assert {*played["v4"].told["v4"]} - ALWAYS == {"status create_aleph_job 422"}
    assert {*played["next-a"].told["next-a"]} <= ALWAYS
    assert {*played["v4"].told["next-a"]} - {*played["v4"].told["v4"]} == {
        "field Job.progress integer"
    }
    assert {*played["v4"].told["next-b"]} - {*played["v4"].told["next-a"]} == {
        "answer deprecated create_aleph_job",
        "field AssetPage.nextCursor null",
        "field JobPage.nextCursor string",
        "status delete_asset 204",
        "status delete_job 204",
        "type Job.error string",
    }


def test_an_end_is_told(played: dict[str, Played]) -> None:
    """A library that knows of an end says so wherever it is used; others learn of it from Krea."""
    known = {
        "v3": ["contract renamed create_aleph_job startImage"],
        "next-b": [
            "contract deprecated create_aleph_job 2027-09-30 runway/aleph-2",
            "contract renamed create_aleph_job init_image_url",
        ],
        "absent": ["contract retired create_aleph_job"],
    }
    for library, one in played.items():
        for server, told in one.told.items():
            ends = sorted(line for line in told if line.startswith(("contract ", "answer ")))
            heard = server == "next-b" and library not in {"next-b", "absent"}
            said = ["answer deprecated create_aleph_job"] if heard else []
            assert ends == [*said, *known.get(library, [])], (library, server)


def test_the_page_tells_the_table() -> None:
    """docs/evolution.md is what the marks say."""
    assert PAGE.read_text("utf-8") == page(MARKS)


def test_every_field_of_every_version_is_tried() -> None:
    """No optional field of any version is left out."""
    known = {
        name for version in VERSIONS for name in request_body(description(version))["properties"]
    }
    assert {*FIELDS} == known - PAIR


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.library} on {pair.server}")
def test_an_option_goes_where_both_contracts_say(pair: Pair) -> None:
    """What a library offers is sent, what it does not know only as extra_body; Krea decides."""
    offered = request_body(description(pair.own))["properties"]
    strict = {*pair.insisted_on} <= request_body(description(pair.server))["properties"].keys()
    for field in FIELDS:
        taken = _taken(pair.server, field)
        assert pair.mark(f"extra_body {field}") == taken, field
        expected = taken if field in offered or not strict else REFUSED_HERE
        assert pair.mark(f"option {field}") == expected, field


def _taken(server: str, field: str) -> str:
    """Return what a server makes of a field."""
    properties = request_body(description(server))["properties"]
    if not properties:
        return NOT_FOUND
    old_name = server == "next-b" and field == "init_image_url"
    return WORKS if field in properties or old_name else BAD_REQUEST


@pytest.mark.parametrize("library", VERSIONS)
def test_a_library_on_its_own_krea(library: str) -> None:
    """A library gets from the Krea that it was built for all that it offers."""
    pair = Pair(MARKS, library, library if library != "absent" else "v4")
    assert (pair.verdict, pair.refused) == ("works", [])
