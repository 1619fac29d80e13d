"""Reading the archive next to one raw memory-mapped Arrow file, and what writing a day of minutes costs."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alltick_frames import schemas
from alltick_frames.periods import Period
from alltick_frames.store import Archive, Batch
from benchmarks.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE_US, DAY_US = 60_000_000, 86_400_000_000
# Two years from 2024-01-01: 24 blocks of 1-minute bars.
FIRST_US, BARS = 1_704_067_200_000_000, 1_000_000
ROW_BYTES = 7 * 8
GROUP = ("BTCUSDT", Period.MINUTE_1)


def measure() -> list[Result]:
    """Measure reading and writing."""
    with tempfile.TemporaryDirectory() as directory:
        return [*reading(Path(directory)), appending(Path(directory) / "day")]


def reading(directory: Path) -> list[Result]:
    """Time reads against the same reads of one raw file."""
    bars, stamps = bars_of(FIRST_US, BARS)
    archive = Archive.open(directory, "alltick")
    archive.write(*GROUP, Batch(bars, stamps, ((FIRST_US, FIRST_US + BARS * MINUTE_US),), 1))
    raw = directory / "raw.arrow"
    with pa.OSFile(str(raw), "wb") as sink, pa.ipc.new_file(sink, bars.schema) as writer:
        writer.write_table(bars)
    record = archive.held(*GROUP)
    blocks = len(record.segments) if record else 0
    archive.close()

    def read_raw() -> float:
        with pa.memory_map(str(raw)) as source:
            return total(pa.ipc.open_file(source).read_all())

    day_us = FIRST_US + 400 * DAY_US

    def slice_raw() -> float:
        with pa.memory_map(str(raw)) as source:
            table = pa.ipc.open_file(source).read_all()
        first, last = np.searchsorted(
            table["timestamp"].chunk(0).view(pa.int64()).to_numpy(), (day_us, day_us + DAY_US)
        )
        return total(table.slice(first, last - first))

    expected = read_raw()
    firsts: list[float] = []
    for _ in range(5):
        archive = Archive.open(directory, "alltick")
        started = time.perf_counter()
        assert math.isclose(total(archive.read(*GROUP, 0, 2**62).bars), expected)
        firsts.append(time.perf_counter() - started)
    first = min(firsts)
    second, plain = alternated(lambda: total(archive.read(*GROUP, 0, 2**62).bars), read_raw, 30)
    day, plain_day = alternated(lambda: total(archive.read(*GROUP, day_us, day_us + DAY_US).bars), slice_raw, 300)
    return [
        Result(f"archive, first read of 1M bars in {blocks} blocks", first / plain, "", how(first, plain)),
        Result("archive, second read", second / plain, "≤ 1.5", how(second, plain)),
        Result("archive, one day of it", day / plain_day, "≤ 10", how(day, plain_day)),
    ]


def appending(directory: Path) -> Result:
    """Count the bytes a process writes that appends a bar a minute for a day to a group that holds three weeks."""
    bars, stamps = bars_of(FIRST_US, 21 * 1440)
    archive = Archive.open(directory, "alltick")
    archive.write(*GROUP, Batch(bars, stamps, ((FIRST_US, FIRST_US + 21 * DAY_US),), 1))
    archive.close()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.archiving", str(directory)], capture_output=True, text=True, check=True
    )
    by_us, by_kernel = map(int, done.stdout.split())
    new = 1440 * ROW_BYTES
    return Result(
        "archive, bytes written ÷ new, a bar a minute",
        by_us / new,
        "≤ 20",
        f"{by_us:,} ÷ {new:,} bytes handed to SQLite and files; {by_kernel / new:.0f} by write() calls, WAL and pages",
    )


def append_a_day(directory: Path) -> None:
    """Append bar by bar; print the bytes of values, and those the kernel counted."""
    from alltick_frames import disk  # noqa: PLC0415  # counted in this process only

    counted = 0
    store = disk.BytesDisk.store

    def counting(self: Any, value: Any, *args: Any, **options: Any) -> Any:
        nonlocal counted
        counted += len(value)
        return store(self, value, *args, **options)

    disk.BytesDisk.store = counting  # type: ignore[method-assign]
    archive = Archive.open(directory, "alltick")
    before = written_so_far()
    for minute in range(21 * 1440, 22 * 1440):
        bars, stamps = bars_of(FIRST_US + minute * MINUTE_US, 1)
        at = int(stamps[0])
        archive.write(*GROUP, Batch(bars, stamps, ((at - MINUTE_US, at + MINUTE_US),), minute))
    print(counted, written_so_far() - before)


def written_so_far() -> int:
    """Give the bytes this process passed to write calls, as Linux counts them; 0 elsewhere."""
    counters = Path("/proc/self/io")
    return int(counters.read_text().split("wchar: ")[1].split()[0]) if counters.exists() else 0


def bars_of(first_us: int, count: int) -> tuple[pa.Table, np.ndarray[Any, np.dtype[np.int64]]]:
    """Make minutes with values that differ."""
    stamps = first_us + np.arange(count, dtype=np.int64) * MINUTE_US
    values = [pa.array(np.sin(stamps / 1e11 + shift)) for shift in range(6)]
    return pa.Table.from_arrays([pa.array(stamps).cast(schemas.TIMESTAMP), *values], schema=schemas.BARS), stamps


def total(table: pa.Table) -> float:
    """Sum every column, of the stamps take the latest: every byte is looked at."""
    last = max(pc.max(chunk.view(pa.int64())).as_py() for chunk in table["timestamp"].chunks)
    return float(last + sum(pc.sum(table[name]).as_py() for name in table.schema.names[1:]))


def alternated(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> tuple[float, float]:
    """Time both in turn; the best of each."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for which, act in enumerate((ours, theirs)):
            started = time.perf_counter()
            act()
            best[which] = min(best[which], time.perf_counter() - started)
    return best[0], best[1]


def how(ours: float, theirs: float) -> str:
    """Say both times."""
    return f"{ours * 1e3:.2f} ms ÷ {theirs * 1e3:.2f} ms, one raw mapped Arrow file"


if __name__ == "__main__":
    append_a_day(Path(sys.argv[1]))
