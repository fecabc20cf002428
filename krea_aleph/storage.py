"""Clips and results in object storage: which store a bucket is in, and how clips reach Krea.

Wherever a clip or a picture is asked for, and wherever a result goes, ``s3://bucket/key``,
``gs://bucket/key`` and ``az://container/key`` may stand with the extra ``[storage]``. Nobody has to
make anything for it: without a `Storage`, buckets are reached with what obstore finds in the
environment. `docs/storage.md` tells the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from krea_aleph.errors import ConfigError, InvalidRequestError, KreaError, MissingExtraError
from krea_aleph.models import ObjectAddress, Stores

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ObjectAddress", "Storage", "Stores"]

# Seven days are the most that a store signs for; a job may wait for hours before it is begun.
_LONGEST_LINK: Final = 7 * 86_400
# Of a request to a store: with its own timeout of half a minute, a store that is silent is given up
# after one and a half.
_RETRIES: Final = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
_ENVIRONMENT: Final = {
    "s3": "Set AWS_REGION and AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, or pass storage=.",
    "gs": "Set GOOGLE_APPLICATION_CREDENTIALS, or pass storage=.",
    "az": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or pass storage=.",
}


class Storage:
    """How buckets are reached, for the client option ``storage=``.

    Example:
        >>> Storage({})  # which refuses every bucket
        Storage(...)
    """

    def __init__(self, stores: Stores | None = None, *, presign: float | None = None) -> None:
        """Say which stores there are; none is opened yet.

        Args:
            stores: A mapping from the URLs of buckets, such as ``s3://clips``, to stores of
                obstore's or to mappings of its settings; other buckets are refused. Or a callable
                that is given such a URL and returns one of these, or None to refuse it. Default:
                any bucket, with what obstore finds in the environment.
            presign: For how many seconds Krea is given a signed address of a clip, which it then
                fetches itself. Default: never; the clip is read here and uploaded, which works
                whether or not the service takes addresses of others.

        Raises:
            ConfigError: An argument cannot work.
        """
        _check_stores(stores)
        self.presign: float | None = None if presign is None else _seconds(presign)
        self._stores = stores
        self._open: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Show nothing: stores know keys."""
        return "Storage(...)"

    def __reduce__(self) -> str:
        raise TypeError("a Storage does not pickle, since stores know keys: make one there, too")

    def store(self, bucket: str) -> Any:
        """Return the store that a bucket is in, the same each time.

        Args:
            bucket: Its URL, such as ``s3://clips``.

        Raises:
            MissingExtraError: obstore is not installed.
            InvalidRequestError: There is no store for it.
            ConfigError: What there is cannot be used.
        """
        with self._lock:
            if bucket not in self._open:
                self._open[bucket] = self._made(bucket)
            return self._open[bucket]

    def _made(self, bucket: str) -> Any:
        try:
            from obstore import store  # noqa: PLC0415 - heavy, and for buckets alone
        except ImportError as error:
            raise MissingExtraError("storage") from error
        found = self._found(bucket)
        if not isinstance(found, Mapping):
            return found
        settings: dict[str, Any] = {"retry_config": _RETRIES, **found}
        from_url: Any = store.from_url  # whose overloads know each setting of each store
        try:
            return from_url(bucket, **settings)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - also Rust's; its words have settings
            problem = type(error).__name__
        message = f"storage: {bucket} cannot be opened as it is configured ({problem})."
        raise ConfigError(message, hint=_ENVIRONMENT[bucket.partition(":")[0]])

    def _found(self, bucket: str) -> Any:
        if self._stores is None:
            return {}
        if isinstance(self._stores, Mapping):
            found = self._stores.get(bucket)
        else:
            found = _asked(self._stores, bucket)
        if found is None:
            raise InvalidRequestError(
                "storage",
                f"this client has no store for {bucket}",
                hint="Give it to the client's storage=, or use another bucket.",
            )
        return found


def _check_stores(stores: object) -> None:
    if stores is not None and not callable(stores) and not isinstance(stores, Mapping):
        message = f"storage: a mapping or a callable is needed, not {type(stores).__name__}."
        raise ConfigError(message, hint='It looks like {"s3://clips": S3Store("clips")}.')


def _seconds(presign: object) -> float:
    number = isinstance(presign, int | float) and not isinstance(presign, bool)
    if not number or not 1 <= presign <= _LONGEST_LINK:  # type: ignore[operator]  # it is one
        message = f"presign: {presign!r} is no number of seconds from 1 to {_LONGEST_LINK:,}."
        raise ConfigError(message)
    return float(presign)  # type: ignore[arg-type]  # likewise


def _asked(stores: Callable[[str], Any], bucket: str) -> Any:
    try:
        return stores(bucket)
    except KreaError:
        raise
    except Exception as error:
        raise ConfigError(f"storage: the callable raised {type(error).__name__}.") from error


FROM_ENVIRONMENT: Final = Storage()
"""What clients use that were not told anything else."""
