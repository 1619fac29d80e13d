"""The price model: seeded, and built from the top down.

A day's bar follows from the date alone (value noise at many time scales), and the minutes of a day are then
drawn so that they add up to it. So any bar of any date costs the same, and longer bars are exact aggregates
of 1-minute bars: days, weeks and months are made of day bars, intraday bars of minutes.

Everything is integer: prices in ticks of the product, volumes in units, turnover in ticks times units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alltick_frames.sandbox.bars import (
    CLOSE,
    FIELDS,
    HIGH,
    LOW,
    OPEN,
    STAMP,
    TURNOVER,
    VOLUME,
    Bars,
    Ints,
    aggregate,
)
from alltick_frames.sandbox.hashing import hash_at, key_of, uniform
from alltick_frames.sandbox.ladders import Ladder, ladder
from alltick_frames.sandbox.sessions import Calendar, calendar_named

if TYPE_CHECKING:
    from alltick_frames.sandbox.periods import Period
    from alltick_frames.sandbox.products import Product

__all__ = ["Market", "day_bars", "minute_bars"]

Floats = NDArray[np.float64]

_MINUTE_S = 60
_OCTAVES = np.arange(11)
# Minutes are numbered by their time of day, days by their date: no two share a position in the hash.
_MINUTES_A_DAY = 1 << 12
_SESSIONS_PER_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Market:
    """The price model of one product under one seed."""

    product: Product
    seed: int

    def newest(self, period: Period, end: float, count: int, now: float, stamping: str) -> Bars:
        """Return the newest *count* bars stamped at or before *end*, as they stand at *now*; ascending."""
        if period.intraday:
            return self._newest_intraday(period, end, count, now)
        steps = self._ladder(period, stamping)
        stop = min(self._begun(steps, now), int(np.searchsorted(steps.stamps, end, side="right")))
        return self._long_bars(steps, max(0, stop - count), stop, now)

    def between(self, period: Period, start: float, end: float, now: float, stamping: str) -> Bars:
        """Return every bar stamped in [*start*, *end*), as it stands at *now*; ascending."""
        if not period.intraday:
            steps = self._ladder(period, stamping)
            first, stop = (int(np.searchsorted(steps.stamps, at, side="left")) for at in (start, end))
            return self._long_bars(steps, first, min(stop, self._begun(steps, now)), now)
        calendar = self._calendar
        first = max(0, calendar.started(start - period.length_s) - 1)
        stop = calendar.started(min(now, end + period.length_s))
        blocks = [
            self._minutes(at, min(at + _SESSIONS_PER_BLOCK, stop), now)
            for at in range(first, stop, _SESSIONS_PER_BLOCK)
        ]
        if not blocks:
            return _no_bars()
        minutes = np.concatenate(blocks, axis=1)
        bars = _intraday(minutes, period)
        return bars[:, (bars[STAMP] >= start) & (bars[STAMP] < end)]

    @property
    def _calendar(self) -> Calendar:
        return calendar_named(self.product.calendar)

    @property
    def _key(self) -> int:
        return key_of(self.seed, self.product.code)

    def _ladder(self, period: Period, stamping: str) -> Ladder:
        return ladder(self.product.calendar, period, stamping)

    def _begun(self, steps: Ladder, now: float) -> int:
        """Return how many bars of *steps* have begun by *now*."""
        return int(np.searchsorted(steps.starts[:-1], self._calendar.started(now), side="left"))

    def _newest_intraday(self, period: Period, end: float, count: int, now: float) -> Bars:
        calendar = self._calendar
        last = min(end, now)
        # The newest bar may hold minutes later than *end*, up to the end of its period.
        stop = calendar.started(min(now, period.floor(last) + period.length_s - 1))
        sessions = self._sessions_for(period, count)
        while True:
            first = max(0, stop - sessions)
            bars = _intraday(self._minutes(first, stop, now), period)
            bars = bars[:, bars[STAMP] <= last]
            # One bar more than asked for: the oldest may have begun in a session that was left out.
            if bars.shape[1] > count or first == 0:
                return bars[:, max(0, bars.shape[1] - count) :]
            sessions = sessions * 2 + 1

    def _sessions_for(self, period: Period, count: int) -> int:
        """Return how many sessions are likely to hold *count* bars."""
        minutes = self._calendar.layouts[0]
        slots = len(np.unique(minutes // period.length_s))
        present: float = 1 - (1 - self.product.liquidity) ** (period.length_s // _MINUTE_S)
        return math.ceil((count + 2) / (slots * present)) + 1

    def _minutes(self, first: int, stop: int, now: float) -> Bars:
        minutes = minute_bars(self.product, self._key, self._calendar, first, stop)
        return _as_seen_at(now, minutes)

    def _long_bars(self, steps: Ladder, first: int, stop: int, now: float) -> Bars:
        if stop <= first:
            return _no_bars()
        calendar = self._calendar
        low, high = int(steps.starts[first]), min(int(steps.starts[stop]), calendar.started(now))
        sessions = np.arange(low, high)
        days = day_bars(self.product, self._key, calendar, low, high)
        if calendar.closes[high - 1] > now:
            today = self._minutes(high - 1, high, now)
            days[:, -1:] = aggregate(today, np.zeros(today.shape[1], np.int64))
        groups = steps.group_of(sessions)
        bars = aggregate(days, groups)
        bars[STAMP] = steps.stamps[bars[STAMP]]
        return bars


def day_bars(product: Product, key: int, calendar: Calendar, first: int, stop: int) -> Bars:
    """Return the bars of sessions *first* to *stop*, stamped with their trading dates in days."""
    dates = calendar.dates[max(0, first - 1) : stop]
    if first == 0:
        dates = np.concatenate([dates[:1] - 1, dates])
    closes = _closing_prices(product, key, dates)
    draws = _day_draws(key, dates[1:])
    previous, close = closes[:-1], closes[1:]
    gap = 1 + product.volatility * 0.4 * (2 * draws[0] - 1) if product.gaps else np.ones(len(close))
    bars = np.empty((len(FIELDS), len(close)), np.int64)
    bars[STAMP] = dates[1:]
    bars[OPEN] = opened = _ticks(previous * gap)
    bars[CLOSE] = closed = _ticks(close)
    top, bottom = np.maximum(opened, closed), np.minimum(opened, closed)
    reach = product.volatility * 0.8
    bars[HIGH] = np.maximum(np.rint(top * (1 + reach * draws[1])), top)
    bars[LOW] = np.maximum(np.minimum(np.rint(bottom * (1 - reach * draws[2])), bottom), 1)
    # Never fewer units than there are minutes, so that every minute that traded can have one.
    bars[VOLUME] = np.rint(product.volume * (0.5 + draws[3])) + _MINUTES_A_DAY
    typical = (bars[OPEN] + bars[HIGH] + bars[LOW] + bars[CLOSE]) / 4
    bars[TURNOVER] = np.rint(typical * bars[VOLUME]) * product.lot if product.has_turnover else 0
    return bars


def minute_bars(product: Product, key: int, calendar: Calendar, first: int, stop: int) -> Bars:
    """Return the 1-minute bars of sessions *first* to *stop*, ascending, adding up to their day bars."""
    if stop <= first:
        return _no_bars()
    days = day_bars(product, key, calendar, first, stop)
    layout, opens = calendar.layout[first:stop], calendar.opens[first:stop]
    parts = []
    for which in np.unique(layout):
        chosen = layout == which
        parts.append(_minutes_within(product, key, days[:, chosen], opens[chosen], calendar.layouts[which]))
    if len(parts) == 1:
        return parts[0]
    bars = np.concatenate(parts, axis=1)
    return bars[:, np.argsort(bars[STAMP], kind="stable")]


def _minutes_within(product: Product, key: int, days: Bars, opens: Ints, offsets: Ints) -> Bars:
    """Return the minutes of *days* that share one layout of minutes."""
    minutes = offsets // _MINUTE_S
    hashes = hash_at(key, days[STAMP][:, None] * _MINUTES_A_DAY + minutes)
    # Four independent 16-bit draws per minute out of one hash: step, upper wick, lower wick, volume.
    draws = hashes.view(np.uint16).reshape(*hashes.shape, 4)
    path = _path(days, draws[..., 0])
    traded = _traded(product, hashes, path)
    bars = np.empty((len(FIELDS), *path.shape), np.int64)
    bars[STAMP] = opens[:, None] + offsets
    _fill_prices(bars, days, path, draws)
    _fill_amounts(bars, days, draws[..., 3], traded, has_turnover=product.has_turnover)
    flat = bars.reshape(len(FIELDS), -1)
    return flat if traded is None else flat[:, traded.ravel()]


def _path(days: Bars, steps: NDArray[np.uint16]) -> Floats:
    """Return the price at the end of every minute: a random walk bent to the day's four prices."""
    opened, high, low, close = (days[field][:, None].astype(np.float64) for field in (OPEN, HIGH, LOW, CLOSE))
    walk = np.cumsum(steps.astype(np.float64) - 32767.5, axis=1)
    done = np.arange(1, walk.shape[1] + 1) / walk.shape[1]
    walk -= walk[:, -1:] * done
    reach = walk.max(axis=1, keepdims=True) - walk.min(axis=1, keepdims=True)
    walk *= (high - low) / np.maximum(reach, 1)
    walk += opened + (close - opened) * done
    # Stretch what lies beyond open and close until the extremes are the day's; the ends stay in place.
    top, bottom = np.maximum(opened, close), np.minimum(opened, close)
    above, below = np.maximum(walk - top, 0), np.maximum(bottom - walk, 0)
    walk += above * _stretch(above, high - top)
    walk -= below * _stretch(below, bottom - low)
    return walk


