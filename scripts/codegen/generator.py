"""Running the pinned generator, alone and with nothing in its environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codegen.templates import write_templates
from codegen.tools import run_python
from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LAUNCHER: Final = Path(__file__).with_name("launch.py")


def generate(document: Mapping[str, Any], *, package: str, edits: Path, scratch: Path) -> Path:
    """Generate the client into a scratch folder and return its place.

    Raises:
        StepError: A template edit does not fit, or the generator failed or warned. A warning
            counts: the generator drops what it cannot render and goes on.
    """
    templates, output = scratch / "templates", scratch / package
    templates.mkdir()
    write_templates(edits, templates)
    source, config = scratch / "document.json", scratch / "config.json"
    source.write_text(json.dumps(document), encoding="utf-8")
    config.write_text(json.dumps(_config(package)), encoding="utf-8")
    result = run_python(
        str(_LAUNCHER),
        "generate",
        f"--path={source}",
        f"--config={config}",
        f"--custom-template-path={templates}",
        f"--output-path={output}",
        "--meta=none",
        "--fail-on-warning",
        cwd=scratch,
    )
    if result.returncode != 0:
        raise StepError("generate", f"the generator refused: {result.stdout}{result.stderr}")
    return output


def _config(package: str) -> dict[str, Any]:
    return {
        "package_name_override": package,
        "project_name_override": package,
        "literal_enums": True,
        "docstrings_on_attributes": True,
        "post_hooks": [],
    }
