"""Another contract makes another server."""

from __future__ import annotations

import copy
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from krea_aleph.emulator import Emulator
from krea_aleph.emulator.shapes import MISFIT, sample, shaper
from krea_aleph.errors import BadRequestError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

ALEPH = "/generate/video/runway/aleph"


@pytest.fixture
def document() -> Any:
    """The packaged contract, to be changed."""
    return json.loads(files("krea_aleph_api").joinpath("contract.json").read_text("utf-8"))


def _body(document: Any) -> Any:
    content = document["paths"][ALEPH]["post"]["requestBody"]["content"]
    return content["application/json"]["schema"]


def _success(document: Any, path: str, method: str) -> Any:
    content = document["paths"][path][method]["responses"]["200"]["content"]
    return content["application/json"]["schema"]


def test_new_and_renamed_request_fields(document: Any, open_shop: Any) -> None:
    """A field that is renamed upstream is asked for under its new name, and the old one refused."""
    body = _body(document)
    body["properties"]["start_video"] = body["properties"].pop("init_video")
    body["properties"]["strength"] = {"type": "number", "maximum": 1}
    body["required"] = ["prompt", "start_video", "strength"]
    krea = open_shop(contract=document)
    image = krea.upload(b"x", "a.png", "image/png").json()["image_url"]
    new = {"prompt": "snow", "start_video": image, "strength": 0.5}
    accepted = krea.http.post(ALEPH, json=new)
    assert accepted.status_code == 200
    assert "strength" in krea.http.post(ALEPH, json=new | {"strength": 2}).json()["message"]
    assert "init_video" in krea.http.post(ALEPH, json=new | {"init_video": "a:b"}).json()["message"]
    krea.sleep(5)
    job = krea.job(accepted.json()["job_id"])
    assert "not a video" in job["error"]["message"], "the renamed field is understood"


def test_new_required_response_field(document: Any, open_shop: Any) -> None:
    """A field that answers must have tomorrow is there, made up, and valid."""
    schema = _success(document, "/jobs/{id}", "get")
    schema["properties"]["cost"] = {"type": "object", "properties": {"cu": {"type": "integer"}}}
    schema["properties"]["cost"]["required"] = ["cu"]
    schema["required"].append("cost")
    krea = open_shop(contract=document, dialect="declared")
    job = krea.finished()
    assert job["cost"] == {"cu": 0}
    Draft202012Validator(schema).validate(job)


def test_renamed_error_key(document: Any, open_shop: Any) -> None:
    """Errors are told under the key that the contract declares."""
    declared = document["paths"]["/jobs/{id}"]["get"]["responses"]["404"]["content"]
    schema = declared["application/json"]["schema"]
    schema["properties"] = {"message": {"type": "string"}}
    schema["required"] = ["message"]
    krea = open_shop(contract=document, dialect="declared")
    assert krea.http.get("/jobs/x").json() == {"message": "Job not found"}


def test_one_fact_in_several_forms(document: Any, open_shop: Any) -> None:
    """Reasons, outputs and cursors are told in the form that the contract declares."""
    job = _success(document, "/jobs/{id}", "get")["properties"]
    job["error"] = {"type": "string"}
    job["result"]["properties"]["urls"]["items"].pop("anyOf")
    job["result"]["properties"]["urls"]["items"]["type"] = "object"
    page = _success(document, "/jobs", "get")
    page["properties"]["nextCursor"] = page["properties"].pop("next_cursor")
    page["required"] = ["items", "nextCursor"]
    refusal = document["paths"][ALEPH]["post"]["responses"]["400"]["content"]["application/json"]
    refusal["schema"]["properties"]["error"] = {"type": "object"}
    krea = open_shop(contract=document, dialect="declared")
    (output,) = krea.finished()["result"]["urls"]
    assert output["type"] == "model"
    assert krea.finished(prompt="[fail]")["error"] == "provider_error: The provider gave up"
    cursor = krea.http.get("/jobs", params={"limit": 1}).json()["nextCursor"]
    assert len(krea.http.get("/jobs", params={"cursor": cursor}).json()["items"]) == 1
    assert krea.post(seed=-1).json()["error"]["message"].startswith("seed: ")
    job["result"]["properties"]["urls"] = {"type": "object"}
    refusal["schema"] = {"type": "string"}
    krea = open_shop(contract=document, dialect="declared")
    assert list(krea.finished()["result"]["urls"]) == ["video"]
    assert krea.post(seed=-1).json().startswith("seed: ")


