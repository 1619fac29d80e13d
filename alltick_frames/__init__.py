"""AllTick market data as typed Polars, pandas and Arrow frames.

>>> import alltick_frames as at
>>> at.Period("1m").value
'1m'

Importing this package imports nothing else: every name is loaded when it is first used. Where Polars or pandas are
loaded already, their frames get `df.alltick`.
"""

from __future__ import annotations

__version__ = "0.1.0"

# Type checkers know this name; importing `typing` for it would double what `import alltick_frames` costs.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from alltick_frames import sandbox
    from alltick_frames.api import (
        configure,
        coverage,
        doctor,
        estimate_kline,
        export,
        gaps,
        get_kline,
        get_last_trade,
        get_latest_kline,
        get_order_book,
        get_products,
        get_static_info,
        get_suspensions,
        import_,
        plot_coverage,
        restatements,
        scan_kline,
        search_products,
        stream_order_book,
        stream_trades,
        update,
        watch_kline,
    )
    from alltick_frames.client import AsyncClient, Client
    from alltick_frames.errors import (
        AllTickError,
        AllTickWarning,
        ApiError,
        ArgumentError,
        AuthenticationError,
        BudgetError,
        BudgetWarning,
        ClockSkewWarning,
        CodeNotPermittedError,
        ConfigError,
        DecodeError,
        HistoryStartWarning,
        IncompleteDataError,
        IncompleteDataWarning,
        LongWaitWarning,
        OutageWarning,
        PlanLimitError,
        PlanWarning,
        ProductListWarning,
        RateLimitError,
        StoreError,
        StreamError,
        StreamWarning,
        TransportError,
        UnknownCodeError,
    )
    from alltick_frames.estimate import Estimate
    from alltick_frames.periods import Period
    from alltick_frames.spans import Missing, Span
    from alltick_frames.streams import Dropped
    from alltick_frames.subscription import Gap
    from alltick_frames.watching import Bar

__all__ = [
    "AllTickError",
    "AllTickWarning",
    "ApiError",
    "ArgumentError",
    "AsyncClient",
    "AuthenticationError",
    "Bar",
    "BudgetError",
    "BudgetWarning",
    "Client",
    "ClockSkewWarning",
    "CodeNotPermittedError",
    "ConfigError",
    "DecodeError",
    "Dropped",
    "Estimate",
    "Gap",
    "HistoryStartWarning",
    "IncompleteDataError",
    "IncompleteDataWarning",
    "LongWaitWarning",
    "Missing",
    "OutageWarning",
    "Period",
    "PlanLimitError",
    "PlanWarning",
    "ProductListWarning",
    "RateLimitError",
    "Span",
    "StoreError",
    "StreamError",
    "StreamWarning",
    "TransportError",
    "UnknownCodeError",
    "configure",
    "coverage",
    "doctor",
    "estimate_kline",
    "export",
    "gaps",
    "get_kline",
    "get_last_trade",
    "get_latest_kline",
    "get_order_book",
    "get_products",
    "get_static_info",
    "get_suspensions",
    "import_",
    "plot_coverage",
    "restatements",
    "sandbox",
    "scan_kline",
    "search_products",
    "stream_order_book",
    "stream_trades",
    "update",
    "watch_kline",
]

_HOMES = {
    "AsyncClient": "client",
    "Bar": "watching",
    "Client": "client",
    "Dropped": "streams",
    "Estimate": "estimate",
    "Gap": "subscription",
    "Missing": "spans",
    "Period": "periods",
    "Span": "spans",
    "configure": "api",
    "coverage": "api",
    "doctor": "api",
    "estimate_kline": "api",
    "export": "api",
    "gaps": "api",
    "get_kline": "api",
    "get_last_trade": "api",
    "get_latest_kline": "api",
    "get_order_book": "api",
    "get_products": "api",
    "get_static_info": "api",
    "get_suspensions": "api",
    "import_": "api",
    "plot_coverage": "api",
    "restatements": "api",
    "scan_kline": "api",
    "search_products": "api",
    "stream_order_book": "api",
    "stream_trades": "api",
    "update": "api",
    "watch_kline": "api",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    if name == "sandbox":
        return import_module("alltick_frames.sandbox")
    value = getattr(import_module(f"alltick_frames.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _attach() -> None:
    """Give the frames of Polars and pandas `alltick`, if they are loaded: what comes later `frames` sees to."""
    import sys  # noqa: PLC0415
    from importlib import import_module  # noqa: PLC0415

    for library in ("pandas", "polars"):
        # One that is just being imported, and imports us, is not ready.
        if hasattr(sys.modules.get(library), "DataFrame"):
            import_module(f"alltick_frames.{library}")


_attach()
