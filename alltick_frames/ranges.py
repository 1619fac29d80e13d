"""What the user writes for `range`, as a half-open span.

```
"30d" "6mo" "1y" "90min" "ytd" "max"       lookback from now, starting on a period boundary
"2025-01-01/2025-03-31"  "2025-01/"        ISO interval; a date, month or year as end means all of it
(start, end)  slice(start, end)            str, date, datetime, pandas or NumPy scalars; None leaves an end open
500                                        the newest 500 closed bars of each code
```

Of 1d, 1w and 1mo bars a range selects trading dates: the wall-clock date of each end counts, whatever its zone.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from alltick_frames.errors import ArgumentError
from alltick_frames.periods import Period
from alltick_frames.spans import BEGINNING, Span

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Asked", "parse_range"]

_FORMS = (
    "use a lookback ('30d', '6mo', '90min', 'ytd', 'max'), an interval ('2025-01-01/2025-03-31'), "
    "(start, end), or a number of bars"
)
_LOOKBACK = re.compile(r"(\d+)(min|h|d|w|mo|y)")
_YEAR = re.compile(r"\d{4}")
_MONTH = re.compile(r"(\d{4})-(\d{2})")
# The dates of a session may run ahead of the UTC date (Asia, and forex after 17:00 New York).
_DATES_AHEAD = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call asks for of every code.

    Attributes
    ----------
    span
        Instants, or trading dates as 00:00 UTC for 1d, 1w and 1mo.
    open_end
        Up to the last closed bar: no end was given, or one in the future.
    from_beginning
        As far back as there is anything (`"max"`): no left edge to miss.
    count
        The newest *count* closed bars instead of all in the span.
    """

    span: Span
    open_end: bool
    from_beginning: bool = False
    count: int | None = None


def parse_range(range: Any, period: Period, now: datetime) -> Asked:
    """Read *range* as of *now*.

    Examples
    --------
    >>> noon = datetime(2026, 3, 18, 12, 34, 56, tzinfo=UTC)
    >>> print(parse_range("2d", Period("1h"), noon).span)
    [2026-03-16T12:00Z, 2026-03-18T12:34:56Z)
    >>> print(parse_range("2025-01/2025-02", Period("1m"), noon).span)
    [2025-01-01, 2025-03-01)

    Raises
    ------
    ArgumentError
        A range that cannot be read, is reversed, or starts in the future.
    """
    latest = _midnight(now) + _DATES_AHEAD if period.by_date else now
    count = _count(range)
    if count is not None:
        return Asked(Span(BEGINNING, latest), open_end=True, from_beginning=True, count=count)
    first, last = _ends(range, period, now)
    # Of daily and longer bars the date counts, so a start at noon takes its date along, as a lookback does.
    start = None if first is None else _midnight(first.start) if period.by_date else first.start
    end = None if last is None else last.after
    if start is not None and start >= latest:
        raise ArgumentError(f"range={range!r} starts in the future (it is {now:%Y-%m-%d %H:%M} UTC)")
    if start is not None and last is not None and last.start < start >= last.after:
        raise ArgumentError(f"range={range!r} is reversed: it starts after its end; write the earlier time first")
    if start is None and end is not None and end <= BEGINNING:
        raise ArgumentError(f"range={range!r} ends before 1900, when there are no bars")
    open_end = end is None or end > now
    return Asked(
        Span(start or BEGINNING, latest if end is None else min(end, latest)),
        open_end=open_end,
        from_beginning=start is None,
    )


def _count(range: Any) -> int | None:
    if isinstance(range, (bool, float)):
        raise ArgumentError(f"range={range!r} is not a number of bars; {_FORMS}")
    try:
        count = operator.index(range)
    except TypeError:
        return None
    if count < 1:
        raise ArgumentError(f"range={range!r}: a number of bars must be 1 or more")
    return count


def _ends(range: Any, period: Period, now: datetime) -> tuple[_Moment | None, _Moment | None]:
    match range:
        case str():
            return _from_text(range, period, now)
        case slice(step=None):
            start, end = range.start, range.stop
        case slice():
            raise ArgumentError(f"range={range!r} has a step; a range of time has none")
        case (_, _):
            start, end = range
        case _:
            raise ArgumentError(f"range={range!r} cannot be read; {_FORMS}")
    return _moment(start, range, period), _moment(end, range, period)


def _from_text(text: str, period: Period, now: datetime) -> tuple[_Moment | None, _Moment | None]:
    if text == "max":
        return None, None
    if text == "ytd":
        return _Moment.at(datetime(now.year, 1, 1, tzinfo=UTC)), None
    if lookback := _LOOKBACK.fullmatch(text):
        return _Moment.at(_lookback(lookback[1], lookback[2], text, period, now)), None
    if re.fullmatch(r"\d+m", text):
        number = text[:-1]
        raise ArgumentError(f"range={text!r} is ambiguous: write '{number}min' for minutes or '{number}mo' for months")
    if text.count("/") != 1:
        raise ArgumentError(f"range={text!r} cannot be read; {_suggestion(text)}")
    start, end = (None if part in ("", "..") else part for part in text.split("/"))
    return _moment(start, text, period), _moment(end, text, period)


