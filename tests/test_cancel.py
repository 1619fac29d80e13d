"""A call that is interrupted returns control within a second and keeps what came; the rerun sends what is missing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from jupyter_client.manager import KernelManager

import alltick_frames as at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from jupyter_client.blocking.client import BlockingKernelClient

    Connect = Callable[..., at.Client]

CODES = ["EURUSD", "GOLD"]
CALL: tuple[Any, str, str] = (CODES, "1m", "2026-02-02/2026-02-27")
HELD: Any = {"network": "never", "on_incomplete": "ignore"}
# Bars of a page that the one before did not have.
PAGE = 498
# Slow enough that few requests are under way at a time: so many may be lost.
LIMITS = {"kline": (50, 1), "combined": (50, 1), "minute": (3_000, 60)}
SLOW = {"latency_ms": 20}
IN_FLIGHT = 5
# After the first save, which has a page or two, and before the next, 0.75 s later.
MIDWAY = 24

# Whoever is interrupted leaves without a moment for what is still being saved: it is there, or it is lost.
SCRIPT = f"""
import os, time
import alltick_frames as at
at.configure(limits={LIMITS})
try:
    at.get_kline(*{CALL})
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
    os._exit(130)
"""
ASYNC_SCRIPT = f"""
import asyncio, os, time
import alltick_frames as at
async def fetch():
    async with at.AsyncClient(limits={LIMITS}) as client:
        await client.get_kline(*{CALL})
try:
    asyncio.run(fetch())
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
    os._exit(130)
"""
RERUN = f"""
import sys
import alltick_frames as at
at.configure(limits={LIMITS})
at.get_kline(*{CALL}).write_parquet(sys.argv[1])
"""


@pytest.fixture
def whole(connect: Connect, server: at.sandbox.Sandbox) -> pl.DataFrame:
    """Give what an uninterrupted call gives, which is what the server has."""
    frame = connect().get_kline(*CALL)
    for code in CODES:
        truth = pl.DataFrame(pl.from_arrow(server.bars(code, "1m", "2026-02-02", "2026-02-28")))
        assert frame.filter(code=code).drop("code").equals(truth.drop("closed"))
    return frame


def environment_of(server: at.sandbox.Sandbox, **more: str) -> dict[str, str]:
    settings = {"ALLTICK_TOKEN": server.token, "ALLTICK_BASE_URL": server.url, "ALLTICK_PLAN": "professional"}
    return {**os.environ, **settings, **more}


@contextlib.contextmanager
def script(source: str, server: at.sandbox.Sandbox, *arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore:this machine's clock", "-c", textwrap.dedent(source), *arguments],
        env=environment_of(server, **more),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(requests: int, server: at.sandbox.Sandbox) -> None:
    until = time.monotonic() + 30
    while server.counters()["requests"] < requests:
        assert time.monotonic() < until
        time.sleep(0.005)


def interrupt(process: subprocess.Popen[str]) -> float:
    """Send SIGINT, and give the seconds until the script's `except` clause had control."""
    assert process.stdout is not None
    # Clocks of one machine: the script's monotonic clock is this one.
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    # One that does not come back must not hold up the tests.
    too_late = threading.Timer(5, process.kill)
    too_late.start()
    returned = process.stdout.readline()
    too_late.cancel()
    assert returned, "control did not return"
    return float(returned) - sent


def assert_nothing_is_sent(server: at.sandbox.Sandbox) -> None:
    sent = server.counters()["requests"]
    time.sleep(0.3)
    assert server.counters()["requests"] == sent


def assert_every_answer_is_held(held: pl.DataFrame, whole: pl.DataFrame, server: at.sandbox.Sandbox) -> None:
    """Look for the bars of every page sent, but for those that were in flight."""
    assert held.equals(whole.join(held, on=["code", "timestamp"], how="semi", maintain_order="left"))
    sent = server.counters()["requests"]
    assert (sent - IN_FLIGHT) * PAGE <= held.height <= (sent + len(CODES)) * PAGE


