"""Manifests: what their rows stand for, and what becomes of those that stand for nothing."""

from __future__ import annotations

import csv
import doctest
import io
import json
import os
import pickle
import random
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krea_aleph import InvalidRequestError, Item, _columns, _wire, manifest
from krea_aleph._cells import reader
from krea_aleph._columns import check_output
from krea_aleph.manifest import BadRow, read

URL = "https://example.com/in.mp4"
HEAD = "video,prompt,seed\n"
GOOD = f"{URL},make it snow,7\n"
SNOW = {"video": URL, "prompt": "make it snow", "options": {"seed": 7}}
Found = Item | BadRow
NAMES = {
    "class_": {"type": "string"},
    "count": {"type": "integer", "minimum": 1},
    "loop": {"type": "boolean"},
    "code": {"type": "string"},
    "either": {"anyOf": [{"enum": ["auto"]}, {"type": "number"}]},
    "look": {"type": "object", "properties": {"image": {"type": "string", "media": True}}},
    "tags": {"type": "array", "items": {"type": "string"}},
    "maybe": {"type": ["number", "null"]},
    "seed": {"type": "number"},
}


@pytest.fixture
def richer(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A contract that has a field of every type, and one whose name is no identifier."""
    constraints = pytest.importorskip("krea_aleph_api.constraints")
    properties = {("class" if name == "class_" else name): part for name, part in NAMES.items()}
    for name in ("init_video", "prompt"):
        properties[name] = constraints.ALEPH_REQUEST["properties"][name]
    schema = {**constraints.ALEPH_REQUEST, "properties": properties}
    monkeypatch.setattr(constraints, "ALEPH_REQUEST", schema)
    monkeypatch.setattr(constraints, "WIRE_NAMES", {"class_": "class"})
    old = constraints.FieldAlias("count", "2027-01-01")
    monkeypatch.setattr(constraints, "FIELD_ALIASES", {"number": old})
    _forget()
    yield
    monkeypatch.undo()
    _forget()


def _forget() -> None:
    for known in (_wire.option_schemas, _wire.wire_spellings, _columns._reader):
        known.cache_clear()


def from_text(text: str | bytes, **arguments: Any) -> list[Found]:
    """Read an open file that holds a text."""
    stream = io.BytesIO(text) if isinstance(text, bytes) else io.StringIO(text, newline="")
    return list(read(stream, **arguments))


def file(tmp_path: Path, text: str | bytes, name: str = "shots.csv") -> Path:
    """Write a manifest."""
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def one(found: list[Found]) -> Any:
    """Return the only row."""
    (row,) = found
    return row


def bad(found: list[Found]) -> BadRow:
    """Return the only row, which is bad."""
    row = one(found)
    assert isinstance(row, BadRow), row
    assert row.field == row.error.field
    assert row.error.hint
    assert (row.error.charged, row.error.resubmit) == ("no", "pointless")
    return row


def refused(given: Any, **arguments: Any) -> InvalidRequestError:
    """Return the error of a manifest that is refused by the call itself."""
    with pytest.raises(InvalidRequestError) as caught:
        read(given, **arguments)
    assert caught.value.hint
    return caught.value


# What is read


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_forms_of_csv(mark: str, end: str, separator: str, tmp_path: Path) -> None:
    """Byte order marks, line ends and separators of any spreadsheet make no difference."""
    text = mark + (HEAD + GOOD).replace(",", separator).replace("\n", end)
    assert list(read(file(tmp_path, text))) == [SNOW]
    assert from_text(text.encode()) == from_text(text) == [SNOW]


def test_the_separator_is_told_by_the_header_alone() -> None:
    """Semicolons and tabs in the rows of a file that has commas are text."""
    assert from_text(f"video,prompt\n{URL},snow; rain;\tnight\n") == [
        {"video": URL, "prompt": "snow; rain;\tnight"}
    ]


def test_a_line_that_names_the_separator() -> None:
    """The first line that Excel writes for itself is understood."""
    assert from_text("sep=|\r\n" + (HEAD + GOOD).replace(",", "|")) == [SNOW]


def test_quoted_cells_over_several_lines() -> None:
    """Separators, quotes and line ends in quotes are text, and lines go on being counted."""
    text = f'video,prompt\n{URL},"snow, ""soft""\r\n\nand slow"\n{URL},\n'
    good, wrong = from_text(text)
    assert good == {"video": URL, "prompt": 'snow, "soft"\r\n\nand slow'}
    assert isinstance(wrong, BadRow)
    assert (wrong.index, wrong.line, wrong.field) == (1, 5, "prompt")


def test_what_spreadsheets_leave_behind() -> None:
    """Empty columns and rows, and cells that are missing at the end of a row, are nothing."""
    text = f"\n,,,,\nvideo,prompt,seed,,\n{URL},make it snow,7,,\n,,,,\n\n  ,,\n{URL},rain\n,\n"
    assert from_text(text) == [SNOW, {"video": URL, "prompt": "rain"}]


def test_a_cell_without_a_column() -> None:
    """A text with a comma that nobody has quoted is a bad row, not a shorter prompt."""
    row = bad(from_text(f"video,prompt\n{URL},snow, at night\n"))
    assert (row.field, row.line) == ("row", 2)
    assert "' at night'" in row.error.problem
    assert "quotes" in row.error.hint


def test_formula_like_cells_are_text() -> None:
    """What a spreadsheet would compute is passed on as it stands."""
    for text in ("=1+1", "+1", "-1", "@SUM(A1)", "'x"):
        assert one(from_text(f"video,prompt\n{URL},{text}\n"))["prompt"] == text


def test_lines_of_json(tmp_path: Path) -> None:
    """Each line is an object; comments and blank lines are passed over."""
    text = f"\ufeff# shots\n\n  \n{json.dumps({**SNOW, 'meta': [1]})}\r\n// more\n"
    assert list(read(file(tmp_path, text, "shots.jsonl"))) == [{**SNOW, "meta": [1]}]
    assert from_text(text) == [{**SNOW, "meta": [1]}]


@pytest.mark.parametrize("name", ["empty.jsonl", "EMPTY.NDJSON"])
def test_no_lines_of_json_are_no_rows(name: str, tmp_path: Path) -> None:
    """A program that had nothing to write wrote a good manifest."""
    for text in ("", "\n \n", "\n# nothing\n"):
        assert list(read(file(tmp_path, text, name))) == []


def test_rows_from_anything() -> None:
    """Mappings, rows of a database and items are rows."""
    table = sqlite3.connect(":memory:")
    table.row_factory = sqlite3.Row
    stored = table.execute("SELECT ? AS video, 'snow' AS prompt, 7 AS seed, NULL AS ratio", (URL,))
    rows = [*csv.DictReader([HEAD, GOOD]), SNOW, *stored]
    found = list(read(rows))
    table.close()
    assert found == [SNOW, SNOW, {**SNOW, "prompt": "snow"}]


def test_a_row_that_is_no_mapping() -> None:
    """Rows of an iterable have no line, and are told by their index."""
    row = bad(list(read(["in.mp4"])))  # type: ignore[list-item]
    assert (row.index, row.line, row.field, row.row) == (0, None, "row", "'in.mp4'")
    assert "row 0" in row.error.problem


def test_an_iterable_that_raises() -> None:
    """What a generator of the caller's raises is the caller's, after the rows that came before."""

    def rows() -> Iterator[dict[str, str]]:
        yield {"video": URL, "prompt": "snow"}
        raise LookupError("ours")

    found = read(rows())
    assert next(found) == {"video": URL, "prompt": "snow"}
    with pytest.raises(LookupError, match="ours"):
        next(found)


def test_the_standard_input() -> None:
    """A dash is what is piped into the program, CSV and JSONL alike."""
    program = "from krea_aleph import manifest; print(list(manifest.read('-')))"
    for text in (HEAD + GOOD, json.dumps(SNOW)):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == repr([SNOW])


def test_a_standard_input_that_is_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notebooks and the like have no bytes to give, and a windowed program has no input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(HEAD + GOOD))
    assert list(read("-")) == [SNOW]
    monkeypatch.setattr(sys, "stdin", None)
    refused("-")


# What a text stands for


@pytest.mark.usefixtures("richer")
@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("seed", "7", 7),
        ("seed", " 0.5 ", 0.5),
        ("seed", "1e3", 1000.0),
        ("seed", "007", 7),
        ("code", "007", "007"),
        ("code", "true", "true"),
        ("code", "null", "null"),
        ("code", "[1]", "[1]"),
        ("count", "3", 3),
        ("count", "3.0", 3),
        ("loop", "TRUE", True),
        ("loop", "false", False),
        ("either", "auto", "auto"),
        ("either", "5", 5),
        ("maybe", "5", 5),
        ("tags", '["a", "b"]', ["a", "b"]),
        ("look", '{"image": "https://e.example/x.png"}', {"image": "https://e.example/x.png"}),
        ("class_", "1", "1"),
    ],
)
def test_the_contract_says_what_a_text_is(column: str, text: str, value: object) -> None:
    """Text becomes what its field takes, in files and in mappings; nothing goes by its look."""
    row = {"video": URL, "prompt": "snow", column: text}
    wanted = {"video": URL, "prompt": "snow", "options": {column: value}}
    for found in (one(from_text(as_csv([row]))), one(list(read([row])))):
        assert found == wanted
        assert type(found["options"][column]) is type(value)


@pytest.mark.usefixtures("richer")
@pytest.mark.parametrize(
    ("column", "text", "remedy"),
    [
        ("seed", "0,5", "full stop"),
        ("seed", "1_000", "digits"),
        ("seed", "\u0663", "digits"),
        ("seed", "nan", "digits"),
        ("seed", "1e999", "digits"),
        ("seed", "9" * 5000, "digits"),
        ("count", "3.5", "digits"),
        ("count", "0", "checks"),
        ("loop", "yes", "true or false"),
        ("loop", "1", "true or false"),
        ("either", "manual", "checks"),
        ("tags", "a", "JSON"),
        ("tags", '{"a": 1}', "JSON"),
        ("tags", "[1", "JSON"),
        ("tags", '["a", 1]', "checks"),
        ("look", '{"a": 1, "a": 2}', "JSON"),
        ("look", '{"a": NaN}', "JSON"),
        ("look", "[" * 100_000, "JSON"),
    ],
)
def test_a_text_that_stands_for_nothing(column: str, text: str, remedy: str) -> None:
    """The error names the line, the column, the value and the remedy, and the rest is read."""
    row = {"video": URL, "prompt": "snow", column: text}
    rows = [row, {**row, column: ""}]
    found, rest = from_text(as_csv(rows))
    assert rest == {"video": URL, "prompt": "snow"}
    wrong = bad([found])
    assert (wrong.line, wrong.field.partition("[")[0]) == (2, column)
    said = str(wrong.error)
    assert column in said
    assert "line 2" in said
    assert remedy in said
    assert text[:20] in said or column in {"tags", "count"}


def test_enumerations_name_what_there_is() -> None:
    """A ratio that the contract does not know is refused with those that it knows."""
    text = f"video,prompt,ratio\n{URL},snow,1:1\n"
    row = bad(from_text(text))
    assert (row.field, row.line) == ("ratio", 2)
    assert "'1:1'" in row.error.problem
    assert "'1280:720'" in row.error.problem
    assert one(from_text(text, checks="warn"))["options"] == {"ratio": "1:1"}
    assert one(from_text(text, checks="off"))["options"] == {"ratio": "1:1"}


def test_json_is_typed_already() -> None:
    """A text for a number is a mistake in JSON, where numbers can be written."""
    text = json.dumps({"video": URL, "prompt": "snow", "seed": "7"})
    assert bad(from_text(text)).field == "seed"


@pytest.mark.parametrize("empty", [None, ""])
def test_nothing_is_given(empty: str | None) -> None:
    """Null and the empty text mean that nothing is given, in every form."""
    row = {"video": URL, "prompt": "snow", "seed": empty, "output": empty, "intent": empty}
    wanted = [{"video": URL, "prompt": "snow"}]
    assert list(read([{**row, "options": empty}])) == wanted
    assert from_text(json.dumps(row)) == wanted
    assert from_text(as_csv([{name: value or "" for name, value in row.items()}])) == wanted


@pytest.mark.usefixtures("richer")
def test_the_spelling_of_upstream() -> None:
    """A field whose name is no identifier may be a column by either name, not by both."""
    row = {"video": URL, "prompt": "snow"}
    for name in ("class", "class_"):
        assert one(from_text(as_csv([{**row, name: "1"}])))["options"] == {"class_": "1"}
        assert bad(list(read([{**row, name: 5}]))).field == name
    both = {**row, "class": "1", "class_": "1"}
    assert refused(io.StringIO(as_csv([both]))).field == "class_"
    assert bad(list(read([both]))).error.problem.endswith("it is given twice")


@pytest.mark.usefixtures("richer")
def test_an_old_name_is_answered_with_the_new_one() -> None:
    """Who uses a name that Krea has given up is told the new one."""
    error = refused(io.StringIO("video,prompt,number\n"))
    assert "renamed to 'count'" in error.problem


def test_a_schema_of_any_shape() -> None:
    """A contract that says less, or says it in another way, is read all the same."""
    assert reader(True)("7") == "7"
    assert reader({"type": ["string", "number"]})("007") == "007"
    assert reader({"enum": [1, 2]})("2") == 2
    assert reader({"const": True})("true") is True
    assert reader({"allOf": [{"type": "integer"}, {"type": "number"}]})("4") == 4
    assert reader({"oneOf": [{"type": "array"}, {"type": "string"}]})("[1]") == "[1]"
    assert reader({"enum": ["a", None]})("b") == "b"
    assert reader({"anyOf": [{"const": "x"}, {"type": "array"}]})("[1") == "[1"
    assert reader({"anyOf": [{"const": "x"}, {"const": []}, {"const": {}}]})("[]") == []
    with pytest.raises(ValueError, match="anything"):
        reader({"type": "null"})("x")


# Columns


def test_an_unknown_column_is_one_error_before_any_row() -> None:
    """It is refused at the header, with the nearest name and a way to keep a column."""
    error = refused(io.StringIO(f"video,Promt,prompt\n{URL},a,b\n"))
    assert error.field == "Promt"
    assert "line 1" in error.problem
    assert "did you mean 'prompt'?" in error.problem
    assert "meta.NAME" in error.hint
    assert "did you mean" not in refused(io.StringIO("video,prompt,zzz\n")).problem
    for name in ("meta.", "options", "meta"):
        assert refused(io.StringIO(f"video,prompt,{name}\n")).field == name
    assert "did you mean 'video'?" in refused(io.StringIO("init_video,prompt\n")).problem


@pytest.mark.parametrize(
    ("header", "field"),
    [("video,seed", "prompt"), ("prompt", "video"), ("video,prompt,seed,seed", "seed")],
)
def test_columns_that_are_missing_or_twice(header: str, field: str) -> None:
    """Both are said once, by the call."""
    assert refused(io.StringIO(header + "\n")).field == field


def test_columns_of_ones_own() -> None:
    """They go to meta, as text and even when they are empty, and win over an option's name."""
    text = f"shot,video,prompt,meta.take,seed,Note\n007,{URL},snow,1,x,\n"
    found = one(from_text(text, passthrough=["shot", "seed", "Note", "absent"]))
    meta = {"shot": "007", "take": "1", "seed": "x", "Note": ""}
    assert found == {"video": URL, "prompt": "snow", "meta": meta}


def test_meta_of_json() -> None:
    """What is an object already takes the others in; anything else cannot."""
    row = {"video": URL, "prompt": "snow", "meta": {"a": [1]}, "meta.b": None}
    assert one(from_text(json.dumps(row)))["meta"] == {"a": [1], "b": None}
    assert bad(list(read([{**row, "meta": 5}]))).field == "meta"


@pytest.mark.parametrize("names", ["shot", 5, [5], ["prompt"], ["meta"], [""]])
def test_names_that_cannot_be_passed_through(names: Any) -> None:
    """A single text is a likely slip, and the columns with a meaning keep it."""
    assert refused([], passthrough=names).field == "passthrough"


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"video": URL, "prompt": "snow", "sed": 1}, "sed"),
        ({"video": URL, "prompt": "snow", None: ["x"]}, "row"),
        ({"video": URL, "prompt": "snow", "options": {"sed": 1}}, "sed"),
        ({"video": URL, "prompt": "snow", "options": {"output": "x"}}, "options"),
        ({"video": URL, "prompt": "snow", "options": [1]}, "options"),
        ({"video": URL, "prompt": "snow", "seed": 1, "options": {"seed": 1}}, "seed"),
        ({"prompt": "snow"}, "video"),
        ({"video": URL}, "prompt"),
        ({"video": URL, "prompt": " "}, "prompt"),
        ({"video": URL, "prompt": 5}, "prompt"),
        ({"video": URL, "prompt": "x" * 1001}, "prompt"),
        ({"video": URL, "prompt": "\ud800"}, "prompt"),
        ({"video": 5, "prompt": "snow"}, "video"),
        ({"video": ["a"], "prompt": "snow"}, "video"),
        ({"video": "https://", "prompt": "snow"}, "video"),
        ({"video": URL, "prompt": "snow", "init_image_url": False}, "init_image_url"),
        ({"video": URL, "prompt": "snow", "seed": -1}, "seed"),
        ({"video": URL, "prompt": "snow", "seed": float("nan")}, "seed"),
        ({"video": URL, "prompt": "snow", "references": [{"type": "image"}]}, "references[0].uri"),
        ({"video": URL, "prompt": "snow", "output": 5}, "output"),
        ({"video": URL, "prompt": "snow", "intent": "a\nb"}, "intent"),
        ({"video": URL, "prompt": "snow", "intent": 5}, "intent"),
    ],
)
def test_rows_that_are_none(row: dict[Any, Any], field: str) -> None:
    """Whatever is wrong with a row is said of its column, and the next one is read."""
    found = list(read([row, SNOW]))
    assert bad(found[:1]).field == field
    assert found[1:] == [SNOW]


