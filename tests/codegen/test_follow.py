"""Following a new description with --fetch and --from, on copies of the checkout."""

from __future__ import annotations

import copy
import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from codegen import follow as pipeline
from codegen.follow import MAX_PATHS, read_publication
from codegen.pipeline import Project
from krea_aleph.specdiff.changes import worst
from krea_aleph.specdiff.errors import EXIT_CODES, StepError
from local_site import https_site

from .conftest import ALEPH, CONTRACT, ROOT, Checkout, body_of, job_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from local_site import Site


def grown(contract: dict[str, Any]) -> dict[str, Any]:
    """Return the contract with one more optional field in a request."""
    result = copy.deepcopy(contract)
    body_of(result)["properties"]["quality"] = {"type": "string", "enum": ["fast", "best"]}
    return result


def follow(checkout: Checkout, document: object, *options: str) -> dict[str, Any]:
    """Follow a document from a file, and return the report."""
    file = checkout.root / "new.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    done = checkout.run("--from", str(file), "--json", *options)
    assert done.returncode in {0, *EXIT_CODES.values()}, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report.get("code", 0) == done.returncode
    return report


def look(checkout: Checkout, document: object) -> tuple[str, bool]:
    """Follow a document without putting anything in place: the severity, and whether it built."""
    file = checkout.root / "new.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    scratch = checkout.root / "scratch"
    scratch.mkdir()
    followed = pipeline.follow(Project(checkout.root), read_publication(file), scratch)
    return worst(followed.changes).name.lower(), followed.built is not None


def refused(checkout: Checkout, document: object) -> StepError:
    """Follow a document that is refused, and return the refusal."""
    with pytest.raises(StepError) as caught:
        look(checkout, document)
    return caught.value


def test_a_new_description_becomes_the_contract_and_going_back_restores_every_byte(
    checkout: Checkout,
) -> None:
    """Contract, lock and tree change together, and are what they were when upstream goes back."""
    first = checkout.files()
    report = follow(checkout, grown(CONTRACT))
    assert (report["result"], report["severity"]) == ("updated", "feature")
    assert [change["consequence"] for change in report["changes"]] == [
        "create_aleph_job.body.quality can be given; code that leaves it out goes on as before."
    ]
    assert "differs: options.py" in report["files"]
    assert (
        report["previous"]["sha256"]
        == json.loads(first["scripts/codegen/contract.lock.json"])["contract"]["sha256"]
    )
    assert checkout.run("--check").returncode == 0
    assert follow(checkout, CONTRACT)["result"] == "updated"
    assert checkout.files() == first


def _other_operation(contract: dict[str, Any]) -> None:
    answers = {"200": {"description": "ok"}}
    contract["paths"]["/styles/{style}.{kind}"] = {"get": {"responses": answers}}
    contract["paths"][ALEPH]["put"] = {"responses": answers}
    contract["components"]["schemas"] = {"Style": {"type": "object"}}
    contract["tags"].append({"name": "Styles"})


UNCHANGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "the same": lambda _: None,
    "other operations": _other_operation,
    "other versions of the document": lambda c: c["info"].update(version="v2"),
    "a remark of Krea's own": lambda c: c.update({"x-generated-by": "something"}),
}


@pytest.mark.parametrize("change", UNCHANGED.values(), ids=UNCHANGED.keys())
def test_no_change_in_what_we_use_touches_nothing(
    checkout: Checkout, contract: dict[str, Any], change: Callable[[dict[str, Any]], object]
) -> None:
    """What does not concern our operations ends at once, with nothing to do."""
    change(contract)
    assert look(checkout, contract) == ("none", False)


def _respelled(node: Any) -> Any:
    """Write null as a branch of its own and lists of one as constants, keys the other way round."""
    if isinstance(node, list):
        return [_respelled(child) for child in node]
    if not isinstance(node, dict):
        return node
    result = {key: _respelled(node[key]) for key in sorted(node, reverse=True)}
    types = result.get("type")
    if isinstance(types, list) and "null" in types:
        rest = {"type": [name for name in types if name != "null"]}
        annotations = {key: result.pop(key) for key in ("description",) if key in result}
        return {**annotations, "anyOf": [{"type": "null"}, {**result, **rest}]}
    if len(result.get("enum", ())) == 1:
        result["const"] = result.pop("enum")[0]
    return result


