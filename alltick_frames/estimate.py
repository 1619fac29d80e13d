"""What a call is going to cost, said before anything is sent."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING

from alltick_frames import evidence, freshness, kline, workload
from alltick_frames.backfill import ONLY_NEWEST
from alltick_frames.codes import family_of
from alltick_frames.hours import fewest_share, most_bars
from alltick_frames.plans import FREE_CODES
from alltick_frames.spans import Missing, Span
from alltick_frames.wire import PAGE_BARS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from alltick_frames.backfill import Walk
    from alltick_frames.kline import Question
    from alltick_frames.periods import Period
    from alltick_frames.plans import Endpoint, Plan
    from alltick_frames.store import Archive
    from alltick_frames.wire import Group

__all__ = ["Estimate", "Price", "Standing", "estimate", "permitted", "price", "price_of"]

_NAMED_AT_MOST = 5


@dataclass(frozen=True, slots=True)
class Price:
    """What is to be sent, at least and at most.

    Attributes
    ----------
    requests
        The most counts every minute of the products' trading hours; fewer than the least can be enough if history
        begins later than asked.
    seconds
        While requests are sent, if nobody else uses the token; not the wait until tomorrow.
    left_today, a_day
        Requests that the day's allowance still has, and has in all.
    """

    requests: tuple[int, int]
    seconds: tuple[float, float]
    left_today: int
    a_day: int
    plan: str

    @property
    def suffices(self) -> bool:
        """Whether today's allowance is enough for all of it."""
        return self.requests[1] <= self.left_today

    @property
    def days(self) -> int:
        """On how many days requests are sent at most."""
        return 1 + math.ceil(max(0, self.requests[1] - self.left_today) / self.a_day)

    @property
    def waits_for(self) -> timedelta:
        """How long it takes at most, with the waits for the next day's allowance."""
        return timedelta(seconds=self.seconds[1], days=self.days - 1)

    @property
    def time(self) -> str:
        """Say how long it takes."""
        return _duration(*self.seconds) + ("" if self.suffices else f" of sending, over {self.days} days")

    @property
    def allowance(self) -> str:
        """Say what today's allowance is."""
        return f"{self.left_today:,} of {self.a_day:,} requests left today"

    def __str__(self) -> str:
        sent = f"{_range(*self.requests)} requests" if self.requests[1] != 1 else "1 request"
        return f"{sent} and {self.time} on the {self.plan} plan; {self.allowance}"


@dataclass(frozen=True, slots=True, repr=False)
class Estimate(Price):
    """What a call of `get_kline` would send and return; a range where it is not known.

    Attributes
    ----------
    requests, seconds
        At least and at most; seconds are without the waits for the next day's allowance, which `days` and `waits_for`
        count.
    left_today, a_day
        Requests that the day's allowance still has, and has in all.
    plan
        Whose limits were reckoned with.
    bars
        Rows of the frame, those held included.
    held
        The share of them that is in the archive, from 0 to 1.
    missing
        What can be told to be out of reach, and why.
    """

    codes: tuple[str, ...]
    period: Period
    bars: tuple[int, int]
    held: float
    missing: tuple[Missing, ...]

    def __repr__(self) -> str:
        width = max(len(name) for name, _ in self._lines())
        return "\n".join([self._title(), *(f"  {name:<{width}}  {text}" for name, text in self._lines())])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in self._lines()
        )
        return f"<table><caption>{html.escape(self._title())}</caption>{rows}</table>"

    def _title(self) -> str:
        some = ", ".join(self.codes[:_NAMED_AT_MOST])
        more = f" and {len(self.codes) - _NAMED_AT_MOST} more" if len(self.codes) > _NAMED_AT_MOST else ""
        return f"{some}{more} {self.period.value} on the {self.plan} plan"

    def _lines(self) -> list[tuple[str, str]]:
        # Rounded down: all are held only if nothing is to be sent.
        percent = math.floor(100 * self.held)
        held = f", {percent} % of them held" if percent else ""
        lines = [
            ("requests", _range(*self.requests)),
            ("bars", _range(*self.bars) + held),
            ("time", self.time),
            ("allowance", self.allowance),
        ]
        named = [("out of reach", str(gap)) for gap in self.missing[:_NAMED_AT_MOST]]
        if len(self.missing) > _NAMED_AT_MOST:
            named.append(("out of reach", f"and {len(self.missing) - _NAMED_AT_MOST} spans more"))
        return lines + named


