"""When products trade, exactly: the open time of every session, as arrays, and the slots for bars in it. Pure.

Stocks go by their exchange's calendar, breaks and half days included; past its end, or without one, by the regular
hours of every weekday. The quote family goes by the table of hours in the vendor's product list of 2025-01, which
knows no holidays; a code that neither has goes by whether bars of Saturdays have been seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from alltick_frames.calendars import schedule
from alltick_frames.codes import AssetClass, Family, asset_class_of, family_of, is_pair, rests_at_weekends, zone_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

__all__ = ["AUCTION_US", "ROUND_THE_CLOCK", "VENDORS_TABLE", "WEEKDAYS", "Sessions", "sessions_of"]

VENDORS_TABLE, ROUND_THE_CLOCK, WEEKDAYS = "alltick 2025-01", "24/7", "weekdays"
_SEEN_AT_WEEKENDS, _NOT_SEEN_AT_WEEKENDS = "24/7 (observed)", "forex week (observed)"

_MINUTE = 60
_MINUTE_US = 60_000_000
_DAY, _MINUTES = timedelta(days=1), timedelta(minutes=1)
_DAY_US = 86_400_000_000
_MONDAY, _SATURDAY = 0, 5
_NEW_YORK = "America/New_York"


@dataclass(frozen=True, slots=True)
class _Hours:
    """Hours of one trading date, in minutes after its midnight in *zone*: before it, they are of the evening before."""

    zone: str
    stretches: tuple[tuple[int, int], ...]
    on_monday: int | None = None
    every_day: bool = False

    def of(self, day: date) -> list[tuple[int, int]]:
        if day.weekday() >= _SATURDAY and not self.every_day:
            return []
        if day.weekday() == _MONDAY and self.on_monday is not None:
            return [(self.on_monday, self.stretches[0][1]), *self.stretches[1:]]
        return [*self.stretches]


def _at(hours: int, minutes: int = 0) -> int:
    return hours * _MINUTE + minutes


# The list gives hours in GMT for summer and for winter; in New York's time both are the same. What it calls a break,
# from the close of one date to the opening of the next, is what lies between them.
_FOREX = _Hours(_NEW_YORK, ((_at(-7), _at(17)),))
_METALS_AND_ENERGY = _Hours(_NEW_YORK, ((_at(-6), _at(17)),))
_UKOIL = _Hours(_NEW_YORK, ((_at(-4), _at(17)),))
_INDUSTRIAL_METALS = _Hours(_NEW_YORK, ((_at(-4), _at(14)),))
_INDICES = _Hours(_NEW_YORK, ((_at(-6), _at(17)),))
_AUS200 = _Hours(_NEW_YORK, ((_at(-6), _at(17)),), on_monday=_at(-7, 50))
_CRYPTO = _Hours("UTC", ((_at(0), _at(24)),), every_day=True)
_LISTED = {
    **dict.fromkeys(("GOLD", "Silver", "Platinum", "Palladium", "USOIL", "NGAS"), _METALS_AND_ENERGY),
    **dict.fromkeys(("Aluminum", "COPPER", "Nickel", "Lead", "Zinc"), _INDUSTRIAL_METALS),
    "UKOIL": _UKOIL,
    "AUS200": _AUS200,
}
# What exchanges keep to but for holidays and half days.
_REGULAR = {
    AssetClass.STOCK_HK: ((_at(9, 30), _at(12)), (_at(13), _at(16))),
    AssetClass.STOCK_CN: ((_at(9, 30), _at(11, 30)), (_at(13), _at(15))),
    AssetClass.STOCK_US: ((_at(9, 30), _at(16)),),
}
# The closing auction collects orders for so long before it gives one bar at the close: no minute of it has any.
AUCTION_US = {AssetClass.STOCK_HK: 0, AssetClass.STOCK_CN: 3 * _MINUTE_US}


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """Stretches of open time, oldest first, disjoint and not empty; a break parts a session in two.

    *Open time* is the microseconds that lie in them: an axis without nights and weekends.

    Attributes
    ----------
    opens, closes
        Half-open, in epoch microseconds.
    dates
        Each stretch's trading date, as 00:00 UTC.
    known_until
        From this trading date on `fallback` judges, before it `calendar`.
    """

    opens: Ints
    closes: Ints
    dates: Ints
    calendar: str
    fallback: str
    known_from: int
    known_until: int

    def named(self, dates: Ints) -> list[str]:
        """Name the calendar that judges each of *dates*."""
        known = (dates >= self.known_from) & (dates < self.known_until)
        return [self.calendar if judges else self.fallback for judges in known.tolist()]

    def open_before(self, at: Ints) -> Ints:
        """Give the open time before each instant."""
        total = np.concatenate([[0], np.cumsum(self.closes - self.opens)])
        row = np.searchsorted(self.opens, at, side="right") - 1
        within = np.minimum(at, self.closes[row]) - self.opens[row]
        return np.where(row < 0, 0, total[row] + within)

    def instants(self, open_time: Ints, *, ending: bool = False) -> Ints:
        """Give when so much open time has passed: where that is in a break its end or, if *ending*, its beginning."""
        total = np.concatenate([[0], np.cumsum(self.closes - self.opens)[:-1]])
        row = np.maximum(np.searchsorted(total, open_time, side="left" if ending else "right") - 1, 0)
        at: Ints = self.opens[row] + open_time - total[row]
        return at

    def opening_from(self, at: Ints) -> Ints:
        """Give the first open instant from each of *at* on; there must be one."""
        return np.maximum(at, self.opens[np.searchsorted(self.closes, at, side="right")])

    def last_before(self, at: Ints) -> NDArray[np.intp]:
        """Give the last stretch that begins before each of *at*; there must be one."""
        return np.searchsorted(self.opens, at, side="left") - 1

    def slots_between(self, start: Ints, end: Ints, length: int, phase: int) -> Ints:
        """Count the bars that can be in each `[start, end)`: of *length*, beginning at *phase* and all multiples on."""
        first, after = (self.opens - phase) // length, -((phase - self.closes) // length)
        # A bar that lies across a break is one.
        first[1:] = np.maximum(first[1:], after[:-1])
        count = np.maximum(after - first, 0)
        total = np.concatenate([[0], np.cumsum(count)])

        def upto(at: Ints) -> Ints:
            row = np.searchsorted(first, at, side="right") - 1
            return np.where(row < 0, 0, total[row] + np.minimum(at - first[row], count[row]))

        return upto(-((phase - end) // length)) - upto((start - phase) // length)

    def on_open_time(self) -> tuple[Ints, Ints, Ints]:
        """Give each session's trading date, and the open time before and after it."""
        dates, rows = np.unique(self.dates, return_index=True)
        begins = self.open_before(self.opens[rows])
        return dates, begins, np.append(begins[1:], np.sum(self.closes - self.opens))