def _stretch(excess: Floats, room: Floats) -> Floats:
    """Return by how much to lengthen each row's *excess* so that its largest fills *room*."""
    largest = excess.max(axis=1, keepdims=True)
    return np.where(largest > 0, room / np.where(largest > 0, largest, 1), 1) - 1


def _traded(product: Product, hashes: NDArray[np.uint64], path: Floats) -> NDArray[np.bool_] | None:
    """Return which minutes have a bar, None for all. Those that make the day's four prices always do."""
    if product.liquidity >= 1:
        return None
    # The draws use all 64 bits; mixing once more gives bits that are independent of them.
    traded = uniform(hash_at(1, hashes.view(np.int64))) < product.liquidity
    rows = np.arange(len(path))
    for column in (0, -1, path.argmax(axis=1), path.argmin(axis=1)):
        traded[rows, column] = True
    return traded


def _fill_prices(bars: Bars, days: Bars, path: Floats, draws: NDArray[np.uint16]) -> None:
    rows = np.arange(len(path))
    high, low = days[HIGH][:, None], days[LOW][:, None]
    close = np.rint(path, out=np.empty_like(path)).astype(np.int64)
    np.clip(close, low, high, out=close)
    close[:, -1] = days[CLOSE]
    bars[CLOSE] = close
    bars[OPEN, :, 0] = days[OPEN]
    bars[OPEN, :, 1:] = close[:, :-1]
    # Wicks reach up to a sixtieth of the day's range.
    wick = (high - low) / (60 * 65536)
    np.minimum(np.maximum(bars[OPEN], close) + (draws[..., 1] * wick).astype(np.int64), high, out=bars[HIGH])
    np.maximum(np.minimum(bars[OPEN], close) - (draws[..., 2] * wick).astype(np.int64), low, out=bars[LOW])
    bars[HIGH, rows, path.argmax(axis=1)] = days[HIGH]
    bars[LOW, rows, path.argmin(axis=1)] = days[LOW]


