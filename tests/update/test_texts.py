"""What people read of a proposal: sound, in their words, and never a stranger's markup."""

# ruff: noqa: E501 - one case a line: they are tables

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from codegen.markdown import code, prose, value
from updating import pull_request
from updating.report import Checks, Surface
from updating.words import for_users

from .conftest import ALEPH, ANSWER, BODY, a_change, a_report

RENDERED = MarkdownIt("gfm-like", {"linkify": False, "html": True})
SAFE_OUTSIDE_CODE = re.compile(r"[A-Za-z0-9 .,:;?!\"'()/+=-]*")
WITH_OUR_MARKUP = re.compile(r"[A-Za-z0-9 .,:;?!\"'()/+=|#*\[\]-]*")

HOSTILE = [
    "[click](https://evil.example)",
    "![](https://evil.example/x.png)",
    "<img src=x onerror=alert(1)>",
    "<!-- hidden -->",
    "@octocat please merge",
    "fixes #1 and GH-1 and owner/repo#1",
    "https://evil.example/login",
    "www.evil.example",
    "evil@example.com",
    "a | b | c",
    "a \\| b",
    "`code` and ``more``",
    "```\nblock\n```",
    "line\n\n# A heading\n\n- [x] done",
    "line\\n\\n# A heading for those who turn backslashes into lines",
    "**bold** _italic_ ~~gone~~",
    "&lt;b&gt; &#64;octocat",
    "\u202egnp.exe",
    "\u2028- [x] separator",
    "\x1b[31mred",
    "\ud800 alone",
    "/label ~urgent",
    ":rocket:",
    "$\\href{https://evil.example}{x}$",
]


def tags(markdown: str) -> set[str]:
    """Render Markdown as the services do, and name the tags that came of it."""
    html = RENDERED.render(markdown.encode("utf-8", "replace").decode())
    return set(re.findall(r"<([a-z0-9]+)", html))


def outside_code(line: str) -> str:
    """Return what of a line is no code span."""
    return re.sub(r"`[^`]*`", "", line)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_sentence_brings_no_markup(text: str) -> None:
    """Links, pictures, HTML, mentions, references and headings stay text."""
    assert tags(prose(text)) <= {"p", "code"}
    assert tags(code(text)) <= {"p", "code"}


@given(st.text())
def test_a_value_is_one_code_span(text: str) -> None:
    r"""Whatever it says: one line, one span, no bar, nothing invisible, no backslash and n."""
    shown = code(text)
    assert shown.count("`") == 2
    assert shown[0] == shown[-1] == "`"
    assert shown.isprintable()
    assert "|" not in shown
    assert "\\n" not in shown


@given(st.text())
def test_outside_of_code_only_plain_words_are_left(text: str) -> None:
    """Of a sentence nothing but letters, numbers and the punctuation of prose stays bare."""
    bare = outside_code(prose(text))
    assert SAFE_OUTSIDE_CODE.fullmatch(bare)
    assert "//" not in bare
    assert "www" not in bare.lower().split(".")


SHOWN = {
    "nothing": (None, "-"),
    "a number": (1000, "`1000`"),
    "a text": ("16:9", "`16:9`"),
    "an empty text": ("", "` `"),
    "a list": (["string", "null"], '`["string", "null"]`'),
    "a bar": ("a|b", "`a\\u007cb`"),
    "a backtick": ("a`b", "`a\\u0060b`"),
    "a control character": ("a\x07b", "`a\\u0007b`"),
    "an emoji": ("\N{ROCKET}", "`\N{ROCKET}`"),
    "an invisible tag": ("\U000e0041", "`\\udb40\\udc41`"),
    "too long": ("x" * 200, f"`{'x' * 97}...`"),
}


@pytest.mark.parametrize(("data", "shown"), SHOWN.values(), ids=SHOWN)
def test_values_are_shown_as_json(data: Any, shown: str) -> None:
    """A reader sees the value, short, and every character of it."""
    assert value(data) == shown