def test_old_names_of_fields(document: Any, open_shop: Any) -> None:
    """A field goes by its old name too, until the day that the contract names for that."""
    body = _body(document)
    body["properties"]["start_video"] = body["properties"].pop("init_video")
    body["required"] = ["prompt", "start_video"]
    alias = {"from": "init_video", "to": "start_video", "sunset_date": "2027-01-16"}
    document["paths"][ALEPH]["post"]["x-krea-deprecated-field-aliases"] = [alias]
    krea = open_shop(contract=document)
    krea.submit()
    assert "start_video" in krea.emulator.jobs[0].body
    krea.sleep(86_400)
    assert krea.post().status_code == 400
    del alias["sunset_date"]
    open_shop(contract=document).submit()


def test_a_contract_that_changes(document: Any, open_shop: Any) -> None:
    """A job goes on when the service begins to speak another contract."""
    krea = open_shop()
    job_id = krea.submit()["job_id"]
    del document["paths"][ALEPH]
    document["paths"]["/jobs/{id}"]["get"]["responses"]["200"]["content"]["application/json"] = {}
    krea.emulator.speak(document)
    krea.sleep(60)
    job = krea.job(job_id)
    assert job["status"] == "completed"
    assert isinstance(job["result"]["urls"][0], str), "nothing is said of it: the usual form"
    assert krea.post().status_code == 404


def test_status_without_backlogged(document: Any, open_shop: Any) -> None:
    """A contract that is older than a status is kept to."""
    schema = _success(document, ALEPH, "post")
    schema["properties"]["status"]["enum"] = ["queued", "processing", "completed", "failed"]
    krea = open_shop(contract=document, dialect="declared", concurrency=1)
    krea.submit()
    assert krea.submit()["status"] == "queued"


def test_extra_declared_status(document: Any, open_shop: Any) -> None:
    """A status that the contract comes to declare is used from then on."""
    responses = document["paths"]["/jobs/{id}"]["delete"]["responses"]
    responses["409"] = copy.deepcopy(responses["404"])
    krea = open_shop(contract=document, dialect="declared", cancel_refusal=409)
    job = krea.finished()
    assert krea.http.delete(f"/jobs/{job['job_id']}").status_code == 409


def test_without_aleph(document: Any, open_shop: Any) -> None:
    """Without the operation, its path is unknown: a page before the sunset, 410 after it."""
    del document["paths"][ALEPH]
    gone = open_shop(contract=document).post()
    assert (gone.status_code, gone.headers["content-type"]) == (404, "text/html; charset=utf-8")
    krea = open_shop(contract=document, sunset="2026-10-09", replacement="aleph-2")
    gone = krea.post()
    assert gone.status_code == 410
    assert gone.json()["error"] == "model_unavailable"
    assert gone.json()["sunset_date"] == "2026-10-09"
    assert gone.json()["replacement"] == "aleph-2"


def test_deprecation(document: Any, open_shop: Any) -> None:
    """Before the sunset successful submits carry the headers of a deprecation, refusals do not."""
    krea = open_shop(sunset="2030-01-01T00:00:00+00:00")
    headers = krea.post().headers
    assert headers["deprecation"] == "true"
    assert headers["sunset"] == "Tue, 01 Jan 2030 00:00:00 GMT"
    assert 'rel="deprecation"' in headers["link"]
    assert "deprecation" not in krea.http.post(ALEPH, json={}).headers
    document["paths"][ALEPH]["post"]["deprecated"] = True
    assert open_shop(contract=document).post().headers["deprecation"] == "true"


def test_unknown_operations(document: Any, open_shop: Any) -> None:
    """Other models submit jobs as well; anything else answers what its schema allows."""
    paths = document["paths"]
    paths["/generate/video/runway/gen-5"] = copy.deepcopy(paths[ALEPH])
    usage = {"type": "object", "required": ["left"], "properties": {"left": {"type": "number"}}}
    answer = {"description": "", "content": {"application/json": {"schema": usage}}}
    paths["/usage"] = {"get": {"security": [], "responses": {"200": answer}}}
    krea = open_shop(contract=document)
    body = {"prompt": "snow", "init_video": "https://example.com/a.mp4"}
    assert krea.http.post("/generate/video/runway/gen-5", json=body).json()["job_id"]
    assert krea.emulator.requests[-1].operation == "create_gen_5_job"
    assert krea.http.get("/usage", headers={"Authorization": ""}).json() == {"left": 0}


