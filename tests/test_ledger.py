"""One budget for all who use a token: threads, processes, forks; through jumping clocks, pauses, locks and damage."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import pytest

import alltick_frames as at
from alltick_frames import ledger as ledger_module
from alltick_frames.ledger import Kept, Ledger, Reading, shift_after
from alltick_frames.plans import PLANS, plan_named

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FREE, BASIC, PROFESSIONAL = PLANS["free"], PLANS["basic"], PLANS["professional"]
CALL = ("EURUSD", "1h", "2026-03-02/2026-03-06")


def reserved(ledger: Ledger) -> float:
    return asyncio.run(ledger.reserve())


def kept_in(directory: Path) -> Kept:
    with contextlib.closing(sqlite3.connect(directory / "ledger-1.sqlite3")) as connection:
        ((kept,),) = connection.execute("SELECT kept FROM budgets")
    return msgspec.msgpack.decode(kept, type=Kept)


class Clocks:
    """This machine's clocks, set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.boot, self.uptime, self.wall = "first", 1_000.0, 1_700_000_000.0
        monkeypatch.setattr(ledger_module, "read_clocks", lambda: Reading(self.boot, self.uptime, self.wall))

    def pass_by(self, seconds: float) -> None:
        self.uptime += seconds
        self.wall += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


def test_two_who_share_a_token_share_its_slots(clocks: Clocks, tmp_path: Path) -> None:
    first, second = Ledger(BASIC, tmp_path, "token"), Ledger(BASIC, tmp_path, "token")
    slots = [reserved(first), reserved(second), reserved(second), reserved(first)]
    assert slots == pytest.approx([1_000, 1_001.025, 1_002.05, 1_003.075])


def test_another_token_has_slots_of_its_own(clocks: Clocks, tmp_path: Path) -> None:
    assert reserved(Ledger(BASIC, tmp_path, "one")) == reserved(Ledger(BASIC, tmp_path, "other")) == 1_000


def test_threads_share_one_connection(tmp_path: Path) -> None:
    ledger = Ledger(PROFESSIONAL, tmp_path, "token")
    with ThreadPoolExecutor(8) as threads:
        slots = sorted(threads.map(lambda _: reserved(ledger), range(80)))
    assert all(later - earlier >= 1.019 for earlier, later in zip(slots, slots[20:], strict=False))


def test_a_forked_child_opens_its_own_connection(tmp_path: Path) -> None:
    ledger = Ledger(BASIC, tmp_path, "token")
    first = reserved(ledger)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads that pytest may have
        child = os.fork()
    if child == 0:
        reserved(ledger)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert reserved(ledger) == pytest.approx(first + 2.05, abs=0.01)


class TestClocksThatJump:
    @pytest.mark.parametrize("by_s", [-86_400.0, -1.0, 1.0, 86_400.0])
    def test_a_wall_clock_that_is_set_changes_nothing(self, clocks: Clocks, tmp_path: Path, by_s: float) -> None:
        ledger = Ledger(FREE, tmp_path, "token")
        reserved(ledger)
        clocks.pass_by(1)
        clocks.wall += by_s
        assert reserved(ledger) == 1_010.5

    def test_after_a_reboot_the_wall_clock_tells_what_has_passed(self, clocks: Clocks, tmp_path: Path) -> None:
        reserved(Ledger(FREE, tmp_path, "token"))
        clocks.boot, clocks.uptime, clocks.wall = "second", 3.0, clocks.wall + 4
        ledger = Ledger(FREE, tmp_path, "token")
        assert reserved(ledger) == pytest.approx(1_010.5)  # of which 4 s are over
        clocks.pass_by(20)
        assert reserved(ledger) == pytest.approx(1_024)

    def test_the_days_allowance_outlives_a_reboot(self, clocks: Clocks, tmp_path: Path) -> None:
        plan = plan_named("professional", {"day": (2, 86_400)})
        ledger = Ledger(plan, tmp_path, "token")
        reserved(ledger), reserved(ledger)
        clocks.boot, clocks.uptime, clocks.wall = "second", 3.0, clocks.wall + 3_600
        with pytest.raises(at.BudgetError, match=r"returns in 23\.0 hours"):
            reserved(Ledger(plan, tmp_path, "token"))
        clocks.pass_by(83_000)
        reserved(Ledger(plan, tmp_path, "token"))

    @pytest.mark.parametrize(
        ("now", "passed"),
        [
            (Reading("a", 1_030, 0), 30),
            (Reading("b", 5, 5_100), 100),
            (Reading("b", 2_000, 5_100), 100),
            (Reading("a", 5, 5_100), 100),  # a system that does not tell its boots apart
            (Reading("b", 5, 4_000), 5),  # set back while it was off: at least the time since the boot
        ],
        ids=str,
    )
    def test_the_ledgers_clock_goes_on_by_what_has_passed(self, now: Reading, passed: float) -> None:
        kept = Kept(Reading("a", 1_000, 5_000), shift=70.0)
        assert now.uptime + shift_after(kept, now) == pytest.approx(1_070 + passed)


