"""What is missing → the next request; its answer → what is now proven. Pure: no clock, no I/O.

`/kline` gives the newest 500 bars at or before an end time. A *walk* pages back through one span of one code by
asking for what ends just after the oldest bar received: that bar repeats whether the server takes the end as
included or excluded, and the repetition proves that no bar lies between two pages. A page that does not repeat
it is asked for once more with a much later end, then the hole is recorded.

Stock codes have no end time: their newest page is all there is.
"""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import numpy as np

from alltick_frames import finality
from alltick_frames.codes import family_of
from alltick_frames.spans import Missing, Reason, Span
from alltick_frames.wire import PAGE_BARS, KlineRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from alltick_frames.decode import Page
    from alltick_frames.errors import ApiError
    from alltick_frames.periods import Period
    from alltick_frames.plans import Plan

__all__ = [
    "FULL_PAGE",
    "ONLY_NEWEST",
    "SHOWS_STAMPS",
    "Judged",
    "Stop",
    "Walk",
    "absorb",
    "adjoins",
    "begins_well",
    "given_back",
    "joined",
    "next_request",
    "proven_by",
    "refused",
    "skipped",
    "split",
    "walk_for",
]

# A full page may fall a little short: the forming bar missing, or the newest bar sent twice.
FULL_PAGE = PAGE_BARS - 2
ONLY_NEWEST = f"only the newest {PAGE_BARS} bars of a stock can be asked for"
# How far past the oldest bar the second attempt at a repetition reaches: further than any rounding of the end
# seen or imagined for short bars, and still well inside a page.
_WIDE_OVERLAP = 120
# Stamps of a week, Friday and Sunday among them, and a bar more.
SHOWS_STAMPS = 8
# No market of the quote family rests for longer: a weekend and a holiday.
_LONGEST_REST = timedelta(days=4)
_REFUSES_DEPTH = frozenset({603, 604})


class Stop(enum.Enum):
    """Why a walk has ended."""

    COVERED = "the span is covered"
    HISTORY_START = "nothing older exists"
    GIVEN_UP = "what is left cannot be had; the walk's `missing` says why"
    REFUSED = "the vendor refused the code"
    CONTRADICTED = "the answers leave out bars that were given before: nothing is proven, ask again later"


@dataclass(frozen=True, slots=True)
class Walk:
    """Paging back through *span* of one code; a value that `absorb` replaces.

    Attributes
    ----------
    span, reached, proven_until
        In keys: instants, or trading dates for 1d and longer. `[reached, proven_until)` is proven but for what is
        `missing`; from there to the span's end nothing was to be seen.
    asked_at, seen_at
        When the first request was sent, by our clock, and by the earlier of ours and the server's.
    from_newest
        The first page is the newest one, because the span has no end, the code takes no end time, or no other
        page shows what the stamps are.
    wanted, closed_bars
        Stop at so many closed bars, if a number was asked for; and how many there are.
    oldest_stamp
        The raw stamp of the oldest bar received.
    overlap
        Nominal periods by which the next page reaches past the oldest bar.
    doubts
        So many answers in a row proved nothing; while there are any, a page reaches far past the oldest bar.
    resumes
        Bars from before the span are held, so that an answer without any bar cannot be true.
    at_close
        The stamps of daily and longer crypto bars are closes; None: not known yet.
    honours_end
        An answer has shown that the server goes by the asked end.
    newest_stamp
        The raw stamp of the newest bar received.
    part
        Split off from a walk that fills what is newer, and will itself come back to where this one begins.
    to_newest
        It goes on from the last bars held, so that what it lacks is newer than all of them.
    held_stamps
        Of daily and longer bars, the stamps of the last ones held: with them a few new ones show what they are.
    rereads
        What is held is to be asked for again.
    """

    code: str
    period: Period
    span: Span
    from_newest: bool
    wanted: int | None = None
    reached: datetime | None = None
    oldest_stamp: datetime | None = None
    closed_bars: int = 0
    overlap: int = 1
    doubts: int = 0
    resumes: bool = False
    at_close: bool | None = None
    missing: tuple[Missing, ...] = ()
    stop: Stop | None = None
    proven_until: datetime | None = None
    asked_at: datetime | None = None
    seen_at: datetime | None = None
    honours_end: bool = False
    newest_stamp: datetime | None = None
    part: bool = False
    to_newest: bool = False
    held_stamps: tuple[int, ...] = ()
    rereads: bool = False

    @property
    def started(self) -> bool:
        """Whether any bar has come."""
        return self.oldest_stamp is not None

    @property
    def left_to(self) -> datetime:
        """Up to where the span is not filled yet."""
        return min(self.reached or self.span.end, self.span.end)


