"""Which trading date a bar belongs to, and which bars are closed: can no longer change.

A bar's *key* orders it and says whether a range selects it: the stamp itself up to 4h, the trading date (as
00:00 UTC) for 1d, 1w and 1mo, whose stamps the vendor's pages leave open: midnight in UTC or at the exchange,
the session's open or its close give the same trading date.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from alltick_frames.codes import AssetClass, asset_class_of, zone_of
from alltick_frames.periods import Period

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["closed", "instant", "keys", "microseconds", "trading_dates"]

US_PER_SECOND = 1_000_000
# After its nominal end a bar may still be corrected by late prints.
_GRACE_S = 5
_GRACE_BY_DATE = timedelta(seconds=60)
_FRIDAY, _SUNDAY = 4, 6
# Forex, metals, energy and CFD indices end their day at 17:00 in New York and open the next one an hour later at
# the latest: a stamp from then on is the open of the next trading date, unless the page shows it is a close.
_OTC_DAY_END = time(17)


def keys(stamps_us: NDArray[np.int64], code: str, period: Period) -> NDArray[np.int64]:
    """Give each bar's key in microseconds, for the stamps of one page."""
    if not period.by_date:
        return stamps_us
    stamps = [instant(stamp) for stamp in stamps_us.tolist()]
    return np.array([microseconds(key) for key in trading_dates(stamps, code)], dtype=np.int64)


def trading_dates(stamps: Sequence[datetime], code: str) -> list[datetime]:
    """Give the trading date, as 00:00 UTC, of each stamp of one page of daily or longer bars.

    Examples
    --------
    >>> sunday_open = datetime(2026, 3, 15, 21, tzinfo=UTC)
    >>> [f"{day:%a %d}" for day in trading_dates([sunday_open], "EURUSD")]
    ['Mon 16']
    >>> midnight_in_hong_kong = datetime(2026, 3, 15, 16, tzinfo=UTC)
    >>> [f"{day:%a %d}" for day in trading_dates([midnight_in_hong_kong], "700.HK")]
    ['Mon 16']
    """
    zone = ZoneInfo(zone_of(code))
    local = [stamp.replace(tzinfo=None) if stamp.time() == time() else _wall(stamp, zone) for stamp in stamps]
    ahead = _days_ahead(local) if asset_class_of(code) is AssetClass.OTC else [0] * len(local)
    return [
        datetime.combine(wall.date() + timedelta(days=days), time(), UTC)
        for wall, days in zip(local, ahead, strict=True)
    ]


def _days_ahead(local: list[datetime]) -> list[int]:
    """Tell opens on the evening before (the week shows Sundays and no Fridays) from closes and midnights."""
    weekdays = {wall.weekday() for wall in local if wall.time() != time()}
    if (_SUNDAY in weekdays) != (_FRIDAY in weekdays):
        evening_before = _SUNDAY in weekdays
        return [int(evening_before and wall.time() != time()) for wall in local]
    return [int(wall.time() >= _OTC_DAY_END) for wall in local]


def closed(stamps_us: NDArray[np.int64], code: str, period: Period, server_now: datetime) -> NDArray[np.bool_]:
    """Say which bars of one sorted page are closed at *server_now*.

    Up to 4h: nominal end plus grace has passed. Longer: a later bar is there, or the end of the period in the
    exchange's zone plus grace has passed. Where days are not an exchange's (forex and its like, crypto) nobody
    knows when the vendor's begin: there the bar's own stamp plus its length must have passed too.
    """
    if not period.by_date:
        nominal_us = round(period.nominal.total_seconds() + _GRACE_S) * US_PER_SECOND
        ended: NDArray[np.bool_] = stamps_us + nominal_us <= microseconds(server_now)
        return ended
    is_closed = np.ones(len(stamps_us), dtype=np.bool_)
    if len(stamps_us):
        trading_date = instant(int(keys(stamps_us, code, period)[-1]))
        ends_at = _ends_at(instant(int(stamps_us[-1])), trading_date, code, period)
        is_closed[-1] = ends_at + _GRACE_BY_DATE <= server_now
    return is_closed


def _ends_at(stamp: datetime, trading_date: datetime, code: str, period: Period) -> datetime:
    after = _period_after(trading_date, period)
    zone = ZoneInfo(zone_of(code))
    match asset_class_of(code):
        case AssetClass.OTC:
            day_end = datetime.combine(after - timedelta(days=1), _OTC_DAY_END, zone)
            return max(day_end, _one_period_on(stamp, period))
        case AssetClass.CRYPTO:
            return max(after, _one_period_on(stamp, period))
        case _:
            return datetime.combine(after, time(), zone)


def _period_after(trading_date: datetime, period: Period) -> datetime:
    """Give the first date of the next day, week or month."""
    if period is Period.WEEK:
        return trading_date + timedelta(days=7 - trading_date.weekday())
    if period is Period.MONTH:
        return (trading_date.replace(day=1) + timedelta(days=31)).replace(day=1)
    return trading_date + timedelta(days=1)


def _one_period_on(stamp: datetime, period: Period) -> datetime:
    # A month that is stamped near another month's end, as an evening before is, ends within its nominal 31 days.
    return stamp + period.nominal


def _wall(stamp: datetime, zone: ZoneInfo) -> datetime:
    return stamp.astimezone(zone).replace(tzinfo=None)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(microseconds: int) -> datetime:
    """Turn epoch microseconds into a UTC datetime."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds(instant: datetime) -> int:
    """Turn a datetime into epoch microseconds, exactly."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


# Replaced by the work on finality under way; see may_have_closed there.
def slot_ends(keys_us: NDArray[np.int64], period: Period) -> NDArray[np.int64]:
    """Say for each key up to where no other bar can be."""
    if period.by_date:
        return keys_us + 86_400 * US_PER_SECOND
    if period.grid_known:
        return keys_us + round(period.nominal.total_seconds()) * US_PER_SECOND
    return keys_us + 1


def may_have_closed(
    code: str, period: Period, start: datetime, end: datetime, since: datetime | None, now: datetime
) -> bool:
    """Temporary."""
    nominal = timedelta(days=1) if period.by_date else period.nominal
    grace = timedelta(seconds=_GRACE_S) if not period.by_date else timedelta(hours=12)
    step = nominal if period.grid_known or period.by_date else timedelta(microseconds=1)
    first = start + (-(start - _EPOCH) % step)
    last_closed = now - nominal - grace
    last = min(end - timedelta(microseconds=1), last_closed)
    last -= (last - _EPOCH) % step
    if last < first:
        return False
    if since is None:
        return True
    return last + nominal + grace > since
