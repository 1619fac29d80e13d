"""POST /batch-kline: the newest bars of many groups, and how each open reading writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import NUMBERS, at

if TYPE_CHECKING:
    import httpx

    from .conftest import Asker

GROUPS = [("EURUSD", "1m"), ("EURUSD", "1d"), ("BTCUSDT", "4h"), ("GOLD", "1h")]


def post(ask: Asker, body: Any, family: str = "quote-b-api") -> httpx.Response:
    content = body if isinstance(body, str) else json.dumps(body)
    url = f"{ask.sandbox.url}/{family}/batch-kline"
    return ask.http.post(url, params={"token": ask.sandbox.token}, content=content)


def batch(
    ask: Asker, groups: list[tuple[str, str]], num: int = 2, end: int = 0, family: str = "quote-b-api"
) -> httpx.Response:
    listed = [
        {
            "code": code,
            "kline_type": NUMBERS[period],
            "kline_timestamp_end": end,
            "query_kline_num": num,
            "adjust_type": 0,
        }
        for code, period in groups
    ]
    return post(ask, {"trace": "b-1", "data": {"data_list": listed}}, family)


def answered(ask: Asker, groups: list[tuple[str, str]], **asked: int) -> list[dict[str, Any]]:
    answer = batch(ask, groups, **asked).json()  # type: ignore[arg-type]  # num and end
    assert (answer["ret"], answer["trace"]) == (200, "b-1"), answer
    rows: list[dict[str, Any]] = answer["data"]["kline_list"]
    return rows


def names(groups: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(group["code"], group["kline_type"]) for group in groups]


def test_a_group_has_the_bars_of_a_newest_page(ask: Asker) -> None:
    groups = answered(ask, GROUPS)
    assert names(groups) == [(code, NUMBERS[period]) for code, period in GROUPS]
    for group, (code, period) in zip(groups, GROUPS, strict=True):
        assert list(group) == ["code", "kline_type", "kline_data"]
        assert group["kline_data"] == ask.bars(code, period, num=2)


def test_the_newest_bars_come_whatever_end_is_asked_for(ask: Asker) -> None:
    assert answered(ask, GROUPS, end=at("2026-01-05T00:00")) == answered(ask, GROUPS)


def test_a_third_bar_is_left_out_or_refused(ask: Asker) -> None:
    assert [len(group["kline_data"]) for group in answered(ask, GROUPS, num=3)] == [2] * 4
    assert [len(group["kline_data"]) for group in answered(ask, GROUPS, num=1)] == [1] * 4
    ask.sandbox.configure(readings={"surplus": "ret_603"})
    assert batch(ask, GROUPS, num=3).json()["ret"] == 603


def test_groups_beyond_the_plans_number_are_left_out_or_refused(ask: Asker) -> None:
    ask.sandbox.configure(plan="free")
    groups = [("USDJPY", period) for period in ("1m", "5m", "15m", "30m", "1h", "1d")]
    assert names(answered(ask, groups)) == [("USDJPY", number) for number in (1, 2, 3, 4, 5)]
    ask.sandbox.configure(readings={"surplus": "ret_603"})
    assert batch(ask, groups).json()["ret"] == 603
    assert batch(ask, groups[:5]).json()["ret"] == 200


def test_one_bad_code_spoils_the_request_or_is_missing(ask: Asker) -> None:
    groups = [("NOSUCH", "1m"), ("EURUSD", "1m")]
    assert batch(ask, groups).json() == {"ret": 600, "msg": "code invalid", "trace": "b-1", "data": {}}
    ask.sandbox.configure(readings={"batch_bad_code": "missing"})
    assert names(answered(ask, groups)) == [("EURUSD", 1)]
    assert batch(ask, groups[:1]).json()["ret"] == 600


def test_a_code_outside_the_plan_is_missing_unless_there_is_no_other(ask: Asker) -> None:
    ask.sandbox.configure(plan="free")
    assert names(answered(ask, [("EURUSD", "1m"), ("USDJPY", "1m")])) == [("USDJPY", 1)]
    assert batch(ask, [("EURUSD", "1m")]).json()["ret"] == 604


def test_the_other_familys_codes_answer_600(ask: Asker) -> None:
    assert batch(ask, [("700.HK", "1m")]).json()["ret"] == 600
    assert batch(ask, [("700.HK", "1m")], family="quote-stock-b-api").json()["ret"] == 200


@pytest.mark.parametrize(("reading", "kept"), [("some_missing", [1, 2]), ("shuffled", [0, 1, 2, 3])])
def test_groups_can_be_missing_or_in_another_order(ask: Asker, reading: str, kept: list[int]) -> None:
    plain = names(answered(ask, GROUPS))
    ask.sandbox.configure(readings={"batch_groups": reading})
    got = names(answered(ask, GROUPS))
    assert got != plain
    assert sorted(got) == sorted(plain[place] for place in kept)


def test_lists_can_have_the_names_of_the_other_page(ask: Asker) -> None:
    ask.sandbox.configure(readings={"fields": "renamed"})
    (group,) = answered(ask, GROUPS[:1])
    assert group.keys() == {"symbol", "kline_type", "kline_list"}


@pytest.mark.parametrize("body", ["", "  ", "not json", "[1"])
def test_a_body_that_is_none_answers_601(ask: Asker, body: str) -> None:
    assert post(ask, body).json()["ret"] == 601


@pytest.mark.parametrize(
    "data", [{}, {"data_list": []}, {"data_list": "x"}, {"data_list": [1]}, {"data_list": [{"code": "EURUSD"}]}]
)
def test_wrong_groups_answer_400(ask: Asker, data: dict[str, Any]) -> None:
    answer = post(ask, {"trace": "b-1", "data": data}).json()
    assert (answer["ret"], answer["msg"], answer["trace"]) == (400, "request data param invalid", "b-1")


def test_a_wrong_envelope_answers_400(ask: Asker) -> None:
    assert post(ask, {"data": {}}).json()["msg"] == "request header param invalid"


def test_it_is_posted_and_not_got(ask: Asker) -> None:
    assert ask.raw("/quote-b-api/batch-kline", token=ask.sandbox.token).status_code == 404


def test_the_log_and_the_counters_know_the_groups(ask: Asker) -> None:
    batch(ask, GROUPS)
    (entry,) = ask.sandbox.requests()
    assert (entry["endpoint"], entry["bars"], entry["code"]) == ("batch-kline", 8, None)
    assert entry["groups"] == [[code, NUMBERS[period]] for code, period in GROUPS]
    assert ask.sandbox.counters()["codes"] == {"EURUSD": 2, "BTCUSDT": 1, "GOLD": 1}


def test_it_has_a_rate_of_its_own(ask: Asker) -> None:
    ask.sandbox.configure(plan="basic", limits="count")
    batch(ask, GROUPS)
    batch(ask, GROUPS)
    assert ask.sandbox.violations()["batch-kline/sliding"] == 1
