"""The vendor's product sheet: the bytes of one tab's CSV → products. Pure.

The sheet is a Google document that people edit: there may be any number of rows above the header, a tab may lack
columns, a code's cell may have a remark below the code. Read is what certainly is a product; rows whose code cannot
be one of the tab's class are left out and counted.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from alltick_frames.catalog import EXAMPLES
from alltick_frames.errors import DecodeError
from alltick_frames.products import Product
from alltick_frames.trading_hours import weeks_of, zone_of_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from alltick_frames.catalog import ProductClass

__all__ = ["RULES", "TABS", "Sheet", "parse"]

# The ids of the sheet's tabs (vendor page "product code list"). No page gives that of energy; whoever knows one can
# put it in here.
TABS: dict[ProductClass, str] = {
    "forex": "495387863",
    "metal": "665777415",
    "crypto": "1230132506",
    "cfd_index": "796429803",
    "index": "660279967",
    "stock_hk": "1134034911",
    "stock_us": "583033325",
    "stock_cn": "1702052913",
}

# What a code of each class looks like. Gold and silver in dollars are GOLD and Silver: XAUUSD is a description.
_PAIR = "(?!XA[UG]USD)[A-Z]{6}"
_METALS = "GOLD|Silver|COPPER|Aluminum|Palladium|Platinum|Nickel|Lead|Zinc|(?!XA[UG]USD)XA[UG][A-Z]{3}"
RULES: Mapping[ProductClass, re.Pattern[str]] = {
    "forex": re.compile(_PAIR),
    "metal": re.compile(_METALS),
    "energy": re.compile("USOIL|UKOIL|NGAS"),
    "crypto": re.compile("[A-Z0-9]{1,15}USDT"),
    "cfd_index": re.compile("(?!CODE)[A-Z]{2,6}[0-9]{0,4}"),
    "index": re.compile(r"[0-9]{6}\.S[HZ]|[A-Z][A-Z0-9]{1,9}\.HK|\.[A-Z][A-Z0-9]{1,9}\.US"),
    "stock_hk": re.compile(r"[1-9][0-9]{0,4}\.HK"),
    # Preferred shares have a small p and the series; classes, units and warrants a dot: ABRpD.US, AACT.U.US.
    "stock_us": re.compile(r"[A-Z]{1,6}(?:p[A-Z]?)?(?:\.[A-Z]{1,3})?\.US"),
    "stock_cn": re.compile(r"[0-9]{6}\.S[HZ]"),
}

_COLUMNS = {
    "code": re.compile("(?:product )?code(?: [(/]?[\u3400-\u9fff]+[)]?)?|(?:产品)?代码"),
    "name_cn": re.compile("chinese name|name ?[(_-]? ?(?:cn|chinese|中文)\\)?|名称|中文名|中文名称"),
    "name": re.compile("(?:english |product )?name(?: ?[(_-]? ?(?:en|english)\\)?)?"),
    "hours": re.compile(".*hours.*|交易时间"),
    "category": re.compile("category|类别"),
}
_INVISIBLE = re.compile("[\ufeff\u200b-\u200f\u2060]")
_HAN = re.compile("[\u3400-\u9fff]")
_SHORTEST_NAME = 3
_SHOWN, _SHOWN_LETTERS = 3, 40


@dataclass(frozen=True, slots=True)
class Sheet:
    """What one tab holds.

    Attributes
    ----------
    skipped
        Rows left out because what stands for their code cannot be one.
    examples
        What stands there in the first of them.
    """

    products: tuple[Product, ...]
    skipped: int
    examples: tuple[str, ...]


def parse(body: bytes, asset_class: ProductClass, as_of: datetime) -> Sheet:
    """Read one tab's CSV; of a code that is listed twice the first row counts.

    Names that the sheet does not give are taken from the examples that are built in.

    Raises
    ------
    DecodeError
        It is none, or no row of it is a product.
    """
    rows = _rows(body, asset_class)
    columns = next((columns for row in rows if "code" in (columns := _columns(row))), None)
    if columns is None:
        raise _unreadable(asset_class, "no row has a cell 'Code', which heads the codes")
    at = {name: index for name, (index, _) in columns.items()}
    zone = zone_of_header(columns["hours"][1]) if "hours" in columns else None
    products: dict[str, Product] = {}
    strange: list[str] = []
    for row in rows:
        cells = {name: _clean(row[index]) for name, index in at.items() if index < len(row)}
        code = cells.get("code", "").partition("\n")[0].strip()
        if RULES[asset_class].fullmatch(code):
            products.setdefault(code, _product(code, asset_class, cells, zone, as_of))
        elif code and code.casefold() != "code":
            strange.append(code)
    if not products:
        raise _unreadable(asset_class, f"none of its rows is a product of that class{_named(strange)}")
    return Sheet(tuple(products.values()), len(strange), tuple(text[:_SHOWN_LETTERS] for text in strange[:_SHOWN]))


def _rows(body: bytes, asset_class: ProductClass) -> Iterator[list[str]]:
    if body.lstrip()[:1] == b"<":
        raise _unreadable(asset_class, "a web page came instead of CSV: the sheet has moved, or is not public any more")
    try:
        text = body.decode("utf-8-sig")
        return iter(list(csv.reader(io.StringIO(text, newline=""))))
    except (UnicodeDecodeError, csv.Error) as error:
        why = f"it is no CSV in UTF-8 ({type(error).__name__})"
    raise _unreadable(asset_class, why)


def _columns(row: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Say which of a header's cells heads what, and what it says."""
    columns: dict[str, tuple[int, str]] = {}
    for index, cell in enumerate(row):
        text = " ".join(_clean(cell).casefold().split())
        name = next((name for name, pattern in _COLUMNS.items() if pattern.fullmatch(text)), None)
        if name is not None:
            columns.setdefault(name, (index, text))
    return columns


