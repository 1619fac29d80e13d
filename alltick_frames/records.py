"""What the index says of one group, and how bars get into it. No I/O but through the *load* handed in.

A *group* is the bars of one code and period. Its record is the only truth about files: a segment that no record lists
does not exist.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from alltick_frames import schemas
from alltick_frames.codes import family_of
from alltick_frames.errors import StoreError
from alltick_frames.segments import (
    Bars,
    Identity,
    Restatement,
    UnreadableError,
    blocks,
    concat,
    decode,
    encode,
    stamps_of,
    with_asked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from alltick_frames.periods import Period

__all__ = [
    "INDEX_PREFIX",
    "SCHEMA",
    "SEGMENT_PREFIX",
    "TAIL_ROWS",
    "UNREADABLE",
    "Answers",
    "Batch",
    "Change",
    "Checked",
    "Group",
    "HistoryStart",
    "Hole",
    "Record",
    "Segment",
    "Spans",
    "answers_of",
    "asked_in",
    "change",
    "latest",
    "merged_spans",
    "nearest_start",
    "packed",
    "unpacked",
]

SCHEMA = 1
# Keys of the archive: the latter's values are files.
INDEX_PREFIX, SEGMENT_PREFIX = "index:", "seg:"
# Recent bars are kept in the index until there are more than these: a page of 500 and some.
TAIL_ROWS = 512
# What msgspec raises over bytes that are no message; of the text within them, and of nesting, it leaves it to Python.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_ALWAYS = (-(2**62), 2**62)
# Runs of one block; beyond it the block is written as one.
_MOST_RUNS = 16

# Longer, and it may not be believed any more by who asked anew.
_SAYS_MORE_FOR_US = 86_400_000_000

Spans = tuple[tuple[int, int], ...]
# Of answers: the first and the last stamp, and when it was asked for.
Answers = tuple[tuple[int, int, int], ...]
S = TypeVar("S", "Checked", "Hole")


class HistoryStart(msgspec.Struct, frozen=True):
    """Where the vendor's history begins for a plan.

    Attributes
    ----------
    key_us
        The key of the first bar, or one before which there is none.
    reason
        `beyond_plan` or `beyond_reach`, as a `Missing` has it; empty if the product is no older.
    """

    key_us: int
    plan: str
    asked_at_us: int
    reason: str = ""
    detail: str = ""


class Checked(msgspec.Struct, frozen=True, array_like=True):
    """Keys from *start* to *end* of which the vendor had no bar at *at*: no proof, a late one may appear."""

    start: int
    end: int
    at: int


class Hole(msgspec.Struct, frozen=True, array_like=True):
    """Keys from *start* to *end* of which the vendor cannot give the bars, and why, as a `Missing` has it."""

    start: int
    end: int
    at: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one answer brought.

    Attributes
    ----------
    bars
        Schema `schemas.BARS`: closed bars only, ascending, one row per stamp; may be empty.
    keys_us
        Their keys (`finality.keys`).
    proven
        Half-open spans of keys of which the batch, with what is held, has every bar the vendor had.
    asked_at_us
        When the request was sent: of two values for a bar, the one asked for later wins.
    exact
        (row, column, string) of the values that float64 cannot hold.
    checked
        What was seen to be empty and is not proven to be.
    holes
        What cannot be had.
    restatements
        What another archive, from which the batch comes, has seen to change.
    """

    bars: pa.Table
    keys_us: NDArray[np.int64]
    proven: Spans
    asked_at_us: int
    exact: tuple[tuple[int, str, str], ...] = ()
    checked: tuple[Checked, ...] = ()
    holes: tuple[Hole, ...] = ()
    history_start: HistoryStart | None = None
    restatements: tuple[Restatement, ...] = ()

    def __post_init__(self) -> None:
        if not self.bars.schema.equals(schemas.BARS):
            raise ValueError(f"bars have the schema {self.bars.schema}, not schemas.BARS")
        if len(self.keys_us) != len(self.bars):
            raise ValueError(f"{len(self.keys_us)} keys for {len(self.bars)} bars")
        stamps_us = stamps_of(self.bars)
        if not bool(np.all(stamps_us[1:] > stamps_us[:-1])):
            raise ValueError("bars are not ascending with one row per stamp")


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """One run of bars in a file: *first* and *last* are keys, the stamps order the runs.

    Attributes
    ----------
    asked_at, asked
        When the latest of them was asked for, and which of them when (`packed`); archives of before have only the
        former.
    """

    block: str
    version: int
    key: str
    rows: int
    first: int
    last: int
    first_stamp: int
    last_stamp: int
    size: int
    crc32: int
    asked_at: int
    asked: bytes = b""

    @property
    def answers(self) -> Answers:
        """Which bars were last asked for when."""
        return unpacked(self.asked) or ((self.first_stamp, self.last_stamp, self.asked_at),)


