"""What size costs: an archive of many segments; many bars fetched; more bars scanned than may be in memory.

Memory is anonymous memory, which pages of mapped files are not: the most seen of a process, 20 times a second.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

import alltick_frames as at
from alltick_frames.holdings import coverage_table
from alltick_frames.plans import plan_named
from alltick_frames.store import Archive, Batch
from benchmarks.archiving import DAY_US, FIRST_US, M1, MINUTE_US, ROW_BYTES, stamps_of, table_of
from benchmarks.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

# Each code has ten segments, an hour of ten months.
SEGMENTS, FULL_SEGMENTS = (100, 10_000), (100, 10_000, 100_000)
A_CODE = "C00007"
PROFESSIONAL, NOW = plan_named("professional"), datetime(2026, 1, 1, tzinfo=UTC)
MONTHS_US = np.arange("2024-01", "2024-11", dtype="M8[M]").astype("M8[us]").astype(np.int64)

UNLIMITED = {"kline": (100_000, 1), "combined": (100_000, 1), "minute": (6_000_000, 60), "day": (100_000_000, 86_400)}
COINS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "BNBUSDT", "LTCUSDT", "DOTUSDT")
# 2.5 million minutes of each.
LONG = "2021-05-29/2026-02-28"
PAGE = 500

# By the bulk loader: 20 codes of 25 years' 250-day months, 180 million bars.
CODES, DAYS, A_MONTH = 20, 6_250, 30
MOST_ANONYMOUS = 2**31


def measure(*, full: bool) -> Iterator[Result]:
    """Measure archives of many segments, and, if *full*, 20 million bars fetched and 180 million scanned."""
    yield from many_segments(FULL_SEGMENTS if full else SEGMENTS)
    if full:
        yield from fetched(COINS, LONG)
        yield from scanned(CODES, DAYS)


def many_segments(sizes: tuple[int, ...]) -> Iterator[Result]:
    """Time what a new process does first, in archives of several sizes."""
    least, *more = sizes
    times = {size: looks(size) for size in sizes}
    for size in more:
        for what, goal in (("open", "≤ 2"), ("one day of one code", "≤ 2"), ("coverage of one code", "≤ 2")):
            ours, theirs = times[size][what], times[least][what]
            how = f"{ours * 1e3:.2f} ms ÷ {theirs * 1e3:.2f} ms"
            yield Result(f"{what}, {size:,} segments ÷ {least:,}", ours / theirs, goal, how)
        ours, theirs = times[size]["coverage"] / size, times[least]["coverage"] / least
        how = f"{ours * 1e6:.1f} µs ÷ {theirs * 1e6:.1f} µs, {times[size]['coverage']:.2f} s in all"
        yield Result(f"coverage of all, per segment, {size:,} ÷ {least:,}", ours / theirs, "≤ 1.5", how)


def looks(segments: int) -> dict[str, float]:
    """Make an archive and give the best time of each act, each time by one who has just opened it."""
    with tempfile.TemporaryDirectory() as directory:
        stamps = (MONTHS_US[:, None] + np.arange(60) * MINUTE_US).ravel()
        batch = Batch(
            table_of(stamps, [np.sin(stamps / 1e11 + shift) for shift in range(6)]),
            stamps,
            tuple((int(month), int(month) + 60 * MINUTE_US) for month in MONTHS_US),
            1,
        )
        archive = Archive.open(Path(directory), "alltick")
        archive.write_many((f"C{number:05}", M1, batch) for number in range(segments // len(MONTHS_US)))
        # A first read reads the log, whatever the archive's size; `archiving` measures that.
        archive._fold()  # noqa: SLF001
        archive.close()
        assert len(list(Path(directory, "alltick", "segments").iterdir())) == segments
        best: dict[str, float] = {}

        def timed(name: str, act: Callable[[], Any]) -> Any:
            started = time.perf_counter()
            result = act()
            best[name] = min(best.get(name, float("inf")), time.perf_counter() - started)
            return result

        day_us = int(MONTHS_US[4])
        for _ in range(5):
            archive = timed("open", lambda: Archive.open(Path(directory), "alltick"))
            held = timed("one day of one code", lambda: archive.read(A_CODE, M1, day_us, day_us + DAY_US))  # noqa: B023
            assert len(held.bars) == 60
            for name, codes, groups in (("coverage of one code", [A_CODE], 1), ("coverage", None, segments // 10)):
                archive.close()
                archive = Archive.open(Path(directory), "alltick")
                table = timed(name, lambda: coverage_table(archive, codes, None, PROFESSIONAL, NOW))  # noqa: B023
                held_bars = sum(bars for bars in table["bars"].to_pylist() if bars is not None)
                assert held_bars == groups * len(stamps)
            archive.close()
    return best


FETCHING = """
import json, sys, alltick_frames as at, polars as pl
codes, range, settings = map(json.loads, sys.argv[1:])
with at.Client(**settings) as client:
    bars = client.scan_kline(codes, "1m", range)
    print(bars.select(pl.len()).collect(engine="streaming").item())
