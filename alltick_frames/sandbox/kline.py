"""GET /kline: from a query string to bars, or to the envelope that refuses it (alltick-api.md 6.1)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from alltick_frames.sandbox.answers import kline_data
from alltick_frames.sandbox.bars import STAMP
from alltick_frames.sandbox.periods import PERIOD_OF_NUMBER, Period, aligned
from alltick_frames.sandbox.products import AssetClass, Family, family_of
from alltick_frames.sandbox.refusals import Refusal
from alltick_frames.sandbox.sessions import DAY_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from alltick_frames.sandbox.bars import Bars
    from alltick_frames.sandbox.market import Market
    from alltick_frames.sandbox.products import Product
    from alltick_frames.sandbox.readings import Readings
    from alltick_frames.sandbox.replay import Replay
    from alltick_frames.sandbox.state import State

__all__ = ["KlineQuery", "answer", "answer_query", "envelope_of_query", "kline_query"]

_TRACE_LENGTH = 64
_MILLISECONDS_FROM = 10**11
_STOCK_BARS = 500
# Of the metals the precious ones, by their hours.
_END_LISTED = {(AssetClass.FOREX, "forex"), (AssetClass.CRYPTO, "crypto"), (AssetClass.METAL, "metal")}


@dataclass(frozen=True, slots=True)
class KlineQuery:
    """The fields of one request, as asked."""

    code: str
    period: Period
    end: int
    num: int


def envelope_of_query(text: str | None) -> tuple[str, Any]:
    """Return ``trace`` and ``data`` of a ``query`` parameter, or raise the refusal it earns."""
    try:
        query = json.loads(text or "")
    except (ValueError, RecursionError):
        raise Refusal("query_invalid") from None
    if not isinstance(query, dict):
        raise Refusal("header_invalid")
    trace, data = query.get("trace"), query.get("data")
    if not isinstance(trace, str) or not 0 < len(trace) <= _TRACE_LENGTH or not isinstance(data, dict):
        raise Refusal("header_invalid")
    return trace, data


def kline_query(data: dict[str, Any]) -> KlineQuery:
    """Return the checked fields of a ``data`` object, or raise the refusal they earn."""
    code = data.get("code")
    number, end, num, adjust = (
        data.get(name) for name in ("kline_type", "kline_timestamp_end", "query_kline_num", "adjust_type")
    )
    # Integers must be JSON integers (section 3.1); True and False are ints only to Python.
    if not isinstance(code, str) or not all(type(each) is int for each in (number, end, num, adjust)):
        raise Refusal("data_invalid")
    period = PERIOD_OF_NUMBER.get(number)  # type: ignore[arg-type]  # an int, as just checked
    if period is None or adjust != 0 or num < 1 or end < 0:  # type: ignore[operator]  # ints, as just checked
        raise Refusal("data_invalid")
    return KlineQuery(code, period, end, num)  # type: ignore[arg-type]  # ints, as just checked


def answer(state: State, family: Family, data: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the members of the answer that follow ``trace``, and how many bars they hold."""
    return answer_query(state, family, kline_query(data))


def answer_query(state: State, family: Family, query: KlineQuery) -> tuple[dict[str, Any], int]:
    """Return the same for fields that were checked."""
    source = state.source(query.code)
    if source is None or family_of(query.code) is not family:
        raise Refusal("code_invalid")
    if not state.plan.covers(query.code) or _is_withheld(state, query.period):
        raise Refusal("code_unauthorized")
    readings, product = state.readings, source[1]
    if family is Family.STOCK and not query.period.for_stocks:
        raise Refusal("data_invalid")
    maximum = _STOCK_BARS if family is Family.STOCK else readings.page_maximum
    if query.num > maximum and readings.surplus == "ret_603":
        raise Refusal("level_not_enough")
    how = _end_reading(readings, family, product) if query.end else "ignored"
    if how == "refused":
        raise Refusal("data_invalid")
    query = replace(query, period=aligned(query.period, query.code, readings.alignment))
    end = math.inf if how == "ignored" else _last_stamp(query, how)
    # A stock's newest 500 bars are all there is, also where a page could be longer.
    count = min(query.num, maximum)
    if readings.pages == "short" and how != "ignored":
        count -= count // 3
    bars = _page(state, family, source[0], query.period, end, count)
    members = kline_data(bars, query.code, product, query.period, readings, newest_page=how == "ignored")
    return members, bars.shape[1]


def _is_withheld(state: State, period: Period) -> bool:
    return state.readings.free_intraday == "refused" and state.plan.name == "free" and period.intraday


def _end_reading(readings: Readings, family: Family, product: Product | None) -> str:
    """Return how a non-zero end is read for this product."""
    if family is Family.STOCK:
        return readings.stock_end
    kind = None if product is None else (product.asset_class, product.calendar)
    listed = kind is None or kind in _END_LISTED
    return readings.end if listed or readings.unlisted_end == "honoured" else readings.unlisted_end


def _page(state: State, family: Family, series: Market | Replay, period: Period, end: float, count: int) -> Bars:
    """Return the newest *count* bars up to *end*, as far back as the plan's history goes."""
    readings, now = state.readings, state.clock.now()
    oldest = _oldest_stamp(state, family, now)
    bars = series.newest(period, end, count, now, readings.daily_stamps)
    bars = bars[:, bars[STAMP] >= oldest]
    if bars.shape[1] == count or math.isinf(oldest) or readings.beyond_history == "empty":
        return bars
    if readings.beyond_history == "oldest_page":
        return _oldest(series, period, oldest, count, now, readings.daily_stamps)
    if not bars.shape[1]:
        raise Refusal("level_not_enough")
    return bars


def _oldest(series: Market | Replay, period: Period, oldest: float, count: int, now: float, stamping: str) -> Bars:
    reach_s = count * period.length_s
    while True:
        bars = series.between(period, oldest, oldest + reach_s, now, stamping)
        if bars.shape[1] >= count or oldest + reach_s > now:
            return bars[:, :count]
        reach_s *= 2


def _last_stamp(query: KlineQuery, reading: str) -> float:
    # A millisecond value has been seen to be accepted without error (section 11).
    end = query.end if query.end < _MILLISECONDS_FROM else min(query.end // 1000, _MILLISECONDS_FROM)
    if reading == "exclusive":
        return end - 1
    if reading == "rounded_down":
        return _ROUND_DOWN.get(query.period.name, _floor)(end, query.period)
    return end


def _floor(end: int, period: Period) -> int:
    return int(period.floor(end))


def _week_start(end: int, _period: Period) -> int:
    day = end // DAY_S
    return (day - (day + 3) % 7) * DAY_S


def _month_start(end: int, _period: Period) -> int:
    day = date(1970, 1, 1) + timedelta(end // DAY_S)
    return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp())


_ROUND_DOWN: dict[str, Callable[[int, Period], int]] = {"1w": _week_start, "1mo": _month_start}


def _oldest_stamp(state: State, family: Family, now: float) -> float:
    """Return the oldest stamp that the plan sells; stocks are bound by the length of a page alone."""
    years = state.plan.history_years
    if years is None or family is Family.STOCK:
        return -math.inf
    today = datetime.fromtimestamp(now, UTC)
    # 28 February stands in for a 29th that the earlier year lacks.
    day = min(today.day, 28) if today.month == 2 else today.day  # noqa: PLR2004 - February
    return today.replace(year=today.year - years, day=day).timestamp()
