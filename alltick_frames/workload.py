"""How many requests a walk still takes, where it can be cut so that two share it, and how many walk at once. Pure.

What is expected goes by the hours of a product (`hours`) and the share of them that had bars so far.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from alltick_frames import backfill
from alltick_frames.codes import family_of
from alltick_frames.hours import fewest_share, hours_of, most_bars
from alltick_frames.plans import DEPTH_TOLERANCE
from alltick_frames.spans import Span
from alltick_frames.wire import PAGE_BARS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alltick_frames.backfill import Walk
    from alltick_frames.plans import Plan

__all__ = [
    "bars_in",
    "density",
    "expected_span",
    "fewest_pages",
    "interval_s",
    "most_splits",
    "pace_s",
    "pages_left",
    "requests_for",
    "seconds_for",
    "split",
    "walkers",
]

# Bars of a page that the one before did not have, if the asked end is included.
NEW_BARS = PAGE_BARS - 2
# A cut may cost a request: of a short call that is much, of a long one the last walks should end together.
_FEWEST_PAGES, _FEWEST_OF_MANY, _MANY_PAGES = 4, 2, 32
_SPARE_BARS = 8
# As many walkers as half a second of latency asks for on the fastest plan.
_FEW_SPLITS = 10
_DENSE = 0.98
# What the plan sells is given as "about" so many years; codes of plans that sell none are never paged.
_DEEPEST = timedelta(days=5 * 365.25)
_MOST_WALKERS = 100
# From an answer to the walk's next reservation.
_BETWEEN_S = 0.01
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SPARSEST = 0.02


def walkers(plan: Plan, latency_s: float) -> int:
    """Say how many must walk to use the whole rate: Little's law, and one more unless one is always in time."""
    rate = min(plan.rates, key=lambda rate: rate.requests / rate.seconds)
    needed = math.ceil(rate.requests / rate.seconds * (latency_s + _BETWEEN_S))
    return 1 if needed == 1 else min(needed + 1, _MOST_WALKERS)


def expected_span(span: Span, plan: Plan, now: datetime, *, deeper: float = 1 + DEPTH_TOLERANCE) -> Span:
    """Give the part of *span* in which *plan* can have bars, or has some if it is no *deeper* than it is sold."""
    return Span(max(span.start, now - deeper * (plan.history or _DEEPEST)), min(span.end, now))


def density(walks: Iterable[Walk]) -> float:
    """Give the share of the slots gone through that had a bar; 1 before anything is known."""
    bars = slots = 0
    for walk in walks:
        if walk.started and walk.reached is not None and walk.proven_until is not None:
            bars += walk.closed_bars
            slots += most_bars(walk.code, walk.period, Span(walk.reached, walk.proven_until))
    return min(max(bars / slots, _SPARSEST), 1.0) if bars and slots else 1.0


def pages_left(walk: Walk, plan: Plan, now: datetime, share: float = 1.0, *, floor: datetime | None = None) -> int:
    """Expect so many requests of *walk* from here on, if *share* of the slots have bars and none before *floor*."""
    if walk.stop is not None:
        return 0
    if not family_of(walk.code).pageable:
        return 1
    if walk.wanted is not None:
        bars: float = walk.wanted - walk.closed_bars
    else:
        left = Span(max(walk.span.start, floor or walk.span.start), walk.left_to)
        bars = share * most_bars(walk.code, walk.period, expected_span(left, plan, now))
    return max(1, math.ceil(bars / (PAGE_BARS - 1)))


def fewest_pages(pages: int) -> int:
    """Say how many pages a part must have in a call with so many."""
    return _FEWEST_PAGES if pages < _MANY_PAGES else _FEWEST_OF_MANY


