"""Calls to requests, answers to models."""

import io
import json
import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krea_aleph import _wire
from krea_aleph._wire import Page, Prepared
from krea_aleph.errors import InvalidRequestError, InvalidResponseError
from krea_aleph.models import Asset, Job, Output

from .transcript import CLIP, JOB_ID, answer, label

URL = "https://example.com/in.mp4"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(32)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A small MP4."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(CLIP)
    return path


@pytest.fixture
def still(tmp_path: Path) -> Path:
    """A small PNG."""
    path = tmp_path / "still.png"
    path.write_bytes(PNG)
    return path


def prepare(video: Any = URL, prompt: Any = "make it snow", **arguments: Any) -> Prepared:
    """Prepare a request; what is no argument of ours is an option of the contract."""
    ours = {"extra_body": None, "checks": "error", "account": "default"}
    ours |= {name: arguments.pop(name) for name in tuple(arguments) if name in ours}
    return _wire.draft(video, prompt, arguments, **ours).inspect()  # type: ignore[arg-type]


def test_a_request_without_files() -> None:
    """The body has the contract's names and what was asked for, and nothing by default."""
    prepared = prepare(seed=7, ratio="1280:720")
    body = {"init_video": URL, "prompt": "make it snow", "seed": 7, "ratio": "1280:720"}
    assert prepared.checked.body == body
    assert prepared.body({}) == body
    assert (prepared.checked.uploads, prepared.sources, prepared.warnings) == ({}, {}, ())


@pytest.mark.parametrize(
    "media",
    ["https://a.example/x", "http://a.example:8080/x", "data:video/mp4;base64,AAAA"],
)
def test_urls_are_passed_on(media: str) -> None:
    """What is a URL is never opened here."""
    assert prepare(media, init_image_url=media).checked.body["init_video"] == media


def test_files_wherever_media_may_stand(clip: Path, still: Path) -> None:
    """Paths, open files and assets go into every media field, nested ones too."""
    asset = Asset("a1", "https://app-uploads.krea.ai/a1.png")
    references = ({"type": "image", "uri": io.BytesIO(PNG)},)
    prepared = prepare(clip, init_image_url=still, references=references)
    assert prepared.checked.uploads == {
        "video": "clip.mp4",
        "init_image_url": "still.png",
        "references[0].uri": "upload",
    }
    body = prepared.checked.body
    assert body["init_video"].startswith("upload:")
    addresses = {name: f"https://u.example/{index}" for index, name in enumerate(prepared.sources)}
    filled = prepared.body(addresses)
    assert filled["init_video"] == "https://u.example/0"
    assert filled["references"] == [{"type": "image", "uri": "https://u.example/2"}]
    assert json.loads(json.dumps(filled)) == filled
    assert prepare(asset).checked.body["init_video"] == asset.url


def test_a_prompt_that_looks_like_a_placeholder(clip: Path) -> None:
    """Only files are replaced by their addresses, never words that happen to look like one."""
    prepared = prepare(clip, "upload:video")
    (place,) = prepared.sources
    filled = prepared.body({place: "https://u.example/1"})
    assert filled == {"init_video": "https://u.example/1", "prompt": "upload:video"}
    assert type(filled["init_video"]) is str


def test_media_in_schemas_of_other_forms() -> None:
    """Media are found through alternatives and anything goes where the schema says nothing."""
    media = {"type": "string", "media": True}
    schema = {
        "properties": {
            "image": {"anyOf": [media, {"type": "null"}]},
            "free": True,
            "all": {"type": "array", "items": {"oneOf": [media]}},
        }
    }
    collector = _wire._Media()
    value = {"image": Path("a.png"), "free": "b.png", "all": ["c.png", URL], "new": (1,)}
    walked = collector.walk(schema, value, "field")
    assert walked == {
        "image": "upload:field.image",
        "free": "b.png",
        "all": ["upload:field.all[0]", URL],
        "new": [1],
    }
    assert collector.walk(schema, {"image": None}, "field") == {"image": None}
    assert list(collector.files.values()) == [Path("a.png"), "c.png"]


