"""Which trading date a bar belongs to, and which bars are closed: can no longer change.

A bar's *key* orders it and says whether a range selects it: the stamp itself up to 4h, the trading date (as
00:00 UTC) for 1d, the first date of its week or month for 1w and 1mo. What the stamps of these three are the
vendor's pages leave open: midnight in UTC or at the exchange, the session's open or its close give the same keys.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from alltick_frames import calendars
from alltick_frames.codes import AssetClass, Family, asset_class_of, family_of, zone_of
from alltick_frames.periods import Period
from alltick_frames.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = [
    "AFTER_SESSION",
    "closed",
    "dates_of",
    "first_dates",
    "instant",
    "keys",
    "may_be_at_close",
    "may_have_closed",
    "microseconds",
    "nominal_ends",
    "period_after",
    "slot_ends",
    "stamped_at_close",
    "trading_dates",
]

_MICROSECOND = timedelta(microseconds=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_DAY_US = 86_400_000_000
# After its nominal end a bar may still be corrected by late prints.
_GRACE = {period: timedelta(seconds=5 if period.nominal <= _HOUR else 60) for period in Period}
# An exchange's closing auction, and what is reported after it.
AFTER_SESSION = _HOUR
_FRIDAY, _SATURDAY, _SUNDAY = 4, 5, 6
# Forex, metals, energy and CFD indices end their day at 17:00 in New York and open the next one an hour later at
# the latest: a stamp from then on is the open of the next trading date, unless the page shows it is a close.
_OTC_DAY_END = time(17)
# Days by which a holiday may delay the first session of a period, and with it the stamp that opens it.
_LATE_START = {Period.DAY: timedelta(), Period.WEEK: _DAY, Period.MONTH: 3 * _DAY}
# Exchanges open at a full or half hour.
_SESSION_STEP = timedelta(minutes=30)
# Wherever a vendor begins days, it does so at a full ten minutes.
_DAILY_STEP = timedelta(minutes=10)


def keys(stamps_us: NDArray[np.int64], code: str, period: Period, *, at_close: bool = False) -> NDArray[np.int64]:
    """Give each bar's key in microseconds, for the stamps of one page."""
    if not period.by_date:
        return stamps_us
    stamps = [instant(stamp) for stamp in stamps_us.tolist()]
    dates = trading_dates(stamps, code, at_close=at_close)
    return first_dates(np.array([microseconds(day) for day in dates], dtype=np.int64), period)


def slot_ends(keys_us: NDArray[np.int64], period: Period) -> NDArray[np.int64]:
    """Give for each key where the next one can be: up to there nothing but this bar exists."""
    if period is Period.MONTH:
        return first_dates(keys_us + 31 * _DAY_US, period)
    # Where 2h and 4h bars begin is unknown.
    length = period.nominal if period.grid_known or period.by_date else _MICROSECOND
    return keys_us + length // _MICROSECOND


def trading_dates(stamps: Sequence[datetime], code: str, *, at_close: bool = False) -> list[datetime]:
    """Give the trading date, as 00:00 UTC, of each stamp of one page of daily or longer bars.

    Parameters
    ----------
    stamps
        All of one page: whether forex stamps are opens or closes shows in their weekdays.
    code
        The product.
    at_close
        The stamps are known to be closes (`stamped_at_close`), so that midnight ends the day before it.

    Examples
    --------
    >>> sunday_open = datetime(2026, 3, 15, 21, tzinfo=UTC)
    >>> [f"{day:%a %d}" for day in trading_dates([sunday_open], "EURUSD")]
    ['Mon 16']
    >>> midnight_in_hong_kong = datetime(2026, 3, 15, 16, tzinfo=UTC)
    >>> [f"{day:%a %d}" for day in trading_dates([midnight_in_hong_kong], "700.HK")]
    ['Mon 16']
    """
    local = _local([stamp - _MICROSECOND for stamp in stamps] if at_close else stamps, code)
    ahead = _days_ahead(local) if asset_class_of(code) is AssetClass.OTC else [0] * len(local)
    return [
        datetime.combine(wall.date() + timedelta(days=days), time(), UTC)
        for wall, days in zip(local, ahead, strict=True)
    ]


