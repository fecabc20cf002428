"""Several hundred hostile documents: none executes, none lands."""

# ruff: noqa: T201 - the counts are worth seeing

from __future__ import annotations

import ast
import base64
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from checkouts import ROOT, Checkout
from codegen.audit import audit_source
from krea_aleph.specdiff.errors import EXIT_CODES, StepError
from krea_aleph.specdiff.rules import Rules

from .hostile_documents import Hostile, hostile_documents, payloads
from .parts import edited, emitted, published

PIPELINE = Path(__file__).with_name("hostile_worker.py")
_UNCLEAR = re.compile(r"^[a-z-]+: (\S+: )?[A-Z]\w*(Error|Exception|Interrupt)\b")


def _is_clear(error: StepError) -> bool:
    """Tell whether a refusal names a step and says what is wrong in words of ours."""
    said = str(error)
    return error.step in EXIT_CODES and said.isascii() and not _UNCLEAR.match(said)


@pytest.mark.parametrize("every", [23, pytest.param(1, marks=pytest.mark.long)])
def test_no_document_gets_through_the_parts_that_read_it(
    every: int, tmp_path: Path, rules: Rules
) -> None:
    """A document is refused by a named step in plain words, or its modules are harmless."""
    mark, ends = tmp_path / "ran", Counter[str]()
    for number, hostile in enumerate(hostile_documents(mark)):
        if number % every == 0:
            way = "edited" if number // every % 2 else "published"
            ends[_read(way, hostile, rules)] += 1
            assert not mark.exists(), f"{hostile.name} has run"
    print(f"{sum(ends.values())} documents: {dict(ends)}")
    assert sum(ends.values()) > 9_000 // every
    assert ends["passed"] < sum(ends.values()) / 2


def _read(way: str, hostile: Hostile, rules: Rules) -> str:
    try:
        data = hostile.make()
        document = edited(data) if way == "edited" else published(data, rules)
        modules, _ = emitted(document, rules)
    except StepError as error:
        if not _is_clear(error):
            pytest.fail(f"{hostile.name}: {error}")
        return error.step
    for name, source in modules.items():
        _audit_and_run(source, name)
    return "passed"


@cache
def _audit_and_run(source: str, name: str) -> None:
    audit_source(source.encode(), name)
    exec(compile(source, name, "exec", dont_inherit=True), {"__name__": "emitted"})  # noqa: S102 - audited


def _ends(
    documents: Iterable[Hostile], checkout: Checkout, mark: Path, *options: str
) -> Iterator[tuple[Hostile, dict[str, Any]]]:
    """Put documents through the pipeline in a process of its own, and say how each run ended."""
    several = list(documents)
    command = [str(checkout.python), "-I", str(PIPELINE), str(checkout.root), str(mark), *options]
    lines = b"".join(base64.b64encode(hostile.make()) + b"\n" for hostile in several)
    done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, check=True)
    return zip(several, map(json.loads, done.stdout.splitlines()), strict=True)