@dataclass(frozen=True, slots=True)
class Judged:
    """One page with what is known of each bar: its key, and whether it is closed."""

    page: Page
    keys_us: NDArray[np.int64]
    closed: NDArray[np.bool_]
    server_now: datetime
    asked_at: datetime
    at_close: bool | None = None
    oldest: datetime | None = field(init=False)
    newest: datetime | None = field(init=False)

    def __post_init__(self) -> None:
        has_bars = len(self.keys_us) > 0
        object.__setattr__(self, "oldest", finality.instant(int(self.keys_us[0])) if has_bars else None)
        object.__setattr__(self, "newest", finality.instant(int(self.keys_us[-1])) if has_bars else None)

    @classmethod
    def of(cls, page: Page, walk: Walk, server_now: datetime, asked_at: datetime) -> Judged:
        """Judge *page*, an answer to a request of *walk* that was sent at *asked_at* by our clock."""
        at_close = walk.at_close
        if at_close is None and len(page.stamps_us):
            newest = finality.instant(int(page.stamps_us[-1]))
            at_close = finality.stamped_at_close(newest, walk.code, walk.period, server_now)
        # Fewer than a week of days do not show by themselves what their stamps are.
        held = np.array(walk.held_stamps if len(page.stamps_us) < SHOWS_STAMPS else (), dtype=np.int64)
        held = held[: int(np.searchsorted(held, page.stamps_us[0]))] if len(page.stamps_us) else held[:0]
        stamps_us = np.concatenate([held, page.stamps_us])
        keys_us = finality.keys(stamps_us, walk.code, walk.period, at_close=bool(at_close))[len(held) :]
        closed = finality.closed(stamps_us, walk.code, walk.period, server_now, at_close=bool(at_close))[len(held) :]
        return cls(page, keys_us, closed, server_now, asked_at, at_close)


def walk_for(
    code: str, period: Period, span: Span, *, open_end: bool, wanted: int | None = None, at_close: bool | None = None
) -> Walk:
    """Begin the walk that fills *span* of *code*.

    With *open_end* up to the newest bar. The newest page comes first also while *at_close*, what daily crypto stamps
    are, is not known: no other shows it.
    """
    from_newest = open_end or (at_close is None and finality.may_be_at_close(code, period))
    return Walk(
        code=code,
        period=period,
        span=span,
        from_newest=from_newest or not family_of(code).pageable,
        wanted=wanted,
        at_close=at_close,
        stop=None if span else Stop.COVERED,
    )


def joined(walk: Walk, oldest_stamp: datetime) -> Walk:
    """Let *walk* go on from what is held from its end on, whose first bar has *oldest_stamp*.

    A walk that has yet to see what the stamps are does not: it begins with the newest page.
    """
    if walk.at_close is None and finality.may_be_at_close(walk.code, walk.period):
        return walk
    return dataclasses.replace(walk, reached=walk.span.end, oldest_stamp=oldest_stamp, proven_until=walk.span.end)


def split(walk: Walk, at: datetime) -> tuple[Walk, Walk]:
    """Cut *walk* in two: itself down to *at*, and a part that fills the rest of its span.

    They overlap by a bar, so that the oldest one received by the first is among those of the second.
    """
    older = Walk(
        code=walk.code,
        period=walk.period,
        span=Span(walk.span.start, at + walk.period.nominal),
        from_newest=False,
        resumes=walk.resumes,
        honours_end=True,
        part=True,
        rereads=walk.rereads,
    )
    return dataclasses.replace(walk, span=Span(at, walk.span.end)), older


def begins_well(part: Walk, judged: Judged) -> bool:
    """Whether *judged*, the first answer to *part*, shows bars of where it begins.

    Nothing follows from an answer that does not: the walk that fills what is newer comes there with better evidence.
    """
    asked_end = _end(part)
    return judged.oldest is not None and asked_end is not None and _stamp(judged, -1) <= asked_end