# Files


def test_paths_are_relative_to_the_manifest(tmp_path: Path) -> None:
    """Files stand beside the manifest, in nested fields too; URLs and absolute paths stay."""
    references = [{"type": "image", "uri": "style.png"}]
    absolute = str(tmp_path / "x.png")
    row = {
        "video": "clips/a.mp4",
        "prompt": "snow",
        "init_image_url": absolute,
        "references": references,
        "output": "a.mp4",
    }
    expected = {
        "video": str(tmp_path / "clips/a.mp4"),
        "prompt": "snow",
        "output": "a.mp4",
        "options": {
            "init_image_url": absolute,
            "references": [{"type": "image", "uri": str(tmp_path / "style.png")}],
        },
    }
    cells = {**row, "references": json.dumps(references)}
    assert list(read(file(tmp_path, as_csv([cells])))) == [expected]
    assert list(read(file(tmp_path, json.dumps(row), "shots.jsonl"))) == [expected]
    assert list(read([row], root=tmp_path)) == [expected]
    assert one(list(read([row])))["video"] == "clips/a.mp4"
    for video in (URL, "data:video/mp4;base64,AAAA", "s3://bucket/a.mp4"):
        assert one(list(read([{**row, "video": video}], root="x")))["video"] == video


def test_files_that_are_open_stay_so() -> None:
    """What mappings hold beside texts is passed on; a path of any type is a path."""
    clip = io.BytesIO(b"x")
    assert one(list(read([{"video": clip, "prompt": "snow"}], root="x")))["video"] is clip
    found = one(list(read([{"video": Path("a.mp4"), "prompt": "snow"}], root=Path("x"))))
    assert found["video"] == str(Path("x/a.mp4"))


