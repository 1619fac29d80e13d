"""When products trade, roughly: how many bars a span may hold before any of them has been seen. Pure.

Enough to say a price beforehand and to share work evenly; what really exists is decided by the vendor's answers alone.
Hours are those of the vendor's product sheet; holidays, breaks within a day and quiet minutes are left out, so that
what is counted here is the most there can be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from alltick_frames.codes import AssetClass, Family, asset_class_of, family_of, is_pair, rests_at_weekends, zone_of
from alltick_frames.periods import Period

if TYPE_CHECKING:
    from alltick_frames.spans import Span

__all__ = ["Hours", "fewest_share", "hours_of", "most_bars", "session_time"]

_DAY = timedelta(days=1)
_WEEK = timedelta(days=7)
_HOUR = timedelta(hours=1)
# Minutes with a bar in a session: the closing auction of Hong Kong and Shanghai is one more.
_SESSION_MINUTES = {AssetClass.STOCK_HK: 331, AssetClass.STOCK_CN: 241, AssetClass.STOCK_US: 390}
# A Sunday, on which no clock changes before a market opens; the hour is that of the forex week.
_OPENING = datetime(2000, 1, 2, 17)  # noqa: DTZ001  # wall time, in the zone of the hours


@dataclass(frozen=True, slots=True)
class Hours:
    """The open part of every week: *open_for* from Sunday 17:00 on, in *zone*."""

    zone: str
    open_for: timedelta

    def passed(self, instant: datetime) -> timedelta:
        """Give the open time up to *instant*, since a moment long ago."""
        weeks, rest = divmod(instant.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None) - _OPENING, _WEEK)
        return weeks * self.open_for + min(rest, self.open_for)

    def when(self, passed: timedelta) -> datetime:
        """Give the instant by which so much open time has *passed*."""
        weeks, rest = divmod(passed, self.open_for)
        wall = _OPENING + weeks * _WEEK + rest
        return wall.replace(tzinfo=ZoneInfo(self.zone)).astimezone(ZoneInfo("UTC"))


def session_time(code: str) -> timedelta:
    """Say how long *code* trades on a day, at most.

    Examples
    --------
    >>> session_time("700.HK"), session_time("BTCUSDT") == timedelta(days=1)
    (datetime.timedelta(seconds=19860), True)
    """
    minutes = _SESSION_MINUTES.get(asset_class_of(code))
    return _DAY if minutes is None else timedelta(minutes=minutes)


def hours_of(code: str) -> Hours:
    """Give the hours of *code*: round the clock unless it is known to rest.

    Examples
    --------
    >>> hours_of("EURUSD").open_for == timedelta(hours=120), hours_of("BTCUSDT").open_for == timedelta(hours=168)
    (True, True)
    """
    return Hours(zone_of(code), 120 * _HOUR) if rests_at_weekends(code) else Hours("UTC", 168 * _HOUR)


def most_bars(code: str, period: Period, span: Span) -> int:
    """Count the bars that *span* holds if every slot of the hours of *code* has one.

    Examples
    --------
    >>> from datetime import UTC
    >>> from alltick_frames.spans import Span
    >>> week = Span(datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 3, 23, tzinfo=UTC))
    >>> [most_bars(code, Period.MINUTE_1, week) for code in ("BTCUSDT", "EURUSD", "700.HK")]
    [10080, 7200, 1655]
    """
    if not span:
        return 0
    if period.by_date:
        return _most_dates(code, period, span)
    if family_of(code) is Family.STOCK:
        a_session = math.ceil(timedelta(minutes=_SESSION_MINUTES[asset_class_of(code)]) / period.nominal)
        # Pauses and closing auctions begin bars of their own.
        return _weekdays(span) * (a_session + (2 if period.nominal > timedelta(minutes=1) else 0))
    hours = hours_of(code)
    slots = math.ceil((hours.passed(span.end) - hours.passed(span.start)) / period.nominal)
    # Where the grid of a period does not meet the week's opening, each week has a slot more.
    weeks = math.ceil((span.end - span.start) / _WEEK) if period.nominal > _HOUR and rests_at_weekends(code) else 0
    return slots + weeks


def fewest_share(code: str) -> float:
    """Give the share of `most_bars` that is there at the least, going by the kind of product.

    A guess where the code says little: some of the vendor's metals and indices trade 18 hours a day, and not in every
    minute of them.
    """
    if family_of(code) is Family.STOCK:
        return 0.6
    if asset_class_of(code) is AssetClass.CRYPTO:
        return 0.97
    if is_pair(code):
        return 0.92
    return 0.5 if rests_at_weekends(code) else 0.3


def _most_dates(code: str, period: Period, span: Span) -> int:
    if period is Period.DAY:
        rests = family_of(code) is Family.STOCK or rests_at_weekends(code)
        return _weekdays(span) if rests else math.ceil((span.end - span.start) / _DAY)
    if period is Period.WEEK:
        return math.ceil((span.end - span.start) / _WEEK)
    return 12 * (span.end.year - span.start.year) + span.end.month - span.start.month + 1


def _weekdays(span: Span) -> int:
    """Count the Mondays to Fridays that *span* touches."""
    first, last = span.start.date(), (span.end - timedelta(microseconds=1)).date()
    weeks, rest = divmod((last - first).days + 1, 7)
    return 5 * weeks + sum((first.weekday() + day) % 7 < 5 for day in range(rest))  # noqa: PLR2004  # Saturday
