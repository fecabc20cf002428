"""The commands about one job, as somebody uses them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from krea_aleph import SQLiteStore
from krea_aleph.emulator import Emulator, Fault

from .conftest import URL, Krea, Start


def test_run_saves_the_result_and_prints_its_path(krea: Krea, clip: str) -> None:
    """One command goes the whole way; what it prints can be used by the next one."""
    done = krea("run", clip, "make it snow", "-o", "out.mp4")
    assert (done.code, done.out) == (0, "out.mp4\n")
    assert Path("out.mp4").stat().st_size > 0
    assert "queued, waited 0 s" in done.err
    assert "saved out.mp4" in done.err


def test_the_same_command_again_pays_once(krea: Krea, clip: str) -> None:
    """A command that is run again goes on with the job that it has started."""
    krea("run", clip, "make it snow", "-o", "out.mp4")
    Path("out.mp4").unlink()
    done = krea("run", clip, "make it snow", "-o", "out.mp4")
    assert (done.code, krea.emulator.accepted) == (0, 1)
    (job,) = krea.emulator.jobs
    assert f"the same was submitted before, as job {job.id}; --new makes another one" in done.err


def test_another_file_is_another_variant(krea: Krea, clip: str) -> None:
    """Who asks for the same under another name wants another one."""
    krea("run", clip, "make it snow", "-o", "one.mp4")
    done = krea("run", clip, "make it snow", "-o", "two.mp4")
    assert krea.emulator.accepted == 2
    first = krea.emulator.jobs[0].id
    assert f"the same request was paid for before, as job {first};" in done.err


def test_new_makes_and_pays_for_another_variant(krea: Krea) -> None:
    """The same is made again only when somebody says so."""
    first = krea("submit", URL, "make it snow").out
    assert krea("submit", URL, "make it snow").out == first
    assert krea("wait", first.strip()).code == 0
    second = krea("submit", URL, "make it snow", "--new").out
    assert second != first
    assert krea.emulator.accepted == 2
    assert krea("submit", URL, "make it snow").out == second  # the newest one counts


def test_new_pays_for_nothing_while_the_variant_before_is_not_over(krea: Krea) -> None:
    """The line that a crash has cut short is run again: it says how to go on, and pays nothing."""
    first = krea("submit", URL, "snow").out.strip()
    again = krea("submit", URL, "snow", "--new")
    assert (again.code, krea.emulator.accepted) == (2, 1)
    assert f"job {first}, is queued yet" in again.err
    assert f"go on:     krea-aleph wait {first}\n" in again.err
    assert krea("submit", URL, "snow", "--new", "--new").code == 0
    assert krea.emulator.accepted == 2


def test_new_pays_for_nothing_while_a_result_is_not_saved(krea: Krea) -> None:
    """A job that has ended after its command was killed has a result that is paid for."""
    krea.emulator.outcome(seconds=1000)
    assert krea("run", URL, "snow", "-o", "o.mp4", "--wait-timeout", "5").code == 4
    (job,) = krea.emulator.jobs
    krea("wait", job.id)
    done = krea("run", URL, "snow", "-o", "o.mp4", "--new")
    assert (done.code, krea.emulator.accepted) == (2, 1)
    assert f"go on:     krea-aleph wait {job.id} -o o.mp4\n" in done.err
    assert krea("run", URL, "snow", "-o", "o.mp4").code == 0
    assert krea("run", URL, "snow", "-o", "o.mp4", "--new", "--exists", "replace").code == 0
    assert krea.emulator.accepted == 2


def test_new_pays_for_nothing_while_a_submit_is_open(krea: Krea) -> None:
    """Whether there is a job is seen first."""
    krea.emulator.fault(Fault(operation="create_aleph_job", drop="after"))
    assert krea("submit", URL, "snow").code == 5
    done = krea("submit", URL, "snow", "--new")
    assert (done.code, krea.emulator.accepted) == (5, 1)
    assert "go on:     krea-aleph recover cli:" in done.err


def test_a_file_has_one_name_however_it_is_said(krea: Krea) -> None:
    """Another way to write the same path is no other variant."""
    Path("sub").mkdir()
    for output in ("o.mp4", "./o.mp4", "sub/../o.mp4", str(Path("o.mp4").absolute())):
        assert krea("run", URL, "snow", "-o", output, "--exists", "replace").code == 0
    assert krea.emulator.accepted == 1


def test_a_result_that_could_not_be_saved_is_not_paid_again_elsewhere(krea: Krea) -> None:
    """Where another place is named for it, the way to save it there is told."""
    krea.emulator.fault(Fault(operation="download", status=404, times=2))
    failed = krea("run", URL, "snow", "-o", "one.mp4")
    (job,) = krea.emulator.jobs
    assert failed.code == 3
    assert "give another -o to the command that goes on" in " ".join(failed.err.split())
    done = krea("run", URL, "snow", "-o", "two.mp4")
    assert (done.code, krea.emulator.accepted) == (2, 1)
    assert f"go on:     krea-aleph wait {job.id} -o two.mp4\n" in done.err
    assert krea("run", URL, "snow", "-o", "two.mp4", "--new").code == 0
    assert krea.emulator.accepted == 2


def test_what_is_finished_is_no_error_when_it_is_run_again(krea: Krea, clip: str) -> None:
    """A script that is run twice finds its file, and nothing is asked for."""
    krea("run", clip, "snow", "-o", "out.mp4")
    asked = len(krea.emulator.requests)
    done = krea("run", clip, "snow", "-o", "out.mp4", "--json")
    saved = done.documents[-1]
    assert (done.code, saved["path"], len(krea.emulator.requests)) == (0, "out.mp4", asked)
    assert saved["job_id"] == krea.emulator.jobs[0].id
    Path("other.mp4").touch()
    assert krea("run", clip, "snow", "-o", "other.mp4").code == 2


def test_what_is_finished_is_found_in_a_folder(krea: Krea) -> None:
    """Where the name is the job's id, too."""
    first = krea("run", URL, "snow", "-o", "clips/", "--exists", "error")
    assert first.code == 2
    Path("clips").mkdir()
    first = krea("run", URL, "snow", "-o", "clips")
    again = krea("run", URL, "snow", "-o", "clips/")
    assert (first.code, again.code, again.out) == (0, 0, first.out)


