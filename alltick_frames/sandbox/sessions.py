"""When each kind of product trades: real sessions per trading date, as arrays.

Round-the-clock markets follow the vendor's table of hours (alltick-api.md section 4.3), which in New York
wall-clock time is the same in summer and winter. Stocks follow the exchanges' own calendars.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from alltick_frames.sandbox.bars import Ints

__all__ = ["CALENDARS", "DAY_S", "FIRST_DATE", "LAST_DATE", "Calendar", "calendar_named"]

FIRST_DATE = date(2010, 1, 4)
LAST_DATE = date(2040, 12, 31)
DAY_S = 86400
_MINUTE_S = 60
_EPOCH = date(1970, 1, 1)
_WEEKEND = 5


@dataclass(frozen=True, slots=True, eq=False)
class Calendar:
    """Every session of one kind of product, oldest first; times in UTC epoch seconds."""

    name: str
    zone: ZoneInfo
    dates: Ints
    """Trading dates, in days since 1970-01-01."""
    opens: Ints
    closes: Ints
    """End of each session's last minute."""
    layout: NDArray[np.intp]
    """Which entry of *layouts* each session follows."""
    layouts: tuple[Ints, ...]
    """Starts of the minutes that can have a bar, in seconds after the open."""

    def started(self, at: float) -> int:
        """Return how many sessions have opened by *at*."""
        return int(np.searchsorted(self.opens, at, side="right"))

    def midnight(self, days: Ints) -> Ints:
        """Return 00:00 of these dates in the market's own zone, as UTC epoch seconds."""
        return np.array([_instant(_EPOCH + timedelta(int(day)), 0, self.zone) for day in days], np.int64)


@lru_cache(maxsize=16)
def calendar_named(name: str) -> Calendar:
    """Return the calendar called *name*, a key of `CALENDARS`."""
    return CALENDARS[name](name)


# --- markets that follow a wall clock -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _WallClock:
    """Hours in minutes after midnight of the trading date; a negative opening is on the day before."""

    zone: str
    opens: int
    closes: int
    monday_opens: int | None = None
    every_day: bool = False

    def __call__(self, name: str) -> Calendar:
        zone = ZoneInfo(self.zone)
        days = _all_days() if self.every_day else [day for day in _weekdays() if not _is_shut(day)]
        minutes = [self._opening(day) for day in days]
        opens = np.array([_instant(day, at, zone) for day, at in zip(days, minutes, strict=True)], np.int64)
        closes = np.array([_instant(day, self.closes, zone) for day in days], np.int64)
        # No clock change falls into a session (they are on Sunday mornings), so lengths are nominal.
        return _with_layouts(name, zone, _day_numbers(days), opens, [_every_minute(n) for n in closes - opens])

    def _opening(self, day: date) -> int:
        is_monday = day.weekday() == 0
        return self.monday_opens if is_monday and self.monday_opens is not None else self.opens


def _is_shut(day: date) -> bool:
    # The two days on which no venue makes a market; the vendor announces closures elsewhere.
    return (day.month, day.day) in {(1, 1), (12, 25)}


# --- exchanges ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Exchange:
    """An exchange: its regular hours, in minutes after local midnight, and its closing auction.

    The hours serve where the published calendar ends; within it the calendar's own hours do.
    """

    zone: str
    hours: tuple[tuple[int, int], ...]
    auction: bool = False
    quiet_before_auction: int = 0
    """Minutes before the close in which orders are collected and nothing trades."""

    def __call__(self, name: str) -> Calendar:
        zone = ZoneInfo(self.zone)
        days, opens, minutes = self._published(name)
        later = [day for day in _weekdays() if not days or day > days[-1]]
        opens += [_instant(day, self.hours[0][0], zone) for day in later]
        minutes += [self._minutes(self.hours)] * len(later)
        return _with_layouts(name, zone, _day_numbers(days + later), np.array(opens, np.int64), minutes)

    def _published(self, name: str) -> tuple[list[date], list[int], list[Ints]]:
        import exchange_calendars  # noqa: PLC0415 - brings pandas: half a second that only stocks need

        start = FIRST_DATE.isoformat()
        # How far a calendar's data goes is only known to its class.
        bound = type(exchange_calendars.get_calendar(name, start=start)).bound_max()
        last = LAST_DATE if bound is None else min(LAST_DATE, bound.date())
        schedule = exchange_calendars.get_calendar(name, start=start, end=last.isoformat()).schedule
        days = [stamp.date() for stamp in schedule.index]
        opens = _seconds(schedule["open"])
        stretches = np.stack(
            [
                opens,
                _seconds(schedule["break_start"]),
                _seconds(schedule["break_end"]),
                _seconds(schedule["close"]),
            ],
            axis=1,
        )
        return days, opens.tolist(), [self._minutes_of(row) for row in stretches.tolist()]

    def _minutes_of(self, row: list[int]) -> Ints:
        opens, pause, resume, closes = ((at - row[0]) // _MINUTE_S for at in row)
        return self._minutes(((opens, closes),) if pause < 0 else ((opens, pause), (resume, closes)))

    def _minutes(self, hours: tuple[tuple[int, int], ...]) -> Ints:
        return _minutes_of_hours(hours, self.quiet_before_auction, auction=self.auction)


@lru_cache(maxsize=256)
def _minutes_of_hours(hours: tuple[tuple[int, int], ...], quiet: int, *, auction: bool) -> Ints:
    first, last = hours[0][0], hours[-1][1]
    stretches = [np.arange(start, stop) for start, stop in hours]
    stretches[-1] = stretches[-1][: len(stretches[-1]) - quiet]
    # The closing auction is one more bar, stamped with the session's end (alltick-api.md section 11).
    closing = [np.array([last])] if auction else []
    return (np.concatenate(stretches + closing) - first) * np.int64(_MINUTE_S)


def _seconds(column: Any) -> Ints:
    """Return a schedule column as epoch seconds; a missing time becomes a large negative number."""
    return np.asarray(column.dt.tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.int64))


