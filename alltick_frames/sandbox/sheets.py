"""The vendor's product sheets as Google exports them (alltick-api.md 4.2): asked without a token, answered in CSV."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from alltick_frames.sandbox.delivery import Answer
from alltick_frames.sandbox.listing import LISTED, Names
from alltick_frames.sandbox.products import find_product
from alltick_frames.sandbox.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from alltick_frames.sandbox.state import State

__all__ = ["DOCUMENT", "TABS", "SheetQuery", "answer", "is_sheet"]

DOCUMENT = "1avkeR1heZSj6gXIkDeBt8X3nv4EzJetw4yFuKjSDYtA"

_PATH = re.compile(r"/spreadsheets/(?P<place>d|delivered)/(?P<document>[^/]+)/export")


@dataclass(frozen=True, slots=True)
class _Tab:
    """One sheet: the groups of `LISTED` in it, and how they are written down."""

    name: str
    groups: tuple[str, ...]
    category: str
    banners: tuple[str, ...]
    has_names: bool = True


TABS: Mapping[str, _Tab] = MappingProxyType(
    {
        "495387863": _Tab("forex", ("forex", "won"), "Forex", ("Forex product list 外汇产品列表",)),
        "665777415": _Tab("metal", ("metal",), "Precious Metals", ("Commodities 商品", "Codes are case-sensitive")),
        # No page gives this one's: it is invented, and the vendor's is another.
        "888888888": _Tab("energy", ("energy",), "Energy", ("Energy 能源",)),
        "796429803": _Tab("cfd", ("cfd",), "CFD Indices", ("CFD indices, not exchange indices CFD指数",)),
        "1230132506": _Tab("crypto", ("crypto",), "Crypto", ("Crypto 加密货币", ""), has_names=False),
        "583033325": _Tab("us", ("us",), "US Stocks", ("US stocks 美股",)),
        "1134034911": _Tab("hk", ("hk",), "HK Stocks", ("Hong Kong stocks 港股", "Without leading zeros")),
        "660279967": _Tab("index", ("index",), "Indices", ("Market indices 大盘指数",)),
        "1702052913": _Tab("cn", ("cn",), "A Shares", ("A shares 沪深",)),
    }
)
"""By gid."""

# Alltick-api.md section 4.3; its list has none for stocks and market indices.
_HOURS: Mapping[str, str] = MappingProxyType(
    {
        "forex": "Summer: Sun 21:00 - Fri 21:00 (GMT)\nWinter: Sun 22:00 - Fri 22:00 (GMT)",
        "metal": (
            "Summer: Sun 22:00 - Fri 21:00, break 21:00-22:00 (GMT)\n"
            "Winter: Sun 23:00 - Fri 22:00, break 22:00-23:00 (GMT)"
        ),
        "ukoil": (
            "Summer: Mon 00:00 - Fri 21:00, break 21:00-24:00 (GMT)\n"
            "Winter: Mon 01:00 - Fri 22:00, break 22:00-01:00 (GMT)"
        ),
        "base_metal": (
            "Summer: Mon 00:00 - Fri 18:00, break 18:00-24:00 (GMT)\n"
            "Winter: Mon 01:00 - Fri 19:00, break 19:00-01:00 (GMT)"
        ),
        "cfd": "Sun 18:00 - Fri 17:00, break 17:00-18:00 (US Eastern)",
        "aus200": "Sun 17:50 - Fri 17:00, break 17:00-18:00 (US Eastern)",
        "crypto": "7 x 24",
    }
)
"""By calendar."""

# As people fill in sheets.
_CODE_CELLS: Mapping[str, str] = MappingProxyType(
    {
        "USDSGD": " USDSGD ",
        "Silver": "Silver ",
        "BTCUSDT": "\tBTCUSDT",
        "ABRpD.US": " ABRpD.US",
        "USDKRW": "USDKRW\nOnly kept for conversion rates 仅用于汇率换算",
    }
)
_NO_CODES: Mapping[str, str] = MappingProxyType({"metal": "XAU/USD (see GOLD)", "us": "More to come"})
"""Rows that are none of a product, by tab."""


@dataclass(frozen=True, slots=True)
class SheetQuery:
    """One request, as sent."""

    path: str
    form: str | None
    gid: str | None


def is_sheet(path: str) -> bool:
    """Say whether *path* is Google's and not the vendor's."""
    return path.startswith("/spreadsheets/")


def answer(state: State, query: SheetQuery) -> Answer:
    """Return a sheet, or where it is to be had; what does not exist is not found."""
    found = _PATH.fullmatch(query.path)
    tab = TABS.get(query.gid or "")
    if found is None or found["document"] != DOCUMENT or query.form != "csv" or tab is None:
        raise Refusal("not_found")
    if found["place"] == "d" and state.readings.sheet_delivery == "redirected":
        location = f"/spreadsheets/delivered/{quote(DOCUMENT)}/export?format=csv&gid={query.gid}"
        return Answer(307, {"location": location, "content-type": "text/html"}, b"")
    text = state.sheets.get(tab.name)
    headers = {"content-type": "text/csv", "content-disposition": f'attachment; filename="Products-{tab.name}.csv"'}
    return Answer(200, headers, (_csv(tab) if text is None else text).encode())


def _csv(tab: _Tab) -> str:
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    for row in _rows(tab):
        # A tab without names lacks their column.
        writer.writerow(row if tab.has_names else (row[0], *row[2:]))
    return sheet.getvalue()


def _rows(tab: _Tab) -> Iterator[tuple[str, str, str, str]]:
    for banner in tab.banners:
        yield banner, "", "", ""
    yield "Code", "Name", "Transaction hours", "Category"
    if tab.name in _NO_CODES:
        yield _NO_CODES[tab.name], "", "", ""
    for group in tab.groups:
        for code, names in LISTED[group].items():
            yield _CODE_CELLS.get(code, code), _name(names), _hours(code), "" if group == "won" else tab.category


def _name(names: Names) -> str:
    return f"{names.simplified} {names.english}".strip()


def _hours(code: str) -> str:
    product = find_product(code)
    return "" if product is None else _HOURS.get(product.calendar, "")