def test_the_folder_of_a_bare_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest in the current folder adds nothing to the paths."""
    file(tmp_path, "video,prompt\na.mp4,snow\n")
    monkeypatch.chdir(tmp_path)
    assert list(read("shots.csv")) == [{"video": "a.mp4", "prompt": "snow"}]


@pytest.mark.parametrize(
    "output",
    ["a.mp4", "a/b c.mp4", "./a.mp4", "a/./b", "shots/", "..a", "a..b/c", "console.mp4", "\xfc"],
)
def test_outputs_inside_of_the_folder(output: str) -> None:
    """Names and folders inside of the folder are what they are."""
    check_output(output)
    assert one(from_text(f"video,prompt,output\n{URL},snow,{output}\n"))["output"] == output


@pytest.mark.parametrize(
    "output",
    [
        "/etc/passwd",
        "//server/share",
        "\\\\server\\share",
        "\\a",
        "..",
        "../a",
        "a/../../b",
        "a\\..\\b",
        "a/..",
        "C:/a",
        "c:a",
        "a/C:/b",
        "a\\b.mp4",
        "CON",
        "con.mp4",
        "a/Nul.x.y/b",
        "lpt1",
        "COM\xb9.txt",
        "aux .mp4",
        "conout$",
        "a\tb",
        "a\x7fb",
        "a\x85b",
        "a.",
        "a./b",
        ".",
        "a/.",
        "a ",
        "a/b. ",
        "\ud800",
    ],
)
def test_outputs_that_lead_elsewhere(output: str) -> None:
    """What leaves the folder, or is no name on some system, is a bad row on every system."""
    assert bad(list(read([{"video": URL, "prompt": "snow", "output": output}]))).field == "output"


def test_why_an_output_is_refused() -> None:
    """The words name the reason that matters most."""
    reasons = {"../a": "leads out", "/a": "absolute", "C:a": "drive", "a\\b": "backslash"}
    for output, words in reasons.items():
        with pytest.raises(InvalidRequestError, match=words):
            check_output(output)


def test_outputs_that_are_paths() -> None:
    """A path is held to the same, and stays what it is."""
    row = {"video": URL, "prompt": "snow", "output": Path("a/b.mp4")}
    assert one(list(read([row])))["output"] == Path("a/b.mp4")
    assert bad(list(read([{**row, "output": Path("/a")}]))).field == "output"


# What is damaged


def test_undecodable_bytes(tmp_path: Path) -> None:
    """A row with a byte that is no UTF-8 is told with its line; the rest is read."""
    text = f'{HEAD}{URL},"snow\n'.encode() + b"\xe4,\n" + f'",7\n{GOOD}'.encode()
    row, rest = read(file(tmp_path, text))
    assert rest == SNOW
    wrong = bad([row])
    assert (wrong.index, wrong.line, wrong.field) == (0, 3, "row")
    assert "0xe4 at 1" in wrong.error.problem
    text = b'{"video": "\xff"}\n' + json.dumps(SNOW).encode()
    row, rest = read(file(tmp_path, text, "shots.jsonl"))
    assert bad([row]).line == 1
    assert rest == SNOW


@pytest.mark.parametrize("line", [f"{URL},sn\0ow,7\n", f'{URL},"sn\0ow",7\n'])
def test_nul_bytes(line: str) -> None:
    """A row with a NUL byte is bad; the rest is read."""
    for text in (HEAD + line + GOOD, (HEAD + line + GOOD).encode()):
        row, rest = from_text(text)
        assert "NUL" in bad([row]).error.problem
        assert rest == SNOW


@pytest.mark.parametrize("begin", [f"{URL},", f'{URL},"'])
def test_lines_that_are_too_long(begin: str) -> None:
    """A line of more than 1 MiB is a bad row, is not held in memory, and takes no other with it."""
    size = 64 << 20
    stream = cast("Any", io.BufferedReader(Endless(HEAD + begin, size, "\n" + GOOD)))
    tracemalloc.start()
    row, rest = read(stream)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    wrong = bad([row])
    assert wrong.line == 2
    assert len(wrong.row) == 200
    assert rest == SNOW
    assert peak < 8 << 20


def test_a_line_without_end() -> None:
    """A device that gives text for ever and no line is left after a while, and said to be none."""
    device = Endless(HEAD + GOOD, 1 << 40, "")
    rows = read(cast("Any", io.BufferedReader(device)))
    assert next(rows) == SNOW
    with pytest.raises(InvalidRequestError, match="line 3 does not end in 256 MiB"):
        next(rows)


class Endless(io.RawIOBase):
    """A file with very much of one letter in the middle, none of it in memory."""

    def __init__(self, begin: str, size: int, end: str) -> None:
        super().__init__()
        self._begin, self._size, self._end = begin.encode(), size, end.encode()

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Give the next piece."""
        if self._begin:
            piece, self._begin = self._begin[: len(buffer)], self._begin[len(buffer) :]
        elif self._size:
            piece = b"x" * min(len(buffer), self._size)
            self._size -= len(piece)
        else:
            piece, self._end = self._end[: len(buffer)], self._end[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.mark.parametrize(
    "line",
    [
        f'{URL},"snow\n',
        f'{URL},"snow" x,7\n',
        f'{URL}, "snow, at night",7\n',
        f'{URL},"snow\n' + GOOD * 1200,
        f'{URL},"' + GOOD * 3 + "x" * (1 << 20) + "x\n",
    ],
    ids=["open", "after", "space", "many lines", "long line"],
)
def test_quotes_that_do_not_fit(line: str) -> None:
    """A quote that is not closed, or closed too early, costs its own row and no other."""
    first, *rest = from_text(HEAD + line + GOOD)
    wrong = bad([first])
    assert (wrong.line, wrong.field) == (2, "row")
    assert [row for row in rest if not isinstance(row, BadRow)] == [SNOW] * (
        1 + line.count(GOOD) - line.startswith(f'{URL},"{GOOD}')
    )


def test_rows_of_too_many_lines() -> None:
    """Quoted lines that are more than 1000, or together more than 1 MiB, are no row either."""
    text = HEAD + f'{URL},"' + ("x" * 9999 + "\n") * 300 + '",7\n' + GOOD
    first, *rest = from_text(text)
    assert "not closed in" in bad([first]).error.problem
    assert rest[-1] == SNOW
    first = from_text(HEAD + f'{URL},"snow\n' + "\n" * 1001)[0]
    assert "not closed in 1000 lines" in bad([first]).error.problem


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "no JSON"),
        ("5", "no mapping"),
        ("null", "no mapping"),
        ('{"video": 1, "video": 2}', "twice"),
        ('{"video": "a", "prompt": "b", "meta": {"x": 1, "x": 1}}', "twice"),
        ('{"seed": NaN}', "finite"),
        ('{"seed": 1e999}', "finite"),
        ('{"seed": %s}' % ("9" * 5000), "too long"),
        ("[" * 200_000, "deeply"),
        (f"{json.dumps(SNOW)} // why", "Extra data"),
        ('{"video": "a", "prompt": "b", "sed": 1}', "did you mean 'seed'?"),
    ],
)
def test_lines_that_are_no_object(line: str, words: str) -> None:
    """Each is a bad row that says why, and the next one is read."""
    first, second, third = from_text(f"{json.dumps(SNOW)}\n{line}\n{json.dumps(SNOW)}\n")
    assert [first, third] == [SNOW, SNOW]
    wrong = bad([second])
    assert (wrong.index, wrong.line) == (1, 2)
    assert words in wrong.error.problem
    assert wrong.row == (line + "\n")[:200]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", "empty"),
        ("a.csv", "\n\r\n", "empty"),
        ("a.csv", ",,\n,\n", "no line names"),
        ("a.csv", "sep=;\n", "no line names"),
        ("a.csv", b"vid\xe9o,prompt\n", "0xe9"),
        ("a.csv", '"video,prompt\n', "never closed"),
        ("a.csv", "x" * (2 << 20), "1 MiB"),
        ("a.csv", json.dumps(SNOW), "says JSONL"),
        ("a.jsonl", HEAD, "says CSV"),
        ("a.jsonl", b"\x80\x81\n", "no UTF-8"),
        ("a.jsonl", f"[{json.dumps(SNOW)}]", "array"),
        ("a.csv", HEAD.encode("utf-16"), "UTF-16"),
        ("a.csv", HEAD.encode("utf-16-le"), "UTF-16"),
        ("a.csv", b"PK\x03\x04" + bytes(99), "spreadsheet"),
        ("a.csv", b"\x1f\x8b\x08" + bytes(99), "compressed"),
        ("a.json", "[]", "one value"),
        ("a.xlsx", "", "'.xlsx'"),
        ("a.csv.gz", "", "'.gz'"),
        ("manifest", "", "''"),
    ],
)
def test_files_that_are_no_manifest(
    name: str, content: str | bytes, words: str, tmp_path: Path
) -> None:
    """They are refused once, by the call, with the file's name and the remedy."""
    error = refused(file(tmp_path, content, name))
    assert error.field == "manifest"
    assert words in error.problem
    assert name in error.problem


