"""Downloads one job's result, for tests that interrupt or kill it.

Usage: transfer_program.py COLOUR BASE_URL KEY JOB_ID OUTPUT
"""

from __future__ import annotations

import sys

import anyio

from krea_aleph import Aleph, AsyncAleph


async def main(url: str, key: str, job_id: str, output: str) -> None:
    """Download with the asynchronous client."""
    async with AsyncAleph(base_url=url, api_key=key) as aleph:
        await aleph.download(job_id, output)


if __name__ == "__main__":
    colour, *arguments = sys.argv[1:]
    if colour == "sync":
        url, key, job_id, output = arguments
        with Aleph(base_url=url, api_key=key) as aleph:
            aleph.download(job_id, output)
    else:
        anyio.run(main, *arguments, backend=colour)
