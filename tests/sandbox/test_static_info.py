"""GET /static_info: what is known of stocks beside their prices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Asker

FIELDS = [
    "symbol", "name_cn", "name_en", "name_hk", "exchange", "board", "currency", "lot_size", "total_shares",
    "circulating_shares", "hk_shares", "eps", "eps_ttm", "bps", "dividend_yield",
]  # fmt: skip


def info(ask: Asker, code: str) -> dict[str, Any]:
    (row,) = ask.listed("static_info", code)
    return row


def symbols_in(rows: list[dict[str, Any]]) -> list[str]:
    return [row["symbol"] for row in rows]


@pytest.mark.parametrize("code", ["700.HK", "AAPL.US", "600519.SH", "HSI.HK", "1234.HK", "ABRpD.US"])
def test_every_field_is_text(ask: Asker, code: str) -> None:
    row = info(ask, code)
    assert list(row) == FIELDS
    assert row["symbol"] == code
    assert all(isinstance(value, str) for value in row.values())
    assert info(ask, code) == row


def test_a_share_says_where_it_is_listed_and_what_it_is_called(ask: Asker) -> None:
    tencent, moutai, apple = (info(ask, code) for code in ("700.HK", "600519.SH", "AAPL.US"))
    assert [tencent[name] for name in ("name_cn", "name_en", "name_hk")] == ["腾讯控股", "Tencent", "騰訊控股"]
    assert [tencent[name] for name in ("exchange", "board", "currency")] == ["SEHK", "HKEquity", "HKD"]
    assert (moutai["exchange"], moutai["currency"], moutai["lot_size"]) == ("SSE", "CNY", "100")
    assert (apple["currency"], apple["lot_size"]) == ("USD", "1")


def test_a_share_that_nobody_knows_has_a_name_all_the_same(ask: Asker) -> None:
    rows = ask.listed("static_info", *(f"{number}.HK" for number in range(6000, 6040)))
    assert all(row["name_en"] and row["name_cn"] and row["name_hk"] for row in rows)
    assert len({row["name_en"] for row in rows}) > 20


def test_only_shares_of_hong_kong_say_how_many_are_there(ask: Asker) -> None:
    rows = ask.listed("static_info", "700.HK", "AAPL.US", "600519.SH")
    assert [bool(row["hk_shares"]) for row in rows] == [True, False, False]
    assert all(int(row["circulating_shares"]) <= int(row["total_shares"]) for row in rows)


def test_some_shares_have_no_dividend(ask: Asker) -> None:
    rows = ask.listed("static_info", *(f"{number}.HK" for number in range(6000, 6040)))
    assert {row["dividend_yield"] == "" for row in rows} == {True, False}


def test_indices_are_answered_without_shares_or_not_at_all(ask: Asker) -> None:
    assert info(ask, ".DJI.US")["total_shares"] == ""
    ask.sandbox.configure(readings={"index_static": "missing"})
    assert symbols_in(ask.listed("static_info", "HSI.HK", "700.HK")) == ["700.HK"]


def test_the_plans_codes_do_not_matter_but_their_number_does(ask: Asker) -> None:
    ask.sandbox.configure(plan="free", readings={"symbols_unauthorized": "refused"})
    codes = ["AAPL.US", "600519.SH", "9988.HK", "700.HK", "5.HK", "388.HK"]
    assert symbols_in(ask.listed("static_info", *codes)) == codes[:5]


def test_quotes_have_no_static_information(ask: Asker) -> None:
    assert ask.symbols("static_info", "EURUSD").status_code == 404
    assert ask.symbols("static_info", "EURUSD", family="quote-stock-b-api").json()["ret"] == 600


def test_a_code_without_a_tick_has_static_information(ask: Asker) -> None:
    ask.sandbox.configure(silent_codes=["700.HK"])
    assert info(ask, "700.HK")["symbol"] == "700.HK"


def test_fields_can_have_other_names_and_types(ask: Asker) -> None:
    ask.sandbox.configure(readings={"fields": "renamed"})
    assert info(ask, "700.HK")["code"] == "700.HK"
    ask.sandbox.configure(readings={"fields": "extra", "numbers": "json"})
    row = info(ask, "700.HK")
    assert (row["symbol"], row["amplitude"], row["currency"]) == ("700.HK", "n/a", "HKD")
    assert isinstance(row["total_shares"], int)
    assert isinstance(row["eps"], float)
