"""Calls to requests, answers to models: the only importer of the generated client.

The generated package is imported when it is first needed: it brings attrs and every model, and a
program that has only made a client should not have paid for them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from os import PathLike, fsdecode
from os.path import join
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from krea_aleph._checks import Pending, Problem, Schema, problems
from krea_aleph._files import MultipartFile, Source, is_object, kinds_taken
from krea_aleph._hosts import problem_with_input
from krea_aleph._notices import Caution, of_field, warn
from krea_aleph._steps import Request, Response
from krea_aleph.errors import InvalidRequestError, InvalidResponseError, KreaWarning, guess
from krea_aleph.models import YEARS, Asset, Checked, Job, Output, is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from krea_aleph._drift import Known, Unknown
    from krea_aleph.models import BucketAccess, JobRef, Media, Place
    from krea_aleph_api.options import AlephOptions as AlephOptions

_URL_SCHEMES: Final = ("https:", "http:", "data:")
_URL_TEXT: Final = re.compile(r"https?:[\x21-\x7e]+", re.IGNORECASE)
_WORD: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_OTHER_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# Runway counts UTF-16 units where the contract counts code points.
_LONGEST_PROMPT_UNITS: Final = 1000
_LONGEST_INTENT: Final = 500
# The operation that pays, by its id in the contract.
SUBMIT: Final = "create_aleph_job"
_NOTHING: Final[Mapping[Pending, Any]] = MappingProxyType({})
_VIDEO: Final = "video"
_PROMPT: Final = "prompt"


class Prepared(NamedTuple):
    """A request to start a job, checked; its files are inspected and not uploaded yet."""

    checked: Checked
    sources: Mapping[Pending, Source]
    warnings: tuple[str, ...]
    cautions: tuple[Caution, ...] = ()
    given: Mapping[Pending, Any] = _NOTHING
    output: Place | None = None

    def note(self) -> str:
        """Return what is kept of it for people to look at."""
        from krea_aleph.notes import asked, given
        from krea_aleph_api.constraints import PROMPT, VIDEO

        names = {place: given(file) for place, file in self.given.items()}
        return asked(_replace(self.checked.body, names), VIDEO, PROMPT, self.output)

    def warn(self) -> None:
        """Warn about what may go wrong, at the line of the caller."""
        for text in self.warnings:
            warn(text, KreaWarning)

    def digests(self) -> dict[str, str]:
        """Return a digest of each field, so that requests can be compared that nobody keeps."""
        asked = _with_contents(self.checked.body, self.sources)
        return {name: _digest(value) for name, value in asked.items()}

    def body(self, addresses: Mapping[Pending, str]) -> Mapping[str, Any]:
        """Return the body with the addresses that the files have got, by placeholder."""
        filled: Mapping[str, Any] = _replace(self.checked.body, addresses)
        return filled


class Draft(NamedTuple):
    """A request to start a job as far as it can be judged without looking at files.

    Attributes:
        body: The JSON body; files are placeholders in it.
        files: The files, by placeholder.
        warnings: What is let through and may go wrong.
        account: The label of the account that would pay.
        cautions: What works, and is going to end.
        intent: The intent that it is to be submitted under, if any.
        storage: How buckets are reached, if not as the environment says.
        given: The files as they were given, by placeholder.
        output: Where the result is to go, if it is to be saved.
    """

    body: Mapping[str, Any]
    files: Mapping[Pending, Any]
    warnings: tuple[str, ...]
    account: str
    cautions: tuple[Caution, ...] = ()
    intent: str | None = None
    storage: BucketAccess | None = None
    given: Mapping[Pending, Any] = _NOTHING
    output: Place | None = None

    def settled(self) -> Draft:
        """Return it with all inspected that has to be looked at once only. This blocks.

        That are streams, some of which can be read only once, and objects in buckets.

        Raises:
            InvalidRequestError: One cannot be uploaded.
        """
        files = {
            place: self._open(place, file) if hasattr(file, "read") or is_object(file) else file
            for place, file in self.files.items()
        }
        return self._replace(files=files)

    def _open(self, place: Pending, file: Any) -> Source:
        if isinstance(file, Source):
            return file
        return open_source(file, place.field, self.storage)

    def identity(self) -> str:
        """Return a digest that tells what is asked for, whatever files are called. This reads them.

        Times would not do: a checkout, a copy or `touch` gives the same clips new ones, and a
        catalogue would be paid for again.

        Raises:
            KreaError: A file cannot be read, or is none that can be uploaded.
        """
        contents = {place: self._open(place, file).sha256 for place, file in self.files.items()}
        return _digest([self.account, _replace(self.body, contents)])

    def digests(self) -> dict[str, str]:
        """Return a digest of each field as far as it can be told without looking at files."""
        return {name: _digest(value) for name, value in self.body.items()}

    def inspect(self) -> Prepared:
        """Open every file to see what it is. This blocks where there are files.

        Raises:
            InvalidRequestError: One cannot be uploaded.
        """
        sources = {place: self._open(place, file) for place, file in self.files.items()}
        for place, source in sources.items():
            if place.field == _VIDEO and not source.media_type.startswith("video/"):
                raise InvalidRequestError(
                    _VIDEO,
                    f"{source.name!r} is {source.media_type}, not a video",
                    hint=kinds_taken(_VIDEO),
                )
        checked = Checked(
            body=self.body,
            uploads={
                place.field: source.name
                for place, source in sources.items()
                if source.signed is None
            },
            fingerprint=_digest([self.account, _with_contents(self.body, sources)]),
            account=self.account,
            intent=self.intent,
        )
        return Prepared(checked, sources, self.warnings, self.cautions, self.given, self.output)


def draft(
    video: Media,
    prompt: str,
    options: Mapping[str, Any],
    *,
    extra_body: Mapping[str, Any] | None,
    checks: str,
    account: str,
    intent: str | None = None,
    nearby: bool = True,
    storage: BucketAccess | None = None,
) -> Draft:
    """Check a request as far as it goes without looking at files.

    ``nearby`` says that the server may reach what only this network can, and ``storage`` how
    buckets are reached.

    Raises:
        InvalidRequestError: It cannot be sent as it is.
    """
    from krea_aleph_api.constraints import ALEPH_REQUEST, PROMPT, VIDEO, WIRE_NAMES

    _check_prompt(prompt)
    _check_intent(intent)
    _check_mapping(extra_body or {})
    for taken, ours in ((VIDEO, _VIDEO), (PROMPT, _PROMPT)):
        if taken in options:
            raise InvalidRequestError(taken, f"it is the argument {ours!r} here")
    wire = {WIRE_NAMES.get(name, name): value for name, value in options.items()}
    names = {**wire_spellings(), VIDEO: _VIDEO, PROMPT: _PROMPT}
    collector = _Media()
    body = {
        VIDEO: collector.address(video, _VIDEO),
        PROMPT: prompt,
        **{
            name: collector.walk(
                ALEPH_REQUEST["properties"].get(name, {}), value, names.get(name, name)
            )
            for name, value in wire.items()
        },
        **(extra_body or {}),
    }
    properties: Mapping[str, Any] = ALEPH_REQUEST["properties"]
    known = [names.get(name, name) for name in properties]
    found = [
        _as_asked(problem, names, known)
        for problem in problems(ALEPH_REQUEST, body)
        if not (problem.unknown_field and problem.field in (extra_body or {}))
    ]
    warnings = (
        *_enforced(found, checks, _old_contract),
        *_enforced([] if nearby else collector.private, checks, _out_of_reach),
        *_prompt_warnings(prompt),
    )
    for name, value in body.items():
        _check_json(names.get(name, name), value)
    told = set() if checks == "off" else {problem.field for problem in found}
    cautions = (*_deprecated(body, names), *_renamed(body.keys() - told, names))
    files = collector.files
    return Draft(body, files, warnings, account, cautions, intent, storage, given=files)


class _Media:
    """Turns media values into addresses or placeholders, and collects the files behind them."""

    def __init__(self) -> None:
        self.files: dict[Pending, Any] = {}
        self.private: list[Problem] = []

    def walk(self, schema: Schema, value: Any, field: str) -> Any:
        """Return a value in which every media URI of the schema is an address or a placeholder."""
        try:
            return self._walk(schema, value, field)
        except RecursionError:
            raise InvalidRequestError(field, "it contains itself") from None

    def _walk(self, schema: Schema, value: Any, field: str) -> Any:
        schema = {} if isinstance(schema, bool) else schema
        if schema.get("media") and value is not None:
            return self.address(value, field)
        for keyword in ("anyOf", "oneOf", "allOf"):
            for branch in schema.get(keyword, ()):
                value = self._walk(branch, value, field)
        if isinstance(value, dict):
            properties = schema.get("properties", {})
            return {
                name: self._walk(properties.get(name, {}), entry, f"{field}.{name}")
                for name, entry in value.items()
            }
        if isinstance(value, (list, tuple)):
            items = schema.get("items", {})
            return [
                self._walk(items, entry, f"{field}[{index}]") for index, entry in enumerate(value)
            ]
        return value

    def address(self, value: Any, field: str) -> str:
        """Return the address of a media value, or the placeholder of its file."""
        if isinstance(value, (Pending, Asset)):
            return value.url if isinstance(value, Asset) else value
        if is_url(value):
            url = _checked_url(value, field)
            problem = problem_with_input(url)
            self.private += [] if problem is None else [Problem(field, problem)]
            return url
        if is_object(value):
            from krea_aleph._objects import parse_object

            parse_object(value, field)  # which says what is wrong, before anything is looked at
        placeholder = Pending(field)
        self.files[placeholder] = value
        return placeholder


class _Rooted(_Media):
    """Turns relative paths of media into paths below a folder; all else stays what it is."""

    def __init__(self, root: str) -> None:
        super().__init__()
        self._root = root

    def address(self, value: Any, field: str) -> Any:
        """Return a media value, a relative path below the folder."""
        _check_media(value, field)
        if is_url(value) or (isinstance(value, str) and _OTHER_SCHEME.match(value)):
            return value
        if isinstance(value, (str, PathLike)):
            return join(self._root, fsdecode(value))  # noqa: PTH118 - a Path would make "./a:b" a URL
        return value


def rooted(video: Any, options: Mapping[str, Any], root: str) -> tuple[Any, dict[str, Any]]:
    """Return what a request is made of, with relative paths taken to be below a folder.

    Raises:
        InvalidRequestError: What stands for media can be none.
    """
    schemas, media = option_schemas(), _Rooted(root)
    walked = {name: media.walk(schemas[name], value, name) for name, value in options.items()}
    return media.address(video, _VIDEO), walked


@cache
def option_schemas() -> Mapping[str, Schema]:
    """Return the constraints of each option, by the name that it has in `AlephOptions`."""
    from krea_aleph_api.constraints import ALEPH_REQUEST, PROMPT, VIDEO

    names = wire_spellings()
    properties: Mapping[str, Schema] = ALEPH_REQUEST["properties"]
    return {
        names.get(name, name): schema
        for name, schema in properties.items()
        if name not in {PROMPT, VIDEO}
    }


@cache
def wire_spellings() -> Mapping[str, str]:
    """Return our name of each option that upstream spells otherwise, by that spelling."""
    from krea_aleph_api.constraints import WIRE_NAMES

    return {wire_name: name for name, wire_name in WIRE_NAMES.items()}


def renamed(name: str) -> str:
    """Say what has become of the old name of a field; nothing of any other name."""
    return _new_name(name, wire_spellings())


def open_source(value: Any, field: str, storage: BucketAccess | None = None) -> Source:
    """Inspect a file that is to be uploaded, or an object in a bucket.

    Raises:
        InvalidRequestError: It is no file that can be.
    """
    if isinstance(value, Asset) or is_url(value):
        raise InvalidRequestError(
            field, "it has an address already", hint="Pass it to submit or transform as it is."
        )
    if is_object(value):
        from krea_aleph._objects import ObjectSource

        return ObjectSource(field, value, storage)
    if isinstance(value, str) and _OTHER_SCHEME.match(value):
        scheme = value.partition(":")[0]
        raise InvalidRequestError(
            field,
            f"{scheme}:// is not supported",
            hint="Give an https, s3, gs or az URL, or a local path.",
        )
    _check_media(value, field)
    return Source.open(field, value)


def _check_media(value: Any, field: str) -> None:
    kinds = (bytes, bytearray, bool, int, float, list, tuple, dict)
    if value == "" or value is None or isinstance(value, kinds):
        kind = "an empty text" if value == "" else type(value).__name__
        raise InvalidRequestError(
            field,
            f"{kind} is no media",
            hint="Give a URL, a path, an open binary file or an asset.",
        )


def is_url(value: object) -> bool:
    """Whether a media value is an address, and no path."""
    return isinstance(value, str) and value[:6].lower().startswith(_URL_SCHEMES)


def _checked_url(url: str, field: str) -> str:
    if url.startswith("data:"):
        return url
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise InvalidRequestError(field, f"{url[:200]!r} is no URL with a host")
    return url


def _check_prompt(prompt: object) -> None:
    if not isinstance(prompt, str):
        raise InvalidRequestError(_PROMPT, f"a str is needed, not {type(prompt).__name__}")
    if not prompt.strip():
        raise InvalidRequestError(_PROMPT, "it is blank", hint="Say what the video should become.")
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            _PROMPT, f"character {error.start} is half of a surrogate pair"
        ) from error


def _check_intent(intent: object) -> None:
    good = intent is None or (isinstance(intent, str) and bool(intent) and intent.isprintable())
    if not good or len(str(intent)) > _LONGEST_INTENT:
        raise InvalidRequestError(
            "intent",
            f"{str(intent)[:80]!r} is no printable text of 1 to {_LONGEST_INTENT} characters",
            hint="Name what is wanted, such as 'shot-17', the same each time it is tried.",
        )


def _prompt_warnings(prompt: str) -> Iterator[str]:
    units = len(prompt.encode("utf-16-le")) // 2
    if units > _LONGEST_PROMPT_UNITS >= len(prompt):
        yield (
            f"prompt: {units} UTF-16 units are more than the {_LONGEST_PROMPT_UNITS} that the model"
            " behind Krea reads (an emoji counts two); it may refuse or cut it."
        )


def _check_mapping(extra_body: object) -> None:
    if not isinstance(extra_body, Mapping) or not all(isinstance(key, str) for key in extra_body):
        raise InvalidRequestError("extra_body", "it is no mapping of names to values")


def _check_json(field: str, value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(field, f"it is no JSON: {error}") from error


def _enforced(found: Sequence[Problem], checks: str, advice: Callable[[], str]) -> Iterator[str]:
    """Raise or yield what cannot work, as ``checks`` says."""
    if not found or checks == "off":
        return
    hint = advice()
    if checks == "error":
        raise InvalidRequestError(found[0].field, found[0].text, hint=hint)
    for problem in found:
        yield f"{problem.field}: {problem.text}. {hint}"


def _old_contract() -> str:
    from krea_aleph.contract import pinned

    return (
        f"So says the contract of {pinned().date}; if Krea has changed since, pass"
        ' extra_body={...} or checks="warn".'
    )


def _out_of_reach() -> str:
    return (
        "Krea fetches clips from the internet. Give a path, and the file is uploaded; or pass"
        ' checks="warn" if your Krea can reach it.'
    )


def _as_asked(problem: Problem, names: Mapping[str, str], known: Sequence[str]) -> Problem:
    """Return a problem in the words of the call, with a guess at what a misspelt option meant."""
    field = _outer(problem.field, names)
    if not problem.unknown_field or field != problem.field:
        return problem._replace(field=field)
    if new_name := _new_name(field, names):
        return problem._replace(text=new_name)
    options = sorted(set(known) - {_VIDEO, _PROMPT})
    asked = guess(field, options)
    return problem._replace(text=f"it is none of the options {', '.join(options)}{asked}")


def _deprecated(body: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[Caution]:
    """Yield each field in use that the contract marks as deprecated."""
    from krea_aleph_api.constraints import ALEPH_REQUEST

    for place in dict.fromkeys(_marked(ALEPH_REQUEST, body, "")):
        words = "Krea has marked this field as deprecated"
        yield of_field(SUBMIT, _outer(place, names), "deprecated", words)


def _marked(schema: Schema, value: object, place: str) -> Iterator[str]:
    if isinstance(schema, bool):
        return
    for keyword in ("anyOf", "oneOf", "allOf"):
        for branch in schema.get(keyword, ()):
            yield from _marked(branch, value, place)
    if isinstance(value, Mapping):
        for name, child in schema.get("properties", {}).items():
            if name in value and child is not True and child:
                inside = f"{place}.{name}" if place else name
                yield from [inside] if child.get("deprecated") else []
                yield from _marked(child, value[name], inside)
    elif isinstance(value, (list, tuple)) and "items" in schema:
        for entry in value:
            yield from _marked(schema["items"], entry, f"{place}[]")


def _renamed(given: Iterable[str], names: Mapping[str, str]) -> Iterator[Caution]:
    """Yield each name that a field had before and that goes out all the same."""
    for name in sorted(given):
        if new_name := _new_name(name, names):
            yield of_field(SUBMIT, name, "renamed", new_name)


def _new_name(field: str, names: Mapping[str, str]) -> str:
    """Say what has become of the old name of a field; nothing of any other name."""
    from krea_aleph_api.constraints import ALEPH_REQUEST, FIELD_ALIASES

    alias = FIELD_ALIASES.get(field)
    if alias is None or field in ALEPH_REQUEST["properties"]:
        return ""
    until = f"; the old name is accepted until {alias.sunset}" if alias.sunset else ""
    reason = f" ({alias.reason.rstrip('.')})" if alias.reason else ""
    page = f"; see {alias.url}" if alias.url else ""
    return f"it was renamed to {names.get(alias.name, alias.name)!r}{reason}{until}{page}"


def _outer(field: str, names: Mapping[str, str]) -> str:
    """Return a field as the caller wrote it: the facade has its own name for some."""
    head = re.match(r"[^.\[]*", field)
    name = head[0] if head else field
    return names.get(name, name) + field[len(name) :]


def _with_contents(body: Mapping[str, Any], sources: Mapping[Pending, Source]) -> dict[str, Any]:
    """Return what was asked for; of a file its content counts, not its name."""
    contents = {placeholder: source.sha256 for placeholder, source in sources.items()}
    asked: dict[str, Any] = _replace(body, contents)
    return asked


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def _replace(value: Any, found: Mapping[Pending, str]) -> Any:
    """Return a value with its placeholders filled; a prompt that looks like one stays."""
    if isinstance(value, Pending):
        return found[value]
    if isinstance(value, dict):
        return {name: _replace(entry, found) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replace(entry, found) for entry in value]
    return value


def submit_request(body: Mapping[str, Any], webhook_url: str | None) -> Request:
    """Return the request that starts a paid job.

    It goes by the operation table, not by the generated model, which would drop what
    ``extra_body`` adds.
    """
    headers = {} if webhook_url is None else {"x-webhook-url": webhook_url}
    return _by_table(SUBMIT, headers=headers, json=body)


def check_webhook_url(url: str | None) -> None:
    """Refuse what Krea could not call.

    Raises:
        InvalidRequestError: It is no http or https URL.
    """
    if url is not None:
        if not _URL_TEXT.fullmatch(str(url)):
            raise InvalidRequestError(
                "webhook_url",
                f"{url!r} is no http or https URL",
                hint="It looks like https://example.com/hook, in plain ASCII.",
            )
        _checked_url(url, "webhook_url")


def upload_request(source: Source) -> Request:
    """Return the request that uploads a file; its body is streamed, so it goes by the table."""
    return _by_table("upload_asset", body=MultipartFile(source))


def _by_table(operation: str, **parts: Any) -> Request:
    from krea_aleph_api.operations import OPERATIONS

    entry = OPERATIONS[operation]
    return Request(operation, entry.method, entry.path, **parts)


def get_job_request(job_id: str) -> Request:
    """Return the request for one job."""
    from krea_aleph_api.api.jobs import get_job

    return _request("get_job", get_job.request_kwargs(id=job_id))


def delete_job_request(job_id: str) -> Request:
    """Return the request that cancels a job: Krea's documentation uses DELETE for that."""
    from krea_aleph_api.api.jobs import delete_job

    return _request("delete_job", delete_job.request_kwargs(id=job_id))


