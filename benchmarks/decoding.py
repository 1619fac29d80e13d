"""Decoding a page to an Arrow table ÷ `orjson.loads` of the same bytes, best of many repetitions."""

from __future__ import annotations

import random
import timeit
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from alltick_frames.decode import kline_page
from alltick_frames.periods import Period
from alltick_frames.wire import Answer, KlineRequest
from benchmarks.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REQUEST = KlineRequest("EURUSD", Period.MINUTE_1)
REPEATS, LOOPS = 15, 60


def measure() -> Iterator[Result]:
    """Decode the three kinds of page there are."""
    pages = {
        "all fields as strings": page(str),
        "turnover empty throughout": page(str, turnover=""),
        "JSON numbers": page(float),
    }
    for name, body in pages.items():
        answer = Answer(200, body, "benchmark", datetime.now(UTC), None)
        ours, theirs = alternately(partial(kline_page, answer, REQUEST), partial(orjson.loads, body))
        how = f"500 bars, {len(body):,} bytes: {ours * 1e6:.0f} µs ÷ {theirs * 1e6:.0f} µs"
        yield Result(f"decode ÷ orjson.loads, {name}", ours / theirs, "≤ 2.5", how)


def page(number: Callable[[float], Any], turnover: str | None = None) -> bytes:
    """Make a full page of minute bars as the vendor writes them."""
    rng = random.Random(7)
    bars = []
    for minute in range(500):
        prices = sorted(round(1.08 + rng.random() / 1000, 6) for _ in range(4))
        low, open_, close, high = prices
        bars.append(
            {
                "timestamp": str(1_773_734_400 + 60 * minute),
                "open_price": number(open_),
                "close_price": number(close),
                "high_price": number(high),
                "low_price": number(low),
                "volume": number(rng.randint(1, 9_999)),
                "turnover": number(round(rng.random() * 1e7, 6)) if turnover is None else turnover,
            }
        )
    data = {"code": "EURUSD", "kline_type": 1, "kline_list": bars}
    return orjson.dumps({"ret": 200, "msg": "ok", "trace": "benchmark", "data": data})


def alternately(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Time both in turns, so that a busy machine slows both, and keep each one's best."""
    best = [float("inf"), float("inf")]
    for _ in range(REPEATS):
        for index, call in enumerate((ours, theirs)):
            best[index] = min(best[index], timeit.timeit(call, number=LOOPS) / LOOPS)
    return best[0], best[1]
