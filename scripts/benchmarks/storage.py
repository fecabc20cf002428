"""What a transform from bucket to bucket costs, by a plain copy of as many bytes with obstore.

The store is an S3 of this machine, and Krea is the emulator. Both clients take 70 MB in and send
them out, and then 300 MB: ours from the bucket to Krea and from Krea to the bucket, the plain one
from the bucket to the bucket.
"""

import json
import logging
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

from bootstrap import ROOT
from krea_aleph.emulator import Emulator

MB = 10**6
WARM_UP = MB
CLIP, RESULT = 70 * MB, 300 * MB
MOST_GROWTH = 64.0  # MiB
LEAST_RATIO = 0.5  # the emulator takes its share of the time
JOB_SECONDS = 0.05
_HEAD = b"\0\0\0\x18ftypmp42"
_BUCKET = "bench"


class Copy(NamedTuple):
    """One process: wall-clock seconds, and by how many MiB it grew at most."""

    seconds: float
    growth: float


class Result(NamedTuple):
    """Medians of the repeats.

    Attributes:
        seconds: What a transform takes.
        ratio: The plain copy's seconds by ours.
        growth: By how many MiB a transform lets its process grow.
        plain_growth: The same of the plain copy.
    """

    seconds: float
    ratio: float
    growth: float
    plain_growth: float


def measure(repeats: int, environment: Mapping[str, str]) -> Result:
    """Let both take turns."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # the store's requests are no figures
    pairs = [[_copy(name, environment) for name in ("plain", "ours")] for _ in range(repeats)]
    return Result(
        statistics.median(ours.seconds for _, ours in pairs),
        statistics.median(plain.seconds / ours.seconds for plain, ours in pairs),
        statistics.median(ours.growth for _, ours in pairs),
        statistics.median(plain.growth for plain, _ in pairs),
    )


def _copy(client: str, environment: Mapping[str, str]) -> Copy:
    sys.path.insert(0, str(ROOT / "tests/support"))
    from buckets import Bucket, Gate, local_s3  # noqa: PLC0415 - they are the tests'

    with local_s3() as port, Gate(port) as gate, Emulator(job_seconds=JOB_SECONDS) as emulator:
        bucket = Bucket(_BUCKET, gate)  # nobody serves the gate: it would cost time
        for size, key in ((WARM_UP, "warm-up"), (CLIP, "clip"), (RESULT, "result")):
            bucket.put(f"{key}.mp4", _HEAD.ljust(size, b"\1"))
        for size in (WARM_UP, RESULT):
            emulator.outcome(output=_HEAD.ljust(size, b"\1"))
        command = [sys.executable, "-m", "benchmarks.storage_subject"]
        command += [client, bucket.url, emulator.base_url, emulator.key]
        known = {**environment, **_reached_by(port)}
        found = json.loads(subprocess.check_output(command, env=known))
        size = len((bucket.get("ours.mp4" if client == "ours" else "plain.mp4") or (b"",))[0])
        if size != RESULT:
            message = f"{client}: {size:,} bytes came, not {RESULT:,}"
            raise RuntimeError(message)
        return Copy(**found)


def _reached_by(port: int) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "NO_PROXY": os.environ.get("NO_PROXY", "127.0.0.1"),
    }
