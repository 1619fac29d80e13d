"""Daily, weekly and monthly bars as groups of sessions, and the stamps they carry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from alltick_frames.sandbox.sessions import DAY_S, Calendar, calendar_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from alltick_frames.sandbox.bars import Ints
    from alltick_frames.sandbox.periods import Period

__all__ = ["STAMPINGS", "Ladder", "day_of_month_start", "day_of_week_start", "ladder"]


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """The bars of one long period: bar *i* covers the sessions ``starts[i]`` to ``starts[i + 1]``."""

    starts: Ints
    """One more entry than there are bars."""
    stamps: Ints
    closes: Ints
    """When the last session of each bar ends."""

    def group_of(self, session: Ints) -> Ints:
        """Return the bar that each *session* belongs to."""
        return np.searchsorted(self.starts, session, side="right").astype(np.int64) - 1


def day_of_week_start(days: Ints) -> Ints:
    """Return the Monday of each day (1970-01-01 was a Thursday)."""
    return days - (days + 3) % 7


def day_of_month_start(days: Ints) -> Ints:
    """Return the first of each day's month."""
    return days.astype("datetime64[D]").astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


_NOMINAL_START: dict[str, Callable[[Ints], Ints]] = {
    "1d": lambda days: days,
    "1w": day_of_week_start,
    "1mo": day_of_month_start,
}

# The protocol does not say how long bars are stamped (alltick-api.md section 11): every reading is here.
# Arguments: calendar, nominal first day, first session, last session of each bar.
STAMPINGS: dict[str, Callable[[Calendar, Ints, Ints, Ints], Ints]] = {
    "utc_midnight": lambda _calendar, day, _first, _last: day * DAY_S,
    "local_midnight": lambda calendar, day, _first, _last: calendar.midnight(day),
    "session_open": lambda calendar, _day, first, _last: calendar.opens[first],
    "session_close": lambda calendar, _day, _first, last: calendar.closes[last],
    "last_date": lambda calendar, _day, _first, last: calendar.dates[last] * DAY_S,
}


@lru_cache(maxsize=128)
def ladder(calendar_name: str, period: Period, stamping: str) -> Ladder:
    """Return the bars of *period* (1d, 1w or 1mo) for a calendar, stamped by one of `STAMPINGS`."""
    calendar = calendar_named(calendar_name)
    nominal = _NOMINAL_START[period.name](calendar.dates)
    first = np.flatnonzero(np.diff(nominal, prepend=nominal[0] - 1)).astype(np.int64)
    starts = np.append(first, len(nominal)).astype(np.int64)
    last = starts[1:] - 1
    stamps = STAMPINGS[stamping](calendar, nominal[first], first, last)
    return Ladder(starts, stamps, calendar.closes[last])
