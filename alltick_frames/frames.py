"""Arrow → the user's frame: Polars, pandas or Arrow itself, each imported only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from alltick_frames.settings import FrameKind

__all__ = ["to_frame"]


def to_frame(table: pa.Table, kind: FrameKind, *, categorical: bool = False) -> Any:
    """Give *table* as a frame of *kind*.

    `code` is dictionary-encoded in Arrow, and text in Polars and pandas unless *categorical*: a categorical
    column refuses joins with text and has no string methods.
    """
    return {"polars": _to_polars, "pandas": _to_pandas, "arrow": _to_arrow}[kind](table, categorical)


def _to_arrow(table: pa.Table, categorical: bool) -> pa.Table:  # noqa: ARG001, FBT001  # dictionary either way
    return table


def _to_polars(table: pa.Table, categorical: bool) -> pl.DataFrame:  # noqa: FBT001
    import polars as pl  # noqa: PLC0415

    import alltick_frames.polars  # noqa: F401, PLC0415  # gives it `df.alltick`

    text = _with_text_codes(table)
    # Column by column: `pl.from_arrow` of a table needs Polars' thread pool, which hangs in a forked child.
    columns = [pl.Series(pl.from_arrow(text.column(name), rechunk=False)).alias(name) for name in text.column_names]
    if categorical:
        columns[0] = columns[0].cast(pl.Categorical)
    return pl.DataFrame(columns)


def _to_pandas(table: pa.Table, categorical: bool) -> pd.DataFrame:  # noqa: FBT001
    import pandas as pd  # noqa: PLC0415

    import alltick_frames.pandas  # noqa: F401, PLC0415  # gives it `df.alltick`

    frame: pd.DataFrame = _with_text_codes(table).to_pandas(types_mapper=pd.ArrowDtype)
    return frame.astype({"code": "category"}) if categorical else frame


def _with_text_codes(table: pa.Table) -> pa.Table:
    index = table.schema.get_field_index("code")
    if index < 0:
        return table
    return table.set_column(index, "code", table.column("code").cast(pa.string()))
