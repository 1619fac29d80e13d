"""Prices and quantities as decimals, digit for digit what the vendor sent. Pure.

The archive holds the nearest double, and the vendor's string wherever that does not give the string back. So the
shortest decimal that reads as the double, or else that string, is what was sent (but for trailing zeros).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from alltick_frames import schemas
from alltick_frames.errors import ArgumentError
from alltick_frames.finality import instant
from alltick_frames.segments import VALUES, stamps_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["exactly"]


def exactly(bars: pa.Table, exact: Mapping[tuple[int, str], str], code: str) -> pa.Table:
    """Turn the values of *bars*, those of *code*, into `schemas.DECIMAL`.

    Parameters
    ----------
    exact
        By (stamp, column) the vendor's string of a value that float64 cannot hold.

    Raises
    ------
    ArgumentError
        A value has more digits than the type.
    """
    for name in VALUES:
        texts = bars[name].cast(pa.string())
        of_column = {stamp: text for (stamp, column), text in exact.items() if column == name}
        if of_column:
            texts = _replaced(texts, stamps_of(bars).tolist(), of_column)
        try:
            values = texts.cast(schemas.DECIMAL)
        except pa.ArrowInvalid:
            raise _too_long(code, name, stamps_of(bars).tolist(), texts.to_pylist()) from None
        index = bars.schema.get_field_index(name)
        bars = bars.set_column(index, bars.schema.field(index).with_type(schemas.DECIMAL), values)
    return bars


def _replaced(texts: pa.ChunkedArray, stamps_us: Iterable[int], by_stamp: Mapping[int, str]) -> pa.ChunkedArray:
    rows = np.array([stamp in by_stamp for stamp in stamps_us], dtype=np.bool_)
    strings = [by_stamp[stamp] for stamp in stamps_us if stamp in by_stamp]
    return pa.chunked_array([pa.compute.replace_with_mask(texts.combine_chunks(), pa.array(rows), pa.array(strings))])


def _too_long(code: str, name: str, stamps_us: Iterable[int], texts: Iterable[str | None]) -> ArgumentError:
    for stamp_us, text in zip(stamps_us, texts, strict=True):
        try:
            pa.array([text]).cast(schemas.DECIMAL)
        except pa.ArrowInvalid:
            digits = schemas.DECIMAL.precision - schemas.DECIMAL.scale
            return ArgumentError(
                f"prices='decimal': {name} of {code} at {instant(stamp_us):%Y-%m-%dT%H:%M}Z is {text}, which has more "
                f"than {digits} digits before or {schemas.DECIMAL.scale} after the point; use prices='float'"
            )
    raise AssertionError("one of them could not be cast")
