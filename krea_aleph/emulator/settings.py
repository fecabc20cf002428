"""How an emulator behaves, checked once."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from attrs import Factory, field, frozen

from krea_aleph.emulator.jobs import STAGES
from krea_aleph.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from attrs import Attribute

MAX_UPLOAD: Final = 75_000_000
"""The documented size limit of an upload, in bytes."""
OUTPUT_BYTES: Final = 65_536
"""The usual size of a seeded output, in bytes."""


def _at_least(least: float) -> Any:
    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        number = value if isinstance(value, (int, float)) and value is not True else math.nan
        if not number >= least:
            _refuse(attribute.name, value, f"it must be a number of at least {least}")

    return check


def _stages(_: object, attribute: Attribute[Any], value: Mapping[str, float]) -> None:
    if not value or any(share < 0 for share in value.values()) or not sum(value.values()):
        _refuse(attribute.name, dict(value), "give statuses with shares of the time above 0")


def _moment(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"sunset={text!r} is no date.", hint="Write it like 2026-10-09."
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _refuse(name: str, value: object, remedy: str) -> None:
    raise ConfigError(f"{name}={value!r} makes no sense: {remedy}.")


@frozen(kw_only=True)
class Settings:
    """All that can be set, apart from the contract, the quirks and the clock.

    Attributes:
        render: Restyle real videos; False serves seeded bytes.
        job_seconds: How long a job runs once started.
        stages: The statuses of a running job, each with its share of the time.
        concurrency: How many jobs of an account run at once.
        backlog: How many more are accepted.
        credits: How many completed jobs an account can pay for; None for any number.
        cancellable: The statuses in which DELETE is accepted; with "completed" or another last
            status it deletes the job.
        cancel_refusal: The status that refuses a DELETE.
        max_upload: The largest accepted file, in bytes.
        output_bytes: The size of a seeded output file, in bytes.
        sunset: When the submit operations retire, as an ISO date; until then they say so.
        replacement: What to use afterwards.
        skew: How many seconds Krea's clock is ahead.
        public_url: The base of the URLs in answers, where it is not the address listened on.
    """

    render: bool = True
    job_seconds: float = field(default=3.0, validator=_at_least(0))
    stages: Mapping[str, float] = field(default=Factory(lambda: dict(STAGES)), validator=_stages)
    concurrency: int = field(default=8, validator=_at_least(1))
    backlog: int = field(default=100, validator=_at_least(0))
    credits: float | None = None
    cancellable: frozenset[str] = frozenset({"queued", "processing"})
    cancel_refusal: int = field(default=400, validator=_at_least(400))
    max_upload: int = field(default=MAX_UPLOAD, validator=_at_least(0))
    output_bytes: int = field(default=OUTPUT_BYTES, validator=_at_least(0))
    sunset: float | None = field(default=None, converter=_moment)
    replacement: str | None = None
    skew: float = 0.0
    public_url: str | None = None
