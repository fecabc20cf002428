"""An answer before it goes onto the wire."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

if TYPE_CHECKING:
    from krea_aleph.emulator.blobs import Slice

JOB_TYPE: Final = "externalVideo"

_PAGE: Final = (
    "<!DOCTYPE html><html><head><title>404: This page could not be found.</title></head>"
    "<body><h1>404</h1><p>This page could not be found.</p></body></html>"
)


@define
class Answer:
    """One answer, in parts that quirks may change.

    Attributes:
        status: The HTTP status.
        body: A JSON document; None for no body.
        page: HTML in place of a JSON document.
        part: A stretch of a file in place of either.
        headers: Further headers, names in lower case.
        operation: The operation that is answered, "" for none.
        problem: Why the request is refused, in words.
        submitted: Whether a job has just been accepted.
        jobs: The jobs within `body`.
        previews: Preview URLs of running jobs by job id.
    """

    status: int = 200
    body: Any = None
    page: str | None = None
    part: Slice | None = None
    headers: dict[str, str] = field(factory=dict)
    operation: str = ""
    problem: str = ""
    submitted: bool = False
    jobs: list[dict[str, Any]] = field(factory=list)
    previews: dict[str, str] = field(factory=dict)
    job_type: str = JOB_TYPE

    @property
    def failed(self) -> bool:
        """Whether it refuses the request."""
        return self.status >= HTTPStatus.BAD_REQUEST

    def content(self) -> bytes:
        """Return the bytes of a body that is no file."""
        if self.page is not None:
            return self.page.encode()
        return b"" if self.body is None else json.dumps(self.body).encode()

    def media_type(self) -> str | None:
        """Return the Content-Type; None without a body."""
        if self.part is not None:
            return self.part.blob.media_type
        if self.page is not None:
            return "text/html; charset=utf-8"
        return None if self.body is None else "application/json"


def html_page(status: int = 404) -> Answer:
    """Answer like the web site that catches what is outside the API."""
    return Answer(status, page=_PAGE, problem="no such page")
