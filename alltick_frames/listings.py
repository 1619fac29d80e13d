"""The product list: the sheet's tabs as they are fetched and kept, and what stands in for one that cannot be had.

A tab is kept as it came, with the date, in one small file beside the archive; it is replaced as a whole, and one that
is damaged counts as absent.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import zlib
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003  # msgspec reads it from the annotation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import anyio
import msgspec
import tenacity

from alltick_frames import clocks, sheets
from alltick_frames.catalog import CLASSES
from alltick_frames.disk import sync_directory
from alltick_frames.errors import AllTickError, DecodeError, ProductListWarning, TransportError
from alltick_frames.products import built_in
from alltick_frames.transport import PublicPages

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alltick_frames.catalog import ProductClass
    from alltick_frames.products import Product
    from alltick_frames.settings import Settings
    from alltick_frames.sheets import Sheet

__all__ = ["Listing", "Listings"]

_ATTEMPTS, _PATIENCE_S = 3, 10.0
_BACK_OFF = tenacity.wait_random_exponential(multiplier=0.2, max=2)
# A sheet that could not be had is not asked for again so soon: where it is blocked every attempt takes seconds.
_LEFT_ALONE_S = 600.0
_NEXT_STEP = "try again later, or set ALLTICK_PRODUCTS_URL to a copy of the sheet that you can reach"


class _Header(msgspec.Struct, frozen=True):
    """The first line of a file that keeps a tab; its CSV follows."""

    asset_class: str
    as_of: Annotated[datetime, msgspec.Meta(tz=True)]
    source: str
    crc32: int


@dataclass(slots=True)
class Listing:
    """What is under way for one call.

    Attributes
    ----------
    classes
        What is asked for.
    held
        What is known of it by now.
    lacking
        What is to be fetched.
    failures
        Why it could not be.
    notices
        What the user should know.
    """

    classes: Sequence[ProductClass]
    held: dict[ProductClass, Sheet] = field(default_factory=dict)
    lacking: Sequence[ProductClass] = ()
    failures: dict[ProductClass, AllTickError] = field(default_factory=dict)
    notices: list[ProductListWarning] = field(default_factory=list)

    def products(self) -> list[Product]:
        """Give what is known, class by class; a code that two tabs have is of the first."""
        listed: dict[str, Product] = {}
        for asset_class in self.classes:
            held = self.held.get(asset_class)
            for product in built_in(asset_class) if held is None else held.products:
                listed.setdefault(product.code, product)
        return list(listed.values())


class Listings:
    """The product lists of one client: fetched from *settings*' `products_url`, kept in its cache directory."""

    def __init__(self, settings: Settings) -> None:
        self._directory = Path(settings.cache_dir).absolute() / settings.origin / "products"
        self._address = settings.products_url
        self._failures: dict[ProductClass, tuple[float, AllTickError]] = {}

    def begin(self, asset_class: ProductClass | None, *, refresh: bool, network: bool) -> Listing:
        """See what is kept, and what of the sheet is to be fetched."""
        listing = Listing(CLASSES if asset_class is None else (asset_class,))
        for one in listing.classes:
            kept = self._kept(one)
            if kept is not None:
                listing.held[one] = kept
        on_sheet = [one for one in listing.classes if one in sheets.TABS]
        wanted = [one for one in on_sheet if refresh or one not in listing.held]
        if not network:
            listing.notices += _unkept(wanted)
            return listing
        recent = {} if refresh else self._recent_failures()
        listing.failures = {one: recent[one] for one in wanted if one in recent}
        listing.lacking = [one for one in wanted if one not in recent]
        return listing

    async def fetch(self, listing: Listing) -> None:
        """Fetch what *listing* lacks, all at once, and keep it."""
        async with PublicPages(self._address) as pages, anyio.create_task_group() as tasks:
            for asset_class in listing.lacking:
                tasks.start_soon(self._fetch, pages, asset_class, listing)

    def conclude(self, listing: Listing) -> list[ProductListWarning]:
        """Give what the user should know of how *listing* came about."""
        return [*listing.notices, *_instead(listing)]

    async def _fetch(self, pages: PublicPages, asset_class: ProductClass, listing: Listing) -> None:
        url = self._address.replace("{gid}", sheets.TABS[asset_class])
        try:
            async for attempt in tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception(lambda error: isinstance(error, TransportError) and error.transient),
                stop=tenacity.stop_after_attempt(_ATTEMPTS) | tenacity.stop_after_delay(_PATIENCE_S),
                wait=_BACK_OFF,
                sleep=anyio.sleep,
                reraise=True,
            ):
                with attempt:
                    body = await pages.fetch(url)
            as_of = clocks.utc_now()
            sheet = sheets.parse(body, asset_class, as_of)
        except (TransportError, DecodeError) as error:
            self._failures[asset_class] = (time.monotonic(), error)
            listing.failures[asset_class] = error
            return
        self._failures.pop(asset_class, None)
        listing.held[asset_class] = sheet
        listing.notices += _left_out(sheet, asset_class)
        try:
            self._keep(asset_class, body, as_of)
        except OSError as error:
            why = error.strerror or type(error).__name__
            listing.notices.append(
                ProductListWarning(
                    f"the {asset_class} tab of the product list could not be kept in {self._directory}: {why}; it will "
                    f"be fetched again"
                )
            )

    def _recent_failures(self) -> dict[ProductClass, AllTickError]:
        since = time.monotonic() - _LEFT_ALONE_S
        return {one: error for one, (when, error) in self._failures.copy().items() if when > since}

    def _kept(self, asset_class: ProductClass) -> Sheet | None:
        """Read what is kept of a tab; None if that is nothing, or damaged."""
        with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError, DecodeError):
            first, _, body = self._path(asset_class).read_bytes().partition(b"\n")
            header = msgspec.json.decode(first, type=_Header)
            if header.asset_class == asset_class and header.crc32 == zlib.crc32(body):
                return sheets.parse(body, asset_class, header.as_of)
        return None

    def _keep(self, asset_class: ProductClass, body: bytes, as_of: datetime) -> None:
        parts = urlsplit(self._address)
        header = _Header(asset_class, as_of, f"{parts.scheme}://{parts.netloc}{parts.path}", zlib.crc32(body))
        for directory in (self._directory.parent, self._directory):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(dir=self._directory, prefix=f"{asset_class}-")
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(header) + b"\n" + body)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(self._path(asset_class))
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        sync_directory(self._directory)

    def _path(self, asset_class: ProductClass) -> Path:
        return self._directory / f"{asset_class}.sheet"


