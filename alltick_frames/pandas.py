"""Importing this gives pandas frames `df.alltick`; `import alltick_frames` does, too, after `pandas`.

>>> import pandas as pd
>>> import alltick_frames.pandas
>>> hasattr(pd.DataFrame, "alltick")
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from alltick_frames.extension.accessor import Extension

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

__all__ = ["PandasExtension", "alltick"]


class PandasExtension(Extension[pd.DataFrame]):
    """`df.alltick` of a pandas DataFrame; results have Arrow-backed columns and a RangeIndex, as `get_kline` gives.

    An index of timestamps stands for the column, and one of code and timestamp for both. NumPy-backed columns do, too.
    """

    def _through(self, function: Callable[[pl.DataFrame], pl.DataFrame]) -> pd.DataFrame:
        from alltick_frames.extension import panda  # noqa: PLC0415

        return panda.from_polars(function(panda.to_polars(self._frame)))

    def _read(self) -> pl.DataFrame:
        from alltick_frames.extension import panda  # noqa: PLC0415

        return panda.to_polars(self._frame)

    def _indexed(self, function: Callable[[pl.DataFrame], pl.DataFrame], *, capitals: bool = False) -> pd.DataFrame:
        from alltick_frames.extension import panda  # noqa: PLC0415

        return panda.indexed(function(panda.to_polars(self._frame)), capitals=capitals)


def alltick(frame: pd.DataFrame) -> PandasExtension:
    """Give `frame.alltick`, in a way that type checkers understand: they do not see what is registered with pandas.

    Examples
    --------
    >>> prices = dict.fromkeys(("open", "high", "low", "close"), 1.5)
    >>> bar = pd.DataFrame({"code": ["EURUSD"], **prices}, index=pd.to_datetime(["2026-03-18T15:00Z"]))
    >>> alltick(bar).tz("America/New_York")["timestamp"].item().hour
    11
    """
    return PandasExtension(frame)


# Again would be a warning.
if not hasattr(pd.DataFrame, "alltick"):
    pd.api.extensions.register_dataframe_accessor("alltick")(PandasExtension)
