"""One code's bars, a column per code, common timestamps, returns: bars in another shape, none made up."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import polars as pl

from alltick_frames.codes import zone_of
from alltick_frames.errors import ArgumentError
from alltick_frames.extension.shape import PRICES, check_columns, checked, codes_of, known_codes, listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["EXCHANGE", "How", "Kind", "align", "in_zone", "ohlcv", "pivot", "returns", "tz"]

How = Literal["inner", "outer"]
Kind = Literal["simple", "log"]

EXCHANGE = "exchange"


def ohlcv(frame: pl.DataFrame, code: str | None = None) -> pl.DataFrame:
    """Give the closed bars of one code as timestamp, open, high, low, close and volume."""
    bars = checked(frame)
    codes = codes_of(bars)
    if code is not None:
        known_codes(bars, [code], "code")
    elif len(codes) > 1:
        raise ArgumentError(f"the frame has {len(codes)} codes ({listing(codes)}); choose one: code={codes[0]!r}")
    chosen = _settled(bars if code is None else bars.filter(pl.col("code").cast(pl.String) == code))
    volume = pl.col("volume") if "volume" in bars.columns else pl.lit(None).alias("volume")
    return chosen.select("timestamp", *PRICES, volume).cast(dict.fromkeys((*PRICES, "volume"), pl.Float64))


def _settled(bars: pl.DataFrame) -> pl.DataFrame:
    """Leave out forming bars, and rows without prices, which are none."""
    there = bars.filter(pl.col("close").is_not_null())
    return there.filter("closed") if "closed" in bars.columns else there


def pivot(frame: pl.DataFrame, field: str = "close", codes: Iterable[str] | None = None) -> pl.DataFrame:
    """Give *field* of the closed bars, a row per timestamp and a column per code."""
    bars = checked(frame)
    if field not in bars.columns or not bars.schema[field].is_numeric():
        numbers = [name for name, kind in bars.schema.items() if kind.is_numeric()]
        raise ArgumentError(f"field={field!r} is no column of numbers; the frame has {listing(numbers)}")
    chosen = codes_of(bars) if codes is None else _distinct(codes)
    known_codes(bars, chosen, "codes")
    settled = _settled(bars).select(pl.col("code").cast(pl.String), "timestamp", field)
    if "timestamp" in chosen:
        raise ArgumentError("a code named 'timestamp' cannot be a column beside the timestamps")
    wide = settled.filter(pl.col("code").is_in(chosen)).pivot("code", index="timestamp", values=field)
    # A code whose only bar is forming has no bar, but a column.
    absent = [pl.lit(None, dtype=bars.schema[field]).alias(code) for code in chosen if code not in wide.columns]
    return wide.with_columns(*absent).select("timestamp", *chosen).sort("timestamp")


def _distinct(codes: Iterable[str]) -> Sequence[str]:
    return list(dict.fromkeys([codes] if isinstance(codes, str) else codes))


def align(frame: pl.DataFrame, how: How = "inner") -> pl.DataFrame:
    """Give every code the same timestamps: those that all have, or all that any has."""
    bars = checked(frame)
    if how == "inner":
        held = pl.col("code").len().over("timestamp")
        return bars.filter(held == pl.col("code").n_unique())
    if how != "outer":
        raise ArgumentError(f"how={how!r} must be 'inner' (timestamps that all codes have) or 'outer' (that any has)")
    codes = bars.select("code").unique(maintain_order=True).with_row_index("__order")
    stamps = bars.select("timestamp").unique()
    every = codes.join(stamps, how="cross").join(bars, on=["code", "timestamp"], how="left")
    return every.sort("__order", "timestamp").select(bars.columns)


def returns(frame: pl.DataFrame, kind: Kind = "simple", field: str = "close") -> pl.DataFrame:
    """Add `return`, from each code's row to its next."""
    bars = checked(frame)
    if field not in PRICES:
        raise ArgumentError(f"field={field!r} must be one of {listing(PRICES)}")
    if kind not in ("simple", "log"):
        raise ArgumentError(f"kind={kind!r} must be 'simple' (p₁/p₀ - 1) or 'log' (ln p₁/p₀)")
    price = pl.col(field).cast(pl.Float64)
    before = price.shift().over("code")
    if kind == "simple":
        change = pl.when(before != 0).then(price / before - 1)
    else:
        change = pl.when((price > 0) & (before > 0)).then((price / before).log())
    return bars.with_columns(change.alias("return"))


def tz(frame: pl.DataFrame, zone: str = EXCHANGE) -> pl.DataFrame:
    """Show the timestamps in *zone*, or in that of the codes' exchange."""
    check_columns(frame.schema)
    return frame.with_columns(in_zone(_zone_of(codes_of(frame)) if zone == EXCHANGE else zone))


def in_zone(zone: str) -> pl.Expr:
    """Give the expression that shows timestamps in *zone*."""
    try:
        ZoneInfo(zone)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        alike = get_close_matches(zone, available_timezones(), n=1)
        hint = f"did you mean {alike[0]!r}?" if alike else "such as 'Asia/Hong_Kong' or 'UTC'"
        raise ArgumentError(f"zone={zone!r} is neither 'exchange' nor an IANA time zone; {hint}") from None
    return pl.col("timestamp").dt.convert_time_zone(zone)


def _zone_of(codes: Sequence[str]) -> str:
    zones: dict[str, str] = {}
    for code in codes:
        zones.setdefault(zone_of(code), code)
    if len(zones) > 1:
        named = listing(f"{zone} ({code})" for zone, code in zones.items())
        raise ArgumentError(
            f"zone='exchange': the codes trade in several zones, {named}; a column has one: name it, such as "
            "zone='UTC', or take the codes of one exchange"
        )
    return next(iter(zones), "UTC")
