"""Where frames go next: DuckDB, pandas, Polars, Arrow, NumPy, Dask, without copies if none is needed; and decimals."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import duckdb
import httpx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alltick_frames as at
from alltick_frames import schemas
from alltick_frames.decimals import exactly
from alltick_frames.decode import kline_page
from alltick_frames.frames import to_frame
from alltick_frames.store import Archive, Batch
from alltick_frames.wire import Answer, KlineRequest
from tests.archives import MINUTE, START, batch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Connect = Callable[..., at.Client]

M1 = at.Period("1m")
MANY = 1_000_000
OFFLINE: dict[str, Any] = {"base_url": "http://127.0.0.1:9", "network": "never", "token": None}


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> at.Client:
    """Give a client whose archive holds a million bars."""
    directory = tmp_path_factory.mktemp("million")
    client = at.Client(cache_dir=directory, on_incomplete="ignore", **OFFLINE)
    # Up to the beginning of 2026.
    stamps = START + (np.arange(MANY) - MANY) * MINUTE
    prices = 100 + np.arange(MANY) / 1000
    columns = [pa.array(stamps).cast(schemas.TIMESTAMP), *[pa.array(prices)] * 4, pa.array(prices), pa.nulls(MANY)]
    bars = pa.Table.from_arrays([*columns[:-1], columns[-1].cast(pa.float64())], schema=schemas.BARS)
    proven = ((int(stamps[0]), int(stamps[-1]) + MINUTE),)
    Archive.open(directory, client.settings.origin).write("EURUSD", M1, Batch(bars, stamps, proven, 1, ()))
    return client


def addresses(frame: Any, column: str) -> list[int]:
    """Say where in memory the chunks of a column are."""
    # Polars puts the chunks of a whole frame together.
    chunks = pa.chunked_array(frame[column]) if isinstance(frame, pl.DataFrame) else pa.table(frame)[column]
    return [chunk.buffers()[1].address + chunk.offset * chunk.type.byte_width for chunk in chunks.chunks if len(chunk)]


class TestWithoutCopies:
    @pytest.mark.parametrize("column", ["timestamp", "open", "close", "volume"])
    def test_a_million_rows_are_one_memory_in_all_three_kinds_of_frame(self, million: at.Client, column: str) -> None:
        table = million.get_kline("EURUSD", "1m", "max", frame="arrow")
        assert len(table) == MANY
        there = addresses(table, column)
        assert len(there) > 1
        # `addresses` itself takes the frames through `__arrow_c_stream__`.
        polars, pandas = to_frame(table, "polars"), to_frame(table, "pandas")
        assert addresses(polars, column) == addresses(pandas, column) == there
        assert addresses(pl.from_arrow(pa.table(pandas), rechunk=False), column) == there

    def test_what_a_call_allocates_for_a_million_rows_is_the_codes_alone(self, million: at.Client) -> None:
        kinds: tuple[Literal["arrow", "pandas", "polars"], ...] = ("arrow", "pandas", "polars")
        for kind in kinds:
            million.get_kline("EURUSD", "1m", "max", frame=kind)
            before = pa.total_allocated_bytes()
            frame = million.get_kline("EURUSD", "1m", "max", frame=kind)
            assert len(frame) == MANY
            # 56 MB of bars stay where they are, mapped; of a text of six letters there are a million.
            assert pa.total_allocated_bytes() - before < (1 if kind == "arrow" else 14) * MANY

    def test_numpy_sees_the_chunks_where_they_are(self, million: at.Client) -> None:
        table = million.get_kline("EURUSD", "1m", "max", frame="arrow")
        arrays = [chunk.to_numpy(zero_copy_only=True) for chunk in table["close"].chunks]
        assert [array.ctypes.data for array in arrays] == addresses(table, "close")
        month = million.get_kline("EURUSD", "1m", "2025-06/2025-06")["close"]
        assert month.to_numpy(allow_copy=False).sum() == pytest.approx(month.sum())


class TestRoundTrips:
    @pytest.fixture
    def frames(self, client: at.Client, set_clocks: Callable[[str], None]) -> tuple[Any, Any, Any]:
        set_clocks("2026-03-18T15:00:30Z")
        asked = (["EURUSD", "700.HK"], "1h", "2026-03-10/2026-03-17")
        polars, pandas, arrow = (client.get_kline(*asked, frame=kind) for kind in ("polars", "pandas", "arrow"))
        return polars, pandas, arrow

    def test_polars_to_pandas_and_back_keeps_types_zone_and_unit(self, frames: tuple[Any, Any, Any]) -> None:
        polars, pandas, arrow = frames
        assert pl.from_pandas(polars.to_pandas(use_pyarrow_extension_array=True)).equals(polars)
        assert pl.from_pandas(polars.to_pandas(use_pyarrow_extension_array=True)).schema == polars.schema
        assert pl.from_pandas(pandas).equals(polars)
        assert pl.from_pandas(pandas).schema == polars.schema
        assert pl.DataFrame(pandas).schema == pl.DataFrame(arrow).cast({"code": pl.String}).schema == polars.schema

    def test_pandas_to_polars_and_back_keeps_types_zone_and_unit(self, frames: tuple[Any, Any, Any]) -> None:
        polars, pandas, _ = frames
        back = pl.from_pandas(pandas).to_pandas(use_pyarrow_extension_array=True)
        pd.testing.assert_frame_equal(back.astype({"code": pandas["code"].dtype}), pandas)
        # Polars' text is long.
        assert back.dtypes.drop("code").to_dict() == pandas.dtypes.drop("code").to_dict()
        assert str(back["code"].dtype) == "large_string[pyarrow]"
        assert polars.to_pandas()["timestamp"].dt.tz is not None

    def test_arrow_takes_all_of_them(self, frames: tuple[Any, Any, Any]) -> None:
        polars, pandas, arrow = frames
        plain = schemas.KLINE.set(0, pa.field("code", pa.string()))
        for frame in (polars, pandas, arrow):
            table = pa.table(frame).cast(plain)
            assert table.equals(arrow.cast(plain))
        assert {field.name: field.nullable for field in arrow.schema}["volume"]

    def test_duckdb_reads_all_of_them(self, frames: tuple[Any, Any, Any]) -> None:
        whole = frames[0]
        expected = whole.group_by("code").agg(pl.col("close").sum(), pl.col("timestamp").max()).sort("code")
        connection = duckdb.connect()
        connection.execute("set timezone = 'UTC'")
        for frame in frames:
            connection.register("bars", frame if isinstance(frame, pl.DataFrame | pa.Table) else pa.table(frame))
            got = connection.sql(
                "select code, sum(close) as close, max(timestamp) as timestamp from bars group by code order by code"
            ).pl()
            assert got["code"].to_list() == expected["code"].to_list()
            assert got["close"].to_list() == pytest.approx(expected["close"].to_list(), rel=1e-12)
            # DuckDB names the zone as its setting does.
            assert got["timestamp"].dt.convert_time_zone("UTC").to_list() == expected["timestamp"].to_list()
            assert got.schema["timestamp"].time_unit == "us"

    def test_dask_keeps_the_types_and_computes_the_same(self, frames: tuple[Any, Any, Any]) -> None:
        import dask.dataframe as dd  # noqa: PLC0415  # a second

        _, pandas, _ = frames
        parts = dd.from_pandas(pandas, npartitions=3)
        assert parts.npartitions == 3
        assert parts.dtypes.drop("code").equals(pandas.dtypes.drop("code"))
        pd.testing.assert_frame_equal(parts.compute().astype(pandas.dtypes.to_dict()), pandas)
        means = parts.groupby("code")["close"].mean().compute().sort_index()
        assert means.to_list() == pytest.approx(pandas.groupby("code")["close"].mean().sort_index().to_list())

    def test_numpy_gets_doubles_with_nan_where_there_is_nothing(self, frames: tuple[Any, Any, Any]) -> None:
        polars, pandas, _ = frames
        for frame in (polars, pandas):
            turnover = frame["turnover"].to_numpy()
            assert turnover.dtype == np.float64
            assert np.isnan(turnover).sum() == polars["turnover"].null_count() > 0


# --- decimals


def raw(server: at.sandbox.Sandbox, code: str) -> dict[int, dict[str, str]]:
    """Ask the service itself, and leave its strings as they are."""
    data = {"code": code, "kline_type": 5, "kline_timestamp_end": 0, "query_kline_num": 100, "adjust_type": 0}
    query = quote(json.dumps({"trace": "raw", "data": data}))
    family = "quote-stock-b-api" if code.endswith(".HK") else "quote-b-api"
    answer = httpx.get(f"{server.url}/{family}/kline?token={server.token}&query={query}")
    rows = json.loads(answer.text, parse_float=str, parse_int=str)["data"]["kline_list"]
    return {int(row["timestamp"]): row for row in rows}


FIELDS = {"open": "open_price", "high": "high_price", "low": "low_price", "close": "close_price"}
FIELDS |= {"volume": "volume", "turnover": "turnover"}


def rows_of(frame: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pa.table(frame).to_pylist()
    return rows


class TestDecimals:
    @pytest.mark.parametrize("numbers", ["strings", "json"])
    def test_are_the_vendors_digits_in_all_three_kinds_of_frame(
        self, client: at.Client, server: at.sandbox.Sandbox, set_clocks: Callable[[str], None], numbers: Any
    ) -> None:
        set_clocks("2026-03-18T15:00:30Z")
        server.configure(readings={"numbers": numbers})
        codes = ["EURUSD", "700.HK", "BTCUSDT"]
        sent = {code: raw(server, code) for code in codes}
        kinds: tuple[Literal["arrow", "pandas", "polars"], ...] = ("arrow", "pandas", "polars")
        for kind in kinds:
            frame = client.get_kline(codes, "1h", 50, frame=kind, prices="decimal", forming="keep")
            rows = rows_of(frame)
            # 700.HK rests at that time.
            assert len(rows) == 152
            assert [row["closed"] for row in rows].count(False) == 2
            for row in rows:
                said = sent[row["code"]][int(row["timestamp"].timestamp())]
                for ours, theirs in FIELDS.items():
                    assert row[ours] == (Decimal(said[theirs]) if said.get(theirs) else None)

    def test_have_one_type_whatever_they_hold(self, client: at.Client, set_clocks: Callable[[str], None]) -> None:
        set_clocks("2026-03-18T15:00:30Z")
        asked: tuple[Any, ...] = ("EURUSD", "1h", "2026-03-14/2026-03-14")
        empty = client.get_kline(*asked, prices="decimal")
        some = client.get_kline("BTCUSDT", *asked[1:], prices="decimal")
        assert empty.is_empty()
        assert empty.schema == some.schema
        assert some.schema["close"] == pl.Decimal(36, 18)
        pandas = client.get_kline("BTCUSDT", *asked[1:], prices="decimal", frame="pandas")
        assert set(map(str, pandas.dtypes[2:])) == {"decimal128(36, 18)[pyarrow]"}
        # Arrow's sums take a digit more.
        assert (pandas["high"] - pandas["low"]).min() >= 0

    def test_a_string_that_float64_cannot_hold_comes_back(self, connect: Connect, tmp_path: Path) -> None:
        client = connect(cache_dir=tmp_path, on_incomplete="ignore", **OFFLINE)
        archive = Archive.open(tmp_path, client.settings.origin)
        rows: dict[int, tuple[float, float | None]] = {START: (1.1, 2.0), START + MINUTE: (1.2, None)}
        exact = ((1, "close", "1.20000000000000001"), (0, "volume", "2.000000000000000003"))
        archive.write("EURUSD", M1, batch(rows, exact=exact))
        got = client.get_kline("EURUSD", "1m", "max", prices="decimal")
        assert got["close"].to_list() == [Decimal("1.1"), Decimal("1.20000000000000001")]
        assert got["volume"].to_list() == [Decimal("2.000000000000000003"), None]
        assert client.get_kline("EURUSD", "1m", "max")["close"].to_list() == [1.1, 1.2]

    def test_more_digits_than_the_type_has_are_refused_by_name(self, connect: Connect, tmp_path: Path) -> None:
        client = connect(cache_dir=tmp_path, on_incomplete="ignore", **OFFLINE)
        archive = Archive.open(tmp_path, client.settings.origin)
        archive.write("EURUSD", M1, batch({START: (1.1, 1e-19)}))
        with pytest.raises(at.ArgumentError, match=r"volume of EURUSD at 2026.* is 1e-19, .*use prices='float'"):
            client.get_kline("EURUSD", "1m", "max", prices="decimal")
        with pytest.raises(at.ArgumentError, match=r"prices='exact' is not known.*'decimal'"):
            client.get_kline("EURUSD", "1m", "max", prices="exact")  # type: ignore[call-overload]


@given(
    values=st.lists(
        st.tuples(st.integers(1, 10**18 - 1), st.integers(0, 18), st.booleans()).map(
            lambda made: (format(Decimal(made[0]).scaleb(-made[1]), "f"), made[2])
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_number_that_was_sent_comes_back_as_decimal_and_as_the_nearest_double(
    values: list[tuple[str, bool]],
) -> None:
    rows = []
    for minute, (text, quoted) in enumerate(values):
        value = f'"{text}"' if quoted else text
        prices = ",".join(f'"{name}":{value}' for name in ("open_price", "high_price", "low_price", "close_price"))
        rows.append(f'{{"timestamp":"{1_767_225_600 + 60 * minute}",{prices},"volume":{value},"turnover":""}}')
    body = f'{{"ret":200,"data":{{"code":"EURUSD","kline_type":1,"kline_list":[{",".join(rows)}]}}}}'
    answer = Answer(200, body.encode(), "t", datetime(2026, 3, 18, tzinfo=UTC), None)
    page = kline_page(answer, KlineRequest("EURUSD", M1, None, 500))
    stamps = page.stamps_us.tolist()
    decimals = exactly(page.bars, {(stamps[row], name): text for row, name, text in page.exact}, "EURUSD")
    for name in ("open", "high", "low", "close", "volume"):
        assert decimals[name].to_pylist() == [Decimal(text) for text, _ in values]
        assert page.bars[name].to_pylist() == [float(text) for text, _ in values]
    assert decimals["turnover"].null_count == len(values)
