"""Importing this gives Polars frames `df.alltick`, eager and lazy; `import alltick_frames` does, too, after `polars`.

>>> import polars as pl
>>> import alltick_frames.polars
>>> hasattr(pl.DataFrame, "alltick"), hasattr(pl.LazyFrame, "alltick")
(True, True)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import polars as pl

from alltick_frames.errors import ArgumentError
from alltick_frames.extension.accessor import Extension

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["LazyPolarsExtension", "PolarsExtension", "alltick"]


class PolarsExtension(Extension[pl.DataFrame]):
    """`df.alltick` of a Polars DataFrame."""

    def _through(self, function: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
        return function(self._frame)

    def _read(self) -> pl.DataFrame:
        return self._frame


class LazyPolarsExtension(Extension[pl.LazyFrame]):
    """`lf.alltick` of a Polars LazyFrame: nothing is read before it is collected.

    Columns and arguments are checked at once, rows when they are there. Apart from `tz`, what comes after a method
    (`filter`, `head`, `select`) is not pushed down before it, which would change its result: narrow the frame first.
    """

    def _through(self, function: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.LazyFrame:
        # Without rows every function gives its result's schema.
        schema = function(pl.DataFrame(schema=self._frame.collect_schema())).schema
        return self._frame.map_batches(
            function, schema=schema, predicate_pushdown=False, projection_pushdown=False, slice_pushdown=False
        )

    def _read(self) -> pl.DataFrame:
        return self._frame.collect()

    def pivot(self, field: str = "close", codes: Iterable[str] | None = None) -> pl.LazyFrame:
        """As of eager frames; *codes* are needed."""
        if codes is None:
            raise ArgumentError("a lazy frame must know its columns: pivot(codes=['EURUSD', …]), or collect() first")
        return super().pivot(field, codes)

    def tz(self, zone: str = "exchange") -> pl.LazyFrame:
        """As of eager frames; *zone* must be named."""
        from alltick_frames.extension import reshaping, shape  # noqa: PLC0415

        if zone == reshaping.EXCHANGE:
            raise ArgumentError("a lazy frame must know its columns: tz('Asia/Hong_Kong'), or collect() first")
        shape.check_columns(self._frame.collect_schema())
        return self._frame.with_columns(reshaping.in_zone(zone))


@overload
def alltick(frame: pl.DataFrame) -> PolarsExtension: ...


@overload
def alltick(frame: pl.LazyFrame) -> LazyPolarsExtension: ...


def alltick(frame: pl.DataFrame | pl.LazyFrame) -> PolarsExtension | LazyPolarsExtension:
    """Give `frame.alltick`, in a way that type checkers understand: Polars' own do not see what is registered.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> prices = dict.fromkeys(("open", "high", "low", "close"), 1.5)
    >>> bar = pl.DataFrame({"code": "EURUSD", "timestamp": datetime(2026, 3, 18, 15, tzinfo=UTC), **prices})
    >>> alltick(bar).tz("America/New_York")["timestamp"].item().hour
    11
    """
    return PolarsExtension(frame) if isinstance(frame, pl.DataFrame) else LazyPolarsExtension(frame)


# Again would be a warning.
if not hasattr(pl.DataFrame, "alltick"):
    pl.api.register_dataframe_namespace("alltick")(PolarsExtension)
if not hasattr(pl.LazyFrame, "alltick"):
    pl.api.register_lazyframe_namespace("alltick")(LazyPolarsExtension)
