"""Restyle video with Krea's Runway Aleph API: submit, wait, download; nothing paid twice.

from krea_aleph import Aleph

with Aleph() as aleph:  # the key is in KREA_API_KEY
    aleph.transform("in.mp4", "make it snow", "out.mp4")
"""

from krea_aleph._config import ClientOptions
from krea_aleph._version import __version__
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
    InternalServerError,
    InvalidRequestError,
    InvalidResponseError,
    JobCancelledError,
    JobEmptyError,
    JobError,
    JobFailedError,
    JobNotFinishedError,
    JobRejectedError,
    KreaError,
    KreaWarning,
    MissingExtraError,
    ModelUnavailableError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    SubmitUncertainError,
    SubmitVetoedError,
    UploadError,
    WaitTimeoutError,
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
    Saved,
    Transport,
    Update,
)
from krea_aleph.policies import PollPolicy, RetryPolicy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph._wire import AlephOptions

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
    "InsufficientCreditsError",
    "InternalServerError",
    "InvalidRequestError",
    "InvalidResponseError",
    "Job",
    "JobCancelledError",
    "JobEmptyError",
    "JobError",
    "JobFailedError",
    "JobNotFinishedError",
    "JobRef",
    "JobRejectedError",
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
    "RateLimitError",
    "RetryPolicy",
    "Saved",
    "SubmitUncertainError",
    "SubmitVetoedError",
    "Transport",
    "Update",
    "UploadError",
    "WaitTimeoutError",
    "__version__",
]


def __getattr__(name: str) -> object:
    """Bring the one generated name that is public when it is first asked for."""
    if name == "AlephOptions":
        from krea_aleph._wire import aleph_options  # noqa: PLC0415 - it imports the generated code

        return aleph_options()
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