def adjoins(newer: Walk, part: Walk) -> bool:
    """Whether *newer* comes down to where *part* begins."""
    return newer.span.start + part.period.nominal == part.span.end


def given_back(part: Walk, newer: Walk) -> Walk:
    """Let *newer*, from which *part* was split off, fill the span of both."""
    stop = None if newer.stop is Stop.COVERED else newer.stop
    return dataclasses.replace(newer, span=Span(part.span.start, newer.span.end), stop=stop)


def skipped(walk: Walk, held_from: datetime, oldest_stamp: datetime) -> Walk:
    """Let *walk* go on before what others have stored meanwhile: all bars from *held_from* to what it has reached."""
    stop = Stop.COVERED if held_from <= walk.span.start else None
    return dataclasses.replace(walk, reached=held_from, oldest_stamp=oldest_stamp, overlap=1, doubts=0, stop=stop)


def next_request(walk: Walk) -> KlineRequest | None:
    """Give the request that continues *walk*, or None when it has ended."""
    if walk.stop is not None:
        return None
    return KlineRequest(walk.code, walk.period, _end(walk))


def _end(walk: Walk) -> datetime | None:
    nominal = walk.period.nominal
    if not family_of(walk.code).pageable:
        return None
    if walk.oldest_stamp is not None:
        return _ceil(walk.oldest_stamp + _overlap(walk) * nominal, _SECOND)
    if walk.from_newest:
        return None
    if walk.period.grid_known:
        return _ceil(walk.span.end, nominal) + (_overlap(walk) - 1) * nominal
    # The stamp of a daily bar may lie up to a day from its trading date, and the grid of 2h and 4h bars is unknown.
    return _ceil(walk.span.end + nominal + (_DAY if walk.period.by_date else timedelta()), _SECOND)


def absorb(walk: Walk, judged: Judged, plan: Plan, server_now: datetime) -> Walk:
    """Say where *walk* stands after the answer *judged*."""
    shows_stamps = walk.at_close is None
    walk = dataclasses.replace(
        _note_bad_rows(walk, judged),
        asked_at=walk.asked_at or judged.asked_at,
        seen_at=walk.seen_at or judged.server_now,
        at_close=judged.at_close,
        honours_end=walk.honours_end or _goes_by_end(walk, judged),
        newest_stamp=_newest(walk, judged),
    )
    if not family_of(walk.code).pageable:
        return _absorb_only_page(walk, judged, server_now)
    if judged.oldest is None:
        return _nothing_older(walk, judged, plan, server_now)
    if walk.from_newest and shows_stamps and judged.oldest >= walk.span.end:
        # It has shown what stamps are, and nothing of the span: that is asked for directly.
        return dataclasses.replace(walk, from_newest=False)
    if walk.oldest_stamp is None:
        return _ask_wider(walk) if _falls_short(walk, judged) else _advance(walk, judged, server_now)
    goes_back = _stamp(judged, 0) < walk.oldest_stamp
    if not goes_back and _ignores_end(walk, judged):
        return _give_up(walk, "not_pageable", "the server ignores the end time")
    if not goes_back:
        return _nothing_older(walk, judged, plan, server_now)
    if finality.microseconds(walk.oldest_stamp) in judged.page.stamps_us:
        return _advance(walk, judged, server_now)
    if _overlap(walk) < _WIDE_OVERLAP:
        return _ask_wider(walk)
    return _advance(_note_hole(walk, judged), judged, server_now)


def refused(walk: Walk, error: ApiError) -> Walk:
    """End *walk* because the vendor refused a page of it.

    603 and 604 on a page that goes back, after the same code was answered, mean that the plan sells no more; that is
    believed beyond this call only where the plan's history may end (`evidence`).
    """
    # A walk that goes on from held bars may be refused at once: it is named, but not believed beyond this call.
    if walk.started and error.ret in _REFUSES_DEPTH:
        return _give_up(walk, "beyond_plan", f"ret {error.ret}: {error.msg} (trace {error.trace})")
    return dataclasses.replace(_give_up(walk, "refused", str(error)), stop=Stop.REFUSED)


