"""Bars: what they add up to, when they exist, how they form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from alltick_frames import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Asker

LENGTHS = {"5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "2h": 7200, "4h": 14400}

# Weeks in which the clocks change, with holidays, and plain ones.
QUOTE_WEEKS = [
    ("EURUSD", "2026-03-09T00:00", "2026-03-14T00:00"),
    ("EURUSD", "2025-10-31T00:00", "2025-11-05T00:00"),
    ("GOLD", "2026-03-06T00:00", "2026-03-11T00:00"),
    ("UKOIL", "2025-12-23T00:00", "2025-12-30T00:00"),
    ("Nickel", "2024-07-01T00:00", "2024-07-04T00:00"),
    ("AUS200", "2025-06-06T00:00", "2025-06-11T00:00"),
    ("BTCUSDT", "2024-02-27T00:00", "2024-03-02T00:00"),
]
STOCK_WEEKS = [
    ("1234.HK", "2026-02-16T00:00", "2026-02-21T00:00"),
    ("700.HK", "2025-12-23T00:00", "2025-12-30T00:00"),
    ("AAPL.US", "2025-11-26T00:00", "2025-12-02T00:00"),
    ("BRK.A.US", "2026-03-05T00:00", "2026-03-11T00:00"),
    ("600519.SH", "2025-09-29T00:00", "2025-10-11T00:00"),
]


def local(stamp: Any, zone: str) -> datetime:
    moment: datetime = stamp.as_py()
    return moment.astimezone(ZoneInfo(zone))


def merged(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "open": rows[0]["open"],
        "high": max(row["high"] for row in rows),
        "low": min(row["low"] for row in rows),
        "close": rows[-1]["close"],
        "volume": sum(row["volume"] for row in rows),
        "turnover": sum(Decimal(str(row["turnover"])) for row in rows) if rows[0]["turnover"] is not None else None,
    }


def shown(row: dict[str, Any]) -> dict[str, Any]:
    kept = {name: row[name] for name in ("open", "high", "low", "close", "volume")}
    turnover = row["turnover"]
    return kept | {"turnover": None if turnover is None else Decimal(str(turnover))}


@pytest.mark.parametrize("period", LENGTHS)
@pytest.mark.parametrize(("code", "start", "end"), QUOTE_WEEKS + STOCK_WEEKS)
def test_intraday_bars_are_exact_aggregates_of_minutes(
    ask: Asker, code: str, start: str, end: str, period: str
) -> None:
    minutes = ask.sandbox.bars(code, "1m", start, end).to_pylist()
    groups: dict[datetime, list[dict[str, Any]]] = {}
    for row in minutes:
        epoch = row["timestamp"].timestamp()
        stamp = datetime.fromtimestamp(epoch - epoch % LENGTHS[period], UTC)
        groups.setdefault(stamp, []).append(row)
    longer = ask.sandbox.bars(code, period, start, end).to_pylist()
    assert [row["timestamp"] for row in longer] == list(groups)
    assert [shown(row) for row in longer] == [merged(rows) for rows in groups.values()]


@pytest.mark.parametrize(("code", "start", "end"), QUOTE_WEEKS + STOCK_WEEKS)
def test_daily_bars_are_exact_aggregates_of_their_sessions_minutes(ask: Asker, code: str, start: str, end: str) -> None:
    ask.sandbox.configure(readings={"daily_stamps": "session_open"})
    days = ask.sandbox.bars(code, "1d", start, end).to_pylist()
    assert len(days) > 1
    for day, following in pairwise(days):
        minutes = ask.sandbox.bars(code, "1m", day["timestamp"], following["timestamp"]).to_pylist()
        assert shown(day) == merged(minutes)


@pytest.mark.parametrize("code", ["EURUSD", "BTCUSDT", "700.HK"])
def test_weeks_and_months_are_exact_aggregates_of_trading_dates(ask: Asker, code: str) -> None:
    days = ask.sandbox.bars(code, "1d", "2024-01-01", "2026-01-01").to_pylist()
    firsts: dict[str, Callable[[datetime], datetime]] = {
        "1w": lambda stamp: stamp - timedelta(stamp.weekday()),
        "1mo": lambda stamp: stamp.replace(day=1),
    }
    for period, first in firsts.items():
        groups: dict[datetime, list[dict[str, Any]]] = {}
        for row in days:
            groups.setdefault(first(row["timestamp"]), []).append(row)
        longer = ask.sandbox.bars(code, period, "2024-01-01", "2025-12-28").to_pylist()
        for row in longer:
            assert shown(row) == merged(groups[row["timestamp"]])
        assert len(longer) > 20


def test_a_page_holds_the_same_decimal_strings_that_minutes_sum_to(ask: Asker) -> None:
    day = ask.bars("700.HK", "1d", num=2)[0]
    ask.sandbox.set_clock("2026-03-17T09:00Z", frozen=True)
    minutes = ask.bars("700.HK", "1m", num=331)
    assert sum(int(bar["volume"]) for bar in minutes) == int(day["volume"])
    assert sum(Decimal(bar["turnover"]) for bar in minutes) == Decimal(day["turnover"])
    assert (minutes[0]["open_price"], minutes[-1]["close_price"]) == (day["open_price"], day["close_price"])


def test_no_forex_bar_lies_on_a_saturday(ask: Asker) -> None:
    hours = ask.sandbox.bars("EURUSD", "1h", "2025-01-01", "2026-01-01")
    weekdays = {stamp.as_py().weekday() for stamp in hours["timestamp"]}
    assert weekdays == {0, 1, 2, 3, 4, 6}


def test_forex_weeks_run_from_sunday_to_friday_five_in_new_york(ask: Asker) -> None:
    for start, end in (("2026-03-02", "2026-03-07"), ("2026-03-08", "2026-03-15")):
        stamps = ask.sandbox.bars("EURUSD", "1m", start, end)["timestamp"]
        last = local(stamps[-1], "America/New_York")
        assert (last.weekday(), last.hour, last.minute) == (4, 16, 59)
    opening = local(stamps[0], "America/New_York")
    assert (opening.weekday(), opening.hour, opening.minute) == (6, 17, 0)


def test_gold_rests_an_hour_a_day_and_crypto_never(ask: Asker) -> None:
    gold = ask.sandbox.bars("GOLD", "1m", "2026-03-17T00:00", "2026-03-18T00:00")["timestamp"]
    assert 21 not in {stamp.as_py().hour for stamp in gold}
    crypto = ask.sandbox.bars("BTCUSDT", "1m", "2026-03-14T00:00", "2026-03-16T00:00")
    assert crypto.num_rows == 2 * 1440


@pytest.mark.parametrize(
    ("code", "opens", "closes"),
    [
        ("EURUSD", "2026-03-16T21:00", "2026-03-17T21:00"),
        ("GOLD", "2026-03-16T22:00", "2026-03-17T21:00"),
        ("USOIL", "2026-03-16T22:00", "2026-03-17T21:00"),
        ("UKOIL", "2026-03-17T00:00", "2026-03-17T21:00"),
        ("COPPER", "2026-03-17T00:00", "2026-03-17T18:00"),
        ("US500", "2026-03-16T22:00", "2026-03-17T21:00"),
        ("BTCUSDT", "2026-03-17T00:00", "2026-03-18T00:00"),
    ],
)
def test_summer_hours_are_the_vendors(ask: Asker, code: str, opens: str, closes: str) -> None:
    for stamping, expected in (("session_open", opens), ("session_close", closes)):
        ask.sandbox.configure(readings={"daily_stamps": stamping})
        stamps = ask.sandbox.bars(code, "1d", "2026-03-16T12:00", "2026-03-18T12:00")["timestamp"]
        assert datetime.fromisoformat(expected).replace(tzinfo=UTC) in stamps.to_pylist()


def test_the_australian_index_opens_ten_minutes_early_on_sundays(ask: Asker) -> None:
    stamps = ask.sandbox.bars("AUS200", "1m", "2026-03-14", "2026-03-16")["timestamp"]
    assert local(stamps[0], "America/New_York").strftime("%a %H:%M") == "Sun 17:50"


def test_hong_kong_takes_lunch_and_ends_with_an_auction_bar(ask: Asker) -> None:
    stamps = ask.sandbox.bars("700.HK", "1m", "2026-03-17", "2026-03-18")["timestamp"]
    times = [local(stamp, "Asia/Hong_Kong").strftime("%H:%M") for stamp in stamps]
    assert (times[0], times[-2], times[-1]) == ("09:30", "15:59", "16:00")
    assert not [time for time in times if "12:00" <= time < "13:00"]
    assert len(times) == 331


def test_china_stops_three_minutes_before_its_auction(ask: Asker) -> None:
    stamps = ask.sandbox.bars("000001.SH", "1m", "2026-03-17", "2026-03-18")["timestamp"]
    times = [local(stamp, "Asia/Shanghai").strftime("%H:%M") for stamp in stamps]
    assert times[-2:] == ["14:56", "15:00"]
    assert not [time for time in times if "11:30" <= time < "13:00"]


def test_new_york_closes_early_after_thanksgiving_and_not_at_all_on_it(ask: Asker) -> None:
    stamps = ask.sandbox.bars("AAPL.US", "1m", "2025-11-27", "2025-11-29")["timestamp"]
    times = [local(stamp, "America/New_York") for stamp in stamps]
    assert {time.day for time in times} == {28}
    assert (times[-1].hour, times[-1].minute) == (12, 59)


def test_stocks_trade_on_weekdays_past_the_end_of_the_calendar(ask: Asker) -> None:
    ask.sandbox.set_clock("2029-06-15T09:00Z", frozen=True)
    days = ask.sandbox.bars("600519.SH", "1d", "2029-06-04", "2029-06-11")["timestamp"]
    assert [stamp.as_py().weekday() for stamp in days] == [0, 1, 2, 3, 4]


def test_illiquid_minutes_are_absent_and_never_filled(ask: Asker) -> None:
    bars = ask.sandbox.bars("BRK.A.US", "1m", "2026-03-16", "2026-03-18")
    assert bars.num_rows < 2 * 390
    assert min(bars["volume"].to_pylist()) >= 1


@pytest.mark.parametrize("code", ["EURUSD", "Nickel", "BTCUSDT", "1234.HK", "AAPL.US"])
def test_every_bar_can_be_true(ask: Asker, code: str) -> None:
    for row in ask.sandbox.bars(code, "1m", "2026-03-09", "2026-03-18").to_pylist():
        assert 0 < row["low"] <= min(row["open"], row["close"])
        assert row["high"] >= max(row["open"], row["close"])


def test_round_the_clock_markets_open_where_they_closed(ask: Asker) -> None:
    days = ask.sandbox.bars("EURUSD", "1d", "2026-01-01", "2026-03-01").to_pylist()
    assert [day["open"] for day in days[1:]] == [day["close"] for day in days[:-1]]


def test_two_processes_serve_the_same_bars_and_another_seed_others(ask: Asker) -> None:
    asked = ("AAPL.US", "5m", "2025-03-03", "2025-03-05")
    with sandbox.running() as other, sandbox.running(seed=1) as seeded:
        assert other.bars(*asked).equals(ask.sandbox.bars(*asked))
        assert not seeded.bars(*asked).equals(ask.sandbox.bars(*asked))


@pytest.mark.parametrize("period", ["1m", "5m", "1h", "4h", "1d", "1w", "1mo"])
@pytest.mark.parametrize("code", ["EURUSD", "BTCUSDT", "700.HK"])
def test_a_forming_bar_only_ever_grows_into_its_final_one(ask: Asker, code: str, period: str) -> None:
    start = "2026-03-17T00:00" if period in {"1m", *LENGTHS} else "2026-02-01"
    seen = []
    for time in ("06:00:01", "06:00:20.5", "06:00:59", "06:01:30", "06:14:00", "07:30:00"):
        ask.sandbox.set_clock(f"2026-03-17T{time}Z", frozen=True)
        newest = ask.sandbox.bars(code, period, start).to_pylist()[-1]
        assert newest["closed"] is False
        seen.append(newest)
    ask.sandbox.set_clock("2026-06-01T00:00Z", frozen=True)
    final = {row["timestamp"]: row for row in ask.sandbox.bars(code, period, start, "2026-03-18").to_pylist()}
    for earlier, later in zip(seen, [*seen[1:], None], strict=True):
        grown = [final[earlier["timestamp"]]]
        if later is not None and later["timestamp"] == earlier["timestamp"]:
            grown.append(later)
        for bar in grown:
            assert bar["open"] == earlier["open"]
            assert bar["high"] >= earlier["high"]
            assert bar["low"] <= earlier["low"]
            assert bar["volume"] >= earlier["volume"]
            if bar["turnover"] is not None:
                assert bar["turnover"] >= earlier["turnover"]
                # Worth is what was traded so far, at prices within the bar.
                worth = earlier["turnover"] / earlier["volume"]
                assert 0.9 * earlier["low"] < worth < 1.1 * earlier["high"]


def test_all_forming_periods_show_the_same_last_price(ask: Asker) -> None:
    ask.sandbox.set_clock("2026-03-17T10:17:42Z", frozen=True)
    periods = ("1m", "5m", "15m", "30m", "1h", "2h", "4h", "1d", "1w", "1mo")
    assert len({ask.bars("EURUSD", period, num=1)[0]["close_price"] for period in periods}) == 1


def test_a_daily_bar_closes_with_its_session(ask: Asker) -> None:
    for time, is_closed in (("08:00:59", False), ("08:01:00", True)):
        ask.sandbox.set_clock(f"2026-03-17T{time}Z", frozen=True)
        newest = ask.sandbox.bars("700.HK", "1d", "2026-03-17").to_pylist()
        assert [row["closed"] for row in newest] == [is_closed]
