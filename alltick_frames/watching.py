"""What a watch is to look at and when, and which bars it has not passed on yet. Pure but for reading clocks' values.

The WebSocket has no bars; they come from `/batch-kline`, asked when a bar can have closed, and from `/kline` where more
than two of them were missed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from alltick_frames import finality, workload
from alltick_frames.codes import Family, family_of
from alltick_frames.errors import LongWaitWarning
from alltick_frames.hours import session_time
from alltick_frames.periods import Period
from alltick_frames.ranges import Asked
from alltick_frames.sessions import sessions_of
from alltick_frames.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from alltick_frames.backfill import Judged
    from alltick_frames.plans import Plan

__all__ = ["Bar", "Watch", "warned"]

_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
# The server's `Date` has whole seconds, and a bar counts as closed by it.
_AFTER_GRACE = timedelta(seconds=1.5)
# Bars of stocks may begin at half past; nobody knows when those of 2h and more do.
_HALF_HOUR, _QUARTER = timedelta(minutes=30), timedelta(minutes=15)
# Auctions print their bar some minutes after the session.
_AFTER_SESSION = timedelta(minutes=15)
# Whatever the hours say, it is looked so often: they may have changed.
_AT_LEAST_EVERY = timedelta(hours=1)
_RETRIED_AFTER = timedelta(minutes=1)
_NOTHING_SEEN = np.empty(0, dtype=np.int64)


class Bar(NamedTuple):
    """One closed bar.

    Attributes
    ----------
    timestamp
        The vendor's stamp, the bar's open, in UTC.
    volume, turnover
        None where the vendor gives none; A shares in lots of 100.
    """

    code: str
    period: str
    timestamp: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float | None
    turnover: float | None


@dataclass(slots=True)
class Watch:
    """What is watched.

    Attributes
    ----------
    since
        Of each code, the key from which on no bar has been passed on.
    checked
        When the vendor was last asked for what had closed by then.
    failing
        Whether the last look failed.
    """

    period: Period
    since: dict[str, datetime]
    checked: dict[str, datetime]
    failing: bool = False
    _last_us: dict[str, int] = field(default_factory=dict)

    @classmethod
    def begin(cls, codes: Iterable[str], period: Period, now: datetime) -> Watch:
        """Watch from *now* on for bars of which none has been seen."""
        listed = [*codes]
        key = _floor(now, _DAY) if period.by_date else now
        return cls(period, dict.fromkeys(listed, key), dict.fromkeys(listed, now))

    def saw(self, code: str, bars: Judged) -> None:
        """Note what had closed when the watch began, by the newest *bars*: that is not passed on."""
        begun = self.checked[code] - self.period.nominal - finality.grace_of(self.period)
        stamps = [finality.instant(stamp) for stamp in bars.page.stamps_us.tolist()]
        keys = [finality.instant(key) for key in bars.keys_us.tolist()]
        before = (
            [key for key, closed in zip(keys, bars.closed.tolist(), strict=True) if closed]
            if self.period.by_date
            else [key for key, stamp in zip(keys, stamps, strict=True) if stamp <= begun]
        )
        if before:
            self.since[code] = _key_after(before[-1], self.period)
            self._last_us[code] = finality.microseconds(stamps[len(before) - 1])
        elif not self.period.by_date:
            # It took longer than two bars until they came.
            self.since[code] = _floor(begun, self._step) + self._step
            self._last_us[code] = finality.microseconds(begun)

    def next_look(self, now: datetime) -> datetime:
        """Say when to look next: shortly after the next bar can have closed."""
        if self.failing:
            return now + min(_RETRIED_AFTER, self._step)
        wait = finality.grace_of(self.period) + _AFTER_GRACE
        return _floor(now - wait, self._step) + self._step + wait

    def due(self, now: datetime) -> list[str]:
        """Name the codes of which a bar can have closed since they were looked at."""
        return [code for code in self.since if self._may_have_closed(code, now)]

    def asked(self, code: str, now: datetime) -> Asked:
        """Say what is to be asked for of *code*: all from what was passed on up to *now*."""
        end = _floor(now, _DAY) + _DAY if self.period.by_date else now
        return Asked(Span(min(self.since[code], end - _MICROSECOND), end), open_end=True)

    def looked(self, codes: Iterable[str], now: datetime) -> None:
        """Note that everything that had closed by *now* came."""
        self.checked.update(dict.fromkeys(codes, now))
        self.failing = False

    def drop(self, code: str) -> None:
        """Watch *code* no longer."""
        del self.since[code], self.checked[code]

    def pass_on(self, code: str, bars: pa.Table) -> list[Bar]:
        """Give those of *bars*, closed ones in ascending order, that were not passed on yet."""
        rows = bars.to_pylist()
        last_us = self._last_us.get(code, -1)
        fresh = [row for row in rows if finality.microseconds(row["timestamp"]) > last_us]
        if fresh:
            self._last_us[code] = finality.microseconds(fresh[-1]["timestamp"])
        return [Bar(code, self.period.value, **row) for row in fresh]

    @property
    def _step(self) -> timedelta:
        return _QUARTER if self.period.by_date else min(self.period.nominal, _HALF_HOUR)

    def _may_have_closed(self, code: str, now: datetime) -> bool:
        checked = self.checked[code]
        span = self.asked(code, now).span
        if not finality.may_have_closed(code, self.period, span.start, span.end, checked, now):
            return False
        if self.period.by_date or now - checked >= _AT_LEAST_EVERY:
            return True
        begins = finality.microseconds(checked - self.period.nominal - _AFTER_SESSION)
        ends = finality.microseconds(now)
        before, after = sessions_of(code, begins, ends, seen_us=_NOTHING_SEEN).open_before(np.array([begins, ends]))
        return bool(after > before)


def warned(codes: Sequence[str], period: Period, plan: Plan) -> list[LongWaitWarning]:
    """Say beforehand that *plan* does not suffice for a look at every bar, and for which period it does."""
    if _carries(codes, period, plan):
        return []
    offered = [one for one in Period if one.for_stocks or all(family_of(code).pageable for code in codes)]
    fits = next((one for one in offered if _carries(codes, one, plan)), None)
    then = (
        "no period suffices for all day: watch fewer" if fits is None else f"{fits.value!r} is the shortest that fits"
    )
    return [
        LongWaitWarning(
            f"a look at every {period.value} bar of {len(codes)} code{'s' if len(codes) > 1 else ''} takes "
            f"{_requests_a_day(codes, period, plan):,} requests a day, {_round_s(codes, plan):,.0f} s at a time; the "
            f"{plan.name} plan has {plan.day.requests:,} a day; {then}"
        )
    ]


def _carries(codes: Sequence[str], period: Period, plan: Plan) -> bool:
    in_time = timedelta(seconds=_round_s(codes, plan)) <= period.nominal
    return in_time and _requests_a_day(codes, period, plan) <= plan.day.requests


def _requests_a_day(codes: Sequence[str], period: Period, plan: Plan) -> int:
    """Count the requests of a day on which nothing is missed."""
    looks = {
        family: max(1.0, max(session_time(code) for code in some) / period.nominal)
        for family, some in _by_family(codes).items()
    }
    return math.ceil(sum(looks[family] * _sets(some, plan) for family, some in _by_family(codes).items()))


def _round_s(codes: Sequence[str], plan: Plan) -> float:
    """Say how long it takes to ask about all *codes* once."""
    each_s = max(workload.interval_s(plan), plan.batch_kline.seconds / plan.batch_kline.requests)
    return each_s * sum(_sets(some, plan) for some in _by_family(codes).values())


def _by_family(codes: Sequence[str]) -> dict[Family, list[str]]:
    families: dict[Family, list[str]] = {}
    for code in codes:
        families.setdefault(family_of(code), []).append(code)
    return families


def _sets(codes: Sequence[str], plan: Plan) -> int:
    return math.ceil(len(codes) / max(1, plan.batch_groups))


def _key_after(key: datetime, period: Period) -> datetime:
    if period.by_date:
        return finality.period_after(key, period)
    return key + (period.nominal if period.grid_known else _MICROSECOND)


def _floor(moment: datetime, step: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + (moment - epoch) // step * step