def test_another_spelling_is_nothing_to_do(checkout: Checkout) -> None:
    """Branches for type lists, constants for enums of one, other key order: all the same to us."""
    respelled = _respelled(CONTRACT)
    assert respelled != CONTRACT
    assert look(checkout, respelled) == ("none", False)


def test_yaml_is_read_so_that_a_ratio_stays_a_text(checkout: Checkout) -> None:
    """YAML 1.2: 16:9 and no are texts, so the same description in YAML is nothing new."""
    lines = json.dumps(CONTRACT, indent=1).replace('"1280:720"', "1280:720")
    report = follow(checkout, "# published as YAML\n" + lines)
    assert report["result"] == "nothing to do"


def test_a_vanished_operation_is_retired_and_its_contract_kept(
    checkout: Checkout, contract: dict[str, Any]
) -> None:
    """The build goes on from the last contract, marked with the date, until it is back."""
    first = checkout.files()
    del contract["paths"][ALEPH]
    report = follow(checkout, contract)
    assert (report["severity"], [*report["retired"]]) == ("breaking", ["create_aleph_job"])
    date = report["retired"]["create_aleph_job"]
    operations = checkout.files()["generated/krea_aleph_api/operations.py"].decode()
    assert operations.count(f'retired="{date}"') == 1
    assert (checkout.root / "openapi.json").read_bytes() == (ROOT / "openapi.json").read_bytes()
    assert checkout.run("--check").returncode == 0
    assert follow(checkout, contract)["result"] == "nothing to do"
    report = follow(checkout, CONTRACT)
    assert (report["returned"], report["retired"]) == (["create_aleph_job"], {})
    assert checkout.files() == first


def test_a_retired_operation_keeps_the_components_that_it_refers_to(
    checkout: Checkout, contract: dict[str, Any]
) -> None:
    """A component of the same name and another form does not change what is kept."""
    error = {"type": "object", "properties": {"error": {"type": "string"}}}
    schemas = contract["components"].setdefault("schemas", {})
    schemas["Failure"] = error
    for path in (ALEPH, "/jobs"):
        method = "post" if path == ALEPH else "get"
        content = contract["paths"][path][method]["responses"]["401"]["content"]
        content["application/json"]["schema"] = {"$ref": "#/components/schemas/Failure"}
    follow(checkout, contract)
    schemas["Failure"] = {"type": "object", "properties": {"detail": {"type": "integer"}}}
    del contract["paths"][ALEPH]
    assert follow(checkout, contract)["result"] == "updated"
    kept = json.loads((checkout.root / "openapi.json").read_bytes())["components"]["schemas"]
    assert kept == {"Failure": schemas["Failure"], "Failure.retired": error}
    assert checkout.run("--check").returncode == 0


def test_an_operation_marked_deprecated_is_noted_with_the_date_of_the_first_sight(
    checkout: Checkout, contract: dict[str, Any]
) -> None:
    """Users are warned by what is emitted; the date stays when other things change later."""
    contract["paths"][ALEPH]["post"]["deprecated"] = True
    report = follow(checkout, contract)
    assert (report["severity"], [*report["deprecated"]]) == ("review", ["create_aleph_job"])
    lock = checkout.root / "scripts/codegen/contract.lock.json"
    dated = json.loads(lock.read_bytes())
    dated["deprecated"]["create_aleph_job"] = "2026-01-02"
    lock.write_text(json.dumps(dated), encoding="utf-8")
    report = follow(checkout, grown(contract))
    assert report["deprecated"] == {"create_aleph_job": "2026-01-02"}


