"""`update()`: what is held, brought up to date; and `refresh=`: what is held, read anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import alltick_frames as at
from tests.conftest import UNHURRIED

if TYPE_CHECKING:
    from collections.abc import Callable

    SetClocks = Callable[[str | datetime], None]
    Connect = Callable[..., at.Client]

BATCHES = UNHURRIED | {"batch_kline": (1_000, 1)}
MORNING = datetime(2026, 3, 18, 2, 30, 10, tzinfo=UTC)
CODES = ["EURUSD", "BTCUSDT", "700.HK", "AAPL.US"]
PERIODS = ["1m", "1h", "1d"]


def sent(server: at.sandbox.Sandbox) -> dict[str, int]:
    counted: dict[str, int] = server.counters()["endpoints"]
    server.reset()
    return counted


def added(report: pl.DataFrame) -> dict[tuple[str, str], int]:
    return {(code, period): count for code, period, count in report.select("code", "period", "added").rows()}


def test_all_that_is_held_is_followed_and_nothing_else(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks
) -> None:
    client = connect(limits=BATCHES)
    set_clocks(MORNING)
    assert client.update().height == 0
    first = client.update(CODES, PERIODS)
    assert added(first).keys() == {(code, period) for code in CODES for period in PERIODS}
    assert min(added(first).values()) > 400
    assert sent(server) == {"kline": 12}
    assert added(client.update()) == dict.fromkeys(added(first), 0)
    assert sent(server) == {}
    set_clocks(MORNING + timedelta(hours=1))
    news = client.update()
    expected = {("EURUSD", "1m"): 60, ("BTCUSDT", "1m"): 60, ("EURUSD", "1h"): 1, ("BTCUSDT", "1h"): 1}
    assert {group: count for group, count in added(news).items() if group in expected} == expected
    # Sixty minutes are a page each, and so is what alone of its family lacks an hour, or lacks a night of them.
    assert sent(server) == {"kline": 6, "batch-kline": 1}
    for code in CODES:
        for period in PERIODS:
            bars = client.get_kline(code, period, "max", network="never", on_incomplete="ignore")
            truth = pl.DataFrame(server.bars(code, period, bars["timestamp"][0]))
            assert_frame_equal(bars.drop("code"), truth.filter("closed").drop("closed").head(bars.height))
            assert truth.height - bars.height <= 1


def test_only_what_is_named_is_followed(server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks) -> None:
    client = connect(limits=BATCHES)
    set_clocks(MORNING)
    client.update(CODES, PERIODS)
    set_clocks(MORNING + timedelta(days=1))
    assert {code for code, _ in added(client.update("EURUSD"))} == {"EURUSD"}
    assert added(client.update(periods="1h")).keys() == {(code, "1h") for code in CODES}
    assert added(client.update(["GOLD"], "1d")).keys() == {("GOLD", "1d")}
    with pytest.raises(at.ArgumentError, match=r"codes='MSFT.US': nothing of it is held.*name periods"):
        client.update(["EURUSD", "MSFT.US"])
    with pytest.raises(at.ArgumentError, match="period='1s' is not a bar period"):
        client.update(periods=["1m", "1s"])
    with pytest.raises(at.ArgumentError, match=r"not offered for 700\.HK"):
        client.update("700.HK", "4h")


def test_what_came_too_late_is_said_once_and_all_else_is_done(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks
) -> None:
    client = connect(limits=BATCHES)
    set_clocks(MORNING)
    client.update(["700.HK", "EURUSD"], "1m")
    set_clocks(MORNING + timedelta(days=7))
    with pytest.raises(at.IncompleteDataError) as caught:
        client.update()
    (lost,) = caught.value.missing
    assert (lost.code, lost.reason) == ("700.HK", "lost")
    report = caught.value.frame
    assert added(report)["EURUSD", "1m"] > 7_000
    row = report.filter(pl.col("code") == "700.HK").to_dicts()[0]
    assert [(gap["start"], gap["end"], gap["reason"]) for gap in row["missing"]] == [
        (lost.span.start, lost.span.end, "lost")
    ]
    # What is lost begins after the last bar held, and ends with the first that could be had.
    held = client.get_kline("700.HK", "1m", "max", network="never", on_incomplete="ignore")["timestamp"]
    assert lost.span.end in held
    assert held.filter(held < lost.span.end).max() == lost.span.start - timedelta(minutes=1)
    assert client.update()["missing"].list.len().sum() == 0
    set_clocks(MORNING + timedelta(days=14))
    with pytest.warns(at.IncompleteDataWarning, match="700.HK 1m .* lost"):
        assert added(client.update(on_incomplete="warn"))["700.HK", "1m"] > 400


def test_what_was_left_undone_is_done_the_next_time(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks
) -> None:
    client = connect(limits=BATCHES)
    set_clocks(MORNING)
    client.update(["EURUSD", "BTCUSDT"], "1m")
    # A range of last year is not followed.
    client.get_kline("EURUSD", "1m", "2025-06-02/2025-06-03")
    set_clocks(MORNING + timedelta(days=9))
    used = sum(sent(server).values())
    assert used > 0
    short = connect(cache_dir=client.settings.cache_dir, limits=BATCHES | {"day": (30, 86_400)}, plan="free")
    with pytest.warns(at.LongWaitWarning, match="the update of 2 series"), pytest.raises(at.BudgetError) as caught:
        short.update()
    assert sum(added(caught.value.frame).values()) > 0
    sent(server)
    rest = client.update()
    requests = sum(sent(server).values())
    for code in ("EURUSD", "BTCUSDT"):
        bars = client.get_kline(code, "1m", (MORNING - timedelta(hours=2), None), network="never")
        truth = pl.DataFrame(server.bars(code, "1m", bars["timestamp"][0])).filter("closed")
        assert bars["timestamp"].to_list() == truth["timestamp"].to_list()
    assert sum(added(rest).values()) / 499 <= requests <= sum(added(rest).values()) / 499 + 5


def test_pandas_and_arrow_reports_have_the_same_rows(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks
) -> None:
    client = connect(limits=BATCHES)
    set_clocks(MORNING)
    client.update("EURUSD", "1h")
    assert client.update(frame="pandas")["newest"][0] == datetime(2026, 3, 18, 1, tzinfo=UTC)
    assert client.update(frame="arrow").to_pylist() == client.update().to_dicts()


def changed(server: at.sandbox.Sandbox, code: str, since: datetime) -> datetime:
    """Let the vendor change the closes since some time; give when the bars of the replay begin."""
    bars = pl.DataFrame(server.bars(code, "1h", since - timedelta(days=30))).drop("closed")
    change = pl.when(pl.col("timestamp") >= since).then(pl.col("close") + 0.0001).otherwise(pl.col("close"))
    server.replay(code, "1h", bars.with_columns(close=change))
    return since - timedelta(days=30)


@pytest.mark.parametrize(("refresh", "rereads"), [("2d", 2), (True, 10), (None, 0), (False, 0)])
def test_bars_held_are_read_anew_as_far_back_as_was_said(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks, refresh: Any, rereads: int
) -> None:
    client = connect(limits=BATCHES)
    set_clocks(MORNING)
    before = client.get_kline("BTCUSDT", "1h", "10d")
    changed(server, "BTCUSDT", MORNING - timedelta(days=20))
    sent(server)
    # Of two answers the one asked for later counts.
    set_clocks(MORNING + timedelta(seconds=1))
    price = client.estimate_kline("BTCUSDT", "1h", "10d", refresh=refresh).requests
    after = client.get_kline("BTCUSDT", "1h", "10d", refresh=refresh)
    requests = sum(sent(server).values())
    assert price[0] <= requests <= price[1]
    assert requests == (1 if rereads else 0)
    differs = after.filter(before["close"] != after["close"])
    # A page brings older bars along.
    since = (MORNING - timedelta(days=rereads)).replace(minute=0, second=0, microsecond=0)
    assert differs.filter(pl.col("timestamp") >= since).height == 24 * rereads
    restated = client.restatements("BTCUSDT", "1h").filter(pl.col("timestamp") >= after["timestamp"][0])
    assert restated.height == differs.height
    assert restated["new"].to_list() == differs["close"].to_list()
    assert client.get_kline("BTCUSDT", "1h", "10d").equals(after)
    assert sent(server) == {}


def test_a_long_range_is_read_anew_page_by_page(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: SetClocks
) -> None:
    client = connect(limits=BATCHES)
    set_clocks(MORNING)
    before = client.get_kline("BTCUSDT", "1m", "5d")
    first = sum(sent(server).values())
    assert client.get_kline("BTCUSDT", "1m", "5d", refresh=True).equals(before)
    assert first - 1 <= sum(sent(server).values()) <= first + 1
    assert client.get_kline("700.HK", "1d", "1y", refresh=True).height > 200
    assert client.get_kline("700.HK", "1d", "1y", refresh=True).height > 200
    assert sent(server) == {"kline": 2}


@pytest.mark.parametrize("refresh", [3, "2025-01-01/", "1m", "yes", ("2025", None)])
def test_a_refresh_that_is_no_lookback_is_refused(client: at.Client, refresh: Any) -> None:
    with pytest.raises(at.ArgumentError, match="refresh="):
        client.get_kline("EURUSD", "1h", "2d", refresh=refresh)


def test_nothing_can_be_read_anew_without_the_network(client: at.Client) -> None:
    with pytest.raises(at.ArgumentError, match="refresh=True with network='never'"):
        client.get_kline("EURUSD", "1h", "2d", refresh=True, network="never")
