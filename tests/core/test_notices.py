"""Warnings about what is going to end: in words, once, in time, and never in the way of a job."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from endings import Endings, endings, heard

from krea_aleph import KreaWarning, _wire, contract
from krea_aleph._assets import delete_asset, get_asset, list_assets
from krea_aleph._exchange import exchange
from krea_aleph._jobs import cancel, get, list_jobs
from krea_aleph._notices import Caution, warn_once, warn_safely
from krea_aleph._results import download, transform
from krea_aleph._steps import Request
from krea_aleph._submit import submit
from krea_aleph._waiting import wait, watch
from krea_aleph.errors import InvalidRequestError, KreaDeprecationWarning, SubmitUncertainError
from krea_aleph.models import Job

from .transcript import JOB_ID, Stage, answer, completed, configured, job_answer

ALEPH = "create_aleph_job"
VIDEO = "https://example.com/in.mp4"
ACCEPTED = job_answer("queued")
GET = Request("get_job", "GET", "/jobs/j1")
GONE = {"deprecation": "true", "sunset": "Tue, 01 Jan 2030 00:00:00 GMT"}


@pytest.fixture
def ends() -> Iterator[Endings]:
    """A contract that can be made to announce an end."""
    with endings() as changes:
        yield changes


def asking(**options: Any) -> Any:
    """Ask for a video, with options."""
    checks, extra = options.pop("checks", "error"), options.pop("extra_body", None)
    return partial(
        _wire.draft, VIDEO, "snow", options, extra_body=extra, checks=checks, account="default"
    )


def told(stage: Stage) -> list[dict[str, Any]]:
    """List the facts of the events about an end."""
    return [dict(event.attributes) for event in stage.events if event.kind == "deprecated"]


WORDS: list[tuple[dict[str, str], str]] = [
    ({"deprecated": "2026-12-01"}, "Krea advises against it since 2026-12-01."),
    (
        {"deprecated": "2026-12-01", "sunset": "2027-01-31", "replacement": "aleph-2"},
        "since 2026-12-01; its last day is 2027-01-31. Use aleph-2 instead.",
    ),
    ({"sunset": "2027-01-31"}, "its end is announced; its last day is 2027-01-31."),
    (
        {"retired": "2027-02-01", "deprecated": "2026-12-01", "migration_url": "https://d.example"},
        "no longer has it since 2027-02-01; it may be refused at any time. See https://d.example",
    ),
]


@pytest.mark.parametrize(("facts", "words"), WORDS, ids=str)
def test_the_pinned_contract_in_words(ends: Endings, facts: dict[str, str], words: str) -> None:
    """The warning names the operation, what is known of its end, and the contract that says so."""
    ends.operation(**facts)
    stage = Stage(ACCEPTED)
    with heard() as caught:
        stage.play(submit(configured(), asking()))
    (warning,) = caught
    assert str(warning.message).startswith(f"{ALEPH}: ")
    assert words in str(warning.message)
    assert f"So says the contract of {contract.date}" in str(warning.message)
    (event,) = told(stage)
    state = next(name for name in ("retired", "deprecated", "sunset") if name in facts)
    state = "announced" if state == "sunset" else state
    assert (event["operation"], event["source"], event["state"]) == (ALEPH, "contract", state)
    assert event.get("sunset") == facts.get("sunset")
    assert set(contract.notices()) == {ALEPH}
    assert contract.notices()[ALEPH].retired == facts.get("retired")


def test_the_class_is_one_that_python_shows() -> None:
    """Nobody has to ask for it: it is ours, and nothing that Python hides by default."""
    assert issubclass(KreaDeprecationWarning, KreaWarning)
    hidden = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
    assert not issubclass(KreaDeprecationWarning, hidden)


def test_once_per_process_and_operation(ends: Endings) -> None:
    """However many clients and calls: one warning a process; and one event a client."""
    ends.operation(deprecated="2026-12-01")
    ends.operation("get_job", deprecated="2026-12-01")
    with heard() as caught:
        for _ in range(3):
            config = configured()
            stage = Stage(ACCEPTED, completed())
            for _ in range(2):
                stage.play(submit(config, asking()))
            stage.play(get(config, JOB_ID))
            assert [event["operation"] for event in told(stage)] == [ALEPH, "get_job"]
    assert [str(warning.message).partition(":")[0] for warning in caught] == [ALEPH, "get_job"]


@pytest.mark.usefixtures("ends")
def test_once_among_threads() -> None:
    """Threads that come to it at the same time do not all tell it."""
    caution = Caution(("x",), "x", {})
    with heard() as caught:
        threads = [threading.Thread(target=warn_once, args=(caution,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(caught) == 1


JOB = Job(JOB_ID, "completed")
VERBS: dict[str, tuple[str, Any]] = {
    "submit": (ALEPH, lambda config: submit(config, asking())),
    "get": ("get_job", lambda config: get(config, JOB_ID)),
    "wait": ("get_job", lambda config: wait(config, JOB_ID, None)),
    "watch": ("get_job", lambda config: watch(config, JOB_ID, None)),
    "cancel": ("delete_job", lambda config: cancel(config, JOB_ID)),
    "download": ("get_job", lambda config: download(config, JOB_ID, "out.mp4", exists="error")),
    "list_jobs": ("list_jobs", lambda config: list_jobs(
        config, status=None, types=(), created_before=None, created_after=None,
    )),
    "get_asset": ("get_asset", lambda config: get_asset(config, "a")),
    "delete_asset": ("delete_asset", lambda config: delete_asset(config, "a")),
    "list_assets": ("list_assets", list_assets),
    "transform": ("get_job", lambda config: transform(
        config, asking(), "out.mp4", exists="error", wait_timeout=None, webhook_url=None,
    )),
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_made_an_exception_it_comes_before_anything_is_sent(ends: Endings, verb: str) -> None:
    """Under `-W error` every call stops before its first request, each time."""
    operation, play = VERBS[verb]
    ends.operation(operation, retired="2026-12-01")
    for _ in range(2):
        stage = Stage()
        with pytest.raises(KreaDeprecationWarning, match=operation):
            stage.play(play(configured()))
        assert stage.requests == []


def test_what_cancelling_needs_is_told_before_the_wait(ends: Endings) -> None:
    """A client that cancels what it leaves hears in time, not while it is cleaning up."""
    ends.operation("delete_job", deprecated="2026-12-01")
    with pytest.raises(KreaDeprecationWarning, match="delete_job"):
        Stage().play(wait(configured(abandon="cancel"), JOB_ID, None))
    assert Stage(completed()).play(wait(configured(), JOB_ID, None)).succeeded


def test_an_upload_on_the_way_to_a_job(ends: Endings, tmp_path: Any) -> None:
    """A file needs an upload, a URL does not: only the first is warned about it."""
    ends.operation("upload_asset", deprecated="2026-12-01")
    clip = tmp_path / "in.mp4"
    clip.write_bytes(b"\x00\x00\x00\x18ftypisom" + bytes(100))
    ask = partial(_wire.draft, clip, "snow", {}, extra_body=None, checks="error", account="default")
    stage = Stage(ACCEPTED)
    with pytest.raises(KreaDeprecationWarning, match="upload_asset"):
        stage.play(submit(configured(), ask))
    assert stage.requests == []
    assert stage.play(submit(configured(), asking())).id == JOB_ID


FIELDS: list[tuple[tuple[str, ...], dict[str, Any], str]] = [
    (("seed",), {"seed": 1}, "seed"),
    (("init_video",), {}, "video"),
    (("references",), {"references": []}, "references"),
    (
        ("references", "[]", "uri"),
        {"references": [{"type": "image", "uri": "https://a.example/1.png"}] * 2, "checks": "off"},
        "references[].uri",
    ),
    (("seed",), {"extra_body": {"seed": 1}}, "seed"),
]


@pytest.mark.parametrize(("path", "options", "name"), FIELDS, ids=str)
def test_a_deprecated_field(
    ends: Endings, path: tuple[str, ...], options: dict[str, Any], name: str
) -> None:
    """Using a field that the contract marks is warned about by the name that the caller used."""
    ends.field(*path)
    stage = Stage(ACCEPTED)
    config = configured()
    with heard() as caught:
        for _ in range(2):
            stage.play(submit(config, asking(**options)))
    (warning,) = caught
    assert str(warning.message).startswith(f"{name}: Krea has marked this field as deprecated.")
    assert [(event["field"], event["state"]) for event in told(stage)] == [(name, "deprecated")]


def test_deprecated_fields_in_any_schema() -> None:
    """A mark is found in a choice and below lists; where anything goes there is none."""
    marked = {"properties": {"a": {"deprecated": True}, "b": True}}
    schema = {"properties": {"c": {"anyOf": [True, {"type": "array", "items": marked}]}}}
    assert [*_wire._marked(schema, {"c": [{"a": 1, "b": 2}], "d": 3}, "")] == ["c[].a"]


def test_a_field_that_is_not_used_is_no_matter(ends: Endings) -> None:
    """What a request does not hold is not warned about."""
    ends.field("seed")
    ends.field("references", "[]", "uri")
    assert Stage(ACCEPTED).play(submit(configured(), asking(ratio="1280:720"))).id == JOB_ID


ALIAS = {"sunset": "2026-06-19", "reason": "Names are plain.", "url": "https://d.example/a"}
NEW_NAME = (
    "aspectRatio: it was renamed to 'ratio' (Names are plain); the old name is accepted until"
    " 2026-06-19; see https://d.example/a."
)


def test_an_old_name_as_an_option(ends: Endings) -> None:
    """An option by its old name is refused with the new one, before anything is sent."""
    ends.alias("aspectRatio", "ratio", **ALIAS)
    with pytest.raises(InvalidRequestError) as caught:
        asking(aspectRatio="1280:720")()
    assert caught.value.field == "aspectRatio"
    assert NEW_NAME in str(caught.value)
    ends.alias("initVideo", "init_video")
    with pytest.raises(InvalidRequestError, match="initVideo: it was renamed to 'video'"):
        asking(initVideo="https://example.com/b.mp4")()


def test_an_old_name_that_goes_out_all_the_same(ends: Endings) -> None:
    """In extra_body, or with the checks off, an old name is sent and warned about once."""
    ends.alias("aspectRatio", "ratio", **ALIAS)
    stage = Stage(ACCEPTED)
    config = configured()
    with heard() as caught:
        stage.play(submit(config, asking(extra_body={"aspectRatio": "1280:720"})))
        stage.play(submit(config, asking(aspectRatio="1280:720", checks="off")))
    (warning,) = caught
    assert str(warning.message).startswith(NEW_NAME)
    assert [request.json and request.json["aspectRatio"] for request in stage.requests] == [
        "1280:720"
    ] * 2
    assert [(event["field"], event["state"]) for event in told(stage)] == [
        ("aspectRatio", "renamed")
    ]


def test_an_old_name_with_checks_that_warn(ends: Endings) -> None:
    """With checks="warn" the warning of the check has the new name; there is no second one."""
    ends.alias("aspectRatio", "ratio")
    with pytest.warns(KreaWarning, match="renamed to 'ratio'") as caught:
        Stage(ACCEPTED).play(submit(configured(), asking(aspectRatio="4:3", checks="warn")))
    assert len(caught) == 1


def test_a_name_that_is_in_use_again_is_no_old_name(ends: Endings) -> None:
    """A field of the contract is itself, whatever else was called so before."""
    ends.alias("seed", "ratio")
    assert asking(seed=1)().cautions == ()


@pytest.mark.usefixtures("ends")
def test_an_answer_that_announces_an_end() -> None:
    """Headers of a live answer become a warning, an event and a log line: each once."""
    page = '<https://d.example/x?sig=secret>; rel="deprecation", </v2>; rel="successor-version"'
    stage = Stage(answer({"job_id": JOB_ID}, headers={**GONE, "link": page}))
    config = configured(account="studio")
    with heard() as caught:
        for _ in range(3):
            stage.play(exchange(config, GET))
    (warning,) = caught
    assert str(warning.message) == (
        "get_job: Krea's answers say that it is deprecated; its last day is 2030-01-01."
        " Use /v2 instead. See https://d.example/x"
    )
    assert told(stage) == [
        {
            "operation": "get_job",
            "source": "answer",
            "state": "deprecated",
            "sunset": "2030-01-01",
            "replacement": "/v2",
            "url": "https://d.example/x",
        }
    ]


@pytest.mark.usefixtures("ends")
def test_another_day_is_news() -> None:
    """A sunset that moves is told again; the same for another operation too."""
    later = {**GONE, "sunset": "Wed, 01 Jan 2031 00:00:00 GMT"}
    config = configured()
    stage = Stage(*(answer({"job_id": JOB_ID}, headers=headers) for headers in (GONE, GONE, later)))
    with heard() as caught:
        for _ in range(4):
            stage.play(exchange(config, GET))
        stage.play(exchange(config, GET._replace(operation="get_asset")))
    days = [event["sunset"] for event in told(stage)]
    assert days == ["2030-01-01", "2031-01-01", "2031-01-01"]
    assert len(caught) == 3


def test_what_the_contract_has_said_already_is_not_said_again(ends: Endings) -> None:
    """An answer adds nothing to a contract that knows as much; a day it does."""
    ends.operation("get_job", deprecated="2026-12-01")
    stage = Stage(answer({"job_id": JOB_ID}, headers={"deprecation": "true"}))
    stage.play(exchange(configured(), GET))
    assert told(stage) == []
    stage = Stage(answer({"job_id": JOB_ID}, headers=GONE))
    with pytest.warns(KreaDeprecationWarning, match="2030-01-01"):
        stage.play(exchange(configured(), GET))


@pytest.mark.usefixtures("ends")
def test_an_answer_never_raises_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Under `-W error` the job of a paid request comes back; the log has what was to be told."""
    paid = job_answer("queued")._replace(headers=GONE)
    stage = Stage(paid)
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, "krea_aleph"):
        warnings.simplefilter("error")
        config = configured()
        for _ in range(2):
            assert stage.play(submit(config, asking())).id == JOB_ID
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "KreaDeprecationWarning is not raised, as a job may be at stake" in caplog.text
    assert "its last day is 2030-01-01" in caplog.text
    assert len(told(stage)) == 1