def dates_of(stamps: Span, code: str, period: Period) -> Span:
    """Give the keys that bars stamped within *stamps* can have, whatever the vendor stamps days with.

    Examples
    --------
    >>> from alltick_frames.spans import Span
    >>> week = Span(datetime(2026, 3, 16, tzinfo=UTC), datetime(2026, 3, 21, tzinfo=UTC))
    >>> [str(dates_of(week, code, Period("1d"))) for code in ("700.HK", "BTCUSDT")]
    ['[2026-03-16, 2026-03-22)', '[2026-03-15, 2026-03-21)']
    """
    if not period.by_date:
        return stamps
    zone, last = ZoneInfo(zone_of(code)), stamps.end - _MICROSECOND
    # Midnight in UTC stands for its own date, whatever it is at the exchange.
    midnights = [day for day in (_floor(stamps.start - _MICROSECOND, _DAY) + _DAY, _floor(last, _DAY)) if day in stamps]
    dates = [*midnights, *(datetime.combine(_wall(end, zone), time(), UTC) for end in (stamps.start, last))]
    before = _DAY if asset_class_of(code) is AssetClass.CRYPTO and stamps.start in midnights else timedelta()
    ahead = _DAY if asset_class_of(code) is AssetClass.OTC else timedelta()
    first = first_dates(np.array([microseconds(min(dates) - before)]), period)[0]
    return Span(instant(int(first)), max(dates) + ahead + _DAY)


def grace_of(period: Period) -> timedelta:
    """Say how long after its end a bar may still change."""
    return _GRACE[period]


def may_be_at_close(code: str, period: Period) -> bool:
    """Whether stamps of this kind do not show by themselves if they are opens or closes.

    A day of crypto closes at the midnight that opens the next.
    """
    return period.by_date and asset_class_of(code) is AssetClass.CRYPTO


def stamped_at_close(newest_stamp: datetime, code: str, period: Period, server_now: datetime) -> bool:
    """Say whether the newest bar of the newest page shows that stamps are closes: its own is still to come."""
    # A clock that is a little slow must not make the open of a new day look like this.
    return may_be_at_close(code, period) and newest_stamp > server_now + _GRACE[period]


def _local(stamps: Sequence[datetime], code: str) -> list[datetime]:
    """Give the stamps' wall-clock times at the exchange; midnight in UTC stands for itself."""
    zone = ZoneInfo(zone_of(code))
    return [stamp.replace(tzinfo=None) if stamp.time() == time() else _wall(stamp, zone) for stamp in stamps]


def _days_ahead(local: list[datetime]) -> list[int]:
    evening_before = _open_on_the_evening_before(local)
    if evening_before is None:
        return [int(wall.time() >= _OTC_DAY_END) for wall in local]
    return [int(evening_before and wall.time() != time()) for wall in local]


def _open_on_the_evening_before(local: list[datetime]) -> bool | None:
    """Tell opens (the page shows Sundays and no Fridays) from closes (the other way round); None: it shows neither."""
    weekdays = {wall.weekday() for wall in local if wall.time() != time()}
    return None if (_SUNDAY in weekdays) == (_FRIDAY in weekdays) else _SUNDAY in weekdays


def first_dates(dates_us: NDArray[np.int64], period: Period) -> NDArray[np.int64]:
    """Go back from dates to the Monday of their week, or the first of their month."""
    if period is Period.WEEK:
        # 1970-01-01 was a Thursday.
        return dates_us - (dates_us + 3 * _DAY_US) % (7 * _DAY_US)
    if period is Period.MONTH:
        return dates_us.astype("datetime64[us]").astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
    return dates_us


