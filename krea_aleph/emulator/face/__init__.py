"""The emulator's live page: what happens in it, for people, and faults to switch on by hand.

It stands beside the service and is no part of it: what the page asks is not recorded, hits no
fault, is changed by no quirk and holds no virtual time.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from krea_aleph.emulator import downloads
from krea_aleph.emulator.answers import Answer
from krea_aleph.emulator.blobs import BytesBlob, Slice
from krea_aleph.emulator.face import guard
from krea_aleph.emulator.face.guard import Refusal
from krea_aleph.emulator.face.presets import Presets
from krea_aleph.emulator.face.state import FILES, State
from krea_aleph.emulator.quirks import Switches
from krea_aleph.errors import KreaError
from krea_aleph.pages._sheets import part

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from krea_aleph.emulator.app import App

HOME: Final = "/"
OWN: Final = "/_emulator/"
"""What the addresses of the page's own begin with."""

_PARTS: Final = {
    HOME: ("live.html", "text/html; charset=utf-8"),
    f"{OWN}live.css": ("live.css", "text/css; charset=utf-8"),
    f"{OWN}live.js": ("live.js", "text/javascript; charset=utf-8"),
}
_MOST_BYTES: Final = 4096
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self'; img-src data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Face:
    """Answers what the page asks."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._state = State(app)
        self._presets = Presets(app)
        self._deeds: dict[str, Callable[[Any], object]] = {
            f"{OWN}faults": self._presets.switch_on,
            f"{OWN}faults/off": self._presets.switch_off,
            f"{OWN}quirks": self._presets.switch_quirk,
        }

    def owns(self, request: Request) -> bool:
        """Say whether a request is one to the page; what the contract knows never is.

        At the root it is only what browsers ask for: programs are answered there as Krea does.
        """
        path = request.url.path
        browses = request.method == "GET" and "text/html" in request.headers.get("accept", "")
        ours = path.startswith(OWN) or (path == HOME and browses)
        return ours and not self._app.contract.at(path)

    async def answer(self, request: Request) -> Answer:
        """Answer one request."""
        try:
            guard.require_known_host(request, self._app.base_url)
            answer = await self._answer(request)
        except Refusal as refusal:
            answer = Answer(refusal.status, {"error": refusal.words})
        except KreaError as error:
            answer = Answer(400, {"error": str(error)})
        answer.headers = {**_HEADERS, **answer.headers}
        return answer

    async def _answer(self, request: Request) -> Answer:
        path = request.url.path
        if path in self._deeds:
            guard.require_own_page(request)
            self._deeds[path](await _body(request))
            return Answer(200, self._state.now())
        if request.method not in {"GET", "HEAD"}:
            raise Refusal(405, "Only GET is taken here")
        if path in _PARTS:
            return _part(*_PARTS[path])
        if path == f"{OWN}state":
            return Answer(200, self._state.now())
        if path == f"{OWN}menu":
            return Answer(200, {**self._presets.menu(), **self._state.about()})
        if path.startswith(FILES):
            name = unquote(path.removeprefix(FILES))
            blob = self._app.service.library.files.get(name)
            return downloads.answer(request, blob, Switches())
        raise Refusal(404, "There is no such page")


async def _body(request: Request) -> dict[str, Any]:
    """Return the JSON object that a request holds."""
    content = b""
    async for piece in request.stream():
        content += piece
        if len(content) > _MOST_BYTES:
            raise Refusal(413, f"At most {_MOST_BYTES} bytes are taken here")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refusal(400, "This is no JSON object")
    return found


def _part(name: str, media_type: str) -> Answer:
    content = _content(name)
    return Answer(200, part=Slice(BytesBlob(content, media_type), 0, len(content)))


@cache
def _content(name: str) -> bytes:
    text = files(__name__).joinpath(name).read_text("utf-8")
    return (part("page.css") + text if name.endswith(".css") else text).encode()
