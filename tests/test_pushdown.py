"""What a filter lets be read and fetched: no more than its rows need, and never less."""

from __future__ import annotations

import operator
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import alltick_frames as at
from alltick_frames.pushdown import Reading
from alltick_frames.scan import Scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Connect = Callable[..., at.Client]

CODE, STAMP, CLOSE = pl.col("code"), pl.col("timestamp"), pl.col("close")
ENGINES: tuple[Literal["in-memory", "streaming"], ...] = ("in-memory", "streaming")
SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture(autouse=True)
def _at_rest(request: pytest.FixtureRequest) -> None:
    if "client" in request.fixturenames or "connect" in request.fixturenames:
        request.getfixturevalue("set_clocks")("2026-03-18T15:00:30Z")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


EUR = CODE == "EURUSD"
DAY = (utc(2026, 3, 3), utc(2026, 3, 4))
WEEK = (utc(2026, 3, 2), utc(2026, 3, 7))
NONE = timedelta(microseconds=1)
Asked = list[tuple[Any, Any]]

# A filter, and the calls of `get_kline` that fetch just its rows.
PREDICATES: dict[str, tuple[pl.Expr, Asked]] = {
    "from on, and before": (EUR & (STAMP >= DAY[0]) & (STAMP < DAY[1]), [("EURUSD", DAY)]),
    "after, and up to": (EUR & (STAMP > DAY[0]) & (STAMP <= DAY[1]), [("EURUSD", (DAY[0] + NONE, DAY[1] + NONE))]),
    "the literal first": (EUR & (pl.lit(DAY[0]) <= STAMP) & (pl.lit(DAY[1]) > STAMP), [("EURUSD", DAY)]),
    "in several filters": (pl.all_horizontal(EUR, STAMP >= DAY[0], STAMP < DAY[1]), [("EURUSD", DAY)]),
    "is_between": (EUR & STAMP.is_between(*DAY), [("EURUSD", (DAY[0], DAY[1] + NONE))]),
    "is_between, closed left": (EUR & STAMP.is_between(*DAY, closed="left"), [("EURUSD", DAY)]),
    "is_between, open": (EUR & STAMP.is_between(*DAY, closed="none"), [("EURUSD", (DAY[0] + NONE, DAY[1]))]),
    "one instant": (EUR & (STAMP == DAY[0]), [("EURUSD", (DAY[0], DAY[0] + NONE))]),
    "the date": (EUR & (STAMP.dt.date() == date(2026, 3, 3)), [("EURUSD", DAY)]),
    "dates between": (EUR & STAMP.dt.date().is_between(date(2026, 3, 2), date(2026, 3, 6)), [("EURUSD", WEEK)]),
    "a date in a list": (EUR & STAMP.dt.date().is_in([date(2026, 3, 3)]), [("EURUSD", DAY)]),
    "far dates": (
        EUR & STAMP.dt.date().is_in([date(2025, 12, 2), date(2026, 3, 3)]),
        [("EURUSD", DAY), ("EURUSD", (utc(2025, 12, 2), utc(2025, 12, 3)))],
    ),
    "compared with a date": (EUR & (STAMP >= date(2026, 3, 3)) & (STAMP < date(2026, 3, 4)), [("EURUSD", DAY)]),
    # Of casts that can fail, Polars applies those beside another condition itself.
    "cast to a date": (EUR & (STAMP.cast(pl.Date, strict=False) == date(2026, 3, 3)), [("EURUSD", DAY)]),
    "a month": (EUR & (STAMP.dt.truncate("1mo") == utc(2026, 2, 1)), [("EURUSD", (utc(2026, 2, 1), utc(2026, 3, 1)))]),
    "a year so far": (EUR & (STAMP.dt.year() == 2026), [("EURUSD", (utc(2026, 1, 1), None))]),
    "a date in Shanghai": (
        EUR & (STAMP.dt.convert_time_zone("Asia/Shanghai").dt.date() == date(2026, 3, 3)),
        [("EURUSD", (utc(2026, 3, 2, 16), utc(2026, 3, 3, 16)))],
    ),
    "a time in Shanghai": (
        EUR
        & STAMP.dt.convert_time_zone("Asia/Shanghai").is_between(
            datetime(2026, 3, 3, tzinfo=SHANGHAI), datetime(2026, 3, 4, tzinfo=SHANGHAI), closed="left"
        ),
        [("EURUSD", (utc(2026, 3, 2, 16), utc(2026, 3, 3, 16)))],
    ),
    "without a zone": (
        EUR & (STAMP.dt.replace_time_zone(None).is_between(datetime(2026, 3, 3), datetime(2026, 3, 4), closed="left")),
        [("EURUSD", DAY)],
    ),
    "in milliseconds": (
        EUR & STAMP.dt.timestamp("ms").is_between(1772496000000, 1772582400000, closed="left"),
        [("EURUSD", DAY)],
    ),
    "a duration later": (
        EUR & (STAMP + pl.duration(hours=1)).is_between(*DAY, closed="right"),
        [("EURUSD", (DAY[0] - timedelta(hours=1) + NONE, DAY[1] - timedelta(hours=1) + NONE))],
    ),
    "a time that is text": (
        EUR & (STAMP >= pl.lit("2026-03-03").str.to_datetime(time_zone="UTC")) & (STAMP < DAY[1]),
        [("EURUSD", DAY)],
    ),
    "no end": (EUR & (STAMP >= WEEK[0]), [("EURUSD", (WEEK[0], None))]),
    "some codes": (
        CODE.is_in(["GOLD", "EURUSD"]) & STAMP.is_between(*DAY, closed="left"),
        [(["EURUSD", "GOLD"], DAY)],
    ),
    "one code or another": (
        ((CODE == "GOLD") | (CODE == "EURUSD")) & (STAMP >= DAY[0]) & (STAMP < DAY[1]),
        [(["EURUSD", "GOLD"], DAY)],
    ),
    "of each code another time": (
        (EUR & STAMP.is_between(*DAY, closed="left")) | ((CODE == "GOLD") & STAMP.is_between(*WEEK, closed="left")),
        [("EURUSD", DAY), ("GOLD", WEEK)],
    ),
    "not the others": (~((CODE != "EURUSD") | (STAMP < DAY[0]) | (STAMP >= DAY[1])), [("EURUSD", DAY)]),
    "two days of one": (
        EUR & ((STAMP.dt.date() == date(2026, 3, 3)) | (STAMP.dt.date() == date(2025, 12, 2))),
        [("EURUSD", DAY), ("EURUSD", (utc(2025, 12, 2), utc(2025, 12, 3)))],
    ),
    "and what only rows can tell": (
        EUR & (CLOSE > 1) & (STAMP.dt.hour() < 9) & STAMP.is_between(*DAY, closed="left"),
        [("EURUSD", DAY)],
    ),
    "of which nothing can be true": (EUR & (STAMP >= DAY[1]) & (STAMP < DAY[0]), []),
    "only the future": (EUR & (STAMP >= utc(2027, 1, 1)), []),
}