"""


def fetched(codes: tuple[str, ...], range: str) -> Iterator[Result]:
    """Fetch with all limits lifted, into a new archive, by a process of its own."""
    name = f"{len(codes)} codes 1m, {range}"
    with (
        tempfile.TemporaryDirectory() as directory,
        at.sandbox.running(plan="professional", limits=False, clock="2026-03-01T12:00:00Z", frozen=True) as server,
    ):
        settings = {**server.settings, "limits": UNLIMITED, "cache_dir": directory, "plan": "professional"}
        arguments = [json.dumps(one, default=str) for one in (codes, range, settings)]
        began = time.perf_counter()
        printed, most = watched([sys.executable, "-W", "ignore", "-c", FETCHING, *arguments])
        wall_s, bars = time.perf_counter() - began, int(printed)
        requests = server.counters()["requests"]
        size = sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())
    start, end = (np.datetime64(day, "D") for day in range.split("/"))
    minutes = int((end + 1 - start).astype(int)) * 1440
    assert bars == len(codes) * minutes, bars
    minimum = len(codes) * -(-minutes // PAGE)
    yield Result(f"requests ÷ minimum: {name}", requests / minimum, "≤ 1.01", f"{requests:,} ÷ {minimum:,}")
    how = f"{bars:,} bars in {wall_s:,.0f} s, {bars / wall_s:,.0f} a second with the sandbox on the same cores"
    yield Result(f"wall, minutes: {name}", wall_s / 60, "-", how)
    yield Result(f"anonymous memory ÷ raw bars: {name}", most / (bars * ROW_BYTES), "≤ 0.5", f"{most / 2**20:,.0f} MiB")
    how = f"{size:,} ÷ {bars * ROW_BYTES:,}"
    yield Result(f"archive ÷ raw bars, bytes: {name}", size / (bars * ROW_BYTES), "≤ 1.1", how)


AGGREGATING = """
import sys, alltick_frames as at, polars as pl
client = at.Client(cache_dir=sys.argv[1], network="never")
days = client.scan_kline(None, "1m").group_by("code", pl.col("timestamp").dt.truncate("1d").alias("day")).agg(
    pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last(),
    pl.col("volume").sum(), pl.col("close").mean().alias("mean"),
)
days.sort("code", "day").collect(engine="streaming").write_ipc(sys.argv[2])
"""


def scanned(codes: int, days: int) -> Iterator[Result]:
    """Aggregate bars by day that a bulk loader has put into an archive, and compare with what NumPy makes of them."""
    bars = codes * days * 1440
    with tempfile.TemporaryDirectory() as directory:
        began = time.perf_counter()
        load(Path(directory), codes, days)
        loading_s = time.perf_counter() - began
        done = Path(directory, "days.arrow")
        began = time.perf_counter()
        _, most = watched([sys.executable, "-W", "error", "-c", AGGREGATING, directory, str(done)])
        wall_s = time.perf_counter() - began
        got = pl.read_ipc(done)
        blocks = len(list(Path(directory, "alltick", "segments").iterdir()))
    for number, of_code in enumerate(got.partition_by("code", maintain_order=True)):
        expected = by_day(number, days)
        assert of_code["code"].unique().to_list() == [code_of(number)]
        assert {name: of_code[name].to_numpy().tolist() for name in expected} == {
            name: values.tolist() for name, values in expected.items()
        }
    assert got.height == codes * days
    name = f"{bars:,} bars by code and day"
    how = f"{bars / loading_s:,.0f} bars a second, {loading_s:,.0f} s, {blocks:,} segments"
    yield Result(f"loading, minutes: {bars:,} bars", loading_s / 60, "-", how)
    how = f"{most / 2**20:,.0f} MiB; {bars * ROW_BYTES:,} bytes in {wall_s:.0f} s, {bars / wall_s:,.0f} bars a second"
    yield Result(f"anonymous memory ÷ 2 GiB: {name}", most / MOST_ANONYMOUS, "≤ 1", how)


def load(directory: Path, codes: int, days: int) -> None:
    """Write each code month by month, as one who has files of them would."""
    archive = Archive.open(directory, "alltick")
    for number in range(codes):
        for first in range(0, days * 1440, A_MONTH * 1440):
            minutes = np.arange(first, min(first + A_MONTH * 1440, days * 1440))
            stamps = FIRST_US + minutes * MINUTE_US
            proven = ((int(stamps[0]), int(stamps[-1]) + MINUTE_US),)
            archive.write(code_of(number), M1, Batch(table_of(stamps, values(number, minutes)), stamps, proven, 1))
    archive.close()


def code_of(number: int) -> str:
    return f"BULK{number:02}USDT"


def values(number: int, minutes: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Make open, high, low, close, volume and turnover in eighths, of which sums are exact in any order."""
    opened, closed = (100 + number + (minutes * step % 9_973) / 8 for step in (7, 11))
    volume = (minutes * 13 + number) % 1_009 / 8
    return [opened, np.maximum(opened, closed) + 0.125, np.minimum(opened, closed) - 0.125, closed, volume, volume * 8]


def by_day(number: int, days: int) -> dict[str, NDArray[Any]]:
    """Make what the aggregate is to find."""
    minutes = np.arange(days * 1440)
    opened, high, low, closed, volume, _ = (one.reshape(days, 1440) for one in values(number, minutes))
    return {
        "day": stamps_of(FIRST_US, len(minutes)).reshape(days, 1440)[:, 0].astype("M8[us]"),
        "open": opened[:, 0],
        "high": high.max(axis=1),
        "low": low.min(axis=1),
        "close": closed[:, -1],
        "volume": volume.sum(axis=1),
        "mean": closed.sum(axis=1) / 1440,
    }


def watched(command: list[str]) -> tuple[str, int]:
    """Run a process; give what it printed, and the most anonymous memory it had, 0 where the system does not tell."""
    most = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        status = Path(f"/proc/{process.pid}/status")
        try:
            while process.poll() is None:
                said = status.read_text() if status.exists() else ""
                most = max(most, *(int(line.split()[1]) * 1024 for line in said.splitlines() if "RssAnon" in line), 0)
                time.sleep(0.05)
        except BaseException:
            # Else it would go on, in a directory that is being deleted.
            process.kill()
            raise
        printed = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command[:1])
    return printed, most
