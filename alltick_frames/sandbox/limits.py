"""The plans as data, and their enforcement (alltick-api.md section 8)."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from alltick_frames.sandbox.products import DEMO_CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PLANS", "Limiter", "Mode", "Plan", "Window", "plan_named"]

DAY_S = 86400
_EACH = ("kline", "depth-tick", "trade-tick", "static_info")
_HALTS = ("suspension/sse", "suspension/nyse", "suspension/nasdaq")

Mode = Literal["enforce", "count", "off"]


@dataclass(frozen=True, slots=True)
class Window:
    """At most *limit* requests in any *length_s* seconds."""

    name: str
    limit: int
    length_s: int
    endpoint: str | None = None
    """The endpoint it counts; None counts all together."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a subscription allows."""

    name: str
    windows: tuple[Window, ...]
    groups: int
    """Pairs of code and period in one request to ``/batch-kline``."""
    codes: int
    """Codes in one request for ticks or static information."""
    history_years: int | None
    """How far back the quote family answers; None where the plan sells no paged history."""
    connections: int
    """WebSocket connections of each family."""
    stream_codes: int
    """Codes of each kind on one of them."""
    covers: Callable[[str], bool]
    """Whether the plan includes a code."""


def _plan(
    name: str,
    each: tuple[int, int],
    batch: tuple[int, int],
    *,
    minute: int,
    day: int,
    groups: int,
    years: int | None,
    codes: int = 50,
    streams: tuple[int, int] = (10, 3_000),
    covers: Callable[[str], bool] = lambda _code: True,
) -> Plan:
    windows = (
        *(Window(endpoint, *each, endpoint) for endpoint in _EACH),
        Window("batch-kline", *batch, "batch-kline"),
        # Once a minute on every plan.
        *(Window(endpoint, 1, 60, endpoint) for endpoint in _HALTS),
        # On every plan the combined rate equals the rate of a single endpoint.
        Window("combined", *each),
        Window("minute", minute, 60),
        Window("day", day, DAY_S),
    )
    return Plan(name, windows, groups, codes, years, *streams, covers)


def _suffix(*suffixes: str) -> Callable[[str], bool]:
    return lambda code: code.endswith(suffixes)


PLANS = {
    plan.name: plan
    for plan in (
        _plan(
            "free",
            (1, 10),
            (1, 10),
            minute=10,
            day=1_000,
            groups=5,
            codes=5,
            years=1,
            streams=(1, 5),
            covers=DEMO_CODES.__contains__,
        ),
        _plan("basic", (1, 1), (1, 3), minute=60, day=86_400, groups=100, years=1, streams=(1, 100)),
        _plan("premium", (10, 1), (1, 2), minute=600, day=864_000, groups=200, years=3, streams=(3, 200)),
        _plan("professional", (20, 1), (1, 1), minute=1_200, day=1_728_000, groups=500, years=5),
        _plan("all_hk", (20, 1), (1, 1), minute=1_200, day=1_728_000, groups=500, years=None, covers=_suffix(".HK")),
        _plan(
            "all_cn", (20, 1), (1, 1), minute=1_200, day=1_728_000, groups=500, years=None, covers=_suffix(".SH", ".SZ")
        ),
        _plan("all_us", (20, 1), (1, 1), minute=1_200, day=1_728_000, groups=500, years=None, covers=_suffix(".US")),
    )
}
"""What each plan allows, from sections 8.1 and 8.2; pairs are requests and seconds."""


def plan_named(name: str) -> Plan:
    """Return the plan called *name*, or raise a ValueError that lists the names."""
    if name not in PLANS:
        raise ValueError(f"plan={name!r} is not one of {', '.join(PLANS)}")
    return PLANS[name]


def _server_time() -> Callable[[], float]:
    """Return a clock that shows wall time now and never jumps afterwards."""
    epoch = time.time() - time.monotonic()
    return lambda: epoch + time.monotonic()


@dataclass(slots=True)
class Limiter:
    """Counts the requests of one token against a plan, in both readings of every window.

    The protocol does not say whether a window slides or begins at a round second, so a request passes only
    if both readings allow it. Time is real time, whatever the sandbox's clock shows.
    """

    mode: Mode = "enforce"
    count_rejected: bool = False
    """Whether a rejected request uses up allowance too (the protocol does not say)."""
    clock: Callable[[], float] = field(default_factory=_server_time)
    violations: Counter[str] = field(default_factory=Counter)
    _passed: dict[str, deque[float]] = field(default_factory=dict)
    _buckets: dict[str, tuple[int, int]] = field(default_factory=dict)

    def admits(self, plan: Plan, endpoint: str) -> bool:
        """Count a request to *endpoint* and return whether it may be answered."""
        if self.mode == "off":
            return True
        now = self.clock()
        windows = [window for window in plan.windows if window.endpoint in (None, endpoint)]
        exceeded = [reading for window in windows for reading in self._exceeded(window, now)]
        self.violations.update(exceeded)
        if not exceeded or self.count_rejected or self.mode == "count":
            for window in windows:
                self._record(window, now)
        return not exceeded or self.mode == "count"

    def forget(self) -> None:
        """Forget every request and violation."""
        for memory in (self.violations, self._passed, self._buckets):
            memory.clear()

    def _exceeded(self, window: Window, now: float) -> Iterator[str]:
        passed = self._passed.setdefault(window.name, deque())
        while passed and passed[0] <= now - window.length_s:
            passed.popleft()
        if len(passed) >= window.limit:
            yield f"{window.name}/sliding"
        bucket, count = self._buckets.get(window.name, (0, 0))
        if bucket == now // window.length_s and count >= window.limit:
            yield f"{window.name}/fixed"

    def _record(self, window: Window, now: float) -> None:
        self._passed[window.name].append(now)
        current = int(now // window.length_s)
        bucket, count = self._buckets.get(window.name, (current, 0))
        self._buckets[window.name] = (current, count + 1 if bucket == current else 1)
