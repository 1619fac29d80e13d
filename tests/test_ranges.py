"""What may be written for `range`, and what each way of writing it means."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alltick_frames as at
from alltick_frames.periods import Period
from alltick_frames.ranges import parse_range
from alltick_frames.spans import BEGINNING

NOW = datetime(2026, 3, 31, 12, 34, 56, tzinfo=UTC)
DATES_AHEAD = "2026-04-02"  # trading dates run ahead of UTC's by up to two days
NEW_YORK = ZoneInfo("America/New_York")

SPANS: list[tuple[Any, str, str, str]] = [
    # lookbacks start on a boundary of the period
    ("90min", "1m", "2026-03-31T11:04", "now"),
    ("90min", "1h", "2026-03-31T11:00", "now"),
    ("36h", "15m", "2026-03-30T00:30", "now"),
    ("30d", "1m", "2026-03-01T12:34", "now"),
    ("30d", "4h", "2026-03-01T12:00", "now"),
    ("30d", "1d", "2026-03-01", DATES_AHEAD),
    ("2w", "1h", "2026-03-17T12:00", "now"),
    ("2w", "1w", "2026-03-16", DATES_AHEAD),
    ("1mo", "1m", "2026-02-28T12:34", "now"),
    ("1mo", "1mo", "2026-02-01", DATES_AHEAD),
    ("6mo", "1d", "2025-09-30", DATES_AHEAD),
    ("1y", "1h", "2025-03-31T12:00", "now"),
    ("25mo", "1d", "2024-02-29", DATES_AHEAD),
    ("ytd", "1m", "2026-01-01", "now"),
    ("ytd", "1d", "2026-01-01", DATES_AHEAD),
    ("max", "1m", "beginning", "now"),
    ("max", "1mo", "beginning", DATES_AHEAD),
    # intervals: a date, month or year as end means all of it
    ("2025-01-01/2025-03-31", "1m", "2025-01-01", "2025-04-01"),
    ("2025-01-01/2025-01-01", "1m", "2025-01-01", "2025-01-02"),
    ("2025-01/2025-02", "1h", "2025-01-01", "2025-03-01"),
    ("2024/2024", "1d", "2024-01-01", "2025-01-01"),
    ("2024-12/2025-01-15", "1d", "2024-12-01", "2025-01-16"),
    ("2025-01-01T09:30/2025-01-01T16:00", "1m", "2025-01-01T09:30", "2025-01-01T16:00"),
    ("2025-01-01T00:00Z/2025-01-02T00:00Z", "1m", "2025-01-01", "2025-01-02"),
    ("2025-01-01T09:30+08:00/2025-01-02", "1m", "2025-01-01T01:30", "2025-01-03"),
    ("2026-03-01/", "1m", "2026-03-01", "now"),
    ("2026-03-01/..", "1m", "2026-03-01", "now"),
    ("/2025-03-01", "1m", "beginning", "2025-03-02"),
    ("2026-03-30/2026-12-31", "1m", "2026-03-30", "now"),
    ("2026-03-30/2026-03-31", "1d", "2026-03-30", "2026-04-01"),
    # pairs and slices
    (("2025-01-01", "2025-01-31"), "1m", "2025-01-01", "2025-02-01"),
    ((date(2025, 1, 1), date(2025, 1, 31)), "1m", "2025-01-01", "2025-02-01"),
    ((date(2025, 1, 1), None), "1m", "2025-01-01", "now"),
    ((None, date(2025, 1, 1)), "1m", "beginning", "2025-01-02"),
    ((datetime(2025, 1, 1), datetime(2025, 1, 31)), "1m", "2025-01-01", "2025-01-31"),
    ((datetime(2025, 7, 1, 9, 30, tzinfo=NEW_YORK), "2025-07-01"), "1m", "2025-07-01T13:30", "2025-07-02"),
    ((datetime(2025, 1, 2, 9, 30, tzinfo=NEW_YORK), "2025-01-02"), "1m", "2025-01-02T14:30", "2025-01-03"),
    (
        (datetime(2025, 1, 1, tzinfo=timezone(timedelta(hours=8))), "2025-01-02"),
        "1h",
        "2024-12-31T16:00",
        "2025-01-03",
    ),
    (slice("2025-01-01", "2025-01-31"), "1m", "2025-01-01", "2025-02-01"),
    (slice(None, "2025-01"), "1h", "beginning", "2025-02-01"),
    (["2025-01-01", "2025-01-02"], "1h", "2025-01-01", "2025-01-03"),
    # scalars of pandas, NumPy and Polars are instants; a NumPy day is a date
    ((pd.Timestamp("2025-01-01"), pd.Timestamp("2025-01-31")), "1m", "2025-01-01", "2025-01-31"),
    ((pd.Timestamp("2025-01-01", tz="Asia/Hong_Kong"), None), "1m", "2024-12-31T16:00", "now"),
    ((np.datetime64("2025-01-01"), np.datetime64("2025-01-31")), "1m", "2025-01-01", "2025-02-01"),
    (
        (np.datetime64("2025-01-01T10:00"), np.datetime64("2025-01-31T00:00:00", "ns")),
        "1m",
        "2025-01-01T10",
        "2025-01-31",
    ),
    ((pl.Series([date(2025, 1, 1)]).item(), pl.Series([datetime(2025, 2, 1)]).max()), "1m", "2025-01-01", "2025-02-01"),
    # of daily and longer bars the wall-clock date counts, whatever its zone
    ((datetime(2025, 1, 1, tzinfo=NEW_YORK), datetime(2025, 2, 1, tzinfo=NEW_YORK)), "1d", "2025-01-01", "2025-02-01"),
    ((pd.Timestamp("2025-01-01", tz="Asia/Hong_Kong"), "2025-01"), "1w", "2025-01-01", "2025-02-01"),
    (("2025-01-01", datetime(2025, 1, 31, 16, tzinfo=NEW_YORK)), "1d", "2025-01-01", "2025-01-31T16"),
    ((datetime(2025, 1, 1, 12), datetime(2025, 1, 31, 12)), "1d", "2025-01-01", "2025-01-31T12"),
    # a number of bars, of any integer type
    (1, "1m", "beginning", "now"),
    (500, "1d", "beginning", DATES_AHEAD),
    (np.int64(12), "1h", "beginning", "now"),
]


def instant(text: str) -> datetime:
    if text == "now":
        return NOW
    return BEGINNING if text == "beginning" else datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("written", "period", "start", "end"), SPANS, ids=lambda value: str(value)[:60])
def test_a_range_means(written: Any, period: str, start: str, end: str) -> None:
    asked = parse_range(written, Period(period), NOW)
    assert (asked.span.start, asked.span.end) == (instant(start), instant(end))


def test_the_table_is_long_enough() -> None:
    assert len(SPANS) >= 40
    assert len(REFUSALS) >= 12


FORMS = (
    "use a lookback ('30d', '6mo', '90min', 'ytd', 'max'), an interval ('2025-01-01/2025-03-31'), (start, end), or a "
    "number of bars"
)
TIMES = "is not a time; write 2025, 2025-01, 2025-01-31 or 2025-01-31T09:30Z"
# How these show themselves differs between versions of their libraries.
NOT_A_TIME = np.datetime64("NaT", "s")
SEVERAL_TIMES = pd.DatetimeIndex(["2025-01-01"])
BEFORE_YEAR_1 = pd.Timestamp(np.datetime64("-0002-01-01", "s"))
REFUSALS: list[tuple[Any, str]] = [
    ("1m", "range='1m' is ambiguous: write '1min' for minutes or '1mo' for months"),
    ("15m", "range='15m' is ambiguous: write '15min' for minutes or '15mo' for months"),
    ("0d", "range='0d' looks back by nothing; use 1 or more"),
    ("999y", "range='999y' reaches before 1900; use 'max' for all there is"),
    ("99999y", "range='99999y' reaches before 1900; use 'max' for all there is"),
    ("30 days", f"range='30 days' cannot be read; {FORMS}"),
    ("", f"range='' cannot be read; {FORMS}"),
    (
        "2025-01-01",
        "range='2025-01-01' cannot be read; write '2025-01-01/' for all since then, or '2025-01-01/2025-01-01' for "
        "just that",
    ),
    ("2025-13/2026-01", f"range='2025-13/2026-01': '2025-13' {TIMES}"),
    ("2025-02-30/", f"range='2025-02-30/': '2025-02-30' {TIMES}"),
    ("30d/", f"range='30d/': '30d' {TIMES}"),
    (
        "2025-03-01/2025-01-01",
        "range='2025-03-01/2025-01-01' is reversed: it starts after its end; write the earlier time first",
    ),
    (
        ("2025-02", "2025-01"),
        "range=('2025-02', '2025-01') is reversed: it starts after its end; write the earlier time first",
    ),
    ("2026-09/", "range='2026-09/' starts in the future (it is 2026-03-31 12:34 UTC)"),
    (None, f"range=None cannot be read; {FORMS}"),
    (True, f"range=True is not a number of bars; {FORMS}"),
    (1.5, f"range=1.5 is not a number of bars; {FORMS}"),
    (0, "range=0: a number of bars must be 1 or more"),
    (-5, "range=-5: a number of bars must be 1 or more"),
    (date(2025, 1, 1), f"range=datetime.date(2025, 1, 1) cannot be read; {FORMS}"),
    (("2025-01-01",), f"range=('2025-01-01',) cannot be read; {FORMS}"),
    ((1700000000, None), "range=(1700000000, None): 1700000000 is not a time; use a str, date or datetime"),
    ((np.int64(5), None), f"range=({np.int64(5)!r}, None): {np.int64(5)!r} is not a time; use a str, date or datetime"),
    ((1.5, None), "range=(1.5, None): 1.5 is not a time; use a str, date or datetime"),
    (np.float64(5), f"range={np.float64(5)!r} is not a number of bars; {FORMS}"),
    (("2025", "2026", "2027"), f"range=('2025', '2026', '2027') cannot be read; {FORMS}"),
    ("max/2025", f"range='max/2025': 'max' {TIMES}"),
    ("2024/2025/2026", f"range='2024/2025/2026' cannot be read; {FORMS}"),
    (
        (NOT_A_TIME, None),
        f"range=({NOT_A_TIME!r}, None): {NOT_A_TIME!r} is not a time; use a str, date or datetime",
    ),
    ((pd.NaT, None), "range=(NaT, None): NaT is not a time; use a str, date or datetime"),
    ((None, "9999-12-31"), "range=(None, '9999-12-31'): '9999-12-31' is not within the years 1 to 9999 in UTC"),
    (
        (SEVERAL_TIMES, None),
        f"range=({SEVERAL_TIMES!r}, None): {SEVERAL_TIMES!r} is not a time; use a str, date or datetime",
    ),
    ("9999-12", f"range='9999-12' cannot be read; {FORMS}"),
    ("../1013", "range='../1013' ends before 1900, when there are no bars"),
    (
        (None, BEFORE_YEAR_1),
        f"range=(None, {BEFORE_YEAR_1!r}): {BEFORE_YEAR_1!r} is not within the years 1 to 9999 in UTC",
    ),
    (slice("2025", "2026", 2), "range=slice('2025', '2026', 2) has a step; a range of time has none"),
]


@pytest.mark.parametrize(("written", "message"), REFUSALS, ids=lambda value: str(value)[:60])
@pytest.mark.parametrize("period", ["1m", "1d"])
def test_a_range_is_refused(written: Any, message: str, period: str) -> None:
    with pytest.raises(at.ArgumentError) as caught:
        parse_range(written, Period(period), NOW)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["0001-01-01T00:00+08:00", "9999-12-31T23:00-05:00"])
def test_an_instant_outside_of_all_years_is_refused(text: str) -> None:
    with pytest.raises(at.ArgumentError) as caught:
        parse_range((text, None), Period("1m"), NOW)
    assert str(caught.value) == f"range={(text, None)!r}: {text!r} is not within the years 1 to 9999 in UTC"


def test_a_lookback_of_more_digits_than_python_reads_is_refused() -> None:
    with pytest.raises(at.ArgumentError, match="reaches before 1900"):
        parse_range("9" * 5_000 + "d", Period("1m"), NOW)


@pytest.mark.parametrize(
    ("written", "open_end"),
    [("30d", True), ("max", True), (5, True), ("2026-03-31/2026-04-30", True), ("2025/2025", False)],
)
def test_a_range_without_a_past_end_goes_up_to_the_last_closed_bar(written: Any, open_end: bool) -> None:  # noqa: FBT001
    assert parse_range(written, Period("1m"), NOW).open_end is open_end


@pytest.mark.parametrize(("written", "waived"), [("max", True), ("/2025", True), (9, True), ("1y", False)])
def test_only_a_range_without_a_start_reaches_for_the_beginning(written: Any, waived: bool) -> None:  # noqa: FBT001
    assert parse_range(written, Period("1m"), NOW).from_beginning is waived


@given(text=st.text(max_size=30), period=st.sampled_from(Period))
def test_any_text_is_a_span_or_an_argument_error(text: str, period: Period) -> None:
    try:
        asked = parse_range(text, period, NOW)
    except at.ArgumentError:
        return
    assert asked.span.start <= asked.span.end


@given(
    number=st.integers(1, 3000),
    unit=st.sampled_from(["min", "h", "d", "w", "mo"]),
    period=st.sampled_from(Period),
    now=st.datetimes(datetime(2005, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)
def test_a_lookback_starts_on_a_boundary_at_most_one_period_early(
    number: int, unit: str, period: Period, now: datetime
) -> None:
    try:
        span = parse_range(f"{number}{unit}", period, now).span
    except at.ArgumentError:
        return
    longest = {"min": 60, "h": 3600, "d": 86_400, "w": 604_800, "mo": 31 * 86_400}[unit] * number
    assert now - span.start <= timedelta(seconds=longest) + period.nominal
    if period.nominal <= timedelta(days=1):
        assert (span.start - datetime(1970, 1, 1, tzinfo=UTC)) % period.nominal == timedelta()