class TestCtrlCInAScript:
    @pytest.mark.parametrize("source", [SCRIPT, ASYNC_SCRIPT], ids=["sync", "async"])
    def test_control_returns_in_a_second_and_the_rerun_sends_what_is_missing(
        self, server: at.sandbox.Sandbox, whole: pl.DataFrame, fewest: int, tmp_path: Path, source: str
    ) -> None:
        server.configure(**SLOW)
        with script(source, server) as first:
            wait_for(MIDWAY, server)
            assert interrupt(first) < 1.0
            assert first.wait(timeout=10) == 130
        assert MIDWAY <= server.counters()["requests"] < fewest
        with script(RERUN, server, str(tmp_path / "rerun.parquet")) as rerun:
            assert rerun.wait(timeout=60) == 0
        assert pl.read_parquet(tmp_path / "rerun.parquet").equals(whole)
        assert server.counters()["requests"] <= fewest + IN_FLIGHT

    def test_control_returns_in_a_second_while_the_free_plan_waits(
        self, server: at.sandbox.Sandbox, connect: Connect, tmp_path: Path
    ) -> None:
        server.configure(plan="free", limits=True)
        source = """
            import os, time
            import alltick_frames as at
            try:
                at.get_kline("USDJPY", "1m", "2026-03-02/2026-03-06")
            except KeyboardInterrupt:
                print(time.monotonic(), flush=True)
                os._exit(130)
        """
        archive = tmp_path / "free"
        with script(source, server, ALLTICK_PLAN="free", ALLTICK_CACHE_DIR=str(archive)) as process:
            wait_for(1, server)
            time.sleep(0.5)  # the next slot is 10 s after the first
            assert process.poll() is None
            assert interrupt(process) < 1.0
        assert server.counters()["answers"] == {"ok": 1}
        held = connect(cache_dir=archive).get_kline("USDJPY", "1m", "2026-03-02/2026-03-06", **HELD)
        assert held.height == 500


class TestAnArchiveThatIsLocked:
    """What came cannot be saved until another process lets go."""

    SOURCE = f"""
import sys, time
import alltick_frames as at
at.configure(limits={LIMITS})
at.get_kline("EURUSD", "1h", "2026-02-02/2026-02-02")
print("archive", flush=True)
sys.stdin.readline()
try:
    at.get_kline(*{CALL})
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""

    @pytest.fixture
    def interrupted(
        self, server: at.sandbox.Sandbox, fewest: int, tmp_path: Path
    ) -> Iterator[tuple[subprocess.Popen[str], sqlite3.Connection]]:
        """Run a script up to the moment of the first interrupt, with the archive locked."""
        server.configure(**SLOW)
        with script(self.SOURCE, server, ALLTICK_CACHE_DIR=str(tmp_path / "locked")) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "archive\n"
            (index,) = (tmp_path / "locked").glob("*/cache.db")
            lock = sqlite3.connect(index, isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            server.reset()
            process.stdin.write("\n")
            process.stdin.flush()
            wait_for(MIDWAY, server)
            yield process, lock
            lock.close()

    def test_control_returns_in_a_second_and_what_came_is_saved_later(
        self,
        interrupted: tuple[subprocess.Popen[str], sqlite3.Connection],
        server: at.sandbox.Sandbox,
        connect: Connect,
        whole: pl.DataFrame,
        tmp_path: Path,
    ) -> None:
        process, lock = interrupted
        assert 0.5 < interrupt(process) < 1.0
        lock.execute("ROLLBACK")
        assert process.wait(timeout=10) == 0
        held = connect(cache_dir=tmp_path / "locked").get_kline(*CALL, **HELD)
        assert_every_answer_is_held(held, whole, server)

    def test_a_second_interrupt_leaves_at_once(
        self, interrupted: tuple[subprocess.Popen[str], sqlite3.Connection]
    ) -> None:
        process, lock = interrupted
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert 0 < interrupt(process) < 0.5
        lock.execute("ROLLBACK")
        assert process.wait(timeout=10) == 0


class Kernel:
    """An IPython kernel, and all that it has said."""

    def __init__(self, server: at.sandbox.Sandbox, errors: Any) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=environment_of(server), stdout=errors, stderr=errors)
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.said: list[str] = []

    def run(self, cell: str, while_it_runs: Callable[[], None] = lambda: None) -> tuple[Mapping[str, Any], str]:
        """Execute *cell*; give the reply, and what it has printed."""
        asked = self.client.execute(textwrap.dedent(cell))
        while_it_runs()
        while (reply := self.client.get_shell_msg(timeout=60))["parent_header"].get("msg_id") != asked:
            self.said.append(str(reply))
        self.said.append(str(reply))
        printed = ""
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            self.said.append(str(message))
            if message["parent_header"].get("msg_id") != asked:
                continue
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                printed += message["content"]["text"]
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return reply["content"], printed

    def end(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.mark.filterwarnings("ignore")  # a kernel's own libraries warn of what is theirs
class TestAnInterruptInAKernel:
    def test_control_returns_in_a_second_and_the_rerun_sends_what_is_missing(
        self, server: at.sandbox.Sandbox, whole: pl.DataFrame, fewest: int, tmp_path: Path
    ) -> None:
        times: list[float] = []

        def interrupt_midway() -> None:
            wait_for(MIDWAY, server)
            times.append(time.monotonic())
            kernel.manager.interrupt_kernel()

        # Whoever looks at once finds all that came.
        fetch = f"""
            try:
                bars = at.get_kline(*{CALL})
            finally:
                returned = time.monotonic()
                held = at.get_kline(*{CALL}, **{HELD})
                print(returned, held.height)
        """
        server.configure(**SLOW)
        with (tmp_path / "errors").open("w+b") as errors, contextlib.ExitStack() as at_end:
            kernel = Kernel(server, errors)
            at_end.callback(kernel.end)
            # Tracebacks that show locals would show a token.
            kernel.run("%xmode Verbose")
            reply, _ = kernel.run(f"import time\nimport alltick_frames as at\nat.configure(limits={LIMITS})")
            assert reply["status"] == "ok"
            reply, printed = kernel.run(fetch, interrupt_midway)
            assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
            returned, height = printed.split()
            assert float(returned) - times[0] < 1.0
            assert_nothing_is_sent(server)
            sent = server.counters()["requests"]
            assert (sent - IN_FLIGHT) * PAGE <= int(height) < whole.height
            reply, printed = kernel.run(fetch)
            assert reply["status"] == "ok"
            assert printed.split()[1] == str(whole.height)
            assert server.counters()["requests"] <= fewest + IN_FLIGHT
            kernel.run(f"bars.write_parquet({str(tmp_path / 'rerun.parquet')!r})")
            assert pl.read_parquet(tmp_path / "rerun.parquet").equals(whole)
            errors.seek(0)
            said = "".join(kernel.said) + errors.read().decode()
        assert "Client(token=***" in said
        assert server.token not in said


class Enough(Exception):  # noqa: N818  # what a caller raises to stop is no error
    """Raised by a `progress` of the caller's."""