@pytest.mark.parametrize("path", ["absent.csv", "folder.csv", "a\0b.csv"])
def test_files_that_cannot_be_read(path: str, tmp_path: Path) -> None:
    """What is not there, or is a folder, is refused by the call."""
    (tmp_path / "folder.csv").mkdir()
    error = refused(str(tmp_path / path))
    assert "cannot be read" in error.problem


@pytest.mark.parametrize("given", [None, 5, b"a.csv", {"video": URL}])
def test_what_is_no_manifest(given: Any) -> None:
    """A single mapping, bytes, or nothing at all is refused by the call."""
    assert "iterable of mappings" in refused(given).hint


def test_streams_that_fail() -> None:
    """A file that is closed, in another encoding, or none at all is refused."""
    closed = io.StringIO()
    closed.close()
    assert "cannot be read" in refused(closed).problem
    assert "cannot be read" in refused(io.TextIOWrapper(io.BytesIO(b"\xff"), "utf-8")).problem

    class Odd:
        def readline(self, _: int) -> int:
            return 5

    assert "gives int" in refused(Odd()).problem

    class Dying(io.StringIO):
        def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
            line = super().readline(-1 if size is None else size)
            if not line:
                raise OSError(5, "Input/output error")
            return line

    found = read(Dying(HEAD + GOOD))
    assert next(found) == SNOW
    with pytest.raises(InvalidRequestError, match="further than line 2: Input/output error"):
        next(found)


