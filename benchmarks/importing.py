"""`import alltick_frames` ÷ starting the interpreter, each in a fresh process."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.results import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = 15


def measure() -> Iterator[Result]:
    """Import the package, and the package with everything `get_kline` needs."""
    nothing, package, function = (best(source) for source in ("pass", "import alltick_frames", FUNCTION))
    how = f"{package * 1e3:.0f} ms ÷ {nothing * 1e3:.0f} ms of an empty interpreter"
    yield Result("import alltick_frames ÷ start of Python", package / nothing, "≤ 1.2", how)
    polars = best("import httpx, polars, pyarrow.compute")
    how = f"{function * 1e3:.0f} ms ÷ {polars * 1e3:.0f} ms of importing httpx, Polars and pyarrow alone"
    yield Result("first use of get_kline ÷ its libraries", function / polars, "-", how)


FUNCTION = "import alltick_frames; alltick_frames.get_kline; import polars"


def best(source: str) -> float:
    """Give the fastest of some runs of *source* in a fresh interpreter."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", source], check=True)
        times.append(time.perf_counter() - began)
    return min(times)