def test_announced_aliases_are_reported(checkout: Checkout, contract: dict[str, Any]) -> None:
    """Old names of fields that still work come with the day on which they stop."""
    alias = {"from": "initVideo", "to": "init_video", "sunset_date": "2027-01-31"}
    contract["paths"][ALEPH]["post"]["x-krea-deprecated-field-aliases"] = [alias]
    report = follow(checkout, contract, "--report", str(checkout.root / "report.md"))
    assert report["aliases"] == [{"operation": "create_aleph_job", **alias}]
    text = (checkout.root / "report.md").read_text(encoding="utf-8")
    assert "initVideo for `init_video` until `2027-01-31`" in text


def test_placeholders_may_be_called_otherwise(checkout: Checkout, contract: dict[str, Any]) -> None:
    """The name of a placeholder is not on the wire: the generated functions keep theirs."""
    item = contract["paths"].pop("/jobs/{id}")
    for method in ("get", "delete"):
        item[method]["parameters"][0]["name"] = "job_id"
    contract["paths"]["/jobs/{job_id}"] = item
    report = follow(checkout, grown(contract))
    assert (report["result"], report["severity"]) == ("updated", "feature")
    files = checkout.files()
    assert (
        files["generated/krea_aleph_api/api/jobs/get_job.py"]
        == (ROOT / "generated/krea_aleph_api/api/jobs/get_job.py").read_bytes()
    )


def _require(contract: dict[str, Any]) -> None:
    body_of(contract)["properties"]["quality"] = {"type": "string"}
    body_of(contract)["required"].append("quality")


def _rename(contract: dict[str, Any], old: str, new: str) -> None:
    body = body_of(contract)
    body["properties"][new] = body["properties"].pop(old)
    body["required"] = [new if name == old else name for name in body["required"]]


def _demand_header(contract: dict[str, Any]) -> None:
    header = {"in": "header", "name": "X-Team", "required": True, "schema": {"type": "string"}}
    contract["paths"]["/jobs"]["get"]["parameters"].append(header)


HUMAN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "required field": (_require, "create_aleph_job.body.quality must be given now"),
    "renamed prompt": (lambda c: _rename(c, "prompt", "text"), "no longer takes prompt"),
    "renamed video": (lambda c: _rename(c, "init_video", "clip"), "no longer takes init_video"),
    "no job id": (lambda c: job_of(c)["properties"].pop("job_id"), "get_job.200.job_id is gone"),
    "another id": (
        lambda c: job_of(c)["properties"].update(job_id={"type": "integer"}),
        "get_job.200.job_id is no string any more",
    ),
    "required header": (_demand_header, "list_jobs.header.X-Team must be given now"),
}


@pytest.mark.parametrize(("change", "words"), HUMAN.values(), ids=HUMAN.keys())
def test_what_no_program_may_decide_stops_for_a_human(
    checkout: Checkout,
    contract: dict[str, Any],
    change: Callable[[dict[str, Any]], object],
    words: str,
) -> None:
    """A request that our calls could not make any more stops the run, and says where to decide."""
    change(contract)
    refusal = refused(checkout, contract)
    assert refusal.step == "classify"
    assert words in refusal.problem
    assert "rules.toml" in refusal.problem or "teach the facade" in refusal.problem


def test_a_new_required_field_is_an_option_once_a_human_has_accepted_it(
    checkout: Checkout, contract: dict[str, Any]
) -> None:
    """One line in rules.toml lets it through; users give it, or are refused before paying."""
    _require(contract)
    rules = checkout.root / "scripts/codegen/rules.toml"
    line = 'accepted = ["create_aleph_job.body.quality"]'
    rules.write_text(rules.read_text("utf-8").replace("accepted = []", line), "utf-8")
    assert follow(checkout, contract)["result"] == "updated"
    assert b'"quality"' in checkout.files()["generated/krea_aleph_api/constraints.py"]