def list_jobs_request(
    *, cursor: str | None, limit: int, status: str | None, types: Sequence[str]
) -> Request:
    """Return the request for one page of jobs."""
    asked: list[tuple[str, Sequence[Any]]] = [("types", types)]
    asked += [] if status is None else [("status", [status])]
    for name, words in asked:
        for word in words:
            if not isinstance(word, str) or not _WORD.fullmatch(word):
                raise InvalidRequestError(name, f"{word!r} is no {name}")
    return _page_request("list_jobs", cursor, limit, status=status, types=",".join(types))


def fleet_request(created: float | None, limit: int, *, compared: bool) -> Request:
    """Return the request for the page that begins at a job, newest first.

    Args:
        created: When the job was created, in Unix seconds.
        limit: How many jobs to ask for.
        compared: Whether the answer is to be held against the contract: that takes its time for
            pages of a thousand jobs, and once is enough.
    """
    # The cursor shows jobs from before it, and may be read to the millisecond only.
    before = None if created is None else datetime.fromtimestamp(created + 0.002, UTC)
    cursor = None if before is None else before.isoformat(timespec="milliseconds")
    request = _page_request("list_jobs", cursor and cursor.replace("+00:00", "Z"), limit)
    return request._replace(compared=compared)


def list_assets_request(*, cursor: str | None, limit: int) -> Request:
    """Return the request for one page of assets."""
    return _page_request("list_assets", cursor, limit)


