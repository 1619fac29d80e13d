"""Calls in any order against a vendor whose bars appear over time: what is said to be held is all there was."""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alltick_frames import clocks, evidence, finality, kline, schemas
from alltick_frames.backfill import Judged, absorb, adjoins, begins_well, given_back, next_request, split
from alltick_frames.decode import Page
from alltick_frames.errors import IncompleteDataError
from alltick_frames.harvests import Harvest
from alltick_frames.periods import Period
from alltick_frames.plans import plan_named
from alltick_frames.ranges import Asked
from alltick_frames.records import Checked, HistoryStart, Hole
from alltick_frames.settings import resolve
from alltick_frames.spans import BEGINNING, Span
from alltick_frames.store import Archive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alltick_frames.backfill import Walk

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
# A Monday; what is listed begins here.
EPOCH = datetime(2026, 1, 5, tzinfo=UTC)
PLAN = plan_named("professional")
PERIOD = Period("1m")
SETTINGS = resolve(token="none")
DAYS = 5


def us(instant: datetime) -> int:
    return finality.microseconds(instant)


@dataclass
class Vendor:
    """Bars of minutes after `EPOCH`, each shown from its opening on, or late: before a later bar has opened."""

    minutes: Sequence[int]
    late_by: int
    end: Literal["inclusive", "exclusive"]
    now: datetime = EPOCH
    asked: int = 0
    _shown: np.ndarray = field(init=False)
    _stamps: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        minutes = np.array(sorted(set(self.minutes)), dtype=np.int64)
        following = np.append(minutes[1:], np.iinfo(np.int64).max // 120_000_000)
        self._stamps = us(EPOCH) + minutes * 60_000_000
        self._shown = us(EPOCH) + np.minimum(minutes + self.late_by, following) * 60_000_000

    def visible(self) -> np.ndarray:
        """Stamps of the bars shown now, the forming one included."""
        return self._stamps[self._shown <= us(self.now)]

    def closed(self, span: Span, at: datetime | None = None) -> list[int]:
        """Stamps of the closed bars in *span*."""
        stamps = self.visible()
        inside = (stamps >= us(span.start)) & (stamps < us(span.end))
        closed: list[int] = stamps[inside & (stamps + 65_000_000 <= us(at or self.now))].tolist()
        return closed

    def answer(self, end: datetime | None, count: int) -> Page:
        self.asked += 1
        stamps = self.visible()
        if end is not None:
            stamps = stamps[stamps <= us(end)] if self.end == "inclusive" else stamps[stamps < us(end)]
        stamps = stamps[-count:]
        columns = [pa.array(stamps).cast(schemas.TIMESTAMP), *[pa.array(stamps / 1e9)] * 6]
        return Page(pa.Table.from_arrays(columns, schema=schemas.BARS), stamps, len(stamps))


@dataclass
class Caller:
    """What `client` and `fetch` do, without a socket: one request after another, each saved at once or later."""

    vendor: Vendor
    archive: Archive
    code: str
    save_every: int
    splits: float
    chance: random.Random

    def call(self, asked: Asked) -> tuple[list[int], kline.Verdict]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(clocks, "utc_now", lambda: self.vendor.now)
            return self._call(asked)

    def _call(self, asked: Asked) -> tuple[list[int], kline.Verdict]:
        question = kline.Question(
            codes=(self.code,),
            period=PERIOD,
            asked=asked,
            forming="drop",
            frame="arrow",
            on_incomplete="raise",
            categorical=False,
            network="auto",
            max_wait=None,
            clock=clocks.CallClock(),
        )
        harvests: list[Harvest] = []
        rounds = 0
        while more := kline.to_ask([question], self.archive, PLAN, harvests):
            for walk in more[self.code, PERIOD]:
                harvests += self.fill(walk)
            rounds += 1
            assert rounds < 30
        table = kline.to_table(question, harvests, self.archive, SETTINGS)
        return table["timestamp"].cast(pa.int64()).to_pylist(), kline.judge(question, harvests, self.archive, PLAN)

    def fill(self, walk: Walk) -> list[Harvest]:
        """Walk, and at times let another walk a part of it, in any order."""
        crew = [Harvest(walk)]
        while under_way := [harvest for harvest in crew if harvest.walk.stop is None]:
            harvest = self.chance.choice(under_way)
            self.answer(harvest, crew)
            if self.vendor.asked % self.save_every == 0:
                self.save(harvest)
            if self.chance.random() < self.splits:
                self.split(crew)
        for harvest in crew:
            self.save(harvest)
        return crew

    def answer(self, harvest: Harvest, crew: list[Harvest]) -> None:
        request = next_request(harvest.walk)
        assert request is not None
        judged = Judged.of(
            self.vendor.answer(request.end, request.count), harvest.walk, self.vendor.now, self.vendor.now
        )
        if harvest.walk.part and not harvest.walk.started and not begins_well(harvest.walk, judged):
            crew.remove(harvest)
            (newer,) = (other for other in crew if adjoins(other.walk, harvest.walk))
            newer.walk = given_back(harvest.walk, newer.walk)
            return
        harvest.pages.append(judged)
        harvest.walk = absorb(harvest.walk, judged, PLAN, self.vendor.now)

    def split(self, crew: list[Harvest]) -> None:
        harvest = self.chance.choice(crew)
        walk = harvest.walk
        left_to = min(walk.reached or walk.span.end, walk.span.end)
        minutes = int((left_to - max(walk.span.start, EPOCH - DAY)) / MINUTE)
        if walk.honours_end and walk.stop is None and walk.wanted is None and not walk.doubts and minutes > 2:
            at = left_to.replace(second=0, microsecond=0) - self.chance.randrange(2, minutes) * MINUTE
            if at > walk.span.start:
                harvest.walk, part = split(walk, at)
                crew.append(Harvest(part))

    def save(self, harvest: Harvest) -> None:
        batches = evidence.batches(harvest.walk, harvest.pages, PLAN)
        self.archive.write_many((self.code, PERIOD, batch) for batch in batches)
        harvest.pages.clear()


# Minutes from `EPOCH`, or text for minutes from now; or a number of bars.
Ask = tuple[int | None, int | str | None] | int
minute = st.integers(-600, DAYS * 1440)
asks = st.one_of(
    st.tuples(minute, minute).map(lambda ends: (min(ends), max(ends) + 1)),
    minute.map(lambda start: (start, None)),
    st.just((None, None)),
    # An end within minutes of now, where bars close between one call and the next.
    st.tuples(minute, st.integers(0, 3)).map(lambda ends: (ends[0], f"-{ends[1]}")),
    st.sampled_from([1, 3, 700, 2_000]),
)
steps = st.lists(st.tuples(st.integers(0, 3) | st.integers(0, 1500), st.integers(0, 59), asks), min_size=1, max_size=6)
shapes = st.tuples(
    st.lists(st.integers(0, DAYS * 1440), max_size=30), st.integers(0, DAYS * 1440), st.integers(0, 3_000)
).map(lambda shape: [*shape[0], *range(shape[1], shape[1] + shape[2])])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    minutes=shapes,
    late_by=st.sampled_from([0, 3, 200]),
    end=st.sampled_from(["inclusive", "exclusive"]),
    code=st.sampled_from(["EURUSD", "AAPL.US"]),
    save_every=st.integers(1, 4),
    splits=st.sampled_from([0.0, 0.3, 0.9]),
    seed=st.integers(0, 9),
    calls=steps,
)
def test_nothing_is_missing_that_is_not_said_and_nothing_is_asked_twice(
    minutes: list[int],
    late_by: int,
    end: Literal["inclusive", "exclusive"],
    code: str,
    save_every: int,
    splits: float,
    seed: int,
    calls: list[tuple[int, int, Ask]],
) -> None:
    vendor = Vendor(minutes, late_by, end)
    with tempfile.TemporaryDirectory() as directory:
        archive = Archive.open(Path(directory), "alltick")
        caller = Caller(vendor, archive, code, save_every, splits, random.Random(seed))
        vendor.now = EPOCH + DAY
        for later, seconds, ask in calls:
            vendor.now += later * MINUTE + timedelta(seconds=seconds)
            asked = as_asked(ask, vendor.now)
            if not asked.span:
                continue
            check_a_call(caller, asked)
        caller.archive.close()