@pytest.mark.parametrize("every", [900, pytest.param(9, marks=pytest.mark.long)])
def test_no_document_gets_through_the_pipeline(
    every: int, checkout: Checkout, tmp_path: Path
) -> None:
    """A document leaves every byte as it was, or makes a tree that does no harm when it is used."""
    mark, codes = tmp_path.with_name("ran"), Counter[int]()
    documents = list(hostile_documents(mark))[every // 2 :: every]
    problems = []
    for hostile, end in _ends(documents, checkout, mark):
        codes[end["code"]] += 1
        problems += [f"{hostile.name}: {problem}: {end}" for problem in _problems(end)]
    print(f"{len(documents)} documents: {dict(sorted(codes.items()))}")
    assert problems == []
    assert len(codes) > 1


def _problems(end: dict[str, Any]) -> Iterator[str]:
    if end["ran"]:
        yield "it has run"
    if end["used"]:
        yield "the package did not work"
    if end["code"] not in {0, *EXIT_CODES.values()} or end["code"] == EXIT_CODES["swap"]:
        yield "the exit code says nothing"
    if end["code"] and end["changed"]:
        yield "a file has changed"


@pytest.mark.parametrize("every", [1_900, pytest.param(40, marks=pytest.mark.long)])
def test_without_the_guard_nothing_runs_either(
    every: int, checkout: Checkout, tmp_path: Path
) -> None:
    """With the guard switched off, whatever the audit lets pass still runs nothing hostile."""
    mark = tmp_path.with_name("ran")
    documents = list(hostile_documents(mark))[every // 3 :: every]
    codes = Counter[int]()
    problems = []
    for hostile, end in _ends(documents, checkout, mark, "--unguarded"):
        codes[end["code"]] += 1
        if end["ran"] or (end["used"] and not end["code"]):
            problems.append(f"{hostile.name}: {end}")
    print(f"{len(documents)} documents without a guard: {dict(sorted(codes.items()))}")
    assert problems == []


PLANTED = {
    "a docstring": ("models/job.py", "The id to ask again with."),
    "a class's docstring": ("models/job.py", "A job as the server described it at one moment."),
    "a wire name": ("models/job.py", "completed_at"),
    "an attribute": ("models/asset.py", "mime_type"),
    "a class": ("models/job_error.py", "JobError"),
    "a value": ("models/job_status.py", "backlogged"),
    "a path": ("api/jobs/list_jobs.py", '"/jobs"'),
    "a path with a placeholder": ("api/jobs/get_job.py", "/jobs/{id}"),
    "a parameter": ("api/jobs/list_jobs.py", "cursor"),
    "a header": ("api/video/create_aleph_job.py", "X-Webhook-URL"),
    "a media type": ("api/video/create_aleph_job.py", "application/json"),
    "a summary": ("api/jobs/list_jobs.py", "List jobs"),
    "a status": ("api/jobs/get_job.py", "404"),
    "an option": ("options.py", "init_image_url"),
    "an option's docstring": ("options.py", "Where the randomness starts."),
    "a type": ("options.py", "AlephRatio"),
    "a constraint": ("constraints.py", "4294967295"),
    "a constraint's value": ("constraints.py", "1104:832"),
    "an operation's path": ("operations.py", "/generate/video/runway/aleph"),
    "an answer's kind": ("answers.py", "ErrorBody"),
    "a field of another class": ("models/aleph_request.py", "init_video"),
    "a shared default": ("models/asset_upload.py", "UNSET"),
}
"""Where text of a document stands in generated code."""


class _Bare(ast.NodeTransformer):
    """Leaves of a tree only how it is built: all texts and names are the same."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in ("name", "attr", "arg", "id", "asname", "module"):
            if isinstance(getattr(node, field, None), str):
                setattr(node, field, "x")
        if isinstance(node, ast.Constant):
            node.value = 0
        return super().generic_visit(node)


def _built(source: str) -> str:
    return ast.dump(_Bare().visit(ast.parse(source)))


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
def test_the_audit_alone_stops_what_a_careless_generator_lets_through(
    every: int, tmp_path: Path
) -> None:
    """Hostile text that a careless generator copied is refused where it became code."""
    ends, alive = Counter[str](), []
    for number, (name, text) in enumerate(PLANTED.values()):
        source = (ROOT / "generated/krea_aleph_api" / name).read_text(encoding="utf-8")
        assert text in source
        for payload in [*payloads(tmp_path / "ran").values()][number % every :: every]:
            planted = source.replace(text, payload)
            try:
                audit_source(planted.encode("utf-8", "surrogatepass"), name)
            except StepError:
                ends["refused"] += 1
                alive += [planted] if _compiles(planted) else []
            else:
                ends["passed"] += 1
                assert _built(planted) == _built(source), f"{payload!r} in {name}"
    print(f"{dict(ends)}; {len(alive)} of what was refused would have run")
    assert ends["passed"] > 100 / every
    assert len(alive) > 300 / every


def _compiles(source: str) -> bool:
    try:
        compile(source, "planted", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError):
        return False
    return True


def test_the_payloads_are_alive(tmp_path: Path) -> None:
    """The hostile texts do run where they become code: a test that finds nothing proves nothing."""
    mark = tmp_path / "ran"
    text = payloads(mark)
    planted = {
        "a docstring's end": '"""%s"""',
        "a docstring's end in one line": '"""%s"""',
        "a call behind a quote": 'y = "%s"',
        "a call behind another quote": "y = '%s'",
        "an f-string's field": 'y = f"%s"',
        "a call": "y = %s",
        "a subscript's end": "y = ['%s']",
    }
    for kind, around in planted.items():
        source = around % text[kind]
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=False)
        assert mark.exists(), (kind, source, done.stderr)
        mark.rmdir()
