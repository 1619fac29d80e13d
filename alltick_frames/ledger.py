"""The budget of a token, shared by every client of this process, and the waiting for its slots."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import anyio

from alltick_frames.budget import Budget

if TYPE_CHECKING:
    from alltick_frames.plans import Plan

__all__ = ["Ledger", "ledger_for"]

# A waiter that wakes later than this gives its slot up: sent now, its request would crowd the slots that follow.
_TOO_LATE_S = 0.05


class Ledger:
    """One token's budget on one host; safe for threads."""

    def __init__(self, plan: Plan) -> None:
        self._lock = threading.Lock()
        self._budget = Budget(plan)

    def use(self, plan: Plan) -> None:
        """Count under *plan* from now on; what was sent before stays counted only if the plan is the same."""
        with self._lock:
            if plan != self._budget.plan:
                self._budget = Budget(plan)

    def reserve(self) -> float:
        """Take a slot; it may lie in the future. In `time.monotonic` seconds."""
        with self._lock:
            return self._budget.reserve(time.monotonic())

    async def wait_until_near(self, slot: float, lead_s: float) -> None:
        """Sleep until *lead_s* before *slot*, so that a connection can be opened before the slot comes."""
        try:
            await anyio.sleep(max(0.0, slot - lead_s - time.monotonic()))
        except BaseException:
            self.give_back(slot)
            raise

    async def wait_for(self, slot: float) -> None:
        """Sleep until *slot*, and take another one as often as it has passed unused."""
        while True:
            await anyio.sleep(max(0.0, slot - time.monotonic()))
            if time.monotonic() - slot <= _TOO_LATE_S:
                return
            slot = self.reserve()

    def give_back(self, slot: float) -> None:
        """Return a slot that was not used."""
        with self._lock:
            self._budget.give_back(slot)

    def throttled(self) -> None:
        """Note that the vendor said requests come too fast: everyone pauses."""
        with self._lock:
            self._budget.throttled(time.monotonic())

    def answered(self) -> None:
        """Note an answer."""
        with self._lock:
            self._budget.answered()


_ledgers: dict[str, Ledger] = {}
_ledgers_lock = threading.Lock()


def ledger_for(fingerprint: str, plan: Plan) -> Ledger:
    """Give the ledger of the token and host with this *fingerprint*, counting under *plan*."""
    with _ledgers_lock:
        ledger = _ledgers.setdefault(fingerprint, Ledger(plan))
    ledger.use(plan)
    return ledger


def _after_fork_in_child() -> None:
    # A lock may have been held by a thread that does not exist here.
    global _ledgers_lock  # noqa: PLW0603
    _ledgers_lock = threading.Lock()
    _ledgers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