def _fill_amounts(
    bars: Bars,
    days: Bars,
    draws: NDArray[np.uint16],
    traded: NDArray[np.bool_] | None,
    *,
    has_turnover: bool,
) -> None:
    weight = _busyness(draws.shape[1]) * (draws + 8192.0)
    if traded is None:
        bars[VOLUME] = _shares(weight, days[VOLUME] - draws.shape[1]) + 1
    else:
        weight *= traded
        bars[VOLUME] = _shares(weight, days[VOLUME] - traded.sum(axis=1)) + traded
    if not has_turnover:
        bars[TURNOVER] = 0
        return
    worth = (bars[HIGH] + bars[LOW]) * bars[VOLUME].astype(np.float64)
    bars[TURNOVER] = _shares(worth, days[TURNOVER])


def _busyness(minutes: int) -> Floats:
    """Return how busy each minute is: more at the ends of a session than in its middle."""
    place = np.linspace(-1, 1, minutes)
    return np.asarray(0.6 + 0.8 * place**2)


def _shares(weight: Floats, total: Ints) -> Ints:
    """Divide each row's *total* in proportion to *weight* into integers that add up to it exactly."""
    running = np.cumsum(weight, axis=1)
    running *= total[:, None] / running[:, -1:]
    running[:, -1] = total
    np.rint(running, out=running)
    return np.diff(running, axis=1, prepend=0).astype(np.int64)