def as_asked(ask: Ask, now: datetime) -> Asked:
    if isinstance(ask, int):
        return Asked(Span(BEGINNING, now), open_end=True, from_beginning=True, count=ask)
    end: datetime | None
    start = None if ask[0] is None else EPOCH + ask[0] * MINUTE
    if isinstance(ask[1], str):
        end = now.replace(second=0) + int(ask[1]) * MINUTE
    else:
        end = None if ask[1] is None else EPOCH + ask[1] * MINUTE
    open_end = end is None or end > now
    return Asked(Span(start or BEGINNING, now if open_end or end is None else end), open_end, start is None)


def check_a_call(caller: Caller, asked: Asked) -> None:
    vendor = caller.vendor
    got, verdict = caller.call(asked)
    assert got == sorted(set(got))
    there = vendor.closed(asked.span)
    if asked.count is not None:
        there = there[-asked.count :]
    missing = verdict.failure.missing if isinstance(verdict.failure, IncompleteDataError) else ()
    assert {gap.reason for gap in missing} <= {"beyond_reach", "lost", "beyond_plan"}
    if not missing:
        absent = set(there) - set(got)
        if asked.from_beginning and asked.count is None:
            absent = {stamp for stamp in absent if stamp >= min(got, default=0)}
        assert not unexpected(absent, vendor, got)
    assert set(got) <= set(vendor.closed(Span(BEGINNING, vendor.now)))
    known = caller.archive.known(caller.code, PERIOD)
    held = caller.archive.read(caller.code, PERIOD, us(BEGINNING), us(vendor.now)).bars["timestamp"]
    for start, stop in known.coverage:
        truth = vendor.closed(Span(finality.instant(start), finality.instant(stop)))
        stamps = [stamp for stamp in held.cast(pa.int64()).to_pylist() if start <= stamp < stop]
        assert stamps == truth
    before = vendor.asked
    again, _ = caller.call(asked)
    assert (again, vendor.asked) == (got, before)


