"""Bars of the user's come back as they went in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from alltick_frames import sandbox

from .conftest import Asker, at

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

START = at("2026-03-16T00:00")


def frame(length_s: int = 3600, rows: int = 50) -> pd.DataFrame:
    """Return bars whose floats have no short decimal form."""
    random = np.random.default_rng(5)
    close = np.exp(random.normal(0, 0.1, rows).cumsum()) / 3
    return pd.DataFrame(
        {
            "Open": close * 0.999,
            "High": close * 1.01,
            "Low": close * 0.99,
            "Close": close,
            "Volume": random.integers(1, 10**6, rows).astype(float),
        },
        index=pd.to_datetime(START + np.arange(rows) * length_s, unit="s"),
    )


def given(bars: list[dict[str, Any]]) -> list[tuple[float, ...]]:
    names = ("open_price", "high_price", "low_price", "close_price", "volume")
    return [tuple(float(bar[name]) for name in names) for bar in bars]


def rows(bars: pd.DataFrame) -> list[tuple[float, ...]]:
    return [tuple(row) for row in bars.to_numpy().tolist()]


def test_replayed_bars_come_back_bit_equal(ask: Asker) -> None:
    bars = frame()
    ask.sandbox.replay("EURUSD", "1h", bars)
    served = ask.bars("EURUSD", "1h")
    assert given(served) == rows(bars)
    assert [int(bar["timestamp"]) for bar in served] == [START + 3600 * n for n in range(50)]
    assert served[0]["turnover"] == ""


def test_a_code_of_ones_own_can_be_replayed(ask: Asker) -> None:
    ask.sandbox.replay("My own", "1d", frame(86400, 2))
    assert given(ask.bars("My own", "1d")) == rows(frame(86400, 2))


def test_longer_periods_are_aggregated_and_shorter_ones_are_empty(ask: Asker) -> None:
    bars = frame()
    ask.sandbox.replay("GBPUSD", "1h", bars)
    longer = ask.bars("GBPUSD", "4h")
    hours = rows(bars)[:4]
    assert given(longer)[0] == (
        hours[0][0], max(row[1] for row in hours), min(row[2] for row in hours), hours[3][3],
        math.fsum(row[4] for row in hours),
    )  # fmt: skip
    # New York closes at 21:00 UTC, so two days and a bit are three trading dates.
    assert [int(bar["timestamp"]) for bar in ask.bars("GBPUSD", "1d")] == [
        at("2026-03-16T00:00"), at("2026-03-17T00:00"), at("2026-03-18T00:00"),
    ]  # fmt: skip
    assert ask.bars("GBPUSD", "30m") == []


def test_bars_later_than_the_clock_stay_unseen(ask: Asker) -> None:
    ask.sandbox.replay("AUDUSD", "1h", frame())
    ask.sandbox.set_clock("2026-03-16T05:30Z", frozen=True)
    assert ask.stamps("AUDUSD", "1h")[-1] == at("2026-03-16T05:00")
    assert ask.sandbox.bars("AUDUSD", "1h")["closed"].to_pylist() == [True] * 5 + [False]


def test_truth_of_a_replay_is_what_was_given(ask: Asker) -> None:
    bars = frame()
    ask.sandbox.replay("NZDUSD", "1h", bars)
    truth = ask.sandbox.bars("NZDUSD", "1h")
    assert truth["close"].to_pylist() == bars["Close"].tolist()
    assert truth["turnover"].null_count == 50


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "csv", "parquet"])
def test_every_kind_of_frame_is_taken(ask: Asker, tmp_path: Path, kind: str) -> None:
    bars = frame()
    flat = bars.rename_axis("Time").reset_index()
    flat.to_csv(tmp_path / "bars.csv", index=False)
    flat.to_parquet(tmp_path / "bars.parquet")
    source = {
        "pandas": flat,
        "polars": pl.from_pandas(flat),
        "arrow": pa.Table.from_pandas(flat),
        "csv": tmp_path / "bars.csv",
        "parquet": str(tmp_path / "bars.parquet"),
    }[kind]
    ask.sandbox.replay("USDCHF", "1h", source)
    assert given(ask.bars("USDCHF", "1h")) == rows(bars)


def test_times_with_a_zone_are_converted(ask: Asker) -> None:
    bars = frame(rows=3)
    ask.sandbox.replay("USDCAD", "1h", bars.tz_localize("UTC").tz_convert("Asia/Tokyo"))
    assert ask.stamps("USDCAD", "1h")[0] == START


def test_prices_are_never_written_with_an_exponent(ask: Asker) -> None:
    bars = frame(rows=3) * 1e-9
    ask.sandbox.replay("SHIBUSDT", "1h", bars)
    served = ask.bars("SHIBUSDT", "1h")
    assert "e" not in served[0]["open_price"]
    assert given(served) == rows(bars)


def test_frames_that_cannot_be_replayed_say_why(ask: Asker) -> None:
    bars = frame()
    with pytest.raises(ValueError, match="no column close"):
        ask.sandbox.replay("EURUSD", "1h", bars.drop(columns="Close"))
    with pytest.raises(ValueError, match="same timestamp"):
        ask.sandbox.replay("EURUSD", "1h", pd.concat([bars, bars]))
    with pytest.raises(ValueError, match="column open has values"):
        ask.sandbox.replay("EURUSD", "1h", bars.assign(Open=math.nan))
    with pytest.raises(ValueError, match="'3h' is not one of"):
        ask.sandbox.replay("EURUSD", "3h", bars)
    with pytest.raises(TypeError, match="not list"):
        ask.sandbox.replay("EURUSD", "1h", [1])


def test_running_takes_replays(http: httpx.Client) -> None:
    with sandbox.running(
        clock="2026-03-20T00:00Z", replay={("EURUSD", "1h"): frame(), ("700.HK", "1d"): frame(86400, 3)}
    ) as running:
        asker = Asker(running, http)
        assert given(asker.bars("EURUSD", "1h")) == rows(frame())
        assert given(asker.bars("700.HK", "1d")) == rows(frame(86400, 3))