@pytest.mark.usefixtures("ends")
def test_a_hook_that_breaks_does_not_cost_a_job(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever replaces the showing of warnings by something that fails still gets his job."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(warnings, "showwarning", broken)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        paid = job_answer("queued")._replace(headers=GONE)
        assert Stage(paid).play(submit(configured(), asking())).id == JOB_ID
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.usefixtures("ends")
def test_a_server_with_endless_news_is_heard_only_so_often() -> None:
    """Facts of answers that differ each time fill neither memory nor screen."""
    with heard() as caught:
        for number in range(300):
            warn_safely(Caution((str(number),), "x", {}))
    assert len(caught) == 200


MALFORMED = ["@", "\x00", "true" * 10_000, "Sun, 99 Foo 2018", '"', ";;;", "<<<>>>"]


@pytest.mark.parametrize("value", MALFORMED, ids=repr)
def test_malformed_headers_cost_nothing(value: str) -> None:
    """A paid job comes back whatever the headers about an end say."""
    headers = {"deprecation": value, "sunset": value, "link": value}
    stage = Stage(job_answer("queued")._replace(headers=headers))
    assert stage.play(submit(configured(), asking())).id == JOB_ID
    assert told(stage) == []


GOING = [
    (410, "The model is gone for good"),
    (404, "it means that the operation is gone"),
]


@pytest.mark.parametrize(("status", "hint"), GOING)
def test_a_refusal_that_the_contract_has_foreseen(ends: Endings, status: int, hint: str) -> None:
    """Where the pinned contract has the operation as retired, the error says so as well."""
    ends.operation(retired="2026-12-01")
    stage = Stage(answer({"error": "gone"}, status=status))
    with (
        heard(),
        pytest.raises(Exception, match="has it as retired since 2026-12-01") as caught,
    ):
        stage.play(submit(configured(), asking()))
    assert not isinstance(caught.value, SubmitUncertainError)
    assert hint in str(caught.value)
