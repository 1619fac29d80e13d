"""Where bars lack within the trading hours of a frame's codes."""

from __future__ import annotations

import polars as pl

from alltick_frames import absences, finality, schemas
from alltick_frames.errors import ArgumentError
from alltick_frames.extension.shape import by_code, checked, instants, length_of

__all__ = ["gaps"]

_INSTANT = pl.Datetime("us", "UTC")
_NUMBERS: dict[str, pl.DataType | type[pl.DataType]] = {"start": pl.Int64, "end": pl.Int64, "bars": pl.Int64}


def gaps(frame: pl.DataFrame, min_bars: int | None = None, period: object = None) -> pl.DataFrame:
    """List suspicious holes, as `alltick_frames.gaps` does of the archive."""
    if min_bars is not None and not (type(min_bars) is int and min_bars > 0):
        raise ArgumentError(f"min_bars={min_bars!r} must be a whole number from 1 on, or None for the unusual ones")
    # A row without prices, as `align` adds them, is no bar.
    bars = checked(frame).filter(pl.col("close").is_not_null())
    names = schemas.GAPS.names
    rows: list[tuple[object, ...]] = []
    if bars.height:
        length = length_of(bars, period, "period")
        if length.period is None:
            raise ArgumentError(
                f"gaps are known of the vendor's periods, not of bars of {length}: look before resampling"
            )
        for code, part in by_code(bars):
            keys = finality.keys(instants(part), code, length.period)
            for found in absences.stretches_between(code, length.period, keys, min_bars=min_bars):
                told = [getattr(found, name) for name in names[2:-1]]
                rows.append((code, length.period.value, *told, found.detail or None))
    schema = {name: _NUMBERS.get(name, pl.String) for name in names}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("start", "end").cast(_INSTANT))
