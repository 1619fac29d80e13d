"""The budget of a token, shared by every thread, process and kernel of this machine, and the waiting for its slots.

A reservation is one short transaction of SQLite's; the wait for the slot is outside of it. So slots are given first
come, first served over all processes, and one that is killed wastes the slots it has taken and no more.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import anyio
import msgspec

from alltick_frames.budget import Budget, State
from alltick_frames.clocks import uptime_s
from alltick_frames.errors import BudgetError, BudgetWarning
from alltick_frames.plans import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from alltick_frames.plans import Endpoint

__all__ = ["Kept", "Ledger", "Reading", "ledger_for", "shift_after"]

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

_FILE = "ledger-1.sqlite3"  # the number is that of what a row holds
_IN_MEMORY = ":memory:"
# A waiter that wakes later than the plan's margin, within these bounds, gives its slot up: sent now, its request would
# crowd the slots that follow. Even an idle machine wakes a few milliseconds late. What measured jitter adds to the
# windows excuses nobody: the network uses it up.
_LATE_S, _TOO_LATE_S = 0.02, 0.05
# The lock is held for a fraction of a millisecond, unless its holder was stopped just then.
_POLL_S = 0.002
_LOCKED, _PRIMARY_CODE = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), 0xFF
_LOCKED_AT_MOST_S = 60
# What can be lost without much harm holds nobody up for longer.
_NOTE_WITHIN_S = 0.25


class Reading(msgspec.Struct, frozen=True):
    """The clocks of this machine at one moment.

    Attributes
    ----------
    boot
        Which run of the system it is; empty where that is not known.
    uptime
        Seconds that no one can set back, equal for all processes, and counted while the machine sleeps. It begins
        anew with every boot.
    wall
        Seconds that outlive a boot, but may be set.
    """

    boot: str
    uptime: float
    wall: float


class Kept(msgspec.Struct):
    """What is kept of one token: its state, in seconds of `uptime + shift`, and the clocks when it was written."""

    read: Reading
    shift: float = 0.0
    state: State = msgspec.field(default_factory=State)


class Ledger:
    """One token's budget on one host; safe for threads and after a fork.

    Parameters
    ----------
    plan
        Counted under until a client that names its plan writes that into the ledger.
    directory
        Where it is shared with other processes; None keeps it in this one.
    """

    def __init__(self, plan: Plan, directory: Path | None = None, key: str = "") -> None:
        self._plan = plan
        self._directory = directory
        self._key = key
        self._shift = 0.0
        self._troubled = False
        self._delays: list[float] = []
        self._warning: BudgetWarning | None = None
        self._connection: sqlite3.Connection | None = None
        self._close: weakref.finalize[Any, Any] | None = None
        self._lock = threading.Lock()
        _all.add(self)

    def remembered(self) -> Plan | None:
        """Give the plan that was written last, if one ever was."""
        return self._now_or_never(self._read_plan)

    def use(self, plan: Plan) -> None:
        """Let every client of this token count under *plan* from now on."""
        self._plan = plan
        if self.remembered() != plan:
            self._now_or_never(self._write, "plan", plan)

    def assume(self, plan: Plan) -> None:
        """Count under *plan* in this process while the ledger remembers none."""
        self._plan = plan

    def warnings(self) -> list[BudgetWarning]:
        """Give what the user has not been told yet."""
        warning, self._warning = self._warning, None
        return [] if warning is None else [warning]

    async def reserve(self, endpoint: Endpoint = "kline") -> float:
        """Take a slot for *endpoint*; it may lie in the future. In seconds of the ledger's own clock.

        Raises
        ------
        BudgetError
            The day's allowance is used up, or the ledger stays locked.
        """
        began = time.monotonic()
        while True:
            with contextlib.suppress(_LockedError):
                slot, opens_in = self._run(self._change, functools.partial(self._reserve, endpoint))
                if slot is not None:
                    return slot
                await anyio.sleep(opens_in)
                began = time.monotonic()
                continue
            if time.monotonic() - began > _LOCKED_AT_MOST_S:
                raise BudgetError(
                    f"the budget in {self._directory} has been locked for {_LOCKED_AT_MOST_S} s; is a process that "
                    f"uses this token stopped? End it, or set ALLTICK_STATE_DIR"
                )
            await anyio.sleep(_POLL_S)

    async def wait_until_near(self, slot: float, lead_s: float) -> None:
        """Sleep until *lead_s* before *slot*, so that a connection can be opened before the slot comes."""
        try:
            await anyio.sleep(max(0.0, slot - lead_s - self._now()))
        except BaseException:
            self.give_back(slot)
            raise

    async def wait_for(self, slot: float, endpoint: Endpoint = "kline") -> float:
        """Sleep until *slot*, and take another one as often as it has passed unused or a pause was declared.

        Returns the slot that has come.
        """
        while True:
            await self.wait_until_near(slot, 0.0)
            paused = self._now_or_never(self._pauses, slot)
            # Last, so that nothing comes between this and the sending.
            if self._now() - slot <= min(max(self._plan.margin_s, _LATE_S), _TOO_LATE_S) and not paused:
                return slot
            self.give_back(slot)
            slot = await self.reserve(endpoint)

    def queue_s(self, plan: Plan, endpoint: Endpoint = "kline") -> float | None:
        """Give the seconds until the next slot under *plan*, by what others have taken; None if it stays locked."""
        return self._now_or_never(self._ask, lambda budget, now: budget.queue_s(now, endpoint), plan)

    def left_today(self, plan: Plan | None = None) -> int | None:
        """Give how many requests of the day's allowance are left under *plan*; None if the ledger stays locked."""
        return self._now_or_never(self._ask, Budget.left_today, plan)

    def returns_in(self) -> float | None:
        """Give the seconds until more of them are left; None if the ledger stays locked."""
        return self._now_or_never(self._ask, Budget.returns_in, None)

    def give_back(self, slot: float) -> None:
        """Return a slot that was not used."""
        self._now_or_never(self._change, lambda budget, _: budget.give_back(slot))

    def throttled(self) -> None:
        """Note that the vendor said requests come too fast: everyone pauses."""
        self._now_or_never(self._change, Budget.throttled)

    def arrived(self, slot: float) -> None:
        """Note that the answer to the request of *slot* begins to come; it is handed on with the next reservation."""
        self._delays.append(self._now() - slot)

    def answered(self) -> None:
        """Note an answer; that is news only after the vendor has complained."""
        if self._troubled:
            self._now_or_never(self._change, lambda budget, _: budget.answered())

    def forget_parent(self) -> None:
        """Drop what a fork copied: SQLite's connections do not survive one, nor a lock that another thread held."""
        if self._close is not None:
            self._close.detach()  # closing, too, is for the parent
            _abandoned.append(self._connection)
        self._connection = self._close = None
        self._lock = threading.Lock()

    def _now(self) -> float:
        return read_clocks().uptime + self._shift

    def _now_or_never(self, work: Callable[[sqlite3.Connection, *Arguments], T], *args: *Arguments) -> T | None:
        """Do *work*, or give None if the ledger stays locked."""
        until = time.monotonic() + _NOTE_WITHIN_S
        while time.monotonic() < until:
            with contextlib.suppress(_LockedError):
                return self._run(work, *args)
            time.sleep(_POLL_S)
        return None

    def _run(self, work: Callable[[sqlite3.Connection, *Arguments], T], *args: *Arguments) -> T:
        """Do *work* on the file, or in memory from the moment that the file cannot be used."""
        with self._lock:
            try:
                return work(self._opened(), *args)
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE in _LOCKED:
                    raise _LockedError from None
                why = str(error)
            except OSError as error:
                why = error.strerror or type(error).__name__
            self._warning = BudgetWarning(
                f"the budget of this token cannot be shared with other processes, because {self._directory} cannot be "
                f"used: {why}; give it back its permissions, remove a damaged {_FILE} from it, or set ALLTICK_STATE_DIR"
            )
            if self._close is not None:
                self._close()
            self._connection = self._directory = None
            return work(self._opened(), *args)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = _open(self._directory)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                # What a power cut loses is of no use after it.
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("CREATE TABLE IF NOT EXISTS budgets (key TEXT PRIMARY KEY, plan BLOB, kept BLOB)")
                connection.execute("INSERT OR IGNORE INTO budgets (key) VALUES (?)", (self._key,))
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
            self._close = weakref.finalize(self, connection.close)
        return self._connection

    def _change(self, connection: sqlite3.Connection, change: Callable[[Budget, float], T]) -> T:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            kept = self._read_kept(connection)
            result = change(self._budget(connection, kept), kept.read.uptime + kept.shift)
            self._write(connection, "kept", kept)
        self._shift = kept.shift
        self._troubled = kept.state.pause_s > 0
        return result

    def _reserve(self, endpoint: Endpoint, budget: Budget, now: float) -> tuple[float | None, float]:
        """Take a slot, or say after how many seconds to try again."""
        delays, self._delays = self._delays, []
        budget.delayed(delays)
        opens_in = budget.opens_in(endpoint, now)
        return (None, opens_in) if opens_in > 0 else (budget.reserve(now, endpoint), 0.0)

    def _ask(self, connection: sqlite3.Connection, question: Callable[[Budget, float], T], plan: Plan | None) -> T:
        kept = self._read_kept(connection)
        budget = self._budget(connection, kept) if plan is None else Budget(plan, kept.state)
        return question(budget, kept.read.uptime + kept.shift)

    def _budget(self, connection: sqlite3.Connection, kept: Kept) -> Budget:
        return Budget(self._read_plan(connection) or self._plan, kept.state)

    def _read_plan(self, connection: sqlite3.Connection) -> Plan | None:
        return self._read(connection, "plan", Plan)

    def _read_kept(self, connection: sqlite3.Connection) -> Kept:
        """Read the state, and the clocks as of now."""
        now = read_clocks()
        kept = self._read(connection, "kept", Kept)
        return Kept(now) if kept is None else Kept(now, shift_after(kept, now), kept.state)

    def _pauses(self, connection: sqlite3.Connection, slot: float) -> bool:
        return slot < self._read_kept(connection).state.paused_until

    def _read(self, connection: sqlite3.Connection, column: str, kind: type[T]) -> T | None:
        query = f"SELECT {column} FROM budgets WHERE key = ?"  # noqa: S608  # a name of ours
        ((content,),) = connection.execute(query, (self._key,))
        if content is None:
            return None
        try:
            return msgspec.msgpack.decode(content, type=kind)
        except msgspec.DecodeError:
            return None  # as if it had never been written

    def _write(self, connection: sqlite3.Connection, column: str, value: Plan | Kept) -> None:
        statement = f"UPDATE budgets SET {column} = ? WHERE key = ?"  # noqa: S608  # a name of ours
        connection.execute(statement, (msgspec.msgpack.encode(value), self._key))


