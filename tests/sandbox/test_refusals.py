"""Every answer without bars, the limits, and the faults on demand."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from alltick_frames import sandbox
from alltick_frames.sandbox.envelopes import ENVELOPES
from alltick_frames.sandbox.faults import FAULTS
from alltick_frames.sandbox.limits import PLANS, Limiter

if TYPE_CHECKING:
    from .conftest import Asker

GOOD = {
    "code": "EURUSD",
    "kline_type": 1,
    "kline_timestamp_end": 0,
    "query_kline_num": 1,
    "adjust_type": 0,
}


KLINE = "/quote-b-api/kline"


def query(ask: Asker) -> dict[str, str]:
    return {"token": ask.sandbox.token, "query": json.dumps({"trace": "t-1", "data": GOOD})}


@pytest.mark.parametrize("path", [KLINE, "/quote-stock-b-api/kline", "/", "/no/such/path"])
def test_any_path_without_a_token_answers_401(ask: Asker, path: str) -> None:
    answer = ask.raw(path)
    assert (answer.status_code, answer.json()) == (401, {"msg": "token is required", "ret": 401})


@pytest.mark.parametrize(("reading", "status"), [("http_401", 401), ("http_200", 200)])
def test_a_wrong_token_answers_without_data(ask: Asker, reading: str, status: int) -> None:
    ask.sandbox.configure(readings={"bad_token": reading})
    answer = ask.query({"trace": "t", "data": GOOD}, token="testtoken")
    assert answer.status_code == status
    assert answer.json() == {"msg": "token invalid", "trace": "", "ret": 401}


def test_unknown_paths_with_a_token_answer_html(ask: Asker) -> None:
    answer = ask.raw("/quote-b-api/nothing", token=ask.sandbox.token)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html")


@pytest.mark.parametrize("query", ["", "not json", "{'trace': 't'}"])
def test_a_query_that_is_no_json_answers_402(ask: Asker, query: str) -> None:
    assert ask.query(query).json() == {"ret": 402, "msg": "query invalid", "trace": "", "data": {}}
    assert ask.raw("/quote-b-api/kline", token=ask.sandbox.token).json()["ret"] == 402


@pytest.mark.parametrize(
    "query",
    [
        [],
        {"data": GOOD},
        {"trace": "", "data": GOOD},
        {"trace": 7, "data": GOOD},
        {"trace": "x" * 65, "data": GOOD},
        {"trace": "t"},
        {"trace": "t", "data": []},
    ],
)
def test_a_wrong_top_level_answers_400(ask: Asker, query: Any) -> None:
    answer = ask.query(query).json()
    assert (answer["ret"], answer["msg"]) == (400, "request header param invalid")


@pytest.mark.parametrize(
    "wrong",
    [
        {"code": 5},
        {"kline_type": 11},
        {"kline_type": 60},
        {"kline_type": "1"},
        {"kline_type": True},
        {"kline_timestamp_end": "0"},
        {"kline_timestamp_end": -1},
        {"query_kline_num": 0},
        {"query_kline_num": 1.5},
        {"adjust_type": 1},
        {"adjust_type": None},
    ],
)
def test_wrong_data_answers_400_and_echoes_the_trace(ask: Asker, wrong: dict[str, Any]) -> None:
    answer = ask.query({"trace": "mine", "data": GOOD | wrong}).json()
    assert answer == {"ret": 400, "msg": "request data param invalid", "trace": "mine", "data": {}}


@pytest.mark.parametrize("ret", [201, 202, 400])
def test_wrong_data_answers_in_the_chosen_number(ask: Asker, ret: int) -> None:
    ask.sandbox.configure(readings={"bad_request": ret})
    assert ask.kline("EURUSD", 11).json()["ret"] == ret


def test_refusals_can_have_a_status_of_their_own(ask: Asker) -> None:
    ask.sandbox.configure(readings={"refusal_status": 400}, plan="free")
    for code, ret in (("EURUSD", 604), ("NOSUCH", 600)):
        answer = ask.kline(code, "1d")
        assert (answer.status_code, answer.json()["ret"]) == (400, ret)
    assert ask.kline("USDJPY", "1d").status_code == 200
    assert ask.query({"trace": "t", "data": GOOD}, token="testtoken").status_code == 401


def test_the_free_plan_can_exclude_bars_shorter_than_a_day(ask: Asker) -> None:
    ask.sandbox.configure(readings={"free_intraday": "refused"}, plan="free")
    assert [ask.kline("USDJPY", period).json()["ret"] for period in ("1m", "4h", "1d")] == [604, 604, 200]
    ask.sandbox.configure(plan="basic")
    assert ask.kline("USDJPY", "1m").json()["ret"] == 200


def test_a_code_outside_the_plan_can_answer_601(ask: Asker) -> None:
    ask.sandbox.configure(readings={"unauthorized": 601}, plan="free")
    assert ask.kline("EURUSD", "1d").json()["ret"] == 601


@pytest.mark.parametrize("period", ["2h", "4h"])
def test_stocks_have_no_two_and_four_hour_bars(ask: Asker, period: str) -> None:
    assert ask.kline("700.HK", period).json()["ret"] == 400


@pytest.mark.parametrize(
    "code",
    [
        "00700.HK",
        "600416.SS",
        "eurusd",
        "SILVER",
        "XAUUSD",
        "EURXXX",
        "EUREUR",
        "aapl.US",
        "HK-1288",
        "USDT",
        "",
    ],
)
def test_codes_that_do_not_exist_answer_600(ask: Asker, code: str) -> None:
    answer = ask.kline(code, "1d").json()
    assert answer == {"ret": 600, "msg": "code invalid", "trace": "t-1", "data": {}}


@pytest.mark.parametrize(("family", "code"), [("quote-b-api", "700.HK"), ("quote-stock-b-api", "EURUSD")])
def test_the_wrong_family_answers_600(ask: Asker, family: str, code: str) -> None:
    assert ask.query({"trace": "t", "data": GOOD | {"code": code}}, family).json()["ret"] == 600


@pytest.mark.parametrize(
    "code",
    [
        "EURUSD", "USDCNH", "GOLD", "Silver", "COPPER", "Zinc", "XAUCNH", "USOIL", "NGAS", "US500", "CHA50",
        "AUS200", "BTCUSDT", "1INCHUSDT", "OPUSDT", "700.HK", "5.HK", "AAPL.US", "BRK.A.US", "ABRpD.US", "ACHR.WS.US",
        "AACT.U.US", "AACIW.US",
        "000001.SH", "000001.SZ", "399006.SZ", "HSTECH.HK", ".SPX.US",
    ],
)  # fmt: skip
def test_documented_codes_answer(ask: Asker, code: str) -> None:
    assert len(ask.bars(code, "1d", num=5)) == 5


def test_codes_outside_the_plan_answer_604(ask: Asker) -> None:
    for plan, refused, allowed in (("free", "EURUSD", "USDJPY"), ("all_hk", "AAPL.US", "9988.HK")):
        ask.sandbox.configure(plan=plan)
        answer = ask.kline(refused, "1d").json()
        assert answer == {"ret": 604, "msg": "code unauthorized", "trace": "t-1"}
        assert ask.kline(allowed, "1d").json()["ret"] == 200


# --- faults ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENVELOPES)
def test_every_envelope_can_be_forced(ask: Asker, name: str) -> None:
    expected = ENVELOPES[name]
    ask.sandbox.fail_next(1, name)
    answer = ask.kline("EURUSD", "1m", num=1)
    assert answer.status_code == expected.status
    if isinstance(expected.body, str):
        assert answer.text == expected.body
    else:
        assert answer.json() | {"trace": ""} == dict(expected.body) | {"trace": ""}
    assert ask.kline("EURUSD", "1m", num=1).json()["ret"] == 200
    assert ask.sandbox.counters()["answers"] == {name: 1, "ok": 1}


@pytest.mark.parametrize("name", ["drop", "drop_mid_body"])
def test_connections_can_be_cut(ask: Asker, name: str) -> None:
    ask.sandbox.fail_next(1, name)
    with pytest.raises(httpx.RemoteProtocolError):
        ask.kline("EURUSD", "1m")
    assert len(ask.bars("EURUSD", "1m")) == 500
    assert [entry["answer"] for entry in ask.sandbox.requests()] == [name, "ok"]


@pytest.mark.parametrize("name", ["truncated", "garbage"])
def test_bodies_can_be_damaged(ask: Asker, name: str) -> None:
    ask.sandbox.fail_next(1, name)
    with pytest.raises(ValueError, match=r"."):
        ask.kline("EURUSD", "1m").json()


def test_answers_can_stay_away(ask: Asker) -> None:
    ask.sandbox.fail_next(1, "hang")
    with pytest.raises(httpx.ReadTimeout):
        ask.http.get(ask.sandbox.url + KLINE, params=query(ask), timeout=0.5)
    assert len(ask.bars("EURUSD", "1m")) == 500
    assert [entry["answer"] for entry in ask.sandbox.requests()] == ["hang", "ok"]


def test_headers_can_trickle(ask: Asker) -> None:
    ask.sandbox.fail_next(1, "trickle_head")
    address = urlsplit(ask.sandbox.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as line:
        line.sendall(f"GET {KLINE}?{urlencode(query(ask))} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        began = time.monotonic()
        assert b"".join(line.recv(100) for _ in range(4)) == b"HTTP"
    assert time.monotonic() - began > 0.5


def test_answers_can_trickle(ask: Asker) -> None:
    ask.sandbox.fail_next(1, "trickle")
    with ask.http.stream("GET", ask.sandbox.url + KLINE, params=query(ask)) as answer:
        pieces = answer.iter_raw()
        began = time.monotonic()
        assert next(pieces) + next(pieces) + next(pieces) == b'{"r'
    assert 0.3 < time.monotonic() - began < 5


@pytest.mark.parametrize("name", ["flood", "flood_packed"])
def test_answers_can_be_a_gibibyte(ask: Asker, name: str) -> None:
    ask.sandbox.fail_next(1, name)
    with ask.http.stream("GET", ask.sandbox.url + KLINE, params=query(ask)) as answer:
        length = sum(len(piece) for piece in answer.iter_bytes())
        carried = answer.num_bytes_downloaded
    assert 2**30 < length < 2**30 + 10_000
    assert (carried < 2**23) == (name == "flood_packed")


def test_faults_by_chance_are_the_same_for_the_same_seed(ask: Asker) -> None:
    runs = []
    for _ in range(2):
        ask.sandbox.configure(faults={"bad_gateway": 0.3}, fault_seed=7)
        runs.append([ask.kline("EURUSD", "1m", num=1).status_code for _ in range(30)])
    assert runs[0] == runs[1]
    assert 2 <= runs[0].count(502) <= 18


def test_answers_can_be_held_back(ask: Asker) -> None:
    ask.sandbox.configure(latency_ms=80)
    began = time.monotonic()
    ask.kline("EURUSD", "1m", num=1)
    assert time.monotonic() - began >= 0.08


def test_requests_can_arrive_late_by_chance(ask: Asker) -> None:
    ask.sandbox.configure(jitter_ms=50)
    late = []
    for _ in range(12):
        began = time.time()
        ask.kline("EURUSD", "1m", num=1)
        late.append(ask.sandbox.requests()[-1]["received"] - began)
    assert max(late) >= 0.01


def test_unknown_settings_and_values_are_refused_by_name(ask: Asker) -> None:
    with pytest.raises(TypeError, match="'latency' is not one of"):
        ask.sandbox.configure(latency=5)
    with pytest.raises(TypeError, match="'ends' is not one of"):
        ask.sandbox.configure(readings={"ends": "inclusive"})
    with pytest.raises(ValueError, match=r"end='both' is not one of 'inclusive', 'exclusive'"):
        ask.sandbox.configure(readings={"end": "both"})
    with pytest.raises(ValueError, match="fault 'fire' is not one of"):
        ask.sandbox.fail_next(1, "fire")
    assert "throttled" in FAULTS


# --- limits ---------------------------------------------------------------------------------------------


def test_the_21st_request_in_a_second_is_refused_and_counted(ask: Asker) -> None:
    ask.sandbox.configure(limits=True)
    # Begin early in a round second, so that all fall into one fixed window too.
    time.sleep(1.02 - time.time() % 1)
    answers = [ask.kline("EURUSD", "1m", num=1) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429]
    assert answers[-1].json() == {"error_msg": "Too many requests"}
    assert ask.sandbox.violations() == {
        "kline/sliding": 1, "kline/fixed": 1, "combined/sliding": 1, "combined/fixed": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("style", "ret"), [("ret_605", 605), ("ret_429", 429)])
def test_throttling_answers_in_the_chosen_style(ask: Asker, style: str, ret: int) -> None:
    ask.sandbox.configure(plan="free", limits=True, readings={"throttled": style})
    answers = [ask.kline("USDJPY", "1m", num=1) for _ in range(2)]
    assert [(answer.status_code, answer.json()["ret"]) for answer in answers] == [(200, 200), (200, ret)]


def test_both_families_share_the_limits(ask: Asker) -> None:
    ask.sandbox.configure(plan="free", limits=True)
    assert ask.kline("USDJPY", "1m", num=1).status_code == 200
    assert ask.kline("700.HK", "1m", num=1).status_code == 429


def test_violations_can_be_counted_without_refusing(ask: Asker) -> None:
    ask.sandbox.configure(plan="free", limits="count")
    assert [ask.kline("USDJPY", "1m", num=1).status_code for _ in range(3)] == [200] * 3
    assert ask.sandbox.violations()["kline/sliding"] == 2


def test_limits_run_on_real_time_whatever_the_clock_shows(ask: Asker) -> None:
    ask.sandbox.configure(plan="free", limits=True)
    ask.kline("USDJPY", "1m", num=1)
    ask.sandbox.set_clock("2026-04-18T09:00Z")
    assert ask.kline("USDJPY", "1m", num=1).status_code == 429


class Hands:
    """A clock moved by hand: the real one would take a day."""

    def __init__(self) -> None:
        self.time = 1_000_000_000.0

    def __call__(self) -> float:
        return self.time


def test_sliding_windows_catch_what_fixed_ones_let_pass() -> None:
    hands = Hands()
    limiter = Limiter(clock=hands)
    for hands.time in (1_000_000_000.9, 1_000_000_001.1):
        admitted = limiter.admits(PLANS["basic"], "kline")
    assert not admitted
    assert dict(limiter.violations) == {"kline/sliding": 1, "combined/sliding": 1}


def test_fixed_windows_catch_what_a_request_on_the_edge_of_a_sliding_one_does() -> None:
    hands = Hands()
    limiter = Limiter(clock=hands)
    for second in range(60):
        hands.time = 1_000_000_020.0 + second
        assert limiter.admits(PLANS["basic"], "kline")
    # 1,000,000,020 begins a minute: the sixty fill the fixed and the sliding window.
    hands.time = 1_000_000_079.99
    assert not limiter.admits(PLANS["basic"], "depth-tick")
    assert {"minute/sliding", "minute/fixed"} <= set(limiter.violations)
    hands.time = 1_000_000_080.0
    assert limiter.admits(PLANS["basic"], "depth-tick")


def test_the_free_day_ends_after_a_thousand_requests() -> None:
    hands = Hands()
    limiter = Limiter(clock=hands)
    for _ in range(1000):
        assert limiter.admits(PLANS["free"], "kline")
        hands.time += 20
    assert not limiter.admits(PLANS["free"], "kline")
    assert "day/sliding" in limiter.violations


def test_rejected_requests_use_up_allowance_only_if_told_so() -> None:
    for counted, admitted in ((False, True), (True, False)):
        hands = Hands()
        limiter = Limiter(clock=hands, count_rejected=counted)
        limiter.admits(PLANS["basic"], "kline")
        hands.time += 0.6
        limiter.admits(PLANS["basic"], "kline")
        hands.time += 0.6
        assert limiter.admits(PLANS["basic"], "kline") is admitted


@pytest.mark.parametrize("name", PLANS)
def test_every_plan_serves(http: httpx.Client, name: str) -> None:
    code = {"all_us": "TSLA.US", "all_cn": "399001.SZ"}.get(name, "700.HK")
    with sandbox.running(plan=name, clock="2026-03-18T02:00Z") as running:
        query = '{"trace":"t","data":' + str(GOOD | {"code": code}).replace("'", '"') + "}"
        answer = http.get(running.url + "/quote-stock-b-api/kline", params={"token": running.token, "query": query})
    assert answer.json()["ret"] == 200