def test_a_command_that_is_started_twice_at_once_is_done_twice(
    program: Start, server: Emulator
) -> None:
    """One pays, both end well."""
    with ThreadPoolExecutor() as pool:
        started = [pool.submit(program, "run", URL, "snow", "-o", "out.mp4") for _ in range(2)]
        found = [one.result() for one in started]
    assert [done.code for done in found] == [0, 0], found
    assert server.accepted == 1


def test_a_server_that_has_forgotten_the_job_is_told_from_a_mistake(krea: Krea) -> None:
    """As an emulator that was started anew: the way on is named."""
    krea("submit", URL, "snow")
    krea.emulator.reset()
    done = krea("run", URL, "snow", "-o", "out.mp4")
    assert done.code == 0  # another output, so another job
    krea.emulator.reset()
    Path("out.mp4").unlink()
    done = krea("run", URL, "snow", "-o", "out.mp4")
    assert done.code == 3
    assert "The server does not know the job" in done.err
    assert f"go on:     krea-aleph run {URL} snow -o out.mp4 --new\n" in done.err
    krea.emulator.fault(Fault(operation="create_aleph_job", status=404))
    gone = krea("run", URL, "rain", "-o", "out.mp4")
    assert "it means that the operation is gone" in gone.err


def test_a_failed_job_with_a_name_needs_another_name(krea: Krea) -> None:
    """`--new` goes without a name of the user's: a name stands for one thing."""
    krea.emulator.outcome(status="failed")
    done = krea("run", URL, "snow", "-o", "out.mp4", "--intent", "shot")
    assert done.code == 3
    assert "--new" not in done.err
    assert krea("run", URL, "snow", "-o", "out.mp4", "--intent", "shot", "--new").code == 2


def test_time_that_is_up_cancels_the_job_when_that_was_chosen(krea: Krea) -> None:
    """Nobody is told that a job still runs which was cancelled."""
    krea.emulator.outcome(seconds=1e6)
    options = ("--wait-timeout", "5", "--abandon", "cancel")
    done = krea("run", URL, "snow", "-o", "out.mp4", *options)
    assert done.code == 4
    assert "was asked to be cancelled; outcome: cancelled." in done.err
    assert "krea-aleph wait" not in done.err


def test_an_intent_is_the_users_own_name(krea: Krea) -> None:
    """Under one name there is one request: another one is refused, and named."""
    krea("submit", URL, "make it snow", "--intent", "shot-17")
    done = krea("submit", URL, "make it rain", "--intent", "shot-17")
    assert done.code == 2
    assert "'shot-17' stands for another request, which differs in prompt" in done.err


