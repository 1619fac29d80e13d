"""What a second call costs and gives: the archive as the user of `get_kline` sees it, over real HTTP."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import alltick_frames as at
from alltick_frames import clocks

if TYPE_CHECKING:
    from collections.abc import Callable

    Connect = Callable[..., at.Client]
    SetClocks = Callable[[str], None]
    Sent = Callable[[], int]

NEVER: dict[str, Any] = {"network": "never", "token": None}
IGNORE: dict[str, Any] = {"on_incomplete": "ignore"}
KILLS = int(os.environ.get("ALLTICK_TEST_KILLS", "10"))


@pytest.fixture
def sent(server: at.sandbox.Sandbox) -> Sent:
    """Count the requests since the last time."""

    def count() -> int:
        requests: int = server.counters()["requests"]
        server.reset()
        return requests

    return count


@pytest.fixture(autouse=True)
def _at_rest(set_clocks: SetClocks) -> None:
    set_clocks("2026-03-18T15:00:30Z")


def truth(server: at.sandbox.Sandbox, code: str, period: str, start: str, end: str) -> pl.DataFrame:
    """Give the server's own closed bars."""
    frame = pl.DataFrame(pl.from_arrow(server.bars(code, period, start, end)))
    return frame.filter("closed").drop("closed")


def bars_of(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.drop("code")


class TestASecondCall:
    @pytest.mark.parametrize("range", ["30d", "max", 400, "2026-03-02/2026-03-06", "2026-03-02/2026-03-18T14:59Z"])
    @pytest.mark.parametrize("code", ["EURUSD", "BTCUSDT", "700.HK"])
    @pytest.mark.parametrize("period", ["1h", "1d"])
    def test_asks_nothing_within_the_same_bar(
        self, connect: Connect, sent: Sent, code: str, period: str, range: Any
    ) -> None:
        client = connect(**IGNORE)
        first = client.get_kline(code, period, range)
        assert first.height > 0
        assert sent() >= 1
        offline = connect(cache_dir=client.settings.cache_dir, **IGNORE, **NEVER)
        assert client.get_kline(code, period, range).equals(first)
        assert offline.get_kline(code, period, range).equals(first)
        assert sent() == 0

    def test_asks_once_for_many_bars_that_closed_since(
        self, connect: Connect, sent: Sent, set_clocks: SetClocks, server: at.sandbox.Sandbox
    ) -> None:
        client = connect()
        client.get_kline("EURUSD", "1m", "2d")
        sent()
        for now, requests in (
            ("2026-03-18T15:01:04Z", 0),  # over, but within the grace
            ("2026-03-18T15:01:05Z", 1),
            ("2026-03-18T15:01:59Z", 0),
            ("2026-03-18T23:10:00Z", 1),
        ):
            set_clocks(now)
            got = client.get_kline("EURUSD", "1m", "2d")
            assert (now, sent()) == (now, requests)
            since = f"{got['timestamp'][0]:%Y-%m-%dT%H:%MZ}"
            closed_before = datetime.fromisoformat(now) - timedelta(seconds=65)
            expected = truth(server, "EURUSD", "1m", since, now).filter(pl.col("timestamp") <= closed_before)
            assert bars_of(got).equals(expected)

    def test_of_a_larger_range_asks_for_what_is_missing(
        self, connect: Connect, sent: Sent, server: at.sandbox.Sandbox
    ) -> None:
        client = connect()
        day = client.get_kline("EURUSD", "1m", "2026-03-04/2026-03-04").height
        assert (day, sent()) == (1_440, 3)
        got = client.get_kline("EURUSD", "1m", "2026-03-03/2026-03-05")
        assert sent() == 3 + 3
        assert bars_of(got).equals(truth(server, "EURUSD", "1m", "2026-03-03", "2026-03-06"))

    def test_of_a_number_of_bars_asks_for_what_is_missing(
        self, connect: Connect, sent: Sent, server: at.sandbox.Sandbox
    ) -> None:
        client = connect()
        client.get_kline("EURUSD", "1h", "2026-02-02/2026-02-06")
        client.get_kline("EURUSD", "1h", 100)
        sent()
        # The page that brought 100 brought 500.
        assert client.get_kline("EURUSD", "1h", 400).height == 400
        assert sent() == 0
        got = client.get_kline("EURUSD", "1h", 1_500)
        assert sent() <= 3
        expected = truth(server, "EURUSD", "1h", "2025-10-01", "2026-03-19").tail(1_500)
        assert bars_of(got).equals(expected)
        assert client.get_kline("EURUSD", "1h", 1_500).equals(got)
        assert sent() == 0

    def test_the_forming_bar_is_asked_for_each_time_and_never_kept(
        self, connect: Connect, sent: Sent, set_clocks: SetClocks
    ) -> None:
        client = connect()
        closed = client.get_kline("EURUSD", "1h", "2d")
        for now in ("2026-03-18T15:10:00Z", "2026-03-18T15:40:00Z"):
            set_clocks(now)
            sent()
            got = client.get_kline("EURUSD", "1h", "2026-03-16T15:00Z/", forming="keep")
            assert sent() == 1
            assert got["closed"].to_list() == [True] * closed.height + [False]
            assert got.head(closed.height).drop("closed").equals(closed)
        assert client.get_kline("EURUSD", "1h", "2026-03-16T15:00Z/").equals(closed)

    def test_of_a_number_of_bars_and_the_forming_one_asks_for_what_is_missing(
        self, connect: Connect, sent: Sent, server: at.sandbox.Sandbox
    ) -> None:
        client = connect()
        client.get_kline("EURUSD", "1h", "2026-02-16/")
        sent()
        got = client.get_kline("EURUSD", "1h", 1_500, forming="keep")
        assert (got.height, sent()) == (1_501, 1 + 2)
        expected = truth(server, "EURUSD", "1h", "2025-10-01", "2026-03-19").tail(1_500)
        assert bars_of(got.filter("closed").drop("closed")).equals(expected)

    def test_what_was_fetched_before_a_failure_is_not_fetched_again(
        self, connect: Connect, sent: Sent, server: at.sandbox.Sandbox
    ) -> None:
        client = connect()
        fewest = client.get_kline("EURUSD", "1m", "2026-02-02/2026-02-27").height // 499
        # The day's allowance is the token's, whichever client uses it.
        day = (sent() + 20, 86_400)
        other = connect(limits={"kline": (2_000, 1), "combined": (2_000, 1), "minute": (60_000, 60), "day": day})
        with pytest.warns(at.LongWaitWarning), pytest.raises(at.BudgetError) as caught:
            other.get_kline("EURUSD", "1m", "2026-02-02/2026-02-27")
        done = sent()
        assert 0 < done <= 20
        assert caught.value.frame.height >= (done - 1) * 499
        rest = connect(cache_dir=other.settings.cache_dir)
        assert rest.get_kline("EURUSD", "1m", "2026-02-02/2026-02-27").equals(
            client.get_kline("EURUSD", "1m", "2026-02-02/2026-02-27")
        )
        assert done + sent() <= fewest + 3


class TestAWeekend:
    @pytest.mark.parametrize(
        ("code", "period"), [("EURUSD", "1m"), ("GOLD", "1h"), ("AAPL.US", "5m"), ("700.HK", "1d")]
    )
    def test_a_run_on_sunday_after_one_on_saturday_asks_nothing(
        self, connect: Connect, sent: Sent, set_clocks: SetClocks, code: str, period: str
    ) -> None:
        client = connect(**IGNORE)
        set_clocks("2026-03-21T12:00:00Z")
        first = client.get_kline(code, period, "2026-03-16/")
        assert (first.height > 0, sent()) == (True, max(1, -(-first.height // 499)))
        set_clocks("2026-03-22T12:00:00Z")
        assert client.get_kline(code, period, "2026-03-16/").equals(first)
        assert sent() == 0
        set_clocks("2026-03-23T16:00:00Z")
        new = client.get_kline(code, period, "2026-03-16/").height - first.height
        assert new >= int(period != "1d")
        # A page repeats a bar of the one before.
        assert sent() == max(1, -(-new // 499))

    def test_crypto_has_none(self, connect: Connect, sent: Sent, set_clocks: SetClocks) -> None:
        client = connect()
        set_clocks("2026-03-21T12:00:00Z")
        client.get_kline("BTCUSDT", "1h", "2d")
        set_clocks("2026-03-22T12:00:00Z")
        sent()
        client.get_kline("BTCUSDT", "1h", "2d")
        assert sent() == 1


class TestAStock:
    def test_what_is_out_of_reach_is_an_error_and_what_is_not_is_kept(self, connect: Connect, sent: Sent) -> None:
        client = connect()
        with pytest.raises(at.IncompleteDataError, match=r"reachable from 2026-03-16 19:41Z") as caught:
            client.get_kline("AAPL.US", "1m", "30d")
        assert [gap.reason for gap in caught.value.missing] == ["beyond_reach"]
        assert sent() == 1
        there = client.get_kline("AAPL.US", "1m", "max")
        assert there.equals(caught.value.frame)
        assert (there.height, sent()) == (499, 0)

    def test_calls_often_enough_join(self, connect: Connect, set_clocks: SetClocks, server: at.sandbox.Sandbox) -> None:
        client = connect()
        for day in (18, 19, 20):
            set_clocks(f"2026-03-{day}T20:30:00Z")
            client.get_kline("AAPL.US", "1m", "max")
        got = client.get_kline("AAPL.US", "1m", "max")
        since = f"{got['timestamp'][0]:%Y-%m-%dT%H:%MZ}"
        assert bars_of(got).equals(truth(server, "AAPL.US", "1m", since, "2026-03-21"))
        assert got.height == 500 + 2 * 390

    @pytest.mark.parametrize("range", ["max", "2026-03-17/"])
    def test_a_call_too_late_leaves_a_hole_that_is_never_silent(
        self, connect: Connect, set_clocks: SetClocks, sent: Sent, range: str
    ) -> None:
        client = connect()
        client.get_kline("AAPL.US", "1m", "max")
        set_clocks("2026-03-24T20:30:00Z")
        for _ in "fresh", "again":
            with pytest.raises(at.IncompleteDataError) as caught:
                client.get_kline("AAPL.US", "1m", range)
            (gap,) = caught.value.missing
            assert (gap.reason, gap.span.start.isoformat()) == ("lost", "2026-03-18T15:00:00+00:00")
            assert caught.value.frame["timestamp"].is_between(gap.span.start, gap.span.end, closed="left").sum() == 0
        assert sent() == 2
        held = client.coverage("AAPL.US")
        assert held["reason"].to_list() == ["beyond_reach", None, "lost", None]
        assert held["bars"].drop_nulls().to_list() == [499, 500]

    def test_a_new_listing_is_not_incomplete(self, connect: Connect, server: at.sandbox.Sandbox, sent: Sent) -> None:
        days = truth(server, "MSFT.US", "1d", "2025-09-01", "2026-03-18").tail(120)
        server.replay("NEWCO.US", "1d", days)
        client = connect()
        with pytest.warns(at.HistoryStartWarning, match="NEWCO.US"):
            got = client.get_kline("NEWCO.US", "1d", "1y")
        assert (got.height, sent()) == (120, 2)
        assert client.get_kline("NEWCO.US", "1d", "max").equals(got)
        assert sent() == 0


class TestTheBeginningOfHistory:
    def test_is_believed_for_a_month_by_the_same_plan(
        self, connect: Connect, sent: Sent, set_clocks: SetClocks, server: at.sandbox.Sandbox
    ) -> None:
        server.configure(plan="basic")
        basic = connect(plan="basic", **IGNORE)
        cache: Any = {"cache_dir": basic.settings.cache_dir, **IGNORE}
        short = basic.get_kline("EURUSD", "1d", "3y")
        assert sent() > 0
        assert basic.get_kline("EURUSD", "1d", "3y").equals(short)
        assert sent() == 0
        assert basic.coverage("EURUSD")["reason"].to_list() == ["beyond_plan", None]
        # A deeper plan asks, a month later everyone does.
        server.configure(plan="professional")
        deep = connect(plan="professional", **cache).get_kline("EURUSD", "1d", "3y")
        assert sent() > 0
        assert deep.height > 2 * short.height
        set_clocks("2026-04-20T15:00:30Z")
        assert connect(plan="professional", **cache).get_kline("EURUSD", "1d", "6y").height > deep.height
        assert sent() > 0


class TestWhatTheVendorChanges:
    def test_the_answer_asked_for_later_wins_and_is_told(
        self, connect: Connect, server: at.sandbox.Sandbox, set_clocks: SetClocks
    ) -> None:
        hours = truth(server, "USDJPY", "1h", "2026-03-16", "2026-03-18T15:00Z")
        server.replay("USDJPY", "1h", hours)
        client = connect(**IGNORE)
        client.get_kline("USDJPY", "1h", "2026-03-16/")
        assert client.restatements().is_empty()
        changed = hours.with_columns(
            close=pl.when(pl.col("timestamp") == hours["timestamp"][7]).then(pl.col("high")).otherwise("close")
        )
        server.replay("USDJPY", "1h", changed)
        # A later bar is asked for with the page that has the changed one.
        set_clocks("2026-03-18T17:00:30Z")
        got = client.get_kline("USDJPY", "1h", "2026-03-16/")
        assert got["close"].to_list() == changed["close"].to_list()
        told = client.restatements("USDJPY", "1h").row(0, named=True)
        assert (told["timestamp"], told["field"]) == (hours["timestamp"][7], "close")
        assert (told["old"], told["new"]) == (hours["close"][7], hours["high"][7])
        assert client.restatements("EURUSD").is_empty()

    def test_a_server_that_ignores_the_end_is_remembered_for_a_week(
        self, connect: Connect, server: at.sandbox.Sandbox, sent: Sent, set_clocks: SetClocks
    ) -> None:
        server.configure(readings={"end": "ignored"})
        client = connect()
        asks: list[int] = []
        for now in ("2026-03-18T15:00:30Z", "2026-03-18T15:00:40Z", "2026-03-26T15:00:30Z"):
            set_clocks(now)
            with pytest.raises(at.IncompleteDataError) as caught:
                client.get_kline("EURUSD", "1m", "2026-03-02/2026-03-06")
            assert {gap.reason for gap in caught.value.missing} == {"not_pageable"}
            asks.append(sent())
        assert asks[1] == 0
        assert asks[0] > 0 < asks[2]


class TestWhatMustNotGoUnsaid:
    @pytest.fixture
    def hours(self, server: at.sandbox.Sandbox) -> pl.DataFrame:
        return truth(server, "USDJPY", "1h", "2026-01-05", "2026-03-18T15:00Z")

    @pytest.mark.parametrize("ahead", [timedelta(seconds=20), timedelta(hours=2)], ids=str)
    def test_a_clock_that_is_ahead_hides_no_bar(
        self,
        connect: Connect,
        server: at.sandbox.Sandbox,
        set_clocks: SetClocks,
        monkeypatch: pytest.MonkeyPatch,
        ahead: timedelta,
    ) -> None:
        client = connect()
        server.set_clock("2026-03-18T15:00:50Z", frozen=True)
        monkeypatch.setattr(clocks, "utc_now", lambda: datetime(2026, 3, 18, 15, 0, 50, tzinfo=UTC) + ahead)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", at.ClockSkewWarning)
            client.get_kline("EURUSD", "1m", "2026-03-18T14:00Z/")
        set_clocks("2026-03-18T15:03:00Z")
        got = client.get_kline("EURUSD", "1m", "2026-03-18T14:50Z/2026-03-18T15:01Z")
        assert got.height == 11

    def test_a_quiet_tail_is_looked_at_once_more_when_it_is_a_day_old(
        self, connect: Connect, server: at.sandbox.Sandbox, set_clocks: SetClocks, sent: Sent, hours: pl.DataFrame
    ) -> None:
        client = connect()
        late = hours.filter(pl.col("timestamp") < datetime(2026, 3, 17, 20, tzinfo=UTC))
        server.replay("USDJPY", "1h", late)
        day = ("USDJPY", "1h", "2026-03-17/2026-03-17")
        set_clocks("2026-03-18T00:10:00Z")
        assert client.get_kline(*day).height == 20
        server.replay("USDJPY", "1h", hours)
        sent()
        set_clocks("2026-03-18T12:00:00Z")
        assert (client.get_kline(*day).height, sent()) == (20, 0)
        for now, requests in (("2026-03-19T00:10:00Z", 1), ("2026-03-29T00:10:00Z", 0)):
            set_clocks(now)
            assert (client.get_kline(*day).height, sent()) == (24, requests)

    @pytest.mark.parametrize("code", ["USDJPY", "NEWCO.US"])
    def test_an_outage_is_no_beginning_of_history(
        self, connect: Connect, server: at.sandbox.Sandbox, set_clocks: SetClocks, hours: pl.DataFrame, code: str
    ) -> None:
        client = connect()
        server.replay(code, "1h", hours)
        set_clocks("2026-03-18T10:00:30Z")
        client.get_kline(code, "1h", "2026-03-17/")
        server.replay(code, "1h", hours.head(0))
        set_clocks("2026-03-18T14:00:30Z")
        for asked in ("2026-03-17/", "max"):
            with pytest.raises(at.IncompleteDataError, match="leave out bars that were given before"):
                client.get_kline(code, "1h", asked)
        server.replay(code, "1h", hours)
        assert client.get_kline(code, "1h", "2026-03-17/").height == 24 + 14

    def test_an_outage_of_deep_pages_is_none_either(
        self, connect: Connect, server: at.sandbox.Sandbox, hours: pl.DataFrame
    ) -> None:
        client = connect()
        server.replay("USDJPY", "1h", hours)
        client.get_kline("USDJPY", "1h", "2026-03-12/")
        server.replay("USDJPY", "1h", hours.tail(3))
        with pytest.raises(at.IncompleteDataError, match="leave out bars that were given before"):
            client.get_kline("USDJPY", "1h", "2026-01-12/")
        server.replay("USDJPY", "1h", hours)
        got = client.get_kline("USDJPY", "1h", "2026-01-12/")
        assert bars_of(got).equals(hours.filter(pl.col("timestamp") >= datetime(2026, 1, 12, tzinfo=UTC)))

    def test_a_range_before_what_the_plan_sells_is_beyond_it(
        self, connect: Connect, server: at.sandbox.Sandbox
    ) -> None:
        server.configure(plan="basic")
        client = connect(plan="basic")
        for _ in "fresh", "again":
            with pytest.raises(at.IncompleteDataError, match="beyond_plan"):
                client.get_kline("EURUSD", "1h", "2022-03-01/2022-03-31")

    def test_a_refused_code_costs_the_others_nothing(self, connect: Connect) -> None:
        client = connect(**IGNORE)
        client.get_kline("EURUSD", "1h", "2026-03-10/2026-03-18T10:00Z")
        client.get_kline("EURUSD", "1h", "2025-12-01/2025-12-10")
        assert client.get_kline(["EURUSD", "NOSUCHX"], "1h", 1_500).height == 1_500

    def test_a_bar_that_another_archived_meanwhile_comes_once(self, connect: Connect, set_clocks: SetClocks) -> None:
        client = connect()
        other = connect(cache_dir=client.settings.cache_dir)

        def meanwhile(*_: Any) -> None:
            set_clocks("2026-03-18T15:01:10Z")
            other.get_kline("EURUSD", "1m", "1h")

        got = client.get_kline("EURUSD", "1m", "2026-03-16/", forming="keep", progress=meanwhile)
        assert got["timestamp"].is_unique().all()
        assert got.filter(pl.col("timestamp") == datetime(2026, 3, 18, 15, tzinfo=UTC))["closed"].to_list() == [True]

    def test_days_that_are_stamped_another_way_come_once(
        self, connect: Connect, server: at.sandbox.Sandbox, set_clocks: SetClocks
    ) -> None:
        client = connect()
        first = client.get_kline("USDJPY", "1d", "2026-03-02/2026-03-13")
        server.configure(readings={"daily_stamps": "session_open"})
        set_clocks("2026-03-20T15:00:30Z")
        got = client.get_kline("USDJPY", "1d", "2026-03-02/2026-03-18")
        assert got.height == first.height + 3
        assert got.head(first.height)["close"].equals(first["close"])

    def test_many_at_once_agree(self, connect: Connect) -> None:
        client = connect()
        expected = connect().get_kline("700.HK", "5m", "max")
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(client.get_kline, "700.HK", "5m", "max") for _ in range(24)]
        assert all(call.result().equals(expected) for call in calls)

    def test_a_refusal_of_deeper_pages_is_named_and_not_kept(
        self, connect: Connect, server: at.sandbox.Sandbox
    ) -> None:
        client = connect()
        client.get_kline("EURUSD", "1h", "2026-03-02/")
        server.fail_next(2, "level_not_enough")
        with pytest.raises(at.IncompleteDataError, match="beyond_plan: ret 603") as caught:
            client.get_kline("EURUSD", "1h", "2026-01-05/")
        assert [gap.reason for gap in caught.value.missing] == ["beyond_plan"]
        # The left edge of all there is cannot be missing.
        held = client.get_kline("EURUSD", "1h", "max", network="never", on_incomplete="ignore")
        assert client.get_kline("EURUSD", "1h", "max").equals(held)
        got = client.get_kline("EURUSD", "1h", "2026-01-05/")
        assert bars_of(got).equals(truth(server, "EURUSD", "1h", "2026-01-05", "2026-03-18T15:00Z"))


class TestCoverage:
    def test_it_lists_spans_bars_and_what_lies_between(self, connect: Connect) -> None:
        client = connect()
        client.get_kline(["EURUSD", "GOLD"], "1h", "2026-03-02/2026-03-02")
        client.get_kline("EURUSD", "1d", "2026-01-01/2026-01-31")
        client.get_kline("EURUSD", "1h", "2026-01-05/2026-01-05")
        got = client.coverage()
        assert got.select("code", "period", "held", "reason").rows() == [
            ("EURUSD", "1h", True, None),
            ("EURUSD", "1h", False, "not_held"),
            ("EURUSD", "1h", True, None),
            ("EURUSD", "1d", True, None),
            ("GOLD", "1h", True, None),
        ]
        assert client.coverage(period="1d").height == 1
        assert client.coverage("GOLD")["end"][0] >= datetime(2026, 3, 3, tzinfo=UTC)
        assert client.coverage(["GOLD", "EURUSD"])["code"].unique(maintain_order=True).to_list() == ["GOLD", "EURUSD"]
        assert type(client.coverage(frame="pandas")).__module__.startswith("pandas")
        with pytest.raises(at.ArgumentError, match=r"00700\.HK"):
            client.coverage("00700.HK")

    def test_an_empty_archive_is_an_empty_frame(self, connect: Connect) -> None:
        client = connect(**NEVER)
        assert client.coverage().is_empty()
        assert client.coverage().schema == connect().coverage().schema
        assert client.restatements().is_empty()


class TestWhatIsKeptWhere:
    def test_no_origin_is_served_from_another(self, connect: Connect, server: at.sandbox.Sandbox) -> None:
        client = connect()
        client.get_kline("EURUSD", "1h", "2026-03-02/2026-03-06")
        vendor = at.Client(cache_dir=client.settings.cache_dir, network="never")
        with pytest.raises(at.IncompleteDataError, match="not_held"):
            vendor.get_kline("EURUSD", "1h", "2026-03-02/2026-03-06")
        names = {path.name for path in Path(client.settings.cache_dir).iterdir()}
        assert names == {"alltick", server.url.replace("://", "-").replace(":", "-")}

    def test_an_archive_that_cannot_be_written_gives_what_came(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The file size limit of this process stands for a full disk: writes fail, reads do not.
        source = (
            "import resource, signal, sys, json, alltick_frames as at\n"
            "settings = json.loads(sys.stdin.read())\n"
            "client = at.Client(**settings)\n"
            "client.get_kline('EURUSD', '1h', '2026-03-02/2026-03-03')\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
            "try:\n"
            "    client.get_kline('EURUSD', '1h', '2026-02-02/2026-03-06')\n"
            "except at.StoreError as error:\n"
            "    print(error.frame.height, error)\n"
        )
        done = run(source, connect())
        height, said = done.stdout.split(" ", 1)
        assert int(height) >= 499
        assert "cannot be used" in said
        assert "not full" in said


def run(source: str, client: at.Client) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", source],
        input=settings_of(client),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def settings_of(client: at.Client) -> str:
    token = client.settings.token
    assert token is not None
    plain = {
        "token": token.reveal(),
        "plan": "professional",
        "base_url": client.settings.base_url,
        "cache_dir": str(client.settings.cache_dir),
        "limits": {"kline": (100, 1), "combined": (100, 1), "minute": (6_000, 60)},
    }
    return json.dumps(plain)


FETCH = """
import json, sys, alltick_frames as at
settings = json.loads(sys.stdin.read())
at.Client(**settings).get_kline(["EURUSD", "GOLD"], "1m", "2026-02-02/2026-02-27", progress=False)
"""


@pytest.fixture
def whole(connect: Connect) -> pl.DataFrame:
    return connect().get_kline(["EURUSD", "GOLD"], "1m", "2026-02-02/2026-02-27")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_process_costs_a_second_of_requests_and_no_bar(
    connect: Connect, sent: Sent, whole: pl.DataFrame, server: at.sandbox.Sandbox
) -> None:
    fewest = sent()
    rng = random.Random(3)
    for _ in range(KILLS):
        client = connect()
        server.configure(latency_ms=10)
        with subprocess.Popen([sys.executable, "-c", FETCH], stdin=subprocess.PIPE, text=True) as child:
            assert child.stdin is not None
            child.stdin.write(settings_of(client))
            child.stdin.close()
            while server.counters()["requests"] == 0:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 1.2))
            child.kill()
        server.configure(latency_ms=0)
        # 100 requests a second at most: what was not yet kept, and what was in flight.
        begun = sent()
        assert begun > 0
        got = client.get_kline(["EURUSD", "GOLD"], "1m", "2026-02-02/2026-02-27")
        assert got.equals(whole)
        assert begun + sent() <= fewest + 100 + 4