def unexpected(absent: set[int], vendor: Vendor, got: list[int]) -> set[int]:
    """Leave out what appeared late, after the newest bar that was there when the span was looked at."""
    if vendor.late_by == 0:
        return absent
    return {stamp for stamp in absent if got and stamp < got[-1]}


@dataclass
class Facts:
    coverage: tuple[tuple[int, int], ...] = ()
    checked: tuple[Checked, ...] = ()
    holes: tuple[Hole, ...] = ()
    history_start: HistoryStart | None = None


T0, T1, T2, T3 = (us(EPOCH + hours * timedelta(hours=1)) for hours in (0, 10, 20, 30))
LATER = EPOCH + 3 * DAY


def said(facts: Facts, code: str = "EURUSD", now: datetime = LATER, plan: str = "professional") -> list[Any]:
    span = Span(finality.instant(T0), finality.instant(T3))
    found = evidence.gaps(facts, code, PERIOD, span, plan_named(plan), now)
    return [((us(gap.span.start), us(gap.span.end)), gap.reason) for gap in found]


def test_what_is_not_covered_is_not_held() -> None:
    assert said(Facts()) == [((T0, T3), "not_held")]
    assert said(Facts(coverage=((T1, T2),))) == [((T0, T1), "not_held"), ((T2, T3), "not_held")]
    assert said(Facts(coverage=((T0 - 5, T3 + 5),))) == []


@pytest.mark.parametrize(
    ("reason", "holds"), [("invalid", timedelta(days=1)), ("lost", timedelta(days=1)), ("not_pageable", 7 * DAY)]
)
def test_a_hole_is_asked_for_again_after_a_while(reason: str, holds: timedelta) -> None:
    facts = Facts(coverage=((T0, T1), (T2, T3)), holes=(Hole(T1, T2, us(LATER), reason, "as it was said"),))
    assert said(facts, now=LATER + holds) == [((T1, T2), reason)]
    assert said(facts, now=LATER + holds + MINUTE) == [((T1, T2), "not_held")]


def test_a_hole_leaves_what_is_beside_it_to_be_asked_for() -> None:
    facts = Facts(holes=(Hole(T1, T2, us(LATER), "invalid", ""),))
    assert said(facts) == [((T0, T1), "not_held"), ((T1, T2), "invalid"), ((T2, T3), "not_held")]


@pytest.mark.parametrize(
    ("reason", "expected"), [("", []), ("beyond_plan", ["beyond_plan"]), ("beyond_reach", ["beyond_reach"])]
)
def test_before_the_beginning_there_is_nothing_to_ask_for(reason: str, expected: list[str]) -> None:
    facts = Facts(coverage=((T1, T3),), history_start=HistoryStart(T1, "premium", us(LATER), reason))
    assert said(facts, plan="premium") == [((T0, T1), name) for name in expected]
    # Only plans that are no deeper are bound, and for a month.
    assert said(facts, plan="basic") == said(facts, plan="premium")
    assert said(facts, plan="professional") == [((T0, T1), "not_held")]
    assert said(facts, plan="premium", now=LATER + timedelta(days=30)) == said(facts, plan="premium")
    assert said(facts, plan="premium", now=LATER + timedelta(days=31)) == [((T0, T1), "not_held")]


