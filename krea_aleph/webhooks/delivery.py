"""What a delivery is, and what of its body is believed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

from krea_aleph.errors import WebhookError
from krea_aleph.models import is_id


@dataclass(frozen=True, slots=True)
class Delivery:
    """Krea says that there is news of a job. What the news is, a client has to ask.

    Attributes:
        account: The label of the account that the job was submitted for.
        job_id: The job.
        received_at: Unix time in seconds.
        intent: The intent that it was submitted under, where the receiver's store knows one.

    Example:
        >>> def called(delivery: Delivery) -> None:
        ...     print("there is news of", delivery.job_id)
        >>> called(Delivery("default", "550e8400", 1_800_000_000.0))
        there is news of 550e8400
    """

    account: str
    job_id: str
    received_at: float
    intent: str | None = None


class Arrival(NamedTuple):
    """A delivery whose address was one of ours."""

    account: str
    nonce: str
    job_id: str
    at: float


def parse(body: bytes) -> str:
    """Return the id of the job that a delivery is about; the rest of it is not looked at.

    Raises:
        WebhookError: It is no JSON object with a job id.
    """
    try:
        facts = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WebhookError(f"the delivery is no JSON: {type(error).__name__}") from None
    job_id = facts.get("job_id") if isinstance(facts, dict) else None
    if not is_id(job_id):
        raise WebhookError("the delivery is no JSON object with a job_id")
    return job_id
