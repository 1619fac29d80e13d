"""Which trading date a bar belongs to, and when it could first be acted on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from alltick_frames import finality
from alltick_frames.codes import AssetClass, Family, asset_class_of, family_of, rests_at_weekends, zone_of
from alltick_frames.errors import ArgumentError
from alltick_frames.extension.shape import by_code, checked, instants, length_of, stamps_of
from alltick_frames.sessions import AUCTION_US, sessions_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from alltick_frames.extension.lengths import Length
    from alltick_frames.sessions import Sessions

    Ints = NDArray[np.int64]

__all__ = [
    "AFTER_SESSION_US",
    "date_keys",
    "dates_of",
    "ends_session",
    "has_auction",
    "known_at",
    "open_hours",
    "trading_date",
    "trading_instants",
]

_DAY_US = 86_400_000_000
AFTER_SESSION_US = int(finality.AFTER_SESSION.total_seconds()) * 1_000_000


def trading_date(frame: pl.DataFrame, period: object = None) -> pl.DataFrame:
    """Add `trading_date`."""
    bars = checked(frame)

    def dates(code: str, stamps: Ints, length: Length) -> Ints:
        return date_keys(stamps, code, length) if length.by_date else dates_of(stamps, code)

    return bars.with_columns(_per_code(bars, period, dates).cast(pl.Datetime("us")).cast(pl.Date).alias("trading_date"))


def known_at(frame: pl.DataFrame, period: object = None) -> pl.DataFrame:
    """Add `known_at`; a column of that name stays."""
    bars = checked(frame)
    kind = bars.schema["timestamp"]
    if "known_at" in bars.columns:
        if not isinstance(bars.schema["known_at"], pl.Datetime):
            raise ArgumentError(f"column 'known_at' is {bars.schema['known_at']}, no time; rename it")
        return bars
    instants_known = _per_code(bars, period, lambda code, stamps, length: _known(stamps, code, length))
    return bars.with_columns(stamps_of(instants_known.to_numpy(), kind).alias("known_at"))


def _per_code(bars: pl.DataFrame, period: object, rule: Callable[[str, Ints, Length], Ints]) -> pl.Series:
    if bars.is_empty():
        return pl.Series([], dtype=pl.Int64)
    length = length_of(bars, period, "period")
    return pl.Series(np.concatenate([rule(code, instants(rows), length) for code, rows in by_code(bars)]))


def has_auction(code: str) -> bool:
    """Whether the exchange of *code* closes with an auction, whose bar is stamped with the close."""
    return asset_class_of(code) in AUCTION_US


def open_hours(code: str, start_us: int, end_us: int, seen_us: Ints) -> Sessions:
    """Give the sessions near `[start_us, end_us)` up to the close itself: `sessions` ends them before the auction."""
    sessions = sessions_of(code, start_us, end_us, seen_us=seen_us)
    auction = AUCTION_US.get(asset_class_of(code), 0)
    return replace(sessions, closes=np.where(ends_session(sessions), sessions.closes + auction, sessions.closes))


def ends_session(sessions: Sessions) -> NDArray[np.bool_]:
    """Say which stretches are the last of their trading dates."""
    return np.append(sessions.dates[1:] != sessions.dates[:-1], [True])[: len(sessions.dates)]


def trading_instants(code: str, start_us: int, end_us: int, seen_us: Ints) -> Sessions:
    """Give the sessions near `[start_us, end_us)` in which there can be bars, that of the closing auction included."""
    sessions = sessions_of(code, start_us, end_us, seen_us=seen_us)
    if not has_auction(code):
        return sessions
    last = np.flatnonzero(ends_session(sessions))
    at = sessions.closes[last] + AUCTION_US[asset_class_of(code)]
    opens, closes = np.insert(sessions.opens, last + 1, at), np.insert(sessions.closes, last + 1, at + 1)
    return replace(
        sessions, opens=opens, closes=closes, dates=np.insert(sessions.dates, last + 1, sessions.dates[last])
    )


def dates_of(stamps_us: Ints, code: str) -> Ints:
    """Give the trading date, as 00:00 UTC, of each stamp of bars shorter than a day.

    Of stocks the date at the exchange. Else that of the session; what lies between two goes to the nearer.

    Examples
    --------
    >>> evening = np.array([np.datetime64("2026-03-17T21:30"), np.datetime64("2026-03-20T21:30")])
    >>> for code in ("EURUSD", "BTCUSDT"):
    ...     print(code, *dates_of(evening.astype("M8[us]").astype(np.int64), code).astype("M8[us]").astype("M8[D]"))
    EURUSD 2026-03-18 2026-03-20
    BTCUSDT 2026-03-17 2026-03-20
    """
    if family_of(code) is Family.STOCK:
        wall = pl.Series(stamps_us).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone_of(code))
        dates = wall.dt.date().cast(pl.Datetime("us")).cast(pl.Int64).to_numpy()
        return np.asarray(dates, dtype=np.int64)
    sessions = sessions_of(code, int(stamps_us[0]), int(stamps_us[-1]), seen_us=stamps_us)
    row = np.searchsorted(sessions.opens, stamps_us, side="right") - 1
    following = np.minimum(row + 1, len(sessions.opens) - 1)
    nearer = stamps_us - sessions.closes[row] >= sessions.opens[following] - stamps_us
    in_session = stamps_us < sessions.closes[row]
    return np.where(in_session | ~nearer, sessions.dates[row], sessions.dates[following])


def date_keys(stamps_us: Ints, code: str, length: Length) -> Ints:
    """Give the first trading date, as 00:00 UTC, of each bar of a day or more.

    The vendor's weeks and months may be stamped with any of their dates; longer bars were made, by us or somebody else.
    """
    dates = finality.trading_dates([finality.instant(stamp) for stamp in stamps_us.tolist()], code)
    dates_us = np.array([finality.microseconds(date) for date in dates], dtype=np.int64)
    return dates_us if length.period is None else length.first_dates(dates_us)


def _known(stamps_us: Ints, code: str, length: Length) -> Ints:
    """Give when each bar of one code could first be acted on."""
    if not length.by_date:
        return _known_intraday(stamps_us, code, length.us)
    firsts = date_keys(stamps_us, code, length)
    return finality.nominal_ends(stamps_us, firsts, length.dates_after(firsts), code)


def _known_intraday(stamps_us: Ints, code: str, length_us: int) -> Ints:
    ends = stamps_us + length_us
    if asset_class_of(code) is AssetClass.OTC and not rests_at_weekends(code):
        return ends  # nobody knows when it closes
    # An auction's print comes some minutes after the close that its bar is stamped with.
    auction_us = AFTER_SESSION_US if has_auction(code) else 0
    sessions = open_hours(code, int(stamps_us[0]), int(ends[-1]), stamps_us)
    if not len(sessions.dates):
        return np.maximum(ends, stamps_us + auction_us)
    row = sessions.last_before(ends)
    closes = sessions.closes[row]
    settled = closes + np.where(ends_session(sessions)[row], auction_us, 0)
    begins_closed = (row < 0) | (closes <= stamps_us)
    reaching_over = np.where(closes < ends, settled, ends)
    return np.where(begins_closed, np.maximum(ends, stamps_us + auction_us), reaching_over)