WORDS = {
    "create_aleph_job.body.seed can be given; code that leaves it out goes on as before.": "`seed` of `submit` and `transform` can be given; code that leaves it out goes on as before.",
    "Calls that give create_aleph_job.body.seed are refused.": "Calls that give `seed` of `submit` and `transform` are refused.",
    "create_aleph_job.body.references[].uri may be left out.": "`references[].uri` of `submit` and `transform` may be left out.",
    'get_job.200.status may be "paused": it is handed on as text.': '`status` of a job may be "paused": it is handed on as text.',
    "list_jobs.200.items[].status may be missing.": "`status` of a job may be missing.",
    "create_aleph_job.200 may be null.": "A job may be null.",
    "list_jobs.200.next_cursor is no longer sent.": "`next_cursor` of a page of jobs is no longer sent.",
    "upload_asset.200.id is gone.": "`id` of an asset is gone.",
    "list_jobs.query.limit takes less.": "`limit` of `list_jobs` takes less.",
    "upload_asset.body takes less.": "The request of `upload` takes less.",
    "get_job.404.error is gone.": "`error` of the answer 404 of `get`, `wait` and `watch` is gone.",
    "create_aleph_job is no longer published: calls are going to fail.": "The call behind `submit` and `transform` is no longer published: calls are going to fail.",
    "get_job_twice is not ours.": "`get_job_twice` is not ours.",
}  # fmt: skip


@pytest.mark.parametrize(("said", "told"), WORDS.items(), ids=[*WORDS.values()])
def test_places_are_told_in_the_words_of_the_facade(said: str, told: str) -> None:
    """Users know `seed` of `submit`, not where in the document it stands."""
    assert for_users(said) == told


TITLES = {
    "Follow Krea's description of 2026-11-23: 1 breaking, 2 feature": ["breaking", "feature", "feature"],
    "Follow Krea's description of 2026-11-23: 1 review, 1 docs": ["docs", "review"],
    "Follow Krea's description of 2026-11-23: no change": [],
}  # fmt: skip


@pytest.mark.parametrize(("title", "severities"), TITLES.items())
def test_the_title_counts_by_severity(title: str, severities: list[str]) -> None:
    """The worst comes first; nothing of the document is in it."""
    report = a_report(*map(a_change, severities), result="updated")
    assert pull_request.title(report) == title


def full_report() -> Any:
    """Make a report in which everything is said once."""
    report = a_report(
        a_change("breaking", pointer=f"{BODY}/properties/seed", old={"type": "integer"}, new=None, consequence="Calls that give create_aleph_job.body.seed are refused."),
        a_change("review", pointer=f"{ANSWER}/properties/status/enum", old=None, new="paused", direction="response", consequence='get_job.200.status may be "paused": it is handed on as text.'),
        retired={"create_aleph_job": "2026-11-23", "list_assets": "2026-01-01"},
        returned=["get_asset"],
        deprecated={"list_jobs": "2026-11-23"},
        aliases=[{"operation": "create_aleph_job", "from": "startImage", "to": "start_image", "sunset_date": "2026-12-24", "reason": "snake", "migration_url": None}],
        decisions=["Calls that give create_aleph_job.body.seed are refused. (/paths/x)"],
        notes=["JobExtra is named after its place: name it in rules.toml if it deserves better"],
    )  # fmt: skip
    return dataclasses.replace(
        report,
        version="0.3.1",
        surface=Surface("v0.3.1", ("krea_aleph_api.options.AlephOptions.seed: public object was removed",), ("krea_aleph_api.models.job.Job.extra",)),
        checks=Checks(("scripts/check", "scripts/test")),
    )  # fmt: skip


