"""Holes within trading hours are named, with what is known of them; a complete archive has none."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alltick_frames as at
from alltick_frames import absences, calendars, finality, sessions
from alltick_frames.periods import Period
from alltick_frames.plans import plan_named
from alltick_frames.records import Checked, HistoryStart, Hole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    SetClocks = Callable[[str | datetime], None]
    Connect = Callable[..., at.Client]

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
QUOTES = ["EURUSD", "GOLD", "UKOIL", "Aluminum", "US500", "AUS200", "XAUEUR", "BTCUSDT"]
TABLE = "alltick 2025-01"
NO_HOLIDAYS = "the vendor's table of hours has no holidays"
NOW = "2026-03-18T15:00:30Z"
ROW = ("start", "end", "bars", "reason", "calendar")


def told(found: pl.DataFrame) -> list[tuple[Any, ...]]:
    """Give rows with readable times."""
    times = pl.col("start", "end").dt.strftime("%m-%d %H:%M")
    return found.select(ROW).with_columns(times).rows()


def truth(server: at.sandbox.Sandbox, code: str, period: str, start: str, end: str) -> pl.DataFrame:
    frame = pl.from_arrow(server.bars(code, period, start, end))
    assert isinstance(frame, pl.DataFrame)
    return frame


def without(bars: pl.DataFrame, start: str, end: str) -> pl.DataFrame:
    first, after = (datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (start, end))
    return bars.filter(~pl.col("timestamp").is_between(first, after, closed="left"))


class TestACompleteArchive:
    """The sandbox's sessions are written apart from ours: where they agree, both are as they should be."""

    def test_has_no_gaps_of_minutes_through_the_ends_of_summer_time(
        self, client: at.Client, set_clocks: SetClocks
    ) -> None:
        set_clocks("2025-11-10T12:00Z")
        client.get_kline(QUOTES, "1m", "2025-10-23/2025-11-05")
        assert client.gaps().is_empty()
        # Of the thin one single minutes lack, as they always do.
        thin = client.gaps(min_bars=1)
        assert thin["code"].unique().to_list() == ["Aluminum"]
        assert thin["bars"].max() == 4
        asked = thin.filter(pl.col("start") >= datetime(2025, 10, 23, tzinfo=UTC))
        held = client.get_kline("Aluminum", "1m", "2025-10-23/2025-11-05", network="never").height
        assert asked["bars"].sum() == 10 * 18 * 60 - held

    @pytest.mark.parametrize("alignment", ["utc", "session"])
    def test_has_those_at_holidays_that_the_vendors_table_does_not_know(
        self, server: at.sandbox.Sandbox, client: at.Client, set_clocks: SetClocks, alignment: str
    ) -> None:
        server.configure(readings={"alignment": alignment})
        set_clocks("2026-03-31T12:00Z")
        for period in ("15m", "1h", "2h", "4h", "1d"):
            client.get_kline(QUOTES, period, "2025-10-20/2026-03-30")
        found = client.gaps().filter(pl.col("start") > datetime(2025, 10, 1, tzinfo=UTC))
        assert set(found["code"]) == {*QUOTES} - {"BTCUSDT"}
        assert found.group_by("code", "period").len()["len"].to_list() == [2] * 5 * 7
        assert set(zip(found["reason"], found["calendar"], found["detail"], strict=True)) == {
            ("no_trade", TABLE, NO_HOLIDAYS)
        }
        forex = found.filter(pl.col("code") == "EURUSD", pl.col("period").is_in(["15m", "1h", "1d"]))
        assert told(forex) == [
            ("12-24 22:00", "12-25 22:00", 96, "no_trade", TABLE),
            ("12-31 22:00", "01-01 22:00", 96, "no_trade", TABLE),
            ("12-24 22:00", "12-25 22:00", 24, "no_trade", TABLE),
            ("12-31 22:00", "01-01 22:00", 24, "no_trade", TABLE),
            ("12-25 00:00", "12-26 00:00", 1, "no_trade", TABLE),
            ("01-01 00:00", "01-02 00:00", 1, "no_trade", TABLE),
        ]

    @pytest.mark.parametrize("alignment", ["utc", "session"])
    @pytest.mark.parametrize(
        ("codes", "start", "days"),
        [
            # Half days before Christmas and New Year's Day, and three holidays.
            pytest.param(["700.HK", "HSI.HK"], "2025-12-22", 13, id="Hong Kong"),
            # Thanksgiving and the half day after it.
            pytest.param(["AAPL.US", "BRK.A.US"], "2025-11-25", 7, id="New York, Thanksgiving"),
            pytest.param(["AAPL.US", ".SPX.US"], "2026-03-05", 7, id="New York, summer time"),
            # Three holidays, and the first session past the end of the published calendar.
            pytest.param(["600519.SH", "000001.SH"], "2025-12-29", 9, id="Shanghai"),
        ],
    )
    def test_has_no_gaps_at_an_exchange(
        self,
        server: at.sandbox.Sandbox,
        client: at.Client,
        set_clocks: SetClocks,
        alignment: str,
        codes: list[str],
        start: str,
        days: int,
    ) -> None:
        server.configure(readings={"alignment": alignment})
        first = datetime.fromisoformat(start).replace(tzinfo=UTC)
        for hours in range(0, days * 24 + 1, 6):
            set_clocks(first + timedelta(hours=hours, minutes=37, seconds=40))
            client.get_kline(codes, "1m", "max")
        for period in ("5m", "1h", "1d", "1w", "1mo"):
            client.get_kline(codes, period, "max")
        assert client.gaps().is_empty()
        liquid = [code for code in codes if code != "BRK.A.US"]
        assert client.gaps(liquid, min_bars=1).is_empty()
        assert client.coverage(codes[0], "1m")["held"].to_list() == [False, True]


