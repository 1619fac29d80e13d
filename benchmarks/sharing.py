"""Four processes on one token: how much of the permitted rate they reach together, how fairly, and how often too much.

Beside the share of the rate stands what the server counted as sent too fast, in both readings of every window; that
must be 0 also when all of them were stopped meanwhile, or when one is killed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import alltick_frames as at
from alltick_frames.plans import PLANS
from benchmarks.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Processes = Sequence[subprocess.Popen[bytes]]

# What each process asks for, for longer than any of these measures lasts.
CODES = (
    ("EURUSD", "GBPUSD", "USDJPY"),
    ("AUDUSD", "USDCAD", "USDCHF"),
    ("GOLD", "Silver", "USOIL"),
    ("BTCUSDT", "ETHUSDT", "NZDUSD"),
)
ASKING = "import sys, alltick_frames as at; at.get_kline(sys.argv[1:], '1m', '4y', progress=False)"
JITTERS_MS = (0, 2, 10, 30, 100)
FOR_S, STOPPED_S = 20, 60
RATE = PLANS["professional"].kline


def measure() -> Iterator[Result]:
    """Measure at several jitters, then with a pause and with a death."""
    for jitter_ms in JITTERS_MS:
        with asking(jitter_ms) as (server, _):
            # Jitter may cost a tenth of the rate, so that it costs no refusals.
            yield from used(server, f"4 processes, jitter {jitter_ms} ms", goal=0.97 if jitter_ms <= 10 else 0.9)
    with asking(2) as (server, processes):
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED_S)
        for process in processes:
            process.send_signal(signal.SIGCONT)
        yield from used(server, f"4 processes after {STOPPED_S} s of standstill")
    with asking(2) as (server, processes):
        processes[0].kill()
        yield from used(server, "3 processes after the fourth was killed", CODES[1:])


@contextlib.contextmanager
def asking(jitter_ms: float) -> Iterator[tuple[at.sandbox.Sandbox, Processes]]:
    """Run a sandbox that counts, and four processes that each ask it for years of three codes."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory,
        at.sandbox.running(limits="count", latency_ms=10, jitter_ms=jitter_ms) as server,
        contextlib.ExitStack() as ended,
    ):
        environment = {
            **os.environ,
            "ALLTICK_TOKEN": server.token,
            "ALLTICK_BASE_URL": server.url,
            "ALLTICK_PLAN": "professional",
            "ALLTICK_STATE_DIR": directory,
        }
        # The model of a code is made when it is first asked for, while other requests wait to be counted.
        for code in itertools.chain(*CODES):
            server.bars(code, "1m", "2026-01-01T00:00Z", "2026-02-01T00:00Z")
        processes = []
        for number, codes in enumerate(CODES):
            own = {**environment, "ALLTICK_CACHE_DIR": f"{directory}/{number}"}
            process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", ASKING, *codes], env=own)
            ended.callback(process.wait)
            ended.callback(process.kill)
            processes.append(process)
        while len(server.counters()["codes"]) < sum(map(len, CODES)):
            time.sleep(0.05)
        yield server, processes


def used(
    server: at.sandbox.Sandbox, how: str, of: Sequence[Sequence[str]] = CODES, goal: float = 0.97
) -> Iterator[Result]:
    """Let the processes run and count what they send."""
    before, began = server.counters()["codes"], time.monotonic()
    time.sleep(FOR_S)
    after, seconds = server.counters(), time.monotonic() - began
    each = [sum(after["codes"][code] - before[code] for code in codes) for codes in of]
    permitted = seconds * RATE.requests / RATE.seconds
    too_fast = sum(after["violations"].values())
    yield Result(
        f"rate ÷ permitted: {how}",
        sum(each) / permitted,
        f"≥ {goal}",
        f"{sum(each)} requests, {too_fast} sent too fast",
    )
    yield Result(f"smallest share × processes: {how}", len(each) * min(each) / sum(each), "≥ 0.8", f"{each} requests")
