"""GET /trade-tick: the newest trade of each code, out of its newest minute (alltick-api.md 6.4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from alltick_frames.sandbox import symbols
from alltick_frames.sandbox.bars import CLOSE, STAMP, VOLUME
from alltick_frames.sandbox.cells import COUNTS_TICKS, has_volume, price_text
from alltick_frames.sandbox.hashing import key_of
from alltick_frames.sandbox.periods import PERIODS
from alltick_frames.sandbox.products import AssetClass, Product, find_product

if TYPE_CHECKING:
    from alltick_frames.sandbox.bars import Bars
    from alltick_frames.sandbox.products import Family
    from alltick_frames.sandbox.readings import Readings
    from alltick_frames.sandbox.state import State

__all__ = ["BUY", "NEUTRAL", "SELL", "Trade", "answer", "newest_trade", "row", "stamp_text"]

_MINUTE_MS = 60_000
# Sequence numbers count from here, so that they do not look like times.
_FIRST_SEQ_MS = 1_262_304_000_000
# Seldom is a trade more than a tenth of its minute's volume.
_LARGEST_PART = 0.1
NEUTRAL, BUY, SELL = range(3)
_DIRECTED = {AssetClass.STOCK_HK, AssetClass.STOCK_US, AssetClass.STOCK_CN, AssetClass.CRYPTO}


@dataclass(frozen=True, slots=True)
class Trade:
    """The newest trade of one code."""

    code: str
    product: Product | None
    """None: a code of the user's own, known by its replay alone."""
    at_ms: int
    price: Decimal
    step: Decimal
    """What prices of the product are multiples of."""
    volume: Decimal | None
    """In shares where there are shares: bars and order book of A shares count lots of 100."""
    direction: int
    key: int
    """Of the seed, the code and the moment: what is random about it follows from this."""

    @property
    def seq(self) -> str:
        """A number that grows with time."""
        return str(self.at_ms - _FIRST_SEQ_MS)


def answer(state: State, family: Family, data: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the members of the answer that follow ``trace``, and that it holds no bars."""
    codes = symbols.answered_codes(state, family, data)
    trades = [trade for code in codes if (trade := newest_trade(state, code)) is not None]
    rows = [row(trade, state.readings) for trade in trades]
    return symbols.listed("tick_list", rows, state.readings), 0


def newest_trade(state: State, code: str) -> Trade | None:
    """Return the newest trade of *code*, None if it has not traded or is to be silent."""
    source = state.source(code)
    if source is None or code in state.silent_codes:
        return None
    series, now = source[0], state.clock.now()
    minute = series.newest(PERIODS["1m"], math.inf, 1, now, state.readings.daily_stamps)
    if not minute.shape[1]:
        return None
    # As long as the minute lasts its price moves on with the clock.
    at_ms = min(int(now * 1000), int(minute[STAMP, 0]) * 1000 + _MINUTE_MS - 1)
    key = key_of(state.seed, code, "trade", at_ms)
    product, modelled = find_product(code), source[1]
    price, step, volume = _replayed(minute, product) if modelled is None else _modelled(minute, modelled, key)
    traded = volume if has_volume(modelled, state.readings) else None
    return Trade(code, product, at_ms, price, step, traded, _direction(product, key, state.readings), key)


def _modelled(minute: Bars, product: Product, key: int) -> tuple[Decimal, Decimal, Decimal | None]:
    """Return price, step and volume of the newest trade of a minute of the model's: a part of what it traded."""
    step = Decimal(1).scaleb(-product.decimals)
    part = _LARGEST_PART * (key % 1000 + 1) / 1000
    return int(minute[CLOSE, 0]) * step, step, Decimal(math.ceil(int(minute[VOLUME, 0]) * product.lot * part))


def _replayed(minute: Bars, product: Product | None) -> tuple[Decimal, Decimal, Decimal | None]:
    """Return the same of a minute of the user's: all that it traded, as no single trade of it is known."""
    price, volume = Decimal(repr(float(minute[CLOSE, 0]))), float(minute[VOLUME, 0])
    step = _last_digit(price) if product is None else Decimal(1).scaleb(-product.decimals)
    lot = 1 if product is None else product.lot
    return price, step, None if math.isnan(volume) else Decimal(repr(volume)) * lot


def _last_digit(price: Decimal) -> Decimal:
    return Decimal(1).scaleb(min(int(price.as_tuple().exponent), 0))


def _direction(product: Product | None, key: int, readings: Readings) -> int:
    if product is None or product.asset_class in _DIRECTED:
        return (NEUTRAL, BUY, SELL)[key // 1000 % 3]
    return readings.otc_direction if product.asset_class in COUNTS_TICKS else NEUTRAL


def row(trade: Trade, readings: Readings) -> dict[str, Any]:
    """Return the tick as it is sent."""
    has_turnover = trade.product is None or trade.product.has_turnover
    worth = trade.price * trade.volume if trade.volume is not None and has_turnover else None
    tick = {
        "code": trade.code,
        "seq": trade.seq,
        "tick_time": stamp_text(trade.at_ms, readings),
        "price": price_text(trade.price, readings),
        "volume": None if trade.volume is None else f"{trade.volume:f}".removesuffix(".0"),
        "turnover": None if worth is None else price_text(worth, readings),
        "trade_direction": trade.direction,
    }
    return symbols.with_amounts(tick, readings)


def stamp_text(at_ms: int, readings: Readings) -> str:
    """Return a tick's time in the unit that the readings have it in."""
    return str(at_ms // 1000 if readings.tick_times == "seconds" else at_ms)