def _absorb_only_page(walk: Walk, judged: Judged, server_now: datetime) -> Walk:
    """Judge the newest page of a stock code: there is no other."""
    seen = walk if judged.oldest is None else _advance(walk, judged, server_now)
    if seen.stop is not None:
        return seen
    if judged.page.received >= FULL_PAGE:
        return _give_up(seen, "beyond_reach", ONLY_NEWEST)
    # Fewer than asked for is a listing younger than a page, if a second answer agrees.
    if not walk.doubts:
        return _doubt(walk)
    contradicted = walk.resumes and judged.oldest is None
    return dataclasses.replace(seen, stop=Stop.CONTRADICTED if contradicted else Stop.HISTORY_START)


def _advance(walk: Walk, judged: Judged, server_now: datetime) -> Walk:
    """Take a page that joins what is held, or is the first."""
    oldest_stamp = _stamp(judged, 0)
    fresh = judged.closed & (judged.page.stamps_us < _microseconds_or_end(walk.oldest_stamp))
    reached = judged.oldest or walk.span.end
    closed_bars = walk.closed_bars + int(np.count_nonzero(fresh))
    enough = walk.wanted is not None and closed_bars >= walk.wanted
    return dataclasses.replace(
        walk,
        reached=reached,
        oldest_stamp=oldest_stamp,
        proven_until=walk.proven_until or proven_by(walk, judged, server_now),
        closed_bars=closed_bars,
        # A later end that only the first page asked for is not paid for by all that follow.
        overlap=walk.overlap if walk.started else 1,
        doubts=0,
        stop=Stop.COVERED if enough or reached <= walk.span.start else None,
    )


def proven_by(walk: Walk, judged: Judged, server_now: datetime) -> datetime | None:
    """Say up to where the first page leaves no doubt.

    After the newest bar emptiness is no proof: a bar of the closing auction, or one that an outage held back, may still
    appear. A day later none will. Before a bar that has begun a while ago nothing can appear but what could before a
    closed one, too: a minute without a trade is known as such as soon as the next one has one.
    """
    closed_keys_us = judged.keys_us[judged.closed]
    if not len(closed_keys_us):
        return judged.oldest
    until = finality.instant(int(finality.slot_ends(closed_keys_us[-1:], walk.period)[0]))
    if walk.period.grid_known and judged.newest is not None and not judged.closed[-1]:
        begun = judged.newest + finality.grace_of(walk.period) <= server_now
        until = max(until, judged.newest) if begun else until
    settled = not walk.from_newest and not walk.part and walk.span.end + _DAY <= server_now
    return max(until, walk.span.end) if settled else until


def _doubt(walk: Walk) -> Walk:
    return dataclasses.replace(walk, doubts=walk.doubts + 1)


def _overlap(walk: Walk) -> int:
    # The asked end itself may be what hides the bars: a server that rounds it answers with none of its hour.
    return _WIDE_OVERLAP if walk.doubts else walk.overlap


def _ask_wider(walk: Walk) -> Walk:
    return dataclasses.replace(walk, overlap=_WIDE_OVERLAP)


def _nothing_older(walk: Walk, judged: Judged, plan: Plan, server_now: datetime) -> Walk:
    # A page that does not even reach back to the oldest bar is a weaker witness than one that repeats it.
    repeats = walk.oldest_stamp is None or finality.microseconds(walk.oldest_stamp) in judged.page.stamps_us
    if walk.doubts < (1 if repeats else 2):
        return _doubt(walk)
    if judged.page.bad:
        return _give_up(walk, "invalid", "nothing that can be read leads further back")
    if judged.oldest is None and (walk.started or walk.resumes):
        return dataclasses.replace(walk, stop=Stop.CONTRADICTED)
    return _history_starts(walk, plan, server_now)


def _falls_short(walk: Walk, judged: Judged) -> bool:
    """Whether the first page stops before the asked end, which a server that rounds the end would hide.

    No rounding moves an end at midnight; elsewhere a page that stops early is asked for again with a later end.
    """
    if walk.from_newest or walk.part or _overlap(walk) > 1 or not walk.period.grid_known:
        return False
    return walk.span.end.time() != time() and _stamp(judged, -1) + walk.period.nominal < walk.span.end


