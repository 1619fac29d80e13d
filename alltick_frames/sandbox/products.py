"""Which codes exist, and what the price model needs to know of each (alltick-api.md section 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from alltick_frames.sandbox.hashing import key_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEMO_CODES", "AssetClass", "Family", "Product", "family_of", "find_product"]


class Family(StrEnum):
    """The two halves of the service; the value is the path."""

    QUOTE = "quote-b-api"
    STOCK = "quote-stock-b-api"


class AssetClass(StrEnum):
    """The classes of the vendor's product list."""

    FOREX = "forex"
    METAL = "metal"
    ENERGY = "energy"
    CRYPTO = "crypto"
    CFD_INDEX = "cfd_index"
    INDEX = "index"
    STOCK_HK = "stock_hk"
    STOCK_US = "stock_us"
    STOCK_CN = "stock_cn"


@dataclass(frozen=True, slots=True)
class Product:
    """One product: where it is served, when it trades, and how its prices move."""

    code: str
    asset_class: AssetClass
    calendar: str
    price: float
    decimals: int
    volatility: float
    """Typical daily move, as a fraction."""
    volume: int
    """Typical volume of a day, in the units of the bars."""
    liquidity: float = 1.0
    """Share of minutes that have a trade; the others have no bar."""
    lot: int = 1
    """Shares in one unit of volume: A-share bars count lots of 100."""
    gaps: bool = False
    """True where a day opens away from the last close."""

    @property
    def family(self) -> Family:
        """The half of the service that answers for this code."""
        return family_of(self.code)

    @property
    def has_turnover(self) -> bool:
        """False for forex, metals and energy, whose bars carry an empty turnover."""
        return self.asset_class not in _WITHOUT_TURNOVER


_WITHOUT_TURNOVER = {AssetClass.FOREX, AssetClass.METAL, AssetClass.ENERGY}

DEMO_CODES = frozenset(
    {
        *("USDJPY", "GOLD", "USOIL", "BTCUSDT"),
        *("HSI.HK", "700.HK", ".DJI.US", "TSLA.US", "000001.SH", "399001.SZ"),
    }
)
"""The ten symbols of the Free plan (alltick-api.md section 8.4)."""

# One product per class: the numbers that its codes share.
_FOREX = Product("", AssetClass.FOREX, "forex", 1.0, 5, 0.005, 60_000)
_METAL = Product("", AssetClass.METAL, "metal", 1.0, 2, 0.010, 50_000)
_BASE_METAL = Product("", AssetClass.METAL, "base_metal", 1.0, 2, 0.012, 9_000, liquidity=0.85)
_ENERGY = Product("", AssetClass.ENERGY, "metal", 1.0, 3, 0.018, 40_000)
_CRYPTO = Product("", AssetClass.CRYPTO, "crypto", 1.0, 2, 0.028, 900_000)
_CFD = Product("", AssetClass.CFD_INDEX, "cfd", 1.0, 2, 0.010, 45_000)
_INDEX = Product("", AssetClass.INDEX, "", 1.0, 2, 0.010, 30_000_000, gaps=True)
_HK = Product("", AssetClass.STOCK_HK, "XHKG", 1.0, 3, 0.018, 6_000_000, liquidity=0.9, gaps=True)
_US = Product("", AssetClass.STOCK_US, "XNYS", 1.0, 2, 0.018, 9_000_000, liquidity=0.97, gaps=True)
_CN = Product("", AssetClass.STOCK_CN, "XSHG", 1.0, 2, 0.016, 300_000, liquidity=0.97, lot=100, gaps=True)

_WORDS = {
    **{
        code: replace(_METAL, price=price, decimals=decimals)
        for code, price, decimals in (
            ("GOLD", 2650.0, 2),
            ("Silver", 31.0, 3),
            ("Palladium", 1010.0, 2),
            ("Platinum", 980.0, 2),
        )
    },
    **{
        code: replace(_BASE_METAL, price=price)
        for code, price in (
            ("COPPER", 9300.0),
            ("Aluminum", 2500.0),
            ("Nickel", 16200.0),
            ("Lead", 2050.0),
            ("Zinc", 2900.0),
        )
    },
    "USOIL": replace(_ENERGY, price=71.0),
    "NGAS": replace(_ENERGY, price=3.1),
    "UKOIL": replace(_ENERGY, price=75.0, calendar="ukoil"),
    **{
        code: replace(_CFD, price=price)
        for code, price in (
            ("US500", 5800.0),
            ("US30", 42000.0),
            ("NAS100", 20500.0),
            ("ND25", 15600.0),
            ("HK50", 20500.0),
            ("CHA50", 13400.0),
            ("GER30", 19400.0),
            ("FRA40", 7600.0),
            ("ESP35", 11600.0),
            ("EUSTX50", 4950.0),
            ("UK100", 8300.0),
            ("SMI", 12100.0),
            ("JPN225", 38600.0),
            ("TWRIC", 23000.0),
            ("SG20", 355.0),
        )
    },
    "AUS200": replace(_CFD, price=8200.0, calendar="aus200"),
    **{
        code: replace(_INDEX, price=price, calendar=calendar)
        for code, price, calendar in (
            ("000001.SH", 3250.0, "XSHG"),
            ("399001.SZ", 10500.0, "XSHG"),
            ("399006.SZ", 2200.0, "XSHG"),
            ("HSI.HK", 20500.0, "XHKG"),
            ("HSCEI.HK", 7350.0, "XHKG"),
            ("HSTECH.HK", 4550.0, "XHKG"),
            (".DJI.US", 42000.0, "XNYS"),
            (".IXIC.US", 18300.0, "XNYS"),
            (".SPX.US", 5800.0, "XNYS"),
        )
    },
    "700.HK": replace(_HK, price=415.0, volume=19_000_000, liquidity=1.0),
    "5.HK": replace(_HK, price=68.0, volume=16_000_000, liquidity=1.0),
    "9988.HK": replace(_HK, price=92.0, volume=60_000_000, liquidity=1.0),
    "388.HK": replace(_HK, price=310.0, liquidity=1.0),
    "AAPL.US": replace(_US, price=228.0, volume=52_000_000, liquidity=1.0),
    "MSFT.US": replace(_US, price=420.0, volume=21_000_000, liquidity=1.0),
    "TSLA.US": replace(_US, price=255.0, volume=90_000_000, liquidity=1.0),
    "BRK.A.US": replace(_US, price=680000.0, volume=1_500, liquidity=0.6),
    "BRK.B.US": replace(_US, price=455.0, volume=4_000_000, liquidity=1.0),
    "600519.SH": replace(_CN, price=1560.0, volume=32_000, liquidity=1.0),
}

