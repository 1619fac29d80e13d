"""Which trading date a bar belongs to, and when it can no longer change."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alltick_frames import calendars, finality
from alltick_frames.finality import closed, keys, may_have_closed, slot_ends, stamped_at_close, trading_dates
from alltick_frames.periods import Period

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


READINGS = ("utc_midnight", "local_midnight", "session_open", "session_close")
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
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("code", MARKETS)
def test_a_week_has_the_same_trading_dates_however_it_is_stamped(code: str, reading: str, monday: date) -> None:
    days = [monday + timedelta(days=number) for number in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)]
    stamps = [MARKETS[code][reading](day) for day in days]
    assert [stamp.date() for stamp in trading_dates(stamps, code)] == days


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def in_us(moments: list[datetime]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([finality.microseconds(moment) for moment in moments], dtype=np.int64)


def moments(microseconds: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[datetime]:
    return [finality.instant(each) for each in microseconds.tolist()]


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


@dataclass(frozen=True)
class Bar:
    """One bar of a market that trades every weekday, or every day."""

    key: datetime
    stamp: datetime
    opens: datetime


def bars_of(code: str, period: Period, reading: str) -> list[Bar]:
    """Give a year and a half of bars, stamped by one of the four readings."""
    market = MARKETS.get(code) or CRYPTO
    days = [date(2025, 1, 1) + timedelta(days=number) for number in range(550)]
    groups: dict[date, list[date]] = {}
    for day in days:
        if code == "BTCUSDT" or day.weekday() < 5:
            first = {"1d": day, "1w": day - timedelta(days=day.weekday()), "1mo": day.replace(day=1)}[period.value]
            groups.setdefault(first, []).append(day)
    return [
        Bar(midnight(first), market[reading](stamped_day), market["session_open"](trading[0]))
        for first, trading in groups.items()
        for stamped_day in [{"session_open": trading[0], "session_close": trading[-1]}.get(reading, first)]
    ]


CRYPTO: dict[str, Callable[[date], datetime]] = {
    "utc_midnight": midnight,
    "local_midnight": midnight,
    "session_open": midnight,
    "session_close": lambda day: midnight(day) + timedelta(days=1),
}
LONG = [Period.DAY, Period.WEEK, Period.MONTH]


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("period", LONG, ids=str)
@pytest.mark.parametrize("code", [*MARKETS, "BTCUSDT"])
def test_weeks_are_keyed_by_their_monday_and_months_by_their_first(code: str, period: Period, reading: str) -> None:
    bars = bars_of(code, period, reading)
    got = keys(
        in_us([bar.stamp for bar in bars]), code, period, at_close=code == "BTCUSDT" and reading == "session_close"
    )
    assert moments(got) == [bar.key for bar in bars]
    assert len(bars) > 17


@pytest.mark.parametrize(
    ("period", "key", "end"),
    [
        ("1m", "2026-03-18T15:00", "2026-03-18T15:01"),
        ("1h", "2026-03-18T15:00", "2026-03-18T16:00"),
        ("4h", "2026-03-18T12:00", "2026-03-18T12:00:00.000001"),
        ("1d", "2026-03-18", "2026-03-19"),
        ("1w", "2026-03-16", "2026-03-23"),
        ("1mo", "2026-02-01", "2026-03-01"),
        ("1mo", "2025-12-01", "2026-01-01"),
    ],
)
def test_a_slot_ends_where_the_next_bar_can_be(period: str, key: str, end: str) -> None:
    assert moments(slot_ends(in_us([utc(key)]), Period(period))) == [utc(end)]


class TestCryptoStampedAtItsClose:
    def test_the_stamp_of_the_forming_bar_is_still_to_come(self) -> None:
        now = utc("2026-03-18T15:00")
        assert stamped_at_close(utc("2026-03-19"), "BTCUSDT", Period.DAY, now)
        assert not stamped_at_close(utc("2026-03-18"), "BTCUSDT", Period.DAY, now)
        assert not stamped_at_close(utc("2026-03-19"), "BTCUSDT", Period.HOUR_1, now)
        assert not stamped_at_close(utc("2026-03-19"), "EURUSD", Period.DAY, now)

    def test_a_slow_clock_does_not_make_a_new_day_look_like_it(self) -> None:
        assert not stamped_at_close(utc("2026-03-18"), "BTCUSDT", Period.DAY, utc("2026-03-17T23:59:30"))

    def test_the_date_is_that_of_the_instant_before(self) -> None:
        stamps = [utc("2026-03-18"), utc("2026-03-18T16:00")]
        assert [day.day for day in trading_dates(stamps, "BTCUSDT", at_close=True)] == [17, 18]

    @pytest.mark.parametrize(
        ("period", "stamp"), [("1d", "2026-03-19"), ("1w", "2026-03-23"), ("1mo", "2026-03-01"), ("1mo", "2026-04-01")]
    )
    def test_it_closes_at_its_stamp_and_a_grace(self, period: str, stamp: str) -> None:
        at = utc(stamp) + timedelta(minutes=1)
        stamps = in_us([utc(stamp)])
        assert closed(stamps, "BTCUSDT", Period(period), at, at_close=True).all()
        assert not closed(stamps, "BTCUSDT", Period(period), at - timedelta(seconds=1), at_close=True).any()


def test_crypto_days_are_utc_days() -> None:
    stamps = [datetime(2026, 3, day, hour, tzinfo=UTC) for day, hour in ((14, 0), (15, 0), (16, 9))]
    assert [stamp.day for stamp in trading_dates(stamps, "BTCUSDT")] == [14, 15, 16]


# (code, period, stamp of the newest bar, from when on it is closed)
CLOSES = [
    ("EURUSD", "1m", "2026-03-18T14:59", "2026-03-18T15:00:05"),
    ("EURUSD", "1h", "2026-03-18T14:00", "2026-03-18T15:00:05"),
    ("EURUSD", "4h", "2026-03-18T12:00", "2026-03-18T16:01"),
    ("700.HK", "1m", "2026-03-18T07:59", "2026-03-18T08:00:05"),
    ("EURUSD", "2h", "2026-03-18T12:00", "2026-03-18T14:01"),
    ("EURUSD", "1d", "2026-03-17T21:00", "2026-03-18T21:01"),
    # A forex day stamped at UTC midnight may be a UTC day: it is not closed before that is over.
    ("EURUSD", "1d", "2026-03-18T00:00", "2026-03-19T00:01"),
    ("BTCUSDT", "1d", "2026-03-18T00:00", "2026-03-19T00:01"),
    # A crypto day stamped at midnight in China ends there.
    ("BTCUSDT", "1d", "2026-03-17T16:00", "2026-03-18T16:01"),
    ("BTCUSDT", "1w", "2026-03-16T00:00", "2026-03-23T00:01"),
    ("BTCUSDT", "1mo", "2026-03-01T00:00", "2026-04-01T00:01"),
]


# (code, period, stamp of the newest bar, from when on it is closed: with a calendar, without)
CLOSES_OF_STOCKS = [
    ("700.HK", "1d", "2026-03-18T00:00", "2026-03-18T09:01", "2026-03-18T16:01"),
    ("AAPL.US", "1d", "2026-03-18T13:30", "2026-03-18T21:01", "2026-03-19T04:01"),
    ("AAPL.US", "1d", "2026-01-14T14:30", "2026-01-14T22:01", "2026-01-15T05:01"),
    ("600519.SH", "1d", "2026-03-18T07:00", "2026-03-18T08:01", "2026-03-18T16:01"),
    ("399001.SZ", "1d", "2026-03-18T07:00", "2026-03-18T08:01", "2026-03-18T16:01"),
    # Half a day in Hong Kong, one before a holiday in New York.
    ("700.HK", "1d", "2025-12-24T00:00", "2025-12-24T05:01", "2025-12-24T16:01"),
    ("AAPL.US", "1d", "2025-11-28T00:00", "2025-11-28T19:01", "2025-11-29T05:01"),
    ("700.HK", "1w", "2026-03-16T00:00", "2026-03-20T09:01", "2026-03-22T16:01"),
    # Good Friday.
    ("AAPL.US", "1w", "2026-03-30T00:00", "2026-04-02T21:01", "2026-04-06T04:01"),
    ("700.HK", "1mo", "2026-03-01T00:00", "2026-03-31T09:01", "2026-03-31T16:01"),
    ("AAPL.US", "1mo", "2026-02-01T00:00", "2026-02-27T22:01", "2026-03-01T05:01"),
    # No session, and a date that no calendar reaches.
    ("AAPL.US", "1d", "2026-03-21T00:00", "2026-03-22T04:01", "2026-03-22T04:01"),
    ("700.HK", "1d", "1999-03-18T00:00", "1999-03-18T16:01", "1999-03-18T16:01"),
]


def closes_at(code: str, period: str, stamp: str, at: str) -> bool:
    """Whether the bar is closed from *at* on and not before."""
    stamps = in_us([utc(stamp)])
    before = utc(at) - timedelta(microseconds=1)
    return [closed(stamps, code, Period(period), now).all() for now in (utc(at), before)] == [True, False]


@pytest.mark.parametrize(("code", "period", "stamp", "closes"), CLOSES, ids=str)
def test_a_bar_closes_at_its_end_and_a_grace(code: str, period: str, stamp: str, closes: str) -> None:
    assert closes_at(code, period, stamp, closes)


@pytest.mark.parametrize(("code", "period", "stamp", "closes", "_without"), CLOSES_OF_STOCKS, ids=str)
def test_a_stocks_day_closes_an_hour_after_its_session(
    code: str, period: str, stamp: str, closes: str, _without: str
) -> None:
    assert closes_at(code, period, stamp, closes)


@pytest.fixture
def no_calendars(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    calendars._calendar.cache_clear()  # noqa: SLF001  # what other tests have loaded
    yield
    calendars._calendar.cache_clear()  # noqa: SLF001


@pytest.mark.parametrize(("code", "period", "stamp", "_with", "closes"), CLOSES_OF_STOCKS, ids=str)
def test_without_a_calendar_it_closes_with_its_date_at_the_exchange(
    no_calendars: None, code: str, period: str, stamp: str, _with: str, closes: str
) -> None:
    assert closes_at(code, period, stamp, closes)


def test_a_calendar_is_loaded_only_where_it_decides() -> None:
    source = (
        "import sys; import numpy as np; from datetime import datetime, UTC\n"
        "from alltick_frames import finality; from alltick_frames.periods import Period\n"
        "stamps = np.array([finality.microseconds(datetime(2026, 3, 18, tzinfo=UTC))])\n"
        "for hour in (2, 9, 17):\n"
        "    now = datetime(2026, 3, 18, hour, tzinfo=UTC)\n"
        "    finality.closed(stamps, '700.HK', Period.DAY, now)\n"
        "    finality.may_have_closed('700.HK', Period.DAY, datetime(2026, 1, 1, tzinfo=UTC), now, None, now)\n"
        "    print('exchange_calendars' in sys.modules)\n"
        "    [sys.modules.pop(name) for name in list(sys.modules) if name == 'exchange_calendars']\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False"]


@pytest.mark.parametrize("reading", READINGS)
def test_a_forex_day_stamped_at_its_close_is_closed_on_saturday(reading: str) -> None:
    bars = [bar for bar in bars_of("EURUSD", Period.DAY, reading) if bar.key < utc("2026-03-21")]
    stamps = in_us([bar.stamp for bar in bars])
    assert closed(stamps, "EURUSD", Period.DAY, utc("2026-03-21T12:00")).all()


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


# Around the clock changes of both sides of the Atlantic, ends of months and ordinary days.
INSTANTS = st.builds(
    lambda day, hour, second: datetime(2025, 6, 1, tzinfo=UTC) + timedelta(days=day, hours=hour, seconds=second),
    st.integers(0, 330),
    st.integers(0, 23),
    st.sampled_from([0, 1, 4, 5, 6, 59, 60, 61, 65, 1799, 1800, 2400, 3599]),
)
GAPS = st.sampled_from([1, 5, 30, 60, 3_600, 6 * 3_600, 86_400, 4 * 86_400, 40 * 86_400]).map(
    lambda seconds: timedelta(seconds=seconds)
)


class TestMayHaveClosed:
    @given(
        code=st.sampled_from([*MARKETS, "BTCUSDT"]),
        period=st.sampled_from(LONG),
        reading=st.sampled_from(READINGS),
        since=INSTANTS,
        gap=GAPS,
    )
    @example("EURUSD", Period.MONTH, "session_open", utc("2026-02-28T21:00"), timedelta(hours=30))
    def test_no_long_bar_closes_unforeseen(
        self, code: str, period: Period, reading: str, since: datetime, gap: timedelta
    ) -> None:
        bars = bars_of(code, period, reading)
        at_close = code == "BTCUSDT" and reading == "session_close"

        def closed_at(now: datetime) -> set[datetime]:
            begun = [bar for bar in bars if bar.opens <= now]
            final = closed(in_us([bar.stamp for bar in begun]), code, period, now, at_close=at_close)
            return {bar.key for bar, is_final in zip(begun, final.tolist(), strict=True) if is_final}

        now = since + gap
        for key in closed_at(now) - closed_at(since):
            assert may_have_closed(code, period, key, key + timedelta(microseconds=1), since, now)
            assert may_have_closed(code, period, key, key + timedelta(microseconds=1), None, now)

    @given(
        code=st.sampled_from(["EURUSD", "BTCUSDT", "700.HK", "AAPL.US"]),
        period=st.sampled_from([period for period in Period if not period.by_date]),
        since=INSTANTS,
        gap=GAPS.filter(lambda gap: gap <= timedelta(days=1)),
        left=st.integers(-20, 20),
        right=st.integers(1, 20),
    )
    def test_of_short_bars_it_is_exact_but_for_the_weekend(
        self, code: str, period: Period, since: datetime, gap: timedelta, left: int, right: int
    ) -> None:
        now, nominal = since + gap, period.nominal
        start = since + left * nominal / 4
        end = start + right * nominal / 3
        # A stock's hours may begin at half past.
        step = min(nominal, timedelta(minutes=30)) if code.endswith((".HK", ".US")) else nominal
        first = start - (start - utc("1970-01-01")) % step
        slots = [first + number * step for number in range(18)]
        stamps = in_us([slot for slot in slots if start <= slot < end])
        flips = closed(stamps, code, period, now) & ~closed(stamps, code, period, since)
        is_open = np.array([code == "BTCUSDT" or trades(slot, nominal, code) for slot in moments(stamps)], dtype=bool)
        foreseen = may_have_closed(code, period, start, end, since, now)
        assert foreseen or not (flips & is_open).any()
        if period.grid_known:
            assert foreseen == (flips & is_open).any()
            assert may_have_closed(code, period, start, end, None, now) == closed(stamps, code, period, now).any()

    @pytest.mark.parametrize("period", ["1m", "5m", "15m", "30m", "1h"])
    def test_nothing_of_forex_closes_from_friday_evening_to_the_first_bar_of_sunday(self, period: str) -> None:
        nominal = Period(period).nominal
        friday, sunday = (local(date(2026, 3, day), at, NEW_YORK) for day, at in ((13, time(18, 30)), (15, time(17))))
        first_closes = sunday + nominal + timedelta(seconds=5)
        call = ("EURUSD", Period(period), utc("2026-01-01"), utc("2026-04-01"), friday)
        assert not may_have_closed(*call, first_closes - timedelta(seconds=1))
        assert may_have_closed(*call, first_closes)
        assert may_have_closed(*call[:4], friday - timedelta(hours=3), friday)

    def test_forex_days_are_over_by_midnight_and_the_next_by_sunday(self) -> None:
        call = ("EURUSD", Period.DAY, utc("2026-01-01"), utc("2026-04-01"))
        saturday, sunday = utc("2026-03-14T04:02"), utc("2026-03-15T20:59")
        assert may_have_closed(*call, utc("2026-03-13T22:30"), saturday)
        assert not may_have_closed(*call, saturday, sunday)

    def test_a_stocks_weekend_is_quiet_and_its_days_close_once(self) -> None:
        call = ("700.HK", Period.DAY, utc("2026-01-01"), utc("2026-04-01"))
        friday = utc("2026-03-20T09:01")
        assert may_have_closed(*call, friday - timedelta(seconds=1), friday)
        assert not may_have_closed(*call, friday, utc("2026-03-23T04:00"))
        assert not may_have_closed("700.HK", Period.MINUTE_1, *call[2:], utc("2026-03-21"), utc("2026-03-22T16:00"))

    def test_crypto_has_no_weekend(self) -> None:
        call = ("BTCUSDT", Period.MINUTE_1, utc("2026-01-01"), utc("2026-04-01"))
        assert may_have_closed(*call, utc("2026-03-21T12:00"), utc("2026-03-21T12:01:05"))
        assert may_have_closed("BTCUSDT", Period.DAY, *call[2:], utc("2026-03-21T12:00"), utc("2026-03-22T00:01"))

    def test_what_lies_ahead_has_not_closed(self) -> None:
        now = utc("2026-03-18T12:00")
        for period in Period:
            assert not may_have_closed("EURUSD", period, now, now + timedelta(days=90), None, now)


def trades(slot: datetime, nominal: timedelta, code: str) -> bool:
    """Whether any minute from *slot* on lies within the market's week."""
    zone = {"EURUSD": NEW_YORK, "AAPL.US": NEW_YORK, "700.HK": HONG_KONG}[code]
    minutes = [
        slot.astimezone(zone) + number * timedelta(minutes=1) for number in range(nominal // timedelta(minutes=1))
    ]
    if code != "EURUSD":
        return any(minute.weekday() < 5 for minute in minutes)
    return any(
        minute.weekday() < 4
        or (minute.weekday() == 4 and minute.time() < time(18))
        or (minute.weekday() == 6 and minute.time() >= time(17))
        for minute in minutes
    )
