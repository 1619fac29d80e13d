"""Half-open spans: merging and subtracting lose and invent no instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from alltick_frames.spans import BEGINNING, Span, SpanSet

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def span(start: int, end: int) -> Span:
    return Span(EPOCH + timedelta(hours=start), EPOCH + timedelta(hours=end))


SPANS = st.builds(span, st.integers(0, 60), st.integers(0, 60))


def hours(spans: SpanSet | list[Span]) -> set[int]:
    return {hour for hour in range(61) if any(each.start <= EPOCH + timedelta(hours=hour) < each.end for each in spans)}


@given(st.lists(SPANS, max_size=8))
def test_merging_keeps_every_instant_in_disjoint_order(spans: list[Span]) -> None:
    merged = SpanSet.of(spans)
    assert hours(merged) == hours(spans)
    assert all(before.end < after.start for before, after in zip(merged.spans, merged.spans[1:], strict=False))
    assert all(merged)


@given(st.lists(SPANS, max_size=8), SPANS)
def test_what_is_missing_and_what_is_held_make_up_the_whole(spans: list[Span], whole: Span) -> None:
    held = SpanSet.of(spans)
    missing = held.missing_from(whole)
    assert hours(missing) == hours([whole]) - hours(held)
    assert hours(missing | held) >= hours([whole])


def test_spans_are_shown_as_short_as_they_are() -> None:
    assert str(span(0, 24)) == "[2026-01-01, 2026-01-02)"
    assert str(Span(BEGINNING, EPOCH + timedelta(hours=9, minutes=30))) == "[the beginning, 2026-01-01T09:30Z)"
    assert str(Span(EPOCH, EPOCH + timedelta(seconds=5))) == "[2026-01-01, 2026-01-01T00:00:05Z)"
