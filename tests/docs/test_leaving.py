"""The programs of the guide end as it says when they are told to."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from krea_aleph.emulator import Emulator

PAGE = (Path(__file__).parents[2] / "docs/leaving.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
CLIP = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(2000)


@pytest.mark.parametrize("block", BLOCKS, ids=["blocking", "on an event loop"])
@pytest.mark.parametrize("seconds", [600, 0.1], ids=["interrupted", "undisturbed"])
def test_the_programs_of_the_guide(block: str, seconds: float, tmp_path: Path) -> None:
    """SIGTERM ends them with the id of the job in the log; undisturbed they save the result."""
    (tmp_path / "in.mp4").write_bytes(CLIP)
    with Emulator(render=False, job_seconds=seconds) as emulator:
        environment = {
            **os.environ,
            "KREA_API_KEY": emulator.key,
            "KREA_BASE_URL": emulator.base_url,
        }
        process = subprocess.Popen(
            [sys.executable, "-c", block],
            cwd=tmp_path,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            job_id = process.stdout.readline().strip()
            if seconds > 1:
                while emulator.requests[-1].operation == "create_aleph_job":
                    assert process.poll() is None  # until it has begun to wait
                process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30)
        assert [job.id for job in emulator.jobs] == [job_id]
    if seconds > 1:
        assert f"left account=default job={job_id}" in errors
    else:
        (saved,) = re.findall(r"\w+\.mp4(?=\"\)$)", block, re.MULTILINE)
        assert (tmp_path / saved).exists()
        assert process.returncode == 0
