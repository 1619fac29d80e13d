"""The Arrow schemas of every table we make: the only home of column names, units and nullability."""

from __future__ import annotations

import pyarrow as pa

__all__ = ["BARS", "CLOSED", "CODE", "KLINE"]

TIMESTAMP = pa.timestamp("us", tz="UTC")
PRICES = ("open", "high", "low", "close")
QUANTITIES = ("volume", "turnover")

CODE = pa.field("code", pa.dictionary(pa.int32(), pa.string()), nullable=False)
CLOSED = pa.field("closed", pa.bool_(), nullable=False)

# One code's bars of one period.
BARS = pa.schema(
    [
        pa.field("timestamp", TIMESTAMP, nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in PRICES),
        *(pa.field(name, pa.float64()) for name in QUANTITIES),
    ]
)

# What `get_kline` returns.
KLINE = pa.schema([CODE, *BARS])
