"""Half-open spans of time in UTC, and what is missing from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alltick_frames.periods import Period

__all__ = ["BEGINNING", "EVER", "MOMENT", "Missing", "Reason", "Span", "SpanSet"]

# Before any bar of any vendor: the left edge of `range="max"`.
BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)
# The length of the span of what has none.
MOMENT = timedelta(microseconds=1)

Reason = Literal["beyond_reach", "beyond_plan", "lost", "not_pageable", "invalid", "refused", "not_held", "no_data"]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The instants `start <= t < end`, both in UTC; of 1d, 1w and 1mo bars, trading dates as 00:00 UTC."""

    start: datetime
    end: datetime

    def __bool__(self) -> bool:
        return self.start < self.end

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def __str__(self) -> str:
        return f"[{_short(self.start)}, {_short(self.end)})"


# Its end no bar of ours will see, and no unit of time overflows.
EVER = Span(BEGINNING, datetime(2200, 1, 1, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class SpanSet:
    """Disjoint, sorted, non-touching spans."""

    spans: tuple[Span, ...] = ()

    @classmethod
    def of(cls, spans: Iterable[Span]) -> SpanSet:
        """Merge *spans*, in any order, overlapping or touching."""
        merged: list[Span] = []
        for span in sorted(filter(None, spans)):
            if merged and span.start <= merged[-1].end:
                merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
            else:
                merged.append(span)
        return cls(tuple(merged))

    def __iter__(self) -> Iterator[Span]:
        return iter(self.spans)

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __or__(self, other: SpanSet) -> SpanSet:
        return SpanSet.of((*self.spans, *other.spans))

    def __and__(self, other: SpanSet) -> SpanSet:
        return SpanSet.of(
            Span(max(one.start, two.start), min(one.end, two.end)) for one in self.spans for two in other.spans
        )

    def missing_from(self, span: Span) -> SpanSet:
        """Subtract this set from *span*."""
        gaps: list[Span] = []
        start = span.start
        for held in self.spans:
            if held.end <= start or held.start >= span.end:
                continue
            gaps.append(Span(start, min(held.start, span.end)))
            start = held.end
        gaps.append(Span(start, span.end))
        return SpanSet.of(gaps)


@dataclass(frozen=True, slots=True)
class Missing:
    """A span of one code that the vendor cannot give, and why.

    Attributes
    ----------
    period, span
        Of what has no period, such as a last trade, None and the moment of asking.
    reason
        `beyond_reach`: a stock's history past the newest 500 bars. `beyond_plan`: older than the plan sells.
        `lost`: a hole that can no longer be asked for. `not_pageable`: the server ignores end times for this
        code. `invalid`: a bar that cannot be true. `refused`: the vendor refused the code. `not_held`: not in the
        archive, and `network="never"` was said. `no_data`: left out of the vendor's answer.
    detail
        What is known beyond the reason: the vendor's words, the bar's raw values.
    """

    code: str
    period: Period | None
    span: Span
    reason: Reason
    detail: str = ""

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        period = "" if self.period is None else f"{self.period.value} "
        # A moment of asking tells nobody anything.
        span = f"{self.span} " if self.span.end - self.span.start > MOMENT else ""
        return f"{self.code} {period}{span}{self.reason}{detail}"


def _short(instant: datetime) -> str:
    if instant <= BEGINNING:
        return "the beginning"
    if instant.time() == time():
        return f"{instant:%Y-%m-%d}"
    return f"{instant:%Y-%m-%dT%H:%M}Z" if instant.second == 0 else f"{instant:%Y-%m-%dT%H:%M:%S}Z"