def permitted(walks: Mapping[Group, Sequence[Walk]], plan: Plan) -> dict[Group, Sequence[Walk]]:
    """Leave out the codes that *plan* is known not to have."""
    return {group: some for group, some in walks.items() if plan.name != "free" or group[0] in FREE_CODES}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a token stands: requests left of its day, seconds until its next slot, and how long an answer takes."""

    left_today: int | None
    queue_s: float
    latency_s: float


def price(
    walks: Mapping[Group, Sequence[Walk]],
    plan: Plan,
    now: datetime,
    standing: Standing,
) -> Price:
    """Say what *walks* cost."""
    sets = freshness.sets(walks, plan, now)
    at_once = {group for some in sets for group in some}
    alone = [walk for group, some in walks.items() if group not in at_once for walk in some]
    every = [walk for some in walks.values() for walk in some]
    # The newest bars may show that more is lacking.
    fewest = len(sets) + workload.requests_for(alone, plan, now, standing.latency_s)[0]
    requests = fewest, len(sets) + workload.requests_for(every, plan, now, standing.latency_s)[1]
    fewest_s, most_s = workload.seconds_for(requests, plan, standing.latency_s)
    between_sets_s = max(0, len(sets) - 1) * plan.batch_kline.seconds / plan.batch_kline.requests
    fewest_s, most_s = max(fewest_s, between_sets_s), most_s + between_sets_s
    return _priced(requests, (fewest_s, most_s) if most_s else None, plan, standing)


def price_of(endpoint: Endpoint, requests: int, plan: Plan, standing: Standing) -> Price:
    """Say what *requests* to one endpoint cost, of which each is known to be needed."""
    own = plan.own_rate(endpoint)
    own_s = 0.0 if own is None else own.seconds / own.requests
    taken_s = (requests - 1) * max(workload.interval_s(plan), own_s) + standing.latency_s
    return _priced((requests, requests), (taken_s, taken_s), plan, standing)


def _priced(requests: tuple[int, int], taken_s: tuple[float, float] | None, plan: Plan, standing: Standing) -> Price:
    seconds = (0.0, 0.0) if taken_s is None else (taken_s[0] + standing.queue_s, taken_s[1] + standing.queue_s)
    a_day = plan.day.requests
    return Price(requests, seconds, a_day if standing.left_today is None else standing.left_today, a_day, plan.name)


def estimate(
    question: Question,
    walks: Mapping[Group, Sequence[Walk]],
    archive: Archive,
    plan: Plan,
    now: datetime,
    of: Price,
) -> Estimate:
    """Say what *question* would send and return."""
    held = sum(kline.held_bars(question, code, archive) for code in question.codes)
    expected = [workload.bars_in(walk, plan, now) for some in walks.values() for walk in some]
    fewest, most = (held + sum(bars) for bars in zip(*expected, strict=True)) if expected else (held, held)
    return Estimate(
        **{field.name: getattr(of, field.name) for field in fields(Price)},
        codes=question.codes,
        period=question.period,
        bars=(fewest, most),
        held=held / most if most else 0.0,
        missing=tuple(gap for code in question.codes for gap in _unreachable(question, code, archive, plan, now)),
    )


def _unreachable(question: Question, code: str, archive: Archive, plan: Plan, now: datetime) -> Iterator[Missing]:
    """Name what is known to be out of reach, and what the plan and the vendor's pages say is."""
    period = question.period
    if plan.name == "free" and code not in FREE_CODES:
        detail = f"the Free plan has {' '.join(FREE_CODES)}"
        yield Missing(code, period, question.asked.span, "refused", detail)
        return
    known = archive.known(code, period)
    gaps = evidence.gaps(known, code, period, question.asked.span, plan, now)
    yield from (Missing(code, period, gap.span, gap.reason, gap.detail) for gap in gaps if gap.reason != "not_held")
    if question.asked.from_beginning:
        return  # all there is was asked for, and a number of bars is counted from the newest
    for gap in (gap.span for gap in gaps if gap.reason == "not_held"):
        if family_of(code).pageable:
            yield from _beyond_plan(code, period, gap, plan, now)
        elif fewest_share(code) * most_bars(code, period, Span(gap.start, now)) > PAGE_BARS:
            yield Missing(code, period, gap, "beyond_reach", f"in part: {ONLY_NEWEST}")


def _beyond_plan(code: str, period: Period, gap: Span, plan: Plan, now: datetime) -> Iterator[Missing]:
    if plan.history is not None and workload.expected_span(gap, plan, now).start > gap.start:
        yield Missing(code, period, Span(gap.start, min(gap.end, now - plan.history)), "beyond_plan", plan.sells)


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _duration(low_s: float, high_s: float) -> str:
    """Give both in the unit that the longer one asks for."""
    for unit, length_s in (("hours", 3_600), ("minutes", 60)):
        if high_s >= 2 * length_s:
            return f"{low_s / length_s:.1f} to {high_s / length_s:.1f} {unit}"
    return f"{low_s:.1f} to {high_s:.1f} seconds" if high_s else "none"
