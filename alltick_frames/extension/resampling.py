"""Bars → longer bars: by the clock, by trading time or by trading dates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from alltick_frames.codes import Family, family_of, zone_of
from alltick_frames.errors import ArgumentError
from alltick_frames.extension.dates import (
    AFTER_SESSION_US,
    date_keys,
    dates_of,
    ends_session,
    has_auction,
    open_hours,
    trading_instants,
)
from alltick_frames.extension.lengths import Length
from alltick_frames.extension.shape import QUANTITIES, by_code, checked, instants, length_of, stamps_of, when

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from alltick_frames.sessions import Sessions

    Ints = NDArray[np.int64]

__all__ = ["Partial", "Session", "resample"]

Session = Literal["clock", "open"]
Partial = Literal["keep", "drop"]

_DAY_US = 86_400_000_000
_START, _CUT, _KNOWN = "__start", "__cut", "__known"


@dataclass(frozen=True, slots=True, eq=False)
class _Buckets:
    """For each bar of one code, in order, the longer bar it goes into.

    Attributes
    ----------
    starts
        The longer bars' stamps, in epoch microseconds.
    ends
        When each of them is known; None where that follows from its stamp.
    begins_late, ends_early
        Whether the first has trading time before the bars there are, and the last after them.
    """

    starts: Ints
    ends: Ints | None
    begins_late: bool
    ends_early: bool

    def columns(self) -> pl.DataFrame:
        cut = (self.starts == self.starts[0]) & self.begins_late | (self.starts == self.starts[-1]) & self.ends_early
        known = self.starts if self.ends is None else self.ends
        return pl.DataFrame({_START: self.starts, _CUT: cut, _KNOWN: known}, schema=_COLUMNS)


_COLUMNS = {_START: pl.Int64, _CUT: pl.Boolean, _KNOWN: pl.Int64}


def resample(
    frame: pl.DataFrame,
    period: object,
    session: Session | None = None,
    *,
    of: object = None,
    partial: Partial = "keep",
) -> pl.DataFrame:
    """Aggregate bars to longer ones."""
    target = Length.parse(period)
    if session not in (None, "clock", "open"):
        raise ArgumentError(
            f"session={session!r} must be 'clock' (as None: the vendor's grid) or 'open' (trading time)"
        )
    if partial not in ("keep", "drop"):
        raise ArgumentError(f"partial={partial!r} must be 'keep' (marked in a column) or 'drop'")
    by_open = session == "open" and not target.by_date
    rows = checked(frame)
    source = length_of(rows, of, "of") if rows.height else target
    if not target.holds(source):
        raise ArgumentError(
            f"period='{target}' is not made of whole {source} bars, which this frame has; use a multiple of {source}, "
            "or take shorter bars"
        )
    # A row without prices, as `align` adds them, is no bar.
    bars = rows.filter(pl.col("close").is_not_null())
    longer = _aggregated(bars, _buckets(bars, source, target, by_open=by_open), by_open=by_open)
    return longer.filter(~pl.col("partial")).drop("partial") if partial == "drop" else longer


def _buckets(bars: pl.DataFrame, source: Length, target: Length, *, by_open: bool) -> pl.DataFrame:
    rule = _by_date if target.by_date else _by_open if by_open else _by_clock
    parts = [rule(instants(rows), code, source, target).columns() for code, rows in by_code(bars)]
    return pl.concat([pl.DataFrame(schema=_COLUMNS), *parts])


def _aggregated(bars: pl.DataFrame, buckets: pl.DataFrame, *, by_open: bool) -> pl.DataFrame:
    forming = ~pl.col("closed") if "closed" in bars.columns else pl.lit(value=False)
    columns = [
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        *(pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()) for name in QUANTITIES if name in bars.columns),
        *(pl.col("closed").all() for name in ("closed",) if name in bars.columns),
        (pl.col(_CUT) | forming).any().alias("partial"),
        pl.col(_KNOWN).first(),
    ]
    longer = bars.hstack(buckets).group_by("code", _START, maintain_order=True).agg(columns)
    kind = bars.schema["timestamp"]
    stamps = stamps_of(longer[_START].to_numpy(), kind).alias("timestamp")
    known = [stamps_of(longer[_KNOWN].to_numpy(), kind).alias("known_at")] if by_open else []
    return longer.drop(_START, _KNOWN).insert_column(1, stamps).with_columns(*known)


def _by_clock(stamps: Ints, code: str, source: Length, target: Length) -> _Buckets:
    """Count from midnight: at the exchange for stocks, in UTC for all else, as the vendor's own bars do."""
    into_day = _wall(stamps, code) % _DAY_US
    starts = stamps - into_day % target.us
    ends = np.minimum(starts + target.us, stamps - into_day + _DAY_US)
    _refuse(stamps + source.us > ends, stamps, code, source, f"lies across the edge of a {target} bar")
    sessions = trading_instants(code, int(starts[0]), int(ends[-1]), stamps)
    if not len(sessions.dates):
        return _Buckets(starts, None, begins_late=False, ends_early=False)
    first, from_, to, last = sessions.open_before(
        np.array([starts[0], stamps[0], stamps[-1] + source.us, ends[-1]])
    ).tolist()
    return _Buckets(starts, None, begins_late=first < from_, ends_early=to < last)


