"""Reading the archive next to one raw memory-mapped Arrow file, and what writing a day of minutes costs."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alltick_frames import schemas
from alltick_frames.holdings import gaps_table
from alltick_frames.periods import Period
from alltick_frames.plans import plan_named
from alltick_frames.store import Archive, Batch
from benchmarks.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE_US, DAY_US = 60_000_000, 86_400_000_000
# Two years from 2024-01-01: 24 blocks of 1-minute bars.
FIRST_US, BARS = 1_704_067_200_000_000, 1_000_000
ROW_BYTES, PAGE = 7 * 8, 500
# Codes and minutes. The part is long enough that the log is folded and tails become segments.
FULL_DAY, PART_OF_DAY = (500, 1440), (50, 600)
M1 = Period.MINUTE_1
GROUP = ("BTCUSDT", M1)


def measure(*, full: bool = False) -> list[Result]:
    """Measure reading and writing; the day of 500 codes only if *full*, which takes minutes."""
    with tempfile.TemporaryDirectory() as directory:
        return [*reading(Path(directory)), a_day(Path(directory) / "day", *(FULL_DAY if full else PART_OF_DAY))]


def reading(directory: Path) -> list[Result]:
    """Time reads against the same reads of one raw file."""
    bars, stamps = bars_of(FIRST_US, BARS)
    archive = Archive.open(directory, "alltick")
    archive.write(*GROUP, Batch(bars, stamps, ((FIRST_US, FIRST_US + BARS * MINUTE_US),), 1))
    raw = directory / "raw.arrow"
    with pa.OSFile(str(raw), "wb") as sink, pa.ipc.new_file(sink, bars.schema) as writer:
        writer.write_table(bars)
    blocks = len(list((directory / "alltick" / "segments").iterdir()))
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
    plan, now = plan_named("professional"), datetime(2026, 1, 1, tzinfo=UTC)
    gaps, plain_too = alternated(lambda: len(gaps_table(archive, None, None, plan, now, None)), read_raw, 30)
    day, plain_day = alternated(lambda: total(archive.read(*GROUP, day_us, day_us + DAY_US).bars), slice_raw, 300)
    return [
        Result(f"archive, first read of 1M bars in {blocks} blocks", first / plain, "", how(first, plain)),
        Result("archive, second read", second / plain, "≤ 1.5", how(second, plain)),
        Result("archive, looking for gaps in it", gaps / plain_too, "≤ 10", how(gaps, plain_too)),
        Result("archive, one day of it", day / plain_day, "≤ 10", how(day, plain_day)),
    ]


def a_day(directory: Path, codes: int, minutes: int) -> Result:
    """Count the bytes that a process writes which gets each code's newest page, each minute, as the client does."""
    arguments = (str(directory), str(codes), str(minutes))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.archiving", *arguments], capture_output=True, text=True, check=True
    )
    by_kernel, median_s, worst_s, first_s, size = map(float, done.stdout.split())
    new = codes * minutes * ROW_BYTES
    return Result(
        f"archive, bytes written ÷ new, {codes} codes, {minutes} minutes",
        by_kernel / new,
        "≤ 20",
        f"{by_kernel:,.0f} ÷ {new:,} bytes by write() calls; a minute takes {median_s * 1e3:.0f} ms, at most "
        f"{worst_s * 1e3:.0f}; then a new process's first read {first_s * 1e3:.0f} ms, {size:,.0f} bytes on disk",
    )


def live_a_day(directory: Path, codes: int, minutes: int) -> None:
    """Write a page of 500 bars of each code, each minute, one of them new; print what it cost."""
    archive = Archive.open(directory, "alltick")
    names = [f"CODE{number:03}" for number in range(codes)]
    tables, stamps = [traded(number, PAGE + minutes) for number in range(codes)], stamps_of(FIRST_US, PAGE + minutes)
    archive.write_many([(name, M1, page(bars, stamps, 0)) for name, bars in zip(names, tables, strict=True)])
    before, took_s = written_so_far(), []
    for minute in range(1, minutes + 1):
        batches = [(name, M1, page(bars, stamps, minute)) for name, bars in zip(names, tables, strict=True)]
        started = time.perf_counter()
        archive.write_many(batches)
        took_s.append(time.perf_counter() - started)
    by_kernel = written_so_far() - before
    archive.close()
    archive = Archive.open(directory, "alltick")
    started = time.perf_counter()
    held = archive.read(names[-1], M1, 0, 2**62)
    first_s = time.perf_counter() - started
    assert held.bars.equals(tables[-1])
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    print(by_kernel, sorted(took_s)[len(took_s) // 2], max(took_s), first_s, size)


def page(bars: pa.Table, stamps: np.ndarray[Any, np.dtype[np.int64]], minute: int) -> Batch:
    """Give the newest page at a minute, which proves from its first bar to its last."""
    keys_us = stamps[minute : minute + PAGE]
    proven = ((int(keys_us[0]), int(keys_us[-1]) + MINUTE_US),)
    return Batch(bars.slice(minute, PAGE), keys_us, proven, int(keys_us[-1]) + 2 * MINUTE_US)


def written_so_far() -> int:
    """Give the bytes this process passed to write calls, as Linux counts them; 0 elsewhere."""
    counters = Path("/proc/self/io")
    return int(counters.read_text().split("wchar: ")[1].split()[0]) if counters.exists() else 0


def bars_of(first_us: int, count: int) -> tuple[pa.Table, np.ndarray[Any, np.dtype[np.int64]]]:
    """Make minutes with values that differ."""
    stamps = stamps_of(first_us, count)
    return table_of(stamps, [np.sin(stamps / 1e11 + shift) for shift in range(6)]), stamps


def traded(seed: int, count: int) -> pa.Table:
    """Make minutes as they are quoted: prices in ticks, with volume and turnover."""
    chance = np.random.default_rng(seed)
    price = chance.uniform(1, 500) * np.exp(np.cumsum(chance.normal(0, 4e-4, (count, 4)).ravel())).reshape(count, 4)
    opened, closed = price[:, 0], price[:, 3]
    prices = [np.round(one, 4) for one in (opened, price.max(axis=1), price.min(axis=1), closed)]
    volume = np.round(chance.lognormal(5, 1, count), 2)
    return table_of(stamps_of(FIRST_US, count), [*prices, volume, np.round(volume * closed, 2)])


def stamps_of(first_us: int, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return first_us + np.arange(count, dtype=np.int64) * MINUTE_US


def table_of(stamps: np.ndarray[Any, np.dtype[np.int64]], values: list[np.ndarray[Any, Any]]) -> pa.Table:
    stamped = pa.array(stamps).cast(schemas.TIMESTAMP)
    return pa.Table.from_arrays([stamped, *map(pa.array, values)], schema=schemas.BARS)


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
    live_a_day(Path(sys.argv[1]), *map(int, sys.argv[2:]))