def test_fingerprints(clip: Path, still: Path) -> None:
    """Equal requests have equal fingerprints: a file counts by content, the account counts too."""
    same = clip.with_name("renamed.mp4")
    same.write_bytes(CLIP)
    first = prepare(clip, seed=1).checked.fingerprint
    assert prepare(same, seed=1).checked.fingerprint == first
    others = [
        prepare(clip, seed=2),
        prepare(clip, "make it rain", seed=1),
        prepare(clip, seed=1, account="other"),
        prepare(URL, seed=1),
        prepare(clip, seed=1, init_image_url=still),
        prepare(clip, seed=1, extra_body={"new": 1}),
    ]
    assert len({first, *(other.checked.fingerprint for other in others)}) == 7


def test_a_picture_is_no_video(still: Path) -> None:
    """A file that is no video is refused as the video, before it is uploaded."""
    with pytest.raises(InvalidRequestError, match=r"'still\.png' is image/png, not a video"):
        prepare(still)


CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("arguments", "field", "problem"),
    [
        ({"prompt": 7}, "prompt", "a str is needed, not int"),
        ({"prompt": "  "}, "prompt", "it is blank"),
        ({"prompt": "a\ud800"}, "prompt", "character 1 is half of a surrogate pair"),
        ({"prompt": "x" * 1001}, "prompt", "1001 characters are more than 1000"),
        ({"video": ""}, "video", "an empty text is no media"),
        ({"video": None}, "video", "NoneType is no media"),
        ({"video": b"\x00"}, "video", "bytes is no media"),
        ({"video": 7}, "video", "int is no media"),
        ({"video": "ftp://bucket/in.mp4"}, "video", "ftp:// is not supported"),
        ({"video": "https:in.mp4"}, "video", "'https:in.mp4' is no URL with a host"),
        ({"video": "https://[oops"}, "video", "is no URL with a host"),
        ({"video": "https://host:0/"}, "video", "is no URL with a host"),
        ({"video": "https://host/a b"}, "video", "is no URL with a host"),
        ({"video": "https://host/\n"}, "video", "is no URL with a host"),
        ({"video": "no/such/file.mp4"}, "video", "cannot be read"),
        ({"seed": -1}, "seed", "-1 is less than 0"),
        ({"seed": "7"}, "seed", "'7' is not a number"),
        ({"seed": math.nan}, "seed", "nan is not a finite number"),
        ({"seed": math.nan, "checks": "off"}, "seed", "it is no JSON"),
        ({"seed": 10**400}, "seed", "more than 4294967295"),
        ({"seed": None}, "seed", "None is not a number"),
        ({"ratio": "4:3"}, "ratio", "'4:3' is none of"),
        ({"init_image_url": None}, "init_image_url", "None is not a string"),
        ({"sead": 7}, "sead", "did you mean 'seed'?"),
        ({"init_video": URL}, "init_video", "it is the argument 'video' here"),
        ({"references": [{"type": "image"}]}, "references[0].uri", "it is required"),
        ({"references": [{"type": "x", "uri": URL}]}, "references[0].type", "is not 'image'"),
        ({"references": "x"}, "references", "'x' is not a list"),
        (
            {"references": [MappingProxyType({"type": "image", "uri": URL})]},
            "references",
            "it is no JSON",
        ),
        ({"extra_body": {"new": object()}}, "new", "it is no JSON"),
        ({"extra_body": {"new": CYCLE}}, "new", "it is no JSON"),
        ({"extra_body": {"new": {1: 1, "1": 1}}}, "new", "it is no JSON"),
        ({"extra_body": {7: 1}}, "extra_body", "no mapping of names to values"),
        ({"extra_body": ["new"]}, "extra_body", "no mapping of names to values"),
        ({"extra_body": {"seed": -1}}, "seed", "-1 is less than 0"),
    ],
    ids=label,
)
def test_what_is_refused_before_anything_is_sent(
    arguments: dict[str, Any], field: str, problem: str
) -> None:
    """Every bad value is named by the field as the caller wrote it, with what is wrong."""
    with pytest.raises(InvalidRequestError) as caught:
        prepare(**arguments)
    assert caught.value.field == field
    assert problem in caught.value.problem


def test_a_contract_that_has_grown_old() -> None:
    """A refusal names the contract's date and the ways out; each of them works."""
    with pytest.raises(InvalidRequestError, match=r"contract of 20\d\d-\d\d-\d\d.*extra_body"):
        prepare(seed=-1)
    warned = prepare(seed=-1, sead=2, checks="warn")
    options = ", ".join(sorted(_wire.AlephOptions.__annotations__))
    assert [text.partition(".")[0] for text in warned.warnings] == [
        "seed: -1 is less than 0",
        f"sead: it is none of the options {options}; did you mean 'seed'?",
    ]
    assert prepare(seed=-1, checks="off").warnings == ()
    extra = prepare(extra_body={"strength": 0.5, "ratio": "960:960"}, ratio="1280:720")
    assert extra.checked.body["strength"] == 0.5
    assert extra.checked.body["ratio"] == "960:960"