def closed(
    stamps_us: NDArray[np.int64], code: str, period: Period, server_now: datetime, *, at_close: bool = False
) -> NDArray[np.bool_]:
    """Say which bars of one sorted page are closed at *server_now*.

    Up to 4h: nominal end plus grace has passed. Longer: a later bar is there, or the end of the period plus grace
    has passed. A stock's period ends an hour after its last session if `exchange_calendars` is installed, else
    with its last date in the exchange's zone. Where days are not an exchange's (forex and its like, crypto) nobody
    knows when the vendor's begin: there the bar's own stamp plus its length must have passed too, or its stamp
    alone if that is a close.
    """
    grace = _GRACE[period]
    if not period.by_date:
        ended: NDArray[np.bool_] = stamps_us + (period.nominal + grace) // _MICROSECOND <= microseconds(server_now)
        return ended
    is_closed = np.ones(len(stamps_us), dtype=np.bool_)
    if len(stamps_us):
        key = instant(int(keys(stamps_us, code, period, at_close=at_close)[-1]))
        ends = _dates_end(key, code, period)
        if family_of(code) is Family.QUOTE:
            stamp = instant(int(stamps_us[-1]))
            ends = max(ends, stamp if at_close or _show_closes(stamps_us, code) else stamp + period.nominal)
        elif ends + grace > server_now:
            ends = _session_end(key, code, period, server_now) or ends
        is_closed[-1] = ends + grace <= server_now
    return is_closed


