"""The ten bar lengths of the protocol (alltick-api.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from alltick_frames.sandbox.products import Family, family_of

__all__ = ["PERIODS", "PERIOD_OF_NUMBER", "Period", "aligned", "period_named"]


@dataclass(frozen=True, slots=True)
class Period:
    """One bar length: our name, the vendor's number, and what it is made of."""

    name: str
    number: int
    length_s: int
    """Nominal length."""
    intraday: bool = True
    for_stocks: bool = True
    offset_s: int = 0
    """Intraday stamps are multiples of the length, so much later."""

    def floor(self, stamps: Any) -> Any:
        """Return when the intraday bars of these *stamps* begin."""
        return stamps - (stamps - self.offset_s) % self.length_s


_ALL = (
    Period("1m", 1, 60),
    Period("5m", 2, 300),
    Period("15m", 3, 900),
    Period("30m", 4, 1800),
    Period("1h", 5, 3600),
    Period("2h", 6, 7200, for_stocks=False),
    Period("4h", 7, 14400, for_stocks=False),
    Period("1d", 8, 86400, intraday=False),
    Period("1w", 9, 7 * 86400, intraday=False),
    Period("1mo", 10, 31 * 86400, intraday=False),
)

# 09:30 where they are listed is half past in UTC, too; 17:00 in New York is 21:00 in summer.
_STOCKS_OPEN_S, _QUOTES_OPEN_S = 1800, 21 * 3600

PERIODS = {period.name: period for period in _ALL}
PERIOD_OF_NUMBER = {period.number: period for period in _ALL}


def period_named(name: str) -> Period:
    """Return the period called *name*, or raise a ValueError that lists the names."""
    if name not in PERIODS:
        raise ValueError(f"period={name!r} is not one of {', '.join(PERIODS)}")
    return PERIODS[name]


def aligned(period: Period, code: str, alignment: str) -> Period:
    """Return *period* as the bars of *code* begin under this reading: at half past where it is a stock's hour."""
    if alignment == "utc" or not period.intraday:
        return period
    opens_s = _STOCKS_OPEN_S if family_of(code) is Family.STOCK else _QUOTES_OPEN_S
    return replace(period, offset_s=opens_s % period.length_s)
