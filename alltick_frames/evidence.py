"""What is known of one code's bars → what is not held, and why; what a walk brought → what is known now. Pure.

A *key* is a bar's instant, or its trading date for 1d and longer. *Coverage* is the keys for which the archive holds
every bar the vendor had; all else in a span is a *gap*, and most gaps need no request: nothing can have closed in
them since they were last looked at, or the vendor is known to have nothing there.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np
import pyarrow as pa

from alltick_frames import finality, schemas
from alltick_frames.backfill import FULL_PAGE, ONLY_NEWEST, Stop, joined, walk_for
from alltick_frames.codes import family_of
from alltick_frames.plans import PLANS
from alltick_frames.records import Batch, Checked, HistoryStart, Hole
from alltick_frames.spans import Span, SpanSet
from alltick_frames.wire import PAGE_BARS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from alltick_frames.backfill import Judged, Walk
    from alltick_frames.periods import Period
    from alltick_frames.plans import Plan
    from alltick_frames.ranges import Asked
    from alltick_frames.records import Spans
    from alltick_frames.spans import Reason

__all__ = [
    "OVERTAKEN",
    "SETTLES_IN",
    "Gap",
    "Known",
    "batches",
    "begins",
    "forgotten",
    "gaps",
    "held",
    "looked_at",
    "unproven",
    "walk_into",
]

# How long an outage may hold bars back: what is seen empty later than that is empty.
SETTLES_IN = timedelta(days=1)
# The vendor may sell more, or list what it did not: what it does not have is asked for again after a while.
_HISTORY_START_HOLDS = timedelta(days=30)
# An empty answer may be an outage's: a beginning that no bar marks is believed for less long.
_NOTHING_HOLDS = timedelta(days=1)
_HOLE_HOLDS: dict[str, timedelta] = {"not_pageable": timedelta(days=7)}
_HOLE_HOLDS_ELSE = timedelta(days=1)
_HOLES = ("lost", "invalid", "not_pageable")
_EDGES = ("beyond_plan", "beyond_reach")
OVERTAKEN = f"more than {PAGE_BARS} bars went by between two calls"


class Known(Protocol):
    """What the archive says of a group; its `Held` and `Known` are such."""

    @property
    def coverage(self) -> Spans:
        """Half-open, disjoint and in order."""

    @property
    def checked(self) -> tuple[Checked, ...]:
        """What was seen to be empty and is not proven to be."""

    @property
    def holes(self) -> tuple[Hole, ...]:
        """What the vendor cannot give."""

    @property
    def history_start(self) -> HistoryStart | None:
        """Before what it has nothing."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A span whose bars are not held; `not_held` if they have only to be asked for."""

    span: Span
    reason: Reason
    detail: str = ""


def held(known: Known) -> SpanSet:
    """Give the coverage as spans."""
    return SpanSet(tuple(_span(start, end) for start, end in known.coverage))


@dataclass(frozen=True, slots=True)
class _Known:
    coverage: Spans
    checked: tuple[Checked, ...]
    holes: tuple[Hole, ...]
    history_start: HistoryStart | None


def forgotten(known: Known, span: Span) -> Known:
    """Give what would be known if nothing of *span* had been asked for yet."""
    covered = [piece for other in held(known) for piece in SpanSet.of([span]).missing_from(other)]
    start = known.history_start
    return _Known(
        tuple((finality.microseconds(one.start), finality.microseconds(one.end)) for one in covered),
        tuple(check for check in known.checked if not _both(_span(check.start, check.end), span)),
        tuple(hole for hole in known.holes if not _both(_span(hole.start, hole.end), span)),
        None if start is not None and finality.instant(start.key_us) > span.start else start,
    )


def begins(known: Known, plan: Plan, now: datetime) -> HistoryStart | None:
    """Give where the vendor's history begins, as far as that binds *plan* at *now*."""
    start = known.history_start
    if start is None:
        return None
    marked = any(first == start.key_us for first, _ in known.coverage)
    holds = _HISTORY_START_HOLDS if marked or start.reason else _NOTHING_HOLDS
    # Either way: a clock that was set back since may have been years ahead.
    if abs(now - finality.instant(start.asked_at_us)) > holds:
        return None
    return start if _no_deeper(plan, start.plan) else None


def _no_deeper(plan: Plan, than: str) -> bool:
    if plan.name == than:
        return True
    sold = PLANS[than].history_years if than in PLANS else None
    return sold is not None and plan.history_years is not None and plan.history_years <= sold


