"""Bringing results to disk, and the whole way from a clip to its restyled file."""

import io
from base64 import b64encode
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from krea_aleph import _results, _wire
from krea_aleph._saving import Target, part_for
from krea_aleph._steps import Sleep, TransportFault
from krea_aleph.errors import (
    AuthenticationError,
    DownloadError,
    InvalidRequestError,
    JobEmptyError,
    JobFailedError,
    JobNotFinishedError,
    KreaError,
    NotFoundError,
    SubmitUncertainError,
    WaitTimeoutError,
)
from krea_aleph.models import AUTO, Job, Output, Saved
from krea_aleph.policies import RetryPolicy

from .transcript import (
    CLIP,
    CLIP_URL,
    JOB_ID,
    Interruption,
    Served,
    Stage,
    answer,
    at,
    changes,
    completed,
    configured,
    cut_off,
    job_answer,
    label,
    not_sent,
)

JOB = Job(JOB_ID, "completed", outputs=(Output(CLIP_URL),))
LENGTH = str(len(CLIP))
ETAG = {"etag": '"v1"', "content-length": LENGTH}
WHOLE = Served(200, ETAG, (CLIP[:1000], CLIP[1000:]))
HALF = Served(200, ETAG, (CLIP[:1000],), cut_off())
REST = Served(206, {"content-range": f"bytes 1000-{len(CLIP) - 1}/{LENGTH}"}, (CLIP[1000:],))


def download(
    stage: Stage, output: Path, job: Job | str = JOB, exists: Any = "error", **options: Any
) -> Saved:
    """Download on a stage."""
    return stage.play(_results.download(configured(**options), job, output, exists=exists))


def test_a_download(tmp_path: Path) -> None:
    """A succeeded snapshot's result is saved without asking for the job, and without any key."""
    stage = Stage(hosts=[WHOLE])
    saved = download(stage, tmp_path / "out.mp4")
    assert (saved.path, saved.size_bytes) == (tmp_path / "out.mp4", len(CLIP))
    assert (saved.sha256, saved.job) == (sha256(CLIP).hexdigest(), JOB)
    assert (tmp_path / "out.mp4").read_bytes() == CLIP
    assert [(step.url, step.headers) for step in stage.fetches] == [(CLIP_URL, {})]
    assert stage.requests == []
    assert [event.attributes for event in stage.events] == [{"download": len(CLIP)}]


@pytest.mark.parametrize("ref", [JOB_ID, Job(JOB_ID, "processing")], ids=label)
def test_what_is_not_known_is_asked_for_once(ref: Any, tmp_path: Path) -> None:
    """An id, or a snapshot from before, is read once; the download never waits."""
    stage = Stage(completed(), hosts=[WHOLE])
    assert download(stage, tmp_path, ref).path == tmp_path / f"{JOB_ID}.mp4"
    assert stage.operations == ["get_job"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (job_answer("processing"), JobNotFinishedError),
        (job_answer("failed"), JobFailedError),
        (job_answer("completed", result={}), JobEmptyError),
        (answer(status=404), NotFoundError),
    ],
    ids=label,
)
def test_jobs_without_a_result(reply: Any, kind: type[KreaError], tmp_path: Path) -> None:
    """A job that runs, has failed or is empty is the error of that, and nothing is fetched."""
    stage = Stage(reply)
    with pytest.raises(kind):
        download(stage, tmp_path, JOB_ID)
    assert (stage.fetches, list(tmp_path.iterdir())) == ([], [])


def test_resuming(tmp_path: Path) -> None:
    """What broke off is resumed under its strong ETag, again and again."""
    first = Served(200, ETAG, (CLIP[:500],), cut_off())
    second = Served(
        206, {"content-range": f"bytes 500-{len(CLIP) - 1}/{LENGTH}"}, (CLIP[500:1000],), cut_off()
    )
    stage = Stage(hosts=[first, second, REST])
    assert download(stage, tmp_path / "out.mp4").sha256 == sha256(CLIP).hexdigest()
    assert [step.headers for step in stage.fetches] == [
        {},
        {"range": "bytes=500-", "if-range": '"v1"'},
        {"range": "bytes=1000-", "if-range": '"v1"'},
    ]


