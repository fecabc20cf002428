"""A worker process of a durable application, on which time passes fast."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from krea_aleph import AsyncAleph
from krea_aleph.durable import Durable, PostgresStore, worker, workflows
from weather.victim import FastClock

LABEL = "studio"


@dataclass(frozen=True)
class Post:
    """What a worker is to know.

    Attributes:
        url: The engine's database.
        base_url: Where the emulator is.
        key: The account's key.
        folder: Where results go.
        worker: The worker's name.
        more: Further options of `Durable`.
        client: Further options of the client.
        labels: Further accounts.
    """

    url: str
    base_url: str
    key: str
    folder: Path
    worker: str
    more: dict[str, Any] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


def durable(post: Post) -> Durable:
    """Return the application of a post."""
    workflows.FIRST_REST = 0.2
    worker._WORKERS_GRACE = 0.5
    make = partial(
        AsyncAleph,
        api_key=post.key,
        base_url=post.base_url,
        clock=FastClock(),
        extra_headers={"X-Debug-Pid": str(os.getpid())},
        **{"exclusive": True, **post.client},
    )
    more: dict[str, Any] = {"poll_interval": 0.1, **post.more}
    if post.url.startswith("postgresql"):
        more["store"] = PostgresStore(post.url, grace=0.5)
    return Durable(
        post.url,
        dict.fromkeys((LABEL, *post.labels), make),
        executor_id=post.worker,
        output_dir=post.folder,
        **more,
    )


def work(post: Post) -> None:
    """Work until the end, whichever way it comes."""
    durable(post).run()
