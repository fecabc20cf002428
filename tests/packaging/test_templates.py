"""What GitHub shows to those who report or change something."""

import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from .conftest import ROOT

GITHUB = ROOT / ".github"
FORMS = sorted({*GITHUB.glob("ISSUE_TEMPLATE/*.yml")} - {GITHUB / "ISSUE_TEMPLATE/config.yml"})
CHECKER = Path(sysconfig.get_path("scripts")) / "check-jsonschema"


def loaded(form: Path) -> list[dict[str, Any]]:
    """Return the fields of a form."""
    fields: list[dict[str, Any]] = YAML(typ="safe").load(form)["body"]
    return fields


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-issue-forms", FORMS),
        ("github-issue-config", [GITHUB / "ISSUE_TEMPLATE/config.yml"]),
    ],
    ids=["forms", "configuration"],
)
def test_they_are_of_the_form_that_github_wants(schema: str, files: list[Path]) -> None:
    """GitHub's own schemas accept them."""
    command = [CHECKER, "--builtin-schema", f"vendor.{schema}", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert files
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["bug.yml", "krea-changed.yml"])
def test_reports_ask_the_doctor(name: str) -> None:
    """What it prints is asked for, and the form says what is in it and what is not."""
    (field,) = [
        field for field in loaded(GITHUB / "ISSUE_TEMPLATE" / name) if field.get("id") == "doctor"
    ]
    said = field["attributes"]
    assert "`krea-aleph doctor --json`" in said["label"]
    assert "never the key" in said["description"]
    assert "folders and hosts" in said["description"]
    assert field["validations"]["required"] is True


def test_changes_ask_the_doctor_and_for_the_changelog() -> None:
    """So does the text that a pull request begins with."""
    text = (GITHUB / "PULL_REQUEST_TEMPLATE.md").read_text()
    assert "`krea-aleph doctor --json`" in text
    for word in re.findall(r"`(scripts/\w+|CHANGELOG\.md|generated/)`", text):
        assert (ROOT / word).exists()


def test_no_address_is_invented() -> None:
    """There is no mail address and no link to a site that nobody has made."""
    texts = [path.read_text() for path in (*GITHUB.rglob("*.yml"), *GITHUB.rglob("*.md"))]
    texts.append((ROOT / "SECURITY.md").read_text())
    for text in texts:
        assert not re.search(r"[\w.]+@[\w-]+\.[a-z]{2,}", text)
        assert not re.search(r"https?://", text)
