"""The Arrow schemas of every table we make: the only home of column names, units and nullability."""

from __future__ import annotations

import pyarrow as pa

__all__ = [
    "BARS",
    "CLOSED",
    "CODE",
    "COVERAGE",
    "DECIMAL",
    "DOCTOR",
    "DUE",
    "EXPORTED",
    "GAPS",
    "IMPORTED",
    "KLINE",
    "KLINE_DECIMAL",
    "LAST_TRADES",
    "LATEST",
    "ORDER_BOOK",
    "ORDER_BOOKS",
    "PRODUCTS",
    "RESTATEMENTS",
    "STATIC_INFO",
    "TRADES",
    "UPDATED",
    "halts",
]

TIMESTAMP = pa.timestamp("us", tz="UTC")
# One type for all, because Polars joins columns of two scales and drops digits; two places short of the most there can
# be, because each sum in Arrow, and so in pandas, takes one more.
DECIMAL = pa.decimal128(36, 18)
PRICES = ("open", "high", "low", "close")
QUANTITIES = ("volume", "turnover")

CODE = pa.field("code", pa.dictionary(pa.int32(), pa.string()), nullable=False)
CLOSED = pa.field("closed", pa.bool_(), nullable=False)

# What `get_last_trade` returns.
LAST_TRADES = pa.schema(
    [
        CODE,
        pa.field("timestamp", TIMESTAMP),
        pa.field("price", pa.float64(), nullable=False),
        pa.field("volume", pa.float64()),
        pa.field("turnover", pa.float64()),
        pa.field("side", pa.string()),
        pa.field("seq", pa.int64()),
    ]
)

# What `get_order_book` returns: one row per level, or one without if the book is empty.
ORDER_BOOK = pa.schema(
    [
        CODE,
        pa.field("timestamp", TIMESTAMP),
        pa.field("side", pa.string()),
        pa.field("level", pa.int32()),
        pa.field("price", pa.float64()),
        pa.field("volume", pa.float64()),
        pa.field("seq", pa.int64()),
        pa.field("limit_state", pa.string()),
    ]
)

_RECEIVED = pa.field("received_at", TIMESTAMP, nullable=False)

# What `stream_trades` gives.
TRADES = pa.schema([*LAST_TRADES, _RECEIVED])
TRADES = TRADES.set(1, TRADES.field("timestamp").with_nullable(nullable=False))

# What `stream_order_book` gives: one row per level, or one without if the book is empty.
ORDER_BOOKS = pa.schema(
    [
        CODE,
        pa.field("timestamp", TIMESTAMP, nullable=False),
        pa.field("side", pa.string()),
        pa.field("level", pa.int32()),
        pa.field("price", pa.float64()),
        pa.field("volume", pa.float64()),
        pa.field("seq", pa.int64()),
        _RECEIVED,
    ]
)

# What `get_static_info` returns.
STATIC_INFO = pa.schema(
    [
        CODE,
        *(pa.field(name, pa.string()) for name in ("name_en", "name_cn", "name_hk", "exchange", "board", "currency")),
        *(pa.field(name, pa.int64()) for name in ("lot_size", "total_shares", "circulating_shares", "hk_shares")),
        *(pa.field(name, pa.float64()) for name in ("eps", "eps_ttm", "bps", "dividend_yield")),
    ]
)


def halts(zone: str) -> pa.Schema:
    """Give the schema of what `get_suspensions` returns of an exchange in *zone*."""
    local = pa.timestamp("us", tz=zone)
    return pa.schema(
        [
            pa.field("code", pa.string(), nullable=False),
            pa.field("symbol", pa.string(), nullable=False),
            pa.field("name", pa.string()),
            pa.field("reason", pa.string()),
            pa.field("halt_date", pa.date32()),
            pa.field("halted_at", local),
            pa.field("halt_period", pa.string()),
            pa.field("resume_date", pa.date32()),
            pa.field("quotes_resume_at", local),
            pa.field("resumes_at", local),
            pa.field("source_exchange", pa.string()),
            pa.field("pause_threshold_price", pa.float64()),
            pa.field("published_at", local),
        ]
    )


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
KLINE_DECIMAL = pa.schema([one.with_type(DECIMAL) if one.type == pa.float64() else one for one in KLINE])

# What `get_latest_kline` returns.
LATEST = pa.schema([CODE, pa.field("period", pa.string(), nullable=False), *BARS, CLOSED])