def gaps(
    known: Known,
    code: str,
    period: Period,
    span: Span,
    plan: Plan,
    now: datetime,
    *,
    looked_at: SpanSet = SpanSet(),  # noqa: B008  # immutable
    clock: datetime | None = None,
) -> tuple[Gap, ...]:
    """List what of *span* is not held at *now*, in order, without what cannot exist.

    Nothing is said of closed hours that were looked at, of the time before a product's first bar, and of bars that
    are still forming.

    Parameters
    ----------
    looked_at
        What the call itself has asked for since *now*: what it did not find there was not to be had.
    clock
        What the clock shows when that is later than *now*, so that others' checks meanwhile count.
    """
    start = begins(known, plan, now)
    holes = [hole for hole in known.holes if abs(now - finality.instant(hole.at)) <= _holds(hole)]
    found, unexplained = _explained(held(known), code, span, start, holes)
    for piece in unexplained:
        for unseen in looked_at.missing_from(piece):
            found += _not_looked_at(known, code, period, unseen, now, clock or now)
    return tuple(sorted(found, key=lambda gap: gap.span))


def unproven(known: Known, code: str, span: Span, plan: Plan) -> tuple[Gap, ...]:
    """List all of *span* that is not held, in order, with what was last said of it, however long ago.

    That is `not_held` where nothing was. The time before a product's first bar is left out.
    """
    start = known.history_start
    if start is not None and not _no_deeper(plan, start.plan):
        start = None
    found, unexplained = _explained(held(known), code, span, start, known.holes)
    found += [Gap(piece, "not_held") for piece in unexplained]
    return tuple(sorted(found, key=lambda gap: gap.span))


def _explained(
    coverage: SpanSet, code: str, span: Span, start: HistoryStart | None, holes: Iterable[Hole]
) -> tuple[list[Gap], list[Span]]:
    """Part what is not held into what *start* and *holes* tell the reason of, and the rest."""
    found: list[Gap] = []
    unexplained: list[Span] = []
    cut = [(_span(hole.start, hole.end), hole) for hole in holes]
    for missing in coverage.missing_from(span):
        rest = missing
        if start is not None and (first := finality.instant(start.key_us)) > missing.start:
            before, rest = Span(missing.start, min(missing.end, first)), Span(first, missing.end)
            found += _before_history(before, start, overtaken=_is_overtaken(code, before, coverage))
        found += [Gap(part, _reason(hole), hole.detail) for where, hole in cut if (part := _both(where, rest))]
        unexplained += SpanSet.of(where for where, _ in cut).missing_from(rest)
    return found, unexplained


def _holds(hole: Hole) -> timedelta:
    return _HOLE_HOLDS.get(hole.reason, _HOLE_HOLDS_ELSE)


def _is_overtaken(code: str, span: Span, coverage: SpanSet) -> bool:
    """Whether bars of *span* could once be had: of a stock, what lies after held bars and is out of reach now."""
    return not family_of(code).pageable and any(other.end <= span.start for other in coverage)


def _before_history(span: Span, start: HistoryStart, *, overtaken: bool) -> list[Gap]:
    if overtaken:
        return [Gap(span, "lost", OVERTAKEN)]
    return [Gap(span, _reason(start), start.detail)] if start.reason else []


def _not_looked_at(
    known: Known, code: str, period: Period, span: Span, now: datetime, clock: datetime
) -> Iterator[Gap]:
    quiet: list[Span] = []
    for check in known.checked:
        since = finality.instant(check.at)
        # A check of the newest page also knows that of what came after it only so much can have closed.
        until = max(check.end, finality.microseconds(now)) if check.end >= check.at else check.end
        where = _both(_span(check.start, until), span)
        # Within a day of its end a quiet span may still be filled, when an outage is over: once more after that.
        too_early = since < where.end + SETTLES_IN <= now
        # A check from the future was made by a clock that has been set back since.
        from_the_future = since > clock
        if not where or too_early or from_the_future:
            continue
        if since >= now or not finality.may_have_closed(code, period, where.start, where.end, since, now):
            quiet.append(where)
    for piece in SpanSet.of(quiet).missing_from(span):
        if finality.may_have_closed(code, period, piece.start, piece.end, None, now):
            yield Gap(piece, "not_held")


def _both(a: Span, b: Span) -> Span:
    return Span(max(a.start, b.start), min(a.end, b.end))


def _span(start_us: int, end_us: int) -> Span:
    return Span(finality.instant(start_us), finality.instant(end_us))


def _reason(said: Hole | HistoryStart) -> Reason:
    reason: Reason = said.reason  # type: ignore[assignment]  # the archive keeps it as text
    return reason


