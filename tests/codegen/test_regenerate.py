"""The command itself, with the real tools, on copies of the checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from krea_aleph.specdiff.errors import DIFFERS, EXIT_CODES

from .conftest import CONTRACT, Checkout, body_of, job_of
from .test_normalise import Respeller

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "generated/krea_aleph_api"


def test_the_committed_tree_is_what_the_contract_gives(checkout: Checkout) -> None:
    """A clean checkout passes the check, and the check changes nothing."""
    before = checkout.files()
    done = checkout.run("--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert checkout.files() == before


def test_the_check_names_every_difference(checkout: Checkout) -> None:
    """One changed byte, a missing file, stray files and a killed run's rest are each named."""
    package = checkout.root / PACKAGE
    job = package / "models/job.py"
    job.write_bytes(job.read_bytes().replace(b"a", b"b", 1))
    (package / "py.typed").unlink()
    (package / "models/extra.py").write_text("", encoding="utf-8")
    (package.parent / ".stage-1").mkdir()
    (package.parent / ".stage-1/x").write_text("", encoding="utf-8")
    done = checkout.run("--check")
    assert done.returncode == DIFFERS
    assert done.stdout.splitlines()[:-1] == [
        "stray: .stage-1/x",
        "stray: krea_aleph_api/models/extra.py",
        "differs: krea_aleph_api/models/job.py",
        "missing: krea_aleph_api/py.typed",
    ]


def test_another_tool_is_refused_before_anything_is_compared(checkout: Checkout) -> None:
    """With another ruff the check would report drift that is none, so it refuses."""
    pins = checkout.root / "scripts/codegen/requirements.txt"
    text = pins.read_text(encoding="utf-8")
    pins.write_text(text.replace("ruff==0.17.6", "ruff==0.17.5"), encoding="utf-8")
    done = checkout.run("--check")
    assert done.returncode == EXIT_CODES["tools"]
    assert "ruff 0.17.5 is pinned but 0.17.6 is installed" in done.stderr


def test_deleting_and_regenerating_gives_the_same_bytes(checkout: Checkout) -> None:
    """The whole tree is a function of the committed files, whatever is lying around."""
    before = checkout.files()
    shutil.rmtree(checkout.root / "generated")
    done = checkout.run()
    assert done.returncode == 0, done.stderr
    assert checkout.files() == before
    assert [path.name for path in (checkout.root / "generated").iterdir()] == ["krea_aleph_api"]


def test_a_respelled_contract_changes_no_code(checkout: Checkout) -> None:
    """Only the copy of the contract and its hash differ when upstream says the same otherwise."""
    before = checkout.files()
    checkout.write(Respeller(1).contract(CONTRACT))
    done = checkout.run()
    assert done.returncode == 0, done.stderr
    changed = {name for name, data in checkout.files().items() if before.get(name) != data}
    assert changed == {
        f"{PACKAGE}/contract.json",
        f"{PACKAGE}/PROVENANCE.json",
        "scripts/codegen/contract.lock.json",
    }
    assert checkout.run("--check").returncode == 0


def test_a_validator_cannot_be_sent_to_fetch(checkout: Checkout, contract: dict[str, Any]) -> None:
    """An external reference is refused before validation, so nothing is read from elsewhere."""
    contract["components"]["schemas"] = {"X": {"$ref": "file:///nowhere/schema.json"}}
    checkout.write(contract)
    done = checkout.run()
    assert done.returncode == EXIT_CODES["guard"]
    assert "does not stay inside the document" in done.stderr


FAILING: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "not OpenAPI": ("validate", lambda c: c["paths"]["/jobs"]["get"].pop("responses") and None),
    "hostile": ("guard", lambda c: body_of(c)["properties"].update({'x"': {"type": "string"}})),
    "operation gone": ("slice", lambda c: c["paths"].pop("/jobs")),
    "correction stale": (
        "normalise",
        lambda c: c["paths"]["/assets"]["post"]["requestBody"].update(required=True),
    ),
    "prompt renamed": ("classify", lambda c: body_of(c)["properties"].pop("prompt")),
}


@pytest.mark.parametrize(("step", "change"), FAILING.values(), ids=FAILING.keys())
def test_a_step_that_fails_leaves_everything_as_it_was(
    step: str,
    change: Callable[[dict[str, Any]], object],
    checkout: Checkout,
    contract: dict[str, Any],
) -> None:
    """A failing step names itself, exits with its own code, and touches no file."""
    before = checkout.files()
    change(contract)
    if step == "validate":
        contract["paths"]["/jobs"]["get"]["parameters"] = "none"
    checkout.write(contract)
    done = checkout.run()
    assert done.returncode == EXIT_CODES[step], done.stderr
    assert done.stderr.startswith(f"regenerate: {step}: ")
    assert checkout.files() == before


def test_what_is_no_json_is_refused(checkout: Checkout) -> None:
    """An HTML page in the place of the contract stops at once."""
    before = checkout.files()
    (checkout.root / "openapi.json").write_text("<html>", encoding="utf-8")
    done = checkout.run()
    assert done.returncode == EXIT_CODES["read"]
    assert checkout.files() == before


ROUND_TRIP = """
import json, sys
sys.path.insert(0, sys.argv[1])
from krea_aleph_api.models import AlephRequest, Job
body = json.loads(sys.argv[2])
print(json.dumps([AlephRequest.from_dict(body).to_dict(), Job.from_dict(body).to_dict()]))
"""


def test_a_grown_contract_needs_no_handwritten_edit(
    checkout: Checkout, contract: dict[str, Any]
) -> None:
    """New fields of every awkward name and shape are generated, typed and carried both ways."""
    text = {"type": "string"}
    names = "d cls t field_dict to_dict cast job end-frame class 2d src_dict params".split()
    for name in names:
        body_of(contract)["properties"][name] = text
        job_of(contract)["properties"][name] = text
    camera = {"type": "object", "properties": {"zoom": {"type": "number"}, "mode": {"enum": ["a"]}}}
    for schema in (body_of(contract), job_of(contract)):
        schema["properties"]["camera"] = camera
        schema["properties"]["mixed"] = {"enum": ["auto", 24, None]}
        schema["properties"]["cameras"] = {"type": "array", "items": camera}
    responses = contract["paths"]["/jobs/{id}"]["get"]["responses"]
    responses["default"] = responses["404"]
    checkout.write(contract)
    done = checkout.run()
    assert done.returncode == 0, done.stderr
    assert checkout.run("--check").returncode == 0
    body = {
        **dict.fromkeys(names, "x"),
        "prompt": "p", "init_video": "https://x", "job_id": "1", "mixed": 24,
        "camera": {"zoom": 1, "mode": "a"}, "cameras": [{"zoom": 2}],
    }  # fmt: skip
    request = {key: value for key, value in body.items() if key != "job_id"}
    sent = subprocess.run(
        [checkout.python, "-I", "-c", ROUND_TRIP, checkout.root / "generated", json.dumps(body)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(sent.stdout) == [request, body]
