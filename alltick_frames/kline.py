"""From what was asked to one table, and the verdict on what it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from alltick_frames import finality, schemas
from alltick_frames.backfill import Stop, walk_for
from alltick_frames.codes import family_of
from alltick_frames.decode import ascending_last_wins
from alltick_frames.errors import ClockSkewWarning, HistoryStartWarning, IncompleteDataError, IncompleteDataWarning
from alltick_frames.fetch import Harvest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from alltick_frames.errors import AllTickError, AllTickWarning
    from alltick_frames.periods import Period
    from alltick_frames.ranges import Asked
    from alltick_frames.settings import FrameKind, OnIncomplete, Settings
    from alltick_frames.spans import Missing

__all__ = ["Forming", "Question", "Verdict", "begin", "judge", "to_table"]

Forming = Literal["drop", "keep"]
_NAMED_AT_MOST = 5
# More than a slow answer explains.
_SKEW_BORNE = timedelta(seconds=30)
_LEFT_EDGE = ("beyond_reach", "beyond_plan")


@dataclass(frozen=True, slots=True)
class Question:
    """One call, validated."""

    codes: tuple[str, ...]
    period: Period
    asked: Asked
    forming: Forming
    frame: FrameKind
    on_incomplete: OnIncomplete
    categorical: bool

    def __str__(self) -> str:
        more = f" and {len(self.codes) - 1} more" if len(self.codes) > 1 else ""
        return f"{self.codes[0]}{more} {self.period.value}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to say of an answer: the error to raise, if any, and warnings."""

    failure: AllTickError | None = None
    notices: tuple[AllTickWarning, ...] = ()


def begin(question: Question) -> list[Harvest]:
    """Give one empty harvest per code, in the asked order."""
    asked = question.asked
    return [Harvest(walk_for(code, question.period, asked, asked.span)) for code in question.codes]


def to_table(question: Question, harvests: Sequence[Harvest], settings: Settings, now: datetime) -> pa.Table:
    """Join what was fetched: by code in the asked order, then time; one row per code and stamp."""
    parts = [_rows(harvest, question) for harvest in harvests]
    names = pa.array(question.codes, pa.string())
    schema = schemas.KLINE.append(schemas.CLOSED) if question.forming == "keep" else schemas.KLINE
    tables = [
        part.add_column(
            0,
            schemas.CODE,
            pa.DictionaryArray.from_arrays(pa.array(np.full(len(part), position, dtype=np.int32)), names),
        )
        for position, part in enumerate(parts)
    ]
    described = schema.with_metadata(_metadata(question, settings, now))
    return pa.concat_tables(tables).cast(schema).replace_schema_metadata(described.metadata)


def _rows(harvest: Harvest, question: Question) -> pa.Table:
    """Merge one code's pages; of two answers for one bar the one asked later wins."""
    keep_forming = question.forming == "keep"
    pages = harvest.pages
    stamps_us = np.concatenate([np.empty(0, np.int64), *(judged.page.stamps_us for judged in pages)])
    keys_us = np.concatenate([np.empty(0, np.int64), *(judged.keys_us for judged in pages)])
    closed = np.concatenate([np.empty(0, np.bool_), *(judged.closed for judged in pages)])
    span = question.asked.span
    order = ascending_last_wins(stamps_us)
    inside = (keys_us >= finality.microseconds(span.start)) & (keys_us < finality.microseconds(span.end))
    order = order[(inside & (closed | keep_forming))[order]]
    if question.asked.count is not None:
        held = np.flatnonzero(closed[order])[-question.asked.count :]
        order = order[held[0] :] if len(held) else order
    bars = pa.concat_tables([schemas.BARS.empty_table(), *(judged.page.bars for judged in pages)])
    rows = bars.take(pa.array(order, pa.int64()))
    return rows.append_column(schemas.CLOSED, pa.array(closed[order])) if keep_forming else rows


