"""Bars as the vendor writes them, under the chosen readings; and as a table of the server's own truth."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from alltick_frames.sandbox.bars import FIELDS, STAMP, TURNOVER, VOLUME, Bars, Ints
from alltick_frames.sandbox.cells import (
    ABSENT,
    MISSING,
    SHOWN_DECIMALS,
    decimal_text,
    emptied,
    has_volume,
    json_number,
)
from alltick_frames.sandbox.ladders import ladder
from alltick_frames.sandbox.replay import calendar_of

if TYPE_CHECKING:
    from alltick_frames.sandbox.periods import Period
    from alltick_frames.sandbox.products import Product
    from alltick_frames.sandbox.readings import Readings

__all__ = ["closed", "kline_data", "truth"]

_WIRE_NAMES = ("timestamp", "open_price", "high_price", "low_price", "close_price", "volume", "turnover")
_AFTER_OPEN = ("close_price", "high_price", "low_price")
_WIRE_ORDER = ("timestamp", "open_price", "close_price", "high_price", "low_price", "volume", "turnover")


def kline_data(
    bars: Bars, code: str, product: Product | None, period: Period, readings: Readings, *, newest_page: bool
) -> dict[str, Any]:
    """Return the members of an answer that follow ``trace``. *product* None: the bars are a replay."""
    rows = _arranged(_rows(bars, product, readings), readings, newest_page=newest_page)
    rows = _with_older_copies(rows) if readings.copies == "older_first" else rows
    if rows and readings.first_amounts == "empty":
        rows = [rows[0] | {"volume": "", "turnover": ""}, *rows[1:]]
    code_name, list_name = ("symbol", "kline_data") if readings.fields == "renamed" else ("code", "kline_list")
    head = {code_name: code, "kline_type": period.number}
    if readings.fields == "extra":
        head |= {"symbol": code, "adjust": {"type": 0, "factors": [1.5, None]}}
    if not rows:
        return emptied(head, list_name, readings)
    return {"data": head | {list_name: _named(rows, readings)}}


def _named(rows: list[dict[str, Any]], readings: Readings) -> list[dict[str, Any]]:
    if readings.fields == "extra":
        return [row | {"amplitude": "n/a", "trade_count": None, "levels": [{}]} for row in rows]
    if readings.fields == "renamed":
        return [{"volumn" if name == "volume" else name: cell for name, cell in row.items()} for row in rows]
    return rows


def _with_older_copies(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return *rows* with each that comes again later as it was after its first trade."""
    last = {row["timestamp"]: place for place, row in enumerate(rows)}
    return [
        row if last[row["timestamp"]] == place else row | dict.fromkeys(_AFTER_OPEN, row["open_price"])
        for place, row in enumerate(rows)
    ]


def _rows(bars: Bars, product: Product | None, readings: Readings) -> list[dict[str, Any]]:
    scale = 1000 if readings.stamps == "milliseconds" else 1
    columns: list[list[Any]] = [[str(int(stamp) * scale) for stamp in bars[STAMP].tolist()]]
    if product is None:
        columns += [[_shortest(value) for value in bars[field].tolist()] for field in range(1, len(FIELDS))]
    else:
        columns += _model_columns(bars, product, readings)
    absent = ABSENT[readings.empty_volume]
    for field in (VOLUME, TURNOVER):
        columns[field] = [absent if text is None else text for text in columns[field]]
    if readings.numbers == "json":
        columns = [[json_number(text) for text in column] for column in columns]
    named = dict(zip(_WIRE_NAMES, columns, strict=True))
    rows = [
        dict(zip(_WIRE_ORDER, cells, strict=True)) for cells in zip(*(named[name] for name in _WIRE_ORDER), strict=True)
    ]
    if absent is MISSING:
        return [{name: cell for name, cell in row.items() if cell is not MISSING} for row in rows]
    return rows


def _model_columns(bars: Bars, product: Product, readings: Readings) -> list[list[Any]]:
    count = bars.shape[1]
    padding = SHOWN_DECIMALS if readings.prices == "six_decimals" else 0
    prices = [
        [decimal_text(ticks, product.decimals, padding) for ticks in bars[field].tolist()] for field in range(1, VOLUME)
    ]
    amounts = has_volume(product, readings)
    volume: list[Any] = [str(units) for units in bars[VOLUME].tolist()] if amounts else [None] * count
    turnover: list[Any] = [None] * count
    if product.has_turnover and amounts:
        turnover = [decimal_text(value, product.decimals, padding) for value in bars[TURNOVER].tolist()]
    return [*prices, volume, turnover]


def _shortest(value: float) -> str | None:
    """Return the shortest decimal that reads back as *value*, never in exponent form; None for NaN."""
    if math.isnan(value):
        return None
    text = repr(value)
    return f"{Decimal(text):f}" if "e" in text else text.removesuffix(".0")


def _arranged(rows: list[dict[str, Any]], readings: Readings, *, newest_page: bool) -> list[dict[str, Any]]:
    if newest_page and readings.newest_bar == "missing":
        rows = rows[:-1]
    elif newest_page and readings.newest_bar == "twice":
        rows = rows + rows[-1:]
    if readings.order == "descending":
        return rows[::-1]
    if readings.order == "shuffled":
        # A fixed seed: the same page is shuffled the same way.
        order = np.random.default_rng(len(rows)).permutation(len(rows))
        return [rows[position] for position in order]
    if readings.order == "duplicated":
        return rows[-3:] + rows
    return rows


# --- the server's own truth -----------------------------------------------------------------------------


def closed(bars: Bars, code: str, period: Period, now: float, stamping: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which bars can no longer change at *now*."""
    stamps: Ints = bars[STAMP].astype(np.int64)
    if period.intraday:
        return stamps + period.length_s <= now
    steps = ladder(calendar_of(code), period, stamping)
    position = np.searchsorted(steps.stamps, stamps, side="right") - 1
    return np.asarray(steps.closes[np.maximum(position, 0)] <= now)


def truth(bars: Bars, product: Product | None, final: np.ndarray[Any, np.dtype[np.bool_]]) -> Any:
    """Return *bars* as an Arrow table with the numbers a reader of our strings would get."""
    import pyarrow as pa  # noqa: PLC0415 - only the control channel needs it

    stamps = bars[STAMP].astype(np.int64) * 1_000_000
    columns: dict[str, Any] = {"timestamp": pa.array(stamps, pa.timestamp("us", "UTC"))}
    for field, name in enumerate(FIELDS[1:], start=1):
        # Dividing by a power of ten rounds as reading the decimal string does, as integers are below 2**53.
        in_ticks = product is not None and field != VOLUME
        values = bars[field] / (10.0**product.decimals if product is not None and in_ticks else 1.0)
        columns[name] = pa.array(values, pa.float64(), from_pandas=True)
    if product is not None and not product.has_turnover:
        columns["turnover"] = pa.nulls(bars.shape[1], pa.float64())
    return pa.table(columns | {"closed": pa.array(final)})
