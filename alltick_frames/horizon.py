"""How long the newest 500 bars of a stock still reach back to what is held: all that can be asked for. Pure.

Counted are the bars that a session can have by its exchange's calendar, and those that the last days held had outside
of it: an auction's, or those of trades before and after the session, should the vendor deliver them. So the horizon is
the earlier of what the calendar and what the observed bars a day say.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from alltick_frames import finality
from alltick_frames.codes import asset_class_of, zone_of
from alltick_frames.sessions import AUCTION_US, sessions_of
from alltick_frames.spans import Span
from alltick_frames.wire import PAGE_BARS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from alltick_frames.periods import Period
    from alltick_frames.sessions import Sessions

    Ints = NDArray[np.int64]

__all__ = ["LOOKS_BACK", "Due", "bars_within", "due"]

# Days from which the times of bars are taken: two weeks of sessions, or fewer around holidays.
LOOKS_BACK = timedelta(days=14)
_DAY = timedelta(days=1)
_DAY_US = 86_400_000_000
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Due:
    """Until when what follows the newest bar held can be asked for.

    Attributes
    ----------
    newest
        The stamp of that bar.
    by
        When the bar begins that moves it out of reach: a run must have begun before.
    left
        Bars that may begin before that, as of now; negative if so many are lost.
    lost
        What cannot be had any more, if it is too late.
    calendar
        Which one it goes by.
    """

    newest: datetime
    by: datetime
    left: int
    lost: Span | None
    calendar: str


def due(code: str, period: Period, stamps_us: Ints, now: datetime) -> Due:
    """Say until when the next run must have begun.

    *stamps_us* are those of the bars held in the last `LOOKS_BACK` before the newest one, which is their last.
    """
    newest = int(stamps_us[-1])
    begins, calendar = _bars_after(code, period, stamps_us, now)
    # The newest bar is the last of a page that has so many later ones; the forming bar is one of them.
    by = finality.instant(int(begins[PAGE_BARS - 1]))
    begun = int(np.searchsorted(begins, finality.microseconds(now), side="right"))
    left = PAGE_BARS - 1 - begun
    lost = Span(*map(finality.instant, begins[[0, -left]].tolist())) if left < 0 else None
    return Due(finality.instant(newest), by, left, lost, calendar)


def bars_within(code: str, period: Period, span: Span) -> int:
    """Count the bars that *span* can have by the calendar."""
    just_before = np.array([finality.microseconds(span.start) - 1])
    begins, _ = _bars_after(code, period, just_before, span.end)
    return int(np.searchsorted(begins, finality.microseconds(span.end), side="left"))


def _bars_after(code: str, period: Period, stamps_us: Ints, now: datetime) -> tuple[Ints, str]:
    """Give when the bars after the last of *stamps_us* begin, at least up to *now*, and one that is out of a page."""
    newest = finality.instant(int(stamps_us[-1]))
    length = 2 * PAGE_BARS * period.nominal
    while True:
        until = max(now + _DAY, newest + length)
        dates, begins, calendar = _expected(code, period, stamps_us, Span(newest, until))
        after = begins[begins > stamps_us[-1]]
        if len(after) >= PAGE_BARS and len(dates) and finality.instant(int(after[-1])) > now:
            return after, calendar
        length *= 2


def _expected(code: str, period: Period, stamps_us: Ints, span: Span) -> tuple[Ints, Ints, str]:
    """Give the trading dates of *span*, when bars begin on them, and by which calendar."""
    sessions = sessions_of(code, int(stamps_us[0]), finality.microseconds(span.end), seen_us=stamps_us)
    dates = np.unique(sessions.dates)
    names = " then ".join(dict.fromkeys(sessions.named(dates)))
    zone = ZoneInfo(zone_of(code))
    if period.by_date:
        firsts = finality.keys(dates, code, period)
        newest = finality.keys(stamps_us[-1:], code, period)[0]
        later = np.unique(firsts[firsts > newest])
        # Whatever they are stamped with, none begins before its date does.
        return dates, np.array([finality.microseconds(_midnight(date, zone)) for date in later.tolist()]), names
    step = period.nominal // _MICROSECOND
    phase = int(stamps_us[-1]) % step
    regular = _slots(sessions, step, phase, AUCTION_US.get(asset_class_of(code)))
    times = _times_of_day(np.setdiff1d(stamps_us, regular), zone)
    more = [finality.microseconds(_midnight(date, zone)) + times for date in dates.tolist()]
    return dates, np.unique(np.concatenate([regular, *more])), names


def _slots(sessions: Sessions, step: int, phase: int, auction_us: int | None) -> Ints:
    """Give when bars can begin in *sessions*, and where there is an auction, so long after each one's last trades."""
    first, after = (sessions.opens - phase) // step, -((phase - sessions.closes) // step)
    slots = [np.arange(*one) for one in zip(first.tolist(), after.tolist(), strict=True)]
    if auction_us is not None:
        is_last = np.append(sessions.dates[1:] != sessions.dates[:-1], [True])
        slots.append((sessions.closes[is_last] + auction_us - phase) // step)
    return np.unique(np.concatenate([*slots, np.empty(0, np.int64)])) * step + phase


def _times_of_day(stamps_us: Ints, zone: ZoneInfo) -> Ints:
    """Give the times after midnight of the bars of the day that had the most."""
    by_day: dict[datetime, list[int]] = {}
    for stamp in stamps_us.tolist():
        wall = finality.instant(stamp).astimezone(zone).replace(tzinfo=None)
        midnight = datetime.combine(wall, time())
        by_day.setdefault(midnight, []).append((wall - midnight) // _MICROSECOND)
    return np.array(max(by_day.values(), key=len, default=[]), dtype=np.int64)


def _midnight(date_us: int, zone: ZoneInfo) -> datetime:
    return datetime.combine(finality.instant(date_us).date(), time(), zone)
