"""GET /depth-tick: bids and asks around the newest trade (alltick-api.md 6.3 and 9)."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from alltick_frames.sandbox import symbols, ticks
from alltick_frames.sandbox.cells import COUNTS_TICKS, price_text
from alltick_frames.sandbox.hashing import key_of
from alltick_frames.sandbox.products import AssetClass
from alltick_frames.sandbox.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alltick_frames.sandbox.products import Family, Product
    from alltick_frames.sandbox.readings import Readings
    from alltick_frames.sandbox.state import State
    from alltick_frames.sandbox.ticks import Trade

__all__ = ["SHAPES", "answer", "row"]

LEVELS = {
    AssetClass.FOREX: 1,
    AssetClass.METAL: 1,
    AssetClass.ENERGY: 1,
    AssetClass.CFD_INDEX: 1,
    AssetClass.CRYPTO: 5,
    AssetClass.STOCK_HK: 10,
    AssetClass.STOCK_CN: 5,
    AssetClass.STOCK_US: 1,
}
"""How deep each class is shown; market indices have no order book."""

# Who trades in few minutes only has fewer levels.
_QUIET = 0.65
# A level's volume is a few hundredths of a per cent of a day's.
_DAY_PARTS = 2_000

_Side = Literal["full", "zeros", "empty", "missing"]

SHAPES: Mapping[str, tuple[_Side, _Side]] = MappingProxyType(
    {
        "limit_up": ("full", "zeros"),
        "limit_down": ("zeros", "full"),
        "bids_only": ("full", "empty"),
        "asks_only": ("empty", "full"),
        "zeros": ("zeros", "zeros"),
        "empty": ("empty", "empty"),
        "missing": ("missing", "missing"),
    }
)
"""What a book can be told to look like: bids and asks, each full, one level of zeros, ``[]``, or without its key."""

_ZEROS = {"price": "0", "volume": "0"}


def answer(state: State, family: Family, data: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the members of the answer that follow ``trace``, and that it holds no bars."""
    codes = symbols.answered_codes(state, family, data)
    if state.plan.name == "free" and state.readings.free_book != "answered":
        if state.readings.free_book == "refused":
            raise Refusal("code_unauthorized")
        codes = []
    trades = [trade for code in codes if (trade := ticks.newest_trade(state, code)) is not None]
    rows = [_row(trade, state.books.get(trade.code), state.readings) for trade in trades if _depth(trade.product)]
    return symbols.listed("tick_list", rows, state.readings), 0


def row(state: State, trade: Trade, levels: int) -> dict[str, Any] | None:
    """Return the book around *trade* as it is pushed, at most *levels* of each side (0: all); None if there is none."""
    if not _depth(trade.product):
        return None
    book = _row(trade, state.books.get(trade.code), state.readings)
    for side in ("bids", "asks"):
        if levels and side in book:
            book[side] = book[side][:levels]
    return book


def _depth(product: Product | None) -> int:
    if product is None:
        return 1
    levels = LEVELS.get(product.asset_class, 0)
    return levels if product.liquidity >= _QUIET else (levels + 1) // 2


def _row(trade: Trade, shape: str | None, readings: Readings) -> dict[str, Any]:
    row: dict[str, Any] = {
        "code": trade.code,
        "seq": trade.seq,
        "tick_time": ticks.stamp_text(trade.at_ms, readings),
    }
    sides = ("full", "full") if shape is None else SHAPES[shape]
    for name, side, away in zip(("bids", "asks"), sides, (-1, 1), strict=True):
        # Where one side is gone the other one stands at the price itself.
        steps = _distance(trade, away) if sides == ("full", "full") else 0
        if side != "missing":
            row[name] = {"full": _levels(trade, away, steps, readings), "zeros": [dict(_ZEROS)], "empty": []}[side]
    return row


def _distance(trade: Trade, away: int) -> int:
    """Return how many steps the best price is from the trade: none where the trade took it (section 6.4)."""
    return 0 if {ticks.BUY: 1, ticks.SELL: -1}.get(trade.direction) == away else 1


def _levels(trade: Trade, away: int, steps: int, readings: Readings) -> list[dict[str, Any]]:
    """Return one side of a book, which begins *steps* off the trade and goes *away* from it: 1 up, -1 down."""
    offsets = [away * (steps + number) for number in range(_depth(trade.product))]
    levels = [_level(trade, offset, away, readings) for offset in offsets if trade.price + offset * trade.step > 0]
    return levels if readings.level_order == "best_first" else levels[::-1]


def _level(trade: Trade, offset: int, away: int, readings: Readings) -> dict[str, Any]:
    price = price_text(trade.price + offset * trade.step, readings)
    return symbols.with_amounts({"price": price, "volume": _volume(trade, (offset, away), readings)}, readings)


def _volume(trade: Trade, place: tuple[int, int], readings: Readings) -> str | None:
    """Return the volume at one level, in the units of the product's bars."""
    product = trade.product
    if product is not None and product.asset_class in COUNTS_TICKS and readings.otc_depth_volume == "none":
        return None
    typical = Decimal(1000 if product is None else product.volume) / _DAY_PARTS
    return str(1 + int(typical * (key_of(trade.key, *place) % 1000) / 250))
