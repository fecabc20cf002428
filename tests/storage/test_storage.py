"""How a client is told of its buckets, and what it then does not tell on."""

from __future__ import annotations

import copy
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore, S3Store

from buckets import KEY_ID, SECRET, Bucket, use_environment
from colours import CLIP
from krea_aleph import Aleph, ConfigError, InvalidRequestError, MissingExtraError, _buckets
from krea_aleph.emulator import Emulator
from krea_aleph.storage import ObjectAddress, Storage


def test_what_the_environment_says(
    emulator: Emulator, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``storage=`` the usual variables count, for any bucket."""
    use_environment(monkeypatch, bucket)
    url = bucket.put("in.mp4", CLIP)
    with emulator.aleph(virtual_time=True) as aleph:
        aleph.transform(url, "snow", f"{bucket.url}/out.mp4")
    assert bucket.keys == ["in.mp4", "out.mp4"]


@pytest.mark.parametrize("form", ["store", "settings", "callable", "callable of settings"])
def test_what_a_client_may_be_given(form: str, emulator: Emulator, bucket: Bucket) -> None:
    """A mapping or a callable, to stores of obstore's or to settings for them."""
    store = S3Store(bucket.name, **bucket.settings)
    asked: list[str] = []

    def choose(url: str) -> Any:
        asked.append(url)
        return store if form == "callable" else bucket.settings

    given: Any = {
        "store": {bucket.url: store},
        "settings": {bucket.url: bucket.settings},
        "callable": choose,
        "callable of settings": choose,
    }[form]
    url = bucket.put("in.mp4", CLIP)
    with emulator.aleph(storage=given) as aleph:
        aleph.check(url, "snow")
        aleph.with_options(storage=Storage(given)).check(url, "snow")
        aleph.check(url, "snow")
    assert asked == ([bucket.url] * 2 if "callable" in form else [])


@pytest.mark.parametrize("given", [{}, lambda _: None])
def test_a_bucket_that_is_not_among_them(given: Any, emulator: Emulator) -> None:
    """What a client was not given it does not reach, whatever the environment says."""
    with (
        emulator.aleph(storage=given) as aleph,
        pytest.raises(InvalidRequestError, match="this client has no store for s3://clips"),
    ):
        aleph.check("s3://clips/in.mp4", "snow")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Aleph(api_key="k", storage=7), "a mapping or a callable is needed, not int"),  # type: ignore[typeddict-item]
        (lambda: Storage("s3://clips"), "a mapping or a callable is needed, not str"),  # type: ignore[arg-type]
        (lambda: Storage(presign=0), "0 is no number of seconds from 1 to 604,800"),
        (lambda: Storage(presign=10**6), "1000000 is no number"),
        (lambda: Storage(presign=True), "True is no number"),
        (lambda: Storage(presign=float("nan")), "nan is no number"),
    ],
)
def test_what_cannot_work(make: Any, words: str) -> None:
    """It is refused at once."""
    with pytest.raises(ConfigError, match=words):
        make()


def test_a_callable_that_fails(emulator: Emulator) -> None:
    """Its error is told by its class; its words are its own concern."""

    def fail(_: str) -> Any:
        raise RuntimeError(SECRET)

    with (
        emulator.aleph(storage=fail) as aleph,
        pytest.raises(ConfigError, match="the callable raised RuntimeError") as caught,
    ):
        aleph.check("s3://clips/in.mp4", "snow")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("s3://clips/in.mp4", {"no_such_setting": SECRET}),
        ("az://clips/in.mp4", {"account_key": SECRET}),
        ("s3://clips/in.mp4", {"allow_http": True}),  # one of client_options: obstore panics
    ],
)
def test_settings_that_cannot_be(url: str, settings: dict[str, str], emulator: Emulator) -> None:
    """What obstore refuses is a ConfigError without the settings in it."""
    bucket = url.rpartition("/")[0]
    with (
        emulator.aleph(storage={bucket: settings}) as aleph,
        pytest.raises(
            ConfigError, match=f"{bucket} cannot be opened as it is configured"
        ) as caught,
    ):
        aleph.check(url, "snow")
    error = caught.value
    assert SECRET not in f"{error} {error.__cause__} {error.__context__}"
    assert error.hint


def test_a_storage_shows_nothing(bucket: Bucket) -> None:
    """Neither a repr nor a pickle nor a copy has what buckets are reached with."""
    storage = Storage({bucket.url: bucket.settings}, presign=60)
    storage.store(bucket.url)
    assert repr(storage) == "Storage(...)"
    with pytest.raises(TypeError, match="does not pickle"):
        pickle.dumps(storage)
    with pytest.raises(TypeError, match="does not pickle"):
        copy.deepcopy(storage)
    client = Aleph(api_key="k", storage=storage)
    for secret in (KEY_ID, SECRET):
        assert secret not in repr(client)
        assert secret not in repr(client._config)
    client.close()


