"""The latest of 3,000 codes: requests and time by endpoint, and what bad codes among them cost."""

from __future__ import annotations

import math
import tempfile
import time
from typing import TYPE_CHECKING, Any

import alltick_frames as at
from benchmarks.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CODES = [f"{number}.HK" for number in range(1, 3_001)]
BAD_EVERY = 300
LATENCY_MS = 50
# Requests a second, and codes a request, of the Professional plan.
CALLS: dict[str, tuple[Callable[[at.Client, list[str]], Any], float, int]] = {
    "get_last_trade": (lambda client, codes: client.get_last_trade(codes), 20, 50),
    "get_order_book": (lambda client, codes: client.get_order_book(codes), 20, 50),
    "get_static_info": (lambda client, codes: client.get_static_info(codes), 20, 50),
    "get_latest_kline": (lambda client, codes: client.get_latest_kline(codes, "1d"), 1, 500),
}


def measure() -> Iterator[Result]:
    """Ask about all codes once by each endpoint, and once more with a bad one among every 300."""
    with (
        at.sandbox.running(latency_ms=LATENCY_MS) as server,
        tempfile.TemporaryDirectory() as directory,
        at.Client(**server.settings | {"cache_dir": directory}) as client,
    ):
        client.get_last_trade(CODES[:500])  # the server reads its calendars
        for name, (call, rate, size) in CALLS.items():
            time.sleep(1)
            server.reset()
            began = time.perf_counter()
            found = call(client, CODES)
            took_s = time.perf_counter() - began
            requests, fewest = server.counters()["requests"], math.ceil(len(CODES) / size)
            floor_s = (fewest - 1) / rate + LATENCY_MS / 1000
            how = f"{len(CODES)} codes, {len(found)} rows"
            yield Result(f"{name}: requests", requests / fewest, "1", f"{requests} ÷ {fewest}; {how}")
            too_fast = sum(server.violations().values())
            yield Result(
                f"{name}: time", took_s / floor_s, "", f"{took_s:.2f} s ÷ {floor_s:.2f} s; {too_fast} too fast"
            )
        yield among_bad_ones(server, client)


def among_bad_ones(server: at.sandbox.Sandbox, client: at.Client) -> Result:
    """Ask with some bad codes in ten of the sixty sets."""
    codes = [f"BAD{place}.HK" if place % BAD_EVERY == 0 else code for place, code in enumerate(CODES)]
    bad = sum(code.startswith("BAD") for code in codes)
    server.reset()
    client.get_last_trade(codes, on_incomplete="ignore")
    requests = server.counters()["requests"]
    most = math.ceil(len(codes) / 50) + 2 * bad * math.ceil(math.log2(50))
    return Result(
        "bad codes: requests", requests / most, "≤ 1", f"{requests} ÷ the bound of {most}; {bad} of {len(codes)}"
    )
