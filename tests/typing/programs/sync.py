"""Every public verb of the synchronous client, as a user writes it."""

import warnings
from pathlib import Path

from krea_aleph import (
    Aleph,
    AlephOptions,
    Checked,
    DownloadError,
    InvalidRequestError,
    Job,
    JobFailedError,
    KreaDeprecationWarning,
    KreaError,
    PollPolicy,
    RateLimitError,
    RetryPolicy,
    SubmitVetoedError,
    Update,
    WaitTimeoutError,
    contract,
)

STYLE: AlephOptions = {
    "ratio": "1280:720",
    "seed": 7,
    "references": [{"type": "image", "uri": Path("style.png")}],
}


def stop_long_prompts(checked: Checked) -> None:
    """Refuse what the house does not want to pay for."""
    if len(str(checked.body)) > 1000:
        raise SubmitVetoedError("too long for us")


def show(update: Update) -> None:
    """Print how it goes."""
    print(update.elapsed + 1.0, update.job.status.upper(), update.source)


def every_verb(folder: Path) -> None:
    """Use each verb once."""
    with Aleph(
        api_key=lambda: "id:secret",
        account="studio",
        retry=RetryPolicy(attempts=2),
        poll=PollPolicy(early=1.0),
        before_submit=stop_long_prompts,
    ) as aleph:
        aleph.check("in.mp4", "make it snow", **STYLE)
        if (there := aleph.check_output(folder / "out.mp4", exists="keep")) is not None:
            print(there.path.name)
        job = aleph.submit(folder / "in.mp4", "make it snow", extra_body={"new": 1}, **STYLE)
        for update in aleph.watch(job, wait_timeout=60):
            show(update)
        finished: Job = aleph.wait(aleph.get(job.id), on_update=show)
        saved = aleph.download(finished, folder / "out.mp4", exists="replace")
        with Path(saved).open("rb") as video, (folder / "again.mp4").open("rb") as clip:
            asset = aleph.upload(video, reuse=False)
            aleph.transform(
                clip,
                "make it rain",
                folder,
                on_update=show,
                keep_upload=False,
                ratio="720:1280",
            )
        aleph.submit(asset, "make it night", init_image_url=asset, seed=1)
        print(aleph.cancel(job).outcome, aleph.get_asset(asset).url.upper())
        aleph.delete_asset(asset.id)
        print([each.id for each in aleph.list_assets()], [each.url for each in aleph.list_jobs()])
        print(aleph.with_options(account="other").account.upper())


def what_is_kept(error: DownloadError) -> str | None:
    """Name the beginning of a result that could not be saved."""
    return None if error.part is None else error.part.name


def handle(aleph: Aleph) -> str | None:
    """Handle what can go wrong."""
    try:
        return str(aleph.transform("in.mp4", "make it snow", "out.mp4").path)
    except InvalidRequestError as error:
        return error.field
    except WaitTimeoutError as error:
        return error.job.id
    except JobFailedError as error:
        return error.code
    except RateLimitError as error:
        return f"{error.status_code + 1}"
    except KreaError as error:
        return error.job_id


def watch_the_contract() -> list[str]:
    """List what is going to end, and stop in time where it is used."""
    warnings.simplefilter("error", KreaDeprecationWarning)
    return [notice.operation for notice in contract.notices().values() if notice.retired is None]
