"""What the archive holds, as tables: spans and why some are missing, suspicious holes, and restated bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from alltick_frames import absences, evidence, finality, schemas
from alltick_frames.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from alltick_frames.periods import Period
    from alltick_frames.plans import Plan
    from alltick_frames.store import Archive

__all__ = ["coverage_table", "gaps_table", "groups", "restatements_table"]

_EVER = (-(2**62), 2**62)


def coverage_table(
    archive: Archive, codes: Sequence[str] | None, period: Period | None, plan: Plan, now: datetime
) -> pa.Table:
    """List the spans held and missing of each group, in order; schema `schemas.COVERAGE`."""
    rows = [
        {"code": code, "period": of_period.value, **row}
        for code, of_period in groups(archive, codes, period)
        for row in _spans(archive, code, of_period, plan, now)
    ]
    return pa.Table.from_pylist(rows, schema=schemas.COVERAGE)


def groups(archive: Archive, codes: Sequence[str] | None, period: Period | None) -> list[tuple[str, Period]]:
    """Give the groups held, as the codes were asked, and from short periods to long ones."""
    held = [(code, of_period) for code, of_period in archive.groups(codes) if period in (None, of_period)]
    order = {code: position for position, code in enumerate(codes or sorted({code for code, _ in held}))}
    return sorted(held, key=lambda group: (order[group[0]], group[1].vendor_number))


def _spans(archive: Archive, code: str, period: Period, plan: Plan, now: datetime) -> Iterator[dict[str, Any]]:
    known = archive.known(code, period)
    held = evidence.held(known).spans
    begins = evidence.begins(known, plan, now)
    if begins is not None:
        first = finality.instant(begins.key_us) if not held else held[0].start
        yield _row(None, first, reason=begins.reason or "history_start", detail=begins.detail)
    if not held:
        return
    whole = Span(held[0].start, held[-1].end)
    gaps = evidence.gaps(known, code, period, whole, plan, now)
    missing = [(gap.span, _row(gap.span.start, gap.span.end, reason=gap.reason, detail=gap.detail)) for gap in gaps]
    counts = archive.counts(code, period, known.coverage)
    there = [(span, _row(span.start, span.end, bars=bars)) for span, bars in zip(held, counts, strict=True)]
    for _, row in sorted([*missing, *there], key=lambda item: item[0]):
        yield row


def _row(
    start: datetime | None, end: datetime, *, bars: int | None = None, reason: str | None = None, detail: str = ""
) -> dict[str, Any]:
    return {
        "start": start,
        "end": end,
        "held": reason is None,
        "bars": bars,
        "reason": reason,
        "detail": detail or None,
    }


def gaps_table(
    archive: Archive,
    codes: Sequence[str] | None,
    period: Period | None,
    plan: Plan,
    now: datetime,
    min_bars: int | None,
) -> pa.Table:
    """List the suspicious holes of each group, in order; schema `schemas.GAPS`."""
    tables = [schemas.GAPS.empty_table()]
    for code, of_period in groups(archive, codes, period):
        held = archive.read(code, of_period, *_EVER)
        found = [*absences.stretches(code, of_period, held, held.keys_us, plan, now, min_bars=min_bars)]
        columns = {name: [getattr(stretch, name) for stretch in found] for name in schemas.GAPS.names[2:]}
        columns |= {"code": [code] * len(found), "period": [of_period.value] * len(found)}
        columns["detail"] = [detail or None for detail in columns["detail"]]
        tables.append(pa.table([columns[name] for name in schemas.GAPS.names], schema=schemas.GAPS))
    return pa.concat_tables(tables)


def restatements_table(archive: Archive, codes: Sequence[str] | None, period: Period | None) -> pa.Table:
    """List each value of a closed bar that a later answer changed; schema `schemas.RESTATEMENTS`."""
    rows = [
        {
            "code": code,
            "period": of_period.value,
            "timestamp": finality.instant(restated.stamp_us),
            "asked_at": finality.instant(restated.asked_at_us),
            "field": field,
            "old": _number(old),
            "new": _number(new),
        }
        for code, of_period in groups(archive, codes, period)
        for restated in archive.restatements(code, of_period)
        for field, old, new in zip(schemas.BARS.names[1:], restated.old, restated.new, strict=True)
        if old != new
    ]
    return pa.Table.from_pylist(rows, schema=schemas.RESTATEMENTS)


def _number(value: float | str | None) -> float | None:
    return None if value is None else float(value)
