"""The driver: backfill ⇄ budget ⇄ transport ⇄ decode ⇄ store, several walks at once, with progress and cancellation.

Every decision is made elsewhere; this loop takes the next request of a walk, sends it, and hands the page back. What
came is in the archive within a second, and at the latest when the loop is left, whatever ends it.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from alltick_frames import backfill, decode, evidence, finality, workload
from alltick_frames.attempts import NothingToSend, answered
from alltick_frames.claims import Claim, claim_of
from alltick_frames.errors import CodeNotPermittedError, PlanLimitError, UnknownCodeError
from alltick_frames.harvests import MOST_CLAIMS, Harvest, Saver
from alltick_frames.refresh import Refresh

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from alltick_frames.backfill import Judged, Walk
    from alltick_frames.clocks import CallClock
    from alltick_frames.decode import Page
    from alltick_frames.plans import Plan
    from alltick_frames.refresh import Replan
    from alltick_frames.store import Archive, Known
    from alltick_frames.transport import Transport
    from alltick_frames.wire import Answer, Group, KlineRequest

    # Told of progress: requests done, requests in all as far as is known, seconds to go.
    Report = Callable[[int, int, float], None]

__all__ = ["fetch"]

# How often to look whether another has let go of a code, and what it has stored meanwhile.
_TRY_EVERY_S, _LOOK_EVERY_S = 0.05, 0.5
# One that stores nothing for so long was stopped or is being throttled; at slow rates, for so many requests.
_PATIENCE_S, _PATIENCE_REQUESTS = 2.0, 10
_PACE_OVER = 60
# Of a product that is younger than the range each of them may cost a request for nothing.
_MOST_UNBEGUN = 5
# After a failure, answers that are paid for are still waited for.
_ARRIVES_WITHIN_S = 2.0
_REFUSES_CODE = (UnknownCodeError, CodeNotPermittedError, PlanLimitError)


@dataclass(slots=True, eq=False)
class _Job:
    """One group: its claim, and what is under way of it.

    Attributes
    ----------
    known, quiet_since
        What the archive had of the group when it was looked at while another has the claim, and since when nothing of
        what is wanted has come.
    floor
        Before it nothing was found to begin with: no part begins there.
    """

    walks: Sequence[Walk]
    claim: Claim
    harvests: list[Harvest] = field(default_factory=list)
    left: int = 0
    known: Known | None = None
    looked_s: float = 0.0
    quiet_since: float = 0.0
    floor: datetime | None = None
    expected: int | None = None

    @property
    def group(self) -> Group:
        """The code and the period."""
        return self.walks[0].code, self.walks[0].period


async def fetch(
    walks: Mapping[Group, Sequence[Walk]],
    harvests: list[Harvest],
    *,
    replan: Replan,
    transport: Transport,
    archive: Archive,
    plan: Plan,
    clock: CallClock,
    report: Report,
    fewest_at_once: int = 2,
) -> None:
    """Carry out the *walks* of each group, and put what comes of them into *harvests*.

    A group that another process is fetching is waited for; *replan* then says what is still to be asked of it. A code
    that the vendor refuses is noted in its harvest; the others go on. Any other failure ends all and is raised; what
    had come by then is in the archive, or in the harvests if that cannot be written. *fewest_at_once*: of fewer groups
    the newest two bars are not asked for together.
    """
    await _Crew(walks, harvests, replan, transport, archive, plan, clock, report, fewest_at_once).work()


class _Crew:
    """As many walkers as the rate needs: of one code each while there are enough, then sharing what is left."""

    def __init__(
        self,
        walks: Mapping[Group, Sequence[Walk]],
        harvests: list[Harvest],
        replan: Replan,
        transport: Transport,
        archive: Archive,
        plan: Plan,
        clock: CallClock,
        report: Report,
        fewest_at_once: int,
    ) -> None:
        self._harvests = harvests
        self._replan = replan
        self._transport = transport
        self._archive = archive
        self._plan = plan
        self._clock = clock
        self._report = report
        self._jobs = {group: _Job(some, claim_of(archive.directory, *group)) for group, some in walks.items()}
        self._refresh = Refresh(walks, replan, transport, archive, plan, clock, fewest_at_once)
        self._refreshes = False
        self._waiting = deque(job for group, job in self._jobs.items() if group not in self._refresh)
        self._ready: deque[tuple[_Job, Harvest]] = deque()
        self._active: dict[Harvest, _Job] = {}
        # Whose request has been sent and is not answered, or is about to be.
        self._under_way: set[Harvest] = set()
        self._done: deque[float] = deque(maxlen=_PACE_OVER)
        self._answers = self._splits = self._most_active = 0
        self._news = anyio.Event()
        self._saver = Saver(harvests, archive, plan)
        self._failures: list[Exception] = []
        self._patience_s = max(_PATIENCE_S, _PATIENCE_REQUESTS * workload.interval_s(plan))

    async def work(self) -> None:
        """Fetch everything, or raise what prevents it."""
        saving = anyio.CancelScope()

        async def keep_saving() -> None:
            with saving:
                await self._saver.save_as_it_comes()

        async def distribute() -> None:
            async with anyio.create_task_group() as walkers:

                def start(job: _Job, harvest: Harvest) -> None:
                    self._active[harvest] = job
                    if len(self._active) > self._most_active:
                        # From here on answers come faster.
                        self._most_active = len(self._active)
                        self._done.clear()
                    walkers.start_soon(until_failure, lambda: self._fill(job, harvest))

                self._refreshes = True
                walkers.start_soon(until_failure, self._bring_up_to_date)
                # Inside, so that it is not raised in a group with what the walkers raise.
                await until_failure(lambda: self._distribute(start))
            saving.cancel()

        async def until_failure(work: Callable[[], Awaitable[None]]) -> None:
            try:
                await work()
            except Exception as error:  # noqa: BLE001  # raised below, not as an ExceptionGroup
                self._failures.append(error)
                everyone.cancel_scope.deadline = anyio.current_time() + _ARRIVES_WITHIN_S
                self._news.set()
            if self._failures and not self._under_way:
                everyone.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as everyone:
                everyone.start_soon(until_failure, keep_saving)
                everyone.start_soon(distribute)
        finally:
            try:
                with anyio.CancelScope(shield=True):
                    await self._saver.save(self._failures)
            finally:
                for claim in (self._refresh.claim, *(job.claim for job in self._jobs.values())):
                    claim.release()
        if self._failures:
            raise self._failures[0]

    async def _distribute(self, start: Callable[[_Job, Harvest], None]) -> None:
        """Keep so many walks going as use the rate, until nothing is left."""
        while True:
            self._news = anyio.Event()
            while not self._failures and len(self._active) < workload.walkers(self._plan, self._transport.latency_s):
                found = await self._next()
                if found is None:
                    break
                start(*found)
            if self._failures or not (self._active or self._waiting or self._ready or self._refreshes):
                return
            with anyio.move_on_after(_TRY_EVERY_S if self._waiting else None):
                await self._news.wait()

    async def _bring_up_to_date(self) -> None:
        """Ask for the newest bars of many groups at once; what these leave open is walked through."""

        def brought(_group: Group, harvest: Harvest) -> None:
            self._harvests.append(harvest)
            self._saver.arrived()

        def left(group: Group) -> None:
            self._waiting.append(self._jobs[group])
            self._news.set()

        try:
            if self._refresh.requests_left:
                await self._refresh.work(brought, left, self._step)
                self._saver.release_after_saving(self._refresh.claim)
        finally:
            self._refreshes = False
            self._news.set()

    async def _next(self) -> tuple[_Job, Harvest] | None:
        if not self._ready:
            await self._begin_some()
        return self._ready.popleft() if self._ready else self._shared()

    async def _begin_some(self) -> None:
        """Begin a code that nobody else is fetching."""
        for job in [*self._waiting]:
            if self._saver.claims >= MOST_CLAIMS:
                return
            if job.claim.take() or await self._is_abandoned(job):
                # Others may have stored what is missing since the call looked.
                self._begin(job, await anyio.to_thread.run_sync(self._replan, job.group))
            if self._ready:
                return

    def _begin(self, job: _Job, walks: Sequence[Walk]) -> None:
        self._waiting.remove(job)
        self._add(job, walks)
        if not job.left:
            job.claim.release()

    def _add(self, job: _Job, walks: Iterable[Walk]) -> None:
        fresh = [Harvest(walk) for walk in walks if walk.stop is None]
        job.left += len(fresh)
        job.harvests += fresh
        self._harvests += fresh
        self._ready.extend((job, harvest) for harvest in fresh)

    async def _is_abandoned(self, job: _Job) -> bool:
        """Say whether the one that has claimed the code stores nothing of it, or has stored all there is to ask."""
        now = time.monotonic()
        if job.known is not None and now - job.looked_s < _LOOK_EVERY_S:
            return False
        known = await anyio.to_thread.run_sync(self._archive.known, *job.group)
        if known != job.known:
            walks = await anyio.to_thread.run_sync(self._replan, job.group)
            if not walks:
                return True
            # What the other stores elsewhere is no help.
            if job.known is None or _length(walks) < _length(job.walks):
                job.quiet_since = now
            job.known, job.walks, job.expected = known, walks, None
        job.looked_s = now
        return now - job.quiet_since > self._patience_s

    def _shared(self) -> tuple[_Job, Harvest] | None:
        """Take a part of the longest walk, if that pays."""
        now, crew = self._clock(), workload.walkers(self._plan, self._transport.latency_s)
        shares = self._densities(self._active.values())
        left = {
            harvest: workload.pages_left(harvest.walk, self._plan, now, shares[job], floor=job.floor)
            for harvest, job in self._active.items()
        }
        pages = self._answers + sum(left.values())
        fewest = workload.fewest_pages(pages)
        for harvest, its_pages in sorted(left.items(), key=lambda item: -item[1]):
            job = self._active[harvest]
            if sum(one.walk.part and not one.walk.started for one in job.harvests) >= _MOST_UNBEGUN:
                continue
            share = shares[job]
            cuts_left = workload.most_splits(pages, share) - self._splits
            if cuts_left <= 0:
                continue
            keep = sum(left.values()) / min(crew, len(self._active) + cuts_left)
            cut = workload.split(harvest.walk, keep, its_pages, share, fewest=fewest, floor=job.floor)
            if cut is not None:
                self._splits += 1
                harvest.walk, part = cut
                self._add(job, [part])
                return self._ready.popleft()
        return None

    async def _fill(self, job: _Job, harvest: Harvest) -> None:
        try:
            await self._walk(job, harvest)
        finally:
            self._under_way.discard(harvest)
            del self._active[harvest]
            job.left -= 1
            self._news.set()
        if not job.left:
            self._saver.release_after_saving(job.claim)

    async def _walk(self, job: _Job, harvest: Harvest) -> None:
        while harvest.walk.stop is None and not self._failures:
            self._under_way.discard(harvest)
            try:
                answer, page = await self._page(harvest)
            except NothingToSend:
                continue
            except _REFUSES_CODE as error:
                if self._give_back(job, harvest, None):
                    break
                harvest.walk = backfill.refused(harvest.walk, error)
                harvest.refusal = error if harvest.walk.stop is backfill.Stop.REFUSED else None
            else:
                judged = backfill.Judged.of(page, harvest.walk, answer.server_now, answer.asked_at)
                harvest.skew = answer.skew
                if self._give_back(job, harvest, judged):
                    break
                if harvest.walk.from_newest and not harvest.walk.started:
                    harvest.newest = judged
                harvest.pages.append(judged)
                harvest.walk = backfill.absorb(harvest.walk, judged, self._plan, answer.server_now)
            self._saver.arrived()
            self._step()

    def _give_back(self, job: _Job, harvest: Harvest, judged: Judged | None) -> bool:
        """Undo the split that a first answer shows to have been in vain."""
        part = harvest.walk
        if not part.part or part.started or (judged is not None and backfill.begins_well(part, judged)):
            return False
        newer = next(other for other in job.harvests if backfill.adjoins(other.walk, part))
        job.floor = max(part.span.end, job.floor or part.span.end)
        newer.walk = backfill.given_back(part, newer.walk)
        under_way = newer in self._active or any(newer is other for _, other in self._ready)
        if not under_way and newer.walk.stop is None:
            job.left += 1
            self._ready.append((job, newer))
        job.harvests.remove(harvest)
        self._harvests.remove(harvest)
        self._step()
        return True

    async def _page(self, harvest: Harvest) -> tuple[Answer, Page]:
        """Send the walk's next request until a page comes."""

        async def request() -> KlineRequest | None:
            await self._look(harvest)
            if self._failures:
                return None
            self._under_way.add(harvest)
            return backfill.next_request(harvest.walk)

        return await answered(self._transport, self._clock, "kline", request, decode.kline_page)

    async def _look(self, harvest: Harvest) -> None:
        """Skip what others have stored since this walk last looked."""
        walk, now = harvest.walk, time.monotonic()
        if not walk.started or walk.wanted is not None or walk.rereads or now - harvest.looked_s < _LOOK_EVERY_S:
            return
        harvest.looked_s = now
        found = await anyio.to_thread.run_sync(_held_before, walk, self._archive)
        if found is not None:
            harvest.walk = backfill.skipped(harvest.walk, *found)

    def _step(self) -> None:
        self._answers += 1
        self._done.append(time.monotonic())
        now = self._clock()
        shares = self._densities((*self._active.values(), *(job for job, _ in self._ready)))
        to_go = sum(
            workload.pages_left(harvest.walk, self._plan, now, shares[job], floor=job.floor)
            for harvest, job in (*self._active.items(), *((harvest, job) for job, harvest in self._ready))
        )
        to_go += sum(self._expected(job, now) for job in self._waiting) + self._refresh.requests_left
        pace_s = workload.pace_s(to_go, self._done, self._plan, self._transport.latency_s)
        self._report(self._answers, self._answers + to_go, to_go * pace_s)
        self._news.set()

    def _expected(self, job: _Job, now: datetime) -> int:
        if job.expected is None:
            job.expected = sum(workload.pages_left(walk, self._plan, now) for walk in job.walks)
        return job.expected

    def _densities(self, jobs: Iterable[_Job]) -> dict[_Job, float]:
        # Once a job, of which a hundred walks may be under way.
        return {job: workload.density(harvest.walk for harvest in job.harvests) for job in {*jobs}}


def _length(walks: Iterable[Walk]) -> timedelta:
    return sum((walk.span.end - walk.span.start for walk in walks), timedelta())


def _held_before(walk: Walk, archive: Archive) -> tuple[datetime, datetime] | None:
    """Give from where on the bars before what *walk* has reached are held, if they are, and the first one's stamp."""
    reached = walk.reached
    held = evidence.held(archive.known(walk.code, walk.period))
    found = next((span for span in held if reached is not None and span.start < reached <= span.end), None)
    if found is None:
        return None
    bars = archive.read(
        walk.code, walk.period, finality.microseconds(found.start), finality.microseconds(found.end)
    ).bars
    return (found.start, bars["timestamp"][0].as_py().astimezone(UTC)) if len(bars) else None
