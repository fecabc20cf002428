"""Buckets, through obstore: what is read, written and signed there, and what a refusal means.

What a store says is never passed on: it may hold signatures, ids of keys and addresses of inner
services. Of it remain a status, a code, and words of our own.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import suppress
from datetime import timedelta
from queue import SimpleQueue
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from krea_aleph.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krea_aleph.models import BucketAccess, ObjectAddress

T = TypeVar("T")
Kind: TypeAlias = Literal["missing", "refused", "changed", "exists", "unsupported", "failed"]

JOB: Final = "kreajob"
SHA256: Final = "kreasha256"
_TYPE: Final = "Content-Type"
_PART_BYTES: Final = 5 * 2**20  # the least that stores take
_PARTS_AT_ONCE: Final = 2
# Seconds that are spent on giving up what is half written, as on all cleaning up.
_LONGEST_DROP: Final = 5.0
_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_SLOW: Final = re.compile(r"TimedOut|timed out|Timeout")
# The name of what pyo3 raises when Rust gives up: no Exception, and of no module to import it from.
_PANIC: Final = "PanicException"
_AZURE: Final = "az"
_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9._~/-]+")
_EMPTY: Final = "416"
_FORBIDDEN: Final = frozenset(
    {
        *("401", "403", "PermissionDeniedError", "UnauthenticatedError"),
        *("ExpiredToken", "InvalidToken", "TokenRefreshRequired"),  # which come with 400
    }
)
_FAILED_HINT: Final = "Call again when the store can be reached."
_SLOW_HINT: Final = (
    f"{_FAILED_HINT} On a slow line let a request take longer: AWS_TIMEOUT=120s, or timeout in"
    " client_options."
)


_MISSING: Final[tuple[Kind, str, str]] = (
    "missing",
    "does not exist",
    "Check the key, letter by letter.",
)
_UNASKABLE: Final[tuple[Kind, str, str]] = (
    "refused",
    "has a key that cannot be asked for",
    "Use another key.",
)
_UNSUPPORTED: Final[tuple[Kind, str, str]] = (
    "unsupported",
    "is in a store that cannot do this",
    "",
)
# What errors of obstore's mean by what is in their texts.
_BY_TEXT: Final[tuple[tuple[re.Pattern[str], tuple[Kind, str, str]], ...]] = (
    (
        re.compile("source: BadScheme"),
        (
            "refused",
            "is at an unencrypted address, which has to be allowed",
            "For a store of your own: AWS_ALLOW_HTTP=true, or allow_http in client_options.",
        ),
    ),
    (
        # Where clouds tell their machines' credentials: asked when the environment has none.
        re.compile(r"169\.254\.\d+\.\d+|metadata\.google|MissingCredential|CredentialsNotLoaded"),
        (
            "refused",
            "is asked for without credentials",
            "Put credentials into the environment, or give a store to the client's storage=.",
        ),
    ),
    (
        re.compile("<Code>(NoSuchBucket|ContainerNotFound)</Code>"),
        ("refused", "is in no bucket that exists", "Check the name of the bucket."),
    ),
    (
        re.compile(
            "redirect without LOCATION|PermanentRedirect|TemporaryRedirect"
            "|AuthorizationHeaderMalformed"
        ),
        (
            "refused",
            "is in another region than the one that was asked",
            "Set AWS_REGION to the bucket's own, or give its store to the client's storage=.",
        ),
    ),
)
# And by their names, some of which are Python's own, or by the status.
_BY_NAME: Final[Mapping[str, tuple[Kind, str, str]]] = {
    "FileNotFoundError": _MISSING,
    "NotFoundError": _MISSING,
    "PreconditionError": ("changed", "has changed since it was checked", ""),
    "AlreadyExistsError": ("exists", "exists", ""),
    "NotSupportedError": _UNSUPPORTED,
    "NotImplementedError": _UNSUPPORTED,
    "501": _UNSUPPORTED,
    "ValueError": _UNASKABLE,
    "InvalidPathError": _UNASKABLE,
    _PANIC: (
        "refused",
        "cannot be asked for as its store is configured",
        "Look for a line break in its settings or in the environment, and at the endpoint.",
    ),
}


# The processes that have used obstore; a forked one has those of its parents in here.
_USED_IN: Final[set[int]] = set()


class Fault(Exception):  # noqa: N818 - never raised to users, who get an error of ours
    """A store did not do what it was asked for.

    Attributes:
        kind: What that means.
        words: The same for a person, to be put behind the address.
        hint: What to do about it.
    """

    def __init__(self, kind: Kind, words: str, hint: str = "") -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words
        self.hint = hint


class Facts(NamedTuple):
    """What a store says of an object.

    Attributes:
        size: Its size in bytes.
        version: What is another text when it is another object: its ETag, or when it was written.
        etag: Its ETag, if the store has any.
        job: The job that it is a result of, if one of ours wrote it.
        sha256: What it hashes to, likewise.
    """

    size: int
    version: str
    etag: str | None
    job: str | None
    sha256: str | None


class Buckets:
    """The buckets of one client. Methods block; any thread may call them.

    Args:
        storage: How they are reached; None for what the environment says.
    """

    def __init__(self, storage: BucketAccess | None) -> None:
        from krea_aleph.storage import FROM_ENVIRONMENT  # noqa: PLC0415 - lies above: see there

        self._storage = storage or FROM_ENVIRONMENT

    @property
    def presign(self) -> float | None:
        """For how many seconds clips are signed; None where they are uploaded."""
        return self._storage.presign

    def facts(self, address: ObjectAddress) -> Facts | None:
        """Return what there is at an address; None if there is nothing.

        Raises:
            Fault: The store does not say.
        """
        try:
            return self._perform(address, lambda obs, at: _facts(_head(obs, at, address)))
        except Fault as fault:
            if fault.kind != "missing":
                raise
            return None

    def read(
        self, address: ObjectAddress, start: int, stop: int, like: Facts | None = None
    ) -> tuple[Facts, bytes]:
        """Return a stretch of an object, and what there is.

        Args:
            address: Where it is.
            start: Where the stretch begins.
            stop: Where it ends, unless the object does before.
            like: What the object has to be still.

        Raises:
            Fault: It cannot be read, or has changed.
        """
        options: dict[str, Any] = {"range": (start, stop)}
        if like is not None and like.etag:
            options["if_match"] = like.etag

        def ask(obs: Any, store: Any) -> tuple[Facts, bytes]:
            found = obs.get(store, address.key, options=options)
            facts = _facts(found)
            if like is not None and (facts.size, facts.version) != (like.size, like.version):
                raise Fault("changed", "has changed since it was checked")
            return facts, bytes(found.bytes())

        return self._perform(address, ask)

    def put(
        self,
        address: ObjectAddress,
        data: bytes | bytearray,
        attributes: Mapping[str, str],
        *,
        new: bool,
    ) -> None:
        """Write an object in one go.

        Args:
            address: Where.
            data: Its content.
            attributes: What is noted of it.
            new: Whether it must not be there yet.

        Raises:
            Fault: It was not written, or is there already.
        """
        mode = "create" if new else "overwrite"
        self._perform(
            address,
            lambda obs, store: obs.put(
                store,
                address.key,
                data,
                attributes=dict(attributes),
                mode=mode,
                use_multipart=False,
            ),
        )

    def writer(self, address: ObjectAddress, attributes: Mapping[str, str]) -> Writer:
        """Begin an object that is written in parts, and is not there before the last one is.

        Raises:
            Fault: It cannot be begun.
        """
        file = self._perform(
            address,
            lambda obs, store: obs.open_writer(
                store,
                address.key,
                attributes=dict(attributes),
                buffer_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            ),
        )
        return Writer(file)

    def check_writable(self, address: ObjectAddress) -> None:
        """Begin an object and drop it: nobody sees that, and who may not write is told now.

        Azure is not asked when an object is begun, so that there it is looked for, which tells at
        least whether the container is there.

        Raises:
            Fault: Nothing can be written there.
        """
        if address.scheme == _AZURE:
            self._check_container(address)
            return

        def ask(obs: Any, store: Any) -> None:
            with suppress(_Enough):
                obs.put(store, address.key, iter(_enough, b""), use_multipart=True)

        self._perform(address, ask)

    def _check_container(self, address: ObjectAddress) -> None:
        try:
            self.read(address, 0, 1)
        except Fault as fault:
            if fault.kind != "missing":
                raise

    def sign(self, address: ObjectAddress, seconds: float) -> str:
        """Return an address that whoever has it can fetch an object from, for some time.

        Raises:
            Fault: The store does not sign.
        """
        if address.scheme == _AZURE and not _PLAIN_KEY.fullmatch(address.key):
            # obstore 0.12 signs the key as the address spells it, Azure checks the key itself.
            words = "has a key with characters for which no address can be signed in Azure"
            raise Fault("unsupported", words)

        def ask(obs: Any, store: Any) -> str:
            if not hasattr(store, "config"):
                raise Fault("unsupported", "is in a store that signs no addresses")
            return str(obs.sign(store, "GET", address.key, timedelta(seconds=seconds)))

        return self._perform(address, ask)

    def _perform(self, address: ObjectAddress, function: Callable[[Any, Any], T]) -> T:
        store = self._storage.store(f"{address.scheme}://{address.bucket}")
        _check_process()
        import obstore  # noqa: PLC0415 - heavy, and there: the store is of its making

        return _translating(lambda: function(obstore, store))


class Writer:
    """An object that is being written."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: bytes | bytearray) -> None:
        """Write more.

        Raises:
            Fault: It did not work.
        """
        _translating(lambda: self._file.write(data))

    def finish(self) -> None:
        """Let the object be there.

        Raises:
            Fault: It did not work.
        """
        _translating(self._file.close)

    def drop(self) -> None:
        """Give it up, as far as the store lets us: what was sent is in nobody's sight.

        A write that is still under way comes first; nobody waits long for that.
        """
        dropping = threading.Thread(target=self._drop, name="krea-bucket", daemon=True)
        dropping.start()
        dropping.join(_LONGEST_DROP)

    def _drop(self) -> None:
        with suppress(Exception):  # whatever it is, what is left is in nobody's sight
            self._file.__exit__(_Enough, _Enough(), None)


