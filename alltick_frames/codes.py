"""Product codes: which family and asset class a code belongs to, and what is certainly no code.

Codes are the vendor's, byte for byte; nothing here changes one. A wrong spelling that can be recognised
without the network is refused with the right one.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

from alltick_frames.catalog import EXAMPLES, did_you_mean
from alltick_frames.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alltick_frames.periods import Period

__all__ = [
    "AssetClass",
    "Family",
    "asset_class_of",
    "check_codes",
    "family_of",
    "hint_for",
    "is_pair",
    "rests_at_weekends",
    "zone_of",
]


class Family(enum.Enum):
    """The two halves of the API; the value is the path they are served under."""

    STOCK = "quote-stock-b-api"
    QUOTE = "quote-b-api"

    @property
    def pageable(self) -> bool:
        """Whether `/kline` accepts an end time; stock codes do not support it (vendor page "GET /kline")."""
        return self is Family.QUOTE


class AssetClass(enum.Enum):
    """What a code stands for, read from the code alone."""

    STOCK_HK = "stock_hk"
    STOCK_US = "stock_us"
    STOCK_CN = "stock_cn"
    CRYPTO = "crypto"
    # Forex, metals, energy and CFD indices share New York's 17:00 day; the code alone need not tell them apart.
    OTC = "otc"


_SUFFIXES = {
    ".HK": AssetClass.STOCK_HK,
    ".US": AssetClass.STOCK_US,
    ".SH": AssetClass.STOCK_CN,
    ".SZ": AssetClass.STOCK_CN,
}
_ZONES = {
    AssetClass.STOCK_HK: "Asia/Hong_Kong",
    AssetClass.STOCK_US: "America/New_York",
    AssetClass.STOCK_CN: "Asia/Shanghai",
    AssetClass.CRYPTO: "UTC",
    AssetClass.OTC: "America/New_York",
}
# The currencies and metals that the vendor's product sheet (2025-01) pairs with each other.
_QUOTED = "AUD|CAD|CHF|CNH|DKK|EUR|GBP|HKD|JPY|KRW|NOK|NZD|PLN|RUB|SEK|SGD|THB|TRY|TWD|USD|XAG|XAU|ZAR"
_PAIR = re.compile(f"({_QUOTED})({_QUOTED})")
# Metals, energy and CFD indices of the same sheet.
_RESTING = frozenset(
    (
        *("GOLD", "Silver", "Palladium", "Platinum", "COPPER", "Aluminum", "Nickel", "Lead", "Zinc"),
        *("USOIL", "UKOIL", "NGAS"),
        *("AUS200", "CHA50", "ESP35", "EUSTX50", "FRA40", "GER30", "HK50", "JPN225", "NAS100", "ND25", "SG20"),
        *("SMI", "TWRIC", "UK100", "US30", "US500"),
    )
)
_LEADING_ZEROS = re.compile(r"0+(\d+)\.HK")
_SEPARATED_PAIR = re.compile(r"([A-Za-z]{3,5})[-/_]([A-Za-z]{3,4})")


def asset_class_of(code: str) -> AssetClass:
    """Read the asset class from *code*; market indices count as stocks of their exchange."""
    suffixed = _SUFFIXES.get(code[-3:])
    if suffixed is not None:
        return suffixed
    return AssetClass.CRYPTO if code.endswith("USDT") else AssetClass.OTC


def family_of(code: str) -> Family:
    """Choose the family that serves *code*.

    Examples
    --------
    >>> family_of("700.HK").name, family_of("EURUSD").name
    ('STOCK', 'QUOTE')
    """
    return Family.STOCK if code[-3:] in _SUFFIXES else Family.QUOTE


def is_pair(code: str) -> bool:
    """Whether *code* is two currencies, or a precious metal in a currency."""
    return _PAIR.fullmatch(code) is not None


def rests_at_weekends(code: str) -> bool:
    """Whether *code* is one of the quote family's that certainly do not trade from Friday to Sunday, 17:00 New York.

    Examples
    --------
    >>> [code for code in ("EURUSD", "XAUEUR", "GOLD", "BTCUSDT", "BTCUSD") if rests_at_weekends(code)]
    ['EURUSD', 'XAUEUR', 'GOLD']
    """
    return code in _RESTING or is_pair(code)


def zone_of(code: str) -> str:
    """Name the time zone in which the trading dates of *code* are counted."""
    return _ZONES[asset_class_of(code)]


def hint_for(code: str) -> str:
    """Suggest what may have been meant by a *code* the vendor does not know, of those that its pages name.

    Examples
    --------
    >>> print(*map(hint_for, ("eurusd", "AAPL", "TSLS.US")), sep="; ")
    codes are case-sensitive: did you mean 'EURUSD'?; US stocks are written 'AAPL.US'; did you mean 'TSLA.US'?
    """
    meant = did_you_mean(code, EXAMPLES)
    if meant and meant[0].casefold() == code.casefold():
        return f"codes are case-sensitive: did you mean {meant[0]!r}?"
    if re.fullmatch(r"[A-Z]{1,5}", code) and meant[:1] in ((), (f"{code}.US",)):
        return f"US stocks are written {code + '.US'!r}"
    if meant:
        return f"did you mean {' or '.join(map(repr, meant))}?"
    if code != code.upper() and (is_pair(code.upper()) or code.upper().endswith("USDT")):
        return f"codes are case-sensitive: did you mean {code.upper()!r}?"
    return "codes are case-sensitive and must equal the vendor's product list, which search_products() looks through"


def check_codes(codes: str | Iterable[str], period: Period | None = None) -> tuple[str, ...]:
    """Validate *codes*; duplicates collapse, order is kept.

    Raises
    ------
    ArgumentError
        No codes, a value that is no code, or a *period* the code's family does not offer.
    """
    listed = [codes] if isinstance(codes, str) else _listed(codes)
    if not listed:
        raise ArgumentError("codes is empty; give one code ('EURUSD') or several (['EURUSD', '700.HK'])")
    for code in listed:
        _check_spelling(code)
        if period is not None and not period.for_stocks and family_of(code) is Family.STOCK:
            raise ArgumentError(
                f"period={period.value!r} is not offered for {code} (stocks); use 1m 5m 15m 30m 1h 1d 1w 1mo, "
                f"or fetch 1h bars and resample them"
            )
    return tuple(dict.fromkeys(listed))


def _listed(codes: Iterable[str]) -> list[str]:
    try:
        return list(codes)
    except TypeError:
        raise ArgumentError(f"codes={codes!r} is neither a code nor an iterable of codes") from None


def _check_spelling(code: object) -> None:
    if not isinstance(code, str):
        raise ArgumentError(f"codes holds {code!r} ({type(code).__name__}); a code is a str such as 'EURUSD'")
    remedy = _remedy(code)
    if remedy:
        raise ArgumentError(f"code={code!r} is not an AllTick code: {remedy}")


def _remedy(code: str) -> str:
    """Say what is wrong with the spelling of *code*; empty if nothing can be judged wrong."""
    if zeros := _LEADING_ZEROS.fullmatch(code):
        return f"Hong Kong numbers have no leading zeros, write '{zeros[1]}.HK'"
    if code.endswith(".SS"):
        return f"Shanghai codes end in .SH, write '{code[:-3]}.SH'"
    if "," in code:
        return "give several codes as a list of str"
    if pair := _SEPARATED_PAIR.fullmatch(code):
        return f"pairs have no separator, write '{(pair[1] + pair[2]).upper()}'"
    if code[-3:] not in _SUFFIXES and code[-3:].upper() in _SUFFIXES:
        return f"codes are case-sensitive, write '{code[:-3]}{code[-3:].upper()}'"
    if not code.isascii():
        return f"codes are ASCII; search_products({code!r}) finds the code of a name"
    if not code.isprintable() or not code.strip() or " " in code:
        return "codes are ASCII without blanks; the vendor's product list has them all"
    return ""
