"""The latest of many codes: bars, trades, books, static info and halts, under every reading and with bad codes."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import alltick_frames as at
from alltick_frames import halts, schemas
from alltick_frames.decode import batch_pages, kline_page
from alltick_frames.halts import Page, Reading
from alltick_frames.quotes import rows_of
from alltick_frames.wire import Answer, BatchRequest, HaltsRequest, KlineRequest, SymbolsRequest
from tests.conftest import NOW, UNHURRIED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Connect = Callable[..., at.Client]

NOW_UTC = datetime.fromisoformat(NOW)
UNHURRIED_ALL = UNHURRIED | {"batch_kline": (1_000, 1), "halts": (1_000, 1)}
CODES = ["BTCUSDT", "EURUSD", "700.HK", "600519.SH", "AAPL.US", "GOLD"]
HONG_KONG = [f"{number}.HK" for number in range(1, 130)]
CALLS: dict[str, Callable[[at.Client, Any], Any]] = {
    "batch-kline": lambda client, codes: client.get_latest_kline(codes, "1d"),
    "trade-tick": lambda client, codes: client.get_last_trade(codes),
    "depth-tick": lambda client, codes: client.get_order_book(codes),
    "static_info": lambda client, codes: client.get_static_info(codes),
}


@pytest.fixture
def client(connect: Connect) -> at.Client:
    return connect(limits=UNHURRIED_ALL)


def page_of(told: dict[str, Any]) -> Page:
    body = json.dumps({"success": True} | told).encode()
    return halts.halts_page(Answer(200, body, "t", NOW_UTC, None), HaltsRequest("nyse"))


def endpoints(server: at.sandbox.Sandbox) -> dict[str, int]:
    counted: dict[str, int] = server.counters()["endpoints"]
    return counted


class TestLastTrades:
    def test_are_the_newest_closes_in_the_asked_order(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        frame = client.get_last_trade(CODES)
        assert frame["code"].to_list() == CODES
        assert frame["price"].to_list() == [
            server.bars(code, "1m", "2026-03-17")["close"][-1].as_py() for code in CODES
        ]
        assert all(NOW_UTC - timedelta(days=1) < stamp <= NOW_UTC for stamp in frame["timestamp"])
        sides = dict(frame.select("code", "side").rows())
        assert sides["EURUSD"] is sides["GOLD"] is None
        assert {sides["BTCUSDT"], sides["700.HK"]} <= {"buy", "sell", "neutral"}
        assert endpoints(server) == {"trade-tick": 2}

    @pytest.mark.parametrize(
        "readings",
        [
            {"numbers": "json"},
            {"fields": "renamed"},
            {"fields": "extra"},
            {"symbols_order": "shuffled"},
            {"tick_times": "seconds"},
            {"prices": "shortest"},
            {"otc_direction": 0},
            {"empty_volume": "null"},
            {"empty_volume": "missing"},
        ],
        ids=str,
    )
    def test_are_the_same_under_every_reading(
        self, server: at.sandbox.Sandbox, client: at.Client, readings: dict[str, Any]
    ) -> None:
        expected = client.get_last_trade(CODES)
        server.configure(readings=readings)
        frame = client.get_last_trade(CODES)
        if "tick_times" in readings:
            expected = expected.with_columns(pl.col("timestamp").dt.truncate("1s"))
        assert_frame_equal(frame, expected)

    def test_a_code_without_one_is_named_and_not_left_out_in_silence(
        self, server: at.sandbox.Sandbox, client: at.Client
    ) -> None:
        server.configure(silent_codes=["GOLD", "5.HK"])
        with pytest.raises(at.IncompleteDataError, match="2 of 4: GOLD no_data") as raised:
            client.get_last_trade(["GOLD", "EURUSD", "5.HK", "700.HK"])
        assert [(gap.code, gap.period, gap.reason) for gap in raised.value.missing] == [
            ("GOLD", None, "no_data"),
            ("5.HK", None, "no_data"),
        ]
        assert raised.value.frame["code"].to_list() == ["EURUSD", "700.HK"]
        with pytest.warns(at.IncompleteDataWarning, match="GOLD"):
            assert client.get_last_trade("GOLD", on_incomplete="warn").schema == raised.value.frame.schema

    def test_the_frame_kinds_agree(self, client: at.Client) -> None:
        polars, pandas = client.get_last_trade(CODES, frame="polars"), client.get_last_trade(CODES, frame="pandas")
        arrow = client.get_last_trade(CODES, frame="arrow")
        assert arrow.schema.equals(schemas.LAST_TRADES)
        assert isinstance(pandas, pd.DataFrame)
        assert isinstance(pandas.dtypes["price"], pd.ArrowDtype)
        assert pandas["price"].tolist() == polars["price"].to_list() == arrow["price"].to_pylist()
        assert arrow.schema.metadata[b"alltick.plan"] == b"professional"

    def test_awaited_they_are_the_same(self, server: at.sandbox.Sandbox, client: at.Client, tmp_path: Any) -> None:
        async def ask() -> pl.DataFrame:
            own = server.settings | {"cache_dir": tmp_path / "async", "limits": UNHURRIED_ALL}
            async with at.AsyncClient(**own) as other:
                frame: pl.DataFrame = await other.get_last_trade(CODES)
                return frame

        assert_frame_equal(asyncio.run(ask()), client.get_last_trade(CODES))


class TestOrderBooks:
    @pytest.mark.parametrize("order", ["best_first", "worst_first"])
    def test_have_a_row_per_side_and_level_the_best_first(
        self, server: at.sandbox.Sandbox, client: at.Client, order: str
    ) -> None:
        server.configure(readings={"level_order": order})
        book = client.get_order_book(["700.HK", "BTCUSDT", "600519.SH", "AAPL.US", "EURUSD"])
        depth = book.group_by("code", maintain_order=True).agg(pl.col("level").max()).rows()
        assert depth == [("700.HK", 10), ("BTCUSDT", 5), ("600519.SH", 5), ("AAPL.US", 1), ("EURUSD", 1)]
        for (_, side, *_), levels in book.group_by("code", "side", maintain_order=True):
            assert levels["level"].to_list() == list(range(1, len(levels) + 1))
            assert levels["price"].is_sorted(descending=side == "bid")
        best = [book.filter(level=1, side=side)["price"] for side in ("bid", "ask")]
        assert (best[0] < best[1]).all()
        assert book["limit_state"].null_count() == len(book)

    def test_are_cut_to_the_levels_asked_for(self, client: at.Client) -> None:
        book = client.get_order_book(["700.HK", "EURUSD"], 3)
        assert book.group_by("code", "side").len()["len"].sort().to_list() == [1, 1, 3, 3]

    @pytest.mark.parametrize("level", [0, -1, True, 2.0, "5"])
    def test_levels_that_are_none_are_refused(self, client: at.Client, level: Any) -> None:
        with pytest.raises(at.ArgumentError, match="levels="):
            client.get_order_book("700.HK", level)

    @pytest.mark.parametrize(
        ("code", "book", "state", "sides"),
        [
            ("002035.SZ", "limit_up", "limit_up", {"bid"}),
            ("002035.SZ", "limit_down", "limit_down", {"ask"}),
            ("002035.SZ", "bids_only", "limit_up", {"bid"}),
            ("700.HK", "bids_only", "one_sided", {"bid"}),
            ("BTCUSDT", "asks_only", "one_sided", {"ask"}),
            ("AAPL.US", "zeros", "empty", {None}),
            ("AAPL.US", "empty", "empty", {None}),
            ("600519.SH", "missing", "empty", {None}),
        ],
    )
    def test_say_what_one_side_alone_may_mean(
        self, server: at.sandbox.Sandbox, client: at.Client, code: str, book: str, state: str, sides: set[str | None]
    ) -> None:
        server.configure(books={code: book})
        try:
            frame = client.get_order_book([code, "GOLD"]).filter(code=code)
        finally:
            server.configure(books={})
        assert set(frame["limit_state"]) == {state}
        assert set(frame["side"]) == sides
        assert len(frame) == 1 or state != "empty"


class TestStaticInfo:
    def test_is_typed_and_named_in_three_languages(self, client: at.Client) -> None:
        info = client.get_static_info(["700.HK", "AAPL.US", "600519.SH"])
        assert info.schema["lot_size"] == pl.Int64
        assert info.schema["eps"] == pl.Float64
        assert (
            info.row(0, named=True).items() >= {"name_en": "Tencent", "name_cn": "腾讯控股", "currency": "HKD"}.items()
        )
        assert info["hk_shares"].null_count() == 2
        assert (info["circulating_shares"] <= info["total_shares"]).all()

    def test_is_refused_for_what_is_no_stock_before_anything_is_sent(
        self, server: at.sandbox.Sandbox, client: at.Client
    ) -> None:
        with pytest.raises(at.ArgumentError, match="code='EURUSD' has no static info"):
            client.get_static_info(["700.HK", "EURUSD"])
        assert endpoints(server) == {}

    @pytest.mark.parametrize(
        ("field", "value", "read"),
        [
            ("total_shares", "1.5e9", 1_500_000_000),
            ("total_shares", "9223372036854775807", 2**63 - 1),
            ("total_shares", 15.0, 15),
            ("lot_size", "--", None),
            ("lot_size", "100.00", 100),
            ("eps", "-1.25", -1.25),
            ("eps", "N/A", None),
        ],
    )
    def test_numbers_are_read_however_they_are_written(self, field: str, value: Any, read: Any) -> None:
        part = parts_of({"static_info_list": [{"symbol": "700.HK", field: value}]}, "static_info")["700.HK"]
        assert part.rows[0][field] == read

    @pytest.mark.parametrize(
        ("field", "value"), [("total_shares", "1.5"), ("eps", "1,5"), ("bps", "NaN"), ("lot_size", "9" * 30)]
    )
    def test_a_number_that_cannot_be_read_is_named_and_costs_no_other(self, field: str, value: Any) -> None:
        info = {"symbol": "700.HK", "name_en": "Tencent", "eps_ttm": "21.7", field: value}
        part = parts_of({"static_info_list": [info]}, "static_info")["700.HK"]
        assert part.rows[0][field] is None
        assert part.rows[0].items() >= {"name_en": "Tencent", "eps_ttm": 21.7}.items()
        assert f"{field}={value!r}" in part.flaw


class TestNewestBars:
    def test_are_told_by_code_and_period_whatever_their_position(
        self, server: at.sandbox.Sandbox, client: at.Client
    ) -> None:
        expected = client.get_latest_kline(CODES, ["1m", "1h", "1d"])
        assert endpoints(server) == {"batch-kline": 2}
        groups = expected.select("code", "period").unique(maintain_order=True).rows()
        assert groups == [(code, period) for code in CODES for period in ("1m", "1h", "1d")]
        server.configure(readings={"batch_groups": "shuffled", "fields": "renamed", "order": "descending"})
        assert_frame_equal(client.get_latest_kline(CODES, ["1m", "1h", "1d"]), expected)

    def test_the_forming_one_is_marked(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        for code in ("BTCUSDT", "700.HK"):
            truth = pl.DataFrame(server.bars(code, "1h", "2026-03-17"))[-2:]
            frame = client.get_latest_kline(code, "1h").drop("code", "period")
            assert_frame_equal(frame, truth)

    def test_groups_that_the_vendor_leaves_out_are_named(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        server.configure(readings={"batch_groups": "some_missing"})
        with pytest.raises(at.IncompleteDataError, match="no_data") as raised:
            client.get_latest_kline(CODES, "1d")
        answered = set(raised.value.frame["code"])
        assert {gap.code for gap in raised.value.missing} == set(CODES) - answered
        assert answered

    def test_a_plan_takes_as_many_requests_as_it_has_sets(self, server: at.sandbox.Sandbox, connect: Connect) -> None:
        server.configure(plan="basic")
        client = connect(plan="basic", limits=UNHURRIED_ALL | {"day": (10_000, 86_400)})
        assert len(client.get_latest_kline(HONG_KONG, ["1d", "1w"])) == 4 * len(HONG_KONG)
        assert endpoints(server) == {"batch-kline": 3}  # of 258 groups


class TestABadCodeAmongMany:
    @pytest.mark.parametrize("endpoint", CALLS)
    def test_costs_few_requests_and_the_others_come(
        self, server: at.sandbox.Sandbox, client: at.Client, endpoint: str
    ) -> None:
        codes = [*HONG_KONG[:49], "NOSUCH.HK"]
        with pytest.raises(at.IncompleteDataError, match=r"1 of 50: NOSUCH\.HK .*refused.*ret 600") as raised:
            CALLS[endpoint](client, codes)
        assert set(raised.value.frame["code"]) == set(HONG_KONG[:49])
        assert endpoints(server)[endpoint] <= 2 * math.ceil(math.log2(50)) + 1

    @given(bad=st.sets(st.integers(0, 49), min_size=1, max_size=12))
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_of_fifty_are_found_within_the_bound(
        self, server: at.sandbox.Sandbox, connect: Connect, bad: set[int]
    ) -> None:
        server.reset()
        codes = [f"BAD{place}.HK" if place in bad else HONG_KONG[place] for place in range(50)]
        with pytest.raises(at.IncompleteDataError) as raised:
            connect(limits=UNHURRIED_ALL).get_last_trade(codes)
        assert [gap.code for gap in raised.value.missing] == [code for code in codes if code.startswith("BAD")]
        assert raised.value.frame["code"].to_list() == [code for code in codes if not code.startswith("BAD")]
        assert endpoints(server)["trade-tick"] <= 2 * len(bad) * math.ceil(math.log2(50)) + 1

    def test_is_remembered_for_the_session(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        codes = [*HONG_KONG[:20], "NOSUCH.HK"]
        for requests in (9, 1, 1):
            server.reset()
            with pytest.raises(at.IncompleteDataError, match=r"NOSUCH\.HK"):
                client.get_last_trade(codes)
            assert endpoints(server)["trade-tick"] <= requests
        server.reset()
        with pytest.raises(at.UnknownCodeError, match=r"NOSUCH\.HK"):
            client.get_last_trade("NOSUCH.HK")
        assert endpoints(server) == {}

    def test_alone_raises_its_own_error(self, client: at.Client) -> None:
        with pytest.raises(at.UnknownCodeError, match=r"ret 600 .*trace alltick-frames-") as raised:
            client.get_order_book("NOSUCH.HK")
        assert raised.value.frame.height == 0

    @pytest.mark.parametrize("reading", ["missing", "refused"])
    @pytest.mark.parametrize("unauthorized", [601, 604])
    def test_what_the_plan_does_not_include_is_named(
        self, server: at.sandbox.Sandbox, connect: Connect, reading: str, unauthorized: int
    ) -> None:
        server.configure(plan="all_hk", readings={"symbols_unauthorized": reading, "unauthorized": unauthorized})
        client = connect(plan="all_hk", limits=UNHURRIED_ALL)
        with pytest.raises(at.IncompleteDataError) as raised:
            client.get_last_trade(["700.HK", "AAPL.US", "5.HK"])
        assert [gap.code for gap in raised.value.missing] == ["AAPL.US"]
        assert raised.value.missing[0].reason == ("no_data" if reading == "missing" else "refused")
        assert raised.value.frame["code"].to_list() == ["700.HK", "5.HK"]
        with pytest.raises(at.CodeNotPermittedError):
            client.get_last_trade("MSFT.US")


class TestMoreThanThePlanAnswers:
    DEMO = ("USDJPY", "GOLD", "USOIL", "BTCUSDT", "HSI.HK", "700.HK", ".DJI.US", "TSLA.US", "000001.SH", "399001.SZ")

    def test_are_asked_in_sets(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        assert client.get_last_trade(HONG_KONG)["code"].to_list() == HONG_KONG
        assert endpoints(server) == {"trade-tick": 3}

    @pytest.mark.parametrize("surplus", ["cut", "ret_603"])
    def test_a_wrong_plan_is_noticed_and_nothing_is_lost(
        self, server: at.sandbox.Sandbox, client: at.Client, surplus: str
    ) -> None:
        server.configure(plan="free", readings={"surplus": surplus})
        if surplus == "cut":
            with pytest.warns(at.PlanWarning, match="answers 5 of 6 at once"):
                frame = client.get_last_trade(self.DEMO)
        else:
            frame = client.get_last_trade(self.DEMO)
        assert frame["code"].to_list() == list(self.DEMO)
        server.reset()
        assert client.get_last_trade(self.DEMO)["code"].to_list() == list(self.DEMO)
        # Of 4 and 6 codes, five at a time, or three by what 603 has taught.
        assert endpoints(server)["trade-tick"] == (3 if surplus == "cut" else 4)


class TestHalts:
    @pytest.mark.parametrize(("exchange", "suffix"), [("sse", ".SH"), ("nyse", ".US"), ("nasdaq", ".US")])
    def test_come_whole_under_every_paging(
        self, server: at.sandbox.Sandbox, client: at.Client, exchange: Any, suffix: str
    ) -> None:
        whole = client.get_suspensions(exchange)
        assert endpoints(server) == {f"suspension/{exchange}": 1}
        assert len(whole) > 100
        assert (whole["code"] == whole["symbol"] + suffix).all()
        assert whole.schema["halted_at"] == pl.Datetime(
            "us", "Asia/Shanghai" if exchange == "sse" else "America/New_York"
        )
        assert whole["published_at"].is_sorted(descending=True)
        for size, most in (("as_asked", 2), ("at_most_100", 2 + math.ceil(len(whole) / 100))):
            server.reset()
            server.configure(readings={"halt_paging": "paged", "halt_size": size})
            assert_frame_equal(client.get_suspensions(exchange), whole)
            assert endpoints(server)[f"suspension/{exchange}"] <= most

    def test_may_be_asked_once_a_minute(self, server: at.sandbox.Sandbox, connect: Connect) -> None:
        server.configure(limits=True)
        client = connect(limits={})
        client.get_suspensions("nyse")
        client.get_suspensions("sse", max_wait=5)
        with pytest.raises(at.BudgetError, match="max_wait=5 s does not suffice: halts of nyse"):
            client.get_suspensions("nyse", max_wait=5)
        assert server.violations() == {}

    def test_a_failing_source_is_said_in_its_words(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        server.configure(faults={"halt_failure": 1.0})
        with pytest.raises(at.TransportError, match="suspension source unavailable"):
            client.get_suspensions("nasdaq")

    def test_another_exchange_is_refused_before_anything_is_sent(
        self, server: at.sandbox.Sandbox, client: at.Client
    ) -> None:
        with pytest.raises(at.ArgumentError, match=r"exchange='szse' .* sse nyse nasdaq"):
            client.get_suspensions("szse")  # type: ignore[call-overload]
        assert endpoints(server) == {}

    @pytest.mark.parametrize(
        ("record", "column", "value"),
        [
            ({"haltDateTime": "2026-03-17 11:02:19"}, "halted_at", "2026-03-17T11:02:19-04:00"),
            ({"haltDate": "2026-03-17", "haltTime": "11:02:19"}, "halted_at", "2026-03-17T11:02:19-04:00"),
            ({"haltDate": "2026-03-17 00:00:00", "haltTime": "11:02:19"}, "halted_at", "2026-03-17T11:02:19-04:00"),
            ({"haltDate": "2026-01-17", "haltTime": "2026-01-17 09:31:00"}, "halted_at", "2026-01-17T09:31:00-05:00"),
            ({"haltDate": "2026-03-17", "haltTime": ""}, "halted_at", None),
            ({"resumeDate": "2026-03-17", "resumeTime": "11:07:19"}, "quotes_resume_at", "2026-03-17T11:07:19-04:00"),
            ({"resumeDateTime": None}, "resumes_at", None),
        ],
    )
    def test_times_are_read_in_all_their_forms(self, record: dict[str, Any], column: str, value: str | None) -> None:
        table, flaws = halts.halts_table("nasdaq", [{"symbol": "ZZTST"} | record])
        assert flaws == []
        read = table[column][0].as_py()
        assert (read and read.isoformat()) == value

    def test_what_cannot_be_read_is_named_and_the_rest_kept(self) -> None:
        table, flaws = halts.halts_table("sse", [{"symbol": "600000", "haltDate": "tomorrow"}, {"symbol": None}])
        assert table["code"].to_pylist() == ["600000.SH"]
        assert flaws[0] == "600000: haltDate='tomorrow'"
        assert "without a symbol" in flaws[1]

    @given(
        total=st.integers(0, 60),
        default=st.integers(1, 20),
        cap=st.integers(1, 80),
        ignores=st.booleans(),
        refuses=st.booleans(),
        counted=st.booleans(),
    )
    def test_reading_ends_with_all_or_says_what_lacks(
        self, total: int, default: int, cap: int, *, ignores: bool, refuses: bool, counted: bool
    ) -> None:
        """Pages of *default* records, at most *cap*; or paging is ignored, or a size above the cap is an error.

        Not every server counts the records, and without a count it is known of the last page only that there is one.
        """
        records = [{"symbol": str(number)} for number in range(total)]
        reading = Reading("nyse")
        asked = 0
        while (request := reading.next_request) is not None and asked < 200:
            asked += 1
            size = min(request.size or default, cap)
            if refuses and (request.size or 0) > cap and reading.refused():
                continue
            page = 1 if ignores else request.page or 1
            shown = records[:default] if ignores else records[(page - 1) * size : page * size]
            told = {"totalCount": total} if counted else {}
            reading.absorb(page_of(told | {"totalPages": math.ceil(total / size), "data": shown}))
        assert asked < 200
        assert not counted or len(reading.records) + reading.lacking == total
        assert ignores or bool(reading.lacking) == (len(reading.records) < total)
        assert ignores or refuses or not reading.lacking


class TestWhatCannotBeAsked:
    @pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
    def test_with_no_codes_no_token_or_no_network(
        self, server: at.sandbox.Sandbox, connect: Connect, call: Callable[[at.Client, Any], Any]
    ) -> None:
        with pytest.raises(at.ArgumentError, match="codes is empty"):
            call(connect(), [])
        with pytest.raises(at.ArgumentError, match=r"write '700\.HK'"):
            call(connect(), ["00700.HK"])
        with pytest.raises(at.ConfigError, match="no token"):
            call(connect(token=None), "700.HK")
        with pytest.raises(at.ArgumentError, match="network='never'"):
            call(connect(network="never"), "700.HK")
        assert endpoints(server) == {}

    def test_what_takes_long_is_said_or_refused_beforehand(self, server: at.sandbox.Sandbox, connect: Connect) -> None:
        client = connect(plan="free", limits=None)
        with pytest.raises(at.BudgetError, match=r"last trade of 1\.HK, 2\.HK.* and 124 more takes 26 requests"):
            client.get_last_trade(HONG_KONG, max_wait=60)
        assert endpoints(server) == {}

    def test_what_came_before_a_failure_is_in_its_frame(self, server: at.sandbox.Sandbox, connect: Connect) -> None:
        # One walker, so that the second request is the one that fails.
        client = connect(limits=UNHURRIED_ALL | {"kline": (1, 0.05), "combined": (1, 0.05)})
        done: list[int] = []

        def revoke(number: int, _total: int, _eta: float) -> None:
            if not done:
                server.fail_next(1, "token_invalid")
            done.append(number)

        with pytest.raises(at.AuthenticationError) as raised:
            client.get_last_trade(HONG_KONG, progress=revoke)
        assert len(raised.value.frame) in (50, 100)


def parts_of(data: Any, endpoint: Any, codes: Sequence[str] = ("700.HK", "EURUSD")) -> Any:
    body = json.dumps({"ret": 200, "msg": "ok", "trace": "t", "data": data}).encode()
    return rows_of(Answer(200, body, "t", NOW_UTC, None), SymbolsRequest(endpoint, tuple(codes)))


class TestReadingAnswers:
    @pytest.mark.parametrize("data", [None, {}, "", [], {"tick_list": None}, {"tick_list": []}])
    def test_an_answer_without_ticks_has_none(self, data: Any) -> None:
        assert parts_of(data, "trade_tick") == {}

    @pytest.mark.parametrize("data", [None, {}, "", [], [7], "none", 0])
    @pytest.mark.parametrize(
        ("read", "request_"),
        [
            (rows_of, SymbolsRequest("trade_tick", ("EURUSD",))),
            (batch_pages, BatchRequest((("EURUSD", at.Period.DAY),))),
            (kline_page, KlineRequest("EURUSD", at.Period.DAY)),
        ],
    )
    def test_a_refusal_is_one_whatever_its_data_is(self, read: Any, request_: Any, data: Any) -> None:
        body = json.dumps({"ret": "600", "msg": None, "data": data}).encode()
        with pytest.raises(at.UnknownCodeError, match="ret 600"):
            read(Answer(200, body, "t", NOW_UTC, None), request_)

    def test_of_two_ticks_of_a_code_the_later_counts(self) -> None:
        ticks = [
            {"code": "700.HK", "price": str(price), "tick_time": str(1773801667382 + price)} for price in (9, 7, 8)
        ]
        assert parts_of({"tick_list": ticks}, "trade_tick")["700.HK"].rows[0]["price"] == 9

    def test_one_that_is_not_as_documented_costs_no_other(self) -> None:
        ticks = [{"code": "700.HK", "price": "high"}, 7, {"code": ["x"]}, {"code": "EURUSD", "price": 1.1}]
        parts = parts_of({"tick_list": ticks}, "trade_tick")
        assert "price='high' is no number" in parts["700.HK"].flaw
        assert parts["EURUSD"].rows[0]["price"] == 1.1

    def test_a_negative_price_is_one(self) -> None:
        levels = {"bids": [{"price": "-37.63", "volume": "1"}], "asks": [{"price": "-37.60", "volume": "1"}]}
        rows = parts_of({"tick_list": [{"code": "EURUSD", **levels}]}, "depth_tick")["EURUSD"].rows
        assert [(row["side"], row["price"]) for row in rows] == [("bid", -37.63), ("ask", -37.6)]

    @pytest.mark.parametrize("time", [1773801667382, "1773801667382", 1773801667, "1773801667"])
    def test_times_are_read_in_seconds_and_milliseconds(self, time: Any) -> None:
        rows = parts_of({"tick_list": [{"code": "EURUSD", "price": "1", "tick_time": time}]}, "trade_tick")[
            "EURUSD"
        ].rows
        assert rows[0]["timestamp"] // 1_000_000 == 1773801667

    json_values = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )
    names = ("code", "seq", "tick_time", "price", "volume", "turnover", "trade_direction", "bids", "asks", "lot_size")

    @given(
        endpoint=st.sampled_from(["trade_tick", "depth_tick", "static_info"]),
        ticks=st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(names, json_values)), max_size=3),
    )
    def test_whatever_is_sent_becomes_rows_of_the_schema_or_a_named_flaw(
        self, endpoint: Any, ticks: list[dict[str, Any]]
    ) -> None:
        named = [{"code": "700.HK"} | {name: cell for name, cell in tick.items() if name != "code"} for tick in ticks]
        name = "static_info_list" if endpoint == "static_info" else "tick_list"
        part = parts_of({name: named}, endpoint).get("700.HK")
        schema = {
            "trade_tick": schemas.LAST_TRADES,
            "depth_tick": schemas.ORDER_BOOK,
            "static_info": schemas.STATIC_INFO,
        }[endpoint]
        assert (part is None) == (not ticks)
        if part is not None and not part.flaw:
            for field in schema:
                column = pa.array([row[field.name] for row in part.rows], field.type)
                column.validate(full=True)
                assert field.nullable or not column.null_count