def test_bad_rows_are_values() -> None:
    """They compare and pickle, and cannot be changed."""
    row = bad(from_text(HEAD + ",,\n,x,\n"))
    assert pickle.loads(pickle.dumps(row)) == row  # noqa: S301 - our own
    with pytest.raises(AttributeError):
        row.index = 5  # type: ignore[misc]
    assert row.row == ",x,\n"


# Any length


def test_the_first_item_comes_before_the_rest_is_there() -> None:
    """A pipe that goes on slowly, or never, holds up no row that has arrived."""
    outlet, inlet = os.pipe()
    arrived: list[Found] = []
    with os.fdopen(outlet, "rb") as stream, os.fdopen(inlet, "wb", 0) as writer:
        writer.write((HEAD + GOOD).encode())
        thread = Thread(target=lambda: arrived.append(next(read(stream))), daemon=True)
        thread.start()
        thread.join(20)
        assert arrived == [SNOW]


def test_no_row_is_taken_before_it_is_asked_for() -> None:
    """An endless generator is good, and is asked for one row at a time."""
    taken: list[int] = []

    def rows() -> Iterator[dict[str, object]]:
        while True:
            taken.append(1)
            yield {"video": URL, "prompt": "snow"}

    found = read(rows())
    assert taken == []
    next(found)
    assert len(taken) == 1


