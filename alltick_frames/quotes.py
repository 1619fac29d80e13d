"""Answers about many codes to their latest trades, order books and static info, or the right error.

Each code's part is read by itself, so that one that is not as documented costs that code and is named, never the
others. What the vendor sends as text may come as numbers and the other way round; `""` and null are no value.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from alltick_frames.codes import AssetClass, asset_class_of
from alltick_frames.decode import payload
from alltick_frames.wire import excerpt, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from alltick_frames.wire import Answer, SymbolsRequest

__all__ = ["Part", "Row", "rows_of"]

Row = dict[str, Any]
LimitState = Literal["limit_up", "limit_down", "one_sided", "empty"]

# "a time below 10^11 is seconds" (vendor pages have ten digits beside text that says milliseconds).
_FIRST_MILLISECONDS = 10**11
_US_PER_SECOND, _US_PER_MS = 1_000_000, 1_000
# 2000 and 9999.
_FIRST_US, _LAST_US = 946_684_800_000_000, 253_402_300_799_000_000
# "trade_direction" (vendor page "GET /trade-tick"); a constant for forex, metals and energy, so nothing there.
_SIDES: Mapping[int, str] = {0: "neutral", 1: "buy", 2: "sell"}
_HAVE_SIDES = frozenset({*AssetClass} - {AssetClass.OTC})
# Stand-ins for "no value" that pages of numbers have.
_NOTHING = frozenset({"", "-", "--", "n/a", "none", "null"})
_EXPONENTS = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?|[+-]?\.[0-9]+")

Number = str | int | float | None
Figure = TypeVar("Figure", int, float)


@dataclass(frozen=True, slots=True)
class Part:
    """What an answer has of one code: rows of the table, and why they lack something or there are none."""

    rows: tuple[Row, ...]
    flaw: str = ""


class _Level(msgspec.Struct):
    price: Number = None
    volume: Number = None


class _Tick(msgspec.Struct):
    seq: Number = None
    tick_time: Number = None
    price: Number = None
    volume: Number = None
    volumn: Number = None
    turnover: Number = None
    trade_direction: Number = None
    bids: list[_Level] | None = None
    asks: list[_Level] | None = None


class _Named(msgspec.Struct):
    code: str | None = None
    symbol: str | None = None


class _Data(msgspec.Struct):
    tick_list: list[msgspec.Raw] | None = None
    static_info_list: list[msgspec.Raw] | None = None


_data = msgspec.json.Decoder(_Data)
_named = msgspec.json.Decoder(_Named)
_tick = msgspec.json.Decoder(_Tick)
_info = msgspec.json.Decoder(dict[str, Any])

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)


def rows_of(answer: Answer, request: SymbolsRequest) -> dict[str, Part]:
    """Read the answer to *request*: a part of each code that was asked for and answered.

    Codes are told by their name, never by their position; of a code that comes twice the later tick counts.

    Raises
    ------
    ApiError
        The vendor refused (`ret` or HTTP status).
    TransportError
        A redirect or a server error.
    DecodeError
        No JSON, or no envelope.
    """
    refused = refusal(answer, request.codes)
    if refused is not None:
        raise refused
    data = payload(answer, request.codes, _data)
    parts: dict[str, Part] = {}
    for code, raw in _by_code(data.tick_list or data.static_info_list or [], request.codes):
        part = _part(code, raw, request)
        if code not in parts or _stamp(part) >= _stamp(parts[code]):
            parts[code] = part
    return parts


def _by_code(listed: Iterable[msgspec.Raw], asked: Iterable[str]) -> Iterable[tuple[str, msgspec.Raw]]:
    """Tell whose each of the *listed* is; what was not asked for is left out."""
    wanted = frozenset(asked)
    for raw in listed:
        try:
            named = _named.decode(raw)
        except _UNREADABLE:
            continue
        code = named.code or named.symbol or ""
        if code in wanted:
            yield code, raw


def _part(code: str, raw: msgspec.Raw, request: SymbolsRequest) -> Part:
    try:
        return _READERS[request.endpoint](code, raw)
    except _UNREADABLE as error:
        return Part((), f"{error}: {excerpt(bytes(raw).decode(errors='replace'))}")


def _stamp(part: Part) -> int:
    return max((row.get("timestamp") or 0 for row in part.rows), default=-1)


def _last_trade(code: str, raw: msgspec.Raw) -> Part:
    tick = _tick.decode(raw)
    price = _number("price", tick.price)
    if price is None:
        return Part(())
    volume = tick.volume if tick.volume is not None else tick.volumn
    direction = _whole("trade_direction", tick.trade_direction)
    has_side = asset_class_of(code) in _HAVE_SIDES and direction is not None
    row = {
        "code": code,
        "timestamp": _time_us(tick.tick_time),
        "price": price,
        "volume": _number("volume", volume),
        "turnover": _number("turnover", tick.turnover),
        "side": _SIDES.get(direction) if has_side and direction is not None else None,
        "seq": _sequence(tick.seq),
    }
    return Part((row,))


def _order_book(code: str, raw: msgspec.Raw) -> Part:
    tick = _tick.decode(raw)
    bids = sorted(_levels(tick.bids), key=lambda level: -level[0])
    asks = sorted(_levels(tick.asks), key=lambda level: level[0])
    about = {"code": code, "timestamp": _time_us(tick.tick_time)}
    state = {"seq": _sequence(tick.seq), "limit_state": _limit_state(code, bool(bids), bool(asks))}
    rows = [
        about | {"side": side, "level": number, "price": price, "volume": volume} | state
        for side, levels in (("bid", bids), ("ask", asks))
        for number, (price, volume) in enumerate(levels, start=1)
    ]
    # A book without levels is an answer, too: its row says so.
    return Part(tuple(rows) or (about | dict.fromkeys(("side", "level", "price", "volume")) | state,))


def _levels(side: list[_Level] | None) -> list[tuple[float, float | None]]:
    """Read one side; a price of zero is how the vendor writes that there is none ("Limit-up: ask price 0")."""
    read = [(_number("price", level.price), _number("volume", level.volume)) for level in side or ()]
    return [(price, volume) for price, volume in read if price and (volume is None or volume >= 0)]


def _limit_state(code: str, bids: bool, asks: bool) -> LimitState | None:  # noqa: FBT001  # the two sides
    if bids and asks:
        return None
    if not (bids or asks):
        return "empty"
    # Of the markets only the mainland's has price limits.
    if asset_class_of(code) is not AssetClass.STOCK_CN:
        return "one_sided"
    return "limit_up" if bids else "limit_down"


_TEXTS = ("name_en", "name_cn", "name_hk", "exchange", "board", "currency")
_COUNTS = ("lot_size", "total_shares", "circulating_shares", "hk_shares")
_AMOUNTS = ("eps", "eps_ttm", "bps", "dividend_yield")


def _static_info(code: str, raw: msgspec.Raw) -> Part:
    """Read what stands there of a product; a figure that is none is left out alone: no other hangs on it."""
    info = _info.decode(raw)
    flaws: list[str] = []

    def read(name: str, reader: Callable[[str, Any], Figure | None]) -> Figure | None:
        try:
            return reader(name, info.get(name))
        except ValueError as error:
            flaws.append(str(error))
            return None

    texts = {name: str(info[name]).strip() or None for name in _TEXTS if info.get(name) is not None}
    counts = {name: read(name, _whole) for name in _COUNTS}
    amounts = {name: read(name, _number) for name in _AMOUNTS}
    return Part(({"code": code} | dict.fromkeys(_TEXTS) | texts | counts | amounts,), "; ".join(flaws))


_READERS = {"trade_tick": _last_trade, "depth_tick": _order_book, "static_info": _static_info}


def _number(name: str, value: Any) -> float | None:
    """Read a number as the nearest double, or refuse it by a ValueError that names it."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str) and value.strip().lower() in _NOTHING:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name}={value!r} is no number")
    return number


def _whole(name: str, value: Any) -> int | None:
    """Read a whole number exactly, also one that is written with a point or an exponent."""
    if _number(name, value) is None:
        return None
    text = str(value).strip()
    try:
        number = Decimal(text) if _EXPONENTS.fullmatch(text) else Decimal("NaN")
        whole = int(number) if number == number.to_integral_value() else None
    except (InvalidOperation, ValueError, OverflowError):
        whole = None
    if whole is None or abs(whole) >= 2**63:
        raise ValueError(f"{name}={value!r} is no whole number")
    return whole


def _sequence(value: Number) -> int | None:
    """Read a sequence number, which is only good for telling repeats: one that is none is left out."""
    try:
        return _whole("seq", value)
    except ValueError:
        return None


def _time_us(value: Number) -> int | None:
    number = _whole("tick_time", value)
    if not number:
        return None
    stamp_us = number * (_US_PER_MS if number >= _FIRST_MILLISECONDS else _US_PER_SECOND)
    if not _FIRST_US < stamp_us < _LAST_US:
        raise ValueError(f"tick_time={value!r} is no time")
    return stamp_us
