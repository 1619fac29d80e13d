"""Requests ÷ minimum and wall ÷ floor of whole calls, against the sandbox at the Professional plan's rate.

One walker per code: with few codes and a slow answer the wall time is the walkers', not the rate's.

The minimum is Σ⌈bars ÷ 500⌉ over the codes; the floor is that many requests at the permitted rate plus one latency.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import alltick_frames as at
from alltick_frames.plans import PLANS
from benchmarks.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 500


@dataclass(frozen=True, slots=True)
class Case:
    """One call."""

    codes: tuple[str, ...]
    range: str
    latency_ms: int


CASES = (
    Case(("EURUSD", "GOLD"), "2026-02-01/2026-02-28", 10),
    Case(("EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "GOLD", "BTCUSDT"), "2026-02-16/2026-02-28", 200),
    Case(("EURUSD",), "2026-02-01/2026-02-28", 200),
    Case(("EURUSD",), "2026-02-24/2026-02-25", 10),
)


def measure() -> Iterator[Result]:
    """Run each case; count requests and violations as the server sees them."""
    rate = PLANS["professional"].kline
    for case in CASES:
        with (
            at.sandbox.running(plan="professional", latency_ms=case.latency_ms) as server,
            at.Client(**server.settings) as client,
        ):
            client.get_kline(case.codes[0], "1m", 1)
            server.reset()
            began = time.perf_counter()
            frame = client.get_kline(case.codes, "1m", case.range, progress=False)
            wall = time.perf_counter() - began
            requests, violations = server.counters()["requests"], sum(server.violations().values())
        minimum = sum(-(-bars // PAGE) for bars in frame.group_by("code").len()["len"])
        floor = minimum * rate.seconds / rate.requests + case.latency_ms / 1e3
        what = f"{len(case.codes)} × 1m, {case.range}, {case.latency_ms} ms"
        yield Result(f"requests ÷ minimum: {what}", requests / minimum, "≤ 1.05", f"{requests} ÷ {minimum}")
        how = f"{wall:.2f} s ÷ {floor:.2f} s, {violations} sent too fast"
        yield Result(f"wall ÷ floor: {what}", wall / floor, "≤ 1.05", how)