def test_references(document: Any, open_shop: Any) -> None:
    """Schemas may be shared by reference, even ones that contain themselves."""
    document["components"]["schemas"] = {
        "Body": _body(document),
        "Tree": {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"}}},
    }
    content = document["paths"][ALEPH]["post"]["requestBody"]["content"]["application/json"]
    content["schema"] = {"$ref": "#/components/schemas/Body"}
    content["schema"] = {"allOf": [content["schema"], {"$ref": "#/components/schemas/Tree"}]}
    krea = open_shop(contract=document)
    assert krea.post().status_code == 200
    assert krea.post(seed=-1).status_code == 400


def test_contract_from_a_file(document: Any, tmp_path: Path) -> None:
    """A contract can be the path of a file."""
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(document))
    for given in (path, str(path)):
        with Emulator(contract=given, render=False) as emulator:
            assert emulator.base_url


def test_contract_in_yaml(document: Any, tmp_path: Path) -> None:
    """A file may be YAML too (JSON is, after a comment)."""
    path = tmp_path / "contract.yaml"
    path.write_text(f"# a comment\n{json.dumps(document)}")
    with Emulator(contract=path, render=False) as emulator:
        assert emulator.base_url


UNUSABLE = {
    "missing": (None, "contract.json cannot be read: No such file"),
    "empty": ("", "there is nothing in it"),
    "HTML": ("<!doctype html><title>Sign in</title>", "a web page"),
    "a text": ("no json", "not an object"),
    "cut off": ('{"paths": {', "not plain JSON"),
    "an array": ("[]", "not an object"),
    "no paths": ("{}", "has no paths"),
    "another form": ('{"paths": {"/jobs": {"get": {"responses": []}}}}', "/paths/~1jobs/get/resp"),
    "no answers": ('{"paths": {"/jobs": {"get": {}}}}', "'responses'"),
    "a foreign reference": ('{"paths": {"/jobs": {"$ref": "https://x.example"}}}', "stay inside"),
    "a broken reference": ('{"paths": {"/jobs": {"$ref": "#/x"}}}', "points to nothing"),
    "somebody else's": ('{"paths": {"/pets": {"get": {"responses": {}}}}}', "no operation of Krea"),
}


@pytest.mark.parametrize(("text", "words"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_contract(tmp_path: Path, text: str | None, words: str) -> None:
    """What is no contract is refused when the emulator is made, with what is wrong."""
    path = tmp_path / "contract.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        Emulator(contract=path)
    assert "the contract cannot be used" in str(caught.value)


def test_placeholders_may_be_called_otherwise(document: Any, open_shop: Any) -> None:
    """What a placeholder is called is not sent, so the operation is the same."""
    item = document["paths"].pop("/jobs/{id}")
    for operation in item.values():
        operation["parameters"][0]["name"] = "job_id"
    document["paths"]["/jobs/{job_id}"] = item
    krea = open_shop(contract=document)
    assert krea.finished()["status"] == "completed"
    assert krea.emulator.requests[-1].operation == "get_job"


def test_foreign_operations_of_one_name(document: Any, open_shop: Any) -> None:
    """Operations that we do not know may end alike: each answers by its own schema."""
    for name in ("app", "style"):
        required = {"type": "object", "required": [name], "properties": {name: {"const": name}}}
        content = {"application/json": {"schema": required}}
        answer = {"description": "", "content": content}
        document["paths"][f"/{name}s/{{key}}"] = {"get": {"responses": {"200": answer}}}
    krea = open_shop(contract=document, dialect="declared")
    assert krea.http.get("/apps/1").json() == {"app": "app"}
    assert krea.http.get("/styles/1").json() == {"style": "style"}


def test_an_answer_that_looks_like_a_job(document: Any, open_shop: Any) -> None:
    """An operation that we do not know may start jobs: its answer is made up like any other."""
    paths = document["paths"]
    paths["/styles/train"] = {"post": {"responses": paths[ALEPH]["post"]["responses"]}}
    answer = open_shop(contract=document).http.post("/styles/train")
    assert answer.status_code == 200
    assert answer.json()["job_id"]


def test_tomorrow_today(document: Any, tmp_path: Path) -> None:
    """An application meets a new contract as it will meet the server: by name, and with a way out.

    A field is required from now on, another one is gone, and jobs have a status that is new.
    """
    body = _body(document)
    body["properties"]["strength"] = {"type": "number", "maximum": 1}
    body["required"].append("strength")
    del body["properties"]["ratio"]
    statuses = _success(document, "/jobs/{id}", "get")["properties"]["status"]["enum"]
    statuses[statuses.index("processing")] = "working"
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(document))
    clip = "https://example.com/in.mp4"
    with (
        Emulator(contract=path, render=False, dialect="declared") as krea,
        krea.aleph(virtual_time=True) as aleph,
    ):
        with pytest.raises(BadRequestError, match="strength"):
            aleph.submit(clip, "snow")
        extra = {"strength": 0.5}
        with pytest.raises(BadRequestError, match="ratio"):
            aleph.submit(clip, "snow", ratio="1280:720", extra_body=extra)
        job = aleph.wait(aleph.submit(clip, "snow", extra_body=extra))
        assert job.succeeded
        assert krea.accepted == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": "x" * 1001},
        {"prompt": None},
        {"seed": -1},
        {"seed": True},
        {"seed": 4294967296},
        {"ratio": "16:9"},
        {"init_video": "not a url"},
        {"references": [{"type": "image", "uri": "a:b"}] * 2},
        {"references": [{"type": "video", "uri": "a:b"}]},
        {"references": [{"type": "image"}]},
        {"start_video": "https://example.com/a.mp4"},
    ],
)
def test_request_checks(krea: Any, body: dict[str, Any]) -> None:
    """What the contract forbids in a body is refused by the name of the field."""
    whole = {"prompt": "snow", "init_video": "https://example.com/a.mp4"} | body if body else {}
    answer = krea.http.post(ALEPH, json=whole)
    assert answer.status_code == 400
    assert next(iter(body), "prompt") in answer.json()["message"]
    assert krea.emulator.accepted == 0


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b'{"prompt": NaN}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"prompt": "a", "init_video": "a:b"}', "text/plain"),
        (b"\xff\xfe", "application/json"),
    ],
)
def test_body_that_is_no_json(krea: Any, content: bytes, kind: str) -> None:
    """A body that cannot be read is refused, never an error of the emulator."""
    answer = krea.http.post(ALEPH, content=content, headers={"Content-Type": kind})
    assert answer.status_code == 400


