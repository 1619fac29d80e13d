"""What is to be brought up to date, from where on, and the report of what came of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from alltick_frames import evidence, finality, horizon, schemas
from alltick_frames.backfill import FULL_PAGE
from alltick_frames.codes import family_of
from alltick_frames.errors import ArgumentError
from alltick_frames.ranges import Asked, parse_range
from alltick_frames.segments import stamps_of
from alltick_frames.spans import BEGINNING, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from alltick_frames.periods import Period
    from alltick_frames.plans import Plan
    from alltick_frames.spans import Missing
    from alltick_frames.store import Archive
    from alltick_frames.wire import Group

__all__ = ["asked_of", "due_table", "groups", "said", "table"]

_EVER_US = 2**62


def groups(held: Iterable[Group], codes: Sequence[str] | None, periods: Sequence[Period] | None) -> list[Group]:
    """Choose what to bring up to date: of what is *held*, or all that is named by both code and period.

    Raises
    ------
    ArgumentError
        A code is named of which no period is known.
    """
    if codes is not None and periods is not None:
        return [(code, period) for code in codes for period in periods]
    chosen = [group for group in held if group[0] in (codes or [group[0]]) and group[1] in (periods or [group[1]])]
    known = {code for code, _ in chosen}
    unknown = [code for code in codes or () if code not in known]
    if unknown:
        raise ArgumentError(
            f"codes={unknown[0]!r}: nothing of it is held, so there is no telling what to update; name periods, too, "
            f"such as ['1m', '1d'], or fetch it once with get_kline"
        )
    return chosen


def asked_of(known: evidence.Known, code: str, period: Period, plan: Plan, now: datetime) -> Asked:
    """Say what of a group is to be brought up to date: what follows the newest bars held, at this or an earlier time.

    Of a group of which nothing is held, the newest page.
    """
    latest = parse_range("max", period, now).span.end
    held = evidence.held(known).spans
    if not held:
        return parse_range(FULL_PAGE if family_of(code).pageable else "max", period, now)
    since = held[-1].end
    # An update that did not come to its end left a gap after what was then the newest.
    newest_once = {check.start for check in known.checked if check.end >= check.at}
    whole = Span(held[0].start, since)
    left = [gap.span.start for gap in evidence.gaps(known, code, period, whole, plan, now) if gap.reason == "not_held"]
    return Asked(
        Span(min([since, *(start for start in left if finality.microseconds(start) in newest_once)]), latest),
        open_end=True,
    )


def due_table(archive: Archive, chosen: Iterable[Group], now: datetime) -> pa.Table:
    """Say of each stock when the next update must have begun, the most urgent first; schema `schemas.DUE`."""
    rows: list[dict[str, Any]] = []
    for code, period in chosen:
        last_us = archive.known(code, period).last_us
        if last_us is None or family_of(code).pageable:
            continue
        since = last_us - horizon.LOOKS_BACK // timedelta(microseconds=1)
        stamps_us = np.sort(stamps_of(archive.read(code, period, since, _EVER_US).bars))
        due = horizon.due(code, period, stamps_us, now)
        rows.append(
            {
                "code": code,
                "period": period.value,
                "newest": due.newest,
                "by": due.by,
                "left": due.left,
                "calendar": due.calendar,
                "lost_from": due.lost and due.lost.start,
                "lost_to": due.lost and due.lost.end,
            }
        )
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["by"]), schema=schemas.DUE)


def said(missing: Iterable[Missing]) -> list[Missing]:
    """Leave out what lies before the newest page of a group of which nothing was held."""
    return [gap for gap in missing if gap.span.start > BEGINNING]


def table(archive: Archive, before: Mapping[Group, int], missing: Mapping[Group, Sequence[Missing]]) -> pa.Table:
    """Report of each group how much came, how far it goes, and what is missing; schema `schemas.UPDATED`."""
    rows = []
    for (code, period), rows_before in before.items():
        known = archive.known(code, period)
        rows.append(
            {
                "code": code,
                "period": period.value,
                "added": known.rows - rows_before,
                "newest": None if known.last_us is None else finality.instant(known.last_us),
                "missing": [
                    {"start": gap.span.start, "end": gap.span.end, "reason": gap.reason, "detail": gap.detail}
                    for gap in missing[code, period]
                ],
            }
        )
    return pa.Table.from_pylist(rows, schema=schemas.UPDATED)