def _note_hole(walk: Walk, judged: Judged) -> Walk:
    held_from = walk.left_to
    hole = Span(max(_stamp(judged, -1) + walk.period.nominal, walk.span.start), held_from)
    lost = Missing(walk.code, walk.period, hole, "lost", "no page reaches from one side to the other")
    return dataclasses.replace(walk, missing=(*walk.missing, lost)) if hole else walk


def _history_starts(walk: Walk, plan: Plan, server_now: datetime) -> Walk:
    back = server_now - (walk.reached or walk.span.end)
    # Where no bar came at all, everything from the plan's depth on is the plan's.
    if plan.may_end_after(back) and (walk.reached is None or not plan.ends_before(back)):
        return _give_up(walk, "beyond_plan", plan.sells)
    return dataclasses.replace(walk, stop=Stop.HISTORY_START)


def _give_up(walk: Walk, reason: Reason, detail: str) -> Walk:
    left = Span(walk.span.start, walk.left_to)
    missing = Missing(walk.code, walk.period, left, reason, detail)
    return dataclasses.replace(walk, missing=(*walk.missing, missing), stop=Stop.GIVEN_UP)


def _note_bad_rows(walk: Walk, judged: Judged) -> Walk:
    bad = tuple(
        Missing(walk.code, walk.period, where, "invalid", f"{row.why}: {row.raw}")
        for row in judged.page.bad
        if row.stamp_us not in judged.page.stamps_us and (where := _where(row.stamp_us, walk, judged))
    )
    return dataclasses.replace(walk, missing=tuple(dict.fromkeys((*walk.missing, *bad))))


def _where(stamp_us: int | None, walk: Walk, judged: Judged) -> Span | None:
    """Place a bad row: its own bar, or anywhere in the page if its stamp cannot be read."""
    nominal = walk.period.nominal
    if stamp_us is None:
        if judged.oldest is None or judged.newest is None:
            return walk.span
        bar = Span(judged.oldest, judged.newest + nominal)
    else:
        # Among the page's other stamps: which date a daily stamp belongs to shows in their weekdays.
        stamps_us = np.append(judged.page.stamps_us, stamp_us)
        key = int(finality.keys(stamps_us, walk.code, walk.period, at_close=bool(judged.at_close))[-1])
        bar = Span(finality.instant(key), finality.instant(key) + nominal)
    touched = bar.start < walk.span.end and bar.end > walk.span.start
    return bar if touched else None


def _ignores_end(walk: Walk, judged: Judged) -> bool:
    """Whether the answer holds what is newer than was asked for, and cannot be the oldest page whole once more.

    An answer without the newest bars that came before is that page, and one that is not full is all there is.
    """
    asked_end = _end(walk)
    is_newer = asked_end is not None and _stamp(judged, -1) > asked_end + walk.period.nominal
    lacks_newer = walk.newest_stamp is not None and _stamp(judged, -1) + 2 * walk.period.nominal < walk.newest_stamp
    return is_newer and not lacks_newer and judged.page.received >= FULL_PAGE


def _goes_by_end(walk: Walk, judged: Judged) -> bool:
    """Whether the answer shows that the end was looked at: there are bars after it, and none of them in the answer."""
    asked_end = _end(walk)
    if asked_end is None or judged.newest is None:
        return False
    if _stamp(judged, -1) > asked_end:
        return False
    goes_back = walk.oldest_stamp is not None and _stamp(judged, 0) < walk.oldest_stamp
    return goes_back or asked_end + _LONGEST_REST <= judged.server_now


def _newest(walk: Walk, judged: Judged) -> datetime | None:
    if judged.newest is None:
        return walk.newest_stamp
    newest = _stamp(judged, -1)
    return newest if walk.newest_stamp is None else max(newest, walk.newest_stamp)


def _stamp(judged: Judged, index: int) -> datetime:
    return finality.instant(int(judged.page.stamps_us[index]))


def _microseconds_or_end(stamp: datetime | None) -> int:
    return np.iinfo(np.int64).max if stamp is None else finality.microseconds(stamp)


def _ceil(instant: datetime, nominal: timedelta) -> datetime:
    beyond = (instant - _EPOCH) % nominal
    return instant + (nominal - beyond if beyond else timedelta())


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
