"""Several who want the same bars at the same time: one fetches, the others get what it stored."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import alltick_frames as at
from alltick_frames import decode
from alltick_frames import ledger as ledger_module
from alltick_frames.claims import claim_of
from alltick_frames.ledger import Reading
from alltick_frames.store import Archive
from alltick_frames.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from alltick_frames.decode import Page
    from alltick_frames.wire import Answer, KlineRequest

    Connect = Callable[..., at.Client]

MONTH = ("EURUSD", "1m", "2026-02-01/2026-02-28")
FEWEST = math.ceil(28_800 / 500)


def paced(a_second: int) -> dict[str, Any]:
    return {"kline": (a_second, 1), "combined": (a_second, 1), "minute": (60 * a_second, 60)}


PROGRAM = """
import json, sys, alltick_frames as at
settings, question = json.loads(sys.stdin.readline())
client = at.Client(**settings)
print("ready", flush=True)
sys.stdin.readline()
frame = client.get_kline(*question, progress=False)
frame.write_ipc(sys.argv[1])
"""


def start(client: at.Client, question: tuple[str, ...], output: Path) -> subprocess.Popen[str]:
    """Begin a process that asks *question* once it is told to."""
    token = client.settings.token
    assert token is not None
    settings = {
        "token": token.reveal(),
        "plan": "professional",
        "base_url": client.settings.base_url,
        "cache_dir": str(client.settings.cache_dir),
        "limits": client.settings.limits,
    }
    command = [sys.executable, "-W", "ignore:this machine's clock", "-c", PROGRAM, str(output)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([settings, question]) + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()


def kill(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    process.kill()
    process.wait()
    process.stdout.close()


def test_two_processes_that_ask_for_the_same_month_send_what_one_would(
    server: at.sandbox.Sandbox, connect: Connect, tmp_path: Path
) -> None:
    server.configure(latency_ms=20)
    client = connect(limits=paced(50))
    outputs = [tmp_path / name for name in ("one", "other")]
    processes = [start(client, MONTH, output) for output in outputs]
    for process in processes:
        go(process)
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    for process in processes:
        kill(process)
    assert server.counters()["requests"] <= 1.05 * FEWEST
    one, other = (pl.read_ipc(output) for output in outputs)
    assert one.height == 28_800
    assert one.equals(other)


def test_equal_calls_of_threads_and_clients_send_what_one_would(
    server: at.sandbox.Sandbox, connect: Connect, set_clocks: Callable[[str], None]
) -> None:
    set_clocks("2026-03-18T15:00:30Z")
    first = connect()
    clients = [first, connect(cache_dir=first.settings.cache_dir)]
    together = threading.Barrier(8)

    def ask(client: at.Client) -> pl.DataFrame:
        together.wait()
        return client.get_kline(["EURUSD", "GOLD"], "1h", "30d")

    with ThreadPoolExecutor(8) as threads:
        frames = list(threads.map(ask, clients * 4))
    assert all(frame.equals(frames[0]) for frame in frames)
    assert server.counters()["requests"] == 2 + 2  # two codes of two pages


def test_two_calls_for_many_codes_share_them(server: at.sandbox.Sandbox, connect: Connect) -> None:
    server.configure(latency_ms=20)
    first = connect(limits=paced(100))
    second = connect(limits=paced(100), cache_dir=first.settings.cache_dir)
    codes = ["EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "USDCAD", "USDCHF", "EURGBP", "EURJPY"]
    with ThreadPoolExecutor(2) as threads:
        calls = [
            threads.submit(client.get_kline, order, "1m", "2026-03-10/2026-03-11")
            for client, order in ((first, codes), (second, codes[::-1]))
        ]
        frames = [call.result().sort("code", "timestamp") for call in calls]
    assert frames[0].equals(frames[1])
    assert server.counters()["requests"] == 8 * 6


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="no SIGSTOP on this system")
def test_one_that_was_stopped_holds_nobody_up_for_long(
    server: at.sandbox.Sandbox, connect: Connect, tmp_path: Path
) -> None:
    server.configure(latency_ms=20)
    client = connect(limits=paced(50))
    process = start(client, MONTH, tmp_path / "stopped")
    try:
        go(process)
        while server.counters()["requests"] < 20:
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)
        assert client.get_kline(*MONTH).height == 28_800
        process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=30) == 0
    finally:
        kill(process)
    assert pl.read_ipc(tmp_path / "stopped").equals(client.get_kline(*MONTH))
    # What had come and was not stored yet when it was stopped, and what was under way.
    assert server.counters()["requests"] <= FEWEST + 50 + 5


def test_a_killed_one_lets_go_of_its_codes(server: at.sandbox.Sandbox, connect: Connect, tmp_path: Path) -> None:
    server.configure(latency_ms=20)
    client = connect(limits=paced(50))
    process = start(client, MONTH, tmp_path / "killed")
    go(process)
    while server.counters()["requests"] < 20:
        time.sleep(0.01)
    kill(process)
    assert claim_of(client.settings.cache_dir / client.settings.origin, "EURUSD", at.Period("1m")).take()


def test_what_another_stored_meanwhile_is_skipped(server: at.sandbox.Sandbox, connect: Connect) -> None:
    server.configure(latency_ms=100)
    long = connect(limits=paced(10))
    short = connect(limits=paced(2_000), cache_dir=long.settings.cache_dir)
    asked: list[int] = []

    def ask_for_a_piece(done: int, _total: int, _eta: float) -> None:
        if done == 3:
            # It waits for a while, sees that nothing of this comes, and fetches it.
            assert short.get_kline("BTCUSDT", "1m", "2026-03-01/2026-03-03").height == 3 * 1440
            asked.append(done)

    frame = long.get_kline("BTCUSDT", "1m", "2026-02-27/2026-03-16", progress=ask_for_a_piece)
    truth = server.bars("BTCUSDT", "1m", "2026-02-27", "2026-03-17")
    assert asked
    assert frame["timestamp"].to_list() == truth["timestamp"].to_pylist()
    fewest = math.ceil(frame.height / 500)
    assert server.counters()["requests"] <= fewest + 5


def test_nobody_waits_for_what_another_does_not_fetch(server: at.sandbox.Sandbox, connect: Connect) -> None:
    server.configure(latency_ms=20)
    long = connect(limits=paced(20))
    short = connect(limits=paced(20), cache_dir=long.settings.cache_dir)
    enough = threading.Event()

    def until_enough(_done: int, _total: int, _eta: float) -> None:
        if enough.is_set():
            raise KeyboardInterrupt

    def ask_for_a_year() -> None:
        with pytest.warns(at.LongWaitWarning), pytest.raises(KeyboardInterrupt):
            long.get_kline("BTCUSDT", "1m", "2024-06-01/2026-02-28", progress=until_enough)

    with ThreadPoolExecutor(1) as threads:
        year = threads.submit(ask_for_a_year)
        while server.counters()["requests"] < 5:
            time.sleep(0.01)
        assert short.get_kline("BTCUSDT", "1m", "2024-03-04/2024-03-05").height == 2 * 1440
        assert not year.done()
        enough.set()
        year.result()


def test_what_a_refused_code_lacks_is_named(server: at.sandbox.Sandbox, connect: Connect) -> None:
    server.configure(latency_ms=20)
    client = connect(limits=paced(100))

    def refuse(done: int, _total: int, _eta: float) -> None:
        if done == 30:
            server.configure(faults={"code_invalid": 1.0})

    with pytest.raises(at.IncompleteDataError) as caught:
        client.get_kline(["EURUSD", "BTCUSDT"], "1m", "2026-02-01/2026-02-28", progress=refuse)
    for code in ("EURUSD", "BTCUSDT"):
        there = server.bars(code, "1m", "2026-02-01", "2026-03-01")["timestamp"].to_pylist()
        came = set(caught.value.frame.filter(pl.col("code") == code)["timestamp"])
        named = [gap.span for gap in caught.value.missing if gap.code == code]
        assert 0 < len(came) < len(there)
        assert all(any(span.start <= stamp < span.end for span in named) for stamp in there if stamp not in came)


def test_a_neighbour_that_gets_two_parts_back_is_walked_once(
    server: at.sandbox.Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.configure(latency_ms=60)
    client = connect(limits=paced(20))
    newest_part = datetime(2026, 3, 13, 22, 21, tzinfo=UTC)
    began, answered = time.monotonic(), set[datetime]()
    send, page_of = Transport.send, decode.kline_page

    async def hang(transport: Transport, request: KlineRequest, slot: float, clock: Any) -> Answer:
        if request.end is not None and request.end < newest_part and request.end not in answered:
            await asyncio.sleep(max(0.0, began + 2 - time.monotonic()))
        return await send(transport, request, slot, clock)

    def nothing_at_first(answer: Answer, request: KlineRequest) -> Page:
        page = page_of(answer, request)
        if request.end is None or request.end >= newest_part or time.monotonic() > began + 2.5:
            return page
        answered.add(request.end)
        return dataclasses.replace(page, bars=page.bars.slice(0, 0), stamps_us=page.stamps_us[:0], received=0)

    monkeypatch.setattr(Transport, "send", hang)
    monkeypatch.setattr(decode, "kline_page", nothing_at_first)
    assert client.get_kline("BTCUSDT", "1m", "2026-03-08/2026-03-15").height == 8 * 1440
    assert len(answered) > 1


class TestAPartThatBeginsWithNothing:
    """A product that is younger than the range: the older parts of its walk find no bars to begin with."""

    @pytest.fixture(autouse=True)
    def _young(self, server: at.sandbox.Sandbox) -> None:
        minutes = pl.datetime_range(
            datetime(2026, 1, 10, tzinfo=UTC), datetime(2026, 3, 18, 14, 59, tzinfo=UTC), "1m", eager=True
        )
        price = pl.Series(range(len(minutes))).cast(pl.Float64)
        columns = dict.fromkeys(("open", "high", "low", "close", "volume"), price)
        self.truth = pl.DataFrame({"timestamp": minutes, **columns})
        server.replay("NEWUSDT", "1m", self.truth)

    @pytest.mark.parametrize(
        ("range", "latency_ms", "a_second"),
        [("max", 20, 100), ("max", 100, 200), ("2025-03-01/2026-03-17", 20, 100)],
        ids=["max", "max by twenty walkers", "a year"],
    )
    def test_it_goes_back_to_its_neighbour(
        self, server: at.sandbox.Sandbox, connect: Connect, range: str, latency_ms: int, a_second: int
    ) -> None:
        server.configure(latency_ms=latency_ms)
        client = connect(limits=paced(a_second))
        client.get_kline("BTCUSDT", "1m", "2026-03-11/2026-03-12")  # shows the latency
        server.reset()
        if range == "max":
            frame = client.get_kline("NEWUSDT", "1m", range, max_wait=600)
        else:
            with pytest.warns(at.HistoryStartWarning, match="from 2026-01-10 00:00Z"):
                frame = client.get_kline("NEWUSDT", "1m", range)
        truth = self.truth.filter(pl.col("timestamp") <= frame["timestamp"].max())
        assert frame["timestamp"].equals(truth["timestamp"])
        assert frame["close"].equals(truth["close"])
        fewest = math.ceil(frame.height / 500)
        # The answers that found nothing, and those that show where history begins.
        assert fewest <= server.counters()["requests"] <= fewest + 12
        server.reset()
        assert client.get_kline("NEWUSDT", "1m", "2026-01-10/2026-03-10").height == 60 * 1440
        assert server.counters()["requests"] == 0


def test_what_does_not_fit_today_goes_on_tomorrow(
    server: at.sandbox.Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep = timedelta()
    read = ledger_module.read_clocks

    def clocks() -> Reading:
        now = read()
        return Reading(now.boot, now.uptime + asleep.total_seconds(), now.wall + asleep.total_seconds())

    monkeypatch.setattr(ledger_module, "read_clocks", clocks)
    client = connect(limits={**paced(500), "day": (25, 86_400)})
    estimate = client.estimate_kline(*MONTH)
    assert (estimate.left_today, estimate.suffices) == (25, False)
    heights = []
    for _ in range(2):
        with (
            pytest.warns(
                at.LongWaitWarning,
                match=r"of sending, over \d days on .* 25 of 25 requests left today. When they are used up",
            ),
            pytest.raises(at.BudgetError, match=r"returns in 24\.0 hours") as caught,
        ):
            client.get_kline(*MONTH)
        heights.append(caught.value.frame.height)
        asleep += timedelta(days=1, minutes=2)
    assert client.get_kline(*MONTH).height == 28_800
    # Nothing that was paid for is asked for again; each begin and end of a day may cost a page.
    assert heights[0] >= 25 * 498 - 2 * 500
    assert server.counters()["requests"] <= FEWEST + 4


def test_a_claim_is_one_groups(tmp_path: Path) -> None:
    claim = claim_of(tmp_path, "EURUSD", at.Period("1m"))
    assert claim.take()
    assert not claim_of(tmp_path, "EURUSD", at.Period("1m")).take()
    assert claim_of(tmp_path, "EURUSD", at.Period("5m")).take()
    assert claim_of(tmp_path, "EURUSD/1m-../x", at.Period("1m")).take()
    claim.release()
    assert claim_of(tmp_path, "EURUSD", at.Period("1m")).take()


def test_a_new_archive_can_be_opened_by_many_at_once(tmp_path: Path) -> None:
    for number in range(10):
        together = threading.Barrier(8)

        def begin(directory: Path, together: threading.Barrier) -> Archive:
            together.wait()
            return Archive.open(directory, "alltick")

        with ThreadPoolExecutor(8) as threads:
            opened = [threads.submit(begin, tmp_path / str(number), together) for _ in range(8)]
            for archive in opened:
                archive.result().close()
