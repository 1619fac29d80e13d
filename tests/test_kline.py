"""`get_kline` against the sandbox: what comes back is what the server has, typed, complete or loudly not."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import alltick_frames as at
from alltick_frames.sandbox.readings import Readings

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = ["code", "timestamp", "open", "high", "low", "close", "volume", "turnover"]
RANGES = {
    "1m": ("2026-03-12T06:00Z", "2026-03-14T04:00Z"),
    "5m": ("2026-03-02", "2026-03-10"),
    "15m": ("2026-02-01", "2026-03-01"),
    "30m": ("2026-01-01", "2026-02-28"),
    "1h": ("2025-12-01", "2026-02-28"),
    "2h": ("2025-10-15", "2026-02-28"),
    "4h": ("2025-03-01", "2026-02-28"),
    "1d": ("2023-06-01", "2026-03-10"),
    "1w": ("2023-06-01", "2026-03-01"),
    "1mo": ("2022-06-01", "2026-03-01"),
}


def without_code(frame: pa.Table) -> pa.Table:
    return frame.drop_columns(["code"]).replace_schema_metadata(None)


@pytest.mark.parametrize("code", ["EURUSD", "BTCUSDT", "UKOIL"])
@pytest.mark.parametrize("period", RANGES)
def test_every_period_of_the_quote_family_equals_the_servers_bars(
    server: at.sandbox.Sandbox, client: at.Client, code: str, period: str
) -> None:
    start, end = map(datetime.fromisoformat, RANGES[period])
    frame = client.get_kline(code, period, (start, end), frame="arrow")
    expected = server.bars(code, period, start, end).drop_columns(["closed"])
    assert without_code(frame).to_pydict() == expected.to_pydict()
    assert frame.num_rows > 40


@pytest.mark.parametrize("code", ["700.HK", "AAPL.US", "600519.SH", "HSI.HK"])
@pytest.mark.parametrize("period", [period for period in RANGES if period not in ("2h", "4h")])
def test_every_period_of_stocks_equals_the_newest_500_of_the_servers_bars(
    server: at.sandbox.Sandbox, client: at.Client, code: str, period: str
) -> None:
    if period == "1d":
        # On a Saturday nobody's trading date is still running.
        server.set_clock("2026-03-21T12:00Z", frozen=True)
    frame = client.get_kline(code, period, "max", frame="arrow")
    newest = server.bars(code, period)
    newest = newest.slice(max(0, len(newest) - 500))
    expected = newest.filter(newest["closed"]).drop_columns(["closed"])
    assert without_code(frame).to_pydict() == expected.to_pydict()
    assert frame.num_rows > 100


def test_codes_of_both_families_come_in_the_asked_order(client: at.Client) -> None:
    codes = ["GOLD", "700.HK", "BTCUSDT", "AAPL.US", "GOLD"]
    frame = client.get_kline(codes, "1d", "2026-02-02/2026-03-06")
    assert frame["code"].unique(maintain_order=True).to_list() == ["GOLD", "700.HK", "BTCUSDT", "AAPL.US"]
    for _, part in frame.group_by("code"):
        assert part["timestamp"].is_sorted()
        assert part["timestamp"].is_unique().all()


def test_pages_are_walked_back_with_one_bar_repeated(server: at.sandbox.Sandbox, client: at.Client) -> None:
    bars = client.get_kline("BTCUSDT", "1m", "2026-03-10/2026-03-11").height
    assert bars == 2 * 1440
    requests = server.requests()
    assert len(requests) == -(-bars // 498)
    ends = [request["end"] for request in requests]
    assert ends == sorted(ends, reverse=True)
    assert {request["num"] for request in requests} == {500}


def schema_of(frame: Any) -> Any:
    return frame.dtypes.to_dict() if isinstance(frame, pd.DataFrame) else frame.schema


class TestFrames:
    def test_polars_columns_are_typed(self, client: at.Client) -> None:
        frame = client.get_kline("EURUSD", "1h", "2026-03-02/2026-03-03")
        assert isinstance(frame, pl.DataFrame)
        assert dict(frame.schema) == {
            "code": pl.String,
            "timestamp": pl.Datetime("us", "UTC"),
            **dict.fromkeys(COLUMNS[2:], pl.Float64),
        }
        assert frame["turnover"].null_count() == frame.height

    def test_pandas_columns_are_arrow_backed(self, client: at.Client) -> None:
        frame = client.get_kline("700.HK", "1d", "2026-03-02/2026-03-03", frame="pandas")
        assert isinstance(frame, pd.DataFrame)
        assert isinstance(frame.index, pd.RangeIndex)
        assert all(isinstance(dtype, pd.ArrowDtype) for dtype in frame.dtypes)
        assert [str(dtype) for dtype in frame.dtypes] == [
            "string[pyarrow]",
            "timestamp[us, tz=UTC][pyarrow]",
            *["double[pyarrow]"] * 6,
        ]

    def test_arrow_says_where_the_bars_are_from(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        table = client.get_kline("700.HK", "1d", "2026-03-02/2026-03-03", frame="arrow")
        assert table.schema.field("code").type == pa.dictionary(pa.int32(), pa.string())
        assert table.schema.field("timestamp").type == pa.timestamp("us", "UTC")
        metadata = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        assert metadata["alltick.origin"] == server.url
        assert metadata["alltick.plan"] == "professional"
        assert metadata["alltick.adjustment"] == "unadjusted"
        assert datetime.fromisoformat(metadata["alltick.fetched_at"]).tzinfo is not None
        assert server.token not in str(metadata)

    @pytest.mark.parametrize("kind", ["polars", "pandas"])
    def test_code_is_categorical_on_request(self, client: at.Client, kind: Any) -> None:
        frame: Any = client.get_kline(["EURUSD", "GOLD"], "1d", "2026-03-02/2026-03-03", frame=kind, categorical=True)
        assert "cat" in str(frame["code"].dtype).lower()

    @pytest.mark.parametrize("kind", ["polars", "pandas", "arrow"])
    def test_an_empty_answer_has_the_same_columns(self, client: at.Client, kind: Any) -> None:
        saturday = "2026-03-14T00:00Z/2026-03-14T06:00Z"
        full: Any = client.get_kline("EURUSD", "1h", "2026-03-12/2026-03-13", frame=kind)
        empty: Any = client.get_kline("EURUSD", "1h", saturday, frame=kind)
        assert len(empty) == 0
        assert schema_of(empty) == schema_of(full)

    def test_the_three_kinds_hold_the_same_values(self, client: at.Client) -> None:
        call = ("GOLD", "15m", "2026-03-02/2026-03-04")
        arrow = client.get_kline(*call, frame="arrow").to_pylist()
        assert client.get_kline(*call).to_dicts() == arrow
        pandas = client.get_kline(*call, frame="pandas")
        assert pa.Table.from_pandas(pandas, preserve_index=False).to_pydict() == pa.Table.from_pylist(arrow).to_pydict()


class TestForming:
    def test_the_forming_bar_is_dropped_by_default(self, client: at.Client) -> None:
        frame = client.get_kline("EURUSD", "1m", 3)
        assert frame["timestamp"].to_list()[-1] == datetime(2026, 3, 18, 14, 59, tzinfo=UTC)

    @pytest.mark.parametrize("period", ["1m", "1h", "4h", "1d", "1w", "1mo"])
    def test_the_forming_bar_is_kept_and_marked_on_request(self, client: at.Client, period: str) -> None:
        frame = client.get_kline("BTCUSDT", period, 3, forming="keep")
        assert frame["closed"].to_list() == [True, True, True, False]

    def test_a_bar_within_its_grace_is_not_closed(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        server.set_clock("2026-03-18T15:00:03Z", frozen=True)
        frame = client.get_kline("EURUSD", "1m", 2, forming="keep")
        assert frame["closed"].to_list() == [True, True, False, False]

    def test_a_range_in_the_past_has_no_forming_bar(self, client: at.Client) -> None:
        frame = client.get_kline("EURUSD", "1h", "2026-03-02/2026-03-03", forming="keep")
        assert frame["closed"].all()


class TestNewest:
    @pytest.mark.parametrize("count", [1, 499, 500, 501, 1234])
    def test_a_number_asks_for_the_newest_closed_bars_of_each_code(
        self, server: at.sandbox.Sandbox, client: at.Client, count: int
    ) -> None:
        frame = client.get_kline(["EURUSD", "BTCUSDT"], "1m", count)
        for code in ("EURUSD", "BTCUSDT"):
            bars = server.bars(code, "1m", "2026-03-15")
            closed = bars.filter(bars["closed"])["timestamp"].to_pylist()
            assert frame.filter(code=code)["timestamp"].to_list() == closed[-count:]

    def test_more_than_a_stock_can_give_is_beyond_reach(self, client: at.Client) -> None:
        with pytest.raises(at.IncompleteDataError, match="beyond_reach") as caught:
            client.get_kline("AAPL.US", "1m", 501)
        assert caught.value.frame.height == 499


class TestIncomplete:
    CALL = ("AAPL.US", "1m", "2026-02-16/2026-03-17")

    def test_stock_history_past_500_bars_raises_with_the_frame_of_what_there_is(self, client: at.Client) -> None:
        with pytest.raises(at.IncompleteDataError, match=r"beyond_reach.*reachable from 2026-03-1") as caught:
            client.get_kline(*self.CALL)
        (gap,) = caught.value.missing
        assert (gap.code, gap.reason, gap.span.start) == ("AAPL.US", "beyond_reach", datetime(2026, 2, 16, tzinfo=UTC))
        frame = caught.value.frame
        assert isinstance(frame, pl.DataFrame)
        assert frame["timestamp"].min() == gap.span.end

    def test_it_warns_or_is_silent_as_asked(self, client: at.Client) -> None:
        with pytest.warns(at.IncompleteDataWarning, match="beyond_reach"):
            warned = client.get_kline(*self.CALL, on_incomplete="warn")
        assert client.get_kline(*self.CALL, on_incomplete="ignore").equals(warned)
        assert warned.height > 400

    def test_max_gives_what_there_is(self, client: at.Client) -> None:
        assert client.get_kline("AAPL.US", "1m", "max").height == 499

    def test_history_sold_by_the_plan_ends_beyond_plan(
        self, server: at.sandbox.Sandbox, connect: Callable[..., at.Client]
    ) -> None:
        server.configure(plan="basic")
        with pytest.raises(at.IncompleteDataError, match=r"beyond_plan: the basic plan sells about 1 year\b"):
            connect(plan="basic").get_kline("EURUSD", "1d", "2024-03-01/2026-03-01")

    def test_a_refused_code_among_good_ones_keeps_the_good_ones(self, client: at.Client) -> None:
        with pytest.raises(at.IncompleteDataError, match=r"NOSUCH.*refused.*ret 600") as caught:
            client.get_kline(["EURUSD", "NOSUCH", "GOLD"], "1d", "2026-03-02/2026-03-06")
        assert caught.value.frame["code"].unique(maintain_order=True).to_list() == ["EURUSD", "GOLD"]
        assert [gap.reason for gap in caught.value.missing] == ["refused"]

    def test_a_single_refused_code_raises_its_own_error(self, client: at.Client) -> None:
        with pytest.raises(at.UnknownCodeError, match="did you mean 'GOLD'") as caught:
            client.get_kline("XAUUSD", "1d", "2026-03-02/2026-03-06")
        assert caught.value.codes == ("XAUUSD",)
        assert caught.value.trace.startswith("alltick-frames-")

    def test_an_end_time_that_is_ignored_is_not_pageable(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        server.configure(readings={"end": "ignored"})
        with pytest.raises(at.IncompleteDataError, match="not_pageable") as caught:
            client.get_kline("EURUSD", "1m", "2026-03-10/2026-03-19")
        assert caught.value.frame["timestamp"].max() == datetime(2026, 3, 18, 14, 59, tzinfo=UTC)
        assert len(server.requests()) <= 3


class TestProgress:
    def test_a_callable_is_told_of_every_request(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        told: list[tuple[int, int, float]] = []
        client.get_kline("BTCUSDT", "1m", "2026-03-10/2026-03-12", progress=lambda *numbers: told.append(numbers))
        assert [done for done, _, _ in told] == list(range(1, len(server.requests()) + 1))
        done, total, eta = told[-1]
        assert (done, eta) == (total, 0)
        assert all(later[0] <= later[1] for later in told)

    def test_an_exception_in_it_cancels_the_call(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        def stop(done: int, _total: int, _eta: float) -> None:
            if done == 3:
                raise RuntimeError("enough")

        with pytest.raises(RuntimeError, match="enough"):
            client.get_kline("BTCUSDT", "1m", "2026-01-01/2026-03-12", progress=stop)
        assert len(server.requests()) < 50

    def test_a_bar_is_shown_on_request(
        self, server: at.sandbox.Sandbox, client: at.Client, capsys: pytest.CaptureFixture[str]
    ) -> None:
        server.configure(latency_ms=110)  # tqdm draws at most every tenth of a second
        client.get_kline("BTCUSDT", "1m", "2026-03-10/2026-03-12", progress=True)
        shown = capsys.readouterr().err
        assert "BTCUSDT 1m" in shown
        assert "9/9 requests" in shown

    def test_nothing_is_shown_where_nobody_looks(self, client: at.Client, capsys: pytest.CaptureFixture[str]) -> None:
        client.get_kline("BTCUSDT", "1m", "2026-03-10/2026-03-12")
        assert capsys.readouterr().err == ""


class TestFailures:
    def test_a_failure_keeps_what_had_been_fetched(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        def break_after_four(done: int, _total: int, _eta: float) -> None:
            if done == 4:
                server.fail_next(100, "token_invalid")

        with pytest.raises(at.AuthenticationError) as caught:
            client.get_kline("BTCUSDT", "1m", "2026-03-01/2026-03-12", progress=break_after_four)
        frame = caught.value.frame
        assert frame.height >= 4 * 498
        expected = pl.from_arrow(server.bars("BTCUSDT", "1m", "2026-03-01", "2026-03-13"))
        # Several walkers were under way, so that what came need not be in one piece.
        assert frame.join(expected, on=["timestamp", "open", "high", "low", "close"], how="semi").height == frame.height
        assert frame["timestamp"].is_unique().all()
        held = client.get_kline("BTCUSDT", "1m", "2026-03-01/2026-03-12", network="never", on_incomplete="ignore")
        assert held.equals(frame)

    def test_faults_are_borne(self, server: at.sandbox.Sandbox, client: at.Client) -> None:
        faults = ("drop", "drop_mid_body", "truncated", "garbage")
        server.configure(faults=dict.fromkeys(faults, 0.04), fault_seed=7)
        frame = client.get_kline("BTCUSDT", "1m", "2026-03-10/2026-03-16", frame="arrow")
        server.configure(faults={})
        assert (
            frame["timestamp"].to_pylist()
            == server.bars("BTCUSDT", "1m", "2026-03-10", "2026-03-17")["timestamp"].to_pylist()
        )
        assert len(server.requests()) > -(-frame.num_rows // 498)

    @pytest.mark.parametrize("throttled", ["http_429", "ret_605", "ret_429"])
    def test_throttling_is_waited_out(
        self, server: at.sandbox.Sandbox, connect: Callable[..., at.Client], throttled: str
    ) -> None:
        server.configure(limits=True, plan="premium", readings={"throttled": throttled})
        client = connect(limits={"kline": (30, 1), "combined": (30, 1), "pause_s": 0.2})
        frame = client.get_kline("BTCUSDT", "1m", "2026-03-10/2026-03-15")
        assert frame.height == 6 * 1440
        assert server.violations()

    def test_the_professional_rate_is_kept_without_a_violation(
        self, server: at.sandbox.Sandbox, connect: Callable[..., at.Client]
    ) -> None:
        server.configure(limits=True)
        frame = connect(limits=None).get_kline(["BTCUSDT", "ETHUSDT", "EURUSD"], "1m", "2026-03-01/2026-03-08")
        assert frame.height > 2 * 8 * 1440
        assert server.violations() == {}


def test_arguments_are_judged_before_anything_is_sent(server: at.sandbox.Sandbox, client: at.Client) -> None:
    refusals: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        (("00700.HK", "1d", "30d"), {}, "write '700.HK'"),
        (("600416.SS", "1d", "30d"), {}, "write '600416.SH'"),
        (("700.HK", "4h", "30d"), {}, "not offered for 700.HK"),
        (([], "1d", "30d"), {}, "codes is empty"),
        (("EURUSD", "10m", "30d"), {}, "period='10m'"),
        (("EURUSD", "1d", "2025-02-01/2025-01-01"), {}, "reversed"),
        (("EURUSD", "1d", "1m"), {}, "'1min' for minutes or '1mo' for months"),
        (("EURUSD", "1d", "30d"), {"frame": "modin"}, "frame='modin'"),
        (("EURUSD", "1d", "30d"), {"forming": "yes"}, "forming='yes'"),
        (("EURUSD", "1d", "30d"), {"on_incomplete": "shout"}, "on_incomplete='shout'"),
    ]
    for arguments, options, words in refusals:
        with pytest.raises(at.ArgumentError, match=words):
            client.get_kline(*arguments, **options)
    assert server.requests() == []


def test_readings_that_the_vendor_leaves_open_give_the_same_frame(
    server: at.sandbox.Sandbox, client: at.Client
) -> None:
    call = (["EURUSD", "BTCUSDT", "700.HK"], "15m", "2026-03-02T03:10Z/2026-03-11T12:40Z")
    expected = client.get_kline(*call)
    readings: dict[str, tuple[Any, ...]] = {
        "end": ("exclusive", "rounded_down"),
        "order": ("descending", "shuffled", "duplicated"),
        "numbers": ("json",),
        "stamps": ("milliseconds",),
        "empty_volume": ("null", "missing"),
        "newest_bar": ("missing", "twice"),
        "page_maximum": (1000,),
        "date_header": ("absent",),
    }
    for name, values in readings.items():
        for value in values:
            server.configure(readings={**asdict(Readings()), name: value})
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert client.get_kline(*call).equals(expected), (name, value)


@pytest.mark.parametrize(("code", "period"), [("BTCUSDT", "4h"), ("BTCUSDT", "1d"), ("EURUSD", "1d"), ("EURUSD", "1w")])
@pytest.mark.parametrize("plan", ["basic", "premium"])
def test_a_history_that_ends_with_its_oldest_page_once_more_is_all_there_is(
    server: at.sandbox.Sandbox, connect: Callable[..., at.Client], plan: str, code: str, period: str
) -> None:
    server.configure(plan=plan)
    expected = connect(plan=plan).get_kline(code, period, "max")
    server.configure(readings={"beyond_history": "oldest_page"})
    assert connect(plan=plan).get_kline(code, period, "max").equals(expected)


def test_an_end_that_is_ignored_is_no_loss_where_one_page_has_all(
    server: at.sandbox.Sandbox, connect: Callable[..., at.Client]
) -> None:
    server.configure(plan="basic")
    expected = connect(plan="basic").get_kline("BTCUSDT", "1d", "max")
    server.configure(readings={"end": "ignored"})
    assert connect(plan="basic").get_kline("BTCUSDT", "1d", "max").equals(expected)
    assert expected.height == 364


@pytest.mark.parametrize("alignment", ["utc", "session"])
def test_an_hour_of_a_stock_is_asked_for_when_it_may_have_closed_wherever_hours_begin(
    server: at.sandbox.Sandbox, client: at.Client, set_clocks: Callable[[str], None], alignment: str
) -> None:
    server.configure(readings={"alignment": alignment})
    for now in ("05:10:30", "05:40:30", "06:10:30"):
        set_clocks(f"2026-03-18T{now}Z")
        bars = server.bars("700.HK", "1h", "2026-03-16")
        expected = bars.filter(bars["closed"])["timestamp"].to_pylist()
        assert client.get_kline("700.HK", "1h", ("2026-03-16", None))["timestamp"].to_list() == expected


@pytest.mark.parametrize("empty", ["[]", "null", "missing", "data {}", "data null", "data missing"])
def test_every_way_of_saying_nothing_ends_a_history(server: at.sandbox.Sandbox, client: at.Client, empty: str) -> None:
    server.configure(readings={"empty_answer": empty})
    with pytest.raises(
        at.IncompleteDataError, match=r"beyond_plan: the professional plan sells about 5 years"
    ) as caught:
        client.get_kline("EURUSD", "1h", "2005-03-02/2005-03-04")
    assert caught.value.frame.is_empty()
