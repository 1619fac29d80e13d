"""Checked by two type checkers, never run: what a call returns follows from `frame`."""

from __future__ import annotations

from typing import assert_type

import pandas as pd
import polars as pl
import pyarrow as pa

import alltick_frames as at
import alltick_frames.pandas
import alltick_frames.polars
from alltick_frames.settings import FrameKind


def functions(kind: FrameKind) -> None:
    assert_type(at.get_kline("EURUSD", "1d", "1y"), pl.DataFrame)
    assert_type(at.get_kline("EURUSD", "1d", "1y", frame="polars"), pl.DataFrame)
    assert_type(at.get_kline("EURUSD", "1d", "1y", frame="pandas", forming="keep", prices="decimal"), pd.DataFrame)
    assert_type(at.get_kline("EURUSD", "1d", "1y", frame="arrow"), pa.Table)
    assert_type(at.get_kline("EURUSD", "1d", "1y", frame=kind), pl.DataFrame | pd.DataFrame | pa.Table)
    assert_type(at.scan_kline(None, "1d"), pl.LazyFrame)
    assert_type(at.get_latest_kline(["EURUSD"], ["1m", at.Period.DAY]), pl.DataFrame)
    assert_type(at.get_latest_kline("EURUSD", frame="pandas"), pd.DataFrame)
    assert_type(at.get_last_trade("EURUSD", frame="arrow", on_incomplete="warn"), pa.Table)
    assert_type(at.get_order_book(["EURUSD"], 5, frame="pandas", max_wait=3), pd.DataFrame)
    assert_type(at.get_static_info(["700.HK"]), pl.DataFrame)
    assert_type(at.get_suspensions("sse", frame="pandas"), pd.DataFrame)
    assert_type(at.get_products("forex", frame="pandas"), pd.DataFrame)
    assert_type(at.search_products("gold"), pl.DataFrame)
    assert_type(at.coverage(frame="pandas"), pd.DataFrame)
    assert_type(at.gaps("EURUSD", "1m", min_bars=3), pl.DataFrame)
    assert_type(at.restatements(frame="arrow"), pa.Table)
    assert_type(at.doctor(probe=True, frame="pandas"), pd.DataFrame)
    assert_type(at.update(["EURUSD"], "1d", progress=False), pl.DataFrame)
    assert_type(at.export("out", format="csv", frame="pandas"), pd.DataFrame)
    assert_type(at.import_("out", frame=kind), pl.DataFrame | pd.DataFrame | pa.Table)


def methods(client: at.Client) -> None:
    assert_type(client.get_kline(["EURUSD"], at.Period.DAY, 10), pl.DataFrame)
    assert_type(client.get_kline(["EURUSD"], at.Period.DAY, 10, frame="pandas"), pd.DataFrame)
    assert_type(client.scan_kline("EURUSD", "1d", "1y"), pl.LazyFrame)
    assert_type(client.get_last_trade(["EURUSD"]), pl.DataFrame)
    assert_type(client.coverage(frame="pandas"), pd.DataFrame)
    for bar in client.watch_kline("EURUSD", "1m"):
        assert_type(bar.close, float)


async def coroutines(client: at.AsyncClient) -> None:
    assert_type(await client.get_kline(["EURUSD"], at.Period.DAY, 10), pl.DataFrame)
    assert_type(await client.get_kline(["EURUSD"], at.Period.DAY, 10, frame="pandas"), pd.DataFrame)
    assert_type(await client.scan_kline("EURUSD", "1d", "1y"), pl.LazyFrame)
    assert_type(await client.get_order_book("EURUSD", frame="arrow"), pa.Table)
    assert_type(await client.update(frame="pandas"), pd.DataFrame)


def refused(client: at.Client) -> None:
    client.get_kline("EURUSD", "1d", "1y", frame="dask")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    client.get_kline("EURUSD", "1d", "1y", prices="exact")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    client.get_suspensions("szse")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    client.get_last_trade("EURUSD", 5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def accessors(eager: pl.DataFrame, lazy: pl.LazyFrame, of_pandas: pd.DataFrame) -> None:
    assert_type(alltick_frames.polars.alltick(eager).resample("1h"), pl.DataFrame)
    assert_type(alltick_frames.polars.alltick(lazy).resample("1h"), pl.LazyFrame)
    assert_type(alltick_frames.pandas.alltick(of_pandas).ohlcv(), pd.DataFrame)
