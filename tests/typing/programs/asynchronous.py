"""Every public verb of the asynchronous client, as a user writes it."""

from pathlib import Path

from krea_aleph import AsyncAleph, Cancellation, Job, Saved


async def fetch_key() -> str:
    """Ask a vault."""
    return "id:secret"


async def every_verb(folder: Path) -> Cancellation:
    """Use each verb once."""
    async with AsyncAleph(api_key=fetch_key, request_timeout=10, checks="warn") as aleph:
        aleph.check("in.mp4", "make it snow", seed=1)
        job = await aleph.submit(folder / "in.mp4", "make it snow", ratio="960:960")
        async for update in aleph.watch(job):
            print(update.elapsed + 1.0, update.job.status.upper())
        finished: Job = await aleph.wait(await aleph.get(job), wait_timeout=None)
        saved: Saved = await aleph.download(finished, folder, exists="keep")
        asset = await aleph.upload(saved.path)
        await aleph.transform(asset, "make it rain", folder / "out.mp4", wait_timeout=600)
        await aleph.delete_asset(await aleph.get_asset(asset))
        print([each.id async for each in aleph.list_assets()])
        print([each.finished async for each in aleph.list_jobs(status="completed")])
        return await aleph.with_options(account="other").cancel(job.id)