def _page_request(operation: str, cursor: str | None, limit: int, **more: str | None) -> Request:
    """Return the request for a page, by the table: which parameters there are may change."""
    params = {"cursor": cursor, "limit": limit, **more}
    return _by_table(operation, params={name: value for name, value in params.items() if value})


def get_asset_request(asset_id: str) -> Request:
    """Return the request for one asset."""
    from krea_aleph_api.api.assets import get_asset

    return _request("get_asset", get_asset.request_kwargs(id=asset_id))


def delete_asset_request(asset_id: str) -> Request:
    """Return the request that deletes an asset."""
    from krea_aleph_api.api.assets import delete_asset

    return _request("delete_asset", delete_asset.request_kwargs(id=asset_id))


def _request(operation: str, kwargs: Mapping[str, Any]) -> Request:
    params = kwargs.get("params", {})
    return Request(operation, kwargs["method"].upper(), kwargs["url"], params=params)


def job_id(ref: JobRef, account: str) -> str:
    """Return the id that a job or an id names.

    Raises:
        InvalidRequestError: It is no id, or the job is another account's.
    """
    if isinstance(ref, Job) and ref.account != account:
        raise InvalidRequestError(
            "job",
            f"it belongs to the account {ref.account!r}, and this client acts for {account!r}",
            hint="Use the client of that account.",
        )
    return _checked_id("job", ref.id if isinstance(ref, Job) else ref)


