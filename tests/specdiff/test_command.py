"""`python -m krea_aleph.contract`: is the installed library behind, and does it matter?"""

# ruff: noqa: E501 - one case a line: they are tables

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import krea_aleph_api
from krea_aleph import contract as pinned
from krea_aleph.emulator import Emulator
from krea_aleph.specdiff.changes import SEVERITY_EXITS, Severity
from krea_aleph.specdiff.command import main
from krea_aleph.specdiff.diff import as_json, diff_files
from krea_aleph.specdiff.errors import EXIT_CODES
from krea_aleph.specdiff.rules import load_rules
from krea_aleph.specdiff.severity import load_reads
from local_site import Site, answer

from .conftest import ALEPH, ROOT

HISTORY = ROOT / "tests/codegen/history"


@dataclass
class Installation:
    """A library with a generated package of its own beside it."""

    package: Path
    env: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-W", "error", "-m", "krea_aleph.contract", *arguments]

    def environment(self) -> dict[str, str]:
        """Return the environment in which this package is found first."""
        return {**os.environ, "PYTHONPATH": str(self.package.parent), **self.env}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a file of the package."""
        text = (self.package / name).read_text("utf-8")
        assert old in text
        (self.package / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    def say(self, **facts: str) -> None:
        """Let the package say something about the end of the aleph operation."""
        said = "".join(f", {name}={fact!r}" for name, fact in facts.items())
        self.edit("operations.py", "(400, 401, 402, 429)", f"(400, 401, 402, 429){said}")


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """Copy the generated package, so that it may be changed."""
    source = Path(krea_aleph_api.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    return Installation(shutil.copytree(source, tmp_path / "site" / source.name, ignore=ignored))


@pytest.fixture
def online(installation: Installation, site: Site) -> Installation:
    """Let the copy look for what is published on a site of our own, and trust that."""
    rules = load_rules(installation.package / "rules.toml")
    installation.edit("rules.toml", rules.upstream.document, site.url("/openapi.json"))
    installation.edit("rules.toml", rules.upstream.page, site.url("/aleph.md"))
    installation.env["SSL_CERT_FILE"] = str(site.ca)
    return installation


def write(path: Path, document: object) -> str:
    """Write a file and return its path."""
    text = document if isinstance(document, str) else json.dumps(document)
    path.write_text(text, encoding="utf-8")
    return str(path)


def body(document: Any) -> Any:
    """Return the schema of the aleph request."""
    content = document["paths"][ALEPH]["post"]["requestBody"]["content"]
    return content["application/json"]["schema"]


def job(document: Any) -> Any:
    """Return the schema of a job."""
    content = document["paths"]["/jobs/{id}"]["get"]["responses"]["200"]["content"]
    return content["application/json"]["schema"]


# Which contract it is.


@pytest.mark.parametrize("arguments", [[], ["show"]])
def test_which_contract_it_is(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Without arguments the command says which contract is installed, and nothing else."""
    assert main(arguments) == 0
    said = capfd.readouterr().out
    assert [line.split(maxsplit=1)[-1] for line in said.splitlines()[:3]] == [
        pinned.sha256, f"on   {pinned.date}", pinned.generator,
    ]  # fmt: skip


