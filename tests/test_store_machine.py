"""The archive against a dict: any writes in any order, by two that share the directory."""

from __future__ import annotations

import shutil
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from alltick_frames import records, store
from alltick_frames.periods import Period
from alltick_frames.store import Archive
from tests.archives import EVER, MINUTE, START, Row, batch, record_of, rows_of

CODE, M1 = "EURUSD", Period.MINUTE_1
# Three months in steps of a day and some, so that few bars touch many blocks.
SLOTS, STEP = 60, 2161 * MINUTE
slots = st.integers(0, SLOTS - 1)
values = st.tuples(st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([None, 0.0, 7.0]))
pages = st.one_of(
    st.dictionaries(slots, values, max_size=6),
    st.builds(
        lambda first, size, value: {first + i: value for i in range(min(size, SLOTS - first))}, slots, slots, values
    ),
)


def stamp(slot: int) -> int:
    return START + slot * STEP


class ArchiveMachine(RuleBasedStateMachine):
    """Model: the value of each bar, when it was last asked for, and the slots proven."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.archives = [Archive.open(self.directory, "alltick") for _ in range(2)]
        self.bars: dict[int, Row] = {}
        self.asked: dict[int, int] = {}
        self.proven: set[int] = set()
        self.clock = 1_000
        self.restated = 0
        self.real_now, self.real_rows = store._now_us, records.TAIL_ROWS  # noqa: SLF001
        store._now_us = lambda: self.clock * 1_000_000  # noqa: SLF001

    @initialize(rows=st.sampled_from([0, 1, 5, 20]))
    def a_tail_of(self, rows: int) -> None:
        # A small tail makes few bars do what 512 do.
        records.TAIL_ROWS = rows

    @rule(page=pages, proof=st.sets(slots, max_size=8), who=st.integers(0, 1))
    def write_asked_now(self, page: dict[int, Row], proof: set[int], who: int) -> None:
        self.clock += 1
        self.restated += sum(slot in self.bars and self.bars[slot] != value for slot, value in page.items())
        self.write(page, proof, who, self.clock)
        self.bars |= page

    @rule(page=pages, who=st.integers(0, 1), ago=st.integers(1, 30))
    def write_asked_before(self, page: dict[int, Row], who: int, ago: int) -> None:
        asked_at = self.clock - ago
        earlier = {slot: self.asked[slot] for slot in page if slot in self.bars}
        self.write(page, set(), who, asked_at)
        held = self.held(who)
        for slot, value in page.items():
            if slot not in self.bars:
                self.bars[slot] = value
            elif earlier[slot] < asked_at and held.get(slot) == value != self.bars[slot]:
                # Asked later than this bar: it may win, unless another bar of the segment was asked later still.
                self.bars[slot] = value
                self.restated += 1

    def write(self, page: dict[int, Row], proof: set[int], who: int, asked_at: int) -> None:
        rows = {stamp(slot): value for slot, value in page.items()}
        spans = [(stamp(slot), stamp(slot + 1)) for slot in proof]
        self.archives[who].write(CODE, M1, batch(rows, asked_at, spans))
        for slot in page:
            self.asked[slot] = max(asked_at, self.asked.get(slot, asked_at))
        self.proven |= proof

    @rule(seconds=st.sampled_from([1, 30, 61]))
    def time_passes(self, seconds: int) -> None:
        self.clock += seconds

    @rule(who=st.integers(0, 1))
    def reopen(self, who: int) -> None:
        self.archives[who].close()
        self.archives[who] = Archive.open(self.directory, "alltick")

    @rule(first=slots, stop=slots, who=st.integers(0, 1))
    def read_a_span(self, first: int, stop: int, who: int) -> None:
        held = rows_of(self.archives[who].read(CODE, M1, stamp(first), stamp(stop)))
        assert held == {stamp(slot): value for slot, value in self.bars.items() if first <= slot < stop}

    @invariant()
    def every_bar_is_there_once(self) -> None:
        for who in (0, 1):
            assert self.held(who) == self.bars

    @invariant()
    def coverage_is_the_union_of_proofs(self) -> None:
        coverage = self.archives[0].read(CODE, M1, 0, 0).coverage
        assert list(coverage) == sorted(coverage)
        assert all(a[1] < b[0] for a, b in pairwise(coverage))
        covered = {slot for slot in range(SLOTS) for a, b in coverage if a <= stamp(slot) < b}
        assert covered == self.proven
        assert sum(b - a for a, b in coverage) == len(self.proven) * STEP

    @invariant()
    def the_record_adds_up(self) -> None:
        record = record_of(self.archives[1])
        if record is None:
            assert not self.bars
            return
        assert record.rows == len(self.bars)
        assert len(record.restatements) == self.restated
        assert record.tail_rows <= records.TAIL_ROWS
        runs = [(segment.first_stamp, segment.last_stamp) for segment in record.segments]
        assert all(a[1] < b[0] for a, b in pairwise(runs))
        files = len(list((self.directory / "alltick" / "segments").iterdir()))
        assert files == len(record.segments) + len(record.superseded)

    def held(self, who: int) -> dict[int, Row]:
        rows: dict[Any, Row] = rows_of(self.archives[who].read(CODE, M1, *EVER))
        return {(at - START) // STEP: value for at, value in rows.items()}

    def teardown(self) -> None:
        store._now_us, records.TAIL_ROWS = self.real_now, self.real_rows  # noqa: SLF001
        for archive in self.archives:
            archive.close()
        shutil.rmtree(self.directory)


TestArchiveMachine = ArchiveMachine.TestCase
TestArchiveMachine.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