def test_method_not_allowed(krea: Any) -> None:
    """Another method gives 405 and the ones that there are."""
    answer = krea.http.put("/jobs/x")
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET")


def test_shapes() -> None:
    """Values are narrowed to what a schema allows; what is missing is made up."""
    shape = shaper(
        {
            "type": "object",
            "required": ["a", "b"],
            "properties": {
                "a": {"type": "integer", "minimum": 3},
                "b": {"anyOf": [{"type": "null"}, {"type": "string"}]},
                "c": {"type": "array", "items": {"type": "boolean"}},
            },
        }
    )
    assert shape({"a": "x", "c": [True, 1], "d": 0}) == {"a": 3, "b": None, "c": [True]}
    assert shape({"a": 1, "b": "x"}) == {"a": 1, "b": "x"}
    assert shape("no object") is MISFIT


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 3},
        {"type": "string", "format": "date-time"},
        {"type": ["string", "null"]},
        {"type": "array", "items": {"type": "integer", "minimum": 2}, "minItems": 2},
        {"type": "boolean"},
        {"enum": ["a", "b"]},
        {"const": 7},
        {"oneOf": [{"type": "integer"}, {"type": "string"}]},
        {"type": "object", "required": ["a"], "properties": {"a": {"type": "number"}}},
        {"type": ["object", "null"], "required": ["a"], "properties": {"a": {"type": "number"}}},
        {"required": ["a"], "properties": {"a": {"type": "number"}}},
        {},
        True,
    ],
)
def test_samples(schema: Any) -> None:
    """A value that is made up fits its schema."""
    Draft202012Validator(schema).validate(sample(schema))


PATTERNS = {
    "checked": ("^[a-z]+$", "snow", "9", True),
    "slow": ("(a+)+$", "snow", "a" * 40 + "!", False),
    "of another language": (r"^\p{L}+$", "snow", "9", False),
    "none": ("(", "snow", "9", False),
}


@pytest.mark.parametrize(("pattern", "good", "bad", "checked"), PATTERNS.values(), ids=PATTERNS)
def test_patterns_are_read_as_the_client_reads_them(
    pattern: str, good: str, bad: str, checked: bool, open_shop: Any, document: dict[str, Any]
) -> None:
    """A pattern that Python would read otherwise, or for ever, is not checked here either."""
    content = document["paths"][ALEPH]["post"]["requestBody"]["content"]
    properties = content["application/json"]["schema"]["properties"]
    properties["look"] = {"type": "string", "pattern": pattern}
    properties["map"] = {"type": "object", "patternProperties": {pattern: {"type": "string"}}}
    krea = open_shop(contract=document)
    assert krea.post(look=good, map={"x": "y"}).status_code == 200
    assert krea.post(look=bad).status_code == (400 if checked else 200)
