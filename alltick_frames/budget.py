"""When each request may leave. Pure: the time is an argument, waiting is the caller's.

A reservation takes the next slot at which no window of the plan, wherever it begins, holds more requests than
allowed; windows that begin on the clock's full second or minute are thereby respected too.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from alltick_frames.errors import BudgetError

if TYPE_CHECKING:
    from alltick_frames.plans import Plan, Rate

__all__ = ["Budget"]

# Requests are spread over their window rather than sent in a burst, a little faster than evenly so that a slot
# given up does not lower the rate.
_PACE = 0.9
_MINUTE_S, _DAY_S = 60, 86_400
_LONGEST_PAUSE_S = 180


class Budget:
    """The slots taken under one plan.

    Examples
    --------
    >>> from alltick_frames.plans import plan_named
    >>> budget = Budget(plan_named("free"))
    >>> [budget.reserve(now=0.0), budget.reserve(now=0.0)]
    [0.0, 10.5]
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._rates = (plan.kline, plan.combined, plan.minute)
        # All that any window may still hold, not only as many as fill one: the last of them can be given back.
        self._slots: deque[float] = deque()
        self._longest_s = max(rate.seconds for rate in self._rates) + plan.margin_s
        self._per_minute: Counter[int] = Counter()
        self._paused_until = 0.0
        self._pause_s = plan.pause_s

    def reserve(self, now: float) -> float:
        """Take the next free slot at or after *now*, in the same clock's seconds.

        Raises
        ------
        BudgetError
            The day's allowance is used up.
        """
        while self._slots and self._slots[0] < now - self._longest_s:
            self._slots.popleft()
        slot = max(now, self._paused_until, *map(self._free_from, self._rates))
        if self._slots:
            slot = max(slot, self._slots[-1] + _PACE * min(rate.seconds / rate.requests for rate in self._rates))
        self._check_day(slot)
        self._slots.append(slot)
        self._per_minute[int(slot // _MINUTE_S)] += 1
        return slot

    def give_back(self, slot: float) -> None:
        """Return a slot that was not used; only the last one taken can be used by another."""
        if self._slots and self._slots[-1] == slot:
            self._slots.pop()
            self._per_minute[int(slot // _MINUTE_S)] -= 1

    def throttled(self, now: float) -> None:
        """Pause every request after the vendor said that they come too fast; longer each time it says so again."""
        if now < self._paused_until:
            return  # the answer to a request that left before the pause began
        self._paused_until = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def answered(self) -> None:
        """Note that the vendor answered again: the next pause starts short."""
        self._pause_s = self.plan.pause_s

    def _free_from(self, rate: Rate) -> float:
        if len(self._slots) < rate.requests:
            return 0.0
        return self._slots[-rate.requests] + rate.seconds + self.plan.margin_s

    def _check_day(self, slot: float) -> None:
        this_minute = int(slot // _MINUTE_S)
        first_minute = this_minute - _DAY_S // _MINUTE_S
        for minute in [minute for minute in self._per_minute if minute < first_minute]:
            del self._per_minute[minute]
        if self._per_minute.total() >= self.plan.day.requests:
            oldest = min(minute for minute, requests in self._per_minute.items() if requests)
            hours = ((oldest + 1) * _MINUTE_S + _DAY_S - slot) / 3600
            raise BudgetError(
                f"the {self.plan.name} plan's {self.plan.day.requests:,} requests a day are used up; "
                f"the first of them returns in {hours:.1f} hours"
            )
