"""GET /kline: which bars a page holds, and how each open reading writes them."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import at

if TYPE_CHECKING:
    from .conftest import Asker

TEN = at("2026-03-17T10:00")
HOUR = 3600


def test_answer_has_the_documented_shape(ask: Asker) -> None:
    answer = ask.kline("EURUSD", "1h", TEN, 3)
    body = answer.json()
    assert list(body) == ["ret", "msg", "trace", "data"]
    assert (body["ret"], body["msg"], body["trace"]) == (200, "ok", "t-1")
    assert (body["data"]["code"], body["data"]["kline_type"]) == ("EURUSD", 5)
    bar = body["data"]["kline_list"][0]
    assert list(bar) == [
        "timestamp", "open_price", "close_price", "high_price", "low_price", "volume", "turnover",
    ]  # fmt: skip
    assert all(isinstance(value, str) for value in bar.values())
    assert len(bar["open_price"].split(".")[1]) == 6
    assert bar["turnover"] == ""


def test_a_page_is_the_servers_truth(ask: Asker) -> None:
    page = ask.bars("BTCUSDT", "1m", TEN, 500)
    truth = ask.sandbox.bars("BTCUSDT", "1m", TEN - 499 * 60, TEN + 60).to_pylist()
    for bar, true in zip(page, truth, strict=True):
        assert int(bar["timestamp"]) == true["timestamp"].timestamp()
        for theirs, ours in (("open_price", "open"), ("close_price", "close"), ("turnover", "turnover")):
            assert float(bar[theirs]) == true[ours]


def test_end_is_included_and_the_page_counts_back_from_it(ask: Asker) -> None:
    assert ask.stamps("EURUSD", "1h", TEN, 3) == [TEN - 2 * HOUR, TEN - HOUR, TEN]


@pytest.mark.parametrize(
    ("reading", "end", "newest"),
    [
        ("inclusive", TEN + 1800, TEN),
        ("exclusive", TEN, TEN - HOUR),
        ("exclusive", TEN + 1, TEN),
        ("rounded_down", TEN - 1, TEN - HOUR),
        ("ignored", TEN, at("2026-03-18T09:00")),
    ],
)
def test_end_follows_its_reading(ask: Asker, reading: str, end: int, newest: int) -> None:
    ask.sandbox.configure(readings={"end": reading})
    assert ask.stamps("EURUSD", "1h", end, 3)[-1] == newest


def test_end_in_milliseconds_is_accepted(ask: Asker) -> None:
    assert ask.stamps("EURUSD", "1h", TEN * 1000, 1) == [TEN]


@pytest.mark.parametrize("period", ["1m", "4h", "1d", "1w", "1mo"])
def test_an_end_beyond_all_bars_answers_the_newest(ask: Asker, period: str) -> None:
    for end in (10**10, 10**30):
        assert ask.stamps("EURUSD", period, end, 2) == ask.stamps("EURUSD", period, 0, 2)


@pytest.mark.parametrize("period", ["1m", "4h", "1d", "1mo"])
def test_before_its_history_the_model_has_no_bars(ask: Asker, period: str) -> None:
    ask.sandbox.set_clock("2005-01-01T00:00Z", frozen=True)
    assert ask.bars("EURUSD", period) == []
    assert ask.bars("AAPL.US", period.replace("4h", "1h")) == []


@pytest.mark.parametrize("period", ["1m", "5m", "15m", "30m", "1h", "2h", "4h", "1d", "1w"])
@pytest.mark.parametrize("code", ["EURUSD", "Nickel", "TRXUSDT"])
def test_pages_walked_back_tile_the_servers_truth(ask: Asker, code: str, period: str) -> None:
    ends = [0]
    walked: list[int] = []
    for _ in range(3):
        page = ask.stamps(code, period, ends[-1], 60)
        walked = [stamp for stamp in page if not walked or stamp < walked[0]] + walked
        ends.append(page[0])
    assert len(walked) == 60 + 59 + 59
    truth = ask.sandbox.bars(code, period, walked[0], walked[-1] + 1)["timestamp"]
    assert walked == [stamp.as_py().timestamp() for stamp in truth]


def test_newest_page_ends_with_the_forming_bar(ask: Asker) -> None:
    assert ask.stamps("EURUSD", "1m", 0, 2) == [at("2026-03-18T08:59"), at("2026-03-18T09:00")]


def test_more_bars_than_allowed_are_silently_cut(ask: Asker) -> None:
    assert len(ask.stamps("EURUSD", "1m", 0, 5000)) == 500
    ask.sandbox.configure(readings={"page_maximum": 1000})
    assert len(ask.stamps("EURUSD", "1m", 0, 5000)) == 1000
    assert len(ask.stamps("700.HK", "1m", 0, 5000)) == 500


def test_stock_codes_ignore_the_end_or_refuse_it(ask: Asker) -> None:
    assert ask.stamps("700.HK", "1m", TEN) == ask.stamps("700.HK", "1m", 0)
    ask.sandbox.configure(readings={"stock_end": "refused"})
    assert ask.kline("700.HK", "1m", TEN).json()["ret"] == 400
    assert ask.kline("700.HK", "1m", 0).json()["ret"] == 200


@pytest.mark.parametrize(
    ("plan", "code", "years"),
    [
        ("free", "BTCUSDT", 1),
        ("basic", "DOTUSDT", 1),
        ("premium", "ETHUSDT", 3),
        ("professional", "ETHUSDT", 5),
    ],
)
def test_history_reaches_as_far_as_the_plan_sells(ask: Asker, plan: str, code: str, years: int) -> None:
    ask.sandbox.configure(plan=plan)
    edge = at(f"{2026 - years}-03-18T09:00:30")
    page = ask.stamps(code, "1h", edge + 5 * HOUR)
    assert edge <= page[0] < edge + HOUR
    assert ask.bars(code, "1h", edge - HOUR) == []


@pytest.mark.parametrize(
    ("code", "reading", "newest"),
    [
        ("USOIL", "ignored", "2026-03-18T09:00"),
        ("Zinc", "ignored", "2026-03-18T09:00"),
        ("US500", "ignored", "2026-03-18T09:00"),
        ("USOIL", "honoured", "2026-03-17T10:00"),
        ("GOLD", "ignored", "2026-03-17T10:00"),
        ("XAUEUR", "ignored", "2026-03-17T10:00"),
        ("EURUSD", "ignored", "2026-03-17T10:00"),
        ("BTCUSDT", "refused", "2026-03-17T10:00"),
    ],
)
def test_the_end_may_count_for_listed_classes_only(ask: Asker, code: str, reading: str, newest: str) -> None:
    ask.sandbox.configure(readings={"unlisted_end": reading})
    assert ask.stamps(code, "1h", TEN, 3)[-1] == at(newest)


@pytest.mark.parametrize("code", ["UKOIL", "COPPER", "HK50"])
def test_the_end_may_be_refused_for_classes_that_are_not_listed(ask: Asker, code: str) -> None:
    ask.sandbox.configure(readings={"unlisted_end": "refused"})
    assert ask.kline(code, "1h", TEN).json()["ret"] == 400
    assert ask.kline(code, "1h").json()["ret"] == 200


@pytest.mark.parametrize("code", ["ETHUSDT", "Nickel"])
@pytest.mark.parametrize("period", ["1m", "1h"])
def test_before_the_history_the_oldest_page_can_come_whole(ask: Asker, code: str, period: str) -> None:
    edge = at("2021-03-18T09:00:30")
    truth = ask.sandbox.bars(code, period, edge, edge + 90 * 24 * HOUR)["timestamp"]
    oldest = [int(stamp.as_py().timestamp()) for stamp in truth[:500]]
    ask.sandbox.configure(readings={"beyond_history": "oldest_page"})
    for end in (edge - HOUR, oldest[0], oldest[40], oldest[-1]):
        assert ask.stamps(code, period, end) == oldest
    assert ask.stamps(code, "1w", edge) == ask.stamps(code, "1w")


def test_before_the_history_it_can_be_refused(ask: Asker) -> None:
    edge = at("2021-03-18T09:00:30")
    ask.sandbox.configure(readings={"beyond_history": "ret_603"})
    assert ask.kline("ETHUSDT", "1h", edge).json()["ret"] == 603
    assert len(ask.stamps("ETHUSDT", "1h", edge + 3 * HOUR)) == 3


def test_answers_with_an_end_can_be_short(ask: Asker) -> None:
    plain = ask.stamps("EURUSD", "1h", TEN, 30)
    ask.sandbox.configure(readings={"pages": "short"})
    assert ask.stamps("EURUSD", "1h", TEN, 30) == plain[10:]
    assert len(ask.stamps("EURUSD", "1h", 0, 30)) == 30


def test_surplus_bars_can_be_refused(ask: Asker) -> None:
    ask.sandbox.configure(readings={"surplus": "ret_603"})
    assert ask.kline("EURUSD", "1m", num=501).json()["ret"] == 603
    assert len(ask.stamps("EURUSD", "1m", num=500)) == 500
    ask.sandbox.configure(readings={"page_maximum": 1000})
    assert len(ask.stamps("EURUSD", "1m", num=1000)) == 1000


@pytest.mark.parametrize(
    ("order", "arrange"),
    [
        ("descending", lambda stamps: stamps[::-1]),
        ("duplicated", lambda stamps: stamps[-3:] + stamps),
    ],
)
def test_order_follows_its_reading(ask: Asker, order: str, arrange: Any) -> None:
    plain = ask.stamps("EURUSD", "1h", TEN, 10)
    ask.sandbox.configure(readings={"order": order})
    assert ask.stamps("EURUSD", "1h", TEN, 10) == arrange(plain)


def test_shuffled_bars_are_the_same_bars_out_of_order(ask: Asker) -> None:
    plain = ask.stamps("EURUSD", "1h", TEN, 50)
    ask.sandbox.configure(readings={"order": "shuffled"})
    shuffled = ask.stamps("EURUSD", "1h", TEN, 50)
    assert shuffled != plain
    assert sorted(shuffled) == plain


def test_of_two_copies_the_one_sent_first_can_be_older(ask: Asker) -> None:
    plain = ask.bars("EURUSD", "1h", TEN, 5)
    ask.sandbox.configure(readings={"order": "duplicated", "copies": "older_first"})
    sent = ask.bars("EURUSD", "1h", TEN, 5)
    assert sent[3:] == plain
    for older, newer in zip(sent[:3], plain[-3:], strict=True):
        assert (older["timestamp"], older["open_price"]) == (newer["timestamp"], newer["open_price"])
        assert older["close_price"] == older["high_price"] == older["low_price"] == newer["open_price"]


def test_fields_can_be_more_or_called_otherwise(ask: Asker) -> None:
    plain = ask.kline("EURUSD", "1h", TEN, 2).json()["data"]
    ask.sandbox.configure(readings={"fields": "extra"})
    extra = ask.kline("EURUSD", "1h", TEN, 2).json()["data"]
    assert set(extra) > set(plain)
    assert all(set(bar) > set(plain["kline_list"][0]) for bar in extra["kline_list"])
    ask.sandbox.configure(readings={"fields": "renamed"})
    renamed = ask.kline("EURUSD", "1h", TEN, 2).json()["data"]
    assert set(renamed) == {"symbol", "kline_type", "kline_data"}
    assert renamed["kline_data"][0]["volumn"] == plain["kline_list"][0]["volume"]


def test_prices_can_be_without_trailing_zeros(ask: Asker) -> None:
    padded = ask.bars("700.HK", "1m", num=50)
    ask.sandbox.configure(readings={"prices": "shortest"})
    short = ask.bars("700.HK", "1m", num=50)
    for name in ("open_price", "turnover"):
        assert [float(bar[name]) for bar in short] == [float(bar[name]) for bar in padded]
        assert not any(bar[name].endswith(("0", ".")) and "." in bar[name] for bar in short)
        assert any("." in bar[name] for bar in short)


def test_the_first_bar_can_lack_its_amounts(ask: Asker) -> None:
    plain = ask.bars("BTCUSDT", "1h", TEN, 3)
    ask.sandbox.configure(readings={"first_amounts": "empty"})
    assert ask.bars("BTCUSDT", "1h", TEN, 3) == [plain[0] | {"volume": "", "turnover": ""}, *plain[1:]]


def test_market_indices_can_lack_amounts(ask: Asker) -> None:
    ask.sandbox.configure(readings={"index_volume": "none"})
    assert [ask.bars(code, "1d", num=1)[0]["volume"] == "" for code in ("HSI.HK", "700.HK")] == [True, False]


@pytest.mark.parametrize(
    ("code", "period", "offset"),
    [
        ("700.HK", "1h", 1800),
        ("EURUSD", "1h", 0),
        ("EURUSD", "2h", HOUR),
        ("BTCUSDT", "4h", HOUR),
        ("700.HK", "30m", 0),
    ],
)
def test_hours_can_begin_with_the_session(ask: Asker, code: str, period: str, offset: int) -> None:
    plain = ask.bars(code, period, num=200)
    ask.sandbox.configure(readings={"alignment": "session"})
    length = {"30m": 1800, "1h": HOUR, "2h": 2 * HOUR, "4h": 4 * HOUR}[period]
    stamps = ask.stamps(code, period)
    assert {stamp % length for stamp in stamps} == {offset}
    assert (ask.bars(code, period, num=200) == plain) == (offset == 0)
    truth = ask.sandbox.bars(code, period, stamps[0])
    assert [int(stamp.timestamp()) for stamp in truth["timestamp"].to_pylist()] == stamps


def test_newest_bar_can_be_missing_or_twice_on_newest_pages_only(ask: Asker) -> None:
    plain, paged = ask.stamps("EURUSD", "1m", 0, 5), ask.stamps("EURUSD", "1m", TEN, 5)
    for reading, expected in (("missing", plain[:-1]), ("twice", plain + plain[-1:])):
        ask.sandbox.configure(readings={"newest_bar": reading})
        assert ask.stamps("EURUSD", "1m", 0, 5) == expected
        assert ask.stamps("EURUSD", "1m", TEN, 5) == paged


def test_numbers_can_be_json_numbers_and_stamps_milliseconds(ask: Asker) -> None:
    text = ask.bars("EURUSD", "1h", TEN, 1)[0]
    ask.sandbox.configure(readings={"numbers": "json", "stamps": "milliseconds"})
    bar = ask.bars("EURUSD", "1h", TEN, 1)[0]
    assert bar["timestamp"] == TEN * 1000
    assert bar["open_price"] == float(text["open_price"])
    assert bar["volume"] == int(text["volume"])
    assert bar["turnover"] == ""


@pytest.mark.parametrize(("reading", "written"), [("", ""), ("null", None), ("0", "0")])
def test_missing_amounts_follow_their_reading(ask: Asker, reading: str, written: str | None) -> None:
    ask.sandbox.configure(readings={"empty_volume": reading, "forex_volume": "none"})
    bar = ask.bars("EURUSD", "1h", TEN, 1)[0]
    assert (bar["volume"], bar["turnover"]) == (written, written)
    assert int(ask.bars("BTCUSDT", "1h", TEN, 1)[0]["volume"]) > 0


def test_missing_amounts_can_be_missing_keys(ask: Asker) -> None:
    ask.sandbox.configure(readings={"empty_volume": "missing"})
    bar = ask.bars("EURUSD", "1h", TEN, 1)[0]
    assert "volume" in bar
    assert "turnover" not in bar


@pytest.mark.parametrize(
    ("reading", "rest"),
    [
        ("[]", {"data": {"code": "EURUSD", "kline_type": 5, "kline_list": []}}),
        ("null", {"data": {"code": "EURUSD", "kline_type": 5, "kline_list": None}}),
        ("missing", {"data": {"code": "EURUSD", "kline_type": 5}}),
        ("data {}", {"data": {}}),
        ("data null", {"data": None}),
        ("data missing", {}),
    ],
)
def test_empty_answers_follow_their_reading(ask: Asker, reading: str, rest: dict[str, Any]) -> None:
    ask.sandbox.configure(readings={"empty_answer": reading})
    answer = ask.kline("EURUSD", "1h", at("2001-01-01T00:00")).json()
    assert answer == {"ret": 200, "msg": "ok", "trace": "t-1", **rest}


@pytest.mark.parametrize(
    ("reading", "eurusd", "hk"),
    [
        ("utc_midnight", "2026-03-17T00:00", "2026-03-17T00:00"),
        ("local_midnight", "2026-03-17T04:00", "2026-03-16T16:00"),
        ("session_open", "2026-03-16T21:00", "2026-03-17T01:30"),
        ("session_close", "2026-03-17T21:00", "2026-03-17T08:01"),
        ("last_date", "2026-03-17T00:00", "2026-03-17T00:00"),
    ],
)
def test_daily_stamps_follow_their_reading(ask: Asker, reading: str, eurusd: str, hk: str) -> None:
    ask.sandbox.configure(readings={"daily_stamps": reading})
    assert ask.stamps("EURUSD", "1d", 0, 2)[0] == at(eurusd)
    assert ask.stamps("700.HK", "1d", 0, 2)[0] == at(hk)


def test_weeks_begin_on_mondays_and_months_on_the_first(ask: Asker) -> None:
    assert ask.stamps("EURUSD", "1w", 0, 2) == [at("2026-03-09T00:00"), at("2026-03-16T00:00")]
    assert ask.stamps("EURUSD", "1mo", 0, 2) == [at("2026-02-01T00:00"), at("2026-03-01T00:00")]


def test_weeks_and_months_can_be_stamped_with_their_last_date(ask: Asker) -> None:
    ask.sandbox.configure(readings={"daily_stamps": "last_date"})
    assert ask.stamps("EURUSD", "1w", 0, 2) == [at("2026-03-13T00:00"), at("2026-03-20T00:00")]
    assert ask.stamps("700.HK", "1mo", 0, 2) == [at("2026-02-27T00:00"), at("2026-03-31T00:00")]
    assert ask.stamps("BTCUSDT", "1mo", 0, 2) == [at("2026-02-28T00:00"), at("2026-03-31T00:00")]


def test_date_header_is_the_sandboxs_clock_or_absent(ask: Asker) -> None:
    assert ask.kline("EURUSD", "1m").headers.get_list("date") == ["Wed, 18 Mar 2026 09:00:30 GMT"]
    ask.sandbox.configure(readings={"date_header": "absent"})
    assert "date" not in ask.kline("EURUSD", "1m").headers


def test_answers_are_packed_for_those_who_accept_it(ask: Asker) -> None:
    plain = ask.kline("EURUSD", "1m")
    ask.sandbox.configure(readings={"compression": "gzip"})
    packed = ask.kline("EURUSD", "1m")
    assert (plain.headers.get("content-encoding"), packed.headers["content-encoding"]) == (None, "gzip")
    assert int(packed.headers["content-length"]) < len(packed.content) / 2
    assert packed.json() == plain.json()
    unpacked = ask.http.get(packed.request.url, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in unpacked.headers


def test_connections_can_end_with_each_answer(ask: Asker) -> None:
    ask.sandbox.configure(readings={"connections": "closed"})
    first, second = (ask.kline("EURUSD", "1m", num=1) for _ in range(2))
    streams = [answer.extensions["network_stream"] for answer in (first, second)]
    assert streams[0] is not streams[1]
    assert second.headers["connection"] == "close"


def test_the_clock_ticks_unless_frozen(ask: Asker) -> None:
    ask.sandbox.set_clock("2020-06-15T12:00:00Z")
    first, second = ask.sandbox.now(), ask.sandbox.now()
    assert at("2020-06-15T12:00") <= first < second < first + 20
    assert ask.stamps("BTCUSDT", "1m", 0, 1) == [at("2020-06-15T12:00")]
    ask.sandbox.set_clock(None)
    shown = parsedate_to_datetime(ask.kline("BTCUSDT", "1m").headers["date"])
    assert abs(shown.timestamp() - ask.sandbox.now()) < 20


def test_connections_are_kept_alive(ask: Asker) -> None:
    for first, second in pairwise(ask.kline("EURUSD", "1m", num=1) for _ in range(3)):
        streams = [answer.extensions["network_stream"] for answer in (first, second)]
        assert streams[0].get_extra_info("client_addr") == streams[1].get_extra_info("client_addr")
