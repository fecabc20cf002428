"""Restyle video with Krea's Runway Aleph API: submit, wait, download; nothing paid twice.

Example:
    >>> from krea_aleph import Aleph
    >>> with Aleph() as aleph:  # the key is in KREA_API_KEY
    ...     aleph.transform("in.mp4", "make it snow", "out.mp4")
"""

from importlib import import_module

from krea_aleph._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph._config import ClientOptions
    from krea_aleph._wire import AlephOptions
    from krea_aleph.client import Aleph, AsyncAleph
    from krea_aleph.errors import (
        APIConnectionError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        ConfigError,
        DownloadError,
        InsufficientCreditsError,
        IntentBusyError,
        IntentConflictError,
        InternalServerError,
        InvalidRequestError,
        InvalidResponseError,
        JobCancelledError,
        JobClaimedError,
        JobEmptyError,
        JobError,
        JobFailedError,
        JobNotFinishedError,
        JobRejectedError,
        KreaDeprecationWarning,
        KreaError,
        KreaWarning,
        MissingExtraError,
        ModelUnavailableError,
        NotFoundError,
        PayloadTooLargeError,
        PermissionDeniedError,
        RateLimitError,
        StoreError,
        SubmitUncertainError,
        SubmitVetoedError,
        TooManyFailuresError,
        UploadError,
        WaitTimeoutError,
        WebhookError,
    )
    from krea_aleph.models import (
        AUTO,
        Asset,
        Cancellation,
        Checked,
        Clock,
        Event,
        Job,
        JobRef,
        Media,
        Output,
        Progress,
        Saved,
        Transport,
        Update,
    )
    from krea_aleph.outcomes import Failed, Item, Succeeded
    from krea_aleph.policies import PollPolicy, RetryPolicy
    from krea_aleph.store import Record, SQLiteStore, Store

__all__ = [
    "AUTO",
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "Aleph",
    "AlephOptions",
    "Asset",
    "AsyncAleph",
    "AuthenticationError",
    "BadRequestError",
    "Cancellation",
    "Checked",
    "ClientOptions",
    "Clock",
    "ConfigError",
    "DownloadError",
    "Event",
    "Failed",
    "InsufficientCreditsError",
    "IntentBusyError",
    "IntentConflictError",
    "InternalServerError",
    "InvalidRequestError",
    "InvalidResponseError",
    "Item",
    "Job",
    "JobCancelledError",
    "JobClaimedError",
    "JobEmptyError",
    "JobError",
    "JobFailedError",
    "JobNotFinishedError",
    "JobRef",
    "JobRejectedError",
    "KreaDeprecationWarning",
    "KreaError",
    "KreaWarning",
    "Media",
    "MissingExtraError",
    "ModelUnavailableError",
    "NotFoundError",
    "Output",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "PollPolicy",
    "Progress",
    "RateLimitError",
    "Record",
    "RetryPolicy",
    "SQLiteStore",
    "Saved",
    "Store",
    "StoreError",
    "SubmitUncertainError",
    "SubmitVetoedError",
    "Succeeded",
    "TooManyFailuresError",
    "Transport",
    "Update",
    "UploadError",
    "WaitTimeoutError",
    "WebhookError",
    "__version__",
]

# Where the names live, each row needing the ones above it.
_HOMES = ("models", "errors", "policies", "_config", "client", "_wire", "store", "outcomes")


if not TYPE_CHECKING:  # type checkers know the names from above, and are to refuse all others

    def __getattr__(name: str) -> object:
        """Import a name from its home when it is first asked for.

        A pytest plugin or a command line that only wants its version does not pay for HTTP.
        """
        if name in __all__:
            for home in _HOMES:
                found = getattr(import_module(f"krea_aleph.{home}"), name, None)
                if found is not None:
                    globals()[name] = found
                    return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return list(__all__)