def _metadata(question: Question, settings: Settings, now: datetime) -> dict[str, str]:
    return {
        "alltick.origin": settings.base_url,
        "alltick.plan": settings.plan.name,
        "alltick.period": question.period.value,
        "alltick.fetched_at": now.isoformat(timespec="seconds"),
        "alltick.adjustment": "unadjusted",
        "alltick.units": (
            "prices in the product's quote currency; volume as the vendor gives it (A shares in lots of 100, "
            "other stocks in shares, forex a tick count if any); turnover in the quote currency"
        ),
    }


def judge(question: Question, harvests: Sequence[Harvest]) -> Verdict:
    """Say what the vendor could not give: as an error, a warning or not at all, as asked."""
    if len(harvests) == 1 and harvests[0].refusal is not None:
        return Verdict(harvests[0].refusal)
    notices: tuple[AllTickWarning, ...] = (*_clock_skew(harvests), *_late_starts(question, harvests))
    missing = [gap for harvest in harvests for gap in harvest.walk.missing if not _waived(gap, question)]
    if not missing or question.on_incomplete == "ignore":
        return Verdict(None, notices)
    message = _message(missing, harvests)
    if question.on_incomplete == "warn":
        return Verdict(None, (*notices, IncompleteDataWarning(message)))
    return Verdict(IncompleteDataError(message, missing=missing), notices)


def _clock_skew(harvests: Sequence[Harvest]) -> tuple[ClockSkewWarning, ...]:
    skew = max((harvest.skew for harvest in harvests), key=abs)
    if abs(skew) <= _SKEW_BORNE:
        return ()
    ours, seconds = ("behind", skew) if skew > timedelta() else ("ahead of", -skew)
    return (
        ClockSkewWarning(
            f"this machine's clock is {seconds.total_seconds():,.0f} s {ours} the server's; bars count as closed by "
            f"the earlier of the two, so set the clock if the newest bars are missing"
        ),
    )


def _waived(gap: Missing, question: Question) -> bool:
    """`range="max"` asks for what there is: its left edge cannot be missing, a hole can."""
    asked = question.asked
    at_left_edge = gap.reason in _LEFT_EDGE and gap.span.start == asked.span.start
    return at_left_edge and asked.from_beginning and asked.count is None


def _late_starts(question: Question, harvests: Sequence[Harvest]) -> tuple[HistoryStartWarning, ...]:
    asked = question.asked
    late = [
        f"{harvest.walk.code} ({'no bars at all' if harvest.walk.reached is None else _from(harvest)})"
        for harvest in harvests
        if harvest.walk.stop is Stop.HISTORY_START
    ]
    if not late or (asked.from_beginning and asked.count is None):
        return ()
    wanted = f"{asked.count} bars" if asked.count is not None else f"{asked.span.start:%Y-%m-%d}"
    return (
        HistoryStartWarning(
            f"the vendor's {question.period.value} history begins later than asked ({wanted}) for: {_some(late)}"
        ),
    )


def _from(harvest: Harvest) -> str:
    return f"from {harvest.walk.reached:%Y-%m-%d %H:%M}Z"


def _message(missing: Sequence[Missing], harvests: Sequence[Harvest]) -> str:
    reachable = {
        harvest.walk.code: f"; reachable from {harvest.walk.oldest_stamp:%Y-%m-%d %H:%M}Z"
        for harvest in harvests
        if harvest.walk.started and not family_of(harvest.walk.code).pageable
    }
    told = [f"{gap}{reachable.get(gap.code, '')}" for gap in missing]
    return (
        f"{len(missing)} span{'s' if len(missing) > 1 else ''} cannot be had: {_some(told)}. "
        f"What there is: .frame of this error, or on_incomplete='warn' or 'ignore'; range='max' asks for all "
        f"that is reachable"
    )


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _NAMED_AT_MOST} more" if len(items) > _NAMED_AT_MOST else ""
    return "; ".join(items[:_NAMED_AT_MOST]) + more