def test_a_failed_job_says_how_to_try_again(krea: Krea) -> None:
    """The message names what it has cost and the command that makes a new attempt."""
    krea.emulator.outcome(status="failed", error={"code": "oops", "message": "out of memory"})
    done = krea("run", URL, "make it snow", "-o", "out.mp4")
    assert done.code == 3
    assert "failed: oops: out of memory." in done.err
    assert "charged:   no\nresubmit:  safe\n" in done.err
    assert f"go on:     krea-aleph run {URL} 'make it snow' -o out.mp4 --new\n" in done.err


def test_options_of_the_contract_are_read_as_the_contract_says(krea: Krea) -> None:
    """Texts become numbers and lists where those are asked for."""
    reference = '[{"type": "image", "uri": "https://example.com/style.png"}]'
    krea("submit", URL, "snow", "--seed", "7", "--ratio", "720:1280", "--references", reference)
    body = krea.emulator.jobs[0].body
    assert (body["seed"], body["ratio"]) == (7, "720:1280")
    assert body["references"][0]["uri"] == "https://example.com/style.png"


def test_a_field_that_the_contract_does_not_know_goes_through(krea: Krea) -> None:
    """`--extra-body` is the way past a contract that has grown old."""
    done = krea("submit", URL, "snow", "--extra-body", '{"quality": "high"}', "--dry-run")
    assert '"quality": "high"' in done.out
    assert krea("submit", URL, "snow", "--extra-body", "[1]").code == 2
    assert krea("submit", URL, "snow", "--extra-body", "{").code == 2


def test_a_dry_run_needs_neither_network_nor_key(clip: str, krea: Krea) -> None:
    """It says what would be sent, and sends nothing."""
    done = krea("run", clip, "snow", "-o", "out.mp4", "-n", base_url="http://127.0.0.1:1")
    assert done.code == 0
    assert '"init_video": "upload:video"' in done.out
    assert not krea.emulator.requests


def test_a_dry_run_looks_where_the_result_goes(clip: str, krea: Krea) -> None:
    """What `run` would refuse, it refuses too."""
    Path("there.mp4").touch()
    for output in ("there.mp4", "no-such-folder/out.mp4"):
        done = krea("run", clip, "snow", "-o", output, "-n")
        assert done.code == krea("run", clip, "snow", "-o", output).code == 2
        assert "output: " in done.err
    assert krea("run", clip, "snow", "-o", "there.mp4", "-n", "--exists", "replace").code == 0
    assert not krea.emulator.requests


def test_a_store_that_is_none_stops_a_command_before_anything_is_sent(krea: Krea) -> None:
    """That is a setting that cannot work, and the exit code says so."""
    Path("notes.txt").write_text("no database, but long enough to be taken for one" * 9)
    assert krea("submit", URL, "snow", "--store", "notes.txt").code == 2
    assert not krea.emulator.requests


def test_wait_watch_get_and_list_tell_of_the_same_job(krea: Krea) -> None:
    """Any process can go on with a job by its id."""
    job_id = krea("submit", URL, "snow").out.strip()
    watched = krea("watch", job_id).out.splitlines()
    assert watched[-1].startswith(f"{job_id}: completed, ")
    assert krea("wait", job_id).out.startswith("http")
    assert "status     completed" in krea("get", job_id).out
    assert krea("list").out.split("\t")[:2] == [job_id, "completed"]


def test_a_job_that_is_gone_on_with_does_not_begin_anew(krea: Krea) -> None:
    """It says how long is waited for it and, when it has ended, how long it took."""
    job_id = krea("submit", URL, "snow").out.strip()
    krea.emulator.clock.sleep(160)
    lines = krea("wait", job_id).err.splitlines()
    assert lines[0].startswith(f"{job_id}: sampling, waited 0 s, next look in ")
    assert lines[-1] == f"{job_id}: completed, took 2:50"


def test_wait_saves_where_it_is_told(krea: Krea) -> None:
    """`wait -o` is how a command that was interrupted goes on."""
    job_id = krea("submit", URL, "snow").out.strip()
    assert krea("wait", job_id, "-o", "late.mp4").out == "late.mp4\n"
    assert krea("download", job_id, "-o", "again.mp4").out == "again.mp4\n"
    assert Path("late.mp4").read_bytes() == Path("again.mp4").read_bytes()


def test_download_never_waits(krea: Krea) -> None:
    """A job that still runs is told with the command that waits for it."""
    job_id = krea("submit", URL, "snow").out.strip()
    done = krea("download", job_id, "-o", "out.mp4")
    assert done.code == 3
    assert f"go on:     krea-aleph wait {job_id} -o out.mp4\n" in done.err