def test_prompts_that_count_double() -> None:
    """A prompt within the contract's limit that the model may count as longer is warned about."""
    snow = "\N{SNOWFLAKE}\N{CLOUD WITH SNOW}"
    assert prepare(prompt=snow * 250).warnings == ()
    (warning,) = prepare(prompt="\N{CLOUD WITH SNOW}" * 501).warnings
    assert "1002 UTF-16 units are more than the 1000" in warning


def test_requests() -> None:
    """Every operation has the contract's method, path and parameters."""
    submit = _wire.submit_request({"prompt": "x"}, "https://hooks.example/1")
    assert (submit.method, submit.path) == ("POST", "/generate/video/runway/aleph")
    assert (submit.json, submit.headers) == (
        {"prompt": "x"},
        {"x-webhook-url": "https://hooks.example/1"},
    )
    assert _wire.submit_request({}, None).headers == {}
    page = _wire.list_jobs_request(cursor="c", limit=5, status="new", types=["a", "b"])
    assert page.params == {"cursor": "c", "limit": 5, "status": "new", "types": "a,b"}
    assert _wire.list_jobs_request(cursor=None, limit=5, status=None, types=()).params == {
        "limit": 5
    }
    assert _wire.list_assets_request(cursor="c", limit=5).params == {"cursor": "c", "limit": 5}
    for request, line in (
        (_wire.get_job_request("j1"), "get_job GET /jobs/j1"),
        (_wire.delete_job_request("j1"), "delete_job DELETE /jobs/j1"),
        (_wire.get_asset_request("a1"), "get_asset GET /assets/a1"),
        (_wire.delete_asset_request("a1"), "delete_asset DELETE /assets/a1"),
        (_wire.list_assets_request(cursor=None, limit=5), "list_assets GET /assets"),
        (page, "list_jobs GET /jobs"),
    ):
        assert f"{request.operation} {request.method} {request.path}" == line


@pytest.mark.parametrize(
    ("status", "types", "field"),
    [("", (), "status"), ("a b", (), "status"), (7, (), "status"), (None, ["a,b"], "types")],
)
def test_filters_that_are_no_words(status: Any, types: Any, field: str) -> None:
    """A status or a type that could change the request is refused by name."""
    with pytest.raises(InvalidRequestError) as caught:
        _wire.list_jobs_request(cursor=None, limit=5, status=status, types=types)
    assert caught.value.field == field


def test_the_options_of_the_contract_can_be_had() -> None:
    """`AlephOptions` is there for those who ask at run time, and nothing else appears by magic."""
    assert "seed" in _wire.AlephOptions.__annotations__
    with pytest.raises(AttributeError, match="no attribute 'Surprise'"):
        _wire.Surprise  # noqa: B018 - asking is the test


def test_webhook_urls() -> None:
    """Only an address that Krea could call is accepted."""
    _wire.check_webhook_url(None)
    _wire.check_webhook_url("https://hooks.example/1")
    for url in ("hooks.example", "data:,", "https://", 7, ""):
        with pytest.raises(InvalidRequestError, match="webhook_url"):
            _wire.check_webhook_url(url)  # type: ignore[arg-type]


def test_ids() -> None:
    """A job, an asset or an id is taken; what could lead to another path is not."""
    assert _wire.job_id(JOB_ID, "default") == JOB_ID
    assert _wire.job_id(Job("j_1", "queued"), "default") == "j_1"
    assert _wire.asset_id("a1", "default") == "a1"
    assert _wire.asset_id(Asset("a1", URL), "default") == "a1"
    for bad in ("", "../assets", "a/b", "a b", "x" * 201, None, 7, b"j1", "j1\n", "\u0661"):
        with pytest.raises(InvalidRequestError, match="is no id"):
            _wire.job_id(bad, "default")  # type: ignore[arg-type]
        with pytest.raises(InvalidRequestError, match="is no id"):
            _wire.asset_id(bad, "default")  # type: ignore[arg-type]


