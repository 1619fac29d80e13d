"""Single values as the vendor writes them, and lists that turn out empty, under the chosen readings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alltick_frames.sandbox.products import AssetClass, Product

if TYPE_CHECKING:
    from decimal import Decimal

    from alltick_frames.sandbox.readings import Readings

__all__ = [
    "ABSENT",
    "COUNTS_TICKS",
    "MISSING",
    "SHOWN_DECIMALS",
    "decimal_text",
    "emptied",
    "has_volume",
    "json_number",
    "price_text",
]

# Recorded answers print six decimals with trailing zeros; finer ticks print what they need.
SHOWN_DECIMALS = 6
COUNTS_TICKS = frozenset({AssetClass.FOREX, AssetClass.METAL, AssetClass.ENERGY, AssetClass.CFD_INDEX})
"""Classes without a volume proper: it is a count of ticks, or none at all."""

MISSING = object()
ABSENT: dict[str, object] = {"": "", "null": None, "0": "0", "missing": MISSING}
"""How an amount that does not exist is written, by the reading `Readings.empty_volume`; `MISSING`: not at all."""


def has_volume(product: Product | None, readings: Readings) -> bool:
    """Say whether bars and trades of *product* carry a volume. None: a replay's, which has what was given."""
    if product is None:
        return True
    if product.asset_class is AssetClass.INDEX:
        return readings.index_volume == "present"
    return product.asset_class not in COUNTS_TICKS or readings.forex_volume == "ticks"


def decimal_text(ticks: int, decimals: int, padding: int) -> str:
    """Return *ticks* of 10**-*decimals* as text; *padding* 0: without zeros at its end."""
    digits = str(ticks).zfill(decimals + 1)
    text = f"{digits[:-decimals]}.{digits[-decimals:]}"
    return text.ljust(len(text) + padding - decimals, "0") if padding else text.rstrip("0").rstrip(".")


def price_text(value: Decimal, readings: Readings) -> str:
    """Return *value* with six decimals, or more where it has more, or as short as can be."""
    if readings.prices == "six_decimals":
        return f"{value:.{max(SHOWN_DECIMALS, -int(value.as_tuple().exponent))}f}"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def json_number(text: Any) -> Any:
    """Return the number that *text* says; what is no text stays as it is."""
    if not isinstance(text, str) or not text:
        return text
    return float(text) if "." in text else int(text)


def emptied(head: dict[str, Any], list_name: str, readings: Readings) -> dict[str, Any]:
    """Return the members of an answer whose list has nothing in it; *head* is what stands beside the list."""
    empty: dict[str, dict[str, Any]] = {
        "[]": {"data": head | {list_name: []}},
        "null": {"data": head | {list_name: None}},
        "missing": {"data": head},
        "data {}": {"data": {}},
        "data null": {"data": None},
        "data missing": {},
    }
    return empty[readings.empty_answer]
