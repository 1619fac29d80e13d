"""One of the processes of a crowd: threads that read and write the same archive, or call for the same bars.

What each of them sees must not depend on the others; what it may not see is asserted here, and what it did and how long
that took goes to a file, for the test that started all of them.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

import alltick_frames as at
from alltick_frames import schemas, store
from alltick_frames.periods import Period
from alltick_frames.store import Archive, Batch

from .archives import EVER, MINUTE, START

if TYPE_CHECKING:
    from collections.abc import Callable

M1 = Period.MINUTE_1
THREADS = 4
CODES = ["EURUSD", "BTCUSDT", "700.HK"]
# Three months of minutes: three segments' blocks, and the newest bars in the tail.
MINUTES = 3_000


def page(first: int, stop: int, asked_at_us: int) -> Batch:
    """Make an answer that proves from its first bar to its last, and whose values tell when it was asked for."""
    minutes = np.arange(first, stop, dtype=np.int64)
    # Forty minutes of each real one, so that the pages cross into other blocks.
    stamps = START + 40 * minutes * MINUTE
    price = pa.array(np.full(len(minutes), float(asked_at_us)))
    table = pa.Table.from_arrays(
        [pa.array(stamps).cast(schemas.TIMESTAMP), *[price] * 4, pa.array(minutes.astype(float)), price],
        schema=schemas.BARS,
    )
    return Batch(table, stamps, ((int(stamps[0]), int(stamps[-1]) + 40 * MINUTE),), asked_at_us)


class Member:
    """One thread with an eye on what it has seen before."""

    def __init__(self, archive: Archive, number: int, seed: int) -> None:
        self.archive = archive
        self.number = number
        self.random = random.Random(seed)
        self.writes: list[tuple[str, int, int, int]] = []
        self.longest_s = 0.0
        self.seen: dict[str, tuple[tuple[tuple[int, int], ...], dict[int, float]]] = {}

    def write(self) -> None:
        """Write a page or three, of one group or several."""
        batches = []
        for _ in range(self.random.choice((1, 1, 3))):
            code = self.random.choice(CODES)
            first = self.random.choice((MINUTES - 40, self.random.randrange(0, MINUTES - 40)))
            stop = min(MINUTES, first + self.random.choice((1, 40, 500)))
            # No two threads ask at the same moment.
            asked_at_us = time.time_ns() // 64_000 * 64 + self.number
            batches.append((code, M1, page(first, stop, asked_at_us)))
            self.writes.append((code, first, stop, asked_at_us))
        began = time.monotonic()
        self.archive.write_many(batches)
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        for (code, _, _), (_, first, stop, asked_at_us) in zip(batches, self.writes[-len(batches) :], strict=True):
            self.check(code, self.archive, dict.fromkeys(range(first, stop), asked_at_us))

    def read(self) -> None:
        """Read as one who has the archive open, or opens it now."""
        code = self.random.choice(CODES)
        began = time.monotonic()
        if self.random.random() < 0.3:
            archive = Archive.open(self.archive.directory.parent, "alltick")
            try:
                self.check(code, archive)
            finally:
                archive.close()
        else:
            self.check(code, self.archive)
        self.longest_s = max(self.longest_s, time.monotonic() - began)

    def check(self, code: str, archive: Archive, at_least: dict[int, int] | None = None) -> None:
        """Assert that nothing false is seen, and nothing less than before."""
        held = archive.read(code, M1, *EVER)
        stamps = held.bars["timestamp"].cast(pa.int64()).to_numpy()
        assert bool(np.all(np.diff(stamps) > 0)), "a bar comes twice, or out of order"
        minutes = (stamps - START) // (40 * MINUTE)
        assert held.bars["volume"].to_numpy().astype(np.int64).tolist() == minutes.tolist()
        asked = dict(zip(minutes.tolist(), held.bars["close"].to_pylist(), strict=True))
        assert held.bars["open"].to_pylist() == held.bars["close"].to_pylist(), "half a bar"
        for start, end in held.coverage:
            expected = range((start - START) // (40 * MINUTE), (end - START) // (40 * MINUTE))
            missing = [minute for minute in expected if minute not in asked]
            assert not missing, f"{code}: {missing[:5]} are covered and not there"
        coverage, before = self.seen.get(code, ((), {}))
        for start, end in coverage:
            assert any(a <= start and end <= b for a, b in held.coverage), "coverage shrank"
        for minute, value in {**before, **(at_least or {})}.items():
            assert asked.get(minute, 0) >= value, "an older answer came back"
        self.seen[code] = (held.coverage, asked)


def in_threads(work: list[Callable[[], None]]) -> list[str]:
    """Run all of *work* at once; give what went wrong."""
    errors: list[str] = []

    def guarded(act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException:  # noqa: BLE001  # all are to be seen
            errors.append(traceback.format_exc())

    threads = [threading.Thread(target=guarded, args=(act,)) for act in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def use_archive(directory: Path, process: int, threads: int, seconds: float, seed: int) -> dict[str, Any]:
    """Read and write with as many *threads*."""
    # Folding, and deleting what was replaced, happen all the time.
    store.LOG_BYTES, store._GRACE_US = 20_000, 200_000  # noqa: SLF001
    archive = Archive.open(directory, "alltick")
    members = [
        Member(archive, process * threads + one, seed * 1_000 + process * threads + one) for one in range(threads)
    ]
    until = time.monotonic() + seconds

    def live(member: Member, share_of_writes: float) -> None:
        while time.monotonic() < until:
            (member.write if member.random.random() < share_of_writes else member.read)()

    shares = (0.8, 0.5, 0.2, 0.0)
    errors = in_threads([lambda m=m, s=shares[n % 4]: live(m, s) for n, m in enumerate(members)])  # type: ignore[misc]
    archive.close()
    return {
        "errors": errors,
        "writes": [write for member in members for write in member.writes],
        "longest_s": max(member.longest_s for member in members),
        "acts": sum(len(member.writes) for member in members),
    }


def call(directory: Path, process: int, threads: int, seconds: float, seed: int) -> dict[str, Any]:
    """Call for overlapping ranges of the same codes, and compare with the server's own bars."""
    truth = pl.read_parquet(directory / "truth.parquet")
    bounds = truth["timestamp"].min(), truth["timestamp"].max()
    clients = [at.Client(), at.Client()]
    until = time.monotonic() + seconds
    calls = [0]

    def live(number: int) -> None:
        chance = random.Random(seed * 1_000 + process * threads + number)
        client = clients[number % 2]
        first, last = bounds
        assert first is not None
        assert last is not None
        while time.monotonic() < until:
            codes = chance.sample(["EURUSD", "BTCUSDT", "GOLD"], chance.choice((1, 2, 3)))
            a, b = sorted(chance.random() for _ in range(2))
            span = (first + a * (last - first), first + b * (last - first))  # type: ignore[operator]
            kind = chance.random()
            if kind < 0.2:
                held = client.coverage(codes, "1m").filter("held")
                assert held["start"].is_sorted() or len(codes) > 1
                continue
            if kind < 0.4:
                got = client.get_kline(codes, "1m", span, network="never", on_incomplete="ignore")
                assert got.join(truth, on=got.columns, how="anti", nulls_equal=True).height == 0
                continue
            if kind < 0.5:

                async def ask(codes: list[str] = codes, span: Any = span) -> pl.DataFrame:
                    async with at.AsyncClient() as one:
                        return await one.get_kline(codes, "1m", span)

                got = asyncio.run(ask())
            else:
                got = client.get_kline(codes, "1m", span)
            inside = truth.filter(pl.col("timestamp") >= span[0], pl.col("timestamp") < span[1])
            expected = pl.concat([inside.filter(pl.col("code") == code) for code in codes])
            assert got.equals(expected), f"{codes} {span}: {got.height} bars instead of {expected.height}"
            calls[0] += 1

    errors = in_threads([lambda n=n: live(n) for n in range(threads)])  # type: ignore[misc]
    for client in clients:
        client.close()
    return {"errors": errors, "calls": calls[0]}


if __name__ == "__main__":
    kind, where, *numbers = sys.argv[1:]
    process, threads, seconds, seed = (float(number) for number in numbers)
    done = {"archive": use_archive, "call": call}[kind](Path(where), int(process), int(threads), seconds, int(seed))
    (Path(where) / f"done-{int(process)}.json").write_text(json.dumps(done))