class _Enough(Exception):  # noqa: N818 - nobody's error
    """Ends a writing that is not to be finished."""


def _check_process() -> None:
    """Refuse what would hang for ever: obstore's own threads are not in a forked process.

    Raises:
        ConfigError: They are in a parent of this process.
    """
    _USED_IN.add(os.getpid())
    if len(_USED_IN) > 1:
        message = "storage: buckets were used before this process was forked."
        hint = "Start processes with spawn, or use buckets in the children only."
        raise ConfigError(message, hint=hint)


def _enough() -> bytes:
    raise _Enough


def attributes(media_type: str | None, job: str, sha256: str | None = None) -> Mapping[str, str]:
    """Return what is noted of a result: who looks at the bucket sees what it is and whose."""
    found = {_TYPE: media_type or "application/octet-stream", JOB: job}
    return found if sha256 is None else {**found, SHA256: sha256}


def _head(obs: Any, store: Any, address: ObjectAddress) -> Any:
    return obs.get(store, address.key, options={"head": True})


def _facts(found: Any) -> Facts:
    meta, noted = found.meta, found.attributes
    etag = meta.get("e_tag")
    return Facts(
        size=int(meta["size"]),
        version=str(etag or meta.get("version") or meta.get("last_modified")),
        etag=etag,
        job=noted.get(JOB),
        sha256=noted.get(SHA256),
    )


