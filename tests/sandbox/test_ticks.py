"""GET /trade-tick and /depth-tick: which codes are answered, with what, and how each open reading writes it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from alltick_frames.sandbox.books import SHAPES

from .conftest import at

if TYPE_CHECKING:
    from .conftest import Asker

ENDPOINTS = ["trade-tick", "depth-tick"]
NOW_MS = at("2026-03-18T09:00:30") * 1000
OF_EVERY_CLASS = ["EURUSD", "GOLD", "USOIL", "US500", "BTCUSDT", "700.HK", "AAPL.US", "600519.SH", "HSI.HK"]
WITHOUT_TURNOVER = {"EURUSD", "GOLD", "USOIL"}
LEVELS = {
    "EURUSD": 1, "GOLD": 1, "USOIL": 1, "US500": 1, "BTCUSDT": 5, "700.HK": 10, "600519.SH": 5, "AAPL.US": 1,
}  # fmt: skip


def trade(ask: Asker, code: str) -> dict[str, Any]:
    (tick,) = ask.listed("trade-tick", code)
    return tick


def book(ask: Asker, code: str) -> dict[str, Any]:
    (tick,) = ask.listed("depth-tick", code)
    return tick


def codes_in(rows: list[dict[str, Any]]) -> list[str]:
    return [row["code"] for row in rows]


# --- which codes are answered ---------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_answer_names_each_code_in_the_order_asked(ask: Asker, endpoint: str) -> None:
    answer = ask.symbols(endpoint, "GOLD", "BTCUSDT", "EURUSD").json()
    assert list(answer) == ["ret", "msg", "trace", "data"]
    assert (answer["ret"], answer["msg"], answer["trace"]) == (200, "ok", "t-1")
    assert codes_in(answer["data"]["tick_list"]) == ["GOLD", "BTCUSDT", "EURUSD"]


def test_the_codes_of_an_answer_can_be_shuffled(ask: Asker) -> None:
    codes = ["GOLD", "BTCUSDT", "EURUSD", "USDJPY", "US500"]
    ask.sandbox.configure(readings={"symbols_order": "shuffled"})
    shuffled = codes_in(ask.listed("trade-tick", *codes))
    assert shuffled != codes
    assert sorted(shuffled) == sorted(codes)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(("plan", "most"), [("free", 5), ("basic", 50)])
def test_codes_beyond_the_plans_number_are_left_out_or_refused(ask: Asker, endpoint: str, plan: str, most: int) -> None:
    ask.sandbox.configure(plan=plan)
    # The last one does not even exist: who is cut off is not looked at.
    codes = [*(["BTCUSDT", "USDJPY", "GOLD", "USOIL", "USDJPY"] * 10)[:most], "GOLD", "NOSUCH"]
    assert codes_in(ask.listed(endpoint, *codes)) == codes[:most]
    ask.sandbox.configure(readings={"surplus": "ret_603"})
    assert ask.symbols(endpoint, *codes).json()["ret"] == 603
    assert ask.symbols(endpoint, *codes[:most]).json()["ret"] == 200


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("bad", ["NOSUCH", "00700.HK", "700.HK"])
def test_one_bad_code_spoils_the_request_or_is_missing(ask: Asker, endpoint: str, bad: str) -> None:
    assert ask.symbols(endpoint, "EURUSD", bad).json() == {
        "ret": 600, "msg": "code invalid", "trace": "t-1", "data": {},
    }  # fmt: skip
    ask.sandbox.configure(readings={"symbols_bad_code": "missing"})
    assert codes_in(ask.listed(endpoint, "EURUSD", bad)) == ["EURUSD"]
    assert ask.symbols(endpoint, bad, family="quote-b-api").json()["ret"] == 600


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_codes_outside_the_plan_are_missing_unless_there_is_no_other(ask: Asker, endpoint: str) -> None:
    ask.sandbox.configure(plan="free")
    assert codes_in(ask.listed(endpoint, "EURUSD", "USDJPY", "GBPUSD")) == ["USDJPY"]
    assert ask.symbols(endpoint, "EURUSD", "GBPUSD").json()["ret"] == 604
    ask.sandbox.configure(readings={"symbols_unauthorized": "refused"})
    assert ask.symbols(endpoint, "EURUSD", "USDJPY").json()["ret"] == 604


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_code_without_a_tick_is_missing_without_a_word(ask: Asker, endpoint: str) -> None:
    ask.sandbox.configure(silent_codes=["EURUSD"])
    assert codes_in(ask.listed(endpoint, "EURUSD", "USDJPY")) == ["USDJPY"]
    assert ask.listed(endpoint, "EURUSD") == []
    ask.sandbox.configure(readings={"empty_answer": "data null"})
    assert ask.symbols(endpoint, "EURUSD").json() == {"ret": 200, "msg": "ok", "trace": "t-1", "data": None}


def test_market_indices_have_trades_and_no_order_book(ask: Asker) -> None:
    assert codes_in(ask.listed("trade-tick", "HSI.HK", ".DJI.US")) == ["HSI.HK", ".DJI.US"]
    assert codes_in(ask.listed("depth-tick", "HSI.HK", "700.HK")) == ["700.HK"]


def test_the_free_plan_can_exclude_order_books(ask: Asker) -> None:
    ask.sandbox.configure(plan="free", readings={"free_book": "refused"})
    assert ask.symbols("depth-tick", "GOLD").json()["ret"] == 604
    assert ask.symbols("trade-tick", "GOLD").json()["ret"] == 200
    ask.sandbox.configure(readings={"free_book": "missing"})
    assert ask.listed("depth-tick", "GOLD") == []
    ask.sandbox.configure(plan="basic")
    assert codes_in(ask.listed("depth-tick", "GOLD")) == ["GOLD"]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "data",
    [{}, {"symbol_list": []}, {"symbol_list": "GOLD"}, {"symbol_list": ["GOLD"]}, {"symbol_list": [{"code": 7}]}],
)
def test_wrong_lists_answer_400(ask: Asker, endpoint: str, data: dict[str, Any]) -> None:
    query = json.dumps({"trace": "t", "data": data})
    answer = ask.raw(f"/quote-b-api/{endpoint}", token=ask.sandbox.token, query=query).json()
    assert (answer["ret"], answer["msg"]) == (400, "request data param invalid")


def test_the_log_and_the_counters_know_the_codes(ask: Asker) -> None:
    ask.symbols("trade-tick", "GOLD", "EURUSD")
    ask.symbols("depth-tick", "GOLD", "NOSUCH")
    first, second = ask.sandbox.requests()
    assert (first["endpoint"], first["codes"], first["code"], first["answer"]) == (
        "trade-tick", ["GOLD", "EURUSD"], None, "ok",
    )  # fmt: skip
    assert (second["endpoint"], second["codes"], second["answer"]) == ("depth-tick", ["GOLD", "NOSUCH"], "code_invalid")
    counters = ask.sandbox.counters()
    assert counters["codes"] == {"GOLD": 2, "EURUSD": 1, "NOSUCH": 1}
    assert counters["endpoints"] == {"trade-tick": 1, "depth-tick": 1}


def test_each_endpoint_has_a_rate_of_its_own_and_all_share_one(ask: Asker) -> None:
    ask.sandbox.configure(plan="free", limits="count")
    ask.symbols("trade-tick", "GOLD")
    ask.symbols("depth-tick", "GOLD")
    assert "depth-tick/sliding" not in ask.sandbox.violations()
    assert ask.sandbox.violations()["combined/sliding"] == 1
    ask.symbols("depth-tick", "GOLD")
    assert ask.sandbox.violations()["depth-tick/sliding"] == 1


# --- trades ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", OF_EVERY_CLASS)
def test_the_newest_trade_is_the_close_of_the_newest_minute(ask: Asker, code: str) -> None:
    tick = trade(ask, code)
    minute = ask.bars(code, "1m", num=1)[0]
    stamp_ms = int(minute["timestamp"]) * 1000
    assert tick["price"] == minute["close_price"]
    assert int(tick["tick_time"]) == min(NOW_MS, stamp_ms + 59_999)
    assert isinstance(tick["trade_direction"], int)
    assert all(isinstance(value, str) for name, value in tick.items() if name != "trade_direction")


@pytest.mark.parametrize("code", OF_EVERY_CLASS)
def test_the_newest_trade_is_worth_its_price_times_its_volume(ask: Asker, code: str) -> None:
    tick = trade(ask, code)
    if code in WITHOUT_TURNOVER:
        assert tick["turnover"] == ""
    else:
        assert Decimal(tick["turnover"]) == Decimal(tick["price"]) * Decimal(tick["volume"])


def test_trades_of_a_shares_count_shares_where_bars_count_lots(ask: Asker) -> None:
    volumes = []
    for minute in range(10, 40):
        ask.sandbox.set_clock(f"2026-03-18T02:{minute}:40Z", frozen=True)
        lots = int(ask.bars("600519.SH", "1m", num=1)[0]["volume"])
        volumes.append(int(trade(ask, "600519.SH")["volume"]))
        assert 1 <= volumes[-1] <= lots * 100
    assert any(volume % 100 for volume in volumes)
    assert max(volumes) > 100


def test_trades_move_on_with_the_clock_and_stand_still_with_it(ask: Asker) -> None:
    before = trade(ask, "BTCUSDT")
    assert trade(ask, "BTCUSDT") == before
    ask.sandbox.set_clock("2026-03-18T09:00:31Z", frozen=True)
    after = trade(ask, "BTCUSDT")
    assert int(after["seq"]) > int(before["seq"])
    assert int(after["tick_time"]) - int(before["tick_time"]) == 1000


def test_another_seed_has_other_trades(ask: Asker) -> None:
    before = trade(ask, "BTCUSDT")
    ask.sandbox.configure(seed=1)
    assert trade(ask, "BTCUSDT")["price"] != before["price"]


def test_a_shut_market_answers_with_its_last_trade(ask: Asker) -> None:
    ask.sandbox.set_clock("2026-03-22T12:00Z", frozen=True)
    # The closing auction of Friday, 16:00 in Hong Kong.
    assert int(trade(ask, "700.HK")["tick_time"]) == (at("2026-03-20T08:00") + 60) * 1000 - 1


def test_before_its_history_a_code_has_no_tick(ask: Asker) -> None:
    ask.sandbox.set_clock("2005-01-01T00:00Z", frozen=True)
    assert ask.listed("trade-tick", "EURUSD") == []


def directions(ask: Asker, code: str) -> set[int]:
    found = set()
    for second in range(20):
        ask.sandbox.set_clock(f"2026-03-18T02:10:{second + 10}Z", frozen=True)
        found.add(trade(ask, code)["trade_direction"])
    return found


@pytest.mark.parametrize("code", ["BTCUSDT", "700.HK"])
def test_stocks_and_crypto_are_bought_sold_and_neither(ask: Asker, code: str) -> None:
    assert directions(ask, code) == {0, 1, 2}


def test_the_direction_of_forex_is_a_constant_of_either_reading(ask: Asker) -> None:
    assert directions(ask, "EURUSD") == {1}
    ask.sandbox.configure(readings={"otc_direction": 0})
    assert directions(ask, "EURUSD") == {0}


def test_ticks_can_have_their_time_in_seconds(ask: Asker) -> None:
    ask.sandbox.configure(readings={"tick_times": "seconds"})
    for tick in (trade(ask, "EURUSD"), book(ask, "EURUSD")):
        assert tick["tick_time"] == str(NOW_MS // 1000)


def test_trades_can_lack_amounts(ask: Asker) -> None:
    ask.sandbox.configure(readings={"forex_volume": "none", "index_volume": "none"})
    assert [trade(ask, code)["volume"] for code in ("EURUSD", "US500")] == ["", ""]
    index = trade(ask, "HSI.HK")
    assert (index["volume"], index["turnover"]) == ("", "")
    ask.sandbox.configure(readings={"empty_volume": "missing"})
    assert trade(ask, "EURUSD").keys() == {"code", "seq", "tick_time", "price", "trade_direction"}
    ask.sandbox.configure(readings={"empty_volume": "null"})
    assert trade(ask, "EURUSD")["turnover"] is None


def test_ticks_can_have_json_numbers(ask: Asker) -> None:
    ask.sandbox.configure(readings={"numbers": "json"})
    tick = trade(ask, "BTCUSDT")
    assert tick["tick_time"] == NOW_MS
    assert all(isinstance(value, int | float) for name, value in tick.items() if name != "code")
    level = book(ask, "BTCUSDT")["bids"][0]
    assert isinstance(level["price"], float)
    assert isinstance(level["volume"], int)


def test_prices_can_be_as_short_as_can_be(ask: Asker) -> None:
    padded = trade(ask, "GOLD")["price"]
    ask.sandbox.configure(readings={"prices": "shortest"})
    short = trade(ask, "GOLD")["price"]
    assert len(padded.split(".")[1]) == 6
    assert len(short.partition(".")[2]) <= 2
    assert Decimal(short) == Decimal(padded)


def test_fields_can_have_other_names_and_company(ask: Asker) -> None:
    ask.sandbox.configure(readings={"fields": "renamed"})
    tick = trade(ask, "BTCUSDT")
    assert {"symbol", "volumn"} < tick.keys()
    assert not {"code", "volume"} & tick.keys()
    assert book(ask, "BTCUSDT")["asks"][0].keys() == {"price", "volumn"}
    ask.sandbox.configure(readings={"fields": "extra"})
    tick = trade(ask, "BTCUSDT")
    assert {"code", "symbol", "amplitude", "sessions"} < tick.keys()


# --- order books ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", LEVELS)
def test_a_book_has_the_levels_of_its_class_on_the_grid_around_the_price(ask: Asker, code: str) -> None:
    depth, price = book(ask, code), Decimal(trade(ask, code)["price"])
    assert list(depth) == ["code", "seq", "tick_time", "bids", "asks"]
    bids, asks = ([Decimal(level["price"]) for level in depth[side]] for side in ("bids", "asks"))
    assert (len(bids), len(asks)) == (LEVELS[code], LEVELS[code])
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] <= price <= asks[0]
    assert bids[0] < asks[0]
    step = asks[0] - bids[0]
    assert all((each - price) % (step / (2 if price not in (bids[0], asks[0]) else 1)) == 0 for each in bids + asks)
    assert all(int(level["volume"]) >= 1 for level in depth["bids"] + depth["asks"])


def test_a_book_shows_on_which_side_the_trade_was(ask: Asker) -> None:
    for second in range(20):
        ask.sandbox.set_clock(f"2026-03-18T02:10:{second + 10}Z", frozen=True)
        tick, depth = trade(ask, "BTCUSDT"), book(ask, "BTCUSDT")
        bid, ask_price = depth["bids"][0]["price"], depth["asks"][0]["price"]
        assert tick["trade_direction"] == {ask_price: 1, bid: 2}.get(tick["price"], 0)


def test_the_worst_level_can_come_first(ask: Asker) -> None:
    best_first = book(ask, "700.HK")
    ask.sandbox.configure(readings={"level_order": "worst_first"})
    worst_first = book(ask, "700.HK")
    assert worst_first["bids"] == best_first["bids"][::-1]
    assert worst_first["asks"] == best_first["asks"][::-1]


def test_forex_books_can_lack_volumes(ask: Asker) -> None:
    assert book(ask, "GOLD")["bids"][0]["volume"] != ""
    ask.sandbox.configure(readings={"otc_depth_volume": "none"})
    assert [book(ask, code)["bids"][0]["volume"] for code in ("EURUSD", "GOLD", "US500")] == [""] * 3
    assert book(ask, "BTCUSDT")["bids"][0]["volume"] != ""


def test_a_code_that_hardly_trades_has_fewer_levels(ask: Asker) -> None:
    counts = {len(book(ask, f"{number}.HK")["bids"]) for number in range(2, 30)}
    assert counts == {5, 10}


def test_prices_of_a_book_stay_above_zero(ask: Asker) -> None:
    ask.sandbox.replay("TINYUSDT", "1m", frame(close=0.01))
    ask.sandbox.replay("BTCUSDT", "1m", frame(close=0.02))
    assert [level["price"] for level in book(ask, "BTCUSDT")["bids"]] == ["0.010000"]
    assert all(float(level["price"]) > 0 for level in book(ask, "TINYUSDT")["bids"])


SIDES = {"full": 5, "zeros": [{"price": "0", "volume": "0"}], "empty": [], "missing": None}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_book_can_be_told_its_shape(ask: Asker, shape: str) -> None:
    ask.sandbox.configure(books={"002035.SZ": shape, "600519.SH": shape})
    depth, other = ask.listed("depth-tick", "600519.SH", "000001.SZ")
    for name, side in zip(("bids", "asks"), SHAPES[shape], strict=True):
        shown: Any = depth.get(name)
        assert (len(shown) if side == "full" else shown) == SIDES[side]
    assert len(other["bids"]) == 5


def test_at_its_limit_a_share_trades_at_the_best_price_that_is_left(ask: Asker) -> None:
    ask.sandbox.configure(books={"002035.SZ": "limit_up", "600519.SH": "limit_down"})
    for second in range(5):
        ask.sandbox.set_clock(f"2026-03-18T02:10:{second + 10}Z", frozen=True)
        up, down = ask.listed("depth-tick", "002035.SZ", "600519.SH")
        assert up["bids"][0]["price"] == trade(ask, "002035.SZ")["price"]
        assert down["asks"][0]["price"] == trade(ask, "600519.SH")["price"]


def test_wrong_shapes_are_refused_by_name(ask: Asker) -> None:
    with pytest.raises(ValueError, match=r"books: 'upside_down' of 700\.HK is not one of limit_up, limit_down"):
        ask.sandbox.configure(books={"700.HK": "upside_down"})
    with pytest.raises(TypeError, match="silent_codes='GOLD' is text"):
        ask.sandbox.configure(silent_codes="GOLD")


# --- replays --------------------------------------------------------------------------------------------


def frame(close: float = 2.5, volume: float = 12.5) -> pd.DataFrame:
    """Return two minutes, of which the second is over at the sandbox's clock."""
    stamps = pd.to_datetime([NOW_MS - 150_000, NOW_MS - 90_000], unit="ms")
    prices = {name: [1.0, close] for name in ("open", "high", "low", "close")}
    return pd.DataFrame({"timestamp": stamps, **prices, "volume": [1.0, volume]})