WEAK = {"etag": 'W/"v1"', "content-length": LENGTH}


@pytest.mark.parametrize(
    ("hosts", "tries"),
    [
        ([HALF, WHOLE], 2),  # the file has changed, so If-Range brings the whole
        ([Served(200, WEAK, (CLIP[:1000],), cut_off()), WHOLE], 2),
        ([Served(200, {}, (CLIP[:1000],), cut_off()), WHOLE], 2),
        ([HALF, Served(206, {"content-range": "bytes 0-9/10"}), WHOLE], 3),
        ([HALF, Served(206, {}), WHOLE], 3),
        ([HALF, Served(416, {"content-range": f"bytes */{LENGTH}"}), WHOLE], 3),
        ([Served(200, {"content-length": "9999"}, (CLIP,)), WHOLE], 2),
        ([Served(200, {}), WHOLE], 2),
        ([not_sent(), WHOLE], 2),
        ([Served(500), Served(429), WHOLE], 3),
        ([Served(200, {"content-length": "10"}, (CLIP,)), WHOLE], 2),
    ],
    ids=label,
)
def test_tries_that_begin_anew(hosts: Any, tries: int, tmp_path: Path) -> None:
    """What cannot be continued is fetched again from its start, until the file is whole."""
    stage = Stage(hosts=hosts)
    assert download(stage, tmp_path / "out.mp4").sha256 == sha256(CLIP).hexdigest()
    assert len(stage.fetches) == tries
    assert stage.fetches[-1].headers == {} or hosts[0] is HALF
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (cut_off(), r"it broke off \(ReadError: reset; 0 of unknown bytes\)"),
        (Served(200, ETAG, (CLIP[:7],)), f"status 200, 7 of {LENGTH} bytes"),
        (Served(200, {}), "status 200, 0 of unknown bytes"),
        (Served(503, {"retry-after": "5"}), "status 503"),
    ],
    ids=label,
)
def test_a_host_that_does_not_deliver(host: Any, words: str, tmp_path: Path) -> None:
    """When the tries run out, the error says how far it got; the job is paid and stays."""
    stage = Stage(hosts=[host] * 4)
    with pytest.raises(DownloadError, match=words) as caught:
        download(stage, tmp_path / "out.mp4")
    error = caught.value
    assert (error.job_id, error.charged, error.resubmit) == (JOB_ID, "yes", "never")
    assert len(stage.fetches) == 4
    assert error.retry_after == (5.0 if "503" in words else None)
    part = tmp_path / "out.mp4.part" if "of 2" in words else None
    assert error.part == part
    assert (part is not None) == (f"is in {part}" in str(error)) == bool(list(tmp_path.iterdir()))


def test_a_fault_that_will_not_pass(tmp_path: Path) -> None:
    """What no second try can mend is not tried again."""
    fault = TransportFault("LocalProtocolError: bad address", sent=False, hopeless=True)
    stage = Stage(hosts=[fault] * 4)
    with pytest.raises(DownloadError, match="bad address"):
        download(stage, tmp_path / "out.mp4")
    assert len(stage.fetches) == 1