def test_a_file_is_closed_with_its_iterator(tmp_path: Path) -> None:
    """Who stops early leaves no file open, and a file of the caller's stays open."""
    path = file(tmp_path, HEAD + GOOD)
    before = descriptors()
    found = read(path)
    assert descriptors() == before + 1
    del found
    assert descriptors() == before
    list(read(path))
    assert descriptors() == before
    with path.open("rb") as ours:
        list(read(ours))
        assert ours.read() == b""


def descriptors() -> int:
    """Count the open files of this process."""
    return len(list(Path("/dev/fd").iterdir()))


def many(tmp_path: Path, count: int) -> Path:
    """Write a manifest of many rows, some of them bad, some over several lines."""
    path = tmp_path / "many.csv"
    with path.open("w") as out:
        out.write("video,prompt,output,seed,meta.shot\n")
        for index in range(count):
            prompt = f'"snow\n{index}"' if index % 7 == 0 else f"snow {index}"
            out.write(f"clips/{index}.mp4,{prompt},{index}.mp4,{index % 99},{index}\n")
    return path


def memory_of(path: Path, count: int) -> int:
    """Read a manifest of so many rows; return the most memory that was in use."""
    tracemalloc.start()
    try:
        assert sum(1 for row in read(path) if not isinstance(row, BadRow)) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_constant(tmp_path: Path) -> None:
    """Ten times as many rows take no more memory."""
    memory_of(many(tmp_path, 10), 10)  # what is loaded once
    few = memory_of(many(tmp_path, 300), 300)
    assert memory_of(many(tmp_path, 3000), 3000) < few + 50_000