def asset_id(ref: Asset | str, account: str) -> str:
    """Return the id that an asset or an id names.

    Raises:
        InvalidRequestError: It is no id, or the asset is another account's.
    """
    if isinstance(ref, Asset) and ref.account != account:
        raise InvalidRequestError(
            "asset", f"it belongs to the account {ref.account!r}, not {account!r}"
        )
    return _checked_id("asset", ref.id if isinstance(ref, Asset) else ref)


def _checked_id(field: str, value: object) -> str:
    if not is_id(value):
        shown = repr(value)[:100]
        raise InvalidRequestError(field, f"{shown} is no id", hint="Give one that Krea gave out.")
    return value


def unknown_in(operation: str, status: int, content: Any) -> list[Unknown]:
    """Return what an answer has that the pinned contract does not know."""
    return _known().unknown_in(operation, status, content)


@cache
def _known() -> Known:
    from krea_aleph._drift import Known
    from krea_aleph_api.answers import ANSWERS, SHAPES, WORDS

    return Known(ANSWERS, SHAPES, WORDS)


def read_job(
    response: Response, operation: str, account: str, moment: float, *, asked: str | None = None
) -> Job:
    """Return the job of an answer.

    Raises:
        InvalidResponseError: There is none in it, or not the one that was asked about: whoever
            believed it would hand out somebody else's video.
    """
    job = _job(_object(response, operation), account, moment)
    if job is None:
        raise InvalidResponseError(operation, "it has no usable job_id", response.body)
    if asked not in {None, job.id}:
        raise InvalidResponseError(operation, f"it is about {job.id}, not {asked}", response.body)
    return job