@pytest.mark.parametrize("status", [204, 400, 401, 451])
def test_refusals_are_not_repeated(status: int, tmp_path: Path) -> None:
    """A host that says no is not asked again, and the retries of the client count here too."""
    stage = Stage(hosts=[Served(status)] * 4)
    with pytest.raises(DownloadError, match=f"status {status}"):
        download(stage, tmp_path, retry=RetryPolicy(attempts=1 if status == 204 else 4))
    assert len(stage.fetches) == 1


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_address_that_has_run_out(status: int, tmp_path: Path) -> None:
    """The job is asked once for a new address, and the rest is fetched from there."""
    stage = Stage(
        completed("https://gen.example/new.mp4?sig=2"), hosts=[HALF, Served(status), REST]
    )
    assert download(stage, tmp_path / "out.mp4").size_bytes == len(CLIP)
    assert stage.operations == ["get_job"]
    assert stage.fetches[-1].url == "https://gen.example/new.mp4?sig=2"
    stage = Stage(completed(), hosts=[Served(status)] * 2)
    with pytest.raises(DownloadError, match=f"status {status}"):
        download(stage, tmp_path / "other.mp4")
    assert (len(stage.fetches), stage.operations) == (2, ["get_job"])


def test_an_address_that_cannot_be_renewed(tmp_path: Path) -> None:
    """A job that is gone, or has lost its result, ends the download with the job's id."""
    stage = Stage(answer(status=404), hosts=[Served(403)])
    with pytest.raises(NotFoundError) as caught:
        download(stage, tmp_path / "out.mp4")
    assert (caught.value.job_id, caught.value.resubmit) == (JOB_ID, "never")
    stage = Stage(job_answer("completed", result={}), hosts=[Served(403), Served(403)])
    with pytest.raises(DownloadError):
        download(stage, tmp_path / "out.mp4")
    assert [step.url for step in stage.fetches] == [CLIP_URL] * 2


def redirect(location: str, status: int = 302) -> Served:
    """Make a redirect."""
    return Served(status, {"location": location}, (b"moved",))


@pytest.mark.parametrize(
    ("locations", "last"),
    [
        (["https://cdn.example/o.mp4"], "https://cdn.example/o.mp4"),
        (["/other.mp4?sig=1"], "https://gen.example/other.mp4?sig=1"),
        (["//cdn.example/o.mp4"], "https://cdn.example/o.mp4"),
        (["a", "b", "c", "d", "e"], "https://gen.example/videos/e"),
    ],
)
def test_redirects(locations: list[str], last: str, tmp_path: Path) -> None:
    """Up to five redirects are followed, relative ones too; their bodies are not saved."""
    stage = Stage(hosts=[*map(redirect, locations), WHOLE])
    assert download(stage, tmp_path / "out.mp4").size_bytes == len(CLIP)
    assert stage.fetches[-1].url == last


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://cdn.example/o.mp4", "it is not https"),
        ("https://127.0.0.1/o.mp4", "its address is private"),
        ("https://169.254.169.254/latest/meta-data", "its address is private"),
        ("file:///etc/passwd", "its scheme is 'file'"),
        ("https://[oops", "no address"),
        ("https://cdn.example/\x7f", "a character that no address has"),
    ],
)
def test_every_redirect_obeys_the_rule_for_hosts(location: str, words: str, tmp_path: Path) -> None:
    """A redirect may not lead where the first address may not, and is not tried again."""
    stage = Stage(hosts=[redirect("https://cdn.example/ok"), redirect(location, 307)])
    with pytest.raises(DownloadError, match=words):
        download(stage, tmp_path / "out.mp4")
    assert len(stage.fetches) == 2
    local = Job(JOB_ID, "completed", outputs=(Output(location),))
    with pytest.raises(DownloadError):
        download(Stage(), tmp_path / "out.mp4", local)


def test_addresses_that_are_all_content_are_not_shown(tmp_path: Path) -> None:
    """Of an address without a host only the scheme is told, and of which job it is."""
    with pytest.raises(DownloadError, match="the output at data: was not fetched") as caught:
        download(Stage(hosts=[redirect("data:video/mp4;base64,s3cret")]), tmp_path / "out.mp4")
    assert "s3cret" not in str(caught.value)
    assert caught.value.job_id == JOB_ID
    assert "wait(" not in caught.value.hint


