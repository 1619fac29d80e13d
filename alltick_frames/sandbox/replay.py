"""Real bars of the user's, served in place of the model's."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from alltick_frames.sandbox.bars import FIELDS, STAMP, Bars, Ints, aggregate
from alltick_frames.sandbox.ladders import ladder
from alltick_frames.sandbox.periods import PERIODS, Period
from alltick_frames.sandbox.products import find_product
from alltick_frames.sandbox.sessions import DAY_S, Calendar, calendar_named

__all__ = ["Replay", "calendar_of"]


def calendar_of(code: str) -> str:
    """Return the calendar of *code*; a code that is no product trades in UTC days."""
    product = find_product(code)
    return "crypto" if product is None else product.calendar


@dataclass(slots=True)
class Replay:
    """The bars given for one code. What is given is served as it is, longer bars are aggregated from it."""

    code: str
    given: dict[str, Bars] = field(default_factory=dict)
    """By period name; float64, ascending, one bar per stamp."""
    _made: dict[tuple[Period, str], Bars] = field(default_factory=dict)

    def put(self, period: Period, bars: Bars) -> None:
        """Serve *bars* for *period* from now on."""
        self.given[period.name] = bars
        self._made.clear()

    def newest(self, period: Period, end: float, count: int, now: float, stamping: str) -> Bars:
        """Return the newest *count* bars stamped at or before *end* and *now*; ascending."""
        bars = self._bars(period, stamping)
        stop = int(np.searchsorted(bars[STAMP], min(end, now), side="right"))
        return bars[:, max(0, stop - count) : stop]

    def between(self, period: Period, start: float, end: float, now: float, stamping: str) -> Bars:
        """Return every bar stamped in [*start*, *end*) and not after *now*; ascending."""
        bars = self._bars(period, stamping)
        return bars[:, (bars[STAMP] >= start) & (bars[STAMP] < end) & (bars[STAMP] <= now)]

    def _bars(self, period: Period, stamping: str) -> Bars:
        if period.name in self.given:
            return self.given[period.name]
        key = (period, stamping)
        if key not in self._made:
            self._made[key] = self._aggregated(period, stamping)
        return self._made[key]

    def _aggregated(self, period: Period, stamping: str) -> Bars:
        finer = self._finer(period)
        if finer is None:
            return np.empty((len(FIELDS), 0))
        bars = self.given[finer.name]
        stamps = bars[STAMP].astype(np.int64)
        if period.intraday:
            return aggregate(bars, period.floor(stamps))
        steps = ladder(calendar_of(self.code), period, stamping)
        longer = aggregate(bars, steps.group_of(self._sessions(stamps, finer)))
        longer[STAMP] = steps.stamps[longer[STAMP].astype(np.int64)]
        return longer

    def _finer(self, period: Period) -> Period | None:
        """Return the longest given period that divides *period* (a week does not divide a month)."""
        shorter = [PERIODS[name] for name in self.given if PERIODS[name].length_s < period.length_s and name != "1w"]
        return max(shorter, key=lambda each: each.length_s, default=None)

    def _sessions(self, stamps: Ints, period: Period) -> Ints:
        calendar = calendar_named(calendar_of(self.code))
        line, at = (calendar.opens, stamps) if period.intraday else (calendar.dates, _dates(stamps, calendar))
        return np.maximum(np.searchsorted(line, at, side="right") - 1, 0).astype(np.int64)


def _dates(stamps: Ints, calendar: Calendar) -> Ints:
    """Return the trading dates of daily stamps: 00:00 UTC is that date, else the date where the market is."""
    local = [
        int(stamp) + datetime.fromtimestamp(int(stamp), UTC).astimezone(calendar.zone).utcoffset().total_seconds()  # type: ignore[union-attr]  # an aware datetime has an offset
        for stamp in stamps
    ]
    return np.where(stamps % DAY_S == 0, stamps, np.array(local, np.int64)) // DAY_S