def stop_at(requests: int) -> Callable[[int, int, float], None]:
    def progress(done: int, total: int, eta: float) -> None:
        if done >= requests:
            raise Enough

    return progress


class TestAProgressThatRaises:
    def test_cancels_and_what_came_is_held_at_once(
        self, server: at.sandbox.Sandbox, connect: Connect, whole: pl.DataFrame, fewest: int
    ) -> None:
        server.configure(**SLOW)
        client = connect(limits=LIMITS)
        with pytest.raises(Enough):
            client.get_kline(*CALL, progress=stop_at(MIDWAY))
        held = client.get_kline(*CALL, **HELD)
        assert_every_answer_is_held(held, whole, server)
        assert held.height < whole.height
        assert_nothing_is_sent(server)
        assert client.get_kline(*CALL).equals(whole)
        assert server.counters()["requests"] <= fewest + IN_FLIGHT

    def test_cancels_the_async_client_too(
        self, server: at.sandbox.Sandbox, connect: Connect, whole: pl.DataFrame, fewest: int
    ) -> None:
        async def stop_and_look() -> pl.DataFrame:
            async with async_client_of(connect()) as client:
                with pytest.raises(Enough):
                    await client.get_kline(*CALL, progress=stop_at(MIDWAY))
                held: pl.DataFrame = await client.get_kline(*CALL, **HELD)
                return held

        server.configure(**SLOW)
        assert_every_answer_is_held(asyncio.run(stop_and_look()), whole, server)


class TestACancelledTask:
    def test_keeps_what_came(
        self, server: at.sandbox.Sandbox, connect: Connect, whole: pl.DataFrame, fewest: int
    ) -> None:
        async def cancel_and_look() -> tuple[pl.DataFrame, pl.DataFrame]:
            async with async_client_of(connect()) as client:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(None) as timeout:
                        await client.get_kline(*CALL, progress=partial(expire_midway, timeout))
                held = await client.get_kline(*CALL, **HELD)
                assert_every_answer_is_held(held, whole, server)
                return held, await client.get_kline(*CALL)

        def expire_midway(timeout: asyncio.Timeout, done: int, total: int, eta: float) -> None:
            if done == MIDWAY:
                timeout.reschedule(asyncio.get_running_loop().time())

        server.configure(**SLOW)
        held, completed = asyncio.run(cancel_and_look())
        assert held.height < whole.height
        assert completed.equals(whole)
        assert server.counters()["requests"] <= fewest + IN_FLIGHT


def async_client_of(client: at.Client) -> at.AsyncClient:
    """Make an asynchronous client with the settings of *client*."""
    settings = client.settings
    assert settings.token is not None
    return at.AsyncClient(
        settings.token.reveal(),
        plan="professional",
        base_url=settings.base_url,
        cache_dir=settings.cache_dir,
        limits=LIMITS,
    )
