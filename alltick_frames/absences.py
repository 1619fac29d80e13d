"""Where bars are lacking within trading hours, and whether the vendor had none there or nobody knows. Pure.

Bars are held against the slots that a product's sessions have for them. Of stretches without bars, those outside the
coverage are all of interest; within it the vendor is known to have had none, and only unusual ones are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from alltick_frames import evidence, finality
from alltick_frames.periods import Period
from alltick_frames.sessions import VENDORS_TABLE, WEEKDAYS, sessions_of
from alltick_frames.spans import Span, SpanSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from numpy.typing import NDArray

    from alltick_frames.evidence import Known
    from alltick_frames.plans import Plan
    from alltick_frames.records import Checked
    from alltick_frames.sessions import Sessions

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

__all__ = ["Stretch", "stretches", "stretches_between"]

_DAY_US = 86_400_000_000
_HOUR_US = 3_600_000_000
# What was looked at before a bar was surely closed says nothing about it.
_CLOSED_AFTER = {Period.DAY: timedelta(days=1), Period.WEEK: timedelta(days=2), Period.MONTH: timedelta(days=4)}
_CLOSED_AFTER_ELSE = timedelta(minutes=1)

# A stretch is unusual if fewer like it are to be expected by chance in all that is held.
_EXPECTED_AT_MOST = 0.01
# Or if it is so long and its product so seldom without bars, in all and at that time: as often as not is a habit.
_LONG_US, _SELDOM, _SELDOM_AT_THAT_TIME = _HOUR_US, 0.01, 0.25
# How fine the times of a week are told apart.
_CELL_US = 600_000_000

_NO_TRADE = "no_trade"
# Of bars without evidence: nobody knows why a bar is not among them.
_NOT_IN_FRAME = "not_in_frame"
# In what has one of these reasons most stretches without bars are nothing unusual.
_QUIET = (_NO_TRADE, _NOT_IN_FRAME)
_UNASKED = "no answer covers it"
_NO_HOLIDAYS = {
    VENDORS_TABLE: "the vendor's table of hours has no holidays",
    WEEKDAYS: "no calendar knows these dates: holidays count as sessions",
}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Slots one after the other, with nothing but closed hours between them, in which no bar is held.

    Attributes
    ----------
    start, end
        From the first slot to the end of the last, in epoch microseconds; trading dates for 1d and longer.
    bars
        How many slots these are.
    reason
        `no_trade`, `not_proven`, `not_in_frame`, or a reason of `spans.Missing`.
    calendar
        What says that these are trading hours.
    """

    start: int
    end: int
    bars: int
    reason: str
    calendar: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Part:
    """A span of keys of which one thing is known: half-open, in epoch microseconds."""

    start: int
    end: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Slots without bars, as arrays: where they begin and end, how many they are, and the part each lies in."""

    start: Ints
    end: Ints
    bars: Ints
    part: NDArray[np.intp]

    def where(self, chosen: NDArray[np.bool_]) -> _Runs:
        return _Runs(self.start[chosen], self.end[chosen], self.bars[chosen], self.part[chosen])


def stretches(
    code: str, period: Period, known: Known, keys_us: Ints, plan: Plan, now: datetime, *, min_bars: int | None
) -> Iterator[Stretch]:
    """Give what is suspicious between the first bar held and the last that is, or was looked for; in order.

    Parameters
    ----------
    keys_us
        The keys of all bars held of the group.
    min_bars
        The fewest slots without trade that count; None for those that are unusual.
    """
    parts = _parts(known, code, period, plan, now)
    if parts:
        yield from _in_parts(code, period, parts, keys_us, min_bars)


def stretches_between(code: str, period: Period, keys_us: Ints, *, min_bars: int | None) -> Iterator[Stretch]:
    """Give what is suspicious between the first and the last of bars of which nothing else is known; in order.

    Parameters
    ----------
    keys_us
        Their keys, ascending; at least one.
    min_bars
        The fewest slots without a bar that count; None for those that are unusual among these bars.
    """
    whole = _Part(int(keys_us[0]), int(finality.slot_ends(keys_us[-1:], period)[0]), _NOT_IN_FRAME, "")
    yield from _in_parts(code, period, [whole], keys_us, min_bars)


def _in_parts(code: str, period: Period, parts: list[_Part], keys_us: Ints, min_bars: int | None) -> Iterator[Stretch]:
    keys_us = np.unique(keys_us) if period.by_date else keys_us
    sessions = sessions_of(code, parts[0].start, parts[-1].end, seen_us=keys_us)
    if not len(sessions.dates):
        return
    find = _dates_lacking if period.by_date else _slots_lacking
    runs = find(period, keys_us, parts, sessions)
    quiet = np.array([part.reason in _QUIET for part in parts])[runs.part]
    if min_bars is not None:
        runs = runs.where(~quiet | (runs.bars >= min_bars))
    elif not period.by_date:
        covered = np.array([(part.start, part.end) for part in parts if part.reason in _QUIET])
        unusual = np.ones(len(quiet), dtype=np.bool_)
        unusual[quiet] = _unusual(runs.where(quiet), covered.reshape(-1, 2), sessions, _length_us(period))
        runs = runs.where(unusual)
    yield from _told(runs, parts, sessions, period)


def _parts(known: Known, code: str, period: Period, plan: Plan, now: datetime) -> list[_Part]:
    """Part what lies between the first proof and the last thing known by what is known, in order."""
    if not known.coverage:
        return []
    # A check from the future was made by a clock that has been set back since.
    seen = [(check, _seen(check, period)) for check in known.checked if finality.instant(check.at) <= now]
    ends = [*(end for _, end in known.coverage), *(hole.end for hole in known.holes)]
    last = max([*map(finality.instant, ends), *(span.end for _, span in seen)])
    whole = Span(finality.instant(known.coverage[0][0]), min(last, now))
    empty = [*evidence.held(known)]
    parts: list[_Part] = []
    for gap in evidence.unproven(known, code, whole, plan):
        if gap.reason != "not_held":
            parts.append(_part(gap.span, gap.reason, gap.detail))
            continue
        looked_at = [(check, where) for check, span in seen if (where := _both(span, gap.span))]
        for check, where in looked_at:
            settled = Span(where.start, min(where.end, finality.instant(check.at) - evidence.SETTLES_IN))
            empty.append(settled)
            parts += [
                _part(span, "not_proven", _seen_empty(check)) for span in SpanSet.of([settled]).missing_from(where)
            ]
        unseen = SpanSet.of(where for _, where in looked_at).missing_from(gap.span)
        parts += [_part(span, "not_proven", _UNASKED) for span in unseen]
    parts += [_part(span, _NO_TRADE, "") for span in SpanSet.of(empty)]
    return sorted(parts, key=lambda part: part.start)


def _seen(check: Checked, period: Period) -> Span:
    """Give the keys of bars that were surely closed when *check* found none."""
    closed = timedelta(microseconds=1) - period.nominal - _CLOSED_AFTER.get(period, _CLOSED_AFTER_ELSE)
    return Span(finality.instant(check.start), min(finality.instant(check.end), finality.instant(check.at) + closed))


def _both(a: Span, b: Span) -> Span:
    return Span(max(a.start, b.start), min(a.end, b.end))


def _part(span: Span, reason: str, detail: str) -> _Part:
    return _Part(finality.microseconds(span.start), finality.microseconds(span.end), reason, detail)


def _seen_empty(check: Checked) -> str:
    return f"seen empty at {finality.instant(check.at):%Y-%m-%d %H:%M}Z, too early for a proof"


def _length_us(period: Period) -> int:
    return int(period.nominal.total_seconds()) * 1_000_000


def _dates_lacking(period: Period, keys_us: Ints, parts: list[_Part], sessions: Sessions) -> _Runs:
    """Find the days, weeks or months with a session and without a bar."""
    expected = np.unique(finality.first_dates(sessions.dates, period))
    part = _part_of(expected, parts)
    lacks = (part >= 0) & ~np.isin(expected, keys_us)
    # A run goes on while the next one expected lacks, too, in the same part.
    goes_on = np.append([False], lacks[1:] & lacks[:-1] & (part[1:] == part[:-1]))
    firsts = np.flatnonzero(lacks & ~goes_on)
    lasts = np.flatnonzero(lacks & ~np.append(goes_on[1:], [False]))
    return _Runs(expected[firsts], finality.slot_ends(expected[lasts], period), lasts - firsts + 1, part[firsts])


def _part_of(keys_us: Ints, parts: list[_Part]) -> NDArray[np.intp]:
    """Give the row of the part that each key lies in; -1 for those of which there is nothing to say."""
    row = np.searchsorted([part.start for part in parts], keys_us, side="right") - 1
    inside = (row >= 0) & (keys_us < np.array([part.end for part in parts])[row])
    return np.where(inside, row, -1)


def _slots_lacking(period: Period, keys_us: Ints, parts: list[_Part], sessions: Sessions) -> _Runs:
    """Find the stretches of open time that no bar spans.

    Where bars begin is taken from the bar before: of stocks' hours, 2h and 4h nobody knows, and it may change.
    """
    length = _length_us(period)
    start = np.append(parts[0].start, keys_us + length)
    end = np.append(keys_us, parts[-1].end)
    # Most bars follow one another.
    rows = np.flatnonzero(start < end)
    rows = rows[sessions.open_before(end[rows]) > sessions.open_before(start[rows])]
    before = keys_us[np.maximum(rows - 1, 0)] if len(keys_us) else np.zeros(len(rows), np.int64)
    start, end, phase = _cut(start[rows], end[rows], before % length, parts)
    # A part has the slots that begin in it, also those that end after it.
    start = start + (phase - start) % length
    at_bar = np.isin(end, keys_us[rows[rows < len(keys_us)]])
    end = np.where(at_bar, end, end + (phase - end) % length)
    part = _part_of(start, parts)
    opens = (part >= 0) & (start < end)
    opens[opens] = sessions.open_before(end[opens]) > sessions.open_before(start[opens])
    start, end, phase, part = start[opens], end[opens], phase[opens], part[opens]
    # Not before the first open instant, nor beyond the last, but whole slots.
    opening = sessions.opening_from(start)
    start = opening - (opening - phase) % length
    closing = np.minimum(end, sessions.closes[sessions.last_before(end)])
    end = np.minimum(end, closing + (phase - closing) % length)
    bars = np.zeros(len(start), np.int64)
    for value in np.unique(phase).tolist():
        same = phase == value
        bars[same] = sessions.slots_between(start[same], end[same], length, value)
    return _Runs(start, end, bars, part)


def _cut(start: Ints, end: Ints, phase: Ints, parts: list[_Part]) -> tuple[Ints, Ints, Ints]:
    """Cut stretches, disjoint and in order, where a part begins or ends."""
    edges = np.unique([edge for part in parts for edge in (part.start, part.end)])
    row = np.searchsorted(start, edges, side="right") - 1
    within = (row >= 0) & (edges > start[row]) & (edges < end[row]) if len(start) else np.zeros(len(edges), np.bool_)
    edges, row = edges[within], row[within]
    starts = np.concatenate([start, edges])
    order = np.argsort(starts, kind="stable")
    return starts[order], np.sort(np.concatenate([end, edges])), np.concatenate([phase, phase[row]])[order]


def _unusual(runs: _Runs, covered: Ints, sessions: Sessions, length: int) -> NDArray[np.bool_]:
    """Say which stretches are unusual among all there is proof of; see `alltick_frames.gaps` for the rule."""
    # All on the axis of open time, where a night is nothing.
    first, after = sessions.open_before(runs.start), sessions.open_before(runs.end)
    _, begins, ends = sessions.on_open_time()
    next_one = np.searchsorted(begins, first, side="left")
    whole = (next_one < len(begins)) & (ends[np.minimum(next_one, len(ends) - 1)] <= after)
    # A closed week says nothing of what is usual on the others.
    missing, proven = _cumulative(first[~whole], after[~whole]), _cumulative(*sessions.open_before(covered).T)
    itself = missing(after) - missing(first)
    in_all, known_in_all = missing(ends[-1:]), proven(ends[-1:])
    of_all = _share(in_all - itself, known_in_all - itself)
    at_that_time = _share_of_other_weeks(first, after, missing, proven, sessions, max(_CELL_US, length))
    opened = begins[np.searchsorted(begins, first, side="right") - 1]
    closed = ends[np.searchsorted(ends, after, side="left")]
    of_session = _share(missing(closed) - missing(opened) - itself, proven(closed) - proven(opened) - itself)
    usual = np.maximum(np.maximum(of_all, at_that_time), of_session)
    expected = known_in_all / length * usual**runs.bars
    long = (runs.bars * length >= _LONG_US) & (of_all <= _SELDOM) & (at_that_time <= _SELDOM_AT_THAT_TIME)
    result: NDArray[np.bool_] = whole | (expected < _EXPECTED_AT_MOST) | long
    return result


def _cumulative(first: Ints, after: Ints) -> Callable[[Ints], Floats]:
    """Give the function that says how much of disjoint stretches, in order, lies before an instant."""
    edges = np.stack([first, after], axis=1).ravel()
    until = np.cumsum(after - first)
    values = np.stack([until - (after - first), until], axis=1).ravel()
    if not len(edges):
        return lambda at: np.zeros(len(at))
    return lambda at: np.interp(at, edges, values)


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(np.broadcast(part, whole).shape), where=whole > 0)


def _share_of_other_weeks(
    first: Ints,
    after: Ints,
    missing: Callable[[Ints], Floats],
    proven: Callable[[Ints], Floats],
    sessions: Sessions,
    cell: int,
) -> Floats:
    """Give the share of slots without bars at the same times after the opening, in other sessions of that weekday."""
    dates, begins, ends = sessions.on_open_time()
    counts = -((begins - ends) // cell)
    session = np.repeat(np.arange(len(begins)), counts)
    within = np.arange(len(session)) - np.repeat(np.cumsum(counts) - counts, counts)
    edges = np.append(begins[session] + within * cell, ends[-1])
    time_of_week = dates[session] // _DAY_US % 7 * int(counts.max()) + within
    lacking, known = np.diff(missing(edges)), np.diff(proven(edges))
    lacking_in_all, known_in_all = (np.bincount(time_of_week, each)[time_of_week] for each in (lacking, known))
    share = _share(lacking_in_all - lacking, known_in_all - known)
    summed = np.concatenate([[0.0], np.cumsum(share * np.diff(edges))])
    mean: Floats = (np.interp(after, edges, summed) - np.interp(first, edges, summed)) / (after - first)
    return mean


def _told(runs: _Runs, parts: list[_Part], sessions: Sessions, period: Period) -> Iterator[Stretch]:
    last = runs.end - 1 if period.by_date else sessions.dates[sessions.last_before(runs.end)]
    rows = zip(*(column.tolist() for column in (runs.start, runs.end, runs.bars, runs.part)), strict=True)
    for (start, end, bars, row), calendar in zip(rows, sessions.named(last), strict=True):
        part = parts[row]
        detail = _NO_HOLIDAYS.get(calendar, "") if part.reason in _QUIET else part.detail
        yield Stretch(start, end, bars, part.reason, calendar, detail)
