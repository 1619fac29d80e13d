"""Many codes asked about in sets as large as the plan allows: the driver of every endpoint that takes a list.

One code that is refused refuses its whole set, so the set is halved until the culprits stand alone: k of n cost at most
2k⌈log₂ n⌉ + 1 requests. Who they are is remembered, and so is how many the vendor answers at once if that are fewer
than the plan says: it leaves the others out without a word.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

from alltick_frames import workload
from alltick_frames.attempts import answered
from alltick_frames.errors import AllTickError, CodeNotPermittedError, PlanLimitError, PlanWarning, UnknownCodeError
from alltick_frames.plans import PLANS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from alltick_frames.clocks import CallClock
    from alltick_frames.errors import ApiError
    from alltick_frames.fetch import Report
    from alltick_frames.plans import Endpoint, Plan
    from alltick_frames.transport import Transport
    from alltick_frames.wire import Answer, Request

__all__ = ["Findings", "Inquiry", "Memory"]

Item = TypeVar("Item", bound="Hashable")
Found = TypeVar("Found")
R = TypeVar("R", bound="Request")

# One of many codes refuses all of them; so does a plan, all of them always.
_REFUSES_ALL = (UnknownCodeError, CodeNotPermittedError, PlanLimitError)
# The sizes at which some page has the vendor leave the rest out.
_CUT_AT = frozenset({10} | {plan.codes for plan in PLANS.values()} | {plan.batch_groups for plan in PLANS.values()})


@dataclass(slots=True)
class Memory:
    """What a session has learned of the vendor's refusals, by endpoint.

    Attributes
    ----------
    refused
        The error that each code, or code and period, earned.
    sizes
        How many are answered at once, where those are fewer than the plan says.
    """

    refused: dict[tuple[Endpoint, Hashable], ApiError] = field(default_factory=dict)
    sizes: dict[Endpoint, int] = field(default_factory=dict)


@dataclass(slots=True)
class Findings(Generic[Item, Found]):
    """What came of an inquiry, and what went wrong in it."""

    found: dict[Item, Found] = field(default_factory=dict)
    refused: dict[Item, ApiError] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    notices: list[PlanWarning] = field(default_factory=list)
    failure: AllTickError | None = None


class Inquiry(Generic[Item, R, Found]):
    """What is asked of one endpoint.

    Parameters
    ----------
    family_of
        Only items of one family may be in one request.
    request_of
        Makes the request for a set.
    read
        Makes of an answer what was found of each item that it has.
    """

    findings: Findings[Item, Found]

    def __init__(
        self,
        endpoint: Endpoint,
        items: Iterable[Item],
        size: int,
        family_of: Callable[[Item], Hashable],
        request_of: Callable[[tuple[Item, ...]], R],
        read: Callable[[Answer, R], Mapping[Item, Found]],
        memory: Memory,
    ) -> None:
        self.findings = Findings()
        self._endpoint = endpoint
        self._request_of = request_of
        self._read = read
        self._memory = memory
        families: dict[Hashable, list[Item]] = {}
        for item in items:
            if (endpoint, item) in memory.refused:
                self.findings.refused[item] = memory.refused[endpoint, item]
            else:
                families.setdefault(family_of(item), []).append(item)
        size = max(1, min(size, memory.sizes.get(endpoint, size)))
        self._sets = deque(
            tuple(some[first : first + size]) for some in families.values() for first in range(0, len(some), size)
        )
        self._total = len(self._sets)
        self._done = 0

    @property
    def endpoint(self) -> Endpoint:
        """Where the requests go."""
        return self._endpoint

    @property
    def requests_left(self) -> int:
        """How many requests are to be sent if none is refused."""
        return len(self._sets)

    async def work(self, transport: Transport, plan: Plan, clock: CallClock, report: Report) -> None:
        """Ask, several at a time; what goes wrong is noted in the findings."""
        began = time.monotonic()

        async def work_on() -> None:
            try:
                while self._sets and self.findings.failure is None:
                    await self._ask(self._next(), transport, clock, step)
            except AllTickError as error:
                self.findings.failure = self.findings.failure or error
                everyone.cancel_scope.cancel()

        def step(more: int) -> None:
            self._total += more
            self._done += 1
            pace_s = (time.monotonic() - began) / self._done
            report(self._done, self._total, pace_s * (self._total - self._done))

        async with anyio.create_task_group() as everyone:
            for _ in range(min(len(self._sets), workload.walkers(plan, transport.latency_s))):
                everyone.start_soon(work_on)

    def _next(self) -> tuple[Item, ...]:
        """Take a set, or as much of it as is answered at once by what has been learned meanwhile."""
        items = self._sets.popleft()
        size = self._memory.sizes.get(self._endpoint, len(items))
        if len(items) > size:
            self._sets.appendleft(items[size:])
            self._total += 1
        return items[:size]

    async def _ask(
        self,
        items: tuple[Item, ...],
        transport: Transport,
        clock: CallClock,
        step: Callable[[int], None],
        *,
        suspect: bool = False,
    ) -> bool:
        """Ask about *items*, and say whether one of them was refused; that one of many *suspect* ones is, is known."""
        halves = items[: len(items) // 2], items[len(items) // 2 :]
        limited = False
        if not suspect or len(items) == 1:
            try:
                await self._send(items, transport, clock, step)
            except _REFUSES_ALL as error:
                if len(items) == 1:
                    self.findings.refused[items[0]] = self._memory.refused[self._endpoint, items[0]] = error
                    step(0)
                    return True
                limited = isinstance(error, PlanLimitError)
                if limited:
                    self._memory.sizes[self._endpoint] = len(halves[1])
                step(2)
            else:
                return False
        refused = await self._ask(halves[0], transport, clock, step)
        # Of a set with a culprit one half has it; too many at once are refused without any.
        return await self._ask(halves[1], transport, clock, step, suspect=not (refused or limited)) or refused

    async def _send(
        self, items: tuple[Item, ...], transport: Transport, clock: CallClock, step: Callable[[int], None]
    ) -> None:
        request = self._request_of(items)

        async def the_request() -> R:
            return request

        answer, found = await answered(transport, clock, self._endpoint, the_request, self._read)
        self.findings.answers.append(answer)
        self.findings.found.update(found)
        rest = _left_out(items, found)
        step(1 if rest else 0)
        if rest:
            before = len(self.findings.found)
            await self._ask(rest, transport, clock, step)
            if len(self.findings.found) > before:
                self._learn(len(items) - len(rest), len(items))

    def _learn(self, size: int, asked: int) -> None:
        if size < self._memory.sizes.get(self._endpoint, asked):
            self._memory.sizes[self._endpoint] = size
            self.findings.notices.append(
                PlanWarning(
                    f"the vendor answers {size} of {asked} at once and leaves out the rest, which were asked for "
                    f"again; is plan= the one of this token? `alltick doctor --probe` finds out"
                )
            )


def _left_out(items: Sequence[Item], found: Mapping[Item, object]) -> tuple[Item, ...]:
    """Give the end of *items* if it looks as if the vendor had stopped at as many as a plan allows."""
    first = [item in found for item in items].count(True)
    looks_cut = first in _CUT_AT and first < len(items) and all(item in found for item in items[:first])
    return tuple(items[first:]) if looks_cut else ()