def sent(server: at.sandbox.Sandbox) -> list[tuple[Any, ...]]:
    logged = [(one["code"], one["kline_type"], one["end"], one["num"]) for one in server.requests()]
    server.reset()
    return sorted(logged)


class TestWhatAFilterSends:
    @pytest.mark.parametrize("name", PREDICATES)
    def test_is_what_get_kline_sends_for_just_its_rows(
        self, connect: Connect, server: at.sandbox.Sandbox, tmp_path: Any, name: str
    ) -> None:
        predicate, asked = PREDICATES[name]
        eager = connect(cache_dir=tmp_path / "eager")
        frames = [eager.get_kline(codes, "1h", span) for codes, span in asked]
        fewest = sent(server)
        assert len(fewest) >= len(asked)
        lazy = connect().scan_kline(None, "1h").filter(predicate)
        got = lazy.collect()
        assert sent(server) == fewest
        if frames:
            whole = pl.concat(frames).filter(predicate).sort("code", "timestamp")
            assert got.equals(whole)
            assert whole.height > 0
        for engine in ENGINES:
            assert lazy.collect(engine=engine).equals(got)
        assert sent(server) == []

    @pytest.mark.parametrize("codes", [["EURUSD"], ["700.HK", "AAPL.US"], ["BTCUSDT"]])
    def test_of_days_the_dates_that_such_stamps_can_have(
        self, connect: Connect, server: at.sandbox.Sandbox, tmp_path: Any, codes: list[str]
    ) -> None:
        within = STAMP.is_between(utc(2026, 2, 2), utc(2026, 2, 28), closed="left")
        eager = connect(cache_dir=tmp_path / "eager").get_kline(codes, "1d", "2026-02-01/2026-03-01").filter(within)
        fewest = len(sent(server))
        got = connect().scan_kline(codes, "1d").filter(within).collect()
        assert got.equals(eager)
        assert got.height > 15
        assert len(sent(server)) == fewest

    def test_within_a_range_the_narrower_of_both(
        self, connect: Connect, server: at.sandbox.Sandbox, tmp_path: Any
    ) -> None:
        connect(cache_dir=tmp_path / "eager").get_kline("GOLD", "1h", "2026-03-05/2026-03-06")
        fewest = sent(server)
        lazy = connect().scan_kline(["EURUSD", "GOLD"], "1h", "2025-01-01/2026-03-06")
        got = lazy.filter(CODE == "GOLD", STAMP >= utc(2026, 3, 5)).collect()
        assert sent(server) == fewest
        assert got["timestamp"].dt.date().unique().to_list() == [date(2026, 3, 5), date(2026, 3, 6)]

    def test_the_first_rows_fetch_no_more_codes_than_have_them(
        self, client: at.Client, server: at.sandbox.Sandbox
    ) -> None:
        lazy = client.scan_kline(["EURUSD", "GOLD", "BTCUSDT"], "1h", "2026-03-03/2026-03-04")
        assert lazy.head(60).collect().height == 60
        assert [one[0] for one in sent(server)] == ["EURUSD", "GOLD"]

    def test_a_code_that_the_filter_names_is_judged(self, client: at.Client) -> None:
        with pytest.raises(at.ArgumentError, match=r"00700\.HK"):
            client.scan_kline(None, "1h").filter(CODE == "00700.HK", STAMP >= DAY[0]).collect()
        with pytest.raises(at.UnknownCodeError):
            client.scan_kline(None, "1h").filter(CODE == "NOSUCH", STAMP >= DAY[0]).collect()

    def test_what_cannot_be_had_of_several_is_raised_once(self, client: at.Client) -> None:
        lazy = client.scan_kline(None, "1h").filter(
            ((CODE == "AAPL.US") & (STAMP >= utc(2025, 1, 1))) | ((CODE == "NOSUCH") & (STAMP >= utc(2026, 1, 1)))
        )
        with pytest.raises(at.AllTickError) as raised:
            lazy.collect()
        assert isinstance(raised.value, at.UnknownCodeError)
        with pytest.raises(at.IncompleteDataError, match=r"AAPL\.US 1h .2025-01-01, .*beyond_reach") as incomplete:
            lazy.filter(CODE != "NOSUCH").collect()
        there = incomplete.value.frame
        assert isinstance(there, pl.LazyFrame)
        # Of what was asked, without a word of what was said already.
        assert there.collect()["code"].unique().to_list() == ["AAPL.US"]
        assert there.filter(STAMP < DAY[0]).select(pl.len()).collect().item() > 300