def test_the_text_says_everything_that_a_reviewer_needs() -> None:
    """Summary, checks, decisions, table, retirement, aliases, version, hashes, how to try it."""
    text = pull_request.text(full_report(), "bot/spec-update")
    for wanted in (
        "Worst change: **breaking**.",
        "**Checks passed**: `scripts/check`, `scripts/test`.",
        "- [ ] Calls that give `seed` of `submit` and `transform` are refused. `(/paths/x)`",
        "- [ ] The call behind `create_aleph_job` is retired: tell users.",
        "- [ ] Version: A release that breaks, which before 1.0 is a minor one: 0.3.1 to 0.4.0.",
        f'| breaking | `{BODY}/properties/seed` (request) | `{{"type": "integer"}}` | - | Calls that give `seed` of',
        "| - | `paused` | `status` of a job may be",
        "- `list_assets` since 2026-01-01",
        "## Published again\n\n- `get_asset`",
        "## Marked deprecated\n\n- `list_jobs` since 2026-11-23",
        "- `create_aleph_job`: `startImage` is now `start_image` until `2026-12-24`",
        "- breaks `krea_aleph_api.options.AlephOptions.seed: public object was removed`",
        "- adds `krea_aleph_api.models.job.Job.extra`",
        f"- now `{'b' * 64}`, since 2026-11-23",
        f"- before `{'a' * 64}`, since 2026-11-22",
        "    git fetch origin bot/spec-update && git switch --detach FETCH_HEAD",
    ):
        assert wanted in text, wanted
    assert "list_assets` is retired: tell" not in text, "that is no news"
    assert tags(text) <= {*"p code strong h2 ul li table thead tbody tr th td pre".split()}


def test_failed_checks_come_first() -> None:
    """A proposal whose checks fail says so above everything else, with the end of what they said."""
    said = "\n".join(["old", *("<b>x</b> @team | # no" for _ in range(50)), "the last line"])
    report = dataclasses.replace(
        full_report(), checks=Checks(("scripts/check",), "scripts/check", said)
    )
    text = pull_request.text(report, "bot/spec-update")
    assert text.index("**Checks failed** at `scripts/check`") < text.index("## A human decides")
    assert "- [ ] The checks pass." in text
    assert "    the last line\n" in text
    assert "    old\n" not in text
    assert "b" not in tags(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_document_stays_in_its_cells(text: str) -> None:
    """Whatever a description says, wherever it is shown: no markup, no new row, no new line."""
    report = a_report(
        a_change("review", pointer=f"/{text}", old=text, new={text: text}, consequence=f"{text} changes."),
        source=text, returned=[text], deprecated={text: "2026-11-23"}, decisions=[text], notes=[text],
        aliases=[{"operation": text, "from": text, "to": text, "sunset_date": text}],
    )  # fmt: skip
    whole = pull_request.text(report, "bot/spec-update")
    assert tags(whole) <= {*"p code strong h2 ul li table thead tbody tr th td pre".split()}
    rows = [line for line in whole.splitlines() if line.startswith("| review")]
    assert [row.count("|") for row in rows] == [6]
    assert "\\n" not in whole
    ours = [line for line in whole.splitlines() if not line.startswith("    ")]
    assert all(WITH_OUR_MARKUP.fullmatch(outside_code(line)) for line in ours)
    assert tags(pull_request.message(report)) <= {"p"}


def test_a_huge_change_still_fits() -> None:
    """A text has at most 100 rows and what the services take, and says what is left out."""
    many = [a_change("feature", pointer=f"{BODY}/properties/{'x' * 290}{number}", consequence="word " * 200) for number in range(400)]  # fmt: skip
    text = pull_request.text(a_report(*many), "bot/spec-update")
    assert len(text.encode()) <= pull_request.LONGEST + 200
    assert "is left out here" in text


def test_the_report_of_the_regeneration_is_understood() -> None:
    """What a proposal adds to it is optional: its own report is read, too."""
    assert a_report(a_change()).updated
    assert not a_report().updated
    assert a_report(a_change()).changes[0].pointer.startswith(ALEPH)
