"""The example notebook: it runs as it stands, and what it shows says the same as its plain text."""

from __future__ import annotations

import ast
import html
import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import nbformat
import pytest

from .conftest import Outputs, Run

EXAMPLE = Path(__file__).parents[2] / "docs" / "example.ipynb"
HTML, PLAIN = "text/html", "text/plain"


def sources() -> list[str]:
    """Return the code of its cells."""
    cells = json.loads(EXAMPLE.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def outputs(run: Run) -> Outputs:
    """What its cells have given, each with its outputs."""
    return run(sources())


def shown(outputs: Outputs, word: str) -> dict[str, str]:
    """Return the one display whose plain text begins with a word."""
    displays = [output["data"] for cell in outputs for output in cell if "data" in output]
    (found,) = [data for data in displays if data[PLAIN].startswith(word)]
    return found


def cells(card: str) -> list[str]:
    """Return what the cells of a card's table say."""
    found = re.findall(r"<td[^>]*>(.*?)</td>", card)
    return [html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in found]


def test_it_is_kept_without_outputs() -> None:
    """What is committed holds no run of anybody's."""
    document = json.loads(EXAMPLE.read_text("utf-8"))
    nbformat.validate(nbformat.from_dict(document))
    for cell in document["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


def test_nothing_goes_wrong_in_it(outputs: Outputs) -> None:
    """No cell raises, and nothing is written where errors are written."""
    for cell in outputs:
        for output in cell:
            assert output["output_type"] in {"display_data", "execute_result", "stream"}
            assert output.get("name") != "stderr", output


def test_what_was_saved_is_shown_with_its_video(outputs: Outputs, folder: Path) -> None:
    """The card holds the very file."""
    card = shown(outputs, "Saved(")[HTML]
    (content,) = re.findall(r'<video [^>]*src="data:video/mp4;base64,([^"]+)"', card)
    assert b64decode(content) == (folder / "out.mp4").read_bytes()


@pytest.mark.parametrize("word", ["Saved(", "Job(", "Asset("])
def test_the_plain_text_says_the_same(outputs: Outputs, word: str) -> None:
    """Ids, status, sizes and names of a card stand in the text, which is that of `repr`."""
    data = shown(outputs, word)
    plain = re.sub(r"[^\w]", "", data[PLAIN])
    told = [cell for cell in cells(data[HTML]) if not re.search(r"[:()]| s$", cell)]
    assert len(told) >= 2
    for cell in told:
        assert re.sub(r"[^\w]", "", cell.removesuffix(" bytes")) in plain, cell


def test_progress_is_one_display_that_is_written_over(
    outputs: Outputs,
) -> None:
    """The display of a job that has ended shows its end alone."""
    lines = [
        output["data"][PLAIN]
        for cell in outputs
        for output in cell
        if "krea-aleph-progress" in output.get("data", {}).get(HTML, "")
    ]
    assert len(lines) == 2
    assert re.fullmatch(r"[\w-]+: completed, took \d+ s", lines[0])
    assert re.fullmatch(r"[\w-]+: failed, took \d+ s, nsfw: The job was stopped.*", lines[1])


def test_the_sheet_is_a_picture(outputs: Outputs) -> None:
    """Pillow's pictures show themselves."""
    assert shown(outputs, "<PIL.Image")["image/png"].startswith("iVBOR")


def script() -> str:
    """Return the notebook as a program that prints what its cells would show."""
    found = []
    for source in sources():
        body = ast.parse(source).body
        last = body[-1]
        if isinstance(last, ast.Expr) and not isinstance(last.value, ast.Call):
            body[-1] = ast.parse(f"print(repr({ast.unparse(last)}))").body[0]
        found += [ast.unparse(statement) for statement in body]
    return "\n".join(found)


def test_without_a_notebook_the_plain_text_remains(tmp_path: Path) -> None:
    """As a program, where there is no IPython, the same lines go to the standard streams."""
    blocked = "import sys; sys.modules['IPython'] = None\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocked + script()],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    saved, job, asset, *refusal = done.stdout.splitlines()
    assert saved.startswith("Saved(path=PosixPath('out.mp4')")
    assert job.startswith("Job(id=")
    assert "status='completed'" in job
    assert asset.startswith("Asset(id=")
    assert "resubmit: pointless" in refusal[-1]
    lines = done.stderr.splitlines()
    assert len(lines) > 2
    assert all(re.match(r"[\w-]+: \w+", line) for line in lines), lines
    assert sum("completed, took" in line for line in lines) == 1