class Page(NamedTuple):
    """One page of a list, and the cursor of the next."""

    items: tuple[Any, ...]
    cursor: str | None


def read_job_page(response: Response, account: str, moment: float) -> Page:
    """Return a page of jobs; entries without an id are passed over.

    Raises:
        InvalidResponseError: It is no page.
    """
    return _page(response, "list_jobs", lambda raw: _job(raw, account, moment))


def read_rows(response: Response) -> list[dict[str, Any]]:
    """Return the jobs of a page as they came: most say nothing new, and are read no further.

    Raises:
        InvalidResponseError: It is no page.
    """
    page = _page(response, "list_jobs", lambda raw: raw if is_id(raw.get("job_id")) else None)
    return list(page.items)


def job_of(row: dict[str, Any], account: str, moment: float) -> Job:
    """Return the job of a row that has an id."""
    job = _job(row, account, moment)
    assert job is not None, row  # noqa: S101 - read_rows has seen to it
    return job


def read_asset_page(response: Response, account: str) -> Page:
    """Return a page of assets; entries without an id or an address are passed over.

    Raises:
        InvalidResponseError: It is no page.
    """
    return _page(response, "list_assets", lambda raw: _asset(raw, account))


def read_asset(response: Response, operation: str, account: str) -> Asset:
    """Return the asset of an answer.

    Raises:
        InvalidResponseError: There is none in it.
    """
    asset = _asset(_object(response, operation), account)
    if asset is None:
        raise InvalidResponseError(operation, "it has no usable id and image_url", response.body)
    return asset