def nominal_ends(
    stamps_us: NDArray[np.int64], firsts_us: NDArray[np.int64], afters_us: NDArray[np.int64], code: str
) -> NDArray[np.int64]:
    """Give when bars of whole trading dates end, by the rule of `closed` without its grace, in epoch microseconds.

    Parameters
    ----------
    stamps_us
        All of one page, or frame.
    firsts_us, afters_us
        The first trading date of each bar, and the first after it, as 00:00 UTC.

    Examples
    --------
    >>> day = np.array([microseconds(datetime(2026, 3, 18, tzinfo=UTC))])
    >>> for code in ("700.HK", "EURUSD", "BTCUSDT"):
    ...     print(instant(int(nominal_ends(day, day, day + _DAY_US, code)[0])))
    2026-03-18 09:00:00+00:00
    2026-03-19 00:00:00+00:00
    2026-03-19 00:00:00+00:00
    """
    afters, rows = np.unique(afters_us, return_inverse=True)
    ends = np.array([microseconds(_end_before(instant(after), code)) for after in afters.tolist()], dtype=np.int64)[
        rows
    ]
    if family_of(code) is Family.QUOTE:
        return np.maximum(ends, stamps_us if _show_closes(stamps_us, code) else stamps_us + (afters_us - firsts_us))
    published = calendars.schedule(code)
    if published is None:
        return ends
    last = np.searchsorted(published.dates, afters_us, side="left") - 1
    known = (published.dates[0] <= firsts_us) & (afters_us <= published.dates[-1] + _DAY_US)
    has_session = known & (published.dates[last] >= firsts_us)
    return np.where(has_session, published.closes[last] + AFTER_SESSION // _MICROSECOND, ends)


def _show_closes(stamps_us: NDArray[np.int64], code: str) -> bool:
    if asset_class_of(code) is not AssetClass.OTC:
        return False
    return _open_on_the_evening_before(_local([instant(stamp) for stamp in stamps_us.tolist()], code)) is False


def may_have_closed(
    code: str, period: Period, start: datetime, end: datetime, since: datetime | None, now: datetime
) -> bool:
    """Say whether any bar with its key in `[start, end)` can have closed after *since* (None: ever), up to *now*.

    By the rule of `closed`, for bars that can exist: after a check, nothing that lies within the weekend of its
    market counts.
    """
    if not period.by_date:
        return _bar_may_have_closed(code, period, start, end, since, now)
    grace = _GRACE[period]
    # What begins before this was over long before *since*.
    near = start if since is None else max(start, since - period.nominal - 7 * _DAY)
    for key in _slots(near, min(end, now + _DAY), period):
        if since is not None and period is Period.DAY and key.weekday() in _days_off(code):
            continue
        first, last = _ends_between(key, code, period, since, now)
        # A later bar closes this one within its grace.
        newest = min(last, _floor(now, _DAILY_STEP))
        if newest >= first and (since is None or newest + grace > since):
            return True
    return False


def _bar_may_have_closed(
    code: str, period: Period, start: datetime, end: datetime, since: datetime | None, now: datetime
) -> bool:
    # 2h and 4h bars may begin anywhere, and a stock's hours at half past, as its session does.
    step = period.nominal if period.grid_known else _MICROSECOND
    if family_of(code) is Family.STOCK:
        step = min(step, _SESSION_STEP)
    until_closed = period.nominal + _GRACE[period]
    after = start - _MICROSECOND if since is None else max(start - _MICROSECOND, since - until_closed)
    first = _floor(after, step) + step
    last = _floor(min(end - _MICROSECOND, now - until_closed), step)
    return first <= last and (since is None or not _is_weekend(first, last + period.nominal, code))


def _slots(start: datetime, end: datetime, period: Period) -> Iterator[datetime]:
    """Give every key of *period*, a longer one, in `[start, end)`."""
    key = instant(int(first_dates(np.array([microseconds(_floor(start, _DAY))]), period)[0]))
    while key < end:
        if key >= start:
            yield key
        key = period_after(key, period)


def _ends_between(
    key: datetime, code: str, period: Period, since: datetime | None, now: datetime
) -> tuple[datetime, datetime]:
    """Give the earliest and the latest nominal end of the bar of *key*, whatever its stamp."""
    first = _dates_end(key, code, period)
    match asset_class_of(code):
        case AssetClass.OTC:
            midnight = datetime.combine(period_after(key, period), time(), ZoneInfo(zone_of(code)))
            return first, midnight + _LATE_START[period]
        case AssetClass.CRYPTO:
            return first, first + _DAY + _LATE_START[period]
        case _:
            seen = first + _GRACE[period] <= (now if since is None else since)
            end = first if seen else _session_end(key, code, period, now) or first
            return end, end


def _session_end(key: datetime, code: str, period: Period, now: datetime) -> datetime | None:
    """Give the nominal end of a stock's day, week or month by its last session, if a calendar tells."""
    # A calendar takes time to load, and by noon of its first date no period is over.
    if now < datetime.combine(key, time(12), ZoneInfo(zone_of(code))):
        return None
    session_close = calendars.session_close(code, key, period_after(key, period))
    return None if session_close is None else session_close + AFTER_SESSION


def _dates_end(key: datetime, code: str, period: Period) -> datetime:
    """Give the end of a period's last trading date, in the exchange's zone."""
    return _end_before(period_after(key, period), code)


def _end_before(after: datetime, code: str) -> datetime:
    """Give the end of the trading date before *after*, in the exchange's zone."""
    zone = ZoneInfo(zone_of(code))
    if asset_class_of(code) is AssetClass.OTC:
        return datetime.combine(after - _DAY, _OTC_DAY_END, zone).astimezone(UTC)
    return datetime.combine(after, time(), zone).astimezone(UTC)


def period_after(date: datetime, period: Period) -> datetime:
    """Give the first date of the next day, week or month."""
    if period is Period.MONTH:
        return (date.replace(day=1) + 31 * _DAY).replace(day=1)
    return date + period.nominal


def _days_off(code: str) -> tuple[int, ...]:
    """Name the weekdays that are no trading dates; a vendor of UTC days has forex bars of Sundays."""
    match asset_class_of(code):
        case AssetClass.CRYPTO:
            return ()
        case AssetClass.OTC:
            return (_SATURDAY,)
        case _:
            return (_SATURDAY, _SUNDAY)


def _is_weekend(start: datetime, end: datetime, code: str) -> bool:
    """Whether the market's week is over all the time from *start* to *end*.

    Forex and its like rest from Friday 17:00 to Sunday 17:00 in New York, the others by whole days.
    """
    if asset_class_of(code) is AssetClass.CRYPTO:
        return False
    zone = ZoneInfo(zone_of(code))
    local = _wall(start, zone)
    saturday = datetime.combine(local + (_SATURDAY - local.weekday()) * _DAY, time(), zone)
    begins, ends = saturday, saturday + 2 * _DAY
    if asset_class_of(code) is AssetClass.OTC:
        # The hour after 17:00 on Friday still counts, for venues that stop late.
        begins, ends = saturday - 6 * _HOUR, saturday + _DAY + 17 * _HOUR
    return begins <= start and end <= ends


def _wall(stamp: datetime, zone: ZoneInfo) -> datetime:
    return stamp.astimezone(zone).replace(tzinfo=None)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _floor(moment: datetime, step: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % step


def instant(microseconds: int) -> datetime:
    """Turn epoch microseconds into a UTC datetime."""
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds(instant: datetime) -> int:
    """Turn a datetime into epoch microseconds, exactly."""
    return (instant - _EPOCH) // _MICROSECOND
