"""How much there is to ask for, where walks are cut, and how many walk at once."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alltick_frames import workload
from alltick_frames.backfill import Walk, walk_for
from alltick_frames.codes import family_of
from alltick_frames.hours import fewest_share, hours_of, most_bars
from alltick_frames.periods import Period
from alltick_frames.plans import plan_named
from alltick_frames.spans import BEGINNING, Span

if TYPE_CHECKING:
    import alltick_frames as at

MINUTE, DAY = Period("1m"), timedelta(days=1)
NOW = datetime(2026, 3, 18, 15, tzinfo=UTC)
PROFESSIONAL = plan_named("professional")

# One of each kind of hours; a year with both clock changes and the holidays.
CODES = ("EURUSD", "BTCUSDT", "GOLD", "UKOIL", "COPPER", "US500", "700.HK", "AAPL.US", "600519.SH")
YEAR = Span(datetime(2025, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("code", "period"),
    [
        (code, period)
        for code in CODES
        for period in ("5m", "1h", "4h", "1d", "1w", "1mo")
        if family_of(code).pageable or Period(period).for_stocks
    ],
)
def test_a_year_has_no_more_bars_than_its_hours_and_not_far_fewer(
    server: at.sandbox.Sandbox, code: str, period: str
) -> None:
    bars = server.bars(code, period, YEAR.start, YEAR.end).num_rows
    most = most_bars(code, Period(period), YEAR)
    assert bars <= most
    assert fewest_share(code) * most <= bars + 1


def test_forex_and_crypto_are_known_well(server: at.sandbox.Sandbox) -> None:
    for code in ("EURUSD", "BTCUSDT"):
        bars = server.bars(code, "1m", YEAR.start, YEAR.end).num_rows
        assert most_bars(code, MINUTE, YEAR) <= 1.01 * bars


instants = st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # aware


@given(code=st.sampled_from(["EURUSD", "BTCUSDT"]), instant=instants)
def test_open_time_can_be_counted_back(code: str, instant: datetime) -> None:
    hours = hours_of(code)
    passed = hours.passed(instant)
    assert hours.passed(hours.when(passed)) == passed
    local = instant.astimezone(ZoneInfo("America/New_York"))
    rests = (local.weekday(), local.hour) >= (4, 17) and (local.weekday(), local.hour) < (6, 17)
    if not (code == "EURUSD" and rests):
        assert abs(hours.when(passed) - instant) <= timedelta(hours=1)  # an hour, where clocks are set back


def test_as_many_walk_as_the_rate_needs() -> None:
    assert workload.walkers(PROFESSIONAL, 0.2) == 6
    # One answer comes before the next slot does.
    assert workload.walkers(PROFESSIONAL, 0.02) == 1
    assert workload.walkers(plan_named("free"), 5) == 1
    # The tightest window decides, and no server wants a thousand connections.
    assert workload.walkers(plan_named("professional", {"minute": (60, 60)}), 1.5) == 3
    assert workload.walkers(PROFESSIONAL, 60) == 100


def walk(code: str = "BTCUSDT", days: float = 30, **changes: Any) -> Walk:
    span = Span(NOW - days * DAY, NOW)
    made = walk_for(code, MINUTE, span, open_end=False)
    fields = {"honours_end": True, "oldest_stamp": NOW, "reached": NOW, **changes}
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


class TestSplitting:
    def test_the_newer_part_gets_whole_pages(self) -> None:
        cut = workload.split(walk(), 10, 87, 1.0, fewest=4, floor=None)
        assert cut is not None
        newer, older = cut
        assert 9.9 < (newer.span.end - newer.span.start) / timedelta(minutes=498) <= 10
        assert older.span == Span(NOW - 30 * DAY, newer.span.start + MINUTE.nominal)
        assert older.part
        assert not older.started

    def test_of_a_sparse_product_a_page_reaches_further(self) -> None:
        cut = workload.split(walk(), 10, 87, 0.5, fewest=4, floor=None)
        assert cut is not None
        assert 9.9 < (NOW - cut[0].span.start) / timedelta(minutes=2 * 498) <= 10

    def test_over_a_weekend_open_hours_are_counted(self) -> None:
        monday = datetime(2026, 3, 16, 12, tzinfo=UTC)
        cut = workload.split(walk("EURUSD", 30, reached=monday), 10, 40, 1.0, fewest=4, floor=None)
        assert cut is not None
        assert monday - cut[0].span.start > timedelta(minutes=10 * 498) + 2 * DAY - timedelta(hours=1)

    @pytest.mark.parametrize(
        ("changes", "pages"),
        [
            ({}, 7),
            ({"honours_end": False}, 87),
            ({"wanted": 40_000}, 87),
            ({"doubts": 1}, 87),
            ({"period": Period("1d")}, 87),
        ],
        ids=str,
    )
    def test_what_does_not_pay_or_is_not_known_to_work_stays_whole(self, changes: dict[str, Any], pages: int) -> None:
        assert workload.split(walk(**changes), pages / 2, pages, 1.0, fewest=4, floor=None) is None
        assert workload.split(walk(), 40, 87, 1.0, fewest=4, floor=None) is not None

    def test_nothing_begins_before_a_floor(self) -> None:
        assert workload.split(walk(), 40, 87, 1.0, fewest=4, floor=NOW - 10 * DAY) is None
        assert workload.split(walk(), 10, 87, 1.0, fewest=4, floor=NOW - 10 * DAY) is not None


class TestExpectations:
    def test_pages_that_are_left_go_by_hours_and_density(self) -> None:
        assert workload.pages_left(walk(days=10), PROFESSIONAL, NOW) == math.ceil(14_400 / 499)
        assert workload.pages_left(walk(days=10), PROFESSIONAL, NOW, 0.5) == math.ceil(7_200 / 499)
        assert workload.pages_left(walk("EURUSD", 7), PROFESSIONAL, NOW) == math.ceil(7_200 / 499)
        assert workload.pages_left(walk_for("700.HK", MINUTE, YEAR, open_end=False), PROFESSIONAL, NOW) == 1

    def test_history_ends_where_the_plan_does(self) -> None:
        everything = walk_for("BTCUSDT", MINUTE, Span(BEGINNING, NOW), open_end=True)
        years = workload.bars_in(everything, PROFESSIONAL, NOW)[1] / (365.25 * 1440)
        assert 5 < years < 5.6
        assert workload.bars_in(everything, plan_named("free"), NOW)[1] < 1.11 * 365.25 * 1440

    def test_density_is_the_share_of_slots_with_a_bar(self) -> None:
        assert workload.density([]) == 1
        half = walk(reached=NOW - DAY, proven_until=NOW, closed_bars=720)
        assert workload.density([half]) == 0.5
        assert workload.density([half, walk(reached=NOW - DAY, proven_until=NOW, closed_bars=1440)]) == 0.75

    def test_the_price_of_a_year_is_known_within_a_hundredth(self) -> None:
        for code in ("EURUSD", "BTCUSDT"):
            fewest = math.ceil(most_bars(code, MINUTE, YEAR) / 500)
            walks = [walk_for(code, MINUTE, YEAR, open_end=False)]
            assert fewest <= workload.requests_for(walks, PROFESSIONAL, NOW, 0.2)[1] <= 1.03 * fewest

    def test_a_day_of_hours_is_one_request(self) -> None:
        walks = [walk_for(code, Period("1h"), Span(NOW - 6 * DAY, NOW), open_end=True) for code in ("EURUSD", "GOLD")]
        assert workload.requests_for(walks, PROFESSIONAL, NOW, 0.2) == (2, 2)

    def test_a_stock_is_one_request_and_one_more_to_believe_that_it_is_young(self) -> None:
        walks = [walk_for("700.HK", MINUTE, YEAR, open_end=False)]
        assert workload.requests_for(walks, PROFESSIONAL, NOW, 0.2) == (1, 2)
        assert workload.bars_in(walks[0], PROFESSIONAL, NOW)[1] == 500

    def test_nothing_takes_no_time(self) -> None:
        assert workload.seconds_for((0, 0), PROFESSIONAL, 0.2) == (0, 0)
        fewest_s, most_s = workload.seconds_for((1_000, 1_010), PROFESSIONAL, 0.2)
        assert 50 < fewest_s < most_s < 1.05 * 52


class TestPace:
    """How far apart the answers that are left will come."""

    def test_before_any_it_is_that_of_the_rate_or_of_the_latency(self) -> None:
        assert workload.pace_s(700, [], PROFESSIONAL, 0.2) == workload.interval_s(PROFESSIONAL) == 1.025 / 20
        # Too few to be shared: one after the other.
        assert workload.pace_s(5, [3.0], PROFESSIONAL, 0.2) == 0.2

    def test_then_it_is_what_was_seen(self) -> None:
        assert workload.pace_s(700, [1.0, 1.2, 1.4], PROFESSIONAL, 0.2) == pytest.approx(0.2)

    def test_within_a_window_requests_leave_faster_than_in_the_long_run(self) -> None:
        assert workload.pace_s(700, [1.0, 1.045, 1.09], PROFESSIONAL, 0.2) == workload.interval_s(PROFESSIONAL)


def test_the_last_walks_of_a_long_call_are_cut_smaller() -> None:
    assert [workload.fewest_pages(pages) for pages in (6, 31, 32, 1_000)] == [4, 4, 2, 2]
    assert [workload.most_splits(pages, 1.0) for pages in (6, 640, 1_280)] == [10, 10, 20]
    # Where a page may reach any far, half of the cuts cost a request.
    assert [workload.most_splits(pages, 0.9) for pages in (6, 64, 640)] == [0, 2, 20]
