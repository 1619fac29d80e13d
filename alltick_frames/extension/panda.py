"""pandas → Polars → pandas, through Arrow and without a copy where the columns are Arrow's already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import polars as pl
import pyarrow as pa

from alltick_frames.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["from_polars", "indexed", "to_polars"]

_IN_AN_INDEX = ("code", "timestamp")
_TEXTS = (pa.large_string(), pa.string_view())


def to_polars(frame: pd.DataFrame) -> pl.DataFrame:
    """Give *frame* in Polars: an index that is named code or timestamp, or an unnamed one of time, is a column."""
    columns = _with_index(frame)
    for name in columns.columns:
        if not isinstance(name, str):
            raise ArgumentError(f"the frame has a column {name!r} ({type(name).__name__}); names are text")
    if not columns.columns.is_unique:
        twice = columns.columns[columns.columns.duplicated()][0]
        raise ArgumentError(f"the frame has the column {twice!r} more than once; rename or drop one")
    # Column by column: `pl.from_arrow` of a table needs Polars' thread pool, which hangs in a forked child.
    return pl.DataFrame(list(_series(columns)))


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    if isinstance(frame.index, pd.DatetimeIndex) and frame.index.name is None and "timestamp" not in frame.columns:
        return frame.rename_axis("timestamp").reset_index()
    levels = [name for name in frame.index.names if name in _IN_AN_INDEX and name not in frame.columns]
    return frame.reset_index(levels) if levels else frame


def _series(frame: pd.DataFrame) -> Iterator[pl.Series]:
    for name in frame.columns:
        try:
            array = pa.Array.from_pandas(frame[name])
            yield pl.Series(name, _in_named_zone(array))
        except (pa.ArrowException, pl.exceptions.PolarsError, TypeError) as error:
            raise ArgumentError(
                f"column {name!r} ({frame[name].dtype}) cannot be read: {error}; convert or drop it"
            ) from None


def _in_named_zone(array: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Move times with a fixed offset to UTC: Polars knows zones by their names."""
    if pa.types.is_timestamp(array.type) and array.type.tz is not None and array.type.tz[0] in "+-":
        return array.cast(pa.timestamp(array.type.unit, "UTC"))
    return array


def from_polars(frame: pl.DataFrame) -> pd.DataFrame:
    """Give *frame* in pandas, its columns Arrow's and its text `string[pyarrow]`, as of all our frames."""
    table = frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)).to_arrow()
    fields = [pa.field(each.name, pa.string() if each.type in _TEXTS else each.type) for each in table.schema]
    frame_: pd.DataFrame = table.cast(pa.schema(fields)).to_pandas(types_mapper=pd.ArrowDtype)
    return frame_


def indexed(frame: pl.DataFrame, *, capitals: bool = False) -> pd.DataFrame:
    """Give *frame* in pandas as other libraries want it: float64 of NumPy, and the timestamps as a DatetimeIndex."""
    numbers = frame.select("timestamp", pl.exclude("timestamp").cast(pl.Float64))
    table: pd.DataFrame = numbers.to_arrow().to_pandas().set_index("timestamp")
    return table.rename(columns=str.capitalize) if capitals else table
