"""What users have after one command: the library, built from another description."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from checkouts import Checkout

from .conftest import ALEPH, CONTRACT, body_of

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONS = {
    "strength": {"type": "number", "minimum": 0, "maximum": 1},
    "look": {"type": "string", "enum": ["film", "comic"]},
    "end_image": {"type": "string", "format": "uri"},
    "camera": {"type": "object", "properties": {"speed": {"type": "integer"}}},
    "output": {"type": "string", "enum": ["mp4", "webm"]},
    "class": {"type": "boolean"},
}


@dataclass(frozen=True)
class Installed:
    """A library that was regenerated elsewhere, as users would have it."""

    root: Path

    @property
    def contract(self) -> Path:
        """The contract that it was built from."""
        return self.root / "openapi.json"

    @property
    def lock(self) -> Any:
        """The lock of that contract."""
        return json.loads((self.root / "scripts/codegen/contract.lock.json").read_bytes())

    def checked(self, program: Path) -> subprocess.CompletedProcess[str]:
        """Type-check a user's program against it."""
        return self.python(
            "-m", "mypy", "--strict", "--cache-dir", os.devnull, program.name, cwd=program.parent
        )

    def python(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run Python where this library is the installed one."""
        paths = os.pathsep.join([str(self.root), str(self.root / "generated")])
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": paths, "MYPYPATH": paths},
            cwd=cwd or self.root / "generated",
            capture_output=True,
            text=True,
            check=False,
        )


def installed(root: Path, tools: Path, change: Callable[[dict[str, Any]], object]) -> Installed:
    """Change the description as Krea may, and follow it with the one command."""
    checkout = Checkout.copied(root, tools)
    contract = copy.deepcopy(CONTRACT)
    change(contract)
    (root / "published.json").write_text(json.dumps(contract), encoding="utf-8")
    done = checkout.run("--from", str(root / "published.json"))
    assert done.returncode == 0, done.stderr
    return Installed(root)


PAGE = "https://docs.example/deprecations"
ALIASES = [
    {"from": "aspectRatio", "to": "ratio", "sunset_date": "2026-06-19", "migration_url": PAGE},
    {"from": "initVideo", "to": "init_video"},
]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, tools: Path) -> Installed:
    """A library whose requests have more fields, and whose contract marks what is going to end."""

    def grow(contract: dict[str, Any]) -> None:
        body_of(contract)["properties"].update(OPTIONS)
        body_of(contract)["properties"]["seed"]["deprecated"] = True
        operation = contract["paths"][ALEPH]["post"]
        operation["deprecated"] = True
        operation["x-krea-deprecation"] = {"sunset_date": "2030-01-01", "replacement": "aleph-2"}
        operation["x-krea-deprecated-field-aliases"] = ALIASES

    return installed(tmp_path_factory.mktemp("grown"), tools, grow)


SUBMIT = """
import json, pathlib, sys
from krea_aleph import InvalidRequestError, contract
from krea_aleph.emulator import Emulator

pathlib.Path("still.png").write_bytes(bytes.fromhex("89504e470d0a1a0a") + bytes(100))
with Emulator(render=False, contract=sys.argv[1]) as krea, krea.aleph(virtual_time=True) as aleph:
    url = "https://example.com/in.mp4"
    job = aleph.submit(
        url, "night", strength=0.5, look="film", end_image="still.png", camera={"speed": 2},
        output_="webm", class_=True,
    )
    aleph.transform(url, "night", "out.mp4", strength=1, output_="mp4")
    refused = []
    for options in (
        {"strength": 2}, {"look": "noir"}, {"output_": "gif"}, {"camera": {"speed": "x"}},
        {"end_image": "no-such.png"},
    ):
        try:
            aleph.submit(url, "night", **options)
        except InvalidRequestError as error:
            refused.append(error.field)
    posts = [record for record in krea.requests if record.operation == "create_aleph_job"]
    print(json.dumps({
        "accepted": krea.accepted, "bodies": [post.json() for post in posts], "refused": refused,
        "sha256": contract.sha256,
    }))
"""


def test_a_new_field_is_usable_and_checked_after_one_command(grown: Installed) -> None:
    """New optional fields are options of submit: sent by their own names, files uploaded, checked.

    That holds for one that is called like a parameter of ours too, spelt with an underscore.
    """
    done = grown.python("-W", "ignore", "-c", SUBMIT, str(grown.contract), cwd=grown.root)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    first, second = said["bodies"]
    assert {name: first[name] for name in OPTIONS if name != "end_image"} == {
        "strength": 0.5, "look": "film", "camera": {"speed": 2}, "output": "webm", "class": True,
    }  # fmt: skip
    assert first["end_image"].startswith("http://127.0.0.1")
    assert (second["strength"], second["output"]) == (1, "mp4")
    assert said["accepted"] == 2
    assert said["refused"] == ["strength", "look", "output_", "camera.speed", "end_image"]
    assert said["sha256"] == grown.lock["contract"]["sha256"]


TYPED = """
from krea_aleph import Aleph, AlephOptions

options: AlephOptions = {"look": "film", "camera": {"speed": 2}, "output_": "webm"}
with Aleph() as aleph:
    aleph.submit("in.mp4", "night", strength=0.5, look="film", end_image="still.png", class_=True)
    aleph.transform("in.mp4", "night", "out.mp4", output_="mp4")
    aleph.submit("in.mp4", "night", **options)
    aleph.submit("in.mp4", "night", strength="1")  # wrong
    aleph.submit("in.mp4", "night", look="noir")  # wrong
    aleph.submit("in.mp4", "night", camera={"speed": "x"})  # wrong
    aleph.submit("in.mp4", "night", output="mp4")  # wrong
"""


def test_a_new_field_is_typed_after_one_command(grown: Installed, tmp_path: Path) -> None:
    """`mypy --strict` takes the new options in a user's program, and knows their values."""
    program = tmp_path / "program.py"
    program.write_text(TYPED, encoding="utf-8")
    said = grown.checked(program).stdout
    found = {line.split(":")[1] for line in said.splitlines() if ": error:" in line}
    wrong = enumerate(TYPED.splitlines(), start=1)
    assert found == {str(number) for number, line in wrong if line.endswith("# wrong")}, said


WARNED = """
import json, logging, sys, warnings
from krea_aleph import InvalidRequestError, KreaDeprecationWarning, contract
from krea_aleph.emulator import Emulator

logging.basicConfig(level=logging.ERROR)
events = []
with Emulator(render=False, contract=sys.argv[1]) as krea:
    aleph = krea.aleph(virtual_time=True, on_event=events.append)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            aleph.submit("https://example.com/in.mp4", "night", seed=1)
    try:
        aleph.submit("https://example.com/in.mp4", "night", aspectRatio="1280:720")
    except InvalidRequestError as error:
        said = str(error)
    print(json.dumps({
        "warned": [str(warning.message) for warning in caught],
        "ours": all(warning.category is KreaDeprecationWarning for warning in caught),
        "events": [dict(event.attributes) for event in events if event.kind == "deprecated"],
        "said": said,
        "notices": [[n.operation, n.deprecated, n.retired, n.sunset, n.replacement]
                    for n in contract.notices().values()],
        "date": contract.date,
    }))
"""


def test_what_is_marked_is_warned_about_after_one_command(grown: Installed) -> None:
    """A mark, an announced day and old names of fields reach the caller, once, by themselves."""
    done = grown.python("-c", WARNED, str(grown.contract))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    since = grown.lock["deprecated"]["create_aleph_job"]
    source = f"So says the contract of {said['date']} that this library was built from."
    ends = (
        f"Krea advises against it since {since}; its last day is 2030-01-01. Use aleph-2 instead."
    )
    assert said["warned"] == [
        f"create_aleph_job: {ends} {source}",
        f"seed: Krea has marked this field as deprecated. {source}",
    ]
    assert said["ours"]
    assert [event["state"] for event in said["events"]] == ["deprecated", "deprecated"]
    assert said["notices"] == [["create_aleph_job", since, None, "2030-01-01", "aleph-2"]]
    assert "it was renamed to 'ratio'; the old name is accepted until 2026-06-19" in said["said"]
    assert PAGE in said["said"]


@pytest.fixture(scope="module")
def bereft(tmp_path_factory: pytest.TempPathFactory, tools: Path) -> Installed:
    """A library that has followed a description without its operation."""
    return installed(
        tmp_path_factory.mktemp("bereft"), tools, lambda contract: contract["paths"].pop(ALEPH)
    )


RETIRED = """
import json, sys, warnings
from krea_aleph import KreaDeprecationWarning, KreaError, contract
from krea_aleph.emulator import Emulator

with Emulator(render=False, contract=sys.argv[1], sunset="2020-01-01") as krea:
    aleph = krea.aleph(virtual_time=True)
    try:
        aleph.submit("https://example.com/in.mp4", "night")
    except KreaDeprecationWarning as warning:
        raised = str(warning)
    sent = len(krea.requests)
    warnings.simplefilter("ignore")
    try:
        aleph.submit("https://example.com/in.mp4", "night")
    except KreaError as error:
        hint = error.hint
    print(json.dumps({"raised": raised, "sent": sent, "hint": hint, "date": contract.date,
                      "retired": contract.notices()["create_aleph_job"].retired}))
"""


def test_what_is_gone_is_warned_about_after_one_command(bereft: Installed) -> None:
    """A library built without the operation has it, warns in time, and says what 410 means."""
    published = bereft.root / "published.json"
    done = bereft.python("-W", "error", "-c", RETIRED, str(published))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["sent"] == 0
    since = bereft.lock["retired"]["create_aleph_job"]
    assert said["retired"] == since
    gone = f"Krea's description no longer has it since {since}"
    assert said["raised"].startswith(f"create_aleph_job: {gone}; it may be refused at any time.")
    assert f"has it as retired since {since}." in said["hint"]
