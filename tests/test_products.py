"""The product list: what is built in, what is read of the vendor's sheet, what is kept of it, how it is searched."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alltick_frames.catalog import CLASSES, EXAMPLES, ProductClass, did_you_mean
from alltick_frames.codes import check_codes
from alltick_frames.plans import FREE_CODES

if TYPE_CHECKING:
    from collections.abc import Sequence


class TestTheBuiltInList:
    def test_every_class_has_examples_with_both_names(self) -> None:
        assert {one.asset_class for one in EXAMPLES.values()} == set(CLASSES) == set(get_args(ProductClass))
        for code, one in EXAMPLES.items():
            assert check_codes(code) == (one.code,)
            assert one.name.isascii()
            assert re.search("[\u4e00-\u9fff]", one.name_cn), code

    def test_it_has_the_codes_of_the_free_plan(self) -> None:
        assert set(FREE_CODES) <= set(EXAMPLES)

    @pytest.mark.parametrize(
        ("code", "meant"),
        [
            ("XAUUSD", ["GOLD"]),
            ("xagusd", ["Silver"]),
            ("SILVER", ["Silver"]),
            ("copper", ["COPPER"]),
            ("00700.HK", ["700.HK"]),
            ("00700", ["700.HK"]),
            ("5", ["5.HK"]),
            ("600519.SS", ["600519.SH"]),
            ("600519", ["600519.SH"]),
            ("000001", ["000001.SH", "000001.SZ"]),
            ("DJI", [".DJI.US"]),
            ("tsla", ["TSLA.US"]),
            ("abrpd.us", ["ABRpD.US"]),
            ("BTC", ["BTCUSDT"]),
            ("BTCUSD", ["BTCUSDT"]),
            ("eur/usd", ["EURUSD"]),
            ("EURUSB", ["EURUSD"]),
            ("USOL", ["USOIL"]),
            ("BRK.US", ["BRK.B.US", "BRK.A.US"]),
            # A neighbouring number is another company.
            ("600518.SH", []),
            ("701.HK", []),
            ("ZZZZZZ.US", []),
            ("GOLD", []),
            ("", []),
        ],
    )
    def test_a_slip_is_seen_through(self, code: str, meant: Sequence[str]) -> None:
        assert list(did_you_mean(code, EXAMPLES)) == meant

    @given(st.text(max_size=15) | st.sampled_from(sorted(EXAMPLES)).map(str.swapcase))
    def test_only_what_is_known_is_suggested(self, code: str) -> None:
        meant = did_you_mean(code, EXAMPLES)
        assert set(meant) <= EXAMPLES.keys() - {code}
        assert len(meant) == len(set(meant)) <= 3
