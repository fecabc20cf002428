"""Reading a description from JSON or YAML, as strictly in either."""

from __future__ import annotations

import codecs
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from krea_aleph.specdiff.document import MAX_BYTES, read_document
from krea_aleph.specdiff.errors import StepError, step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def read_file(path: Path) -> dict[str, Any]:
    """Read a file; JSON by its first character, else YAML 1.2, where 16:9 and no are text.

    Raises:
        StepError: There is no such file, or it holds no description; the step says what it is.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StepError("file", f"{path} cannot be read: {error.strerror}") from error
    try:
        return read_any(data)
    except StepError as error:
        raise StepError(error.step, f"{path}: {error.problem}") from error


def read_any(data: bytes) -> dict[str, Any]:
    """Parse JSON or YAML.

    Raises:
        StepError: Empty, a web page, no plain data, too large or too deep.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    start = data.lstrip()[:1]
    if not start:
        raise StepError("empty", "there is nothing in it")
    if start == b"<":
        raise StepError("html", "a web page or other markup, not a description")
    if start in b"{[" or len(data) > MAX_BYTES:
        return read_document(data)
    return read_document(_yaml_as_json(data))


def _yaml_as_json(data: bytes) -> bytes:
    yaml, failure = _yaml_reader()
    with step("read"):
        try:
            text = data.decode("utf-8")
            for event in yaml().parse(text):
                _refuse_tricks(event)
            document = yaml().load(text)
        except (failure, UnicodeDecodeError, RecursionError) as error:
            raise StepError("read", _told(error)) from error
        try:
            return json.dumps(document, default=str).encode()
        except TypeError as error:
            raise StepError("yaml", "a key is a list or an object; keys are texts") from error


def _yaml_reader() -> tuple[Callable[[], Any], type[Exception]]:
    """Import what reads YAML: not every environment has it, and JSON does without."""
    try:
        from ruamel.yaml import YAML  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
        from ruamel.yaml.error import (  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
            YAMLError,
        )
    except ImportError as error:
        problem = "it is not JSON, and YAML is read with another package: pip install ruamel.yaml"
        raise StepError("yaml", problem) from error
    return partial(YAML, typ="safe", pure=True), YAMLError


def _told(error: Any) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"line {mark.line + 1}: {error.problem}"
    return f"it is no YAML in UTF-8: {' '.join(str(error).split())}"


def _refuse_tricks(event: Any) -> None:
    """Refuse what is not plain data: a reader of the file would not see what comes of it."""
    line = event.start_mark.line + 1
    if getattr(event, "anchor", None) is not None:
        raise StepError("yaml", f"line {line}: anchors and aliases are not read; write it out")
    if getattr(event, "value", None) == "<<":
        raise StepError("yaml", f"line {line}: merge keys (<<) are not read; write it out")
    tag = getattr(event, "tag", None)
    if tag is not None and str(tag) != "!":
        raise StepError("yaml", f"line {line}: the tag {tag!s:.60} is not read; plain data only")