def test_a_beginning_that_no_bar_marks_is_believed_for_a_day() -> None:
    facts = Facts(history_start=HistoryStart(T3, "free", us(LATER)))
    assert said(facts, plan="free", now=LATER + DAY) == []
    assert said(facts, plan="free", now=LATER + DAY + MINUTE) == [((T0, T3), "not_held")]


def test_what_a_clock_that_was_years_ahead_noted_is_not_believed() -> None:
    noted_at = us(LATER + 3_650 * DAY)
    assert said(Facts(holes=(Hole(T1, T2, noted_at, "invalid", ""),))) == [((T0, T3), "not_held")]
    facts = Facts(coverage=((T1, T3),), history_start=HistoryStart(T1, "premium", noted_at))
    assert said(facts, plan="premium") == [((T0, T1), "not_held")]


def test_what_was_last_said_of_what_is_not_held_is_told_however_long_ago() -> None:
    long_ago = us(LATER - 3_650 * DAY)
    holes = (Hole(T1, T1 + 60_000_000, long_ago, "invalid", "as it was said"),)
    reach = HistoryStart(T2, "premium", long_ago, "beyond_reach")
    span = Span(finality.instant(T0), finality.instant(T3))

    def told(facts: Facts, code: str, plan: str) -> list[tuple[int, int, str, str]]:
        found = evidence.unproven(facts, code, span, plan_named(plan))
        return [(us(gap.span.start), us(gap.span.end), gap.reason, gap.detail) for gap in found]

    facts = Facts(coverage=((T0, T1), (T2, T3 - 1)), holes=holes)
    assert told(facts, "EURUSD", "premium") == [
        (T1, T1 + 60_000_000, "invalid", "as it was said"),
        (T1 + 60_000_000, T2, "not_held", ""),
        (T3 - 1, T3, "not_held", ""),
    ]
    overtaken = Facts(coverage=((T0, T1), (T2, T3)), history_start=reach)
    assert [gap[2] for gap in told(overtaken, "AAPL.US", "premium")] == ["lost"]
    assert [gap[2] for gap in told(overtaken, "AAPL.US", "professional")] == ["not_held"]


def test_of_a_stock_what_lies_between_held_bars_and_the_reach_is_lost() -> None:
    reach = HistoryStart(T2, "professional", us(LATER), "beyond_reach")
    facts = Facts(coverage=((T0 + 60_000_000, T1), (T2, T3)), history_start=reach)
    assert said(facts, "AAPL.US") == [((T0, T0 + 60_000_000), "beyond_reach"), ((T1, T2), "lost")]


def test_what_was_seen_empty_is_asked_for_once_something_can_have_closed() -> None:
    checked_at = EPOCH + timedelta(hours=20, seconds=30)
    facts = Facts(coverage=((T0, T1),), checked=(Checked(T1, us(checked_at), us(checked_at)),))
    span = Span(finality.instant(T0), checked_at)

    def missing(now: datetime, end: datetime = checked_at) -> list[str]:
        found = evidence.gaps(facts, "EURUSD", PERIOD, Span(span.start, end), PLAN, now)
        return [gap.reason for gap in found]

    assert missing(checked_at + timedelta(seconds=34)) == []
    assert missing(checked_at + timedelta(seconds=35)) == ["not_held"]
    # The minute in which was looked is the last of the span: what ends before it stays as it was seen, for a day, in
    # which an outage may end. What was looked at after that day is settled.
    before = checked_at.replace(second=0)
    assert missing(before + DAY - MINUTE, end=before) == []
    assert missing(before + DAY, end=before) == ["not_held"]
    facts.checked = (Checked(T1, us(checked_at), us(before + DAY)),)
    assert missing(before + DAY, end=before) == missing(before + 9 * DAY, end=before) == []
    facts.checked = (Checked(T1, us(checked_at), us(checked_at)),)
    # A clock that was set back since gives no ground to believe it.
    assert missing(checked_at - timedelta(minutes=1)) == ["not_held"]
