"""The bar periods: their names, the vendor's numbers, and what is known of each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import alltick_frames as at
from alltick_frames.periods import Period

# (name, kline_type of the wire, nominal length, trading dates, UTC grid known)
PERIODS = [
    ("1m", 1, timedelta(minutes=1), False, True),
    ("5m", 2, timedelta(minutes=5), False, True),
    ("15m", 3, timedelta(minutes=15), False, True),
    ("30m", 4, timedelta(minutes=30), False, True),
    ("1h", 5, timedelta(hours=1), False, True),
    ("2h", 6, timedelta(hours=2), False, False),
    ("4h", 7, timedelta(hours=4), False, False),
    ("1d", 8, timedelta(days=1), True, False),
    ("1w", 9, timedelta(days=7), True, False),
    ("1mo", 10, timedelta(days=31), True, False),
]


@pytest.mark.parametrize(
    ("name", "number", "nominal", "by_date", "grid_known"), PERIODS, ids=[row[0] for row in PERIODS]
)
def test_a_period_is(name: str, number: int, nominal: timedelta, by_date: bool, grid_known: bool) -> None:  # noqa: FBT001
    period = Period(name)
    assert (period.vendor_number, period.nominal) == (number, nominal)
    assert (period.by_date, period.grid_known) == (by_date, grid_known)


def test_there_are_no_other_periods() -> None:
    assert [period.value for period in Period] == [row[0] for row in PERIODS]


@pytest.mark.parametrize("period", list(Period), ids=lambda period: period.value)
def test_a_period_is_accepted_as_itself_and_by_its_name(period: Period) -> None:
    assert Period.parse(period) is period
    assert Period.parse(period.value) is period


@pytest.mark.parametrize(
    "value", ["3m", "1M", "1D", "1min", "", " 1m", "60", 1, None, True, ["1m"], timedelta(days=1)], ids=repr
)
def test_what_is_no_period_is_refused_with_the_names(value: Any) -> None:
    with pytest.raises(at.ArgumentError) as caught:
        Period.parse(value)
    names = "1m 5m 15m 30m 1h 2h 4h 1d 1w 1mo"
    assert str(caught.value) == f"period={value!r} is not a bar period; use one of: {names}"
