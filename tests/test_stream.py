"""Live ticks over real WebSockets: what comes, what is said to be lost, and what ends a stream."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import alltick_frames as at
from alltick_frames import pushes, schemas, subscription
from alltick_frames.streams import Stream
from alltick_frames.subscription import Ack

if TYPE_CHECKING:
    from collections.abc import Callable

    Connect = Callable[..., at.Client]

# Reconnecting as fast as a plan allows would take ten minutes of tests.
FAST: dict[str, Any] = {"limits": {"stream": (1, 0.2)}}
WITHIN_S = 15.0


@pytest.fixture(autouse=True)
def _open_market(server: at.sandbox.Sandbox) -> None:
    """A Wednesday on which all but Asia trades, and the clock goes on."""
    server.set_clock("2026-03-18T15:00:30Z")


def rows_until(
    stream: Stream, enough: Callable[[list[dict[str, Any]], list[Any]], bool]
) -> tuple[list[Any], list[Any]]:
    """Take what comes until there is *enough* of rows and records."""
    rows: list[dict[str, Any]] = []
    records: list[Any] = []
    ends_s = time.monotonic() + WITHIN_S
    for item in stream:
        if isinstance(item, pa.RecordBatch):
            rows += item.to_pylist()
        else:
            records.append(item)
        if enough(rows, records):
            return rows, records
        assert time.monotonic() < ends_s, (len(rows), records)
    raise AssertionError("it ended")


def codes_of(rows: list[dict[str, Any]]) -> set[str]:
    return {row["code"] for row in rows}


class TestWhatComes:
    def test_trades_of_both_families_as_the_server_has_them(self, connect: Connect, server: at.sandbox.Sandbox) -> None:
        codes = ["BTCUSDT", "AAPL.US", "EURUSD"]
        with connect(**FAST).stream_trades(codes) as stream:
            first = next(item for item in stream if isinstance(item, pa.RecordBatch))
            assert first.schema.equals(schemas.TRADES)
            rows, records = rows_until(stream, lambda rows, _: codes_of(rows) == {*codes} and len(rows) > 30)
        assert records == []
        assert {row["code"]: row["side"] for row in rows}["EURUSD"] is None
        assert {row["side"] for row in rows if row["code"] == "BTCUSDT"} <= {"buy", "sell", "neutral"}
        for code in codes:
            of_code = [row for row in rows if row["code"] == code]
            stamps = [row["timestamp"] for row in of_code]
            assert stamps == sorted(set(stamps))
        [minute] = connect().get_kline("BTCUSDT", "1m", 1, forming="keep").filter(closed=False).iter_rows(named=True)
        price = next(row["price"] for row in reversed(rows) if row["code"] == "BTCUSDT")
        assert 0.99 * minute["low"] < price < 1.01 * minute["high"]
        shown = server.streams()
        assert shown["opened"] == {"quote-stock-b-api": 1, "quote-b-api": 1}
        assert shown["violations"] == {}

    def test_order_books_with_the_levels_asked_for(self, connect: Connect) -> None:
        with connect(**FAST).stream_order_book(["BTCUSDT", "GOLD"], levels=2) as stream:
            rows, _ = rows_until(stream, lambda rows, _: codes_of(rows) == {"BTCUSDT", "GOLD"} and len(rows) > 20)
        book = [row for row in rows if row["code"] == "BTCUSDT"][:4]
        assert [(row["side"], row["level"]) for row in book] == [("bid", 1), ("bid", 2), ("ask", 1), ("ask", 2)]
        assert book[1]["price"] < book[0]["price"] < book[2]["price"] < book[3]["price"]
        assert {row["level"] for row in rows if row["code"] == "GOLD"} == {1}

    @pytest.mark.parametrize("numbers", ["strings", "json"])
    def test_numbers_come_as_text_or_as_numbers(
        self, connect: Connect, server: at.sandbox.Sandbox, numbers: Any
    ) -> None:
        server.configure(
            readings={"numbers": numbers, "tick_times": "seconds" if numbers == "json" else "milliseconds"}
        )
        with connect(**FAST).stream_trades("BTCUSDT") as stream:
            rows, _ = rows_until(stream, lambda rows, _: len(rows) >= 2)
        assert f"{rows[0]['timestamp']:%Y-%m-%d %H}" == "2026-03-18 15"
        assert rows[0]["turnover"] == pytest.approx(rows[0]["price"] * rows[0]["volume"], rel=1e-6)

    def test_codes_come_and_go_while_it_runs(self, connect: Connect, server: at.sandbox.Sandbox) -> None:
        with connect(**FAST).stream_trades("BTCUSDT") as stream:
            next(stream)
            stream.add(["ETHUSDT", "AAPL.US"])
            assert {*stream.codes} == {"BTCUSDT", "ETHUSDT", "AAPL.US"}
            rows_until(stream, lambda rows, _: codes_of(rows) == {"BTCUSDT", "ETHUSDT", "AAPL.US"})
            stream.remove("BTCUSDT")
            rows_until(
                stream, lambda _rows, _: ["ETHUSDT"] in [one["trades"] for one in server.streams()["connections"]]
            )
            # What was on its way may still come; then it is silent.
            rows_until(stream, lambda rows, _: len(rows) > 10)
            rows, records = rows_until(stream, lambda rows, _: len(rows) > 5)
            assert codes_of(rows) <= {"ETHUSDT", "AAPL.US"}
            assert records == []
        sent = [[one["code"] for one in said["data"]["symbol_list"]] for said in server.streams()["messages"]]
        # Always the union: the vendor replaces what was there.
        assert ["BTCUSDT", "ETHUSDT"] in sent

    def test_an_async_client_streams_the_same(self, server: at.sandbox.Sandbox) -> None:
        async def first() -> pa.RecordBatch:
            async with at.AsyncClient(**server.settings, **FAST) as client, client.stream_trades("BTCUSDT") as stream:
                async for item in stream:
                    if isinstance(item, pa.RecordBatch):
                        return item
            raise AssertionError("it ended")

        assert asyncio.run(asyncio.wait_for(first(), WITHIN_S))["code"][0].as_py() == "BTCUSDT"
        assert server.streams()["connections"] == []


class TestWhatIsLost:
    def test_a_lost_connection_is_a_gap_of_its_codes_and_the_stream_goes_on(
        self, connect: Connect, server: at.sandbox.Sandbox
    ) -> None:
        with connect(**FAST).stream_trades(["BTCUSDT", "AAPL.US"]) as stream:
            rows_until(stream, lambda rows, _: codes_of(rows) == {"BTCUSDT", "AAPL.US"})
            server.disturb_streams("drop")
            rows, gaps = rows_until(stream, lambda rows, records: len(records) == 2 and len(rows) > 5)
        assert sorted(gap.codes for gap in gaps) == [("AAPL.US",), ("BTCUSDT",)]
        for gap in gaps:
            assert isinstance(gap, at.Gap)
            assert 0 < (gap.end - gap.start).total_seconds() < WITHIN_S
            assert "closed the connection (1011)" in gap.why
        assert rows[-1]["received_at"] > max(gap.start for gap in gaps)

    def test_a_peer_that_says_nothing_is_given_up(
        self, connect: Connect, server: at.sandbox.Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(subscription, "DEAD_S", 2.0)
        with connect(**FAST).stream_trades("BTCUSDT") as stream:
            next(stream)
            server.disturb_streams("half_open")
            _, [gap] = rows_until(stream, lambda rows, records: len(records) == 1 and len(rows) > 0)
        assert gap.why == "nothing was heard for 2 s"
        assert (gap.end - gap.start).total_seconds() > 2

    def test_a_server_that_refuses_connections_for_a_while_is_waited_for(
        self, connect: Connect, server: at.sandbox.Sandbox
    ) -> None:
        with connect(**FAST).stream_trades("BTCUSDT") as stream:
            next(stream)
            server.disturb_streams("refuse", 1.5)
            server.disturb_streams("drop")
            _, [gap] = rows_until(stream, lambda rows, records: len(records) == 1 and len(rows) > 0)
        assert (gap.end - gap.start).total_seconds() > 1.4

    def test_too_many_messages_by_ret_606_are_a_lost_connection(
        self, connect: Connect, server: at.sandbox.Sandbox
    ) -> None:
        with connect(**FAST).stream_trades("BTCUSDT") as stream:
            next(stream)
            server.disturb_streams("too_many")
            _, [gap] = rows_until(stream, lambda _, records: len(records) == 1)
        assert "ret 606" in gap.why

    def test_a_tick_that_is_none_is_said(self, connect: Connect, server: at.sandbox.Sandbox) -> None:
        with connect(**FAST).stream_trades("BTCUSDT") as stream:
            next(stream)
            server.disturb_streams("garbage")
            _, [dropped] = rows_until(stream, lambda _, records: len(records) == 1)
        assert isinstance(dropped, at.Dropped)
        assert dropped.count == 1
        assert "cannot be read" in dropped.why
        assert "soon" in dropped.why

    def test_what_a_full_buffer_drops_is_counted(self, connect: Connect, server: at.sandbox.Sandbox) -> None:
        with connect(**FAST).stream_trades(["BTCUSDT", "ETHUSDT"], buffer=5, when_full="drop") as stream:
            before = len(next(stream))  # type: ignore[arg-type]
            time.sleep(2)
            pushed = sum(server.streams()["pushed"].values())
            rows, [dropped] = rows_until(stream, lambda rows, records: len(records) == 1 and len(rows) >= 5)
        assert dropped.why == "the buffer was full"
        assert dropped.count >= pushed - before - 5 - 2
        assert dropped.start < dropped.end < rows[-1]["received_at"]

    def test_a_full_buffer_can_be_an_error(self, connect: Connect) -> None:
        with connect(**FAST).stream_trades(["BTCUSDT", "ETHUSDT"], buffer=2, when_full="raise") as stream:
            next(stream)
            time.sleep(1.5)
            with pytest.raises(at.StreamError, match=r"buffer of 2 ticks is full.*when_full='drop'"):
                rows_until(stream, lambda *_: False)

    def test_blocking_loses_nothing(self, connect: Connect, server: at.sandbox.Sandbox) -> None:
        with connect(**FAST).stream_trades(["BTCUSDT", "ETHUSDT"], buffer=3) as stream:
            rows = next(stream).to_pylist()  # type: ignore[union-attr]
            time.sleep(1.5)
            pushed = sum(server.streams()["pushed"].values())
            more, records = rows_until(stream, lambda more, _: len(rows) + len(more) >= pushed)
        assert records == []
        assert len({(row["code"], row["seq"]) for row in [*rows, *more]}) == len(rows) + len(more)


class TestWhatEndsIt:
    def test_a_wrong_token_at_once_and_for_good(self, connect: Connect, server: at.sandbox.Sandbox) -> None:
        with connect(token="a-wrong-token", **FAST).stream_trades("BTCUSDT") as stream:
            with pytest.raises(at.AuthenticationError, match="HTTP 401"):
                next(stream)
            with pytest.raises(StopIteration):
                next(stream)
        assert server.streams()["opened"] == {}

    def test_a_token_that_is_refused_later(self, connect: Connect, server: at.sandbox.Sandbox) -> None:
        with connect(**FAST).stream_trades("BTCUSDT") as stream:
            next(stream)
            server.disturb_streams("token_invalid")
            with pytest.raises(at.AuthenticationError, match="ret 401"):
                rows_until(stream, lambda *_: False)
        assert server.streams()["connections"] == []

    def test_a_refused_code_is_left_out_and_the_rest_comes(self, connect: Connect) -> None:
        with connect(**FAST).stream_trades(["BTCUSDT", "NOSUCH", "EURUSD"]) as stream:
            with pytest.warns(at.StreamWarning, match=r"NOSUCH is left out of the stream: .*code invalid"):
                rows_until(stream, lambda rows, _: codes_of(rows) == {"BTCUSDT", "EURUSD"})
            assert stream.codes == ("BTCUSDT", "EURUSD")

    def test_nothing_but_refused_codes_is_their_error(self, connect: Connect) -> None:
        with connect(**FAST).stream_trades("NOSUCH") as stream, pytest.raises(at.UnknownCodeError, match="NOSUCH"):
            next(stream)

    def test_more_codes_than_the_plan_carries(self, connect: Connect) -> None:
        client = connect(limits={"codes_a_connection": 2, "connections": 2})
        with client.stream_trades(["BTCUSDT", "ETHUSDT", "SOLUSDT", "AAPL.US"]) as stream:
            with pytest.raises(
                at.PlanLimitError, match=r"6 codes are too many: the professional plan streams 2 on each"
            ):
                stream.add(["EURUSD", "GOLD"])
            assert len(stream.codes) == 4
            stream.add("EURUSD")
            assert {*stream.codes} == {"BTCUSDT", "ETHUSDT", "SOLUSDT", "EURUSD", "AAPL.US"}

    def test_what_can_be_judged_is_judged_at_once(self, connect: Connect) -> None:
        client = connect()
        with pytest.raises(at.ArgumentError, match=r"00700\.HK"):
            client.stream_trades("00700.HK")
        with pytest.raises(at.ArgumentError, match="levels=0"):
            client.stream_order_book("GOLD", 0)
        with pytest.raises(at.ArgumentError, match="buffer=0"):
            client.stream_trades("GOLD", buffer=0)
        with pytest.raises(at.ArgumentError, match=r"when_full='ignore'.*'drop'"):
            client.stream_trades("GOLD", when_full="ignore")  # type: ignore[arg-type]
        with pytest.raises(at.ArgumentError, match="network='never'"):
            connect(network="never").stream_trades("GOLD")
        with pytest.raises(at.ConfigError, match="no token"):
            connect(token=None).stream_trades("GOLD")


PUSH = (
    '{"cmd_id":22998,"data":{"code":"%s","seq":%s,"tick_time":%s,"price":%s,"volume":%s,"turnover":"",'
    '"trade_direction":%s}}'
)


class TestWhatIsRead:
    @pytest.mark.parametrize("text", [True, False])
    def test_a_trade_in_both_type_styles(self, *, text: bool) -> None:
        values = ("7", "1773801668091", "3127.45", "0.84", "2")
        written = [f'"{value}"' if text else value for value in values]
        tick = pushes.read(PUSH % ("ETHUSDT", *written))
        assert isinstance(tick, pushes.Trade)
        batch, untrue = pushes.trades_batch([tick], [1_773_801_668_100_000])
        [row] = batch.to_pylist()
        assert untrue == 0
        assert row["timestamp"].isoformat() == "2026-03-18T02:41:08.091000+00:00"
        assert (row["price"], row["volume"], row["turnover"], row["side"], row["seq"]) == (
            3127.45,
            0.84,
            None,
            "sell",
            7,
        )

    def test_seconds_are_told_from_milliseconds(self) -> None:
        ticks = [pushes.read(PUSH % ("GOLD", 1, at, 5, 0, 0)) for at in (1_773_801_668, 1_773_801_668_000)]
        batch, _ = pushes.trades_batch(ticks, [0, 0])  # type: ignore[arg-type]
        assert batch["timestamp"][0] == batch["timestamp"][1]
        assert batch["volume"].to_pylist() == [0, 0]

    def test_a_price_that_is_no_number_is_set_aside(self) -> None:
        ticks = [pushes.read(PUSH % ("GOLD", 1, 1_773_801_668, price, 1, 0)) for price in ('"NaN"', "5", '"inf"')]
        batch, untrue = pushes.trades_batch(ticks, [0, 0, 0])  # type: ignore[arg-type]
        assert (batch["price"].to_pylist(), untrue) == ([5.0], 2)

    def test_answers_of_any_shape(self) -> None:
        assert pushes.read('{"cmd_id":22005,"seq_id":3,"ret":200,"msg":"ok","data":{}}') == Ack(22005, 3, 200, "ok")
        assert pushes.read('{"cmd_id":"22005","seq_id":"3","ret":"200","msg":"ok"}') == Ack(22005, 3, 200, "ok")
        assert pushes.read('{"error_msg":"Too many requests"}') == Ack(0, 0, 429, "Too many requests")
        assert pushes.read('{"ret":606,"msg":null,"cmd_id":0}') == Ack(0, 0, 606, "")

    @pytest.mark.parametrize(
        "frame", [b"\xff", b"", b"[]", b'{"cmd_id":1}', b"nonsense", b'{"cmd_id":22998,"data":{}}']
    )
    def test_what_is_nothing_we_know_is_told_with_its_text(self, frame: bytes) -> None:
        said = pushes.read(frame)
        assert isinstance(said, pushes.Unreadable)
        assert said.why

    def test_an_empty_book_is_a_row_without_prices(self) -> None:
        book = pushes.read('{"cmd_id":22999,"data":{"code":"GOLD","tick_time":1773801668,"bids":[],"asks":null}}')
        batch, _ = pushes.books_batch([book], [0])  # type: ignore[list-item]
        [row] = batch.to_pylist()
        assert (row["side"], row["level"], row["price"]) == (None, None, None)