def test_without_the_extra(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without obstore an address of a bucket says which extra is missing; nothing is sent."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    with emulator.aleph() as aleph:
        for call in (
            lambda: aleph.submit("s3://clips/in.mp4", "snow"),
            lambda: aleph.transform("https://example.com/in.mp4", "snow", "s3://clips/out.mp4"),
            lambda: list(aleph.batch([], output_dir="s3://clips/out")),
        ):
            with pytest.raises(MissingExtraError, match=r"krea-aleph\[storage\]"):
                call()
    assert not emulator.requests


@pytest.mark.parametrize("scheme", ["gs", "az", "S3"])
def test_other_schemes(scheme: str, emulator: Emulator) -> None:
    """Every scheme goes the same way, to whatever store there is for it, in any spelling."""
    store, root = MemoryStore(), f"{scheme.lower()}://clips"
    store.put("in.mp4", CLIP)
    with emulator.aleph(virtual_time=True, storage={root: store}) as aleph:
        saved = aleph.transform(f"{scheme}://clips/in.mp4", "snow", f"{scheme}://clips/out.mp4")
        assert saved.url == f"{root}/out.mp4"
        with pytest.raises(InvalidRequestError, match="exists"):
            aleph.transform(f"{root}/in.mp4", "snow", f"{root}/out.mp4")
        with pytest.raises(InvalidRequestError, match="does not exist"):
            aleph.submit(f"{root}/no.mp4", "snow")
    assert len(bytes(store.get("out.mp4").bytes())) == saved.size_bytes


def test_stores_that_do_not_sign(emulator: Emulator) -> None:
    """Where no address can be signed ``presign`` says so before anything is paid."""
    store = MemoryStore()
    store.put("in.mp4", CLIP)
    storage = Storage(lambda _: store, presign=60)
    with emulator.aleph(storage=storage) as aleph:
        with pytest.raises(InvalidRequestError, match="signs no addresses"):
            aleph.submit("s3://clips/in.mp4", "snow")
        store.put("a b.mp4", CLIP)
        with pytest.raises(InvalidRequestError, match="no address can be signed in Azure"):
            aleph.submit("az://clips/a b.mp4", "snow")
    assert not emulator.requests


def test_a_signed_address_that_krea_could_not_reach(bucket: Bucket, emulator: Emulator) -> None:
    """A store inside of one's own network cannot be fetched from: that is said, and not paid."""
    url = bucket.put("in.mp4", CLIP)
    storage = Storage({bucket.url: bucket.settings}, presign=60)
    with (
        Aleph(api_key=emulator.key, base_url="https://krea.example", storage=storage) as aleph,
        pytest.raises(InvalidRequestError, match="is in a private network") as caught,
    ):
        aleph.submit(url, "snow")
    assert "Signature" not in str(caught.value)
    assert "presign" in caught.value.hint


def test_a_callable_that_refuses(emulator: Emulator) -> None:
    """An error of ours that it raises comes out as it is."""

    def refuse(bucket: str) -> Any:
        raise InvalidRequestError("video", f"{bucket} is not yours")

    with (
        emulator.aleph(storage=refuse) as aleph,
        pytest.raises(InvalidRequestError, match="s3://clips is not yours"),
    ):
        aleph.check("s3://clips/in.mp4", "snow")


def test_a_container_that_does_not_exist(bucket: Bucket, emulator: Emulator) -> None:
    """In Azure, which is not asked when an object is begun, the container is looked for."""
    bucket.gate.trouble("GET", "", status=404, body="<Error><Code>ContainerNotFound</Code></Error>")
    settings = {
        "account_name": "account",
        "account_key": "a2V5",
        "endpoint": bucket.gate.url,
        "client_options": {"allow_http": True},
    }
    with (
        emulator.aleph(storage=lambda _: settings) as aleph,
        pytest.raises(InvalidRequestError, match="is in no bucket that exists"),
    ):
        aleph.transform("https://example.com/in.mp4", "snow", "az://misspelt/out.mp4")
    assert not emulator.requests


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process(bucket: Bucket, emulator: Emulator) -> None:
    """In a child of a process that has used buckets they cannot be used: told, and no hang."""
    url = bucket.put("in.mp4", CLIP)
    with emulator.aleph(storage={bucket.url: bucket.settings}) as aleph:
        aleph.check(url, "snow")
        child = os.fork()
        if child == 0:
            try:
                aleph.check(url, "snow")
            except ConfigError as error:
                os._exit(7 if "before this process was forked" in str(error) else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        aleph.check(url, "snow")


def test_what_a_forked_process_knows(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told by the processes that have used buckets: another one is a parent."""
    monkeypatch.setattr(_buckets, "_USED_IN", {1})
    with (
        emulator.aleph(storage=lambda _: MemoryStore()) as aleph,
        pytest.raises(ConfigError, match="before this process was forked"),
    ):
        aleph.check("s3://clips/in.mp4", "snow")


def test_a_url_that_was_made_a_path(emulator: Emulator) -> None:
    """A Path makes one slash of two: that is told, and no folder of that name is made."""
    eaten = Path("s3://clips/in.mp4")
    with emulator.aleph() as aleph:
        for call, field in (
            (lambda: aleph.submit(eaten, "snow"), "video"),
            (lambda: aleph.transform("https://example.com/in.mp4", "snow", eaten), "output"),
            (lambda: list(aleph.batch([], output_dir=eaten)), "output_dir"),
        ):
            with pytest.raises(InvalidRequestError, match="no URL of an object either") as caught:
                call()
            assert caught.value.field == field
    assert not emulator.requests


def test_addresses() -> None:
    """An address knows its name and its neighbours, also on top of a bucket."""
    address = ObjectAddress("s3", "clips", "shots/017.mp4")
    assert (str(address), address.name) == ("s3://clips/shots/017.mp4", "017.mp4")
    assert str(address.beside("018.mp4")) == "s3://clips/shots/018.mp4"
    assert str(ObjectAddress("gs", "b", "in.mp4").beside("out.mp4")) == "gs://b/out.mp4"
    assert pickle.loads(pickle.dumps(address)) == address  # noqa: S301 - our own