class _LockedError(Exception):
    """Another process is in its transaction."""


def read_clocks() -> Reading:
    """Read this machine's clocks: the only place of the budget that does."""
    return Reading(_boot(), uptime_s(), time.time())


def shift_after(kept: Kept, now: Reading) -> float:
    """Give what to add to the uptime so that the ledger's clock goes on where *kept* left it.

    The wall clock counts for nothing but the time that a reboot took: it may be set, the uptime may not.
    """
    last = kept.read
    if now.boot == last.boot and now.uptime >= last.uptime:
        return kept.shift
    passed = now.wall - last.wall
    # A wall clock that was set back meanwhile knows less than the time since the boot.
    return last.uptime + kept.shift + (passed if passed > 0 else now.uptime) - now.uptime


def ledger_for(key: str, plan: Plan, directory: Path | None = None) -> Ledger:
    """Give this process's ledger for the token and host with the fingerprint *key*, kept in *directory*."""
    with _ledgers_lock:
        return _ledgers.setdefault((key, directory), Ledger(plan, directory, key))


def _open(directory: Path | None) -> sqlite3.Connection:
    path: str | Path = _IN_MEMORY
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / _FILE
        # Only if it is new: closing a file a second time would take SQLite's locks away.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)


@functools.cache
def _boot() -> str:
    # Elsewhere a reboot is seen by the uptime alone; one missed makes the day's allowance return late, no more.
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


_ledgers: dict[tuple[str, Path | None], Ledger] = {}
_ledgers_lock = threading.Lock()
_all: weakref.WeakSet[Ledger] = weakref.WeakSet()
_abandoned: list[sqlite3.Connection | None] = []


def _after_fork_in_child() -> None:
    # It may have been held by a thread that does not exist here.
    global _ledgers_lock  # noqa: PLW0603
    _ledgers_lock = threading.Lock()
    for ledger in list(_all):
        ledger.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
