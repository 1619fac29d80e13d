"""Which trading date a bar belongs to, and when it can no longer change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from alltick_frames import finality
from alltick_frames.finality import closed, trading_dates
from alltick_frames.periods import Period

if TYPE_CHECKING:
    from collections.abc import Callable

NEW_YORK, HONG_KONG, SHANGHAI = (ZoneInfo(name) for name in ("America/New_York", "Asia/Hong_Kong", "Asia/Shanghai"))


def local(day: date, at: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)


def stamped(
    zone: ZoneInfo, opens: time, closes: time, opens_days_before: int = 0
) -> dict[str, Callable[[date], datetime]]:
    """Give the four readings of what stamps a daily bar."""
    return {
        "utc_midnight": lambda day: datetime.combine(day, time(), UTC),
        "local_midnight": lambda day: local(day, time(), zone),
        "session_open": lambda day: local(day - timedelta(days=opens_days_before), opens, zone),
        "session_close": lambda day: local(day, closes, zone),
    }


MARKETS = {
    "700.HK": stamped(HONG_KONG, time(9, 30), time(16)),
    "600519.SH": stamped(SHANGHAI, time(9, 30), time(15)),
    "AAPL.US": stamped(NEW_YORK, time(9, 30), time(16)),
    "EURUSD": stamped(NEW_YORK, time(17), time(17), opens_days_before=1),
    "GOLD": stamped(NEW_YORK, time(18), time(17), opens_days_before=1),
    "UKOIL": stamped(NEW_YORK, time(20), time(17), opens_days_before=1),
}
# Weeks in winter, in summer, and those in which New York and Europe change their clocks.
MONDAYS = [
    date(2026, 1, 12),
    date(2026, 7, 6),
    date(2026, 3, 2),
    date(2026, 3, 9),
    date(2026, 10, 26),
    date(2025, 12, 29),
]


@pytest.mark.parametrize("monday", MONDAYS, ids=str)
@pytest.mark.parametrize("reading", ["utc_midnight", "local_midnight", "session_open", "session_close"])
@pytest.mark.parametrize("code", MARKETS)
def test_a_week_has_the_same_trading_dates_however_it_is_stamped(code: str, reading: str, monday: date) -> None:
    days = [monday + timedelta(days=number) for number in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)]
    stamps = [MARKETS[code][reading](day) for day in days]
    assert [stamp.date() for stamp in trading_dates(stamps, code)] == days


def test_crypto_days_are_utc_days() -> None:
    stamps = [datetime(2026, 3, day, hour, tzinfo=UTC) for day, hour in ((14, 0), (15, 0), (16, 9))]
    assert [stamp.day for stamp in trading_dates(stamps, "BTCUSDT")] == [14, 15, 16]


# (code, period, stamp of the newest bar, from when on it is closed)
CLOSES = [
    ("EURUSD", "1m", "2026-03-18T14:59", "2026-03-18T15:00:05"),
    ("EURUSD", "1h", "2026-03-18T14:00", "2026-03-18T15:00:05"),
    ("EURUSD", "4h", "2026-03-18T12:00", "2026-03-18T16:00:05"),
    ("700.HK", "1m", "2026-03-18T07:59", "2026-03-18T08:00:05"),
    ("700.HK", "1d", "2026-03-18T00:00", "2026-03-18T16:01"),
    ("AAPL.US", "1d", "2026-03-18T13:30", "2026-03-19T04:01"),
    ("AAPL.US", "1d", "2026-01-14T14:30", "2026-01-15T05:01"),
    ("EURUSD", "1d", "2026-03-17T21:00", "2026-03-18T21:01"),
    # A forex day stamped at UTC midnight may be a UTC day: it is not closed before that is over.
    ("EURUSD", "1d", "2026-03-18T00:00", "2026-03-19T00:01"),
    ("BTCUSDT", "1d", "2026-03-18T00:00", "2026-03-19T00:01"),
    # A crypto day stamped at midnight in China ends there.
    ("BTCUSDT", "1d", "2026-03-17T16:00", "2026-03-18T16:01"),
    ("700.HK", "1w", "2026-03-16T00:00", "2026-03-22T16:01"),
    ("700.HK", "1mo", "2026-03-01T00:00", "2026-03-31T16:01"),
    ("BTCUSDT", "1w", "2026-03-16T00:00", "2026-03-23T00:01"),
    ("BTCUSDT", "1mo", "2026-03-01T00:00", "2026-04-01T00:01"),
]


@pytest.mark.parametrize(("code", "period", "stamp", "closes"), CLOSES, ids=str)
def test_a_bar_closes_at_its_end_and_a_grace(code: str, period: str, stamp: str, closes: str) -> None:
    stamps = np.array([finality.microseconds(datetime.fromisoformat(stamp).replace(tzinfo=UTC))])
    at = datetime.fromisoformat(closes).replace(tzinfo=UTC)
    assert closed(stamps, code, Period(period), at).tolist() == [True]
    assert closed(stamps, code, Period(period), at - timedelta(microseconds=1)).tolist() == [False]


def test_a_later_trading_date_closes_the_one_before_it() -> None:
    days = [datetime(2026, 3, day, tzinfo=UTC) for day in (16, 17, 18)]
    stamps = np.array([finality.microseconds(day) for day in days])
    assert closed(stamps, "700.HK", Period.DAY, days[-1] + timedelta(hours=2)).tolist() == [True, True, False]


def test_a_later_minute_does_not_close_the_one_before_within_its_grace() -> None:
    minutes = [datetime(2026, 3, 18, 15, minute, tzinfo=UTC) for minute in (0, 1)]
    stamps = np.array([finality.microseconds(minute) for minute in minutes])
    assert closed(stamps, "EURUSD", Period.MINUTE_1, minutes[1] + timedelta(seconds=4)).tolist() == [False, False]


def test_an_empty_page_has_nothing_closed() -> None:
    assert closed(np.empty(0, np.int64), "EURUSD", Period.DAY, datetime.now(UTC)).tolist() == []