def test_what_belongs_to_another_account() -> None:
    """A job or an asset of another account is refused before any request."""
    with pytest.raises(InvalidRequestError, match="'other', and this client acts for 'default'"):
        _wire.job_id(Job("j1", "queued", "other"), "default")
    with pytest.raises(InvalidRequestError, match="belongs to the account 'other'"):
        _wire.asset_id(Asset("a1", URL, "other"), "default")


def read_job(body: Any) -> Job:
    """Read a job from an answer."""
    return _wire.read_job(answer(body), "get_job", "studio", 5.0)


def test_a_whole_job() -> None:
    """Every fact of a job is read, with the account and the time at which it was fetched."""
    raw = {
        "job_id": JOB_ID,
        "status": "failed",
        "created_at": "2027-01-15T08:00:00.123Z",
        "completed_at": "2027-01-15T10:00:00+02:00",
        "result": {"urls": [URL]},
        "error": {"code": "nsfw", "message": "blocked"},
    }
    job = read_job(raw)
    assert job == Job(
        JOB_ID,
        "failed",
        "studio",
        datetime(2027, 1, 15, 8, 0, 0, 123000, tzinfo=UTC),
        datetime(2027, 1, 15, 10, 0, tzinfo=timezone(timedelta(hours=2))),
        (Output(URL),),
        "nsfw",
        "blocked",
    )
    assert (job.fetched_at, job.raw) == (5.0, raw)


@pytest.mark.parametrize(
    ("raw", "status", "created"),
    [
        ({}, "unknown", None),
        ({"status": None, "created_at": None, "result": None}, "unknown", None),
        ({"status": 7, "created_at": 7, "result": 7, "error": 7}, "unknown", None),
        ({"status": "brand-new", "created_at": "yesterday"}, "brand-new", None),
        ({"created_at": "2027-01-15T08:00:00"}, "unknown", datetime(2027, 1, 15, 8, tzinfo=UTC)),
        ({"type": "externalVideo", "estimated_time": "soon"}, "unknown", None),
    ],
    ids=label,
)
def test_a_job_that_says_little(raw: dict[str, Any], status: str, created: datetime | None) -> None:
    """An id is enough for a job; a time without a zone is taken for UTC."""
    job = read_job({"job_id": "j1", **raw})
    assert (job.status, job.created_at, job.outputs) == (status, created, ())


@pytest.mark.parametrize(
    ("raw", "outputs"),
    [
        ({"result": {"urls": ["a", "b", "a", ""]}}, [("a", "model"), ("b", "model")]),
        (
            {"result": {"urls": [{"type": "preview", "url": "a"}, {"url": "b"}, {"type": "x"}]}},
            [("a", "preview"), ("b", "model")],
        ),
        ({"result": {"urls": {"out": "a", "n": 7, "more": "b"}}}, [("a", "model"), ("b", "model")]),
        ({"result": {"urls": "a"}}, [("a", "model")]),
        ({"result": {"urls": [["a"], None, 7]}}, []),
        ({"result": ["a"]}, [("a", "model")]),
        ({"result": "a"}, [("a", "model")]),
        ({"result": {"video_url": "a", "thumbnail_url": "t"}}, [("a", "model"), ("t", "preview")]),
        ({"result": {"url": "a"}}, [("a", "model")]),
        ({"urls": ["a"]}, [("a", "model")]),
        ({"urls": ["b"], "result": {"urls": ["a"]}}, [("a", "model")]),
        ({"result": {"urls": {"url": "a", "type": 7}}}, [("a", "model")]),
        ({"result": {}}, []),
    ],
    ids=label,
)
def test_outputs_in_every_form(raw: dict[str, Any], outputs: list[tuple[str, str]]) -> None:
    """Outputs are found in each form that Krea has used, once each, in order."""
    job = read_job({"job_id": "j1", **raw})
    assert [(output.url, output.kind) for output in job.outputs] == outputs