class TestWhatReachesTheSource:
    @pytest.mark.parametrize("engine", ENGINES)
    def test_columns_rows_and_filters(self, client: at.Client, engine: Literal["in-memory", "streaming"]) -> None:
        reached: list[tuple[Any, ...]] = []
        frames: list[pl.DataFrame] = []
        original = Scan.frames

        def noted(scanned: Scan, columns: Any, predicate: Any, n_rows: Any, size: Any) -> Iterator[pl.DataFrame]:
            reached.append((columns, None if predicate is None else sorted(predicate.meta.root_names()), n_rows))
            for frame in original(scanned, columns, predicate, n_rows, size):
                frames.append(frame)
                yield frame

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Scan, "frames", noted)
            lazy = client.scan_kline(["EURUSD", "GOLD"], "1h", "2026-03-02/2026-03-06")
            lazy.filter(STAMP.dt.date() == date(2026, 3, 3), CLOSE > 0).select("code", "low").collect(engine=engine)
            lazy.head(5).select("close").collect(engine=engine)
        assert reached == [
            (["code", "timestamp", "low", "close"], ["close", "timestamp"], None),
            (["close"], None, 5),
        ]
        # The day's rows alone were read: gold rests for an hour.
        assert [frame.shape for frame in frames] == [(24, 4), (23, 4), (5, 1)]


