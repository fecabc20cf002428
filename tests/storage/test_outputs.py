"""Results that are written to a bucket: whole or not at all, and never over something else."""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import threading
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buckets import Bucket
from colours import CLIP, OpenClient
from krea_aleph import Aleph, DownloadError, InvalidRequestError, Saved, _buckets, _objects
from krea_aleph.emulator import Emulator, Fault
from krea_aleph.storage import ObjectAddress, Storage

OTHER = b"what somebody else has put there"
SMALL = CLIP * 40
LARGE = CLIP * 2700  # more than one part
SIZES = pytest.mark.parametrize("result", [SMALL, LARGE], ids=["small", "large"])


@pytest.fixture(autouse=True)
def _little_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write in parts from 1 MiB on: less to carry, and nothing else is different."""
    monkeypatch.setattr(_objects, "_AT_ONCE_BYTES", 2**20)


def run(aleph: Any, bucket: Bucket, output: str, **options: Any) -> Saved:
    """Restyle a clip of a bucket into it."""
    saved: Saved = aleph.transform(bucket.put("in.mp4", CLIP), "snow", output, **options)
    return saved


@SIZES
def test_an_exact_key(result: bytes, aleph: Any, bucket: Bucket, emulator: Emulator) -> None:
    """The result is under the key that was asked for, as what it is, and nothing else is left."""
    emulator.outcome(output=result)
    saved = run(aleph, bucket, f"{bucket.url}/out/shot 1.mp4")
    found = bucket.get("out/shot 1.mp4")
    assert found is not None
    data, headers = found
    assert data == result
    assert headers["content-type"] == "video/mp4"
    assert headers["x-amz-meta-kreajob"] == emulator.jobs[0].id
    assert bucket.keys == ["in.mp4", "out/shot 1.mp4"]
    assert bucket.unfinished == []
    assert saved.url == str(saved.path) == f"{bucket.url}/out/shot 1.mp4"
    assert saved.sha256 == hashlib.sha256(result).hexdigest()
    assert saved.size_bytes == len(result)
    assert saved.media_type == "video/mp4"


def test_what_is_saved_in_a_bucket_is_no_path(client: Aleph, bucket: Bucket) -> None:
    """It pickles, compares and prints; who takes it for a file is told where it is."""
    saved = run(client, bucket, f"{bucket.url}/out.mp4")
    assert pickle.loads(pickle.dumps(saved)) == saved  # noqa: S301 - our own
    assert saved.path == ObjectAddress("s3", bucket.name, "out.mp4")
    assert saved.paths == (saved.path,)
    assert saved.path.name == "out.mp4"
    with pytest.raises(TypeError, match=f"the result is at {bucket.url}/out.mp4"):
        os.fspath(saved)
    with pytest.raises(TypeError):
        open(saved.path)  # noqa: PTH123, SIM115 - that is the mistake


def test_a_path_has_a_url(tmp_path: Path) -> None:
    """What is on disk has a URL, too."""
    path = tmp_path / "a b.mp4"
    assert Saved(path, (path,)).url == path.as_uri()


@pytest.mark.parametrize("folder", ["", "shots/"])
def test_a_folder(folder: str, aleph: Any, bucket: Bucket, emulator: Emulator) -> None:
    """Below a prefix, or on top of the bucket, results are named after their job."""
    emulator.outcome(outputs=2)
    saved = run(aleph, bucket, f"{bucket.url}/{folder}")
    job_id = emulator.jobs[0].id
    names = [f"{folder}{job_id}.mp4", f"{folder}{job_id}-2.mp4"]
    assert [str(path) for path in saved.paths] == [f"{bucket.url}/{name}" for name in names]
    assert set(names) < set(bucket.keys)


def test_further_outputs_of_an_exact_key(client: Aleph, bucket: Bucket, emulator: Emulator) -> None:
    """They are beside it, as on disk."""
    emulator.outcome(outputs=2)
    run(client, bucket, f"{bucket.url}/out.mp4")
    assert bucket.keys == ["in.mp4", "out-2.mp4", "out.mp4"]


def test_download(client: Aleph, bucket: Bucket) -> None:
    """`download` writes to buckets; again with "keep" it fetches nothing."""
    job = client.wait(client.submit(bucket.put("in.mp4", CLIP), "snow"))
    saved = client.download(job, f"{bucket.url}/out.mp4")
    with pytest.raises(InvalidRequestError, match="exists"):
        client.download(job, f"{bucket.url}/out.mp4")
    kept = client.download(job, f"{bucket.url}/out.mp4", exists="keep")
    assert kept == saved


def test_a_key_that_is_taken(client: Aleph, bucket: Bucket, emulator: Emulator) -> None:
    """That is said before anything is paid."""
    bucket.put("out.mp4", OTHER)
    with pytest.raises(InvalidRequestError, match=rf"'{bucket.url}/out.mp4' exists"):
        run(client, bucket, f"{bucket.url}/out.mp4")
    assert not emulator.requests


def test_a_key_that_is_kept(client: Aleph, bucket: Bucket, emulator: Emulator) -> None:
    """Nothing is sent, and of what is there only the beginning is read."""
    bucket.put("out.mp4", CLIP)
    saved = run(client, bucket, f"{bucket.url}/out.mp4", exists="keep")
    assert (saved.job, saved.size_bytes, saved.sha256) == (None, len(CLIP), "")
    assert saved.media_type == "video/mp4"
    assert not emulator.requests


@SIZES
def test_a_key_that_is_replaced(
    result: bytes, client: Aleph, bucket: Bucket, emulator: Emulator
) -> None:
    """With "replace" the old object is there until the new one is."""
    emulator.outcome(output=result)
    bucket.put("out.mp4", OTHER)
    run(client, bucket, f"{bucket.url}/out.mp4", exists="replace")
    found = bucket.get("out.mp4")
    assert found is not None
    assert found[0] == result


@SIZES
def test_a_key_that_is_taken_meanwhile(
    result: bytes, aleph: Any, bucket: Bucket, emulator: Emulator
) -> None:
    """What somebody else has written while the job ran stays what it is; the result is not lost."""
    emulator.outcome(output=result)

    # The name is free when the job is done, and taken when its result has come.
    bucket.gate.trouble(
        "PUT" if result == SMALL else "POST",
        r"out\.mp4" if result == SMALL else r"out\.mp4\?uploads",
        status=None,
        before=lambda: bucket.put("out.mp4", OTHER),
    )
    with pytest.raises(DownloadError, match="has been made by somebody else") as caught:
        run(aleph, bucket, f"{bucket.url}/out.mp4")
    assert caught.value.charged == "yes"
    found = bucket.get("out.mp4")
    assert found is not None
    assert found[0] == OTHER
    assert bucket.unfinished == []
    bucket.gate.calm()
    emulator.outcome(output=result)
    aleph.download(caught.value.job_id, f"{bucket.url}/other.mp4")
    assert "other.mp4" in bucket.keys


def test_a_conflict_with_nobody(aleph: Any, bucket: Bucket) -> None:
    """Who is told of one and finds nothing at the key writes once more, as S3 asks for."""
    conflict = "<Error><Code>ConditionalRequestConflict</Code></Error>"
    bucket.gate.trouble("PUT", r"out\.mp4", status=409, body=conflict, times=1)
    saved = run(aleph, bucket, f"{bucket.url}/out.mp4")
    assert bucket.keys == ["in.mp4", "out.mp4"]
    assert saved.url.endswith("/out.mp4")


def test_a_conflict_that_stays(client: Aleph, bucket: Bucket) -> None:
    """Once more, and not for ever."""
    trouble = bucket.gate.trouble("PUT", r"out\.mp4", status=409, times=5)
    with pytest.raises(DownloadError, match="has been made by somebody else"):
        run(client, bucket, f"{bucket.url}/out.mp4")
    assert trouble.times == 3


def test_an_answer_that_is_lost(aleph: Any, bucket: Bucket) -> None:
    """The store writes, its answer is lost, and the next try finds its own result: all is well."""
    bucket.gate.trouble("PUT", r"out\.mp4", status=503, after=True, times=1)
    saved = run(aleph, bucket, f"{bucket.url}/out.mp4")
    assert bucket.keys == ["in.mp4", "out.mp4"]
    assert saved.url.endswith("/out.mp4")


def test_a_last_step_whose_answer_is_lost(
    client: Aleph, bucket: Bucket, emulator: Emulator
) -> None:
    """The same for a large one, whose parts cannot be put together a second time."""
    emulator.outcome(output=LARGE)
    bucket.gate.trouble("POST", r"out\.mp4\?uploadId", status=400, after=True, times=1)
    run(client, bucket, f"{bucket.url}/out.mp4")
    assert bucket.keys == ["in.mp4", "out.mp4"]


@pytest.mark.parametrize("known", [True, False])
def test_a_store_that_knows_no_conditions(known: bool, bucket: Bucket, emulator: Emulator) -> None:
    """Where a store cannot be told to replace nothing the key is looked at just before."""
    settings = {**bucket.settings, "conditional_put": "disabled" if known else "etag"}
    if not known:
        bucket.gate.trouble("PUT", "out.mp4", status=501, times=1)
        bucket.gate.trouble("PUT", "other.mp4", status=501, times=1)
    with emulator.aleph(virtual_time=True, storage={bucket.url: settings}) as client:
        saved = run(client, bucket, f"{bucket.url}/out.mp4")
        assert bucket.keys == ["in.mp4", "out.mp4"]
        bucket.gate.trouble("HEAD", "other.mp4", status=404, times=1)  # as if free, until then
        bucket.put("other.mp4", OTHER)
        with pytest.raises(DownloadError, match="has been made by somebody else"):
            client.download(saved.job or "", f"{bucket.url}/other.mp4")


def test_a_store_that_fails_when_the_job_is_done(client: Aleph, bucket: Bucket) -> None:
    """A key that cannot be looked at any more is no reason to pay again, and the error says so."""
    bucket.gate.trouble("HEAD", "out.mp4", status=None, times=1)
    bucket.gate.trouble("HEAD", "out.mp4", status=500)
    with pytest.raises(DownloadError, match="could not be looked at") as caught:
        run(client, bucket, f"{bucket.url}/out.mp4")
    assert (caught.value.charged, caught.value.resubmit) == ("yes", "never")
    assert "download it again" in caught.value.hint


def test_an_object_that_cannot_be_kept(client: Aleph, bucket: Bucket) -> None:
    """What is there and cannot be read is no result that could be told of."""
    bucket.put("out.mp4", CLIP)
    bucket.gate.trouble("GET", "out.mp4", status=403)
    with pytest.raises(InvalidRequestError, match="is refused by its store"):
        run(client, bucket, f"{bucket.url}/out.mp4", exists="keep")


def test_a_part_that_was_given_up(bucket: Bucket, client: Aleph, emulator: Emulator) -> None:
    """A thread that its task has left behind writes nothing more."""
    job = client.wait(client.submit(bucket.put("in.mp4", CLIP), "snow"))
    target = _objects.ObjectTarget.checked(
        f"{bucket.url}/out.mp4", "error", Storage({bucket.url: bucket.settings})
    )
    part = target.part(job, 0)
    assert part.leave() is None
    with pytest.raises(OSError, match="it has been closed"):
        part.append(b"more")
    assert emulator.accepted == 1


@SIZES
def test_a_download_that_breaks_off(
    result: bytes, aleph: Any, bucket: Bucket, emulator: Emulator
) -> None:
    """The rest is fetched under the same ETag, and the object is whole."""
    emulator.outcome(output=result)
    emulator.fault(Fault(operation="download", cut=len(result) - 1000))
    run(aleph, bucket, f"{bucket.url}/out.mp4")
    found = bucket.get("out.mp4")
    assert found is not None
    assert found[0] == result
    assert bucket.unfinished == []


@SIZES
def test_a_download_that_fails(
    result: bytes, aleph: Any, bucket: Bucket, emulator: Emulator
) -> None:
    """Nothing half is there, in sight or out of it; the next download brings all."""
    emulator.outcome(output=result)
    emulator.fault(Fault(operation="download", cut=len(result) - 1000))
    emulator.fault(Fault(operation="download", nth=2, times=2, status=404))
    with pytest.raises(DownloadError) as caught:
        run(aleph, bucket, f"{bucket.url}/out.mp4")
    assert bucket.keys == ["in.mp4"]
    assert bucket.unfinished == []
    assert caught.value.part is None
    aleph.download(caught.value.job_id, f"{bucket.url}/out.mp4")
    found = bucket.get("out.mp4")
    assert found is not None
    assert found[0] == result


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512", "md5"])
def test_a_result_that_comes_spoilt(
    algorithm: str, client: Aleph, bucket: Bucket, emulator: Emulator
) -> None:
    """What does not hash to what its host announces never becomes an object."""
    wrong = {"repr-digest": f"{algorithm}=:{_digest(algorithm, b'another')}:"}
    emulator.fault(Fault(operation="download", headers=wrong, times=None))
    with pytest.raises(DownloadError, match="do not hash to what the host announced"):
        run(client, bucket, f"{bucket.url}/out.mp4")
    assert bucket.keys == ["in.mp4"]


def _digest(algorithm: str, data: bytes) -> str:
    return b64encode(hashlib.new(algorithm.replace("sha-", "sha"), data).digest()).decode()


def test_a_page_is_no_result(client: Aleph, bucket: Bucket, emulator: Emulator) -> None:
    """A host that answers with a page has no result to be kept."""
    emulator.outcome(output=b"<!doctype html><title>no</title>")
    with pytest.raises(DownloadError, match="is text, not a media file"):
        run(client, bucket, f"{bucket.url}/out.mp4")
    assert bucket.keys == ["in.mp4"]


@SIZES
def test_a_store_that_fails_when_it_is_written_to(
    result: bytes, aleph: Any, bucket: Bucket, emulator: Emulator
) -> None:
    """The job is paid and stays to be fetched: the error says so, and nothing half is there."""
    emulator.outcome(output=result)
    bucket.gate.trouble("PUT", r"out\.mp4", status=500)
    with pytest.raises(DownloadError, match=rf"{bucket.url}/out.mp4") as caught:
        run(aleph, bucket, f"{bucket.url}/out.mp4")
    assert caught.value.charged == "yes"
    assert "answered 500" in str(caught.value)
    bucket.gate.calm()
    assert bucket.keys == ["in.mp4"]
    assert bucket.unfinished == []
    aleph.download(caught.value.job_id, f"{bucket.url}/out.mp4")
    assert "out.mp4" in bucket.keys
    assert emulator.accepted == 1


def test_two_that_save_the_same_job(
    open_client: OpenClient, bucket: Bucket, emulator: Emulator
) -> None:
    """Who comes second finds that what is there is the very same, and is content."""
    aleph = open_client(storage={bucket.url: bucket.settings})
    job = aleph.wait(aleph.submit(bucket.put("in.mp4", CLIP), "snow"))
    other = emulator.aleph(storage={bucket.url: bucket.settings})
    bucket.gate.trouble(
        "PUT",
        r"out\.mp4",
        status=None,
        times=1,
        before=lambda: other.download(job, f"{bucket.url}/out.mp4"),
    )
    assert aleph.download(job, f"{bucket.url}/out.mp4").url == f"{bucket.url}/out.mp4"
    other.close()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("{url}", "names no key"),
        ("{url}/a//b.mp4", "has a part '' in its key"),
        ("{url}/../b.mp4", r"has a part '\.\.'"),
        ("s3://no-such-bucket/out.mp4", "this client has no store for s3://no-such-bucket"),
        ("s3://me:s3cret@bucket/out.mp4", "with a user or a password"),
        ("s3://", "names no bucket"),
    ],
)
def test_outputs_that_cannot_be(
    output: str, words: str, bucket: Bucket, emulator: Emulator
) -> None:
    """They are refused before anything is paid."""
    with (
        emulator.aleph(storage={bucket.url: bucket.settings}) as aleph,
        pytest.raises(InvalidRequestError, match=words) as caught,
    ):
        run(aleph, bucket, output.format(url=bucket.url))
    assert "s3cret" not in str(caught.value)
    assert caught.value.hint
    assert not emulator.requests


def test_a_bucket_that_does_not_exist(
    open_client: OpenClient, bucket: Bucket, emulator: Emulator
) -> None:
    """A name that is misspelt is found out before anything is paid."""
    aleph = open_client(storage=lambda _: bucket.settings)
    with pytest.raises(InvalidRequestError, match="is in no bucket that exists") as caught:
        run(aleph, bucket, "s3://misspelt-bucket/out.mp4")
    assert caught.value.field == "output"
    assert not emulator.requests


def test_an_interrupted_copy(
    bucket: Bucket, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while a store is silent ends the copy, without waiting for the store."""
    emulator.outcome(output=LARGE)
    patient = {**bucket.settings, "client_options": {"allow_http": True, "timeout": "60s"}}
    monkeypatch.setattr(_buckets, "_LONGEST_DROP", 0.05)
    begun, over, waited = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        if not over.wait(20):
            waited.set()

    bucket.gate.trouble("PUT", r"out\.mp4\?partNumber", status=500, before=hold)
    threading.Thread(target=_interrupt, args=(begun,), daemon=True).start()
    with (
        emulator.aleph(virtual_time=True, storage={bucket.url: patient}) as aleph,
        pytest.raises(KeyboardInterrupt) as caught,
    ):
        run(aleph, bucket, f"{bucket.url}/out.mp4")
    assert not waited.is_set()
    over.set()
    assert "download(" in "".join(caught.value.__notes__)
    assert bucket.keys == ["in.mp4"]


def _interrupt(begun: threading.Event) -> None:
    assert begun.wait(20)
    os.kill(os.getpid(), signal.SIGINT)


def test_a_large_result_that_begins_anew(client: Aleph, bucket: Bucket, emulator: Emulator) -> None:
    """Without a strong ETag a rest fits to nothing: the first parts are given up, with all else."""
    emulator.outcome(output=LARGE)
    weak = {"etag": 'W/"weak"'}
    emulator.fault(Fault(operation="download", cut=len(LARGE) - 1000, headers=weak))
    run(client, bucket, f"{bucket.url}/out.mp4")
    found = bucket.get("out.mp4")
    assert found is not None
    assert found[0] == LARGE
    assert bucket.unfinished == []
    assert not [thread for thread in threading.enumerate() if thread.name == "krea-hash"]


def test_nothing_touches_the_disk(
    client: Aleph, bucket: Bucket, on_disk: Callable[[], list[str]]
) -> None:
    """From bucket to bucket no file is made here."""
    run(client, bucket, f"{bucket.url}/out.mp4")
    assert on_disk() == []
