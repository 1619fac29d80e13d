"""Checked by the type checker, never run: what a call returns follows from `frame`."""

from __future__ import annotations

from typing import Any, assert_type

import pandas as pd
import polars as pl

import alltick_frames as at
import alltick_frames.pandas
import alltick_frames.polars
from alltick_frames.settings import FrameKind


def functions(kind: FrameKind) -> None:
    assert_type(at.get_kline("EURUSD", "1d", "1y"), pl.DataFrame)
    assert_type(at.get_kline("EURUSD", "1d", "1y", frame="polars"), pl.DataFrame)
    assert_type(at.get_kline("EURUSD", "1d", "1y", frame="pandas", forming="keep"), pd.DataFrame)
    assert_type(at.get_kline("EURUSD", "1d", "1y", frame="arrow"), Any)  # pyarrow publishes no types
    assert_type(at.get_kline("EURUSD", "1d", "1y", frame=kind), pl.DataFrame | pd.DataFrame | Any)


def methods(client: at.Client) -> None:
    assert_type(client.get_kline(["EURUSD"], at.Period.DAY, 10), pl.DataFrame)
    assert_type(client.get_kline(["EURUSD"], at.Period.DAY, 10, frame="pandas"), pd.DataFrame)


async def coroutines(client: at.AsyncClient) -> None:
    assert_type(await client.get_kline(["EURUSD"], at.Period.DAY, 10), pl.DataFrame)
    assert_type(await client.get_kline(["EURUSD"], at.Period.DAY, 10, frame="pandas"), pd.DataFrame)


def accessors(eager: pl.DataFrame, lazy: pl.LazyFrame, of_pandas: pd.DataFrame) -> None:
    assert_type(alltick_frames.polars.alltick(eager).resample("1h"), pl.DataFrame)
    assert_type(alltick_frames.polars.alltick(lazy).resample("1h"), pl.LazyFrame)
    assert_type(alltick_frames.pandas.alltick(of_pandas).ohlcv(), pd.DataFrame)
