"""Uploading files, and looking after the assets that they become."""

from __future__ import annotations

from functools import partial
from typing import Final, TypeVar

from krea_aleph import _wire
from krea_aleph._exchange import announce, attempt, exchange, tell
from krea_aleph._paging import emit_pages
from krea_aleph._progress import telling
from krea_aleph._steps import Response, call, now, sleep
from krea_aleph._uploads import Lease
from krea_aleph.errors import InvalidResponseError, KreaError, NotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from krea_aleph._config import Config
    from krea_aleph._files import Source
    from krea_aleph._steps import Steps
    from krea_aleph._uploads import Upload, UploadCache
    from krea_aleph._wire import Page
    from krea_aleph.models import Asset, Media

T = TypeVar("T")

# The operations that an upload may need.
UPLOADING: Final = ("upload_asset", "get_asset")
_PAGE: Final = 100
# Seconds between two looks at whether an upload of the same content is through, and for how long.
_PAUSE: Final = 0.05
_LONGEST_WAIT: Final = 300.0
_LONGEST_DELETE: Final = 10.0


def upload(config: Config, file: Media, *, reuse: bool = True) -> Steps[Asset]:
    """Upload a file and return the asset that it has become, or had become before."""
    source = yield from call(partial(_wire.open_source, file, "file", config.storage))
    yield from announce(config, *UPLOADING)
    if reuse:
        return (yield from upload_source(config, source, Lease(config.uploads, keep=True)))
    return (yield from _send(config, source))


def upload_source(config: Config, source: Source, lease: Lease) -> Steps[Asset]:
    """Return an asset with a file's content: one that is there already, or a new one.

    Where the same content is being uploaded at this moment, that is waited for, within reason:
    repeating is safe, at worst an asset is there twice, unpaid.
    """
    patience = (yield from now()) + _LONGEST_WAIT
    while (yield from now()) < patience:
        upload, turn = yield from call(partial(config.uploads.claim, config.account, source))
        if turn is not None:
            return (yield from _make(config, source, upload, lease))
        while upload.asset_id is None and not upload.gone and (yield from now()) < patience:
            yield from sleep(_PAUSE)
        asset = yield from _share(config, source, upload, lease)
        if asset is not None:
            return asset
    return (yield from _send(config, source))


def _make(config: Config, source: Source, upload: Upload, lease: Lease) -> Steps[Asset]:
    """Upload what this client has not uploaded yet, unless another process has."""
    uploads, cache = config.uploads, config.uploads.cache
    try:
        asset = None if cache is None else (yield from _look_up(config, source, upload, cache))
        if asset is not None:
            uploads.use(upload, keep=True)  # the other process may rely on it
        else:
            asset = yield from _send(config, source)
        uploads.made(upload, asset.id)
        lease.use(upload)
    except BaseException:
        uploads.drop(upload)
        raise
    if cache is not None and lease.keep:
        yield from _ask(partial(cache.note_upload, config.account, source.sha256, asset.id))
    return asset


def _look_up(
    config: Config, source: Source, upload: Upload, cache: UploadCache
) -> Steps[Asset | None]:
    """Return what other processes have uploaded, if it is still there."""
    digest = yield from call(upload.sha256)
    asset_id = yield from _ask(partial(cache.find_upload, config.account, digest))
    return None if asset_id is None else (yield from _still_there(config, source, asset_id))


def _share(config: Config, source: Source, upload: Upload, lease: Lease) -> Steps[Asset | None]:
    """Use what somebody else of this client has uploaded, if it is still there."""
    if upload.asset_id is None or not lease.use(upload):
        return None
    asset = yield from _still_there(config, source, upload.asset_id)
    if asset is None:
        config.uploads.drop(upload)
    return asset


def give_back(config: Config, lease: Lease, job_id: str | None) -> Steps[None]:
    """Delete what one call has uploaded and nobody else needs. Nothing is broken by a failure."""
    for asset_id in lease.give_back():
        try:
            request = _wire.delete_asset_request(asset_id)
            answer = yield from attempt(config, request, limit=_LONGEST_DELETE)
        except KreaError as error:  # of the key callable, for instance
            answer = error
        gone = isinstance(answer, Response | NotFoundError)
        outcome = "deleted" if gone else type(answer).__name__
        yield from tell(config, "upload_deleted", job_id=job_id, outcome=outcome)


def _still_there(config: Config, source: Source, asset_id: str) -> Steps[Asset | None]:
    """Return an asset as it is now; None where anything but a good answer comes."""
    try:
        answer = yield from attempt(config, _wire.get_asset_request(asset_id))
        if not isinstance(answer, Response):
            return None
        asset = _wire.read_asset(answer, "get_asset", config.account)
    except InvalidResponseError:
        return None
    same = asset.id == asset_id and asset.size_bytes in {None, source.size_bytes}
    return asset if same else None


def _ask(function: Callable[[], T]) -> Steps[T | None]:
    """Ask the store, without which an upload only takes longer."""
    try:
        return (yield from call(function))
    except KreaError:
        return None


def _send(config: Config, source: Source) -> Steps[Asset]:
    """Upload an inspected file, again if need be."""
    begun = yield from now()
    response = yield from exchange(config, telling(config, _wire.upload_request(source)))
    asset = _wire.read_asset(response, "upload_asset", config.account)
    duration = (yield from now()) - begun
    yield from tell(config, "transfer", duration=duration, upload=source.size_bytes)
    return asset


def get_asset(config: Config, ref: Asset | str) -> Steps[Asset]:
    """Return an asset as it is now."""
    request = _wire.get_asset_request(_wire.asset_id(ref, config.account))
    yield from announce(config, "get_asset")
    return _wire.read_asset((yield from exchange(config, request)), "get_asset", config.account)


def delete_asset(config: Config, ref: Asset | str) -> Steps[None]:
    """Delete an asset."""
    request = _wire.delete_asset_request(_wire.asset_id(ref, config.account))
    yield from announce(config, "delete_asset")
    yield from exchange(config, request)


def list_assets(config: Config) -> Steps[None]:
    """Show every asset of the account."""

    def page(cursor: str | None) -> Steps[Page]:
        request = _wire.list_assets_request(cursor=cursor, limit=_PAGE)
        return _wire.read_asset_page((yield from exchange(config, request)), config.account)

    yield from announce(config, "list_assets")
    yield from emit_pages(page)