@pytest.mark.parametrize(
    ("raw", "code", "words"),
    [
        ({"error": {"code": "E1", "message": "m"}}, "E1", "m"),
        ({"error": {"code": 7}}, "7", None),
        ({"error": {"code": [7], "message": {}}}, None, None),
        ({"error": "m"}, None, "m"),
        ({"result": {"error": "m"}}, None, "m"),
        ({"result": {"error": {"code": "E1", "message": "m"}}}, "E1", "m"),
        ({"error": {"message": "top"}, "result": {"error": "deep"}}, None, "top"),
        ({"error": None, "result": {"error": "deep"}}, None, "deep"),
        ({}, None, None),
    ],
    ids=label,
)
def test_failures_in_every_form(raw: dict[str, Any], code: str | None, words: str | None) -> None:
    """Code and words of a failure are read from the top and from inside of the result."""
    job = read_job({"job_id": "j1", "status": "failed", **raw})
    assert (job.error_code, job.error_message) == (code, words)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (None, "it is no JSON"),
        (b"<html>", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b"\xff", "it is no JSON"),
        ([], "it is no JSON object"),
        ("text", "it is no JSON object"),
        ({}, "no usable job_id"),
        ({"job_id": None}, "no usable job_id"),
        ({"job_id": 7}, "no usable job_id"),
        ({"job_id": ""}, "no usable job_id"),
        ({"job_id": "../../etc/passwd"}, "no usable job_id"),
        ({"id": "j1"}, "no usable job_id"),
    ],
    ids=label,
)
def test_what_is_no_job(body: Any, problem: str) -> None:
    """An answer without a job is an InvalidResponseError; an id must not lead out of a folder."""
    with pytest.raises(InvalidResponseError, match=problem):
        read_job(body)


def test_assets() -> None:
    """Every fact of an asset is read; sizes that are no whole numbers are left out."""
    raw = {
        "id": "a1",
        "image_url": URL,
        "mime_type": "video/mp4",
        "size_bytes": 2112.0,
        "width": 1280,
        "height": None,
        "uploaded_at": "2027-01-15T08:00:00Z",
    }
    asset = _wire.read_asset(answer(raw), "get_asset", "studio")
    moment = datetime(2027, 1, 15, 8, tzinfo=UTC)
    assert asset == Asset("a1", URL, "studio", "video/mp4", 2112, 1280, None, moment)
    assert asset.raw == raw
    odd = _wire.read_asset(
        answer(b'{"id": "a1", "url": "https://u", "width": 1.5, "height": Infinity}'), "x", "d"
    )
    assert (odd.url, odd.width, odd.height) == ("https://u", None, None)


@pytest.mark.parametrize("body", [{}, {"id": "a1"}, {"image_url": URL}, {"id": 7, "url": URL}])
def test_what_is_no_asset(body: Any) -> None:
    """An answer without an id or an address is an InvalidResponseError."""
    with pytest.raises(InvalidResponseError, match="no usable id and image_url"):
        _wire.read_asset(answer(body), "get_asset", "default")


@pytest.mark.parametrize(
    ("body", "ids", "cursor"),
    [
        ({"items": [{"job_id": "j1"}, 7, {}], "next_cursor": "c"}, ["j1"], "c"),
        ({"items": [], "nextCursor": "c"}, [], "c"),
        ({"items": []}, [], None),
        ({"items": [], "next_cursor": None}, [], None),
        ({"items": [], "next_cursor": 7}, [], None),
    ],
)
def test_pages(body: Any, ids: list[str], cursor: str | None) -> None:
    """A page gives its jobs and its cursor under either name; odd entries are passed over."""
    page = _wire.read_job_page(answer(body), "default", 0.0)
    assert ([job.id for job in page.items], page.cursor) == (ids, cursor)


def test_pages_of_assets() -> None:
    """Assets come in pages too; a page without a list is an InvalidResponseError."""
    page = _wire.read_asset_page(answer({"items": [{"id": "a", "image_url": URL}]}), "default")
    assert page == Page((Asset("a", URL),), None)
    bodies: list[dict[str, Any]] = [{}, {"items": None}, {"items": {}}]
    for body in bodies:
        with pytest.raises(InvalidResponseError, match="no list of items"):
            _wire.read_asset_page(answer(body), "default")


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["url", "urls", "type", "error", "code"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)
FIELDS = "status created_at completed_at result error urls id image_url width size_bytes".split()


@settings(max_examples=250)
@given(raw=st.dictionaries(st.sampled_from(FIELDS), VALUES), identity=st.just("j1") | VALUES)
def test_no_answer_breaks_the_readers(raw: dict[str, Any], identity: Any) -> None:
    """Whatever a server sends is a job, an asset or an InvalidResponseError, and pickles."""
    response = answer({"job_id": identity, **raw})
    with suppress(InvalidResponseError):
        job = _wire.read_job(response, "get_job", "default", 0.0)
        assert Job.from_json(job.to_json()) == job
    with suppress(InvalidResponseError):
        _wire.read_asset(response, "get_asset", "default")