def _suggestion(text: str) -> str:
    try:
        _moment_text(text, text)
    except (ArgumentError, OverflowError):
        return _FORMS
    return f"write '{text}/' for all since then, or '{text}/{text}' for just that"


def _lookback(number: str, unit: str, text: str, period: Period, now: datetime) -> datetime:
    try:
        start = _BACK[unit](now, int(number))
    except (OverflowError, ValueError):
        start = BEGINNING
    if start == now:
        raise ArgumentError(f"range={text!r} looks back by nothing; use 1 or more")
    if start <= BEGINNING:
        raise ArgumentError(f"range={text!r} reaches before 1900; use 'max' for all there is")
    return _floor(start, period)


def _months_back(now: datetime, months: int) -> datetime:
    index = now.year * 12 + now.month - 1 - months
    year, month = divmod(index, 12)
    last_day = (_next_month(datetime(year, month + 1, 1, tzinfo=UTC)) - timedelta(days=1)).day
    return now.replace(year=year, month=month + 1, day=min(now.day, last_day))


_BACK: dict[str, Callable[[datetime, int], datetime]] = {
    "min": lambda now, number: now - timedelta(minutes=number),
    "h": lambda now, number: now - timedelta(hours=number),
    "d": lambda now, number: now - timedelta(days=number),
    "w": lambda now, number: now - timedelta(weeks=number),
    "mo": _months_back,
    "y": lambda now, number: _months_back(now, 12 * number),
}


def _floor(instant: datetime, period: Period) -> datetime:
    """Go back to the boundary of *period* at or before *instant*."""
    midnight = _midnight(instant)
    if period is Period.WEEK:
        return midnight - timedelta(days=midnight.weekday())
    if period is Period.MONTH:
        return midnight.replace(day=1)
    return midnight + (instant - midnight) // period.nominal * period.nominal


def _midnight(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)


def _next_month(first: datetime) -> datetime:
    return (first + timedelta(days=31)).replace(day=1)


@dataclass(frozen=True, slots=True)
class _Moment:
    """One end of a range as written: an instant, or a date, month or year that is over at *after*."""

    start: datetime
    after: datetime

    @classmethod
    def at(cls, instant: datetime) -> _Moment:
        return cls(instant, instant)

    @classmethod
    def on(cls, day: date) -> _Moment:
        first = datetime.combine(day, time(), UTC)
        return cls(first, first + timedelta(days=1))


def _moment(value: Any, whole: Any, period: Period) -> _Moment | None:
    if value is None:
        return None
    try:
        moment = _moment_text(value, whole) if isinstance(value, str) else _moment_value(value, whole)
        return _Moment(_in_utc(moment.start, period), _in_utc(moment.after, period))
    except TypeError:
        raise ArgumentError(f"range={whole!r}: {value!r} is not a time; use a str, date or datetime") from None
    except ArgumentError:
        raise
    except (OverflowError, ValueError):  # the latter from pandas, whose years go further
        raise ArgumentError(f"range={whole!r}: {value!r} is not within the years 1 to 9999 in UTC") from None


def _moment_value(value: Any, whole: Any) -> _Moment:
    plain = value
    if hasattr(value, "to_pydatetime"):  # a pandas Timestamp; NaT has the method but equals nothing
        plain = value.to_pydatetime(warn=False) if value == value else None  # noqa: PLR0124
    elif getattr(value, "ndim", None) == 0 and value.dtype.kind == "M":  # of NumPy, whose item may be an int
        plain = value.astype("datetime64[us]").item() if isinstance(value.item(), int) else value.item()
    if isinstance(plain, datetime):
        return _Moment.at(plain)
    if isinstance(plain, date):
        return _Moment.on(plain)
    raise ArgumentError(f"range={whole!r}: {value!r} is not a time; use a str, date or datetime")


def _moment_text(text: str, whole: Any) -> _Moment:
    try:
        if _YEAR.fullmatch(text):
            first = datetime(int(text), 1, 1, tzinfo=UTC)
            return _Moment(first, first.replace(year=first.year + 1))
        if month := _MONTH.fullmatch(text):
            first = datetime(int(month[1]), int(month[2]), 1, tzinfo=UTC)
            return _Moment(first, _next_month(first))
        if "T" in text or " " in text or ":" in text:
            return _Moment.at(datetime.fromisoformat(text))
        return _Moment.on(date.fromisoformat(text))
    except ValueError:
        raise ArgumentError(
            f"range={whole!r}: {text!r} is not a time; write 2025, 2025-01, 2025-01-31 or 2025-01-31T09:30Z"
        ) from None


def _in_utc(value: datetime, period: Period) -> datetime:
    if period.by_date or value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value.astimezone(UTC)
