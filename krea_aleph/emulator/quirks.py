"""What the real service does although its contract does not say so, each thing with a name.

A quirk is either a rule that the emulator asks about while it works (`change` is None), or a change
made to an answer that otherwise follows the contract. The dialect "wire" has the usual ones on, the
dialect "declared" none; each can be switched by its name.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from attrs import define, field, frozen

from krea_aleph.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from krea_aleph.emulator.answers import Answer


@frozen
class Quirk:
    """One known deviation.

    Attributes:
        name: Its name.
        sentence: What happens.
        usual: Whether the dialect "wire" has it on.
        change: What it does to an answer; None if the emulator asks about it by name instead.
    """

    name: str
    sentence: str
    usual: bool
    change: Callable[[Answer], None] | None = None


QUIRKS: Final[dict[str, Quirk]] = {}


def _rule(name: str, sentence: str, *, usual: bool = True) -> None:
    QUIRKS[name] = Quirk(name, sentence, usual)


def _quirk(
    name: str, sentence: str, *, usual: bool = True
) -> Callable[[Callable[[Answer], None]], Callable[[Answer], None]]:
    def register(change: Callable[[Answer], None]) -> Callable[[Answer], None]:
        QUIRKS[name] = Quirk(name, sentence, usual, change)
        return change

    return register


@define
class Switches:
    """Which quirks are on."""

    _on: set[str] = field(factory=set)

    @classmethod
    def of(cls, dialect: str, wanted: Mapping[str, bool]) -> Switches:
        """Begin with what a dialect has on, then switch what is wanted.

        Raises:
            ConfigError: For an unknown dialect or quirk.
        """
        if dialect not in {"wire", "declared"}:
            raise ConfigError(f"dialect={dialect!r} is unknown.", hint='Use "wire" or "declared".')
        usual = {name for name, quirk in QUIRKS.items() if quirk.usual}
        switches = cls(usual if dialect == "wire" else set())
        for name, on in wanted.items():
            switches.switch(name, on=on)
        return switches

    def switch(self, name: str, *, on: bool) -> None:
        """Switch one quirk.

        Raises:
            ConfigError: If there is none of this name.
        """
        if name not in QUIRKS:
            raise ConfigError(
                f"there is no quirk {name!r}.", hint=f"Known are: {', '.join(sorted(QUIRKS))}."
            )
        (self._on.add if on else self._on.discard)(name)

    def __contains__(self, name: object) -> bool:
        return name in self._on

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._on))

    def apply(self, answer: Answer) -> None:
        """Make every change that is switched on, in the order of the registry."""
        for name, quirk in QUIRKS.items():
            if name in self._on and quirk.change is not None:
                quirk.change(answer)


# Rules

_rule("auth_first", "A bad key is refused before the request is looked at.")
_rule("undeclared_401", "A bad key gives 401 even where the contract declares none.")
_rule("undeclared_413", "An upload that is too large gives 413, which the contract never declares.")
_rule(
    "undeclared_422", "A media URL that Krea refuses gives 422, which the contract never declares."
)
_rule("undeclared_410", "A retired model gives 410, which the contract never declares.")
_rule(
    "undeclared_refusals", "What cannot be refused as declared is refused with 400 or 409 anyway."
)
_rule("html_404", "A path outside the API, such as one under /v1, gives an HTML page with 404.")
_rule("python_urllib_403", "The default user agent of urllib is refused with 403 and code 1010.")
_rule(
    "ties_lost", "A cursor has milliseconds only: a page edge loses jobs of the same millisecond."
)
_rule("cancelled_jobs_stay", "A cancelled job can still be read, and says that it was cancelled.")
_rule("octet_stream_fails", "A video uploaded as application/octet-stream makes the job fail.")
_rule("foreign_media_422", "Media that was not uploaded to Krea is refused.", usual=False)
_rule("urls_as_objects", "Results are told as {type, url} objects.", usual=False)
_rule("urls_as_map", "Results are told as a map of names to URLs.", usual=False)
_rule("urls_as_video_url", "Results are told as result.video_url, as in old examples.", usual=False)
_rule("urls_at_top_level", "Results are told as urls beside result.", usual=False)
_rule("moderated_jobs_complete", "A blocked job completes with an empty result.", usual=False)
_rule("weak_etags", "Files have weak entity tags, which cannot vouch for a part.", usual=False)
_rule("ranges_ignored", "Files are sent whole although a part was asked for.", usual=False)
_rule("webhook_on_start", "A webhook also tells that a backlogged job has started.", usual=False)

# Changes to answers


@_quirk("message_key", "Errors are told under message instead of error.")
def _message_key(answer: Answer) -> None:
    gone = answer.status == HTTPStatus.GONE  # its documented body has both keys
    if answer.failed and answer.problem and isinstance(answer.body, dict) and not gone:
        rest = {name: value for name, value in answer.body.items() if name != "error"}
        answer.body = {"message": answer.problem, **rest}


@_quirk("error_as_object", "Errors are told as an object with code and message.", usual=False)
def _error_as_object(answer: Answer) -> None:
    if answer.failed and isinstance(answer.body, dict) and answer.problem:
        answer.body = {"error": {"code": f"http_{answer.status}", "message": answer.problem}}


@_quirk("error_as_details", "Errors are told as a list of {loc, msg, type}.", usual=False)
def _error_as_details(answer: Answer) -> None:
    if answer.failed and isinstance(answer.body, dict) and answer.problem:
        where, _, words = answer.problem.rpartition(": ")
        detail = {"loc": ["body", *where.split(".")], "msg": words, "type": "value_error"}
        answer.body = {"detail": [detail]}


@_quirk("type_of_job", "Jobs have an undeclared key type.")
def _type_of_job(answer: Answer) -> None:
    for job in answer.jobs:
        job["type"] = answer.job_type


@_quirk("empty_result", "A submit answers with result {} instead of null.")
def _empty_result(answer: Answer) -> None:
    if answer.submitted:
        for job in answer.jobs:
            job["result"] = {}


@_quirk("nulls_while_running", "A running job has result null, which is not declared nullable.")
def _nulls_while_running(answer: Answer) -> None:
    for job in answer.jobs:
        job.setdefault("completed_at", None)
        job.setdefault("result", None)


@_quirk("starts_processing", "A submit already answers processing.", usual=False)
def _starts_processing(answer: Answer) -> None:
    if answer.submitted:
        for job in answer.jobs:
            job["status"] = "processing" if job["status"] == "queued" else job["status"]


@_quirk(
    "short_submit", "A submit has three keys and a guess in words, as in old docs.", usual=False
)
def _short_submit(answer: Answer) -> None:
    if answer.submitted and isinstance(answer.body, dict):
        kept = {name: answer.body[name] for name in ("job_id", "status", "created_at")}
        answer.body = kept | {"estimated_time": "about 3 minutes"}


@_quirk("previews_while_running", "Previews appear in result while the job still runs.")
def _previews_while_running(answer: Answer) -> None:
    if not answer.submitted:
        for job in answer.jobs:
            if url := answer.previews.get(job.get("job_id", "")):
                job["result"] = {"urls": [{"type": "preview", "url": url}]}


@_quirk("error_in_result", "The reason of a failure is told in result.error.", usual=False)
def _error_in_result(answer: Answer) -> None:
    for job in answer.jobs:
        if error := job.pop("error", None):
            job["result"] = {"error": error.get("message", error["code"])}


@_quirk("silent_failure", "A failed job gives no reason.", usual=False)
def _silent_failure(answer: Answer) -> None:
    for job in answer.jobs:
        if job.get("status") == "failed":
            job.pop("error", None)
            job["result"] = {}


@_quirk("camel_case_cursor", "The cursor of a page is spelled nextCursor.", usual=False)
def _camel_case_cursor(answer: Answer) -> None:
    if isinstance(answer.body, dict) and "next_cursor" in answer.body:
        answer.body["nextCursor"] = answer.body.pop("next_cursor")


@_quirk("delete_204", "Deleting a job gives 204 and no body.", usual=False)
def _delete_204(answer: Answer) -> None:
    if answer.operation == "delete_job" and not answer.failed:
        answer.status, answer.body = 204, None


@_quirk("dated_deprecation", "A deprecation is told by its moment, as in RFC 9745.", usual=False)
def _dated_deprecation(answer: Answer) -> None:
    if "deprecation" in answer.headers:
        answer.headers["deprecation"] = "@1796083200"  # 2026-12-01


@_quirk("open_cors", "Answers allow every origin.")
def _open_cors(answer: Answer) -> None:
    answer.headers["access-control-allow-origin"] = "*"