def _page(response: Response, operation: str, read: Callable[[dict[str, Any]], Any]) -> Page:
    raw = _object(response, operation)
    entries = raw.get("items")
    if not isinstance(entries, list):
        raise InvalidResponseError(operation, "it has no list of items", response.body)
    found = (read(entry) for entry in entries if isinstance(entry, dict))
    # An older page of the documentation spells it the other way.
    cursor = _text(raw.get("next_cursor") or raw.get("nextCursor"))
    if cursor is not None and not cursor.isprintable():  # half of a surrogate pair, for instance
        raise InvalidResponseError(operation, "its next_cursor cannot be sent", response.body)
    return Page(tuple(item for item in found if item is not None), cursor)


def _object(response: Response, operation: str) -> dict[str, Any]:
    raw = response.content
    if raw is None:
        try:
            raw = json.loads(response.body)
        except (ValueError, RecursionError):
            raise InvalidResponseError(operation, "it is no JSON", response.body) from None
    if not isinstance(raw, dict):
        raise InvalidResponseError(operation, "it is no JSON object", response.body)
    return raw


def _job(raw: dict[str, Any], account: str, moment: float) -> Job | None:
    job_id = raw.get("job_id")
    if not is_id(job_id):
        return None
    code, message = _failure(raw)
    return Job(
        id=job_id,
        status=_text(raw.get("status")) or "unknown",
        account=account,
        created_at=moment_of(raw.get("created_at")),
        completed_at=moment_of(raw.get("completed_at")),
        outputs=tuple(dict.fromkeys(_outputs(raw))),
        error_code=code,
        error_message=message,
        fetched_at=moment,
        raw=raw,
    )


