"""The driver: backfill ⇄ budget ⇄ transport ⇄ decode ⇄ store, several codes at once, with progress and cancellation.

Every decision is made elsewhere; this loop takes the next request of a walk, sends it, and hands the page back. What
came is in the archive within a second, and at the latest when the loop is left, whatever ends it.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import tenacity

from alltick_frames import backfill, decode, evidence
from alltick_frames.errors import (
    CodeNotPermittedError,
    DecodeError,
    PlanLimitError,
    RateLimitError,
    StoreError,
    TransportError,
    UnknownCodeError,
)
from alltick_frames.wire import PAGE_BARS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from alltick_frames.backfill import Judged, Walk
    from alltick_frames.decode import Page
    from alltick_frames.errors import ApiError
    from alltick_frames.ledger import Ledger
    from alltick_frames.plans import Plan
    from alltick_frames.store import Archive
    from alltick_frames.transport import Transport
    from alltick_frames.wire import Answer, KlineRequest

    # Told of progress: requests done, requests in all as far as is known, seconds to go.
    Report = Callable[[int, int, float], None]

__all__ = ["Harvest", "fetch"]

_FAULTS_BORNE = 10
_THROTTLED_AT_MOST_S = 600
_BACK_OFF = tenacity.wait_random_exponential(multiplier=0.2, max=5)
# Of the second that a fetched page may take to be durable, writing gets the rest.
_SAVE_EVERY_S = 0.75
_REFUSES_CODE = (UnknownCodeError, CodeNotPermittedError, PlanLimitError)


@dataclass(slots=True)
class Harvest:
    """What has been fetched of one span of one code.

    Attributes
    ----------
    pages
        Those that are not in the archive yet, in the order of asking.
    newest
        The first page, if it is the newest one: it alone has the forming bar.
    """

    walk: Walk
    pages: list[Judged] = field(default_factory=list)
    newest: Judged | None = None
    answers: int = 0
    refusal: ApiError | None = None
    skew: timedelta = timedelta()
    saved: Walk | None = None

    def __post_init__(self) -> None:
        self.saved = self.walk


async def fetch(
    harvests: Sequence[Harvest],
    *,
    transport: Transport,
    archive: Archive,
    plan: Plan,
    report: Report,
) -> None:
    """Fill *harvests*, one walker per span at a time and no more in flight than the plan allows.

    A code that the vendor refuses is noted in its harvest; the others go on. Any other failure ends all and is
    raised; what had come by then is in the archive, or in the harvests if that cannot be written.
    """
    waiting = deque(harvest for harvest in harvests if harvest.walk.stop is None)
    progress = _Progress(harvests, plan, report)
    failures: list[Exception] = []
    saver = _Saver(harvests, archive, plan)

    async def until_failure(work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  # raised below, not as an ExceptionGroup
            failures.append(error)
            everyone.cancel_scope.cancel()

    async def walk() -> None:
        while waiting:
            await _fill(waiting.popleft(), transport, plan, progress, saver)

    async def walk_all() -> None:
        async with anyio.create_task_group() as walkers:
            for _ in range(min(len(waiting), plan.kline.requests)):
                walkers.start_soon(until_failure, walk)
        saving.cancel()

    async def keep_saving() -> None:
        with saving:
            await saver.save_as_it_comes()

    saving = anyio.CancelScope()
    try:
        async with anyio.create_task_group() as everyone:
            everyone.start_soon(until_failure, keep_saving)
            everyone.start_soon(walk_all)
    finally:
        with anyio.CancelScope(shield=True):
            await saver.save(failures)
    if failures:
        raise failures[0]


async def _fill(
    harvest: Harvest,
    transport: Transport,
    plan: Plan,
    progress: _Progress,
    saver: _Saver,
) -> None:
    while (request := backfill.next_request(harvest.walk)) is not None:
        try:
            answer, page = await _exchange(request, transport)
        except _REFUSES_CODE as error:
            harvest.walk = backfill.refused(harvest.walk, error)
            harvest.refusal = error if harvest.walk.stop is backfill.Stop.REFUSED else None
        else:
            judged = backfill.Judged.of(page, harvest.walk, answer.server_now, answer.asked_at)
            if harvest.walk.from_newest and not harvest.walk.started:
                harvest.newest = judged
            harvest.pages.append(judged)
            harvest.answers += 1
            harvest.skew = answer.skew
            harvest.walk = backfill.absorb(harvest.walk, judged, plan, answer.server_now)
        saver.arrived()
        progress.step()


async def _exchange(request: KlineRequest, transport: Transport) -> tuple[Answer, Page]:
    """Send until a page comes; every attempt takes a slot of its own."""
    patience = _Patience(transport.ledger)
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(patience.bears),
        wait=patience.wait,
        sleep=anyio.sleep,
        reraise=True,
    ):
        with attempt:
            answer = await transport.send(request)
            page = decode.kline_page(answer, request)
            transport.ledger.answered()
    return answer, page


class _Saver:
    """Puts what has come into the archive, in a thread: a commit waits for the disk."""

    def __init__(self, harvests: Sequence[Harvest], archive: Archive, plan: Plan) -> None:
        self._harvests = harvests
        self._archive = archive
        self._plan = plan
        self._something = anyio.Event()

    def arrived(self) -> None:
        self._something.set()

    async def save_as_it_comes(self) -> None:
        while True:
            await self._something.wait()
            self._something = anyio.Event()
            began = time.monotonic()
            await self._save()
            await anyio.sleep(max(0.0, _SAVE_EVERY_S - (time.monotonic() - began)))

    async def save(self, failures: list[Exception]) -> None:
        """Save once more; a failure to counts after those there were."""
        try:
            await self._save()
        except StoreError as error:
            failures.append(error)

    async def _save(self) -> None:
        changed = [
            (harvest, harvest.walk, len(harvest.pages))
            for harvest in self._harvests
            if harvest.walk is not harvest.saved
        ]
        batches = [
            (walk.code, walk.period, batch)
            for harvest, walk, number in changed
            for batch in evidence.batches(walk, harvest.pages[:number], self._plan)
        ]
        await anyio.to_thread.run_sync(self._archive.write_many, batches)
        for harvest, walk, number in changed:
            harvest.saved = walk
            del harvest.pages[:number]


class _Patience:
    """What one request bears: some faults, and throttling for some minutes, which uses up no attempts."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._faults = 0
        self._throttled_since: float | None = None
        self._throttled = False

    def bears(self, error: BaseException) -> bool:
        self._throttled = isinstance(error, RateLimitError)
        if self._throttled:
            self._ledger.throttled()
            now = time.monotonic()
            self._throttled_since = self._throttled_since or now
            return now - self._throttled_since < _THROTTLED_AT_MOST_S
        if isinstance(error, DecodeError) or (isinstance(error, TransportError) and error.transient):
            self._faults += 1
            return self._faults < _FAULTS_BORNE
        return False

    def wait(self, state: tenacity.RetryCallState) -> float:
        # The ledger's pause holds back the next slot, for every request and not just this one.
        return 0.0 if self._throttled else _BACK_OFF(state)


class _Progress:
    """Counts requests, and guesses how many there will be from how fast the walks go back."""

    def __init__(self, harvests: Sequence[Harvest], plan: Plan, report: Report) -> None:
        self._harvests = harvests
        self._report = report
        self._interval_s = plan.kline.seconds / plan.kline.requests
        self._began = time.monotonic()
        self._done = 0

    def step(self) -> None:
        self._done += 1
        to_go = sum(map(_requests_to_go, self._harvests))
        pace_s = max(self._interval_s, (time.monotonic() - self._began) / self._done)
        self._report(self._done, self._done + to_go, to_go * pace_s)


def _requests_to_go(harvest: Harvest) -> int:
    walk = harvest.walk
    if walk.stop is not None:
        return 0
    if walk.wanted is not None:
        return max(1, -(-(walk.wanted - walk.closed_bars) // (PAGE_BARS - 1)))
    if walk.reached is None or not harvest.answers:
        return 1
    covered, left = walk.span.end - walk.reached, walk.reached - walk.span.start
    return max(1, round(len(harvest.pages) * (left / covered))) if covered else 1