def _closing_prices(product: Product, key: int, dates: Ints) -> Floats:
    """Return each date's closing price in ticks: value noise summed over time scales of 1 to 1024 days."""
    scale = 1 << _OCTAVES[:, None]
    node = dates // scale
    place = (dates % scale) / scale
    lane = key_of(key, "levels")
    # Octaves get disjoint positions; the nodes of the largest number of days stay far below 2**32.
    left = uniform(hash_at(lane, node + (_OCTAVES[:, None].astype(np.int64) << 32)))
    right = uniform(hash_at(lane, node + 1 + (_OCTAVES[:, None].astype(np.int64) << 32)))
    smooth = place * place * (3 - 2 * place)
    # A scale of n days moves sqrt(n) times as far as one day, as a random walk does.
    reach = product.volatility * 0.5 * np.sqrt(scale)
    drift = ((2 * (left + (right - left) * smooth) - 1) * reach).sum(axis=0)
    return np.asarray(product.price * 10.0**product.decimals * np.exp(drift))


def _day_draws(key: int, dates: Ints) -> Floats:
    lane = key_of(key, "days")
    return uniform(hash_at(lane, dates * 4 + np.arange(4)[:, None]))


def _ticks(price: Floats) -> Ints:
    return np.maximum(np.rint(price), 1).astype(np.int64)


def _intraday(minutes: Bars, period: Period) -> Bars:
    return minutes if period.length_s == _MINUTE_S else aggregate(minutes, period.floor(minutes[STAMP]))


def _no_bars() -> Bars:
    return np.empty((len(FIELDS), 0), np.int64)


# --- bars that are still forming ------------------------------------------------------------------------


def _as_seen_at(now: float, minutes: Bars) -> Bars:
    """Return the part of *minutes* that exists at *now*; the minute in progress as far as it got."""
    visible = int(np.searchsorted(minutes[STAMP], now, side="right"))
    if not visible or minutes[STAMP, visible - 1] + _MINUTE_S <= now:
        return minutes[:, :visible]
    seen = minutes[:, :visible].copy()
    done = (now - float(seen[STAMP, -1])) / _MINUTE_S
    seen[:, -1] = _partial(seen[:, -1], done)
    return seen


def _partial(minute: Ints, done: float) -> Ints:
    """Return *minute* after a share *done* of it: its price visits one extreme, then the other."""
    stamp, opened, high, low, close, volume, turnover = minute.tolist()
    corners = [opened, low, high, close] if close >= opened else [opened, high, low, close]
    leg = min(int(done * 3), 2)
    price = round(corners[leg] + (corners[leg + 1] - corners[leg]) * (done * 3 - leg))
    seen = [*corners[: leg + 1], price]
    so_far = max(1, int(volume * done))
    worth = turnover * so_far // volume
    return np.array([stamp, opened, max(seen), min(seen), price, so_far, worth], np.int64)
