"""A user's bars, whatever they are kept in, as the Arrow table that a replay takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

__all__ = ["replay_table"]

_STAMP_NAMES = ("timestamp", "time", "datetime", "date", "open_time")
_REQUIRED = ("open", "high", "low", "close")
_OPTIONAL = ("volume", "turnover")
_MILLISECONDS_FROM = 10**11
_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def replay_table(frame: Any, code: str) -> Any:
    """Return *frame* as a table of timestamp (int64 seconds) and six float64 columns, ascending.

    Parameters
    ----------
    frame
        A pandas or Polars frame, an Arrow table, or the path of a CSV or Parquet file. Column names in any
        case; time in a column or in the index of a pandas frame; times without a zone are UTC.
    code
        Only rows of this code are taken, if there is a ``code`` column.
    """
    table = _arrow_table(frame)
    table = table.rename_columns([str(name).lower().replace(" ", "_") for name in table.column_names])
    if "code" in table.column_names:
        table = table.filter(pc.equal(pc.cast(table["code"], pa.string()), code))
    missing = [name for name in _REQUIRED if name not in table.column_names]
    if missing:
        raise ValueError(f"the frame has no column {', '.join(missing)}; it has {', '.join(table.column_names)}")
    columns = {"timestamp": _stamps(table)}
    for name in (*_REQUIRED, *_OPTIONAL):
        values = table[name] if name in table.column_names else pa.nulls(len(table), pa.float64())
        columns[name] = pc.fill_null(pc.cast(values, pa.float64()), float("nan"))
    made = pa.table(columns).sort_by("timestamp")
    _check(made)
    return made


def _arrow_table(frame: Any) -> Any:
    if isinstance(frame, str | Path):
        return _read(Path(frame))
    if isinstance(frame, pa.Table):
        return frame
    if hasattr(frame, "to_arrow"):
        return frame.to_arrow()
    if hasattr(frame, "iloc"):
        named = any(str(name).lower() in _STAMP_NAMES for name in frame.columns)
        flat = frame if named else frame.rename_axis("timestamp").reset_index()
        return pa.Table.from_pandas(flat, preserve_index=False)
    raise TypeError(f"a replay takes a pandas or Polars frame, an Arrow table or a path, not {type(frame).__name__}")


def _read(path: Path) -> Any:
    if path.suffix.lower() in {".parquet", ".pq"}:
        return pq.read_table(path)
    return csv.read_csv(path)


def _stamps(table: Any) -> Any:
    name = next((name for name in _STAMP_NAMES if name in table.column_names), None)
    if name is None:
        raise ValueError(f"the frame has no time: none of {', '.join(_STAMP_NAMES)} among its columns")
    column = table[name]
    if pa.types.is_integer(column.type):
        in_ms = len(column) and pc.max(column).as_py() >= _MILLISECONDS_FROM
        return pc.cast(pc.divide(column, 1000) if in_ms else column, pa.int64())
    if any(is_text(column.type) for is_text in _TEXT):
        column = pc.cast(column, pa.timestamp("us", "UTC" if _has_zone(column) else None))
    # Arrow keeps instants in UTC, and reads times without a zone as if they were: what is wanted.
    return pc.cast(pc.cast(column, pa.timestamp("s", getattr(column.type, "tz", None))), pa.int64())


def _has_zone(column: Any) -> bool:
    first = column[0].as_py() if len(column) else ""
    return first.endswith("Z") or "+" in first


def _check(table: Any) -> None:
    for name in _REQUIRED:
        if not pc.all(pc.is_finite(table[name])).as_py() and len(table):
            raise ValueError(f"column {name} has values that are missing or not finite")
    if pc.count_distinct(table["timestamp"]).as_py() != len(table):
        raise ValueError("two bars have the same timestamp")
