"""Requests ÷ minimum and wall ÷ floor of whole calls, against the sandbox at the Professional plan's rate.

The minimum is Σ⌈bars ÷ 500⌉ over the codes; the floor is that many requests at the permitted rate plus one latency.
Every answer takes the latency that is named, and what the sandbox needs to make it. Beside each call: what was said
beforehand to be the most, and what was said to be left after a tenth of the requests.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import alltick_frames as at
from alltick_frames.plans import PLANS
from benchmarks.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 500
RATE = PLANS["professional"].kline


@dataclass(frozen=True, slots=True)
class Case:
    """One call, and the goals of its ratios."""

    codes: tuple[str, ...]
    range: str
    latency_ms: int
    requests: float = 1.01
    wall: float = 1.05

    def __str__(self) -> str:
        return f"{', '.join(self.codes)} 1m, {self.range}, {self.latency_ms} ms"


CASES = (
    Case(("EURUSD", "GOLD"), "2026-02-01/2026-02-28", 10),
    Case(("EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "GOLD", "BTCUSDT"), "2026-02-16/2026-02-28", 200, wall=1.10),
    Case(("EURUSD",), "2026-02-01/2026-02-28", 200, requests=1.10, wall=1.10),
    Case(("EURUSD",), "2026-02-24/2026-02-25", 200, requests=7 / 6, wall=6),
)
YEAR = "2025-03-01/2026-02-28"
YEARS = (
    Case(("EURUSD",), YEAR, 200),
    Case(("BTCUSDT",), YEAR, 200),
    Case(("EURUSD", "GBPUSD", "BTCUSDT", "ETHUSDT"), YEAR, 200),
)


def measure(*, full: bool) -> Iterator[Result]:
    """Run each case; count requests and violations as the server sees them."""
    for case in (*CASES, *YEARS) if full else CASES:
        yield from whole_call(case)
    yield from same_month()


class Report(NamedTuple):
    """What was said of progress, and when."""

    at: float
    done: int
    eta: float


def whole_call(case: Case) -> Iterator[Result]:
    """Make one call of a client that has seen the latency."""
    with (
        at.sandbox.running(plan="professional", latency_ms=case.latency_ms) as server,
        at.Client(**server.settings) as client,
    ):
        for code in case.codes:
            # The model of a code is made when it is first asked for.
            server.bars(code, "1m", "2026-01-05", "2026-01-06")
        client.get_kline(case.codes[0], "1h", "2024-01-01/2024-06-30", progress=False)
        time.sleep(1)
        server.reset()
        estimate = client.estimate_kline(case.codes, "1m", case.range)
        reports: list[Report] = []
        began = time.perf_counter()
        frame = client.get_kline(
            case.codes,
            "1m",
            case.range,
            max_wait=3_600,
            progress=lambda done, _, eta: reports.append(Report(time.perf_counter(), done, eta)),
        )
        ended = time.perf_counter()
        requests, violations = server.counters()["requests"], sum(server.violations().values())
    minimum = sum(-(-bars // PAGE) for bars in frame.group_by("code").len()["len"])
    floor, wall = minimum * RATE.seconds / RATE.requests + case.latency_ms / 1e3, ended - began
    goal = f"≤ {case.requests:.3g}"
    yield Result(f"requests ÷ minimum: {case}", requests / minimum, goal, f"{requests} ÷ {minimum}")
    how = f"{wall:.2f} s ÷ {floor:.2f} s, {violations} sent too fast"
    yield Result(f"wall ÷ floor: {case}", wall / floor, f"≤ {case.wall:.3g}", how)
    for name, most, actual in (
        ("requests", estimate.requests[1], requests),
        ("bars", estimate.bars[1], frame.height),
        ("seconds", estimate.seconds[1], wall),
    ):
        how = f"{most:,.5g} ÷ {actual:,.5g}"
        yield Result(f"estimated {name}, at most ÷ actual: {case}", most / actual, "1 to 1.05 (a year)", how)
    tenth = next(report for report in reports if report.done >= reports[-1].done / 10)
    left = ended - tenth.at
    how = f"{tenth.eta:.1f} s ÷ {left:.1f} s"
    yield Result(f"said to be left after a tenth ÷ was: {case}", tenth.eta / left, "0.9 to 1.1", how)


ASKING = """
import json, sys, alltick_frames as at
client = at.Client(**json.loads(sys.argv[1]))
sys.stdin.readline()
client.get_kline("EURUSD", "1m", "2026-02-01/2026-02-28", progress=False)
"""


def same_month() -> Iterator[Result]:
    """Let two processes ask for the same month at the same time, into one archive."""
    with tempfile.TemporaryDirectory() as directory, at.sandbox.running(plan="professional", latency_ms=50) as server:
        server.bars("EURUSD", "1m", "2026-01-05", "2026-01-06")
        settings = json.dumps({**server.settings, "cache_dir": directory}, default=str)
        command = [sys.executable, "-W", "ignore", "-c", ASKING, settings]
        processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(2)]
        time.sleep(3)
        for process in processes:
            process.communicate(b"\n")
        requests, minimum = server.counters()["requests"], -(-28_800 // PAGE)
    yield Result("requests of two processes for one month ÷ of one", requests / minimum, "≤ 1.05", f"÷ {minimum}")
