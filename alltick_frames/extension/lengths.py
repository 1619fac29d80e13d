"""How long bars are: a count of minutes, of days or of months, given or told from their stamps. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np

from alltick_frames import finality
from alltick_frames.errors import ArgumentError
from alltick_frames.periods import Period

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

__all__ = ["Length", "inferred"]

_MINUTE_US = 60_000_000
_HOUR_US = 60 * _MINUTE_US
_DAY_US = 24 * _HOUR_US
_MINUTES_A_DAY, _DAYS_A_WEEK, _MONTHS_A_YEAR = 24 * 60, 7, 12
# 1970-01-01 was a Thursday: multiples of days and weeks are counted from the Monday after it.
_FIRST_MONDAY_US = 4 * _DAY_US

_SPELT = re.compile(r"([1-9]\d*)(min|mo|m|h|d|w|y)")
_UNITS: dict[str, tuple[int, Literal["min", "d", "mo"]]] = {
    "m": (1, "min"),
    "min": (1, "min"),
    "h": (60, "min"),
    "d": (1, "d"),
    "w": (_DAYS_A_WEEK, "d"),
    "mo": (1, "mo"),
    "y": (_MONTHS_A_YEAR, "mo"),
}
_PERIODS = {(1, "d"): Period.DAY, (_DAYS_A_WEEK, "d"): Period.WEEK, (1, "mo"): Period.MONTH} | {
    (int(period.nominal / timedelta(minutes=1)), "min"): period for period in Period if not period.by_date
}
# Bars of one length that are next to each other are so far apart, whatever they are stamped with. Days: clocks that
# change, and sessions that close early. Weeks and months: a first or last session that is not on the first or last day.
_APART = {
    Period.DAY: (20 * _HOUR_US, 28 * _HOUR_US),
    Period.WEEK: (5 * _DAY_US + 12 * _HOUR_US, 8 * _DAY_US + 12 * _HOUR_US),
    Period.MONTH: (20 * _DAY_US, 36 * _DAY_US),
}
_LARGER = {"min": (60, "h"), "d": (_DAYS_A_WEEK, "w"), "mo": (1, "mo")}
_NAMES = " ".join(period.value for period in Period)


@dataclass(frozen=True, slots=True)
class Length:
    """How long a bar is.

    Examples
    --------
    >>> print(*map(Length.parse, ("45min", "90m", "2h", "2w", "1mo", "1y")))
    45min 90min 2h 2w 1mo 12mo
    """

    count: int
    unit: Literal["min", "d", "mo"]

    @classmethod
    def parse(cls, value: object, name: str = "period") -> Length:
        """Read a `Period`, its name or any other multiple; *name* is the argument's."""
        text = value.value if isinstance(value, Period) else value
        spelt = _SPELT.fullmatch(text) if isinstance(text, str) else None
        if spelt is None:
            raise ArgumentError(
                f"{name}={value!r} is not the length of a bar; use a period ({_NAMES}) or a multiple: '45min', '3h', "
                "'2w', '3mo' ('m' and 'min' are minutes, 'mo' months)"
            )
        times, unit = _UNITS[spelt[2]]
        length = cls(int(spelt[1]) * times, unit)
        if unit == "min" and length.count >= _MINUTES_A_DAY:
            raise ArgumentError(f"{name}={value!r}: bars of a day or more follow trading dates; write '1d', '2d' …")
        return length

    @property
    def by_date(self) -> bool:
        """Whether it counts trading dates instead of time."""
        return self.unit != "min"

    @property
    def us(self) -> int:
        """The length in microseconds, of minutes and hours."""
        return self.count * _MINUTE_US

    @property
    def period(self) -> Period | None:
        """The vendor's period that is so long."""
        return _PERIODS.get((self.count, self.unit))

    def holds(self, shorter: Length) -> bool:
        """Whether bars of this length are made of whole *shorter* ones.

        Examples
        --------
        >>> month = Length.parse("1mo")
        >>> [month.holds(Length.parse(other)) for other in ("1m", "1d", "1w", "1mo", "2mo")]
        [True, True, False, True, False]
        """
        if shorter.unit == self.unit:
            return self.count % shorter.count == 0
        if self.unit == "mo":
            return not shorter.by_date or shorter.count == 1
        return self.unit == "d" and not shorter.by_date

    def first_dates(self, dates_us: Ints) -> Ints:
        """Go back from dates, as 00:00 UTC, to the first of those that share a bar; weeks begin on Mondays."""
        if self.unit == "mo":
            months = dates_us.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
            return _first_of(months - months % self.count)
        return dates_us - (dates_us - _FIRST_MONDAY_US) % (self.count * _DAY_US)

    def dates_after(self, firsts_us: Ints) -> Ints:
        """Give from the first date of bars that of the next."""
        if self.unit == "mo":
            return _first_of(firsts_us.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) + self.count)
        return firsts_us + self.count * _DAY_US

    def __str__(self) -> str:
        period = self.period
        if period is not None:
            return period.value
        times, unit = _LARGER[self.unit]
        return f"{self.count}{self.unit}" if self.count % times else f"{self.count // times}{unit}"


def _first_of(months: Ints) -> Ints:
    return months.astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)


def inferred(stamps_us: Iterable[tuple[str, Ints]]) -> Length | None:
    """Tell the length of bars from the smallest spacing of each code's stamps, ascending; None if it is none of ours.

    Examples
    --------
    >>> print(inferred([("EURUSD", np.array([0, 3, 4]) * 3_600_000_000)]))
    1h
    """
    parts = [(code, stamps) for code, stamps in stamps_us if len(stamps) > 1]
    if not parts:
        return None
    apart = min(int(np.diff(stamps).min()) for _, stamps in parts)
    if apart < _APART[Period.DAY][0]:
        period = _PERIODS.get((apart // _MINUTE_US, "min")) if apart % _MINUTE_US == 0 else None
        return None if period is None else Length.parse(period)
    for period, (least, most) in _APART.items():
        if least <= apart <= most and all(_one_each(code, stamps, period) for code, stamps in parts):
            return Length.parse(period)
    return None


def _one_each(code: str, stamps_us: Ints, period: Period) -> bool:
    """Whether no two bars are of the same date, week or month."""
    keys = finality.keys(stamps_us, code, period)
    return len(np.unique(keys)) == len(keys)
