"""`df.alltick` does the same for Polars, lazy Polars and pandas frames, and nothing wrong in silence."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import alltick_frames as at
import alltick_frames.pandas
import alltick_frames.polars
from alltick_frames import calendars, schemas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PRICES = ("open", "high", "low", "close")
NOON = datetime(2026, 3, 18, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Kind:
    """One of the frames that have the accessor: from Polars, and back to it."""

    name: str
    make: Callable[[pl.DataFrame], Any]

    def read(self, frame: Any) -> pl.DataFrame:
        if isinstance(frame, pl.LazyFrame):
            collected = frame.collect()
            # What a lazy frame says beforehand is what comes.
            assert frame.collect_schema() == collected.schema
            return collected
        if isinstance(frame, pd.DataFrame):
            if isinstance(frame.index, pd.DatetimeIndex):
                frame = frame.reset_index()
            return pl.DataFrame([pl.Series(name, pl.from_pandas(frame[name])) for name in frame.columns])
        assert isinstance(frame, pl.DataFrame)
        return frame

    @property
    def is_pandas(self) -> bool:
        return self.name.startswith("pandas")


KINDS = (
    Kind("polars", lambda frame: frame),
    Kind("lazy", lambda frame: frame.lazy()),
    Kind("pandas arrow", lambda frame: frame.to_pandas(use_pyarrow_extension_array=True)),
    Kind("pandas numpy", lambda frame: frame.to_pandas()),
    Kind("pandas indexed", lambda frame: frame.to_pandas().set_index("timestamp")),
)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    found = request.param
    assert isinstance(found, Kind)
    return found


def bars(
    code: str = "EURUSD", closes: Any = (1.0, 2.0, 4.0), *, every: timedelta = HOUR, **columns: Any
) -> pl.DataFrame:
    """Make bars one after the other, each price told from the close."""
    stamps = [NOON + number * every for number in range(len(closes))]
    prices = {"open": closes, "high": closes, "low": closes, "close": closes}
    return pl.DataFrame({"code": [code] * len(closes), "timestamp": stamps, **prices, **columns}).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
    )


TWO = pl.concat([bars(), bars("700.HK", [10.0, 5.0])])


def refusal(kind: Kind, frame: pl.DataFrame, method: str, *arguments: Any, **named: Any) -> str:
    """Give the text of the error, raised when called or when collected."""
    with pytest.raises(at.ArgumentError) as raised:
        kind.read(getattr(kind.make(frame).alltick, method)(*arguments, **named))
    return str(raised.value)


def served(server: at.sandbox.Sandbox, code: str, period: str, start: str, end: str) -> pl.DataFrame:
    """Give the server's own bars."""
    frame = pl.from_arrow(server.bars(code, period, start, end))
    assert isinstance(frame, pl.DataFrame)
    return frame.select(pl.lit(code).alias("code"), pl.all())


def stamped(code: str, *stamps: str) -> pl.DataFrame:
    """Make bars of *code* at these times in UTC."""
    times = [datetime.fromisoformat(stamp).replace(tzinfo=UTC) for stamp in stamps]
    return bars(code, [1.0] * len(stamps)).with_columns(pl.Series("timestamp", times, dtype=pl.Datetime("us", "UTC")))


def times(frame: pl.DataFrame, column: str) -> list[str]:
    return frame[column].dt.convert_time_zone("UTC").dt.strftime("%m-%d %H:%M").to_list()


def of(frame: Any) -> Any:
    """Give the accessor, of which type checkers do not know."""
    return frame.alltick


class TestAttaching:
    @pytest.mark.parametrize("library", ["polars", "pandas"])
    @pytest.mark.parametrize("first", [True, False])
    def test_the_accessor_is_there_whichever_is_imported_first_and_nothing_else_is_loaded(
        self, library: str, *, first: bool
    ) -> None:
        ours, theirs = "import alltick_frames", f"import {library}"
        lines = [theirs, "import sys; before = set(sys.modules)", ours] if first else [ours, theirs]
        source = "\n".join(
            (
                "import warnings; warnings.simplefilter('error')",
                *lines,
                *(["print(*set(sys.modules) - before)"] if first else [f"import alltick_frames.{library}"]),
                f"import alltick_frames.{library}, importlib; importlib.reload(alltick_frames.{library})",
                f"assert hasattr({library}.DataFrame, 'alltick')",
            )
        )
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
        assert {name.partition(".")[0] for name in done.stdout.split()} <= {"alltick_frames"}

    @pytest.mark.parametrize("library", ["polars", "pandas"])
    def test_a_frame_that_we_make_has_it(self, library: str) -> None:
        source = (
            "import alltick_frames, pyarrow; from alltick_frames.frames import to_frame;"
            f"print(hasattr(to_frame(pyarrow.table({{'a': [1]}}), {library!r}), 'alltick'))"
        )
        done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "True"

    def test_a_typed_function_gives_the_same(self) -> None:
        assert alltick_frames.polars.alltick(TWO).returns().equals(of(TWO).returns())
        assert isinstance(alltick_frames.polars.alltick(TWO.lazy()).returns(), pl.LazyFrame)
        assert isinstance(alltick_frames.pandas.alltick(TWO.to_pandas()).returns(), pd.DataFrame)


