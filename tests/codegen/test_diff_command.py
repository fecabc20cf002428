"""The command that compares: reports, exit codes, refusals, and the history of the contract."""

# ruff: noqa: E501 - one case a line: they are tables

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codegen.validate import validate_shape
from krea_aleph.specdiff.changes import SEVERITY_EXITS, Severity, worst
from krea_aleph.specdiff.diff import check_document, diff_documents
from krea_aleph.specdiff.errors import EXIT_CODES
from krea_aleph.specdiff.rules import Rules
from krea_aleph.specdiff.severity import load_reads

from .conftest import ALEPH, ROOT, Checkout, body_of

HISTORY = ROOT / "tests/codegen/history"


def read(name: str) -> dict[str, Any]:
    """Read a form of the contract as it was at some time."""
    document: dict[str, Any] = json.loads((HISTORY / f"{name}.json").read_bytes())
    return document


KNOWN = {
    ("v1", "v3"): ("breaking", {"properties/startImage", "properties/contentModeration"}),
    ("v3", "v1"): ("breaking", {"properties/start_image", "properties/start_video", "schema/enum"}),
    ("v3", "v4"): ("breaking", {"properties/start_image", "properties/start_video"}),
    ("v4", "v3"): ("breaking", {"properties/error"}),
    ("v1", "v4"): ("breaking", {"properties/startImage", "properties/contentModeration"}),
    ("v4", "absent"): ("breaking", {"aleph/post"}),
    ("absent", "v4"): ("feature", set()),
    ("v4", "next-a"): ("breaking", {"init_video/maxLength", "0/maxLength", "uri/maxLength"}),
    ("next-a", "next-b"): (
        "breaking",
        {
            "properties/audience", "properties/init_image_url", "properties/references",
            "properties/next_cursor", "prompt/maxLength", "ratio/enum", "seed/type", "error/type",
        },
    ),
}  # fmt: skip


def test_the_newest_form_is_the_committed_contract(rules: Rules) -> None:
    """What stands at the end of the known history differs from the contract in its words alone."""
    lock = json.loads((ROOT / "scripts/codegen/contract.lock.json").read_bytes())
    if lock["before"]:
        pytest.skip("the contract has gone on from where the written history ends")
    committed = json.loads((ROOT / "openapi.json").read_bytes())
    reads = load_reads(ROOT / "scripts/codegen/reads.toml", rules)
    assert worst(diff_documents(committed, read("v4"), rules, reads)) is Severity.DOCS


@pytest.mark.parametrize(("pair", "expected"), KNOWN.items(), ids=map(" to ".join, KNOWN))
def test_the_known_history(
    pair: tuple[str, str], expected: tuple[str, set[str]], rules: Rules
) -> None:
    """Between two known forms exactly these places break, in either direction of time."""
    old, new = map(read, pair)
    for document in (old, new):
        check_document(document, rules, validate_shape)
    reads = load_reads(ROOT / "scripts/codegen/reads.toml", rules)
    found = diff_documents(old, new, rules, reads)
    breaking = {
        "/".join(change.pointer.replace("~1", "/").split("/")[-2:])
        for change in found
        if change.severity is Severity.BREAKING
    }
    assert (worst(found).name.lower(), breaking) == expected


def test_an_announced_rename_is_told(rules: Rules) -> None:
    """The aliases of May 2026 are reported with the day until which they hold."""
    reads = load_reads(ROOT / "scripts/codegen/reads.toml", rules)
    found = diff_documents(read("v4"), read("v3"), rules, reads)
    told = [change.consequence for change in found if "startImage" in change.consequence]
    assert told
    assert "2026-06-19" in told[0]


def write(path: Path, contract: object) -> str:
    """Write a contract and return its path."""
    path.write_text(contract if isinstance(contract, str) else json.dumps(contract), "utf-8")
    return str(path)


def test_the_report_for_programs(
    checkout: Checkout, contract: dict[str, Any], tmp_path: Path
) -> None:
    """With --json stdout holds the report and nothing else, and the exit code is the verdict's."""
    old = str(ROOT / "openapi.json")
    body_of(contract)["properties"]["prompt"]["maxLength"] = 900
    before = checkout.files()
    done = checkout.run("--diff", old, write(tmp_path / "new.json", contract), "--json")
    assert (done.returncode, done.stderr) == (SEVERITY_EXITS[Severity.BREAKING], "")
    report = json.loads(done.stdout)
    assert report.keys() == {"severity", "changes"}
    (change,) = report["changes"]
    assert {key: change[key] for key in ("old", "new", "severity", "direction")} == {
        "old": 1000, "new": 900, "severity": "breaking", "direction": "request",
    }  # fmt: skip
    node: Any = contract
    for name in change["pointer"].split("/")[1:]:
        node = node[name.replace("~1", "/").replace("~0", "~")]
    assert node == 900, "the pointer leads into the document"
    assert checkout.files() == before


def test_yaml_is_read_as_it_is_meant(checkout: Checkout, tmp_path: Path) -> None:
    """16:9 and no are text in YAML 1.2, statuses may be numbers: the same contract, no change."""
    document = read("v4")
    ratio = body_of(document)["properties"]["ratio"]
    ratio["enum"], ratio["default"] = ["16:9", "9:16", "no"], "16:9"
    plain = "# in YAML\nopenapi: 3.1.0\n" + _block(document)
    assert "- 16:9\n" in plain
    done = checkout.run(
        "--diff", write(tmp_path / "old.json", document), write(tmp_path / "new.yaml", plain)
    )
    assert (done.returncode, done.stdout) == (0, "none: no change in what we use\n"), done.stderr


