"""Everything of a running sandbox that can change. One event loop owns it: no locks."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args

from alltick_frames.sandbox.books import SHAPES
from alltick_frames.sandbox.clock import Clock, clock_at
from alltick_frames.sandbox.faults import FaultPlan
from alltick_frames.sandbox.limits import Limiter, Mode, Plan, plan_named
from alltick_frames.sandbox.market import Market
from alltick_frames.sandbox.products import Product, find_product
from alltick_frames.sandbox.readings import Readings, changed
from alltick_frames.sandbox.replay import Replay
from alltick_frames.sandbox.sheets import TABS
from alltick_frames.sandbox.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["LOG_LENGTH", "State"]

LOG_LENGTH = 100_000
"""Requests that the log remembers; older ones are only counted."""


@dataclass(slots=True)
class State:
    """One sandbox: who may ask, what it answers from, how it misbehaves, and what it has seen."""

    token: str
    plan: Plan
    seed: int = 0
    clock: Clock = field(default_factory=Clock)
    readings: Readings = field(default_factory=Readings)
    limiter: Limiter = field(default_factory=Limiter)
    faults: FaultPlan = field(default_factory=FaultPlan)
    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    replays: dict[str, Replay] = field(default_factory=dict)
    books: dict[str, str] = field(default_factory=dict)
    """Codes whose order book has another of the shapes in `books.SHAPES`."""
    silent_codes: frozenset[str] = frozenset()
    """Codes that the server happens to know no tick of."""
    sheets: dict[str, str] = field(default_factory=dict)
    """What product sheets say instead of their own rows, by tab."""
    totals: Counter[str] = field(default_factory=Counter)
    endpoints: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    log: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LOG_LENGTH))
    streams: Streams = field(default_factory=Streams)

    def source(self, code: str) -> tuple[Market | Replay, Product | None] | None:
        """Return what answers for *code* and, unless it is a replay, its product; None if unknown."""
        if code in self.replays:
            return self.replays[code], None
        product = find_product(code)
        return None if product is None else (Market(product, self.seed), product)

    def replay(self, code: str) -> Replay:
        """Return the replay of *code*, made on first use."""
        return self.replays.setdefault(code, Replay(code))

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Apply all of *changes*; names that are no setting are a TypeError, wrong values a ValueError."""
        for name in changes:
            if name not in _SETTERS:
                raise TypeError(f"{name!r} is not one of {', '.join(_SETTERS)}")
        for name, value in changes.items():
            _SETTERS[name](self, value)

    def record(self, entry: dict[str, Any]) -> None:
        """Count one answered request and remember it."""
        self.totals["requests"] += 1
        self.totals["bars"] += entry["bars"]
        self.endpoints[entry["endpoint"]] += 1
        self.answers[entry["answer"]] += 1
        self.codes.update(_codes_of(entry))
        self.log.append(entry)

    def counters(self) -> dict[str, Any]:
        """Return every count so far."""
        return {
            "requests": self.totals["requests"],
            "bars": self.totals["bars"],
            "endpoints": dict(self.endpoints),
            "codes": dict(self.codes),
            "answers": dict(self.answers),
            "violations": dict(self.limiter.violations),
        }

    def reset(self) -> None:
        """Forget counts, log, used-up limits and failures still to come; settings stay."""
        for counts in (self.totals, self.endpoints, self.codes, self.answers, self.log):
            counts.clear()
        self.limiter.forget()
        self.streams.forget()
        self.faults.upcoming.clear()


def _codes_of(entry: Mapping[str, Any]) -> list[Any]:
    """Return the codes that a request asked for, each as often as it did."""
    grouped = [code for code, _ in entry["groups"] or ()]
    return [code for code in (*grouped, *entry.get("codes", ()), entry["code"]) if code is not None]


def _set_plan(state: State, name: str) -> None:
    state.plan = plan_named(name)


def _set_limits(state: State, value: bool | str) -> None:  # noqa: FBT001 - the value of a setting
    mode = {True: "enforce", False: "off"}.get(value, value) if isinstance(value, bool) else value
    if mode not in get_args(Mode):
        raise ValueError(f"limits={value!r} is not one of True, False, {', '.join(get_args(Mode))}")
    state.limiter.mode = mode  # type: ignore[assignment]  # checked against the Literal's own values


def _set_count_rejected(state: State, value: bool) -> None:  # noqa: FBT001 - the value of a setting
    state.limiter.count_rejected = bool(value)


def _set_readings(state: State, changes: Mapping[str, Any]) -> None:
    state.readings = changed(state.readings, changes)


def _set_clock(state: State, value: Mapping[str, Any]) -> None:
    state.clock = clock_at(value["at"], frozen=bool(value.get("frozen")))


def _set_faults(state: State, probabilities: Mapping[str, float]) -> None:
    state.faults.set_probabilities(probabilities)


def _set_fault_seed(state: State, seed: int) -> None:
    state.faults = replace(state.faults, seed=int(seed))


def _fail_next(state: State, value: tuple[int, str]) -> None:
    count, name = value
    state.faults.fail_next(int(count), name)


def _set_latency(state: State, value: float) -> None:
    state.latency_ms = float(value)


def _set_jitter(state: State, value: float) -> None:
    state.jitter_ms = float(value)


def _set_books(state: State, shapes: Mapping[str, str]) -> None:
    for code, shape in shapes.items():
        if shape not in SHAPES:
            raise ValueError(f"books: {shape!r} of {code} is not one of {', '.join(SHAPES)}")
    state.books = dict(shapes)


def _set_silent_codes(state: State, codes: Iterable[str]) -> None:
    if isinstance(codes, str):
        raise TypeError(f"silent_codes={codes!r} is text, and has to be a list of codes")
    state.silent_codes = frozenset(codes)


def _set_sheets(state: State, texts: Mapping[str, str]) -> None:
    tabs = [tab.name for tab in TABS.values()]
    for name in texts:
        if name not in tabs:
            raise ValueError(f"sheets: {name!r} is not one of {', '.join(tabs)}")
    state.sheets = dict(texts)


def _set_seed(state: State, value: int) -> None:
    state.seed = int(value)


_SETTERS: dict[str, Callable[[State, Any], None]] = {
    "plan": _set_plan,
    "limits": _set_limits,
    "count_rejected": _set_count_rejected,
    "readings": _set_readings,
    "clock": _set_clock,
    "faults": _set_faults,
    "fault_seed": _set_fault_seed,
    "fail_next": _fail_next,
    "latency_ms": _set_latency,
    "jitter_ms": _set_jitter,
    "seed": _set_seed,
    "books": _set_books,
    "silent_codes": _set_silent_codes,
    "sheets": _set_sheets,
}
