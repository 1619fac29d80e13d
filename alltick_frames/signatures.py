"""Types that the signatures of the clients and of the module's functions share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

from alltick_frames.periods import Period

if TYPE_CHECKING:
    from datetime import timedelta

    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from alltick_frames.kline import Forming, Prices
    from alltick_frames.progress import Progress
    from alltick_frames.settings import Network, OnIncomplete

__all__ = [
    "AnyFrame",
    "AnyPeriod",
    "AnyPeriods",
    "AsArrow",
    "AsPandas",
    "AsPolars",
    "CallOptions",
    "Codes",
    "KlineOptions",
]

Codes: TypeAlias = str | Iterable[str]
AnyPeriod: TypeAlias = Period | str
AnyPeriods: TypeAlias = Period | str | Iterable[Period | str]

# What `frame` can be, by what is then returned. Nothing said is as configured, which no checker can know: Polars.
AsPolars: TypeAlias = Literal["polars"] | None
AsPandas: TypeAlias = Literal["pandas"]
AsArrow: TypeAlias = Literal["arrow"]
AnyFrame: TypeAlias = "pl.DataFrame | pd.DataFrame | pa.Table"


class CallOptions(TypedDict, total=False):
    """What all calls that ask the vendor have in common."""

    on_incomplete: OnIncomplete | None
    max_wait: float | timedelta | None
    progress: Progress


class KlineOptions(CallOptions, total=False):
    """The options of `get_kline` that do not change the type of what it returns."""

    forming: Forming
    refresh: str | bool | None
    network: Network | None
    prices: Prices
    categorical: bool
