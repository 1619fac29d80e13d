"""Many users of one archive at once: 8 processes and 32 threads, reading and writing the same groups."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest

import alltick_frames as at
from alltick_frames.store import Archive

from .archives import EVER, MINUTE, START
from .conftest import NOW
from .crowd import CODES, M1, MINUTES, THREADS

if TYPE_CHECKING:
    from collections.abc import Iterator

# `.ci/long` gives minutes.
SECONDS = float(os.environ.get("ALLTICK_TEST_CROWD_SECONDS", "2.5"))
SEED = int(os.environ.get("ALLTICK_TEST_CROWD_SEED", "1"))
ROOT = Path(__file__).parents[1]


def start(kind: str, directory: Path, process: int, threads: int, **environment: str) -> subprocess.Popen[bytes]:
    arguments = (kind, str(directory), *map(str, (process, threads, SECONDS, SEED)))
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.crowd", *arguments], env=os.environ | environment, cwd=ROOT
    )


def finished(processes: list[subprocess.Popen[bytes]], directory: Path) -> list[dict[str, Any]]:
    for process in processes:
        process.wait(SECONDS + 120)
    done = [json.loads(path.read_text()) for path in sorted(directory.glob("done-*.json"))]
    assert [error for one in done for error in one["errors"]] == []
    return done


@pytest.mark.parametrize(("processes", "threads"), [(8, THREADS), (1, 32)])
def test_nothing_is_lost_doubled_or_falsely_seen_by_processes_and_threads(
    tmp_path: Path, processes: int, threads: int
) -> None:
    started = [start("archive", tmp_path, number, threads) for number in range(processes)]
    done = finished(started, tmp_path)
    assert len(done) == processes
    assert min(one["acts"] for one in done) > 0
    # Of each bar the answer that was asked for last, whoever wrote it and in whatever order.
    latest: dict[str, dict[int, int]] = {code: {} for code in CODES}
    for code, first, stop, asked_at_us in (write for one in done for write in one["writes"]):
        for minute in range(first, stop):
            latest[code][minute] = max(latest[code].get(minute, 0), asked_at_us)
    archive = Archive.open(tmp_path, "alltick")
    for code in CODES:
        held = archive.read(code, M1, *EVER)
        minutes = [(stamp - START) // (40 * MINUTE) for stamp in held.bars["timestamp"].cast(pa.int64()).to_pylist()]
        assert dict(zip(minutes, held.bars["close"].to_pylist(), strict=True)) == latest[code]
        covered = sum((end - begin) // (40 * MINUTE) for begin, end in held.coverage)
        assert covered == len(latest[code]) <= MINUTES
    archive.close()
    # What was replaced is gone but for what was replaced last.
    listed = len(list((tmp_path / "alltick" / "segments").iterdir()))
    assert listed <= 3 * 3 * 16 + 200
    longest_s = max(one["longest_s"] for one in done)
    sys.stdout.write(f"{sum(one['acts'] for one in done)} writes, the longest {longest_s:.2f} s; ")


@pytest.fixture
def crowded() -> Iterator[at.sandbox.Sandbox]:
    with at.sandbox.running(clock=NOW, frozen=True, limits="count") as server:
        yield server


def test_a_crowd_of_callers_gets_the_truth_for_what_few_of_them_would_pay(
    crowded: at.sandbox.Sandbox, tmp_path: Path
) -> None:
    codes = ["EURUSD", "BTCUSDT", "GOLD"]
    frames = [
        pl.DataFrame(crowded.bars(code, "1m", "2026-03-10", "2026-03-13")).select(
            pl.lit(code).alias("code"), pl.exclude("closed")
        )
        for code in codes
    ]
    pl.concat(frames).write_parquet(tmp_path / "truth.parquet")
    fewest = sum(-(-frame.height // 500) for frame in frames)
    environment = {
        "ALLTICK_TOKEN": crowded.token,
        "ALLTICK_PLAN": "professional",
        "ALLTICK_BASE_URL": crowded.url,
        "ALLTICK_CACHE_DIR": str(tmp_path / "archive"),
    }
    started = [start("call", tmp_path, number, THREADS, **environment) for number in range(8)]
    until = time.monotonic() + 60
    while crowded.counters()["requests"] < fewest / 4 and time.monotonic() < until:
        time.sleep(0.02)
    started[0].send_signal(signal.SIGSTOP)
    started[1].kill()
    time.sleep(1)
    started[0].send_signal(signal.SIGCONT)
    done = finished(started, tmp_path)
    assert len(done) == 7
    assert sum(one["calls"] for one in done) > 7
    requests = crowded.counters()["requests"]
    sys.stdout.write(f"{sum(one['calls'] for one in done)} calls, {requests} requests, {fewest} at least; ")
    # Each begin and end of a range costs a page that another range has in part; so do the stopped and the killed one.
    assert requests <= 3 * fewest
    assert crowded.violations() == {}