def _block(document: dict[str, Any]) -> str:
    """Write YAML with as few quotes as a careless person would."""

    def lines(node: Any, indent: str) -> list[str]:
        if isinstance(node, dict) and node:
            return [line for key, value in node.items() for line in pair(key, value, indent)]
        return [f"{indent}- {scalar(value)}" for value in node]

    def pair(key: str, value: Any, indent: str) -> list[str]:
        if isinstance(value, list) and any(isinstance(one, dict) for one in value):
            return [f"{indent}{key}: {json.dumps(value)}"]
        if isinstance(value, dict | list) and value:
            return [f"{indent}{key}:", *lines(value, indent + "  ")]
        return [f"{indent}{key}: {scalar(value)}"]

    def scalar(value: Any) -> str:
        plain = isinstance(value, str) and value.replace(":", "").isalnum() and value != "null"
        return value if plain else json.dumps(value)

    return "\n".join(lines({k: v for k, v in document.items() if k != "openapi"}, "")) + "\n"


SMALL = "openapi: 3.1.0\ninfo: {title: x, version: '1'}\n"
REFUSED: dict[str, tuple[str, str, str]] = {
    "empty": ("empty", "", "nothing in it"),
    "only blanks": ("empty", " \n\n", "nothing in it"),
    "a web page": ("html", "<!doctype html><title>Not found</title>", "web page"),
    "truncated": ("read", '{"openapi": "3.1.0", "paths": {', "not plain JSON"),
    "a key twice": ("read", '{"paths": {}, "paths": {}}', "'paths'"),
    "a key twice in YAML": ("read", "a: 1\na: 2\n", "duplicate key"),
    "a status twice": ("read", "a: {200: 1, '200': 2}\n", "given twice"),
    "broken YAML": ("read", "a: [1\n", "line 2"),
    "a plain text": ("read", "Service unavailable", "not an object"),
    "an anchor": ("yaml", "a: &x 1\nb: *x\n", "line 1: anchors"),
    "a tag": ("yaml", "a: !!python/name:os.system x\n", "the tag"),
    "not a number": ("read", "a: .nan\n", "no JSON number"),
    "OpenAPI 3.0": ("version", "openapi: 3.0.3\n", '"3.0.3"'),
    "OpenAPI 3.2": ("version", '{"openapi": "3.2.0"}', '"3.2.0"'),
    "Swagger": ("version", 'swagger: "2.0"\n', '"2.0"'),
    "no OpenAPI": ("version", "a: 1\n", "says nothing"),
    "no paths": ("foreign", SMALL + "paths: {}\n", "none of the operations"),
    "paths of another form": ("validate", SMALL + "paths: none\n", "paths"),
    "an unquoted null": ("guard", SMALL + "paths: {/jobs: {get: {parameters: [{in: query, name: limit, schema: {type: null}}]}}}\n", "type"),
    "somebody else's": ("foreign", SMALL + "paths: {/pets: {get: {responses: {}}}}\n", "none of"),
    "a foreign reference": ("guard", SMALL + "paths: {/jobs: {$ref: 'https://x.example/'}}\n", "$ref"),
    "a reference to nothing": ("slice", SMALL + "paths: {/jobs: {$ref: '#/components/x'}}\n", "nothing"),
}  # fmt: skip


@pytest.mark.parametrize(("step", "text", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_description_is_refused(
    step: str, text: str, words: str, tmp_path: Path, checkout: Checkout
) -> None:
    """Each kind of bad input has one message that names the file, and the code of its step."""
    bad = write(tmp_path / "bad", text)
    done = checkout.run("--diff", str(ROOT / "openapi.json"), bad, "--json")
    assert (done.returncode, done.stdout) == (EXIT_CODES[step], ""), done.stderr
    assert done.stderr.startswith(f"regenerate: {step}: {bad}: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_file_is_named(checkout: Checkout, tmp_path: Path) -> None:
    """A path that leads nowhere is said to."""
    done = checkout.run("--diff", str(ROOT / "openapi.json"), str(tmp_path / "none.json"))
    assert done.returncode == EXIT_CODES["file"]
    assert "none.json cannot be read: No such file" in done.stderr


def test_endless_references_are_refused(
    checkout: Checkout, contract: dict[str, Any], tmp_path: Path
) -> None:
    """A reference that leads to itself ends with a message."""
    schemas = {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}
    contract["components"]["schemas"] = schemas
    body_of(contract)["properties"]["seed"] = {"$ref": "#/components/schemas/A"}
    bad = write(tmp_path / "new.json", contract)
    done = checkout.run("--diff", str(ROOT / "openapi.json"), bad)
    assert done.returncode == EXIT_CODES["slice"]
    assert "refers to itself" in done.stderr


def test_the_help_lists_every_exit_code(checkout: Checkout) -> None:
    """Whoever calls the command from a script finds the codes in --help, each once."""
    text = checkout.run("--help").stdout
    codes = [*EXIT_CODES.values(), *(code for code in SEVERITY_EXITS.values() if code)]
    assert len(set(codes)) == len(codes)
    assert all(f"{code}  " in text for code in codes)
    assert ALEPH not in text