def test_a_replayed_code_answers_with_its_newest_minute(ask: Asker) -> None:
    ask.sandbox.replay("BTCUSDT", "1m", frame())
    tick = trade(ask, "BTCUSDT")
    assert (tick["price"], tick["volume"], tick["turnover"]) == ("2.500000", "12.5", "31.250000")
    assert int(tick["tick_time"]) == NOW_MS - 90_000 + 59_999
    depth = book(ask, "BTCUSDT")
    assert float(depth["bids"][0]["price"]) <= 2.5 <= float(depth["asks"][0]["price"])


def test_a_replayed_a_share_trades_in_shares_too(ask: Asker) -> None:
    ask.sandbox.replay("600519.SH", "1m", frame(volume=7.0))
    tick = trade(ask, "600519.SH")
    assert (tick["volume"], tick["turnover"]) == ("700", "1750.000000")


def test_a_code_of_ones_own_has_ticks_too(ask: Asker) -> None:
    ask.sandbox.replay("mine", "1m", frame(close=0.123))
    assert trade(ask, "mine")["price"] == "0.123000"
    assert len(book(ask, "mine")["bids"]) == 1


def test_a_replay_of_days_has_no_tick(ask: Asker) -> None:
    ask.sandbox.replay("BTCUSDT", "1d", frame())
    assert ask.listed("trade-tick", "BTCUSDT") == []
