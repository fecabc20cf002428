"""Pages of one file: what they are made of lies beside this module, and nothing is loaded.

A policy in each page lets the browser run and paint these very parts and nothing else, so that
even markup that got into a page would be dead.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

from krea_aleph.pages._escape import as_html

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HOLE: Final = re.compile(r"\{\{(\w+)\}\}")
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{policy}}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="krea_aleph">
<title>{{title}}</title>
<style>{{style}}</style>
</head>
<body>
{{body}}"""
_ENDING: Final = """
<script>{{script}}</script>
</body>
</html>
"""


@cache
def part(name: str) -> str:
    """Return one of the files that pages are made of."""
    return files("krea_aleph.pages").joinpath(name).read_text("utf-8")


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return a template with its holes filled, which is done once: values are not looked into."""
    return _HOLE.sub(lambda hole: values[hole[1]], template)


def page(
    title: str, body: str, *, styles: Sequence[str], scripts: Sequence[str], media: str
) -> tuple[str, str]:
    """Return what a page begins and ends with; in between there may be more.

    Args:
        title: Its title, as text.
        body: Its body, as HTML.
        styles: The names of its style sheets.
        scripts: The names of its scripts.
        media: Where its videos may come from, in the words of the policy.
    """
    style = "\n".join(map(part, styles))
    script = "\n".join(["'use strict';", *map(part, scripts)])
    values = {
        "title": as_html(title),
        "body": body,
        "style": style,
        "script": script,
        "policy": _policy(style, script, media),
    }
    return filled(_PAGE, values), filled(_ENDING, values)


def _policy(style: str, script: str, media: str) -> str:
    rules = (
        "default-src 'none'",
        f"script-src {_digest(script)}",
        f"style-src {_digest(style)}",
        f"media-src {media}",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join(rules)


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
