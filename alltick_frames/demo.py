"""`alltick demo`: the main job, once, on a sandbox started for it, through the real client."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alltick_frames import sandbox
from alltick_frames.client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

__all__ = ["Cost", "run"]

_PLAN = "professional"
_BARS_A_REQUEST = 500
_CALLS: Sequence[tuple[tuple[str, ...], str, str | None]] = (
    (("EURUSD", "GOLD"), "1m", None),
    (("AAPL.US",), "1d", "1y"),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call took, as the server counted it."""

    call: str
    bars: int
    requests: int
    fewest: int
    seconds: float
    too_fast: int


def run(range: str) -> Iterator[tuple[pl.DataFrame, Cost]]:
    """Fetch 1-minute bars of two codes over *range*, then a stock's daily bars; say what each call cost."""
    with sandbox.running(plan=_PLAN) as server, Client(**server.settings) as client:
        for code in {code for codes, _, _ in _CALLS for code in codes}:
            # The first answer for a code takes the sandbox longer, and requests that arrive meanwhile look too close.
            server.bars(code, "1m", "2026-01-05", "2026-01-06")
        for codes, period, fixed_range in _CALLS:
            yield _call(server, client, codes, period, fixed_range or range)


def _call(server: Any, client: Client, codes: Sequence[str], period: str, range: str) -> tuple[pl.DataFrame, Cost]:
    server.reset()
    began = time.perf_counter()
    frame = client.get_kline(codes, period, range, frame="polars", progress=True)
    seconds = time.perf_counter() - began
    counted = server.counters()
    per_code = frame.group_by("code").len()["len"].to_list()
    return frame, Cost(
        call=f"{', '.join(codes)} {period} {range}",
        bars=frame.height,
        requests=counted["requests"],
        fewest=sum(-(-bars // _BARS_A_REQUEST) for bars in per_code),
        seconds=seconds,
        too_fast=sum(counted["violations"].values()),
    )