# What one unit is worth in US dollars; a pair's price is the quotient.
_CURRENCIES = {
    "USD": 1.0, "EUR": 1.09, "GBP": 1.28, "AUD": 0.66, "NZD": 0.60, "CAD": 0.725, "CHF": 1.14, "JPY": 0.00668,
    "CNH": 0.139, "HKD": 0.1286, "SGD": 0.75, "TWD": 0.031, "THB": 0.0295, "KRW": 0.00073, "INR": 0.0119,
    "SEK": 0.095, "NOK": 0.092, "DKK": 0.146, "PLN": 0.25, "CZK": 0.043, "HUF": 0.0027, "TRY": 0.029,
    "ZAR": 0.055, "MXN": 0.05, "RUB": 0.0103,
}  # fmt: skip
_METAL_DOLLARS = {"XAU": 2650.0, "XAG": 31.0}
_COINS = {
    "BTC": 67000.0, "ETH": 3100.0, "BNB": 590.0, "SOL": 165.0, "XRP": 0.55, "ADA": 0.36, "DOGE": 0.14,
    "LTC": 71.0, "DOT": 4.2, "AVAX": 27.0, "LINK": 11.5, "TRX": 0.16, "BCH": 370.0, "SHIB": 0.000018,
}  # fmt: skip


def family_of(code: str) -> Family:
    """Return the family that serves *code*: stocks and market indices have a suffix, the rest none."""
    return Family.STOCK if code.endswith((".HK", ".US", ".SH", ".SZ")) else Family.QUOTE


@lru_cache(maxsize=4096)
def find_product(code: str) -> Product | None:
    """Return the product called exactly *code*, or None; case and leading zeros matter."""
    if (word := _WORDS.get(code)) is not None:
        return replace(word, code=code)
    for pattern, build in _RULES:
        if (match := pattern.fullmatch(code)) is not None:
            product = build(match)
            return None if product is None else replace(product, code=code)
    return None


def _forex(match: re.Match[str]) -> Product | None:
    base, quote = match["base"], match["quote"]
    if base == quote or quote not in _CURRENCIES or base not in _CURRENCIES:
        return None
    price = _CURRENCIES[base] / _CURRENCIES[quote]
    return replace(_FOREX, price=price, decimals=5 if price < 20 else 3)  # noqa: PLR2004 - as venues choose their tick


def _metal_cross(match: re.Match[str]) -> Product | None:
    metal, quote = match["base"], match["quote"]
    # Gold and silver in dollars are GOLD and Silver: XAUUSD is only a description in the vendor's list.
    if quote == "USD" or quote not in _CURRENCIES:
        return None
    return replace(_METAL, price=_METAL_DOLLARS[metal] / _CURRENCIES[quote], decimals=3)


def _coin(match: re.Match[str]) -> Product:
    base = match["base"]
    price = _COINS.get(base) or 10 ** (_fraction(base) * 4 - 2)
    return replace(_CRYPTO, price=price, decimals=_digits(price), liquidity=1.0 if base in _COINS else 0.8)


def _listed(template: Product, low: float, high: float) -> Callable[[re.Match[str]], Product]:
    """Return a builder for listed shares: price and activity drawn from the code itself."""

    def build(match: re.Match[str]) -> Product:
        draw = _fraction(match[0])
        activity = _fraction(match[0], "activity")
        return replace(
            template,
            price=low * (high / low) ** draw,
            volume=int(template.volume * 10 ** (activity * 1.5 - 1)),
            liquidity=min(1.0, 0.55 + activity * 0.5),
        )

    return build


def _fraction(*parts: str) -> float:
    return float(key_of("product", *parts)) / 2**64


def _digits(price: float) -> int:
    """Return enough decimals for five significant digits, as exchanges choose their tick."""
    return next((digits for digits in range(2, 10) if price * 10**digits >= 10_000), 10)  # noqa: PLR2004 - as venues choose their tick


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Product | None]], ...] = (
    # Before the pairs: OPUSDT has six letters, too.
    (re.compile(r"(?P<base>[A-Z0-9]{1,10})USDT"), _coin),
    (re.compile(r"(?P<base>XAU|XAG)(?P<quote>[A-Z]{3})"), _metal_cross),
    (re.compile(r"(?P<base>[A-Z]{3})(?P<quote>[A-Z]{3})"), _forex),
    (re.compile(r"[1-9][0-9]{0,4}\.HK"), _listed(_HK, 1.0, 400.0)),
    (re.compile(r"[0-9]{6}\.(SH|SZ)"), _listed(_CN, 3.0, 120.0)),
    (re.compile(r"[A-Z]{1,5}(\.[A-Z]{1,2})?(p[A-Z])?\.US"), _listed(_US, 6.0, 400.0)),
)
