"""The driver of `/batch-kline`: many groups brought up to date with one request, as far as that is possible.

What the newest two bars leave open is given back, to be walked through. Nothing here may fail a call: whatever is wrong
with this endpoint, `/kline` has the same bars.
"""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from alltick_frames import decode, freshness
from alltick_frames.attempts import NothingToSend, answered
from alltick_frames.backfill import Judged
from alltick_frames.claims import Claim
from alltick_frames.errors import (
    ApiError,
    AuthenticationError,
    CodeNotPermittedError,
    DecodeError,
    PlanLimitError,
    RateLimitError,
    TransportError,
    UnknownCodeError,
)
from alltick_frames.harvests import Harvest
from alltick_frames.wire import BatchRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alltick_frames.backfill import Walk
    from alltick_frames.clocks import CallClock
    from alltick_frames.decode import Page
    from alltick_frames.plans import Plan
    from alltick_frames.store import Archive
    from alltick_frames.transport import Transport
    from alltick_frames.wire import Answer, Group

    Replan = Callable[[Group], Sequence[Walk]]

__all__ = ["Refresh"]

_CLAIM = "newest-bars"
_TRY_EVERY_S = 0.05
# For as long as another process's request takes, and some more.
_PATIENCE_S = 2.0
_FAULTS_BORNE = 3
# One of many codes refuses all of them; so does a plan, all of them always.
_REFUSES_ALL = (UnknownCodeError, CodeNotPermittedError, PlanLimitError)


class Refresh:
    """What is to be brought up to date by the newest two bars of each group.

    Attributes
    ----------
    claim
        To be let go of when what came is in the archive.
    """

    def __init__(
        self,
        walks: Mapping[Group, Sequence[Walk]],
        replan: Replan,
        transport: Transport,
        archive: Archive,
        plan: Plan,
        clock: CallClock,
        fewest: int = 2,
    ) -> None:
        self._fewest = fewest
        self._sets = deque(freshness.sets(walks, plan, clock(), fewest=fewest))
        self._walks = {group: walks[group][0] for some in self._sets for group in some}
        self._replan = replan
        self._transport = transport
        self._plan = plan
        self._clock = clock
        self.claim = Claim(archive.directory, _CLAIM)
        self._refused = 0
        # A refusal costs a request, and finding the culprit some more: fewer than without any of this.
        self._most_refused = 2 * math.ceil(math.log2(len(self._walks) + 1)) + len(self._walks) // 4

    def __contains__(self, group: Group) -> bool:
        return group in self._walks

    @property
    def requests_left(self) -> int:
        """How many requests are to be sent."""
        return len(self._sets)

    async def work(
        self,
        brought: Callable[[Group, Harvest], None],
        left: Callable[[Group], None],
        step: Callable[[], None],
    ) -> None:
        """Call *brought* for each group that is up to date, *left* for each that is not, and *step* for each answer."""
        if self._sets and await self._waited_for_others():
            await self._look_again(left)
        while self._sets:
            await self._ask(self._sets.popleft(), brought, left)
            step()

    async def _waited_for_others(self) -> bool:
        """Let another process finish that is at the same; say whether it has kept this one waiting."""
        began = time.monotonic()
        patience_s = _PATIENCE_S + len(self._sets) * self._plan.batch_kline.seconds
        waited = False
        while not self.claim.take() and time.monotonic() - began < patience_s:
            waited = True
            await anyio.sleep(_TRY_EVERY_S)
        return waited

    async def _look_again(self, left: Callable[[Group], None]) -> None:
        """Leave out what another process has stored meanwhile."""
        walks = await anyio.to_thread.run_sync(lambda: {group: self._replan(group) for group in self._walks})
        self._sets = deque(freshness.sets(walks, self._plan, self._clock()))
        again = {group for some in self._sets for group in some}
        for group, some in walks.items():
            if group in again:
                self._walks[group] = some[0]
            else:
                left(group)

    async def _ask(
        self, asked: tuple[Group, ...], brought: Callable[[Group, Harvest], None], left: Callable[[Group], None]
    ) -> None:
        pages: Mapping[Group, Page] = {}
        walks = {group: freshness.newest_two(self._walks[group], self._clock()) for group in asked}

        async def request() -> BatchRequest | None:
            # It may have taken long until the slot came.
            now = self._clock()
            sendable = tuple(group for group in asked if freshness.may_count(self._walks[group], now))
            return BatchRequest(sendable) if len(sendable) >= self._fewest else None

        try:
            answer, pages = await answered(
                self._transport, self._clock, "batch_kline", request, decode.batch_pages, faults_borne=_FAULTS_BORNE
            )
        except NothingToSend:
            pass
        except _REFUSES_ALL:
            self._refused += 1
            if len(asked) > 2 and self._refused <= self._most_refused:  # noqa: PLR2004  # of two, each goes on alone
                half = len(asked) // 2
                self._sets.extendleft([asked[half:], asked[:half]])
                return
        except (AuthenticationError, RateLimitError):
            raise
        except (ApiError, TransportError, DecodeError):
            pass
        for group in asked:
            harvest = _harvest(walks[group], pages[group], answer) if group in pages else None
            if harvest is None:
                left(group)
            else:
                brought(group, harvest)


def _harvest(walk: Walk, page: Page, answer: Answer) -> Harvest | None:
    harvest = Harvest.of(walk, Judged.of(page, walk, answer.server_now, answer.asked_at))
    if harvest is not None:
        harvest.skew = answer.skew
    return harvest