class Superseded(msgspec.Struct, frozen=True, array_like=True):
    """A segment that no reader should begin with, since *at_us*."""

    key: str
    at_us: int


class Record(msgspec.Struct, frozen=True):
    """The index row of one group."""

    schema: int
    version: int
    family: str
    code: str
    period: str
    coverage: Spans = ()
    segments: tuple[Segment, ...] = ()
    tail: bytes = b""
    tail_rows: int = 0
    tail_asked_at: int = 0
    checked: tuple[Checked, ...] = ()
    holes: tuple[Hole, ...] = ()
    history_start: HistoryStart | None = None
    restatements: tuple[Restatement, ...] = ()
    superseded: tuple[Superseded, ...] = ()
    # The last entry of the log that is contained.
    folded: int = 0
    # As a segment's.
    tail_asked: bytes = b""

    @property
    def rows(self) -> int:
        """How many bars are held."""
        return sum(segment.rows for segment in self.segments) + self.tail_rows

    def succeed(self, base: Record, written: Sequence[Segment], deleted: AbstractSet[str], now_us: int) -> Record:
        """Give the row that follows *base*: with the segments *written*, without those *deleted* from the disk."""
        listed = {segment.key for segment in self.segments}
        fresh = [Superseded(segment.key, now_us) for segment in base.segments if segment.key not in listed]
        return msgspec.structs.replace(
            self,
            version=base.version + 1,
            segments=tuple(sorted((*self.segments, *written), key=lambda segment: segment.first_stamp)),
            superseded=(*(old for old in base.superseded if old.key not in deleted), *fresh),
        )

    def tail_bars(self) -> Bars:
        """Give the bars that are kept in the index."""
        if not self.tail:
            return Bars.none()
        why = ""
        try:
            tail = with_asked(decode(pa.py_buffer(self.tail)), 0 if self.tail_asked else self.tail_asked_at)
            return asked_in(tail, unpacked(self.tail_asked))
        except UnreadableError as error:
            why = str(error)
        raise StoreError(f"the archive's latest bars of {self.code} {self.period} cannot be read: {why}")


class _SchemaOnly(msgspec.Struct):
    schema: int


@dataclass(frozen=True, slots=True)
class Group:
    """The bars of one code and period, of one origin."""

    origin: str
    code: str
    period: Period

    @property
    def family(self) -> str:
        """The API's half that serves the code."""
        return family_of(self.code).name.lower()

    @property
    def name(self) -> str:
        """What the log calls it."""
        return f"{self.period.value}:{self.code}"

    @property
    def index_key(self) -> str:
        """Where its record is."""
        return f"{INDEX_PREFIX}{self.family}:{self.period.value}:{self.code}"

    @property
    def segment_prefix(self) -> str:
        """How the keys of its segments begin."""
        return f"{SEGMENT_PREFIX}{self.family}:{self.code}:{self.period.value}:"

    def empty(self) -> Record:
        """Give the record of a group of which nothing is held."""
        return Record(SCHEMA, 0, self.family, self.code, self.period.value)

    def record(self, row: bytes | None) -> Record | None:
        """Read an index row.

        Raises
        ------
        StoreError
            It cannot be read, or a newer version of this library wrote it.
        """
        if row is None:
            return None
        try:
            schema = msgspec.msgpack.decode(row, type=_SchemaOnly).schema
            record = msgspec.msgpack.decode(row, type=Record) if schema <= SCHEMA else None
            why = f"has schema version {schema}, this alltick_frames reads up to {SCHEMA}; upgrade it"
        except UNREADABLE as error:
            record, why = None, f"cannot be read: {error}"
        if record is not None and (record.code, record.period) == (self.code, self.period.value):
            return record
        raise StoreError(f"archive entry {self.index_key!r} {'is of another group' if record else why}")

    def identity(self, block: str, version: int, bars: Bars, coverage: Spans, others: Spans = ()) -> Identity:
        """Say what a run of bars is; *others* are the first and last keys of those beside it."""
        first, last = int(bars.keys_us.min()), int(bars.keys_us.max())
        after = max((b for _, b in others if b < first), default=_ALWAYS[0])
        before = min((a for a, _ in others if a > last), default=_ALWAYS[1])
        return Identity(
            schema=SCHEMA,
            origin=self.origin,
            family=self.family,
            code=self.code,
            period=self.period.value,
            block=block,
            version=version,
            rows=len(bars),
            first=first,
            last=last,
            coverage=_within(coverage, after + 1, before),
            asked_at=int(bars.asked_us.max()),
            exact=(),
            asked=answers_of(bars),
        )

    def expected(self, segment: Segment) -> dict[str, Any]:
        """Say what *segment* must say of itself."""
        return {
            "schema": SCHEMA,
            "origin": self.origin,
            "family": self.family,
            "code": self.code,
            "period": self.period.value,
            "block": segment.block,
            "version": segment.version,
            "rows": segment.rows,
        }


