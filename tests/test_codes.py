"""Which codes are accepted, where they belong, and what is said of those that cannot be right."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import alltick_frames as at
from alltick_frames.codes import AssetClass, Family, asset_class_of, check_codes, family_of, hint_for, zone_of
from alltick_frames.periods import Period

# (code, family, asset class, zone of its trading dates); the codes are from the vendor's product list
CODES = [
    ("700.HK", Family.STOCK, AssetClass.STOCK_HK, "Asia/Hong_Kong"),
    ("HSI.HK", Family.STOCK, AssetClass.STOCK_HK, "Asia/Hong_Kong"),
    ("AAPL.US", Family.STOCK, AssetClass.STOCK_US, "America/New_York"),
    ("ABRpD.US", Family.STOCK, AssetClass.STOCK_US, "America/New_York"),
    ("600519.SH", Family.STOCK, AssetClass.STOCK_CN, "Asia/Shanghai"),
    ("000001.SZ", Family.STOCK, AssetClass.STOCK_CN, "Asia/Shanghai"),
    ("BTCUSDT", Family.QUOTE, AssetClass.CRYPTO, "UTC"),
    ("EURUSD", Family.QUOTE, AssetClass.OTC, "America/New_York"),
    ("GOLD", Family.QUOTE, AssetClass.OTC, "America/New_York"),
    ("Silver", Family.QUOTE, AssetClass.OTC, "America/New_York"),
    ("US500", Family.QUOTE, AssetClass.OTC, "America/New_York"),
    ("HK50", Family.QUOTE, AssetClass.OTC, "America/New_York"),
]


@pytest.mark.parametrize(("code", "family", "asset_class", "zone"), CODES, ids=[row[0] for row in CODES])
def test_a_code_tells_its_family_its_class_and_its_zone(
    code: str, family: Family, asset_class: AssetClass, zone: str
) -> None:
    assert (family_of(code), asset_class_of(code), zone_of(code)) == (family, asset_class, zone)
    assert check_codes(code) == (code,)


def test_only_the_quote_family_can_be_paged() -> None:
    assert {family: family.pageable for family in Family} == {Family.STOCK: False, Family.QUOTE: True}


@pytest.mark.parametrize(
    "codes",
    [
        pytest.param(["EURUSD", "GOLD", "EURUSD"], id="list"),
        pytest.param(("EURUSD", "GOLD"), id="tuple"),
        pytest.param({"EURUSD": 1, "GOLD": 2}, id="dict"),
        pytest.param(iter(["EURUSD", "GOLD", "GOLD"]), id="iterator"),
    ],
)
def test_duplicates_collapse_and_order_is_kept(codes: Any) -> None:
    assert check_codes(codes) == ("EURUSD", "GOLD")


def test_a_code_is_kept_byte_for_byte() -> None:
    assert check_codes(["Silver", "silver"]) == ("Silver", "silver")


ASCII_ONLY = "codes are ASCII without blanks; the vendor's product list has them all"
REFUSALS = [
    ("00700.HK", "code='00700.HK' is not an AllTick code: Hong Kong numbers have no leading zeros, write '700.HK'"),
    ("600416.SS", "code='600416.SS' is not an AllTick code: Shanghai codes end in .SH, write '600416.SH'"),
    ("EURUSD,GOLD", "code='EURUSD,GOLD' is not an AllTick code: give several codes as a list of str"),
    ("EUR/USD", "code='EUR/USD' is not an AllTick code: pairs have no separator, write 'EURUSD'"),
    ("btc-usdt", "code='btc-usdt' is not an AllTick code: pairs have no separator, write 'BTCUSDT'"),
    ("700.hk", "code='700.hk' is not an AllTick code: codes are case-sensitive, write '700.HK'"),
    ("EUR USD", f"code='EUR USD' is not an AllTick code: {ASCII_ONLY}"),
    ("EURUSD\n", f"code='EURUSD\\n' is not an AllTick code: {ASCII_ONLY}"),
    ("", f"code='' is not an AllTick code: {ASCII_ONLY}"),
    ("黄金", "code='黄金' is not an AllTick code: codes are ASCII; search_products('黄金') finds the code of a name"),
    ([], "codes is empty; give one code ('EURUSD') or several (['EURUSD', '700.HK'])"),
    (["EURUSD", 7], "codes holds 7 (int); a code is a str such as 'EURUSD'"),
    (["EURUSD", None], "codes holds None (NoneType); a code is a str such as 'EURUSD'"),
    (7, "codes=7 is neither a code nor an iterable of codes"),
    (None, "codes=None is neither a code nor an iterable of codes"),
]


@pytest.mark.parametrize(("codes", "message"), REFUSALS, ids=[repr(row[0]) for row in REFUSALS])
def test_what_is_no_code_is_refused_with_the_right_spelling(codes: Any, message: str) -> None:
    with pytest.raises(at.ArgumentError) as caught:
        check_codes(codes)
    assert str(caught.value) == message


@pytest.mark.parametrize("period", list(Period), ids=lambda period: period.value)
def test_a_stock_is_offered_every_period_but_two_and_four_hours(period: Period) -> None:
    assert check_codes("EURUSD", period) == ("EURUSD",)
    if period.value not in {"2h", "4h"}:
        assert check_codes("700.HK", period) == ("700.HK",)
        return
    with pytest.raises(at.ArgumentError) as caught:
        check_codes(["EURUSD", "700.HK"], period)
    assert str(caught.value) == (
        f"period='{period.value}' is not offered for 700.HK (stocks); use 1m 5m 15m 30m 1h 1d 1w 1mo, "
        "or fetch 1h bars and resample them"
    )


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("XAUUSD", "did you mean 'GOLD'?"),
        ("XAGUSD", "did you mean 'Silver'?"),
        ("eurusd", "codes are case-sensitive: did you mean 'EURUSD'?"),
        ("AAPL", "US stocks are written 'AAPL.US'"),
        ("PLTR", "US stocks are written 'PLTR.US'"),
        ("silver", "codes are case-sensitive: did you mean 'Silver'?"),
        ("Gold", "codes are case-sensitive: did you mean 'GOLD'?"),
        ("HSI", "did you mean 'HSI.HK'?"),
        ("000001", "did you mean '000001.SH' or '000001.SZ'?"),
        ("TSLS.US", "did you mean 'TSLA.US'?"),
        (
            "600518.SH",
            "codes are case-sensitive and must equal the vendor's product list, which search_products() looks through",
        ),
        (
            "ZZZZZZ.US",
            "codes are case-sensitive and must equal the vendor's product list, which search_products() looks through",
        ),
    ],
)
def test_a_code_the_vendor_does_not_know_gets_a_hint(code: str, hint: str) -> None:
    assert hint_for(code) == hint


@given(st.lists(st.text(max_size=12), max_size=4))
def test_any_texts_are_taken_as_they_are_or_refused(codes: list[str]) -> None:
    try:
        checked = check_codes(codes)
    except at.ArgumentError:
        return
    assert list(checked) == list(dict.fromkeys(codes))
    assert all(code.isascii() and code.isprintable() for code in checked)