def test_redirects_without_an_end(tmp_path: Path) -> None:
    """A sixth redirect is one too many; one that leads nowhere is an answer like others."""
    stage = Stage(hosts=[redirect("a")] * 6)
    with pytest.raises(DownloadError, match="redirected more than 5 times"):
        download(stage, tmp_path / "out.mp4")
    with pytest.raises(DownloadError, match="status 302"):
        download(Stage(hosts=[Served(302)]), tmp_path / "out.mp4")


def test_signatures_are_not_shown(tmp_path: Path) -> None:
    """Neither message nor facts of an error contain the query of an address."""
    job = Job(JOB_ID, "completed", outputs=(Output(f"{CLIP_URL}?sig=s3cret"),))
    for hosts in ([Served(400)], [redirect("http://x.example/?sig=s3cret")]):
        with pytest.raises(DownloadError) as caught:
            download(Stage(hosts=hosts), tmp_path / "out.mp4", job)
        assert "s3cret" not in f"{caught.value} {vars(caught.value)}"


BROKEN = Served(200, ETAG, (CLIP[:1000],), cut_off())
RESUMED = {"range": "bytes=1000-", "if-range": '"v1"'}


def fail(stage: Stage, output: Path, *args: Any, **options: Any) -> DownloadError:
    """Download on a stage where that fails."""
    with pytest.raises(DownloadError) as caught:
        download(stage, output, *args, retry=RetryPolicy(attempts=1), **options)
    return caught.value


def test_resuming_what_was_kept(tmp_path: Path) -> None:
    """A download that has failed is taken up by the next one, in this process or another."""
    error = fail(Stage(hosts=[BROKEN]), tmp_path / "out.mp4")
    assert error.part == tmp_path / "out.mp4.part"
    assert error.part.read_bytes() == CLIP[:1000]
    assert "out.mp4.part; the next download to the same name goes on" in str(error)
    stage = Stage(hosts=[REST])
    assert download(stage, tmp_path / "out.mp4").sha256 == sha256(CLIP).hexdigest()
    assert [step.headers for step in stage.fetches] == [RESUMED]
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_host_that_is_away_costs_nothing(tmp_path: Path) -> None:
    """What an earlier try has kept is still there, and named, when the next brings nothing."""
    fail(Stage(hosts=[BROKEN]), tmp_path / "out.mp4")
    for host in (not_sent(), Served(503), Served(401)):
        assert fail(Stage(hosts=[host]), tmp_path / "out.mp4").part is not None
    stage = Stage(hosts=[REST])
    assert download(stage, tmp_path / "out.mp4").size_bytes == len(CLIP)


def test_another_jobs_part_is_not_continued(tmp_path: Path) -> None:
    """Two jobs that are saved to one name, one after the other, are never mixed."""
    fail(Stage(hosts=[BROKEN]), tmp_path / "out.mp4")
    stage = Stage(hosts=[WHOLE])
    other = Job("another", "completed", outputs=(Output(CLIP_URL),))
    assert download(stage, tmp_path / "out.mp4", other).path.read_bytes() == CLIP
    assert [step.headers for step in stage.fetches] == [{}]


def test_a_part_whose_file_has_changed(tmp_path: Path) -> None:
    """When the host has another file by now, If-Range brings that one, whole."""
    fail(Stage(hosts=[BROKEN]), tmp_path / "out.mp4")
    other = CLIP[::-1]
    stage = Stage(hosts=[Served(200, {"etag": '"v2"'}, (other,))])
    assert download(stage, tmp_path / "out.mp4").path.read_bytes() == other
    assert [step.headers for step in stage.fetches] == [RESUMED]


