"""`df.alltick` does the same for Polars, lazy Polars and pandas frames, and nothing wrong in silence."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import alltick_frames as at
import alltick_frames.pandas
import alltick_frames.polars

if TYPE_CHECKING:
    from collections.abc import Callable

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
