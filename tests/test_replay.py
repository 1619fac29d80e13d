"""Real market data, served by the sandbox and fetched back value for value."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from backtesting.test import EURUSD, GOOG  # 5,000 hourly bars and 2,148 daily ones, shipped in the package

import alltick_frames as at

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    import pandas as pd


def as_bars(prices: pd.DataFrame) -> pl.DataFrame:
    """Give a shipped frame our column names and types."""
    columns = {
        name: pl.Series(prices[name.capitalize()].to_numpy("float64")) for name in ("open", "high", "low", "close")
    }
    stamps = pl.Series(prices.index.to_numpy("datetime64[us]")).dt.replace_time_zone("UTC")
    return pl.DataFrame({"timestamp": stamps, **columns, "volume": prices["Volume"].to_numpy("float64")})


def test_five_thousand_hours_of_eurusd_come_back_value_for_value(
    server: at.sandbox.Sandbox, connect: Callable[..., at.Client]
) -> None:
    real = as_bars(EURUSD)
    server.set_clock("2018-02-08T00:00Z", frozen=True)
    server.replay("EURUSD", "1h", EURUSD)
    fetched = connect().get_kline("EURUSD", "1h", "2017-04-19T09:00Z/2018-02-08")
    assert real.height == 5000
    assert fetched.drop("code", "turnover").equals(real)
    assert len(server.requests()) <= 12


def test_a_year_of_days_grows_as_the_clock_advances(
    server: at.sandbox.Sandbox, connect: Callable[..., at.Client], set_clocks: Callable[[datetime], None]
) -> None:
    real = as_bars(GOOG)
    client = connect()
    server.replay("GOOG.US", "1d", GOOG)
    for upto in range(490, real.height + 490, 490):
        last = real["timestamp"][min(upto, real.height) - 1]
        set_clocks(last.replace(hour=18))
        # The last bar's session in New York is not over: it is neither archived as final nor returned.
        so_far = client.get_kline("GOOG.US", "1d", "max")
        assert so_far["timestamp"].equals(real["timestamp"].head(min(upto, real.height) - 1))
    set_clocks(last + timedelta(days=2))
    whole = client.get_kline("GOOG.US", "1d", "max")
    assert whole.drop("code", "turnover").equals(real)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_is_replayed_like_a_frame(
    server: at.sandbox.Sandbox, connect: Callable[..., at.Client], tmp_path: Path, kind: str
) -> None:
    real = as_bars(EURUSD).tail(700)
    path = tmp_path / f"bars.{kind}"
    getattr(real, f"write_{kind}")(path)
    server.set_clock("2018-02-08T00:00Z", frozen=True)
    server.replay("GBPUSD", "1h", path)
    fetched = connect().get_kline("GBPUSD", "1h", 700)
    assert fetched.drop("code", "turnover").equals(real)