def _translating(function: Callable[[], T]) -> T:
    """Call what obstore does, and raise what it raises as a fault.

    That happens behind the handler, so that nothing of the store's words is on the fault.

    Raises:
        Fault: It did not work.
    """
    try:
        return _apart(function)
    except Fault:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        fault = _fault(error)
    raise fault


def _apart(function: Callable[[], T]) -> T:
    """Call what blocks beside the main thread, which alone hears of signals and has to hear them.

    Who is interrupted leaves the call behind; it ends with the store's own timeout.
    """
    if threading.current_thread() is not threading.main_thread():
        return function()
    answers: SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = SimpleQueue()

    def work() -> None:
        try:
            answers.put((function(), None))
        except BaseException as error:  # noqa: BLE001 - raised by who waits for it
            answers.put((None, error))

    threading.Thread(target=work, name="krea-bucket", daemon=True).start()
    found, error = answers.get()
    if error is not None:
        raise error
    return found  # type: ignore[return-value]  # there is one where there is no error


def _fault(error: BaseException) -> Fault:
    """Return what an error of obstore's means, in words of our own."""
    name, text = type(error).__name__, str(error)
    told = next((meaning for pattern, meaning in _BY_TEXT if pattern.search(text)), None)
    if told is not None:
        return Fault(*told)
    status, code = _first(_STATUS, text), _first(_CODE, text)
    answered = " ".join(filter(None, (status, code)))
    if not _FORBIDDEN.isdisjoint({status, name, code}):
        hint = "Check the credentials, and what they may do in this bucket."
        return Fault("refused", f"is refused by its store ({answered or name})", hint)
    known = _BY_NAME.get(name) or _BY_NAME.get(status or "")
    return Fault(*known) if known is not None else _failed(text, answered)


def _failed(text: str, answered: str) -> Fault:
    if answered:
        return Fault("failed", f"was not served: its store answered {answered}", _FAILED_HINT)
    if _SLOW.search(text):
        return Fault("failed", "was not served in time", _SLOW_HINT)
    return Fault("failed", "was not served: the line to its store broke", _FAILED_HINT)


def is_empty_range(fault: Fault) -> bool:
    """Whether a store has refused a stretch because there is nothing of it."""
    return fault.kind == "failed" and _EMPTY in fault.words


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None