def test_what_lacks_nothing_but_its_name(tmp_path: Path) -> None:
    """A file that was whole when its name turned out to be taken is not fetched again."""
    (tmp_path / "out.mp4").mkdir()
    target = Target(tmp_path, "out.mp4", "replace")  # as if the folder had been made meanwhile
    part = part_for(target, JOB, 0, CLIP_URL)
    part.begin(200, ETAG)
    part.write(CLIP)
    assert (part.whole, part.accept()) == (True, True)
    with pytest.raises(DownloadError, match="Is a directory"):
        part.finish(target, JOB, 0)
    assert part.leave() == tmp_path / "out.mp4.part"
    (tmp_path / "out.mp4").rmdir()
    stage = Stage()
    assert download(stage, tmp_path / "out.mp4").sha256 == sha256(CLIP).hexdigest()
    assert stage.fetches == []


def digested(data: bytes, pieces: tuple[bytes, ...] = (CLIP,)) -> Served:
    """Serve a file with a digest."""
    return Served(200, {**ETAG, "repr-digest": f"sha-256=:{base64(data)}:"}, pieces)


def base64(data: bytes) -> str:
    """Return the SHA-256 of data in Base64."""
    return b64encode(sha256(data).digest()).decode()


def test_a_file_that_comes_spoilt(tmp_path: Path) -> None:
    """What does not hash to what the host announces is fetched again from its start, once."""
    spoilt = digested(CLIP, (CLIP[:-1] + b"?",))
    stage = Stage(hosts=[spoilt, digested(CLIP)])
    assert download(stage, tmp_path / "out.mp4").path.read_bytes() == CLIP
    assert [step.headers for step in stage.fetches] == [{}, {}]
    error = fail(Stage(hosts=[spoilt, spoilt]), tmp_path / "other.mp4")
    assert "do not hash to what the host announced" in str(error)
    assert (error.part, error.job_id) == (None, JOB_ID)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_rest_that_is_spoilt(tmp_path: Path) -> None:
    """The digest that came with the beginning counts for the end, of another process, too."""
    begun = digested(CLIP, (CLIP[:1000],))._replace(fault=cut_off())
    fail(Stage(hosts=[begun]), tmp_path / "out.mp4")
    rest = REST._replace(pieces=(CLIP[1000:-1] + b"?",))
    stage = Stage(hosts=[rest, digested(CLIP)])
    assert download(stage, tmp_path / "out.mp4").path.read_bytes() == CLIP
    assert [step.headers for step in stage.fetches] == [RESUMED, {}]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), LookupError("a bug")], ids=label)
def test_interruptions_name_the_part(error: BaseException, tmp_path: Path) -> None:
    """Whatever ends a download says where its beginning is; the next one goes on from there."""
    stage = Stage(hosts=[BROKEN], interruption=Interruption(error, at(Sleep)))
    with pytest.raises(type(error)) as caught:
        download(stage, tmp_path / "out.mp4")
    part = tmp_path / "out.mp4.part"
    assert any(str(part) in note for note in caught.value.__notes__)
    assert part.read_bytes() == CLIP[:1000]
    assert ("left" in stage.kinds()) == isinstance(error, KeyboardInterrupt)


def test_an_error_of_the_api_names_the_part(tmp_path: Path) -> None:
    """When the job cannot be asked for a new address, what has arrived is kept and named."""
    stage = Stage(answer(status=401), hosts=[BROKEN, Served(403)])
    with pytest.raises(AuthenticationError) as caught:
        download(stage, tmp_path / "out.mp4")
    assert f"is in {tmp_path / 'out.mp4.part'}" in str(caught.value)
    assert caught.value.job_id == JOB_ID


def test_a_page_instead_of_a_video(tmp_path: Path) -> None:
    """HTML that comes with 200 is not saved under the name of a video."""
    stage = Stage(hosts=[Served(200, {}, (b"<!doctype html><p>Log in",))])
    with pytest.raises(DownloadError, match="is text, not a media file") as caught:
        download(stage, tmp_path / "out.mp4")
    assert (caught.value.job_id, list(tmp_path.iterdir())) == (JOB_ID, [])