class TestAHole:
    def test_in_which_the_vendor_had_no_bar_is_no_trade(
        self, server: at.sandbox.Sandbox, client: at.Client, set_clocks: SetClocks
    ) -> None:
        set_clocks("2026-03-18T15:00:30Z")
        minutes = truth(server, "GOLD", "1m", "2026-03-09", "2026-03-18")
        # The second goes on after the break between two sessions, the third is nothing unusual.
        for start, end in (
            ("2026-03-11T10:00", "2026-03-11T10:30"),
            ("2026-03-12T20:50", "2026-03-12T22:05"),
            ("2026-03-13T09:00", "2026-03-13T09:01"),
            ("2026-03-16T09:00", "2026-03-16T09:01"),
        ):
            minutes = without(minutes, start, end)
        server.replay("GOLD", "1m", minutes)
        client.get_kline("GOLD", "1m", "2026-03-09/2026-03-16")
        unusual = [
            ("03-11 10:00", "03-11 10:30", 30, "no_trade", TABLE),
            ("03-12 20:50", "03-12 22:05", 15, "no_trade", TABLE),
        ]
        assert told(client.gaps()) == unusual
        assert client.gaps(min_bars=15).equals(client.gaps())
        assert client.gaps(min_bars=1)["bars"].to_list() == [30, 15, 1, 1]
        assert client.gaps(min_bars=16)["bars"].to_list() == [30]

    def test_of_a_thin_product_is_named_if_it_is_long_for_it(
        self, server: at.sandbox.Sandbox, client: at.Client
    ) -> None:
        minutes = truth(server, "ZINCUSDT", "1m", "2026-03-09", "2026-03-18")
        assert 0.75 < minutes.height / (9 * 1440) < 0.85
        server.replay("ZINCUSDT", "1m", without(minutes, "2026-03-12T03:00", "2026-03-12T03:20"))
        client.get_kline("ZINCUSDT", "1m", "2026-03-09/2026-03-17")
        ((start, end, bars, *rest),) = told(client.gaps())
        assert (start <= "03-12 03:00", end >= "03-12 03:20", bars in range(20, 24)) == (True, True, True)
        assert rest == ["no_trade", "24/7"]
        assert client.gaps(min_bars=1).height > 1_000

    def test_never_asked_for_is_not_proven(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        codes = ["EURUSD", "BTCUSDT"]
        client.get_kline(codes, "1m", "2026-03-02/2026-03-03")
        client.get_kline(codes, "1m", "2026-03-10/2026-03-11")
        found = client.gaps(codes)
        for row in found.iter_rows(named=True):
            held = client.coverage(row["code"]).filter("held")
            assert [row["start"], row["end"]] == [held["end"][0], held["start"][1]]
            unasked = truth(server, row["code"], "1m", row["start"].isoformat(), row["end"].isoformat())
            assert row["bars"] == unasked.height > 3 * 1440
        assert found["reason"].to_list() == ["not_proven"] * 2
        assert found["calendar"].to_list() == [TABLE, "24/7"]
        assert found["detail"].to_list() == ["no answer covers it"] * 2

    def test_of_an_overtaken_stock_is_lost(
        self, server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks
    ) -> None:
        codes = ["700.HK", "AAPL.US", "600519.SH"]
        client = connect(on_incomplete="ignore")
        set_clocks(NOW)
        client.get_kline(codes, "1m", "max")
        set_clocks("2026-03-24T20:30Z")
        client.get_kline(codes, "1m", "max")
        found = client.gaps()
        assert found["code"].to_list() == sorted(codes)
        assert found["reason"].unique().to_list() == ["lost"]
        assert found["calendar"].to_list() == ["XSHG", "XHKG", "XNYS"]
        for row in found.iter_rows(named=True):
            lost = truth(server, row["code"], "1m", row["start"].isoformat(), row["end"].isoformat())
            # The bar of the closing auction is no slot of its own.
            zone = {"700.HK": "Asia/Hong_Kong", "600519.SH": "Asia/Shanghai"}.get(row["code"], "America/New_York")
            wall = lost["timestamp"].dt.convert_time_zone(zone).dt
            auction = (wall.hour() == {"700.HK": 16, "600519.SH": 15}.get(row["code"], 24)) & (wall.minute() == 0)
            assert row["bars"] == (~auction).sum() > 400
            assert (
                truth(server, row["code"], "1m", row["start"].isoformat(), row["end"].isoformat())["timestamp"][0]
                == (row["start"])
            )
        # What is known stays known, though after a while it is asked for once more.
        set_clocks("2026-06-01T12:00Z")
        assert client.gaps().equals(found)

    def test_that_was_seen_empty_too_early_is_not_proven(
        self, server: at.sandbox.Sandbox, client: at.Client, set_clocks: SetClocks
    ) -> None:
        minutes = truth(server, "EURUSD", "1m", "2026-03-17", "2026-03-18T12:00")
        server.replay("EURUSD", "1m", minutes)
        client.get_kline("EURUSD", "1m", "1d")
        (row,) = client.gaps().rows(named=True)
        assert row["start"] == datetime(2026, 3, 18, 12, tzinfo=UTC)
        assert row["end"] == datetime(2026, 3, 18, 14, 59, tzinfo=UTC)  # the bar of 14:59 may come with a delay
        assert (row["bars"], row["reason"]) == (179, "not_proven")
        assert row["detail"] == "seen empty at 2026-03-18 15:00Z, too early for a proof"
        # Two days later the vendor still has nothing: what was seen empty a day after its end is.
        set_clocks("2026-03-20T15:00:30Z")
        client.get_kline("EURUSD", "1m", "3d")
        assert told(client.gaps()) == [
            ("03-18 12:00", "03-19 15:01", 1621, "no_trade", TABLE),
            ("03-19 15:01", "03-20 14:59", 1438, "not_proven", TABLE),
        ]

    def test_of_days_weeks_and_months_is_named_by_its_dates(
        self, server: at.sandbox.Sandbox, client: at.Client
    ) -> None:
        days = truth(server, "AAPL.US", "1d", "2025-06-01", "2026-03-18")
        weeks = truth(server, "BTCUSDT", "1w", "2025-06-01", "2026-03-18")
        # Labor Day, 1 September, and the weekend are no sessions.
        server.replay("AAPL.US", "1d", without(days, "2025-08-28T00:00", "2025-09-04T00:00"))
        server.replay("BTCUSDT", "1w", without(weeks, "2025-09-08T00:00", "2025-09-20T00:00"))
        client.get_kline("AAPL.US", "1d", "max")
        client.get_kline("BTCUSDT", "1w", "max")
        assert told(client.gaps()) == [
            ("08-28 00:00", "09-04 00:00", 4, "no_trade", "XNYS"),
            ("09-08 00:00", "09-22 00:00", 2, "no_trade", "24/7"),
        ]


@dataclass
class Facts:
    coverage: tuple[tuple[int, int], ...] = ()
    checked: tuple[Checked, ...] = ()
    holes: tuple[Hole, ...] = ()
    history_start: HistoryStart | None = None


MINUTE_US, HOUR_US, DAY_US = 60_000_000, 3_600_000_000, 86_400_000_000
MONDAY = finality.microseconds(datetime(2025, 6, 2, tzinfo=UTC))
LATER = datetime(2026, 6, 2, tzinfo=UTC)
PLAN = plan_named("professional")


def named(
    code: str,
    stamps_us: NDArray[np.int64],
    facts: Facts | None = None,
    *,
    period: str = "1m",
    min_bars: int | None = None,
    days: int = 0,
) -> list[absences.Stretch]:
    facts = facts or Facts(coverage=((MONDAY, MONDAY + days * DAY_US),))
    return [*absences.stretches(code, Period(period), facts, stamps_us, PLAN, LATER, min_bars=min_bars)]


def slots(code: str, days: int, minutes: int = 1) -> NDArray[np.int64]:
    """Give every slot of sessions from `MONDAY` on, one by one."""
    found = sessions.sessions_of(code, MONDAY, MONDAY + days * DAY_US, seen_us=np.empty(0, np.int64))
    stamps = {
        stamp
        for opens, closes in zip(found.opens.tolist(), found.closes.tolist(), strict=True)
        for stamp in range(opens - opens % (minutes * MINUTE_US), closes, minutes * MINUTE_US)
    }
    return np.array(sorted(stamp for stamp in stamps if MONDAY <= stamp < MONDAY + days * DAY_US), dtype=np.int64)


@given(
    code=st.sampled_from(["EURUSD", "AUS200", "600519.SH", "700.HK", "BTCUSDT"]),
    minutes=st.sampled_from([1, 5, 15, 30, 60]),
    lacks=st.lists(st.tuples(st.integers(0, 6_000), st.integers(1, 700)), max_size=8),
    cuts=st.lists(st.integers(0, 6 * 1440), min_size=2, max_size=8, unique=True),
)
def test_every_slot_without_a_bar_is_in_one_stretch_with_what_is_known_of_it(
    code: str, minutes: int, lacks: list[tuple[int, int]], cuts: list[int]
) -> None:
    expected = slots(code, 6, minutes)
    there = np.ones(len(expected), dtype=np.bool_)
    for first, count in lacks:
        there[first % len(expected) :][:count] = False
    edges = [MONDAY + cut * MINUTE_US for cut in sorted(cuts)]
    coverage = tuple(zip(edges[::2], edges[1::2], strict=False))
    found = named(
        code, expected[there], Facts(coverage=coverage), period=f"{minutes}m" if minutes < 60 else "1h", min_bars=1
    )
    seen: dict[int, str] = {}
    for stretch in found:
        within = expected[(expected >= stretch.start) & (expected < stretch.end)]
        assert len(within) == stretch.bars
        assert (within[0], within[-1] + minutes * MINUTE_US) == (stretch.start, stretch.end)
        assert not {*within.tolist()} & {*seen}
        seen |= dict.fromkeys(within.tolist(), stretch.reason)
    lacking = [stamp for stamp in expected[~there].tolist() if coverage[0][0] <= stamp < coverage[-1][1]]
    assert seen == {
        stamp: "no_trade" if any(start <= stamp < end for start, end in coverage) else "not_proven" for stamp in lacking
    }


class TestWhatWasSeenEmpty:
    HELD = slots("BTCUSDT", 1)
    UNTIL = MONDAY + 3 * DAY_US

    def told(self, at: int) -> list[tuple[int, int, str]]:
        facts = Facts(((MONDAY, MONDAY + DAY_US),), checked=(Checked(MONDAY + DAY_US, self.UNTIL, at),))
        return [(each.start, each.end, each.reason) for each in named("BTCUSDT", self.HELD, facts)]

    def test_is_proven_a_day_later_and_not_before(self) -> None:
        first = MONDAY + DAY_US
        assert self.told(self.UNTIL + DAY_US) == [(first, self.UNTIL, "no_trade")]
        assert self.told(self.UNTIL) == [
            (first, self.UNTIL - DAY_US, "no_trade"),
            (self.UNTIL - DAY_US, self.UNTIL - MINUTE_US, "not_proven"),
        ]

    def test_is_not_believed_of_a_clock_that_was_ahead(self) -> None:
        assert self.told(finality.microseconds(LATER) + DAY_US) == []


class TestWhereBarsBegin:
    """Of a stock's hours, 2h and 4h no page says it: the bar before shows it."""

    def test_four_hours_may_begin_anywhere_and_move_with_the_clocks(self) -> None:
        # From 17:00 in New York on: at 22:00 in winter, at 21:00 in summer, from Sunday 8 March 2026.
        winter, summer = (datetime(2026, 3, day, hour, tzinfo=UTC) for day, hour in ((1, 22), (8, 21)))
        weeks = [finality.microseconds(monday) + np.arange(30) * 4 * HOUR_US for monday in (winter, summer)]
        bars = np.concatenate(weeks)
        facts = Facts(coverage=((int(bars[0]), int(bars[-1]) + 1),))
        assert named("EURUSD", bars, facts, period="4h", min_bars=1) == []
        lacking = named("EURUSD", np.delete(bars, [7, 8, 35]), facts, period="4h", min_bars=1)
        assert [(stretch.start, stretch.end, stretch.bars) for stretch in lacking] == [
            (bars[7], bars[9], 2),
            (bars[35], bars[36], 1),
        ]

    @pytest.mark.parametrize("half_past", [0, 30 * MINUTE_US])
    def test_hours_of_a_stock_begin_at_the_full_or_half_hour(self, half_past: int) -> None:
        opens = MONDAY + HOUR_US + half_past  # 09:30 in Hong Kong, or in the hour before
        # From half past on the bar of 12:30 is the afternoon's first; at full hours that of 12:00 would be the pause's.
        bars = np.array([opens + hour * HOUR_US for hour in (0, 1, 2, 3, 4, 5, 6) if hour != 3 or half_past])
        facts = Facts(coverage=((MONDAY, MONDAY + 8 * HOUR_US),))
        assert named("700.HK", bars, facts, period="1h", min_bars=1) == []
        (stretch,) = named("700.HK", np.delete(bars, [2, 3]), facts, period="1h", min_bars=1)
        assert (stretch.start, stretch.end, stretch.bars) == (bars[2], bars[3] + HOUR_US, 2)


class TestWhatIsUnusual:
    def test_a_pause_of_every_day_is_not_and_one_at_another_time_is(self) -> None:
        bars = slots("JPN225", 28)
        every_day = bars % DAY_US // HOUR_US == 6
        assert named("JPN225", bars[~every_day], days=28) == []
        once = (bars >= MONDAY + 9 * DAY_US + 12 * HOUR_US) & (
            bars < MONDAY + 9 * DAY_US + 12 * HOUR_US + 20 * MINUTE_US
        )
        (stretch,) = named("JPN225", bars[~every_day & ~once], days=28)
        assert (stretch.start, stretch.bars) == (MONDAY + 9 * DAY_US + 12 * HOUR_US, 20)

    def test_a_late_opening_of_every_monday_is_not(self) -> None:
        bars = slots("EURUSD", 28)
        since_monday = (bars - MONDAY) % (7 * DAY_US)
        late = (since_monday >= 6 * DAY_US + 21 * HOUR_US) & (since_monday < 6 * DAY_US + 21 * HOUR_US + 7 * MINUTE_US)
        assert named("EURUSD", bars[~late], days=28) == []
        assert [stretch.bars for stretch in named("EURUSD", bars[~late], days=28, min_bars=2)] == [7] * 4

    def test_a_whole_session_is_and_an_hour_of_a_product_that_hardly_lacks_any(self) -> None:
        hours = slots("700.HK", 90, 60)
        day, other, third = (hours[hours // DAY_US == MONDAY // DAY_US + day] for day in (1, 2, 9))
        lacking = np.concatenate([day, other[3:4], third[2:3]])
        found = named("700.HK", np.setdiff1d(hours, lacking), days=90, period="1h")
        assert [(stretch.start, stretch.bars) for stretch in found] == [
            (int(day[0]), 6),
            (int(other[3]), 1),
            (int(third[2]), 1),
        ]
        # Of one that has no bar in a fourth of its hours, the session alone.
        thin = np.setdiff1d(hours, np.concatenate([day, hours[3::4]]))
        (stretch,) = named("700.HK", thin, days=90, period="1h")
        assert stretch.bars in range(6, 9)

    def test_single_minutes_are_not_unless_there_is_but_one(self) -> None:
        bars = slots("BTCUSDT", 28)
        assert named("BTCUSDT", np.delete(bars, [5_000, 9_000]), days=28) == []
        assert [stretch.bars for stretch in named("BTCUSDT", np.delete(bars, 5_000), days=28)] == [1]


class TestHours:
    @pytest.fixture
    def no_calendars(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setitem(sys.modules, "exchange_calendars", None)
        calendars._calendar.cache_clear()  # noqa: SLF001  # what other tests have loaded
        yield
        calendars._calendar.cache_clear()  # noqa: SLF001

    def test_past_a_calendars_end_every_weekday_counts_and_that_is_said(self) -> None:
        published = calendars.schedule("600519.SH")
        assert published is not None
        last = int(published.dates[-1])
        facts = Facts(coverage=((last - 3 * DAY_US, last), (last + 12 * DAY_US, last + 13 * DAY_US)))
        now = finality.instant(last + 40 * DAY_US)
        found = [*absences.stretches("600519.SH", Period.DAY, facts, np.empty(0, np.int64), PLAN, now, min_bars=None)]
        assert [(stretch.reason, stretch.calendar) for stretch in found if stretch.reason == "not_proven"] == [
            ("not_proven", "weekdays")
        ]

    def test_without_the_package_every_weekday_counts(self, no_calendars: None) -> None:
        minutes = slots("AAPL.US", 2)
        assert len(minutes) == 2 * 390
        # Juneteenth and Independence Day.
        weekdays = [MONDAY + day * DAY_US for day in range(42) if day % 7 < 5 and day not in (17, 32)]
        found = named("AAPL.US", np.array(weekdays), days=42, period="1d")
        assert [finality.instant(stretch.start).strftime("%m-%d") for stretch in found] == ["06-19", "07-04"]
        assert {(stretch.calendar, stretch.detail) for stretch in found} == {
            ("weekdays", "no calendar knows these dates: holidays count as sessions")
        }

    def test_a_code_in_no_list_goes_by_whether_it_has_bars_on_saturdays(self) -> None:
        hours = np.arange(MONDAY, MONDAY + 14 * DAY_US, HOUR_US)
        whole = Facts(coverage=((MONDAY, MONDAY + 2 * DAY_US), (MONDAY + 9 * DAY_US, MONDAY + 14 * DAY_US)))
        held = hours[(hours < MONDAY + 2 * DAY_US) | (hours >= MONDAY + 9 * DAY_US)]
        (stretch,) = named("BTCUSD", held, whole, period="1h")
        assert (stretch.bars, stretch.calendar) == (7 * 24, "24/7 (observed)")
        week = np.setdiff1d(slots("EURUSD", 14, 60), hours[2 * 24 : 9 * 24])
        (stretch,) = named("XAUUSDX", week, Facts(coverage=whole.coverage), period="1h")
        assert (stretch.bars, stretch.calendar) == (5 * 24, "forex week (observed)")

    @pytest.mark.parametrize("code", ["700.HK", "AAPL.US", "600519.SH"])
    def test_the_minutes_of_a_year_are_the_calendars(self, code: str) -> None:
        start, end = (finality.microseconds(datetime(year, 1, 1, tzinfo=UTC)) for year in (2025, 2026))
        found = sessions.sessions_of(code, start, end, seen_us=np.empty(0, np.int64))
        minutes = {
            minute
            for opens, closes in zip(found.opens.tolist(), found.closes.tolist(), strict=True)
            for minute in range(opens, closes, MINUTE_US)
        }
        calendar = calendars._calendar(found.calendar)  # noqa: SLF001  # the library's own list of minutes
        ours = {minute for minute in minutes if start <= minute < end}
        theirs = {stamp.value // 1000 for stamp in calendar.minutes[calendar.minutes.slice_indexer("2025", "2025")]}
        lunch_and_auctions = theirs - ours
        assert ours <= theirs
        sessions_in_2025 = len(calendar.sessions[calendar.sessions.slice_indexer("2025", "2025")])
        assert len(lunch_and_auctions) == (3 * sessions_in_2025 if code == "600519.SH" else 0)


class TestTheTable:
    def test_is_empty_with_the_same_columns_where_nothing_is_held(self, client: at.Client) -> None:
        empty = client.gaps()
        assert empty.columns == ["code", "period", "start", "end", "bars", "reason", "calendar", "detail"]
        assert client.gaps("EURUSD", "1m").equals(empty)
        assert type(client.gaps(frame="pandas")).__module__.startswith("pandas")

    def test_needs_no_token_and_sends_nothing(
        self, client: at.Client, connect: Connect, server: at.sandbox.Sandbox
    ) -> None:
        client.get_kline(["GOLD", "EURUSD"], "1m", "2026-03-02/2026-03-03")
        client.get_kline(["GOLD", "EURUSD"], "1m", "2026-03-10/2026-03-11")
        server.reset()
        other = at.Client(base_url=server.url, cache_dir=client.settings.cache_dir, plan="professional")
        found = other.gaps(["GOLD", "EURUSD"]).filter(pl.col("reason") == "not_proven")
        assert found["code"].to_list() == ["GOLD", "EURUSD"]
        assert other.gaps("EURUSD", "1m").height == 1
        assert other.gaps(period="1h").is_empty()
        assert server.counters()["requests"] == 0

    @pytest.mark.parametrize("min_bars", [0, -1, 1.5, True, "1"])
    def test_refuses_a_min_bars_that_is_no_number_of_bars(self, client: at.Client, min_bars: Any) -> None:
        with pytest.raises(at.ArgumentError, match="min_bars="):
            client.gaps(min_bars=min_bars)
