"""GET /static_info: what is known of a listed product that is no price (alltick-api.md 6.5)."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from alltick_frames.sandbox import symbols
from alltick_frames.sandbox.hashing import key_of
from alltick_frames.sandbox.listing import names_of
from alltick_frames.sandbox.products import AssetClass, find_product

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alltick_frames.sandbox.products import Family
    from alltick_frames.sandbox.state import State

__all__ = ["answer"]

# By suffix: the exchanges, of which a code's is drawn, the board of its shares, the currency.
_PLACES: Mapping[str, tuple[tuple[str, ...], str, str]] = MappingProxyType(
    {
        "HK": (("SEHK",), "HKEquity", "HKD"),
        "US": (("NASD", "NYSE"), "USMain", "USD"),
        "SH": (("SSE",), "SHMainConnect", "CNY"),
        "SZ": (("SZSE",), "SZMainConnect", "CNY"),
    }
)
_BOARDS_OF_THEIR_OWN = {"688": "SHSTAR", "300": "SZGEMConnect"}
_HK_LOTS = (100, 200, 400, 500, 1000, 2000)
_LOTS = {"US": 1, "SH": 100, "SZ": 100}
_OF_SHARES = (
    "lot_size",
    "total_shares",
    "circulating_shares",
    "hk_shares",
    "eps",
    "eps_ttm",
    "bps",
    "dividend_yield",
)


def answer(state: State, family: Family, data: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the members of the answer that follow ``trace``, and that it holds no bars."""
    # A probe on Free got answers for codes whose quotes it may not have (section 6.5).
    codes = symbols.answered_codes(state, family, data, by_plan=False)
    if state.readings.index_static == "missing":
        codes = [code for code in codes if not _is_index(code)]
    return symbols.listed("static_info_list", [_row(code) for code in codes], state.readings), 0


def _is_index(code: str) -> bool:
    product = find_product(code)
    return product is not None and product.asset_class is AssetClass.INDEX


def _row(code: str) -> dict[str, Any]:
    names, market = names_of(code), code.rpartition(".")[2]
    exchanges, board, currency = _PLACES[market]
    head = {
        "symbol": code,
        "name_cn": names.simplified or names.english,
        "name_en": names.english,
        # Without a name of its own in Hong Kong a product has none there.
        "name_hk": names.traditional,
        "exchange": exchanges[key_of("exchange", code) % len(exchanges)],
        "board": _BOARDS_OF_THEIR_OWN.get(code[:3], board),
        "currency": currency,
    }
    if _is_index(code):
        return head | {"board": f"{market}Index"} | dict.fromkeys(_OF_SHARES, "")
    return head | _of_shares(code, market)


def _of_shares(code: str, market: str) -> dict[str, str]:
    key, product = key_of("static", code), find_product(code)
    price = 10.0 if product is None else product.price
    total = 100_000_000 + key % 20_000_000_000
    circulating = total * (60 + key // 7 % 41) // 100
    earned = price / (6 + key // 11 % 50)
    return {
        "lot_size": str(_HK_LOTS[key % len(_HK_LOTS)] if market == "HK" else _LOTS[market]),
        "total_shares": str(total),
        "circulating_shares": str(circulating),
        "hk_shares": str(circulating) if market == "HK" else "",
        "eps": f"{earned:.4f}",
        "eps_ttm": f"{earned * 1.08:.4f}",
        "bps": f"{price / (1 + key // 13 % 9):.4f}",
        # Who pays none has none.
        "dividend_yield": "" if key // 17 % 3 == 0 else f"{key // 19 % 800 / 100:.2f}",
    }