def test_list_shows_as_many_as_wanted(krea: Krea) -> None:
    """The newest come first; filters go to the server."""
    ids = [krea("submit", URL, f"snow {number}").out.strip() for number in range(3)]
    assert [line.split("\t")[0] for line in krea("list").out.splitlines()] == ids[::-1]
    assert len(krea("list", "--limit", "2").out.splitlines()) == 2
    assert not krea("list", "--status", "failed").out
    assert not krea("list", "--until", "2001-01-01").out
    assert krea("list", "--since", "yesterday").code == 2
    assert krea("list", "--limit", "-1").code == 2


def test_cancel_says_what_came_of_it(krea: Krea) -> None:
    """A job that was cancelled is told so; one that has ended is not touched."""
    job_id = krea("submit", URL, "snow").out.strip()
    assert krea("cancel", job_id).out == "cancelled\n"
    assert krea("cancel", job_id).out == "already cancelled\n"


def test_cancelling_that_is_refused_is_no_success(krea: Krea) -> None:
    """Scripts see by the exit code that the job may still run."""
    job_id = krea("submit", URL, "snow").out.strip()
    krea.emulator.fault(Fault(operation="delete_job", status=400, times=9))
    done = krea("cancel", job_id)
    assert (done.code, done.out) == (3, "refused\n")


def test_upload_prints_the_address(krea: Krea, clip: str) -> None:
    """What was uploaded once can be used in several jobs."""
    address = krea("upload", clip).out.strip()
    assert krea("submit", address, "snow").code == 0
    assert krea.emulator.jobs[0].body["init_video"] == address


def test_the_upload_is_deleted_when_wanted(krea: Krea, clip: str) -> None:
    """`--delete-upload` leaves nothing of ours at Krea."""
    krea("run", clip, "snow", "-o", "out.mp4", "--delete-upload")
    assert "delete_asset" in [request.operation for request in krea.emulator.requests]


def test_the_key_may_come_from_a_file(krea: Krea, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is never an option, where shells and process lists would keep it."""
    Path("key").write_text(f"{krea.emulator.key}\n")
    assert krea("list", "--api-key-file", "key", api_key="wrong").code == 0
    monkeypatch.setenv("KREA_API_KEY_FILE", "key")
    assert krea("list", api_key="wrong").code == 0
    assert krea("list", "--api-key-file", "no-such-file").code == 2
    with Path("key").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert krea("list", "--api-key-file", "-", api_key="wrong").code == 0


def test_options_win_over_the_environment(krea: Krea, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said now counts more than what was set once."""
    monkeypatch.setenv("KREA_STORE", "one.sqlite3")
    krea("submit", URL, "snow", "--store", "two.sqlite3")
    assert Path("two.sqlite3").exists()
    assert not Path("one.sqlite3").exists()
    assert krea("doctor", "--base-url", "http://127.0.0.1:9", "--json").code == 3


def test_submits_are_written_down_in_the_state_folder(krea: Krea) -> None:
    """Each server has a file of its own: what one knows is nothing to another."""
    krea("submit", URL, "snow")
    host = krea.emulator.base_url.removeprefix("http://").replace(":", "_")
    with SQLiteStore(Path("state/krea-aleph") / f"{host}.sqlite3") as store:
        (record,) = store.find("default", ["accepted"])
    assert record.intent.startswith("cli:")


def test_a_state_folder_that_cannot_be_made_is_told(
    krea: Krea, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is sent, and without a traceback."""
    Path("file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(Path("file").absolute()))
    done = krea("submit", URL, "snow")
    assert done.code == 2
    assert "cannot be made: Not a directory" in done.err
    assert "hint:      Name another one with --store." in done.err
    assert krea.emulator.accepted == 0


def test_commands_that_go_on_reach_the_same_account(krea: Krea) -> None:
    """What was said on the command line is said again in the command that is printed."""
    krea.emulator.outcome(seconds=1e6)
    done = krea(
        *("run", URL, "snow", "-o", "my out.mp4", "--wait-timeout", "5"),
        *("--account", "studio", "--trusted-host", "a", "--store", "s.sqlite3"),
    )
    assert done.code == 4
    (job,) = krea.emulator.jobs
    options = "--account studio --trusted-host a"
    assert f"krea-aleph wait {job.id} -o 'my out.mp4' {options}\n" in done.err


def test_a_lost_answer_names_the_store_that_knows_of_it(krea: Krea) -> None:
    """`recover` looks where the submit was written down."""
    krea.emulator.fault(Fault(operation="create_aleph_job", drop="after"))
    done = krea("submit", URL, "snow", "--intent", "shot 17", "--store", "s.sqlite3")
    assert done.code == 5
    assert "krea-aleph recover 'shot 17' --store s.sqlite3\n" in done.err
