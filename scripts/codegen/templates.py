"""The stock templates with our counted edits."""

from __future__ import annotations

import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping


def write_templates(edits_file: Path, folder: Path) -> None:
    """Write the edited templates to a folder; the generator falls back to stock for the rest.

    Raises:
        StepError: An edit does not fit as often as it says.
    """
    stock = _stock()
    edits = tomllib.loads(edits_file.read_text(encoding="utf-8"))["edits"]
    names = sorted({edit["file"] for edit in edits})
    texts = {name: (stock / name).read_text(encoding="utf-8") for name in names}
    for name, text in apply_edits(texts, edits).items():
        (folder / name).write_text(text, encoding="utf-8")


def apply_edits(texts: Mapping[str, str], edits: list[dict[str, Any]]) -> dict[str, str]:
    """Apply the edits in order.

    Args:
        texts: The stock templates by file name.
        edits: Tables with `file`, `count`, `old`, `new` and `because`.

    Raises:
        StepError: A text occurs more or less often than its edit says.
    """
    result = dict(texts)
    for edit in edits:
        found = result[edit["file"]].count(edit["old"])
        if found != edit["count"]:
            problem = (
                f"an edit of {edit['file']} fits {found} times, not {edit['count']}"
                f" ({edit['because']}): {edit['old'][:80]!r}"
            )
            raise StepError("generate", problem)
        result[edit["file"]] = result[edit["file"]].replace(edit["old"], edit["new"])
    return result


def _stock() -> Path:
    spec = find_spec("openapi_python_client")
    if spec is None or spec.origin is None:
        raise StepError("tools", "openapi-python-client is not installed")
    return Path(spec.origin).parent / "templates"
