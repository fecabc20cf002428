"""`doctor`: what may be wrong here, and what to do about it."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from krea_aleph import contract
from krea_aleph.cli import doctor, main
from krea_aleph.contract import Contract, Notice
from krea_aleph.emulator import Emulator, Fault

from .conftest import URL, Done, Krea


def checks(done: Done) -> dict[str, dict[str, Any]]:
    """Return what was looked at, by name."""
    (document,) = done.documents
    assert document["type"] == "doctor"
    assert document["ok"] == (done.code == 0)
    return {check["name"]: check for check in document["checks"]}


def test_all_is_well(server: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each thing that was looked at, and exit code 0."""
    code = main(["doctor"], base_url=server.base_url, api_key=server.key)
    done = Done(code, *capsys.readouterr())
    assert done.code == 0
    names = [line.split()[1] for line in done.out.splitlines()]
    assert names == (
        "version extras contract key proxy host tls clock account store disk state".split()
    )
    assert all(line.startswith("ok ") for line in done.out.splitlines()), done.out


def test_nothing_is_paid_for(krea: Krea) -> None:
    """It reads, and submits nothing; the key goes only where it is asked for."""
    krea("doctor")
    first, second = krea.emulator.requests
    assert "authorization" not in first.headers
    assert (second.operation, second.method) == ("list_jobs", "GET")
    assert krea.emulator.accepted == 0


def test_offline_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a network there is an answer all the same."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        code = main(["doctor", "--json", "--base-url", url], api_key="some:key")
    found = checks(Done(code, *capsys.readouterr()))
    assert code == 3
    assert found["host"]["state"] == "fail"
    assert "Check the network" in found["host"]["advice"]
    assert found["disk"]["state"] == "ok"


def test_a_missing_key_is_told_with_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    """Who has no key learns where it goes."""
    with Emulator(render=False) as emulator:
        code = main(["doctor", "--json"], base_url=emulator.base_url)
    found = checks(Done(code, *capsys.readouterr()))
    assert code == 3
    assert found["key"]["state"] == "fail"
    assert "KREA_API_KEY" in found["key"]["advice"]
    assert found["host"]["state"] == "ok"
    assert "account" not in found


def test_a_setting_that_cannot_work_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A bad address, for instance."""
    code = main(["doctor", "--json", "--base-url", "http://example.com"], api_key="some:key")
    found = checks(Done(code, *capsys.readouterr()))
    assert code == 3
    assert "unencrypted" in found["settings"]["found"]


def test_a_key_that_is_refused_fails(krea: Krea) -> None:
    """It is tried with a request that costs nothing."""
    found = checks(krea("doctor", "--json", api_key="wrong:key"))
    assert found["account"]["state"] == "fail"
    assert "401" in found["account"]["found"]


def test_a_strange_host_does_not_get_the_key(krea: Krea) -> None:
    """A base URL that was mistyped is no reason to hand out the key, unless somebody says so."""
    strange = krea.emulator.base_url.replace("127.0.0.1", "127.1")  # another name of this machine
    command = ("doctor", "--json", "--base-url", strange, "--trusted-host", "127.1")
    found = checks(krea(*command))
    assert found["host"]["state"] == "ok"
    assert found["account"]["state"] == "warn"
    assert "the key was not sent to 127.1" in found["account"]["found"]
    assert not [one for one in krea.emulator.requests if "authorization" in one.headers]
    assert checks(krea(*command, "--send-key"))["account"]["state"] == "ok"


def test_a_proxy_that_would_see_the_key_does_not_get_it(krea: Krea) -> None:
    """Unencrypted, everybody on the way reads along."""
    found = checks(krea("doctor", "--json", "--proxy", krea.emulator.base_url))
    assert found["proxy"]["found"] == krea.emulator.base_url
    assert found["account"]["state"] == "warn"
    assert "the proxy would see it" in found["account"]["found"]
    assert not [one for one in krea.emulator.requests if "authorization" in one.headers]


def test_a_proxys_password_is_not_shown(krea: Krea) -> None:
    """Reports are pasted into issues."""
    proxy = krea.emulator.base_url.replace("http://", "http://user:secret@")
    done = krea("doctor", "--json", "--proxy", proxy)
    assert "secret" not in done.out


def test_a_clock_that_is_wrong_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The server's own clock is in its answers."""
    with Emulator(render=False) as emulator:
        date = (datetime.now(UTC) + timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        emulator.fault(Fault(status=404, headers={"date": date}, times=None))
        code = main(["doctor", "--json"], base_url=emulator.base_url, api_key=emulator.key)
    found = checks(Done(code, *capsys.readouterr()))
    assert found["clock"]["state"] == "warn", found
    assert "behind the server's" in found["clock"]["found"]


def test_a_certificate_that_nobody_has_vouched_for_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As behind a proxy that opens TLS: the remedy is named."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        connection, _ = listener.accept()
        with connection, pytest.raises(ssl.SSLError):
            context.wrap_socket(connection, server_side=True)

    thread = threading.Thread(target=refuse)
    thread.start()
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    code = main(["doctor", "--json", "--base-url", url], api_key="some:key")
    thread.join()
    listener.close()
    found = checks(Done(code, *capsys.readouterr()))
    assert found["tls"]["state"] == "fail"
    assert "SSL_CERT_FILE" in found["tls"]["advice"]


def test_an_old_contract_is_worth_a_look(krea: Krea, monkeypatch: pytest.MonkeyPatch) -> None:
    """After half a year one asks whether Krea has moved on."""
    monkeypatch.setattr(contract, "pinned", lambda: Contract("a" * 64, "2020-01-01", "x"))
    found = checks(krea("doctor", "--json"))["contract"]
    assert (found["state"], "diff --live" in found["advice"]) == ("warn", True)


def test_an_operation_that_is_going_to_end_is_named(
    krea: Krea, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs a report sees it in time."""
    ends = {"create_aleph_job": Notice("create_aleph_job", sunset="2027-01-01")}
    monkeypatch.setattr(contract, "notices", lambda: ends)
    found = checks(krea("doctor", "--json"))["contract"]
    assert "create_aleph_job" in found["found"]
    assert "switched off on 2027-01-01" in krea("contract").out


def test_submits_without_an_answer_are_named(krea: Krea) -> None:
    """What is open is easily forgotten."""
    krea.emulator.fault(Fault(operation="create_aleph_job", drop="after"))
    krea("submit", URL, "snow")
    found = checks(krea("doctor", "--json"))["store"]
    assert (found["state"], "krea-aleph recover" in found["advice"]) == ("warn", True)


def test_a_store_that_is_none_fails(krea: Krea) -> None:
    """A file that is something else is told, and left as it is."""
    Path("notes.txt").write_text("no database, but long enough to be taken for one" * 9)
    found = checks(krea("doctor", "--json", "--store", "notes.txt"))["store"]
    assert found["state"] == "fail"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="nothing else is closed to everybody")
def test_a_folder_that_cannot_be_made_fails(krea: Krea, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions do not say it all: it is tried."""
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/x")
    found = checks(krea("doctor", "--json"))
    assert (found["state"]["state"], found["store"]["state"]) == ("fail", "fail")
    assert "cannot be written: " in found["state"]["found"]


def test_a_full_disk_is_told(krea: Krea, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results need room."""
    monkeypatch.setattr(doctor, "_LITTLE_BYTES", 10**18)
    found = checks(krea("doctor", "--json"))
    assert (found["disk"]["state"], found["state"]["state"]) == ("warn", "warn")