def sessions_of(code: str, start_us: int, end_us: int, *, seen_us: Ints) -> Sessions:
    """Give the sessions of *code* whose trading dates are near `[start_us, end_us)`.

    Parameters
    ----------
    seen_us
        The keys of its bars: whether there are any on Saturdays says which hours a code has that is in no list.
    """
    first, after = start_us // _DAY_US * _DAY_US - 2 * _DAY_US, end_us // _DAY_US * _DAY_US + 3 * _DAY_US
    if family_of(code) is Family.STOCK:
        return _at_exchange(code, first, after)
    hours, name = _of_quotes(code, seen_us)
    return Sessions(*_by_hours(hours, first, after), name, name, first, after)


def _of_quotes(code: str, seen_us: Ints) -> tuple[_Hours, str]:
    if asset_class_of(code) is AssetClass.CRYPTO:
        return _CRYPTO, ROUND_THE_CLOCK
    if is_pair(code):
        return (_METALS_AND_ENERGY if code.startswith(("XAU", "XAG")) else _FOREX), VENDORS_TABLE
    if rests_at_weekends(code):
        return _LISTED.get(code, _INDICES), VENDORS_TABLE
    # 1970-01-01 was a Thursday.
    on_saturdays = bool(np.any(seen_us // _DAY_US % 7 == 2))  # noqa: PLR2004
    return (_CRYPTO, _SEEN_AT_WEEKENDS) if on_saturdays else (_FOREX, _NOT_SEEN_AT_WEEKENDS)


def _at_exchange(code: str, first: int, after: int) -> Sessions:
    kind = asset_class_of(code)
    regular = _Hours(zone_of(code), _REGULAR[kind])
    published = schedule(code)
    if published is None:
        parts, name, known = [_by_hours(regular, first, after)], WEEKDAYS, (first, after)
    else:
        name, known = published.name, (int(published.dates[0]), int(published.dates[-1]) + _DAY_US)
        rows = slice(*np.searchsorted(published.dates, (first, after)))
        opens = np.stack([published.opens[rows], published.resumes[rows]], axis=1).ravel()
        closes = np.stack([published.pauses[rows], published.closes[rows]], axis=1).ravel()
        parts = [
            _by_hours(regular, first, min(after, known[0])),
            (opens, closes, published.dates[rows].repeat(2)),
            _by_hours(regular, max(first, known[1]), after),
        ]
    opens, closes, dates = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    last_of_session = np.append(dates[1:] != dates[:-1], [True])
    # Without a break the second stretch is empty, and the first one ends the session.
    last_of_session[:-1] |= closes[:-1] == closes[1:]
    closes = np.where(last_of_session, closes - AUCTION_US.get(kind, 0), closes)
    there = opens < closes
    return Sessions(opens[there], closes[there], dates[there], name, WEEKDAYS, *known)


def _by_hours(hours: _Hours, first: int, after: int) -> tuple[Ints, Ints, Ints]:
    """Give opens, closes and dates of the trading dates from *first* to before *after*."""
    nothing = np.empty(0, np.int64)
    if first >= after:
        return nothing, nothing, nothing
    years = range(_date(first).year, _date(after - 1).year + 1)
    opens, closes, dates = (np.concatenate(columns) for columns in zip(*(_year(hours, y) for y in years), strict=True))
    rows = slice(*np.searchsorted(dates, (first, after)))
    return opens[rows], closes[rows], dates[rows]


@lru_cache(maxsize=512)
def _year(hours: _Hours, year: int) -> tuple[Ints, Ints, Ints]:
    zone = ZoneInfo(hours.zone)
    rows: list[tuple[int, int, int]] = []
    for number in range(366):
        midnight = datetime(year, 1, 1) + number * _DAY  # noqa: DTZ001  # wall time; the zone is added to each hour
        if midnight.year == year:
            date_us = _instant(midnight, ZoneInfo("UTC"))
            rows += [
                (_instant(midnight + opens * _MINUTES, zone), _instant(midnight + closes * _MINUTES, zone), date_us)
                for opens, closes in hours.of(midnight)
            ]
    columns = np.array(rows, dtype=np.int64).T
    return columns[0], columns[1], columns[2]


def _instant(wall: datetime, zone: ZoneInfo) -> int:
    return int(wall.replace(tzinfo=zone).timestamp()) * 1_000_000


def _date(us: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).date()