_GROWTH = """
import resource, sys
from itertools import islice
from krea_aleph import manifest

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

found = manifest.read(sys.argv[1])
few = sum(isinstance(row, dict) for row in islice(found, 1000))
before = most()
print(few + sum(isinstance(row, dict) for row in found), most() - before)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the figure has another unit")
def test_a_million_rows(tmp_path: Path) -> None:
    """A million rows take no more memory than a thousand, and the first comes at once."""
    path = many(tmp_path, 1_000_000)
    started = time.monotonic()
    next(read(path))
    assert time.monotonic() - started < 1
    printed = subprocess.check_output([sys.executable, "-c", _GROWTH, path], text=True)
    count, growth_kib = map(int, printed.split())
    assert (count, growth_kib < 1024) == (1_000_000, True)


# Anything at all

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
PROMPT = TEXT.filter(str.strip)
NAME = st.from_regex(r"[a-z]{1,8}\.mp4", fullmatch=True)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 4294967295) | st.floats(0, 4294967295),
        "ratio": st.sampled_from(["1280:720", "960:960"]),
        "init_image_url": st.just(URL),
        "references": st.just([{"type": "image", "uri": URL}]) | st.just([]),
    },
)
ITEM = st.fixed_dictionaries(
    {"video": st.just(URL), "prompt": PROMPT},
    optional={
        "output": NAME,
        "intent": st.from_regex(r"[a-z0-9#-]{1,20}", fullmatch=True),
        "options": OPTIONS.filter(bool),
    },
)
SHOTS = ("shot", "meta.a b")


def as_csv(rows: list[dict[str, Any]], **how: Any) -> str:
    """Write rows with the csv module."""
    out = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in rows for name in row))
    if any("\r" in str(value) for row in rows for value in row.values()):
        how["quoting"] = csv.QUOTE_ALL  # before Python 3.13 a CR alone is left bare
    writer = csv.DictWriter(out, names, lineterminator=how.pop("lineterminator", "\n"), **how)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_row(item: Mapping[str, Any], write: Callable[[Any], Any]) -> dict[str, Any]:
    """Return an item as the row that stands for it."""
    row = {name: value for name, value in item.items() if name not in {"options", "meta"}}
    row |= {name: write(value) for name, value in item.get("options", {}).items()}
    return row


@given(
    st.lists(st.tuples(ITEM, TEXT, TEXT), min_size=1, max_size=5),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@settings(deadline=None)
def test_what_csv_writes_is_read_back(
    found: list[tuple[dict[str, Any], str, str]], separator: str, end: str, quoting: int
) -> None:
    """Items come back from CSV as they went, whatever their texts hold."""
    rows = [
        {
            "video": "",
            "prompt": "",
            "shot": first,
            "meta.a b": second,
            **as_row(item, lambda value: value if isinstance(value, str) else json.dumps(value)),
        }
        for item, first, second in found
    ]
    text = as_csv(rows, delimiter=separator, lineterminator=end, quoting=quoting)
    wanted = [{**item, "meta": {"shot": one, "a b": two}} for item, one, two in found]
    assert from_text(text, passthrough=["shot"]) == wanted
    assert from_text(b"\xef\xbb\xbf" + text.encode(), passthrough=["shot"]) == wanted


@given(st.lists(st.tuples(ITEM, st.booleans(), TEXT), max_size=5), st.booleans())
@settings(deadline=None)
def test_what_json_writes_is_read_back(
    found: list[tuple[dict[str, Any], bool, str]], ascii_only: bool
) -> None:
    """Items come back from JSONL as they went, as items or as plain rows."""
    lines, wanted = ["#\n"], []
    for item, nested, text in found:
        row = item if nested else as_row(item, lambda value: value)
        lines.append(json.dumps({**row, "meta": text}, ensure_ascii=ascii_only) + "\n")
        wanted.append({**item, "meta": text})
    assert from_text("".join(lines)) == wanted
    assert from_text("".join(lines).encode()) == wanted
    assert list(read(wanted)) == wanted


PIECES = [*'",;\t\n\r\0{}[]:#', "\r\n", '""', '",', URL, "snow", "7", "video", '"prompt"', "\xe9"]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
@settings(deadline=None, max_examples=300)
def test_damaged_text_is_told(text: str) -> None:
    """Whatever follows a good header, rows are items or bad rows, and a last good row is read."""
    found = from_text(f"{HEAD}{text}\n{GOOD}")
    assert [getattr(row, "index", index) for index, row in enumerate(found)] == [*range(len(found))]
    if '"' not in text:
        assert found[-1] == SNOW
    harmless(text.encode("latin-1"))
    harmless(HEAD.encode() + text.encode("latin-1"))
    harmless(b'{"video": "a", "prompt": "b"}\n' + text.encode("latin-1"))


def harmless(content: bytes) -> int:
    """Read bytes as a manifest; nothing may be raised but the typed refusal."""
    count = 0
    try:
        for row in read(io.BytesIO(content)):
            count += 1
            assert isinstance(row, BadRow | dict)
    except InvalidRequestError:
        pass
    return count


@pytest.mark.long
def test_200000_random_bytes_and_lines() -> None:
    """Noise of every kind is refused or told row by row, never raised as something else."""
    luck = random.Random(5)  # noqa: S311 - a test that can be repeated
    noise = luck.randbytes(200_000)
    harmless(noise)
    harmless(HEAD.encode() + noise)
    harmless(json.dumps(SNOW).encode() + b"\n" + noise)
    lines = "".join(
        "".join(luck.choices(PIECES, k=luck.randrange(12))) + "\n" for _ in range(200_000)
    )
    assert harmless((HEAD + lines).encode()) > 50_000
    assert harmless((json.dumps(SNOW) + "\n" + lines).encode()) > 50_000
    for _ in range(2000):
        harmless(luck.randbytes(100))


def test_the_library_does_not_load_it() -> None:
    """Who reads no manifest does not pay for it."""
    program = (
        "import sys, krea_aleph; krea_aleph.Aleph; print('krea_aleph.manifest' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


def test_the_example_of_the_module() -> None:
    """The module's own example is true."""
    assert doctest.testmod(manifest).failed == 0


def test_one_row_is_read_as_a_table_is() -> None:
    """A form or a command line, which have texts alone, get the item that they stand for."""
    row = {"video": URL, "prompt": "make it snow", "seed": "7"}
    assert manifest.item(row) == SNOW
    assert manifest.item({**row, "video": "in.mp4"}, root="/clips")["video"] == "/clips/in.mp4"
    assert manifest.item({**row, "seed": "-1"}, checks="off")["options"] == {"seed": -1}
    with pytest.raises(InvalidRequestError, match=r"^seed: 'seven' is not a number\. Write"):
        manifest.item({**row, "seed": "seven"})
    with pytest.raises(InvalidRequestError, match="it is none of the columns"):
        manifest.item({**row, "sede": "7"})
    with pytest.raises(InvalidRequestError, match="is no mapping of columns"):
        manifest.item(cast("Any", [URL, "make it snow"]))