def _clean(cell: str) -> str:
    lines = (line.strip() for line in _INVISIBLE.sub("", cell).splitlines())
    return "\n".join(line for line in lines if line)


def _product(
    code: str, asset_class: ProductClass, cells: Mapping[str, str], zone: str | None, as_of: datetime
) -> Product:
    name, in_name = _names(cells.get("name", ""))
    name_cn = " ".join(cells.get("name_cn", "").split()) or in_name
    example, hours = EXAMPLES.get(code), cells.get("hours")
    return Product(
        code=code,
        asset_class=asset_class,
        name=name or (example.name if example else None),
        name_cn=name_cn or (example.name_cn if example else None),
        category=cells.get("category") or None,
        hours=hours or None,
        weeks=weeks_of(hours, zone) if hours else None,
        as_of=as_of,
        source="sheet",
    )


def _names(cell: str) -> tuple[str, str]:
    """Tell the English and the Chinese name apart, if one stands before the other."""
    words = cell.split()
    chinese = [bool(_HAN.search(word)) for word in words]
    if not any(chinese):
        return " ".join(words), ""
    turns = [index for index in range(1, len(words)) if chinese[index] != chinese[index - 1]]
    if len(turns) != 1:
        return "", " ".join(words)
    first, second = " ".join(words[: turns[0]]), " ".join(words[turns[0] :])
    english, name_cn = (second, first) if chinese[0] else (first, second)
    # "阿里巴巴 SW" has a mark of the exchange's rather than an English name.
    return (english, name_cn) if len(english) >= _SHORTEST_NAME else ("", " ".join(words))


def _unreadable(asset_class: ProductClass, why: str) -> DecodeError:
    return DecodeError(f"the {asset_class} tab of the product list cannot be read: {why}")


def _named(strange: Sequence[str]) -> str:
    return f", but {', '.join(repr(text[:_SHOWN_LETTERS]) for text in strange[:_SHOWN])}" if strange else ""