class TestWaiting:
    def test_one_who_wakes_late_gives_the_slot_up(self, clocks: Clocks, tmp_path: Path) -> None:
        ledger = Ledger(BASIC, tmp_path, "token")
        slot = reserved(ledger)
        clocks.pass_by(60)
        asyncio.run(ledger.wait_for(slot))
        assert reserved(ledger) == pytest.approx(1_061.025)

    def test_one_who_wakes_in_time_keeps_it(self, clocks: Clocks, tmp_path: Path) -> None:
        ledger = Ledger(BASIC, tmp_path, "token")
        slot = reserved(ledger)
        clocks.pass_by(0.019)
        asyncio.run(ledger.wait_for(slot))
        assert reserved(ledger) == pytest.approx(1_001.025)

    def test_a_pause_that_another_process_declares_takes_slots_away(self, tmp_path: Path) -> None:
        plan = plan_named("professional", {"pause_s": 0.2})
        ledger, other = Ledger(plan, tmp_path, "token"), Ledger(plan, tmp_path, "token")
        slot = reserved(ledger)
        other.throttled()
        began = time.monotonic()
        asyncio.run(ledger.wait_for(slot))
        assert time.monotonic() - began >= 0.19

    def test_an_answer_of_one_process_ends_the_growth_of_pauses_for_all(self, clocks: Clocks, tmp_path: Path) -> None:
        ledger, other = Ledger(BASIC, tmp_path, "token"), Ledger(BASIC, tmp_path, "token")
        other.throttled()
        clocks.pass_by(5)
        reserved(ledger)
        ledger.answered()
        clocks.pass_by(5)
        ledger.throttled()
        assert reserved(other) - clocks.uptime == pytest.approx(1)

    def test_a_cancelled_wait_returns_the_slot(self, tmp_path: Path) -> None:
        ledger = Ledger(FREE, tmp_path, "token")
        reserved(ledger)

        async def give_up() -> float:
            slot = await ledger.reserve()
            with anyio.move_on_after(0.01):
                await ledger.wait_for(slot)
            return slot

        assert asyncio.run(give_up()) == reserved(ledger)


