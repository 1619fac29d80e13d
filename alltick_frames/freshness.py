"""Which groups lack so little that their newest two bars may be all of it, and when these count. Pure.

`/batch-kline` gives the newest two bars of many groups in one request, and no proof that no bar lies between them and
what is held: that there is none follows only if the older of the two is held already, or follows what is held without
room for another. Where that cannot be, the group is left to `/kline`, which costs a request of its own.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING

from alltick_frames import finality
from alltick_frames.backfill import Stop, proven_by
from alltick_frames.codes import Family, family_of
from alltick_frames.periods import Period
from alltick_frames.spans import Span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from alltick_frames.backfill import Judged, Walk
    from alltick_frames.plans import Plan
    from alltick_frames.wire import Group

__all__ = ["absorbed", "may_count", "newest_two", "sets"]

_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
_SATURDAY = 5
_BARS = 2


def may_count(walk: Walk, now: datetime) -> bool:
    """Say whether the newest two bars at *now* can show all that *walk* lacks, if no bar is missing meanwhile.

    The walk must go on from what is held, up to the newest bar, and no more than two bars may have begun since.
    """
    if not walk.to_newest or walk.stop is not None:
        return False
    first, period = walk.span.start, walk.period
    if not period.by_date:
        return now < _next(first, period) + _BARS * period.nominal
    today, begun = finality.trading_dates([now], walk.code)[0], 0
    while first <= today and begun <= _BARS:
        begun += 0 if _rests(first, walk) else 1
        first = finality.period_after(first, period)
    return begun <= _BARS


def newest_two(walk: Walk, now: datetime) -> Walk:
    """Give the walk through all that the newest two bars may show instead of *walk*: up to the newest bar."""
    return dataclasses.replace(walk, span=Span(walk.span.start, max(walk.span.end, now)), from_newest=True)


def absorbed(walk: Walk, judged: Judged) -> Walk | None:
    """Say where *walk* stands after the newest two bars; None if nothing follows from them."""
    if judged.oldest is None or judged.page.bad or not _joins(judged.oldest, walk):
        return None
    return dataclasses.replace(
        walk,
        asked_at=judged.asked_at,
        seen_at=judged.server_now,
        at_close=judged.at_close,
        reached=walk.span.start,
        oldest_stamp=finality.instant(int(judged.page.stamps_us[0])),
        newest_stamp=finality.instant(int(judged.page.stamps_us[-1])),
        closed_bars=int(judged.closed.sum()),
        proven_until=proven_by(walk, judged, judged.server_now),
        stop=Stop.COVERED,
    )


def _joins(older: datetime, walk: Walk) -> bool:
    """Whether nothing can lie between what is held and the *older* bar."""
    held_until = walk.span.start
    if older <= _next(held_until, walk.period):
        return True
    date = held_until
    while _rests(date, walk):
        date += _DAY
    return older == date


def _next(held_until: datetime, period: Period) -> datetime:
    """Give the first key after what is held; on an unknown grid, one period after the bar that coverage ends with."""
    if period.grid_known or period.by_date:
        return held_until
    return held_until - _MICROSECOND + period.nominal


def _rests(date: datetime, walk: Walk) -> bool:
    """Whether *date* is of a stock's weekend. The vendor may have days of forex and its like that are Sundays."""
    return walk.period is Period.DAY and family_of(walk.code) is Family.STOCK and date.weekday() >= _SATURDAY


def sets(
    walks: Mapping[Group, Sequence[Walk]], plan: Plan, now: datetime, *, fewest: int = 2
) -> list[tuple[Group, ...]]:
    """Choose the groups of which the newest two bars may be all that *walks* lack, by what one request may ask for.

    They are of one family each, and at least *fewest*: of one group, `/kline` gives more for the same price.
    """
    by_family: dict[Family, list[Group]] = {}
    for group, some in walks.items():
        if len(some) == 1 and may_count(some[0], now):
            by_family.setdefault(family_of(group[0]), []).append(group)
    size = max(1, plan.batch_groups)
    chosen = (tuple(some[first : first + size]) for some in by_family.values() for first in range(0, len(some), size))
    return [some for some in chosen if len(some) >= fewest]
