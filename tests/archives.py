"""Bars and batches for the tests of the archive, and the processes that write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from alltick_frames import schemas
from alltick_frames.disk import open_index
from alltick_frames.periods import Period
from alltick_frames.records import Group, Record
from alltick_frames.store import Archive, Batch, Held

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MINUTE = 60_000_000
DAY = 1440 * MINUTE
# 2026-01-31 23:00 UTC: an hour before a month, so that bars cross into another block.
START = 1_769_900_400_000_000
EVER = (-(2**62), 2**62)

Row = tuple[float, float | None]


def table(rows: Mapping[int, Row]) -> pa.Table:
    """Make bars of {stamp: (price, volume)}."""
    stamps = sorted(rows)
    prices = pa.array([rows[stamp][0] for stamp in stamps], pa.float64())
    volumes = pa.array([rows[stamp][1] for stamp in stamps], pa.float64())
    stamped = pa.array(stamps, pa.int64()).cast(schemas.TIMESTAMP)
    turnover = pa.nulls(len(stamps), pa.float64())
    return pa.Table.from_arrays([stamped, *[prices] * 4, volumes, turnover], schema=schemas.BARS)


def batch(
    rows: Mapping[int, Row],
    asked_at_us: int = 1,
    proven: Iterable[tuple[int, int]] | None = None,
    exact: tuple[tuple[int, str, str], ...] = (),
) -> Batch:
    """Make a batch; without *proven* it proves from its first to its last bar."""
    keys = np.array(sorted(rows), dtype=np.int64)
    if proven is None:
        proven = [(int(keys[0]), int(keys[-1]) + 1)] if rows else []
    return Batch(table(rows), keys, tuple(proven), asked_at_us, exact)


def minutes(first: int, stop: int, price: float = 1.0) -> dict[int, Row]:
    """Give bars of consecutive minutes after `START`, each with values of its own."""
    return {
        START + minute * MINUTE: (price + minute, None if minute % 7 == 0 else minute) for minute in range(first, stop)
    }


def record_of(archive: Archive, code: str = "EURUSD", period: Period = Period.MINUTE_1) -> Record | None:
    """Read a group's index row, which the log may be ahead of."""
    group = Group(archive.origin, code, period)
    index = open_index(archive.directory)
    try:
        return group.record(index.inline(group.index_key))
    finally:
        index.close()


def rows_of(held: Held) -> dict[int, Row]:
    """Read bars back as {stamp: (price, volume)}, having seen that no stamp comes twice or out of order."""
    stamps = held.bars["timestamp"].cast(pa.int64()).to_pylist()
    assert held.bars.schema.equals(schemas.BARS)
    assert stamps == sorted(set(stamps))
    assert len(held.keys_us) == len(stamps)
    close = held.bars["close"].to_pylist()
    assert close == held.bars["open"].to_pylist()
    return dict(zip(stamps, zip(close, held.bars["volume"].to_pylist(), strict=True), strict=True))
