"""When each request may leave. Pure: time and state are arguments, waiting and keeping are the caller's.

A reservation takes the next slot at which no window of the plan, wherever it begins, holds more requests than
allowed; windows that begin on the clock's full second, minute or day are thereby respected too.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import msgspec

from alltick_frames.errors import BudgetError

if TYPE_CHECKING:
    from alltick_frames.plans import Endpoint, Plan, Rate

__all__ = ["Budget", "State"]

# Requests are spread over their window rather than sent in a burst, a little faster than evenly so that a slot
# given up does not lower the rate.
_PACE = 0.9
_MINUTE_S = 60
# Of longer windows the requests of each second are counted and of the day those of each minute, so that the state
# stays small; a bucket counts until its end has left the window.
_LONGEST_EXACT_S = 10
# Two requests that leave a window apart arrive closer if the first is delayed more than the second: by at most what
# the delays differ. Without the slowest and the fastest tenth of them, so that a few stragglers, such as a stopped
# process leaves, cost nobody's rate; a quarter more is what even delays differ with those tenths.
_DELAYS, _STRAGGLERS, _WITH_STRAGGLERS = 50, 10, 1.25
# Whatever the jitter is, it costs no more of the rate.
_LARGEST_PAD = 0.1
_LONGEST_PAUSE_S = 180
# So many of the last ones may be given back.
_GIVEN_BACK = 8
# After "too many requests" every window is longer than the plan's, and half of that is taken back in this time.
_STRETCH, _LONGEST_STRETCH = 1.1, 2.0
_RELAXED_BY_HALF_S = 300


class State(msgspec.Struct):
    """What one token has taken, in seconds of a clock that never goes back.

    Attributes
    ----------
    slots
        Those that a window up to `_LONGEST_EXACT_S` may still hold, not only as many as fill one: the last of them
        can be given back.
    seconds, minutes
        Slots by the number of their second and minute, oldest first, because slots are given in order.
    pause_s
        The length of the last pause while the vendor has not answered since, else 0.
    stretch, stretched_at
        How many times longer than the plan's the windows were after the last throttling.
    delays
        From their slots to their answers, of the last requests of all who use the token.
    own
        The last slots of each endpoint whose own window is longer than that of all.
    """

    slots: list[float] = []
    seconds: dict[int, int] = {}
    minutes: dict[int, int] = {}
    paused_until: float = 0.0
    pause_s: float = 0.0
    stretch: float = 1.0
    stretched_at: float = 0.0
    delays: list[float] = []
    own: dict[str, list[float]] = {}


class Budget:
    """The slots taken under one plan.

    Examples
    --------
    >>> from alltick_frames.plans import plan_named
    >>> budget = Budget(plan_named("free"))
    >>> [budget.reserve(now=0.0), budget.reserve(now=0.0)]
    [0.0, 10.5]
    """

    def __init__(self, plan: Plan, state: State | None = None) -> None:
        self.plan = plan
        self.state = state or State()

    def opens_in(self, endpoint: Endpoint, now: float) -> float:
        """Give the seconds to wait before reserving for *endpoint*.

        Slots are given in order: one for later would hold up all that can go before it.
        """
        rate, slots = self.plan.own_rate(endpoint), self.state.own.get(endpoint, [])
        if rate is None or len(slots) < rate.requests:
            return 0.0
        opens = slots[-rate.requests] + (rate.seconds + self._pad_s()) * self._stretch(now)
        return max(0.0, opens - self._next_slot(now))

    def reserve(self, now: float, endpoint: Endpoint = "kline") -> float:
        """Take the next free slot at or after *now*.

        Raises
        ------
        BudgetError
            The day's allowance is used up.
        """
        slot = self._next_slot(now)
        if not self._left_at(slot):
            raise BudgetError(
                f"the {self.plan.name} plan's {self.plan.day.requests:,} requests a day are used up; "
                f"the first of them returns in {self.returns_in(now) / 3600:.1f} hours"
            )
        self._forget(now)
        state = self.state
        state.slots.append(slot)
        own = self.plan.own_rate(endpoint)
        if own is not None:
            state.own[endpoint] = [*state.own.get(endpoint, []), slot][-own.requests - _GIVEN_BACK :]
        _count(state.seconds, int(slot), 1)
        _count(state.minutes, int(slot // _MINUTE_S), 1)
        return slot

    def delayed(self, delays: list[float]) -> None:
        """Note how long after their slots the answers to some requests came; their jitter widens the windows."""
        self.state.delays = [*self.state.delays, *delays][-_DELAYS:]

    def queue_s(self, now: float, endpoint: Endpoint = "kline") -> float:
        """Give the seconds until the next slot for *endpoint*."""
        return self._next_slot(now) - now + self.opens_in(endpoint, now)

    def left_today(self, now: float) -> int:
        """Give how many requests of the day's allowance are left to those who reserve *now*."""
        return self._left_at(self._next_slot(now))

    def returns_in(self, now: float) -> float:
        """Give the seconds until more than `left_today` are left; 0 if none is used."""
        used = self.plan.day.requests - self.left_today(now)
        return _left_by(self.state.minutes, _MINUTE_S, used) + self._day_s() - now if used else 0.0

    def give_back(self, slot: float) -> None:
        """Return a slot that was not used: it counts no more, and if it was the last one another gets it."""
        state = self.state
        for slots in (state.slots, *state.own.values()):
            if slot in slots:
                slots.remove(slot)
        # Of an old one the counts may be forgotten already.
        for buckets, bucket in ((state.seconds, int(slot)), (state.minutes, int(slot // _MINUTE_S))):
            if bucket in buckets:
                _count(buckets, bucket, -1)

    def throttled(self, now: float) -> None:
        """Pause every request after the vendor said that they come too fast; longer each time it says so again."""
        state = self.state
        if now < state.paused_until:
            return  # the answer to a request that left before the pause began
        state.pause_s = min(2 * state.pause_s, _LONGEST_PAUSE_S) if state.pause_s else self.plan.pause_s
        state.paused_until = now + state.pause_s
        state.stretch = min(_STRETCH * self._stretch(now), _LONGEST_STRETCH)
        state.stretched_at = now

    def answered(self) -> None:
        """Note that the vendor answered again: the next pause starts short."""
        self.state.pause_s = 0.0

    def _pad_s(self) -> float:
        """Give what is added to every window."""
        delays = sorted(self.state.delays)
        stragglers = len(delays) // _STRAGGLERS
        jitter_s = _WITH_STRAGGLERS * (delays[-1 - stragglers] - delays[stragglers]) if delays else 0.0
        return max(self.plan.margin_s, min(jitter_s, _LARGEST_PAD * min(rate.seconds for rate in self.plan.rates)))

    def _day_s(self) -> float:
        return self.plan.day.seconds + self._pad_s()

    def _stretch(self, now: float) -> float:
        state = self.state
        if state.stretch == 1:
            return 1.0
        return 1 + (state.stretch - 1) * math.exp2(-(now - state.stretched_at) / _RELAXED_BY_HALF_S)

    def _free_from(self, rate: Rate, stretch: float) -> float:
        length_s = (rate.seconds + self._pad_s()) * stretch
        if rate.seconds > _LONGEST_EXACT_S:
            return _left_by(self.state.seconds, 1, rate.requests) + length_s
        slots = self.state.slots
        return slots[-rate.requests] + length_s if len(slots) >= rate.requests else 0.0

    def _next_slot(self, now: float) -> float:
        state, stretch = self.state, self._stretch(now)
        slot = max(now, state.paused_until, *(self._free_from(rate, stretch) for rate in self.plan.rates))
        if state.slots:
            pace_s = _PACE * stretch * min(rate.seconds / rate.requests for rate in self.plan.rates)
            slot = max(slot, state.slots[-1] + pace_s)
        return slot

    def _left_at(self, slot: float) -> int:
        """Give how many more requests the day that ends with *slot* may hold."""
        used, day_s = sum(self.state.minutes.values()), self._day_s()
        for minute, count in self.state.minutes.items():
            if (minute + 1) * _MINUTE_S + day_s > slot:
                break
            used -= count
        return max(0, self.plan.day.requests - used)

    def _forget(self, now: float) -> None:
        """Drop what no window that is still to come can hold."""
        state, pad_s = self.state, self._pad_s()
        longest_s = max(rate.seconds for rate in self.plan.rates)
        exact_s = max((rate.seconds for rate in self.plan.rates if rate.seconds <= _LONGEST_EXACT_S), default=0)
        # The last slot stays whatever its age: the pace is kept to it.
        oldest = now - (exact_s + pad_s) * _LONGEST_STRETCH
        state.slots = [slot for slot in state.slots[:-1] if slot >= oldest] + state.slots[-1:]
        _drop_before(state.seconds, now - (longest_s + pad_s) * _LONGEST_STRETCH, 1)
        _drop_before(state.minutes, now - self._day_s(), _MINUTE_S)


def _count(buckets: dict[int, int], bucket: int, change: int) -> None:
    buckets[bucket] = buckets.get(bucket, 0) + change
    if not buckets[bucket]:
        del buckets[bucket]


def _left_by(buckets: dict[int, int], width_s: int, requests: int) -> float:
    """Give the end of the newest bucket that must have left a window before it has room below *requests*."""
    excess = sum(buckets.values()) - requests
    end = -math.inf
    for bucket, count in buckets.items():
        if excess < 0:
            break
        end = (bucket + 1) * width_s
        excess -= count
    return end


def _drop_before(buckets: dict[int, int], time: float, width_s: int) -> None:
    for bucket in list(itertools.takewhile(lambda bucket: (bucket + 1) * width_s <= time, buckets)):
        del buckets[bucket]
