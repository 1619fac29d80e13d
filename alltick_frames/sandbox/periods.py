"""The ten bar lengths of the protocol (alltick-api.md section 5)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PERIODS", "PERIOD_OF_NUMBER", "Period", "period_named"]


@dataclass(frozen=True, slots=True)
class Period:
    """One bar length: our name, the vendor's number, and what it is made of."""

    name: str
    number: int
    length_s: int
    """Nominal length. Intraday stamps are multiples of it."""
    intraday: bool = True
    for_stocks: bool = True


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

PERIODS = {period.name: period for period in _ALL}
PERIOD_OF_NUMBER = {period.number: period for period in _ALL}


def period_named(name: str) -> Period:
    """Return the period called *name*, or raise a ValueError that lists the names."""
    if name not in PERIODS:
        raise ValueError(f"period={name!r} is not one of {', '.join(PERIODS)}")
    return PERIODS[name]