# --- shared ---------------------------------------------------------------------------------------------


def _with_layouts(name: str, zone: ZoneInfo, dates: Ints, opens: Ints, minutes: list[Ints]) -> Calendar:
    """Return a calendar in which sessions with equal minutes share one layout."""
    layouts: dict[bytes, int] = {}
    # The builders memoise, so that most sessions are recognised by identity.
    seen: dict[int, int] = {}
    layout = np.empty(len(minutes), np.intp)
    distinct: list[Ints] = []
    for position, offsets in enumerate(minutes):
        if id(offsets) not in seen:
            seen[id(offsets)] = layouts.setdefault(offsets.tobytes(), len(layouts))
            if len(layouts) > len(distinct):
                distinct.append(offsets)
        layout[position] = seen[id(offsets)]
    ends = np.array([offsets[-1] + _MINUTE_S for offsets in distinct], np.int64)
    return Calendar(name, zone, dates, opens, opens + ends[layout], layout, tuple(distinct))


@lru_cache(maxsize=16)
def _every_minute(length_s: int) -> Ints:
    return np.arange(0, length_s, _MINUTE_S, dtype=np.int64)


def _all_days() -> list[date]:
    return [FIRST_DATE + timedelta(n) for n in range((LAST_DATE - FIRST_DATE).days + 1)]


def _weekdays() -> list[date]:
    return [day for day in _all_days() if day.weekday() < _WEEKEND]


def _day_numbers(days: list[date]) -> Ints:
    return np.array([(day - _EPOCH).days for day in days], np.int64)


def _instant(day: date, minute: int, zone: ZoneInfo) -> int:
    wall = datetime(day.year, day.month, day.day) + timedelta(minutes=minute)  # noqa: DTZ001 - the zone is added next
    return int(wall.replace(tzinfo=zone).astimezone(UTC).timestamp())


_NEW_YORK = "America/New_York"


def _hour(hours: int, minutes: int = 0) -> int:
    return hours * 60 + minutes


CALENDARS: dict[str, Callable[[str], Calendar]] = {
    "forex": _WallClock(_NEW_YORK, opens=_hour(-7), closes=_hour(17)),
    "metal": _WallClock(_NEW_YORK, opens=_hour(-6), closes=_hour(17)),
    "ukoil": _WallClock(_NEW_YORK, opens=_hour(-4), closes=_hour(17)),
    "base_metal": _WallClock(_NEW_YORK, opens=_hour(-4), closes=_hour(14)),
    "cfd": _WallClock(_NEW_YORK, opens=_hour(-6), closes=_hour(17)),
    "aus200": _WallClock(_NEW_YORK, opens=_hour(-6), closes=_hour(17), monday_opens=_hour(-6, -10)),
    "crypto": _WallClock("UTC", opens=0, closes=_hour(24), every_day=True),
    "XHKG": _Exchange(
        "Asia/Hong_Kong", ((_hour(9, 30), _hour(12)), (_hour(13), _hour(16))), auction=True,
    ),
    "XSHG": _Exchange(
        "Asia/Shanghai",
        ((_hour(9, 30), _hour(11, 30)), (_hour(13), _hour(15))),
        auction=True,
        quiet_before_auction=3,
    ),
    "XNYS": _Exchange(_NEW_YORK, ((_hour(9, 30), _hour(16)),)),
}  # fmt: skip
"""Calendar builders by name; stocks and market indices use the exchange's."""
