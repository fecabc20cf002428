"""Object storage, as users write it."""

from pathlib import Path

from obstore.store import S3Store

from krea_aleph import Aleph, AsyncAleph, Saved
from krea_aleph.storage import ObjectAddress, Storage


def choose(bucket: str) -> S3Store | None:
    """Reach one bucket, and no other."""
    return S3Store("clips", region="eu-west-1") if bucket == "s3://clips" else None


def from_bucket_to_bucket() -> str:
    """Name clips and results by their addresses."""
    with Aleph(storage={"s3://clips": S3Store("clips")}) as aleph:
        saved: Saved = aleph.transform("s3://clips/in.mp4", "snow", "s3://clips/out.mp4")
        return saved.url


def where(saved: Saved) -> str:
    """Tell files from objects."""
    place: Path | ObjectAddress = saved.path
    return place.bucket if isinstance(place, ObjectAddress) else str(place.parent)


async def signed() -> str:
    """Let Krea fetch the clip."""
    async with AsyncAleph(storage=Storage(choose, presign=3600)) as aleph:
        job = await aleph.submit("s3://clips/in.mp4", "make it snow")
        other = aleph.with_options(storage={"s3://more": {"region": "us-east-1"}})
        return (await other.get(job)).status