class TestShape:
    def test_a_column_that_lacks_is_named_with_those_that_are_there(self, kind: Kind) -> None:
        text = refusal(kind, bars().drop("close").rename({"open": "Open"}), "returns")
        assert "lacks open, close;" in text
        assert "Open, high, low" in text

    def test_naive_timestamps_are_refused_with_the_remedy(self, kind: Kind) -> None:
        naive = bars().with_columns(pl.col("timestamp").dt.replace_time_zone(None))
        text = refusal(kind, naive, "returns")
        assert "column 'timestamp' is Datetime" in text
        assert "replace_time_zone('UTC')" in text
        assert "tz_localize('UTC')" in text

    @pytest.mark.parametrize(("column", "value"), [("close", "1.5"), ("code", 700), ("volume", "many"), ("closed", 1)])
    def test_a_wrong_type_is_named(self, kind: Kind, column: str, value: Any) -> None:
        wrong = bars().with_columns(pl.lit(value).alias(column))
        assert refusal(kind, wrong, "returns").startswith(f"column {column!r} is ")

    def test_two_rows_of_one_code_and_timestamp_are_refused(self, kind: Kind) -> None:
        text = refusal(kind, pl.concat([TWO, TWO[3:4]]), "returns")
        assert text.startswith("the bar of 700.HK at 2026-03-18 12:00:00Z is there twice (1 such rows in all)")

    def test_a_bar_with_some_prices_only_is_refused(self, kind: Kind) -> None:
        torn = bars(closes=[1.0, 2.0]).with_columns(high=pl.Series([1.0, None]))
        assert "EURUSD at 2026-03-18 13:00:00Z has some prices and lacks others" in refusal(kind, torn, "returns")

    @pytest.mark.parametrize("column", ["code", "timestamp"])
    def test_a_row_without_code_or_timestamp_is_refused(self, kind: Kind, column: str) -> None:
        if kind.name == "pandas indexed" and column == "timestamp":
            return
        torn = bars().with_columns(pl.when(pl.col("close") != 2).then(pl.col(column)).alias(column))
        assert refusal(kind, torn, "returns").startswith(f"column {column!r} has 1 nulls")

    def test_rows_are_sorted_by_code_as_they_appear_and_by_time(self, kind: Kind) -> None:
        shuffled = TWO[[4, 2, 0, 3, 1]]
        result = kind.read(kind.make(shuffled).alltick.returns())
        assert_frame_equal(result.drop("return"), TWO[[3, 4, 0, 1, 2]], check_column_order=False)
        assert result["return"].to_list() == [None, -0.5, None, 1.0, 1.0]

    def test_further_columns_are_kept(self, kind: Kind) -> None:
        kept = kind.read(kind.make(bars(note=["a", None, "c"])).alltick.returns())
        assert kept["note"].to_list() == ["a", None, "c"]

    @pytest.mark.parametrize("unit", ["ms", "us", "ns"])
    @pytest.mark.parametrize("type_", [pl.Float32, pl.Int64, pl.Decimal(12, 4)])
    def test_any_unit_of_time_and_any_numbers_will_do(self, kind: Kind, unit: Any, type_: Any) -> None:
        other = bars().with_columns(pl.col("timestamp").dt.cast_time_unit(unit), pl.col(PRICES).cast(type_))
        result = kind.read(kind.make(other).alltick.returns())
        assert result["return"].to_list() == [None, 1.0, 1.0]
        assert result["timestamp"].dt.cast_time_unit("us").to_list() == bars()["timestamp"].to_list()
        if not kind.name.startswith("pandas numpy"):
            assert isinstance(result["close"][0], Decimal) == (type_ == pl.Decimal)

    def test_an_empty_frame_gives_an_empty_one_with_the_same_columns(self, kind: Kind) -> None:
        full, empty = (kind.read(kind.make(each).alltick.returns()) for each in (TWO, TWO.clear()))
        assert empty.is_empty()
        assert empty.columns == full.columns

    def test_categorical_codes_will_do(self) -> None:
        frame = TWO.with_columns(pl.col("code").cast(pl.Categorical))
        assert of(frame).returns()["return"].to_list() == [None, 1.0, 1.0, None, -0.5]
        assert of(frame).pivot().columns == ["timestamp", "EURUSD", "700.HK"]


