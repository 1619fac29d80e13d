"""The archive against a dict: any writes in any order, by two that share the directory."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from alltick_frames import records, store
from alltick_frames.periods import Period
from alltick_frames.store import Archive, Batch, Checked, Hole
from tests.archives import EVER, MINUTE, START, Row, batch, record_of, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUPS = (("EURUSD", Period.MINUTE_1), ("GBPUSD", Period.MINUTE_1), ("EURUSD", Period.DAY))
# Three months in steps of a day and some, so that few bars touch many blocks.
SLOTS, STEP = 60, 2161 * MINUTE
slots = st.integers(0, SLOTS - 1)
some_slots = st.sets(slots, max_size=6)
values = st.tuples(st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([None, 0.0, 7.0]))
pages = st.one_of(
    st.dictionaries(slots, values, max_size=6),
    st.builds(
        lambda first, size, value: {first + i: value for i in range(min(size, SLOTS - first))}, slots, slots, values
    ),
)


@dataclass
class Answer:
    """What one batch says of some slots."""

    group: tuple[str, Period]
    page: dict[int, Row]
    proven: set[int]
    checked: set[int]
    holes: set[int]

    def batch(self, asked_at: int) -> Batch:
        rows = batch({stamp(slot): value for slot, value in self.page.items()}, asked_at, spans(self.proven))
        return Batch(
            rows.bars,
            rows.keys_us,
            rows.proven,
            asked_at,
            checked=tuple(Checked(a, b, asked_at) for a, b in spans(self.checked)),
            holes=tuple(Hole(a, b, asked_at, "lost", "") for a, b in spans(self.holes)),
        )


answers = st.builds(Answer, st.sampled_from(GROUPS), pages, st.sets(slots, max_size=8), some_slots, some_slots)


def stamp(slot: int) -> int:
    return START + slot * STEP


def spans(of: Iterable[int]) -> list[tuple[int, int]]:
    return [(stamp(slot), stamp(slot + 1)) for slot in sorted(of)]


@dataclass
class Model:
    """The value of each bar, when it was last asked for, and when it was said of which slots what."""

    bars: dict[int, Row] = field(default_factory=dict)
    asked: dict[int, int] = field(default_factory=dict)
    proven: set[int] = field(default_factory=set)
    checked: dict[int, int] = field(default_factory=dict)
    holes: dict[int, int] = field(default_factory=dict)
    restated: int = 0

    def take(self, answer: Answer, asked_at: int) -> None:
        for slot in answer.page:
            self.asked[slot] = max(asked_at, self.asked.get(slot, asked_at))
        self.proven |= answer.proven
        for said, of in ((self.checked, answer.checked), (self.holes, answer.holes)):
            said |= {slot: asked_at for slot in of if asked_at >= said.get(slot, asked_at)}
            for slot in self.proven & said.keys():
                del said[slot]


class ArchiveMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.archives: list[Archive] = []
        self.models = {group: Model() for group in GROUPS}
        self.clock = 1_000
        self.real = (store._now_us, records.TAIL_ROWS, store.LOGGED_BYTES, store.LOG_BYTES)  # noqa: SLF001
        store._now_us = lambda: self.clock * 1_000_000  # noqa: SLF001

    @initialize(
        tail_rows=st.sampled_from([0, 1, 5, 20]),
        logged_bytes=st.sampled_from([0, 150, 4096]),
        log_bytes=st.sampled_from([0, 500, 2000, 10**6]),
    )
    def with_little_room(self, tail_rows: int, logged_bytes: int, log_bytes: int) -> None:
        # Makes few bars do what thousands do.
        records.TAIL_ROWS, store.LOGGED_BYTES, store.LOG_BYTES = tail_rows, logged_bytes, log_bytes
        self.archives += [Archive.open(self.directory, "alltick") for _ in range(2)]

    @rule(batches=st.lists(answers, min_size=1, max_size=4), who=st.integers(0, 1))
    def write_asked_now(self, batches: list[Answer], who: int) -> None:
        asked = [self.clock + number for number in range(1, len(batches) + 1)]
        self.clock += len(batches)
        self.archives[who].write_many(
            [(*answer.group, answer.batch(asked_at)) for answer, asked_at in zip(batches, asked, strict=True)]
        )
        for answer, asked_at in zip(batches, asked, strict=True):
            model = self.models[answer.group]
            model.restated += sum(slot in model.bars and model.bars[slot] != row for slot, row in answer.page.items())
            model.bars |= answer.page
            model.take(answer, asked_at)

    @rule(answer=answers, who=st.integers(0, 1), ago=st.integers(1, 30))
    def write_asked_before(self, answer: Answer, who: int, ago: int) -> None:
        asked_at, model = self.clock - ago, self.models[answer.group]
        self.archives[who].write(*answer.group, answer.batch(asked_at))
        held = self.held(who, answer.group)
        for slot, value in answer.page.items():
            if slot not in model.bars:
                model.bars[slot] = value
            elif model.asked[slot] < asked_at and held.get(slot) == value != model.bars[slot]:
                # Asked later than this bar: it may win, unless another bar of the segment was asked later still.
                model.bars[slot] = value
                model.restated += 1
        model.take(answer, asked_at)

    @rule(who=st.integers(0, 1))
    def fold(self, who: int) -> None:
        before = [self.all_there_is(who, group) for group in GROUPS]
        self.archives[who]._fold()  # noqa: SLF001
        assert [self.all_there_is(who, group) for group in GROUPS] == before
        assert self.archives[who]._log.names() == set()  # noqa: SLF001

    @rule(seconds=st.sampled_from([1, 30, 61]))
    def time_passes(self, seconds: int) -> None:
        self.clock += seconds

    @rule(who=st.integers(0, 1))
    def reopen(self, who: int) -> None:
        self.archives[who].close()
        self.archives[who] = Archive.open(self.directory, "alltick")

    @rule(group=st.sampled_from(GROUPS), first=slots, stop=slots, who=st.integers(0, 1))
    def read_a_span(self, group: tuple[str, Period], first: int, stop: int, who: int) -> None:
        held = rows_of(self.archives[who].read(*group, stamp(first), stamp(stop)))
        bars = self.models[group].bars
        assert held == {stamp(slot): value for slot, value in bars.items() if first <= slot < stop}

    @rule(group=st.sampled_from(GROUPS), edges=st.sets(st.integers(0, 3 * SLOTS), max_size=8), who=st.integers(0, 1))
    def count_in_spans(self, group: tuple[str, Period], edges: set[int], who: int) -> None:
        cut = [START + edge * STEP // 3 for edge in sorted(edges)]
        within = (*zip(cut[::2], cut[1::2], strict=False),)
        archive = self.archives[who]
        assert archive.counts(*group, within) == [len(archive.read(*group, *span).bars) for span in within]

    @invariant()
    def every_bar_is_there_once(self) -> None:
        for group, model in self.models.items():
            for who in (0, 1):
                assert self.held(who, group) == model.bars

    @invariant()
    def what_is_known_is_what_was_said(self) -> None:
        for group, model in self.models.items():
            known = self.archives[0].known(*group)
            assert self.archives[1].known(*group) == known
            assert all(a[1] < b[0] for a, b in pairwise(known.coverage))
            assert sum(b - a for a, b in known.coverage) == len(model.proven) * STEP
            assert slots_of((a, b, 0) for a, b in known.coverage) == dict.fromkeys(model.proven, 0)
            assert slots_of((one.start, one.end, one.at) for one in known.checked) == model.checked
            assert slots_of((hole.start, hole.end, hole.at) for hole in known.holes) == model.holes
            assert known.rows == len(model.bars)
            assert known.first_us == (stamp(min(model.bars)) if model.bars else None)
            assert known.last_us == (stamp(max(model.bars)) if model.bars else None)
            assert len(self.archives[0].restatements(*group)) == model.restated

    @invariant()
    def the_records_add_up(self) -> None:
        files = 0
        for group in GROUPS:
            record = record_of(self.archives[1], *group)
            if record is None:
                continue
            assert record.tail_rows <= records.TAIL_ROWS
            runs = [(segment.first_stamp, segment.last_stamp) for segment in record.segments]
            assert all(a[1] < b[0] for a, b in pairwise(runs))
            files += len(record.segments) + len(record.superseded)
        assert len(list((self.directory / "alltick" / "segments").iterdir())) == files

    def held(self, who: int, group: tuple[str, Period]) -> dict[int, Row]:
        rows: dict[Any, Row] = rows_of(self.archives[who].read(*group, *EVER))
        return {(at - START) // STEP: value for at, value in rows.items()}

    def all_there_is(self, who: int, group: tuple[str, Period]) -> Any:
        archive = self.archives[who]
        return self.held(who, group), archive.known(*group), archive.restatements(*group)

    def teardown(self) -> None:
        store._now_us, records.TAIL_ROWS, store.LOGGED_BYTES, store.LOG_BYTES = self.real  # noqa: SLF001
        for archive in self.archives:
            archive.close()
        shutil.rmtree(self.directory)


def slots_of(said: Iterable[tuple[int, int, int]]) -> dict[int, int]:
    return {slot: at for start, end, at in said for slot in range(SLOTS) if start <= stamp(slot) < end}


TestArchiveMachine = ArchiveMachine.TestCase
TestArchiveMachine.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
