"""Products: what is known of each, where that is from, and those that a text may mean. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from alltick_frames import schemas
from alltick_frames.catalog import EXAMPLES
from alltick_frames.codes import family_of
from alltick_frames.trading_hours import DAYS, weeks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from alltick_frames.catalog import ProductClass
    from alltick_frames.trading_hours import Week

__all__ = ["Product", "built_in", "found", "table"]

_DAY_MINUTES = 1440


@dataclass(frozen=True, slots=True)
class Product:
    """One row of the product list.

    Attributes
    ----------
    weeks
        What `hours` says, as far as it can be read.
    as_of
        When the sheet was read; None of what is built in.
    """

    code: str
    asset_class: ProductClass
    name: str | None
    name_cn: str | None
    category: str | None
    hours: str | None
    weeks: tuple[Week, ...] | None
    as_of: datetime | None
    source: Literal["sheet", "built-in"]


def built_in(asset_class: ProductClass) -> list[Product]:
    """Give the documented examples of a class."""
    return [
        Product(
            code=one.code,
            asset_class=asset_class,
            name=one.name,
            name_cn=one.name_cn,
            category=None,
            hours=one.hours,
            weeks=None if one.hours is None else weeks_of(one.hours),
            as_of=None,
            source="built-in",
        )
        for one in EXAMPLES.values()
        if one.asset_class == asset_class
    ]


def found(products: Iterable[Product], text: str) -> list[Product]:
    """Give those of *products* that *text* may mean, the likeliest first.

    Examples
    --------
    >>> [one.code for one in found([*built_in("metal"), *built_in("energy")], "gold")]
    ['GOLD', 'XAUEUR', 'XAUCNH']
    """
    wanted = _folded(text)
    word = re.compile(rf"(?<!\w){re.escape(wanted)}")
    ranked = [(rank, one) for one in products if (rank := _rank(one, wanted, word)) is not None]
    # Of two codes that begin alike the shorter one is more of what was typed.
    return [one for _, one in sorted(ranked, key=lambda pair: (pair[0], len(pair[1].code) * (pair[0] == _BEGINS)))]


_EXACT, _STEM, _NAME, _BEGINS, _WORD, _WITHIN = range(6)


def _rank(product: Product, wanted: str, word: re.Pattern[str]) -> int | None:
    code = product.code.casefold()
    stem = code.rpartition(".")[0].removeprefix(".")
    names = [_folded(name) for name in (product.name, product.name_cn) if name]
    if code == wanted:
        return _EXACT
    if stem == wanted:
        return _STEM
    if wanted in names:
        return _NAME
    if code.startswith(wanted) or stem.startswith(wanted):
        return _BEGINS
    if any(word.search(name) for name in names):
        return _WORD
    return _WITHIN if any(wanted in field for field in (code, *names, _folded(product.category or ""))) else None


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def table(products: Sequence[Product]) -> pa.Table:
    """Make the table that `get_products` returns."""
    columns: dict[str, list[Any]] = {
        name: [getattr(one, name) for one in products]
        for name in ("code", "asset_class", "name", "name_cn", "category", "hours", "as_of", "source")
    }
    columns["family"] = [family_of(one.code).name.lower() for one in products]
    columns["sessions"] = [None if one.weeks is None else _sessions(one.weeks) for one in products]
    return pa.table({name: columns[name] for name in schemas.PRODUCTS.names}, schema=schemas.PRODUCTS)


@lru_cache(maxsize=512)
def _sessions(weeks: tuple[Week, ...]) -> list[dict[str, Any]]:
    return [
        {
            "season": week.season,
            "zone": week.zone,
            "open_day": DAYS[week.opens // _DAY_MINUTES],
            "open": _time(week.opens),
            "close_day": DAYS[week.closes // _DAY_MINUTES],
            "close": _time(week.closes),
            "breaks": [{"start": _time(begin), "end": _time(end)} for begin, end in week.breaks],
        }
        for week in weeks
    ]


def _time(minutes: int) -> time:
    return time(*divmod(minutes % _DAY_MINUTES, 60))