class TestJitter:
    def test_that_of_one_process_counts_for_all(self, clocks: Clocks, tmp_path: Path) -> None:
        ledger, other = Ledger(BASIC, tmp_path, "token"), Ledger(BASIC, tmp_path, "token")
        slot = reserved(other)
        for delay in (0.01, 0.04):
            clocks.pass_by(delay)
            other.arrived(slot)
        assert reserved(ledger) == pytest.approx(slot + 1.025)  # not handed on yet
        assert reserved(other) == pytest.approx(slot + 2.075)
        assert reserved(ledger) == pytest.approx(slot + 3.125)

    def test_every_answer_is_measured_from_its_slot(
        self, server: at.sandbox.Sandbox, client: at.Client, tmp_path: Path
    ) -> None:
        server.configure(latency_ms=30)
        client.get_kline("EURUSD", "1m", 1_200)
        # The last answer's is handed on by the next request.
        assert len(kept_in(tmp_path / "state").state.delays) == server.counters()["requests"] - 1
        assert min(kept_in(tmp_path / "state").state.delays) >= 0.03

    def test_what_was_written_before_it_was_measured_is_read(self, clocks: Clocks, tmp_path: Path) -> None:
        ledger = Ledger(BASIC, tmp_path, "token")
        reserved(ledger)
        before: dict[str, Any] = msgspec.to_builtins(kept_in(tmp_path))
        del before["state"]["delays"]
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger-1.sqlite3", isolation_level=None)) as other:
            other.execute("UPDATE budgets SET kept = ?", (msgspec.msgpack.encode(before),))
        assert reserved(ledger) == pytest.approx(1_001.025)


class TestAllowance:
    PLAN = plan_named("professional", {"day": (2, 86_400)})

    def test_what_one_process_takes_another_sees_as_taken(self, clocks: Clocks, tmp_path: Path) -> None:
        ledger, other = Ledger(self.PLAN, tmp_path, "token"), Ledger(self.PLAN, tmp_path, "token")
        assert (ledger.left_today(), ledger.returns_in()) == (2, 0)
        reserved(other), reserved(other)
        assert ledger.left_today() == 0
        clocks.pass_by(ledger.returns_in() or 0)
        assert ledger.left_today() == 2

    def test_asking_writes_nothing(self, clocks: Clocks, tmp_path: Path) -> None:
        ledger = Ledger(self.PLAN, tmp_path, "token")
        reserved(ledger)
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger-1.sqlite3")) as other:
            before = other.execute("SELECT * FROM budgets").fetchall()
            clocks.pass_by(100_000)
            assert (ledger.left_today(), ledger.returns_in()) == (2, 0)
            assert other.execute("SELECT * FROM budgets").fetchall() == before


class TestLocks:
    @pytest.fixture
    def other(self, tmp_path: Path) -> sqlite3.Connection:
        return sqlite3.connect(tmp_path / "ledger-1.sqlite3", isolation_level=None)

    def test_a_reservation_waits_and_the_event_loop_goes_on(self, tmp_path: Path, other: sqlite3.Connection) -> None:
        ledger = Ledger(BASIC, tmp_path, "token")
        reserved(ledger)

        async def meanwhile() -> int:
            other.execute("BEGIN IMMEDIATE")
            turns = 0
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ledger.reserve)
                for _ in range(10):
                    await anyio.sleep(0.005)
                    turns += 1
                other.execute("ROLLBACK")
            return turns

        with contextlib.closing(other):
            assert asyncio.run(meanwhile()) == 10

    def test_what_can_be_lost_holds_nobody_up(self, tmp_path: Path, other: sqlite3.Connection) -> None:
        ledger = Ledger(BASIC, tmp_path, "token")
        slot = reserved(ledger)
        with contextlib.closing(other):
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            ledger.give_back(slot)
            assert time.monotonic() - began < 1
        assert ledger.warnings() == []
        assert reserved(ledger) > slot

    def test_the_allowance_of_a_ledger_that_stays_locked_is_unknown(
        self, tmp_path: Path, other: sqlite3.Connection
    ) -> None:
        reserved(Ledger(BASIC, tmp_path, "token"))
        with contextlib.closing(other):
            other.execute("BEGIN IMMEDIATE")
            assert Ledger(BASIC, tmp_path, "token").left_today() is None


