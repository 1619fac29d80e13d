"""Walking back through a span: every bar of the server is received, or its absence is said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from alltick_frames import finality, schemas
from alltick_frames.backfill import Judged, Stop, Walk, absorb, next_request, refused, walk_for
from alltick_frames.decode import BadRow, Page
from alltick_frames.periods import Period
from alltick_frames.plans import plan_named
from alltick_frames.spans import Span
from alltick_frames.wire import api_error

MINUTE = timedelta(minutes=1)
NEW_YORK = ZoneInfo("America/New_York")
EPOCH = datetime(2026, 1, 5, tzinfo=UTC)
NOW = datetime(2026, 3, 18, tzinfo=UTC)
PLAN = plan_named("professional")
PERIOD = Period("1m")


def page(stamps: list[datetime]) -> Page:
    stamps_us = np.array([int(stamp.timestamp()) * 1_000_000 for stamp in stamps], dtype=np.int64)
    ones = pa.array(np.ones(len(stamps)))
    columns = [pa.array(stamps_us).cast(schemas.TIMESTAMP), *[ones] * 6]
    return Page(pa.Table.from_arrays(columns, schema=schemas.BARS), stamps_us, len(stamps))


@dataclass
class Server:
    """Answers `/kline` from *bars*, as one of the readings the vendor's pages leave open."""

    bars: list[datetime]
    end: Literal["inclusive", "exclusive", "rounded_to_the_hour", "ignored"] = "inclusive"
    most: int = 500
    short_every: int = 0
    empty_once_at: int = -1
    asked: int = 0

    def answer(self, end: datetime | None, count: int) -> Page:
        self.asked += 1
        if self.asked == self.empty_once_at:
            return page([])
        held = [bar for bar in self.bars if self._reaches(bar, end)]
        most = min(count, self.most)
        if self.short_every and self.asked % self.short_every == 0:
            most = max(3, most // 7)
        return page(held[-most:])

    def _reaches(self, bar: datetime, end: datetime | None) -> bool:
        if end is None or self.end == "ignored":
            return True
        if self.end == "rounded_to_the_hour":
            return bar < end.replace(minute=0, second=0)
        return bar < end if self.end == "exclusive" else bar <= end


def walk_to_the_end(walk: Walk, server: Server) -> tuple[Walk, set[datetime]]:
    received: set[datetime] = set()
    for _ in range(2_000):
        request = next_request(walk)
        if request is None:
            return walk, received
        judged = Judged.of(server.answer(request.end, request.count), walk, NOW, NOW)
        received |= {datetime.fromtimestamp(stamp / 1e6, UTC) for stamp in judged.page.stamps_us.tolist()}
        walk = absorb(walk, judged, PLAN, NOW)
    raise AssertionError("the walk does not end")


def asked_for(start: datetime, end: datetime, code: str = "EURUSD", *, open_end: bool = False) -> Walk:
    return walk_for(code, PERIOD, Span(start, end), open_end=open_end)


def minutes(offsets: list[int]) -> list[datetime]:
    return [EPOCH + offset * MINUTE for offset in sorted(set(offsets))]


@dataclass(frozen=True)
class Shape:
    """Sparse minutes and one dense stretch, so that pages end within either."""

    sparse: tuple[int, ...]
    start: int
    length: int

    @property
    def bars(self) -> list[datetime]:
        return minutes([*self.sparse, *range(self.start, self.start + self.length)])


SHAPES = st.builds(
    Shape, st.lists(st.integers(0, 9_000), max_size=60).map(tuple), st.integers(0, 6_000), st.integers(0, 2_500)
)
OFFSETS = st.tuples(st.integers(-500, 9_500), st.integers(1, 6_000))


@given(
    shape=SHAPES,
    offsets=OFFSETS,
    end=st.sampled_from(["inclusive", "exclusive", "rounded_to_the_hour", "ignored"]),
    most=st.sampled_from([500, 1000]),
    short_every=st.sampled_from([0, 0, 3]),
    empty_once_at=st.sampled_from([-1, -1, 1, 2, 3]),
)
def test_no_bar_is_absent_without_being_said(
    shape: Shape,
    offsets: tuple[int, int],
    end: Literal["inclusive", "exclusive", "rounded_to_the_hour", "ignored"],
    most: int,
    short_every: int,
    empty_once_at: int,
) -> None:
    # Before any bar has come two empty answers are believed, also if one is rounding's and the other a fault's.
    assume(end != "rounded_to_the_hour" or empty_once_at != 2)
    bars = shape.bars
    start = EPOCH + offsets[0] * MINUTE
    server = Server(bars, end, most, short_every, empty_once_at)
    walk, received = walk_to_the_end(asked_for(start, start + offsets[1] * MINUTE), server)
    wanted = {bar for bar in bars if walk.span.start <= bar < walk.span.end}
    said = {bar for bar in wanted if any(gap.span.start <= bar < gap.span.end for gap in walk.missing)}
    assert wanted - received <= said
    assert received <= set(bars)


@given(shape=SHAPES, offsets=OFFSETS, end=st.sampled_from(["inclusive", "exclusive"]))
def test_a_well_behaved_server_is_asked_little_more_than_needed_and_misses_nothing(
    shape: Shape, offsets: tuple[int, int], end: Literal["inclusive", "exclusive"]
) -> None:
    bars = shape.bars
    start = EPOCH + offsets[0] * MINUTE
    server = Server(bars, end)
    walk, received = walk_to_the_end(asked_for(start, start + offsets[1] * MINUTE), server)
    wanted = {bar for bar in bars if walk.span.start <= bar < walk.span.end}
    assert wanted <= received
    assert walk.missing == ()
    # One more may reach past the start, two confirm the beginning of history, one an end in a closed market.
    assert server.asked <= -(-len(wanted) // 498) + 4


def test_a_month_of_minutes_takes_the_fewest_requests() -> None:
    bars = minutes(list(range(30 * 1440)))
    server = Server(bars)
    walk, received = walk_to_the_end(asked_for(EPOCH + timedelta(days=1), EPOCH + timedelta(days=29)), server)
    wanted = 28 * 1440
    assert walk.stop is Stop.COVERED
    assert len(received) >= wanted
    assert server.asked == -(-wanted // 498)


def test_one_request_covers_what_fits_one_page() -> None:
    server = Server(minutes(list(range(5_000))))
    start = EPOCH + 1_000 * MINUTE
    _, received = walk_to_the_end(asked_for(start, start + 499 * MINUTE), server)
    assert server.asked == 1
    assert len(received) == 500


@pytest.mark.parametrize("days", [1, 14])
def test_an_end_in_a_closed_market_costs_one_request_and_not_a_slower_walk(days: int) -> None:
    server = Server(minutes(list(range(days * 1440))))
    walk, received = walk_to_the_end(asked_for(EPOCH, EPOCH + days * 1440 * MINUTE + 90 * MINUTE), server)
    assert (walk.stop, len(received)) == (Stop.COVERED, days * 1440)
    assert server.asked <= -(-days * 1440 // 498) + 2


@given(first=st.integers(0, 130), count=st.integers(1, 1_200), end=st.integers(1, 60))
def test_history_that_begins_within_a_rounded_hour_is_received(first: int, count: int, end: int) -> None:
    bars = minutes(list(range(first, first + count)))
    server = Server(bars, "rounded_to_the_hour")
    walk, received = walk_to_the_end(asked_for(EPOCH - 300 * MINUTE, bars[-1] + end * MINUTE), server)
    assert received == set(bars)
    assert (walk.stop, walk.missing) == (Stop.HISTORY_START, ())


@pytest.mark.parametrize("fault", [{}, {"short_every": 3}, {"empty_once_at": 3}, {"empty_once_at": 2}], ids=str)
def test_fifteen_minutes_behind_a_rounded_end_are_not_the_beginning_of_history(fault: dict[str, int]) -> None:
    bars = minutes(list(range(515)))
    server = Server(bars, "rounded_to_the_hour", **fault)
    walk, received = walk_to_the_end(asked_for(EPOCH - timedelta(days=1), EPOCH + timedelta(days=1)), server)
    assert received == set(bars)
    assert walk.missing == ()


def test_one_empty_page_does_not_slow_the_rest_of_the_walk() -> None:
    server = Server(minutes(list(range(14 * 1440))), empty_once_at=5)
    walk, received = walk_to_the_end(asked_for(EPOCH, EPOCH + timedelta(days=14)), server)
    assert (walk.stop, len(received)) == (Stop.COVERED, 14 * 1440)
    assert server.asked <= -(-14 * 1440 // 498) + 2


@dataclass
class ServerOfBadRows(Server):
    """Sends the bars of *bad* as rows that cannot be read."""

    bad: Span = field(default_factory=lambda: Span(EPOCH, EPOCH))

    def answer(self, end: datetime | None, count: int) -> Page:
        sent = [finality.instant(stamp) for stamp in super().answer(end, count).stamps_us.tolist()]
        unread = [stamp for stamp in sent if self.bad.start <= stamp < self.bad.end]
        good = page([stamp for stamp in sent if stamp not in unread])
        rows = tuple(BadRow(finality.microseconds(stamp), "a price is not finite", "raw") for stamp in unread)
        return replace(good, received=len(sent), bad=rows)


@given(shape=SHAPES, offsets=OFFSETS, bad=st.tuples(st.integers(0, 8_000), st.integers(1, 1_500)))
def test_rows_that_cannot_be_read_hide_no_bar_behind_them(
    shape: Shape, offsets: tuple[int, int], bad: tuple[int, int]
) -> None:
    unread = Span(EPOCH + bad[0] * MINUTE, EPOCH + sum(bad) * MINUTE)
    server = ServerOfBadRows(shape.bars, bad=unread)
    start = EPOCH + offsets[0] * MINUTE
    walk, received = walk_to_the_end(asked_for(start, start + offsets[1] * MINUTE), server)
    wanted = {bar for bar in shape.bars if walk.span.start <= bar < walk.span.end}
    said = {bar for bar in wanted if any(gap.span.start <= bar < gap.span.end for gap in walk.missing)}
    assert wanted - received <= said


def test_a_stretch_of_bad_rows_longer_than_a_page_is_said() -> None:
    bars = minutes(list(range(3_000)))
    server = ServerOfBadRows(bars, bad=Span(bars[1_000], bars[1_700]))
    walk, received = walk_to_the_end(asked_for(EPOCH, EPOCH + 3_000 * MINUTE), server)
    assert walk.stop is Stop.GIVEN_UP
    assert {gap.reason for gap in walk.missing} == {"invalid"}
    assert walk.missing[-1].span == Span(EPOCH, min(received))


def test_a_bad_row_beside_a_good_one_of_the_same_stamp_leaves_nothing_missing() -> None:
    bars = minutes(list(range(100)))
    walk = asked_for(EPOCH, EPOCH + 100 * MINUTE)
    twice = BadRow(finality.microseconds(bars[7]), "a price is not finite", "raw")
    walk = absorb(walk, Judged.of(replace(page(bars), bad=(twice,)), walk, NOW, NOW), PLAN, NOW)
    assert (walk.stop, walk.missing) == (Stop.COVERED, ())


def test_a_bad_row_without_a_stamp_may_be_anywhere_in_its_page() -> None:
    bars = minutes(list(range(100)))
    walk = asked_for(EPOCH, EPOCH + 100 * MINUTE)
    walk = absorb(
        walk, Judged.of(replace(page(bars), bad=(BadRow(None, "no time", "raw"),)), walk, NOW, NOW), PLAN, NOW
    )
    assert [(gap.reason, gap.span) for gap in walk.missing] == [("invalid", Span(bars[0], bars[-1] + MINUTE))]


@pytest.mark.parametrize("hour", [0, 16, 17, 18], ids=["utc midnight", "16:00", "close", "open"])
def test_a_bad_daily_row_is_missing_on_the_date_its_page_shows(hour: int) -> None:
    days = [datetime(2026, 3, day, tzinfo=UTC) for day in (2, 3, 4, 5, 6, 9, 10, 11, 12, 13)]
    # 18:00 opens the date that follows; the hour is New York's, whose clocks change within these weeks.
    opened = [day - timedelta(days=int(hour == 18)) for day in days]
    stamps = [day.replace(tzinfo=NEW_YORK, hour=hour).astimezone(UTC) if hour else day for day in opened]
    sent = page([stamp for stamp in stamps if stamp != stamps[3]])
    bad = BadRow(finality.microseconds(stamps[3]), "a price is not finite", "raw")
    span = Span(days[0], days[-1] + timedelta(days=1))
    walk = walk_for("EURUSD", Period("1d"), span, open_end=False)
    walk = absorb(walk, Judged.of(replace(sent, bad=(bad,)), walk, NOW, NOW), PLAN, NOW)
    assert [gap.span for gap in walk.missing] == [Span(days[3], days[4])]


@given(
    length=st.integers(1, 1_400),
    days=st.tuples(st.integers(-40, 1_500), st.integers(1, 1_500)),
    hour=st.sampled_from([0, 17, 18, 20]),
    end=st.sampled_from(["inclusive", "exclusive"]),
)
def test_of_daily_bars_no_trading_date_is_absent(
    length: int, days: tuple[int, int], hour: int, end: Literal["inclusive", "exclusive"]
) -> None:
    first = datetime(2022, 1, 3, tzinfo=UTC)
    dates = [day for number in range(length) if (day := first + number * timedelta(days=1)).weekday() < 5]
    opened = [day - timedelta(days=int(hour >= 18)) for day in dates]
    stamps = [day.replace(tzinfo=NEW_YORK, hour=hour).astimezone(UTC) if hour else day for day in opened]
    start = first + days[0] * timedelta(days=1)
    span = Span(start, start + days[1] * timedelta(days=1))
    walk, received = walk_to_the_end(walk_for("EURUSD", Period("1d"), span, open_end=False), Server(stamps, end))
    wanted = {stamp for stamp, day in zip(stamps, dates, strict=True) if span.start <= day < span.end}
    assert wanted <= received
    assert walk.missing == ()


def test_a_hole_that_no_page_bridges_is_lost() -> None:
    bars = minutes(list(range(3_000)))
    walk = asked_for(EPOCH, EPOCH + 3_000 * MINUTE)
    walk = absorb(walk, Judged.of(page(bars[2_500:]), walk, NOW, NOW), PLAN, NOW)
    for _ in range(2):  # the server jumps back, twice
        walk = absorb(walk, Judged.of(page(bars[1_000:1_500]), walk, NOW, NOW), PLAN, NOW)
    (gap,) = walk.missing
    assert (gap.reason, gap.span) == ("lost", Span(bars[1_500], bars[2_500]))
    assert walk.reached == bars[1_000]


def test_a_server_that_ignores_the_end_is_not_pageable() -> None:
    server = Server(minutes(list(range(3_000))), end="ignored")
    walk, received = walk_to_the_end(asked_for(EPOCH, EPOCH + 3_000 * MINUTE, open_end=True), server)
    assert [gap.reason for gap in walk.missing] == ["not_pageable"]
    assert (len(received), server.asked) == (500, 2)


class TestStocks:
    def test_a_full_page_is_all_there_is(self) -> None:
        server = Server(minutes(list(range(3_000))))
        walk, _ = walk_to_the_end(asked_for(EPOCH, NOW, "AAPL.US"), server)
        assert [gap.reason for gap in walk.missing] == ["beyond_reach"]
        assert walk.missing[0].span == Span(EPOCH, EPOCH + 2_500 * MINUTE)
        assert server.asked == 1

    def test_a_short_page_is_asked_for_twice_before_it_counts_as_the_listing(self) -> None:
        server = Server(minutes(list(range(120))))
        walk, received = walk_to_the_end(asked_for(EPOCH - timedelta(days=1), NOW, "AAPL.US"), server)
        assert (walk.stop, walk.missing) == (Stop.HISTORY_START, ())
        assert (len(received), server.asked) == (120, 2)

    def test_a_page_that_reaches_the_start_is_complete(self) -> None:
        server = Server(minutes(list(range(3_000))))
        walk, _ = walk_to_the_end(asked_for(EPOCH + 2_700 * MINUTE, NOW, "AAPL.US"), server)
        assert (walk.stop, walk.missing, server.asked) == (Stop.COVERED, (), 1)


class TestHistoryStart:
    @pytest.mark.parametrize(("years_ago", "reason"), [(5.0, "beyond_plan"), (4.7, "beyond_plan"), (2.0, None)])
    def test_where_the_plan_ends_it_is_the_plan(self, years_ago: float, reason: str | None) -> None:
        first = (NOW - years_ago * timedelta(days=365.25)).replace(second=0, microsecond=0)
        server = Server([first + number * MINUTE for number in range(800)])
        walk, _ = walk_to_the_end(asked_for(first - timedelta(days=90), first + 900 * MINUTE), server)
        assert [gap.reason for gap in walk.missing] == ([reason] if reason else [])
        assert walk.stop is (Stop.GIVEN_UP if reason else Stop.HISTORY_START)

    @pytest.mark.parametrize("ret", [603, 604])
    def test_a_refusal_of_a_deep_page_is_the_plan(self, ret: int) -> None:
        walk = asked_for(EPOCH, EPOCH + 3_000 * MINUTE)
        error = api_error(ret, "token level not enough", "t", ["EURUSD"])
        assert refused(walk, error).stop is Stop.REFUSED
        begun = absorb(walk, Judged.of(page(minutes(list(range(2_500, 3_000)))), walk, NOW, NOW), PLAN, NOW)
        ended = refused(begun, error)
        assert [gap.reason for gap in ended.missing] == ["beyond_plan"]
        assert ended.missing[0].span == Span(EPOCH, EPOCH + 2_500 * MINUTE)
