"""What has come of each walk, and how it gets into the archive while more comes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from alltick_frames import evidence, freshness
from alltick_frames.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alltick_frames.backfill import Judged, Walk
    from alltick_frames.claims import Claim
    from alltick_frames.errors import ApiError
    from alltick_frames.plans import Plan
    from alltick_frames.spans import Span
    from alltick_frames.store import Archive

__all__ = ["MOST_CLAIMS", "Harvest", "Saver"]

# Of the second that a fetched page may take to be durable, writing gets the rest.
_SAVE_EVERY_S = 0.5
# Each claim is a descriptor; no plan answers so many codes between two times of saving.
MOST_CLAIMS = 64


@dataclass(slots=True, eq=False)
class Harvest:
    """What has been fetched of one span of one code.

    Attributes
    ----------
    pages
        Those that are not in the archive yet, in the order of asking.
    newest
        The first page, if it is the newest one: it alone has the forming bar.
    planned
        The span that was to be filled when this began; of a part, none.
    """

    walk: Walk
    pages: list[Judged] = field(default_factory=list)
    newest: Judged | None = None
    refusal: ApiError | None = None
    skew: timedelta = timedelta()
    saved: Walk | None = None
    looked_s: float = field(default_factory=time.monotonic)
    planned: Span | None = field(init=False)

    @classmethod
    def of(cls, walk: Walk, judged: Judged) -> Harvest | None:
        """Give what the newest two bars bring of *walk*; None if nothing follows from them."""
        after = freshness.absorbed(walk, judged)
        if after is None:
            return None
        harvest = cls(walk)
        harvest.walk, harvest.newest = after, judged
        harvest.pages.append(judged)
        return harvest

    def __post_init__(self) -> None:
        self.saved = self.walk
        self.planned = None if self.walk.part else self.walk.span


class Saver:
    """Puts what has come into the archive, in a thread: a commit waits for the disk."""

    def __init__(self, harvests: Sequence[Harvest], archive: Archive, plan: Plan) -> None:
        self._harvests = harvests
        self._archive = archive
        self._plan = plan
        self._something = anyio.Event()
        self._hurry = anyio.Event()
        self._claims: list[Claim] = []

    @property
    def claims(self) -> int:
        """How many are kept until all of their code is in the archive."""
        return len(self._claims)

    def arrived(self) -> None:
        """Note that there is something to be saved."""
        self._something.set()

    def release_after_saving(self, claim: Claim) -> None:
        """Let others have the code once they can see all that came of it."""
        self._claims.append(claim)
        self._something.set()
        if len(self._claims) >= MOST_CLAIMS:
            self._hurry.set()

    async def save_as_it_comes(self) -> None:
        """Save within a second whatever arrives, until cancelled."""
        while True:
            await self._something.wait()
            self._something, self._hurry = anyio.Event(), anyio.Event()
            began = time.monotonic()
            await self._save()
            with anyio.move_on_after(_SAVE_EVERY_S - (time.monotonic() - began)):
                await self._hurry.wait()

    async def save(self, failures: list[Exception]) -> None:
        """Save once more; a failure to counts after those there were."""
        try:
            await self._save()
        except StoreError as error:
            failures.append(error)

    async def _save(self) -> None:
        claims = [*self._claims]
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
        for claim in claims:
            claim.release()
        del self._claims[: len(claims)]