class TestFile:
    def test_nobody_else_may_read_it_and_it_holds_no_token(
        self, server: at.sandbox.Sandbox, client: at.Client, tmp_path: Path
    ) -> None:
        client.get_kline(*CALL)
        state = tmp_path / "state"
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        files = list(state.iterdir())
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert all(server.token.encode() not in path.read_bytes() for path in files)

    def test_a_damaged_file_is_said_and_the_process_goes_on_by_itself(self, clocks: Clocks, tmp_path: Path) -> None:
        (tmp_path / "ledger-1.sqlite3").write_bytes(b"no database" * 1_000)
        ledger = Ledger(BASIC, tmp_path, "token")
        assert [reserved(ledger), reserved(ledger)] == pytest.approx([1_000, 1_001.025])
        (said,) = ledger.warnings()
        assert "file is not a database" in str(said)
        assert ledger.warnings() == []

    def test_a_damaged_entry_begins_anew(self, clocks: Clocks, tmp_path: Path) -> None:
        ledger = Ledger(BASIC, tmp_path, "token")
        ledger.use(BASIC)
        reserved(ledger)
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger-1.sqlite3", isolation_level=None)) as other:
            other.execute("UPDATE budgets SET plan = x'00', kept = x'00'")
        assert ledger.remembered() is None
        assert reserved(ledger) == 1_000


class TestPlan:
    def test_what_one_client_names_the_next_one_knows(
        self, server: at.sandbox.Sandbox, connect: Callable[..., at.Client]
    ) -> None:
        connect(plan="premium").get_kline(*CALL)
        client = connect(plan=None, limits=None)
        client.get_kline(*CALL)
        assert "plan='premium'" in repr(client)

    def test_a_plan_that_was_only_assumed_is_not_remembered(self, connect: Callable[..., at.Client]) -> None:
        for _ in range(2):
            with pytest.warns(at.PlanWarning):
                connect(plan=None).get_kline(*CALL)

    def test_limits_apply_to_the_plan_that_is_remembered(self, connect: Callable[..., at.Client]) -> None:
        connect(plan="premium").get_kline(*CALL)
        client = connect(plan=None, limits={"share": 0.5})
        client.get_kline(*CALL)
        assert client.settings.plan == plan_named("premium", {"share": 0.5})
        other = connect(plan=None, limits=None)
        other.get_kline(*CALL)
        assert other.settings.plan == client.settings.plan

    def test_every_client_counts_under_the_plan_named_last(self, clocks: Clocks, tmp_path: Path) -> None:
        ledger, other = Ledger(BASIC, tmp_path, "token"), Ledger(FREE, tmp_path, "token")
        other.use(FREE)
        assert [reserved(ledger), reserved(ledger)] == [1_000, 1_010.5]


ASKING = """
import sys, alltick_frames as at
# The margin of a busy test machine, and not of a network.
at.configure(limits={"margin_s": 0.1})
at.get_kline(sys.argv[1], "1m", "4y", progress=False)
"""
CODES = ("EURUSD", "GOLD", "BTCUSDT", "USDJPY")


def test_processes_that_stop_and_die_never_send_too_fast(tmp_path: Path) -> None:
    def wait_for_more(codes: tuple[str, ...]) -> None:
        had = server.counters()["codes"]
        until = time.monotonic() + 60
        while any(server.counters()["codes"].get(code, 0) < had.get(code, 0) + 10 for code in codes):
            assert time.monotonic() < until
            time.sleep(0.1)

    with at.sandbox.running(limits="count", jitter_ms=2) as server, contextlib.ExitStack() as ended:
        processes = []
        for code in CODES:
            server.bars(code, "1m", "2026-01-05", "2026-01-06")  # so that its first answer takes no longer
            environment: dict[str, Any] = {
                **os.environ,
                "ALLTICK_TOKEN": server.token,
                "ALLTICK_BASE_URL": server.url,
                "ALLTICK_PLAN": "professional",
                "ALLTICK_CACHE_DIR": str(tmp_path / code),
            }
            process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", ASKING, code], env=environment)
            ended.callback(process.wait)
            ended.callback(process.kill)
            processes.append(process)
        wait_for_more(CODES)
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        for process in processes:
            process.send_signal(signal.SIGCONT)
        wait_for_more(CODES)
        processes[0].kill()
        wait_for_more(CODES[1:])
        assert server.violations() == {}