TWO = Job(
    JOB_ID,
    "completed",
    outputs=(Output(CLIP_URL), Output("p", "preview"), Output("https://gen.example/b.webm")),
)
WEBM = Served(200, {}, (b"\x1a\x45\xdf\xa3\x42\x82\x84webm",))


def test_several_results(tmp_path: Path) -> None:
    """Every result that is no preview is saved; the first one is the primary."""
    saved = download(Stage(hosts=[WHOLE, WEBM]), tmp_path, TWO)
    assert [path.name for path in saved.paths] == [f"{JOB_ID}.mp4", f"{JOB_ID}-2.webm"]
    assert (saved.media_type, saved.path.name) == ("video/mp4", f"{JOB_ID}.mp4")
    exact = download(Stage(hosts=[WHOLE, WEBM]), tmp_path / "out.mp4", TWO)
    assert [path.name for path in exact.paths] == ["out.mp4", "out-2.mp4"]


def test_a_second_result_that_fails(tmp_path: Path) -> None:
    """What was saved before stays, nothing partial does, and "keep" fetches what is missing."""
    error = fail(Stage(hosts=[WHOLE, Served(400)]), tmp_path / "out.mp4", TWO)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert 'Results saved: 1; exists="keep" fetches the others.' in str(error)
    stage = Stage(hosts=[WEBM])
    saved = download(stage, tmp_path / "out.mp4", TWO, exists="keep")
    assert [path.name for path in saved.paths] == ["out.mp4", "out-2.mp4"]
    assert (saved.size_bytes, len(stage.fetches)) == (len(CLIP), 1)


def test_a_second_result_whose_name_is_taken(tmp_path: Path) -> None:
    """Every name is looked at before anything is fetched."""
    (tmp_path / "out-2.mp4").write_text("mine")
    stage = Stage()
    with pytest.raises(InvalidRequestError, match=r"out-2\.mp4"):
        download(stage, tmp_path / "out.mp4", TWO)
    stage = Stage(hosts=[WHOLE])
    saved = download(stage, tmp_path / "out.mp4", TWO, exists="keep")
    assert [path.name for path in saved.paths] == ["out.mp4", "out-2.mp4"]
    assert (tmp_path / "out-2.mp4").read_text() == "mine"


@pytest.mark.parametrize("folder", [False, True])
def test_when_the_file_is_there(folder: bool, tmp_path: Path) -> None:
    """A file that exists is an error, replaced, or kept without a fetch, as asked."""
    file = tmp_path / (f"{JOB_ID}.mp4" if folder else "out.mp4")
    output = tmp_path if folder else file
    file.write_bytes(b"mine")
    with pytest.raises(InvalidRequestError, match="exists") as caught:
        download(Stage(), output)
    assert (caught.value.job_id == JOB_ID) is folder
    kept = download(Stage(), output, exists="keep")
    assert (kept.path, kept.size_bytes, kept.job) == (file, 4, JOB)
    download(Stage(hosts=[WHOLE]), output, exists="replace")
    assert file.read_bytes() == CLIP


def test_a_part_that_somebody_else_holds(tmp_path: Path) -> None:
    """Two downloads to one name do not mix: the second one uses a part of its own."""
    other = part_for(Target(tmp_path, "out.mp4", "error"), JOB, 0, CLIP_URL)
    assert download(Stage(hosts=[WHOLE]), tmp_path / "out.mp4").path.read_bytes() == CLIP
    assert other.path.exists()
    other.leave()


def transform(stage: Stage, output: Path, exists: Any = "error", **options: Any) -> Saved:
    """Go the whole way on a stage."""
    wait_timeout = options.pop("wait_timeout", AUTO)
    ask = partial(
        _wire.draft,
        io.BytesIO(CLIP),
        "make it snow",
        {},
        extra_body=None,
        checks="error",
        account="default",
    )
    return stage.play(
        _results.transform(
            configured(**options),
            ask,
            output,
            exists=exists,
            wait_timeout=wait_timeout,
            webhook_url=None,
        )
    )