def test_which_contract_it_is_for_programs(capfd: pytest.CaptureFixture[str]) -> None:
    """The same facts are there as JSON."""
    assert main(["show", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["sha256"], found["date"]) == (pinned.sha256, pinned.date)
    assert found["notices"] == {}


def test_what_is_going_to_end(installation: Installation) -> None:
    """An operation that ends is told with its days, its replacement and where to read on."""
    installation.say(
        deprecated="2026-10-01", sunset="2027-01-01", replacement="aleph-2", migration_url="https://x.example/"
    )  # fmt: skip
    assert installation.run().stdout.splitlines()[-1] == (
        "create_aleph_job: deprecated since 2026-10-01, switched off on 2027-01-01,"
        " replaced by aleph-2, see https://x.example/"
    )
    notices = json.loads(installation.run("show", "--json").stdout)["notices"]
    assert notices["create_aleph_job"]["sunset"] == "2027-01-01"


def test_importing_it_stays_cheap() -> None:
    """Whoever only asks for the contract loads neither the comparison nor the client."""
    program = "import sys, krea_aleph.contract; print('krea_aleph.specdiff' in sys.modules)"
    found = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert found == "False\n"


# What has changed since.


def nothing(_: Any) -> None:
    """Change nothing."""


def text_changed(document: Any) -> None:
    """Describe something in other words."""
    body(document)["properties"]["seed"]["description"] = "Another word."


def field_added(document: Any) -> None:
    """Add an optional field."""
    body(document)["properties"]["strength"] = {"type": "number"}


def status_added(document: Any) -> None:
    """Add a status."""
    job(document)["properties"]["status"]["enum"].append("paused")


def field_needed(document: Any) -> None:
    """Add a required field, and take away what the facade reads."""
    field_added(document)
    body(document)["required"].append("strength")
    del job(document)["properties"]["job_id"]


VERDICTS: dict[Severity, tuple[Callable[[Any], None], str]] = {
    Severity.NONE: (nothing, "is up to date: nothing"),
    Severity.DOCS: (text_changed, "only descriptions"),
    Severity.FEATURE: (field_added, r"does no harm.*extra_body.*pip install --upgrade krea-aleph"),
    Severity.REVIEW: (status_added, r"look at what is marked review.*pip install --upgrade"),
    Severity.BREAKING: (field_needed, r"it matters: .*1 in what is sent .*1 in answers .*pip install --upgrade krea-aleph.*Emulator\(contract='.*new.json'\)"),
}  # fmt: skip


@pytest.mark.parametrize("severity", VERDICTS)
def test_the_verdict(
    severity: Severity,
    contract: dict[str, Any],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """People are told whether they are behind, whether it matters, and what to do about it."""
    change, words = VERDICTS[severity]
    change(contract)
    new = write(tmp_path / "new.json", contract)
    assert main(["diff", new]) == SEVERITY_EXITS[severity]
    *_, total, verdict = capfd.readouterr().out.splitlines()
    assert total.startswith(f"{severity.name.lower()}: ")
    assert re.search(words, verdict)
    assert f"(contract {pinned.sha256[:12]} of {pinned.date})" in verdict


def test_the_report_for_programs(capfd: pytest.CaptureFixture[str]) -> None:
    """With --json there is the report of `scripts/regenerate --diff`, and nothing else."""
    rules = load_rules(pinned.folder() / "rules.toml")
    reads = load_reads(pinned.folder() / "reads.toml", rules)
    new = HISTORY / "v1.json"
    assert main(["diff", str(new), "--json"]) == SEVERITY_EXITS[Severity.BREAKING]
    said = capfd.readouterr()
    wanted = as_json(diff_files(pinned.document(), new, rules, reads))
    assert (said.out, said.err) == (wanted.decode(), "")


def test_yaml_is_read_too(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A description in YAML is compared as one in JSON (JSON is YAML, after a comment)."""
    new = write(tmp_path / "new.yaml", "# a comment\n" + pinned.document().read_text("utf-8"))
    assert main(["diff", new]) == 0
    assert "up to date" in capfd.readouterr().out


def test_a_mark_of_the_byte_order_is_no_matter(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Editors that write one before the JSON do not make it something else."""
    new = write(tmp_path / "new.json", "\ufeff" + pinned.document().read_text("utf-8"))
    assert main(["diff", new]) == 0
    assert "up to date" in capfd.readouterr().out


def test_without_a_reader_of_yaml(installation: Installation, tmp_path: Path) -> None:
    """Where no package reads YAML, the error names the one that does."""
    (tmp_path / "site/ruamel").mkdir()
    write(tmp_path / "site/ruamel/__init__.py", "")  # stands before the one that is installed
    done = installation.run("diff", write(tmp_path / "new.yaml", "openapi: 3.1.0\n"))
    assert done.returncode == EXIT_CODES["yaml"]
    assert "new.yaml: it is not JSON" in done.stderr
    assert "pip install ruamel.yaml" in done.stderr


def test_what_is_retired_is_no_news(installation: Installation) -> None:
    """A vanished operation is breaking once: not when the installed library says it is retired."""
    absent = str(HISTORY / "absent.json")
    before = installation.run("diff", absent)
    assert before.returncode == SEVERITY_EXITS[Severity.BREAKING]
    assert "create_aleph_job is no longer published" in before.stdout
    installation.say(retired="2026-10-09")
    after = installation.run("diff", absent)
    assert after.returncode == 0, after.stdout
    assert after.stdout.count("create_aleph_job") == 1
    assert "create_aleph_job is retired since 2026-10-09; it is still not" in after.stdout
    report = installation.run("diff", absent, "--json")
    assert json.loads(report.stdout)["severity"] == "docs"
    assert "retired since 2026-10-09" in report.stderr


def test_what_comes_back_is_compared(installation: Installation) -> None:
    """A retired operation that is published again is said to be, and compared like the others."""
    installation.say(retired="2026-10-09")
    done = installation.run("diff", str(HISTORY / "v1.json"))
    assert "create_aleph_job is retired since 2026-10-09; it is published again" in done.stdout
    assert "properties/startImage" in done.stdout


# What Krea publishes today.


@pytest.mark.parametrize("arguments", [["diff", "--live"], ["diff"]])
def test_what_is_published_today(
    arguments: list[str], online: Installation, site: Site, contract: dict[str, Any]
) -> None:
    """The address is data of the installed library; without a file it is what is looked at."""
    field_added(contract)
    site.put("/openapi.json", json.dumps(contract).encode())
    done = online.run(*arguments)
    assert (done.returncode, done.stderr) == (SEVERITY_EXITS[Severity.FEATURE], "")
    assert "create_aleph_job.body.strength can be given" in done.stdout


def test_a_part_is_compared_as_a_part(
    online: Installation, site: Site, contract: dict[str, Any]
) -> None:
    """The page of the documentation has one operation: the others are not said to be gone."""
    contract["paths"] = {ALEPH: contract["paths"][ALEPH]}
    body(contract)["properties"]["prompt"]["maxLength"] = 900
    site.put("/aleph.md", f"# Aleph\n\n```yaml\n# x\n{json.dumps(contract)}\n```\n".encode())
    done = online.run("diff", "--live")
    assert done.returncode == EXIT_CODES["page"], "openapi: does not begin a line"
    site.put("/aleph.md", f"```yaml\n{_yaml(contract)}```\n".encode())
    done = online.run("diff", "--live", "--json")
    assert done.returncode == SEVERITY_EXITS[Severity.BREAKING], done.stderr
    (change,) = json.loads(done.stdout)["changes"]
    assert change["pointer"].endswith("prompt/maxLength")
    assert done.stderr == (
        f"Only create_aleph_job was compared: that is all that {site.url('/aleph.md')} has.\n"
    )


def _yaml(document: dict[str, Any]) -> str:
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in document.items())


def test_trying_tomorrow_today(
    online: Installation, site: Site, contract: dict[str, Any], tmp_path: Path
) -> None:
    """What was fetched can be kept, and an emulator goes by it; a part is completed for that."""
    kept = tmp_path / "new.json"
    field_needed(contract)
    site.put("/openapi.json", json.dumps(contract).encode())
    done = online.run("diff", "--live", "--save", str(kept))
    assert f"Emulator(contract='{kept}')" in done.stdout
    assert json.loads(kept.read_bytes()) == contract
    del site.answers["/openapi.json"]
    part = {**contract, "paths": {ALEPH: contract["paths"][ALEPH]}}
    site.put("/aleph.md", f"```yaml\n{_yaml(part)}```\n".encode())
    assert online.run("diff", "--live", "--save", str(kept)).returncode
    whole = json.loads(kept.read_bytes())
    assert body(whole) == body(contract)
    assert whole["paths"].keys() == contract["paths"].keys()
    with Emulator(contract=kept, render=False) as emulator:
        assert emulator.base_url


def test_parts_that_do_not_fit_are_not_joined(
    online: Installation, site: Site, contract: dict[str, Any], tmp_path: Path
) -> None:
    """A part whose components are others than the installed ones is compared, but not kept."""
    part = {**contract, "paths": {ALEPH: contract["paths"][ALEPH]}}
    part["components"] = {"securitySchemes": {"bearerAuth": {"type": "http", "scheme": "basic"}}}
    site.put("/aleph.md", f"```yaml\n{_yaml(part)}```\n".encode())
    assert online.run("diff").returncode == SEVERITY_EXITS[Severity.REVIEW]
    done = online.run("diff", "--save", str(tmp_path / "new.json"))
    assert done.returncode == EXIT_CODES["compose"]
    assert "securitySchemes/bearerAuth" in done.stderr
    assert not (tmp_path / "new.json").exists()


# What goes wrong.


@pytest.mark.parametrize(
    ("published", "step", "words"),
    [
        (answer(b"", status="404 Not Found"), "fetch", "nor does the page help"),
        (answer(b"{"), "read", "openapi.json: the document is not plain JSON"),
        (answer(b'{"openapi": "3.0.0"}'), "version", "openapi.json: only OpenAPI 3.1"),
        (answer(b'{"openapi": "3.1.0", "paths": true}'), "validate", "openapi.json: /paths: True"),
        (answer(b'{"openapi": "3.1.0", "paths": {}}'), "foreign", "openapi.json: it has none"),
    ],
)
def test_published_is_something_else(
    published: bytes, step: str, words: str, online: Installation, site: Site
) -> None:
    """Whatever is there instead is told in one line, with the exit code of its step."""
    site.answers["/openapi.json"] = published
    done = online.run("diff", "--live")
    assert (done.returncode, done.stdout) == (EXIT_CODES[step], "")
    assert done.stderr.startswith(f"contract: {step}: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("", "empty"),
        ("<html>", "html"),
        ("{", "read"),
        ("[]", "read"),
        ("a: &b 1\n", "yaml"),
        ('{"openapi": "3.1.0", "paths": {"/jobs": {"get": 5}}}', "validate"),
        ('{"openapi": "3.1.0", "paths": {"/jobs": {"$ref": "https://x.example"}}}', "guard"),
        ('{"openapi": "3.1.0", "paths": {"/jobs": {"$ref": "#/x"}}}', "slice"),
    ],
)
def test_files_that_are_no_description(
    text: str, step: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A bad file is named, with what is wrong, on one line."""
    bad = write(tmp_path / "bad", text)
    assert main(["diff", bad]) == EXIT_CODES[step]
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"contract: {step}: {bad}: ")
    assert said.err.count("\n") == 1


def test_files_that_cannot_be_used(
    online: Installation, site: Site, contract: dict[str, Any], tmp_path: Path
) -> None:
    """A missing file, a folder, and one that cannot be written are told by their path."""
    for path in (tmp_path / "none.json", tmp_path):
        done = online.run("diff", str(path))
        assert (done.returncode, done.stdout) == (EXIT_CODES["file"], "")
        assert f"{path} cannot be read" in done.stderr
    site.put("/openapi.json", json.dumps(contract).encode())
    done = online.run("diff", "--save", str(tmp_path / "no/such/folder.json"))
    assert done.returncode == EXIT_CODES["file"]
    assert "folder.json cannot be written: No such file" in done.stderr


@pytest.mark.parametrize("name", ["rules.toml", "reads.toml", "contract.json"])
def test_a_damaged_installation(name: str, installation: Installation) -> None:
    """A file that is missing from the installation is named."""
    (installation.package / name).unlink()
    done = installation.run("diff", str(ROOT / "openapi.json"))
    assert done.returncode == EXIT_CODES["rules"]
    assert name in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["diff", "a", "b"], ["diff", "a", "--live"], ["diff", "a", "--save", "b"]]
)  # fmt: skip
def test_wrong_command_lines(arguments: list[str]) -> None:
    """They end with 2, as everywhere."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize("arguments", [["--help"], ["diff", "--help"]])
def test_the_help_lists_the_exit_codes(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever calls the command from a script finds every code that it can end with."""
    with pytest.raises(SystemExit):
        main(arguments)
    said = capfd.readouterr().out
    for code, name in [(30, "feature"), (31, "review"), (32, "breaking"), (23, "fetch"), (130, "inter")]:  # fmt: skip
        assert re.search(rf"^ +{code}  .*{name}", said, re.MULTILINE)


def test_a_terminal_that_knows_few_letters(installation: Installation, tmp_path: Path) -> None:
    """A letter that cannot be shown is written as its number; the report comes all the same."""
    installation.env["PYTHONIOENCODING"] = "ascii"
    done = installation.run("diff", str(tmp_path / "Entwürfe.json"))
    assert done.returncode == EXIT_CODES["file"]
    assert "Entw\\xfcrfe.json" in done.stderr


def test_interrupting(online: Installation, site: Site) -> None:
    """Ctrl-C while it waits for the server ends it with 130 and without a traceback."""
    asked, done = threading.Event(), threading.Event()

    def wait(_: Any) -> None:
        asked.set()
        done.wait(20)

    site.answers["/openapi.json"] = wait
    with subprocess.Popen(
        online.command("diff"), env=online.environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert asked.wait(20)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    done.set()
    assert (process.returncode, said) == (130, "")