TIMES = st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC))
# Havana's clocks go back from one o'clock to midnight, Lord Howe's by half an hour.
ZONES = st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York", "America/Havana", "Australia/Lord_Howe"])
CODES = ["EURUSD", "GOLD", "700.HK", "BTCUSDT"]


COMPARE = st.sampled_from([operator.ge, operator.gt, operator.le, operator.lt, operator.eq, operator.ne])
EVERY = st.sampled_from(["1h", "1d", "1w", "1mo", "1y"])
CLOSED: st.SearchStrategy[Any] = st.sampled_from(["both", "left", "right", "none"])
NAMES = st.lists(st.sampled_from([*CODES, "NOSUCH"]), min_size=1, max_size=3)


def in_zone(zone: str) -> pl.Expr:
    return STAMP.dt.convert_time_zone(zone)


def comparisons() -> st.SearchStrategy[pl.Expr]:
    """One condition on the time, or on the code, or on something else."""
    made: list[st.SearchStrategy[Any]] = [
        st.builds(lambda compare, at: compare(STAMP, at), COMPARE, TIMES),
        st.builds(lambda compare, at: compare(pl.lit(at), STAMP), COMPARE, TIMES),
        st.builds(lambda one, two, closed: STAMP.is_between(one, two, closed=closed), TIMES, TIMES, CLOSED),
        st.builds(lambda compare, zone, at: compare(in_zone(zone).dt.date(), at.date()), COMPARE, ZONES, TIMES),
        st.builds(
            lambda zone, times: in_zone(zone).dt.date().is_in([at.date() for at in times]),
            ZONES,
            st.lists(TIMES, max_size=4),
        ),
        st.builds(
            lambda compare, zone, at, every: compare(
                in_zone(zone).dt.truncate(every), pl.lit(at).dt.convert_time_zone(zone).dt.truncate(every)
            ),
            COMPARE,
            ZONES,
            TIMES,
            EVERY,
        ),
        st.builds(
            lambda compare, zone, at: compare(in_zone(zone).dt.replace_time_zone(None), at.replace(tzinfo=None)),
            COMPARE,
            ZONES,
            TIMES,
        ),
        st.builds(lambda compare, zone, at: compare(in_zone(zone).dt.year(), at.year), COMPARE, ZONES, TIMES),
        st.builds(
            lambda compare, hours, at: compare(STAMP + timedelta(hours=hours), at), COMPARE, st.integers(-48, 48), TIMES
        ),
        st.builds(lambda compare, at: compare(STAMP.dt.epoch("s"), int(at.timestamp())), COMPARE, TIMES),
        st.builds(lambda compare, day: compare(STAMP.dt.epoch("d"), day), COMPARE, st.integers(20_000, 20_600)),
        st.builds(lambda compare, names: compare(CODE, names[0]), COMPARE, NAMES),
        st.builds(lambda names: pl.lit(names[0]) == CODE, NAMES),
        st.builds(CODE.is_in, NAMES),
        st.builds(lambda names: CODE.ne_missing(names[0]), NAMES),
        st.sampled_from(
            [CODE.str.ends_with("USD"), CLOSE > 1, STAMP.dt.hour() < 9, CLOSE.is_null(), pl.lit(value=True)]
        ),
    ]
    return st.one_of(made)


def predicates() -> st.SearchStrategy[pl.Expr]:
    """Conditions, joined in any way."""
    return st.recursive(
        comparisons(),
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda two: two[0] & two[1]),
            st.tuples(inner, inner).map(lambda two: two[0] | two[1]),
            st.tuples(inner, inner).map(lambda two: two[0] ^ two[1]),
            inner.map(lambda one: ~one),
        ),
        max_leaves=6,
    )


def rows_near(moments: list[datetime]) -> pl.DataFrame:
    steps = [timedelta(hours=hours, minutes=minutes) for hours in range(-30, 31, 3) for minutes in (0, 30, 59)]
    stamps = sorted({moment + step for moment in moments for step in steps})
    return pl.DataFrame(
        {"code": [code for code in CODES for _ in stamps], "timestamp": stamps * len(CODES)},
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    ).with_columns(close=pl.Series([None, 0.5, 1.5] * (len(stamps) * len(CODES)))[: len(stamps) * len(CODES)])


