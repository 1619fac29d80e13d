"""Bar periods: our name, the vendor's number, the nominal length, and who offers what."""

from __future__ import annotations

import enum
from datetime import timedelta

from alltick_frames.errors import ArgumentError

__all__ = ["Period"]


class Period(enum.Enum):
    """The length of a bar.

    Accepted everywhere as its name, `"1m" "5m" "15m" "30m" "1h" "2h" "4h" "1d" "1w" "1mo"`. The stock family
    offers no 2h and 4h bars (vendor page "kline_type", read 2026-07).

    Examples
    --------
    >>> Period("15m").vendor_number
    3
    >>> Period("1w").by_date
    True
    """

    MINUTE_1 = "1m"
    MINUTE_5 = "5m"
    MINUTE_15 = "15m"
    MINUTE_30 = "30m"
    HOUR_1 = "1h"
    HOUR_2 = "2h"
    HOUR_4 = "4h"
    DAY = "1d"
    WEEK = "1w"
    MONTH = "1mo"

    @property
    def vendor_number(self) -> int:
        """The `kline_type` of the wire."""
        return _VENDOR_NUMBERS[self]

    @property
    def nominal(self) -> timedelta:
        """The length of the bar; for a month the longest it can be."""
        return _NOMINAL[self]

    @property
    def by_date(self) -> bool:
        """Whether ranges of this period select trading dates instead of instants."""
        return self in _BY_DATE

    @property
    def grid_known(self) -> bool:
        """Whether bars start on multiples of the period in UTC, as all evidence for 1m to 1h says."""
        return self.nominal <= timedelta(hours=1)

    @property
    def for_stocks(self) -> bool:
        """Whether the stock family offers it."""
        return self not in (Period.HOUR_2, Period.HOUR_4)

    @classmethod
    def parse(cls, value: Period | str) -> Period:
        """Accept a `Period` or its name; anything else is an `ArgumentError` that lists the names."""
        if isinstance(value, cls):
            return value
        try:
            return cls(value)
        except ValueError:
            names = " ".join(member.value for member in cls)
            raise ArgumentError(f"period={value!r} is not a bar period; use one of: {names}") from None


_VENDOR_NUMBERS = {period: number for number, period in enumerate(Period, start=1)}
_NOMINAL = {
    Period.MINUTE_1: timedelta(minutes=1),
    Period.MINUTE_5: timedelta(minutes=5),
    Period.MINUTE_15: timedelta(minutes=15),
    Period.MINUTE_30: timedelta(minutes=30),
    Period.HOUR_1: timedelta(hours=1),
    Period.HOUR_2: timedelta(hours=2),
    Period.HOUR_4: timedelta(hours=4),
    Period.DAY: timedelta(days=1),
    Period.WEEK: timedelta(days=7),
    Period.MONTH: timedelta(days=31),
}
_BY_DATE = frozenset({Period.DAY, Period.WEEK, Period.MONTH})