def _wall(stamps: Ints, code: str) -> Ints:
    if family_of(code) is Family.QUOTE:
        return stamps
    local = pl.Series(stamps).cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(zone_of(code))
    return np.array(local.dt.replace_time_zone(None).cast(pl.Int64).to_numpy(), dtype=np.int64)


def _by_open(stamps: Ints, code: str, source: Length, target: Length) -> _Buckets:
    """Count trading time from each session's opening, breaks skipped; the closing auction is in the last bar."""
    sessions = open_hours(code, int(stamps[0]), int(stamps[-1]) + source.us, stamps)
    row = _rows_in(sessions, stamps, code, source)
    dates, begins, ends = sessions.on_open_time()
    of_date = np.searchsorted(dates, sessions.dates[row])
    begin, end = begins[of_date], ends[of_date]
    at, after = sessions.open_before(stamps), sessions.open_before(stamps + source.us)
    number = np.minimum(at - begin, end - begin - 1) // target.us
    first = begin + number * target.us
    last = np.minimum(first + target.us, end)
    _refuse(
        (after > last) & (at < end), stamps, code, source, f"lies across the edge of a {target} bar of trading time"
    )
    closing = has_auction(code) & (last == end)
    known = sessions.instants(last, ending=True) + np.where(closing, AFTER_SESSION_US, 0)
    awaits_auction = bool(closing[-1]) and int(stamps[-1]) + source.us <= int(sessions.closes[row[-1]])
    return _Buckets(
        sessions.instants(first),
        known,
        begins_late=bool(first[0] < at[0]),
        ends_early=awaits_auction or bool(after[-1] < last[-1]),
    )


def _rows_in(sessions: Sessions, stamps: Ints, code: str, source: Length) -> NDArray[np.intp]:
    """Give the stretch of trading that each bar begins in, or whose closing auction it is."""
    row = np.searchsorted(sessions.opens, stamps, side="right") - 1
    if len(sessions.dates):
        auction = has_auction(code) & ends_session(sessions)[row] & (stamps == sessions.closes[row])
        inside = (row >= 0) & ((stamps < sessions.closes[row]) | auction)
    else:
        inside = np.zeros(len(stamps), dtype=np.bool_)
    _refuse(~inside, stamps, code, source, f"begins outside the trading hours ({sessions.calendar})")
    return row


def _by_date(stamps: Ints, code: str, source: Length, target: Length) -> _Buckets:
    """Group by trading dates: stamped with the first date, at 00:00 UTC."""
    dates = date_keys(stamps, code, source) if source.by_date else dates_of(stamps, code)
    starts = target.first_dates(dates)
    ends = target.dates_after(starts)
    sessions = trading_instants(code, int(starts[0]), int(ends[-1]), dates if source.by_date else stamps)
    if source.by_date:
        after = source.dates_after(dates)
        _refuse(after > ends, stamps, code, source, f"lies across the edge of a {target} bar")
        lacking_before = _any_date(sessions, int(starts[0]), int(dates[0]))
        return _Buckets(starts, None, lacking_before, _any_date(sessions, int(after[-1]), int(ends[-1])))
    if family_of(code) is Family.QUOTE:
        last = sessions.dates[sessions.last_before(stamps + source.us)]
        _refuse(last > dates, stamps, code, source, "lies across two trading dates")
    before = (sessions.dates >= starts[0]) & (sessions.opens < stamps[0])
    later = (sessions.dates < ends[-1]) & (sessions.closes > stamps[-1] + source.us)
    return _Buckets(starts, None, begins_late=bool(before.any()), ends_early=bool(later.any()))


def _any_date(sessions: Sessions, first: int, after: int) -> bool:
    return bool(((sessions.dates >= first) & (sessions.dates < after)).any())


def _refuse(wrong: NDArray[np.bool_], stamps: Ints, code: str, source: Length, what: str) -> None:
    if wrong.any():
        first = when(int(stamps[np.flatnonzero(wrong)[0]]))
        raise ArgumentError(
            f"the {source} bar of {code} at {first} {what}, so it cannot be resampled; take shorter bars, leave it out "
            "or, with session='open', resample by the clock (session=None)"
        )