def split(
    walk: Walk, keep: float, pages: int, share: float, *, fewest: int, floor: datetime | None
) -> tuple[Walk, Walk] | None:
    """Cut *walk*, of which *pages* are left, into about *keep* pages and the rest; None if one gets too few.

    The first gets whole pages, so that its last one is full. What begins before *floor* is known to have no bars.
    """
    kept = min(max(round(keep), fewest), pages - fewest)
    can_be = walk.honours_end and walk.wanted is None and not walk.period.by_date and not walk.doubts
    if not can_be or walk.stop is not None or kept < fewest:
        return None
    hours = hours_of(walk.code)
    slots = (kept * NEW_BARS - _SPARE_BARS) / share
    at = hours.when(hours.passed(walk.left_to) - slots * walk.period.nominal)
    at -= (at - _EPOCH) % walk.period.nominal
    if at <= walk.span.start or (floor is not None and at <= floor):
        return None
    return backfill.split(walk, at)


def most_splits(pages: int, share: float) -> int:
    """Say how often a call with so many *pages* may cut walks of which *share* of the slots have bars.

    Each cut can cost a request, and does so half of the time where it is not known how far back whole pages reach.
    """
    return max(_FEW_SPLITS, pages // 64) if share >= _DENSE else pages // 32


def bars_in(walk: Walk, plan: Plan, now: datetime) -> tuple[int, int]:
    """Expect at least and at most so many bars of *walk*."""
    most = most_bars(walk.code, walk.period, expected_span(walk.span, plan, now))
    if not family_of(walk.code).pageable:
        most = min(most, PAGE_BARS)
    if walk.wanted is not None:
        return min(walk.wanted, most), min(walk.wanted, most)
    sure = most_bars(walk.code, walk.period, expected_span(walk.span, plan, now, deeper=1.0))
    return math.floor(fewest_share(walk.code) * min(sure, most)), most


def requests_for(walks: Sequence[Walk], plan: Plan, now: datetime, latency_s: float) -> tuple[int, int]:
    """Expect at least and at most so many requests for *walks*, from a server that answers as it is documented to."""
    fewest = most = 0
    long: list[int] = []
    for walk in walks:
        fewest_bars, bars = bars_in(walk, plan, now)
        if not family_of(walk.code).pageable:
            # A page that is not full is asked for again before it is believed to be all there is.
            fewest, most = fewest + 1, most + 2
            continue
        # The last page has to reach a bar before the span, or a second one to show that there is none.
        pages = math.ceil((bars + 2) / NEW_BARS)
        ends_before_history = walk.wanted is not None or expected_span(walk.span, plan, now).start > walk.span.start
        shows_stamps_first = walk.from_newest and walk.span.end < now - walk.period.nominal
        fewest += max(1, math.ceil(fewest_bars / PAGE_BARS))
        most += pages + (2 if ends_before_history else 0) + shows_stamps_first
        if walk.wanted is None and not walk.period.by_date:
            long.append(pages)
    cut = any(pages >= 2 * fewest_pages(most) for pages in long) and walkers(plan, latency_s) > 1
    return fewest, most + (most_splits(sum(long), 1.0) if cut else 0)


def seconds_for(requests: tuple[int, int], plan: Plan, latency_s: float) -> tuple[float, float]:
    """Expect them to take at least and at most so long, if nobody else uses the token."""
    fewest, most = requests
    if not most:
        return 0.0, 0.0
    fastest_s = max(rate.seconds / rate.requests for rate in plan.rates)
    # What is not shared is waited for one answer after the other: few pages, or the first and the last of many.
    in_turn = most if most < 2 * _FEWEST_PAGES else _FEWEST_PAGES
    return (fewest - 1) * fastest_s + latency_s, most * interval_s(plan) + in_turn * latency_s


def interval_s(plan: Plan) -> float:
    """Give the seconds from one request to the next at the plan's full rate."""
    return max((rate.seconds + plan.margin_s) / rate.requests for rate in plan.rates)


def pace_s(pages: int, done: Sequence[float], plan: Plan, latency_s: float) -> float:
    """Expect the *pages* that are left to come so many seconds apart, if answers came when *done* says."""
    if len(done) > 1:
        # Within a window requests leave faster than they can in the long run.
        return max(interval_s(plan), (done[-1] - done[0]) / (len(done) - 1))
    crew = min(walkers(plan, latency_s), 1 + pages // (2 * fewest_pages(pages)))
    return max(interval_s(plan), latency_s / crew)