def _asset(raw: dict[str, Any], account: str) -> Asset | None:
    asset_id = raw.get("id")
    # The field is called image_url even for a video.
    url = _text(raw.get("image_url")) or _text(raw.get("url"))
    if not is_id(asset_id) or url is None:
        return None
    return Asset(
        id=asset_id,
        url=url,
        account=account,
        media_type=_text(raw.get("mime_type")),
        size_bytes=_whole(raw.get("size_bytes")),
        width=_whole(raw.get("width")),
        height=_whole(raw.get("height")),
        uploaded_at=moment_of(raw.get("uploaded_at")),
        raw=raw,
    )


def _outputs(raw: Mapping[str, Any]) -> Iterator[Output]:
    """Yield the outputs in every form that Krea has used for them.

    Strings; objects with a type; a map of strings, for node apps; and on old pages of the
    documentation a video_url, or urls outside of the result.
    """
    result = raw.get("result")
    inside = result if isinstance(result, dict) else {"urls": result}
    found = list(_urls(inside.get("urls"), "model"))
    found = found or list(_urls(inside.get("video_url") or inside.get("url"), "model"))
    yield from found or _urls(raw.get("urls"), "model")
    yield from _urls(inside.get("thumbnail_url"), "preview")


def _urls(value: object, kind: str) -> Iterator[Output]:
    if isinstance(value, str) and value:
        yield Output(value, kind)
    elif isinstance(value, list):
        for entry in value:
            if isinstance(entry, str) or (isinstance(entry, dict) and "url" in entry):
                yield from _urls(entry, kind)
    elif isinstance(value, dict):
        if isinstance(value.get("url"), str):
            yield Output(value["url"], _text(value.get("type")) or kind)
        else:
            for entry in value.values():
                if isinstance(entry, str):
                    yield from _urls(entry, kind)


def _failure(raw: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return code and words of a failure: the description has them on top, the prose in result."""
    result = raw.get("result")
    nested = result.get("error") if isinstance(result, dict) else None
    error = raw.get("error") or nested
    if isinstance(error, dict):
        code = error.get("code")
        return (str(code) if isinstance(code, (str, int)) else None), _text(error.get("message"))
    return None, _text(error)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, float | int) and value == value // 1 else None


def moment_of(value: object) -> datetime | None:
    """Return the time that a value means, if any; one without a zone is in UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if moment is None or moment.year not in YEARS:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def __getattr__(name: str) -> object:
    """Give `AlephOptions`, which only annotations here name, to those who ask at run time."""
    if name == "AlephOptions":
        from krea_aleph_api.options import AlephOptions

        return AlephOptions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
