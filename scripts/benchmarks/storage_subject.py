"""Go from bucket to bucket in a process of its own, and print seconds and growth as JSON.

Usage: python -m benchmarks.storage_subject CLIENT BUCKET_URL BASE_URL KEY

A small way comes first, so that neither imports nor connecting count.
"""

import json
import sys
import time
from collections.abc import Callable

import obstore
from obstore.store import from_url

from benchmarks.storage import JOB_SECONDS
from benchmarks.transfer_subject import memory
from benchmarks.transfers import MIB
from krea_aleph import Aleph, PollPolicy

_PIECE = 4 * MIB


def main(client: str, bucket: str, url: str, key: str) -> None:
    """Print what it costs."""
    run = _plain(bucket) if client == "plain" else _ours(bucket, url, key)
    run("warm-up", ("warm-up",))
    before = memory("VmRSS")
    began = time.perf_counter()
    run("clip", ("clip", "result"))
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "growth": max(memory("VmHWM") - before, 0) / MIB}))


def _plain(bucket: str) -> Callable[[str, tuple[str, ...]], None]:
    store = from_url(bucket)

    def run(_: str, keys: tuple[str, ...]) -> None:
        for key in keys:
            with obstore.open_writer(store, "plain.mp4", buffer_size=5 * MIB) as target:
                for piece in obstore.get(store, f"{key}.mp4").stream(min_chunk_size=_PIECE):
                    target.write(piece)

    return run


def _ours(bucket: str, url: str, key: str) -> Callable[[str, tuple[str, ...]], None]:
    poll = PollPolicy(early=JOB_SECONDS, spread=0)
    aleph = Aleph(base_url=url, api_key=key, poll=poll)

    def run(clip: str, _: tuple[str, ...]) -> None:
        target = f"{bucket}/ours.mp4"
        aleph.transform(f"{bucket}/{clip}.mp4", "make it snow", target, exists="replace")

    return run


if __name__ == "__main__":
    main(*sys.argv[1:])