@dataclass(frozen=True, slots=True)
class Change:
    """A record's successor, without the new segments it will list: (block, bars) to be written first."""

    record: Record
    runs: tuple[tuple[str, Bars], ...]

    def ends(self) -> Spans:
        """Give the first and the last key of every run of bars, the tail's included."""
        parts = [*(bars for _, bars in self.runs), self.record.tail_bars()]
        new = ((int(bars.keys_us.min()), int(bars.keys_us.max())) for bars in parts if len(bars))
        return (*((segment.first, segment.last) for segment in self.record.segments), *new)


def change(
    group: Group, record: Record, older: Bars, recent: Bars, answers: Answers, load: Callable[[Segment], Bars]
) -> Change:
    """Put the bars *older* into the segments of *record*, and *recent* in place of its tail or, if full, as well."""
    if len(recent) > TAIL_ROWS:
        # Both parts are disjoint and in order: the tail begins after every segment ends.
        older, recent = concat([older, recent]), Bars.none()
    segments: list[Segment] = []
    runs: list[tuple[str, Bars]] = []
    by_block = dict(blocks(older, group.period))
    for block in sorted({*by_block, *(segment.block for segment in record.segments)}):
        kept = [segment for segment in record.segments if segment.block == block]
        if block in by_block:
            kept, run = _change_block(kept, by_block[block], load)
            runs.append((block, asked_in(run, answers)))
        segments += kept
    after = msgspec.structs.replace(
        record,
        segments=tuple(_confirmed_segment(segment, answers) for segment in segments),
        **_tail(group, record, asked_in(recent, answers)),
    )
    return Change(after, tuple(runs))


def _change_block(held: Sequence[Segment], new: Bars, load: Callable[[Segment], Bars]) -> tuple[list[Segment], Bars]:
    """Give the segments of a block that stay, and the run to be written."""
    left, touched, right = _around(held, new)
    run = concat([load(segment) for segment in touched]).updated(new)
    crowded = len(left) + len(right) >= _MOST_RUNS
    # Neighbours join when the new run is no smaller: each bar is rewritten log2(block ÷ page) times, whichever
    # way a walk goes.
    while left and (crowded or left[-1].rows <= len(run)):
        run = concat([load(left.pop()), run])
    while right and (crowded or right[0].rows <= len(run)):
        run = concat([run, load(right.pop(0))])
    return [*left, *right], run


def _around(held: Sequence[Segment], new: Bars) -> tuple[list[Segment], list[Segment], list[Segment]]:
    """Part the runs of a block into those before, within and after the span of *new*; all are before nothing."""
    if not len(new):
        return list(held), [], []
    first, last = int(new.stamps_us[0]), int(new.stamps_us[-1])
    left = [segment for segment in held if segment.last_stamp < first]
    right = [segment for segment in held if segment.first_stamp > last]
    return left, list(held[len(left) : len(held) - len(right)]), right


def asked_in(bars: Bars, answers: Iterable[tuple[int, int, int]]) -> Bars:
    """Say when bars were last asked for that came in *answers*, too."""
    asked_us = np.array(bars.asked_us)
    for first, last, asked_at in answers:
        start, stop = np.searchsorted(bars.stamps_us, (first, last + 1)).tolist()
        np.maximum(asked_us[start:stop], asked_at, out=asked_us[start:stop])
    return replace(bars, asked_us=asked_us)


def answers_of(bars: Bars) -> Answers:
    """Say which bars were last asked for when."""
    cuts = np.flatnonzero(np.diff(bars.asked_us)) + 1
    stamps_us = bars.stamps_us
    runs = [
        (int(stamps_us[start]), int(stamps_us[stop - 1]), int(bars.asked_us[start]))
        for start, stop in pairwise([0, *cuts.tolist(), len(bars)])
    ]
    return tuple(runs)