# What `coverage` returns: half-open spans; trading dates at 00:00 UTC for 1d, 1w and 1mo.
COVERAGE = pa.schema(
    [
        pa.field("code", pa.string(), nullable=False),
        pa.field("period", pa.string(), nullable=False),
        pa.field("start", TIMESTAMP),
        pa.field("end", TIMESTAMP, nullable=False),
        pa.field("held", pa.bool_(), nullable=False),
        pa.field("bars", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
    ]
)

# What `gaps` returns: half-open stretches; trading dates at 00:00 UTC for 1d, 1w and 1mo.
GAPS = pa.schema(
    [
        pa.field("code", pa.string(), nullable=False),
        pa.field("period", pa.string(), nullable=False),
        pa.field("start", TIMESTAMP, nullable=False),
        pa.field("end", TIMESTAMP, nullable=False),
        pa.field("bars", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("calendar", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)

_TIME = pa.time64("us")

# What `get_products` returns: in `sessions`, the hours as far as they could be read, one item for each season.
PRODUCTS = pa.schema(
    [
        pa.field("code", pa.string(), nullable=False),
        pa.field("asset_class", pa.string(), nullable=False),
        pa.field("family", pa.string(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("name_cn", pa.string()),
        pa.field("category", pa.string()),
        pa.field("hours", pa.string()),
        pa.field(
            "sessions",
            pa.list_(
                pa.struct(
                    [
                        pa.field("season", pa.string()),
                        pa.field("zone", pa.string()),
                        pa.field("open_day", pa.string(), nullable=False),
                        pa.field("open", _TIME, nullable=False),
                        pa.field("close_day", pa.string(), nullable=False),
                        pa.field("close", _TIME, nullable=False),
                        pa.field(
                            "breaks",
                            pa.list_(
                                pa.struct(
                                    [
                                        pa.field("start", _TIME, nullable=False),
                                        pa.field("end", _TIME, nullable=False),
                                    ]
                                )
                            ),
                            nullable=False,
                        ),
                    ]
                )
            ),
        ),
        pa.field("as_of", TIMESTAMP),
        pa.field("source", pa.string(), nullable=False),
    ]
)

# What `restatements` returns: one row per changed value.
RESTATEMENTS = pa.schema(
    [
        pa.field("code", pa.string(), nullable=False),
        pa.field("period", pa.string(), nullable=False),
        pa.field("timestamp", TIMESTAMP, nullable=False),
        pa.field("asked_at", TIMESTAMP, nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("old", pa.float64()),
        pa.field("new", pa.float64()),
    ]
)

# What `alltick update --when` shows of each stock's code and period: `lost_*` only if it is too late.
DUE = pa.schema(
    [
        pa.field("code", pa.string(), nullable=False),
        pa.field("period", pa.string(), nullable=False),
        pa.field("newest", TIMESTAMP, nullable=False),
        pa.field("by", TIMESTAMP, nullable=False),
        pa.field("left", pa.int64(), nullable=False),
        pa.field("calendar", pa.string(), nullable=False),
        pa.field("lost_from", TIMESTAMP),
        pa.field("lost_to", TIMESTAMP),
    ]
)

# What `update` returns: one row per code and period; of `missing`, half-open spans.
UPDATED = pa.schema(
    [
        pa.field("code", pa.string(), nullable=False),
        pa.field("period", pa.string(), nullable=False),
        pa.field("added", pa.int64(), nullable=False),
        pa.field("newest", TIMESTAMP),
        pa.field(
            "missing",
            pa.list_(
                pa.struct(
                    [
                        pa.field("start", TIMESTAMP, nullable=False),
                        pa.field("end", TIMESTAMP, nullable=False),
                        pa.field("reason", pa.string(), nullable=False),
                        pa.field("detail", pa.string(), nullable=False),
                    ]
                )
            ),
            nullable=False,
        ),
    ]
)

# What `doctor` returns.
DOCTOR = pa.schema(
    [
        pa.field("topic", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("finding", pa.string(), nullable=False),
        pa.field("assumed", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
    ]
)

# What `export` and `import_` return: one row per code and period.
EXPORTED, IMPORTED = (
    pa.schema(
        [
            pa.field("code", pa.string(), nullable=False),
            pa.field("period", pa.string(), nullable=False),
            pa.field("bars", pa.int64(), nullable=False),
            pa.field(new, pa.int64(), nullable=False),
        ]
    )
    for new in ("written", "added")
)