REFUSED: dict[str, tuple[object, str]] = {
    "a web page": ("<!doctype html><title>Krea</title>", "html"),
    "cut off": (json.dumps(CONTRACT)[:5000], "read"),
    "empty": ("", "empty"),
    "blank": (" \n", "empty"),
    "a list": ("[]", "read"),
    "text": ("hello", "read"),
    "OpenAPI 3.0": ({**CONTRACT, "openapi": "3.0.3"}, "version"),
    "OpenAPI 3.2": ({**CONTRACT, "openapi": "3.2.0"}, "version"),
    "Swagger": ({"swagger": "2.0", "paths": {}}, "version"),
    "YAML with anchors": ("openapi: 3.1.0\npaths: &a {}\nx: *a\n", "yaml"),
    "another API": ({**CONTRACT, "paths": {"/pets": {"get": {"responses": {}}}}}, "foreign"),
    "no paths": ({**CONTRACT, "paths": {}}, "foreign"),
    "paths of another form": ({**CONTRACT, "paths": []}, "validate"),
    "another server": ({**CONTRACT, "servers": [{"url": "https://api.krea.dev"}]}, "guard"),
    "no security": ({**CONTRACT, "security": []}, "guard"),
    "a path that leads elsewhere": (
        {**CONTRACT, "paths": {**CONTRACT["paths"], "https://evil.example/": {}}},
        "guard",
    ),
    "too many paths": (
        {**CONTRACT, "paths": {**CONTRACT["paths"], **{f"/x/{n}": {} for n in range(MAX_PATHS)}}},
        "guard",
    ),
    "an external reference": (
        {
            **CONTRACT,
            "components": {**CONTRACT["components"], "schemas": {"A": {"$ref": "x.json"}}},
        },
        "guard",
    ),
}