def packed(answers: Answers) -> bytes:
    """Write them small: pages of a walk follow each other at equal distances."""
    differences = np.diff(np.array(answers, dtype="<i8"), axis=0, prepend=0).T
    return zlib.compress(differences.tobytes(), 1)


def unpacked(answers: bytes) -> Answers:
    """Read what `packed` wrote."""
    if not answers:
        return ()
    columns = np.frombuffer(zlib.decompress(answers), dtype="<i8").reshape(3, -1)
    return tuple(zip(*np.cumsum(columns, axis=1).tolist(), strict=True))


def _confirmed_segment(segment: Segment, answers: Answers) -> Segment:
    """Say of a segment that is not written anew that some of its bars were asked for again."""
    first, last = segment.first_stamp, segment.last_stamp
    new = [(max(a, first), min(b, last), at) for a, b, at in answers if a <= last and b >= first]
    held = segment.answers
    starts = sorted({a for a, _, _ in (*held, *new)} | {b + 1 for _, b, _ in new if b < last})
    asked: list[tuple[int, int, int]] = []
    for start, after in pairwise([*starts, last + 1]):
        before = next(at for a, _, at in reversed(held) if a <= start)
        asked.append((start, after - 1, max([before, *(at for a, b, at in new if a <= start <= b)])))
    joined = [one for one, before in zip(asked, [(0, 0, 0), *asked], strict=False) if one[2] != before[2]]
    ends = [*(first - 1 for first, _, _ in joined[1:]), last]
    asked = [(first, end, at) for (first, _, at), end in zip(joined, ends, strict=True)]
    return msgspec.structs.replace(segment, asked_at=max(at for _, _, at in asked), asked=packed(tuple(asked)))


def _tail(group: Group, record: Record, bars: Bars) -> dict[str, Any]:
    if not len(bars):
        return {"tail": b"", "tail_rows": 0, "tail_asked_at": 0, "tail_asked": b""}
    identity = group.identity("tail", record.version + 1, bars, record.coverage)
    tail = encode(bars, identity, by_date=group.period.by_date)
    asked = {"tail_asked_at": identity.asked_at, "tail_asked": packed(answers_of(bars))}
    return {"tail": tail, "tail_rows": len(bars), **asked}


def latest(stretches: Iterable[S], coverage: Spans) -> tuple[S, ...]:
    """Keep of each key what was said of it last, and nothing of what is proven."""
    kept: list[S] = []
    for newer in sorted(stretches, key=lambda stretch: stretch.at):
        kept = [piece for older in kept for piece in _cut(older, ((newer.start, newer.end),))]
        kept.append(newer)
    pieces = [piece for stretch in kept for piece in _cut(stretch, coverage)]
    return tuple(sorted(pieces, key=lambda piece: piece.start))


def _cut(stretch: S, spans: Spans) -> list[S]:
    """Give what of *stretch* is outside *spans*, which are disjoint and in order."""
    pieces: list[S] = []
    start = stretch.start
    for a, b in spans:
        if b <= start or a >= stretch.end:
            continue
        if start < a:
            pieces.append(msgspec.structs.replace(stretch, start=start, end=a))
        start = b
    if start < stretch.end:
        pieces.append(msgspec.structs.replace(stretch, start=start))
    return pieces


def nearest_start(held: HistoryStart | None, batch: Batch, coverage: Spans) -> HistoryStart | None:
    """Give what is known of the beginning: not after any bar; of two for one plan the one that says more, for a day."""
    new = batch.history_start
    if new is not None and not new.reason and any(start < new.key_us for start, _ in coverage):
        new = None  # of a product that is held from before, a beginning cannot be later
    if held is not None and len(batch.keys_us) and (first := int(batch.keys_us.min())) < held.key_us:
        # A beginning is disproved by an older bar; a reach or a depth only lies further back than was seen.
        held = msgspec.structs.replace(held, key_us=first) if held.reason else None
    if held is None or new is None:
        return new or held
    says_more = held.plan == new.plan and held.key_us > new.key_us
    return held if held.asked_at_us > new.asked_at_us - (_SAYS_MORE_FOR_US if says_more else 0) else new


def merged_spans(spans: Iterable[tuple[int, int]]) -> Spans:
    """Merge half-open spans, in any order, overlapping or touching."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)


def _within(spans: Spans, start: int, end: int) -> Spans:
    return tuple((max(a, start), min(b, end)) for a, b in spans if a < end and b > start)