def walk_into(
    gap: Span,
    known: Known,
    code: str,
    period: Period,
    asked: Asked,
    *,
    first_held: datetime | None,
    at_close: bool | None,
    held_stamps: tuple[int, ...] = (),
) -> Walk:
    """Begin the walk that fills *gap*: from the newest bar, from the gap's end, or on from the bars held after it.

    *first_held* is the stamp of the first of those, if the gap ends at coverage; *at_close* says what the stamps of
    held bars are, and *held_stamps* are those of the last ones.
    """
    nothing_later = not any(other.end > gap.start for other in held(known))
    goes_on = nothing_later and any(other.end == gap.start for other in held(known))
    newest = asked.open_end and nothing_later
    span = Span(gap.start, max(gap.end, asked.span.end)) if newest else gap
    # The newest page shows what stamps are now.
    walk = walk_for(code, period, span, open_end=newest, wanted=asked.count, at_close=None if newest else at_close)
    walk = dataclasses.replace(
        walk,
        resumes=any(other.end <= gap.start for other in held(known)),
        to_newest=goes_on,
        held_stamps=held_stamps if goes_on else (),
    )
    return joined(walk, first_held) if first_held is not None and family_of(code).pageable else walk


def looked_at(walk: Walk) -> Span:
    """Give what of its span a walk has seen: what it did not find there was not to be had."""
    if walk.asked_at is None and walk.missing:
        return walk.span  # refused at once: `missing` says why
    return Span(max(walk.reached or walk.span.end, walk.span.start), walk.span.end)


def batches(walk: Walk, pages: Sequence[Judged], plan: Plan) -> list[Batch]:
    """Say what *pages*, the answers since the last time, and the walk so far prove."""
    if walk.asked_at is None:
        return []
    brought = [_bars(judged) for judged in pages]
    if not brought:
        brought = [Batch(schemas.BARS.empty_table(), np.empty(0, np.int64), (), finality.microseconds(walk.asked_at))]
    holes = _holes(walk)
    brought[-1] = dataclasses.replace(
        brought[-1],
        proven=_proven(walk, holes),
        checked=_checked(walk),
        holes=holes,
        history_start=_history_start(walk, pages, plan),
    )
    return brought


def _bars(judged: Judged) -> Batch:
    """Give the page's closed bars: of the others nothing is kept."""
    rows = np.flatnonzero(judged.closed)
    row_of = {row: number for number, row in enumerate(rows.tolist())}
    exact = tuple((row_of[row], column, text) for row, column, text in judged.page.exact if row in row_of)
    return Batch(
        bars=judged.page.bars.take(pa.array(rows)) if len(rows) < len(judged.closed) else judged.page.bars,
        keys_us=judged.keys_us[rows],
        proven=(),
        asked_at_us=finality.microseconds(judged.server_now),
        exact=exact,
    )


def _proven(walk: Walk, holes: Iterable[Hole]) -> Spans:
    if walk.reached is None or walk.proven_until is None:
        return ()
    without = SpanSet.of(_span(hole.start, hole.end) for hole in holes)
    spans = without.missing_from(Span(walk.reached, walk.proven_until))
    return tuple((finality.microseconds(span.start), finality.microseconds(span.end)) for span in spans)


def _checked(walk: Walk) -> tuple[Checked, ...]:
    """Say what was seen empty, and when: at the server's time, by which bars were judged to be closed."""
    # Where a part begins is its neighbour's to judge: a server that rounds the asked end hides bars there.
    if walk.proven_until is None or walk.seen_at is None or walk.part:
        return ()
    end = max(walk.span.end, walk.seen_at) if walk.from_newest else walk.span.end
    if end <= walk.proven_until:
        return ()
    return (Checked(*map(finality.microseconds, (walk.proven_until, end, walk.seen_at))),)


def _holes(walk: Walk) -> tuple[Hole, ...]:
    asked_at = finality.microseconds(walk.asked_at or walk.span.end)
    return tuple(
        Hole(
            finality.microseconds(missing.span.start),
            finality.microseconds(missing.span.end),
            asked_at,
            missing.reason,
            missing.detail,
        )
        for missing in walk.missing
        if missing.reason in _HOLES
    )


def _history_start(walk: Walk, pages: Sequence[Judged], plan: Plan) -> HistoryStart | None:
    asked_at = walk.asked_at or walk.span.end
    first = finality.microseconds(walk.reached or min(walk.span.end, asked_at))
    start = HistoryStart(first, plan.name, finality.microseconds(asked_at))
    for missing in walk.missing:
        if missing.reason in _EDGES:
            # Refused elsewhere than where the plan ends, it may be a fault, or a plan that is being renewed.
            if missing.reason == "beyond_plan" and not plan.may_end_after(asked_at - finality.instant(first)):
                return None
            return msgspec.structs.replace(start, reason=missing.reason, detail=missing.detail)
    if walk.stop is Stop.HISTORY_START:
        return start
    if not family_of(walk.code).pageable and any(judged.page.received >= FULL_PAGE for judged in pages):
        return msgspec.structs.replace(start, reason="beyond_reach", detail=ONLY_NEWEST)
    return None