def _unkept(classes: Sequence[ProductClass]) -> list[ProductListWarning]:
    if not classes:
        return []
    return [
        ProductListWarning(
            f"no product list is kept of {', '.join(classes)}, and with network='never' none is fetched: listed of "
            f"them are only the examples that are built in; call get_products() once with network='auto'"
        )
    ]


def _left_out(sheet: Sheet, asset_class: ProductClass) -> list[ProductListWarning]:
    if not sheet.skipped:
        return []
    rows = "one row" if sheet.skipped == 1 else f"{sheet.skipped:,} rows"
    verb = "is" if sheet.skipped == 1 else "are"
    more = ", …" if sheet.skipped > len(sheet.examples) else ""
    return [
        ProductListWarning(
            f"{rows} of the {asset_class} tab of the product list {verb} left out, having no code of that class: "
            f"{', '.join(map(repr, sheet.examples))}{more}"
        )
    ]


def _instead(listing: Listing) -> list[ProductListWarning]:
    """Say what stands in for tabs that could not be fetched."""
    if not listing.failures:
        return []
    # In the order in which they are listed, whichever failed first.
    failed = [one for one in listing.classes if one in listing.failures]
    now = clocks.utc_now()
    kept = [f"{one} of {_read_on(listing.held[one], now)}" for one in failed if one in listing.held]
    bare = [one for one in failed if one not in listing.held]
    instead = [
        *([f"what was kept: {', '.join(kept)}"] if kept else []),
        *([f"only the examples that are built in: {', '.join(bare)}"] if bare else []),
    ]
    reasons = _unique(str(listing.failures[one]) for one in failed)
    return [
        ProductListWarning(
            f"the product list of {', '.join(failed)} could not be fetched ({'; '.join(reasons)}). Listed is "
            f"{' and '.join(instead)}; {_NEXT_STEP}"
        )
    ]


def _read_on(sheet: Sheet, now: datetime) -> str:
    as_of = sheet.products[0].as_of
    return "" if as_of is None else f"{as_of:%Y-%m-%d} ({(now - as_of).days} days ago)"


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
