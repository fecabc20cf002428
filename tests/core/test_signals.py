"""Headers about an end: every form that is known, and anything else."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from krea_aleph._signals import Signals, read_signals

NEW_YEAR = "Tue, 01 Jan 2030 00:00:00 GMT"
PAGE = '<https://docs.example/deprecations#aleph>; rel="deprecation"; type="text/html"'


def deprecated(since: str | None = None) -> Signals:
    """Expect a deprecation and no more."""
    return Signals(True, since, None, None, None)


def announced(
    *, sunset: str | None = None, replacement: str | None = None, url: str | None = None
) -> Signals:
    """Expect a day or links."""
    return Signals(False, None, sunset, replacement, url)


DEPRECATION = {
    "true": deprecated(),
    "True": deprecated(),
    "?1": deprecated(),
    "true, true": deprecated(),
    "@1688169599": deprecated("2023-06-30"),
    "@1688169599.5;x=1": deprecated("2023-06-30"),
    "@1688169599, @1688169599": deprecated("2023-06-30"),
    "@-86400": deprecated("1969-12-31"),
    "Sun, 11 Nov 2018 23:59:59 GMT": deprecated("2018-11-11"),
    "Sun, 11 Nov 2018 23:59:59 -0000": deprecated("2018-11-11"),
    "Sun, 11 Nov 2018 23:59:59 EST": deprecated("2018-11-12"),
    "2026-01-02": deprecated("2026-01-02"),
    '"2026-01-02T03:04:05Z"': deprecated("2026-01-02"),
    "true, Sun, 11 Nov 2018 23:59:59 GMT": deprecated("2018-11-11"),
    'version="v1", date="Sun, 11 Nov 2018 23:59:59 GMT"': deprecated("2018-11-11"),
    "false": None,
    "?0": None,
    "": None,
    "soon": None,
    "@": None,
    "@soon": None,
    "@999999999999": None,
    "@" + "9" * 5000: None,
    "2026-02-31": None,
    "Sun, 99 Nov 2018 23:59:59 GMT": None,
    "\x00\xff": None,
}


@pytest.mark.parametrize("value", DEPRECATION)
def test_deprecation(value: str) -> None:
    """The older form, the one of RFC 9745 and dates are understood; the rest says nothing."""
    assert read_signals({"deprecation": value}) == DEPRECATION[value]


SUNSET = {
    NEW_YEAR: "2030-01-01",
    f"{NEW_YEAR}, {NEW_YEAR}": "2030-01-01",
    "Tuesday, 01-Jan-30 00:00:00 GMT": "2030-01-01",
    "Tue Jan  1 00:00:00 2030": "2030-01-01",
    "2030-01-01T00:00:00.000Z": "2030-01-01",
    "@1893456000": "2030-01-01",
    "2030-1-1": None,
    "2030-01-011": None,
    "never": None,
    "": None,
}


@pytest.mark.parametrize("value", SUNSET)
def test_sunset(value: str) -> None:
    """A day is a day, in every spelling that HTTP has had."""
    expected = SUNSET[value]
    assert read_signals({"sunset": value}) == (announced(sunset=expected) if expected else None)


LINKS = {
    PAGE: announced(url="https://docs.example/deprecations#aleph"),
    "<https://docs.example/a?sig=1>;REL=Deprecation": announced(url="https://docs.example/a"),
    "<https://docs.example/a> ; rel = sunset": announced(url="https://docs.example/a"),
    "<https://docs.example/a>; rel='sunset'": announced(url="https://docs.example/a"),
    '</v2/x>; title="a, <b>; \\"c\\""; rel="help successor-version"': announced(
        replacement="/v2/x"
    ),
    f'<https://other.example/>; rel="preload", {PAGE}, </v2>; rel=successor-version': announced(
        replacement="/v2", url="https://docs.example/deprecations#aleph"
    ),
    "</first>; rel=sunset, </second>; rel=deprecation, </third>; rel=deprecation": announced(
        url="/second"
    ),
    "</a>; rel=next; rel=sunset": None,
    "</a>; rel=next": None,
    "</a>; rel": None,
    "</a>": None,
    "<>; rel=sunset": None,
    "/a; rel=sunset": None,
    "<https://user:secret@docs.example/a>; rel=sunset": None,
    "<javascript:alert(1)>; rel=sunset": None,
    "</a b>; rel=sunset": None,
    "</a\x1b[31m>; rel=sunset": None,
    '</a>; rel="sunset': None,
    "": None,
}


@pytest.mark.parametrize("value", LINKS)
def test_links(value: str) -> None:
    """Of several links the first of a relation counts; quotes, case and strange ones don't hurt."""
    assert read_signals({"link": value}) == LINKS[value]


def test_all_together() -> None:
    """What Krea documents is read as a whole; headers about anything else say nothing."""
    headers = {"deprecation": "true", "sunset": NEW_YEAR, "link": PAGE, "date": NEW_YEAR}
    page = "https://docs.example/deprecations#aleph"
    assert read_signals(headers) == Signals(True, None, "2030-01-01", None, page)
    assert read_signals({"date": NEW_YEAR}) is None


PIECES = st.sampled_from(
    ["<", ">", ";", ",", "=", '"', "\\", " ", "rel", "sunset", "true", "@1", "GMT", "-", "2030-"]
)
VALUES = st.text() | st.lists(PIECES).map("".join)


@given(deprecation=VALUES, sunset=VALUES, link=VALUES)
@example(deprecation="@1", sunset="a" * 100_000, link='<x>;a="' * 20_000)
@example(deprecation=",", sunset="Mon, 01 Jan 0001 00:00:00 +9999", link="<" * 100_000)
def test_anything_is_read_without_harm(deprecation: str, sunset: str, link: str) -> None:
    """No header raises, and what is taken from one is a day or a plain address."""
    found = read_signals({"deprecation": deprecation, "sunset": sunset, "link": link})
    for day in (found.since, found.sunset) if found else ():
        assert day is None or re.fullmatch(r"\d{4}-\d{2}-\d{2}", day)
    for address in (found.replacement, found.url) if found else ():
        assert address is None or re.fullmatch(r"[!-~]{1,700}", address)
