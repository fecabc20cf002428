"""Uploading files, and looking after the assets that they become."""

from __future__ import annotations

from functools import partial
from typing import Final

from krea_aleph import _wire
from krea_aleph._exchange import announce, exchange, tell
from krea_aleph._paging import emit_pages
from krea_aleph._steps import call, now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph._config import Config
    from krea_aleph._files import Source
    from krea_aleph._steps import Steps
    from krea_aleph._wire import Page
    from krea_aleph.models import Asset, Media

_PAGE: Final = 100


def upload(config: Config, file: Media) -> Steps[Asset]:
    """Upload a file and return the asset that it has become."""
    source = yield from call(partial(_wire.open_source, file, "file"))
    yield from announce(config, "upload_asset")
    return (yield from upload_source(config, source))


def upload_source(config: Config, source: Source) -> Steps[Asset]:
    """Upload an inspected file. Repeating is safe: at worst an asset is there twice, unpaid."""
    begun = yield from now()
    response = yield from exchange(config, _wire.upload_request(source))
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
