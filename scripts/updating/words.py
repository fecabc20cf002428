"""Saying for users of the facade what the comparison says in the words of the contract.

`create_aleph_job.body.seed` is a place in a document; users know `seed` of `submit`.
"""

from __future__ import annotations

import re
from typing import Final

from codegen.markdown import code, prose

_CALLS: Final = {
    "create_aleph_job": "`submit` and `transform`",
    "list_jobs": "`list_jobs`",
    "get_job": "`get`, `wait` and `watch`",
    "delete_job": "`cancel`",
    "upload_asset": "`upload`",
    "list_assets": "`list_assets`",
    "get_asset": "`get_asset`",
    "delete_asset": "`delete_asset`",
}
_JOB, _ASSET = "a job", "an asset"
_THINGS: Final = {
    "create_aleph_job.200": _JOB,
    "get_job.200": _JOB,
    "list_jobs.200.items[]": _JOB,
    "list_jobs.200": "a page of jobs",
    "upload_asset.200": _ASSET,
    "get_asset.200": _ASSET,
    "list_assets.200.items[]": _ASSET,
    "list_assets.200": "a page of assets",
}
_PLACE: Final = re.compile(
    rf"\b(?:{'|'.join(_CALLS)})(?:\.[A-Za-z0-9_-]+(?:\[\]|\{{\}})*)*(?![A-Za-z0-9_-])"
)
_SENT: Final = frozenset({"body", "query", "path", "header", "cookie"})


def for_users(sentence: str) -> str:
    """Say a consequence in the words of the facade, as Markdown that holds no foreign markup."""
    parts: list[str] = []
    end = 0
    for found in _PLACE.finditer(sentence):
        parts += [prose(sentence[end : found.start()]), _place(found[0])]
        end = found.end()
    return _joined([*parts, prose(sentence[end:])])


def _joined(parts: list[str]) -> str:
    text = " ".join(part for part in parts if part)
    text = re.sub(r" (?=[.,:;](?: |$))", "", text)
    text = re.sub(r" `([.,:;])`(?= |$)", r"\1", text)
    return text[:1].upper() + text[1:]


def _place(place: str) -> str:
    thing = next((name for name in _THINGS if f"{place}.".startswith(f"{name}.")), None)
    if thing is not None:
        return _of(place[len(thing) + 1 :], _THINGS[thing])
    operation, _, rest = place.partition(".")
    side, _, name = rest.partition(".")
    if not side:
        return f"the call behind {_CALLS[operation]}"
    if side in _SENT:
        return _of(name, _CALLS[operation]) if name else f"the request of {_CALLS[operation]}"
    return _of(name, f"the answer {side} of {_CALLS[operation]}")


def _of(name: str, owner: str) -> str:
    return f"{code(name)} of {owner}" if name else owner
