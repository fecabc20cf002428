"""What the table, the page and the scenarios have in common. It needs nothing else of the tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ALEPH: Final = "/generate/video/runway/aleph"
PAIR: Final = frozenset({"init_video", "prompt"})

WORKS, REFUSED_HERE, BAD_REQUEST, NOT_FOUND = "+hbn"
"""Works; refused by the library before any request; by Krea with 400 or 422; by Krea with 404."""


def request_body(document: Path) -> Mapping[str, Any]:
    """Return the schema of a request to start a job; an empty one where there is no such thing."""
    paths = json.loads(document.read_bytes())["paths"]
    if ALEPH not in paths:
        return {"properties": {}, "required": []}
    content = paths[ALEPH]["post"]["requestBody"]["content"]
    schema: Mapping[str, Any] = content["application/json"]["schema"]
    return schema