UPLOADED = answer({"id": "a1", "image_url": "https://u.example/1"})


def test_the_whole_way(tmp_path: Path) -> None:
    """Upload, submit, wait, save: each once, the accepted job shown first."""
    stage = Stage(
        UPLOADED, job_answer("queued"), job_answer("processing"), completed(), hosts=[WHOLE]
    )
    saved = transform(stage, tmp_path / "out.mp4")
    assert saved.path.read_bytes() == CLIP
    assert saved.job is not None
    assert saved.job.id == JOB_ID
    assert stage.operations == ["upload_asset", "create_aleph_job", "get_job", "get_job"]
    assert changes(stage) == ["queued", "processing", "completed"]


@pytest.mark.parametrize(
    ("output", "exists"),
    [("taken.mp4", "error"), ("missing/out.mp4", "error"), ("out.mp4", "maybe")],
)
def test_nothing_is_sent_for_an_output_that_cannot_work(
    output: str, exists: str, tmp_path: Path
) -> None:
    """Where the result goes is checked before anything is uploaded or paid."""
    (tmp_path / "taken.mp4").touch()
    stage = Stage()
    with pytest.raises(InvalidRequestError):
        transform(stage, tmp_path / output, exists)
    assert stage.requests == []


def test_a_result_that_is_there_is_not_paid_again(tmp_path: Path) -> None:
    """With exists="keep" a file that is there is the answer, and nothing runs."""
    (tmp_path / "out.mp4").write_bytes(CLIP)
    stage = Stage()
    kept = transform(stage, tmp_path / "out.mp4", "keep")
    assert (kept.sha256, kept.job) == (sha256(CLIP).hexdigest(), None)
    assert stage.requests == []


@pytest.mark.parametrize(
    ("answers", "hosts", "kind", "charged", "resubmit"),
    [
        ([answer(status=503)], [], KreaError, "no", "safe"),
        ([UPLOADED, cut_off()], [], SubmitUncertainError, "unknown", "never"),
        ([UPLOADED, answer(status=402)], [], KreaError, "no", "pointless"),
        ([UPLOADED, job_answer(), job_answer("failed")], [], JobFailedError, "no", "safe"),
        ([UPLOADED, job_answer()], [], WaitTimeoutError, "unknown", "never"),
        ([UPLOADED, job_answer(), answer(status=401)], [], KreaError, "unknown", "never"),
        ([UPLOADED, job_answer(), completed()], [Served(400)], DownloadError, "yes", "never"),
        (
            [UPLOADED, job_answer(), completed("http://x.example/o")],
            [],
            DownloadError,
            "yes",
            "never",
        ),
    ],
    ids=label,
)
def test_where_it_may_fail(
    answers: Any, hosts: Any, kind: type[KreaError], charged: str, resubmit: str, tmp_path: Path
) -> None:
    """Wherever the way ends early, the error says what it costs, and names the job if there is."""
    stage = Stage(*answers, hosts=hosts)
    with pytest.raises(kind) as caught:
        transform(stage, tmp_path / "out.mp4", wait_timeout=30.0)
    assert (caught.value.charged, caught.value.resubmit) == (charged, resubmit)
    assert caught.value.job_id == (JOB_ID if len(answers) > 2 or kind is WaitTimeoutError else None)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_while_the_job_runs(tmp_path: Path) -> None:
    """A file that appears meanwhile is not overwritten; the error says that the job is paid."""

    def appear(_: Stage, __: Any) -> Any:
        (tmp_path / "out.mp4").write_text("mine")
        return completed()

    stage = Stage(UPLOADED, job_answer(), appear)
    with pytest.raises(InvalidRequestError, match="exists") as caught:
        transform(stage, tmp_path / "out.mp4")
    assert (caught.value.job_id, caught.value.charged) == (JOB_ID, "yes")
    assert (tmp_path / "out.mp4").read_text() == "mine"