FOLD_IN_HAVANA = utc(2025, 11, 2, 5)


class TestWhatIsReadOfAFilter:
    @settings(max_examples=250)
    @given(predicate=predicates(), moments=st.lists(TIMES, min_size=1, max_size=3))
    @example(
        predicate=STAMP.dt.convert_time_zone("America/Havana").dt.date() < date(2025, 11, 2), moments=[FOLD_IN_HAVANA]
    )
    @example(
        predicate=STAMP.dt.convert_time_zone("America/Havana").dt.date() > date(2025, 11, 1), moments=[FOLD_IN_HAVANA]
    )
    def test_no_row_that_meets_it_is_left_out(self, predicate: pl.Expr, moments: list[datetime]) -> None:
        reading = Reading.of(predicate)
        rows = rows_near([*moments, FOLD_IN_HAVANA])
        for code, stamp, _ in rows.filter(predicate).iter_rows():
            assert any(stamp in span for span in reading.times(code))
            assert not reading.binds or code in reading.names

    def test_clocks_that_go_back_over_midnight_are_read_as_far_as_needed(self) -> None:
        before = STAMP.dt.convert_time_zone("America/Havana").dt.date() <= date(2025, 11, 1)
        [span] = Reading.of(before).times("EURUSD")
        # Havana has midnight at 04:00 in UTC, and again an hour later.
        assert span.end.date() == date(2025, 11, 2)
        [day] = Reading.of(STAMP.dt.convert_time_zone("America/Havana").dt.date() == date(2025, 7, 1)).times("EURUSD")
        assert (day.start, day.end) == (utc(2025, 7, 1, 4), utc(2025, 7, 2, 4))

    def test_what_cannot_be_evaluated_is_not_judged(self) -> None:
        for odd in (
            CODE.str.strptime(pl.Date, "%Y") == date(2026, 1, 1),
            STAMP.cast(pl.Int32) > 5,
            STAMP.dt.month() == 3,
            pl.when(CODE == "A").then(STAMP >= DAY[0]).otherwise(pl.lit(value=False)),
        ):
            reading = Reading.of(odd)
            assert [str(span) for span in reading.times("A")] == ["[the beginning, 2200-01-01)"]
            assert not reading.binds

    def test_of_many_values_the_first_and_the_last_count(self) -> None:
        hours = [DAY[0] + timedelta(hours=hour) for hour in range(200)]
        [span] = Reading.of(STAMP.is_in(hours)).times("EURUSD")
        assert (span.start, span.end) == (hours[0], hours[-1] + NONE)
        assert len(Reading.of(STAMP.is_in(hours[:50])).times("EURUSD").spans) == 50


class TestEagerEqualsLazy:
    def test_for_any_expression(self, client: at.Client) -> None:
        asked = (["EURUSD", "GOLD"], "1h", "2026-02-25/2026-03-06")
        eager, lazy = client.get_kline(*asked), client.scan_kline(*asked, network="never")
        near = st.datetimes(datetime(2026, 2, 24), datetime(2026, 3, 8)).map(lambda naive: naive.replace(tzinfo=UTC))
        steps = st.lists(
            st.one_of(
                predicates().map(lambda one: ("filter", one)),
                near.map(lambda one: ("filter", STAMP >= one)),
                st.integers(0, 300).map(lambda count: ("head", count)),
                st.tuples(st.integers(0, 200), st.integers(0, 100)).map(lambda two: ("slice", *two)),
                st.sampled_from([("tail", 7), ("reverse",), ("with_row_index",)]),
            ),
            min_size=1,
            max_size=3,
        )

        @settings(max_examples=60)
        @given(steps=steps, columns=st.lists(st.sampled_from(eager.columns), min_size=1, unique=True))
        def same(steps: list[tuple[Any, ...]], columns: list[str]) -> None:
            whole, scanned = eager.lazy(), lazy
            for name, *arguments in steps:
                if name != "with_row_index" or "index" not in whole.collect_schema():
                    whole, scanned = (getattr(one, name)(*arguments) for one in (whole, scanned))
            expected = whole.select(columns).collect()
            for engine in ENGINES:
                assert scanned.select(columns).collect(engine=engine).equals(expected)

        same()
