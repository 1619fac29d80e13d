"""The archive's log: what answers added to many groups, in one small entry, until it is folded into their records.

A group is its record and the log's changes after it, in order; `View` is that, for a reader as for who folds. No I/O.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from alltick_frames import schemas
from alltick_frames.errors import StoreError
from alltick_frames.records import (
    SCHEMA,
    UNREADABLE,
    Answers,
    Batch,
    Change,
    Checked,
    Group,
    HistoryStart,
    Hole,
    Record,
    Segment,
    Spans,
    asked_in,
    change,
    latest,
    merged_spans,
    nearest_start,
    unpacked,
)
from alltick_frames.segments import VALUES, Bars, Restatement, blocks, concat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["LOG_PREFIX", "Block", "Delta", "Log", "Progress", "View", "encode_entry", "entry_key"]

LOG_PREFIX = "log:"
_CRC_BYTES = 4


class Progress(msgspec.Struct, frozen=True, array_like=True):
    """The number of the log's last entry, and of the last that was deleted; they never begin again."""

    last: int = 0
    deleted: int = 0


class Delta(msgspec.Struct, frozen=True, array_like=True):
    """What one batch changed of a group.

    Attributes
    ----------
    rows
        Bars that were not held, or have other values now: stamps, of trading dates the keys, and the six values,
        column by column; NaN is null, for a value never is NaN.
    added
        How many of them were not held.
    answered
        The first and the last stamp of the batch's bars, if it had any: all of them were asked for at *asked_at*.
    history_start
        What is now known of it; empty if the batch changed nothing.
    exact
        (row, column, string) of the values that float64 cannot hold.
    """

    rows: bytes
    added: int
    answered: tuple[int, int] | None
    asked_at: int
    proven: Spans = ()
    checked: tuple[Checked, ...] = ()
    holes: tuple[Hole, ...] = ()
    history_start: tuple[HistoryStart | None, ...] = ()
    exact: tuple[tuple[int, str, str], ...] = ()
    restatements: tuple[Restatement, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A group as its record and the log have it.

    Attributes
    ----------
    record
        The index row, with what the log says beside bars.
    upto
        The last entry of the log that is contained.
    logged
        How many changes of the log are.
    rows
        How many bars are held.
    older, recent
        The log's bars that belong before or among those of segments; the tail's and the log's after all segments.
    answers
        What the log's batches had asked for.
    """

    group: Group
    record: Record
    upto: int
    logged: int
    rows: int
    older: Bars
    recent: Bars
    answers: Answers = ()

    @classmethod
    def of(cls, group: Group, record: Record) -> View:
        """View a record without a log."""
        return cls(group, record, record.folded, 0, record.rows, Bars.none(), record.tail_bars())

    def after(self, upto: int, deltas: Sequence[Delta]) -> View:
        """Add changes, in order; *upto* is the entry of the last."""
        if not deltas:
            return replace(self, upto=upto)
        record = self.record
        coverage = merged_spans((*record.coverage, *(span for delta in deltas for span in delta.proven)))
        starts = [record.history_start, *(start for delta in deltas for start in delta.history_start)]
        new = _bars(deltas, by_date=self.group.period.by_date)
        last = max((segment.last_stamp for segment in record.segments), default=None)
        cut = 0 if last is None else int(np.searchsorted(new.stamps_us, last, side="right"))
        return View(
            self.group,
            msgspec.structs.replace(
                record,
                coverage=coverage,
                checked=latest((*record.checked, *(one for delta in deltas for one in delta.checked)), coverage),
                holes=latest((*record.holes, *(hole for delta in deltas for hole in delta.holes)), coverage),
                history_start=starts[-1],
                restatements=(*record.restatements, *(one for delta in deltas for one in delta.restatements)),
            ),
            upto,
            self.logged + len(deltas),
            self.rows + sum(delta.added for delta in deltas),
            self.older.updated(new[:cut]),
            self.recent.updated(new[cut:]),
            (*self.answers, *((*delta.answered, delta.asked_at) for delta in deltas if delta.answered is not None)),
        )

    @property
    def rows_waiting(self) -> int:
        """How many of the bars are in no segment."""
        return len(self.older) + len(self.recent)

    def parts(self, load: Callable[[Segment], Bars], wanted: Callable[[Segment], bool]) -> Iterator[Bars]:
        """Give the bars in order; of the segments not *wanted*, at most those that the log replaces."""
        yield from _parts(self.record.segments, self.older, load, wanted)
        yield self.recent

    def counts(self, spans: Spans, load: Callable[[Segment], Bars]) -> list[int]:
        """Count the bars whose key lies in each of *spans*, which are disjoint and in order.

        Of the segments, only those are read that a span cuts or the log changes.
        """
        starts, ends = (np.array([span[end] for span in spans], dtype=np.int64) for end in (0, 1))
        found = np.zeros(len(spans), dtype=np.int64)
        for segment, logged in (*_pieces(self.record.segments, self.older), (None, self.recent)):
            bars = logged
            if segment is not None:
                at = int(np.searchsorted(ends, segment.first, side="right"))
                touched = at < len(spans) and segment.last >= starts[at]
                if touched and not len(logged) and starts[at] <= segment.first and segment.last < ends[at]:
                    found[at] += segment.rows
                    continue
                bars = load(segment).updated(logged) if touched else logged
            found += _counts(bars.keys_us, starts, ends)
        return [int(count) for count in found]

    def blocks(self) -> tuple[Block, ...]:
        """Give the bars block by block, in order, none of them read yet."""
        older, recent = (dict(blocks(bars, self.group.period)) for bars in (self.older, self.recent))
        segments = self.record.segments
        return tuple(
            Block(
                name,
                tuple(segment for segment in segments if segment.block == name),
                older.get(name, Bars.none()),
                recent.get(name, Bars.none()),
            )
            for name in sorted({*(segment.block for segment in segments), *older, *recent})
        )

    def asked(self) -> Answers:
        """Say of which bars it is known when they were last asked for: of those in several answers, the latest."""
        answers = [answer for segment in self.record.segments for answer in segment.answers]
        tail = self.record.tail_bars()
        if len(tail):
            of_all = (int(tail.stamps_us[0]), int(tail.stamps_us[-1]), self.record.tail_asked_at)
            answers += unpacked(self.record.tail_asked) or (of_all,)
        return (*answers, *self.answers)

    def decide(self, batch: Batch, load: Callable[[Segment], Bars]) -> Delta | None:
        """Work out what *batch* changes; None if nothing.

        Of two values for a bar, the one asked for later wins. That is settled here and once: who reads the log or
        folds it compares no more.
        """
        new = Bars.of(batch.bars, batch.keys_us, batch.asked_at_us, batch.exact)
        fresh, added, restated, confirms = self._news(new, load) if len(new) else (new, 0, (), False)
        record = self.record
        restated = _with_told(restated, batch.restatements, record.restatements)
        start = nearest_start(record.history_start, batch, record.coverage)
        delta = Delta(
            _packed(fresh, by_date=self.group.period.by_date),
            added,
            (int(new.stamps_us[0]), int(new.stamps_us[-1])) if len(new) else None,
            batch.asked_at_us,
            tuple(span for span in batch.proven if merged_spans((*record.coverage, span)) != record.coverage),
            batch.checked,
            batch.holes,
            () if start == record.history_start else (start,),
            fresh.exact_by_row(),
            restated,
        )
        if confirms or delta.proven or delta.history_start:
            return delta
        return delta if self.after(self.upto, [delta]).record != record else None

    def _news(self, new: Bars, load: Callable[[Segment], Bars]) -> tuple[Bars, int, tuple[Restatement, ...], bool]:
        """Give the bars of an answer that count, how many were not held, what they restate, and if any bar does.

        A bar that comes again unchanged counts as asked for again: an answer in between must not win any more.
        """
        first, last = int(new.stamps_us[0]), int(new.stamps_us[-1])
        parts = self.parts(load, lambda segment: segment.first_stamp <= last and segment.last_stamp >= first)
        held = concat([part.between(first, last) for part in parts])
        in_held, in_new = held.shared(new)
        counts = np.ones(len(new), dtype=np.bool_)
        counts[in_new] = False
        added = int(counts.sum())
        changed = held.differs(in_held, new, in_new)
        pairs = np.flatnonzero(changed | (held.keys_us[in_held] != new.keys_us[in_new]))
        # An answer from before a bar was last asked for must not win any more.
        asked_us = asked_in(held, self.answers).asked_us
        pairs = pairs[new.asked_us[in_new[pairs]] > asked_us[in_held[pairs]]]
        counts[in_new[pairs]] = True
        restatements = [
            Restatement(int(new.stamps_us[j]), held.values(i), new.values(j), int(new.asked_us[j]))
            for i, j, other in zip(*(one[pairs].tolist() for one in (in_held, in_new, changed)), strict=True)
            if other
        ]
        fresh = new if counts.all() else new.take(np.flatnonzero(counts))
        confirms = len(fresh) > 0 or bool(np.any(new.asked_us[in_new] > asked_us[in_held]))
        return fresh, added, tuple(restatements), confirms

    def whole(self, load: Callable[[Segment], Bars]) -> Change:
        """Give the record that has all of it in segments, without a log or a tail."""
        every = concat([self.older, self.recent])
        changed = change(self.group, self.record, every, Bars.none(), self.answers, load)
        return replace(changed, record=msgspec.structs.replace(changed.record, folded=self.upto))

    def folded(self, load: Callable[[Segment], Bars]) -> Change:
        """Give the record that has all of it, without a log."""
        changed = change(self.group, self.record, self.older, self.recent, self.answers, load)
        return replace(changed, record=msgspec.structs.replace(changed.record, folded=self.upto))


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The bars of a group that are of one block, before any of them is read; see `View`."""

    name: str
    segments: tuple[Segment, ...]
    older: Bars
    recent: Bars

    @property
    def rows(self) -> int:
        """How many bars there are, at most: the log's may replace a segment's."""
        return sum(segment.rows for segment in self.segments) + len(self.older) + len(self.recent)

    @property
    def ends(self) -> tuple[int, int]:
        """The first and the last key."""
        logged = [int(end) for bars in (self.older, self.recent) if len(bars) for end in _ends(bars.keys_us)]
        keys = [*(key for segment in self.segments for key in (segment.first, segment.last)), *logged]
        return min(keys), max(keys)

    @property
    def fingerprint(self) -> str:
        """Tell these bars from all that the block ever held or will hold."""
        digest = hashlib.sha256()
        for segment in self.segments:  # a segment is never written twice
            digest.update(segment.key.encode())
        for bars in (self.older, self.recent):
            digest.update(_packed(bars, by_date=True))
            digest.update(repr(bars.exact_by_row()).encode())
        return digest.hexdigest()

    def bars(self, load: Callable[[Segment], Bars]) -> Bars:
        """Read them."""
        if not self.segments:
            return concat([self.older, self.recent])
        return concat([*_parts(self.segments, self.older, load, lambda _: True), self.recent])


def _ends(keys_us: NDArray[np.int64]) -> tuple[int, int]:
    return int(keys_us.min()), int(keys_us.max())


def _parts(
    segments: Sequence[Segment], older: Bars, load: Callable[[Segment], Bars], wanted: Callable[[Segment], bool]
) -> Iterator[Bars]:
    """Give the bars of segments with those of the log among and before them."""
    for segment, logged in _pieces(segments, older):
        if segment is not None and wanted(segment):
            yield load(segment).updated(logged)
        elif len(logged):
            yield logged


def _pieces(segments: Sequence[Segment], older: Bars) -> Iterator[tuple[Segment | None, Bars]]:
    """Give each segment with the log's bars that belong into it or between it and the next; first those before all."""
    if not len(older):
        yield from ((segment, older) for segment in segments)
        return
    cuts = np.searchsorted(older.stamps_us, [segment.first_stamp for segment in segments]).tolist()
    yield None, older[: cuts[0]]
    for segment, (start, stop) in zip(segments, pairwise([*cuts, len(older)]), strict=True):
        yield segment, older[start:stop]


def _counts(keys_us: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the keys in each of disjoint spans in order."""
    at = np.searchsorted(ends, keys_us, side="right")
    at, keys_us = at[at < len(ends)], keys_us[at < len(ends)]
    return np.bincount(at[starts[at] <= keys_us], minlength=len(ends))


def _with_told(
    found: Iterable[Restatement], told: Iterable[Restatement], held: Iterable[Restatement]
) -> tuple[Restatement, ...]:
    """Join what was found with what another archive tells, which knows better when the same change was seen."""
    listed, same = set(held), {(one.stamp_us, one.old, one.new) for one in told}
    return (
        *(one for one in told if one not in listed),
        *(one for one in found if (one.stamp_us, one.old, one.new) not in same),
    )


def _packed(bars: Bars, *, by_date: bool) -> bytes:
    integers = [bars.stamps_us, bars.keys_us] if by_date else [bars.stamps_us]
    values = [bars.table[name].to_numpy() for name in VALUES] if len(bars) else []
    return b"".join(
        [*(one.astype("<i8").tobytes() for one in integers), *(one.astype("<f8").tobytes() for one in values)]
    )


def _bars(deltas: Iterable[Delta], *, by_date: bool) -> Bars:
    """Give the bars of all, of two for one stamp the last."""
    columns = len(VALUES) + (2 if by_date else 1)
    with_rows = [delta for delta in deltas if delta.rows]
    if not with_rows:
        return Bars.none()
    words_of = [np.frombuffer(delta.rows, "<i8").reshape(columns, -1) for delta in with_rows]
    asked_us = np.repeat([delta.asked_at for delta in with_rows], [words.shape[1] for words in words_of])
    exact: dict[tuple[int, str], str] = {}
    for delta, words in zip(with_rows, words_of, strict=True) if any(delta.exact for delta in with_rows) else ():
        stamps = words[0].tolist()
        exact = {place: value for place, value in exact.items() if place[0] not in set(stamps)}
        exact |= {(stamps[row], column): value for row, column, value in delta.exact}
    words = words_of[0]
    if len(words_of) > 1:
        words = np.concatenate(words_of, axis=1)
        order = np.argsort(words[0], kind="stable")
        order = order[np.append(np.diff(words[0][order]) > 0, True)]
        words, asked_us = np.ascontiguousarray(words[:, order]), asked_us[order]
    stamps_us = words[0]
    values = [pa.array(column.view("<f8"), from_pandas=True) for column in words[-len(VALUES) :]]
    table = pa.Table.from_arrays([pa.array(stamps_us.view("M8[us]"), schemas.TIMESTAMP), *values], schema=schemas.BARS)
    return Bars(table, stamps_us, words[1] if by_date else stamps_us, asked_us, exact)


def entry_key(sequence: int) -> str:
    """Say where an entry is; keys sort as their numbers do."""
    return f"{LOG_PREFIX}{sequence:016d}"


def encode_entry(changes: Mapping[str, Sequence[Delta]]) -> bytes:
    """Write an entry: by group's name its changes, none if its record has them already."""
    # One minute of many codes: names and values differ, the rest repeats. More effort would not make it smaller.
    body = bytes([SCHEMA]) + zlib.compress(msgspec.msgpack.encode(changes), 1)
    return zlib.crc32(body).to_bytes(_CRC_BYTES, "little") + body


@dataclass(frozen=True, slots=True)
class _Entry:
    # Decoded when asked for: a reader wants one group of hundreds.
    changes: dict[str, msgspec.Raw]
    size: int


class Log:
    """The entries that a process has read and that may not be folded yet."""

    def __init__(self) -> None:
        self.last = 0
        self.size = 0
        self._entries: dict[int, _Entry] = {}

    def add(self, key: str, value: bytes) -> None:
        """Take in an entry.

        Raises
        ------
        StoreError
            It cannot be read, or a newer version of this library wrote it.
        """
        number = key.removeprefix(LOG_PREFIX)
        if not number.isdecimal():
            raise StoreError(f"archive entry {key!r} cannot be read: its key has no number")
        sequence = int(number)
        self._entries[sequence] = _Entry(_changes(key, value), len(value))
        self.size += len(value)
        self.last = sequence

    def forget(self, upto: int) -> None:
        """Let go of the entries up to *upto*, which are deleted."""
        for sequence in [sequence for sequence in self._entries if sequence <= upto]:
            self.size -= self._entries.pop(sequence).size

    def names(self) -> set[str]:
        """Name the groups there are changes of."""
        return {name for entry in self._entries.values() for name in entry.changes}

    def changed(self, name: str, after: int) -> bool:
        """Say whether an entry later than *after* is about a group."""
        return any(name in entry.changes for _, entry in self._since(after))

    def of(self, name: str, after: int) -> list[Delta]:
        """Give the changes of a group since *after*, in order.

        Raises
        ------
        StoreError
            They cannot be read.
        """
        return [delta for _, delta in self.numbered(name, after)]

    def numbered(self, name: str, after: int) -> list[tuple[int, Delta]]:
        """Give the changes of a group since *after*, in order, each with the number of its entry."""
        deltas: list[tuple[int, Delta]] = []
        for sequence, entry in reversed([*self._since(after)]):
            if name in entry.changes:
                changes = _decoded(entry.changes[name], tuple[Delta, ...], entry_key(sequence))
                deltas += [(sequence, delta) for delta in changes]
        return deltas

    def _since(self, after: int) -> Iterator[tuple[int, _Entry]]:
        for sequence in reversed(self._entries):
            if sequence <= after:
                return
            yield sequence, self._entries[sequence]


def _changes(key: str, value: bytes) -> dict[str, msgspec.Raw]:
    body = memoryview(value)[_CRC_BYTES:]
    if not body or zlib.crc32(body) != int.from_bytes(value[:_CRC_BYTES], "little"):
        raise StoreError(f"archive entry {key!r} cannot be read: its checksum is not the one recorded")
    if body[0] > SCHEMA:
        raise StoreError(
            f"archive entry {key!r} has schema version {body[0]}, this alltick_frames reads up to {SCHEMA}; upgrade it"
        )
    changes: dict[str, msgspec.Raw] = _decoded(zlib.decompress(body[1:]), dict[str, msgspec.Raw], key)
    return changes


def _decoded(value: Any, kind: Any, key: str) -> Any:
    why = ""
    try:
        return msgspec.msgpack.decode(value, type=kind)
    except UNREADABLE as error:
        why = str(error)
    raise StoreError(f"archive entry {key!r} cannot be read: {why}")
