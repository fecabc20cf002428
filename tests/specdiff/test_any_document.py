"""Whatever is changed in a description, comparing it gives changes or says what is wrong."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krea_aleph.specdiff.command import main
from krea_aleph.specdiff.diff import check_document, diff_documents
from krea_aleph.specdiff.errors import StepError
from krea_aleph.specdiff.rules import Rules, load_rules
from krea_aleph.specdiff.severity import Reads, load_reads

from .conftest import ALEPH, CONTRACT, ROOT

DROP = object()
JUNK = [
    None, True, False, 0, -1, 1.5, 10**30, "", "x", "\u202e", [], ["x"], [1], [[]], [{}], {},
    {"x": 1}, {"type": "object"}, {"type": {}}, {"required": [[]]}, {"$ref": 1},
    {"$ref": "#/paths"}, {"$ref": "#/nothing"}, {"$ref": "https://x.example"},
    {"$ref": f"#/paths/{ALEPH.replace('/', '~1')}/post"}, {"anyOf": []}, {"allOf": [True, {}]},
    {"not": {"$ref": "#/paths"}}, {"enum": [{}, []]}, {"const": float("1e300")},
]  # fmt: skip

Edit = tuple[int, Any]
EDITS = st.lists(
    st.tuples(st.integers(0, 5000), st.sampled_from([DROP, *JUNK])), min_size=1, max_size=3
)


@pytest.fixture(scope="module")
def rules() -> Rules:
    """Give the committed rules."""
    return load_rules(ROOT / "scripts/codegen/rules.toml")


@pytest.fixture(scope="module")
def reads(rules: Rules) -> Reads:
    """Give what the facade reads."""
    return load_reads(ROOT / "scripts/codegen/reads.toml", rules)


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """List every container with every key in it."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in pairs:
        yield node, key
        if isinstance(child, dict | list):
            yield from places(child)


def edited(edits: list[Edit]) -> Any:
    """Return the contract with some nodes dropped or replaced."""
    document = copy.deepcopy(CONTRACT)
    for number, value in edits:
        every = list(places(document))
        if every:
            node, key = every[number % len(every)]
            if value is DROP:
                del node[key]
            else:
                node[key] = copy.deepcopy(value)
    return document


def compare(document: Any, rules: Rules, reads: Reads) -> str:
    """Compare a document in both directions; return why that cannot be, if it cannot."""
    try:
        check_document(document, rules)
        diff_documents(document, document, rules, reads)
        for old, new in ((CONTRACT, document), (document, CONTRACT)):
            assert all(change.consequence for change in diff_documents(old, new, rules, reads))
    except StepError as error:
        return error.problem
    return ""


def check_edits(count: int, rules: Rules, reads: Reads) -> None:
    """Compare mutilated documents; the name of an exception would say that nobody thought of it."""

    @settings(max_examples=count)
    @given(EDITS)
    def judged(edits: list[Edit]) -> None:
        assert not re.match(r"[A-Z]\w*: ", compare(edited(edits), rules, reads))

    judged()


def test_any_edit_is_judged_or_refused(rules: Rules, reads: Reads) -> None:
    """No mutilated description makes the comparison stumble (a sample)."""
    check_edits(80, rules, reads)


@pytest.mark.long
def test_very_many_edits_are_judged_or_refused(rules: Rules, reads: Reads) -> None:
    """No mutilated description makes the comparison stumble (thousands)."""
    check_edits(1500, rules, reads)


def test_a_document_compared_with_itself_has_not_changed(rules: Rules, reads: Reads) -> None:
    """Whatever is in it, what did not change is no change."""

    def same(edits: list[Edit]) -> None:
        document = edited(edits)
        try:
            check_document(document, rules)
            found = diff_documents(document, copy.deepcopy(document), rules, reads)
        except StepError:
            return
        assert found == []

    settings(max_examples=30)(given(EDITS)(same))()


TEXTS = st.one_of(
    st.binary(max_size=60),
    st.text("{}[]:-&*!#<>?|%@`\"',\n\t ab01\\u0\ufeff", max_size=40).map(str.encode),
    st.integers(0, 20_000).map(lambda n: json.dumps(CONTRACT).encode()[:n]),
    st.integers(1, 20_000).map(lambda n: b"# x\n" + json.dumps(CONTRACT).encode()[:n]),
)


def test_any_file_is_read_or_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever is in a file, the command answers with a verdict or with one line."""
    path = tmp_path / "file"

    def read(data: bytes) -> None:
        path.write_bytes(data)
        code = main(["diff", str(path)])
        said = capfd.readouterr()
        assert code == 0 or (said.out, said.err.count("\n")) == ("", 1), (data, said)
        assert "Error: " not in said.err

    settings(max_examples=60)(given(TEXTS)(read))()