class TestPandas:
    def test_results_are_arrow_backed_with_a_plain_index(self) -> None:
        for kind in KINDS[2:]:
            result = kind.make(TWO).alltick.returns()
            assert isinstance(result.index, pd.RangeIndex)
            assert all(isinstance(dtype, pd.ArrowDtype) for dtype in result.dtypes)
            assert str(result["code"].dtype) == "string[pyarrow]"

    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda frame: frame.set_index("timestamp"), id="named"),
            pytest.param(lambda frame: frame.set_index("timestamp").rename_axis(None), id="unnamed"),
            pytest.param(lambda frame: frame.set_index(["code", "timestamp"]), id="with the code"),
            pytest.param(lambda frame: frame.set_index("code"), id="the code"),
        ],
    )
    def test_an_index_of_timestamps_or_codes_stands_for_the_column(self, make: Callable[[Any], Any]) -> None:
        result = make(TWO.to_pandas()).alltick.returns()
        assert_frame_equal(
            KINDS[2].read(result),
            of(TWO).returns(),
            check_column_order=False,
        )

    def test_a_fixed_offset_becomes_utc(self) -> None:
        frame = TWO.to_pandas()
        frame["timestamp"] = frame["timestamp"].dt.tz_convert("+08:00")
        result = frame.alltick.returns()
        assert str(result["timestamp"].dtype) == "timestamp[us, tz=UTC][pyarrow]"
        assert KINDS[2].read(result)["timestamp"].to_list() == TWO["timestamp"].to_list()

    def test_nan_counts_as_null(self) -> None:
        frame = bars(volume=[float("nan"), 1.0, 2.0]).to_pandas(use_pyarrow_extension_array=True)
        assert frame.alltick.returns()["volume"].isna().tolist() == [True, False, False]

    @pytest.mark.parametrize(
        ("spoil", "says"),
        [
            (lambda frame: frame.assign(note=[{1}, "b", 3.0]), "column 'note' (object) cannot be read"),
            (lambda frame: frame.rename(columns={"open": 1}), "has a column 1 (int)"),
            (lambda frame: pd.concat([frame, frame[["close"]]], axis=1), "has the column 'close' more than once"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, spoil: Callable[[Any], Any], says: str) -> None:
        with pytest.raises(at.ArgumentError) as raised:
            spoil(bars().to_pandas()).alltick.returns()
        assert says in str(raised.value)


class TestReturns:
    def test_they_do_not_cross_codes_and_begin_with_null(self, kind: Kind) -> None:
        simple, log = (kind.read(kind.make(TWO).alltick.returns(how)) for how in ("simple", "log"))
        assert simple["return"].to_list() == [None, 1.0, 1.0, None, -0.5]
        assert log["return"].round(6).to_list() == [None, 0.693147, 0.693147, None, -0.693147]

    def test_another_price_can_be_asked_for(self, kind: Kind) -> None:
        frame = bars().with_columns(open=pl.Series([1.0, 3.0, 1.5]))
        assert kind.read(kind.make(frame).alltick.returns(field="open"))["return"].to_list() == [None, 2.0, -0.5]

    def test_none_is_made_up_where_a_price_is_zero_or_a_row_has_none(self, kind: Kind) -> None:
        frame = bars(closes=[1.0, 0.0, 2.0, -1.0, None, 3.0])
        simple, log = (kind.read(kind.make(frame).alltick.returns(how)) for how in ("simple", "log"))
        assert simple["return"].to_list() == [None, -1.0, None, -1.5, None, None]
        assert log["return"].to_list() == [None] * 6

    def test_that_of_a_forming_bar_is_there_and_marked(self, kind: Kind) -> None:
        result = kind.read(kind.make(bars(closed=[True, True, False])).alltick.returns())
        assert result.select("return", "closed").rows() == [(None, True), (1.0, True), (1.0, False)]

    @pytest.mark.parametrize(("arguments", "named"), [(("ln",), "kind='ln'"), (("log", "volume"), "field='volume'")])
    def test_other_arguments_are_refused(self, kind: Kind, arguments: tuple[str, ...], named: str) -> None:
        assert refusal(kind, TWO, "returns", *arguments).startswith(named)


class TestOhlcv:
    def test_of_pandas_it_is_what_backtesting_libraries_take(self) -> None:
        for kind in KINDS[2:]:
            result = kind.make(bars(volume=[1, None, 3])).alltick.ohlcv("EURUSD")
            assert list(result.columns) == ["Open", "High", "Low", "Close", "Volume"]
            assert {str(dtype) for dtype in result.dtypes} == {"float64"}
            assert isinstance(result.index, pd.DatetimeIndex)
            assert (result.index.name, str(result.index.tz)) == ("timestamp", "UTC")
            assert result["Volume"].isna().tolist() == [False, True, False]
            result.loc[result.index[0], "Open"] = 9.0

    # Of its own calls into pandas.
    @pytest.mark.filterwarnings("ignore:DatetimeIndex.dayofweek")
    def test_backtesting_py_runs_on_it(self) -> None:
        from backtesting import Backtest, Strategy  # noqa: PLC0415

        class BuyAndHold(Strategy):  # type: ignore[misc]  # no type information is published
            def init(self) -> None:
                pass

            def next(self) -> None:
                if not self.position:
                    self.buy()

        closes = [float(100 + number) for number in range(50)]
        statistics = Backtest(bars(closes=closes).to_pandas().alltick.ohlcv(), BuyAndHold, finalize_trades=True).run()
        assert statistics["# Trades"] == 1
        assert statistics["Start"] == pd.Timestamp(NOON)

    def test_of_polars_it_has_plain_names_and_floats(self) -> None:
        frame = bars(closes=[1, 2], volume=[5, None])
        for kind in KINDS[:2]:
            result = kind.read(kind.make(frame).alltick.ohlcv())
            assert result.columns == ["timestamp", *PRICES, "volume"]
            assert set(result.dtypes[1:]) == {pl.Float64}
            assert result["volume"].to_list() == [5.0, None]

    def test_forming_bars_and_rows_without_prices_are_left_out(self, kind: Kind) -> None:
        frame = bars(closes=[1.0, None, 4.0, 5.0], closed=[True, True, True, False])
        assert kind.read(kind.make(frame).alltick.ohlcv())[:, 4].to_list() == [1.0, 4.0]

    def test_one_of_several_codes_must_be_chosen(self, kind: Kind) -> None:
        assert "has 2 codes (EURUSD, 700.HK); choose one: code='EURUSD'" in refusal(kind, TWO, "ohlcv")
        assert kind.read(kind.make(TWO).alltick.ohlcv("700.HK"))[:, 4].to_list() == [10.0, 5.0]

    def test_an_unknown_code_is_refused_with_what_was_meant(self, kind: Kind) -> None:
        text = refusal(kind, TWO, "ohlcv", "00700.HK")
        assert text == "code='00700.HK' is not in the frame; did you mean '700.HK'?"
        assert refusal(kind, TWO, "ohlcv", "X9").endswith("it has EURUSD, 700.HK")


class TestPivot:
    def test_a_column_per_code_in_order_of_appearance_and_nothing_filled(self, kind: Kind) -> None:
        codes = ["EURUSD", "700.HK"] if kind.name == "lazy" else None
        wide = kind.read(kind.make(TWO[::-1]).alltick.pivot(codes=codes))
        assert wide.columns == ["timestamp", *(codes or ["700.HK", "EURUSD"])]
        assert wide["timestamp"].to_list() == bars()["timestamp"].to_list()
        assert wide["700.HK"].fill_nan(None).to_list() == [10.0, 5.0, None]

    def test_pandas_has_a_real_index_and_numpys_floats(self) -> None:
        for kind in KINDS[2:]:
            wide = kind.make(TWO).alltick.pivot("high")
            assert isinstance(wide.index, pd.DatetimeIndex)
            assert [str(dtype) for dtype in wide.dtypes] == ["float64"] * 2

    def test_codes_choose_and_order(self, kind: Kind) -> None:
        assert kind.read(kind.make(TWO).alltick.pivot(codes=iter(["700.HK"]))).columns == ["timestamp", "700.HK"]
        assert refusal(kind, TWO, "pivot", codes="700.SZ").startswith("codes='700.SZ' is not in the frame")

    def test_forming_bars_are_left_out(self, kind: Kind) -> None:
        frame = pl.concat([bars(closed=[True, True, False]), bars("GOLD", [7.0], closed=[False])])
        wide = kind.read(kind.make(frame).alltick.pivot(codes=["EURUSD", "GOLD"]))
        assert wide.fill_nan(None).rows() == [(NOON, 1.0, None), (NOON + HOUR, 2.0, None)]

    def test_a_field_that_is_no_number_is_refused(self, kind: Kind) -> None:
        text = refusal(kind, TWO, "pivot", "vwap", codes=["EURUSD"])
        assert text == "field='vwap' is no column of numbers; the frame has open, high, low, close"

    def test_a_lazy_frame_must_be_told_the_codes(self) -> None:
        with pytest.raises(at.ArgumentError, match="collect"):
            of(TWO.lazy()).pivot()


class TestAlign:
    def test_inner_keeps_the_timestamps_that_all_have(self, kind: Kind) -> None:
        result = kind.read(kind.make(TWO).alltick.align())
        assert_frame_equal(result, TWO[[0, 1, 3, 4]], check_column_order=False)

    def test_outer_adds_rows_without_prices(self, kind: Kind) -> None:
        frame = TWO.with_columns(closed=pl.lit(value=True))
        result = kind.read(kind.make(frame[::-1]).alltick.align("outer")).select(frame.columns)
        absent = ("700.HK", NOON + 2 * HOUR, *[None] * 5)
        assert result.rows() == [*frame[3:].rows(), absent, *frame[:3].rows()]

    def test_another_way_is_refused(self, kind: Kind) -> None:
        assert refusal(kind, TWO, "align", "left").startswith("how='left' must be 'inner'")


class TestTz:
    def test_the_instants_stay(self, kind: Kind) -> None:
        result = kind.read(kind.make(TWO).alltick.tz("Asia/Tokyo"))
        assert result["timestamp"].dtype == pl.Datetime("us", "Asia/Tokyo")
        assert result["timestamp"].to_list() == TWO["timestamp"].to_list()

    def test_the_exchanges_zone_is_known(self, kind: Kind) -> None:
        if kind.name != "lazy":
            for code, zone in {"EURUSD": "America/New_York", "700.HK": "Asia/Hong_Kong", "BTCUSDT": "UTC"}.items():
                result = kind.read(kind.make(bars(code)).alltick.tz())
                assert result["timestamp"].dtype == pl.Datetime("us", zone)

    def test_several_zones_are_refused_by_name(self, kind: Kind) -> None:
        text = refusal(kind, TWO, "tz")
        assert "collect()" in text if kind.name == "lazy" else "America/New_York (EURUSD), Asia/Hong_Kong (70" in text

    def test_an_unknown_zone_is_refused_with_what_was_meant(self, kind: Kind) -> None:
        assert "did you mean 'Asia/Hong_Kong'?" in refusal(kind, TWO, "tz", "Asia/HongKong")


QUOTES = ("EURUSD", "GOLD", "UKOIL", "Aluminum", "AUS200", "BTCUSDT")
STOCKS = ("700.HK", "600519.SH", "AAPL.US")


class TestTradingDate:
    @pytest.mark.parametrize(
        ("code", "stamp", "date"),
        [
            pytest.param("EURUSD", "2026-03-17T20:59", 17, id="before 17:00 in New York"),
            pytest.param("EURUSD", "2026-03-17T21:00", 18, id="from then on it is the next"),
            pytest.param("EURUSD", "2026-01-06T21:59", 6, id="in winter an hour later"),
            pytest.param("EURUSD", "2026-03-15T21:00", 16, id="Sunday evening is Monday"),
            pytest.param("EURUSD", "2026-03-20T21:05", 20, id="who stops late on Friday is not yet on Monday"),
            pytest.param("GOLD", "2026-03-17T22:00", 18, id="metals open at 18:00"),
            pytest.param("UKOIL", "2026-03-18T00:00", 18, id="at 20:00"),
            pytest.param("AUS200", "2026-03-15T21:55", 16, id="ten minutes before"),
            pytest.param("BTCUSDT", "2026-03-17T23:59", 17, id="crypto has the UTC date"),
            pytest.param("700.HK", "2026-03-17T01:30", 17, id="morning in Hong Kong"),
            pytest.param("700.HK", "2026-03-17T08:00", 17, id="its closing auction"),
            pytest.param("AAPL.US", "2026-03-17T23:30", 17, id="after hours in New York"),
            pytest.param("AAPL.US", "2026-03-18T00:30", 17, id="past midnight in UTC"),
        ],
    )
    def test_of_a_minute(self, kind: Kind, code: str, stamp: str, date: int) -> None:
        result = kind.read(kind.make(stamped(code, stamp)).alltick.trading_date(period="1m"))
        assert result["trading_date"].dtype == pl.Date
        assert [day.day for day in result["trading_date"]] == [date]

    @pytest.mark.parametrize("code", [*QUOTES, *STOCKS])
    def test_the_minutes_of_a_date_make_up_its_daily_bar(self, server: at.sandbox.Sandbox, code: str) -> None:
        minutes = served(server, code, "1m", "2026-03-04T21:00", "2026-03-13T03:00")
        dated = of(minutes).trading_date()
        made = dated.group_by("trading_date", maintain_order=True).agg(
            pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last()
        )
        daily = served(server, code, "1d", "2026-03-06", "2026-03-12").with_columns(
            pl.col("timestamp").dt.date().alias("trading_date")
        )
        assert daily.height >= 4
        assert (
            daily.select(made.columns).rows()
            == made.filter(
                pl.col("trading_date").is_between(daily["trading_date"][0], daily["trading_date"][-1])
            ).rows()
        )

    @pytest.mark.parametrize("reading", ["utc_midnight", "local_midnight", "session_open", "session_close"])
    @pytest.mark.parametrize("code", ["700.HK", "AAPL.US", "EURUSD"])
    def test_of_a_daily_bar_whatever_it_is_stamped_with(
        self, server: at.sandbox.Sandbox, code: str, reading: str
    ) -> None:
        expected = served(server, code, "1d", "2026-03-02", "2026-03-14")["timestamp"].dt.date().to_list()
        server.configure(readings={"daily_stamps": reading})
        bars = served(server, code, "1d", "2026-02-25", "2026-03-16")
        found = of(bars).trading_date()["trading_date"].to_list()
        assert [date for date in found if expected[0] <= date <= expected[-1]] == expected

    def test_of_weeks_and_months_it_is_the_first(self, kind: Kind) -> None:
        weeks = stamped("EURUSD", "2026-03-04T00:00", "2026-03-11T00:00")
        assert [str(day) for day in kind.read(kind.make(weeks).alltick.trading_date())["trading_date"]] == [
            "2026-03-02",
            "2026-03-09",
        ]
        months = stamped("EURUSD", "2026-03-04T00:00", "2026-04-01T00:00")
        found = kind.read(kind.make(months).alltick.trading_date())["trading_date"]
        assert [str(day) for day in found] == ["2026-03-01", "2026-04-01"]


class TestKnownAt:
    @pytest.mark.parametrize(
        ("code", "period", "stamp", "expected"),
        [
            pytest.param("EURUSD", "1m", "2026-03-18T12:00", "03-18 12:01", id="a minute"),
            pytest.param("700.HK", "1h", "2026-03-18T03:00", "03-18 04:00", id="the hour before the break"),
            pytest.param("700.HK", "1h", "2026-03-18T03:30", "03-18 04:00", id="an hour that the break cuts short"),
            pytest.param("600519.SH", "1h", "2026-03-18T03:00", "03-18 03:30", id="and in Shanghai"),
            pytest.param("700.HK", "1m", "2026-03-18T07:59", "03-18 08:00", id="the last minute"),
            pytest.param("700.HK", "1m", "2026-03-18T08:00", "03-18 09:00", id="the closing auction"),
            pytest.param("600519.SH", "5m", "2026-03-18T06:55", "03-18 07:00", id="collecting for it"),
            pytest.param("600519.SH", "1m", "2026-03-18T07:00", "03-18 08:00", id="and in Shanghai"),
            pytest.param("700.HK", "2h", "2026-03-18T07:00", "03-18 09:00", id="over the close, with the auction"),
            pytest.param("AAPL.US", "4h", "2026-01-06T20:00", "01-06 21:00", id="over a close without"),
            pytest.param("AAPL.US", "1h", "2025-11-28T17:30", "11-28 18:00", id="of a half day"),
            pytest.param("EURUSD", "4h", "2026-03-20T20:00", "03-20 21:00", id="the last of the week"),
            pytest.param("EURUSD", "4h", "2026-03-18T20:00", "03-19 00:00", id="over the end of a forex day"),
            pytest.param("GOLD", "1h", "2026-03-20T20:00", "03-20 21:00", id="up to the daily break"),
            pytest.param("XYZ", "4h", "2026-03-20T20:00", "03-21 00:00", id="hours that nobody knows"),
            pytest.param("BTCUSDT", "4h", "2026-03-20T20:00", "03-21 00:00", id="crypto"),
            pytest.param("EURUSD", "45min", "2026-03-18T12:00", "03-18 12:45", id="a resampled period"),
            pytest.param("700.HK", "1d", "2026-03-18T00:00", "03-18 09:00", id="a day of stocks"),
            pytest.param("AAPL.US", "1d", "2025-11-28T00:00", "11-28 19:00", id="a half day"),
            pytest.param("AAPL.US", "1w", "2026-03-30T00:00", "04-02 21:00", id="a week that ends on Thursday"),
            pytest.param("600519.SH", "1mo", "2026-02-01T00:00", "02-27 08:00", id="a month"),
            pytest.param("700.HK", "3d", "2026-03-15T00:00", "03-17 09:00", id="three days"),
            pytest.param("700.HK", "3d", "2026-03-16T00:00", "03-18 09:00", id="of another grid than ours"),
            pytest.param("600519.SH", "1d", "2027-03-18T00:00", "03-18 16:00", id="past the end of the calendar"),
            pytest.param("EURUSD", "1d", "2026-03-18T00:00", "03-19 00:00", id="a day of forex by UTC"),
            pytest.param("EURUSD", "1d", "2026-03-17T21:00", "03-18 21:00", id="by New York"),
            pytest.param("BTCUSDT", "1mo", "2026-02-01T00:00", "03-01 00:00", id="a month of crypto"),
        ],
    )
    def test_is_when_it_closes(self, kind: Kind, code: str, period: str, stamp: str, expected: str) -> None:
        result = kind.read(kind.make(stamped(code, stamp)).alltick.known_at(period=period))
        assert result["known_at"].dtype == result["timestamp"].dtype
        assert times(result, "known_at") == [expected]

    @pytest.mark.parametrize("alignment", ["utc", "session"])
    @pytest.mark.parametrize("code", [*QUOTES, *STOCKS])
    def test_is_never_before_its_last_minute_is_over_and_not_after_its_end(
        self, server: at.sandbox.Sandbox, code: str, alignment: str
    ) -> None:
        start, end = "2025-11-26", "2025-12-03"
        server.configure(readings={"alignment": alignment})
        minutes = served(server, code, "1m", start, end)
        ends = minutes.select(pl.col("timestamp") + MINUTE)
        for period in ("5m", "30m", "1h") if code in STOCKS else ("5m", "1h", "2h", "4h"):
            known = of(served(server, code, period, start, end)).known_at()
            length = at.Period(period).nominal
            last = (
                known.select("timestamp", "known_at")
                .join_where(
                    ends.rename({"timestamp": "end"}),
                    pl.col("end") > pl.col("timestamp"),
                    pl.col("end") <= pl.col("timestamp") + length,
                )
                .group_by("timestamp", "known_at")
                .agg(pl.col("end").max())
            )
            assert last.height >= known.height - 1
            assert last.filter(pl.col("known_at") < pl.col("end")).is_empty()
            if code not in ("700.HK", "600519.SH"):
                assert last.filter(pl.col("known_at") > pl.col("timestamp") + length).is_empty()

    @pytest.mark.parametrize("reading", ["utc_midnight", "local_midnight", "session_open", "session_close"])
    @pytest.mark.parametrize("code", ["700.HK", "AAPL.US", "EURUSD", "GOLD"])
    def test_of_daily_bars_it_is_after_their_last_minute_and_before_the_next_is_over(
        self, server: at.sandbox.Sandbox, code: str, reading: str
    ) -> None:
        minutes = of(served(server, code, "1m", "2026-03-01T20:00", "2026-03-14")).trading_date()
        last = minutes.group_by("trading_date").agg((pl.col("timestamp").max() + MINUTE).alias("end"))
        server.configure(readings={"daily_stamps": reading})
        daily = of(of(served(server, code, "1d", "2026-03-02", "2026-03-13")).trading_date()).known_at()
        joined = daily.join(last, on="trading_date")
        assert joined.height >= 8
        late = joined.select(pl.col("known_at") - pl.col("end")).to_series()
        assert timedelta() <= late.min() <= late.max() <= 7 * HOUR

    def test_a_column_of_that_name_stays(self, kind: Kind) -> None:
        frame = bars().with_columns((pl.col("timestamp") + 2 * DAY).alias("known_at"))
        assert times(kind.read(kind.make(frame).alltick.known_at()), "known_at") == [
            "03-20 12:00",
            "03-20 13:00",
            "03-20 14:00",
        ]

    def test_the_period_must_be_given_where_nothing_tells_it(self, kind: Kind) -> None:
        for unclear in (bars(closes=[1.0]), bars(every=7 * MINUTE), bars(every=3 * DAY)):
            assert "period='1m'" in refusal(kind, unclear, "known_at")
        assert "several periods (1m, 5m)" in refusal(kind, bars(period=["1m", "1m", "5m"]), "known_at")

    def test_a_column_period_tells_it(self, kind: Kind) -> None:
        latest = bars(closes=[1.0], period=["15m"])
        assert times(kind.read(kind.make(latest).alltick.known_at()), "known_at") == ["03-18 12:15"]

    @pytest.mark.parametrize("period", ["1m", "15m", "1h", "4h", "1d", "1w", "1mo"])
    def test_the_smallest_spacing_tells_it(self, server: at.sandbox.Sandbox, period: str) -> None:
        frame = served(server, "GOLD", period, "2025-11-26", "2026-03-10")
        inferred, given = (of(frame).known_at(period=each) for each in (None, period))
        assert inferred.equals(given)

    @pytest.mark.parametrize("period", ["hour", "0m", "90s", "24h", 5])
    def test_a_length_that_is_none_is_refused(self, kind: Kind, period: Any) -> None:
        assert refusal(kind, bars(), "known_at", period=period).startswith(f"period={period!r}")


LONGER = {
    **dict.fromkeys(STOCKS, ("5m", "15m", "30m", "1h", "1d")),
    **dict.fromkeys(QUOTES, ("5m", "15m", "30m", "1h", "2h", "4h", "1d")),
}


def column(frame: pl.DataFrame, name: str) -> list[Any]:
    return frame[name].to_list()


class TestResampleAgainstTheServer:
    """The sandbox makes its longer bars in another way: it begins with those of a day, and parts them."""

    # Over the change to summer time in New York, and a half day after a holiday.
    @pytest.mark.parametrize(("start", "end"), [("2026-03-05", "2026-03-12"), ("2025-11-26T12:00", "2025-12-02T12:00")])
    @pytest.mark.parametrize("code", LONGER)
    def test_minutes_become_its_own_bars(self, server: at.sandbox.Sandbox, code: str, start: str, end: str) -> None:
        minutes = served(server, code, "1m", start, end)
        for period in LONGER[code]:
            made = of(minutes).resample(period, partial="drop")
            its_own = served(server, code, period, start[:10], end)
            within = its_own.filter(pl.col("timestamp").is_between(made["timestamp"][0], made["timestamp"][-1]))
            assert_frame_equal(made.drop("turnover"), within.drop("turnover"), check_exact=True)
            assert_frame_equal(made.select("turnover"), within.select("turnover"), rel_tol=1e-12)
            # What is left out is at the ends.
            assert its_own.filter(pl.col("timestamp") > made["timestamp"][-1]).height <= 1
            assert minutes.filter(pl.col("timestamp") < made["timestamp"][0]).height <= 1440

    @pytest.mark.parametrize("code", ["700.HK", "AAPL.US", "EURUSD", "BTCUSDT"])
    @pytest.mark.parametrize("reading", ["utc_midnight", "session_open"])
    def test_days_become_its_weeks_and_months(self, server: at.sandbox.Sandbox, code: str, reading: str) -> None:
        weeks, months = (served(server, code, period, "2025-08-01", "2026-03-02") for period in ("1w", "1mo"))
        server.configure(readings={"daily_stamps": reading})
        days = served(server, code, "1d", "2025-08-01T00:00", "2026-03-02")
        for period, its_own in (("1w", weeks), ("1mo", months)):
            made = of(days).resample(period)
            assert made["partial"][1:-1].any() is False
            first = of(days).trading_date()["trading_date"][0]
            assert made["partial"][0] == (first.weekday() > 0 if period == "1w" else first.day > 1)
            made = made.filter(~pl.col("partial")).drop("partial", "turnover")
            whole = its_own.filter(pl.col("timestamp").is_in(made["timestamp"].to_list()))
            assert_frame_equal(made, whole.drop("turnover"), check_exact=True)
            assert made.height >= {"1w": 29, "1mo": 6}[period]

    def test_the_length_of_the_bars_between_is_no_matter(self, server: at.sandbox.Sandbox) -> None:
        for code in ("700.HK", "GOLD"):
            minutes = of(served(server, code, "1m", "2026-03-02", "2026-03-12"))
            direct = minutes.resample("1d").drop("turnover")
            for between in ("5m", "30m", "1h"):
                by_way_of = of(minutes.resample(between).drop("partial")).resample("1d").drop("turnover")
                assert_frame_equal(by_way_of, direct)


HONG_KONG, SHANGHAI, NEW_YORK = "Asia/Hong_Kong", "Asia/Shanghai", "America/New_York"
# Each code's zone, and its trading minutes of a day there.
HOURS: dict[str, tuple[str, list[int]]] = {
    "700.HK": (HONG_KONG, [*range(570, 720), *range(780, 961)]),
    "600519.SH": (SHANGHAI, [*range(570, 690), *range(780, 897), 900]),
    "AAPL.US": (NEW_YORK, [*range(570, 960)]),
    # From 17:00 on, which is the next date.
    "EURUSD": (NEW_YORK, [*range(-420, 1020)]),
    "BTCUSDT": ("UTC", [*range(1440)]),
}
# Weeks with five sessions everywhere; in the second, New York's clocks change.
MONDAYS = (datetime(2026, 3, 2), datetime(2026, 3, 9))


def slots(code: str) -> list[tuple[datetime, datetime, int]]:
    """Give each trading minute in UTC, its date, and its number in the session."""
    zone, minutes = HOURS[code]
    dates = [monday + day * DAY for monday in MONDAYS for day in range(7 if code == "BTCUSDT" else 5)]
    return [
        ((date + minute * MINUTE).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC), date, number)
        for date in dates
        for number, minute in enumerate(minutes)
    ]


SLOTS = {code: slots(code) for code in HOURS}
LENGTHS = {"2m": 2, "7min": 7, "15m": 15, "45min": 45, "1h": 60, "2h": 120, "4h": 240, "7h": 420}


def by_clock(code: str, stamp: datetime, length: str) -> datetime:
    zone = ZoneInfo(HOURS[code][0] if code in STOCKS else "UTC")
    wall = stamp.astimezone(zone)
    return stamp - (wall.hour * 60 + wall.minute) % LENGTHS[length] * MINUTE


def by_trading_time(code: str, date: datetime, number: int, length: str) -> datetime:
    zone, minutes = HOURS[code]
    # What trades: without the minute of the auction, which is in the last bar, and with those that collect for it.
    trading = {"700.HK": minutes[:-1], "600519.SH": [*minutes[:-1], 897, 898, 899]}.get(code, minutes)
    place = number if number < len(minutes) - 1 else len(trading) - 1
    opening = trading[place // LENGTHS[length] * LENGTHS[length]]
    return (date + opening * MINUTE).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def by_date(date: datetime, length: str) -> datetime:
    since_monday = (date - datetime(1970, 1, 5)).days
    days = {"1d": 1, "2d": 2, "1w": 7, "2w": 14}
    first = date.replace(day=1) if length == "1mo" else date - since_monday % days[length] * DAY
    return first.replace(tzinfo=UTC)


@cache
def buckets_of(code: str, length: str, session: str) -> dict[datetime, datetime]:
    """Give for each slot the stamp of the bar that it goes into."""

    def bucket(stamp: datetime, date: datetime, number: int) -> datetime:
        if length not in LENGTHS:
            return by_date(date, length)
        return by_trading_time(code, date, number, length) if session == "open" else by_clock(code, stamp, length)

    return {slot[0]: bucket(*slot) for slot in SLOTS[code]}


@given(
    code=st.sampled_from(list(HOURS)),
    length=st.sampled_from([*LENGTHS, "1d", "2d", "1w", "2w", "1mo"]),
    session=st.sampled_from(["clock", "open"]),
    data=st.data(),
)
@settings(max_examples=100)
def test_resampling_is_what_a_plain_loop_does(code: str, length: str, session: Any, data: st.DataObject) -> None:
    every = SLOTS[code]
    buckets = buckets_of(code, length, session)
    first = data.draw(st.integers(0, len(every) - 2))
    last = data.draw(st.integers(first + 1, min(first + 3000, len(every) - 1)))
    generator = data.draw(st.randoms(use_true_random=False))
    chosen = [every[n] for n in range(first, last + 1) if n in (first, last) or generator.random() < 0.7]
    assume(len(chosen) > 1)

    # Each group of slots, whether there is a bar or not: what the first and the last lack shows.
    slots_of: dict[datetime, list[datetime]] = {}
    for slot in every:
        slots_of.setdefault(buckets[slot[0]], []).append(slot[0])
    rows: dict[datetime, list[Any]] = {}
    low, high = [generator.randint(1, 50) for _ in chosen], [generator.randint(50, 99) for _ in chosen]
    volume = [None if generator.random() < 0.3 else generator.randint(0, 9) for _ in chosen]
    for slot, bottom, top, amount in zip(chosen, low, high, volume, strict=True):
        start = buckets[slot[0]]
        beyond = slots_of[start][0] < chosen[0][0] or slots_of[start][-1] > chosen[-1][0]
        row = rows.setdefault(start, [code, start, bottom, top, bottom, top, None, beyond])
        row[3], row[4], row[5] = max(row[3], top), min(row[4], bottom), top
        row[6] = row[6] if amount is None else amount + (row[6] or 0)
    if length == "1mo":
        # It reaches beyond the weeks that are told here.
        for row in rows.values():
            row[7] = True
    columns = {"open": low, "high": high, "low": low, "close": high, "volume": volume}
    frame = pl.DataFrame(
        {"code": [code] * len(chosen), "timestamp": [slot[0] for slot in chosen], **columns},
        schema_overrides={"timestamp": pl.Datetime("us", "UTC"), "volume": pl.Int64},
    )
    made = of(frame).resample(length, session, of="1m")
    assert made.drop("known_at", strict=False).rows() == [tuple(row) for row in rows.values()]
    if "known_at" in made.columns:
        ends = [slots_of[stamp][-1] + MINUTE for stamp in column(made, "timestamp")]
        assert all(end <= known <= end + HOUR for end, known in zip(ends, column(made, "known_at"), strict=True))


class TestResample:
    def test_every_kind_of_frame_gives_the_same(self, server: at.sandbox.Sandbox, kind: Kind) -> None:
        both = pl.concat([served(server, code, "1m", "2026-03-11", "2026-03-12T18:00") for code in ("GOLD", "700.HK")])
        for arguments in (("45min",), ("2h", "open"), ("1d",)):
            expected = of(both).resample(*arguments)
            made = kind.read(
                kind.make(both.sample(fraction=1, shuffle=True, seed=1)[::-1].sort("code")).alltick.resample(*arguments)
            )
            assert_frame_equal(made, expected.sort("code", maintain_order=True), check_exact=False, rel_tol=1e-12)

    def test_trading_time_skips_breaks(self, kind: Kind) -> None:
        halves = stamped(
            "600519.SH",
            *(f"2026-03-{day}T{hour}" for day in (18, 19) for hour in ("01:30", "03:00", "05:00", "06:30", "07:00")),
        )
        two = kind.read(kind.make(halves).alltick.resample("2h", session="open", of="30m"))
        assert times(two, "timestamp") == ["03-18 01:30", "03-18 05:00", "03-19 01:30", "03-19 05:00"]
        assert times(two, "known_at") == ["03-18 03:30", "03-18 08:00", "03-19 03:30", "03-19 08:00"]
        day = kind.read(kind.make(halves).alltick.resample("4h", session="open", of="30m"))
        assert times(day, "timestamp") == ["03-18 01:30", "03-19 01:30"]
        over = kind.read(
            kind.make(stamped("700.HK", "2026-03-18T03:30", "2026-03-18T05:00")).alltick.resample(
                "1h", "open", of="30m"
            )
        )
        assert (times(over, "timestamp"), times(over, "known_at")) == (["03-18 03:30"], ["03-18 05:30"])

    def test_known_at_of_trading_time_stays(self, kind: Kind) -> None:
        made = of(stamped("700.HK", "2026-03-18T03:30", "2026-03-18T05:00")).resample("1h", "open", of="30m")
        assert times(kind.read(kind.make(made).alltick.known_at()), "known_at") == ["03-18 05:30"]

    @pytest.mark.parametrize(
        ("code", "stamp", "source", "target", "session", "says"),
        [
            ("600519.SH", "2026-03-18T01:00", "1h", "2h", "open", "begins outside the trading hours (XSHG)"),
            ("AAPL.US", "2026-03-18T12:00", "1m", "5m", "open", "begins outside the trading hours (XNYS)"),
            ("AAPL.US", "2026-03-14T14:00", "1m", "5m", "open", "begins outside the trading hours (XNYS)"),
            ("EURUSD", "2026-03-18T20:00", "4h", "8h", "open", "lies across the edge of a 8h bar of trading time"),
            ("700.HK", "2026-03-18T03:30", "1h", "2h", None, "lies across the edge of a 2h bar"),
            ("EURUSD", "2026-03-18T20:00", "4h", "1d", None, "lies across two trading dates"),
            ("GOLD", "2026-03-18T20:00", "4h", "1d", None, "lies across two trading dates"),
            ("700.HK", "2026-03-16T00:00", "3d", "6d", None, "lies across the edge of a 6d bar"),
        ],
    )
    def test_a_bar_that_does_not_fit_is_refused(
        self, kind: Kind, code: str, stamp: str, source: str, target: str, session: Any, says: str
    ) -> None:
        text = refusal(kind, stamped(code, stamp), "resample", target, session, of=source)
        assert text.startswith(f"the {source} bar of {code} at {stamp.replace('T', ' ')}:00Z {says}")
        assert "take shorter bars" in text

    @pytest.mark.parametrize("target", ["1m", "90min", "30m"])
    def test_what_is_not_made_of_whole_bars_is_refused(self, kind: Kind, target: str) -> None:
        text = refusal(kind, bars(), "resample", target)
        assert text.endswith(
            "is not made of whole 1h bars, which this frame has; use a multiple of 1h, or take shorter bars"
        )

    @pytest.mark.parametrize(
        ("arguments", "named", "says"),
        [
            (("5x",), {}, "period='5x' is not the length"),
            (("24h",), {}, "write '1d'"),
            (("1d", "close"), {}, "session='close' must be"),
            (("1d",), {"partial": "mark"}, "partial='mark' must be"),
            (("1d",), {"of": "hour"}, "of='hour' is not the length"),
        ],
    )
    def test_other_arguments_are_refused(self, kind: Kind, arguments: Any, named: Any, says: str) -> None:
        assert says in refusal(kind, bars(), "resample", *arguments, **named)

    def test_volume_is_null_only_if_all_are_and_forming_bars_make_theirs_partial(self, kind: Kind) -> None:
        frame = bars(
            "BTCUSDT",
            [1.0] * 6,
            every=30 * MINUTE,
            volume=[1.0, None, None, None, 4.0, 5.0],
            closed=[True] * 5 + [False],
        )
        made = kind.read(kind.make(frame).alltick.resample("1h"))
        assert made.columns == ["code", "timestamp", *PRICES, "volume", "closed", "partial"]
        assert made.select("volume", "closed", "partial").rows() == [
            (1, True, False),
            (None, True, False),
            (9, False, True),
        ]
        dropped = kind.read(kind.make(frame).alltick.resample("1h", partial="drop"))
        assert dropped.columns == made.columns[:-1]
        assert dropped.height == 2

    def test_the_type_of_the_timestamps_stays(self, kind: Kind) -> None:
        local = bars(every=MINUTE).with_columns(
            pl.col("timestamp").dt.convert_time_zone(NEW_YORK).dt.cast_time_unit("ms")
        )
        made = kind.read(kind.make(local).alltick.resample("1d"))
        assert made["timestamp"].dtype == pl.Datetime("ms", NEW_YORK)
        assert times(made, "timestamp") == ["03-18 00:00"]

    @pytest.mark.parametrize("session", [None, "open"])
    def test_an_empty_frame_gives_an_empty_one_with_the_same_columns(self, kind: Kind, session: Any) -> None:
        full, empty = (
            kind.read(kind.make(each).alltick.resample("2h", session, of="1h"))
            for each in (stamped("EURUSD", "2026-03-18T12:00"), bars().clear())
        )
        assert empty.is_empty()
        assert empty.columns == full.columns

    def test_rows_without_prices_are_no_bars(self, kind: Kind) -> None:
        frame = bars("BTCUSDT", [1.0, None, None, 4.0])
        assert times(kind.read(kind.make(frame).alltick.resample("2h")), "timestamp") == ["03-18 12:00", "03-18 14:00"]
        assert column(kind.read(kind.make(frame).alltick.resample("2h")), "close") == [1.0, 4.0]


GAPS = list(schemas.GAPS.names)


class TestGaps:
    def test_a_hole_is_found_and_named(self, server: at.sandbox.Sandbox, kind: Kind) -> None:
        hour = pl.col("timestamp").is_between(
            datetime(2026, 3, 11, 2, tzinfo=UTC), datetime(2026, 3, 11, 5, tzinfo=UTC), closed="left"
        )
        both = pl.concat(
            [served(server, code, "5m", "2026-03-10", "2026-03-13").filter(~hour) for code in ("EURUSD", "700.HK")]
        )
        found = kind.read(kind.make(both).alltick.gaps())
        assert found.columns == GAPS
        assert found.select("code", "period", "bars", "reason", "calendar").rows() == [
            ("EURUSD", "5m", 36, "not_in_frame", "alltick 2025-01"),
            # Without the break.
            ("700.HK", "5m", 24, "not_in_frame", "XHKG"),
        ]
        assert times(found, "start") == ["03-11 02:00"] * 2
        assert times(found, "end") == ["03-11 05:00", "03-11 04:00"]

    def test_quiet_minutes_are_nothing_unless_all_are_asked_for(self, server: at.sandbox.Sandbox, kind: Kind) -> None:
        thin = served(server, "Aluminum", "1m", "2026-03-10", "2026-03-13")
        assert kind.read(kind.make(thin).alltick.gaps()).is_empty()
        lacking = 3 * 18 * 60 - thin.height
        assert kind.read(kind.make(thin).alltick.gaps(min_bars=1))["bars"].sum() == lacking

    def test_dates_with_a_session_and_without_a_bar_are_found(self, server: at.sandbox.Sandbox, kind: Kind) -> None:
        days = served(server, "AAPL.US", "1d", "2025-11-20", "2025-12-10")
        assert kind.read(kind.make(days).alltick.gaps()).is_empty()
        found = kind.read(kind.make(days.filter(pl.col("timestamp").dt.day() != 1)).alltick.gaps())
        assert [*zip(times(found, "start"), column(found, "bars"), strict=True)] == [("12-01 00:00", 1)]

    def test_it_agrees_with_the_archive(self, client: at.Client) -> None:
        for week in ("2026-03-02/2026-03-04", "2026-03-10/2026-03-12"):
            client.get_kline(["EURUSD", "GOLD"], "15m", week)
        held = client.get_kline(
            ["EURUSD", "GOLD"], "15m", "2026-03-02/2026-03-12", network="never", on_incomplete="ignore"
        )
        same = ["code", "period", "start", "end", "bars", "calendar"]
        assert of(held).gaps().select(same).rows() == client.gaps().select(same).rows()
        assert len(client.gaps()) == 2

    def test_an_empty_frame_has_none(self, kind: Kind) -> None:
        found = kind.read(kind.make(bars().clear()).alltick.gaps())
        assert found.is_empty()
        assert found.columns == GAPS

    def test_other_arguments_are_refused(self, kind: Kind) -> None:
        assert refusal(kind, bars(), "gaps", 0).startswith("min_bars=0 must be a whole number")
        assert refusal(kind, bars(), "gaps", period="45min").startswith(
            "gaps are known of the vendor's periods, not of bars of 45min"
        )


class TestFramesOfTheClient:
    def test_a_scan_stays_lazy_and_gives_what_the_frame_does(
        self, server: at.sandbox.Sandbox, client: at.Client
    ) -> None:
        span = "2026-03-16/2026-03-17"
        scan = of(client.scan_kline(["EURUSD", "BTCUSDT"], "1m", span)).resample("1h")
        assert not server.requests()
        eager = of(client.get_kline(["EURUSD", "BTCUSDT"], "1m", span)).resample("1h")
        assert_frame_equal(scan.collect(), eager)
        # What comes after it does not reach the minutes.
        later = pl.col("close") > eager["close"].median()
        assert_frame_equal(scan.filter(later).collect(), eager.filter(later))
        assert_frame_equal(scan.select("volume").head(3).collect(), eager.select("volume").head(3))
        assert_frame_equal(scan.collect(engine="streaming"), eager)

    def test_latest_bars_say_their_period_themselves(self, client: at.Client) -> None:
        latest = client.get_latest_kline(["EURUSD", "BTCUSDT"], "1m")
        known = of(latest).known_at()
        assert (known["known_at"] - known["timestamp"]).unique().to_list() == [MINUTE]
        assert of(latest).ohlcv("EURUSD").height == 1
        with pytest.raises(at.ArgumentError, match="several periods"):
            of(client.get_latest_kline("EURUSD", ["1m", "5m"])).known_at()

    @pytest.mark.parametrize("frame", ["polars", "pandas"])
    def test_categorical_codes_give_the_same(self, client: at.Client, frame: Any) -> None:
        plain, categorical = (
            client.get_kline(["GOLD", "BTCUSDT"], "1h", "2026-03-16/2026-03-17", frame=frame, categorical=each)
            for each in (False, True)
        )
        for method in ("returns", "trading_date", "known_at", "align", "pivot", "gaps"):
            expected, found = (getattr(of(each), method)() for each in (plain, categorical))
            if isinstance(expected, pl.DataFrame):
                expected, found = (each.cast({pl.Categorical: pl.String}).to_pandas() for each in (expected, found))
            pd.testing.assert_frame_equal(found, expected)


class TestWithoutCalendars:
    @pytest.fixture(autouse=True)
    def _no_calendars(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setitem(sys.modules, "exchange_calendars", None)
        calendars._calendar.cache_clear()  # noqa: SLF001  # what other tests have loaded
        yield
        calendars._calendar.cache_clear()  # noqa: SLF001

    def test_a_bar_is_known_later_but_not_earlier(self) -> None:
        day = of(stamped("700.HK", "2026-03-18T00:00")).known_at(period="1d")
        assert times(day, "known_at") == ["03-18 16:00"]
        # A half day, of which nobody knows: its closing auction is stamped with the beginning of what is no break.
        auction = of(stamped("700.HK", "2025-12-24T04:00")).known_at(period="1m")
        assert times(auction, "known_at") == ["12-24 05:00"]

    def test_a_week_with_a_holiday_may_be_called_partial_but_a_cut_one_is_not_called_whole(self) -> None:
        dates = (*range(23, 27), *range(30, 31))
        days = stamped("AAPL.US", *(f"2026-03-{date}T00:00" for date in dates), "2026-04-01T00:00", "2026-04-02T00:00")
        # Of the first week Friday lacks, but it is no end of the frame; of the second, Tuesday and Good Friday.
        assert column(of(days).resample("1w"), "partial") == [False, True]