@pytest.mark.parametrize(("document", "step"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_followed_is_refused_by_name(
    checkout: Checkout, document: object, step: str
) -> None:
    """Each kind of bad document stops at a step of its own, before anything is built."""
    refusal = refused(checkout, document)
    assert (refusal.step, refusal.exit_code) == (step, EXIT_CODES[step])
    assert len(refusal.problem) > len("new.json: ")


def test_a_refused_document_changes_no_file(checkout: Checkout) -> None:
    """The command says what was refused, in words and as JSON, and leaves every byte."""
    before = checkout.files()
    report = follow(checkout, "<html>")
    problem = "new.json: a web page or other markup, not a description"
    assert report == {"result": "refused", "step": "html", "code": 42, "problem": problem}
    assert checkout.files() == before


def test_a_missing_file_is_named(checkout: Checkout) -> None:
    """Nothing to read is said as such."""
    done = checkout.run("--from", "no-such-file.json")
    assert done.returncode == EXIT_CODES["file"]
    assert "no-such-file.json cannot be read: No such file" in done.stderr


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_done(
    checkout: Checkout,
) -> None:
    """Where the report is to go is looked at first."""
    done = checkout.run("--from", "x.json", "--report", str(checkout.root / "no/such/report.md"))
    assert done.returncode == 2
    assert "no file can be written there" in done.stderr


def test_without_permission_to_write_everything_stays(checkout: Checkout) -> None:
    """A folder that cannot be written to is named, and the contract is not changed either."""
    if os.geteuid() == 0:
        before, blocker = checkout.files(), checkout.root / "generated/.stage-blocked"
        blocker.write_text("a file where only folders are expected", encoding="utf-8")
        report = follow(checkout, grown(CONTRACT))
        blocker.unlink()
    else:
        before, folder = checkout.files(), checkout.root / "generated"
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
        report = follow(checkout, grown(CONTRACT))
        folder.chmod(stat.S_IRWXU)
    assert (report["step"], report["code"]) == ("swap", EXIT_CODES["swap"])
    assert checkout.files() == before


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, checkout: Checkout) -> Iterator[Site]:
    """Give a local https server that the rules of the checkout name."""
    with https_site(tmp_path_factory.mktemp("site")) as found:
        rules = checkout.root / "scripts/codegen/rules.toml"
        text = rules.read_text("utf-8")
        for key, path in (("document", "/openapi.json"), ("page", "/aleph.md")):
            line = next(line for line in text.splitlines() if line.startswith(f"{key} = "))
            text = text.replace(line, f'{key} = "{found.url(path)}"')
        text = text.replace("[upstream]\n", f'[upstream]\nca = "{found.ca}"\n')
        rules.write_text(text, "utf-8")
        assert checkout.run().returncode == 0  # the rules are part of what a tree is made from
        yield found


def fetch(checkout: Checkout) -> dict[str, Any]:
    """Fetch and follow, and return the report."""
    report: dict[str, Any] = json.loads(checkout.run("--fetch", "--json").stdout)
    return report


def test_what_was_fetched_is_not_fetched_again(checkout: Checkout, site: Site) -> None:
    """The server's tag and the hash are remembered; an unchanged description ends at once."""
    body = json.dumps(grown(CONTRACT)).encode()
    site.put("/openapi.json", body, 'ETag: "one"')
    report = fetch(checkout)
    assert (report["result"], report["source"]) == ("updated", site.url("/openapi.json"))
    before = checkout.files()
    site.put("/openapi.json", b"", 'ETag: "one"', status="304 Not Modified")
    assert fetch(checkout)["result"] == "nothing to do"
    assert 'if-none-match: "one"' in site.requests[-1].lower()
    site.put("/openapi.json", body)
    assert fetch(checkout)["result"] == "nothing to do"
    assert checkout.files() == before


def test_a_tag_is_not_used_for_a_contract_that_is_no_longer_ours(
    checkout: Checkout, site: Site
) -> None:
    """Gone back by hand, the next fetch looks at the whole description again."""
    site.put("/openapi.json", json.dumps(grown(CONTRACT)).encode(), 'ETag: "one"')
    fetch(checkout)
    follow(checkout, CONTRACT)
    assert fetch(checkout)["result"] == "updated"
    assert "if-none-match" not in site.requests[-1].lower()


def test_the_page_of_the_documentation_helps_out(checkout: Checkout, site: Site) -> None:
    """It tells of one operation: the others are kept, and none is called retired."""
    page = grown(CONTRACT)
    page["paths"] = {ALEPH: page["paths"][ALEPH]}
    yaml = "\n".join(f"{key}: {json.dumps(value)}" for key, value in page.items())
    site.put("/aleph.md", f"# Aleph\n\n````yaml POST {ALEPH}\n{yaml}\n````\n".encode())
    report = fetch(checkout)
    assert (report["result"], report["retired"]) == ("updated", {})
    assert [change["severity"] for change in report["changes"]] == ["feature"]
    assert checkout.run("--check").returncode == 0
    assert fetch(checkout)["result"] == "nothing to do"


def test_a_fetch_that_fails_says_why_and_changes_nothing(checkout: Checkout, site: Site) -> None:
    """An address with nothing behind it is one clear message with an exit code of its own."""
    before = checkout.files()
    done = checkout.run("--fetch")
    assert done.returncode == EXIT_CODES["fetch"]
    assert "answered 404" in done.stderr
    assert site.url("/aleph.md") in done.stderr
    assert checkout.files() == before


def test_what_an_answer_no_longer_has_is_told_by_direction(
    checkout: Checkout, contract: dict[str, Any]
) -> None:
    """The report says for each change whether it is about what we send or what we receive."""
    del job_of(contract)["properties"]["error"]
    body_of(contract)["properties"]["prompt"]["maxLength"] = 10
    report = follow(checkout, contract)
    told = {(change["direction"], change["severity"]) for change in report["changes"]}
    assert told == {("request", "breaking"), ("response", "breaking")}
    assert report["decisions"]


def test_the_report_for_people_cannot_be_turned_into_markup(
    checkout: Checkout, contract: dict[str, Any], tmp_path: Path
) -> None:
    """Whatever upstream writes, the report shows it as text."""
    body_of(contract)["properties"]["style"] = {"enum": ["a|b <i>x</i> @team"]}
    follow(checkout, contract, "--report", str(tmp_path / "report.md"))
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "a\\u007cb <i>" in text  # inside of code, where only a bar ends the cell
    assert "<script" not in text
